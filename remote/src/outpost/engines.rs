//! The engines of this host: processes, and what is known of their ends.

use chorus_protocol::{EngineId, Exit};
use chorus_system::{ProcessHandle, signal};
use px::link::OUTPOST;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long engines may take to end by themselves.
const END: Duration = Duration::from_secs(3);

/// See the module.
pub struct Engines {
    program: PathBuf,
    before: Vec<OsString>,
    connection: PathBuf,
    rooms: PathBuf,
    running: BTreeMap<EngineId, ProcessHandle>,
    /// Those whose end wasn't heard yet by the launcher.
    ended: BTreeMap<EngineId, Exit>,
    ends: mpsc::UnboundedSender<(EngineId, Exit)>,
    inbox: mpsc::UnboundedReceiver<(EngineId, Exit)>,
}

impl Engines {
    /// Engines will be this program with these arguments in front, will be called `label`, join by this connection file, and
    /// find rooms at that socket.
    pub fn new(program: &Path, before: &[OsString], label: Option<&str>, connection: &Path, rooms: &Path) -> Engines {
        let (ends, inbox) = mpsc::unbounded_channel();
        let mut before = before.to_vec();
        before.extend(label.into_iter().flat_map(|label| ["--label".into(), label.into()]));
        Engines {
            program: program.to_owned(),
            before,
            connection: connection.to_owned(),
            rooms: rooms.to_owned(),
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            ends,
            inbox,
        }
    }

    /// Those that run, and those whose end wasn't heard.
    pub fn all(&self) -> (Vec<EngineId>, Vec<(EngineId, Exit)>) {
        let ended = self.ended.iter().map(|(engine, exit)| (*engine, exit.clone()));
        (self.running.keys().copied().collect(), ended.collect())
    }

    /// Starts one, unless it runs.
    pub fn start(&mut self, engine: EngineId) {
        // Who wants another one knows that the last has ended.
        self.ended.remove(&engine);
        if self.running.contains_key(&engine) {
            return;
        }
        if let Err(error) = self.spawn(engine) {
            let why = Exit::NotStarted(format!("{}: {error}", self.program.display()));
            _ = self.ends.send((engine, why));
        }
    }

    fn spawn(&mut self, engine: EngineId) -> std::io::Result<()> {
        let log = self.connection.with_file_name(format!("engine-{engine}.log"));
        let log = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(log)?;
        let child = Command::new(&self.program)
            .args(&self.before)
            .arg("--connect")
            .arg(&self.connection)
            .args(["--id".to_owned(), engine.to_string(), format!("--parent={}", std::process::id())])
            .env(OUTPOST, &self.rooms)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        // It isn't reaped yet, so the number is its own.
        let id = child.id().ok_or_else(|| std::io::Error::other("it ended at once"))?;
        self.running.insert(engine, ProcessHandle::open(id)?);
        tokio::spawn(watch(engine, child, self.ends.clone()));
        Ok(())
    }

    pub fn signal(&self, engine: EngineId, signal: i32) {
        if let Some(process) = self.running.get(&engine) {
            process.send(signal);
        }
    }

    /// The launcher knows of its end.
    pub fn heard(&mut self, engine: EngineId) {
        self.ended.remove(&engine);
    }

    /// Waits for the next end of a process.
    pub async fn next_end(&mut self) -> (EngineId, Exit) {
        // This struct has a sender, too.
        let Some((engine, exit)) = self.inbox.recv().await else { return std::future::pending().await };
        self.running.remove(&engine);
        self.ended.insert(engine, exit.clone());
        (engine, exit)
    }

    /// Ends all, and returns when they are gone.
    pub async fn end_all(&mut self) {
        for signal in [signal::TERMINATE, signal::KILL] {
            self.running.values().for_each(|process| process.send(signal));
            let all = async {
                while !self.running.is_empty() {
                    self.next_end().await;
                }
            };
            if timeout(END, all).await.is_ok() {
                return;
            }
        }
    }
}

async fn watch(engine: EngineId, mut child: Child, ends: mpsc::UnboundedSender<(EngineId, Exit)>) {
    let exit = match child.wait().await {
        Ok(status) => status.into(),
        Err(error) => Exit::NotStarted(error.to_string()),
    };
    _ = ends.send((engine, exit));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engines(script: &str) -> (tempfile::TempDir, Engines) {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("connection.json");
        let before = ["-c".into(), script.into()];
        (folder, Engines::new(Path::new("/bin/sh"), &before, None, &at, Path::new("/rooms")))
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn ends_are_told_until_they_are_heard() {
        let (folder, mut engines) = engines("echo $CHORUS_OUTPOST; exit 3");
        engines.start(EngineId(4));
        assert_eq!(engines.all(), (vec![EngineId(4)], vec![]));
        let end = timeout(LIMIT, engines.next_end()).await.unwrap();
        assert_eq!(end, (EngineId(4), Exit::Status(3)));
        assert_eq!(engines.all(), (vec![], vec![end]));
        assert_eq!(std::fs::read_to_string(folder.path().join("engine-4.log")).unwrap(), "/rooms\n");
        engines.heard(EngineId(4));
        assert_eq!(engines.all(), (vec![], vec![]));
    }

    #[tokio::test]
    async fn signals_reach_it_and_ending_ends_even_the_deaf() {
        let (_folder, mut engines) = engines("trap '' TERM; sleep 1000 & wait; wait");
        engines.start(EngineId(0));
        engines.start(EngineId(0));
        engines.signal(EngineId(0), signal::KILL);
        assert_eq!(timeout(LIMIT, engines.next_end()).await.unwrap(), (EngineId(0), Exit::Signal(9)));
        engines.start(EngineId(1));
        timeout(LIMIT, engines.end_all()).await.unwrap();
        assert!(engines.running.is_empty());
    }
}
