//! What a parallel cell put out, kept so that it can be shown again in another grouping.

use super::fold::fold;
use super::lines::prefix;
use super::output::{Bundle, Output, only_text, push_text, weight};
use crate::failure::{PxFailure, RunFailure};
use chorus_magics::Grouping;
use chorus_protocol::{EngineId, Stream, fold_ids, name_engines};
use std::collections::BTreeMap;

/// How many bytes of text and displays a [`PxRecord`] keeps.
pub const RECORD_LIMIT: usize = 16 << 20;

/// The outputs of one parallel cell, by engine. It keeps the first [`RECORD_LIMIT`] bytes and every result, and says
/// how much it didn't keep.
#[derive(Clone, Debug)]
pub struct PxRecord {
    count: u32,
    engines: BTreeMap<EngineId, EngineRecord>,
    room: usize,
    cut: usize,
    /// Whether the user has ended it; failures from then on are the interrupt's.
    pub(super) interrupted: bool,
}

#[derive(Clone, Debug, Default)]
struct EngineRecord {
    shown: Shown,
    failure: Option<RunFailure>,
    done: bool,
}

/// All that an engine showed.
#[derive(Clone, Debug, Default, PartialEq)]
struct Shown {
    stdout: String,
    stderr: String,
    displays: Vec<Displayed>,
    result: Option<Bundle>,
    /// All but the result goes when the next output comes.
    clear_on_next: bool,
}

/// A display. Those that have a name differ between engines, and each is shown: it may change by itself later.
#[derive(Clone, Debug, PartialEq)]
struct Displayed {
    id: Option<String>,
    data: Bundle,
}

impl Shown {
    fn text(&self, stream: Stream) -> &str {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }

    /// Drops all but the result, and returns how many bytes that was.
    fn clear(&mut self) -> usize {
        let displays = std::mem::take(&mut self.displays);
        let texts = [std::mem::take(&mut self.stdout), std::mem::take(&mut self.stderr)];
        self.clear_on_next = false;
        displays.iter().map(|display| weight(&display.data)).chain(texts.iter().map(String::len)).sum()
    }
}

impl PxRecord {
    pub(super) fn new(targets: &[EngineId], count: u32, limit: usize) -> PxRecord {
        let engines = targets.iter().map(|id| (*id, EngineRecord::default())).collect();
        PxRecord { count, engines, room: limit, cut: 0, interrupted: false }
    }

    pub(super) fn text(&mut self, engine: EngineId, stream: Stream, text: &str) {
        self.clear_if_due(engine);
        let kept = text.get(..text.floor_char_boundary(self.room)).unwrap_or("");
        self.room -= kept.len();
        self.cut += text.len() - kept.len();
        let shown = &mut self.engines.entry(engine).or_default().shown;
        match stream {
            Stream::Stdout => shown.stdout.push_str(kept),
            Stream::Stderr => shown.stderr.push_str(kept),
        }
    }

    pub(super) fn display(&mut self, engine: EngineId, id: Option<String>, data: Bundle) {
        self.clear_if_due(engine);
        let bytes = weight(&data);
        match self.room.checked_sub(bytes) {
            Some(room) => {
                self.room = room;
                self.engines.entry(engine).or_default().shown.displays.push(Displayed { id, data });
            }
            None => self.cut += bytes,
        }
    }

    /// Replaces a display of this cell; false when it has none of this name.
    pub(super) fn update(&mut self, engine: EngineId, id: &str, data: &Bundle) -> bool {
        let shown = &mut self.engines.entry(engine).or_default().shown;
        let Some(display) = shown.displays.iter_mut().find(|display| display.id.as_deref() == Some(id)) else {
            return false;
        };
        self.room += weight(&display.data);
        match self.room.checked_sub(weight(data)) {
            Some(room) => (self.room, display.data) = (room, data.clone()),
            None => {
                self.room -= weight(&display.data);
                self.cut += weight(data);
            }
        }
        true
    }

    /// Drops what an engine has shown; with `wait`, when it shows something next.
    pub(super) fn clear(&mut self, engine: EngineId, wait: bool) {
        let shown = &mut self.engines.entry(engine).or_default().shown;
        shown.clear_on_next = wait;
        if !wait {
            self.room += shown.clear();
        }
    }

    fn clear_if_due(&mut self, engine: EngineId) {
        if let Some(shown) = self.engines.get_mut(&engine).map(|record| &mut record.shown)
            && shown.clear_on_next
        {
            self.room += shown.clear();
        }
    }

    pub(super) fn result(&mut self, engine: EngineId, data: Bundle) {
        self.room = self.room.saturating_sub(weight(&data));
        self.engines.entry(engine).or_default().shown.result = Some(data);
    }

    pub(super) fn failed(&mut self, engine: EngineId, mut failure: RunFailure) {
        failure.interrupted = self.interrupted;
        self.engines.entry(engine).or_default().failure = Some(failure);
    }

    pub(super) fn done(&mut self, engine: EngineId) {
        self.engines.entry(engine).or_default().done = true;
    }

    pub(super) fn lost(&mut self, engine: EngineId, variables: Vec<String>) {
        if let Some(failure) = self.engines.get_mut(&engine).and_then(|record| record.failure.as_mut()) {
            failure.lost = variables;
        }
    }

    /// The execution count of the cell.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The engines that it was sent to.
    pub fn targets(&self) -> Vec<EngineId> {
        self.engines.keys().copied().collect()
    }

    /// The engines that it still runs on.
    pub fn running(&self) -> Vec<EngineId> {
        self.engines.iter().filter(|(_, record)| !record.done).map(|(id, _)| *id).collect()
    }

