//! How far a map is: one bar for the whole and one for each engine, as text and as HTML; and its last line.
//!
//! It has no clock: whoever feeds it says how late it is, and decides how often it is shown.

use super::magics::LEFT;
use super::output::{Bundle, html_bundle};
use super::progress::duration;
use chorus_protocol::EngineId;
use html_escape::encode_text;
use std::collections::BTreeMap;
use std::time::Duration;

/// Columns of a bar in a terminal: of the whole, and of an engine.
const WIDTH: usize = 24;
const ENGINE_WIDTH: usize = 12;

/// So many items that failed are named.
const NAMED: usize = 8;

/// How far a map is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapView {
    /// How many items there are; `None` when each engine has its own, and only they know.
    pub total: Option<u64>,
    /// Those that take part, or did.
    pub engines: BTreeMap<EngineId, MapEngine>,
    /// The items that failed, in any order.
    pub failed: Vec<u64>,
    /// Since its beginning.
    pub elapsed: Duration,
}

/// An engine's part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapEngine {
    /// Items that are done, failed ones included.
    pub done: u64,
    /// Those that failed.
    pub failed: u64,
    /// What they took on its own clock, in microseconds.
    pub micros: u64,
    /// What it does now.
    pub state: EngineState,
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
pub enum MapEnd {
    /// All items were tried.
    Done,
    /// An item failed.
    Failed,
    /// It was interrupted or cancelled.
    Interrupted,
}

impl MapView {
    /// How it looks now.
    pub fn bundle(&self) -> Bundle {
        html_bundle(self.text(), self.html())
    }

    /// The last line, as text and as HTML.
    pub fn end_bundle(&self, end: MapEnd) -> Bundle {
        let text = self.summary(end);
        let html = format!("<div>{}</div>", encode_text(&text));
        html_bundle(text, html)
    }

    /// Items that are done, failed ones included.
    fn done(&self) -> u64 {
        self.engines.values().fold(0, |sum, engine| sum.saturating_add(engine.done))
    }

    /// `1,000 items on 4 engines in 0.52 s (1.9 k/s); 3 failed: items 4, 17, 90`
    pub fn summary(&self, end: MapEnd) -> String {
        let engines = self.engines.values().filter(|engine| engine.done > 0).count();
        let items = match (end, self.total) {
            (MapEnd::Failed | MapEnd::Interrupted, Some(total)) => {
                format!("{} of {}", thousands(self.done()), plural(total, "item"))
            }
            _ => plural(self.done(), "item"),
        };
        let begin = match end {
            MapEnd::Done => "",
            MapEnd::Failed => "failed: ",
            MapEnd::Interrupted => "interrupted: ",
        };
        let mut text =
            format!("{begin}{items} on {} in {}", plural(engines as u64, "engine"), short_time(self.elapsed));
        if let Some(rate) = rate(self.done(), self.elapsed) {
            text += &format!(" ({})", per_second(rate));
        }
        if !self.failed.is_empty() {
            let mut failed = self.failed.clone();
            failed.sort_unstable();
            let named = failed.iter().take(NAMED).map(u64::to_string).collect::<Vec<_>>().join(", ");
            let items = if failed.len() == 1 { "item" } else { "items" };
            let more = if failed.len() > NAMED { ", ..." } else { "" };
            text += &format!("; {} failed: {items} {named}{more}", thousands(failed.len() as u64));
        }
        text
    }

    fn text(&self) -> String {
        let mut text = match self.share() {
            Some(share) => format!("map {:>3}% [{}] {}", percent(share), bar(share, WIDTH), self.numbers()),
            None => format!("map {}", self.numbers()),
        };
        let width = self.engines.keys().map(|id| id.to_string().len()).max().unwrap_or(0);
        for (id, engine) in &self.engines {
            let bar = self.part(engine).map(|part| format!("[{}] ", bar(part, ENGINE_WIDTH))).unwrap_or_default();
            text += &format!("\n  engine {:>width$} {bar}{}", id.to_string(), engine.numbers());
        }
        text
    }

    fn html(&self) -> String {
        let row = |name: &str, share: Option<f64>, numbers: &str, failed: bool| {
            let colour = if failed { "; accent-color: #c33" } else { "" };
            let bar = share.map(|share| {
                format!(
                    "<td><progress value=\"{share:.4}\" max=\"1\" style=\"width: 16em; vertical-align: \
                     middle{colour}\"></progress></td>"
                )
            });
            let bar = bar.unwrap_or_default();
            format!("<tr><td {LEFT}>{name}</td>{bar}<td {LEFT}>{}</td></tr>", encode_text(numbers))
        };
        let share = self.share();
        let whole = share.map_or("map".to_owned(), |share| format!("<b>{}%</b>", percent(share)));
        let mut rows = row(&whole, share, &self.numbers(), !self.failed.is_empty());
        for (id, engine) in &self.engines {
            rows += &row(&format!("engine {id}"), self.part(engine), &engine.numbers(), engine.failed > 0);
        }
        format!("<table>{rows}</table>")
    }

