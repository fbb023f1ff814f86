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
/// What needs a variable on each of its engines.
const NEEDS: [&str; 3] = ["with", "pull", "gather"];
/// What makes some engines of all.
pub const PICKS: [&str; 2] = ["on", "labelled"];

/// Names of engines' variables in a cell.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EngineVariables {
    /// Each name that is used, where it stands.
    pub used: Vec<Piece>,
    /// Of these, those that each of the engines concerned is to have.
    pub needed: BTreeSet<String>,
    /// Those that the cell gives engines.
    pub given: BTreeSet<String>,
    /// Whether some engines are picked in the cell.
    pub picks: bool,
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
        found.picks |= texts.windows(2).any(|pair| PICKS.contains(&pair[0]) && pair[1] == "(");
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
                        if called(&texts[..at]).is_some_and(|method| NEEDS.contains(&method)) {
                            found.needed.insert(name.text().to_owned());
                        }
                    }
                }
                ["px", how, "!", "(", _, ")" | ",", ..]
                    if READS.contains(how) && tokens[at + 4].kind() == SyntaxKind::IDENT =>
                {
                    found.used.push(place(statement, &tokens[at + 4]));
                    found.needed.insert(tokens[at + 4].text().to_owned());
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

/// What is being called behind these tokens: the name in front of the last parenthesis that is open, but for a tuple's.
fn called<'a>(before: &[&'a str]) -> Option<&'a str> {
    let mut open = 0;
    for (at, text) in before.iter().enumerate().rev() {
        match *text {
            ")" | "]" | "}" => open += 1,
            "(" if open == 0 => match before.get(at.checked_sub(1)?) {
                Some(&"(") => {}
                name => return name.copied(),
            },
            "[" | "{" if open == 0 => return None,
            "(" | "[" | "{" => open -= 1,
            _ => {}
        }
    }
    None
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
        let EngineVariables { used, given, .. } = engine_variables(&Cell::parse(text));
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
    fn what_each_engine_is_to_have_is_told_from_what_some_may() {
        let needed = |text: &str| {
            let found = engine_variables(&Cell::parse(text));
            (found.needed.into_iter().collect::<Vec<_>>().join(" "), found.picks)
        };
        let all = "e.with(px::var!(a)).each(f); e.with((&(1, 2), f(3), px::var!(mut b))).each(g); e.pull(px::var!(c)); \
                   px::gather!(d)";
        assert_eq!(needed(all), ("a b c d".to_owned(), false));
        let some =
            "px::map(f, px::var!(a)); e.push(px::var!(b), &1); f((px::var!(c), 1)); e.with({ px::var!(d) }).each(f)";
        assert_eq!(needed(some), (String::new(), false));
        assert_eq!(needed("px::engines().on([0]).with(px::var!(a)).each(f)"), ("a".to_owned(), true));
        assert!(needed("px::engines().labelled(\"big\").pull(px::var!(a))").1);
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
