//! What rustc says of the lines in which evcxr stores a cell's variables, made fit for evcxr and for users.
//!
//! - A variable that borrows can't be stored. If the cell itself uses it, it ends with the cell. Otherwise it is an error, of which
//!   evcxr leaves out from what the variable borrows.
//! - A variable that the cell's result moves can't be stored either. evcxr knows that error by its code, and then leaves the
//!   variable out; but it takes a hint in a definition for the error itself, since only that one is in the user's text.

use crate::cell::unnamed;
use crate::tools::rewrite::{ENTERS, NAME_BEGINS};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const STORE: &str = "evcxr_variable_store";
const PUT: &str = "evcxr_variable_store.put_";
/// What rustc says where something is used while it is borrowed.
const MEANWHILE: [&str; 5] = ["E0499", "E0502", "E0503", "E0505", "E0506"];
/// Stands where a variable would be stored that ends with its cell, around its name, with the lender's behind it.
const ENDS: [&str; 2] = ["evcxr_variable_store.end(stringify!(", ")); // It borrows from "];
/// In front of that, around the name, where the variable's `Drop` uses what it borrows.
const DROPS: [&str; 2] = ["{ let _ends = ", "; } "];

/// A variable that borrows from another one, or from what the cell doesn't keep.
struct Borrowing {
    name: String,
    type_name: String,
    lender: String,
}

/// The source without storing a variable that borrows, if these messages are about one that the cell itself uses.
pub(crate) fn without_borrowing(source: &str, messages: &str) -> Option<String> {
    let mut lines: Vec<&str> = source.lines().collect();
    let enters = lines.iter().rposition(|line| *line == ENTERS)?;
    let first = lines.iter().skip(enters).position(|line| line.starts_with(PUT))? + enters;
    let (at, ends) = messages.lines().filter(|line| line.contains(PUT)).find_map(|line| {
        let Borrowing { name, lender, .. } = match has(line, "E0597") {
            true => borrowing(&serde_json::from_str(line).ok()?),
            false => meanwhile(line).and_then(|error| until_stored(&error)),
        }?;
        let mut stores = lines[first..].iter().take_while(|line| line.starts_with(PUT));
        let at = stores.position(|line| stored(line).is_some_and(|(stored, _)| stored == name))? + first;
        let own = lines[enters..first].iter().filter(|line| !line.contains(STORE));
        let uses = own.map(|line| uses(line, &name)).sum::<usize>();
        // One that hides that from which it borrows would take it along.
        let [ends, borrows] = ENDS;
        (uses > 1 && name != lender).then(|| (at, format!("{ends}{name}{borrows}{lender}")))
    })?;
    lines[at] = &ends;
    lines[first..=at].rotate_right(1);
    Some(lines.join("\n") + "\n")
}

/// How often a line of code names a variable, fields and methods of this name aside. What looks like a comment isn't read.
fn uses(line: &str, name: &str) -> usize {
    let code = line.split("//").next().unwrap_or_default();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_named = |at: usize| {
        let (before, behind) = (code[..at].trim_end(), &code[at + name.len()..]);
        let is_whole = !code[..at].ends_with(is_word) && !behind.starts_with(is_word);
        is_whole && (!before.ends_with('.') || before.ends_with(".."))
    };
    code.match_indices(name).filter(|(at, _)| is_named(*at)).count()
}

/// The source in which such a variable ends before others are stored, if these messages say that it has to: its `Drop` still
/// uses what it borrows, as that of a lock's guard.
pub(crate) fn with_endings(source: &str, messages: &str) -> Option<String> {
    let is_dropped = |name: &str| {
        let says = format!("when `{name}` is dropped");
        messages.lines().any(|line| line.contains(&says) && meanwhile(line).is_some())
    };
    let end = |line: &str| {
        let name = line.strip_prefix(ENDS[0])?.split_once(ENDS[1])?.0;
        let [begins, closes] = DROPS;
        is_dropped(name).then(|| format!("{begins}{name}{closes}{line}\n"))
    };
    let changed: String = source.lines().map(|line| end(line).unwrap_or_else(|| format!("{line}\n"))).collect();
    (changed != source).then_some(changed)
}

/// The variables that end with the cell of this source, each with that from which it borrows; empty where its type has no
/// name.
pub(crate) fn ending(source: &str) -> BTreeMap<String, String> {
    let end = |line: &'_ str| {
        let line = line.strip_prefix(DROPS[0]).and_then(|rest| Some(rest.split_once(DROPS[1])?.1)).unwrap_or(line);
        let (name, lender) = line.strip_prefix(ENDS[0])?.split_once(ENDS[1])?;
        Some((name.to_owned(), lender.to_owned()))
    };
    let unnamed = unnamed::ending(source).map(|name| (name.to_owned(), String::new()));
    source.lines().filter_map(end).chain(unnamed).collect()
}

