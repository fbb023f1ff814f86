//! How much rustc is to do for a cell: a plain one, which is over after a few steps however it is compiled, isn't optimised.
//!
//! See [`chorus_syntax::is_plain`]. Here a generated source is taken apart: what is the user's, and which variables it takes
//! and leaves. A source that has another form than is known counts as work.

use crate::tools::rewrite::{DISPLAY_LAST, NAME_BEGINS, TAKE};

const ATTRIBUTE: &str = "#[unsafe(no_mangle)]";
const ENTRY: &str = "pub extern \"C\" fn run_user_code_";
/// Where the user's statements begin, in a cell with variables and in one without, and where they end.
const BEGINS: [&str; 2] = ["std::panic::AssertUnwindSafe(||{", "{if std::panic::catch_unwind(||{"];
const ENDS: [&str; 2] = ["})) {", "}).is_err"];
const STORE: &str = "evcxr_variable_store.";
const PUTS: [&str; 2] = ["evcxr_variable_store.put_variable::<", "evcxr_variable_store.put_measured::<"];
/// In the place of the call that shows the result.
const ALONE: [&str; 2] = ["(", ");"];

/// Whether optimising the code of this source couldn't be noticed.
pub(crate) fn is_plain(source: &str) -> bool {
    parts(source).is_some_and(|parts| {
        chorus_syntax::is_plain(&parts.definitions, &parts.statements, &parts.takes, &parts.leaves)
    })
}

struct Parts<'a> {
    definitions: String,
    statements: String,
    takes: Vec<&'a str>,
    leaves: Vec<&'a str>,
}

fn parts(source: &str) -> Option<Parts<'_>> {
    let lines: Vec<&str> = source.lines().collect();
    let entry = lines.windows(2).position(|two| two[0] == ATTRIBUTE && two[1].starts_with(ENTRY))?;
    let begin = entry + lines[entry..].iter().position(|line| BEGINS.contains(&line.trim()))?;
    let end = lines.iter().rposition(|line| ENDS.iter().any(|end| line.starts_with(end)))?;
    // Behind the cell there may be other code.
    let last = end + lines[end..].iter().position(|line| *line == "}")?;
    let is_known = |line: &&str| line.is_empty() || line.starts_with("extern crate ") || line.starts_with("//");
    let statements = lines.get(begin + 1..end).filter(|_| lines[last + 1..].iter().all(is_known))?;

    fn typed<'t>(line: &'t str, start: &str) -> Option<&'t str> {
        Some(line.split_once(start)?.1.split_once(NAME_BEGINS)?.0)
    }
    let mut takes = Vec::new();
    for line in lines[entry..begin].iter().filter(|line| line.contains(TAKE)) {
        takes.push(typed(line, TAKE)?);
    }
    let (mut leaves, mut own) = (Vec::new(), Vec::new());
    let shows = statements.iter().rposition(|line| *line == DISPLAY_LAST[1]);
    let shown = shows.and_then(|shows| statements[..shows].iter().rposition(|line| *line == DISPLAY_LAST[0]));
    for (index, line) in statements.iter().enumerate() {
        match PUTS.iter().find(|put| line.starts_with(**put)) {
            Some(put) => leaves.push(typed(line, put)?),
            None if line.contains(STORE) => return None,
            None if shown == Some(index) => own.push(ALONE[0]),
            None if shown.is_some() && shows == Some(index) => own.push(ALONE[1]),
            None => own.push(line),
        }
    }
    Some(Parts { definitions: lines[..entry].join("\n"), statements: own.join("\n"), takes, leaves })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "#![allow(unused_imports, unused_mut, dead_code)]\nfn twice(x: u64) -> u64 { x * 2 }\n\
        use px::store as evcxr_internal_runtime;\n\n#[unsafe(no_mangle)]\npub extern \"C\" fn run_user_code_19(\n\
        mut evcxr_variable_store: *mut evcxr_internal_runtime::VariableStore)\n";
    const TAKES: &str = "vars_ok &= evcxr_variable_store.check_variable::<i32>(stringify!(a));\n\
        let a = evcxr_variable_store.take_variable::<i32>(stringify!(a));\n";
    const BEGIN: &str = "match std::panic::catch_unwind(\n  std::panic::AssertUnwindSafe(||{\n";
    const PUTS: &str = "evcxr_variable_store.put_measured::<i32>(stringify!(b), b, {size()});\n";
    const END: &str = "})) { \n  Ok(_) => {}\n  Err(payload) => {px::store::discard(payload);\n\
        println!(\"EVCXR_PANIC_NOTIFICATION\");\n}}\nevcxr_variable_store\n}\n";

    fn source(statements: &str) -> String {
        format!("{HEAD}{TAKES}{BEGIN}{statements}\n{PUTS}{END}")
    }

    #[test]
    fn a_source_is_judged_by_what_the_user_wrote() {
        assert!(is_plain(&source("let b = a + 1;")));
        assert!(is_plain(&source("px::Last(&(\ntwice(21)\n)).evcxr_display();")));
        assert!(!is_plain(&source("let b = (0..a).sum::<i32>();")));
        assert!(!is_plain(&source("px::Last(&(\n(0..a).sum::<i32>()\n)).evcxr_display();")));
        let without = format!("{HEAD}{{if std::panic::catch_unwind(||{{\nprintln!(\"a\");\n");
        let end = "}).is_err_and(|payload| {px::store::discard(payload); true}) {\n}}\nx\n}\n";
        assert!(is_plain(&(without.clone() + end)));
        assert!(!is_plain(&(without + "f();\n" + end)));
    }

    #[test]
    fn types_of_variables_count() {
        let plain = source("let b = 1;");
        assert!(is_plain(&plain));
        assert!(!is_plain(&plain.replace("take_variable::<i32>", "take_variable::<Vec<i32>>")));
        assert!(!is_plain(&plain.replace("put_measured::<i32>", "put_measured::<[u8; 1000000]>")));
        // Over several lines.
        assert!(!is_plain(&plain.replace("take_variable::<i32>", "take_variable::<Vec<\ni32>>")));
        assert!(!is_plain(&plain.replace("put_measured::<i32>", "put_measured::<Vec<\ni32>>")));
    }

    #[test]
    fn what_is_not_known_is_work() {
        let plain = source("let b = 1;");
        for (from, to) in [
            ("#[unsafe(no_mangle)]", ""),
            ("std::panic::AssertUnwindSafe(||{", "std::panic::AssertUnwindSafe(|| {"),
            ("})) { ", "})) "),
            ("evcxr_variable_store.put_measured", "evcxr_variable_store.lazy_arc"),
            ("\n}\n", "\n}\n#[unsafe(no_mangle)] extern \"C\" fn other() { loop {} }\n"),
        ] {
            let at = plain.rfind(from).unwrap();
            let other = format!("{}{to}{}", &plain[..at], &plain[at + from.len()..]);
            assert!(!is_plain(&other), "{other}");
        }
        assert!(is_plain(&(plain.clone() + "\nextern crate chorus_deps as _;\n")));
        assert!(!is_plain("") && !is_plain(HEAD) && !is_plain(&plain[..plain.len() / 2]));
    }
}
