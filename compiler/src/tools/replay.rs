//! What rustc said of a cell is said again where evcxr only asks once more in other words.
//!
//! evcxr compiles a cell that is wrong a second time, without the closure that catches panics, because some messages would
//! be about that closure. Most mistakes have nothing to do with it: then the first messages are the second ones, for which
//! rustc isn't called, but two lines further down.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// Where the first source and its messages are, in the folder that evcxr builds in.
const NOTE: &str = ".chorus-refused";
/// The codes of what a closure around the cell has no part in: names that aren't there, and types that don't fit.
const CODES: [&str; 14] = [
    "E0061", "E0063", "E0308", "E0369", "E0412", "E0423", "E0425", "E0432", "E0433", "E0560", "E0599", "E0600",
    "E0609", "E0614",
];
/// Messages with these words may be about it all the same.
const WORDS: [&str; 4] = ["closure", "return", "capture", "move"];
/// What evcxr leaves out the second time: in front of the cell's statements, and behind them.
const BEGIN: [&str; 2] = ["match std::panic::catch_unwind(", "  std::panic::AssertUnwindSafe(||{"];
const END: [&str; 5] =
    ["})) { ", "  Ok(_) => {}", "  Err(_) => {", "    println!(\"EVCXR_PANIC_NOTIFICATION\");", "}}"];

#[derive(Serialize, Deserialize)]
struct Refused {
    /// As evcxr wrote it.
    source: String,
    messages: String,
}

/// Notes what rustc said of this source of evcxr's.
pub(crate) fn note(folder: &Path, source: String, messages: &str) {
    let note = postcard::to_allocvec(&Refused { source, messages: messages.to_owned() });
    if let Ok(note) = note
        && let Err(error) = std::fs::write(folder.join(NOTE), note)
    {
        tracing::warn!("{NOTE} can't be written: {error}");
    }
}

/// What rustc would say of this source of evcxr's, if that follows from what was noted last. A note is good for once.
pub(crate) fn take(folder: &Path, source: &str) -> Option<String> {
    let path = folder.join(NOTE);
    let note = std::fs::read(&path).ok()?;
    std::fs::remove_file(path).ok()?;
    let refused: Refused = postcard::from_bytes(&note).ok()?;
    let (begin, end) = without_closure(&refused.source, source)?;
    let lines = refused.messages.lines().filter(|line| !line.is_empty());
    lines.map(|line| Some(moved(line, begin, end)? + "\n")).collect()
}

/// The lines between which the statements are in `with`, if `without` is the same without the closure.
fn without_closure(with: &str, without: &str) -> Option<(u64, u64)> {
    let lines: Vec<&str> = with.lines().collect();
    let begin = lines.windows(BEGIN.len()).position(|window| window == BEGIN)?;
    let end = lines.windows(END.len()).rposition(|window| window == END)?;
    let statements = lines.get(begin + BEGIN.len()..end)?;
    let rest = lines[..begin].iter().chain(statements).chain(&lines[end + END.len()..]);
    rest.copied().eq(without.lines()).then_some((begin as u64, end as u64))
}

/// A message about the source with the closure, of which the lines `begin` and `end`, counted from 0, aren't the user's, as
/// one about that without.
fn moved(line: &str, begin: u64, end: u64) -> Option<String> {
    let mut message: Value = serde_json::from_str(line).ok()?;
    if message["$message_type"] == "artifact" {
        return Some(line.to_owned());
    }
    let code = message["code"]["code"].as_str();
    let is_known = code.map_or(message["spans"].as_array().is_some_and(Vec::is_empty), |code| CODES.contains(&code));
    if !is_known || WORDS.iter().any(|word| says(&message, word)) {
        return None;
    }
    move_spans(&mut message, begin, end)?;
    serde_json::to_string(&message).ok()
}

/// Whether the message, or what belongs to it, has this word. rustc's long explanation and the user's text don't count.
fn says(message: &Value, word: &str) -> bool {
    let has = |text: &Value| text.as_str().is_some_and(|text| text.contains(word));
    let mut spans = message["spans"].as_array().into_iter().flatten();
    let mut children = message["children"].as_array().into_iter().flatten();
    has(&message["message"]) || spans.any(|span| has(&span["label"])) || children.any(|child| says(child, word))
}

