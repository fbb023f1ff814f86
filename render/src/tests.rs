use super::*;
use chorus_magics::Grouping;
use chorus_protocol::{
    Aftermath, Death, DisplayKind, EngineId, MimeContent, NoSnapshot, Outcome, Panic, RunEvent, Stream, parse_ids,
};

mod displays;
mod failures;
mod properties;

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
    let again = ended(view.record().render(Grouping::Type, false));
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
fn executions_are_announced() {
    assert_eq!(plain(&[announce(&ids(4), true)]), "out \"Parallel execution on engines 0-3\\n\"\n");
    assert_eq!(plain(&[announce(&ids(1), false)]), "out \"Async parallel execution on engine 0\\n\"\n");
}