/// The error of this line, if it is about a variable that is stored and about something that is used while it is borrowed.
fn meanwhile(line: &str) -> Option<Value> {
    MEANWHILE.iter().any(|code| has(line, code)).then(|| serde_json::from_str(line).ok()).flatten()
}

/// Whether a message has this code, and is about a variable that is stored.
fn has(line: &str, code: &str) -> bool {
    line.contains(&format!("\"code\":\"{code}\"")) && line.contains(PUT)
}

/// rustc's messages, one a line. Lines that needn't change stay as they are.
pub(crate) fn reworded(messages: &str) -> String {
    let mut is_borrowed = false;
    let mut lines: Vec<String> = Vec::new();
    for line in messages.split_inclusive('\n') {
        let changed = match () {
            () if has(line, "E0597") => serde_json::from_str(line).ok().and_then(borrowed),
            () if has(line, "E0382") => serde_json::from_str(line).ok().and_then(moved),
            () => None,
        };
        is_borrowed |= changed.is_some() && has(line, "E0597");
        lines.push(changed.map_or_else(|| line.to_owned(), |changed| format!("{changed}\n")));
    }
    // That a variable is stored, or used, while what is stored borrows from it is the same mistake. Where there is none of that
    // kind, it follows from another one if there is any.
    let is_error = |line: &String| line.contains("\"level\":\"error\"") && line.contains("\"spans\":[{");
    let follows: Vec<bool> = lines.iter().map(|line| is_of_storing(line, is_borrowed)).collect();
    if lines.iter().zip(&follows).any(|(line, follows)| !follows && is_error(line)) {
        let mut follows = follows.into_iter();
        lines.retain(|_| !follows.next().unwrap_or_default());
    }
    lines.concat()
}

/// Whether rustc says that something is borrowed where it is stored; or, if that `counts`, until then.
fn is_of_storing(line: &str, counts: bool) -> bool {
    let Some(error) = meanwhile(line) else { return false };
    let is_it = MEANWHILE.iter().any(|code| error["code"]["code"] == *code);
    is_it && spans(&error).any(|span| is_put(span) && (counts || span["is_primary"] == true))
}

fn spans(error: &Value) -> impl Iterator<Item = &Value> {
    error["spans"].as_array().into_iter().flatten()
}

fn primary(error: &Value) -> Option<&Value> {
    spans(error).find(|span| span["is_primary"] == true)
}

fn text(span: &Value) -> &str {
    span["text"][0]["text"].as_str().unwrap_or_default()
}

fn is_put(span: &Value) -> bool {
    text(span).starts_with(PUT)
}

/// What is stored in this line: the name, and its type.
fn stored(line: &str) -> Option<(&str, &str)> {
    let (of_type, rest) = line.strip_prefix(PUT)?.split_once(NAME_BEGINS)?;
    Some((rest.split_once(')')?.0, of_type.split_once("::<")?.1))
}

/// Which variable an error is about that says that something doesn't live long enough to be stored. `None` if it ends in a block
/// of the cell, so that it doesn't even live as long as the cell itself wants it to.
fn borrowing(error: &Value) -> Option<Borrowing> {
    let put = spans(error).find(|span| is_put(span))?;
    let is_end = |span: &&Value| span["label"].as_str().is_some_and(|label| label.contains("dropped here"));
    let is_before = |span: &Value| span["line_start"].as_u64() < put["line_start"].as_u64();
    if spans(error).find(is_end).is_some_and(is_before) {
        return None;
    }
    of_stored(put, error)
}

/// Which variable an error is about that says that something is used while it is borrowed: until the variable is stored.
fn until_stored(error: &Value) -> Option<Borrowing> {
    let is_later = |span: &&Value| span["label"].as_str().is_some_and(|label| label.contains("later used"));
    let put = spans(error).filter(|span| is_put(span)).find(is_later)?;
    of_stored(put, error)
}

fn of_stored(put: &Value, error: &Value) -> Option<Borrowing> {
    let (name, type_name) = stored(text(put))?;
    let lender = error["message"].as_str()?.split('`').nth(1)?.to_owned();
    Some(Borrowing { name: name.to_owned(), type_name: type_name.to_owned(), lender })
}

