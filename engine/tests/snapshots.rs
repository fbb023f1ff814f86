//! Variables outlive the worker: real workers that die, and the copies that carry on.

mod common;

use chorus_engine::{Job, WorkerEvent};
use chorus_protocol::{Aftermath, Death, NoSnapshot, Outcome, RunEvent, RunId, SNAPSHOT_LIMIT, SnapshotPolicy, Taken};
use common::bench::{Bench, job, kill, signal};
use common::{LIMIT, Seen, state, wait_for, wait_for_end};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

const ON: SnapshotPolicy = SnapshotPolicy::UpTo(SNAPSHOT_LIMIT);

impl Bench {
    fn submit_with(&mut self, entry: &str, snapshots: SnapshotPolicy) -> RunId {
        self.runs += 1;
        self.worker.submit(Job { snapshots, ..job(self.runs, entry) });
        RunId(self.runs)
    }

    async fn run_with(&mut self, entry: &str, snapshots: SnapshotPolicy) -> Seen {
        let run = self.submit_with(entry, snapshots);
        let seen = self.finish(run).await;
        seen.check(true);
        seen
    }

    /// A run with snapshots on.
    async fn on(&mut self, entry: &str) -> Seen {
        self.run_with(entry, ON).await
    }
}

/// What the run was told of its snapshot.
fn snapshot(seen: &Seen) -> Result<Taken, NoSnapshot> {
    match &seen.events[0] {
        RunEvent::Started(snapshot) => snapshot.clone(),
        other => panic!("a run's first event is {other:?}"),
    }
}

fn restored(death: Death) -> Outcome {
    Outcome::Died(death, Aftermath::Restored)
}

fn lost(death: Death, reason: NoSnapshot) -> Outcome {
    Outcome::Died(death, Aftermath::Lost(reason))
}

/// The worker's keeper and all that descends from it.
fn family(worker: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
    };
    let keeper = parent(worker).unwrap();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut family = vec![keeper];
    family.extend(all.filter(|&pid| parent(pid) == Some(keeper) && state(pid).is_some()));
    family
}

#[tokio::test]
async fn every_death_leaves_the_variables_as_they_were() {
    let mut bench = Bench::start().await;
    assert_eq!(bench.on("counts").await.number(), 1);
    let mut pids = vec![bench.worker.pid()];
    for (generation, (entry, death)) in [
        ("counts_and_dies", Death::Signal(libc::SIGABRT)),
        ("exits", Death::Exit(3)),
        ("aborts", Death::Signal(libc::SIGABRT)),
        ("segfaults", Death::Signal(libc::SIGSEGV)),
        ("overflows_its_stack", Death::Signal(libc::SIGABRT)),
    ]
    .into_iter()
    .enumerate()
    {
        let seen = bench.on(entry).await;
        assert!(snapshot(&seen).is_ok(), "{entry}: {seen:?}");
        assert_eq!(seen.end(), (restored(death), generation as u32 + 1), "{entry}");
        pids.push(bench.worker.pid());
    }
    assert_eq!(bench.on("counts").await.number(), 2, "once before and once now");
    pids.iter().zip(&pids[1..]).for_each(|(before, after)| assert_ne!(before, after));
    let keeper = family(bench.worker.pid());
    bench.worker.close().await;
    keeper.into_iter().for_each(wait_for_end);
}

#[tokio::test]
async fn output_of_the_dead_is_neither_lost_nor_doubled() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    assert_eq!(bench.on("prints_partly").await.out(), "no newline");
    assert_eq!(bench.on("exits").await.out(), "bye");
    assert_eq!(bench.on("prints_from_c").await.out(), "from C");
    assert_eq!(bench.on("segfaults").await.out(), "before\n");
    assert_eq!(bench.on("prints").await.out(), "hello\n");
}

