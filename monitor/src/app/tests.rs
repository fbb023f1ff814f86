//! The state machine, without a terminal.

use super::*;
use crate::theme::{Choice, Colours, Tone};
use chorus_protocol::{ClientInfo, EngineInfo, LogState, Metrics, ProcessUse, Took, Work};
use crossterm::event::{KeyCode, KeyModifiers, MouseButton, MouseEventKind};

pub fn entry(number: u64, at: u64, event: LogEvent) -> LogEntry {
    LogEntry { number, at, event }
}

fn up(engine: u32) -> LogEvent {
    let info = EngineInfo { pid: 100 + engine, host: "here".into(), cores: 4, ..EngineInfo::default() };
    LogEvent::EngineUp { engine: EngineId(engine), info }
}

fn measured(engine: u32, cpu: f32) -> LogEvent {
    let supervisor = ProcessUse { pid: 100 + engine, cpu: Some(cpu), memory: Some(8 << 20) };
    LogEvent::Measured {
        engine: EngineId(engine),
        metrics: Box::new(Metrics { supervisor, bytes_in: 0, ..Metrics::default() }),
    }
}

/// Three engines, of which the second is busy.
fn app() -> App {
    let theme = Theme { colours: Colours::None, utf8: true };
    let mut app = App::new("lab", theme, false);
    let areas = Areas::default();
    let state = LogState { name: "lab".into(), pid: 7, since: 1_000, ..LogState::default() };
    let run = LogEvent::RunQueued {
        session: 1,
        run: 1,
        work: Work::Cell,
        label: "work()".into(),
        engines: vec![EngineId(1)],
    };
    let client = ClientInfo { name: "a.ipynb".into(), pid: 5, host: "here".into() };
    let events = vec![
        LogEvent::State(Box::new(state)),
        up(0),
        up(1),
        up(2),
        LogEvent::SessionOpened { session: 1, client },
        run,
        LogEvent::RunStarted { session: 1, run: 1, engine: EngineId(1), snapshot: None },
        measured(0, 0.0),
        measured(1, 98.0),
        measured(2, 3.0),
    ];
    let entries = (0..).zip(events).map(|(number, event)| entry(number, 2_000 + number, event)).collect();
    app.handle(Input::Resize(120, 40), &areas);
    app.handle(Input::Tick(2_000), &areas);
    app.handle(Input::Linked("lab".into()), &areas);
    app.handle(Input::Entries(entries), &areas);
    app.arrange();
    app
}

fn press(app: &mut App, keys: &str) -> Vec<Effect> {
    keys.chars().flat_map(|c| code(app, KeyCode::Char(c))).collect()
}

fn code(app: &mut App, code: KeyCode) -> Vec<Effect> {
    let effects = app.handle(Input::Key(KeyEvent::new(code, KeyModifiers::NONE)), &Areas::default());
    app.arrange();
    effects
}

fn shown(app: &App) -> Vec<u32> {
    let engine = |key: &Key| match key {
        Key::Engine(engine) => Some(engine.0),
        _ => None,
    };
    app.table.rows.iter().filter_map(|row| engine(&row.key)).collect()
}

#[test]
fn an_action_is_done_only_after_yes() {
    let mut app = app();
    assert_eq!(press(&mut app, "ji"), []);
    assert!(matches!(app.dialog, Some(Dialog::Confirm(Order::Interrupt { .. }))));
    assert_eq!(press(&mut app, "n"), []);
    assert_eq!(app.dialog, None);
    let order = Order::Interrupt { engines: vec![EngineId(1)], signal: libc::SIGINT };
    assert_eq!(press(&mut app, "iy"), [Effect::Steer(order)]);
}

#[test]
fn marked_engines_are_acted_on_together() {
    let mut app = app();
    assert_eq!(press(&mut app, "  "), []);
    assert_eq!(app.targets(), [EngineId(0), EngineId(1)]);
    assert_eq!(press(&mut app, "ry"), [Effect::Steer(Order::Restart { engines: vec![EngineId(0), EngineId(1)] })]);
    assert!(app.marked.is_empty(), "the marks are used up");
}

