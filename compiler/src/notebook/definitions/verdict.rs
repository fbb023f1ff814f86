//! Which definitions a failed compilation speaks against.

use super::Definitions;
use super::change::Change;
use super::prefix::Prefix;
use crate::messages::complaint::{Complaint, Error};
use serde_json::Value;
use std::collections::BTreeMap;

/// Errors that say that there are two of what there can be one of. The older one goes.
const TWICE: &[&str] = &["E0119", "E0201", "E0252", "E0254", "E0255", "E0260", "E0428", "E0592"];
/// Errors that say that there is no such thing.
const MISSING: &[&str] = &[
    "E0404", "E0405", "E0407", "E0412", "E0422", "E0423", "E0424", "E0425", "E0432", "E0433", "E0531", "E0532",
    "E0574", "E0576", "E0599",
];

/// What rustc says is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub code: Option<String>,
    pub message: String,
    pub places: Vec<Place>,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of the definition; `None` is the cell's own text.
    pub entry: Option<usize>,
    /// Whether this is the place of the mistake itself.
    pub primary: bool,
    /// What stands there.
    pub word: String,
}

/// evcxr's errors, for a text that began with `prefix`. `source` is what evcxr made of it.
pub(crate) fn mistakes(error: &Error, prefix: &Prefix, code: &str, source: &str) -> Vec<Mistake> {
    let lines: Vec<&str> = code.lines().collect();
    let own = prefix.lines();
    let errors = error.complaints().iter().filter(|error| error.level == "error");
    errors
        .map(|error| {
            let placed = error.remarks.iter().filter_map(|remark| Some((remark.span?, remark.primary)));
            let mut places: Vec<Place> = placed
                .filter_map(|(span, primary)| {
                    let entry = match span.start_line <= own {
                        true => prefix.spot(span.start_line, span.start_column)?.entry,
                        false => None,
                    };
                    let line = lines.get(span.start_line.checked_sub(1)?)?;
                    let length = match span.start_line == span.end_line {
                        true => span.end_column.saturating_sub(span.start_column),
                        false => usize::MAX,
                    };
                    let word = line.chars().skip(span.start_column.saturating_sub(1)).take(length).collect();
                    Some(Place { entry, primary, word })
                })
                .collect();
            let is_twice = error.code.as_deref().is_some_and(|code| TWICE.contains(&code));
            if let Some(calls) = is_twice.then(|| of_calls(error, prefix, &lines, source)).filter(|it| it.len() > 1) {
                places = calls;
            }
            if places.is_empty() {
                let entries =
                    error.lines().filter_map(|line| prefix.entry_of(source.lines().nth(line.checked_sub(1)?)?));
                places.extend(entries.map(|entry| Place { entry: Some(entry), primary: true, word: String::new() }));
            }
            Mistake { code: error.code.clone(), message: error.message.clone(), places }
        })
        .collect()
}

/// The places of macro calls that have made what there is twice; nothing if none has. Their macro isn't what is wrong.
fn of_calls(error: &Complaint, prefix: &Prefix, code: &[&str], source: &str) -> Vec<Place> {
    let spans = || error.json["spans"].as_array().into_iter().flatten();
    if spans().all(|span| span["expansion"].is_null()) {
        return Vec::new();
    }
    let outermost = |mut span: &Value| {
        while span["expansion"]["span"].is_object() {
            span = &span["expansion"]["span"];
        }
        span["line_start"].as_u64()
    };
    let place = |span: &Value| {
        let line = source.lines().nth(usize::try_from(outermost(span)?).ok()?.checked_sub(1)?)?;
        let number = code.iter().position(|other| *other == line)? + 1;
        // What calls a macro stands before the cell, also if the cell has it.
        let entry = if number <= prefix.lines() { prefix.spot(number, 1)?.entry } else { None };
        Some(Place { entry, primary: span["is_primary"] == true, word: String::new() })
    };
    spans().filter_map(place).collect()
}

/// The definitions that are to be left out, with the reason. Nothing means that it is the cell that is wrong.
pub(crate) fn blamed(mistakes: &[Mistake], change: &Change) -> BTreeMap<usize, String> {
    let mut blamed = BTreeMap::new();
    for mistake in mistakes {
        let mut blame = |entry: usize| _ = blamed.entry(entry).or_insert_with(|| mistake.message.clone());
        let entries = || mistake.places.iter().filter_map(|place| place.entry);
        if mistake.code.as_deref().is_some_and(|code| TWICE.contains(&code)) {
            let is_own = mistake.places.iter().any(|place| place.entry.is_none());
            // Of two old ones, the one that wants to come back can wait.
            let weaker = entries().min_by_key(|entry| (!change.tried.contains(entry), *entry));
            match is_own {
                true => entries().for_each(&mut blame),
                false => weaker.into_iter().for_each(&mut blame),
            }
        } else {
            mistake.places.iter().filter(|place| place.primary).filter_map(|place| place.entry).for_each(&mut blame);
        }
    }
    if blamed.is_empty() && !mistakes.is_empty() {
        // Perhaps the cell compiles without what only wants to come back.
        let reason = |entry: &usize| (*entry, mistakes[0].message.clone());
        blamed.extend(change.tried.iter().map(reason));
    }
    blamed
}

/// The entry whose absence a mistake of the cell's own speaks of, among those that don't count.
pub(crate) fn missing(mistake: &Mistake, definitions: &Definitions, change: &Change) -> Option<usize> {
    // A macro that isn't there has no code.
    if mistake.code.as_deref().is_some_and(|code| !MISSING.contains(&code)) {
        return None;
    }
    let words = mistake.places.iter().filter(|place| place.primary && place.entry.is_none());
    let words: Vec<&str> = words.flat_map(|place| chorus_syntax::words(&place.word)).collect();
    let entries = definitions.entries().iter().enumerate();
    let mut absent = entries.filter(|(index, _)| !change.holds(*index) && !change.replaced.contains(index));
    absent.find(|(_, entry)| entry.names().any(|name| words.contains(&name))).map(|(index, _)| index)
}