/// The error for a variable that can't be stored.
fn borrowed(mut error: Value) -> Option<Value> {
    let Some(Borrowing { name, type_name, lender }) = borrowing(&error) else {
        // Where the variable is stored, evcxr would take that for the reason.
        error["spans"].as_array_mut()?.retain(|span| !is_put(span));
        return Some(error);
    };
    let message = format!("the notebook can't keep `{name}`, which borrows from `{lender}`");
    let copy = match () {
        () if type_name.starts_with("&mut ") => None,
        () if type_name.starts_with("&str") || type_name.starts_with("&[") => {
            Some(format!("`.to_owned()` behind it makes `{name}` a copy of its own"))
        }
        () if type_name.starts_with('&') => Some(format!("`.clone()` behind it makes `{name}` a copy of its own")),
        () if type_name.contains("&str") => {
            Some("`.map(str::to_owned)` makes copies of its texts, a `Vec<String>` for a `Vec<&str>`".to_owned())
        }
        () => None,
    };
    let block = format!("use `{name}` in this cell: then it ends with the cell");
    let block = if copy.is_some() { format!("or {block}") } else { block };
    let child = |level: &str, message: String| json!({"level": level, "message": message, "spans": [], "children": []});
    let why =
        "what a cell keeps is stored when the cell ends, so it must own what it has, without references".to_owned();
    let helps = copy.into_iter().chain([block]).map(|help| child("help", help));
    let children: Vec<Value> = std::iter::once(child("note", why)).chain(helps).collect();
    let mut places: Vec<Value> = spans(&error).filter(|span| span["is_primary"] == true).cloned().collect();
    places.iter_mut().for_each(|place| place["label"] = json!(format!("`{lender}` is borrowed here")));
    error["rendered"] = json!(message);
    error["message"] = json!(message);
    error["spans"] = json!(places);
    error["children"] = json!(children);
    Some(error)
}

