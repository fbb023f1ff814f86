//! Compile errors as data, with places in the user's own cell, and as text.

use crate::messages::advice;
use crate::messages::complaint::Complaint;
use crate::notebook::definitions::prefix::{Prefix, Spot};
use chorus_syntax::words_of;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write};

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// The cell doesn't compile.
    #[default]
    Error,
    /// It does.
    Warning,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Error => "error",
            Level::Warning => "warning",
        })
    }
}

/// One error or warning of rustc, of evcxr or of a `:` command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// rustc's code, such as `E0308`.
    pub code: Option<String>,
    /// What is wrong.
    pub message: String,
    /// Where.
    pub spans: Vec<Span>,
    /// What rustc or Chorus has to add: help and notes.
    pub notes: Vec<String>,
    /// rustc's long explanation of the code.
    pub explanation: Option<Box<str>>,
}

/// A place in a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// 1-based line in the user's cell.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// Last line, inclusive.
    pub end_line: usize,
    /// Column behind the last character.
    pub end_column: usize,
    /// What is said about this place.
    pub label: String,
    /// Whether this is the place of the error itself.
    pub primary: bool,
    /// The text of the first line.
    pub text: String,
    /// The execution count of the earlier cell that it is in; `None` is the cell itself.
    pub cell: Option<u32>,
}

/// The note of an error whose place isn't in the cell.
pub const ELSEWHERE: &str = "the place is in a definition of an earlier cell";

struct Style {
    red: &'static str,
    blue: &'static str,
    bold: &'static str,
    off: &'static str,
}

const ANSI: Style = Style { red: "\x1b[1;31m", blue: "\x1b[1;34m", bold: "\x1b[1m", off: "\x1b[0m" };
const PLAIN: Style = Style { red: "", blue: "", bold: "", off: "" };

impl Span {
    /// As a user reads it.
    fn place(&self) -> String {
        let cell = self.cell.map_or_else(|| "cell".to_owned(), |cell| format!("In[{cell}]"));
        format!("{cell} line {}, column {}", self.line, self.column)
    }
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(message: impl Into<String>) -> Diagnostic {
        let message: String = message.into();
        let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
        Diagnostic { message, ..Diagnostic::default() }
    }

