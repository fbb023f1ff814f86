//! Every page as it looks, in both sizes and with both kinds of characters.

use super::*;
use crate::app::{Goal, Input, Page};
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
        if engine == 2 {
            log.fail(12_990, 1, 2, "attempt to divide by zero");
        }
        log.end(9_000 + 2_000 * u64::from(engine), 1, engine, end);
    }
    let work = Work::Task(5);
    let engines = vec![EngineId(3)];
    log.add(18_000, LogEvent::TaskSubmitted { session: 1, task: 5, label: "score".into(), needs: vec![] });
    log.add(18_000, LogEvent::RunQueued { session: 1, run: 2, work, label: "score".into(), engines });
    log.add(18_100, LogEvent::RunStarted { session: 1, run: 2, engine: EngineId(3), snapshot: None });
    log.fail(20_990, 2, 3, "index out of bounds: the len is 3 but the index is 7");
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

    fn fail(&mut self, after: u64, run: u64, engine: u32, why: &str) {
        let why = why.to_owned();
        self.add(after, LogEvent::Failure { session: 1, run, engine: EngineId(engine), why, own: true });
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
        busy: Some(37.0),
        celsius: Some(54),
        watts: None,
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

/// With a count in the place of rows that are the same again and again.
fn short(screen: &str) -> String {
    let lines: Vec<&str> = screen.lines().collect();
    let groups = lines.chunk_by(|a, b| a == b).flat_map(|same| match same.len() {
        0..3 => same.iter().map(|line| (*line).to_owned()).collect(),
        count => vec![same[0].to_owned(), format!("{} more of these", count - 1)],
    });
    groups.collect::<Vec<_>>().join("\n")
}

/// The looks of the cells: a letter for each colour, a capital if it is reversed, and `.` for the terminal's own.
fn looks(app: &mut App, (columns, rows): (u16, u16)) -> String {
    use ratatui::style::Color;
    screen(app, (columns, rows));
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| _ = draw(frame, app)).unwrap();
    let buffer = terminal.backend().buffer();
    let look = |x, y| {
        let cell = &buffer[(x, y)];
        assert_eq!(cell.bg, Color::Reset, "16 colours leave the ground alone");
        let letter = match cell.fg {
            Color::Reset => '.',
            Color::DarkGray => 'd',
            Color::Cyan => 'c',
            Color::Green => 'g',
            Color::Blue => 'b',
            Color::Magenta => 'm',
            Color::Yellow => 'y',
            Color::Red => 'r',
            other => panic!("{other:?} is none of the 16 colours' tones"),
        };
        let reversed = cell.modifier.contains(Modifier::REVERSED);
        if reversed && letter == '.' {
            '#'
        } else if reversed {
            letter.to_ascii_uppercase()
        } else {
            letter
        }
    };
    let row = |y| (0..columns).map(|x| look(x, y)).collect::<String>();
    (0..rows).map(|y| row(y).trim_end_matches('.').to_owned()).collect::<Vec<_>>().join("\n")
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
    let sizes = [
        (true, (40, 10), "40"),
        (true, (80, 24), "80"),
        (true, (120, 40), "120"),
        (true, (300, 100), "300"),
        (false, (80, 24), "ascii"),
        (false, (120, 40), "ascii_120"),
    ];
    for (utf8, size, kind) in sizes {
        for (name, page) in PAGES {
            let mut app = app(utf8);
            app.page = page;
            let screen = screen(&mut app, size);
            assert!(utf8 || screen.is_ascii(), "{name}:\n{screen}");
            insta::assert_snapshot!(format!("{name}_{kind}"), short(&screen));
        }
    }
}

#[test]
fn sixteen_colours_are_the_terminals_own() {
    for (name, page) in PAGES {
        let [mut app, mut plain] = [app(true), app(true)];
        (app.page, plain.page) = (page, page);
        app.theme.colours = Colours::Sixteen;
        let looks = looks(&mut app, (120, 40));
        // The stream's kinds differ by colours only.
        assert!(page == Page::Stream || screen(&mut app, (120, 40)) == screen(&mut plain, (120, 40)), "{name}");
        insta::assert_snapshot!(format!("{name}_16"), short(&looks));
    }
}

#[test]
fn the_smallest_terminal_shows_engines() {
    let shown = screen(&mut app(true), (40, 10));
    for (id, state) in [(0, "busy"), (1, "idle"), (2, "idle"), (3, "idle")] {
        let row = format!("{id} {state}");
        assert!(shown.lines().any(|line| line.contains(&row) && line.ends_with('│')), "{row}:\n{shown}");
    }
}