#[tokio::test]
async fn an_interrupt_is_quick_and_costs_nothing() {
    let mut bench = Bench::start().await;
    assert_eq!(bench.on("counts").await.number(), 1);
    for entry in ["loops", "sleeps", "sleeps_in_threads", "ignores_signals", "prints_without_end"] {
        let run = bench.submit_with(entry, ON);
        bench.printed(run).await;
        let begin = Instant::now();
        bench.worker.interrupt(libc::SIGKILL);
        let (outcome, _) = bench.finish(run).await.end();
        assert_eq!(outcome, restored(Death::Stopped), "{entry}");
        assert!(begin.elapsed() < Duration::from_millis(500), "{entry} took {:?}", begin.elapsed());
    }
    let run = bench.submit_with("asks", ON);
    while !matches!(bench.next().await, WorkerEvent::Input { .. }) {}
    bench.worker.interrupt(libc::SIGKILL);
    assert_eq!(bench.finish(run).await.end().0, restored(Death::Stopped), "a blocking read");
    assert_eq!(bench.on("counts").await.number(), 2);
}

#[tokio::test]
async fn a_signal_that_kills_is_as_good() {
    // As for all that a script starts in its background: workers don't inherit it.
    // SAFETY: what is ignored runs no code of this process.
    let before = unsafe { nix::sys::signal::signal(Signal::SIGINT, nix::sys::signal::SigHandler::SigIgn) }.unwrap();
    let mut bench = Bench::start().await;
    // SAFETY: as it was.
    unsafe { nix::sys::signal::signal(Signal::SIGINT, before) }.unwrap();
    bench.on("counts").await;
    let run = bench.submit_with("loops", ON);
    bench.printed(run).await;
    bench.worker.interrupt(libc::SIGINT);
    assert_eq!(bench.finish(run).await.end(), (restored(Death::Signal(libc::SIGINT)), 1));
    assert_eq!(bench.on("counts").await.number(), 2);
}

#[tokio::test]
async fn what_was_meant_for_after_the_cell_is_stale_and_what_was_meant_for_before_it_runs() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    let dying = bench.submit_with("counts_and_dies", ON);
    let after = bench.submit_for("counts", Some(0));
    assert_eq!(bench.finish(dying).await.end(), (restored(Death::Signal(libc::SIGABRT)), 1));
    assert_eq!(bench.finish(after).await.end(), (Outcome::Stale, 1));
    let next = bench.submit_for("counts", Some(1));
    assert_eq!(bench.finish(next).await.number(), 2);
}

#[tokio::test]
async fn an_idle_worker_that_is_killed_is_restored_and_nothing_is_stale() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    let pid = bench.worker.pid();
    // The keeper, the worker and its copy. The supervisor shares this thread, and says when it is time.
    let copy = async {
        loop {
            match family(pid).into_iter().skip(1).find(|&member| member != pid) {
                Some(copy) => break copy,
                None => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    };
    let copy = tokio::time::timeout(LIMIT, copy).await.expect("waited in vain for the snapshot of an idle worker");
    // When the copy waits to be thawed, the worker has yet to say so; then it waits for its next job.
    for member in [copy, pid] {
        wait_for("the worker to be idle", || (state(member) == Some('S')).then_some(()));
    }
    kill(pid);
    let death = Death::Signal(libc::SIGKILL);
    assert_eq!(bench.next().await, WorkerEvent::Lost { death, aftermath: Aftermath::Restored, generation: 0 });
    let run = bench.submit_for("counts", Some(0));
    assert_eq!(bench.finish(run).await.number(), 2);
}

#[tokio::test]
async fn a_worker_with_threads_that_dies_right_after_a_run_is_restored() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    bench.on("makes_threads").await;
    let death = Death::Signal(libc::SIGKILL);
    for run in 2..30 {
        let seen = bench.on("counts").await;
        assert_eq!((seen.number(), seen.end()), (run, (Outcome::Ok, 0)));
        // Nothing is waited for: no snapshot was taken since the run was told to have ended.
        kill(bench.worker.pid());
        assert_eq!(bench.next().await, WorkerEvent::Lost { death, aftermath: Aftermath::Restored, generation: 0 });
    }
    assert_eq!(bench.on("uses_threads").await.out(), ALL_RIGHT);
    let worker = bench.worker.pid();
    wait_for("one copy of the worker", || (family(worker).len() == 3).then_some(()));
}

