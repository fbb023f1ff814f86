//! Compile errors in the Rust that a magic became.

use chorus_compiler::{Diagnostic, Failure, Span};
use chorus_magics::rust::Text;

/// What rustc says of generated lines, as when a result can't travel, it says of the magic's line.
pub fn to_users_lines(text: &Text, failure: Failure, cell: &str) -> Failure {
    let Failure::Errors(mut errors) = failure else { return failure };
    let (line, last) = text.users();
    let users = line..=last;
    let shown = line.checked_sub(1).and_then(|at| cell.lines().nth(at)).unwrap_or_default();
    // Of mistakes in the user's code, those of the generated code are consequences. That rustc can't decide between
    // px's methods always is one.
    let is_users = |error: &Diagnostic| {
        error.spans.iter().any(|span| span.primary && (span.cell.is_some() || users.contains(&span.line)))
    };
    if errors.iter().any(is_users) {
        errors.retain(|error| error.code.is_none() || is_users(error));
    }
    if errors.iter().any(|error| !is_ambiguous(error)) {
        errors.retain(|error| !is_ambiguous(error));
    }
    for error in &mut errors {
        if let Some(name) = text.captures.as_ref().and_then(|captures| changed(error, captures)).map(str::to_owned) {
            error.message = format!("the function of a map can't change `{name}`");
            error.spans.retain(|span| span.primary);
            error.spans.iter_mut().for_each(|span| "each engine has a copy of its own".clone_into(&mut span.label));
            error.notes = vec![
                format!("note: what it did to `{name}` would stay on the engine, and the notebook's `{name}` as it is"),
                CHANGES.to_owned(),
            ];
        }
        if text.captures.is_some() && is_no_data(error) {
            error.notes = vec![DATA.to_owned()];
        }
        if text.captures.is_some() && is_question(error) {
            error.notes.push(QUESTION.to_owned());
        }
        if let Some(type_name) = unfit(error).map(str::to_owned) {
            error.code = Some("E0277".to_owned());
            error.message = format!("`{type_name}` can't travel between the notebook and its engines");
            error.notes = vec![TRAVELS.to_owned()];
        }
        let (users, generated): (Vec<Span>, Vec<Span>) = std::mem::take(&mut error.spans)
            .into_iter()
            .partition(|span| span.cell.is_some() || users.contains(&span.line));
        error.spans = users;
        // Errors that aren't rustc's have no place.
        if error.code.is_some() && !error.spans.iter().any(|span| span.primary) {
            // A generated line above the cell is none of an earlier cell.
            error.notes.retain(|note| note != chorus_compiler::ELSEWHERE);
            let label = generated.into_iter().find(|span| span.primary).map(|span| span.label);
            let (column, end_column) = place_of_type(&error.message, shown).unwrap_or_else(|| {
                (1 + shown.chars().take_while(|c| c.is_whitespace()).count(), 1 + shown.trim_end().chars().count())
            });
            error.spans.insert(
                0,
                Span {
                    line,
                    column,
                    end_line: line,
                    end_column,
                    label: label.unwrap_or_default(),
                    primary: true,
                    text: shown.to_owned(),
                    cell: None,
                },
            );
        }
    }
    // What was said of several generated places is one mistake of the user's.
    let mut said = Vec::new();
    errors.retain(|error| {
        let this = (error.message.clone(), error.spans.clone());
        let is_new = !said.contains(&this);
        said.push(this);
        is_new
    });
    Failure::Errors(errors)
}

/// The columns of the type that can't travel, if the line names it, once.
fn place_of_type(message: &str, line: &str) -> Option<(usize, usize)> {
    let (type_name, _) = message.strip_prefix('`')?.split_once("` can't travel ")?;
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let name = type_name.rsplit("::").next().filter(|name| !name.is_empty() && name.chars().all(is_word))?;
    let is_whole = |at: usize| !line[..at].ends_with(is_word) && !line[at + name.len()..].starts_with(is_word);
    let mut places = line.match_indices(name).map(|(at, _)| at).filter(|at| is_whole(*at));
    let (at, None) = (places.next()?, places.next()) else { return None };
    let column = 1 + line[..at].chars().count();
    Some((column, column + name.chars().count()))
}

/// How a map's function gives back what it has found.
const CHANGES: &str = "help: have it return what is to be added: `--sum` adds up the results, `--reduce |a, b| ..` combines them, and \
                       without a flag they come back as a `Vec`";

/// The variable that a map's function would change, if it is one from outside of it: it has a copy, and can't.
fn changed<'e>(error: &'e Diagnostic, captures: &[String]) -> Option<&'e str> {
    let is_change = matches!(error.code.as_deref(), Some("E0594" | "E0596"));
    let name = error.message.split('`').nth(1).filter(|_| is_change)?;
    captures.iter().any(|captured| captured == name).then_some(name)
}

/// What may stand behind `over`.
const DATA: &str =
    "help: behind `over` stands what can be gone through: a range such as `0..10`, a `Vec`, an array, an iterator";

/// Whether what stands behind `over` can't be iterated.
fn is_no_data(error: &Diagnostic) -> bool {
    error.code.as_deref() == Some("E0277") && error.message.ends_with("` is not an iterator")
}

/// What a map's function does in the place of `?`.
const QUESTION: &str = "help: `.unwrap()` in the place of `?` ends the map with the item that fails, and the flag `--on-error skip` \
                        leaves such items out";

