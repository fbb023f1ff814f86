//! Variables of the engines that a cell of the notebook names, as by `px::var!`: one that no engine has is an error at its
//! name, before anything runs, and so is one that some lack or have of another type, if the cell plainly works with all
//! engines. Where all engines that have it have it of one type, rustc is told that type: a function that
//! takes another one is a mistake in the cell, and a closure needn't say it. Whether those engines have the variable that a
//! cell has picked, they say themselves.
//!
//! px's macros don't know types. So rustc's wrapper puts macros of the same names before them, on the line where the body of
//! the cell's function begins, so that no place moves. Items stand outside of it: they may be older than the variables, and
//! stay when these change.

use crate::cell::types::CellText;
use crate::compiler::Compiler;
use crate::messages::diagnostic::Diagnostic;
use crate::messages::failure::{Failure, mapped, whole};
use crate::notebook::engines_have::EnginesHave;
use crate::notebook::namespace::{Member, Variables};
use crate::tools::telling::tell;
use chorus_protocol::EngineId;
use chorus_syntax::{Cell, EngineVariables, GIVES, PICKS, Piece, engine_variables, words_of};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::Path;

/// The types of the engines' variables that a cell names, by their names.
pub(crate) type EngineTypes = BTreeMap<String, String>;

/// Tells rustc's wrapper, in the folder that evcxr builds in.
const FILE: &str = ".chorus-engines";
/// Where the body of the cell's function begins: what stands before it and how its line ends, where the cell is to be run and
/// where evcxr has it checked only.
const ENTRIES: [[&str; 2]; 2] = [
    ["\n#[unsafe(no_mangle)]\npub extern \"C\" fn run_user_code_", " {\n"],
    ["\nasync fn evcxr_analysis_wrapper(\n", "\n) -> Result<(), EvcxrUserCodeError> {\n"],
];
/// Where what the wrapper writes begins.
const BEGINS: &str = " mod chorus_px { ";

impl Compiler {
    /// Refuses a cell that names a variable which none of these engines has, or not each of them though the cell works with
    /// all, and which it doesn't give them. These are all that there are. Returns what they have of what it names.
    pub fn check_engine_variables(&self, cell: CellText<'_>, engines: &[EngineId]) -> Result<EnginesHave, Failure> {
        if !cell.text.contains("px") {
            return Ok(EnginesHave::default());
        }
        let parsed = Cell::parse(cell.text);
        let variables = engine_variables(&parsed);
        let used = || variables.used.iter().filter(|piece| !self.may_be_given(&parsed, &variables, &piece.text));
        let have = self.engines_have(used().map(|piece| piece.text.as_str()), engines);
        let members: Vec<Member> = engines.iter().copied().map(Member::Engine).collect();
        let note = |why: Option<String>| Some(format!("note: {}", why?.lines().next()?));
        let error = |piece: &Piece| {
            let name = &piece.text;
            let (what, label, notes) = if have.types.get(name).is_none_or(BTreeMap::is_empty) {
                let help = match self.namespaces().variables(Member::Local).contains_key(name) {
                    true => format!(
                        "help: the notebook has one: `px::push!({name})?` copies it there, `px::scatter!({name})?` gives each a part"
                    ),
                    false => format!(
                        "help: `%px let mut {name} = ..;` makes one on each, `px::push!(x as {name})?` copies one there"
                    ),
                };
                let notes = note(self.namespaces().explain_missing(name, &members)).into_iter().chain([help]);
                (format!("the engines have no variable `{name}`"), "no engine has it".to_owned(), notes.collect())
            } else {
                let unlike = have.unlike(name, engines.iter().copied())?;
                if !variables.needed.contains(name) || !self.works_with_all(&parsed, &variables) {
                    return None;
                }
                let lacking: Vec<Member> = unlike.lacking.iter().copied().map(Member::Engine).collect();
                let lost = note(self.namespaces().explain_loss(name, &lacking));
                let help = unlike.help().map(|help| format!("help: {help}"));
                (unlike.what, unlike.who, lost.into_iter().chain(help).collect::<Vec<_>>())
            };
            Some(Diagnostic { spans: vec![whole(&mapped(piece, &cell), &label)], notes, ..Diagnostic::error(what) })
        };
        let errors: Vec<Diagnostic> = used().filter_map(error).collect();
        if errors.is_empty() { Ok(have) } else { Err(Failure::Errors(errors)) }
    }

