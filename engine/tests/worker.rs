//! A supervisor and real worker processes.

mod common;

use chorus_engine::{Job, StartError, Worker, WorkerConfig, WorkerEvent};
use chorus_protocol::{
    Aftermath, Death, DisplayKind, MimeContent, NoSnapshot, OUTPUT_CHUNK, Outcome, Panic, RunEvent, RunId, Stream,
};
use common::bench::{Bench, config, job, kill};
use common::{LIMIT, state, wait_for_end};

/// A death without a snapshot.
fn died(death: Death) -> Outcome {
    Outcome::Died(death, Aftermath::Lost(NoSnapshot::Off))
}

fn started() -> RunEvent {
    RunEvent::Started(Err(NoSnapshot::Off))
}

fn value(contents: Vec<MimeContent>) -> RunEvent {
    RunEvent::Display { kind: DisplayKind::Value, contents }
}

fn plain(content: &str) -> MimeContent {
    MimeContent { mime: "text/plain".into(), content: content.into() }
}

#[tokio::test]
async fn a_cell_prints() {
    let mut bench = Bench::start().await;
    assert_eq!(bench.run("prints").await.out(), "hello\n");
    assert_eq!(bench.run("prints_partly").await.out(), "no newline");
    assert_eq!(bench.run("prints_from_c").await.out(), "from C");
    assert_eq!(bench.run("prints_errors").await.text(Stream::Stderr), "oh\n");
    assert_eq!(bench.run("tells_its_place").await.out(), "2/5\n");
}

#[tokio::test]
async fn a_cell_displays() {
    let mut bench = Bench::start().await;
    let seen = bench.run("shows").await;
    assert_eq!(seen.out(), "x = ");
    assert!(seen.events.contains(&value(vec![plain("[1, 2]")])), "{seen:?}");
    assert_eq!(bench.run("shows_unit").await.events.len(), 2);
    let html = MimeContent { mime: "text/html".into(), content: "<b>1</b>".into() };
    assert_eq!(bench.run("shows_two_types").await.events[1], value(vec![plain("1"), html]));
}

#[tokio::test]
async fn a_value_is_displayed_while_its_cell_goes_on() {
    let mut bench = Bench::start().await;
    let run = bench.submit("shows_and_waits");
    for expected in [started(), value(vec![plain("7")])] {
        assert_eq!(bench.next().await, WorkerEvent::Run { run, event: expected });
    }
    bench.worker.input(String::new());
    assert_eq!(bench.finish(run).await.end(), (Outcome::Ok, 0));
}

#[tokio::test]
async fn a_panic_is_told_with_its_place() {
    let mut bench = Bench::start().await;
    let seen = bench.run("panics").await;
    assert_eq!(seen.end(), (Outcome::Panicked, 1));
    assert_eq!(seen.out(), "partly ");
    let source = include_str!("cells/cells.rs");
    let line = 1 + source.lines().position(|line| line.contains("boom {}")).unwrap() as u32;
    let panic = seen.events.iter().find_map(|event| match event {
        RunEvent::Panic(panic) => Some(panic.clone()),
        _ => None,
    });
    let Some(Panic { message, file, line: at, column, thread, frames }) = panic else { panic!("{seen:?}") };
    assert_eq!((message.as_str(), at, thread), ("boom 1", line, None));
    assert!(!frames.is_empty(), "the cell's own functions were called");
    assert!(file.ends_with("cells.rs") && column > 1, "{file}:{at}:{column}");
    assert_eq!(seen.text(Stream::Stderr), "", "a panic is told once");
}

#[tokio::test]
async fn a_panic_of_another_thread_is_told_and_changes_nothing() {
    let mut bench = Bench::start().await;
    let seen = bench.run("panics_in_a_thread").await;
    assert_eq!(seen.end(), (Outcome::Ok, 0));
    let RunEvent::Panic(panic) = &seen.events[1] else { panic!("{seen:?}") };
    assert_eq!((panic.message.as_str(), panic.thread.as_deref()), ("thread boom", Some("helper")));
}

