//! What `chorus top` knows and shows: a state machine. Inputs come in, effects go out; it does no I/O and reads no
//! clock.

mod actions;
mod copy;
mod keys;
mod mouse;
mod pages;
mod replay;

pub use actions::{Dialog, SIGNALS};
pub use mouse::{Goal, Lanes};
pub use pages::{List, Page, Panning};
pub use replay::{Replay, SPEEDS};

use crate::query::Query;
use crate::table::{Key, Table};
use crate::theme::Theme;
use chorus_history::{About, Diagnosis, Figures, diagnose};
use chorus_protocol::{EngineId, LogEntry, LogEvent, Order};
use crossterm::event::{KeyEvent, MouseEvent};
use ratatui::layout::Rect;
use std::collections::{BTreeMap, BTreeSet};

/// How long a notice stays, in milliseconds.
const NOTICE: u64 = 8_000;

/// What happens.
#[derive(Clone, Debug)]
pub enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse did something.
    Mouse(MouseEvent),
    /// The terminal has so many columns and rows.
    Resize(u16, u16),
    /// It is so late, in milliseconds since 1970.
    Tick(u64),
    /// A cluster is connected: its name.
    Linked(String),
    /// It is gone, for this reason.
    Lost(String),
    /// The log goes on.
    Entries(Vec<LogEntry>),
    /// What became of an order, or why nothing was done.
    Done(Result<String, String>),
    /// An engine's log file, or why it can't be read.
    LogFile(EngineId, Result<Vec<String>, String>),
    /// The clusters that there are.
    Clusters(Vec<String>),
    /// Something else is to be said.
    Trouble(String),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// End.
    Quit,
    /// Stop this process until its shell continues it.
    Suspend,
    /// Have the cluster do this.
    Steer(Order),
    /// Read an engine's log file.
    ReadLog(EngineId),
    /// Find out which clusters there are.
    ListClusters,
    /// Show this cluster instead.
    Connect(String),
    /// Give this to the terminal's clipboard.
    Copy(String),
}

/// How the cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Not yet.
    Connecting,
    /// It is.
    Live,
    /// It isn't any more: why.
    Gone(String),
}

/// Something to be told at the bottom.
#[derive(Clone, Debug)]
pub struct Notice {
    /// What.
    pub text: String,
    /// Whether it is an error.
    pub bad: bool,
    until: u64,
}

/// Where things were drawn, for the mouse.
#[derive(Clone, Debug, Default)]
pub struct Areas {
    /// Names of pages, and figures of the header.
    pub links: Vec<(Rect, Goal)>,
    /// Lanes of the task stream.
    pub lanes: Option<Lanes>,
    /// The table's rows.
    pub rows: Rect,
    /// Names of columns.
    pub columns: Vec<(Rect, usize)>,
}

/// See the module.
#[derive(Debug)]
pub struct App {
    /// The cluster's name.
    pub name: String,
    /// How it is reached.
    pub link: Link,
    /// A recording that is shown instead of a cluster.
    pub replay: Option<Replay>,
    /// Whether nothing may be done to the cluster.
    pub readonly: bool,
    /// The look.
    pub theme: Theme,
    /// The terminal's columns and rows.
    pub size: (u16, u16),
    /// The page that is shown.
    pub page: Page,
    /// The rows of the page, as they were last arranged.
    pub table: Table,
    /// What is wrong, as of the same time.
    pub diagnoses: Vec<Diagnosis>,
    /// The engines that the next action is for.
    pub marked: BTreeSet<EngineId>,
    /// What asks for an answer.
    pub dialog: Option<Dialog>,
    /// What is told.
    pub notice: Option<Notice>,
    /// Whether the filter is being written.
    pub writing: bool,
    /// Whether only what failed is listed among the tasks.
    pub errors_only: bool,
    /// Whether the engines of a host are one row.
    pub by_host: bool,
    /// The hosts whose engines are shown nonetheless, as [`Key::Host`] names them.
    pub unfolded: BTreeSet<u64>,
    /// How the task stream is looked at.
    pub panning: Panning,
    /// The engine whose log file is shown; `None` for the cluster's events.
    pub log_of: Option<EngineId>,
    /// Whether its long lines go on below.
    pub wraps: bool,
    /// The file's last lines.
    pub log_file: Option<(EngineId, Result<Vec<String>, String>)>,
    /// Whether something on the screen has changed.
    pub dirty: bool,
    lists: Vec<List>,
    /// The engines of each host, as far as the filter lets them through.
    hosts: BTreeMap<u64, Vec<EngineId>>,
    before: Page,
    figures: Figures,
    frozen: Option<Box<Figures>>,
    clock: u64,
    read_at: u64,
}