    /// What these engines have of these names.
    fn engines_have<'a>(&self, names: impl Iterator<Item = &'a str>, engines: &[EngineId]) -> EnginesHave {
        let mut types: BTreeMap<String, BTreeMap<EngineId, String>> =
            names.map(|name| (name.to_owned(), BTreeMap::new())).collect();
        if !types.is_empty() {
            for engine in engines {
                let theirs = self.namespaces().variables(Member::Engine(*engine));
                for (name, by_engine) in &mut types {
                    by_engine.extend(theirs.get(name).map(|variable| (*engine, variable.type_name.clone())));
                }
            }
        }
        EnginesHave { engines: engines.iter().copied().collect(), types }
    }

    /// Whether all that a cell has engines do is plainly for all of them: none are picked in it, nor may they have been in
    /// another cell, or by a definition.
    fn works_with_all(&self, cell: &Cell, variables: &EngineVariables) -> bool {
        let here = self.namespaces().variables(Member::Local);
        let mut own = cell.items.iter().map(|item| item.piece.text.as_str()).chain(self.definition_texts());
        let mut words = cell.statements.iter().flat_map(|statement| words_of(&statement.text));
        let picked = |word: &str| here.get(word).is_some_and(|variable| variable.type_name.contains("Engines"));
        let handles = |text: &str| {
            let words: Vec<&str> = words_of(text).collect();
            words.contains(&"Engines") || words.contains(&"engines") && PICKS.iter().any(|pick| words.contains(pick))
        };
        !variables.picks && !words.any(picked) && !own.any(handles)
    }

    /// Whether the cell may give engines a variable of this name, itself or by one of the notebook's functions.
    fn may_be_given(&self, cell: &Cell, variables: &EngineVariables, name: &str) -> bool {
        let own = cell.items.iter().map(|item| item.piece.text.as_str());
        let gives = |text: &str| {
            let words: Vec<&str> = words_of(text).collect();
            words.contains(&name) && GIVES.iter().any(|how| words.contains(how))
        };
        variables.given.contains(name) || self.definition_texts().chain(own).any(gives)
    }

    /// The types of the engines' variables that the cell's statements name, as far as there is one for all engines that have
    /// such a variable, and it stays while the cell runs. The variables that are `lost` are of types which the cell edits.
    pub(crate) fn engine_types(&self, cell: &Cell, lost: &[(Member, Vec<String>)]) -> EngineTypes {
        let variables = engine_variables(cell);
        if variables.used.is_empty() {
            return EngineTypes::new();
        }
        let is_engine = |member: &Member| matches!(member, Member::Engine(_));
        let members = self.namespaces().members().into_iter().filter(is_engine);
        let engines: Vec<Variables> = members.map(|member| self.namespaces().variables(member)).collect();
        let one_type = |name: &str| {
            let mut types = engines.iter().filter_map(|theirs| theirs.get(name)).map(|variable| &variable.type_name);
            let first = types.next()?;
            types.all(|other| other == first).then(|| first.clone())
        };
        let is_lost = |name: &String| lost.iter().any(|(member, names)| is_engine(member) && names.contains(name));
        let names = variables.used.iter().map(|piece| &piece.text);
        let stay = names.filter(|name| !is_lost(name) && !self.may_be_given(cell, &variables, name));
        stay.filter_map(|name| Some((name.clone(), one_type(name)?))).collect()
    }
}

/// Tells the wrapper the types for the cell that is compiled.
pub(crate) fn write(types: &EngineTypes, folder: &Path) -> io::Result<()> {
    tell(folder, FILE, Some(types).filter(|types| !types.is_empty()))
}

/// For the wrapper: the source with the types that it was told of.
pub(crate) fn told(source: &str) -> Option<String> {
    with_types(source, &crate::tools::telling::told(FILE)?)
}

fn with_types(source: &str, types: &EngineTypes) -> Option<String> {
    let body = ENTRIES.iter().find_map(|[before, end]| {
        let entry = source.find(before)?;
        Some(entry + source[entry..].find(end)? + end.len() - "\n".len())
    })?;
    let (mut named, mut var, mut pull, mut gather) = (String::new(), String::new(), String::new(), String::new());
    for (at, (name, of_type)) in types.iter().enumerate() {
        // Written where the user's text can't give its names another meaning.
        let _ = write!(named, "type ChorusType{at} = {}; ", with_lifetimes(of_type));
        let variable = |kind: &str| format!("::px::engines::{kind}::<ChorusType{at}>::named(\"{name}\")");
        let _ = write!(var, "(mut {name}) => {{ {} }}; ({name}) => {{ {} }}; ", variable("VarMut"), variable("Var"));
        let _ = write!(pull, "({name} $(,)?) => {{ ::px::engines().pull({}) }}; ", variable("Var"));
        let _ = write!(gather, "({name} $(,)?) => {{ ::px::engines().gather({}) }}; ", variable("Var"));
    }
    let mut line = format!("{BEGINS}#[allow(unused_imports)] pub use ::px::*; ");
    for (name, arms) in [("var", var), ("pull", pull), ("gather", gather)] {
        let _ = write!(
            line,
            "#[allow(unused_macros)] macro_rules! {name} {{ {arms}($($other:tt)*) => {{ ::px::{name}!($($other)*) }} }} "
        );
        let _ = write!(line, "#[allow(unused_imports)] pub(super) use {name}; ");
    }
    let _ = write!(line, "}} use chorus_px as px; {named}");
    Some(format!("{}{}{}", &source[..body], line.trim_end(), &source[body..]))
}