#[test]
fn a_signal_is_chosen_and_then_confirmed() {
    let mut app = app();
    press(&mut app, "xj");
    assert_eq!(code(&mut app, KeyCode::Enter), []);
    let effects = code(&mut app, KeyCode::Enter);
    assert_eq!(effects, [Effect::Steer(Order::Kill { engines: vec![EngineId(0)], signal: libc::SIGKILL })]);
}

#[test]
fn scaling_takes_arrows_and_digits() {
    let mut app = app();
    press(&mut app, "+");
    assert_eq!(app.dialog, Some(Dialog::Scale(4, false)));
    press(&mut app, "12");
    assert_eq!(code(&mut app, KeyCode::Enter), [Effect::Steer(Order::Scale { engines: 12 })]);
}

#[test]
fn readonly_and_lost_clusters_are_left_alone() {
    let mut app = app();
    app.readonly = true;
    assert_eq!(press(&mut app, "ir"), []);
    assert!(app.dialog.is_none() && app.notice.as_ref().is_some_and(|it| it.text.contains("--readonly")));
    let mut app = self::app();
    app.handle(Input::Lost("it was stopped".into()), &Areas::default());
    assert_eq!(press(&mut app, "+"), []);
    assert!(app.dialog.is_none() && app.notice.is_some());
    // Nor is anything done that was asked before.
    let mut app = self::app();
    press(&mut app, "r");
    assert!(app.dialog.is_some());
    app.handle(Input::Lost("it was stopped".into()), &Areas::default());
    assert_eq!(press(&mut app, "y"), []);
    assert!(app.dialog.is_none() && app.notice.as_ref().is_some_and(|it| it.text.contains("isn't connected")));
}

#[test]
fn a_map_that_a_diagnosis_is_about_is_marked_and_the_mark_leads_there() {
    let mut app = app();
    let (number, now) = (app.figures().number, app.figures().now);
    let opened = LogEvent::MapOpened { session: 1, map: 1, items: Some(10_000), chunk: Some(1) };
    let (engine, micros) = (EngineId(0), 50_000);
    let did = LogEvent::MapDone { session: 1, map: 1, engine, items: 500, failed: 0, pieces: 500, micros, left: 9 };
    let entries = vec![entry(number + 1, now, opened), entry(number + 2, now + 1_000, did)];
    app.handle(Input::Entries(entries), &Areas::default());
    press(&mut app, "2");
    app.arrange();
    assert_eq!(app.diagnoses.iter().map(|it| it.about).collect::<Vec<_>>(), [About::Map(1, 1)]);
    let marks: Vec<_> = app.table.rows.iter().map(|row| (row.key, row.cells[0].text == app.theme.warning())).collect();
    assert!(marks.iter().all(|(key, marked)| *marked == (*key == Key::Map(1, 1))), "{marks:?}");
    let place = marks.iter().position(|(_, marked)| *marked).unwrap() as u16;
    let areas = Areas { rows: ratatui::layout::Rect { x: 1, y: 4, width: 70, height: 15 }, ..Areas::default() };
    let (kind, modifiers) = (MouseEventKind::Down(MouseButton::Left), KeyModifiers::NONE);
    app.handle(Input::Mouse(MouseEvent { kind, column: 1, row: 4 + place, modifiers }), &areas);
    assert_eq!((app.page, app.selected()), (Page::Diagnoses, Some(Key::Place(0))));
}

#[test]
fn the_filter_hides_rows_and_escape_drops_it() {
    let mut app = app();
    press(&mut app, "/cpu > 2");
    assert_eq!(shown(&app), [1, 2]);
    code(&mut app, KeyCode::Enter);
    assert_eq!(app.selected(), Some(Key::Engine(EngineId(1))));
    code(&mut app, KeyCode::Esc);
    assert_eq!(shown(&app), [0, 1, 2]);
    press(&mut app, "/cpo > 2");
    assert!(app.list().query.as_ref().is_err_and(|why| why.contains("no column `cpo`")));
    assert_eq!(shown(&app), [0, 1, 2], "a filter that means nothing hides nothing");
}