#[tokio::test]
async fn outcomes_count_generations() {
    let mut bench = Bench::start().await;
    assert_eq!(bench.run("returns_an_error").await.end(), (Outcome::ReturnedError, 1));
    let names = vec!["a".into(), "b".into()];
    assert_eq!(bench.run("finds_types_changed").await.end(), (Outcome::TypesChanged(names), 2));
    assert_eq!(bench.run("prints").await.end(), (Outcome::Ok, 2));
    assert_eq!(bench.worker.generation(), 2);
}

#[tokio::test]
async fn variables_stay_until_the_worker_is_replaced() {
    let mut bench = Bench::start().await;
    assert_eq!(bench.run("counts").await.number(), 1);
    assert_eq!(bench.run("counts").await.number(), 2);
    let told = bench.worker.variables_now().await;
    assert_eq!(told.told.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["count"]);
    let pid = bench.worker.pid();
    bench.worker.restart();
    assert_eq!(
        bench.next().await,
        WorkerEvent::Lost { death: Death::Stopped, aftermath: Aftermath::Lost(NoSnapshot::Ended), generation: 1 }
    );
    let run = bench.submit_for("counts", Some(0));
    let seen = bench.finish(run).await;
    seen.check(false);
    assert_eq!(seen.end(), (Outcome::Stale, 1));
    assert!(bench.worker.variables_now().await.told.is_empty(), "the new one has none");
    let run = bench.submit_for("counts", Some(1));
    assert_eq!(bench.finish(run).await.number(), 1);
    assert_ne!(bench.worker.pid(), pid);
    wait_for_end(pid);
}

#[tokio::test]
async fn a_run_right_behind_a_restart_is_the_new_workers() {
    let mut bench = Bench::start().await;
    assert_eq!(bench.run("counts").await.number(), 1);
    for _ in 0..20 {
        bench.worker.restart();
        let run = bench.submit("counts");
        assert!(matches!(bench.next().await, WorkerEvent::Lost { death: Death::Stopped, .. }));
        assert_eq!(bench.finish(run).await.number(), 1);
    }
}