#[tokio::test]
async fn without_a_snapshot_the_reason_is_told() {
    let mut bench = Bench::start().await;
    let abort = Death::Signal(libc::SIGABRT);
    assert_eq!(bench.on("aborts").await.end().0, lost(abort, NoSnapshot::Empty));
    bench.on("counts").await;
    assert_eq!(bench.run_with("aborts", SnapshotPolicy::Off).await.end().0, lost(abort, NoSnapshot::Off));
    assert_eq!(bench.on("counts").await.number(), 1, "the variables are gone");
    let Outcome::Died(_, Aftermath::Lost(NoSnapshot::TooLarge { bytes, limit: 1000 })) =
        bench.run_with("aborts", SnapshotPolicy::UpTo(1000)).await.end().0
    else {
        panic!("it was copied")
    };
    assert!(bytes > 1000);
}

const ALL_RIGHT: &str = "11 threads: computes echo pool pool pool pool pool pool reactor sleeper timer right\n";

#[tokio::test]
async fn threads_go_on_in_copies_of_copies() {
    const GENERATIONS: u32 = 60;
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    bench.on("makes_threads").await;
    for generation in 1..=GENERATIONS {
        let (seen, death) = if generation % 2 == 0 {
            (bench.on("uses_threads_and_dies").await, Death::Signal(libc::SIGABRT))
        } else {
            let run = bench.submit_with("uses_threads_and_loops", ON);
            bench.printed(run).await;
            kill(bench.worker.pid());
            (bench.finish(run).await, Death::Signal(libc::SIGKILL))
        };
        assert!(snapshot(&seen).is_ok(), "generation {generation}: {seen:?}");
        assert!(seen.out().starts_with(ALL_RIGHT), "generation {generation}: {seen:?}");
        assert_eq!(seen.end(), (restored(death), generation));
    }
    assert_eq!(bench.on("uses_threads").await.out(), ALL_RIGHT);
    // One `send` and no more: what dead cells sent has gone with them.
    assert_eq!(bench.on("joins_a_thread").await.out(), "1 5\n", "the sum, and what its last words were");
    assert_eq!(bench.on("counts").await.number(), 2);
}

#[tokio::test]
async fn threads_are_not_harmed_by_snapshots_that_nobody_needs() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    bench.on("makes_threads").await;
    for _ in 0..50 {
        let seen = bench.on("uses_threads").await;
        assert!(snapshot(&seen).is_ok(), "{seen:?}");
        assert_eq!(seen.out(), ALL_RIGHT);
    }
    assert_eq!(bench.on("joins_a_thread").await.out(), "50 5\n");
}

#[tokio::test]
async fn counts_of_eventfds_are_as_before_and_own_sockets_are_silent() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    bench.on("makes_an_eventfd_and_a_pair").await;
    for generation in 1..=3 {
        let seen = bench.on("changes_its_eventfd_and_dies").await;
        assert_eq!(seen.end(), (restored(Death::Signal(libc::SIGABRT)), generation));
        assert_eq!(bench.on("looks_at_its_eventfd_and_its_pair").await.out(), "3, nothing, ended\n");
    }
}

#[tokio::test]
async fn threads_that_come_and_go_are_no_obstacle() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    bench.on("starts_and_ends_threads_all_the_time").await;
    for generation in 1..=20 {
        let seen = bench.on("aborts").await;
        assert!(snapshot(&seen).is_ok(), "{seen:?}");
        assert_eq!(seen.end(), (restored(Death::Signal(libc::SIGABRT)), generation));
    }
    assert_eq!(bench.on("counts").await.number(), 2);
}

#[tokio::test]
async fn a_thread_that_cannot_be_stopped_is_named_and_not_harmed() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    bench.on("makes_threads").await;
    bench.on("leaves_a_thread_that_blocks_signals").await;
    let why = NoSnapshot::Threads("`stubborn` blocks signals".into());
    for _ in 0..3 {
        let seen = bench.on("counts").await;
        assert_eq!(snapshot(&seen), Err(why.clone()));
    }
    bench.on("ends_the_thread_that_blocks_signals").await;
    assert_eq!(bench.on("uses_threads").await.out(), ALL_RIGHT);
    assert_eq!(bench.on("aborts").await.end().0, restored(Death::Signal(libc::SIGABRT)));
    assert_eq!(bench.on("counts").await.number(), 5);
    bench.on("leaves_a_thread_that_blocks_signals").await;
    assert_eq!(bench.on("aborts").await.end().0, lost(Death::Signal(libc::SIGABRT), why));
}