#[test]
fn the_cursor_stays_on_its_row() {
    let mut app = app();
    press(&mut app, "jj");
    assert_eq!(app.selected(), Some(Key::Engine(EngineId(2))));
    let cpu = app.table.columns.iter().position(|column| column.name == "cpu");
    app.list_mut().sort_by(cpu);
    app.arrange();
    assert_eq!(shown(&app), [1, 2, 0]);
    assert_eq!(app.selected(), Some(Key::Engine(EngineId(2))));
}

#[test]
fn escape_goes_back_and_never_ends_it() {
    let mut app = app();
    code(&mut app, KeyCode::Enter);
    assert_eq!(app.page, Page::Engine(EngineId(0)));
    assert_eq!(code(&mut app, KeyCode::Esc), []);
    assert_eq!((app.page, code(&mut app, KeyCode::Esc)), (Page::Overview, vec![]));
    assert_eq!(press(&mut app, "q"), [Effect::Quit]);
}

#[test]
fn frozen_figures_stand_still_and_go_on() {
    let mut app = app();
    press(&mut app, "f");
    app.handle(Input::Entries(vec![entry(20, 3_000, up(3))]), &Areas::default());
    app.arrange();
    assert_eq!(shown(&app), [0, 1, 2]);
    press(&mut app, "f");
    assert_eq!(shown(&app), [0, 1, 2, 3]);
}

#[test]
fn nothing_is_drawn_when_nothing_changes() {
    let mut app = app();
    app.dirty = false;
    app.handle(Input::Tick(2_250), &Areas::default());
    assert!(!app.dirty);
    app.handle(Input::Tick(3_001), &Areas::default());
    assert!(app.dirty, "times run on");
    press(&mut app, "f");
    app.dirty = false;
    app.handle(Input::Tick(4_001), &Areas::default());
    assert!(!app.dirty, "frozen");
}

#[test]
fn what_is_not_measured_any_more_is_not_known() {
    let mut app = app();
    let cpu = |app: &App| crate::tables::engines::cpu_now(app.figures(), app.figures().engines.get(&EngineId(1)));
    assert_eq!(cpu(&app), Some(98.0));
    app.handle(Input::Tick(9_000), &Areas::default());
    assert_eq!(cpu(&app), None);
}

#[test]
fn who_connects_again_hears_nothing_twice_and_a_new_controller_adds_to_the_past() {
    let mut app = app();
    let ended = |number| {
        let end = chorus_protocol::RunEnd::Ok;
        let ended = LogEvent::RunEnded { session: 1, run: 1, engine: EngineId(1), end, took: Took::default() };
        entry(number, 3_000, ended)
    };
    app.handle(Input::Entries(vec![ended(10)]), &Areas::default());
    assert_eq!(app.figures().ended.len(), 1);
    let state = |pid| LogEvent::State(Box::new(LogState { pid, since: 1_000, ..LogState::default() }));
    app.handle(Input::Entries(vec![entry(0, 4_000, state(8))]), &Areas::default());
    assert_eq!(app.figures().ended.len(), 1, "another controller of the same cluster");
    app.handle(Input::Entries(vec![entry(9, 5_000, up(0)), entry(0, 5_000, state(8))]), &Areas::default());
    assert_eq!(app.figures().ended.len(), 0, "the same one tells it again");
}

#[test]
fn another_cluster_takes_the_place_of_this_one() {
    let mut app = app();
    assert_eq!(press(&mut app, "C"), [Effect::ListClusters]);
    app.handle(Input::Clusters(vec!["lab".into(), "other".into()]), &Areas::default());
    press(&mut app, "j");
    assert_eq!(code(&mut app, KeyCode::Enter), [Effect::Connect("other".into())]);
    assert!(app.table.rows.is_empty() && app.name == "other" && app.link == Link::Connecting);
}