#[tokio::test]
async fn each_death_is_told_after_the_last_output() {
    let mut bench = Bench::start().await;
    for (generation, (entry, death, printed)) in [
        ("exits", Death::Exit(3), "bye"),
        ("aborts", Death::Signal(libc::SIGABRT), ""),
        ("segfaults", Death::Signal(libc::SIGSEGV), "before\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let seen = bench.run(entry).await;
        assert_eq!(seen.end(), (died(death), generation as u32 + 1));
        assert_eq!(seen.out(), printed);
    }
    assert_eq!(bench.run("prints").await.end(), (Outcome::Ok, 3));
}

#[tokio::test]
async fn a_kill_from_outside_is_told() {
    let mut bench = Bench::start().await;
    let run = bench.submit("loops");
    bench.printed(run).await;
    kill(bench.worker.pid());
    assert_eq!(bench.finish(run).await.end(), (died(Death::Signal(libc::SIGKILL)), 1));
    assert_eq!(bench.run("prints").await.out(), "hello\n");
    kill(bench.worker.pid());
    let death = Death::Signal(libc::SIGKILL);
    assert_eq!(
        bench.next().await,
        WorkerEvent::Lost { death, aftermath: Aftermath::Lost(NoSnapshot::Off), generation: 2 }
    );
    assert_eq!(bench.run("prints").await.end(), (Outcome::Ok, 2));
}

#[tokio::test]
async fn jobs_run_in_order_and_go_on_after_a_death() {
    let mut bench = Bench::start().await;
    let runs = ["counts", "exits", "counts"].map(|entry| bench.submit(entry));
    let stale = bench.submit_for("counts", Some(0));
    let fresh = bench.submit_for("counts", Some(1));
    let mut ends = Vec::new();
    for run in runs.into_iter().chain([stale, fresh]) {
        let seen = bench.finish(run).await;
        ends.push((seen.end(), seen.out()));
    }
    let ok = |generation, printed: &str| ((Outcome::Ok, generation), printed.to_string());
    let died = ((died(Death::Exit(3)), 1), "bye".to_string());
    let stale = ((Outcome::Stale, 1), String::new());
    assert_eq!(ends, [ok(0, "1\n"), died, ok(1, "1\n"), stale, ok(1, "2\n")]);
}

#[tokio::test]
async fn an_interrupt_ends_what_runs_and_cancels_what_waits() {
    let mut bench = Bench::start().await;
    // Nothing runs: nothing happens.
    bench.worker.interrupt(libc::SIGKILL);
    let [first, second] = ["loops", "prints"].map(|entry| bench.submit(entry));
    bench.printed(first).await;
    bench.worker.interrupt(libc::SIGKILL);
    assert_eq!(bench.finish(first).await.end(), (died(Death::Stopped), 1));
    let second = bench.seen.remove(&second).unwrap();
    second.check(false);
    assert_eq!(second.end(), (Outcome::Cancelled, 0));
    assert_eq!(bench.run("prints").await.end(), (Outcome::Ok, 1));
}

#[tokio::test]
async fn another_signal_is_only_sent() {
    let mut bench = Bench::start().await;
    let run = bench.submit("loops");
    bench.printed(run).await;
    bench.worker.interrupt(libc::SIGINT);
    assert_eq!(bench.finish(run).await.end(), (died(Death::Signal(libc::SIGINT)), 1));
}

#[tokio::test]
async fn nothing_printed_is_lost() {
    let mut bench = Bench::start().await;
    let run = bench.submit("prints_64_mb");
    let mut length = 0;
    loop {
        match bench.next().await {
            WorkerEvent::Run { event: RunEvent::Output { bytes, .. }, .. } => {
                assert!(bytes.len() <= OUTPUT_CHUNK);
                length += bytes.len();
            }
            WorkerEvent::Run { event: RunEvent::Done { outcome, .. }, .. } => {
                assert_eq!((outcome, length), (Outcome::Ok, (64 << 20) + 1));
                break;
            }
            WorkerEvent::Run { event: RunEvent::Started(_), .. } => {}
            other => panic!("{other:?} came from run {run}"),
        }
    }
}

#[tokio::test]
async fn a_slow_reader_blocks_the_cell_and_an_interrupt_still_ends_it() {
    let mut bench = Bench::start().await;
    let run = bench.submit("prints_without_end");
    bench.printed(run).await;
    let pid = bench.worker.pid();
    // Nobody reads events: the cell ends up waiting for room in its pipe.
    let written = blocked(pid).await;
    assert!(written < 4 << 20, "the cell could print {written} bytes");
    bench.worker.interrupt(libc::SIGKILL);
    while state(pid).is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.finish(run).await.end(), (died(Death::Stopped), 1));
    assert_eq!(bench.run("prints").await.out(), "hello\n");
}

/// Waits until a process is blocked and has stopped writing; returns the bytes that it has written.
async fn blocked(pid: u32) -> u64 {
    let (begin, mut before, mut same) = (std::time::Instant::now(), 0, 0);
    while same < 20 {
        assert!(begin.elapsed() < LIMIT, "process {pid} never blocked");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        let written = io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap();
        let quiet = written == before && state(pid) == Some('S');
        same = if quiet { same + 1 } else { 0 };
        before = written;
    }
    before
}

#[tokio::test]
async fn a_cell_reads_lines() {
    let mut bench = Bench::start().await;
    let run = bench.submit("asks");
    assert_eq!(bench.next().await, WorkerEvent::Run { run, event: started() });
    assert_eq!(bench.next().await, WorkerEvent::Input { run, prompt: "Name?".into(), password: false });
    bench.worker.input("Ada".into());
    assert_eq!(bench.finish(run).await.out(), "4 Ada\n");
}

#[tokio::test]
async fn late_output_carries_its_run() {
    let mut bench = Bench::start().await;
    let run = bench.submit("prints_late");
    assert_eq!(bench.finish(run).await.end(), (Outcome::Ok, 0));
    bench.worker.input(String::new());
    let event = RunEvent::Output { stream: Stream::Stdout, bytes: "late\n".into() };
    assert_eq!(bench.next().await, WorkerEvent::Run { run, event });
}

