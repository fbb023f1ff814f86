//! Real engines that the controller starts: they run, die, come back, and never outlive it.

use bytes::Bytes;
use chorus_client::{Blob, Client, Run, Session, SessionEvent, SessionEvents};
use chorus_controller::{Controller, ControllerConfig, ControllerError, Launch, Pool, Transport};
use chorus_protocol::{
    Aftermath, BlobId, ClusterStatus, Death, EngineId, NoSnapshot, Outcome, RunEvent, RunSpec, SnapshotPolicy, Target,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

/// Cells in the form that the compiler gives them: the entry takes and returns the store of variables.
const CELLS: &str = r#"
#[unsafe(no_mangle)]
pub extern "C" fn greets(store: *mut u8) -> *mut u8 { println!("hello"); store }
#[unsafe(no_mangle)]
pub extern "C" fn floods(store: *mut u8) -> *mut u8 {
    for _ in 0..8 << 10 { println!("{}", "x".repeat(1023)) }
    store
}
#[unsafe(no_mangle)]
pub extern "C" fn aborts(_: *mut u8) -> *mut u8 { std::process::abort() }
#[unsafe(no_mangle)]
pub extern "C" fn sleeps(_: *mut u8) -> *mut u8 { loop { std::thread::sleep(std::time::Duration::from_secs(1)) } }
"#;

fn engine_program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/launched_engine");
    assert!(program.exists(), "{} isn't there: run all tests of the package", program.display());
    program
}

fn config(runtime: &Path, engines: u32, program: PathBuf) -> ControllerConfig {
    ControllerConfig {
        name: "test".into(),
        runtime: runtime.to_owned(),
        transport: Transport::Ipc,
        engines,
        launcher: Some(Launch::new(program, vec![])),
        pool: Pool::default(),
        adapt: None,
        heartbeat: Duration::from_secs(1),
        record: None,
        stay: Duration::ZERO,
    }
}

/// The object of the cells and the standard library that it needs.
fn objects() -> &'static (PathBuf, PathBuf) {
    static OBJECTS: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    OBJECTS.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("engines-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("cells.rs"), CELLS).unwrap();
        let mut rustc = Command::new("rustc");
        rustc.current_dir(&folder).args(["--edition", "2024", "--crate-type", "cdylib", "-C", "prefer-dynamic"]);
        let output = rustc.arg("cells.rs").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let libdir = Command::new("rustc").args(["--print", "target-libdir"]).output().unwrap().stdout;
        let libdir = std::fs::read_dir(String::from_utf8(libdir).unwrap().trim()).unwrap();
        let is_std = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("libstd-") && name.ends_with(".so")
        };
        (folder.join("libcells.so"), libdir.map(|entry| entry.unwrap().path()).find(is_std).unwrap())
    })
}

struct Cluster {
    controller: Controller,
    client: Client,
    session: Session,
    events: SessionEvents,
    object: Blob,
    std: BlobId,
    runtime: tempfile::TempDir,
}

async fn cluster(engines: u32) -> Cluster {
    let runtime = tempfile::tempdir().unwrap();
    let controller = Controller::start(config(runtime.path(), engines, engine_program())).await.unwrap();
    let (client, _) = Client::connect(controller.connection(), "a test").await.unwrap();
    let (session, events) = client.open_session();
    let (object, std) = objects();
    let object = session.put_blob(Bytes::from(std::fs::read(object).unwrap()));
    let std = session.put_library(Bytes::from(std::fs::read(std).unwrap()));
    let cluster = Cluster { controller, client, session, events, object, std, runtime };
    cluster.until("all engines up", |status| status.engines.len() == engines as usize).await;
    cluster
}

