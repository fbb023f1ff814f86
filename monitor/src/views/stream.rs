//! The task stream: engines by time, with what each did.

use super::{boxed, rows, span};
use crate::app::{App, Areas, Lanes};
use crate::table::Key;
use crate::tables::{busy_share, engines};
use crate::text;
use crate::theme::{Colours, Theme, Tone};
use chorus_history::{Bar, BarKind};
use chorus_protocol::{EngineId, RunEnd, Work};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::collections::BTreeMap;

/// Columns for an engine's number and its busy share.
const NAMES: u16 = 10;

/// How many rows of a body aren't engines': the notebook's, the time, and where there is room the run under way and the
/// legend.
pub fn others(body: u16) -> u16 {
    if body < 8 { 2 } else { 4 }
}

/// What a place of the stream shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    Compile,
    Transfer,
    Run,
    Items,
    Failed,
}

impl Shown {
    fn of(bar: &Bar) -> Shown {
        match (bar.kind, bar.end) {
            (BarKind::Compile, _) => Shown::Compile,
            (BarKind::Transfer, _) => Shown::Transfer,
            (BarKind::Run, Some(RunEnd::Failed | RunEnd::Died | RunEnd::Restored)) => Shown::Failed,
            (BarKind::Run, _) => Shown::Run,
            (BarKind::Items, _) => Shown::Items,
        }
    }

    fn tone(self) -> Tone {
        match self {
            Shown::Nothing => Tone::Dim,
            Shown::Compile => Tone::Compile,
            Shown::Transfer => Tone::Moving,
            Shown::Run => Tone::Busy,
            Shown::Items => Tone::Good,
            Shown::Failed => Tone::Bad,
        }
    }

    /// A block in its colour; without colours, kinds differ by their characters.
    fn symbol(self, theme: &Theme) -> &'static str {
        let coloured = theme.colours != Colours::None && theme.utf8;
        match self {
            Shown::Nothing if theme.utf8 => "·",
            Shown::Nothing => ".",
            _ if coloured => "█",
            Shown::Compile => "c",
            Shown::Transfer => "t",
            Shown::Run => "#",
            Shown::Items => "=",
            Shown::Failed => "X",
        }
    }
}

pub fn draw(frame: &mut Frame<'_>, app: &App, area: Rect, areas: &mut Areas) {
    let theme = &app.theme;
    let figures = app.figures();
    let to = app.panning.until.unwrap_or(figures.now);
    let from = to.saturating_sub(app.panning.span);
    let mut title = rows::title(app);
    title.push_span(span(
        theme,
        Tone::Normal,
        format!("the {} until {} UTC ", text::millis(app.panning.span), text::clock(to)),
    ));
    let follows =
        if app.panning.until.is_none() { (Tone::Good, "following ") } else { (Tone::Warn, "End: the present ") };
    title.push_span(span(theme, follows.0, follows.1));
    let block = boxed(theme, title);
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let lanes = Rect { x: inside.x + NAMES, width: inside.width.saturating_sub(NAMES), ..inside };
    let count = usize::from(lanes.width);

    let by_engine = bars(app, from, to);
    let lane = |frame: &mut Frame<'_>, row: u16, bars: Option<&Vec<(Shown, u64, u64)>>| {
        let shown = slices(bars.map_or(&[], |it| it), from, to, count);
        for (column, kind) in shown.into_iter().enumerate() {
            if let Some(cell) = frame.buffer_mut().cell_mut((lanes.x + column as u16, row)) {
                cell.set_symbol(kind.symbol(theme)).set_style(theme.style(kind.tone()));
            }
        }
    };
    frame.render_widget(span(theme, Tone::Accent, "notebook"), Rect { height: 1, ..inside });
    lane(frame, inside.y, by_engine.get(&None));
    let room = inside.height.saturating_sub(others(inside.height));
    areas.rows = Rect { y: inside.y + 1, height: room, ..inside };
    areas.lanes = Some(Lanes { area: Rect { height: room.min(app.table.rows.len() as u16) + 1, ..lanes }, from, to });
    let list = app.list();
    for (number, row) in app.table.rows.iter().skip(list.top).take(room.into()).enumerate() {
        let Key::Engine(id) = row.key else { continue };
        let y = inside.y + 1 + number as u16;
        let busy = busy_share(figures, id, from, to) * 100.0;
        let name = Line::from(vec![
            span(theme, Tone::Accent, format!("{id:>4}")),
            span(theme, Tone::Dim, format!("{busy:>4.0}%")),
        ]);
        let names = Rect { y, height: 1, width: NAMES - 1, ..inside };
        frame.render_widget(name, names);
        lane(frame, y, by_engine.get(&Some(id)));
        if list.top + number == list.place {
            frame.buffer_mut().set_style(names, theme.cursor());
        }
    }
    // Right below the last lane.
    let lanes_shown = app.table.rows.len().saturating_sub(list.top).min(room.into()) as u16;
    let bottom = inside.y + 1 + lanes_shown;
    axis(frame, app, Rect { y: bottom, height: 1, ..lanes }, from, to);
    if bottom + 2 < inside.bottom() {
        frame.render_widget(about(app, to), Rect { y: bottom + 1, height: 1, ..inside });
        frame.render_widget(legend(theme), Rect { y: bottom + 2, height: 1, ..inside });
    }
}

