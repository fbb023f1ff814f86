//! One engine: figures and curves, what is wrong with it, what it runs and ran.

use super::{boxed, rows, span};
use crate::app::{App, Areas};
use crate::tables::engines;
use crate::text;
use crate::theme::Tone;
use chorus_history::{EngineFigures, Series};
use chorus_protocol::EngineId;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

/// For how many seconds the curves go back.
const BACK: usize = 120;

/// How many rows of a body stand above the table, with the line between.
pub fn height(body: u16) -> u16 {
    match body {
        0..10 => 3,
        10..14 => 7,
        14..50 => 11,
        _ => 23,
    }
}

pub fn draw(frame: &mut Frame<'_>, app: &App, id: EngineId, area: Rect, areas: &mut Areas) {
    let theme = &app.theme;
    let figures = app.figures();
    let Some(engine) = figures.state.engines.get(&id) else {
        let block = boxed(theme, span(theme, Tone::Accent, format!(" Engine {id} ")).into());
        frame.render_widget(span(theme, Tone::Dim, "It is gone. Esc goes back."), block.inner(area));
        frame.render_widget(block, area);
        return;
    };
    let (state, tone) = engines::state(engine);
    let mut title = Line::from(span(theme, Tone::Accent, format!(" Engine {id} ")));
    title.push_span(span(theme, tone, format!("{state} ")));
    let block = boxed(theme, title);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let [above, below] =
        Layout::vertical([Constraint::Length(height(inside.height)), Constraint::Min(0)]).areas(inside);
    let [facts, curves] = Layout::horizontal([Constraint::Length(34), Constraint::Min(0)]).spacing(1).areas(above);
    frame.render_widget(ratatui::widgets::Paragraph::new(lines(app, id)), facts);
    let of = figures.engines.get(&id);
    // Of fewer columns, the scales would take all.
    if curves.width > 20 {
        draw_curves(frame, app, of, curves);
    }
    rows::draw(frame, app, below, areas);
}

/// What is known of it in words; what is wrong comes first.
fn lines(app: &App, id: EngineId) -> Vec<Line<'static>> {
    let theme = &app.theme;
    let figures = app.figures();
    let Some(engine) = figures.state.engines.get(&id) else { return Vec::new() };
    let fact = |name: &str, value: String| {
        Line::from(vec![span(theme, Tone::Dim, format!("{name:<9}")), span(theme, Tone::Normal, value)])
    };
    let unknown = || text::UNKNOWN.to_owned();
    let mut lines: Vec<Line<'static>> = app
        .diagnoses_of(id)
        .map(|it| span(theme, Tone::Warn, format!("{} {}: see 8", theme.warning(), it.kind)).into())
        .collect();
    let info = engine.info.as_ref();
    lines.push(fact("process", info.map_or_else(unknown, |it| format!("{} on {}", it.pid, it.host))));
    let up = engine.since.map(|since| text::millis(figures.now.saturating_sub(since)));
    lines.push(fact("up", up.unwrap_or_else(unknown)));
    let now = engines::current(engine).map_or("nothing".to_owned(), |run| crate::tables::line(&run.label, theme));
    lines.push(fact("running", now));
    lines.push(fact("runs", format!("{} done, {} failed, {} died", engine.done, engine.failed, engine.restarts)));
    let workers = engine.metrics.as_ref().map(|it| it.workers.len().to_string());
    lines.push(fact("workers", workers.unwrap_or_else(unknown)));
    lines.push(fact("snapshot", engines::snapshots(engine).map_or_else(unknown, text::bytes)));
    if let Some(of) = figures.engines.get(&id).filter(|it| it.snapshots.1 > 0) {
        let (micros, count) = of.snapshots;
        lines.push(fact("", format!("{count} taken, {} each", text::micros(micros / count, theme.utf8))));
    }
    if let Some(gpu) = engine.metrics.as_ref().and_then(|it| it.gpu.as_ref()) {
        let busy = gpu.busy.map_or_else(unknown, |busy| format!("{busy:.0}%"));
        let used = gpu.memory_used.map_or_else(unknown, text::bytes);
        lines.push(fact("GPU", format!("{busy} {used} {}", crate::tables::line(&gpu.name, theme))));
    }
    lines
}

fn draw_curves(frame: &mut Frame<'_>, app: &App, of: Option<&EngineFigures>, area: Rect) {
    let theme = &app.theme;
    let now = app.figures().now;
    let write_bytes = |value: f64| text::bytes(value as u64);
    let percent = |value: f64| format!("{value:.0}%");
    let empty = EngineFigures::default();
    let of = of.unwrap_or(&empty);
    type Curve<'a> = (&'static str, &'a Series, Tone, f64, &'a dyn Fn(f64) -> String);
    let curves: [Curve<'_>; 4] = [
        ("CPU", &of.cpu, Tone::Busy, 100.0, &percent),
        ("memory", &of.memory, Tone::Good, 1.0, &write_bytes),
        ("in /s", &of.bytes_in, Tone::Moving, 1.0, &write_bytes),
        ("out /s", &of.bytes_out, Tone::Moving, 1.0, &write_bytes),
    ];
    let each = match area.height {
        0..7 => [1, 1, 0, 0],
        7..10 => [2, 2, 1, 1],
        10..20 => [4, 2, 2, 2],
        _ => [8, 6, 4, 4],
    };
    let mut y = area.y;
    for ((name, series, tone, least, write), rows) in curves.into_iter().zip(each).filter(|(_, rows)| *rows > 0) {
        let values = series.seconds(now, BACK);
        let most = values.iter().flatten().copied().fold(least, f64::max);
        let last = series.last().map_or(text::UNKNOWN.to_owned(), write);
        let label = Rect { x: area.x, y, width: 14.min(area.width), height: 1 };
        frame.render_widget(
            Line::from(vec![span(theme, Tone::Dim, format!("{name:<7}")), span(theme, tone, format!("{last:>6}"))]),
            label,
        );
        if rows > 1 {
            let scale = Rect { y: y + 1, ..label };
            frame.render_widget(span(theme, Tone::Dim, format!("up to {:>6}", write(most))), scale);
        }
        let drawn = Rect { x: area.x + 14, y, width: area.width.saturating_sub(14), height: rows };
        tall(frame, app, drawn, &values, most, tone);
        y += rows;
    }
}

/// A curve of several rows.
fn tall(frame: &mut Frame<'_>, app: &App, area: Rect, values: &[Option<f64>], most: f64, tone: Tone) {
    for row in 0..area.height {
        // How much of the value this row shows, counted from the bottom.
        let below = f64::from(area.height - 1 - row);
        let part = |value: &Option<f64>| {
            let height = value.as_ref()? / most * f64::from(area.height) - below;
            (height > 0.0 || below == 0.0).then_some(height as f32)
        };
        let parts: Vec<Option<f32>> = values.iter().map(part).collect();
        let line = Rect { y: area.y + row, height: 1, ..area };
        rows::curve(frame.buffer_mut(), line, &parts, &app.theme, app.theme.style(tone));
    }
}
