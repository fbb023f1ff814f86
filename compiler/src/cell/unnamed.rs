//! Variables whose types have no name, as closures, can't be stored. One that the cell itself uses ends with the cell.
//!
//! evcxr stores what `let` defines at the cell's top level, as far as it sees that. So such a `let` is put into a macro of
//! px's, which leaves it as it is.

use crate::cell::work::Work;
use crate::messages::complaint::Error;
use chorus_syntax::{INSERTION, Piece};

const OPENS: &str = "px::own!{";
const CLOSES: &str = "}";

/// The statement that defines the variable which can't be stored, if that is why evcxr refused the cell, and if a later one
/// uses it.
pub(crate) fn ends_with_cell(error: &Error, work: &Work<'_>) -> Option<usize> {
    let Error::Message(message) = error else { return None };
    let is_it = message.contains(" which cannot be persisted");
    let name = message.strip_prefix("The variable `").filter(|_| is_it)?.split('`').next()?;
    let mut binds = (0..).zip(&work.parsed.uses).filter(|(_, (_, bound))| bound.iter().any(|bound| bound == name));
    let (statement, (_, bound)) = binds.next()?;
    let is_plain = binding(&work.parsed.statements.get(statement)?.text) == Some(name);
    if binds.next().is_some() || bound.len() != 1 || !is_plain {
        // What else it defines would go, too.
        return None;
    }
    let mut later = work.parsed.uses.iter().skip(statement + 1);
    let is_used = later.any(|(text, _)| chorus_syntax::words(text).any(|word| word == name));
    // What an earlier cell has defined would be put back under this name.
    let is_new = !work.before.contains_key(name) && !work.own.contains(&statement);
    (is_used && is_new).then_some(statement)
}

/// The code with these statements out of evcxr's sight; they stand in it below that many `lines`.
pub(crate) fn out_of_sight(code: String, own: &[usize], statements: &[Piece], lines: usize) -> String {
    let mut code = code;
    let mut own: Vec<&Piece> = own.iter().filter_map(|statement| statements.get(*statement)).collect();
    // From the last on, so that places stay what they are.
    own.sort_by_key(|piece| std::cmp::Reverse((piece.line, piece.column)));
    for piece in own {
        let before: usize = code.split_inclusive('\n').take(lines + piece.line - 1).map(str::len).sum();
        let at = before + behind(&code[before..], piece.column - 1);
        if code[at..].starts_with(&piece.text) {
            let [opens, closes] = [OPENS, CLOSES].map(|text| format!("{}{text}{}", INSERTION.0, INSERTION.1));
            code.insert_str(at + piece.text.len(), &closes);
            code.insert_str(at, &opens);
        }
    }
    code
}

/// How many bytes so many columns of the user's are, where other things may be inserted.
fn behind(text: &str, columns: usize) -> usize {
    let (mut rest, mut left) = (text, columns);
    loop {
        if let Some((_, more)) = rest.strip_prefix(INSERTION.0).and_then(|inside| inside.split_once(INSERTION.1)) {
            rest = more;
        } else if left == 0 {
            return text.len() - rest.len();
        } else {
            let mut more = rest.chars();
            more.next();
            (rest, left) = (more.as_str(), left - 1);
        }
    }
}

/// The variables that end with the cell of this source because their types have no names.
pub(crate) fn ending(source: &str) -> impl Iterator<Item = &str> {
    source.split(OPENS).skip(1).filter_map(|rest| binding(rest.strip_prefix(INSERTION.1)?))
}

/// The name that a `let` with nothing but a name for its pattern gives.
fn binding(text: &str) -> Option<&str> {
    let rest = text.trim_start().strip_prefix("let ")?.trim_start();
    let rest = rest.strip_prefix("mut ").unwrap_or(rest).trim_start();
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    let (name, behind) = rest.split_at(end);
    (end > 0 && behind.trim_start().starts_with(['=', ':'])).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_syntax::Cell;

    #[test]
    fn statements_are_put_out_of_sight_where_they_stand() {
        let cell = Cell::parse("let é = 1; let mut f = |x: i32| x + é; f(1);\nlet g = || 2;\ng()");
        let code = |own: &[usize]| {
            let text = "// prefix\nlet é = 1; let mut f = |x: i32| x + é; f(1);\nlet g = || 2;\ng()".to_owned();
            out_of_sight(text, own, &cell.statements, 1)
        };
        let statement = |text: &str| cell.statements.iter().position(|piece| piece.text.starts_with(text)).unwrap();
        let (f, g) = (statement("let mut f"), statement("let g"));
        let both = code(&[f, g]);
        let plain = both.replace(INSERTION.0, "").replace(INSERTION.1, "");
        assert_eq!(
            plain,
            "// prefix\nlet é = 1; px::own!{let mut f = |x: i32| x + é;} f(1);\npx::own!{let g = || 2;}\ng()"
        );
        assert_eq!(ending(&both).collect::<Vec<_>>(), ["f", "g"]);
        assert_eq!(ending(&code(&[])).count(), 0);
        assert_eq!(ending("px::own!{ let x = 1; }").count(), 0, "the user's own");
        let (begin, end) = INSERTION;
        let typed = format!("// prefix\nlet é{begin}: i32{end} = 1; let mut f = |x: i32| x + é; f(1);\n");
        let typed = out_of_sight(typed, &[f], &cell.statements, 1);
        assert_eq!(ending(&typed).collect::<Vec<_>>(), ["f"], "{typed}");
        assert_eq!(
            ["let mut f: F = 1", "let (f, n) = 1", "let S { f } = 1", "f = 1"].map(binding),
            [Some("f"), None, None, None]
        );
        assert_eq!(out_of_sight("other".into(), &[f, 99], &cell.statements, 0), "other");
    }
}