    /// Everything, grouped, and how it failed, if any engine did. With `each`, identical outputs of several engines
    /// aren't put together.
    pub fn render(&self, grouping: Grouping, each: bool) -> (Vec<Output>, Option<PxFailure>) {
        let mut outputs = Vec::new();
        match grouping {
            Grouping::Type | Grouping::Order => {
                for stream in [Stream::Stdout, Stream::Stderr] {
                    let texts = self.shown().map(|(id, shown)| (id, shown.text(stream)));
                    for (ids, text) in fold(texts, each) {
                        push_lines(&mut outputs, stream, &ids, text);
                    }
                }
                if grouping == Grouping::Order {
                    self.collated(each, &mut outputs);
                } else {
                    let displays = self.shown().map(|(id, shown)| (id, shown.displays.as_slice()));
                    for (ids, displays) in fold(displays, each) {
                        push_displays(&mut outputs, &ids, displays);
                    }
                }
                outputs.extend(self.results(each));
            }
            Grouping::Engine => {
                for (ids, shown) in fold(self.shown(), each) {
                    for stream in [Stream::Stdout, Stream::Stderr] {
                        push_lines(&mut outputs, stream, &ids, shown.text(stream));
                    }
                    push_displays(&mut outputs, &ids, &shown.displays);
                    outputs.extend(results(self.count, shown.result.iter().map(|result| (ids.clone(), result))));
                }
            }
        }
        if let Some(cut) = self.cut_notice() {
            push_text(&mut outputs, Stream::Stderr, &cut);
        }
        self.push_unfinished(&mut outputs);
        (outputs, self.failure(each))
    }

    /// Who hasn't finished.
    pub(super) fn push_unfinished(&self, outputs: &mut Vec<Output>) {
        let running = self.running();
        if !running.is_empty() {
            let verb = if running.len() == 1 { "hasn't" } else { "haven't" };
            let text = format!("px: {} {verb} finished\n", name_engines(&running));
            push_text(outputs, Stream::Stderr, &text);
        }
    }

    /// How many failed.
    pub(super) fn failed_engines(&self) -> Vec<EngineId> {
        self.engines.iter().filter(|(_, record)| record.failure.is_some()).map(|(id, _)| *id).collect()
    }

    /// Who failed, and how.
    pub(super) fn failure(&self, each: bool) -> Option<PxFailure> {
        let failures = self.engines.iter().filter_map(|(id, record)| Some((*id, record.failure.clone()?)));
        PxFailure::new(failures.collect(), each)
    }

    /// The results of the engines, in their order.
    pub(super) fn results(&self, each: bool) -> Vec<Output> {
        let all = self.shown().filter_map(|(id, shown)| Some((id, shown.result.as_ref()?)));
        results(self.count, fold(all, each).into_iter())
    }

    fn shown(&self) -> impl Iterator<Item = (EngineId, &Shown)> {
        self.engines.iter().map(|(id, record)| (*id, &record.shown))
    }

    fn collated(&self, each: bool, outputs: &mut Vec<Output>) {
        let most = self.shown().map(|(_, shown)| shown.displays.len()).max().unwrap_or(0);
        for turn in 0..most {
            let displays = self.shown().filter_map(|(id, shown)| Some((id, shown.displays.get(turn)?)));
            for (ids, data) in fold(displays, each) {
                push_displays(outputs, &ids, std::slice::from_ref(data));
            }
        }
    }

    fn cut_notice(&self) -> Option<String> {
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        (self.cut > 0).then(|| format!("px: {:.1} MiB of further output weren't kept\n", mib(self.cut).max(0.1)))
    }
}

/// Results with their prompts; those that are text only stand together in one display.
pub(super) fn results<'a>(count: u32, results: impl Iterator<Item = (Vec<EngineId>, &'a Bundle)>) -> Vec<Output> {
    let mut outputs = Vec::new();
    let mut texts = String::new();
    for (ids, data) in results {
        let prompt = format!("\x1b[1mOut[{}:{count}]:\x1b[0m", fold_ids(&ids));
        if !texts.is_empty() {
            texts.push('\n');
        }
        texts += &prompt;
        match only_text(data) {
            Some(text) => {
                let text = text.trim_end_matches('\n');
                texts.push(if text.contains('\n') { '\n' } else { ' ' });
                texts += text;
            }
            None => {
                outputs.push(Output::plain(std::mem::take(&mut texts)));
                outputs.push(Output::display(data.clone()));
            }
        }
    }
    if !texts.is_empty() {
        outputs.push(Output::plain(texts));
    }
    outputs
}

fn push_lines(outputs: &mut Vec<Output>, stream: Stream, ids: &[EngineId], text: &str) {
    let prefix = prefix(stream, &fold_ids(ids));
    let lines: String = text.lines().map(|line| format!("{prefix}{}\n", settled(line))).collect();
    push_text(outputs, stream, &lines);
}

/// What remains of a line that was rewritten with `\r`.
fn settled(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    line.rsplit('\r').next().unwrap_or(line)
}

fn push_displays(outputs: &mut Vec<Output>, ids: &[EngineId], displays: &[Displayed]) {
    if displays.is_empty() {
        return;
    }
    push_text(outputs, Stream::Stdout, &format!("[output:{}]\n", fold_ids(ids)));
    outputs.extend(displays.iter().cloned().map(|Displayed { id, data }| match id {
        Some(id) => Output::named(id, data),
        None => Output::display(data),
    }));
}
