//! What a front end asks about code that is being written: completions, documentation, whether a cell is complete.
//!
//! None of them waits for a cell that runs, and none changes anything.

use crate::assist::{Assist, byte_of};
use chorus_cells::failure::bad_request;
use chorus_compiler::Completeness;
use chorus_jupyter::content::Failure;
use chorus_magics::{Command, Part, Px, Script, Shown, Time, TimeIt, WriteFile, options_as_comments, parse};
use serde::Deserialize;
use serde_json::{Value, json};

/// A cell and a place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The whole cell.
    pub code: String,
    /// The byte of it at which the cursor stands.
    pub cursor: usize,
}

/// As it comes: the protocol counts characters, as Python does.
#[derive(Deserialize)]
struct Content {
    code: String,
    cursor_pos: Option<usize>,
}

impl Asked {
    /// Reads the content of a `complete_request` or `inspect_request`. A cursor behind the end stands at the end.
    pub fn read(msg_type: &str, content: &Value) -> Result<Asked, Failure> {
        let Content { code, cursor_pos } =
            Content::deserialize(content).map_err(|error| bad_request(msg_type, &error))?;
        let cursor = cursor_pos.map_or(code.len(), |at| byte_of(&code, at));
        let code = options_as_comments(&code).into_owned();
        Ok(Asked { code, cursor })
    }
}

/// Answers `complete_request`.
pub async fn complete(content: &Value, assist: &Assist) -> Result<Value, Failure> {
    let Asked { code, cursor } = Asked::read("complete_request", content)?;
    Ok(assist.complete(&code, cursor).await)
}

/// Answers `inspect_request`.
pub async fn inspect(content: &Value, assist: &Assist) -> Result<Value, Failure> {
    let Asked { code, cursor } = Asked::read("inspect_request", content)?;
    Ok(assist.inspect(&code, cursor, content["detail_level"].as_u64() == Some(1)).await)
}

/// Answers `is_complete_request`.
pub fn is_complete(content: &Value) -> Result<Value, Failure> {
    let Asked { code, .. } = Asked::read("is_complete_request", content)?;
    Ok(match completeness(&code) {
        Completeness::Complete => json!({"status": "complete"}),
        Completeness::Incomplete { indent } => json!({"status": "incomplete", "indent": indent}),
        Completeness::Invalid => json!({"status": "invalid"}),
        Completeness::Unknown => json!({"status": "unknown"}),
    })
}

/// Whether a cell, magics and all, can be run as it is.
fn completeness(cell: &str) -> Completeness {
    let Ok(parts) = parse(cell, &Default::default()) else { return Completeness::Invalid };
    let takes_the_cell = |part: &Part<'_>| matches!(part, Part::Magic { is_cell: true, .. });
    let last_line = cell.rsplit('\n').next().unwrap_or_default();
    match of_parts(&parts) {
        // As in IPython, an empty line ends what a cell magic takes: more statements may come.
        Completeness::Complete if parts.iter().any(takes_the_cell) && !last_line.trim().is_empty() => {
            let indent = last_line.chars().take_while(|c| c.is_whitespace()).collect();
            Completeness::Incomplete { indent }
        }
        judged => judged,
    }
}