#[test]
fn a_recording_is_played_paused_and_sought() {
    let theme = Theme::new(Choice::Mono, |_| None);
    let mut app = App::new("file", theme, true);
    let entries = (0..100).map(|number| entry(number + 1, 1_000 * number, up(number as u32))).collect();
    app.replay = Some(Replay::new(entries));
    let count = |app: &App| app.figures().state.engines.len();
    let tick = |app: &mut App, now| app.handle(Input::Tick(now), &Areas::default());
    tick(&mut app, 50_000);
    tick(&mut app, 52_000);
    assert_eq!(count(&app), 3);
    press(&mut app, ">");
    tick(&mut app, 54_000);
    assert_eq!(count(&app), 7, "twice as fast");
    press(&mut app, "p");
    tick(&mut app, 60_000);
    assert_eq!(count(&app), 7, "paused");
    press(&mut app, "..");
    assert_eq!(count(&app), 27);
    press(&mut app, ",");
    assert_eq!(count(&app), 17, "back");
    press(&mut app, &".".repeat(20));
    assert_eq!(count(&app), 100, "the end");
}

#[test]
fn a_recording_that_was_gone_on_with_tells_nothing_twice() {
    let mut app = App::new("file", Theme::new(Choice::Mono, |_| None), true);
    let state = || LogEvent::State(Box::new(LogState { pid: 7, since: 1, ..LogState::default() }));
    let joined = |engine| vec![entry(0, 1_000, state()), entry(1, 1_000, up(engine))];
    app.replay = Some(Replay::new([joined(0), joined(0)].concat()));
    app.handle(Input::Tick(1), &Areas::default());
    assert_eq!(app.figures().messages.len(), 1);
}

#[test]
fn what_is_selected_is_copied_without_what_a_terminal_obeys() {
    let mut app = app();
    press(&mut app, "j");
    let effects = press(&mut app, "y");
    let [Effect::Copy(text)] = &effects[..] else { panic!("{effects:?}") };
    assert!(text.starts_with("1  busy  here  101  1  work()") && !text.contains(char::is_control), "{text}");
    assert!(app.notice.as_ref().is_some_and(|it| !it.bad && it.text.contains("clipboard: 1  busy")));
    let why = "index\x1b[2J out\r\n of\x07 bounds".to_owned();
    let failure = LogEvent::Failure { session: 1, run: 1, engine: EngineId(1), why, own: true };
    let end = chorus_protocol::RunEnd::Failed;
    let ended = LogEvent::RunEnded { session: 1, run: 1, engine: EngineId(1), end, took: Took::default() };
    app.handle(Input::Entries(vec![entry(20, 3_000, failure), entry(21, 3_000, ended)]), &Areas::default());
    assert_eq!(press(&mut app, "2y"), [Effect::Copy("index out of bounds".to_owned())], "as it is shown");
    app.handle(Input::LogFile(EngineId(1), Ok(vec!["one".into(), "a\x1b]52;c;eA==\x07\tb".into()])), &Areas::default());
    (app.page, app.log_of) = (Page::Logs, Some(EngineId(1)));
    app.arrange();
    assert_eq!(press(&mut app, "y"), [Effect::Copy("a]52;c;eA== b".to_owned())]);
}

