//! Keeps what evcxr writes around a cell out of what users read of it.

use crate::cell::types::CellText;
use crate::messages::advice::is_inside_of_px;
use crate::messages::diagnostic::{Diagnostic, ELSEWHERE, Span};
use crate::messages::failure::{mapped, whole};
use crate::messages::source_map::MappedPiece;
use crate::notebook::namespace::Variables;
use chorus_syntax::{Cell, Item, RETURNS, words_of};

/// What only occurs in names of evcxr's.
const GENERATED: &[&str] = &["evcxr", "Evcxr", "EVCXR", "run_user_code_", "catch_unwind", "`*mut u8`"];

/// What there is for types that can't travel.
const STAYS: &str = "help: `.keep(px::var!(ys))?` leaves results of any type on the engines";
const TRAVELS: &str = "help: for a type of your own, add `:dep serde = { version = \"1\", features = [\"derive\"] }` and derive \
                       `serde::Serialize, serde::Deserialize`; another crate's type may need that crate's feature `serde`";

/// How rustc speaks of traits of px's that no user knows.
const TRAITS: &[&str] =
    &["to implement `Shown`", "to implement `Arg<ByValue>`", "to implement `Arg<ByRef>`", "to implement `Constants`"];

fn is_generated(text: &str) -> bool {
    GENERATED.iter().any(|name| text.contains(name))
}

/// What rustc says of the closure around a cell, and what that means to whoever wrote the cell.
const CLOSURE: &[(&str, &str)] = &[
    (" in a closure that returns `Result`", " in a cell"),
    (" inside of a closure", " outside of a loop or a labeled block"),
    ("enclosing closure", ""),
];
/// What would be a crate's, if there were one.
const UNLINKED: &str = "use of unresolved module or unlinked crate";
/// Crates that are of little use as they come: how they are mostly asked for.
const AS_MOSTLY: &[(&str, &str)] = &[
    ("clap", "{ version = \"4\", features = [\"derive\"] }"),
    ("serde", "{ version = \"1\", features = [\"derive\"] }"),
    ("tokio", "{ version = \"1\", features = [\"full\"] }"),
];
/// Derive macros, and the crates that have them.
const DERIVES: &[(&str, &str)] = &[("Deserialize", "serde"), ("Parser", "clap"), ("Serialize", "serde")];

/// Leaves out labels and notes about names that the user never wrote, and what rustc found behind the cell's text.
pub(crate) fn purge(error: &mut Diagnostic, cell: &CellText<'_>) {
    let found = error.message.rsplit_once(", found ").filter(|_| error.code.is_none());
    let word = found.and_then(|(_, found)| found.split('`').nth(1));
    if let (Some((expected, _)), Some(word)) = (found, word)
        && !cell.cell.contains(word)
    {
        error.message = expected.to_owned();
    }
    if error.is_undecided() {
        error.code = Some("E0282".to_owned());
        error.message = "type annotations needed: what type this has isn't known here".to_owned();
        error.spans.iter_mut().for_each(|span| span.label.clear());
        error.notes = vec!["help: put it into a variable with a type first, `let x: Vec<f64> = ..;`".to_owned()];
    }
    // What a magic became is told in its own way.
    if let Some(type_name) = error.unfit().filter(|_| cell.users == CellText::ALL).map(str::to_owned) {
        let of_map = error.message.contains("exists for struct `Map<");
        error.code = Some("E0277".to_owned());
        error.message = format!("`{type_name}` can't travel between the notebook and its engines");
        error.spans.retain(|span| span.primary);
        error.spans.iter_mut().for_each(|span| span.label.clear());
        error.notes = of_map.then(|| STAYS.to_owned()).into_iter().chain([TRAVELS.to_owned()]).collect();
    }
    // Its label says what the items are.
    let taken =
        error.message.strip_prefix("type mismatch resolving `<").and_then(|it| it.split_once(" as Source>::Item == "));
    if let Some((_, taken)) = taken {
        error.message = format!("this map's function doesn't take its items: it takes `{taken}");
    }
    // evcxr puts the statements of a cell into a closure.
    if !cell.cell.contains('|') {
        let labels = error.spans.iter_mut().map(|span| &mut span.label);
        for text in labels.chain(&mut error.notes).chain([&mut error.message]) {
            *text = CLOSURE.iter().fold(std::mem::take(text), |text, (said, meant)| text.replace(said, meant));
        }
    }
    let is_ours = |label: &str| is_generated(label) || label.starts_with("the trait `px::") && is_inside_of_px(label);
    error.spans.iter_mut().filter(|span| is_ours(&span.label)).for_each(|span| span.label.clear());
    // What cells have to do with a trait of px's, its own message says.
    let is_of_px =
        |note: &str| note.starts_with("note: required for") && TRAITS.iter().any(|name| note.ends_with(name));
    // Where rustc shows the list as places in other crates, only its head is left.
    let is_head = |note: &str| note.starts_with("help: the following other types implement") && !note.contains('\n');
    // It names files of a crate that no user has.
    let is_of_files = |note: &str| error.code.as_deref() == Some("E0583") && note.starts_with("help: ");
    error.notes.retain(|note| !is_generated(note) && !is_of_px(note) && !is_head(note) && !is_of_files(note));
}