#[tokio::test]
async fn a_thread_in_a_long_system_call_is_waited_for_once() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    bench.on("makes_threads").await;
    bench.on("leaves_a_thread_in_a_system_call").await;
    let why = NoSnapshot::Threads("`absent` doesn't come back from a system call".into());
    assert_eq!(snapshot(&bench.on("counts").await), Err(why.clone()));
    let begin = Instant::now();
    for _ in 0..3 {
        assert_eq!(snapshot(&bench.on("counts").await), Err(why.clone()));
    }
    // Each wait takes 2 s.
    assert!(begin.elapsed() < Duration::from_secs(6), "it was waited for again: {:?}", begin.elapsed());
    bench.on("ends_the_system_call").await;
    assert_eq!(bench.on("uses_threads").await.out(), ALL_RIGHT);
    assert_eq!(bench.on("aborts").await.end().0, restored(Death::Signal(libc::SIGABRT)));
    assert_eq!(bench.on("uses_threads").await.out(), ALL_RIGHT);
}

#[tokio::test]
async fn a_cell_that_handles_the_signal_itself_is_told() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    bench.on("handles_the_last_signal_but_one").await;
    let why = NoSnapshot::Threads(format!("a cell handles signal {} itself", libc::SIGRTMAX() - 1));
    assert_eq!(snapshot(&bench.on("counts").await), Err(why));
}

#[tokio::test]
async fn a_thread_in_the_loader_lets_go_of_it_in_a_copy() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    bench.on("leaves_a_thread_in_the_loader").await;
    assert_eq!(bench.on("aborts").await.end().0, restored(Death::Signal(libc::SIGABRT)));
    bench.on("ends_the_loading").await;
    assert_eq!(bench.on("passes_the_loader").await.out(), "passed\n");
    assert_eq!(bench.on("counts").await.number(), 2);
}

#[tokio::test]
async fn threads_are_kept_without_variables() {
    let mut bench = Bench::start().await;
    bench.on("makes_threads").await;
    assert_eq!(bench.on("aborts").await.end().0, restored(Death::Signal(libc::SIGABRT)));
    assert_eq!(bench.on("uses_threads").await.out(), ALL_RIGHT);
}

#[tokio::test]
async fn a_restart_is_fresh() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    let run = bench.submit_with("loops", ON);
    bench.printed(run).await;
    bench.worker.restart();
    assert_eq!(bench.finish(run).await.end().0, lost(Death::Stopped, NoSnapshot::Ended));
    assert_eq!(bench.on("counts").await.number(), 1);
}

#[tokio::test]
async fn cells_do_not_confuse_it() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    bench.on("changes_folder").await;
    assert_eq!(bench.on("changes_folder_and_dies").await.end().0, restored(Death::Signal(libc::SIGABRT)));
    assert_eq!(bench.on("tells_its_folder").await.out(), "/\n");
    let forked = bench.on("forks").await;
    assert_eq!((forked.end().0, forked.out().as_str()), (Outcome::Ok, "child\nparent of 1\n"));
    for entry in ["closes_everything", "writes_to_high_descriptors"] {
        assert_eq!(bench.on(entry).await.end().0, restored(Death::Signal(libc::SIGKILL)), "{entry}");
    }
    let started = bench.on("starts_a_process").await.number();
    bench.on("aborts").await;
    wait_for_end(started);
    assert_eq!(bench.on("counts").await.number(), 2);
}

#[tokio::test]
async fn a_snapshot_lasts_until_the_end_of_the_run_is_heard() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    for generation in 1..=3 {
        let run = bench.submit_with("writes_to_high_descriptors", ON);
        assert!(matches!(bench.next().await, WorkerEvent::Run { event: RunEvent::Started(Ok(_)), .. }));
        // The supervisor shares this thread, and hears what the cell wrote to the worker's socket when the worker has
        // long been idle.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(bench.finish(run).await.end(), (restored(Death::Signal(libc::SIGKILL)), generation));
    }
    assert_eq!(bench.on("counts").await.number(), 2);
}

