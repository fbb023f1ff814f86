//! What asks for an answer, and what is done to the cluster then.

use super::{App, Effect, Link, Page};
use crate::table::Key;
use chorus_protocol::{EngineId, Order};
use crossterm::event::{KeyCode, KeyEvent};

/// The signals that `kill` offers.
pub const SIGNALS: [(i32, &str); 6] = [
    (libc::SIGTERM, "SIGTERM  end in good order"),
    (libc::SIGKILL, "SIGKILL  end at once"),
    (libc::SIGINT, "SIGINT   as Ctrl-C does"),
    (libc::SIGHUP, "SIGHUP   as a closed terminal does"),
    (libc::SIGSTOP, "SIGSTOP  stop it until SIGCONT"),
    (libc::SIGCONT, "SIGCONT  go on"),
];

/// Something that asks for an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Dialog {
    /// Whether to do this.
    Confirm(Order),
    /// Which signal to send to these engines.
    Signal(Vec<EngineId>, usize),
    /// How many engines to have, and whether that was typed: until then, the first digit takes its place.
    Scale(u32, bool),
    /// Which cluster to show.
    Clusters(Vec<String>, usize),
    /// All of a row.
    Details(String, Vec<(String, String)>),
}

impl App {
    /// The engines that an action is for: the marked ones, or the one under the cursor.
    pub fn targets(&self) -> Vec<EngineId> {
        if let Page::Engine(engine) = self.page {
            return vec![engine];
        }
        if !self.marked.is_empty() {
            return self.marked.iter().copied().collect();
        }
        match self.selected() {
            Some(Key::Engine(engine) | Key::Worker(engine, _) | Key::Held(Some(engine), ..)) => vec![engine],
            Some(Key::Host(host)) => self.engines_of(host),
            _ => Vec::new(),
        }
    }

