//! The engine's program against a controller that is played by the test.
//!
//! The tests' runtimes have threads, so that sockets go on while a test looks at processes.

mod common;

use chorus_protocol::{
    Aftermath, BlobId, Connection, Death, EngineId, Frame, FromEngine, Key, NoSnapshot, OUTPUT_WINDOW, Outcome,
    RunEvent, RunId, RunSpec, SessionId, SnapshotPolicy, ToEngine, VERSION,
};
use chorus_transport::{Arrival, Hub, PeerId, Transport, ZeroMq};
use common::{LIMIT, Seen, objects, program, state, wait_for, wait_for_end};
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An engine and its controller.
struct Cluster {
    engine: Child,
    socket: Box<dyn Hub>,
    /// The engine's connection, known from its first message.
    peer: PeerId,
    key: Key,
    session: SessionId,
    /// Holds socket, connection file and blobs.
    folder: TempDir,
    /// Numbered messages of the engine, and to it.
    heard: u64,
    said: u64,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.engine.kill();
        let _ = self.engine.wait();
    }
}

impl Cluster {
    /// Starts an engine and registers it.
    async fn start(args: &[&str]) -> Cluster {
        Cluster::start_waiting(args, 0).await
    }

    /// The same; it waits so many seconds for another controller when this one is gone.
    async fn start_waiting(args: &[&str], stay: u32) -> Cluster {
        let mut cluster = Cluster::start_unregistered(args, stay).await;
        let heartbeat_ms = 20;
        cluster.send(ToEngine::Registered { id: EngineId(3), heartbeat_ms, received: 0 }).await;
        cluster
    }

    /// Starts an engine and reads its registration.
    async fn start_unregistered(args: &[&str], stay: u32) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("blobs");
        std::fs::create_dir(&blobs).unwrap();
        for file in [&objects().std, &objects().cells] {
            std::fs::copy(file, blobs.join(blob(file).file_name())).unwrap();
        }
        let (socket, endpoint) = ZeroMq::Ipc.listen(&folder.path().join("engines"), None).await.unwrap();
        let key = Key::random();
        let connection = Connection {
            version: VERSION,
            name: "test".into(),
            pid: std::process::id(),
            engines: endpoint,
            clients: String::new(),
            blobs,
            stay,
            key: key.clone(),
        };
        let file = folder.path().join("cluster.json");
        connection.write(&file).unwrap();
        let mut command = Command::new(program());
        command.arg("--connect").arg(&file).args(["--id", "3"]).args(args).envs(common::bare_environment());
        let engine = command.stderr(Stdio::piped()).spawn().unwrap();
        let (peer, session) = (PeerId(bytes::Bytes::new()), SessionId(1));
        let mut cluster = Cluster { engine, socket, peer, key, session, folder, heard: 0, said: 0 };
        let shares = !args.contains(&"--no-shared-files");
        match cluster.next().await {
            FromEngine::Register { version: VERSION, id: Some(EngineId(3)), info, shares_files, standing } => {
                assert_eq!((standing.returns, standing.received), (false, 0));
                assert_eq!((info.pid, shares_files), (cluster.engine.id(), shares));
                assert!(info.cores > 0 && !info.host.is_empty(), "{info:?}");
            }
            other => panic!("the first message is {other:?}"),
        }
        cluster
    }

    async fn send(&mut self, message: ToEngine) {
        self.said += u64::from(message.is_numbered());
        let frame = Frame::encode(&message, &self.key).unwrap();
        self.send_frames(vec![frame.mac, frame.body]).await;
    }

    async fn send_frames(&mut self, frames: Vec<bytes::Bytes>) {
        assert!(self.socket.send(&self.peer, frames).await);
    }

    /// The engine's next message.
    async fn next(&mut self) -> FromEngine {
        match tokio::time::timeout(LIMIT, self.socket.next()).await.expect("waited in vain for a message") {
            Arrival::Message(peer, frames) => {
                self.peer = peer;
                let message: FromEngine = Frame::decode(&frames, &self.key).unwrap();
                self.heard += u64::from(message.is_numbered());
                message
            }
            other => panic!("waited for a message, not for {other:?}"),
        }
    }

    /// The engine's next message that is no heartbeat. The engine hears a heartbeat for each of its own.
    async fn say(&mut self) -> FromEngine {
        let begin = Instant::now();
        while begin.elapsed() < LIMIT {
            match self.next().await {
                FromEngine::Heartbeat => self.send(ToEngine::Heartbeat).await,
                FromEngine::Metrics(_) | FromEngine::Received(_) => {}
                message => return message,
            }
        }
        panic!("waited in vain for anything but heartbeats");
    }

    fn run_of(&self, run: u64, entry: &str) -> ToEngine {
        let spec = RunSpec {
            preload: vec![blob(&objects().std)],
            object: blob(&objects().cells),
            entry: entry.into(),
            argument: bytes::Bytes::new(),
            together: None,
            map: None,
            label: entry.into(),
            snapshots: SnapshotPolicy::Off,
        };
        ToEngine::Run { session: self.session, run: RunId(run), spec, generation: None, rank: 3, size: 4, group: None }
    }

    /// The events of a run, up to its end; they are acknowledged.
    async fn finish(&mut self, wanted: u64) -> Seen {
        let mut seen = Seen::default();
        loop {
            match self.say().await {
                FromEngine::Run { session, run, event } => {
                    assert_eq!((session, run), (self.session, RunId(wanted)), "{event:?}");
                    let done = matches!(event, RunEvent::Done { .. });
                    self.send(ToEngine::Ack { session, bytes: event.weight() as u64 }).await;
                    seen.events.push(event);
                    if done {
                        return seen;
                    }
                }
                other => panic!("{other:?} came while run {wanted} went on"),
            }
        }
    }

    async fn run(&mut self, run: u64, entry: &str) -> Seen {
        let message = self.run_of(run, entry);
        self.send(message).await;
        self.finish(run).await
    }

    /// Has a cell start a process; returns that and the worker.
    async fn grandchild(&mut self) -> [u32; 2] {
        [self.run(100, "starts_a_process").await.number(), self.run(101, "tells_its_process").await.number()]
    }

    /// Waits for the engine's end; returns its status and what it said.
    fn end(&mut self) -> (ExitStatus, String) {
        let status = wait_for("the engine's end", || self.engine.try_wait().unwrap());
        let mut said = String::new();
        self.engine.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }
}

