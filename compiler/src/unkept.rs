//! What rustc says of the lines in which evcxr stores a cell's variables, made fit for evcxr and for users.
//!
//! - A variable that borrows can't be stored. evcxr says so, and leaves out from what it borrows.
//! - A variable that the cell's result moves can't be stored either. evcxr knows that error by its code, and then leaves the
//!   variable out; but it takes a hint in a definition for the error itself, since only that one is in the user's text.

use serde_json::{Value, json};

const PUT: &str = "evcxr_variable_store.put_";
const NAME_BEGINS: &str = ">(stringify!(";

/// rustc's messages, one a line. Lines that needn't change stay as they are.
pub(crate) fn reworded(messages: &str) -> String {
    let mut is_borrowed = false;
    let mut lines: Vec<String> = Vec::new();
    for line in messages.split_inclusive('\n') {
        let has = |code: &str| line.contains(&format!("\"code\":\"{code}\"")) && line.contains(PUT);
        let changed = match () {
            () if has("E0597") => serde_json::from_str(line).ok().and_then(borrowed),
            () if has("E0382") => serde_json::from_str(line).ok().and_then(moved),
            () => None,
        };
        is_borrowed |= changed.is_some() && has("E0597");
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
    const CODES: [&str; 5] = ["E0499", "E0502", "E0503", "E0505", "E0506"];
    if !line.contains(PUT) || !CODES.iter().any(|code| line.contains(&format!("\"code\":\"{code}\""))) {
        return false;
    }
    let error: Value = serde_json::from_str(line).unwrap_or_default();
    let is_it = CODES.iter().any(|code| error["code"]["code"] == *code);
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

/// A variable borrows from another one, or from what the cell doesn't keep.
fn borrowed(mut error: Value) -> Option<Value> {
    let put = spans(&error).find(|span| is_put(span))?;
    let is_end = |span: &&Value| span["label"].as_str().is_some_and(|label| label.contains("dropped here"));
    let is_before = |span: &Value| span["line_start"].as_u64() < put["line_start"].as_u64();
    if spans(&error).find(is_end).is_some_and(is_before) {
        // It ends in a block of the cell, so it doesn't even live as long as the cell itself wants it to. Where the variable
        // is stored, evcxr would take that for the reason.
        error["spans"].as_array_mut()?.retain(|span| !is_put(span));
        return Some(error);
    }
    let (name, type_name) = stored(text(put))?;
    let lender = error["message"].as_str()?.split('`').nth(1)?.to_owned();
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
    let block = format!("use `{name}` in this cell only, and within a block: `{{ let {name} = ...; ... }}`");
    let block = if copy.is_some() { format!("or {block}") } else { block };
    let child = |level: &str, message: String| json!({"level": level, "message": message, "spans": [], "children": []});
    let why = "what a cell keeps is stored when the cell ends, so it must own what it has".to_owned();
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
        assert!(helps("&mut i32")[0].starts_with("use `r` in this cell only"));
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