fn move_spans(message: &mut Value, begin: u64, end: u64) -> Option<()> {
    for span in message["spans"].as_array_mut().into_iter().flatten() {
        // One of a macro's is in several places.
        let is_cells = span["file_name"].as_str().is_some_and(|name| name.ends_with("src/lib.rs"));
        if !span["expansion"].is_null() || !is_cells {
            return None;
        }
        let (first, last) = (span["line_start"].as_u64()?, span["line_end"].as_u64()?);
        let by = match () {
            () if last <= begin => continue,
            () if first > begin + BEGIN.len() as u64 && last <= end => BEGIN.len() as u64,
            () => return None,
        };
        (span["line_start"], span["line_end"]) = ((first - by).into(), (last - by).into());
        for place in ["byte_start", "byte_end"] {
            let bytes: usize = BEGIN.iter().map(|line| line.len() + 1).sum();
            span[place] = (span[place].as_u64()?.checked_sub(bytes as u64)?).into();
        }
    }
    message["children"].as_array_mut().into_iter().flatten().try_for_each(|child| move_spans(child, begin, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const WITH: &str = "fn f() {}\nmatch std::panic::catch_unwind(\n  std::panic::AssertUnwindSafe(||{\nlet a: u8 = 1.5;\n\
                        })) { \n  Ok(_) => {}\n  Err(_) => {\n    println!(\"EVCXR_PANIC_NOTIFICATION\");\n}}\nstore\n";
    const WITHOUT: &str = "fn f() {}\nlet a: u8 = 1.5;\nstore\n";

    fn message(code: &str, text: &str, line: u64) -> String {
        let span = json!({"file_name": "src/lib.rs", "line_start": line, "line_end": line, "byte_start": 90,
            "byte_end": 93, "label": "expected `u8`", "expansion": null});
        let child = json!({"message": "a note", "spans": [span.clone()], "children": []});
        json!({"message": text, "code": {"code": code, "explanation": "about closures"}, "spans": [span],
            "children": [child], "level": "error"})
        .to_string()
    }

    fn replayed(message: &str, source: &str) -> Option<Value> {
        let folder = tempfile::tempdir().unwrap();
        note(folder.path(), WITH.into(), message);
        let taken = take(folder.path(), source);
        assert_eq!(take(folder.path(), source), None, "once only");
        Some(serde_json::from_str(&taken?).unwrap())
    }

    #[test]
    fn a_wrong_type_is_told_again_two_lines_further_up() {
        let again = replayed(&message("E0308", "mismatched types", 4), WITHOUT).unwrap();
        let by = (BEGIN[0].len() + BEGIN[1].len() + 2) as u64;
        for span in [&again["spans"][0], &again["children"][0]["spans"][0]] {
            assert_eq!((&span["line_start"], &span["line_end"]), (&json!(2), &json!(2)));
            assert_eq!((&span["byte_start"], &span["byte_end"]), (&json!(90 - by), &json!(93 - by)));
        }
        let of_definition = replayed(&message("E0308", "mismatched types", 1), WITHOUT).unwrap();
        assert_eq!(of_definition["spans"][0]["line_start"], 1);
    }

    #[test]
    fn what_may_be_about_the_closure_is_asked_again() {
        for (code, text, line) in [
            ("E0382", "use of a value", 4),
            ("E0308", "expected because of the return type", 4),
            ("E0308", "mismatched types in a closure", 4),
            // Not the user's line.
            ("E0308", "mismatched types", 3),
            ("E0308", "mismatched types", 6),
        ] {
            assert_eq!(replayed(&message(code, text, line), WITHOUT), None, "{code} {text} {line}");
        }
        let elsewhere = message("E0308", "mismatched types", 4).replace("src/lib.rs", "other.rs");
        let of_macro = message("E0308", "mismatched types", 4).replace("\"expansion\":null", "\"expansion\":{}");
        assert_eq!((replayed(&elsewhere, WITHOUT), replayed(&of_macro, WITHOUT)), (None, None));
        assert_eq!(replayed("error: linking failed", WITHOUT), None);
    }

    #[test]
    fn another_source_is_asked_about() {
        let message = message("E0308", "mismatched types", 4);
        for other in [WITH, "fn f() {}\nlet a: u8 = 2.5;\nstore\n", "", "fn f() {}\nlet a: u8 = 1.5;\n"] {
            assert_eq!(replayed(&message, other), None, "{other}");
        }
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(take(folder.path(), WITHOUT), None);
    }
}
