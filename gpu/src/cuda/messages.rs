//! Reads what NVRTC says about a program.

use serde::{Deserialize, Serialize};

/// What NVRTC writes in front of the program's lines that it shows.
const INDENT: usize = 2;

/// A message, at a line of the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The first line is 1; none is the end of the program.
    pub line: Option<usize>,
    /// A warning otherwise.
    pub is_error: bool,
    /// Without its place and kind.
    pub text: String,
    /// What NVRTC shows below the message, mostly the line with a caret.
    pub shown: Vec<String>,
}

impl Message {
    /// The column that its caret is at, in characters from 1 on, if it shows one.
    pub fn column(&self) -> Option<usize> {
        let caret = self.shown.get(1).filter(|line| line.trim() == "^")?;
        Some(caret.chars().count().saturating_sub(INDENT).max(1))
    }

    /// What else it says: through which templates and calls it came there.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        let behind = if self.column().is_some() { 2 } else { 0 };
        self.shown.iter().skip(behind).map(|line| line.trim()).filter(|line| !line.is_empty())
    }
}

/// The messages about the program of this name. Lines that aren't about a place in it are left out: its counts of
/// errors, its remarks, and messages about headers.
pub fn read(log: &str, program: &str) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    let mut belongs = false;
    for line in log.lines() {
        if let Some(message) = headline(line, program) {
            messages.push(message);
            belongs = true;
        } else if line.starts_with([' ', '\t']) {
            if let Some(last) = messages.last_mut().filter(|_| belongs) {
                last.shown.push(line.trim_end().to_owned());
            }
        } else {
            belongs = false;
        }
    }
    messages
}

/// `cell.cu(2): error: identifier "y" is undefined`, `cell.cu(3): warning #177-D: ...`, or `At end of source: error: ...`.
fn headline(line: &str, program: &str) -> Option<Message> {
    let (line, rest) = match line.strip_prefix("At end of source: ") {
        Some(rest) => (None, rest),
        None => {
            let (number, rest) = line.strip_prefix(program)?.strip_prefix('(')?.split_once("): ")?;
            (Some(number.parse().ok()?), rest)
        }
    };
    let (kind, text) = rest.split_once(": ")?;
    let word = kind.split([' ', '#']).next()?;
    let is_error = match word {
        "error" | "catastrophic" => true,
        "warning" => false,
        _ => return None,
    };
    Some(Message { line, is_error, text: text.trim().to_owned(), shown: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_warnings_have_their_lines_and_what_is_shown_below() {
        let log = "cell.cu(2): error: identifier \"yy\" is undefined\n    x[0] = yy;\n           ^\n\n\
                   cell.cu(3): warning #177-D: variable \"u\" was declared but never referenced\n    int u;\n        ^\n\n\
                   cell.cu(1): error: expression must have class type\n  \tx.foo\n  \t  ^\n\
                   \x20         detected during instantiation of \"T f(T)\" at line 5\n\n\
                   At end of source: error: expected a \")\"\n\n\
                   Remark: The warnings can be suppressed with \"-diag-suppress <warning-number>\"\n  not shown\n\n\
                   1 error detected in the compilation of \"cell.cu\".\n";
        let all = read(log, "cell.cu");
        let places: Vec<_> = all.iter().map(|it| (it.line, it.is_error, it.shown.len())).collect();
        assert_eq!(places, [(Some(2), true, 2), (Some(3), false, 2), (Some(1), true, 3), (None, true, 0)]);
        let columns: Vec<_> = all.iter().map(Message::column).collect();
        assert_eq!(columns, [Some(10), Some(7), Some(4), None]);
        let notes: Vec<Vec<&str>> = all.iter().map(|it| it.notes().collect()).collect();
        assert_eq!(notes[2], ["detected during instantiation of \"T f(T)\" at line 5"]);
        assert!([0, 1, 3].iter().all(|at| notes[*at].is_empty()));
        assert_eq!(all[0].text, "identifier \"yy\" is undefined");
        assert_eq!(all[0].shown, ["    x[0] = yy;", "           ^"]);
    }

    #[test]
    fn what_is_malformed_or_about_another_file_is_no_message() {
        for log in [
            "",
            "cell.cu",
            "cell.cu(",
            "cell.cu(x): error: y",
            "cell.cu(2): error",
            "cell.cu(2): note: y",
            "a.h(2): error: y",
        ] {
            assert_eq!(read(log, "cell.cu"), [], "{log}");
        }
        assert_eq!(read("cell.cu(99999999999999999999999): error: y", "cell.cu"), []);
    }
}
