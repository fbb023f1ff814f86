//! What rustc advises, as the user's own line would read if it were followed.
//!
//! rustc says which characters to replace and by what. evcxr passes on only the latter, which often says nothing: `;`, `mut`,
//! or nothing at all.

use serde_json::Value;

/// The longest line that is shown, in characters.
const LONGEST: usize = 100;
/// So many ways are shown to do the same.
const WAYS: usize = 4;
/// What rustc says in front of the traits that have a method.
const IN_SCOPE: &str = "items from traits can only be used if the trait is in scope";
/// What evcxr writes to take a variable out of its store.
const TAKE: &str = " = evcxr_variable_store.take_variable::<";

/// What is to be put where.
#[derive(Clone, Copy)]
struct Edit<'a> {
    line: u64,
    /// 1-based, the second behind the last character.
    columns: (usize, usize),
    with: &'a str,
    /// The line as it is.
    text: &'a str,
}

impl Edit<'_> {
    fn of(span: &Value) -> Option<Edit<'_>> {
        let with = span["suggested_replacement"].as_str()?;
        let column = |name: &str| span[name].as_u64().and_then(|column| usize::try_from(column).ok());
        Some(Edit {
            line: span["line_start"].as_u64()?,
            columns: (column("column_start")?, column("column_end")?),
            with,
            text: span["text"][0]["text"]
                .as_str()
                .filter(|_| span["line_start"] == span["line_end"])
                .unwrap_or_default(),
        })
    }

    fn overlaps(&self, other: &Edit<'_>) -> bool {
        let ((begin, end), (others_begin, others_end)) = (self.columns, other.columns);
        self.line == other.line && (begin == others_begin || begin < others_end && others_begin < end)
    }
}

/// The helps of an error in rustc's form. `is_users` says of a line whether the user has written it.
pub(crate) fn helps(error: &Value, is_users: impl Fn(&str) -> bool) -> Vec<String> {
    let children = error["children"].as_array().into_iter().flatten();
    let children = children.filter(|child| child["level"].as_str() == Some("help"));
    let helps: Vec<Option<String>> = children.map(|child| help(child, &is_users)).collect();
    // It stands for those behind it, some of which are left out.
    let is_whole = helps.iter().all(Option::is_some);
    helps.into_iter().flatten().filter(|help| is_whole || help != IN_SCOPE).collect()
}

