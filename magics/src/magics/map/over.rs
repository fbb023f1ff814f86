//! `FUNCTION over DATA`: where one ends and the other begins.
//!
//! `over` is no keyword of Rust. So it is looked for from the right, outside of brackets, strings and comments, and
//! taken where what stands on both sides is Rust.

use super::Data;
use crate::call::Call;
use crate::scan::{self, outside};
use crate::{Code, MagicError, values};
use chorus_syntax::{Expression, Shape};
use std::ops::Range;

const EXAMPLE: &str = "for example: %map |x| x * x over 0..10";

/// What stands on the two sides of `over`.
pub(super) struct Split<'a> {
    /// Empty for a `%%map`.
    pub(super) function: Code<'a>,
    pub(super) data: Data<'a>,
}

/// Splits what stands behind the flags. For a `%%map` it begins with `over`.
pub(super) fn split<'a>(call: &Call<'_, 'a>) -> Result<Split<'a>, MagicError> {
    let (head, from, is_cell) = (call.head, call.words.code, call.body.is_some());
    let line = head.line;
    let text = scan::without_comment(line.from(from)).trim_end();
    // Out of habit.
    let text = text.strip_suffix(';').unwrap_or(text).trim_end();
    let code = |range: Range<usize>| {
        // Without the white space around it.
        let piece = text.get(range.clone()).unwrap_or("");
        let start = from + range.start + piece.len() - piece.trim_start().len();
        Code { text: piece.trim(), ..line.code(start) }
    };
    let whole = from..from + text.len();
    let all = overs(text);
    let function = |at: &Range<usize>| text.get(..at.start).unwrap_or("").trim();
    let at = match is_cell {
        true => all.iter().find(|at| function(at).is_empty()),
        false => {
            let is_split = |at: &&Range<usize>| {
                Expression::read(function(at)).shape != Shape::Broken && !data(text, at.end).iter().any(is_broken(text))
            };
            let fits = |at: &&Range<usize>| !function(at).is_empty();
            all.iter().rev().find(is_split).or_else(|| all.iter().rev().find(fits))
        }
    };
    let Some(at) = at else {
        let error = match (is_cell, text.is_empty()) {
            (true, false) => line.error(whole, "on the line of `%%map`, `over DATA` stands behind the flags"),
            (true, true) => head.error("`%%map` needs `over` and the data"),
            (false, _) if ends_with_over(text) => line.error(whole, "there is no data behind `over`"),
            (false, _) if !all.is_empty() => line.error(whole, "`%map` needs a function in front of `over`"),
            (false, _) => line.error(whole, "`%map` needs `over` and the data behind its function"),
        };
        let help = match is_cell {
            true => "for example: %%map over 0..10, and below it the function: |x| x * x",
            false => EXAMPLE,
        };
        return Err(error.with_help(help));
    };
    let function = code(0..at.start);
    let first = code(at.end..text.len());
    if let Some(rest) = each(first.text) {
        let range = text.len() - rest.len()..text.len();
        let part = code(range.clone());
        if !is_name(part.text) {
            let message = "behind `over each` there must be the name of one variable of the engines";
            return Err(line.error(from + range.start..from + range.end, message));
        }
        return Ok(Split { function, data: Data::Each(part) });
    }
    let sources: Vec<_> = data(text, at.end).into_iter().map(code).collect();
    if sources.iter().any(|source| source.text.is_empty()) {
        let message = "between two commas, and behind the last one, there must be data";
        return Err(line.error(from + at.end..whole.end, message));
    }
    Ok(Split { function, data: Data::Sources(sources) })
}

/// The places of the words `over` that could be meant, each with something behind it.
fn overs(text: &str) -> Vec<Range<usize>> {
    let stands_free = |at: &Range<usize>| {
        let before = text.get(..at.start).and_then(|before| before.chars().next_back());
        let after = text.get(at.end..).and_then(|after| after.chars().next());
        before.is_none_or(|c| c.is_whitespace() || matches!(c, ')' | ']' | '}'))
            && after.is_some_and(|c| c.is_whitespace() || matches!(c, '(' | '[' | '&'))
            && text.get(at.end..).is_some_and(|after| !after.trim().is_empty())
    };
    outside(text).into_iter().filter(|at| text.get(at.clone()) == Some("over")).filter(stands_free).collect()
}

fn ends_with_over(text: &str) -> bool {
    outside(text).last().is_some_and(|at| text.get(at.clone()) == Some("over"))
}

/// The variable behind `each`, if that is what is meant and no variable of this name.
fn each(data: &str) -> Option<&str> {
    let rest = data.strip_prefix("each").filter(|rest| rest.starts_with(char::is_whitespace))?.trim_start();
    rest.starts_with(scan::is_word).then_some(rest)
}

fn is_name(text: &str) -> bool {
    values::variable(text).is_ok()
}

/// The sources from here on: what stands between commas, unless a comma belongs to `<A, B>`.
fn data(text: &str, from: usize) -> Vec<Range<usize>> {
    let commas = outside(text).into_iter().filter(|at| at.start >= from && text.get(at.clone()) == Some(","));
    let mut ends: Vec<usize> = commas.map(|at| at.start).collect();
    ends.push(text.len());
    let plain = |ends: &[usize]| -> Vec<Range<usize>> {
        let starts = std::iter::once(from).chain(ends.iter().map(|end| end + 1));
        starts.zip(ends.iter().copied()).map(|(start, end)| start..end).collect()
    };
    let mut joined = Vec::new();
    let mut start = from;
    for end in &ends {
        if !is_broken(text)(&(start..*end)) {
            joined.push(start..*end);
            start = end + 1;
        }
    }
    // If that leaves something over, it is for rustc to say what is wrong.
    if joined.last().is_some_and(|last| last.end == text.len()) { joined } else { plain(&ends) }
}

fn is_broken(text: &str) -> impl Fn(&Range<usize>) -> bool {
    move |range| {
        let source = text.get(range.clone()).unwrap_or("");
        match each(source.trim_start()) {
            Some(part) => !is_name(part.trim()),
            None => matches!(Expression::read(source).shape, Shape::Broken | Shape::Statements),
        }
    }
}