/// Whether a function that returns no `Result` has a `?`.
fn is_question(error: &Diagnostic) -> bool {
    error.code.as_deref() == Some("E0277")
        && error.message.starts_with("the `?` operator can only be used in a closure")
}

/// What lets a type travel.
const TRAVELS: &str = "help: for a type of your own, add `:dep serde = { version = \"1\", features = [\"derive\"] }` and derive \
                       `serde::Serialize, serde::Deserialize`; another crate's type may need that crate's feature `serde`";

/// The type of items that can't travel, if this is about such. rustc finds no method for them before it gets to the reason.
fn unfit(error: &Diagnostic) -> Option<&str> {
    let said = error.spans.iter().map(|span| &span.label).chain(&error.notes);
    let bounds = said.filter(|_| error.code.as_deref() == Some("E0599")).flat_map(|text| text.split('`'));
    bounds.into_iter().find_map(|bound| bound.strip_suffix(": Wire"))
}

fn is_ambiguous(error: &Diagnostic) -> bool {
    error.code.as_deref() == Some("E0034")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_cant_travel_is_marked_where_the_line_names_it() {
        let place = |line| place_of_type("`a::Point` can't travel between the notebook and its engines", line);
        assert_eq!(place("%map |é| Point { x } over 0..10"), Some((10, 15)));
        assert_eq!((place("%map |p| p.x over points"), place("%map |p: Point| Point(p) over 0..3")), (None, None));
        assert_eq!(place_of_type("`Vec<A>` can't travel between", "%map |x| Vec<A>"), None);
    }

    #[test]
    fn a_map_that_changes_what_is_outside_of_it_is_told_what_to_do() {
        let cell = "%map |x| total += x over 0..9";
        let mut text = Text::of_line("?".into(), 1);
        text.captures = Some(vec!["total".into()]);
        let said = |code: &str, message: &str| {
            let error = Diagnostic { code: Some(code.into()), ..Diagnostic::error(message) };
            match to_users_lines(&text, Failure::Errors(vec![error]), cell) {
                Failure::Errors(errors) => (errors[0].message.clone(), errors[0].notes.join("\n")),
                Failure::Interrupted => panic!("no error is left"),
            }
        };
        let (message, notes) = said("E0594", "cannot assign to `total`, as it is not declared as mutable");
        assert_eq!(message, "the function of a map can't change `total`");
        assert!(notes.contains("would stay on the engine") && notes.contains("--sum") && notes.contains("--reduce"));
        let own = "cannot assign to `own`, as it is not declared as mutable";
        assert_eq!(said("E0594", own), (own.to_owned(), String::new()), "it is the function's own");
        let question = "the `?` operator can only be used in a closure that returns `Result` or `Option`";
        assert!(said("E0277", question).1.contains("--on-error skip"));
        assert!(said("E0277", "`{integer}` is not an iterator").1.contains("`0..10`"));
    }

    #[test]
    fn errors_in_generated_lines_are_the_magics() {
        let cell = "let a = 1;\n%map -o zs |x| x * k over xs";
        let text = Text::of_line("?".into(), 2);
        let span = |line, column, primary, label: &str| Span {
            line,
            column,
            end_line: line,
            end_column: column + 1,
            label: label.into(),
            primary,
            text: "?".into(),
            cell: None,
        };
        let error = |spans| Diagnostic { code: Some("E0277".into()), spans, ..Diagnostic::error("no") };
        let users_lines = |errors| match to_users_lines(&text, Failure::Errors(errors), cell) {
            Failure::Errors(errors) => errors,
            Failure::Interrupted => panic!("no error is left"),
        };
        let shown = |errors: &[Diagnostic]| -> Vec<Vec<(usize, usize, String)>> {
            let spans = |error: &Diagnostic| {
                error.spans.iter().map(|span| (span.line, span.column, span.label.clone())).collect::<Vec<_>>()
            };
            errors.iter().map(spans).collect()
        };
        let at = |line, column, label: &str| (line, column, label.to_owned());
        let ambiguous = || Diagnostic { code: Some("E0034".into()), ..error(vec![span(1, 3, true, "")]) };
        let generated = || error(vec![span(1, 127, true, "derive it"), span(1, 3, false, "bound")]);
        let errors = users_lines(vec![
            generated(),
            ambiguous(),
            generated(),
            error(vec![]),
            Diagnostic::error("the disk is full"),
        ]);
        assert_eq!(shown(&errors), [vec![at(2, 1, "derive it")], vec![at(2, 1, "")], vec![]]);
        assert_eq!(
            (errors[0].spans[0].end_column, errors[0].spans[0].text.as_str()),
            (29, "%map -o zs |x| x * k over xs")
        );
        // Those in the user's code are the cause of the others.
        let here = error(vec![span(2, 17, true, "here"), span(1, 3, false, "the macro")]);
        let errors = users_lines(vec![generated(), here, error(vec![]), Diagnostic::error("the disk is full")]);
        assert_eq!(shown(&errors), [vec![at(2, 17, "here")], vec![]]);
        assert_eq!(users_lines(vec![ambiguous()]).len(), 1, "one that is alone is told");
        // Items that can't travel have none of px's methods.
        let mut unfit = error(vec![span(1, 3, true, ""), span(1, 9, false, "doesn't satisfy `P: Wire`")]);
        unfit.code = Some("E0599".into());
        let errors = users_lines(vec![unfit.clone()]);
        assert_eq!(errors[0].message, "`P` can't travel between the notebook and its engines");
        unfit.spans.truncate(1);
        assert_eq!(users_lines(vec![unfit])[0].message, "no");
    }
}
