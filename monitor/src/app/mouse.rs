//! What the mouse does.

use super::{App, Areas, Dialog, Effect, Page};
use crate::table::Key;
use crate::tables::engines;
use crate::text;
use chorus_history::{About, Bar, BarKind, Figures};
use chorus_protocol::{EngineId, RunEnd, Work};
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

/// How many columns of a table are marks, and the gap behind them.
const MARKS: u16 = 2;

/// Where a click leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// To a page, as it was left.
    Page(Page),
    /// To the rows of a page that this filter lets through.
    Rows(Page, String),
    /// To the tasks that failed.
    Failures,
}

/// The lanes of the task stream: the notebook's, and below it those of the engines that are in sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// Where they are.
    pub area: Rect,
    /// The time at their left, in milliseconds since 1970.
    pub from: u64,
    /// That at their right.
    pub to: u64,
}

impl App {
    pub(super) fn mouse(&mut self, mouse: MouseEvent, areas: &Areas) -> Vec<Effect> {
        let at = Position::new(mouse.column, mouse.row);
        let rows = self.table.rows.len();
        match (mouse.kind, &self.dialog) {
            (MouseEventKind::Down(MouseButton::Left), Some(Dialog::Details(..))) => self.dialog = None,
            (_, Some(_)) => {}
            (MouseEventKind::ScrollUp, None) => self.list_mut().step(-3, rows),
            (MouseEventKind::ScrollDown, None) => self.list_mut().step(3, rows),
            (MouseEventKind::Down(MouseButton::Left), None) => self.click(at, areas),
            _ => {}
        }
        Vec::new()
    }

    fn click(&mut self, at: Position, areas: &Areas) {
        if let Some((_, goal)) = areas.links.iter().find(|(area, _)| area.contains(at)) {
            return self.follow_link(goal.clone());
        }
        if let Some((_, column)) = areas.columns.iter().find(|(area, _)| area.contains(at)) {
            return self.list_mut().sort_by(Some(*column));
        }
        if let Some(lanes) = areas.lanes.filter(|lanes| lanes.area.contains(at))
            && self.open_bar(lanes, at)
        {
            return;
        }
        if !areas.rows.contains(at) {
            return;
        }
        let rows = self.table.rows.len();
        let place = self.list().top + usize::from(at.y - areas.rows.y);
        let key = self.table.rows.get(place).map(|row| row.key);
        let about = match (self.page, key) {
            (Page::Overview, Some(Key::Engine(engine))) => Some(About::Engine(engine)),
            (Page::Tasks, Some(Key::Map(session, map))) => Some(About::Map(session, map)),
            _ => None,
        };
        if at.x < areas.rows.x + MARKS
            && let Some(diagnosis) = self.diagnoses.iter().position(|it| Some(it.about) == about)
        {
            self.go(Page::Diagnoses);
            self.arrange();
            let rows = self.table.rows.len();
            let place = self.table.rows.iter().position(|row| row.key == Key::Place(diagnosis)).unwrap_or(0);
            return self.list_mut().put(place, rows);
        }
        // A click on the row that the cursor is on opens it.
        match place == self.list().place {
            true => self.open(),
            false if place < rows => self.list_mut().put(place, rows),
            false => {}
        }
    }

    fn follow_link(&mut self, goal: Goal) {
        let failures = goal == Goal::Failures;
        let (page, filter) = match goal {
            Goal::Page(page) => return self.go(page),
            Goal::Rows(page, filter) => (page, filter),
            Goal::Failures => (Page::Tasks, String::new()),
        };
        self.go(page);
        self.list_mut().filter = filter;
        if page == Page::Tasks {
            self.errors_only = failures;
        }
    }

    /// What is drawn at this place of the stream, if there is something.
    fn open_bar(&mut self, lanes: Lanes, at: Position) -> bool {
        let row = usize::from(at.y - lanes.area.y);
        let engine = match row.checked_sub(1).map(|row| self.table.rows.get(self.list().top + row).map(|row| row.key)) {
            None => None,
            Some(Some(Key::Engine(engine))) => Some(engine),
            Some(_) => return false,
        };
        let length = lanes.to.saturating_sub(lanes.from);
        let time = |column: u16| lanes.from + length * u64::from(column) / u64::from(lanes.area.width.max(1));
        let column = at.x - lanes.area.x;
        let Some(details) = self.bar(engine, time(column), time(column + 1)) else { return false };
        let whose = engine.map_or("The notebook".to_owned(), |engine| format!("Engine {engine}"));
        self.dialog = Some(Dialog::Details(whose, details));
        true
    }

    /// What an engine did for the longest in a stretch of time, or what went wrong there.
    fn bar(&self, engine: Option<EngineId>, from: u64, to: u64) -> Option<Vec<(String, String)>> {
        let figures = self.figures();
        let is_bad = |bar: &Bar| matches!(bar.end, Some(RunEnd::Failed | RunEnd::Died | RunEnd::Restored));
        let within = |bar: &Bar| bar.to.min(to).saturating_sub(bar.from.max(from));
        let running = engine.and_then(|engine| running(figures, engine)).filter(|bar| bar.from <= to && bar.to >= from);
        let bars = figures.stream.between(from, to).filter(|bar| bar.engine == engine).cloned().chain(running);
        let bar = bars.max_by_key(|bar| (is_bad(bar), within(bar)))?;
        let kind = match (bar.kind, bar.work) {
            (BarKind::Compile, _) => "compilation".to_owned(),
            (BarKind::Transfer, _) => "on its way, or waiting".to_owned(),
            (BarKind::Items, Some(Work::Map(map))) => format!("items of map {map}"),
            (BarKind::Items, _) => "items of a map".to_owned(),
            (BarKind::Run, Some(Work::Task(task))) => format!("call {task}"),
            (BarKind::Run, _) => "cell".to_owned(),
        };
        let how = match (bar.kind, bar.end) {
            _ if is_bad(&bar) => ", failed",
            (BarKind::Run, None) => ", running",
            _ => "",
        };
        let facts = [
            ("WHAT", crate::tables::line(&bar.label, &self.theme)),
            ("KIND", kind + how),
            ("SESSION", bar.session.to_string()),
            ("BEGAN", text::clock(bar.from)),
            ("TOOK", text::millis(bar.to.saturating_sub(bar.from))),
        ];
        Some(facts.map(|(name, value)| (name.to_owned(), value)).to_vec())
    }
}

/// The run that an engine is at, as far as it is; items of maps are told when they are done.
fn running(figures: &Figures, engine: EngineId) -> Option<Bar> {
    let run = engines::current(figures.state.engines.get(&engine)?)?;
    let from = run.started.filter(|_| !matches!(run.work, Work::Map(_)))?;
    let (work, label) = (Some(run.work), run.label.clone());
    let (kind, to, end) = (BarKind::Run, figures.now, None);
    Some(Bar { engine: Some(engine), from, to, kind, session: run.session, work, label, end })
}