#[tokio::test]
async fn a_pipe_that_the_worker_closes_is_closed() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    bench.on("opens_a_pipe").await;
    let seen = bench.on("reads_its_pipe_to_the_end").await;
    assert!(snapshot(&seen).is_ok());
    assert_eq!((seen.end().0, seen.out().as_str()), (Outcome::Ok, "0\n"));
}

#[tokio::test]
async fn a_snapshot_that_is_killed_too_is_no_snapshot() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    let run = bench.submit_with("loops", ON);
    bench.printed(run).await;
    let pid = bench.worker.pid();
    let [keeper, one, other] = family(pid)[..] else { panic!("{:?}", family(pid)) };
    // It would tell of the first death before the second.
    signal(keeper, Signal::SIGSTOP);
    [one, other].into_iter().for_each(kill);
    // A signal takes its time.
    [one, other].into_iter().for_each(wait_for_end);
    signal(keeper, Signal::SIGCONT);
    let Outcome::Died(Death::Signal(libc::SIGKILL), Aftermath::Lost(NoSnapshot::Failed(why))) =
        bench.finish(run).await.end().0
    else {
        panic!("it was restored")
    };
    assert_eq!(why, "the snapshot was killed as well");
    assert_eq!(bench.on("counts").await.number(), 1);
}

#[tokio::test]
async fn a_killed_keeper_leaves_nothing() {
    let mut bench = Bench::start().await;
    bench.on("counts").await;
    let run = bench.submit_with("loops", ON);
    bench.printed(run).await;
    let family = family(bench.worker.pid());
    assert_eq!(family.len(), 3, "a keeper, a worker and its copy");
    kill(family[0]);
    let (outcome, _) = bench.finish(run).await.end();
    assert!(matches!(outcome, Outcome::Died(Death::Signal(libc::SIGKILL), Aftermath::Lost(_))), "{outcome:?}");
    family.into_iter().for_each(wait_for_end);
    assert_eq!(bench.on("counts").await.number(), 1);
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

/// Prints what threads cost a snapshot: `cargo test -p chorus-engine --test snapshots threads_cost -- --ignored
/// --nocapture`.
#[tokio::test]
#[ignore = "it measures"]
async fn threads_cost() {
    for threads in [0, 4, 16, 64] {
        let mut bench = Bench::start().await;
        bench.on("counts").await;
        for _ in 0..threads / 4 {
            bench.on("starts_4_threads").await;
        }
        let mut millis = Vec::new();
        for _ in 0..101 {
            millis.push(snapshot(&bench.on("counts").await).unwrap().micros as f64 / 1e3);
        }
        let median = median(&mut millis);
        println!("{threads} threads: {median:.2} ms, 9 of 10 within {:.2} ms", millis[90]);
    }
}

/// Prints what snapshots cost: `cargo test -p chorus-engine --test snapshots -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "it measures, and needs 2 GB of memory"]
async fn costs() {
    let policy = SnapshotPolicy::UpTo(u64::MAX);
    for holds in ["counts", "holds_100_mb", "holds_1_gb"] {
        for policy in [SnapshotPolicy::Off, policy] {
            let mut bench = Bench::start().await;
            bench.run_with("counts", policy).await;
            bench.run_with(holds, policy).await;
            let (mut walls, mut forks) = (Vec::new(), Vec::new());
            for _ in 0..20 {
                let begin = Instant::now();
                let seen = bench.run_with("prints", policy).await;
                walls.push(begin.elapsed().as_secs_f64() * 1e3);
                forks.extend(snapshot(&seen).map(|taken| taken.micros as f64 / 1e3));
            }
            let begin = Instant::now();
            bench.run_with("writes_to_all", policy).await;
            let write = begin.elapsed().as_secs_f64() * 1e3;
            let (wall, fork) = (median(&mut walls), median(&mut forks));
            println!("{holds} {policy:?}: rerun {wall:.2} ms, of it fork {fork:.2} ms; write to all {write:.0} ms");
        }
    }
}
