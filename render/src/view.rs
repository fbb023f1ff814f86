//! A parallel cell on the screen: from the events of its run on several engines to the outputs of the notebook.

use super::lines::{Lines, prefix};
use super::output::{Bundle, Output, html_bundle, push_text};
use super::progress::{EngineProgress, Progress, PxEnd, RunState};
use super::record::{self, PxRecord, RECORD_LIMIT};
use super::run::{Place, Run, Source, Step};
use crate::failure::{Panicked, PxFailure};
use chorus_magics::Grouping;
use chorus_protocol::{DisplayKind, EngineId, RunEvent, Stream};
use px::progress::{BAR, Status};
use std::collections::BTreeMap;
use std::time::Duration;

/// So many bars are rows of a table; more are displays.
const MOST_BARS: usize = 256;

/// How a parallel cell is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewOptions {
    /// Whether outputs are shown as they arrive; else grouped, by [`PxView::finish`].
    pub stream: bool,
    /// How they are grouped.
    pub grouping: Grouping,
    /// Whether every engine's outputs are shown although others' are identical.
    pub each: bool,
    /// Whether the cell ends in an expression, so that its last display is its result.
    pub has_result: bool,
    /// The cell's execution count.
    pub count: u32,
}

impl ViewOptions {
    /// What a function prints and displays, as it comes; its results go elsewhere.
    pub fn streaming(count: u32) -> ViewOptions {
        ViewOptions { stream: true, grouping: Grouping::default(), each: false, has_result: false, count }
    }
}

/// The state of one parallel cell. Give it every event of the run in order of arrival, and show what it returns; when
/// [`PxView::is_done`], end with [`PxView::finish`]. What comes later still, from threads or child processes of the
/// cell, may be given to it as well.
#[derive(Clone, Debug)]
pub struct PxView {
    options: ViewOptions,
    runs: BTreeMap<EngineId, Run>,
    lines: Lines,
    record: PxRecord,
    /// How long the engines that are done ran.
    took: BTreeMap<EngineId, Duration>,
    table: Option<Table>,
    finished: bool,
}

/// The bars that the engines' code shows, which are rows of [`PxView::progress`] instead of displays of their own.
#[derive(Clone, Debug, Default)]
struct Table {
    /// In order of arrival, by the names of their displays.
    bars: Vec<(EngineId, String, Status)>,
    has_news: bool,
}

impl PxView {
    /// A cell that is sent to these engines.
    pub fn new(targets: &[EngineId], options: ViewOptions) -> PxView {
        PxView {
            options,
            runs: BTreeMap::new(),
            lines: Lines::default(),
            record: PxRecord::new(targets, options.count, RECORD_LIMIT),
            took: BTreeMap::new(),
            table: None,
            finished: false,
        }
    }

    /// Has bars of the engines' code shown in [`PxView::progress`]: whoever shows that does so when
    /// [`PxView::has_news_of_bars`].
    pub fn with_bars_in_progress(self) -> PxView {
        PxView { table: Some(Table::default()), ..self }
    }

    /// Whether a bar has changed since the last call.
    pub fn has_news_of_bars(&mut self) -> bool {
        self.table.as_mut().is_some_and(|table| std::mem::take(&mut table.has_news))
    }

    /// Takes an event; `place` is where in the user's cell a panic happened, as far as the caller knows.
    pub fn event(&mut self, engine: EngineId, event: &RunEvent, place: Option<Place>) -> Vec<Output> {
        let mut outputs = Vec::new();
        if let RunEvent::Done { took, .. } = event {
            self.took.insert(engine, Duration::from_micros(took.wall));
        }
        if let Some(table) = self.table.as_mut().filter(|_| !self.finished) {
            table.see(engine, event);
        }
        let run = self.runs.entry(engine).or_insert_with(|| Run::new(Source::Engine(engine)));
        for step in run.event(event, place, self.options.has_result) {
            self.step(engine, step, &mut outputs);
        }
        outputs
    }