/// rustc's word on a `return` that ends the cell is about evcxr's function: `None` if this isn't one.
pub(crate) fn of_return(error: &Diagnostic, parsed: &Cell, cell: &CellText<'_>) -> Option<Diagnostic> {
    if !matches!(error.code.as_deref(), Some("E0308" | "E0069")) {
        return None;
    }
    let place = error.spans.iter().find(|span| span.primary && span.cell.is_none())?;
    let found = parsed.returns.iter().map(|piece| mapped(piece, cell)).find(|piece| is_within(place, piece))?;
    Some(Diagnostic {
        spans: vec![whole(&found, "")],
        notes: vec![format!("help: {RETURNS}")],
        ..Diagnostic::error("the cell can't end in this way")
    })
}

/// Whether a place begins in this piece of the cell, or right behind it.
fn is_within(place: &Span, piece: &MappedPiece) -> bool {
    let last = piece.text.lines().next_back().unwrap_or_default().chars().count();
    let lines = piece.text.lines().count().saturating_sub(1);
    let end = (piece.line + lines, if lines == 0 { piece.column + last } else { last + 1 });
    ((piece.line, piece.column)..=end).contains(&(place.line, place.column))
}

/// What evcxr says of a variable that can't be kept, at the variable's place.
pub(crate) fn of_message(message: &str, parsed: &Cell, cell: &CellText<'_>) -> Diagnostic {
    let what = message.lines().next().unwrap_or_default();
    let name = what.split_once("ariable `").and_then(|(_, rest)| rest.split('`').next()).unwrap_or_default();
    let binds = |bound: &&(String, Vec<String>)| bound.1.iter().any(|bound| bound == name);
    let Some(statement) = parsed.uses.iter().rposition(|bound| binds(&bound)) else {
        return placed(Diagnostic::error(message), "", parsed, cell);
    };
    let place = parsed.statements.get(statement).map(|piece| whole(&mapped(piece, cell), ""));
    let kept = |why: &str, help: &str| {
        let notes =
            vec![format!("help: {help}"), format!("help: or use `{name}` in this cell: then it ends with the cell")];
        Diagnostic { notes, ..Diagnostic::error(format!("the notebook can't keep `{name}`: {why}")) }
    };
    let named = what.split_once("` has type `").and_then(|(_, rest)| rest.split_once("` which"));
    let said = match named {
        _ if what.ends_with("is a closure, which cannot be persisted.") => kept(
            "the type of a closure has no name",
            &format!(
                "write a function, `fn {name}(x: i32) -> i32 {{ ... }}`, or put the closure into a box: \
                 `let {name}: Box<dyn Fn(i32) -> i32> = Box::new(...);`"
            ),
        ),
        Some((type_name, _)) => kept(
            &format!("its type, `{type_name}`, has no name"),
            &format!(
                "`.collect::<Vec<_>>()` makes a `Vec` of an iterator, and `let {name}: Box<dyn ...> = Box::new(...);` a box"
            ),
        ),
        None => Diagnostic {
            notes: message.lines().skip(1).map(|line| format!("help: {line}")).collect(),
            ..Diagnostic::error(what)
        },
    };
    Diagnostic { spans: place.into_iter().collect(), ..said }
}

