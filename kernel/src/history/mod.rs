//! The cells that people ran, kept across restarts: what a console's up arrow and search go through.
//!
//! A thread of its own writes and reads, so that no cell waits for a disk.

mod query;
mod store;
#[cfg(test)]
mod tests;

pub use query::{Query, reply};
pub use store::Entry;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use store::{Store, StoreError};
use tokio::sync::oneshot;

/// The file's name in the data folder.
const FILE: &str = "history.sqlite";

enum Job {
    Input { line: u32, source: String },
    Output { line: u32, text: String },
    Ask(Query, oneshot::Sender<Vec<Entry>>),
    Flush(oneshot::Sender<()>),
}

/// The history of this kernel and of all others of this user. Cloned freely.
#[derive(Clone, Debug)]
pub struct History {
    jobs: Sender<Job>,
}

impl History {
    /// Opens the history in this folder. Where that fails, or there is no folder, it lasts as long as the kernel.
    pub fn start(folder: Option<PathBuf>) -> std::io::Result<History> {
        let (jobs, work) = channel();
        std::thread::Builder::new().name("history".into()).spawn(move || serve(folder, work))?;
        Ok(History { jobs })
    }

    /// A cell is about to run.
    pub fn input(&self, line: u32, source: &str) {
        let _ = self.jobs.send(Job::Input { line, source: source.to_owned() });
    }

    /// It had this result.
    pub fn output(&self, line: u32, text: String) {
        let _ = self.jobs.send(Job::Output { line, text });
    }

    /// Looks cells up. Those that were put in before are there.
    pub async fn ask(&self, query: Query) -> Vec<Entry> {
        let (reply, answer) = oneshot::channel();
        let _ = self.jobs.send(Job::Ask(query, reply));
        // The thread ends only with the kernel.
        answer.await.unwrap_or_default()
    }

    /// Returns when all that was put in before is written.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        let _ = self.jobs.send(Job::Flush(done));
        let _ = wait.await;
    }
}

fn serve(folder: Option<PathBuf>, work: Receiver<Job>) {
    let mut store = match open(folder) {
        Ok(store) => store,
        Err(error) => {
            tracing::error!("there is no history: {error}");
            return;
        }
    };
    let mut failed = false;
    for job in work {
        let result = match job {
            Job::Input { line, source } => store.add(line, &source),
            Job::Output { line, text } => store.set_output(line, &text),
            Job::Ask(query, reply) => store.entries(&query).map(|entries| drop(reply.send(entries))),
            Job::Flush(done) => {
                let _ = done.send(());
                Ok(())
            }
        };
        if let Err(error) = result
            && !std::mem::replace(&mut failed, true)
        {
            tracing::warn!("the history isn't written or read any more: {error}");
        }
    }
}

fn open(folder: Option<PathBuf>) -> Result<Store, StoreError> {
    let Some(folder) = folder else { return Store::in_memory() };
    let path = folder.join(FILE);
    Store::open(&path).or_else(|error| {
        let path = path.display();
        tracing::warn!("the history can't be kept in {path}, and lasts as long as this kernel: {error}");
        Store::in_memory()
    })
}
