//! Every page as it looks, in both sizes and with both kinds of characters.

use super::*;
use crate::app::{Input, Page};
use crate::theme::Colours;
use chorus_history::SECONDS;
use chorus_protocol::{
    ClientInfo, EngineId, EngineInfo, GpuUse, HostUse, LogEntry, LogEvent, LogState, Metrics, NotebookUse, ProcessUse,
    RoomUse, RunEnd, SessionNumber, Took, VariableUse, Variables, Work, WorkerUse,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

/// The time of the first measurement, in milliseconds since 1970.
const BEGIN: u64 = 1_700_000_000_000;

/// A minute of a cluster of four engines.
fn log() -> Vec<LogEntry> {
    let mut log = Log::default();
    let state = LogState { name: "lab".into(), pid: 40, since: BEGIN - 7_500_000, ..LogState::default() };
    log.add(0, LogEvent::State(Box::new(state)));
    for engine in 0..4 {
        let info = EngineInfo { pid: 100 + engine, host: "node".into(), cores: 8, ..EngineInfo::default() };
        log.add(0, LogEvent::EngineUp { engine: EngineId(engine), info });
    }
    let client = ClientInfo { name: "throws.ipynb".into(), pid: 77, host: "node".into() };
    log.add(0, LogEvent::SessionOpened { session: 1, client });
    log.add(2_000, LogEvent::Compiled { session: 1, label: "throws(n)".into(), micros: 1_900_000, cached: false });
    log.run(2_100, 1, "let hits = throws(10_000_000, 3);", &[0, 1, 2, 3]);
    for engine in 0..4 {
        let end = if engine == 2 { RunEnd::Failed } else { RunEnd::Ok };
        log.end(9_000 + 2_000 * u64::from(engine), 1, engine, end);
    }
    let work = Work::Task(5);
    let engines = vec![EngineId(3)];
    log.add(18_000, LogEvent::TaskSubmitted { session: 1, task: 5, label: "score".into(), needs: vec![] });
    log.add(18_000, LogEvent::RunQueued { session: 1, run: 2, work, label: "score".into(), engines });
    log.add(18_100, LogEvent::RunStarted { session: 1, run: 2, engine: EngineId(3), snapshot: None });
    log.end(21_000, 2, 3, RunEnd::Failed);
    let failure = Some("call 5 (score) panicked on engine 3: index out of bounds".to_owned());
    log.add(21_000, LogEvent::TaskEnded { session: 1, task: 5, engine: Some(EngineId(3)), failure });
    log.add(24_000, LogEvent::MapOpened { session: 1, map: 1, items: Some(1_000), chunk: None });
    for second in 25..31u64 {
        for engine in [1, 2] {
            let (items, pieces, micros) = (50, 5, 800_000);
            let done = LogEvent::MapDone {
                session: 1,
                map: 1,
                engine: EngineId(engine),
                items,
                failed: 0,
                pieces,
                micros,
                left: 40,
            };
            log.add(second * 1000, done);
        }
    }
    log.run(32_000, 3, "slow()", &[0]);
    let engines = vec![EngineId(0)];
    log.add(33_000, LogEvent::RunQueued { session: 1, run: 4, work: Work::Cell, label: "later()".into(), engines });
    for second in 0..60 {
        for engine in 0..4 {
            log.add(second * 1000 + 500, measured(engine, second));
        }
    }
    let variable = |name: &str, bytes| VariableUse { name: name.into(), bytes, length: None };
    let on_engine = Variables::new(vec![variable("table", Some(21 << 20)), variable("model", None)]);
    log.add(40_000, LogEvent::EngineHolds { engine: EngineId(1), session: 1, variables: on_engine });
    let own = Variables::new(vec![variable("data", Some(3 << 20))]);
    let rooms = vec![RoomUse { number: 4, bytes: 3 << 20, in_cells: true }];
    log.add(40_000, LogEvent::NotebookHolds { session: 1, held: NotebookUse::new(own, rooms) });
    log.0.sort_by_key(|entry| entry.at);
    (1..).zip(&mut log.0).for_each(|(number, entry)| entry.number = number);
    log.0
}

#[derive(Default)]
struct Log(Vec<LogEntry>);

impl Log {
    fn add(&mut self, after: u64, event: LogEvent) {
        self.0.push(LogEntry { number: 0, at: BEGIN + after, event });
    }

    fn run(&mut self, after: u64, run: u64, label: &str, engines: &[u32]) {
        let ids: Vec<EngineId> = engines.iter().copied().map(EngineId).collect();
        let label = label.to_owned();
        self.add(after, LogEvent::RunQueued { session: 1, run, work: Work::Cell, label, engines: ids.clone() });
        for engine in ids {
            self.add(after + 50, LogEvent::RunStarted { session: 1, run, engine, snapshot: None });
        }
    }

    fn end(&mut self, after: u64, run: u64, engine: u32, end: RunEnd) {
        let took = Took { wall: 2_950_000, user: 2_900_000, system: 10_000 };
        self.add(after, LogEvent::RunEnded { session: 1, run, engine: EngineId(engine), end, took });
    }
}

fn measured(engine: u32, second: u64) -> LogEvent {
    let busy = [33..60u64, 25..31, 3..31, 3..21][engine as usize].contains(&second);
    let cpu = Some(if busy { 97.0 } else { 0.2 });
    let process = |pid, memory| ProcessUse { pid, cpu, memory: Some(memory) };
    let session: SessionNumber = 1;
    let snapshot = Some(ProcessUse { pid: 300 + engine, cpu: None, memory: Some(20 << 20) });
    let supervisor = ProcessUse { pid: 100 + engine, cpu: Some(0.1), memory: Some(9 << 20) };
    let workers = vec![WorkerUse { session, worker: process(200 + engine, (30 + second) << 20), snapshot }];
    let host = HostUse { memory: Some(16 << 30), memory_used: Some(5 << 30), ..HostUse::default() };
    let gpu = (engine == 1).then(|| GpuUse {
        name: "NVIDIA H100".into(),
        memory: Some(80 << 30),
        memory_used: Some(3 << 30),
        busy: None,
    });
    let (bytes_in, bytes_out) = (second * 4_000, second * 900_000);
    LogEvent::Measured {
        engine: EngineId(engine),
        metrics: Box::new(Metrics { supervisor, workers, host, bytes_in, bytes_out, gpu }),
    }
}

fn app(utf8: bool) -> App {
    let mut app = App::new("lab", Theme { colours: Colours::None, utf8 }, false);
    let areas = Areas::default();
    app.handle(Input::Tick(BEGIN), &areas);
    app.handle(Input::Linked("lab".into()), &areas);
    app.handle(Input::Entries(log()), &areas);
    app
}

fn screen(app: &mut App, (columns, rows): (u16, u16)) -> String {
    app.handle(Input::Resize(columns, rows), &Areas::default());
    app.arrange();
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| _ = draw(frame, app)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..columns).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..rows).map(|y| row(y).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

const PAGES: [(&str, Page); 10] = [
    ("engines", Page::Overview),
    ("tasks", Page::Tasks),
    ("stream", Page::Stream),
    ("memory", Page::Memory),
    ("sessions", Page::Sessions),
    ("logs", Page::Logs),
    ("gpu", Page::Gpu),
    ("diagnoses", Page::Diagnoses),
    ("engine", Page::Engine(EngineId(0))),
    ("help", Page::Help),
];

#[test]
fn every_page_looks_as_it_should() {
    for (utf8, size, kind) in [(true, (80, 24), "80"), (true, (120, 40), "120"), (false, (80, 24), "ascii")] {
        for (name, page) in PAGES {
            let mut app = app(utf8);
            app.page = page;
            let screen = screen(&mut app, size);
            assert!(utf8 || screen.is_ascii(), "{name}:\n{screen}");
            insta::assert_snapshot!(format!("{name}_{kind}"), screen);
        }
    }
}

#[test]
fn dialogs_stand_above_the_page() {
    use crate::app::Dialog;
    use chorus_protocol::Order;
    let engines = vec![EngineId(0), EngineId(1)];
    let mut app = app(true);
    app.dialog = Some(Dialog::Confirm(Order::Restart { engines: engines.clone() }));
    let confirm = screen(&mut app, (80, 24));
    assert!(confirm.contains("Restart the workers of engines 0-1?"), "{confirm}");
    assert!(confirm.contains("lose their variables"), "{confirm}");
    app.dialog = Some(Dialog::Signal(engines, 1));
    insta::assert_snapshot!("signal", screen(&mut app, (80, 24)));
}

#[test]
fn the_footer_says_that_there_is_more() {
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    for utf8 in [true, false] {
        let mut app = app(utf8);
        for key in "/foo > 1".chars() {
            app.handle(Input::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE)), &Areas::default());
        }
        let shown = screen(&mut app, (80, 24));
        let footer = shown.lines().last().unwrap();
        assert!(footer.starts_with(" / foo > 1   there is no column `foo`; there are id, state"), "{footer}");
        assert!(footer.ends_with('~') && footer.chars().count() == 80, "{footer}");
        assert!(screen(&mut app, (240, 24)).ends_with("seen"));
        // The filter may be all that there is room for.
        for key in "x".repeat(90).chars() {
            app.handle(Input::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE)), &Areas::default());
        }
        screen(&mut app, (80, 24));
    }
}