/// A variable is stored that was moved.
fn moved(mut error: Value) -> Option<Value> {
    primary(&error).filter(|span| is_put(span))?;
    error["children"] = json!([]);
    Some(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str, is_primary: bool, label: &str) -> Value {
        spanning(9, text, is_primary, label)
    }

    fn spanning(line: u64, text: &str, is_primary: bool, label: &str) -> Value {
        json!({"line_start": line, "text": [{"text": text}], "is_primary": is_primary, "label": label})
    }

    fn put(kind: &str, name: &str) -> String {
        format!("{PUT}measured::<{kind}>(stringify!({name}), {name}, ..);")
    }

    fn error(code: &str, message: &str, spans: Vec<Value>) -> String {
        let hint = json!({"level": "note", "message": "a hint", "spans": [span("fn eat(v: Vec<i32>) {}", true, "")]});
        let error = json!({
            "level": "error", "code": {"code": code}, "message": message, "spans": spans, "children": [hint],
        });
        format!("{error}\n")
    }

    fn read(messages: &str) -> Vec<Value> {
        reworded(messages).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn what_a_variable_borrows_from_is_named() {
        let kept = |kind: &str| {
            let user = span("let r = &v[0];", true, "borrowed value does not live long enough");
            let ends = span("}", false, "`v` dropped here while still borrowed");
            let long =
                error("E0597", "`v` does not live long enough", vec![user, ends, span(&put(kind, "r"), false, "")]);
            let twice = error("E0505", "cannot move out of `v`", vec![span(&put("Vec<i32>", "v"), true, "")]);
            read(&(long + &twice))
        };
        let said = kept("&i32");
        assert_eq!(
            (said.len(), &said[0]["message"]),
            (1, &json!("the notebook can't keep `r`, which borrows from `v`"))
        );
        assert_eq!(said[0]["spans"].as_array().unwrap().len(), 1);
        assert!(!said[0]["spans"].to_string().contains(PUT));
        let helps = |kind: &str| {
            let said = kept(kind);
            let children = said[0]["children"].as_array().unwrap().clone();
            children[1..].iter().map(|child| child["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert!(helps("&i32")[0].starts_with("`.clone()`") && helps("&str")[0].starts_with("`.to_owned()`"));
        assert!(helps("Vec<&str>")[0].starts_with("`.map(str::to_owned)`"));
        assert!(helps("&mut i32")[0].starts_with("use `r` in this cell"));
    }

    #[test]
    fn what_the_cell_itself_uses_ends_with_it() {
        let source = |own: &str| {
            let stored = [put("Vec<u8>", "v"), put("&mut u8", "r"), put("&u8", "other")].join("\n");
            format!("use r;\n{ENTERS}\nlet r = {STORE}.take(stringify!(r), r);\n{own}\n{stored}\n}}\n")
        };
        let about = |name: &str, end: u64| {
            let ends = spanning(end, "}", false, "`v` dropped here while still borrowed");
            error("E0597", "`v` does not live long enough", vec![ends, span(&put("&mut u8", name), false, "")])
        };
        let used = source("let r = &mut v[0];\n*r = 1;");
        let changed = without_borrowing(&used, &about("r", 10)).unwrap();
        assert_eq!(changed.lines().count(), used.lines().count());
        let stored: Vec<&str> = changed.lines().skip(5).collect();
        let mark = "evcxr_variable_store.end(stringify!(r)); // It borrows from v";
        assert_eq!(stored, [mark, &put("Vec<u8>", "v"), &put("&u8", "other"), "}"]);
        let ends = BTreeMap::from([("r".to_owned(), "v".to_owned())]);
        assert_eq!(ending(&changed), ends);
        let dropped = |name: &str| {
            let label = format!("borrow might be used here, when `{name}` is dropped and runs the destructor");
            error(
                "E0505",
                "cannot move out of `v`",
                vec![span(&put("Vec<u8>", "v"), true, ""), span("}", false, &label)],
            )
        };
        let before = with_endings(&changed, &dropped("r")).unwrap();
        let dropping = format!("\n{{ let _ends = r; }} {mark}\n");
        assert!(before.contains(&dropping) && ending(&before) == ends, "{before}");
        assert_eq!(with_endings(&before, &dropped("r")), None, "once");
        assert_eq!((with_endings(&changed, &dropped("other")), with_endings(&used, &dropped("r"))), (None, None));
        assert_eq!(without_borrowing(&changed, &about("r", 10)), None, "it isn't stored any more");
        let later = span(&put("&mut u8", "r"), false, "mutable borrow later used here");
        let meanwhile =
            |code: &str| error(code, "cannot borrow `v` as immutable", vec![span("v", true, ""), later.clone()]);
        assert_eq!(without_borrowing(&used, &meanwhile("E0502")).as_ref(), Some(&changed));
        assert_eq!(without_borrowing(&used, &meanwhile("E0382")), None);
        assert_eq!(without_borrowing(&used, &about("other", 10)), None, "the cell doesn't use it");
        assert_eq!(without_borrowing(&used, &about("r", 4)), None, "it ends in a block");
        for unused in [
            "let r = &mut v[0];",
            "let r = &mut s.r;",
            "let r = v.r();",
            "let r = &mut v[0]; // r",
            "let r = &mut v[rr];",
        ] {
            assert_eq!(without_borrowing(&source(unused), &about("r", 10)), None, "the cell doesn't use it: {unused}");
        }
        assert!(without_borrowing(&source("let r = &mut v;\nf(..r)"), &about("r", 10)).is_some());
        let itself = about("r", 10).replace("`v`", "`r`");
        assert_eq!(without_borrowing(&used, &itself), None, "what it borrows from would be lost");
        assert!(ending("let x = 5; // It borrows from y").is_empty());
        assert_eq!(without_borrowing(&used, "error, \"code\":\"E0597\", evcxr_variable_store.put_"), None);
        assert!(ending(&used).is_empty());
    }

    #[test]
    fn what_follows_from_another_mistake_is_left_out() {
        let codes = |messages: &[&String]| -> Vec<String> {
            let all: String = messages.iter().map(|message| message.as_str()).collect();
            read(&all).iter().map(|error| error["code"]["code"].as_str().unwrap().to_owned()).collect()
        };
        let long = |end: u64| {
            let user = span("let (a, b) = arr.split_at_mut(1);", true, "borrowed value does not live long enough");
            let ends = spanning(end, "}", false, "`arr` dropped here while still borrowed");
            error("E0597", "`arr` does not live long enough", vec![user, ends, span(&put("&mut [u8]", "a"), false, "")])
        };
        let stored = error(
            "E0503",
            "cannot use `arr`",
            vec![span("let (a, b) = ..", false, ""), span(&put("[u8; 2]", "arr"), true, "")],
        );
        let used = error(
            "E0502",
            "cannot borrow `arr`",
            vec![span("arr", true, ""), span(&put("&mut [u8]", "a"), false, "used later")],
        );
        assert_eq!(codes(&[&stored, &used, &long(10)]), ["E0597"]);
        // Its scope in the cell is what is too short, so the message is rustc's.
        let own = reworded(&long(4));
        assert!(own.contains("does not live long enough") && !own.contains(PUT), "{own}");
        let other = error("E0596", "cannot borrow `x` as mutable", vec![span("let y = &mut x;", true, "")]);
        assert_eq!(codes(&[&other, &stored]), ["E0596"]);
        assert_eq!(codes(&[&other, &used]), ["E0596", "E0502"]);
        assert_eq!(codes(&[&stored]), ["E0503"], "there is no other");
    }

    #[test]
    fn what_was_moved_has_no_hints_and_all_else_stays() {
        let moved = error("E0382", "use of moved value: `food`", vec![span(&put("Vec<i32>", "food"), true, "")]);
        assert_eq!(read(&moved)[0]["children"], json!([]));
        let users = error("E0382", "use of moved value: `food`", vec![span("food.len()", true, "")]);
        let other = "not of rustc's, evcxr_variable_store.put_ \"code\":\"E0597\"\n";
        assert_eq!(reworded(&(users.clone() + other)), users + other);
    }
}
