//! Names from other languages, which rustc doesn't find. What it says is right, and doesn't say what to write instead.

use crate::messages::diagnostic::Diagnostic;

/// Functions, and what does the same in Rust.
const FUNCTIONS: &[(&str, &str)] = &[
    ("abs", "`x.abs()` is a method"),
    ("bool", "a comparison is a `bool`: `x != 0`, `!text.is_empty()`"),
    (
        "dict",
        "`std::collections::HashMap::new()` makes an empty map, and `HashMap::from([(1, \"a\")])` one with entries",
    ),
    ("dir", "the Tab key behind `x.` lists methods, and `:vars` lists variables"),
    ("enumerate", "`xs.iter().enumerate()` numbers items"),
    ("exit", "`:quit` ends the kernel, and `std::process::exit(0)` the process that runs cells"),
    ("filter", "`xs.iter().filter(|x| ..)` takes some of the items"),
    ("float", "`x as f64` makes a float of a number, and `text.parse::<f64>()?` of a text"),
    ("help", "`:doc NAME` tells what something is, as does Shift+Tab; `%lsmagic` lists magics"),
    ("input", "`std::io::stdin().read_line(&mut line)?` reads a line into a `String`"),
    ("int", "`x as i64` makes an integer of a number, and `text.parse::<i64>()?` of a text"),
    ("isinstance", "a variable has one type; `:type NAME` tells it"),
    ("len", "`x.len()` is a method"),
    ("list", "`vec![1, 2]` makes a `Vec`, and `.collect::<Vec<_>>()` one of an iterator's items"),
    ("map", "`xs.iter().map(|x| ..)` calls a function for each item, and `%map |x| .. over xs` does so on engines"),
    ("max", "`a.max(b)` compares two values, and `xs.iter().max()` all items"),
    ("min", "`a.min(b)` compares two values, and `xs.iter().min()` all items"),
    ("open", "`std::fs::read_to_string(\"a.txt\")?` reads a text, and `std::fs::File::open(\"a.txt\")?` opens a file"),
    ("quit", "`:quit` ends the kernel"),
    ("range", "`0..10` is a range, and `(0..10).step_by(2)` leaves out every other number"),
    ("reversed", "`xs.iter().rev()` goes backwards"),
    ("round", "`x.round()` is a method of floats"),
    ("set", "`std::collections::HashSet::from([1, 2])` makes a set"),
    ("sorted", "`xs.sort()` sorts a `Vec` that is `mut`"),
    ("str", "`x.to_string()` makes a text of a value, and `format!(\"{x}\")` one with others in it"),
    ("sum", "`xs.iter().sum::<i32>()` adds up items"),
    ("tuple", "`(1, \"a\")` is a tuple"),
    ("type", "`:type NAME` tells a variable's type"),
    ("zip", "`a.iter().zip(&b)` goes through two at once"),
];

/// Values, and what stands for them.
const VALUES: &[(&str, &str)] = &[
    ("NULL", NOTHING),
    ("nil", NOTHING),
    ("null", NOTHING),
    ("undefined", NOTHING),
    ("pi", "`std::f64::consts::PI` is pi"),
];

const NOTHING: &str = "a value that may be missing is an `Option`: `Some(x)` or `None`";

/// What to write instead, if rustc finds no such function or value, or takes the name for another thing.
pub(crate) fn instead(error: &Diagnostic) -> Option<&'static str> {
    if error.message.starts_with("the `?` operator can only be applied to values that implement `Try`") {
        // What rustc knows better, as that a future is to be awaited, it says.
        let is_bare = error.notes.iter().all(|note| note.contains("trait `Try` is not implemented"));
        return is_bare.then_some("this is no `Result` and no `Option`: leave out the `?`");
    }
    let (what, rest) = error.message.split_once('`')?;
    let name = rest.split('`').next()?;
    let table = match (error.code.as_deref()?, what) {
        ("E0425", "cannot find function ") | ("E0423", "expected function, found builtin type ") => FUNCTIONS,
        ("E0425", "cannot find value ") => VALUES,
        _ => return None,
    };
    // A method of this name is what is meant, and rustc shows how it is called.
    let is_method = error.notes.iter().any(|note| note.starts_with("help: use the `.` operator"));
    Some(table.iter().find(|(theirs, _)| *theirs == name && !is_method)?.1)
}

/// Whether a type of this text has an array in it that serde has no traits for.
fn has_long_array(text: &str) -> bool {
    let lengths = text.split("; ").skip(1).filter_map(|rest| rest.split_once(']')?.0.parse::<u64>().ok());
    lengths.max().is_some_and(|most| most > 32)
}