impl Cluster {
    async fn until(&self, what: &str, is: impl Fn(&ClusterStatus) -> bool) -> ClusterStatus {
        let begin = Instant::now();
        loop {
            let status = self.client.status().await.unwrap();
            if is(&status) {
                return status;
            }
            assert!(begin.elapsed() < LIMIT, "waited for {what}; the status is {status:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn run(&self, entry: &str, targets: &[(u32, Option<u32>)]) -> Run {
        let targets = targets.iter().map(|&(id, generation)| Target { engine: EngineId(id), generation });
        let spec = RunSpec {
            preload: vec![self.std],
            object: self.object.id(),
            entry: entry.into(),
            argument: Bytes::new(),
            together: None,
            map: None,
            label: entry.into(),
            snapshots: SnapshotPolicy::default(),
        };
        self.session.run(spec, targets.collect())
    }

    async fn pid(&self, engine: u32) -> Pid {
        let status = self.client.status().await.unwrap();
        let engine = status.engines.iter().find(|it| it.id == EngineId(engine)).unwrap();
        Pid::from_raw(engine.info.pid.cast_signed())
    }
}

/// What was printed, and how it ended where.
async fn result(run: &mut Run) -> (String, Vec<(u32, Outcome, u32)>) {
    let (mut text, mut ends) = (Vec::new(), Vec::new());
    while let Some((engine, event)) = timeout(LIMIT, run.next()).await.expect("waited for a run") {
        match event {
            RunEvent::Output { bytes, .. } => text.extend(bytes),
            RunEvent::Done { outcome, generation, .. } => ends.push((engine.0, outcome, generation)),
            _ => {}
        }
    }
    ends.sort_by_key(|end| end.0);
    (String::from_utf8(text).unwrap(), ends)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cells_run_and_workers_die_alone() {
    let cluster = cluster(2).await;
    let (text, ends) = result(&mut cluster.run("greets", &[(0, Some(0)), (1, Some(0))])).await;
    assert_eq!(text, "hello\nhello\n");
    assert_eq!(ends, [(0, Outcome::Ok, 0), (1, Outcome::Ok, 0)]);

    let (text, ends) = result(&mut cluster.run("floods", &[(0, None), (1, None)])).await;
    assert_eq!(text.len(), 2 * (8 << 20), "more than windows and queues hold");
    assert_eq!(ends.len(), 2);

    let (_, ends) = result(&mut cluster.run("aborts", &[(1, Some(0))])).await;
    let nothing_to_keep = Aftermath::Lost(NoSnapshot::Empty);
    assert_eq!(ends, [(1, Outcome::Died(Death::Signal(6), nothing_to_keep), 1)]);
    let (_, ends) = result(&mut cluster.run("greets", &[(0, Some(0)), (1, Some(0))])).await;
    assert_eq!(ends, [(0, Outcome::Ok, 0), (1, Outcome::Stale, 1)]);
    cluster.controller.stop().await;
    assert_eq!(std::fs::read_dir(cluster.runtime.path().join("clusters")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_engine_is_told_and_comes_back() {
    let mut cluster = cluster(2).await;
    let mut running = cluster.run("sleeps", &[(0, None), (1, None)]);
    for _ in 0..2 {
        let event = timeout(LIMIT, running.next()).await.expect("waited for both to start");
        assert!(matches!(event, Some((_, RunEvent::Started(_)))), "{event:?}");
    }
    while cluster.events.try_recv().is_some() {}
    let before = cluster.pid(1).await;
    let killed = Instant::now();
    kill(before, Signal::SIGKILL).unwrap();
    let event = timeout(LIMIT, cluster.events.recv()).await.expect("waited to hear of the death");
    assert!(killed.elapsed() < Duration::from_secs(1), "it took {:?}", killed.elapsed());
    assert_eq!(
        event,
        Some(SessionEvent::EngineDown {
            engine: EngineId(1),
            reason: "engine 1 was killed by signal 9 (SIGKILL: killed, perhaps for memory)".into(),
            restarting: true,
            quiet: false,
        })
    );
    let end = timeout(LIMIT, running.next()).await.expect("waited for the run to end");
    let lost = Outcome::died(Death::EngineLost);
    assert_eq!(end, Some((EngineId(1), RunEvent::Done { outcome: lost, generation: 1, took: Default::default() })));

    let status = cluster.until("the engine to come back", |status| status.engines.len() == 2).await;
    assert_eq!(status.engines[1].restarts, 1);
    assert_ne!(cluster.pid(1).await, before);
    let (_, ends) = result(&mut cluster.run("greets", &[(1, Some(0))])).await;
    assert_eq!(ends, [(1, Outcome::Stale, 1)]);
    let (text, ends) = result(&mut cluster.run("greets", &[(1, Some(1))])).await;
    assert_eq!((text.as_str(), &ends[..]), ("hello\n", &[(1, Outcome::Ok, 1)][..]));

    cluster.session.interrupt(vec![EngineId(0)], Signal::SIGKILL as i32);
    let (_, ends) = result(&mut running).await;
    assert!(matches!(ends[..], [(0, Outcome::Died(..), 1)]), "{ends:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_engine_is_noticed_by_its_silence() {
    let runtime = tempfile::tempdir().unwrap();
    let heartbeat = Duration::from_millis(200);
    let config = ControllerConfig { heartbeat, ..config(runtime.path(), 1, engine_program()) };
    let controller = Controller::start(config).await.unwrap();
    let (client, _) = Client::connect(controller.connection(), "a test").await.unwrap();
    let (_session, mut events) = client.open_session();
    let info = loop {
        match timeout(LIMIT, events.recv()).await.expect("waited for the engine") {
            // Empty when the session was opened before the engine joined.
            Some(SessionEvent::Opened { mut engines }) => {
                if let Some((_, info)) = engines.pop_first() {
                    break info;
                }
            }
            Some(SessionEvent::EngineUp { info, .. }) => break info,
            other => panic!("{other:?}"),
        }
    };
    kill(Pid::from_raw(info.pid.cast_signed()), Signal::SIGSTOP).unwrap();
    loop {
        let event = timeout(LIMIT, events.recv()).await.expect("waited for the silence to be noticed");
        match event {
            Some(SessionEvent::EngineDown { reason, restarting: true, .. }) => {
                assert!(reason.contains("no sign of life"), "{reason}");
            }
            Some(SessionEvent::EngineUp { info: fresh, .. }) => {
                assert_ne!(fresh.pid, info.pid);
                break;
            }
            Some(SessionEvent::WorkerLost { death: Death::EngineLost, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_do_not_outlive_a_controller_that_is_dropped() {
    let cluster = cluster(2).await;
    let pids = [cluster.pid(0).await, cluster.pid(1).await];
    let Cluster { controller, runtime, .. } = cluster;
    drop(controller);
    let deadline = Instant::now() + LIMIT;
    // The last that goes.
    while std::fs::read_dir(runtime.path().join("clusters")).unwrap().count() > 0 {
        assert!(Instant::now() < deadline, "waited for the cluster's folder to be removed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for pid in pids {
        assert_eq!(kill(pid, None), Err(nix::errno::Errno::ESRCH), "engine process {pid} lives");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_dies_at_once_is_given_up() {
    let runtime = tempfile::tempdir().unwrap();
    let config = |program: &str| config(runtime.path(), 1, program.into());
    let missing = Controller::start(config("/nowhere/engine")).await;
    assert!(matches!(missing, Err(ControllerError::NoProgram(_))));

    let controller = Controller::start(config("/bin/false")).await.unwrap();
    let (client, _) = Client::connect(controller.connection(), "a test").await.unwrap();
    let begin = Instant::now();
    while client.status().await.unwrap().starting > 0 {
        assert!(begin.elapsed() < LIMIT, "waited for the engine to be given up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.shutdown().await.unwrap();
    timeout(LIMIT, controller.stopped()).await.expect("waited for the controller to stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_in_use_is_refused_until_its_cluster_stops() {
    let runtime = tempfile::tempdir().unwrap();
    let config = || config(runtime.path(), 0, engine_program());
    let first = Controller::start(config()).await.unwrap();
    assert!(matches!(Controller::start(config()).await, Err(ControllerError::InUse(_))));
    first.stop().await;
    Controller::start(config()).await.unwrap();
}
