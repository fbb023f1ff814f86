//! Variables of the engines that a cell of the notebook names by `px::var!`: one that no engine has is an error at its name,
//! before anything runs. Whether those that the cell works with have it, they say themselves.

use crate::compiler::Compiler;
use crate::diagnostic::Diagnostic;
use crate::failure::{Failure, mapped, whole};
use crate::namespace::Member;
use crate::types::CellText;
use chorus_syntax::{Cell, EngineVariables, GIVES, engine_variables, words_of};

impl Compiler {
    /// Refuses a cell that names a variable which none of these engines has, and which it doesn't give them.
    pub fn check_engine_variables(&self, cell: CellText<'_>, engines: &[Member]) -> Result<(), Failure> {
        if !cell.text.contains("var") {
            return Ok(());
        }
        let parsed = Cell::parse(cell.text);
        let EngineVariables { used, given } = engine_variables(&parsed);
        let has = |name: &str| engines.iter().any(|engine| self.namespaces().variables(*engine).contains_key(name));
        // A function of the notebook's may give engines a variable, too.
        let own = parsed.items.iter().map(|item| item.piece.text.as_str());
        let texts: Vec<&str> = self.definition_texts().chain(own).collect();
        let may_be_given = |name: &str| {
            texts.iter().any(|text| {
                let words: Vec<&str> = words_of(text).collect();
                words.contains(&name) && GIVES.iter().any(|how| words.contains(how))
            })
        };
        let missing = used.iter().filter(|piece| {
            let name = piece.text.as_str();
            !given.contains(name) && !has(name) && !may_be_given(name)
        });
        let errors: Vec<Diagnostic> = missing
            .map(|piece| {
                let name = &piece.text;
                let mut notes: Vec<String> =
                    self.namespaces().explain_missing(name, engines).map(|why| format!("note: {}", first_line(&why))).into_iter().collect();
                notes.push(match self.namespaces().variables(Member::Local).contains_key(name) {
                    true => format!("help: the notebook has one: `px::push!({name})?` copies it there, `px::scatter!({name})?` gives each a part"),
                    false => format!("help: `%px let mut {name} = ..;` makes one on each, `px::push!(x as {name})?` copies one there"),
                });
                Diagnostic {
                    spans: vec![whole(&mapped(piece, &cell), "no engine has it")],
                    notes,
                    ..Diagnostic::error(format!("the engines have no variable `{name}`"))
                }
            })
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(Failure::Errors(errors)) }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
