//! What became of each cell of a run: as text for people, as XML and JSON for programs. Pure.

use super::Finished;
use anstream::adapter::strip_str;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// What became of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran to its end.
    Passed,
    /// It failed, and is tagged `raises-exception`.
    Expected,
    /// It failed.
    Failed,
    /// It took longer than it may.
    TimedOut,
    /// The user stopped it.
    Interrupted,
    /// The kernel died in it.
    KernelDied,
    /// An earlier one ended the run.
    NotRun,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Expected => "expected failure",
            Outcome::Failed => "failed",
            Outcome::TimedOut => "timed out",
            Outcome::Interrupted => "interrupted",
            Outcome::KernelDied => "kernel died",
            Outcome::NotRun => "not run",
        }
    }
}

/// A cell of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct CellReport {
    /// Its place among all cells of the notebook, from 0.
    pub index: usize,
    /// Its id, if the notebook has ids.
    pub id: Option<String>,
    /// Its first line with text.
    pub title: String,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took.
    pub took: Option<Duration>,
    /// The error that it put out, as in the notebook.
    pub error: Option<Value>,
}

/// A run, for reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// All cells that there were to run.
    pub cells: Vec<CellReport>,
    /// How the run ended.
    pub finished: Finished,
    /// The whole run, with the kernel's start and end.
    pub took: Duration,
    /// The text of the cell with parameters that was put into the notebook.
    pub injected: Option<String>,
}

/// A cell's first line with text, as it stands in lists.
pub fn title(source: &str) -> String {
    let line = source.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim_end();
    let mut title: String = line.chars().take(72).collect();
    if title.len() < line.len() {
        title.push('…');
    }
    title
}

impl CellReport {
    /// A field of its error, without escape sequences.
    fn field(&self, name: &str) -> String {
        let field = self.error.as_ref().and_then(|error| error.get(name)).and_then(Value::as_str);
        strip_str(field.unwrap_or_default()).to_string()
    }

    /// All that its error says, without escape sequences.
    fn failure_text(&self) -> String {
        let lines = self.error.as_ref().and_then(|error| error.get("traceback")).and_then(Value::as_array);
        let lines: Vec<_> = lines.into_iter().flatten().filter_map(Value::as_str).collect();
        match lines.is_empty() {
            true => format!("{}: {}", self.field("ename"), self.field("evalue")),
            false => strip_str(&lines.join("\n")).to_string(),
        }
    }

    fn seconds(&self) -> Option<f64> {
        self.took.map(|took| took.as_secs_f64())
    }
}

impl Report {
    fn count(&self, outcomes: &[Outcome]) -> usize {
        self.cells.iter().filter(|cell| outcomes.contains(&cell.outcome)).count()
    }

    /// How long each cell took.
    pub fn times(&self) -> String {
        let mut text = String::new();
        let of = self.cells.len();
        for (cell, number) in self.cells.iter().zip(1..) {
            let took = cell.seconds().map_or_else(|| "-".into(), |seconds| format!("{seconds:.3} s"));
            let _ = writeln!(text, "{took:>12}  [{number}/{of}] {}", cell.title);
        }
        let _ = write!(text, "{:>12}  in all", format!("{:.3} s", self.took.as_secs_f64()));
        text
    }

    /// For programs.
    pub fn json(&self, notebook: &Path) -> Value {
        let cells = self.cells.iter().zip(1..).map(|(cell, number)| {
            let error = cell.error.as_ref().map(|_| {
                json!({"ename": cell.field("ename"), "evalue": cell.field("evalue"), "text": cell.failure_text()})
            });
            json!({
                "number": number, "index": cell.index, "id": cell.id, "title": cell.title, "status": cell.outcome.name(),
                "seconds": cell.seconds(), "error": error,
            })
        });
        json!({
            "notebook": notebook.display().to_string(), "status": self.finished.ending.name(),
            "exit_code": self.finished.exit_code(), "seconds": self.took.as_secs_f64(), "parameters": self.injected,
            "cells": cells.collect::<Vec<_>>(),
        })
    }