fn of_parts(parts: &[Part<'_>]) -> Completeness {
    let last = parts.len().saturating_sub(1);
    for (index, part) in parts.iter().enumerate() {
        let judged = match part {
            Part::Rust { text, .. } | Part::Blank { text } => chorus_compiler::completeness(text),
            Part::Magic { command, is_cell, .. } => of_magic(command, *is_cell),
        };
        match judged {
            Completeness::Complete => {}
            // What follows, a magic, isn't a part of it.
            Completeness::Incomplete { .. } if index != last => return Completeness::Invalid,
            judged => return judged,
        }
    }
    Completeness::Complete
}

/// A magic that takes the cell waits for one; what one takes that has a line only must be there.
fn of_magic(command: &Command<'_>, takes_the_cell: bool) -> Completeness {
    let waits = || Completeness::Incomplete { indent: String::new() };
    if let Some(parts) = command.parts() {
        let is_blank = parts.iter().all(|part| matches!(part, Part::Blank { .. }));
        return if is_blank { waits() } else { of_parts(parts) };
    }
    let code = match command {
        // Whether more is to come of a text that isn't Rust, nobody can say.
        Command::Script(Script { script: text, .. })
        | Command::WriteFile(WriteFile { text, .. })
        | Command::Show(Shown { text, .. }) => {
            return if text.is_empty() { waits() } else { Completeness::Complete };
        }
        Command::Px(Px { code, .. }) | Command::TimeIt(TimeIt { code, .. }) | Command::Time(Time::Line(code)) => {
            code.text
        }
        // The data, too, are Rust; but they stand on the magic's line, which is complete.
        Command::Map(map) => map.function.text,
        _ => return Completeness::Complete,
    };
    if takes_the_cell && code.trim().is_empty() {
        return waits();
    }
    match chorus_compiler::completeness(code) {
        Completeness::Incomplete { .. } if !takes_the_cell => Completeness::Invalid,
        judged => judged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: &str) -> String {
        is_complete(&json!({"code": code})).unwrap()["status"].as_str().unwrap().to_owned()
    }

    #[test]
    fn cells_with_magics_are_judged_by_their_rust() {
        for code in
            ["", "%px 1 + 1", "%%px\nlet a = 1;\n", "%%px -t 0\n{ 1 }\n  ", "%lsmagic", "let a = 1;\n%px a", "%px?"]
        {
            assert_eq!(status(code), "complete", "{code:?}");
        }
        for code in ["%%px", "%%px\n", "%%px\nfn f() {", "%%px -t 0\nlet a =", "%lsmagic\nlet a = [", "fn f() {"] {
            assert_eq!(status(code), "incomplete", "{code:?}");
        }
        for code in ["%%px\nlet a = 1;", "%%px\nfn f() {\n\n", "%%bash\nls", "%%time\n\na", "%%timeit\nf()"] {
            assert_eq!(status(code), "incomplete", "{code:?}");
        }
        for code in
            ["%%bash\n(\n", "%%time\na\n", "%time f()", "!ls (", "%load a", "%%writefile a\n{\n", "%%timeit\nf()\n\n"]
        {
            assert_eq!(status(code), "complete", "{code:?}");
        }
        for code in ["%%bash", "%%time", "%%time\n%%px\nf(", "%%timeit\nf(", "%%writefile a", "!ls\nf("] {
            assert_eq!(status(code), "incomplete", "{code:?}");
        }
        // A comment above a cell's magic belongs to it.
        for code in ["// why\n%%px", "\n// why\n%%px\nlet a = 1;", "// why\n%%px\nfn f() {"] {
            assert_eq!(status(code), "incomplete", "{code:?}");
        }
        for code in ["%nonsense", "%px foo(", "%%px\n}", "%px -t", "1;\n%%px"] {
            assert_eq!(status(code), "invalid", "{code:?}");
        }
        assert_eq!(is_complete(&json!({"code": "%%px\nfn f() {"})).unwrap()["indent"], "    ");
        assert_eq!(is_complete(&json!({"code": "%%bash\nif a; then\n  b"})).unwrap()["indent"], "  ");
    }

    #[test]
    fn the_cursor_counts_characters() {
        let cursor =
            |at: Value| Asked::read("complete_request", &json!({"code": "é🦀ab", "cursor_pos": at})).unwrap().cursor;
        assert_eq!([json!(0), json!(2), json!(3), json!(99), Value::Null].map(cursor), [0, 6, 7, 8, 8]);
        assert!(Asked::read("complete_request", &json!({"code": "a", "cursor_pos": -1})).is_err());
        assert!(Asked::read("complete_request", &json!({"code": 1})).is_err());
        assert!(Asked::read("complete_request", &Value::Null).is_err());
    }
}