/// What is in sight, by engine, with the runs that haven't ended.
fn bars(app: &App, from: u64, to: u64) -> BTreeMap<Option<EngineId>, Vec<(Shown, u64, u64)>> {
    let figures = app.figures();
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for bar in figures.stream.between(from, to) {
        found.entry(bar.engine).or_default().push((Shown::of(bar), bar.from, bar.to));
    }
    for (id, engine) in &figures.state.engines {
        if let Some(run) = engines::current(engine).filter(|run| !matches!(run.work, Work::Map(_))) {
            let since = run.started.unwrap_or(figures.now);
            found.entry(Some(*id)).or_default().push((Shown::Run, since, figures.now));
        }
    }
    found
}

/// What was done for the longest in each of so many slices of the time.
fn slices(bars: &[(Shown, u64, u64)], from: u64, to: u64, count: usize) -> Vec<Shown> {
    let length = to.saturating_sub(from).max(1) as f64 / count.max(1) as f64;
    let mut longest = vec![(Shown::Nothing, 0.0); count];
    for (kind, begin, end) in bars {
        let (begin, end) = ((*begin).max(from), (*end).min(to));
        if begin > end {
            continue;
        }
        let (begin, end) = ((begin - from) as f64, (end - from) as f64);
        let (first, last) = ((begin / length) as usize, (end / length) as usize);
        for (slice, longest) in longest.iter_mut().enumerate().take(last + 1).skip(first) {
            let edge = slice as f64 * length;
            let covered = end.min(edge + length) - begin.max(edge);
            // What is shorter than a slice is seen nonetheless; a failure goes before all else.
            if covered >= longest.1 && longest.0 != Shown::Failed || *kind == Shown::Failed {
                *longest = (*kind, covered);
            }
        }
    }
    longest.into_iter().map(|(kind, _)| kind).collect()
}

/// Times below the lanes.
fn axis(frame: &mut Frame<'_>, app: &App, area: Rect, from: u64, to: u64) {
    const APART: u16 = 16;
    for column in (0..area.width.saturating_sub(10)).step_by(APART.into()) {
        let age = to - (from + (to - from) * u64::from(column) / u64::from(area.width.max(1)));
        let mark = if app.theme.utf8 { "└" } else { "|" };
        let label = format!("{mark}-{}", text::millis(age));
        let place = Rect { x: area.x + column, width: 10, ..area };
        frame.render_widget(span(&app.theme, Tone::Dim, label), place);
    }
    let end = if app.panning.until.is_none() { "now" } else { "" };
    rows::put(frame.buffer_mut(), area, end, true, app.theme.style(Tone::Dim));
}

/// What the engine under the cursor is at, or was at last.
fn about(app: &App, to: u64) -> Line<'static> {
    let theme = &app.theme;
    let Some(Key::Engine(id)) = app.selected() else { return Line::default() };
    let figures = app.figures();
    let current = figures.state.engines.get(&id).and_then(engines::current);
    let text = match current {
        Some(run) => {
            let time = text::millis(figures.now.saturating_sub(run.started.unwrap_or(figures.now)));
            format!("engine {id} has run `{}` for {time}", chorus_history::one_line(&run.label, chorus_history::SHORT))
        }
        None => match figures.stream.bars().rev().find(|bar| bar.engine == Some(id) && bar.from <= to) {
            Some(bar) => {
                let (label, took) =
                    (chorus_history::one_line(&bar.label, chorus_history::SHORT), text::millis(bar.to - bar.from));
                format!("engine {id} last did `{label}`, {took} until {}", text::clock(bar.to))
            }
            None => format!("engine {id} has done nothing yet"),
        },
    };
    span(theme, Tone::Normal, crate::tables::line(&text, theme)).into()
}

fn legend(theme: &Theme) -> Line<'static> {
    let kinds = [
        (Shown::Run, "run"),
        (Shown::Items, "items of a map"),
        (Shown::Transfer, "transfer or wait"),
        (Shown::Compile, "compile"),
        (Shown::Failed, "failed"),
        (Shown::Nothing, "idle"),
    ];
    let spans = kinds.into_iter().flat_map(|(kind, name)| {
        [span(theme, kind.tone(), format!("{} ", kind.symbol(theme))), span(theme, Tone::Dim, format!("{name}  "))]
    });
    Line::from(spans.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_shows_what_took_longest() {
        let bars = [(Shown::Transfer, 0, 12), (Shown::Run, 12, 40), (Shown::Items, 1_000, 2_000)];
        let shown = slices(&bars, 0, 60, 6);
        use Shown::{Nothing, Run, Transfer};
        assert_eq!(shown, [Transfer, Run, Run, Run, Run, Nothing]);
    }

    #[test]
    fn short_things_and_failures_are_seen() {
        let bars = [(Shown::Failed, 5, 5), (Shown::Run, 6, 10), (Shown::Transfer, 45, 45)];
        use Shown::{Failed, Nothing, Run, Transfer};
        assert_eq!(slices(&bars, 0, 60, 6), [Failed, Run, Nothing, Nothing, Transfer, Nothing]);
        assert_eq!(slices(&bars, 0, 0, 0), []);
    }
}