#[tokio::test]
async fn what_cannot_be_loaded_is_told_and_changes_nothing() {
    let mut bench = Bench::start().await;
    let jobs = [
        (Job { object: "/nowhere/x.so".into(), ..job(1, "prints") }, "/nowhere/x.so"),
        (job(2, "no_such_entry"), "no_such_entry"),
        (Job { preload: vec!["/nowhere/libstd.so".into()], ..job(3, "prints") }, "/nowhere/libstd.so"),
        (Job { entry: chorus_protocol::Entry::Cell("x".repeat(4 << 20)), ..job(4, "") }, "can't be sent"),
    ];
    for (job, named) in jobs {
        let run = job.run;
        bench.worker.submit(job);
        let seen = bench.finish(run).await;
        seen.check(false);
        let (Outcome::LoadFailed(reason), 0) = seen.end() else { panic!("{seen:?}") };
        assert!(reason.contains(named), "{reason}");
    }
    bench.runs = 4;
    assert_eq!(bench.run("prints").await.end(), (Outcome::Ok, 0));
}

#[tokio::test]
async fn without_the_standard_library_nothing_loads() {
    // The other tests preload it: this shows that they would fail if it came from elsewhere.
    let mut bench = Bench::start().await;
    bench.worker.submit(Job { preload: vec![], ..job(1, "prints") });
    let (Outcome::LoadFailed(reason), _) = bench.finish(RunId(1)).await.end() else { panic!("it was loaded") };
    assert!(reason.contains("libstd-"), "{reason}");
}

#[tokio::test]
async fn a_cell_that_breaks_the_socket_loses_its_worker_only() {
    let mut bench = Bench::start().await;
    for (generation, entry) in [(1, "closes_everything"), (2, "writes_to_high_descriptors")] {
        let seen = bench.run(entry).await;
        assert_eq!(seen.end(), (died(Death::Signal(libc::SIGKILL)), generation));
    }
    assert_eq!(bench.run("prints").await.out(), "hello\n");
}

#[tokio::test]
async fn nothing_is_left_after_the_end() {
    let mut bench = Bench::start().await;
    let grandchild = bench.run("starts_a_process").await.number();
    assert!(state(grandchild).is_some(), "it goes on when its cell has ended");
    let pid = bench.worker.pid();
    bench.worker.close().await;
    assert_eq!(state(pid), None);
    wait_for_end(grandchild);
}

#[tokio::test]
async fn a_dropped_worker_leaves_nothing() {
    let mut bench = Bench::start().await;
    let grandchild = bench.run("starts_a_process").await.number();
    let pid = bench.worker.pid();
    drop(bench);
    while state(pid).is_some() {
        tokio::task::yield_now().await;
    }
    wait_for_end(grandchild);
}

#[test]
fn the_end_of_the_runtime_is_the_end_of_the_worker() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(Bench::start());
    let pid = bench.worker.pid();
    drop(runtime);
    wait_for_end(pid);
}

#[tokio::test]
async fn a_death_takes_what_the_cell_started_with_it() {
    let mut bench = Bench::start().await;
    let grandchild = bench.run("starts_a_process").await.number();
    bench.run("aborts").await;
    wait_for_end(grandchild);
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_an_error() {
    let none = WorkerConfig { program: "/nowhere/worker".into(), ..config() };
    let error = Worker::start(none).await.unwrap_err();
    assert!(matches!(error, StartError::Spawn { .. }), "{error}");
    let other =
        WorkerConfig { program: "/bin/sh".into(), args: vec!["-c".into(), "echo oh >&2; exit 9".into()], ..config() };
    let error = Worker::start(other).await.unwrap_err();
    assert_eq!(error.to_string(), "the worker program /bin/sh exited with status 9 before it was ready: oh");
}

#[tokio::test]
async fn the_worker_runs_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (worker, _events) =
        Worker::start(WorkerConfig { folder: Some(folder.path().to_owned()), ..config() }).await.unwrap();
    let cwd = std::fs::read_link(format!("/proc/{}/cwd", worker.pid())).unwrap();
    assert_eq!(cwd, folder.path().canonicalize().unwrap());
}
