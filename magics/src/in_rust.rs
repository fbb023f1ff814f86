//! The Rust that does what a magic does, in the words of whoever wrote the magic inside of Rust.

use crate::magics::{Carried, Command, Data, End, Map, OnError, Px, TimeIt, Transfer, Way};
use crate::scan::is_word;
use crate::together::together;
use crate::{Code, Targets};
use chorus_syntax::{Expression, Shape};
use std::collections::BTreeSet;

/// Where the magic stands.
pub(crate) struct Surroundings<'a> {
    /// What stands above it in its cell.
    pub above: &'a str,
    /// Whether it begins a statement; else something is done with its value.
    pub is_statement: bool,
    /// The variables of the engines.
    pub theirs: &'a BTreeSet<String>,
}

/// What to write instead, in a sentence. `None` if Rust has no form of it.
pub(crate) fn in_rust(command: &Command<'_>, around: &Surroundings<'_>) -> Option<String> {
    match command {
        Command::Transfer(transfer) if !transfer.gpu => Some(around.transfer(transfer)),
        Command::Map(map) if map.options.gpu.is_none() => around.map(map),
        Command::Px(px) => Some(around.px(px)),
        Command::TimeIt(timed) => Some(timeit(timed)),
        _ => None,
    }
}

fn from_rust(rust: &str) -> String {
    match rust.contains('\n') {
        true => format!("from Rust it is\n{rust}"),
        false => format!("from Rust it is `{rust}`"),
    }
}

fn engines(targets: &Targets) -> String {
    targets.in_rust().map_or_else(|| "px::engines()".to_owned(), |on| format!("px::engines().on({on})"))
}

