//! How far a run is: a row for all of it, and one for each engine, as text and as a table with bars.

use super::elide::elide;
use super::magics::LEFT;
use super::output::{Bundle, html_bundle};
use super::time::{duration, measured};
use chorus_protocol::EngineId;
use html_escape::encode_text;
use px::progress::Status;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a browser's bar looks like when something has gone wrong.
const WRONG: &str = "; accent-color: #c33";

/// Columns of a bar of an engine in a terminal.
const WIDTH: usize = 12;

/// How far a run on engines is.
#[derive(Clone, Debug)]
pub(super) struct Progress<'a> {
    /// Its engines, in order.
    pub(super) engines: Vec<EngineProgress<'a>>,
    pub(super) elapsed: Duration,
    /// `None` while it runs.
    pub(super) end: Option<PxEnd>,
}

/// How far a run is on one of its engines.
#[derive(Clone, Debug)]
pub(super) struct EngineProgress<'a> {
    pub(super) engine: EngineId,
    pub(super) state: RunState,
    /// How long it ran.
    pub(super) took: Option<Duration>,
    /// The bars that its code shows.
    pub(super) bars: Vec<&'a Status>,
}

/// What became of a run on an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunState {
    Running,
    Done,
    Failed,
}

/// How a run on engines ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PxEnd {
    /// On all of them, well or not; why it failed, if it did.
    Ended(Option<String>),
    /// By the user.
    Interrupted,
    /// It goes on, and nobody waits for it.
    Left,
}

/// A row of an engine, or of those in the middle.
struct Row {
    name: String,
    /// From 0 to 1.
    share: Option<f64>,
    text: String,
    is_wrong: bool,
}

impl Progress<'_> {
    /// `px: 3/4 engines done, 12 s`, and the same with a bar; below it the engines, if there are several.
    pub(super) fn bundle(&self) -> Bundle {
        let (done, total) = (self.count(RunState::Done), self.engines.len());
        let mut text = self.text();
        let is_wrong = self.count(RunState::Failed) > 0 || !matches!(self.end, None | Some(PxEnd::Ended(None)));
        let (bar, whole) = (html_bar(done as f64, total, is_wrong), encode_text(&text).into_owned());
        if total < 2 {
            return html_bundle(text, format!("<div>{bar} {whole}</div>"));
        }
        let rows = self.rows();
        let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
        let html_row = |name: &str, bar: &str, text: &str| {
            format!("<tr><td {LEFT}>{name}</td><td>{bar}</td><td {LEFT}>{text}</td></tr>")
        };
        let mut html = html_row(&format!("<b>{done}/{total}</b>"), &bar, &whole);
        for Row { name, share, text: says, is_wrong } in &rows {
            let bar = share.map(|share| format!("[{}] ", text_bar(share, WIDTH))).unwrap_or_default();
            text += &format!("\n  {name:>width$} {bar}{says}");
            let bar = share.map(|share| html_bar(share, 1, *is_wrong)).unwrap_or_default();
            html += &html_row(name, &bar, &encode_text(says));
        }
        html_bundle(text, format!("<table>{html}</table>"))
    }

    fn count(&self, state: RunState) -> usize {
        self.engines.iter().filter(|engine| engine.state == state).count()
    }

    fn text(&self) -> String {
        let Progress { elapsed, end, .. } = self;
        let failed = self.count(RunState::Failed);
        let part = format!("px: {}/{} engines done", self.count(RunState::Done), self.engines.len());
        let time = duration(*elapsed);
        match end {
            None if failed == 0 => format!("{part}, {time}"),
            None => format!("{part}, {failed} failed, {time}"),
            // How long it took is said in a line of its own: not every front end draws updates.
            Some(PxEnd::Ended(None)) => part,
            Some(PxEnd::Ended(Some(why))) => format!("{part}, failed after {time}: {why}"),
            Some(PxEnd::Interrupted) => format!("{part}, interrupted after {time}"),
            Some(PxEnd::Left) => format!("{part}, not waited for after {time}: %pxresult shows what comes of it"),
        }
    }

    /// A row for each bar, or for an engine that has none.
    fn rows(&self) -> Vec<Row> {
        let parts = self.engines.iter().flat_map(|engine| {
            let none = engine.bars.is_empty().then_some((engine, None));
            none.into_iter().chain(engine.bars.iter().map(move |bar| (engine, Some(*bar))))
        });
        let (first, left_out, last) = elide(parts.collect());
        let row = |(engine, bar): &(&EngineProgress<'_>, Option<&Status>)| engine.row(*bar);
        let more = (!left_out.is_empty()).then(|| together(&left_out));
        first.iter().map(row).chain(more).chain(last.iter().map(row)).collect()
    }
}