#[test]
fn engines_are_folded_by_host() {
    let mut app = app(true);
    for engine in 4..6 {
        let info = EngineInfo { pid: 500 + engine, host: "other".into(), cores: 8, ..EngineInfo::default() };
        let number = app.figures().number + 1;
        let event = LogEvent::EngineUp { engine: EngineId(engine), info };
        app.handle(Input::Entries(vec![LogEntry { number, at: BEGIN + 60_000, event }]), &Areas::default());
    }
    app.by_host = true;
    insta::assert_snapshot!("hosts", short(&screen(&mut app, (120, 24))));
    let crate::table::Key::Host(host) = app.selected().unwrap() else { panic!("{:?}", app.selected()) };
    app.unfolded.insert(host);
    insta::assert_snapshot!("hosts_unfolded", short(&screen(&mut app, (80, 24))));
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
fn help_is_not_cut_in_a_usual_terminal() {
    let mut app = app(true);
    app.page = Page::Help;
    let help = screen(&mut app, (80, 60));
    assert!(help.contains("Ctrl-Z") && !help.contains('~'), "{help}");
}

#[test]
fn the_mouse_finds_what_was_drawn() {
    let mut app = app(true);
    // One call that waits for another, which is about to run.
    let submitted = |task, needs| LogEvent::TaskSubmitted { session: 1, task, label: "score".into(), needs };
    let (work, label, engines) = (Work::Task(6), "score".to_owned(), vec![EngineId(0)]);
    let queued = LogEvent::RunQueued { session: 1, run: 5, work, label, engines };
    let number = app.figures().number;
    let events = [submitted(6, vec![]), submitted(7, vec![6]), queued];
    let entries = (number + 1..).zip(events).map(|(number, event)| LogEntry { number, at: BEGIN + 60_000, event });
    app.handle(Input::Entries(entries.collect()), &Areas::default());
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
    app.handle(click(areas.rows.x + 4, areas.rows.y + 2), &areas);
    assert_eq!(app.list().place, 2);
    let (column, place) = *areas.columns.iter().find(|(_, it)| app.table.columns[*it].name == "cpu").unwrap();
    app.handle(click(column.x, column.y), &areas);
    assert_eq!((app.list().sort.column, app.list().sort.descending), (Some(place), true));
    let link = |goal| areas.links.iter().find(|(_, it)| *it == goal).map(|(area, _)| (area.x, area.y)).unwrap();
    let mut follow = |goal| {
        let (x, y) = link(goal);
        app.handle(click(x, y), &areas);
        app.arrange();
        (app.page, app.list().filter.clone(), app.errors_only, app.table.rows.len())
    };
    let in_state = |state| Goal::Rows(Page::Overview, format!("state = {state}"));
    for (state, count) in [("busy", 1), ("idle", 3)] {
        assert_eq!(follow(in_state(state)), (Page::Overview, format!("state = {state}"), false, count));
    }
    assert_eq!(follow(Goal::Page(Page::Memory)).0, Page::Memory);
    assert_eq!(follow(Goal::Page(Page::Overview)).1, "state = idle", "a page is as it was left");
    assert_eq!(follow(Goal::Rows(Page::Overview, String::new())), (Page::Overview, String::new(), false, 4));
    // Each figure of tasks leaves what it counts, also behind a click on another one.
    for (filter, count) in [("state = queued", 2), (header::OPEN_MAPS, 1), (header::OPEN_CALLS, 2), ("", 10)] {
        assert_eq!(follow(Goal::Failures), (Page::Tasks, String::new(), true, 2));
        assert_eq!(follow(Goal::Rows(Page::Tasks, filter.to_owned())), (Page::Tasks, filter.to_owned(), false, count));
    }
    follow(Goal::Failures);
    assert!(follow(in_state("busy")).2, "the list of tasks is left alone");
    // The mark of the first engine.
    let mut app = self::app(true);
    app.handle(Input::Resize(120, 40), &Areas::default());
    app.handle(click(areas.rows.x + 1, areas.rows.y), &areas);
    assert_eq!((app.page, app.selected()), (Page::Diagnoses, Some(crate::table::Key::Place(0))));
}

#[test]
fn a_click_on_a_bar_tells_what_it_is() {
    use crate::app::Dialog;
    use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
    let mut app = app(true);
    app.page = Page::Stream;
    screen(&mut app, (120, 40));
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    let mut areas = Areas::default();
    terminal.draw(|frame| areas = draw(frame, &app)).unwrap();
    let lanes = areas.lanes.unwrap();
    let mut click = |row: u16, second: u64| {
        let column = (second * 1000 + BEGIN - lanes.from) * u64::from(lanes.area.width) / (lanes.to - lanes.from);
        let (column, row) = (lanes.area.x + column as u16, lanes.area.y + row);
        let kind = MouseEventKind::Down(MouseButton::Left);
        let event = |column, row| Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE });
        app.handle(event(column, row), &areas);
        let told = match app.dialog.take() {
            Some(Dialog::Details(whose, facts)) => Some((whose, facts[0].1.clone(), facts[1].1.clone())),
            _ => None,
        };
        told.map(|(whose, what, kind)| [whose, what, kind].join(" | "))
    };
    assert_eq!(click(1, 40).unwrap(), "Engine 0 | slow() | cell, running");
    assert_eq!(click(2, 27).unwrap(), "Engine 1 | items of map 1".replace(" | items", " |  | items"));
    assert_eq!(click(3, 8).unwrap(), "Engine 2 | let hits = throws(10_000_000, 3); | cell, failed");
    assert_eq!(click(0, 1).unwrap(), "The notebook | throws(n) | compilation");
    assert_eq!(click(3, 50), None, "nothing is there");
}

#[test]
fn figures_go_back_as_far_as_the_curves() {
    const { assert!(crate::tables::engines::CURVE <= SECONDS) };
}
