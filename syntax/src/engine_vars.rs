//! The variables of the engines that a cell's statements name, as by `px::var!`, and those that they give engines.

use crate::broken::piece_at;
use crate::cell::{Cell, Piece, WRAPPER};
use ra_ap_syntax::ast::AstNode;
use ra_ap_syntax::{Edition, SourceFile, SyntaxKind, SyntaxToken};
use std::collections::BTreeSet;
use std::ops::Range;

/// What gives engines a variable: macros and methods of px.
pub const GIVES: [&str; 4] = ["push", "scatter", "scatter_by_turns", "keep"];

/// What reads a variable of all engines.
const READS: [&str; 2] = ["pull", "gather"];

/// Names of engines' variables in a cell.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EngineVariables {
    /// Each name that is used, where it stands.
    pub used: Vec<Piece>,
    /// Those that the cell gives engines.
    pub given: BTreeSet<String>,
}

/// Finds them in the statements. What items name is another matter: they may be defined before the variables are.
pub fn engine_variables(cell: &Cell) -> EngineVariables {
    let mut found = EngineVariables::default();
    if !cell.rust.contains("px") {
        return found;
    }
    let may_name =
        |statement: &&Piece| GIVES.iter().chain(&READS).chain(&["var"]).any(|word| statement.text.contains(word));
    for statement in cell.statements.iter().filter(may_name) {
        let parsed = SourceFile::parse(&format!("{WRAPPER}{}}}", statement.text), Edition::CURRENT).tree();
        let tokens = parsed.syntax().descendants_with_tokens().filter_map(|part| part.into_token());
        // Within macros, `::` is two tokens.
        let is_read = |token: &SyntaxToken| {
            !token.kind().is_trivia() && !matches!(token.kind(), SyntaxKind::COLON | SyntaxKind::COLON2)
        };
        let tokens: Vec<SyntaxToken> = tokens.filter(is_read).collect();
        let texts: Vec<&str> = tokens.iter().map(SyntaxToken::text).collect();
        for at in 0..texts.len() {
            match &texts[at..] {
                ["px", "var", "!", "(", rest @ ..] => {
                    let skipped = usize::from(rest.first() == Some(&"mut"));
                    let Some(name) = tokens.get(at + 4 + skipped).filter(|name| name.kind() == SyntaxKind::IDENT)
                    else {
                        continue;
                    };
                    let is_given = at >= 2 && texts[at - 1] == "(" && GIVES.contains(&texts[at - 2]);
                    if is_given {
                        found.given.insert(name.text().to_owned());
                    } else {
                        found.used.push(place(statement, name));
                    }
                }
                ["px", how, "!", "(", _, ")" | ",", ..]
                    if READS.contains(how) && tokens[at + 4].kind() == SyntaxKind::IDENT =>
                {
                    found.used.push(place(statement, &tokens[at + 4]));
                }
                [how, "!", "(", rest @ ..] if GIVES.contains(how) => {
                    let given = rest.iter().take_while(|text| **text != ")");
                    found
                        .given
                        .extend(given.filter(|text| !matches!(**text, "," | "as")).map(|text| (*text).to_owned()));
                }
                _ => {}
            }
        }
    }
    found
}

/// Where a token of a statement stands in the cell.
fn place(statement: &Piece, token: &SyntaxToken) -> Piece {
    let range = Range::<usize>::from(token.text_range());
    let piece = piece_at(&statement.text, range.start - WRAPPER.len()..range.end - WRAPPER.len());
    let column = if piece.line == 1 { piece.column + statement.column - 1 } else { piece.column };
    Piece { line: piece.line + statement.line - 1, column, ..piece }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (Vec<(String, usize, usize)>, Vec<String>) {
        let EngineVariables { used, given } = engine_variables(&Cell::parse(text));
        (used.into_iter().map(|piece| (piece.text, piece.line, piece.column)).collect(), given.into_iter().collect())
    }

    #[test]
    fn names_are_found_where_they_stand() {
        let (used, given) =
            found("let k = 1;\nfor _ in 0..2 {\n    e.with((px::var!(mut part), px :: var ! ( k ), &k)).each(f)?;\n}");
        assert_eq!(used, [("part".to_owned(), 3, 26), ("k".to_owned(), 3, 47)]);
        assert!(given.is_empty());
        let (used, _) =
            found("let é = 1; println!(\"px::var!(no) {:?}\", e.with(px::var!(yes)).each(f)); // px::var!(no)");
        assert_eq!(used, [("yes".to_owned(), 1, 58)]);
    }

    #[test]
    fn what_the_cell_gives_engines_is_theirs() {
        let (used, given) = found(
            "px::push!(a, b as c)?; e.push(px::var!(d), &1)?; px::scatter!(xs as part)?; px::pull!(z)?; \
                   px::map(f, 0..3).keep(px::var!(ys))?",
        );
        assert_eq!(used, [("z".to_owned(), 1, 87)]);
        assert_eq!(given, ["a", "b", "c", "d", "part", "xs", "ys"]);
    }

    #[test]
    fn items_and_broken_text_are_left_alone() {
        assert_eq!(found("fn f() { px::var!(later); }").0, []);
        assert_eq!(found("px::var!(").0, []);
        assert_eq!(found("px::var!(part[0]); px::var!(); px::var!(mut)").0.len(), 1);
    }
}
