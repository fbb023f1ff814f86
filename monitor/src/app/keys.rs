//! What keys and the mouse do.

use super::{App, Dialog, Effect, Page};
use crate::table::{Key, Row};
use chorus_protocol::{EngineId, Order};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// How far `,` and `.` go in a recording, in milliseconds.
const SEEK: u64 = 10_000;

impl App {
    pub(super) fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return vec![Effect::Quit],
                KeyCode::Char('z') => return vec![Effect::Suspend],
                _ => {}
            }
        }
        if self.dialog.is_some() {
            return self.answer(key);
        }
        if self.writing {
            self.write_filter(key);
            return Vec::new();
        }
        if self.move_key(key) || self.stream_key(key) || self.replay_key(key) {
            return Vec::new();
        }
        self.command(key)
    }

    fn write_filter(&mut self, key: KeyEvent) {
        let list = self.list_mut();
        match key.code {
            KeyCode::Enter => self.writing = false,
            KeyCode::Esc => {
                list.filter.clear();
                self.writing = false;
            }
            KeyCode::Backspace => _ = list.filter.pop(),
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => list.filter.clear(),
            KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::CONTROL) => list.filter.push(c),
            _ => {}
        }
    }

    /// Keys that move the cursor.
    fn move_key(&mut self, key: KeyEvent) -> bool {
        let rows = self.table.rows.len();
        let list = self.list_mut();
        let page = list.height as isize - 1;
        match key.code {
            KeyCode::Up | KeyCode::Char('k') => list.step(-1, rows),
            KeyCode::Down | KeyCode::Char('j') => list.step(1, rows),
            KeyCode::PageUp => list.step(-page, rows),
            KeyCode::PageDown => list.step(page, rows),
            KeyCode::Home | KeyCode::Char('g') => list.put(0, rows),
            KeyCode::End | KeyCode::Char('G') => {
                list.put(usize::MAX, rows);
                list.follow = true;
                if self.page == Page::Stream {
                    self.panning.until = None;
                }
            }
            _ => return false,
        }
        true
    }

    fn stream_key(&mut self, key: KeyEvent) -> bool {
        if self.page != Page::Stream {
            return false;
        }
        let now = self.figures().now;
        match key.code {
            KeyCode::Char('+' | '=') => self.panning.zoom(true),
            KeyCode::Char('-') => self.panning.zoom(false),
            KeyCode::Left | KeyCode::Char('h') => self.panning.pan(true, now),
            KeyCode::Right | KeyCode::Char('l') => self.panning.pan(false, now),
            KeyCode::Char('0') => self.panning.until = None,
            _ => return false,
        }
        true
    }

    fn replay_key(&mut self, key: KeyEvent) -> bool {
        let Some(replay) = &mut self.replay else { return false };
        match key.code {
            KeyCode::Char('p') => replay.paused = !replay.paused,
            KeyCode::Char('<') => replay.faster(false),
            KeyCode::Char('>') => replay.faster(true),
            KeyCode::Char(',') => replay.seek(replay.at.saturating_sub(SEEK), &mut self.figures),
            KeyCode::Char('.') => replay.seek(replay.at + SEEK, &mut self.figures),
            _ => return false,
        }
        true
    }

    fn command(&mut self, key: KeyEvent) -> Vec<Effect> {
        match key.code {
            KeyCode::Char('q') => return vec![Effect::Quit],
            KeyCode::Char('C') if self.replay.is_none() => return vec![Effect::ListClusters],
            KeyCode::Char(digit @ '1'..='8') => self.go(Page::NUMBERED[usize::from(digit as u8 - b'1')]),
            KeyCode::Tab => self.turn(1),
            KeyCode::BackTab => self.turn(Page::NUMBERED.len() - 1),
            KeyCode::Char('?') | KeyCode::F(1) => {
                self.go(if self.page == Page::Help { self.before } else { Page::Help });
            }
            KeyCode::Esc => self.back(),
            KeyCode::Enter => self.open(),
            KeyCode::Char('/') => self.writing = true,
            KeyCode::Char('s') => self.list_mut().sort_next(),
            KeyCode::Char('S') => {
                let column = self.list().sort.column;
                self.list_mut().sort_by(column);
            }
            KeyCode::Char('f') => self.freeze(),
            KeyCode::Char('y') => return self.copy(),
            KeyCode::Char('H') => self.by_host = !self.by_host,
            KeyCode::Char(' ') => self.mark(),
            KeyCode::Char('a') => self.mark_all(),
            KeyCode::Char('e') if self.page == Page::Tasks => self.errors_only = !self.errors_only,
            KeyCode::Left | KeyCode::Char('h') if self.page == Page::Logs => self.turn_log(false),
            KeyCode::Right | KeyCode::Char('l') if self.page == Page::Logs => self.turn_log(true),
            KeyCode::Char('w') if self.page == Page::Logs => self.wraps = !self.wraps,
            KeyCode::Char('n') if self.page == Page::Logs => self.turn_found(true),
            KeyCode::Char('N') if self.page == Page::Logs => self.turn_found(false),
            KeyCode::Char('L') => self.open_log(),
            KeyCode::Char('i') => {
                self.ask_engines(|engines| Dialog::Confirm(Order::Interrupt { engines, signal: libc::SIGINT }));
            }
            KeyCode::Char('r') => self.ask_engines(|engines| Dialog::Confirm(Order::Restart { engines })),
            KeyCode::Char('x') => self.ask_engines(|engines| Dialog::Signal(engines, 0)),
            KeyCode::Char('d') => self.ask_engines(|engines| Dialog::Confirm(Order::Drain { engines })),
            KeyCode::Char('c') => self.ask_cancel(),
            KeyCode::Char('+') => self.ask_scale(true),
            KeyCode::Char('-') => self.ask_scale(false),
            _ => {}
        }
        Vec::new()
    }

    fn turn(&mut self, by: usize) {
        let count = Page::NUMBERED.len();
        let place = Page::NUMBERED.iter().position(|page| *page == self.page);
        self.go(Page::NUMBERED[place.map_or(0, |place| (place + by) % count)]);
    }

    /// One step back; it never ends the program.
    fn back(&mut self) {
        match self.page {
            Page::Help | Page::Engine(_) => self.go(self.before),
            _ if !self.list().filter.is_empty() => self.list_mut().filter.clear(),
            _ if !self.marked.is_empty() => self.marked.clear(),
            _ => self.go(Page::Overview),
        }
    }

    pub(super) fn open(&mut self) {
        match self.selected() {
            Some(Key::Engine(engine)) if self.page != Page::Diagnoses => self.go(Page::Engine(engine)),
            Some(Key::Host(host)) if self.unfolded.remove(&host) => {}
            Some(Key::Host(host)) => _ = self.unfolded.insert(host),
            Some(_) => self.open_details(),
            None => {}
        }
    }

    fn open_log(&mut self) {
        if let Some(engine) = self.targets().first() {
            self.log_of = Some(*engine);
        }
        self.go(Page::Logs);
    }

    fn mark(&mut self) {
        let engines = match self.selected() {
            Some(Key::Engine(engine)) => vec![engine],
            Some(Key::Host(host)) => self.engines_of(host),
            _ => return,
        };
        self.turn_marks(&engines);
        let rows = self.table.rows.len();
        self.list_mut().step(1, rows);
    }

    fn mark_all(&mut self) {
        let engines = |row: &Row| match row.key {
            Key::Engine(engine) => vec![engine],
            Key::Host(host) => self.engines_of(host),
            _ => Vec::new(),
        };
        let all: Vec<EngineId> = self.table.rows.iter().flat_map(engines).collect();
        self.turn_marks(&all);
    }

    /// Marks them, or takes the marks away if all have one.
    fn turn_marks(&mut self, engines: &[EngineId]) {
        match engines.iter().all(|engine| self.marked.contains(engine)) {
            true => self.marked.retain(|engine| !engines.contains(engine)),
            false => self.marked.extend(engines),
        }
    }

    /// The next line that was found, or the one before.
    fn turn_found(&mut self, forward: bool) {
        if self.list().filter.is_empty() {
            return self.tell("`/` and a text search the log; n and N go through what was found".to_owned(), false);
        }
        let (place, rows) = (self.list().place, self.table.rows.len());
        let is_line = |at: &usize| !matches!(self.table.rows[*at].key, Key::Below(..));
        let next = match forward {
            true => (place + 1..rows).find(is_line),
            false => (0..place.min(rows)).rfind(is_line),
        };
        match next {
            Some(next) => self.list_mut().put(next, rows),
            None => self.tell(format!("that is the {}", if forward { "last" } else { "first" }), false),
        }
    }

    /// The next log: of the cluster's events, then of each engine.
    fn turn_log(&mut self, forward: bool) {
        let engines = self.figures().state.engines.keys().copied();
        let logs: Vec<Option<EngineId>> = std::iter::once(None).chain(engines.map(Some)).collect();
        let place = logs.iter().position(|it| *it == self.log_of).unwrap_or(0);
        let step = if forward { 1 } else { logs.len() - 1 };
        self.log_of = logs[(place + step) % logs.len()];
        self.read_at = 0;
        self.list_mut().follow = true;
    }
}