#[test]
fn no_size_and_no_page_is_too_much() {
    for size in [(1, 1), (20, 5), (40, 10), (41, 11), (80, 9), (300, 100), (300, 12), (40, 100)] {
        for (_, page) in PAGES {
            let mut app = app(true);
            app.page = page;
            screen(&mut app, size);
            let mut empty = App::new("none", app.theme, false);
            empty.page = page;
            screen(&mut empty, size);
        }
    }
}

#[test]
fn what_is_not_known_is_not_zero() {
    let mut app = App::new("lab", Theme { colours: Colours::None, utf8: true }, false);
    let connecting = screen(&mut app, (120, 24));
    assert!(connecting.contains("CPU n/a") && connecting.contains("Connecting to the cluster `lab`"), "{connecting}");
    let info = EngineInfo { pid: 1, host: "node".into(), cores: 1, ..EngineInfo::default() };
    let up = LogEvent::EngineUp { engine: EngineId(0), info };
    app.handle(Input::Entries(vec![LogEntry { number: 1, at: BEGIN, event: up }]), &Areas::default());
    let engines = screen(&mut app, (120, 24));
    assert!(engines.lines().any(|line| line.contains("idle") && line.matches("n/a").count() >= 4), "{engines}");
}

#[test]
fn a_cluster_that_is_gone_is_dimmed_and_says_why() {
    let mut app = app(true);
    app.handle(Input::Lost("no cluster `lab` is running now".into()), &Areas::default());
    let text = screen(&mut app, (120, 24));
    assert!(text.contains("gone, trying again") && text.contains("no cluster `lab` is running now"), "{text}");
    let mut terminal = Terminal::new(TestBackend::new(120, 24)).unwrap();
    terminal.draw(|frame| _ = draw(frame, &app)).unwrap();
    let cell = &terminal.backend().buffer()[(10, 5)];
    assert!(cell.modifier.contains(Modifier::DIM), "{cell:?}");
}

#[test]
fn the_mouse_finds_what_was_drawn() {
    let mut app = app(true);
    app.handle(Input::Resize(120, 40), &Areas::default());
    app.arrange();
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    let mut areas = Areas::default();
    terminal.draw(|frame| areas = draw(frame, &app)).unwrap();
    let click = |x, y| {
        use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
        let kind = MouseEventKind::Down(MouseButton::Left);
        Input::Mouse(MouseEvent { kind, column: x, row: y, modifiers: KeyModifiers::NONE })
    };
    app.handle(click(areas.rows.x, areas.rows.y + 2), &areas);
    assert_eq!(app.list().place, 2);
    let (column, place) = *areas.columns.iter().find(|(_, it)| app.table.columns[*it].name == "cpu").unwrap();
    app.handle(click(column.x, column.y), &areas);
    assert_eq!((app.list().sort.column, app.list().sort.descending), (Some(place), true));
    let (tab, page) = areas.tabs[3];
    app.handle(click(tab.x, tab.y), &areas);
    assert_eq!(app.page, page);
}

#[test]
fn figures_go_back_as_far_as_the_curves() {
    const { assert!(crate::tables::engines::CURVE <= SECONDS) };
}
