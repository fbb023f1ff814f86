//! Engines as processes of this host.
//!
//! All are started from one thread that lives as long as the launcher; it is also the only one that reaps them, hence a
//! kill never hits a process id that was given to somebody else. Those that an earlier controller started are nobody's
//! children any more, and are held by a descriptor.

use super::{Launch, Launcher};
use crate::core::Exit;
use crate::folder::Folder;
use chorus_protocol::EngineId;
use chorus_system::{ProcessHandle, signal};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

#[derive(Debug)]
enum Order {
    Start(EngineId),
    Adopt(EngineId, u32),
    Signal(EngineId, i32),
    /// A process ended, and is there to be reaped if it is a child.
    Ended(EngineId),
    End,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Local {
    orders: mpsc::Sender<Order>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Local {
    /// `ended` is called, from a thread of the launcher's own, once for each engine that was started.
    pub fn start(
        launch: Launch,
        folder: Arc<Folder>,
        ends_with_us: bool,
        ended: impl Fn(EngineId, Exit) + Send + 'static,
    ) -> std::io::Result<Local> {
        let (orders, inbox) = mpsc::channel();
        let worker = Worker { launch, folder, ends_with_us, orders: orders.clone(), processes: HashMap::new() };
        let thread =
            std::thread::Builder::new().name("chorus-launcher".into()).spawn(move || worker.work(&inbox, &ended))?;
        Ok(Local { orders, thread: Mutex::new(Some(thread)) })
    }
}

impl Launcher for Local {
    fn start(&self, engines: &[EngineId]) {
        engines.iter().for_each(|&engine| _ = self.orders.send(Order::Start(engine)));
    }

    fn is_waiting(&self, _: EngineId) -> bool {
        false
    }

    fn adopt(&self, engine: EngineId, pid: u32) {
        _ = self.orders.send(Order::Adopt(engine, pid));
    }

    fn end(&self, engine: EngineId) {
        _ = self.orders.send(Order::Signal(engine, signal::KILL));
    }

    fn signal(&self, engine: EngineId, signal: i32) {
        _ = self.orders.send(Order::Signal(engine, signal));
    }

    fn end_all(&self) {
        _ = self.orders.send(Order::End);
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            _ = thread.join();
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.end_all();
    }
}

struct Worker {
    launch: Launch,
    folder: Arc<Folder>,
    ends_with_us: bool,
    orders: mpsc::Sender<Order>,
    processes: HashMap<EngineId, Process>,
}

enum Process {
    Child(Child),
    Adopted(Arc<ProcessHandle>),
}

impl Process {
    fn kill(&mut self) {
        match self {
            Process::Child(child) => _ = child.kill(),
            Process::Adopted(process) => process.kill(),
        }
    }

    fn signal(&self, signal: i32) {
        match self {
            // It isn't reaped yet, so its number is still its own.
            Process::Child(child) => chorus_system::process::send(child.id(), signal),
            Process::Adopted(process) => process.send(signal),
        }
    }

    /// Waits for its end.
    fn end(&mut self) -> Exit {
        match self {
            Process::Child(child) => reap(child),
            Process::Adopted(process) => {
                process.wait();
                Exit::Unknown
            }
        }
    }
}

impl Worker {
    fn work(mut self, inbox: &mpsc::Receiver<Order>, ended: &dyn Fn(EngineId, Exit)) {
        while let Ok(order) = inbox.recv() {
            match order {
                Order::Start(engine) => {
                    if let Err(error) = self.spawn(engine) {
                        let program = self.launch.program.display();
                        ended(engine, Exit::NotStarted(format!("{program}: {error}")));
                    }
                }
                Order::Adopt(engine, pid) => {
                    if self.adopt(engine, pid).is_err() {
                        // It has ended since it spoke.
                        ended(engine, Exit::Unknown);
                    }
                }
                Order::Signal(engine, signal) => {
                    if let Some(process) = self.processes.get_mut(&engine) {
                        process.signal(signal);
                    }
                }
                Order::Ended(engine) => {
                    if let Some(mut process) = self.processes.remove(&engine) {
                        ended(engine, process.end());
                    }
                }
                Order::End => break,
            }
        }
        self.processes.values_mut().for_each(Process::kill);
        self.processes.values_mut().for_each(|process| _ = process.end());
    }

    fn spawn(&mut self, engine: EngineId) -> std::io::Result<()> {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(self.folder.engine_log(engine))?;
        let mut child = Command::new(&self.launch.program)
            .args(self.launch.arguments(&self.folder.connection_file(), engine))
            .args(self.ends_with_us.then(|| format!("--parent={}", std::process::id())))
            .envs(self.launch.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // A Ctrl-C in the terminal, and Jupyter's interrupt, are for the program around the controller.
            .process_group(0)
            .spawn()?;
        let pid = child.id();
        if let Err(error) = self.watch(engine, move || chorus_system::children::wait_for_end(pid)) {
            _ = child.kill();
            _ = child.wait();
            return Err(error);
        }
        self.processes.insert(engine, Process::Child(child));
        Ok(())
    }

    fn adopt(&mut self, engine: EngineId, pid: u32) -> std::io::Result<()> {
        let process = Arc::new(ProcessHandle::open(pid)?);
        let watched = Arc::clone(&process);
        self.watch(engine, move || watched.wait())?;
        self.processes.insert(engine, Process::Adopted(process));
        Ok(())
    }

    /// Waits for the end of a process in a thread of its own, and leaves the reaping to this one.
    fn watch(&self, engine: EngineId, wait: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let orders = self.orders.clone();
        std::thread::Builder::new()
            .name(format!("chorus-engine-{engine}"))
            .stack_size(64 << 10)
            .spawn(move || {
                wait();
                _ = orders.send(Order::Ended(engine));
            })
            .map(drop)
    }
}

fn reap(child: &mut Child) -> Exit {
    match child.wait() {
        Ok(status) => status.into(),
        // Somebody else in this process waits for any child.
        Err(_) => Exit::Status(-1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn shell(script: &str) -> (tempfile::TempDir, Local, mpsc::Receiver<(EngineId, Exit)>, Arc<Folder>) {
        let runtime = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::create(runtime.path(), "test").unwrap().0);
        let launch = Launch::new("/bin/sh", vec!["-c".into(), script.into()]);
        let (sender, exits) = mpsc::channel();
        let launcher = Local::start(launch, folder.clone(), true, move |id, exit| _ = sender.send((id, exit))).unwrap();
        (runtime, launcher, exits, folder)
    }

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn ends_are_told_with_status_or_signal() {
        let (_runtime, launcher, exits, folder) = shell("echo out; echo err >&2; exit 3");
        launcher.start(&[EngineId(4)]);
        assert_eq!(exits.recv_timeout(LIMIT), Ok((EngineId(4), Exit::Status(3))));
        assert_eq!(std::fs::read_to_string(folder.engine_log(EngineId(4))).unwrap(), "out\nerr\n");

        let (_runtime, launcher, exits, _) = shell("sleep 1000");
        launcher.start(&[EngineId(0)]);
        launcher.end(EngineId(0));
        assert_eq!(exits.recv_timeout(LIMIT), Ok((EngineId(0), Exit::Signal(9))));
    }

    #[test]
    fn a_program_that_is_not_there_is_said() {
        let runtime = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::create(runtime.path(), "test").unwrap().0);
        let (sender, exits) = mpsc::channel();
        let launch = Launch::new("/nowhere/engine", vec![]);
        let launcher = Local::start(launch, folder, true, move |id, exit| _ = sender.send((id, exit))).unwrap();
        launcher.start(&[EngineId(0)]);
        let (_, exit) = exits.recv_timeout(LIMIT).unwrap();
        assert!(matches!(&exit, Exit::NotStarted(why) if why.contains("/nowhere/engine")), "{exit:?}");
    }

    #[test]
    fn ending_kills_everybody() {
        let (_runtime, launcher, _exits, folder) = shell("echo $$; exec sleep 1000");
        launcher.start(&[EngineId(0), EngineId(1)]);
        let pid = |id| {
            let deadline = Instant::now() + LIMIT;
            loop {
                let text = std::fs::read_to_string(folder.engine_log(EngineId(id))).unwrap_or_default();
                if let Ok(pid) = text.trim().parse::<u32>() {
                    return pid;
                }
                assert!(Instant::now() < deadline, "engine {id} never wrote its process id");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let pids = [pid(0), pid(1)];
        drop(launcher);
        for pid in pids {
            assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "process {pid} lives");
        }
    }
}