#[test]
fn a_task_that_went_on_after_a_panic_is_done() {
    let mut app = app();
    let mut number = 20;
    let mut add = |app: &mut App, event| {
        number += 1;
        app.handle(Input::Entries(vec![entry(number, 3_000, event)]), &Areas::default());
    };
    let engine = EngineId(0);
    let ends = chorus_protocol::RunEnd::Ok;
    let mut run = |app: &mut App, run, work, failure: Option<&str>, end| {
        add(app, LogEvent::RunQueued { session: 1, run, work, label: "f".into(), engines: vec![engine] });
        add(app, LogEvent::RunStarted { session: 1, run, engine, snapshot: None });
        add(app, LogEvent::Failure { session: 1, run, engine, why: "odd".into(), own: true });
        add(app, LogEvent::RunEnded { session: 1, run, engine, end, took: Took::default() });
        if let Work::Task(task) = work {
            let failure = failure.map(str::to_owned);
            add(app, LogEvent::TaskEnded { session: 1, task, engine: Some(engine), failure });
        }
        if let Work::Map(map) = work {
            let (items, failed, pieces, micros, left) = (3, 0, 1, 10, 0);
            add(app, LogEvent::MapDone { session: 1, map, engine, items, failed, pieces, micros, left });
            add(app, LogEvent::MapEnded { session: 1, map });
        }
    };
    run(&mut app, 2, Work::Cell, None, ends);
    run(&mut app, 3, Work::Task(1), None, ends);
    run(&mut app, 4, Work::Task(2), Some("odd"), chorus_protocol::RunEnd::Failed);
    for (map, end) in [(1, ends), (2, chorus_protocol::RunEnd::Died)] {
        let opened = LogEvent::MapOpened { session: 1, map, items: None, chunk: None };
        app.handle(Input::Entries(vec![entry(20, 3_000, opened)]), &Areas::default());
        run(&mut app, 10 + map, Work::Map(map), None, end);
    }
    press(&mut app, "2");
    let row = |row: &crate::table::Row| {
        let last = row.cells.last().unwrap();
        (format!("{} {} {}", row.cells[1].text, row.cells[2].text, last.text), last.tone)
    };
    let rows: Vec<(String, Tone)> = app.table.rows.iter().skip(1).map(row).collect();
    let wanted = [
        ("failed map odd; 3 items", Tone::Bad),
        ("done map odd; 3 items", Tone::Warn),
        ("failed call odd", Tone::Bad),
        ("done call it went on after a panic: odd", Tone::Good),
        ("done cell it went on after a panic: odd", Tone::Good),
    ];
    assert_eq!(rows, wanted.map(|(text, tone)| (text.to_owned(), tone)));
}

#[test]
fn a_host_is_unfolded_marked_and_acted_on() {
    let mut app = app();
    let info = EngineInfo { pid: 9, host: "there".into(), cores: 4, ..EngineInfo::default() };
    let up = LogEvent::EngineUp { engine: EngineId(3), info };
    app.handle(Input::Entries(vec![entry(20, 3_000, up)]), &Areas::default());
    press(&mut app, "H");
    assert_eq!((app.table.rows.len(), shown(&app)), (2, vec![]));
    let text = |app: &App, name: &str| {
        let column = app.table.columns.iter().position(|column| column.name == name).unwrap();
        app.table.rows.iter().map(|row| row.cells[column].text.clone()).collect::<Vec<_>>()
    };
    assert_eq!(text(&app, "running"), ["1 busy, 2 idle", "1 idle"]);
    assert_eq!(text(&app, "mem"), ["24M", "n/a"], "the sum; what isn't known isn't 0");
    assert_eq!(text(&app, "cpu"), ["34", "n/a"], "the mean");
    code(&mut app, KeyCode::Enter);
    assert_eq!(shown(&app), [0, 1, 2]);
    assert_eq!(app.targets(), [EngineId(0), EngineId(1), EngineId(2)]);
    press(&mut app, " ");
    assert_eq!(app.marked.len(), 3);
    press(&mut app, "g/busy");
    code(&mut app, KeyCode::Enter);
    assert_eq!(app.targets(), [EngineId(0), EngineId(1), EngineId(2)], "the marked ones");
    app.marked.clear();
    assert_eq!(app.targets(), [EngineId(1)], "those of the host that the filter lets through");
    code(&mut app, KeyCode::Esc);
    press(&mut app, "g");
    code(&mut app, KeyCode::Enter);
    let cpu = app.table.columns.iter().position(|column| column.name == "cpu");
    app.list_mut().sort_by(cpu);
    app.list_mut().sort_by(cpu);
    app.arrange();
    assert_eq!(text(&app, "host"), ["here", "there"], "what isn't known stands last");
    press(&mut app, "H");
    assert_eq!(app.table.rows.len(), 4);
}