    /// The variables that an engine lost in this run. To be told between the event with its failure and
    /// [`PxView::finish`].
    pub fn lost(&mut self, engine: EngineId, variables: Vec<String>) {
        self.record.lost(engine, variables);
    }

    /// The user has ended the cell: failures from now on are called so.
    pub fn interrupted(&mut self) {
        self.record.interrupted = true;
    }

    /// Whether a part of a line is held back: call [`PxView::flush_partial`] a short time later, such as 100 ms.
    pub fn has_partial(&self) -> bool {
        self.lines.has_partial()
    }

    /// Shows the parts of lines that are held back.
    pub fn flush_partial(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.lines.flush_partial(&mut outputs);
        outputs
    }

    /// Whether all engines are done.
    pub fn is_done(&self) -> bool {
        self.record.running().is_empty()
    }

    /// How far the run is, as a bundle for a display that is updated.
    pub fn progress(&self, elapsed: Duration) -> Bundle {
        self.progress_with(elapsed, None)
    }

    /// The last state of that display; `is_left` if nobody waits for the run any more.
    pub fn last_progress(&self, elapsed: Duration, is_left: bool) -> Bundle {
        let end = match self.record.failure(self.options.each) {
            _ if is_left => PxEnd::Left,
            Some(_) if self.record.interrupted => PxEnd::Interrupted,
            failure => PxEnd::Ended(failure.map(|failure| failure.text().evalue)),
        };
        self.progress_with(elapsed, Some(end))
    }

    fn progress_with(&self, elapsed: Duration, end: Option<PxEnd>) -> Bundle {
        let running = self.record.running();
        let failed = self.record.failed_engines();
        let targets = self.record.targets();
        let bars = self.table.iter().flat_map(|table| &table.bars);
        // What goes on behind the cell's end isn't a part of it any more.
        let bars: Vec<_> = bars.filter(|(_, _, bar)| end.is_none() || !bar.is_running()).collect();
        let engine = |engine: &EngineId| EngineProgress {
            engine: *engine,
            state: match () {
                () if failed.contains(engine) => RunState::Failed,
                () if running.contains(engine) => RunState::Running,
                () => RunState::Done,
            },
            took: self.took.get(engine).copied(),
            bars: bars.iter().filter(|(whose, ..)| whose == engine).map(|(_, _, bar)| bar).collect(),
        };
        Progress { engines: targets.iter().map(engine).collect(), elapsed, end }.bundle()
    }

    /// Ends the cell: results, failures, and everything else if it wasn't shown as it arrived. Engines that aren't done
    /// yet are named. Also returns how it failed, if any engine did. A second call shows nothing.
    pub fn finish(&mut self) -> (Vec<Output>, Option<PxFailure>) {
        let mut outputs = Vec::new();
        if std::mem::replace(&mut self.finished, true) {
            return (outputs, None);
        }
        let PxView { options, .. } = *self;
        if !options.stream {
            return self.record.render(options.grouping, options.each);
        }
        for engine in self.record.targets() {
            self.lines.end(engine, &mut outputs);
        }
        // Bars that threads and variables hold go on as displays.
        for (engine, id, bar) in self.table.take().into_iter().flat_map(|table| table.bars) {
            if bar.is_running() {
                self.label(engine, &mut outputs);
                outputs.push(Output::named(id, html_bundle(bar.text(), bar.html())));
            }
        }
        outputs.extend(self.record.results(options.each));
        self.record.push_unfinished(&mut outputs);
        (outputs, self.record.failure(options.each))
    }

    /// What has come so far, for `%pxresult`.
    pub fn record(&self) -> &PxRecord {
        &self.record
    }