    /// From 0 to 1; nothing of nothing is all of it.
    fn share(&self) -> Option<f64> {
        let (done, total) = (self.done(), self.total?);
        Some(if done >= total { 1.0 } else { done as f64 / total as f64 })
    }

    /// An engine's part of all items.
    fn part(&self, engine: &MapEngine) -> Option<f64> {
        let total = self.total?;
        Some(if total == 0 { 0.0 } else { (engine.done as f64 / total as f64).min(1.0) })
    }

    /// `4,200/10,000 items, 1.2 k/s, 5 s left, 3 failed`
    fn numbers(&self) -> String {
        let done = self.done();
        let mut text = match self.total {
            Some(total) => format!("{}/{}", thousands(done), plural(total, "item")),
            None => plural(done, "item"),
        };
        match (rate(done, self.elapsed), self.total) {
            (Some(rate), Some(total)) => {
                text += &format!(", {}", per_second(rate));
                // Of what no clock can show, nothing is said.
                let left = total.saturating_sub(done) as f64 / rate;
                if let Ok(left) = Duration::try_from_secs_f64(left.ceil()) {
                    text += &format!(", {} left", duration(left));
                }
            }
            (Some(rate), None) => text += &format!(", {}, {}", per_second(rate), duration(self.elapsed)),
            (None, _) => text += &format!(", {}", duration(self.elapsed)),
        }
        if !self.failed.is_empty() {
            text += &format!(", {} failed", thousands(self.failed.len() as u64));
        }
        text
    }
}

impl MapEngine {
    /// `1,050 items, 300/s, busy, 1 failed`
    fn numbers(&self) -> String {
        let mut text = plural(self.done, "item");
        if let Some(rate) = rate(self.done, Duration::from_micros(self.micros)) {
            text += &format!(", {}", per_second(rate));
        }
        text += match self.state {
            EngineState::Idle => ", idle",
            EngineState::Busy => ", busy",
            EngineState::Lost => ", died: others do its items",
        };
        if self.failed > 0 {
            text += &format!(", {} failed", thousands(self.failed));
        }
        text
    }
}

/// Rounded down: 100 is said of all alone.
fn percent(share: f64) -> u64 {
    (share * 100.0) as u64
}

