//! Slips in the use of px of those who know MPI, ipyparallel or iterators. What rustc says of them is about px's types; here it is
//! said what px takes, in the user's words.

use crate::messages::diagnostic::{Diagnostic, NO_CAPTURES, Span};
use std::collections::BTreeSet;

/// What rustc says of the call for which an argument doesn't do.
const BY_CALL: &str = "required by a bound introduced by this call";
/// Functions that engines call together, and whose values travel.
const TOGETHER: [&str; 9] =
    ["allgather", "allreduce", "alltoall", "broadcast", "gather", "reduce", "scan", "scatter", "send"];

/// What is said of a slip.
struct Slip {
    message: String,
    help: String,
    /// The place of it, if that isn't rustc's.
    mark: Option<Span>,
}

impl Slip {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Slip {
        Slip { message: message.into(), help: help.into(), mark: None }
    }
}

/// An error with its place in the cell.
struct Found<'a> {
    error: &'a Diagnostic,
    place: &'a Span,
}

/// Says of each slip what px takes, and leaves out what else rustc says of its line.
pub(crate) fn explain(errors: &mut Vec<Diagnostic>) {
    let slips: Vec<Option<(usize, Slip)>> = errors.iter().map(slip).collect();
    let lines: BTreeSet<usize> = slips.iter().flatten().map(|(line, _)| *line).collect();
    let mut said = BTreeSet::new();
    let mut slips = slips.into_iter();
    errors.retain_mut(|error| match slips.next().flatten() {
        Some((line, slip)) => {
            let is_first = said.insert(line);
            if is_first {
                reword(error, slip);
            }
            is_first
        }
        // One without a place is about what evcxr does with the result.
        None => lines.is_empty() || line_of(error).is_some_and(|line| !lines.contains(&line)),
    });
}

fn reword(error: &mut Diagnostic, slip: Slip) {
    error.message = slip.message;
    error.notes = vec![format!("help: {}", slip.help)];
    error.spans.retain(|span| span.primary && span.cell.is_none());
    if let Some(mark) = slip.mark {
        error.spans = vec![Span { primary: true, ..mark }];
    }
    error.spans.iter_mut().for_each(|span| span.label.clear());
    error.spans.dedup();
}

/// The line that an error is about: of an argument, that of its call.
fn line_of(error: &Diagnostic) -> Option<usize> {
    let own = || error.spans.iter().filter(|span| span.cell.is_none());
    let call = own().find(|span| span.label == BY_CALL || span.label.starts_with("arguments to this "));
    call.or_else(|| own().find(|span| span.primary)).map(|span| span.line)
}