/// What to say beside rustc's own words.
pub(crate) fn beside(error: &Diagnostic) -> Option<&'static str> {
    let place = error.spans.iter().find(|span| span.primary)?;
    let at = |column: usize| place.text.chars().nth(column.checked_sub(1)?);
    let says = |what: &str| {
        std::iter::once(&error.message).chain(std::iter::once(&place.label)).any(|text| text.contains(what))
    };
    match error.code.as_deref()? {
        "E0614" if at(place.column) == Some('*') && at(place.column.checked_sub(1)?) == Some('*') => {
            Some("`x.pow(2)` raises an integer to a power, and `x.powi(2)` and `x.powf(0.5)` a float")
        }
        "E0425" if place.cell.is_none() && place.text.trim_start().starts_with('!') => {
            Some("`!` lines are the shell's where they stand above the cell's Rust")
        }
        "E0583" => Some("the module's items stand in the cell, within braces: `mod name { ... }`"),
        "E0423" if at(place.end_column) == Some('?') => Some("`:doc NAME` tells what something is, as does Shift+Tab"),
        "E0277" if error.message.contains("can't travel") && has_long_array(&error.message) => {
            Some("with serde, arrays of more than 32 items don't travel; `x.to_vec()` does, of any length")
        }
        "E0277" if error.message.starts_with("the `?` operator can only be used on `Result`s, not `Option`s") => {
            Some("`.ok_or(\"what is missing\")?` makes a `Result` of an `Option`")
        }
        "E0277" | "E0308" | "E0369" | "E0599" if says("`Task<") => {
            Some("a call is a task: `.get()?` behind it waits for what it returns")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::diagnostic::Span;

    #[test]
    fn a_question_mark_behind_what_is_no_result_is_told() {
        let said = |note: &str| {
            let message = "the `?` operator can only be applied to values that implement `Try`";
            let notes = vec![note.to_owned()];
            instead(&Diagnostic { code: Some("E0277".into()), notes, ..Diagnostic::error(message) })
        };
        assert!(said("help: the trait `Try` is not implemented for `()`").unwrap().ends_with("leave out the `?`"));
        assert!(said("help: the nightly-only, unstable trait `Try` is not implemented for `u32`").is_some());
        assert_eq!(said("help: consider `await`ing on the `Future`: `f().await?`"), None);
    }

    #[test]
    fn long_arrays_are_seen_in_types() {
        assert!(has_long_array("`Vec<[[u8; 2]; 64]>` can't travel"));
        for text in ["`[u8; 32]` can't travel", "`[u8; N]` can't travel", "a; b", ""] {
            assert!(!has_long_array(text), "{text}");
        }
    }

    #[test]
    fn names_of_other_languages_are_known_by_what_rustc_looked_for() {
        let said = |code: &str, message: &str| {
            instead(&Diagnostic { code: Some(code.into()), ..Diagnostic::error(message) }).map(str::to_owned)
        };
        assert!(said("E0425", "cannot find function `range` in this scope").unwrap().starts_with("`0..10`"));
        assert!(said("E0423", "expected function, found builtin type `str`").unwrap().starts_with("`x.to_string()`"));
        assert_eq!(said("E0425", "cannot find value `null` in this scope").as_deref(), Some(NOTHING));
        assert_eq!(said("E0425", "cannot find value `range` in this scope"), None);
        assert_eq!(said("E0425", "cannot find function `frobnicate` in this scope"), None);
        assert_eq!(instead(&Diagnostic::error("cannot find function `range`")), None);
        let message = "cannot find function `len` in this scope";
        let notes = vec!["help: use the `.` operator to call the method `len`: `v.len()`".to_owned()];
        assert_eq!(instead(&Diagnostic { code: Some("E0425".into()), notes, ..Diagnostic::error(message) }), None);
    }

    #[test]
    fn what_is_said_beside_depends_on_what_stands_there() {
        let said = |code: &str, message: &str, text: &str, column| {
            let span = Span {
                line: 1,
                column,
                end_line: 1,
                end_column: column + 3,
                label: String::new(),
                primary: true,
                text: text.into(),
                cell: None,
            };
            beside(&Diagnostic { code: Some(code.into()), spans: vec![span], ..Diagnostic::error(message) })
        };
        let deref = "type `i32` cannot be dereferenced";
        assert!(said("E0614", deref, "x ** 2", 4).is_some_and(|said| said.starts_with("`x.pow(2)`")));
        assert_eq!((said("E0614", deref, "x * *y", 5), said("E0614", deref, "*y", 1)), (None, None));
        let value = "cannot find value `ls` in this scope";
        assert!(said("E0425", value, " !ls", 3).is_some_and(|said| said.contains("above the cell's Rust")));
        assert_eq!(said("E0425", value, "a + !ls", 6), None);
        let kind = "expected value, found struct `Vec`";
        assert!(said("E0423", kind, "Vec?", 1).is_some() && said("E0423", kind, "Vec;", 1).is_none());
        let option = "the `?` operator can only be used on `Result`s, not `Option`s, in a closure";
        assert!(said("E0277", option, "a?", 2).is_some_and(|said| said.contains(".ok_or(")));
        assert!(
            said("E0369", "cannot add `{integer}` to `Task<i32>`", "t + 1", 3)
                .is_some_and(|said| said.contains(".get()?"))
        );
    }
}