impl Surroundings<'_> {
    /// `let NAME = `, where that can stand.
    fn binding(&self, name: &str) -> String {
        if self.is_statement { format!("let {name} = ") } else { String::new() }
    }

    fn transfer(&self, transfer: &Transfer) -> String {
        let Transfer { way, variables, targets, .. } = transfer;
        let (all, engines) = (targets.in_rust().is_none(), engines(targets));
        let is_one = *way == Way::Pull && targets.is_one();
        let by = |method: &str| {
            let each = variables
                .iter()
                .map(|Carried { from, to, .. }| format!("{engines}.{method}(px::var!({to}), &{from})?"));
            each.collect::<Vec<_>>().join("; ")
        };
        let by_macro = |name: &str| {
            let named = variables
                .iter()
                .map(|Carried { from, to, .. }| if from == to { from.clone() } else { format!("{from} as {to}") });
            format!("px::{name}!({})?", named.collect::<Vec<_>>().join(", "))
        };
        let back = |method: &str| {
            let each = variables.iter().map(|Carried { from, to, .. }| {
                let call = if all {
                    format!("px::{method}!({from})?")
                } else {
                    format!("{engines}.{method}(px::var!({from}))?")
                };
                format!("{}{call}{}", self.binding(to), if is_one { ".remove(0)" } else { "" })
            });
            each.collect::<Vec<_>>().join("; ")
        };
        let rust = match way {
            Way::Push if all => by_macro("push"),
            Way::Push => by("push"),
            Way::Scatter { round_robin: false } if all => by_macro("scatter"),
            Way::Scatter { round_robin: false } => by("scatter"),
            Way::Scatter { round_robin: true } => by("scatter_by_turns"),
            Way::Pull => back("pull"),
            Way::Gather => back("gather"),
        };
        // rustc knows the types of the engines' variables in a cell's statements, and not in its functions.
        let in_function = chorus_syntax::words_of(self.above).any(|word| word == "fn");
        let of_type = match (way, variables.first()) {
            (Way::Pull | Way::Gather, Some(Carried { to, .. })) if in_function => {
                let example = if is_one { "f64" } else { "Vec<f64>" };
                format!(", in a function with its type, such as `let {to}: {example}`")
            }
            _ => String::new(),
        };
        from_rust(&rust) + &of_type
    }

    fn map(&self, map: &Map<'_>) -> Option<String> {
        let options = &map.options;
        let (data, sources) = match &map.data {
            Data::Each(part) => (format!("px::var!({})", part.text), 1),
            Data::Sources(sources) => (over(sources), sources.len()),
        };
        let is_path = Expression::read(map.function.text).shape == Shape::Path;
        let used = if is_path { Vec::new() } else { captured(map.function.text) };
        let (unseen, mut needed): (Vec<String>, Vec<String>) =
            used.into_iter().partition(|name| self.theirs.contains(name));
        needed.retain(|name| name != "it");
        let function = function(map.function.text, sources, &needed)?;
        let mut rust = match needed.as_slice() {
            [] => format!("px::map({function}, {data})"),
            names => {
                format!("px::map_with(({},), {function}, {data})", joined(names.iter().map(|name| format!("&{name}"))))
            }
        };
        let mut step = |name: &str, value: Option<String>| {
            rust += &value.map(|value| format!(".{name}({value})")).unwrap_or_default();
        };
        step("filter", map.filter.map(|filter| filter.text.to_owned()));
        step("chunk", options.chunk.map(|n| n.to_string()));
        step("retries", options.retries.map(|n| n.to_string()));
        step("timeout", options.timeout.map(|time| format!("{:?}", time.as_secs_f64())));
        step("threads", options.threads.map(|n| n.to_string()));
        step("on", options.targets.in_rust().map(|_| format!("&{}", engines(&options.targets))));
        step("on_error", (options.on_error == OnError::Skip).then(|| "px::OnError::Skip".to_owned()));
        step("start", (!options.block).then(String::new));
        let kept = options.out.as_ref().filter(|_| options.keep);
        match (&map.end, kept) {
            (_, Some(name)) => step("keep", Some(format!("px::var!({name})"))),
            (End::Collect, None) if options.on_error == OnError::Keep => step("collect_errors", Some(String::new())),
            (End::Collect, None) => step("collect", Some(String::new())),
            (End::Sum, None) => step("sum", Some(String::new())),
            (End::Min, None) => step("min", Some(String::new())),
            (End::Max, None) => step("max", Some(String::new())),
            (End::Count, None) => step("count", Some(String::new())),
            (End::Mean, None) => step("mean", Some(String::new())),
            (End::Reduce(combine), None) => step("reduce", Some(combine.text.to_owned())),
        }
        let binding = match (&options.out, kept.is_some(), options.block) {
            (Some(name), false, _) => self.binding(name),
            (_, true, false) => self.binding("handle"),
            _ => String::new(),
        };
        let unseen = match unseen.as_slice() {
            [] => String::new(),
            [name, ..] => format!("; its function can't be given `{name}`, which is the engines'"),
        };
        Some(from_rust(&format!("{binding}{rust}?")) + &unseen)
    }

    fn px(&self, px: &Px<'_>) -> String {
        let code = px.code;
        if let Some(found) = together(code) {
            return format!(
                "`{}` works in cells that run on the engines: begin the cell with `%%px`, and all of it runs there",
                found.text
            );
        }
        let text = code.text.trim();
        let text = if Expression::read(text).shape == Shape::Statements {
            text.trim_end_matches(';').trim_end()
        } else {
            text
        };
        let (kept, text) = kept(text).map_or((None, text), |(name, value)| (Some(name), value));
        let (mut args, mut parameters) = (Vec::new(), Vec::new());
        for name in captured(text) {
            let is_theirs = self.theirs.contains(&name);
            args.push(match (is_theirs, is_theirs && changes(text, &name)) {
                (true, true) => format!("px::var!(mut {name})"),
                (true, false) => format!("px::var!({name})"),
                (false, _) => format!("&{name}"),
            });
            parameters.push(if self.counts(&name) { format!("&{name}") } else { name });
        }
        let with = match args.as_slice() {
            [] => String::new(),
            [one] => format!(".with({one})"),
            all => format!(".with(({}))", all.join(", ")),
        };
        let body = match text.lines().count() {
            0 => "..".to_owned(),
            1 if Expression::read(text).shape == Shape::Statements => format!("{{ {text} }}"),
            1 => text.to_owned(),
            _ => format!("{{\n{}\n}}", indented(code.text)),
        };
        let method = match (&kept, px.options.config.block) {
            (Some(name), _) => format!("keep(px::var!({name}), "),
            (None, true) => "each(".to_owned(),
            (None, false) => "start(".to_owned(),
        };
        let engines = engines(&px.options.config.targets);
        from_rust(&format!("{engines}{with}.{method}|{}| {body})?", parameters.join(", ")))
    }

    /// Whether the name is that of a loop over numbers around the magic.
    fn counts(&self, name: &str) -> bool {
        let begins = format!("for {name} in ");
        self.above.lines().any(|line| line.split_once(&begins).is_some_and(|(_, over)| over.contains("..")))
    }
}