fn help(child: &Value, is_users: &impl Fn(&str) -> bool) -> Option<String> {
    let message = child["message"].as_str()?;
    let spans = child["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
    let edits: Vec<Edit<'_>> = spans.iter().filter_map(Edit::of).collect();
    let Some(first) = edits.first() else {
        let is_pxs = |span: &Value| span["file_name"].as_str().is_some_and(is_file_of_px);
        return (!spans.iter().any(is_pxs)).then(|| message.to_owned());
    };
    if let Some((binding, _)) = first.text.split_once(TAKE) {
        // The line is generated: it takes the variable that an earlier cell has defined.
        let name = binding.strip_prefix("let ").filter(|_| first.with == "mut ")?;
        return Some(format!(
            "an earlier cell defines `{name}` without `mut`: `let mut {name} = {name};` lets it change"
        ));
    }
    let are_ways = edits.iter().enumerate().any(|(at, edit)| edits[..at].iter().any(|other| other.overlaps(edit)));
    let ways: Vec<&[Edit<'_>]> = if are_ways { edits.chunks(1).collect() } else { vec![&edits] };
    let known = ways.iter().filter(|way| !way.iter().any(|edit| is_inside_of_px(edit.with)));
    let mut shown: Vec<String> = Vec::new();
    for way in known {
        let text = applied(way, is_users)?;
        if !shown.contains(&text) {
            shown.push(text);
        }
    }
    let is_said = |text: &String| text.is_empty() || message.contains(&format!("`{text}`"));
    match shown.as_slice() {
        [] => None,
        [one] if is_said(one) => Some(message.to_owned()),
        [one] if one.contains('\n') => Some(format!("{message}:\n{one}")),
        all => {
            let all: Vec<String> = all.iter().take(WAYS).map(|text| format!("`{text}`")).collect();
            Some(format!("{message}: {}", all.join(", ")))
        }
    }
}

/// The lines as they would be. Where these aren't the user's, or too long, what is to be put there. `None` if nothing is.
fn applied(edits: &[Edit<'_>], is_users: &impl Fn(&str) -> bool) -> Option<String> {
    let with = || {
        let first = edits.iter().map(|edit| edit.with.trim()).find(|text| !text.is_empty())?;
        (!first.contains('\n')).then(|| first.to_owned())
    };
    let are_users = edits.iter().all(|edit| is_users(edit.text.trim()) && !edit.text.trim().is_empty());
    if !are_users || edits.iter().any(|edit| edit.with.contains('\n')) {
        return with();
    }
    let mut lines: Vec<(u64, String)> = Vec::new();
    let mut ordered: Vec<&Edit<'_>> = edits.iter().collect();
    // From behind, so that columns stay right.
    ordered.sort_by_key(|edit| std::cmp::Reverse((edit.line, edit.columns)));
    for Edit { line, columns: (begin, end), with, text } in ordered {
        if lines.last().is_none_or(|(last, _)| last != line) {
            lines.push((*line, (*text).to_owned()));
        }
        let (_, text) = lines.last_mut()?;
        let before: String = text.chars().take(begin.saturating_sub(1)).collect();
        let behind: String = text.chars().skip(end.saturating_sub(1)).collect();
        *text = format!("{before}{with}{behind}");
    }
    let lines: Vec<&str> = lines.iter().rev().map(|(_, text)| text.trim()).collect();
    match lines.iter().any(|line| line.chars().count() > LONGEST) {
        true => Some(with().unwrap_or_default()),
        false => Some(lines.join("\n")),
    }
}

/// The notes of an error that have no place.
pub(crate) fn notes(error: &Value) -> Vec<String> {
    let children = error["children"].as_array().into_iter().flatten();
    let without_place = |child: &&Value| {
        child["level"].as_str() == Some("note") && child["spans"].as_array().is_none_or(|spans| spans.is_empty())
    };
    let notes = children.filter(without_place).filter_map(|child| child["message"].as_str());
    // Some name a file of the build, and others what the user didn't write.
    let is_ours = |note: &&str| {
        let names = |what: &&str| note.contains(*what);
        ["long-type", "full name for the type", "--verbose", "originates in"].iter().any(names)
            || note.starts_with("required for `&")
            || note.starts_with("required for") && is_inside_of_px(note)
    };
    let notes = notes.filter(|note| !is_ours(note));
    notes.map(|note| note.lines().map(str::trim).collect::<Vec<_>>().join("\n")).collect()
}

/// Whether the text names something in one of px's modules. What cells may use stands in px itself.
pub(crate) fn is_inside_of_px(text: &str) -> bool {
    text.split("px::").skip(1).any(|rest| {
        let name: &str = rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
        rest[name.len()..].starts_with("::")
    })
}

fn is_file_of_px(path: &str) -> bool {
    path.split('/').any(|part| part == "px" || part.starts_with("px-"))
}

/// Without the place in the generated source that is a part of the name of a closure's type: `{closure@src/lib.rs:1:2: 1:9}`.
pub(crate) fn without_places(text: &str) -> String {
    let mut parts = text.split('@');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let kind = out.rsplit('{').next().filter(|_| out.contains('{')).unwrap_or("?");
        let is_name = !kind.is_empty() && kind.chars().all(|c| c.is_ascii_lowercase() || c == ' ');
        match part.split_once('}').filter(|(place, _)| is_name && place.contains(".rs:")) {
            Some((_, rest)) => out += &format!("}}{rest}"),
            None => out += &format!("@{part}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn span(text: &str, columns: (usize, usize), with: &str) -> Value {
        json!({"file_name": "src/lib.rs", "line_start": 1, "line_end": 1, "column_start": columns.0, "column_end": columns.1,
               "suggested_replacement": with, "text": [{"text": text}]})
    }

    fn said(message: &str, spans: Vec<Value>) -> Vec<String> {
        helps(&json!({"children": [{"level": "help", "message": message, "spans": spans}]}), |line| {
            !line.starts_with("px!")
        })
    }

    #[test]
    fn advice_is_shown_in_the_users_line() {
        assert_eq!(said("add `;` here", vec![span("let a = 1", (10, 10), ";")]), ["add `;` here: `let a = 1;`"]);
        assert_eq!(
            said("remove this semicolon", vec![span("fn f() -> u8 { 1; }", (17, 18), "")]),
            ["remove this semicolon: `fn f() -> u8 { 1 }`"]
        );
        let text = "fn f(a: &u8, b: &u8) -> &u8 {";
        let spans = vec![span(text, (5, 5), "<'a>"), span(text, (10, 10), "'a "), span(text, (26, 26), "'a ")];
        assert_eq!(said("name it", spans), ["name it: `fn f<'a>(a: &'a u8, b: &u8) -> &'a u8 {`"]);
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(said("borrow it", vec![span(&long, (1, 1), "&")]), ["borrow it: `&`"]);
    }

    #[test]
    fn what_is_not_in_the_users_line_is_shown_as_it_is_or_not_at_all() {
        let import = |path: &str| span("use a::b;", (1, 1), &format!("use {path};\n"));
        assert_eq!(
            said("consider importing one", vec![import("std::fmt::Write"), import("std::io::Write")]),
            ["consider importing one: `use std::fmt::Write;`, `use std::io::Write;`"]
        );
        assert_eq!(said("perhaps import it", vec![import("px::store::size::Owns")]), Vec::<String>::new());
        assert_eq!(
            said("derive `#[derive(Debug)]`", vec![span("struct A;", (1, 1), "#[derive(Debug)]\n")]),
            ["derive `#[derive(Debug)]`"]
        );
        assert_eq!(said("consider removing `&`", vec![span("px!{ &a }", (6, 7), "")]), Vec::<String>::new());
        let take = "let n = evcxr_variable_store.take_variable::<i32>(stringify!(n));";
        assert_eq!(
            said("make it mutable", vec![span(take, (5, 5), "mut ")]),
            ["an earlier cell defines `n` without `mut`: `let mut n = n;` lets it change"]
        );
    }

    #[test]
    fn traits_of_px_are_no_advice() {
        let child = |message: &str, spans: Value| json!({"level": "help", "message": message, "spans": spans});
        let of_px = json!([{"file_name": "/x/px-446f/src/rows.rs", "line_start": 1}]);
        let error = json!({"children": [child(IN_SCOPE, json!([])), child("there is a method `open`", of_px)]});
        assert_eq!(helps(&error, |_| true), Vec::<String>::new());
        assert!(
            is_inside_of_px("`px::map::probe::Pieces`")
                && !is_inside_of_px("use px::Html;")
                && !is_inside_of_px("px::")
        );
    }

    #[test]
    fn notes_without_a_place_are_kept() {
        let note = |message: &str| json!({"level": "note", "message": message, "spans": []});
        let error = json!({"children": [
            note("derive it"), note("required for `&A` to implement `Debug`"), note("expected `a`\n   found `b`"),
            note("the full type name has been written to '/x.long-type-1.txt'"), note("required for `A` to implement `px::data::Parts`"),
            {"level": "note", "message": "here", "spans": [{}]},
        ]});
        assert_eq!(notes(&error), ["derive it", "expected `a`\nfound `b`"]);
    }

    #[test]
    fn closures_have_no_place() {
        let text = "`{closure@src/lib.rs:130:1: 130:9}` and `{async block@/a/b.rs:1:2: 3:4}`, me@home {x@y}";
        assert_eq!(without_places(text), "`{closure}` and `{async block}`, me@home {x@y}");
        assert_eq!(without_places("@{"), "@{");
    }
}