    /// Why nothing can be done to the cluster now, if nothing can.
    fn refusal(&self) -> Option<&'static str> {
        match (&self.replay, self.readonly, &self.link) {
            (Some(_), ..) => Some("this is a recording: nothing can be done to it"),
            (_, true, _) => Some("`--readonly` leaves the cluster alone"),
            (.., Link::Live) => None,
            _ => Some("the cluster isn't connected, so nothing can be done to it"),
        }
    }

    /// Begins an action on engines, or says why not.
    pub(super) fn ask_engines(&mut self, ask: impl FnOnce(Vec<EngineId>) -> Dialog) {
        let engines = self.targets();
        match self.refusal() {
            Some(why) => self.tell(why.to_owned(), true),
            None if engines.is_empty() => {
                self.tell("put the cursor on an engine, or mark some with the space bar".to_owned(), true);
            }
            None => self.dialog = Some(ask(engines)),
        }
    }

    pub(super) fn ask_scale(&mut self, more: bool) {
        let count = self.figures().state.engines.values().filter(|it| !it.draining).count() as u32;
        let wanted = if more { count + 1 } else { count.saturating_sub(1) };
        match self.refusal() {
            Some(why) => self.tell(why.to_owned(), true),
            None => self.dialog = Some(Dialog::Scale(wanted, false)),
        }
    }

    pub(super) fn ask_cancel(&mut self) {
        let order = match self.selected() {
            Some(Key::Map(session, map)) => Some(Order::CancelMap { session, map }),
            Some(Key::Task(session, task)) => Some(Order::CancelTask { session, task }),
            _ => None,
        };
        let is_open = match order {
            Some(Order::CancelMap { session, map }) => self.figures().state.maps.contains_key(&(session, map)),
            Some(Order::CancelTask { session, task }) => self.figures().state.tasks.contains_key(&(session, task)),
            _ => false,
        };
        match (self.refusal(), order) {
            (Some(why), _) => self.tell(why.to_owned(), true),
            (None, Some(order)) if is_open => self.dialog = Some(Dialog::Confirm(order)),
            _ => self.tell("put the cursor on a map or a call that isn't over; a cell is interrupted".to_owned(), true),
        }
    }

    pub(super) fn choose_cluster(&mut self, names: Vec<String>) {
        match &names[..] {
            [] => self.tell("no cluster is running; `chorus start` starts one".to_owned(), true),
            _ => {
                let place = names.iter().position(|name| *name == self.name).unwrap_or(0);
                self.dialog = Some(Dialog::Clusters(names, place));
            }
        }
    }

    /// All of the row under the cursor.
    pub(super) fn open_details(&mut self) {
        let Some(row) = self.table.rows.get(self.list().place) else { return };
        let cells = self.table.columns.iter().zip(&row.cells).filter(|(column, _)| !column.name.is_empty());
        let lines = cells.map(|(column, cell)| (column.title.to_owned(), cell.text.clone())).collect();
        self.dialog = Some(Dialog::Details(self.page.title().to_owned(), lines));
    }

    pub(super) fn answer(&mut self, key: KeyEvent) -> Vec<Effect> {
        let Some(dialog) = self.dialog.take() else { return Vec::new() };
        let (up, down) = match key.code {
            KeyCode::Up | KeyCode::Char('k' | '+') => (true, false),
            KeyCode::Down | KeyCode::Char('j' | '-') => (false, true),
            _ => (false, false),
        };
        let yes = matches!(key.code, KeyCode::Enter | KeyCode::Char('y'));
        if matches!(key.code, KeyCode::Esc | KeyCode::Char('n' | 'q')) {
            return Vec::new();
        }
        // The cluster may have gone while it was asked.
        let acts = matches!(dialog, Dialog::Confirm(_) | Dialog::Signal(..) | Dialog::Scale(..));
        if let Some(why) = self.refusal().filter(|_| acts) {
            self.tell(why.to_owned(), true);
            return Vec::new();
        }
        let step = |place: usize, count: usize| match (up, down) {
            (true, _) => (place + count - 1) % count,
            (_, true) => (place + 1) % count,
            _ => place,
        };
        self.dialog = match dialog {
            Dialog::Confirm(order) if yes => {
                self.marked.clear();
                self.tell(format!("told the cluster to {order} ..."), false);
                return vec![Effect::Steer(order)];
            }
            Dialog::Signal(engines, place) if key.code == KeyCode::Enter => {
                let signal = SIGNALS.get(place).map_or(libc::SIGTERM, |(signal, _)| *signal);
                Some(Dialog::Confirm(Order::Kill { engines, signal }))
            }
            Dialog::Signal(engines, place) => Some(Dialog::Signal(engines, step(place, SIGNALS.len()))),
            Dialog::Scale(count, typed) => match key.code {
                _ if yes => {
                    self.tell(format!("told the cluster to {} ...", Order::Scale { engines: count }), false);
                    return vec![Effect::Steer(Order::Scale { engines: count })];
                }
                KeyCode::Char(digit @ '0'..='9') => {
                    let digit = u32::from(digit as u8 - b'0');
                    Some(Dialog::Scale(if typed && count < 1000 { count * 10 + digit } else { digit }, true))
                }
                KeyCode::Backspace => Some(Dialog::Scale(count / 10, true)),
                _ if up => Some(Dialog::Scale(count + 1, false)),
                _ if down => Some(Dialog::Scale(count.saturating_sub(1), false)),
                _ => Some(Dialog::Scale(count, typed)),
            },
            Dialog::Clusters(names, place) if key.code == KeyCode::Enter => {
                return names.into_iter().nth(place).map(|name| self.connect(name)).into_iter().collect();
            }
            Dialog::Clusters(names, place) => {
                let place = step(place, names.len());
                Some(Dialog::Clusters(names, place))
            }
            Dialog::Details(..) if key.code == KeyCode::Enter => None,
            Dialog::Details(..) if key.code == KeyCode::Char('y') => {
                let effects = self.copy();
                self.dialog = Some(dialog);
                return effects;
            }
            unanswered => Some(unanswered),
        };
        Vec::new()
    }

    fn connect(&mut self, name: String) -> Effect {
        // Nothing of the other cluster stays.
        let (theme, size, by_host) = (self.theme, self.size, self.by_host);
        *self = App { size, by_host, ..App::new(&name, theme, self.readonly) };
        Effect::Connect(name)
    }
}