fn blob(file: &std::path::Path) -> BlobId {
    BlobId::of(&std::fs::read(file).unwrap())
}

fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), signal).unwrap();
}

fn lost(reason: NoSnapshot) -> Aftermath {
    Aftermath::Lost(reason)
}

fn died(death: Death) -> Outcome {
    Outcome::Died(death, lost(NoSnapshot::Off))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_runs_cells_until_it_is_told_to_stop() {
    let mut cluster = Cluster::start(&[]).await;
    cluster.send(ToEngine::OpenSession(cluster.session)).await;
    let seen = cluster.run(1, "tells_its_place").await;
    seen.check(true);
    assert_eq!((seen.out().as_str(), seen.end()), ("3/4\n", (Outcome::Ok, 0)));
    assert_eq!(cluster.run(2, "segfaults").await.end(), (died(Death::Signal(libc::SIGSEGV)), 1));
    let [grandchild, worker] = cluster.grandchild().await;
    cluster.send(ToEngine::Shutdown).await;
    assert_eq!(cluster.say().await, FromEngine::Goodbye);
    assert!(cluster.end().0.success());
    wait_for_end(worker);
    wait_for_end(grandchild);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_do_not_know_each_other() {
    let mut cluster = Cluster::start(&[]).await;
    assert_eq!(cluster.run(1, "counts").await.number(), 1);
    cluster.session = SessionId(2);
    assert_eq!(cluster.run(1, "counts").await.number(), 1);
    let worker = cluster.run(2, "tells_its_process").await.number();
    cluster.send(ToEngine::CloseSession(SessionId(2))).await;
    wait_for_end(worker);
    cluster.session = SessionId(1);
    assert_eq!(cluster.run(2, "counts").await.number(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_ignored() {
    let mut cluster = Cluster::start(&[]).await;
    let text = |text: &'static str| bytes::Bytes::from_static(text.as_bytes());
    cluster.send_frames(vec![text("x")]).await;
    cluster.send_frames(vec![text("x"), text("y"), text("z")]).await;
    cluster.send_frames(vec![text("x"), text("y")]).await;
    let other = Frame::encode(&ToEngine::Shutdown, &Key::random()).unwrap();
    cluster.send_frames(vec![other.mac, other.body]).await;
    // Signed, but no message: postcard reads this as the 200th kind of message.
    let signed = Frame::encode(&200u8, &cluster.key).unwrap();
    cluster.send_frames(vec![signed.mac, signed.body]).await;
    assert_eq!(cluster.run(1, "prints").await.out(), "hello\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_are_asked_for_once_and_runs_wait_for_them_in_order() {
    let mut cluster = Cluster::start(&["--no-shared-files"]).await;
    for (run, entry) in [(1, "counts"), (2, "tells_its_place")] {
        let message = cluster.run_of(run, entry);
        cluster.send(message).await;
    }
    let files = [&objects().std, &objects().cells];
    for file in files {
        assert_eq!(cluster.say().await, FromEngine::NeedBlob(blob(file)));
    }
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        cluster.send(ToEngine::Blob { id: BlobId::of(&bytes), bytes: Some(bytes.into()) }).await;
    }
    assert_eq!(cluster.finish(1).await.number(), 1);
    assert_eq!(cluster.finish(2).await.out(), "3/4\n");
    assert_eq!(cluster.run(3, "counts").await.number(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_does_not_come_ends_its_runs() {
    let mut cluster = Cluster::start(&["--no-shared-files"]).await;
    let [std, cells] = [blob(&objects().std), blob(&objects().cells)];
    for (run, bytes, reason) in [(1, None, "doesn't have"), (2, Some(b"x".to_vec().into()), "damaged")] {
        let message = cluster.run_of(run, "prints");
        cluster.send(message).await;
        assert_eq!(cluster.say().await, FromEngine::NeedBlob(if run == 1 { std } else { cells }));
        if run == 1 {
            assert_eq!(cluster.say().await, FromEngine::NeedBlob(cells));
            let bytes = std::fs::read(&objects().std).unwrap();
            cluster.send(ToEngine::Blob { id: std, bytes: Some(bytes.into()) }).await;
        }
        cluster.send(ToEngine::Blob { id: cells, bytes }).await;
        let seen = cluster.finish(run).await;
        seen.check(false);
        assert!(matches!(seen.end(), (Outcome::LoadFailed(said), 0) if said.contains(reason)));
    }
    // A run that waits for a blob can be cancelled.
    let message = cluster.run_of(3, "prints");
    cluster.send(message).await;
    assert_eq!(cluster.say().await, FromEngine::NeedBlob(cells));
    cluster.send(ToEngine::Interrupt { session: cluster.session, signal: libc::SIGKILL }).await;
    assert_eq!(cluster.finish(3).await.end(), (Outcome::Cancelled, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_stops_its_session_only() {
    let mut cluster = Cluster::start(&[]).await;
    let message = cluster.run_of(1, "prints_64_mb");
    cluster.send(message).await;
    // Nothing is acknowledged. A heartbeat comes every 20 ms all the same.
    let (mut length, mut weight, mut heartbeats) = (0, 0, 0);
    while heartbeats < 20 {
        match cluster.next().await {
            FromEngine::Received(_) => {}
            FromEngine::Heartbeat => {
                heartbeats += 1;
                cluster.send(ToEngine::Heartbeat).await;
            }
            FromEngine::Run { event, .. } => {
                weight += event.weight();
                if let RunEvent::Output { bytes, .. } = event {
                    length += bytes.len();
                }
                if weight < OUTPUT_WINDOW {
                    heartbeats = 0;
                }
            }
            FromEngine::Metrics(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!((OUTPUT_WINDOW..2 * OUTPUT_WINDOW).contains(&weight), "{weight} came without being acknowledged");
    let slow = std::mem::replace(&mut cluster.session, SessionId(2));
    assert_eq!(cluster.run(1, "prints").await.out(), "hello\n");
    cluster.session = slow;
    cluster.send(ToEngine::Ack { session: slow, bytes: weight as u64 }).await;
    let seen = cluster.finish(1).await;
    assert_eq!(seen.end(), (Outcome::Ok, 0));
    assert_eq!(length + seen.out().len(), (64 << 20) + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupt_and_a_restart_reach_the_worker() {
    let mut cluster = Cluster::start(&[]).await;
    let session = cluster.session;
    let message = cluster.run_of(1, "prints_without_end");
    cluster.send(message).await;
    while !matches!(cluster.say().await, FromEngine::Run { event: RunEvent::Output { .. }, .. }) {}
    cluster.send(ToEngine::Interrupt { session, signal: libc::SIGKILL }).await;
    assert_eq!(cluster.finish(1).await.end(), (died(Death::Stopped), 1));
    cluster.run(2, "prints").await;
    cluster.send(ToEngine::RestartSession(session)).await;
    assert_eq!(
        cluster.say().await,
        FromEngine::WorkerLost { session, death: Death::Stopped, aftermath: lost(NoSnapshot::Ended), generation: 2 }
    );
    let worker = cluster.run(3, "tells_its_process").await.number();
    signal(worker, nix::sys::signal::Signal::SIGKILL);
    let death = Death::Signal(libc::SIGKILL);
    assert_eq!(
        cluster.say().await,
        FromEngine::WorkerLost { session, death, aftermath: lost(NoSnapshot::Off), generation: 3 }
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_reads_its_stdin_fails_and_its_programs_find_the_end() {
    let mut cluster = Cluster::start(&[]).await;
    for (run, entry) in (1..).zip(["asks", "reads_in_a_thread"]) {
        let seen = cluster.run(run.into(), entry).await;
        assert_eq!(seen.end(), (died(Death::NoInput), run), "{entry}");
        assert_eq!(seen.out(), "", "{entry}");
    }
    let seen = cluster.run(3, "has_a_child_that_reads").await;
    assert_eq!((seen.out().as_str(), seen.end()), ("read\nexit status: 0\n", (Outcome::Ok, 2)));
    assert_eq!(cluster.run(4, "asks").await.end(), (died(Death::NoInput), 3), "only the program was told of an end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_ends_with_its_controller() {
    let mut cluster = Cluster::start(&[]).await;
    let processes = cluster.grandchild().await;
    let elsewhere = cluster.folder.path().join("elsewhere");
    cluster.socket = ZeroMq::Ipc.listen(&elsewhere, None).await.unwrap().0;
    let (status, said) = cluster.end();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("`test` closed the connection or is gone"), "{said}");
    processes.into_iter().for_each(wait_for_end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_comes_back_with_all_that_it_has_said() {
    let mut cluster = Cluster::start_waiting(&[], 30).await;
    let worker = cluster.run(1, "tells_its_process").await.number();
    let heard = cluster.heard;
    // Nobody hears what comes of this one.
    let lost = cluster.run_of(2, "tells_its_process");
    cluster.send(lost).await;
    while cluster.heard == heard {
        cluster.next().await;
    }
    let path = cluster.folder.path().join("engines");
    cluster.socket = ZeroMq::Ipc.listen(&cluster.folder.path().join("elsewhere"), None).await.unwrap().0;
    let begin = Instant::now();
    while path.exists() && begin.elapsed() < LIMIT {
        tokio::task::yield_now().await;
    }
    cluster.socket = ZeroMq::Ipc.listen(&path, None).await.unwrap().0;
    match cluster.next().await {
        FromEngine::Register { id: Some(EngineId(3)), standing, .. } => {
            assert_eq!((standing.returns, standing.received), (true, cluster.said));
        }
        other => panic!("the first message is {other:?}"),
    }
    cluster.send(ToEngine::Registered { id: EngineId(3), heartbeat_ms: 100, received: heard }).await;
    assert_eq!(cluster.finish(2).await.number(), worker);
    assert_eq!(cluster.run(3, "tells_its_process").await.number(), worker, "its variables are there");
    cluster.send(ToEngine::Shutdown).await;
    assert_eq!(cluster.say().await, FromEngine::Goodbye);
    assert!(cluster.end().0.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_ends_when_no_controller_is_started_again_in_time() {
    let mut cluster = Cluster::start_waiting(&[], 1).await;
    let processes = cluster.grandchild().await;
    cluster.socket = ZeroMq::Ipc.listen(&cluster.folder.path().join("elsewhere"), None).await.unwrap().0;
    let (status, said) = cluster.end();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("none was started in its place within 1 s"), "{said}");
    processes.into_iter().for_each(wait_for_end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_ends_when_its_controller_is_silent() {
    let mut cluster = Cluster::start(&[]).await;
    let processes = cluster.grandchild().await;
    let begin = Instant::now();
    // Reads, so that nothing but the silence can be noticed.
    while cluster.next().await != FromEngine::Goodbye {}
    assert!(begin.elapsed() > Duration::from_secs(9), "it waited for {:?} only", begin.elapsed());
    let (status, said) = cluster.end();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("was silent for 10 s"), "{said}");
    processes.into_iter().for_each(wait_for_end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_killed_leaves_nothing() {
    let mut cluster = Cluster::start(&[]).await;
    let processes = cluster.grandchild().await;
    cluster.engine.kill().unwrap();
    processes.into_iter().for_each(wait_for_end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_terminated_says_goodbye() {
    let mut cluster = Cluster::start(&[]).await;
    let processes = cluster.grandchild().await;
    signal(cluster.engine.id(), nix::sys::signal::Signal::SIGTERM);
    assert_eq!(cluster.say().await, FromEngine::Goodbye);
    assert!(cluster.end().0.success());
    processes.into_iter().for_each(wait_for_end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_ends_with_the_process_that_started_it() {
    let mut parent =
        Command::new("/bin/sleep").arg("1000").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut cluster = Cluster::start(&["--parent", &parent.id().to_string()]).await;
    let processes = cluster.grandchild().await;
    parent.kill().unwrap();
    assert_eq!(cluster.say().await, FromEngine::Goodbye);
    let (status, said) = cluster.end();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains(&format!("process {}, which started this engine, is gone", parent.id())), "{said}");
    processes.into_iter().for_each(wait_for_end);
    parent.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_engine_says_why() {
    let mut cluster = Cluster::start_unregistered(&[], 0).await;
    cluster.send(ToEngine::Refused("there are enough".into())).await;
    let (status, said) = cluster.end();
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("there are enough"), "{said}");
}

#[test]
fn a_controller_that_is_not_there_is_an_error() {
    let output = Command::new(program()).args(["--connect", "/nowhere/cluster.json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/cluster.json"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_were_sent_are_deleted_with_the_engine() {
    let mut cluster = Cluster::start(&["--no-shared-files"]).await;
    let message = cluster.run_of(1, "tells_its_process");
    cluster.send(message).await;
    for file in [&objects().std, &objects().cells] {
        assert!(matches!(cluster.say().await, FromEngine::NeedBlob(_)));
        let bytes = std::fs::read(file).unwrap();
        cluster.send(ToEngine::Blob { id: BlobId::of(&bytes), bytes: Some(bytes.into()) }).await;
    }
    let worker = cluster.finish(1).await.number();
    let maps = std::fs::read_to_string(format!("/proc/{worker}/maps")).unwrap();
    let name = blob(&objects().cells).file_name();
    let file = maps.lines().find(|line| line.ends_with(&name)).and_then(|line| line.split_whitespace().last());
    let file = std::path::PathBuf::from(file.expect("the worker has mapped its object"));
    assert!(file.exists() && !file.starts_with(cluster.folder.path()));
    cluster.send(ToEngine::Shutdown).await;
    assert_eq!(cluster.say().await, FromEngine::Goodbye);
    cluster.end();
    assert!(!file.exists(), "{} is still there", file.display());
    assert_eq!(state(worker), None);
}

#[tokio::test]
async fn what_an_engine_uses_is_told() {
    let mut cluster = Cluster::start(&[]).await;
    cluster.send(ToEngine::OpenSession(cluster.session)).await;
    let used = async {
        loop {
            match cluster.next().await {
                FromEngine::Heartbeat => cluster.send(ToEngine::Heartbeat).await,
                FromEngine::Metrics(used) if used.workers.first().is_some_and(|it| it.worker.cpu.is_some()) => {
                    return used;
                }
                _ => {}
            }
        }
    };
    let used = tokio::time::timeout(LIMIT, used).await.expect("no figures with a worker came in time");
    assert_eq!(used.workers[0].session, cluster.session);
    assert!(used.workers[0].worker.memory.is_some_and(|bytes| bytes > 1 << 20), "{used:?}");
    assert!(used.bytes_in > 0 && used.bytes_out > 0, "{used:?}");
}