impl App {
    /// Nothing is known yet.
    pub fn new(name: &str, theme: Theme, readonly: bool) -> App {
        App {
            name: name.to_owned(),
            link: Link::Connecting,
            replay: None,
            readonly,
            theme,
            size: (80, 24),
            page: Page::Overview,
            table: Table::default(),
            diagnoses: Vec::new(),
            marked: BTreeSet::new(),
            dialog: None,
            notice: None,
            writing: false,
            errors_only: false,
            by_host: false,
            unfolded: BTreeSet::new(),
            panning: Panning::default(),
            log_of: None,
            wraps: false,
            log_file: None,
            dirty: true,
            lists: vec![List::default(); Page::LISTS],
            hosts: BTreeMap::new(),
            before: Page::Overview,
            figures: Figures::default(),
            frozen: None,
            clock: 0,
            read_at: 0,
        }
    }

    /// What is shown: the present, or the moment in which it was frozen.
    pub fn figures(&self) -> &Figures {
        self.frozen.as_deref().unwrap_or(&self.figures)
    }

    /// Whether it stands still.
    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// The list of the page that is shown.
    pub fn list(&self) -> &List {
        &self.lists[self.page.list()]
    }

    fn list_mut(&mut self) -> &mut List {
        let place = self.page.list();
        &mut self.lists[place]
    }

    /// The row that the cursor is on.
    pub fn selected(&self) -> Option<Key> {
        self.table.rows.get(self.list().place).map(|row| row.key)
    }

    /// Which of the rows that the filter lets through the cursor is on, counted from 1; 0 if there is none.
    pub fn found(&self) -> usize {
        let until = self.table.rows.iter().take(self.list().place + 1);
        until.filter(|row| !matches!(row.key, Key::Below(..))).count()
    }

    /// The engines of a host that the filter lets through.
    pub fn engines_of(&self, host: u64) -> Vec<EngineId> {
        self.hosts.get(&host).cloned().unwrap_or_default()
    }

    /// What is wrong with an engine.
    pub fn diagnoses_of(&self, engine: EngineId) -> impl Iterator<Item = &Diagnosis> {
        self.diagnoses.iter().filter(move |it| it.about == About::Engine(engine))
    }

    /// Takes what happens.
    pub fn handle(&mut self, input: Input, areas: &Areas) -> Vec<Effect> {
        if self.dirty && matches!(input, Input::Key(_) | Input::Mouse(_)) {
            // Keys are about the rows of now, also when they come faster than frames.
            self.arrange();
        }
        if !matches!(input, Input::Tick(_)) {
            self.dirty = true;
        }
        match input {
            Input::Key(key) => return self.key(key),
            Input::Mouse(mouse) => return self.mouse(mouse, areas),
            Input::Resize(columns, rows) => self.size = (columns, rows),
            Input::Tick(now) => return self.tick(now),
            Input::Linked(name) => (self.name, self.link) = (name, Link::Live),
            Input::Lost(why) => self.link = Link::Gone(why),
            Input::Entries(entries) => self.take(&entries),
            Input::Done(Ok(what)) => self.tell(what, false),
            Input::Done(Err(why)) => self.tell(format!("nothing was done: {why}"), true),
            Input::LogFile(engine, lines) => self.log_file = Some((engine, lines)),
            Input::Clusters(names) => self.choose_cluster(names),
            Input::Trouble(what) => self.tell(what, true),
        }
        Vec::new()
    }

