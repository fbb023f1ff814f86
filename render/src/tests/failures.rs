//! Runs that end badly.

use super::*;

fn threads_alive(death: Death) -> Outcome {
    Outcome::Died(death, Aftermath::Lost(NoSnapshot::Threads("`io` blocks signals".into())))
}

#[test]
fn equal_panics_fold_and_deaths_name_what_is_lost() {
    let mut view = PxView::new(&ids(4), OPTIONS);
    for engine in [2, 0] {
        view.event(EngineId(engine), &panic("index out of bounds\nlen 3", None), place());
        view.event(EngineId(engine), &done(Outcome::Panicked), None);
    }
    for engine in [1, 3] {
        view.event(EngineId(engine), &done(threads_alive(Death::Signal(11))), None);
        view.lost(EngineId(engine), vec!["a".into(), "b".into()]);
    }
    insta::assert_snapshot!(ended(view.finish()), @r"
    CompositeError: 4 errors: [0,2:execute] panicked at cell line 3:5: index out of bounds ...
    [0,2:execute] panicked at cell line 3:5: index out of bounds
    len 3
      3 | let a = v[7];
        |     ^
    [1,3:execute] the worker was killed by signal 11 (SIGSEGV: segmentation fault or stack overflow)
      lost: `a`, `b`
      there was no snapshot: threads that cells started can't be kept: `io` blocks signals
      still defined: functions, types and imports; other workers keep their variables
    4 errors
    ");
}

#[test]
fn a_snapshot_is_said_in_the_same_line() {
    let mut view = PxView::new(&ids(2), OPTIONS);
    view.event(EngineId(0), &done(Outcome::Died(Death::Signal(6), Aftermath::Restored)), None);
    view.interrupted();
    view.event(EngineId(1), &done(Outcome::Died(Death::Stopped, Aftermath::Restored)), None);
    insta::assert_snapshot!(ended(view.finish()), @r"
    CompositeError: 2 errors: [0:execute] the worker was killed by signal 6 (SIGABRT: abort); variables are as they were before this cell
    [0:execute] the worker was killed by signal 6 (SIGABRT: abort); variables are as they were before this cell
    [1:execute] interrupted; variables are as they were before this cell
    2 errors
    ");
}

#[test]
fn the_first_four_failures_are_shown_in_full() {
    let events: Vec<_> = (0..6)
        .flat_map(|engine| [(engine, panic(&format!("{engine}\nmore"), None)), (engine, done(Outcome::Panicked))])
        .collect();
    insta::assert_snapshot!(transcript(OPTIONS, 7, &events), @r#"
    err "px: engine 6 hasn't finished\n"
    CompositeError: 6 errors: [0:execute] panicked at cell line 3:5: 0 ...
    [0:execute] panicked at cell line 3:5: 0
    more
      3 | let a = v[7];
        |     ^
    [1:execute] panicked at cell line 3:5: 1
    more
      3 | let a = v[7];
        |     ^
    [2:execute] panicked at cell line 3:5: 2
    more
      3 | let a = v[7];
        |     ^
    [3:execute] panicked at cell line 3:5: 3
    more
      3 | let a = v[7];
        |     ^
    [4:execute] panicked at cell line 3:5: 4 ...
    [5:execute] panicked at cell line 3:5: 5 ...
    6 errors
    "#);
}

#[test]
fn each_outcome_has_its_sentence() {
    for outcome in [
        Outcome::ReturnedError,
        Outcome::TypesChanged(vec!["a".into(), "b".into()]),
        Outcome::died(Death::EngineLost),
        Outcome::died(Death::Exit(3)),
        Outcome::Stale,
        Outcome::LoadFailed("undefined symbol: f".into()),
        Outcome::NoSuchEngine,
        Outcome::Cancelled,
    ] {
        let shown = transcript(OPTIONS, 1, &[(0, done(outcome.clone()))]);
        let (first, second) = shown.trim_end().split_once('\n').unwrap();
        let (_, said) = first.split_once(": engine 0: ").unwrap();
        assert_eq!(second, format!("[0:execute] {said}"), "{outcome:?}");
    }
    let aborted = [(0, panic("twice", None)), (0, done(Outcome::died(Death::Signal(6))))];
    insta::assert_snapshot!(transcript(OPTIONS, 1, &aborted), @r"
    WorkerDied: engine 0: the worker was killed by signal 6 (SIGABRT: abort)
    [0:execute] the worker was killed by signal 6 (SIGABRT: abort)
      it panicked at cell line 3:5: twice
      3 | let a = v[7];
        |     ^
    ");
}

#[test]
fn panics_that_end_nothing_are_lines_on_stderr() {
    let events = [
        (0, out("part")),
        (0, panic("in a thread", Some("worker"))),
        (0, panic("caught", None)),
        (0, out(" of a line\n")),
        (0, panic("caught too", None)),
        (0, done(Outcome::Ok)),
    ];
    insta::assert_snapshot!(transcript(OPTIONS, 1, &events), @r#"
    err "[stderr:0] thread `worker` panicked at cell line 3:5: in a thread\n"
    out "[stdout:0] part of a line\n"
    err "[stderr:0] panicked at cell line 3:5: caught\n"
    err "[stderr:0] panicked at cell line 3:5: caught too\n"
    "#);
    insta::assert_snapshot!(transcript(AT_END, 1, &events), @r#"
    out "[stdout:0] part of a line\n"
    err "[stderr:0] thread `worker` panicked at cell line 3:5: in a thread\n[stderr:0] panicked at cell line 3:5: caught\n[stderr:0] panicked at cell line 3:5: caught too\n"
    "#);
}

#[test]
fn a_panic_outside_of_the_cell_is_placed_by_its_file() {
    let mut view = PxView::new(&ids(1), OPTIONS);
    view.event(EngineId(0), &panic("oh", None), None);
    view.event(EngineId(0), &done(Outcome::Panicked), None);
    insta::assert_snapshot!(ended(view.finish()), @r"
    Panic: engine 0: panicked at src/lib.rs:30:9: oh
    [0:execute] panicked at src/lib.rs:30:9: oh
    ");
}

#[test]
fn what_ends_a_cell_has_its_place() {
    let ends = |events: &[RunEvent]| {
        let mut view = LocalView::new(false);
        events.iter().for_each(|event| drop(view.event(event, place())));
        view.failure().unwrap().text()
    };
    // A thread of a pool panicked, and the cell's own went on with that.
    let resumed = ends(&[panic("in a pool", Some("")), done(Outcome::Panicked)]);
    assert_eq!(resumed.evalue, "a thread panicked at cell line 3:5: in a pool");
    assert!(resumed.traceback.contains(&"  3 | let a = v[7];".to_owned()), "{resumed:?}");
    let own = ends(&[panic("in a pool", Some("")), panic("own", None), done(Outcome::Panicked)]);
    assert_eq!(own.evalue, "panicked at cell line 3:5: own");
    let returned = ends(&[panic("no such file\n  caused by: a", None), done(Outcome::ReturnedError)]);
    assert_eq!(returned.evalue, "`?` returned an error at cell line 3:5: no such file ...");
    assert!(!returned.traceback.iter().any(|line| line.contains("panicked")), "{returned:?}");
    let pool = ends(&[panic("Err(GlobalPoolAlreadyInitialized)", None), done(Outcome::Panicked)]);
    assert!(pool.traceback.iter().any(|line| line.contains("a pool of your own")), "{pool:?}");
}