fn bar(share: f64, width: usize) -> String {
    let full = ((share * width as f64) as usize).min(width);
    "█".repeat(full) + &"·".repeat(width - full)
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
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn plural(number: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(number), if number == 1 { "" } else { "s" })
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

/// With two digits behind the point while it is short.
fn short_time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.0995 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 9.995 => format!("{seconds:.2} s"),
        seconds if seconds < 59.95 => format!("{seconds:.1} s"),
        _ => duration(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data: &Bundle, mime: &str) -> String {
        data[mime].as_str().unwrap().to_owned()
    }

    fn engine(done: u64, failed: u64, micros: u64, state: EngineState) -> MapEngine {
        MapEngine { done, failed, micros, state }
    }

    fn view(total: Option<u64>, millis: u64, engines: &[(u32, MapEngine)], failed: &[u64]) -> MapView {
        let engines = engines.iter().map(|(id, engine)| (EngineId(*id), *engine)).collect();
        MapView { total, engines, failed: failed.to_vec(), elapsed: Duration::from_millis(millis) }
    }

    fn halfway(total: Option<u64>, millis: u64) -> MapView {
        let engines = [
            (0, engine(3_500, 2, 3_000_000, EngineState::Busy)),
            (1, engine(700, 1, 2_000_000, EngineState::Lost)),
            (10, engine(0, 0, 0, EngineState::Idle)),
            (2, engine(0, 0, 0, EngineState::Busy)),
        ];
        view(total, millis, &engines, &[90, 17, 4])
    }

    #[test]
    fn a_map_under_way_is_bars() {
        let data = halfway(Some(10_000), 3_000).bundle();
        insta::assert_snapshot!(text(&data, "text/plain"), @r"
        map  42% [██████████··············] 4,200/10,000 items, 1.4 k/s, 5 s left, 3 failed
          engine  0 [████········] 3,500 items, 1.2 k/s, busy, 2 failed
          engine  1 [············] 700 items, 350/s, died: others do its items, 1 failed
          engine  2 [············] 0 items, busy
          engine 10 [············] 0 items, idle
        ");
        insta::assert_snapshot!(text(&data, "text/html").replace("<tr>", "\n<tr>"), @r#"
        <table>
        <tr><td style="text-align: left"><b>42%</b></td><td><progress value="0.4200" max="1" style="width: 16em; vertical-align: middle; accent-color: #c33"></progress></td><td style="text-align: left">4,200/10,000 items, 1.4 k/s, 5 s left, 3 failed</td></tr>
        <tr><td style="text-align: left">engine 0</td><td><progress value="0.3500" max="1" style="width: 16em; vertical-align: middle; accent-color: #c33"></progress></td><td style="text-align: left">3,500 items, 1.2 k/s, busy, 2 failed</td></tr>
        <tr><td style="text-align: left">engine 1</td><td><progress value="0.0700" max="1" style="width: 16em; vertical-align: middle; accent-color: #c33"></progress></td><td style="text-align: left">700 items, 350/s, died: others do its items, 1 failed</td></tr>
        <tr><td style="text-align: left">engine 2</td><td><progress value="0.0000" max="1" style="width: 16em; vertical-align: middle"></progress></td><td style="text-align: left">0 items, busy</td></tr>
        <tr><td style="text-align: left">engine 10</td><td><progress value="0.0000" max="1" style="width: 16em; vertical-align: middle"></progress></td><td style="text-align: left">0 items, idle</td></tr></table>
        "#);
    }

    #[test]
    fn without_a_total_there_are_no_bars() {
        let data = halfway(None, 3_000).bundle();
        insta::assert_snapshot!(text(&data, "text/plain"), @r"
        map 4,200 items, 1.4 k/s, 3 s, 3 failed
          engine  0 3,500 items, 1.2 k/s, busy, 2 failed
          engine  1 700 items, 350/s, died: others do its items, 1 failed
          engine  2 0 items, busy
          engine 10 0 items, idle
        ");
        assert!(!text(&data, "text/html").contains("<progress"));
    }

    #[test]
    fn nothing_done_yet_has_no_rate() {
        let view = view(Some(1), 75_000, &[(0, engine(0, 0, 0, EngineState::Busy))], &[]);
        insta::assert_snapshot!(text(&view.bundle(), "text/plain"), @r"
        map   0% [························] 0/1 item, 1 min 15 s
          engine 0 [············] 0 items, busy
        ");
    }

    #[test]
    fn the_last_line_says_what_was_done() {
        let quarter = engine(2_500_000, 0, 500_000, EngineState::Idle);
        let four = [(0, quarter), (1, quarter), (2, quarter), (3, quarter)];
        let total = Some(10_000_000);
        insta::assert_snapshot!(view(total, 520, &four, &[]).summary(MapEnd::Done), @"10,000,000 items on 4 engines in 0.52 s (19.2 M/s)");
        insta::assert_snapshot!(view(total, 520, &four, &[90, 17, 4]).summary(MapEnd::Done), @"10,000,000 items on 4 engines in 0.52 s (19.2 M/s); 3 failed: items 4, 17, 90");
        insta::assert_snapshot!(halfway(Some(10_000), 61_000).summary(MapEnd::Interrupted), @"interrupted: 4,200 of 10,000 items on 2 engines in 1 min 1 s (68.9/s); 3 failed: items 4, 17, 90");
        insta::assert_snapshot!(halfway(None, 61_000).summary(MapEnd::Interrupted), @"interrupted: 4,200 items on 2 engines in 1 min 1 s (68.9/s); 3 failed: items 4, 17, 90");
        insta::assert_snapshot!(view(Some(1), 0, &[], &[]).summary(MapEnd::Failed), @"failed: 0 of 1 item on 0 engines in 0.0 ms");
        let one = [(3, engine(1, 1, 10, EngineState::Idle))];
        insta::assert_snapshot!(view(Some(1), 25, &one, &[0]).summary(MapEnd::Failed), @"failed: 1 of 1 item on 1 engine in 25.0 ms (40.0/s); 1 failed: item 0");
        let all = view(Some(100), 1_000, &one, &(0..100).rev().collect::<Vec<_>>());
        assert!(all.summary(MapEnd::Done).ends_with("100 failed: items 0, 1, 2, 3, 4, 5, 6, 7, ..."));
        assert_eq!(all.end_bundle(MapEnd::Done)["text/plain"], all.summary(MapEnd::Done));
    }

    #[test]
    fn odd_numbers_are_no_panic() {
        let most = engine(u64::MAX, u64::MAX, u64::MAX, EngineState::Busy);
        let least = engine(1, 0, 1, EngineState::Busy);
        for total in [None, Some(0), Some(1), Some(u64::MAX)] {
            for engines in [&[(0, most), (u32::MAX, most)][..], &[(0, least)], &[]] {
                let mut view = view(total, u64::MAX, engines, &[u64::MAX; 20]);
                for elapsed in [Duration::MAX, Duration::from_nanos(1), Duration::ZERO] {
                    view.elapsed = elapsed;
                    let _ = (view.bundle(), view.end_bundle(MapEnd::Done));
                }
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        let rates = [(0.0123, "0.01/s"), (7.0, "7.0/s"), (999.4, "999/s"), (1_000.0, "1.0 k/s"), (2.5e9, "2.5 G/s")];
        for (rate, expected) in rates {
            assert_eq!(per_second(rate), expected);
        }
        for (number, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(thousands(number), expected);
        }
    }
}