    fn take(&mut self, entries: &[LogEntry]) {
        entries.iter().for_each(|entry| apply(&mut self.figures, entry));
        let there = &self.figures.state.engines;
        self.marked.retain(|engine| there.contains_key(engine));
    }

    fn tick(&mut self, now: u64) -> Vec<Effect> {
        let passed = if self.clock == 0 { 0 } else { now.saturating_sub(self.clock) };
        let second = now / 1000 != self.clock / 1000;
        self.clock = now;
        if self.notice.as_ref().is_some_and(|notice| notice.until <= now) {
            self.notice = None;
            self.dirty = true;
        }
        if let Some(replay) = &mut self.replay {
            self.dirty |= replay.advance(passed, &mut self.figures);
        } else if self.link == Link::Live && second {
            // Times that run on the screen are the only thing that changes when nothing happens.
            self.figures.now = self.figures.now.max(now);
            self.dirty |= !self.is_frozen();
        }
        let engine = match self.page {
            Page::Engine(engine) => Some(engine),
            Page::Logs => self.log_of,
            _ => None,
        };
        match engine.filter(|_| self.replay.is_none() && (second || self.read_at == 0)) {
            Some(engine) => {
                self.read_at = now;
                vec![Effect::ReadLog(engine)]
            }
            None => Vec::new(),
        }
    }

    /// Tells something at the bottom for a while.
    pub fn tell(&mut self, text: String, bad: bool) {
        self.notice = Some(Notice { text, bad, until: self.clock + NOTICE });
        self.dirty = true;
    }

    /// Brings the page's rows and its cursor up to date. To be called before it is drawn.
    pub fn arrange(&mut self) {
        self.diagnoses = diagnose(self.figures());
        let table = crate::tables::of(self);
        let list = &mut self.lists[self.page.list()];
        list.columns = table.columns.clone();
        list.read_filter();
        let (query, sort) = (list.query.clone().unwrap_or_else(|_| Query::default()), list.sort);
        self.table = table.arrange(&query, sort);
        if self.page == Page::Overview && self.by_host {
            let table = std::mem::take(&mut self.table);
            (self.table, self.hosts) = crate::tables::hosts::fold(self, table, sort);
        }
        if self.page == Page::Logs && self.wraps {
            self.table = std::mem::take(&mut self.table).wrap(crate::views::columns(self.size.0));
        }
        let list = &mut self.lists[self.page.list()];
        if self.page == Page::Logs && list.follow {
            list.put(usize::MAX, self.table.rows.len());
        }
        list.settle(&self.table, crate::views::rows(self.page, self.size.1));
    }

    fn go(&mut self, page: Page) {
        if page != self.page {
            self.before = match self.page {
                Page::Help => self.before,
                shown => shown,
            };
            self.page = page;
            (self.writing, self.read_at) = (false, 0);
        }
    }

    fn freeze(&mut self) {
        self.frozen = match self.frozen.take() {
            Some(_) => None,
            None => Some(Box::new(self.figures.clone())),
        };
    }
}

/// Takes the next entry of a log. The same controller tells everything once more to who connects again, and in the
/// recordings of that. What another one did stays: it is this cluster's past.
pub(crate) fn apply(figures: &mut Figures, entry: &LogEntry) {
    if let LogEvent::State(state) = &entry.event
        && (state.pid, state.since) == (figures.state.pid, figures.state.since)
        && entry.number < figures.number
    {
        *figures = Figures::default();
    }
    figures.apply(entry);
}

#[cfg(test)]
#[path = "app/tests.rs"]
mod tests;