fn slip<'a>(error: &'a Diagnostic) -> Option<(usize, Slip)> {
    let rules: [fn(&Found<'a>) -> Option<Slip>; 12] = [
        Found::unasked_stream,
        Found::root_behind,
        Found::reference,
        Found::untyped_message,
        Found::variable_in_call,
        Found::closure_by_reference,
        Found::function_by_reference,
        Found::numbers_for_map,
        Found::name_as_text,
        Found::no_numbers,
        Found::given_without_with,
        Found::captures,
    ];
    let place = error.spans.iter().find(|span| span.primary && span.cell.is_none())?;
    let found = Found { error, place };
    let slip = rules.iter().find_map(|rule| rule(&found))?;
    Some((line_of(error)?, slip))
}

impl<'a> Found<'a> {
    fn is(&self, codes: &[&str]) -> bool {
        self.error.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// The text of the place.
    fn text(&self) -> &'a str {
        written(self.place)
    }

    /// What stands in front of it on its line.
    fn before(&self) -> &'a str {
        &self.place.text[..byte(&self.place.text, self.place.column)]
    }

    fn call(&self) -> Option<&'a Span> {
        self.error.spans.iter().find(|span| span.label == BY_CALL && span.cell.is_none())
    }

    /// The name of the function or the method that an argument doesn't fit.
    fn called(&self) -> Option<&'a str> {
        let path = written(self.call()?).split("::<").next()?;
        path.rsplit([':', '.']).next()
    }

    /// `for (i, r) in px::map(..).stream()`.
    fn unasked_stream(&self) -> Option<Slip> {
        let gives = |span: &&Span| span.label.contains("an iterator with items of type `Stream<");
        let mark = self.error.spans.iter().find(gives).filter(|_| self.is(&["E0308"]))?.clone();
        let help = "put `?` behind it: `for (i, r) in px::map(..).stream()? { .. }`";
        Some(Slip {
            mark: Some(mark),
            ..Slip::new("`stream()` gives a `Result`, and its loop would have one item, the stream", help)
        })
    }

    /// `px::reduce(x, px::sum, 0)`.
    fn root_behind(&self) -> Option<Slip> {
        let message = &self.error.message;
        let is_function = (message.starts_with("`fn(") || message.starts_with("`{closure"))
            && message.contains("can't travel")
            || message.starts_with("expected a `Fn(");
        let call = self.call().filter(|_| self.is(&["E0277"]) && is_function && self.called() == Some("reduce"))?;
        let after = &call.text[byte(&call.text, call.end_column)..];
        let example = match arguments(after).as_deref() {
            Some([value, with, root]) => format!("px::reduce({root}, {value}, {with})"),
            _ => "px::reduce(0, x, px::sum)".to_owned(),
        };
        let slip = Slip::new(
            "the root comes first in `px::reduce`: then the value, then what combines two",
            format!("`{example}`"),
        );
        Some(Slip { mark: Some(call.clone()), ..slip })
    }

    /// `px::allreduce(&v, px::sum)`.
    fn reference(&self) -> Option<Slip> {
        let is_reference = self.error.message.starts_with("`&") && self.error.message.contains("can't travel");
        let name = self.called().filter(|name| self.is(&["E0277"]) && is_reference && TOGETHER.contains(name))?;
        let value = self.text().strip_prefix('&')?.trim();
        Some(Slip::new(
            format!("`px::{name}` takes the value itself, not a reference"),
            format!("`{value}.clone()`, or `{value}` where nothing needs it afterwards"),
        ))
    }

    /// `let got = px::recv(n);`
    fn untyped_message(&self) -> Option<Slip> {
        let of = |span: &'a Span| ["recv_any", "recv"].into_iter().find(|name| span.text.contains(&format!("{name}(")));
        let spans = self.error.spans.iter().filter(|span| span.cell.is_none());
        let (span, name) = spans.filter_map(|span| Some((span, of(span)?))).next()?;
        if !self.is(&["E0282", "E0283", "E0284"]) {
            return None;
        }
        let after = span.text.split_once(&format!("{name}("))?.1;
        let from = arguments(&format!("({after}")).map(|from| from.join(", ")).unwrap_or_default();
        let binding = if name == "recv" { "let got: f64" } else { "let (from, got): (usize, f64)" };
        Some(Slip::new(
            format!("the type of what `px::{name}` gets isn't known here"),
            format!("say it: `px::{name}::<f64>({from})`, or `{binding} = ..`"),
        ))
    }

    /// `px::call!(f, px::var!(part))`.
    fn variable_in_call(&self) -> Option<Slip> {
        let is_variable = ["`Var<", "`VarMut<"].iter().any(|begin| self.error.message.starts_with(begin));
        let after = self.place.text.split_once("px::call!").filter(|_| is_variable && self.is(&["E0277"]))?.1;
        let (function, rest) = match arguments(after) {
            Some(all) if all.len() > 1 => (all[0].clone(), all[1..].to_vec()),
            _ => ("f".to_owned(), vec!["px::var!(part)".to_owned()]),
        };
        let is_option = |arg: &String| arg.starts_with('{');
        let given: Vec<String> = rest.into_iter().filter(|arg| !is_option(arg)).collect();
        let given = if given.len() == 1 { given.concat() } else { format!("({})", given.join(", ")) };
        Some(Slip::new(
            "`px::call!` can't give its function a variable of the engines: it runs on any of them",
            format!("`px::engines().on([0]).with({given}).each({function})?` calls it on chosen engines"),
        ))
    }

    /// `px::map(|x: &f64| .., &xs)`.
    fn closure_by_reference(&self) -> Option<Slip> {
        let no_fn = self.place.label.contains("expected fn pointer, found closure");
        let is_map = ["px::map(", "map_with("].iter().any(|call| self.before().contains(call));
        let parameters = self.text().split('|').nth(1).filter(|_| self.is(&["E0308"]) && no_fn && is_map)?;
        let by_value = parameters.replace(": &str", ": String").replace(": &mut ", ": ").replace(": &", ": ");
        (by_value != parameters).then(|| Slip::new(BY_VALUE, format!("take them by value: `|{by_value}| ..`")))
    }

    /// `px::map(f, &xs)`, where `f` takes a reference.
    fn function_by_reference(&self) -> Option<Slip> {
        let message = self.error.message.strip_prefix("type mismatch resolving `<");
        message.filter(|message| self.is(&["E0271"]) && message.contains(" as Source>::Item == &"))?;
        let after = self.text().split_once("px::map").map_or("", |(_, after)| after);
        let function = arguments(after).and_then(|all| all.first().cloned()).unwrap_or_else(|| "f".to_owned());
        Some(Slip::new(BY_VALUE, format!("a closure lends them: `|x| {function}(&x)`")))
    }

    /// `px::map(f, &xs).on([0, 1])`.
    fn numbers_for_map(&self) -> Option<Slip> {
        let found = self.place.label.strip_prefix("expected `&Engines`, found ").filter(|_| self.is(&["E0308"]))?;
        (!found.starts_with("`Engines")).then(|| {
            let numbers = list_of(self.text(), found);
            Slip::new("a map runs on engines, not on numbers", format!("`.on(&px::engines().on({numbers}))`"))
        })
    }

    /// `.keep("ys")`.
    fn name_as_text(&self) -> Option<Slip> {
        self.place.label.strip_prefix("expected `Var<").filter(|_| self.is(&["E0308"]))?;
        let name = self.text().trim_matches(['"', '&']);
        let name = if is_name(name) { name } else { "NAME" };
        Some(Slip::new("this is to be the name of a variable of the engines", format!("`px::var!({name})` is one")))
    }

    /// `px::engines().on(0)`.
    fn no_numbers(&self) -> Option<Slip> {
        let message = self.error.message.as_str();
        let is_one = self.is(&["E0277"]) && message.ends_with("` is not an iterator");
        let are_others = self.is(&["E0271"]) && message.ends_with(" as IntoIterator>::Item == usize`");
        self.called().filter(|name| *name == "on" && (is_one || are_others))?;
        let numbers = list_of(self.text(), message);
        let help = match numbers == self.text() {
            true => "they are `usize`, as `px::engines().ids()` has them".to_owned(),
            false => format!("`.on({numbers})`"),
        };
        Some(Slip::new("`on` takes the numbers of engines: a list, a range or a `Vec`", help))
    }

    /// `e.each(f, (args))`.
    fn given_without_with(&self) -> Option<Slip> {
        let message = &self.error.message;
        let methods = ["each", "start"];
        let method = match self.error.code.as_deref()? {
            "E0593" if message.contains("expected to take 0 arguments") => {
                methods.into_iter().find(|name| self.before().trim_end().ends_with(&format!(".{name}(")))
            }
            "E0061" if message.starts_with("this method takes 1 argument but ") => {
                methods.into_iter().find(|name| self.text() == *name)
            }
            _ => None,
        }?;
        let parameter = self.text().split('|').nth(1).and_then(|all| all.split([':', ',']).next()).map(str::trim);
        let x = parameter.filter(|name| is_name(name)).unwrap_or("x");
        let function = if self.text().contains('|') { format!("|{x}| ..") } else { "f".to_owned() };
        Some(Slip::new(
            format!("`{method}` gives its function nothing: what it needs stands in `with`"),
            format!(
                "`.with(&{x}).{method}({function})` for a value of the notebook, `.with(px::var!({x}))` for the engine's own"
            ),
        ))
    }

    /// A function that other processes call, and that needs what only this one has.
    fn captures(&self) -> Option<Slip> {
        let name = self.error.message.strip_prefix(NO_CAPTURES)?.split('`').nth(1)?;
        let calls = [".each(", ".start(", "px::map("];
        let last = |call: &&&str| self.before().rfind(**call);
        let method = match calls.iter().filter(|call| last(call).is_some()).max_by_key(|call| last(call))? {
            &"px::map(" => {
                return Some(Slip::new(
                    self.error.message.clone(),
                    format!(
                        "it is called in other processes: `px::map_with((&{name},), |({name},), x| .., ..)` sends it along"
                    ),
                ));
            }
            call => call.trim_matches(['.', '(']),
        };
        Some(Slip::new(self.error.message.clone(), lent(name, method)))
    }
}