    /// The error in rustc's layout: message, place, the user's line with carets, help.
    pub fn render(&self, colour: bool) -> String {
        let Style { red, blue, bold, off } = if colour { ANSI } else { PLAIN };
        let code = self.code.as_ref().map(|code| format!("[{code}]")).unwrap_or_default();
        let level_colour = if self.level == Level::Error { red } else { blue };
        let mut out = format!("{level_colour}{}{code}{off}{bold}: {}{off}\n", self.level, self.message);
        let mut spans: Vec<&Span> = self.spans.iter().collect();
        // The error's own place first, then the others on its line, then by line.
        spans.sort_by_key(|span| !span.primary);
        let first = spans.first().map(|span| (span.cell, span.line));
        spans.sort_by_key(|span| {
            let in_first_cell = first.is_some_and(|(cell, _)| cell == span.cell);
            (!in_first_cell, span.cell, Some((span.cell, span.line)) != first, span.line, !span.primary, span.column)
        });
        let width = spans.iter().map(|span| span.line.to_string().len()).max().unwrap_or(1);
        if let Some(first) = spans.first() {
            let _ = writeln!(out, "{:width$}{blue}-->{off} {}", "", first.place());
        }
        let mut cell = spans.first().and_then(|span| span.cell);
        let mut shown = None;
        for span in &spans {
            let end = if span.end_line > span.line { span.text.chars().count() + 1 } else { span.end_column };
            let carets = end.saturating_sub(span.column).max(1);
            let (mark, colour) = if span.primary { ("^", red) } else { ("-", blue) };
            // Tabs keep their width so that carets stand below what they mark.
            let indent: String = span
                .text
                .chars()
                .chain(std::iter::repeat(' '))
                .take(span.column.saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            if span.cell != cell {
                (cell, shown) = (span.cell, None);
                let _ = writeln!(out, "{:width$}{blue}:::{off} {}", "", span.place());
            }
            if shown != Some(span.line) {
                let _ = writeln!(out, "{:width$} {blue}|{off}", "");
                let _ = writeln!(out, "{blue}{:>width$} |{off} {}", span.line, span.text);
            }
            shown = Some(span.line);
            let label = span.label.lines().next().unwrap_or_default();
            let _ = writeln!(out, "{:width$} {blue}|{off} {indent}{colour}{} {label}{off}", "", mark.repeat(carets));
        }
        for note in &self.notes {
            let mut lines = note.lines();
            let _ = writeln!(out, "{:width$} {blue}={off} {}", "", lines.next().unwrap_or_default());
            for line in lines {
                let _ = writeln!(out, "{:width$}   {line}", "");
            }
        }
        if let Some(code) = self.code.as_deref().filter(|code| is_in_the_index(code)) {
            let page = format!("https://doc.rust-lang.org/error_codes/{code}.html");
            let _ = writeln!(out, "{:width$} {blue}={off} more: `rustc --explain {code}`, {page}", "");
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// Whether it may only follow from another one: the function of a map or a call doesn't fit, or its result can't
    /// travel, which has no methods then and can't be shown.
    pub(crate) fn may_follow(&self) -> bool {
        [NO_CAPTURES, NOT_SHOWN].contains(&self.message.as_str())
            || self.is_unfit()
            || ["exists for struct `Map<", "exists for struct `With<"].iter().any(|said| self.message.contains(said))
                && self.message.ends_with("bounds were not satisfied")
            || self.is_undecided()
            // The type of results that have a mistake.
            || self.message.starts_with("`!` is no number")
            || self.says("to implement `Shown`")
    }

    /// Whether it is about a method that is missing because a type can't travel.
    pub(crate) fn is_unfit(&self) -> bool {
        self.unfit().is_some()
    }

    /// The type that can't travel, for which a method is missing.
    pub(crate) fn unfit(&self) -> Option<&str> {
        let said = self.spans.iter().map(|span| &span.label).chain(&self.notes);
        let bounds = said.filter(|_| self.code.as_deref() == Some("E0599")).flat_map(|text| text.split('`'));
        bounds.into_iter().find_map(|bound| bound.strip_suffix(": Wire"))
    }

    /// Whether px's macros can't find out how a value travels whose type isn't known, mostly because it has a mistake.
    pub(crate) fn is_undecided(&self) -> bool {
        let is_users = |method: &str| self.spans.iter().any(|span| words_of(&span.text).any(|word| word == method));
        let is_meant = |method: &&str| self.says(&format!("multiple `{method}` found")) && !is_users(method);
        self.code.as_deref() == Some("E0034") && ["how", "kind", "own"].iter().any(is_meant)
    }

    fn says(&self, what: &str) -> bool {
        self.spans.iter().map(|span| &span.label).chain(&self.notes).any(|text| text.contains(what))
    }

    /// Reads evcxr's form.
    pub(crate) fn from_evcxr(error: &Complaint, lines: &LineMap) -> Diagnostic {
        let mut diagnostic = Diagnostic {
            level: if error.level == "warning" { Level::Warning } else { Level::Error },
            code: error.code.clone(),
            message: error.message.clone(),
            explanation: error.explanation.as_deref().map(Box::from),
            ..Diagnostic::default()
        };
        let mut elsewhere = false;
        for message in &error.remarks {
            let Some(span) = message.span else { continue };
            let earlier = lines.prefix.spot(span.start_line, span.start_column).filter(|spot| spot.cell > 0);
            let earlier = earlier.filter(|_| span.start_line <= lines.prefix.lines());
            if let Some(Spot { entry, cell, line, column, text }) = earlier {
                diagnostic.spans.push(Span {
                    line,
                    column,
                    end_line: line + (span.end_line - span.start_line),
                    end_column: (column + span.end_column).saturating_sub(span.start_column),
                    label: label_of(&message.label, &diagnostic.message),
                    primary: message.primary,
                    text,
                    cell: entry.map(|_| cell),
                });
                continue;
            }
            let Some((line, column)) = lines.place(span.start_line, span.start_column) else {
                elsewhere = true;
                continue;
            };
            diagnostic.spans.push(Span {
                line,
                column,
                cell: None,
                end_line: lines.in_cell(span.end_line).unwrap_or(line),
                end_column: span.end_column,
                label: label_of(&message.label, &diagnostic.message),
                primary: message.primary,
                text: line.checked_sub(1).and_then(|at| lines.lines.get(at)).copied().unwrap_or_default().to_owned(),
            });
        }
        if error.level == "help" && diagnostic.spans.is_empty() {
            // evcxr takes rustc's advice for the error when the error itself is in code that stores variables.
            let advice = std::mem::take(&mut diagnostic.message);
            diagnostic = Diagnostic {
                notes: vec![
                    format!("help: rustc says: {advice}"),
                    "help: import it, or give the variable a type".into(),
                ],
                ..Diagnostic::error("the type of a variable names something that isn't in scope here")
            };
        }
        if diagnostic.spans.is_empty() && elsewhere {
            diagnostic.notes.push(ELSEWHERE.into());
        }
        let is_users = |line: &str| {
            let all = lines.prefix.text.lines().chain(lines.lines.iter().copied());
            // A result is looked at as a statement, too, with a semicolon behind it.
            all.into_iter().any(|users| users.contains(line.trim_end_matches(';')))
        };
        let notes = match diagnostic.code.as_deref() {
            // What a trait's author advises who lacks it, and how functions differ.
            Some("E0277" | "E0597" | "E0631") => advice::notes(&error.json),
            Some("E0308") if !is_of_captures(error.rendered()) => {
                let mut notes = advice::notes(&error.json);
                notes.retain(|note| {
                    note.starts_with("expected fn pointer ") || note.starts_with("closure has signature")
                });
                notes
            }
            _ => Vec::new(),
        };
        let helps = advice::helps(&error.json, is_users);
        let helps = helps.into_iter().filter(|help| !is_repeated(help, &diagnostic.message, &notes));
        diagnostic.notes.extend(helps.map(|help| format!("help: {help}")));
        diagnostic.notes.extend(notes.iter().map(|note| format!("note: {note}")));
        if diagnostic.message.contains("`Deserialize` is not general enough") {
            // rustc took a reference for a type that travels, as long as it didn't look at lifetimes.
            diagnostic
                .notes
                .push("help: references, such as `&str`, can't travel to the engines; a `String` can".into());
        }
        if diagnostic.message.ends_with("cannot be sent between threads safely")
            && ["map/builder.rs", "map/items.rs"].iter().any(|file| error.rendered().contains(file))
        {
            let way_out =
                "help: a map's function runs on several threads at once: have it return the value itself, or an `Arc`";
            diagnostic.notes = vec![way_out.to_owned()];
        }
        if diagnostic.code.as_deref() == Some("E0308") && is_of_captures(error.rendered()) {
            diagnostic.message = captures(error.rendered());
            diagnostic.spans.retain(|span| span.primary);
            diagnostic.spans.iter_mut().for_each(|span| span.label.clear());
            diagnostic.notes.push("help: it is called in other processes: pass what it needs as arguments".into());
        }
        if diagnostic.spans.is_empty() && error.rendered().contains("lib.rs") && !error.of_user {
            // Nothing of the user's own to point at: rustc's whole text is better than a bare sentence.
            diagnostic.notes.push(error.rendered().trim_end().to_owned());
        }
        diagnostic.message = advice::without_places(&diagnostic.message);
        diagnostic.spans.iter_mut().for_each(|span| span.label = advice::without_places(&span.label));
        diagnostic.notes.iter_mut().for_each(|note| *note = advice::without_places(note));
        diagnostic
    }
}

/// Where rustc has no label, evcxr repeats the message.
fn label_of(label: &str, message: &str) -> String {
    if label.ends_with(message) { String::new() } else { label.to_owned() }
}

/// Whether the message is that of a trait of px that says which types travel, or can be in parts.
pub(crate) fn is_about_px(message: &str) -> bool {
    message.ends_with("can't travel between the notebook and its engines")
        || message.ends_with("isn't a row of values that could be in parts")
        || message.ends_with("can't be given to a function on engines")
        || message.ends_with("can't be given to a map's function")
        || message.ends_with("can't be mapped as it is")
        || message.ends_with("is no number, so it can't be summed")
        || message.ends_with("can't be an argument of `px::call!`")
        || message.contains("can't be combined by `px::sum`")
        || message.ends_with(NOT_SHOWN)
        || message.starts_with("this function's parameters don't fit the items")
}

/// What a trait of px says of a map's results that have no `Debug`.
const NOT_SHOWN: &str = "this result of a map can't be shown";

/// Whether the advice says again what the error and its notes say.
fn is_repeated(help: &str, message: &str, notes: &[String]) -> bool {
    let derived = || help.split('`').find(|part| part.starts_with("#[derive("));
    is_about_px(message) && names_traits(help)
        || message.contains("doesn't implement") && help.starts_with("the trait `")
        || derived().is_some_and(|derived| notes.iter().any(|note| note.contains(derived)))
}

/// Whether this advice only says how a trait is called, and what else has it.
fn names_traits(help: &str) -> bool {
    help.starts_with("the trait `") || help.starts_with("the following other types implement")
}

/// Whether a function captures something that is called on engines: rustc checks those of maps and calls in a macro of px,
/// see `px::map`, and those of `px::engines` as arguments of its methods.
fn is_of_captures(rendered: &str) -> bool {
    rendered.contains("__captures_nothing")
        || ["engines/mod.rs", "map/builder.rs"].iter().any(|file| rendered.contains(file))
            && rendered.contains("if they do not capture any variables")
}

/// What may be the function of a map or a call.
pub(crate) const NO_CAPTURES: &str = "this must be the path of a function, or a closure that captures nothing";

/// What is wrong with the function of a map or a call, of which rustc only says that it is no `fn`.
fn captures(rendered: &str) -> String {
    let captured = |line: &str| Some(plain(line).split_once("` captured here")?.0.rsplit_once('`')?.1.to_owned());
    let mut names: Vec<String> = rendered.lines().filter_map(captured).collect();
    names.dedup();
    match names.is_empty() {
        true => NO_CAPTURES.to_owned(),
        false => format!("{NO_CAPTURES}: it captures `{}`", names.join("`, `")),
    }
}

/// Without colours.
fn plain(line: &str) -> String {
    let mut parts = line.split("\x1b[");
    let first = parts.next().unwrap_or_default();
    parts.fold(first.to_owned(), |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

/// Whether a code is one of rustc's errors, and not the name of a lint.
fn is_in_the_index(code: &str) -> bool {
    code.len() == 5 && code.strip_prefix('E').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Maps lines of the text that was given to evcxr to lines of the user's cell.
pub(crate) struct LineMap<'a> {
    /// What stands before the cell's own lines.
    pub prefix: &'a Prefix,
    /// The number, in the whole cell, of the first line that was compiled.
    pub first_line: usize,
    /// All lines of the cell.
    pub lines: Vec<&'a str>,
}

impl LineMap<'_> {
    fn in_cell(&self, line: usize) -> Option<usize> {
        let own = line.checked_sub(self.prefix.lines()).filter(|own| *own > 0)?;
        // A line above the cell isn't the user's.
        (own + self.first_line).checked_sub(1).filter(|line| *line > 0)
    }

    /// Where the user sees this place. What is missing below the cell's last line is missing at its end.
    fn place(&self, line: usize, column: usize) -> Option<(usize, usize)> {
        let line = self.in_cell(line)?;
        match self.lines.last() {
            Some(last) if line > self.lines.len() => Some((self.lines.len(), last.chars().count() + 1)),
            _ => Some((line, column)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_rustcs() {
        let span = Span {
            line: 12,
            column: 14,
            end_line: 12,
            end_column: 17,
            label: "expected `i32`, found `&str`".into(),
            primary: true,
            text: "let x: i32 = \"a\";".into(),
            cell: None,
        };
        let error = Diagnostic {
            code: Some("E0308".into()),
            spans: vec![span],
            notes: vec!["help: try\nthis".into()],
            ..Diagnostic::error("mismatched types")
        };
        assert_eq!(
            error.render(false),
            "error[E0308]: mismatched types\n  --> cell line 12, column 14\n   |\n12 | let x: i32 = \"a\";\n   |              ^^^ expected `i32`, found `&str`\n   = help: try\n     this\n   = more: `rustc --explain E0308`, https://doc.rust-lang.org/error_codes/E0308.html"
        );
        assert!(error.render(true).contains("\x1b[1;31merror[E0308]"));
    }

    #[test]
    fn labels_of_one_line_share_it() {
        let span = |line, column, primary, label: &str| Span {
            line,
            column,
            end_line: line,
            end_column: column + 1,
            label: label.into(),
            primary,
            text: format!("line {line}"),
            cell: None,
        };
        let spans = vec![span(2, 1, false, "moved"), span(3, 4, true, "used"), span(3, 1, false, "here")];
        assert_eq!(
            Diagnostic { spans, ..Diagnostic::error("no") }.render(false),
            "error: no\n --> cell line 3, column 4\n  |\n3 | line 3\n  |    ^ used\n  | - here\n  |\n2 | line 2\n  | - moved"
        );
    }

    #[test]
    fn lines_of_the_prefix_are_not_the_cells() {
        let prefix = Prefix::blank(3);
        let map = LineMap { prefix: &prefix, first_line: 2, lines: vec!["%px", "a", "b"] };
        assert_eq!((map.in_cell(3), map.in_cell(4), map.in_cell(5)), (None, Some(2), Some(3)));
        assert_eq!((map.place(3, 1), map.place(4, 7), map.place(6, 1)), (None, Some((2, 7)), Some((3, 2))));
        let prefix = Prefix::blank(0);
        let wrapped = LineMap { prefix: &prefix, first_line: 0, lines: vec!["%timeit a"] };
        assert_eq!((wrapped.in_cell(1), wrapped.in_cell(2)), (None, Some(1)));
    }

    #[test]
    fn what_a_function_captures_is_named() {
        let rendered = "  |     \x1b[1m^^^\x1b[0m `k` captured here\n  |     ^ `token` captured here\n";
        assert!(captures(rendered).ends_with("a closure that captures nothing: it captures `k`, `token`"));
        assert!(captures("expected fn pointer, found opaque type").ends_with("captures nothing"));
    }

    #[test]
    fn what_px_says_is_not_repeated() {
        assert!(is_about_px("`Point` can't travel between the notebook and its engines"));
        assert!(names_traits("the trait `Wire` is not implemented for `Point`") && !names_traits("consider this"));
        let notes = ["add `#[derive(Debug)]` to `A`".to_owned()];
        let is_repeated = |help: &str| is_repeated(help, "`A` doesn't implement `Debug`", &notes);
        assert!(is_repeated("the trait `Debug` is not implemented for `A`"));
        assert!(is_repeated("consider annotating `A` with `#[derive(Debug)]`") && !is_repeated("consider this"));
    }

    #[test]
    fn odd_spans_are_no_panic() {
        let span = Span {
            line: 1,
            column: 0,
            end_line: 9,
            end_column: 0,
            label: String::new(),
            primary: false,
            text: String::new(),
            cell: None,
        };
        Diagnostic { spans: vec![span], ..Diagnostic::error("") }.render(true);
    }
}