/// The type with the lifetimes of its references, which last as long as the notebook. Those of a function's are its own.
fn with_lifetimes(of_type: &str) -> String {
    if of_type.contains("fn(") || of_type.contains("Fn") || of_type.contains("for<") {
        return of_type.to_owned();
    }
    let mut parts = of_type.split('&');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + if part.starts_with('\'') { "&" } else { "&'static " } + part)
}

/// The source without the types, if these messages are about how they are written.
pub(crate) fn without_types(source: &str, messages: &str) -> Option<String> {
    let at = source.lines().position(|line| line.contains(BEGINS))?;
    let number = Value::from(at + 1);
    let is_there = |span: &Value| {
        span["line_start"] == number
            && span["is_primary"] == true
            && span["expansion"].is_null()
            && span["file_name"].as_str().is_some_and(|name| name.ends_with("src/lib.rs"))
    };
    let is_about_it = |message: Value| {
        message["level"] == "error" && message["spans"].as_array().is_some_and(|spans| spans.iter().any(is_there))
    };
    if !messages.lines().filter_map(|line| serde_json::from_str(line).ok()).any(is_about_it) {
        return None;
    }
    let without = |line: &str| line.split(BEGINS).next().unwrap_or_default().to_owned();
    Some(source.lines().map(|line| without(line) + "\n").collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SOURCE: &str = "#[unsafe(no_mangle)]\npub extern \"C\" fn own() {\n}\n#[unsafe(no_mangle)]\npub extern \"C\" fn run_user_code_1(\nstore: *mut u8) -> *mut u8 {\n\
                          if std::panic::catch_unwind(||{\npx::pull!(part);\n}).is_err() {\n}\nstore\n}\n";

    #[test]
    fn types_stand_where_no_place_moves() {
        let types = EngineTypes::from([("part".into(), "Vec<Own>".into()), ("k".into(), "u8".into())]);
        let text = with_types(SOURCE, &types).unwrap();
        let changed: Vec<usize> = SOURCE
            .lines()
            .zip(text.lines())
            .enumerate()
            .filter(|(_, (old, new))| old != new)
            .map(|(at, _)| at)
            .collect();
        assert_eq!((changed, text.lines().count()), (vec![5], SOURCE.lines().count()));
        let line = text.lines().nth(5).unwrap();
        for part in [
            "store: *mut u8) -> *mut u8 { mod chorus_px {",
            "(part) => { ::px::engines::Var::<ChorusType1>::named(\"part\") };",
            "(mut k) => { ::px::engines::VarMut::<ChorusType0>::named(\"k\") };",
            "type ChorusType0 = u8; type ChorusType1 = Vec<Own>;",
        ] {
            assert!(line.contains(part), "{part} in {line}");
        }
        let check = "fn own() {}\nasync fn evcxr_analysis_wrapper(\nx: fn() {\n,\n) -> Result<(), EvcxrUserCodeError> {\nlet y = 1;\n}\n";
        let text = with_types(check, &types).unwrap();
        assert!(
            text.lines().nth(4).unwrap().starts_with(") -> Result<(), EvcxrUserCodeError> { mod chorus_px {"),
            "{text}"
        );
        assert_eq!(with_types("fn own() {}\n", &types), None, "nothing is run");
    }

    #[test]
    fn references_last_as_long_as_the_notebook() {
        assert_eq!(with_lifetimes("(&str, &'static [&u8], u8)"), "(&'static str, &'static [&'static u8], u8)");
        for kept in ["Vec<u8>", "fn(&u8) -> u8", "Box<dyn Fn(&u8)>"] {
            assert_eq!(with_lifetimes(kept), kept);
        }
    }

    #[test]
    fn types_that_cannot_be_written_are_left_out() {
        let types = EngineTypes::from([("part".into(), "Named".into())]);
        let text = with_types(SOURCE, &types).unwrap();
        let error = |line: u64, expansion: Value| {
            let span =
                json!({"file_name": "src/lib.rs", "line_start": line, "is_primary": true, "expansion": expansion});
            json!({"level": "error", "spans": [span]}).to_string() + "\n"
        };
        assert_eq!(without_types(&text, &error(6, Value::Null)).unwrap(), SOURCE);
        let users = error(8, Value::Null) + &error(6, json!({"span": {}})) + "not JSON\n";
        assert_eq!(without_types(&text, &users), None, "the mistake is the user's");
        assert_eq!(without_types(SOURCE, &error(6, Value::Null)), None);
    }
}