/// What cargo says of a `:dep` line, without the crate by which evcxr has it looked at, and without versions by the hundred.
pub(crate) fn of_cargo(said: &str) -> String {
    const PACKAGE: &str = "package `evcxr_dummy_validate_dep` depends on ";
    let is_list = |line: &str| line.starts_with("versions that meet the requirements ");
    let is_repeated = |line: &str| line.ends_with(" which could resolve this conflict");
    let is_place = |line: &str| line.trim_start().starts_with("--> Cargo.toml:");
    let excerpt = |line: &'_ str| line.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit()).starts_with('|');
    let mut text = String::new();
    let mut quoted = "";
    for line in said.lines().filter(|line| !line.trim().is_empty() && !is_list(line) && !is_repeated(line)) {
        if is_place(line) || excerpt(line) {
            // It is the user's text from the caret on that tells where it is.
            match line.find('^').filter(|at| line[..*at].trim_matches([' ', '|']).is_empty()) {
                Some(at) => text += &quoted.get(at..).map(|rest| format!(" at `{rest}`")).unwrap_or_default(),
                None => quoted = line,
            }
            continue;
        }
        let line = line.replace(PACKAGE, "the cell asks for ");
        text += if text.is_empty() { "" } else { "\n" };
        text += line.trim_end();
    }
    text
}

/// A result that can't be shown.
pub(crate) fn of_showing(error: &mut Diagnostic) {
    let type_name = error.message.strip_prefix('`').unwrap_or_default();
    let (what, help) = match () {
        () if type_name.starts_with("{closure") => {
            (Some("the cell's result is a closure, which can't be shown"), "call it, or end the cell with `;`")
        }
        () if type_name.starts_with("impl Future<") || type_name.starts_with("{async") => (
            Some("the cell's result is a future, which has done nothing yet"),
            "`.await` behind it waits for its value",
        ),
        () => (None, "end the cell with `;` if there is nothing to show"),
    };
    error.message = what.map_or_else(|| error.message.clone(), str::to_owned);
    error.notes.push(format!("help: {help}"));
}

/// What to say of a `main` that a cell defines and doesn't call, as if a notebook were a program.
pub(crate) fn of_main(cell: &Cell) -> Option<String> {
    let is_main = |item: &Item| {
        let words: Vec<&str> = words_of(&item.piece.text).take_while(|word| *word != "main").collect();
        item.nature.name.as_deref() == Some("main") && words.last() == Some(&"fn")
    };
    let main = cell.items.iter().find(|item| is_main(item))?;
    let is_called = cell.statements.iter().any(|piece| words_of(&piece.text).any(|word| word == "main"));
    let is_async = words_of(&main.piece.text).take_while(|word| *word != "main").any(|word| word == "async");
    let call = if is_async { "main().await" } else { "main()" };
    (!is_called).then(|| format!("`main` is defined, and a notebook doesn't call it by itself: `{call}` does."))
}

/// Why the cell can't use a variable that is there: definitions don't see any.
pub(crate) fn of_unseen(
    name: &str,
    error: &Diagnostic,
    parsed: &Cell,
    cell: &CellText<'_>,
    variables: &Variables,
) -> Option<String> {
    let is_there = variables.contains_key(name) || parsed.lets.iter().any(|binding| binding.name == name);
    let place = error.spans.iter().find(|span| span.primary).filter(|_| is_there)?;
    let mut items = parsed.items.iter().map(|item| mapped(&item.piece, cell));
    let is_definition = place.cell.is_some() || items.any(|item| is_within(place, &item));
    is_definition.then(|| {
        format!(
            "`{name}` is a variable, and functions and other definitions don't see variables\n\
             pass it to the function as an argument, or define it as a `const` or a `static`"
        )
    })
}

