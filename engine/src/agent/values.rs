//! Files for what functions return when that is large: they lie in the controller's folder, so that neither a socket has
//! to carry them nor the end of this engine takes them along. The controller removes them when nobody needs them.
//! From another host, this host's outpost has them made.

use chorus_protocol::{RunId, TaskValue, VALUE_PREFIX};
use px::link::{RoomAnswer, RoomAsk, ask_on};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::fs::File;

/// The files of one session on this engine that aren't the controller's yet.
#[derive(Debug)]
pub struct Values {
    /// `None` if nobody could find them.
    place: Option<ControllerFolder>,
    /// The run that has begun last.
    run: Option<RunId>,
    made: Vec<PathBuf>,
}

/// Where the controller's folder is.
#[derive(Clone, Debug)]
pub enum ControllerFolder {
    /// On this host.
    Here(PathBuf),
    /// On another one, to which the outpost that listens there knows the way.
    There {
        /// The folder's path on its host.
        folder: PathBuf,
        /// The outpost's socket.
        outpost: PathBuf,
    },
}

static ENGINE: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
static NEXT: AtomicU64 = AtomicU64::new(0);

impl Values {
    /// For files in this folder.
    pub fn new(place: Option<ControllerFolder>) -> Values {
        Values { place, run: None, made: Vec::new() }
    }

    /// A run begins.
    pub fn started(&mut self, run: RunId) {
        self.clear();
        self.run = Some(run);
    }

    /// A run has ended: files that it hasn't handed over go.
    pub fn done(&mut self, run: RunId) {
        if self.run == Some(run) {
            self.clear();
            self.run = None;
        }
    }

    /// The run that is under way.
    pub fn run(&self) -> Option<RunId> {
        self.run
    }

    /// The same, if it is a task's.
    pub fn task_run(&self) -> Option<RunId> {
        self.run.filter(|run| run.task().is_some())
    }

    /// A file of so many bytes, all 0. An error is a sentence.
    pub async fn make(&mut self, bytes: u64) -> Result<String, String> {
        let place = self.place.clone().ok_or("this engine doesn't share files with the notebook")?;
        let (ControllerFolder::Here(folder) | ControllerFolder::There { folder, .. }) = &place;
        // Another engine may have had the same process id before.
        let name = format!("{VALUE_PREFIX}{:016x}-{}", *ENGINE, NEXT.fetch_add(1, Ordering::Relaxed));
        let path = folder.join(name);
        let failed = |error: io::Error| format!("there is no room for {bytes} bytes: {error}");
        self.made.push(path.clone());
        if let ControllerFolder::There { outpost, .. } = place {
            let name = path.display().to_string();
            return ask(outpost, RoomAsk::Make(name.clone(), bytes)).await.map(|()| name);
        }
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path).await.map_err(failed)?;
        file.set_len(bytes).await.map_err(failed)?;
        Ok(path.display().to_string())
    }

    /// The result of the task under way; its file is the controller's from now on.
    pub fn hand_over(&mut self, bytes: Vec<u8>, room: Option<&str>) -> TaskValue {
        let found = room.and_then(|room| self.made.iter().position(|path| path == Path::new(room)));
        let file =
            found.map(|at| self.made.swap_remove(at)).and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        TaskValue { bytes: bytes.into(), file }
    }

    fn clear(&mut self) {
        let made = std::mem::take(&mut self.made);
        match self.place.clone() {
            _ if made.is_empty() => {}
            Some(ControllerFolder::There { outpost, .. }) => {
                tokio::spawn(async move {
                    for path in made {
                        if let Err(error) = ask(outpost.clone(), RoomAsk::Remove(path.display().to_string())).await {
                            tracing::debug!(%error, "a file that nobody needs stays until the cluster ends");
                        }
                    }
                });
            }
            _ => drop(tokio::task::spawn_blocking(move || remove(made))),
        }
    }
}

impl Drop for Values {
    fn drop(&mut self) {
        // The engine may be about to end, and with it what its runtime still has to do.
        remove(std::mem::take(&mut self.made));
    }
}

/// Has the outpost do something to a file.
async fn ask(outpost: PathBuf, ask: RoomAsk) -> Result<(), String> {
    let asked = tokio::task::spawn_blocking(move || {
        let mut connection = std::os::unix::net::UnixStream::connect(&outpost)?;
        ask_on(&mut connection, &ask, &[], &mut Vec::new())
    });
    match asked.await {
        Ok(Ok(RoomAnswer::Done(_))) => Ok(()),
        Ok(Ok(RoomAnswer::Failed(why))) => Err(why),
        Ok(Ok(answer)) => Err(format!("this host's outpost answers {answer:?}")),
        Ok(Err(error)) => Err(format!("this host's outpost can't be asked: {error}")),
        Err(panic) => Err(panic.to_string()),
    }
}

fn remove(files: Vec<PathBuf>) {
    for path in files {
        // It may be gone with the whole folder.
        _ = std::fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::TaskId;
    use std::time::Duration;

    #[tokio::test]
    async fn what_is_not_handed_over_goes_with_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let mut values = Values::new(Some(ControllerFolder::Here(folder.path().to_owned())));
        let run = RunId::of_task(TaskId(1), 0);
        values.started(run);
        assert_eq!(values.task_run(), Some(run));
        let (kept, other) = (values.make(10).await.unwrap(), values.make(10).await.unwrap());
        let value = values.hand_over(vec![1], Some(&kept));
        assert_eq!(value.file.as_deref(), Path::new(&kept).file_name().unwrap().to_str());
        assert_eq!(values.hand_over(vec![], Some("/etc/passwd")).file, None, "not of its making");
        values.done(run);
        assert_eq!(values.task_run(), None);
        let left = async {
            while Path::new(&other).exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), left).await.expect("the file that wasn't handed over stays");
        assert_eq!(std::fs::metadata(&kept).unwrap().len(), 10);
    }

    #[tokio::test]
    async fn without_a_shared_folder_there_is_no_room() {
        assert!(Values::new(None).make(1).await.unwrap_err().contains("doesn't share"));
    }
}
