//! Maps and calls as a table: `%tasks`.

use super::output::{Bundle, html_bundle};
use super::table::{html_table, one_line, text_table};
use super::time::duration;
use chorus_protocol::{EngineId, name_engines};
use std::time::Duration;

/// The longest text of a label or a failure that is shown, in characters.
const LONGEST: usize = 100;
const HEADER: [&str; 4] = ["task", "function", "state", "time"];

/// A map or a call.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskLine {
    /// Its number.
    pub number: u64,
    /// Its function.
    pub label: String,
    /// How it is.
    pub state: TaskState,
    /// How long it has been there, or took.
    pub seconds: f64,
}

/// How a map or a call is.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskState {
    /// For calls with these labels, or for an engine if there are none.
    Waiting(Vec<String>),
    /// On these engines.
    Running(Vec<EngineId>),
    /// On this engine, if on one.
    Done(Option<EngineId>),
    /// With this sentence.
    Failed(String),
}

/// What `%tasks` shows.
pub fn tasks(lines: &[TaskLine]) -> Bundle {
    if lines.is_empty() {
        return super::plain_bundle("There are no maps or calls.");
    }
    let rows: Vec<[String; 4]> = lines.iter().map(row).collect();
    html_bundle(text_table(HEADER, &rows), html_table(HEADER, &rows))
}

fn row(line: &TaskLine) -> [String; 4] {
    let time = duration(Duration::try_from_secs_f64(line.seconds).unwrap_or_default());
    [line.number.to_string(), one_line(&line.label, LONGEST), one_line(&state(&line.state), LONGEST), time]
}

pub(super) fn state(state: &TaskState) -> String {
    match state {
        TaskState::Waiting(needs) if needs.is_empty() => "queued".to_owned(),
        TaskState::Waiting(needs) => format!("waiting for {}", needs.join(", ")),
        TaskState::Running(engines) => format!("running on {}", name_engines(engines)),
        TaskState::Done(None) => "done".to_owned(),
        TaskState::Done(Some(engine)) => format!("done on {}", name_engines(&[*engine])),
        TaskState::Failed(sentence) => format!("failed: {sentence}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64, label: &str, state: TaskState) -> TaskLine {
        TaskLine { number, label: label.into(), state, seconds: 1.5 }
    }

    #[test]
    fn each_has_a_line() {
        let lines = [
            line(1, "inc", TaskState::Done(Some(EngineId(0)))),
            line(2, "|x|\n x < 1", TaskState::Running(vec![EngineId(1)])),
            line(3, "add", TaskState::Waiting(vec!["inc".into(), "dec".into()])),
            line(4, "add", TaskState::Waiting(vec![])),
            line(5, "bad", TaskState::Failed("`bad` failed\u{1b}".into())),
        ];
        let rows: Vec<_> = lines.iter().map(row).collect();
        let text = text_table(HEADER, &rows);
        let states: Vec<&str> = text.lines().map(|line| line.get(17..).unwrap_or("").trim()).collect();
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(states[2].starts_with("running on engine 1"), "{text}");
        assert!(
            text.contains("waiting for inc, dec") && text.contains("queued") && text.contains("failed: `bad` failed")
        );
        assert!(html_table(HEADER, &rows).contains("|x| x &lt; 1"));
    }

    #[test]
    fn none_are_a_sentence() {
        assert_eq!(tasks(&[]), crate::plain_bundle("There are no maps or calls."));
    }
}