/// The error at its place, if evcxr has none for it: it writes imports and attributes anew. `label` is what rustc says of the
/// place. A crate that isn't there is added by a line that the error names.
pub(crate) fn placed(mut error: Diagnostic, label: &str, parsed: &Cell, cell: &CellText<'_>) -> Diagnostic {
    let name = error.message.split('`').nth(1).unwrap_or_default().to_owned();
    let piece = match error.code.as_deref() {
        _ if !error.spans.is_empty() => None,
        Some("E0554" | "E0635") => parsed.attributes.first(),
        Some("E0432" | "E0433" | "E0603") => {
            let is_it = |import: &str| import.strip_prefix("use ").is_some_and(|path| path.starts_with(&name));
            let item = parsed.items.iter().find(|item| item.imports.iter().any(|import| is_it(&import.text)));
            item.map(|item| &item.piece)
        }
        None => {
            let is_it = |text: &str| text.split_once("extern crate ").is_some_and(|(_, rest)| rest.starts_with(&name));
            parsed.items.iter().map(|item| &item.piece).find(|piece| !name.is_empty() && is_it(&piece.text))
        }
        Some(_) => None,
    };
    if let Some(piece) = piece {
        error.spans.push(whole(&mapped(piece, cell), label));
        error.notes.retain(|note| note != ELSEWHERE);
    }
    let is_main = || parsed.items.iter().any(|item| item.nature.name.as_deref() == Some("main"));
    let advice = missing_crate(&error, label, is_main);
    // A name like this one, or a module of std, is likelier to be meant.
    error.notes.retain(|note| !note.contains("`cargo add "));
    if error.notes.is_empty() {
        error.notes = advice;
    }
    error
}

