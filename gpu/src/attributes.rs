//! What derives and other attributes of a definition are left out on GPUs: those of other crates, such as serde's.

use std::ops::Range;

/// The derives of core.
const DERIVES: [&str; 9] = ["Clone", "Copy", "Debug", "Default", "Eq", "Hash", "Ord", "PartialEq", "PartialOrd"];
/// The attributes of rustc's that a definition may have.
const ATTRIBUTES: [&str; 20] = [
    "allow",
    "cfg",
    "cfg_attr",
    "cold",
    "default",
    "deny",
    "deprecated",
    "derive",
    "doc",
    "expect",
    "inline",
    "macro_export",
    "must_use",
    "non_exhaustive",
    "path",
    "recursion_limit",
    "repr",
    "track_caller",
    "warn",
    "no_mangle",
];

/// The text with blanks in their place, so that all else stays where it is.
pub fn without_others(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut blank = |range: Range<usize>| {
        bytes[range].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
    };
    for whole in attributes(text) {
        let inner = &text[whole.start + 2..whole.end - 1];
        let path = inner.split(['(', '=', '[', '{']).next().unwrap_or_default().trim();
        if !(ATTRIBUTES.contains(&path) || path.starts_with(['$', '!'])) {
            blank(whole);
        } else if path == "derive" {
            let from = whole.start + 2 + inner.find('(').map_or(inner.len(), |at| at + 1);
            let to = whole.start + 2 + inner.rfind(')').unwrap_or(inner.len());
            for part in parts(text, from..to.max(from)) {
                let name = text[part.clone()].trim_end_matches(',').trim().rsplit("::").next().unwrap_or_default();
                if !DERIVES.contains(&name) && !name.starts_with('$') {
                    blank(part);
                }
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// Where attributes are, from `#` to the bracket that closes them. Text in quotes and comments has none.
fn attributes(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        at += match skipped(rest) {
            Some(length) => length,
            None if rest.starts_with("#[") => match closed(rest) {
                Some(length) => {
                    found.push(at..at + length);
                    length
                }
                None => return found,
            },
            None => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    found
}

/// The length of an attribute at the beginning of this.
fn closed(text: &str) -> Option<usize> {
    let (mut at, mut depth) = (1, 0usize);
    loop {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        if let Some(length) = skipped(rest) {
            at += length;
            continue;
        }
        let next = rest.chars().next()?;
        at += next.len_utf8();
        match next {
            '[' => depth += 1,
            ']' if depth == 1 => return Some(at),
            ']' => depth -= 1,
            _ => {}
        }
    }
}

/// The length of the comment or of the text in quotes that is here.
fn skipped(text: &str) -> Option<usize> {
    let until = |start: usize, end: &str| text.get(start..)?.find(end).map(|at| start + at + end.len());
    let rest = |length: Option<usize>| Some(length.unwrap_or(text.len()));
    if text.starts_with("//") {
        return rest(until(2, "\n"));
    }
    if text.starts_with("/*") {
        return rest(until(2, "*/"));
    }
    if let Some(raw) = text.strip_prefix('r') {
        let hashes = raw.bytes().take_while(|byte| *byte == b'#').count();
        if raw[hashes..].starts_with('"') {
            return rest(until(hashes + 2, &format!("\"{}", "#".repeat(hashes))));
        }
    }
    if let Some(quoted) = text.strip_prefix('"') {
        let mut escaped = false;
        let end = quoted.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        return rest(end.map(|end| end + 2));
    }
    // A character that is a quote; lifetimes have no second one.
    ["'\"'", "'\\\"'"].iter().find(|quote| text.starts_with(**quote)).map(|quote| quote.len())
}

/// What commas separate, each with its own.
fn parts(text: &str, within: Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = within.start;
    for (at, _) in text[within.clone()].match_indices(',') {
        parts.push(start..within.start + at + 1);
        start = within.start + at + 1;
    }
    parts.push(start..within.end);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_those_of_others_are_left_out() {
        for (text, left) in [
            ("#[derive(Clone, Serialize, Copy)] struct A;", "#[derive(Clone,            Copy)] struct A;"),
            ("#[derive(serde::Serialize)] struct A;", "#[derive(                )] struct A;"),
            (
                "#[derive(Clone, std::fmt::Debug,)]\n#[serde(tag = \"]\")]\nenum E { #[default] A }",
                "#[derive(Clone, std::fmt::Debug,)]\n                   \nenum E { #[default] A }",
            ),
            (
                "/// #[serde]\n#[repr(u8)] struct A { #[serde(\n skip)] x: u8 }",
                "/// #[serde]\n#[repr(u8)] struct A {         \n        x: u8 }",
            ),
            (
                "fn f() { let a = \"#[b]\"; let c = '\"'; let d = r#\"#[e]\"#; }",
                "fn f() { let a = \"#[b]\"; let c = '\"'; let d = r#\"#[e]\"#; }",
            ),
            (
                "macro_rules! m { ($(#[$m:meta])* $n:ident) => { #[derive(Clone)] struct $n; } }",
                "macro_rules! m { ($(#[$m:meta])* $n:ident) => { #[derive(Clone)] struct $n; } }",
            ),
            ("#[unfinished", "#[unfinished"),
        ] {
            assert_eq!(without_others(text), left);
        }
    }

    proptest! {
        #[test]
        fn nothing_moves(text in "(#\\[|\\]|derive\\(|Clone|serde|[\\(\\),=\"'r# \\n/*é\\\\])*") {
            let left = without_others(&text);
            prop_assert_eq!(left.len(), text.len());
            prop_assert!(left.bytes().zip(text.bytes()).all(|(left, byte)| left == byte || left == b' '));
        }
    }
}