    fn step(&mut self, engine: EngineId, step: Step, outputs: &mut Vec<Output>) {
        // What comes after the end has no better time to be shown than at once.
        let now = self.options.stream || self.finished;
        match step {
            Step::Text(stream, text) => {
                self.record.text(engine, stream, &text);
                if now {
                    self.lines.text(engine, stream, &text, outputs);
                }
            }
            Step::Display(data) => {
                self.record.display(engine, None, data.clone());
                if now {
                    self.label(engine, outputs);
                    outputs.push(Output::display(data));
                }
            }
            Step::Named(id, data) => {
                self.record.display(engine, Some(id.clone()), data.clone());
                if now && !self.is_in_table(&id) {
                    self.label(engine, outputs);
                    outputs.push(Output::named(id, data));
                }
            }
            Step::Update(id, data) => {
                let is_ours = self.record.update(engine, &id, &data);
                if (now || !is_ours) && !self.is_in_table(&id) {
                    outputs.push(Output::Update { id, data });
                }
            }
            Step::Clear { wait } => {
                self.record.clear(engine, wait);
                // Of several engines, none may clear what the others show.
                if now && self.record.targets() == [engine] {
                    self.lines.end(engine, outputs);
                    outputs.push(Output::Clear { wait });
                }
            }
            Step::Panic(panicked) => self.panic(engine, &panicked, outputs, now),
            Step::Result(data) => {
                if self.finished {
                    self.lines.close(outputs);
                    outputs.extend(record::results(self.options.count, std::iter::once((vec![engine], &data))));
                }
                self.record.result(engine, data);
            }
            Step::Failed(failure) => {
                if self.finished {
                    let prefix = format!("[{engine}:execute] ");
                    self.lines.notice(Stream::Stderr, &prefix, &failure.headline(), outputs);
                }
                self.record.failed(engine, failure);
            }
            Step::Done => {
                self.lines.end(engine, outputs);
                self.record.done(engine);
            }
        }
    }

    fn is_in_table(&self, display: &str) -> bool {
        self.table.as_ref().is_some_and(|table| table.bars.iter().any(|(_, id, _)| id == display))
    }

    /// Says whose display comes next.
    fn label(&mut self, engine: EngineId, outputs: &mut Vec<Output>) {
        self.lines.end(engine, outputs);
        self.lines.notice(Stream::Stdout, "", &format!("[output:{engine}]"), outputs);
    }

    /// A panic that didn't end the run is a line on stderr.
    fn panic(&mut self, engine: EngineId, panicked: &Panicked, outputs: &mut Vec<Output>, now: bool) {
        let text = panicked.headline();
        if now {
            let prefix = prefix(Stream::Stderr, &engine.to_string());
            self.lines.notice(Stream::Stderr, &prefix, &text, outputs);
        }
        self.record.text(engine, Stream::Stderr, &(text + "\n"));
    }
}

impl Table {
    fn see(&mut self, engine: EngineId, event: &RunEvent) {
        let RunEvent::Display { kind, contents } = event else { return };
        let (DisplayKind::New(id) | DisplayKind::Update(id)) = kind else { return };
        let Some(bar) = contents.iter().find(|content| content.mime == BAR) else { return };
        let Some(bar) = Status::read(&bar.content) else { return };
        let id = Source::Engine(engine).display_id(id);
        match self.bars.iter().position(|(_, other, _)| *other == id) {
            Some(at) => self.bars[at].2 = bar,
            // One of an earlier cell has its display there.
            None if matches!(kind, DisplayKind::New(_)) && self.bars.len() < MOST_BARS => {
                self.bars.push((engine, id, bar));
            }
            None => return,
        }
        self.has_news = true;
    }
}

/// What `--verbose` says before a parallel cell runs.
pub fn announce(targets: &[EngineId], block: bool) -> Output {
    let mut outputs = Vec::new();
    let kind = if block { "Parallel" } else { "Async parallel" };
    let text = format!("{kind} execution on {}\n", chorus_protocol::name_engines(targets));
    push_text(&mut outputs, Stream::Stdout, &text);
    outputs.pop().unwrap_or_else(|| Output::plain(""))
}