fn timeit(timed: &TimeIt<'_>) -> String {
    let code = timed.code.text.trim();
    let body = match Expression::read(code).shape {
        Shape::Statements => format!("{{ {code} }}"),
        _ => code.to_owned(),
    };
    let body = if code.contains('\n') { format!("{{\n{}\n}}", indented(timed.code.text)) } else { body };
    let setup = timed.setup.map(|setup| format!("{}\n", setup.text.trim())).unwrap_or_default();
    from_rust(&format!("{setup}px::timeit({:?}, {}, || {body})", timed.flags.loops, timed.flags.repeats))
}

fn joined(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// The lines of a block, with the same white space before all of them.
fn indented(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let space = lines.iter().map(|line| line.len() - line.trim_start().len()).min().unwrap_or_default();
    lines.iter().map(|line| format!("    {}", line.get(space..).unwrap_or(line))).collect::<Vec<_>>().join("\n")
}

/// What is mapped, as `px::map` takes it.
fn over(sources: &[Code<'_>]) -> String {
    let given = |code: &Code<'_>| match Expression::read(code.text).shape {
        Shape::Path | Shape::Place => format!("&{}", code.text),
        _ => code.text.to_owned(),
    };
    let is_range = |text: &str| {
        let ends = text.split_once("..").map(|(from, to)| [from, to.trim_start_matches('=')]);
        ends.is_some_and(|ends| ends.iter().all(|end| Expression::read(end).shape != Shape::Broken))
    };
    match sources {
        [one] => match given(one) {
            text if text.starts_with(['&', '[']) || text.starts_with("vec!") || is_range(&text) => {
                if text.starts_with('[') { format!("&{text}") } else { text }
            }
            text => format!("px::over!({text})"),
        },
        several => format!("px::over!({})", joined(several.iter().map(given))),
    }
}

/// The function as `px::map` takes it: of one item, by value, and of the notebook's values that it needs.
fn function(text: &str, sources: usize, needed: &[String]) -> Option<String> {
    let text = text.trim();
    let given = if needed.is_empty() { String::new() } else { format!("({},), ", needed.join(", ")) };
    let names = ["a", "b", "c", "d"];
    match Expression::read(text).shape {
        Shape::Closure(_) => {
            let (_, after) = text.split_once('|')?;
            let (parameters, body) = after.split_once('|')?;
            let parameters: Vec<(&str, Option<&str>)> = split(parameters).into_iter().map(typed).collect();
            let (patterns, types): (Vec<&str>, Vec<Option<&str>>) = parameters.into_iter().unzip();
            let mut lent = String::new();
            let mut by_value = |(pattern, of_type): (&&str, &Option<&str>)| match (pattern.strip_prefix('&'), of_type) {
                (Some(value), of_type) => (value.to_owned(), of_type.map(owned)),
                (_, Some(of_type)) if of_type.starts_with('&') && pattern.chars().all(is_word) => {
                    lent += &format!("let {pattern} = &{pattern}; ");
                    (pattern.to_string(), Some(owned(of_type)))
                }
                (_, of_type) => (pattern.to_string(), of_type.map(str::to_owned)),
            };
            let (patterns, types): (Vec<String>, Vec<Option<String>>) =
                patterns.iter().zip(&types).map(&mut by_value).unzip();
            let types: Option<Vec<String>> = types.into_iter().collect();
            let one = |all: Vec<String>| if sources > 1 { format!("({})", all.join(", ")) } else { all.join(", ") };
            let of_type = types.map(|types| format!(": {}", one(types))).unwrap_or_default();
            let body = body.trim_start();
            let body = if lent.is_empty() { body.to_owned() } else { format!("{{ {lent}{body} }}") };
            Some(format!("|{given}{}{of_type}| {body}", one(patterns)))
        }
        Shape::Path if sources > 1 => {
            let names = names.get(..sources)?.join(", ");
            Some(format!("|({names})| {text}({names})"))
        }
        Shape::Path => Some(text.to_owned()),
        Shape::Statements => Some(format!("|{given}it| {{\n{}\n}}", indented(text))),
        Shape::Place | Shape::Value => Some(format!("|{given}it| {text}")),
        Shape::Broken => None,
    }
}

/// What stands between commas that no bracket encloses.
fn split(text: &str) -> Vec<&str> {
    let mut open = 0i32;
    text.split(|c: char| {
        open += i32::from(matches!(c, '(' | '[' | '{' | '<')) - i32::from(matches!(c, ')' | ']' | '}' | '>'));
        c == ',' && open == 0
    })
    .map(str::trim)
    .filter(|piece| !piece.is_empty())
    .collect()
}

/// A parameter's pattern and its type.
fn typed(parameter: &str) -> (&str, Option<&str>) {
    match parameter.split_once(':') {
        Some((pattern, of_type)) if !of_type.starts_with(':') => (pattern.trim(), Some(of_type.trim())),
        _ => (parameter, None),
    }
}

/// The type of the values that are lent as this.
fn owned(reference: &str) -> String {
    let of_type = reference.trim_start_matches('&').trim();
    match of_type.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        _ if of_type == "str" => "String".to_owned(),
        Some(item) if !item.contains(';') => format!("Vec<{item}>"),
        _ => of_type.to_owned(),
    }
}