/// What brings the crate that the error misses, if that is what it is about.
fn missing_crate(error: &Diagnostic, label: &str, is_main: impl Fn() -> bool) -> Vec<String> {
    let quoted = error.message.split('`').nth(1).unwrap_or_default();
    let (name, and_then) = match error.code.as_deref() {
        Some("E0432") if label.starts_with(UNLINKED) => (quoted.split("::").next().unwrap_or_default(), None),
        Some("E0433") if label.starts_with(UNLINKED) => (label.split('`').nth(1).unwrap_or(quoted), None),
        None if error.message.starts_with("cannot find derive macro `") => {
            match DERIVES.iter().find(|(derive, _)| *derive == quoted) {
                Some((derive, name)) => (*name, Some(format!(", and `use {name}::{derive};` the name"))),
                None => return Vec::new(),
            }
        }
        _ => return Vec::new(),
    };
    let as_mostly = AS_MOSTLY.iter().find(|(known, _)| *known == name).map_or("\"*\"", |(_, version)| version);
    let brings =
        format!("help: `:dep {name} = {as_mostly}` in a cell of its own, or above this one, brings the crate `{name}`");
    let needless =
        (name == "tokio" && is_main()).then(|| "help: for `.await` a cell needs neither `main` nor tokio".to_owned());
    std::iter::once(brings + &and_then.unwrap_or_default()).chain(needless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> CellText<'_> {
        CellText { text, count: 1, first_line: 1, cell: text, users: CellText::ALL }
    }

    #[test]
    fn a_variable_that_is_not_kept_is_placed() {
        let text = "let a = 1;\n  let f = || 1;";
        let message = "The variable `f` is a closure, which cannot be persisted.\nBox it.";
        let error = of_message(message, &Cell::parse(text), &cell(text));
        assert_eq!((error.spans[0].line, error.spans[0].column), (2, 3));
        assert_eq!(error.message, "the notebook can't keep `f`: the type of a closure has no name");
        assert!(error.notes[0].contains("`let f: Box<dyn Fn(i32) -> i32> = Box::new(...);`"));
        let message = "The variable `a` has type `impl Fn()` which cannot be persisted.\nBox it.";
        let error = of_message(message, &Cell::parse(text), &cell(text));
        assert_eq!(error.message, "the notebook can't keep `a`: its type, `impl Fn()`, has no name");
        let message = "Couldn't automatically determine type of variable `a`.\nPlease give it an explicit type.";
        let error = of_message(message, &Cell::parse(text), &cell(text));
        assert_eq!(error.notes, ["help: Please give it an explicit type."]);
        assert_eq!(of_message("no\nway", &Cell::parse(text), &cell(text)), Diagnostic::error("no\nway"));
    }

    #[test]
    fn cargo_speaks_of_the_line() {
        let said = "failed to select a version for `serde`.\nversions that meet the requirements `^1` are: 1.0.2, 1.0.1\n\n\
                    package `evcxr_dummy_validate_dep` depends on `serde` with feature `no` but `serde` does not have that feature.\n \
                    available features: std\n\n\nfailed to select a version for `serde` which could resolve this conflict";
        assert_eq!(
            of_cargo(said),
            "failed to select a version for `serde`.\nthe cell asks for `serde` with feature `no` but `serde` does not have \
             that feature.\n available features: std"
        );
        let said = "missing comma between key-value pairs, expected `,`\n  --> Cargo.toml:11:29\n   |\n\
                    11 |     serde = { version = \"1\" features = [] }\n   |                             ^";
        assert_eq!(of_cargo(said), "missing comma between key-value pairs, expected `,` at `features = [] }`");
        assert_eq!(of_cargo("no such crate\n | é ^"), "no such crate");
        assert_eq!(of_cargo(""), "");
    }

    #[test]
    fn imports_and_attributes_are_placed() {
        let text = "#![feature(x)]\nextern crate none;\nuse std::io; use a::{b, c};";
        let placed = |code: Option<&str>, message: &str| {
            let error = Diagnostic { code: code.map(str::to_owned), ..Diagnostic::error(message) };
            placed(error, "", &Cell::parse(text), &cell(text)).spans.first().map(|span| (span.line, span.column))
        };
        assert_eq!(placed(Some("E0554"), "`#![feature]` may not be used"), Some((1, 1)));
        assert_eq!(placed(Some("E0432"), "unresolved import `a::c`"), Some((3, 14)));
        assert_eq!(placed(None, "no matching package named `none` found"), Some((2, 1)));
        assert_eq!(placed(Some("E0432"), "unresolved import `z`"), None);
        assert_eq!(placed(None, "interrupted"), None);
    }

    #[test]
    fn a_crate_that_is_not_there_is_named_with_what_brings_it() {
        let said = |code: Option<&str>, message: &str, label: &str, notes: &[&str], text: &str| {
            let notes = notes.iter().map(|note| (*note).to_owned()).collect();
            let error = Diagnostic { code: code.map(str::to_owned), notes, ..Diagnostic::error(message) };
            placed(error, label, &Cell::parse(text), &cell(text)).notes.join("\n")
        };
        let unlinked = |name: &str| format!("{UNLINKED} `{name}`");
        let cargo = "help: if you wanted to use a crate named `rand`, use `cargo add rand` to add it";
        let rand = said(Some("E0432"), "unresolved import `rand`", &unlinked("rand"), &[cargo], "use rand::Rng;");
        assert!(rand.starts_with("help: `:dep rand = \"*\"` in a cell of its own") && !rand.contains("cargo"));
        let path = "cannot find module or crate `regex` in this scope";
        assert!(said(Some("E0433"), path, &unlinked("regex"), &[], "regex::f()").contains("`:dep regex = "));
        let tokio =
            said(Some("E0433"), "cannot find `tokio`", &unlinked("tokio"), &[], "#[tokio::main] async fn main() {}");
        assert!(tokio.contains("features = [\"full\"]") && tokio.contains("needs neither `main`"));
        let derive = said(None, "cannot find derive macro `Serialize` in this scope", "", &[], "");
        assert!(derive.contains("`:dep serde = {") && derive.ends_with("`use serde::Serialize;` the name"));
        let similar = "help: a similar name exists: `shapes`";
        assert_eq!(said(Some("E0432"), "unresolved import `shape`", &unlinked("shape"), &[similar], ""), similar);
        let module = "help: consider importing this module: `use std::fs;`";
        assert_eq!(said(Some("E0433"), path, &unlinked("fs"), &[module, cargo], "fs::f()"), module);
        let of_std = said(Some("E0432"), "unresolved import `std::a`", "could not find `a` in `std`", &[], "");
        assert_eq!(of_std, "");
    }

    #[test]
    fn a_result_that_cannot_be_shown_says_what_it_is() {
        let said = |type_name: &str| {
            let mut error = Diagnostic::error(format!("`{type_name}` doesn't implement `Debug`"));
            of_showing(&mut error);
            (error.message, error.notes.join("\n"))
        };
        assert!(said("{closure}").0.contains("is a closure") && said("{closure}").1.contains("call it"));
        assert!(
            said("impl Future<Output = i32>").1.contains("`.await`") && said("{async block}").0.contains("a future")
        );
        assert_eq!(said("Point").0, "`Point` doesn't implement `Debug`");
    }

    #[test]
    fn a_main_that_nobody_calls_is_told() {
        let said = |text: &str| of_main(&Cell::parse(text)).unwrap_or_default();
        assert!(said("fn main() { f(); }").contains("`main()` does"));
        assert!(said("pub async fn main() {}\nlet a = 1;").contains("a notebook doesn't call it"));
        assert!(said("async fn main() {}").contains("`main().await` does"));
        assert_eq!((said("fn main() {}\nmain()"), said("mod main {}"), said("fn f() { main() }")), Default::default());
    }

    #[test]
    fn definitions_do_not_see_variables() {
        let text = "fn f() -> u8 {\n  limit }\nlimit";
        let unseen = |line, column, name: &str| {
            let place = crate::messages::diagnostic::Span {
                line,
                column,
                ..whole(&mapped(&Cell::parse(text).items[0].piece, &cell(text)), "")
            };
            let error = Diagnostic { spans: vec![place], ..Diagnostic::error("cannot find value") };
            let variable = crate::notebook::namespace::Variable { type_name: "u8".into(), mutable: false };
            of_unseen(name, &error, &Cell::parse(text), &cell(text), &[("limit".to_owned(), variable)].into())
        };
        assert!(unseen(2, 3, "limit").unwrap().contains("don't see variables\npass it"));
        assert_eq!((unseen(3, 1, "limit"), unseen(2, 3, "other")), (None, None));
    }

    #[test]
    fn what_is_generated_is_left_out() {
        let text = "if a {\n  return Ok(()) }";
        let mut error = Diagnostic { code: Some("E0308".into()), ..Diagnostic::error("mismatched types") };
        error.spans = vec![whole(&mapped(&Cell::parse(text).returns[0], &cell(text)), "expected `*mut u8`")];
        error.spans[0].column += 7;
        error.notes = vec!["note: evcxr_variable_store".into(), "help: kept".into()];
        let said = of_return(&error, &Cell::parse(text), &cell(text)).unwrap();
        assert_eq!((said.spans[0].line, said.spans[0].column, said.code), (2, 3, None));
        purge(&mut error, &cell(text));
        assert_eq!((error.spans[0].label.as_str(), error.notes.len()), ("", 1));
        for (message, kept) in
            [("expected `;`, found keyword `fn`", "expected `;`"), ("no `;`, found `Ok`", "no `;`, found `Ok`")]
        {
            let mut error = Diagnostic::error(message);
            purge(&mut error, &cell(text));
            assert_eq!(error.message, kept);
        }
        error.spans[0].line = 1;
        assert_eq!(of_return(&error, &Cell::parse(text), &cell(text)), None);
    }
}
