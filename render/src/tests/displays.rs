//! Displays that are updated, outputs that are cleared, and the calls of a panic.

use super::*;
use crate::{Source, late};
use std::time::Duration;

fn display_as(kind: DisplayKind, text: &str) -> RunEvent {
    RunEvent::Display { kind, contents: vec![MimeContent { mime: "text/plain".into(), content: text.into() }] }
}

fn new(id: &str, text: &str) -> RunEvent {
    display_as(DisplayKind::New(id.into()), text)
}

fn update(id: &str, text: &str) -> RunEvent {
    display_as(DisplayKind::Update(id.into()), text)
}

fn clear(wait: bool) -> RunEvent {
    RunEvent::ClearOutput { wait }
}

#[test]
fn displays_of_engines_have_names_of_their_own() {
    let events = [
        (0, new("a", "0%")),
        (1, new("a", "0%")),
        (0, update("a", "50%")),
        (0, done(Outcome::Ok)),
        (1, update("earlier", "x")),
        (1, done(Outcome::Ok)),
    ];
    insta::assert_snapshot!(transcript(OPTIONS, 2, &events), @r#"
    out "[output:0]\n"
    display px-0-a {"text/plain":"0%"}
    out "[output:1]\n"
    display px-1-a {"text/plain":"0%"}
    update px-0-a {"text/plain":"50%"}
    update px-1-earlier {"text/plain":"x"}
    "#);
    // Grouped, a display is shown as it is at the end; one of an earlier cell is updated at once.
    insta::assert_snapshot!(transcript(AT_END, 2, &events), @r#"
    update px-1-earlier {"text/plain":"x"}
    out "[output:0]\n"
    display px-0-a {"text/plain":"50%"}
    out "[output:1]\n"
    display px-1-a {"text/plain":"0%"}
    "#);
}

#[test]
fn an_explicit_display_is_never_the_result() {
    let options = ViewOptions { has_result: true, ..OPTIONS };
    let events = [(0, value("1")), (0, update("a", "2")), (0, done(Outcome::Ok))];
    insta::assert_snapshot!(transcript(options, 1, &events), @r#"
    update px-0-a {"text/plain":"2"}
    display {"text/plain":"Out[0:7]: 1"}
    "#);
    let events = [(0, display_as(DisplayKind::Once, "1")), (0, done(Outcome::Ok))];
    insta::assert_snapshot!(transcript(options, 1, &events), @r#"
    out "[output:0]\n"
    display {"text/plain":"1"}
    "#);
}

#[test]
fn a_lone_engine_clears_the_cell_and_others_what_is_kept_of_them() {
    let events =
        |engine| [(engine, out("a\n")), (engine, clear(true)), (engine, out("b\n")), (engine, done(Outcome::Ok))];
    insta::assert_snapshot!(transcript(OPTIONS, 1, &events(0)), @r#"
    out "[stdout:0] a\n"
    clear true
    out "[stdout:0] b\n"
    "#);
    let both = [events(0), events(1)].concat();
    insta::assert_snapshot!(transcript(OPTIONS, 2, &both), @r#"
    out "[stdout:0] a\n"
    out "[stdout:0] b\n"
    out "[stdout:1] a\n"
    out "[stdout:1] b\n"
    "#);
    insta::assert_snapshot!(transcript(AT_END, 2, &both), @r#"out "[stdout:0-1] b\n""#);
    let now = [(0, new("a", "1")), (0, out("a\n")), (0, clear(false)), (0, done(Outcome::Ok))];
    insta::assert_snapshot!(transcript(AT_END, 1, &now), @"");
}

#[test]
fn a_record_forgets_what_was_cleared_and_has_room_again() {
    let mut record = PxRecord::new(&ids(1), 1, 8);
    for _ in 0..5 {
        record.text(EngineId(0), Stream::Stdout, "12345678");
        record.clear(EngineId(0), true);
    }
    record.text(EngineId(0), Stream::Stdout, "abc");
    record.done(EngineId(0));
    insta::assert_snapshot!(ended(record.render(Grouping::Type, false)), @r#"out "[stdout:0] abc\n""#);
}

#[test]
fn late_displays_are_shown() {
    let late = |event| plain(&late(Source::Engine(EngineId(3)), &event).into_iter().collect::<Vec<_>>());
    assert_eq!(late(update("a", "1")), "update px-3-a {\"text/plain\":\"1\"}\n");
    assert_eq!(late(new("a", "1")), "display px-3-a {\"text/plain\":\"1\"}\n");
    assert_eq!(late(value("1")), "display {\"text/plain\":\"1\"}\n");
    assert_eq!(late(out("x")), "out \"x\"\n");
    assert_eq!(late(clear(false)), "");
}

#[test]
fn a_panic_is_followed_by_its_calls() {
    let failed = |calls: &[&str], is_call| {
        let place = Place { is_call, calls: calls.iter().map(ToString::to_string).collect(), ..place().unwrap() };
        let mut view = LocalView::new(false);
        view.event(&panic("boom", None), Some(place));
        assert_eq!(view.event(&done(Outcome::Panicked), None), []);
        super::failed(view.failure().unwrap().text())
    };
    insta::assert_snapshot!(failed(&["f, cell line 3", "g, In[1] line 7", "g, In[1] line 7", "cell line 9"], false), @r"
    Panic: panicked at cell line 3:5: boom
    panicked at cell line 3:5: boom
      3 | let a = v[7];
        |     ^
      in f, cell line 3
      called from g, In[1] line 7 (2 times)
      called from cell line 9
    ");
    insta::assert_snapshot!(failed(&["cell line 9"], false).lines().last().unwrap(), @"  called from cell line 9");
    insta::assert_snapshot!(failed(&["cell line 3"], true), @r"
    Panic: panicked at cell line 3:5, within src/lib.rs:30:9: boom
    panicked at cell line 3:5, within src/lib.rs:30:9: boom
      3 | let a = v[7];
        |     ^
    ");
    let many: Vec<String> = (0..20).map(|line| format!("f, cell line {line}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(failed(&many, false).ends_with("  called from f, cell line 11\n  and 8 more\n"));
}

#[test]
fn bars_are_rows_of_the_progress_where_that_is_asked_for() {
    let bar = |kind: fn(String) -> DisplayKind, id: &str, encoded: &str| RunEvent::Display {
        kind: kind(id.into()),
        contents: vec![MimeContent { mime: px::progress::BAR.into(), content: encoded.into() }],
    };
    let (new, update) = (DisplayKind::New, DisplayKind::Update);
    let mut view = PxView::new(&ids(2), OPTIONS).with_bars_in_progress();
    let mut see = |engine, event| (view.event(EngineId(engine), &event, None), view.has_news_of_bars());
    assert_eq!(see(0, bar(new, "a", "1 0 4 0 engine 0: files")), (vec![], true));
    assert_eq!(see(0, bar(update, "a", "1 1 4 0 engine 0: files")), (vec![], true));
    assert!(!see(0, out("one\n")).1);
    assert_eq!(see(1, bar(new, "a", "1 0 4 0 engine 1: held")), (vec![], true));
    // A display of an earlier cell stays where it is.
    assert!(matches!(see(1, bar(update, "b", "1 1 4 0 x")), (shown, false) if shown.len() == 1));
    assert_eq!(see(0, bar(update, "a", "0 4 4 0 engine 0: files")), (vec![], true));
    assert_eq!(see(0, done(Outcome::Ok)), (vec![], false));
    assert_eq!(see(1, done(Outcome::Ok)), (vec![], false));
    insta::assert_snapshot!(view.last_progress(Duration::ZERO, false)["text/plain"].as_str().unwrap(), @r"
    px: 2/2 engines done
      engine 0 [████████████] files 4/4, took 0.0 s
      engine 1 done in 0 s
    ");
    let (last, _) = view.finish();
    insta::assert_snapshot!(plain(&last).lines().map(|line| line.chars().take(20).collect::<String>() + "\n").collect::<String>(), @r#"
    out "[output:1]\n"
    display px-1-a {"tex
    "#);
}