/// The variable that the code does nothing but define, and its value.
fn kept(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.strip_prefix("let ")?.split_once('=')?;
    let name = name.trim().trim_start_matches("mut ").split(':').next()?.trim();
    let is_one = crate::values::variable(name).is_ok()
        && !matches!(Expression::read(value).shape, Shape::Broken | Shape::Statements);
    is_one.then(|| (name, value.trim()))
}

/// The variables that the code takes from outside, as far as names tell: functions are called, and constants and types begin
/// with a capital letter.
fn captured(text: &str) -> Vec<String> {
    const TYPES: [&str; 17] = [
        "bool", "char", "f32", "f64", "i128", "i16", "i32", "i64", "i8", "isize", "str", "u128", "u16", "u32", "u64",
        "u8", "usize",
    ];
    let is_free = |name: &String| {
        let places = text.match_indices(name.as_str());
        let mut whole =
            places.filter(|(at, _)| !text[..*at].ends_with(is_word)).map(|(at, _)| &text[at + name.len()..]);
        let is_called = whole.all(|after| after.starts_with('(') || after.starts_with(is_word));
        !is_called && !name.starts_with(char::is_uppercase) && !TYPES.contains(&name.as_str())
    };
    Expression::read(text).names.into_iter().filter(is_free).collect()
}

/// Whether the code changes this variable, as far as its words tell.
fn changes(text: &str, name: &str) -> bool {
    const METHODS: [&str; 22] = [
        "append",
        "as_mut",
        "clear",
        "dedup",
        "drain",
        "entry",
        "extend",
        "fill",
        "get_mut",
        "insert",
        "iter_mut",
        "pop",
        "push",
        "push_back",
        "push_front",
        "push_str",
        "remove",
        "resize",
        "retain",
        "reverse",
        "swap",
        "truncate",
    ];
    let places = text.match_indices(name).filter(|(at, _)| !text[..*at].ends_with(|c| is_word(c) || c == '.'));
    places.into_iter().any(|(at, _)| {
        let (before, after) = (text[..at].trim_end(), &text[at + name.len()..]);
        // Behind its fields and items.
        let end =
            after.find(|c: char| c.is_whitespace() || matches!(c, '=' | '(' | ';' | ')' | ',')).unwrap_or(after.len());
        let (path, rest) = (&after[..end], after[end..].trim_start());
        let method = path.rsplit('.').next().unwrap_or_default();
        let operator = rest.trim_start_matches(['+', '-', '*', '/', '%', '&', '|', '^', '<', '>']);
        !after.starts_with(is_word)
            && (before.ends_with("&mut")
                || rest.starts_with('(')
                    && path.contains('.')
                    && (METHODS.contains(&method) || method.starts_with("sort"))
                || operator.starts_with('=')
                    && !operator.starts_with("==")
                    && !operator.starts_with("=>")
                    && !["<", ">"].contains(&&rest[..rest.len() - operator.len()]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_variable_is_known_by_its_words() {
        for changes_it in ["v.push(1)", "v = 2", "v += 1", "v[0] = 1", "v.x.sort_by(f)", "f(&mut v)", "v <<= 1"] {
            assert!(changes(changes_it, "v"), "{changes_it}");
        }
        for reads in [
            "v.len()",
            "v == 2",
            "v <= 1",
            "vs.push(1)",
            "a.v.push(1)",
            "f(v, &mut w)",
            "match v { v => 1 }",
            "v.push",
            "v",
        ] {
            assert!(!changes(reads, "v"), "{reads}");
        }
    }

    #[test]
    fn variables_are_told_from_functions_and_constants() {
        assert_eq!(captured("f(x) + N + k as f64 + vec![w; 3].len() as f64"), ["k", "w", "x"]);
        assert_eq!(captured("let a = 1; a + println!(\"{b}\")"), ["b"]);
        assert!(captured("(").is_empty());
    }
}