impl EngineProgress<'_> {
    fn row(&self, bar: Option<&Status>) -> Row {
        let name = format!("engine {}", self.engine);
        let state = match (self.state, self.took) {
            (RunState::Running, _) => "running".to_owned(),
            (RunState::Done, Some(took)) => format!("done in {}", measured(took)),
            (RunState::Done, None) => "done".to_owned(),
            (RunState::Failed, _) => "failed".to_owned(),
        };
        let is_failed = self.state == RunState::Failed;
        let Some(bar) = bar else { return Row { name, share: None, text: state, is_wrong: is_failed } };
        let label = bar.label_on(self.engine.0);
        let space = if label.is_empty() { "" } else { " " };
        let text = format!("{label}{space}{}", bar.numbers());
        Row { name, share: share([bar]), text, is_wrong: is_failed || bar.is_wrong() }
    }
}

/// The row of those that have none of their own: of how many engines, and how far they are.
fn together(parts: &[(&EngineProgress<'_>, Option<&Status>)]) -> Row {
    let engines = |state: Option<RunState>| {
        let those = parts.iter().filter(|(engine, _)| state.is_none_or(|state| engine.state == state));
        those.map(|(engine, _)| engine.engine).collect::<BTreeSet<EngineId>>().len()
    };
    let states = [(RunState::Running, "running"), (RunState::Done, "done"), (RunState::Failed, "failed")];
    let counts = states.map(|(state, name)| (engines(Some(state)), name));
    let said: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    Row {
        name: format!("{} more", engines(None)),
        share: share(parts.iter().filter_map(|(_, bar)| *bar)),
        text: said.join(", "),
        is_wrong: counts[2].0 > 0 || parts.iter().any(|(_, bar)| bar.is_some_and(Status::is_wrong)),
    }
}

/// How much of all items is done, if it is known how many there are.
fn share<'a>(bars: impl IntoIterator<Item = &'a Status>) -> Option<f64> {
    let known = bars.into_iter().filter_map(|bar| Some((bar.items().0, bar.items().1?)));
    let (done, total) = known.reduce(|a, b| (a.0.saturating_add(b.0), a.1.saturating_add(b.1)))?;
    Some(if done >= total { 1.0 } else { done as f64 / total as f64 })
}

/// A bar that browsers draw, red if something is wrong.
pub(super) fn html_bar(value: f64, max: usize, is_wrong: bool) -> String {
    let value = (value * 1e4).round() / 1e4;
    let colour = if is_wrong { WRONG } else { "" };
    format!(
        "<progress value=\"{value}\" max=\"{max}\" style=\"width: 16em; vertical-align: middle{colour}\"></progress>"
    )
}

/// A bar for terminals.
pub(super) fn text_bar(share: f64, width: usize) -> String {
    blocks((share * width as f64) as usize, width)
}

/// The same, of which so many of its characters are full.
pub(super) fn blocks(full: usize, width: usize) -> String {
    let full = full.min(width);
    "█".repeat(full) + &"·".repeat(width - full)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(id: u32, state: RunState) -> EngineProgress<'static> {
        let took = (state == RunState::Done).then_some(Duration::from_millis(1_500));
        EngineProgress { engine: EngineId(id), state, took, bars: Vec::new() }
    }

    fn progress(failed: usize, end: Option<PxEnd>) -> Progress<'static> {
        let last = if failed > 0 { RunState::Failed } else { RunState::Running };
        let engines = (0..3).map(|id| engine(id, RunState::Done)).chain([engine(10, last)]).collect();
        Progress { engines, elapsed: Duration::from_millis(12_900), end }
    }

    fn shown(progress: &Progress<'_>) -> (String, String) {
        let data = progress.bundle();
        let [text, html] = ["text/plain", "text/html"].map(|mime| data[mime].as_str().unwrap().to_owned());
        (text, html)
    }

    #[test]
    fn progress_is_text_and_a_table() {
        let (text, html) = shown(&progress(0, None));
        insta::assert_snapshot!(text, @r"
        px: 3/4 engines done, 12 s
           engine 0 done in 1.50 s
           engine 1 done in 1.50 s
           engine 2 done in 1.50 s
          engine 10 running
        ");
        assert_eq!(html.matches("<tr>").count(), 5);
        assert!(html.contains("<b>3/4</b></td><td><progress value=\"3\" max=\"4\""), "{html}");
        assert_eq!(progress(1, None).text(), "px: 3/4 engines done, 1 failed, 12 s");
        assert_eq!(progress(0, Some(PxEnd::Ended(None))).text(), "px: 3/4 engines done");
        let why = "engine 2: <it died>".to_owned();
        let ends = [PxEnd::Ended(Some(why)), PxEnd::Interrupted, PxEnd::Left];
        let wrong = ends.map(|end| shown(&progress(0, Some(end))));
        assert!(wrong[0].0.starts_with("px: 3/4 engines done, failed after 12 s: engine 2: <it died>\n"));
        assert!(wrong[1].0.starts_with("px: 3/4 engines done, interrupted after 12 s\n"));
        assert!(wrong[2].0.starts_with("px: 3/4 engines done, not waited for after 12 s"));
        assert!(wrong.iter().all(|(_, html)| html.contains("accent-color: #c33")));
        assert!(wrong[0].1.contains("&lt;it died&gt;"));
    }

    #[test]
    fn one_engine_needs_no_table() {
        let engines = vec![engine(2, RunState::Running)];
        let (text, html) = shown(&Progress { engines, elapsed: Duration::from_secs(1), end: None });
        assert_eq!(text, "px: 0/1 engines done, 1 s");
        assert!(html.starts_with("<div><progress value=\"0\" max=\"1\""), "{html}");
    }

    #[test]
    fn bars_of_the_engines_code_are_in_their_rows() {
        let bars = ["1 3 4 2000000 engine 1: a <b>", "0 9 9 2000000 engine 1", "3 1 - 1000000 engine 10: c"]
            .map(|encoded| Status::read(encoded).unwrap());
        let mut whole = progress(0, None);
        whole.engines[1].bars = vec![&bars[0], &bars[1]];
        whole.engines[3].bars = vec![&bars[2]];
        let (text, html) = shown(&whole);
        insta::assert_snapshot!(text, @r"
        px: 3/4 engines done, 12 s
           engine 0 done in 1.50 s
           engine 1 [█████████···] a <b> 3/4, 1.5/s, 0.7 s left
           engine 1 [████████████] 9/9, 4.5/s, took 2.0 s
           engine 2 done in 1.50 s
          engine 10 c 1, 1.0/s, panicked after 1.0 s
        ");
        assert!(html.contains("a &lt;b&gt; 3/4"), "{html}");
    }

    #[test]
    fn of_many_engines_the_middle_is_one_row() {
        let bar = Status::read("1 1 4 2000000 engine 1").unwrap();
        let engines = (0..64).map(|id| {
            let state = if id == 20 { RunState::Failed } else { RunState::Running };
            EngineProgress { bars: vec![&bar], ..engine(id, state) }
        });
        let (text, html) = shown(&Progress { engines: engines.collect(), elapsed: Duration::ZERO, end: None });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), html.matches("<tr>").count()), (17, 17));
        assert_eq!(lines[9], "    49 more [███·········] 48 running, 1 failed");
        assert!(lines[10].starts_with("  engine 57 [███"), "{text}");
    }
}
