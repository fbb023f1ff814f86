use super::*;
use chorus_magics::Grouping;
use chorus_protocol::{
    Aftermath, Death, DisplayKind, EngineId, MimeContent, NoSnapshot, Outcome, Panic, RunEvent, Stream, parse_ids,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

mod displays;

const OPTIONS: ViewOptions =
    ViewOptions { stream: true, grouping: Grouping::Type, each: false, has_result: false, count: 7 };
const AT_END: ViewOptions = ViewOptions { stream: false, ..OPTIONS };

fn ids(count: u32) -> Vec<EngineId> {
    (0..count).map(EngineId).collect()
}

fn out(text: &str) -> RunEvent {
    RunEvent::Output { stream: Stream::Stdout, bytes: text.to_owned().into() }
}

fn err(text: &str) -> RunEvent {
    RunEvent::Output { stream: Stream::Stderr, bytes: text.to_owned().into() }
}

fn show(mime: &str, content: &str) -> RunEvent {
    let contents = vec![MimeContent { mime: mime.into(), content: content.into() }];
    RunEvent::Display { kind: DisplayKind::Value, contents }
}

fn value(text: &str) -> RunEvent {
    show("text/plain", text)
}

fn done(outcome: Outcome) -> RunEvent {
    RunEvent::Done { outcome, generation: 0, took: Default::default() }
}

fn panic(message: &str, thread: Option<&str>) -> RunEvent {
    let (file, thread) = ("src/lib.rs".into(), thread.map(Into::into));
    RunEvent::Panic(Panic { message: message.into(), file, line: 30, column: 9, thread, frames: vec![] })
}

fn place() -> Option<Place> {
    Some(Place { cell: "cell".into(), line: 3, column: 5, text: "let a = v[7];".into(), is_call: false, calls: vec![] })
}

/// The outputs as a transcript, without colours.
fn plain(outputs: &[Output]) -> String {
    let lines = outputs.iter().map(|output| match output {
        Output::Stream { stream: Stream::Stdout, text } => format!("out {text:?}\n"),
        Output::Stream { stream: Stream::Stderr, text } => format!("err {text:?}\n"),
        Output::Display { data, id, .. } => {
            let id = id.as_ref().map(|id| format!("{id} ")).unwrap_or_default();
            format!("display {id}{}\n", serde_json::Value::from(data.clone()))
        }
        Output::Update { id, data } => format!("update {id} {}\n", serde_json::Value::from(data.clone())),
        Output::Clear { wait } => format!("clear {wait}\n"),
        Output::Result { data, .. } => format!("result {}\n", serde_json::Value::from(data.clone())),
    });
    without_colours(&lines.collect::<String>())
}

/// The same with the failure at the end.
fn ended((outputs, failure): (Vec<Output>, Option<PxFailure>)) -> String {
    plain(&outputs) + &failure.map(|failure| failed(failure.text())).unwrap_or_default()
}

fn failed(ErrorText { ename, evalue, traceback }: ErrorText) -> String {
    without_colours(&format!("{ename}: {evalue}\n{}\n", traceback.join("\n")))
}

fn without_colours(text: &str) -> String {
    let codes = ["\x1b[31m", "\x1b[0m", "\\u001b[1m", "\\u001b[0m"];
    codes.iter().fold(text.to_owned(), |text, code| text.replace(code, ""))
}

/// The transcript of a whole cell. An event with a panic happened at [`place`].
fn transcript(options: ViewOptions, engines: u32, events: &[(u32, RunEvent)]) -> String {
    let mut view = PxView::new(&ids(engines), options);
    let mut outputs = Vec::new();
    for (engine, event) in events {
        let place = matches!(event, RunEvent::Panic(_)).then(place).flatten();
        outputs.extend(view.event(EngineId(*engine), event, place));
    }
    let (last, failure) = view.finish();
    outputs.extend(last);
    assert_eq!(view.finish(), (vec![], None));
    ended((outputs, failure))
}

/// Two engines that print, display and compute, arriving mixed.
fn mixed() -> Vec<(u32, RunEvent)> {
    vec![
        (1, RunEvent::Started(Err(NoSnapshot::Off))),
        (0, RunEvent::Started(Err(NoSnapshot::Off))),
        (1, out("one\ntw")),
        (0, out("one\n")),
        (1, err("careful\n")),
        (1, out("o\n")),
        (1, show("text/html", "<b>first of 1</b>")),
        (0, show("text/html", "<b>first</b>")),
        (0, out("two\n")),
        (0, err("careful\n")),
        (0, show("text/html", "<b>second</b>")),
        (1, show("text/html", "<b>second</b>")),
        (1, value("42")),
        (1, done(Outcome::Ok)),
        (0, value("42")),
        (0, done(Outcome::Ok)),
    ]
}

#[test]
fn outputs_are_shown_as_they_arrive() {
    insta::assert_snapshot!(transcript(ViewOptions { has_result: true, ..OPTIONS }, 2, &mixed()), @r#"
    out "[stdout:1] one\n"
    out "[stdout:0] one\n"
    err "[stderr:1] careful\n"
    out "[stdout:1] two\n"
    out "[output:0]\n"
    display {"text/html":"<b>first</b>"}
    out "[stdout:0] two\n"
    err "[stderr:0] careful\n"
    out "[output:1]\n"
    display {"text/html":"<b>first of 1</b>"}
    out "[output:1]\n"
    display {"text/html":"<b>second</b>"}
    out "[output:0]\n"
    display {"text/html":"<b>second</b>"}
    display {"text/plain":"Out[0-1:7]: 42"}
    "#);
}

#[test]
fn outputs_are_grouped_by_type() {
    insta::assert_snapshot!(transcript(ViewOptions { has_result: true, ..AT_END }, 2, &mixed()), @r#"
    out "[stdout:0-1] one\n[stdout:0-1] two\n"
    err "[stderr:0-1] careful\n"
    out "[output:0]\n"
    display {"text/html":"<b>first</b>"}
    display {"text/html":"<b>second</b>"}
    out "[output:1]\n"
    display {"text/html":"<b>first of 1</b>"}
    display {"text/html":"<b>second</b>"}
    display {"text/plain":"Out[0-1:7]: 42"}
    "#);
}

#[test]
fn outputs_are_grouped_in_order() {
    let options = ViewOptions { has_result: true, grouping: Grouping::Order, ..AT_END };
    insta::assert_snapshot!(transcript(options, 2, &mixed()), @r#"
    out "[stdout:0-1] one\n[stdout:0-1] two\n"
    err "[stderr:0-1] careful\n"
    out "[output:0]\n"
    display {"text/html":"<b>first</b>"}
    out "[output:1]\n"
    display {"text/html":"<b>first of 1</b>"}
    out "[output:0-1]\n"
    display {"text/html":"<b>second</b>"}
    display {"text/plain":"Out[0-1:7]: 42"}
    "#);
}

#[test]
fn outputs_are_grouped_by_engine() {
    let options = ViewOptions { has_result: true, grouping: Grouping::Engine, ..AT_END };
    insta::assert_snapshot!(transcript(options, 2, &mixed()), @r#"
    out "[stdout:0] one\n[stdout:0] two\n"
    err "[stderr:0] careful\n"
    out "[output:0]\n"
    display {"text/html":"<b>first</b>"}
    display {"text/html":"<b>second</b>"}
    display {"text/plain":"Out[0:7]: 42"}
    out "[stdout:1] one\n[stdout:1] two\n"
    err "[stderr:1] careful\n"
    out "[output:1]\n"
    display {"text/html":"<b>first of 1</b>"}
    display {"text/html":"<b>second</b>"}
    display {"text/plain":"Out[1:7]: 42"}
    "#);
}

#[test]
fn identical_engines_are_shown_once_or_each() {
    let events: Vec<_> = [0, 1, 2, 3]
        .into_iter()
        .flat_map(|engine| [(engine, out("a\r\nb\rc\n")), (engine, value("7")), (engine, done(Outcome::Ok))])
        .collect();
    let options = ViewOptions { has_result: true, grouping: Grouping::Engine, ..AT_END };
    insta::assert_snapshot!(transcript(options, 4, &events), @r#"
    out "[stdout:0-3] a\n[stdout:0-3] c\n"
    display {"text/plain":"Out[0-3:7]: 7"}
    "#);
    insta::assert_snapshot!(transcript(ViewOptions { each: true, ..options }, 2, &events[..6]), @r#"
    out "[stdout:0] a\n[stdout:0] c\n"
    display {"text/plain":"Out[0:7]: 7"}
    out "[stdout:1] a\n[stdout:1] c\n"
    display {"text/plain":"Out[1:7]: 7"}
    "#);
}

#[test]
fn a_unit_is_no_result() {
    let options = ViewOptions { has_result: true, ..OPTIONS };
    let events = [(0, value("()")), (0, done(Outcome::Ok))];
    assert_eq!(transcript(options, 1, &events), "");
}

#[test]
fn results_fold_when_they_are_equal() {
    let options = ViewOptions { has_result: true, ..OPTIONS };
    let results = |texts: &[RunEvent; 4]| {
        // The last engine is done first.
        let engines = (0u32..4).zip(texts).rev();
        let events = engines.flat_map(|(engine, event)| [(engine, event.clone()), (engine, done(Outcome::Ok))]);
        events.collect::<Vec<_>>()
    };
    let events = results(&["7", "8", "7", "7"].map(value));
    insta::assert_snapshot!(transcript(options, 4, &events), @r#"display {"text/plain":"Out[0,2-3:7]: 7\nOut[1:7]: 8"}"#);
    insta::assert_snapshot!(transcript(ViewOptions { each: true, ..options }, 4, &events), @r#"display {"text/plain":"Out[0:7]: 7\nOut[1:7]: 8\nOut[2:7]: 7\nOut[3:7]: 7"}"#);
    let events = results(&[
        show("image/png", "aGk="),
        value("[\n  1,\n]\n"),
        show("image/png", "aGk="),
        RunEvent::Display {
            kind: DisplayKind::Value,
            contents: vec![
                MimeContent { mime: "text/plain".into(), content: "x".into() },
                MimeContent { mime: "application/json".into(), content: "[1]".into() },
            ],
        },
    ]);
    insta::assert_snapshot!(transcript(options, 4, &events), @r#"
    display {"text/plain":"Out[0,2:7]:"}
    display {"image/png":"aGk="}
    display {"text/plain":"Out[1:7]:\n[\n  1,\n]\nOut[3:7]:"}
    display {"application/json":[1],"text/plain":"x"}
    "#);
}

#[test]
fn only_the_last_display_of_a_run_that_ends_well_is_its_result() {
    let options = ViewOptions { has_result: true, ..OPTIONS };
    let text_after = [(0, value("1")), (0, out("x\n")), (0, done(Outcome::Ok))];
    insta::assert_snapshot!(transcript(options, 1, &text_after), @r#"
    out "[output:0]\n"
    display {"text/plain":"1"}
    out "[stdout:0] x\n"
    "#);
    let failed = [(0, value("1")), (0, done(Outcome::ReturnedError))];
    insta::assert_snapshot!(transcript(options, 1, &failed), @r#"
    out "[output:0]\n"
    display {"text/plain":"1"}
    ReturnedError: engine 0: a `?` returned an error: the cell ended there
    [0:execute] a `?` returned an error: the cell ended there
    "#);
    let no_result = [(0, value("1")), (0, done(Outcome::Ok))];
    insta::assert_snapshot!(transcript(OPTIONS, 1, &no_result), @r#"
    out "[output:0]\n"
    display {"text/plain":"1"}
    "#);
}

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
fn a_display_ends_the_lines_before_it() {
    let events = [(0, out("a")), (1, out("b")), (0, value("x")), (1, out("c\n")), (0, done(Outcome::Ok))];
    insta::assert_snapshot!(transcript(OPTIONS, 2, &events), @r#"
    out "[stdout:0] a\n[output:0]\n"
    display {"text/plain":"x"}
    out "[stdout:1] bc\n"
    err "px: engine 1 hasn't finished\n"
    "#);
}

#[test]
fn what_comes_after_the_end_is_still_shown() {
    for options in [OPTIONS, AT_END] {
        let options = ViewOptions { has_result: true, ..options };
        let mut view = PxView::new(&ids(2), options);
        view.event(EngineId(0), &done(Outcome::Ok), None);
        assert!(!view.is_done());
        assert_eq!(ended(view.finish()), "err \"px: engine 1 hasn't finished\\n\"\n");
        let late = [(0, out("late\n")), (0, show("text/html", "x")), (1, value("3")), (1, done(Outcome::Ok))];
        let outputs: Vec<_> =
            late.iter().flat_map(|(engine, event)| view.event(EngineId(*engine), event, None)).collect();
        assert_eq!(
            plain(&outputs),
            "out \"[stdout:0] late\\n\"\nout \"[output:0]\\n\"\ndisplay {\"text/html\":\"x\"}\ndisplay {\"text/plain\":\"Out[1:7]: 3\"}\n"
        );
        assert!(view.is_done());
    }
}

#[test]
fn partial_lines_wait_for_their_time() {
    let mut view = PxView::new(&ids(1), OPTIONS);
    assert_eq!(view.event(EngineId(0), &out("50 %"), None), []);
    assert!(view.has_partial());
    assert_eq!(plain(&view.flush_partial()), "out \"[stdout:0] 50 %\"\n");
    assert!(!view.has_partial());
    assert_eq!(plain(&view.event(EngineId(0), &done(Outcome::Ok), None)), "out \"\\n\"\n");
}

#[test]
fn a_character_cut_between_events_is_joined() {
    let [first, second] = [&"€\n".as_bytes()[..2], &"€\n".as_bytes()[2..]]
        .map(|bytes| RunEvent::Output { stream: Stream::Stdout, bytes: bytes.to_vec().into() });
    let events = [(0, first.clone()), (1, first), (0, second), (1, done(Outcome::Ok)), (0, done(Outcome::Ok))];
    insta::assert_snapshot!(transcript(OPTIONS, 2, &events), @r#"
    out "[stdout:0] €\n"
    out "[stdout:1] �\n"
    "#);
}

#[test]
fn a_record_is_bounded_and_says_what_it_cut() {
    let mut record = PxRecord::new(&ids(2), 7, 10);
    record.text(EngineId(0), Stream::Stdout, "123456\n€");
    record.text(EngineId(1), Stream::Stdout, "more");
    record.display(EngineId(1), None, plain_bundle("x".repeat(200_000)));
    record.result(EngineId(1), plain_bundle("a result is always kept"));
    record.done(EngineId(0));
    insta::assert_snapshot!(ended(record.render(Grouping::Type, false)), @r#"
    out "[stdout:0] 123456\n[stdout:0] €\n"
    display {"text/plain":"Out[1:7]: a result is always kept"}
    err "px: 0.2 MiB of further output weren't kept\npx: engine 1 hasn't finished\n"
    "#);
    assert_eq!((record.count(), record.targets(), record.running()), (7, ids(2), vec![EngineId(1)]));
}

#[test]
fn a_streamed_cell_can_be_shown_again_grouped() {
    let mut view = PxView::new(&ids(2), ViewOptions { has_result: true, ..OPTIONS });
    for (engine, event) in mixed() {
        view.event(EngineId(engine), &event, None);
    }
    view.finish();
    let again = ended(view.into_record().render(Grouping::Type, false));
    assert_eq!(again, transcript(ViewOptions { has_result: true, ..AT_END }, 2, &mixed()));
}

#[test]
fn a_local_cell_has_no_prefixes() {
    let mut view = LocalView::new(true);
    let mut shown = |events: &[RunEvent]| {
        let outputs: Vec<_> = events.iter().flat_map(|event| view.event(event, place())).collect();
        plain(&outputs)
    };
    insta::assert_snapshot!(shown(&[out("no newline"), value("1"), value("2"), done(Outcome::Ok)]), @r#"
    out "no newline"
    display {"text/plain":"1"}
    result {"text/plain":"2"}
    "#);
    let mut view = LocalView::new(true);
    view.lost(vec!["a".into()]);
    let events = [panic("oh", None), err("!"), value("1"), done(Outcome::Panicked)];
    let outputs: Vec<_> = events.iter().flat_map(|event| view.event(event, place())).collect();
    let failure = view.failure().unwrap();
    insta::assert_snapshot!(plain(&outputs) + &failed(failure.text()), @r#"
    err "!"
    display {"text/plain":"1"}
    Panic: panicked at cell line 3:5: oh
    panicked at cell line 3:5: oh
      3 | let a = v[7];
        |     ^
      lost: `a`
    "#);
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

#[test]
fn executions_are_announced() {
    assert_eq!(plain(&[announce(&ids(4), true)]), "out \"Parallel execution on engines 0-3\\n\"\n");
    assert_eq!(plain(&[announce(&ids(1), false)]), "out \"Async parallel execution on engine 0\\n\"\n");
}

/// What engines print, in pieces that arrive in any order across engines and streams.
fn pieces() -> impl Strategy<Value = Vec<(u32, Stream, Vec<u8>)>> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let text = prop_oneof!["[abc\n]{0,8}", "[äß€\n]{0,3}", Just("\n".to_owned())];
    let bytes = prop_oneof![3 => text.prop_map(String::into_bytes), 1 => proptest::collection::vec(any::<u8>(), 0..3)];
    proptest::collection::vec((0..3u32, stream, bytes), 0..40)
}

/// The texts of each source, from what was shown. Every line must have a prefix.
fn unprefixed(outputs: &[Output]) -> BTreeMap<(u32, Stream), String> {
    let mut texts: BTreeMap<_, String> = BTreeMap::new();
    for stream in [Stream::Stdout, Stream::Stderr] {
        let shown: String = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Stream { stream: of, text } if *of == stream => Some(text.as_str()),
                _ => None,
            })
            .collect();
        for line in shown.split_inclusive('\n') {
            let (prefix, text) = line.split_once("] ").unwrap_or_else(|| panic!("{line:?} in {shown:?}"));
            let (name, engines) = prefix.strip_prefix('[').and_then(|prefix| prefix.split_once(':')).unwrap();
            assert_eq!(name, stream_name(stream));
            for engine in parse_ids(engines).unwrap() {
                *texts.entry((engine.0, stream)).or_default() += text;
            }
        }
    }
    texts
}

/// What the engines printed, as text. A line is always ended.
fn printed(pieces: &[(u32, Stream, Vec<u8>)]) -> BTreeMap<(u32, Stream), String> {
    let mut bytes: BTreeMap<_, Vec<u8>> = BTreeMap::new();
    for (engine, stream, piece) in pieces {
        bytes.entry((*engine, *stream)).or_default().extend(piece);
    }
    let text = |bytes: Vec<u8>| {
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text
    };
    bytes.into_iter().map(|(source, bytes)| (source, text(bytes))).filter(|(_, text)| !text.is_empty()).collect()
}

proptest! {
    #[test]
    fn nothing_is_lost_and_every_line_has_its_prefix(pieces in pieces(), grouping in 0..4u8) {
        // `\r` rewrites lines on purpose; the tests of lines show how.
        prop_assume!(pieces.iter().all(|(_, _, bytes)| !bytes.contains(&b'\r')));
        let grouping = match grouping { 0 => None, 1 => Some(Grouping::Type), 2 => Some(Grouping::Order), _ => Some(Grouping::Engine) };
        let options = ViewOptions { stream: grouping.is_none(), grouping: grouping.unwrap_or_default(), ..OPTIONS };
        let mut view = PxView::new(&ids(3), options);
        let mut outputs = Vec::new();
        for (engine, stream, bytes) in &pieces {
            let event = RunEvent::Output { stream: *stream, bytes: bytes.clone().into() };
            outputs.extend(view.event(EngineId(*engine), &event, None));
        }
        for engine in ids(3) {
            outputs.extend(view.event(engine, &done(Outcome::Ok), None));
        }
        outputs.extend(view.finish().0);
        prop_assert_eq!(unprefixed(&outputs), printed(&pieces));
    }

    #[test]
    fn flushing_at_any_time_loses_and_mixes_nothing(pieces in pieces(), flushes in proptest::collection::vec(any::<bool>(), 40)) {
        prop_assume!(pieces.iter().all(|(_, _, bytes)| !bytes.contains(&b'\r')));
        let mut view = PxView::new(&ids(3), OPTIONS);
        let mut outputs = Vec::new();
        for ((engine, stream, bytes), flush) in pieces.iter().zip(flushes) {
            let event = RunEvent::Output { stream: *stream, bytes: bytes.clone().into() };
            outputs.extend(view.event(EngineId(*engine), &event, None));
            if flush {
                outputs.extend(view.flush_partial());
                prop_assert!(!view.has_partial());
            }
        }
        outputs.extend(ids(3).into_iter().flat_map(|engine| view.event(engine, &done(Outcome::Ok), None)));
        outputs.extend(view.finish().0);
        // A line that another engine interrupted is shown in pieces, so line ends aren't compared.
        let letters = |texts: BTreeMap<(u32, Stream), String>| -> BTreeMap<(u32, Stream), String> {
            let texts = texts.into_iter().map(|(source, text)| (source, text.replace('\n', "")));
            texts.filter(|(_, text)| !text.is_empty()).collect()
        };
        prop_assert_eq!(letters(unprefixed(&outputs)), letters(printed(&pieces)));
    }

    #[test]
    fn any_sequence_of_events_is_shown(events in proptest::collection::vec((0..3u32, 0..8u8, "[a\r\n]{0,4}"), 0..30), stream: bool) {
        let mut view = PxView::new(&ids(3), ViewOptions { stream, has_result: true, ..OPTIONS });
        for (engine, kind, text) in events {
            let event = match kind {
                0 => RunEvent::Started(Err(NoSnapshot::Off)),
                1 => out(&text),
                2 => err(&text),
                3 => value(&text),
                4 => panic(&text, None),
                5 => panic(&text, Some("t")),
                6 => done(Outcome::Ok),
                _ => done(Outcome::Panicked),
            };
            let _ = view.event(EngineId(engine), &event, place());
            let _ = view.flush_partial();
        }
        let _ = view.finish();
    }
}
