//! Asks rustc for the type of a variable that rust-analyzer can't tell: it doesn't see what another crate's derives and
//! macros define, and takes what it doesn't know behind a `?` for `!`, what never ends.
//!
//! The cell is compiled once more, in a block and never run, with a reference to the variable behind its `let`, and
//! rustc's wrapper has MIR written, in which types stand with their whole paths. Then the cell is compiled with the type
//! in its place, which is left out again where rustc has something to say.

use crate::cell::trial::Failed;
use crate::cell::work::Work;
use crate::compiler::Compiler;
use crate::messages::complaint::Error;
use crate::notebook::identity::without_modules;
use crate::tools::rewrite;
use chorus_syntax::{INSERTION, Piece, annotated};
use std::collections::BTreeSet;

/// What a text that asks for a type has in it.
const ASKS: &str = "let chorus_is = &";
/// Where rustc writes MIR, in the folder that evcxr builds in.
const MIR: &str = ".chorus-mir";
/// The name of the reference there.
const DEBUG: &str = "debug chorus_is => ";
/// What everybody writes without a path.
const SHORT: [(&str, &str); 5] = [
    ("std::boxed::Box<", "Box<"),
    ("std::option::Option<", "Option<"),
    ("std::result::Result<", "Result<"),
    ("std::string::String", "String"),
    ("std::vec::Vec<", "Vec<"),
];

/// A type that a variable is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    /// The number of the statement that defines it.
    statement: usize,
    name: String,
    type_name: String,
}

/// For rustc's wrapper: what has MIR written, if the source asks for a type.
pub(crate) fn emit(source: &str) -> Option<[String; 2]> {
    source.contains(ASKS).then(|| [format!("--emit=dep-info,mir={MIR}"), "-Copt-level=0".to_owned()])
}

/// The code with the types of these variables; `statements` stand in it as they are, below that many `lines`.
pub(crate) fn with_types(code: String, types: &[Typed], statements: &[Piece], lines: usize) -> String {
    let mut code = code;
    // From the last on, so that places stay what they are.
    let mut types: Vec<&Typed> = types.iter().collect();
    types.sort_by_key(|it| std::cmp::Reverse(it.statement));
    for Typed { statement, name, type_name } in types {
        let Some(piece) = statements.get(*statement) else { continue };
        let before: usize = code.split_inclusive('\n').take(lines + piece.line - 1).map(str::len).sum();
        let columns = code[before..].chars().take(piece.column - 1).map(char::len_utf8).sum::<usize>();
        let at = before + columns;
        if let (true, Some((inner, text))) =
            (code[at..].starts_with(&piece.text), annotated(&piece.text, name, type_name))
        {
            code.insert_str(at + inner, &format!("{}{text}{}", INSERTION.0, INSERTION.1));
        }
    }
    code
}

impl Compiler {
    /// The type of the variable of which rust-analyzer has none, if that is why the cell failed, and if it has a name.
    pub(crate) fn ask(&mut self, failed: &Failed, work: &Work<'_>) -> Option<Typed> {
        let is_known = |name: &str| work.types.iter().any(|known| known.name == name);
        let name = match &failed.error {
            Error::Message(message) => {
                message.split_once("determine type of variable `")?.1.split('`').next()?.to_owned()
            }
            Error::Complaints(_) => {
                let source = self.evcxr.ready()?.evaluator.generated_source();
                let is_bound = |name: &str| work.parsed.lets.iter().any(|binding| binding.name == name);
                rewrite::never_ending(&source).find(|name| !is_known(name) && is_bound(name))?.to_owned()
            }
            Error::Gone(_) => return None,
        };
        let statement = work.parsed.uses.iter().rposition(|(_, bound)| bound.contains(&name))?;
        if is_known(&name) || self.interrupter.was_asked() {
            return None;
        }
        let parsed = &work.parsed;
        let out = self.in_front(work).into_iter().chain(&parsed.statements);
        let mut code = parsed.behind(&failed.prefix.text, out);
        code.push_str("\n{\n");
        for (index, piece) in parsed.statements.iter().enumerate() {
            code.push_str(&piece.text);
            if index == statement {
                code.push_str(&format!(" {ASKS}{name};"));
            }
            code.push('\n');
        }
        code.push_str(";}\n");
        let evaluator = &mut self.evcxr.ready()?.evaluator;
        let mir = evaluator.folder().join(MIR);
        let _ = std::fs::remove_file(&mir);
        // Whether evcxr finds an object doesn't matter: it isn't run.
        let _ = evaluator.eval(&code, &failed.snapshot, &[]);
        let hidden = self.hidden_with(&work.items, |index| work.change.holds(index));
        let type_name = type_in(&std::fs::read_to_string(&mir).ok()?, &hidden)?;
        Some(Typed { statement, name, type_name })
    }
}

