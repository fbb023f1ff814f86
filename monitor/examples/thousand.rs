//! How fast 1,000 simulated engines are drawn, and what that takes in memory:
//! `cargo run -p chorus-monitor --example thousand`, and with `host` behind it, how fast when they are folded by host.

use chorus_monitor::app::{App, Areas, Input};
use chorus_monitor::theme::{Colours, Theme};
use chorus_monitor::views;
use chorus_protocol::{EngineId, EngineInfo, LogEntry, LogEvent, Metrics, ProcessUse, Work};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use std::time::Instant;

const ENGINES: u32 = 1_000;
const HOSTS: u32 = 64;
const SECONDS: u64 = 300;

fn main() {
    let mut app = App::new("simulated", Theme { colours: Colours::True { light: false }, utf8: true }, true);
    app.by_host = std::env::args().nth(1).is_some_and(|group| group == "host");
    let mut number = 0;
    let mut add = |app: &mut App, at: u64, event: LogEvent| {
        number += 1;
        app.handle(Input::Entries(vec![LogEntry { number, at, event }]), &Areas::default());
    };
    for engine in 0..ENGINES {
        let host = format!("node{:02}", engine % HOSTS);
        let info = EngineInfo { pid: 1_000 + engine, host, cores: 8, ..EngineInfo::default() };
        add(&mut app, 0, LogEvent::EngineUp { engine: EngineId(engine), info });
    }
    let engines: Vec<EngineId> = (0..ENGINES).map(EngineId).collect();
    let (session, run, work, label) = (1, 1, Work::Cell, "work(px::rank())".to_owned());
    add(&mut app, 0, LogEvent::RunQueued { session, run, work, label, engines });
    for engine in (0..ENGINES).map(EngineId) {
        add(&mut app, 1, LogEvent::RunStarted { session, run, engine, snapshot: None });
    }
    let measure = |app: &mut App, second: u64, add: &mut dyn FnMut(&mut App, u64, LogEvent)| {
        for engine in 0..ENGINES {
            let cpu = Some(((u64::from(engine) * 7 + second * 13) % 100) as f32);
            let supervisor = ProcessUse { pid: engine, cpu, memory: Some(20 << 20) };
            let (bytes_in, bytes_out) = (second * 1_000, second * 2_000);
            let metrics = Box::new(Metrics { supervisor, bytes_in, bytes_out, ..Metrics::default() });
            add(app, second * 1_000, LogEvent::Measured { engine: EngineId(engine), metrics });
        }
    };
    (0..SECONDS).for_each(|second| measure(&mut app, second, &mut add));
    let size = Rect::new(0, 0, 200, 60);
    app.handle(Input::Resize(size.width, size.height), &Areas::default());
    let options = ratatui::TerminalOptions { viewport: ratatui::Viewport::Fixed(size) };
    let backend = CrosstermBackend::new(std::io::sink());
    let mut terminal = Terminal::with_options(backend, options).expect("a fixed size needs no terminal");
    let (frames, begun) = (300, Instant::now());
    for frame in 0..frames {
        if frame % 30 == 0 {
            measure(&mut app, SECONDS + frame / 30, &mut add);
        }
        app.arrange();
        terminal.draw(|frame| _ = views::draw(frame, &app)).expect("nothing is written anywhere");
    }
    let each = begun.elapsed() / frames as u32;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("memory: n/a");
    println!(
        "{ENGINES} engines: {:.1} ms a frame, {:.0} frames a second; {memory}",
        each.as_secs_f64() * 1e3,
        1.0 / each.as_secs_f64()
    );
}
