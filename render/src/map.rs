//! How far a map is: one bar for the whole and one for each engine, as text and as HTML; and its last line.
//!
//! It has no clock: whoever feeds it says how late it is, and decides how often it is shown.

use super::elide::elide;
use super::magics::LEFT;
use super::output::{Bundle, html_bundle};
use super::progress::{html_bar, text_bar};
use super::table::{html_table, text_table};
use super::time::{duration, measured};
use chorus_protocol::{EngineId, name_engines, noun};
use html_escape::encode_text;
use std::collections::BTreeMap;
use std::time::Duration;

/// Columns of a bar in a terminal: of the whole, and of an engine.
const WIDTH: usize = 24;
const ENGINE_WIDTH: usize = 12;

/// An engine's rate is that of the last so many seconds, or so.
const RECENT: f64 = 3.0;

/// So many items that failed are named.
const NAMED: usize = 8;

/// A map's progress.
#[derive(Clone, Debug)]
pub struct MapView {
    /// `None` when each engine has its own items, and only they know how many.
    total: Option<u64>,
    done: u64,
    /// The first items that failed, in order.
    failed: Vec<u64>,
    failures: u64,
    engines: BTreeMap<EngineId, Engine>,
    /// How long the compiler was at work before.
    compiled: Option<Duration>,
    /// How long GPUs were copying, and how long they ran the function.
    gpu: [Duration; 2],
}

#[derive(Clone, Debug, Default)]
struct Engine {
    done: u64,
    failures: u64,
    /// How long it has worked, on its own clock.
    busy: Duration,
    /// Items in a second, lately.
    rate: Option<f64>,
    state: EngineState,
    /// How often its worker died.
    deaths: u32,
}

/// What an engine does for a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineState {
    /// It waits for items.
    #[default]
    Idle,
    /// It works at some.
    Busy,
    /// It died, and others do its items.
    Lost,
}