/// The type that the reference in this MIR refers to, if it can be written.
/// Names that are `hidden` keep their paths.
fn type_in(mir: &str, hidden: &BTreeSet<&str>) -> Option<String> {
    let lines: Vec<&str> = mir.lines().map(str::trim).collect();
    let (at, local) = lines.iter().enumerate().find_map(|(at, line)| Some((at, line.strip_prefix(DEBUG)?)))?;
    let local = local.trim_end_matches(';');
    let declared = lines[..at].iter().rev().find_map(|line| {
        let rest = line.strip_prefix("let ")?;
        rest.strip_prefix("mut ").unwrap_or(rest).strip_prefix(local)?.strip_prefix(": &")?.strip_suffix(';')
    })?;
    let whole = without_modules(declared).replace("'_", "'static");
    let has_no_name = ["{", "impl ", "[closure", "<for<"].iter().any(|what| whole.contains(what));
    let short = |text: String, (long, short): &(&str, &str)| match hidden.contains(short.trim_end_matches('<')) {
        true => text,
        false => replaced(&text, long, short),
    };
    // A reference lives as long as the notebook, or can't be kept.
    (!has_no_name).then(|| SHORT.iter().fold(whole.replace("&'static ", "&").replace('&', "&'static "), short))
}

/// The text with `long`, where no path goes on before it, replaced.
fn replaced(text: &str, long: &str, short: &str) -> String {
    let mut parts = text.split(long);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let goes_on = text.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        text + if goes_on { long } else { short } + part
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_syntax::Cell;

    #[test]
    fn a_type_is_found() {
        let none = BTreeSet::new();
        let mir = |of: &str| {
            format!(
                "fn f() {{\n    let _5: u8;\n    scope 1 {{\n        let _5: &{of};\n        let _6: u8;\n        scope 2 {{\n            debug chorus_is => _5;\n"
            )
        };
        for (of, expected) in [
            ("Chart", "Chart"),
            ("std::vec::Vec<chorus_type_1f_0::Own<std::string::String>>", "Vec<Own<String>>"),
            ("my_std::vec::Vec<u8>", "my_std::vec::Vec<u8>"),
            ("std::borrow::Cow<'_, str>", "std::borrow::Cow<'static, str>"),
            ("&str", "&'static str"),
        ] {
            assert_eq!(type_in(&mir(of), &none).as_deref(), Some(expected));
        }
        let of = mir("std::vec::Vec<std::string::String>");
        assert_eq!(type_in(&of, &BTreeSet::from(["Vec"])).as_deref(), Some("std::vec::Vec<String>"));
        for of in ["{closure@src/lib.rs:1:1: 1:2}", "std::vec::Vec<impl Fn()>"] {
            assert_eq!(type_in(&mir(of), &none), None);
        }
        assert_eq!(type_in("fn f() {\n let _1: u8;\n debug x => _1;", &none), None);
    }

    #[test]
    fn types_stand_in_their_statements() {
        let text = "let é = 1; let a = f();\n  let (mut b, c) = g();";
        let cell = Cell::parse(text);
        let typed = |statement, name: &str, type_name: &str| Typed {
            statement,
            name: name.into(),
            type_name: type_name.into(),
        };
        let types = [typed(1, "a", "A"), typed(2, "b", "B"), typed(9, "d", "D")];
        let code = with_types(format!("x\n{text}"), &types, &cell.statements, 1);
        let plain = code.replace(INSERTION.0, "").replace(INSERTION.1, "");
        assert_eq!(plain, "x\nlet é = 1; let a: A = f();\n  let (mut b, c) = g(); let mut b: B = b;");
        assert_eq!(crate::notebook::identity::unmarked(&code), format!("x\n{text}"));
    }
}