const BY_VALUE: &str = "a map's function gets its items by value, and this one takes a reference";

fn lent(name: &str, method: &str) -> String {
    format!(
        "it is called in other processes: `.with(&{name}).{method}(|{name}| ..)` gives it a copy, `.with(px::var!({name}))` the \
         engine's own variable"
    )
}

/// What to say of a variable of the engines that the notebook lacks, where a function on engines names it.
pub(crate) fn of_the_engines(name: &str, error: &Diagnostic) -> Option<String> {
    let place = error.spans.iter().find(|span| span.primary && span.cell.is_none())?;
    let before = Found { error, place }.before();
    let method = ["each", "start"].into_iter().find(|method| before.contains(&format!(".{method}(|")))?;
    Some(format!("`.with(px::var!({name})).{method}(|{name}| ..)` gives the function the engine's `{name}`"))
}

/// The byte at which a 1-based column of characters is.
fn byte(text: &str, column: usize) -> usize {
    text.char_indices().nth(column.saturating_sub(1)).map_or(text.len(), |(at, _)| at)
}

/// The text of a place, up to the end of its first line.
fn written(span: &Span) -> &str {
    let end = if span.end_line > span.line { span.text.len() } else { byte(&span.text, span.end_column) };
    span.text.get(byte(&span.text, span.column)..end).unwrap_or_default()
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_') && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The numbers as a list, if they are written as less.
fn list_of(text: &str, found: &str) -> String {
    let bare = text.trim_start_matches('&');
    let is_number = ["integer", "`usize`", "`u32`", "`i32`"].iter().any(|one| found.contains(one));
    if !bare.contains(['[', '.']) && is_number { format!("[{bare}]") } else { bare.to_owned() }
}

/// What stands between the commas of the brackets with which the text begins, if they close in it.
fn arguments(text: &str) -> Option<Vec<String>> {
    let inside = text.trim_start().strip_prefix('(')?;
    let (mut open, mut in_text, mut in_parameters, mut all) = (0usize, false, false, vec![String::new()]);
    let mut before = ' ';
    for c in inside.chars() {
        match c {
            '"' if before != '\\' => in_text = !in_text,
            _ if in_text => {}
            ')' if open == 0 => {
                let all = all.iter().map(|argument| argument.trim().to_owned());
                return Some(all.filter(|argument| !argument.is_empty()).collect());
            }
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            '|' => in_parameters = !in_parameters,
            ',' if open == 0 && !in_parameters => {
                all.push(String::new());
                continue;
            }
            _ => {}
        }
        before = c;
        all.last_mut()?.push(c);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place of this text in the line.
    fn span(line: &str, text: &str, label: &str, primary: bool) -> Span {
        let column = 1 + line[..line.find(text).unwrap()].chars().count();
        let end_column = column + text.chars().count();
        Span { line: 1, column, end_line: 1, end_column, label: label.into(), primary, text: line.into(), cell: None }
    }

    fn error(code: &str, message: &str, spans: Vec<Span>) -> Diagnostic {
        Diagnostic { code: Some(code.into()), spans, ..Diagnostic::error(message) }
    }

    /// What is said of errors that come to one.
    fn said(mut errors: Vec<Diagnostic>) -> (String, String) {
        explain(&mut errors);
        let [error] = errors.try_into().unwrap();
        (error.message, error.notes.join("\n"))
    }

    #[test]
    fn a_root_that_comes_last_is_told_once() {
        let line = "let é = px::reduce(vec![1, 2], |a, b| f(a, b), 0);";
        let call = || span(line, "px::reduce", BY_CALL, false);
        let closure = error(
            "E0277",
            "`{closure}` can't travel between the notebook and its engines",
            vec![span(line, "|a, b| f(a, b)", "", true), call()],
        );
        let root =
            error("E0277", "expected a `Fn(_, _)` closure, found `{integer}`", vec![span(line, "0", "", true), call()]);
        let value = error(
            "E0308",
            "mismatched types",
            vec![
                span(line, "vec![1, 2]", "", true),
                span(line, "px::reduce", "arguments to this function are incorrect", false),
            ],
        );
        let shown = error("E0277", "`{closure}` doesn't implement `Debug`", vec![]);
        let (message, help) = said(vec![value.clone(), closure, root, shown]);
        assert!(message.starts_with("the root comes first"));
        assert_eq!(help, "help: `px::reduce(0, vec![1, 2], |a, b| f(a, b))`");
        let mut others = vec![value.clone()];
        explain(&mut others);
        assert_eq!(others, [value]);
    }

    #[test]
    fn what_a_map_takes_is_said() {
        let line = "px::map(|x: &f64| x * 2.0, &xs)";
        let label = "expected fn pointer, found closure";
        let closure = "|x: &f64| x * 2.0";
        assert_eq!(
            said(vec![error("E0308", "mismatched types", vec![span(line, closure, label, true)])]).1,
            "help: take them by value: `|x: f64| ..`"
        );
        let line = "px::map(sq, &xs).collect()?";
        let item = "type mismatch resolving `<Column<f64, Silent> as Source>::Item == &f64`";
        assert_eq!(
            said(vec![error("E0271", item, vec![span(line, "px::map(sq, &xs)", "", true)])]).1,
            "help: a closure lends them: `|x| sq(&x)`"
        );
        for (argument, found, on) in
            [("[0, 1]", "`[{integer}; 2]`", "[0, 1]"), ("0", "integer", "[0]"), ("1..3", "`Range<{integer}>`", "1..3")]
        {
            let line = format!("m.on({argument}).collect()?");
            let label = format!("expected `&Engines`, found {found}");
            let (_, help) = said(vec![error("E0308", "mismatched types", vec![span(&line, argument, &label, true)])]);
            assert_eq!(help, format!("help: `.on(&px::engines().on({on}))`"));
        }
        let label = "expected `&Engines`, found `Engines`";
        let mut lent = vec![error("E0308", "mismatched types", vec![span("m.on(e)", "e", label, true)])];
        explain(&mut lent);
        assert_eq!(lent[0].message, "mismatched types");
        let line = "m.keep(\"ys\")?";
        let label = "expected `Var<Vec<f64>>`, found `&str`";
        assert_eq!(
            said(vec![error("E0308", "mismatched types", vec![span(line, "\"ys\"", label, true)])]).1,
            "help: `px::var!(ys)` is one"
        );
        let line = "let f = px::map(|x| x * k, &xs);";
        let message = format!("{NO_CAPTURES}: it captures `k`");
        assert!(
            said(vec![error("E0308", &message, vec![span(line, "|x| x * k", "", true)])])
                .1
                .contains("`px::map_with((&k,), |(k,), x| .., ..)`")
        );
    }

    #[test]
    fn what_functions_on_engines_take_is_said() {
        let line = "px::engines().on(n).each(|x: f64| x, (1.0,))";
        let on = vec![span(line, "n)", "", true), span(line, "on", BY_CALL, false)];
        let on: Vec<Span> = on
            .into_iter()
            .map(|mut span| {
                span.end_column -= usize::from(span.primary);
                span
            })
            .collect();
        assert_eq!(said(vec![error("E0277", "`usize` is not an iterator", on)]).1, "help: `.on([n])`");
        let message = "closure is expected to take 0 arguments, but it takes 1 argument";
        let (_, help) = said(vec![error("E0593", message, vec![span(line, "|x: f64|", "", true)])]);
        assert!(help.contains("`.with(&x).each(|x| ..)`"), "{help}");
        let line = "e.each(|| part.len())?";
        let lacks = error("E0425", "cannot find value `part` in this scope", vec![span(line, "part", "", true)]);
        assert!(
            of_the_engines("part", &lacks)
                .is_some_and(|help| help.starts_with("`.with(px::var!(part)).each(|part| ..)`"))
        );
        let (message, help) = said(vec![error(
            "E0308",
            &format!("{NO_CAPTURES}: it captures `part`"),
            vec![span(line, "|| part.len()", "", true)],
        )]);
        assert!(message.starts_with(NO_CAPTURES) && help.contains("`.with(&part).each(|part| ..)`"), "{help}");
        let line = "px::call!(|p: &Vec<f64>| p.len(), px::var!(part), { on: 1 })";
        let (_, help) = said(vec![error(
            "E0277",
            "`Var<Vec<f64>>` can't travel between the notebook and its engines",
            vec![span(line, line, "", true)],
        )]);
        assert!(help.contains("`px::engines().on([0]).with(px::var!(part)).each(|p: &Vec<f64>| p.len())?`"), "{help}");
    }

    #[test]
    fn what_engines_tell_each_other_is_said() {
        let line = "let t = px::allreduce(&v, px::sum);";
        let reference = error(
            "E0277",
            "`&Vec<f64>` can't travel between the notebook and its engines",
            vec![span(line, "&v", "", true), span(line, "px::allreduce", BY_CALL, false)],
        );
        let combined =
            error("E0277", "`&Vec<f64>` can't be combined by `px::sum`", vec![span(line, "px::sum", "", true)]);
        assert!(said(vec![reference, combined]).1.starts_with("help: `v.clone()`, or `v`"));
        let line = "let got = px::recv(f(n));";
        let unknown = error(
            "E0283",
            "type annotations needed",
            vec![span(line, "got", "", true), span(line, "px::recv(f(n))", "", false)],
        );
        assert!(said(vec![unknown]).1.contains("`px::recv::<f64>(f(n))`"));
        let line = "for (i, r) in px::map(f, &xs).stream() {";
        let stream = vec![
            span(line, "(i, r)", "", true),
            span(line, "px::map(f, &xs).stream()", "this is an iterator with items of type `Stream<f64>`", false),
        ];
        assert!(said(vec![error("E0308", "mismatched types", stream)]).1.contains(".stream()? {"));
    }

    #[test]
    fn arguments_are_split_at_their_commas() {
        assert_eq!(
            arguments("(a, f(b, c), \"(,\", |x, y| [x, y]) + 1"),
            Some(["a", "f(b, c)", "\"(,\"", "|x, y| [x, y]"].map(String::from).to_vec())
        );
        assert_eq!((arguments("()"), arguments("(a, b"), arguments("a")), (Some(vec![]), None, None));
    }
}