    /// For what reads the results of tests: each cell is a test case.
    pub fn junit(&self, notebook: &Path) -> String {
        let suite = escaped(&notebook.file_stem().unwrap_or_default().to_string_lossy());
        let (failures, errors) = (
            self.count(&[Outcome::Failed, Outcome::TimedOut]),
            self.count(&[Outcome::Interrupted, Outcome::KernelDied]),
        );
        let counts = format!(
            "tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{}\" time=\"{:.3}\"",
            self.cells.len(),
            self.count(&[Outcome::NotRun]),
            self.took.as_secs_f64()
        );
        let mut text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n");
        let _ = writeln!(text, "  <testsuite name=\"{suite}\" {counts}>");
        for (cell, number) in self.cells.iter().zip(1..) {
            let _ = write!(
                text,
                "    <testcase classname=\"{suite}\" name=\"[{number}] {}\" time=\"{:.3}\"",
                escaped(&cell.title),
                cell.seconds().unwrap_or_default()
            );
            let element = match cell.outcome {
                Outcome::Passed | Outcome::Expected => {
                    text.push_str("/>\n");
                    continue;
                }
                Outcome::NotRun => {
                    text.push_str(">\n      <skipped message=\"an earlier cell ended the run\"/>\n    </testcase>\n");
                    continue;
                }
                Outcome::Failed | Outcome::TimedOut => "failure",
                Outcome::Interrupted | Outcome::KernelDied => "error",
            };
            let _ = write!(
                text,
                ">\n      <{element} type=\"{}\" message=\"{}\">{}</{element}>\n    </testcase>\n",
                escaped(&cell.field("ename")),
                escaped(&cell.field("evalue")),
                escaped(&cell.failure_text())
            );
        }
        text.push_str("  </testsuite>\n</testsuites>\n");
        text
    }
}

/// A text as it may stand in XML, which has no place for most control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => {}
            character if character.is_control() && !('\u{80}'..='\u{9f}').contains(&character) => {}
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notebook::Ending;
    use proptest::prelude::*;

    fn report(outcomes: &[(Outcome, Option<Value>)]) -> Report {
        let cell = |(index, (outcome, error)): (usize, &(Outcome, Option<Value>))| CellReport {
            index,
            id: Some(format!("id{index}")),
            title: "a < \"b\" && c".into(),
            outcome: *outcome,
            took: (*outcome != Outcome::NotRun).then_some(Duration::from_millis(1500)),
            error: error.clone(),
        };
        Report {
            cells: outcomes.iter().enumerate().map(cell).collect(),
            finished: Finished { ending: Ending::Failed, ran: 1, of: outcomes.len() },
            took: Duration::from_secs(2),
            injected: None,
        }
    }

    fn error(text: &str) -> Option<Value> {
        Some(json!({"ename": "E", "evalue": text, "traceback": [text, "second"]}))
    }

    #[test]
    fn junit_has_a_case_for_each_cell() {
        let report = report(&[
            (Outcome::Passed, None),
            (Outcome::Expected, error("expected")),
            (Outcome::Failed, error("\x1b[31mred\x1b[0m <x> ]]>\x07")),
            (Outcome::KernelDied, error("gone")),
            (Outcome::NotRun, None),
        ]);
        let text = report.junit(Path::new("/a/my & own.ipynb"));
        let counts = "tests=\"5\" failures=\"1\" errors=\"1\" skipped=\"1\" time=\"2.000\"";
        assert!(text.contains(&format!("<testsuite name=\"my &amp; own\" {counts}>")), "{text}");
        assert!(text.contains("name=\"[1] a &lt; &quot;b&quot; &amp;&amp; c\" time=\"1.500\"/>"), "{text}");
        assert!(
            text.contains(
                "<failure type=\"E\" message=\"red &lt;x&gt; ]]&gt;\">red &lt;x&gt; ]]&gt;&#10;second</failure>"
            ),
            "{text}"
        );
        assert!(text.contains("<error type=\"E\" message=\"gone\">") && text.contains("<skipped message="));
        assert!(!text.contains("expected\""), "what is expected is no failure");
    }

    #[test]
    fn json_and_times_have_the_same() {
        let report = report(&[(Outcome::TimedOut, error("\x1b[1mslow")), (Outcome::NotRun, None)]);
        let value = report.json(Path::new("n.ipynb"));
        assert_eq!(
            (&value["status"], &value["exit_code"], &value["seconds"]),
            (&json!("failed"), &json!(1), &json!(2.0))
        );
        assert_eq!(
            value["cells"][0],
            json!({"number": 1, "index": 0, "id": "id0", "title": "a < \"b\" && c", "status": "timed out", "seconds": 1.5,
                   "error": {"ename": "E", "evalue": "slow", "text": "slow\nsecond"}})
        );
        assert_eq!((&value["cells"][1]["seconds"], &value["cells"][1]["error"]), (&Value::Null, &Value::Null));
        let expected = "     1.500 s  [1/2] a < \"b\" && c\n           -  [2/2] a < \"b\" && c\n     2.000 s  in all";
        assert_eq!(report.times(), expected);
    }

    proptest! {
        #[test]
        fn nothing_in_an_error_breaks_the_xml(text in any::<String>()) {
            let escaped = escaped(&text);
            prop_assert!(!escaped.contains(['<', '>', '"', '\n', '\0', '\x1b']));
            prop_assert!(escaped.split('&').skip(1).all(|entity| entity.find(';').is_some_and(|end| end <= 4)));
        }
    }
}