/// How a map ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapEnd<'a> {
    /// All items were tried.
    Done,
    /// It failed, for this reason.
    Failed(&'a str),
    /// It was interrupted or cancelled, for this reason.
    Interrupted(&'a str),
}

impl MapView {
    /// A map of so many items; `None` when each engine has its own.
    pub fn new(total: Option<u64>) -> MapView {
        MapView {
            total,
            done: 0,
            failed: Vec::new(),
            failures: 0,
            engines: BTreeMap::new(),
            compiled: None,
            gpu: [Duration::ZERO; 2],
        }
    }

    /// Has the last line tell how long the compiler was at work before, which isn't in its other times.
    pub fn compiled_in(self, compiled: Duration) -> MapView {
        MapView { compiled: Some(compiled), ..self }
    }

    /// An engine takes part, or does something else now.
    pub fn engine(&mut self, engine: EngineId, state: EngineState) {
        let engine = self.engines.entry(engine).or_default();
        engine.deaths += u32::from(state == EngineState::Lost);
        engine.state = state;
    }

    /// An engine has done so many more items in so many microseconds, and so many of them failed, these first.
    pub fn done(&mut self, engine: EngineId, items: u64, micros: u64, failed: &[u64], failures: u64) {
        self.done = self.done.saturating_add(items);
        self.fail(failed, failures);
        let engine = self.engines.entry(engine).or_default();
        engine.done = engine.done.saturating_add(items);
        engine.failures = engine.failures.saturating_add(failures);
        engine.busy = engine.busy.saturating_add(Duration::from_micros(micros));
        let seconds = micros as f64 / 1e6;
        if seconds > 0.0 {
            let new = items as f64 / seconds;
            let weight = (seconds / RECENT).min(1.0);
            engine.rate = Some(engine.rate.map_or(new, |rate| rate + weight * (new - rate)));
        }
    }

    /// GPUs were copying for so many microseconds more, and ran the function for so many.
    pub fn gpu(&mut self, transfer: u64, kernel: u64) {
        for (sum, micros) in self.gpu.iter_mut().zip([transfer, kernel]) {
            *sum = sum.saturating_add(Duration::from_micros(micros));
        }
    }

    /// So many items, these first, ended the workers that worked at them.
    pub fn given_up(&mut self, items: &[u64], count: u64) {
        self.done = self.done.saturating_add(count);
        self.fail(items, count);
    }

    fn fail(&mut self, items: &[u64], count: u64) {
        self.failures = self.failures.saturating_add(count);
        for item in items {
            // Pieces come in any order, and only the first items are named.
            let at = self.failed.partition_point(|other| other < item);
            if at < NAMED {
                self.failed.insert(at, *item);
                self.failed.truncate(NAMED);
            }
        }
    }

    /// The engines that work at it.
    pub fn busy(&self) -> Vec<EngineId> {
        self.engines.iter().filter(|(_, engine)| engine.state == EngineState::Busy).map(|(id, _)| *id).collect()
    }

    /// Whether an engine has done something.
    pub fn has_done(&self, engine: EngineId) -> bool {
        self.engines.get(&engine).is_some_and(|engine| engine.done > 0)
    }

    /// How many engines have done something.
    pub fn engines_used(&self) -> usize {
        self.engines.values().filter(|engine| engine.done > 0).count()
    }

    /// How many items are done, failed ones too.
    pub fn items_done(&self) -> u64 {
        self.done
    }

    /// How many items didn't fail.
    pub fn items_well(&self) -> u64 {
        self.done.saturating_sub(self.failures)
    }

    /// How it looks now.
    pub fn bundle(&self, elapsed: Duration) -> Bundle {
        html_bundle(self.text(elapsed), self.html(elapsed))
    }

    /// How it looks at its end. If its summary is told elsewhere, that needn't be repeated.
    pub fn end_bundle(&self, elapsed: Duration, end: MapEnd<'_>, is_told: bool) -> Bundle {
        let mut text = match end {
            MapEnd::Done if is_told && self.failures > 0 => {
                format!("{} done, {} failed", plural(self.done, "item"), thousands(self.failures))
            }
            MapEnd::Done if is_told => format!("{} done", plural(self.done, "item")),
            _ => self.summary(elapsed, end),
        };
        if let MapEnd::Failed(why) | MapEnd::Interrupted(why) = end {
            text += &format!("; {}", why.lines().next().unwrap_or_default());
        }
        let bar = self.share().map(|share| html_bar(share, 1, end != MapEnd::Done || self.failures > 0));
        let html = format!("<div>{} {}</div>", bar.unwrap_or_default(), encode_text(&text));
        html_bundle(text, html)
    }

    /// What each engine did, as a table.
    pub fn figures(&self) -> Bundle {
        const HEADER: [&str; 6] = ["engine", "items", "busy", "rate", "failed", "deaths"];
        let row = |(id, engine): (&EngineId, &Engine)| {
            [
                id.to_string(),
                thousands(engine.done),
                measured(engine.busy),
                rate(engine.done, engine.busy).map(per_second).unwrap_or_default(),
                thousands(engine.failures),
                engine.deaths.to_string(),
            ]
        };
        let rows: Vec<_> = self.engines.iter().map(row).collect();
        html_bundle(text_table(HEADER, &rows), html_table(HEADER, &rows))
    }

    /// `1,000 items on 4 engines in 520 ms (1.9 k/s); compiled in 310 ms; 3 failed: items 4, 17, 90`
    pub fn summary(&self, elapsed: Duration, end: MapEnd<'_>) -> String {
        let engines = self.engines_used();
        let items = match (end, self.total) {
            (MapEnd::Failed(_) | MapEnd::Interrupted(_), Some(total)) => {
                format!("{} of {}", thousands(self.items_well()), plural(total, "item"))
            }
            _ => plural(self.done, "item"),
        };
        let begin = match end {
            MapEnd::Done => "",
            MapEnd::Failed(_) => "failed: ",
            MapEnd::Interrupted(_) => "interrupted: ",
        };
        let mut text = format!("{begin}{items} on {} in {}", plural(engines as u64, "engine"), measured(elapsed));
        if let Some(rate) = rate(self.done, elapsed) {
            text += &format!(" ({})", per_second(rate));
        }
        if let Some(compiled) = self.compiled {
            text += &format!("; compiled in {}", measured(compiled));
        }
        if self.gpu != [Duration::ZERO; 2] {
            let [transfer, kernel] = self.gpu.map(measured);
            text += &format!("; GPU: {transfer} copying, {kernel} computing");
        }
        if self.failures > 0 {
            let all = self.failed.iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ");
            let items = if self.failures == 1 { "item" } else { "items" };
            let more = if self.failures > self.failed.len() as u64 { ", ..." } else { "" };
            text += &format!("; {} failed: {items} {all}{more}", thousands(self.failures));
        }
        let died: Vec<EngineId> =
            self.engines.iter().filter(|(_, engine)| engine.deaths > 0).map(|(id, _)| *id).collect();
        if !died.is_empty() {
            text += &format!("; workers died on {}", name_engines(&died));
        }
        text
    }

    fn text(&self, elapsed: Duration) -> String {
        let numbers = self.numbers(elapsed);
        let mut text = match self.share() {
            Some(share) => format!("map {:>3}% [{}] {numbers}", percent(share), text_bar(share, WIDTH)),
            None => format!("map {numbers}"),
        };
        let width = self.engines.keys().map(|id| id.to_string().len()).max().unwrap_or(0);
        let mut row = |name: &str, engine: &Engine, numbers: &str| {
            let bar = self.part(engine).map(|part| format!("[{}] ", text_bar(part, ENGINE_WIDTH))).unwrap_or_default();
            text += &format!("\n  {name} {bar}{numbers}");
        };
        let (first, left_out, last) = elide(self.engines.iter().collect());
        first.iter().for_each(|(id, engine)| row(&format!("engine {:>width$}", id.0), engine, &engine.numbers()));
        if let Some((name, all, numbers)) = together(&left_out) {
            row(&format!("{name:>0$}", "engine ".len() + width), &all, &numbers);
        }
        last.iter().for_each(|(id, engine)| row(&format!("engine {:>width$}", id.0), engine, &engine.numbers()));
        text
    }

    fn html(&self, elapsed: Duration) -> String {
        let row = |name: &str, share: Option<f64>, numbers: &str, is_wrong: bool| {
            let bar = share.map(|share| format!("<td>{}</td>", html_bar(share, 1, is_wrong)));
            let bar = bar.unwrap_or_default();
            format!("<tr><td {LEFT}>{name}</td>{bar}<td {LEFT}>{}</td></tr>", encode_text(numbers))
        };
        let share = self.share();
        let whole = share.map_or("map".to_owned(), |share| format!("<b>{}%</b>", percent(share)));
        let mut rows = row(&whole, share, &self.numbers(elapsed), self.failures > 0);
        let of = |name: &str, engine: &Engine, numbers: &str| {
            let is_wrong = engine.failures > 0 || engine.state == EngineState::Lost;
            row(name, self.part(engine), numbers, is_wrong)
        };
        let of_one = |(id, engine): &(&EngineId, &Engine)| of(&format!("engine {id}"), engine, &engine.numbers());
        let (first, left_out, last) = elide(self.engines.iter().collect());
        rows.extend(first.iter().map(of_one));
        rows.extend(together(&left_out).map(|(name, all, numbers)| of(&name, &all, &numbers)));
        rows.extend(last.iter().map(of_one));
        format!("<table>{rows}</table>")
    }

    /// From 0 to 1; nothing of nothing is all of it.
    fn share(&self) -> Option<f64> {
        let total = self.total?;
        Some(if self.done >= total { 1.0 } else { self.done as f64 / total as f64 })
    }

    /// An engine's part of all items.
    fn part(&self, engine: &Engine) -> Option<f64> {
        let total = self.total?;
        Some(if total == 0 { 0.0 } else { (engine.done as f64 / total as f64).min(1.0) })
    }

    /// `4,200/10,000 items, 1.2 k/s, 5 s left, 3 failed`
    fn numbers(&self, elapsed: Duration) -> String {
        let mut text = match self.total {
            Some(total) => format!("{}/{}", thousands(self.done), plural(total, "item")),
            None => plural(self.done, "item"),
        };
        match (rate(self.done, elapsed), self.total) {
            (Some(rate), Some(total)) => {
                text += &format!(", {}", per_second(rate));
                // Of what no clock can show, nothing is said.
                let left = total.saturating_sub(self.done) as f64 / rate;
                if let Ok(left) = Duration::try_from_secs_f64(left.ceil()) {
                    text += &format!(", {} left", duration(left));
                }
            }
            (Some(rate), None) => text += &format!(", {}, {}", per_second(rate), duration(elapsed)),
            (None, _) => text += &format!(", {}", duration(elapsed)),
        }
        if self.failures > 0 {
            text += &format!(", {} failed", thousands(self.failures));
        }
        text
    }
}

impl Engine {
    /// `1,050 items, 300/s`
    fn figures(&self) -> String {
        let rate = self.rate.map(|rate| format!(", {}", per_second(rate))).unwrap_or_default();
        plural(self.done, "item") + &rate
    }

    /// `1,050 items, 300/s, busy, 1 failed`
    fn numbers(&self) -> String {
        let mut text = self.figures();
        text += match self.state {
            EngineState::Idle => ", idle",
            EngineState::Busy => ", busy",
            EngineState::Lost => ", died: others do its items",
        };
        if self.failures > 0 {
            text += &format!(", {} failed", thousands(self.failures));
        }
        text
    }
}

/// The row of engines that have none of their own, if there are any.
fn together(engines: &[(&EngineId, &Engine)]) -> Option<(String, Engine, String)> {
    let mut all = Engine::default();
    for (_, engine) in engines {
        all.done = all.done.saturating_add(engine.done);
        all.failures = all.failures.saturating_add(engine.failures);
        all.rate = all.rate.map_or(engine.rate, |sum| Some(sum + engine.rate.unwrap_or_default()));
    }
    let in_state = |state| engines.iter().filter(|(_, engine)| engine.state == state).count();
    let (busy, lost) = (in_state(EngineState::Busy), in_state(EngineState::Lost));
    if lost > 0 {
        all.state = EngineState::Lost;
    }
    let mut numbers = all.figures();
    numbers += &format!(", {busy} busy");
    if lost > 0 {
        numbers += &format!(", {lost} died");
    }
    (!engines.is_empty()).then(|| (format!("{} more", engines.len()), all, numbers))
}

/// Rounded down: 100 is said of all alone.
fn percent(share: f64) -> u64 {
    (share * 100.0) as u64
}

/// Items in a second, if there are any.
fn rate(items: u64, time: Duration) -> Option<f64> {
    (items > 0 && !time.is_zero()).then(|| items as f64 / time.as_secs_f64())
}

/// `10,000,000`
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn plural(number: u64, what: &str) -> String {
    format!("{} {}", thousands(number), noun(number, what))
}

/// Three digits or so: `0.25/s`, `3.5/s`, `120/s`, `1.2 k/s`, `19.2 M/s`.
fn per_second(rate: f64) -> String {
    let (number, unit) = match rate {
        _ if rate < 999.5 => (rate, ""),
        _ if rate < 999.5e3 => (rate / 1e3, " k"),
        _ if rate < 999.5e6 => (rate / 1e6, " M"),
        _ => (rate / 1e9, " G"),
    };
    let digits = match number {
        _ if number < 0.995 => 2,
        _ if number < 99.95 => 1,
        _ => 0,
    };
    format!("{number:.digits$}{unit}/s")
}

#[cfg(test)]
mod tests;
