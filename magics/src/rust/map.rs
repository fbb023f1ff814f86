//! The Rust that a `%map` becomes: a cell for the notebook, and, where the engines' own variables are involved, one for
//! them.
//!
//! Each piece that the user wrote keeps its line and its column, so that errors point to it. The user's order isn't the
//! one in which rustc must see the pieces, and between two of them there are only a few columns. So a macro `px!`, which
//! stands on the line above, puts them in order, and what stands on the user's lines is its call:
//!
//! ```text
//! %map -o ys |x| x * k over xs
//!
//! let ys = { macro_rules! px { ($f:expr; $s0:expr; $k0:ident) => { px::map::start!(px::over!(&$s0), ...) } }
//! px!{       |x| x * k;     xs; k}
//! };
//! ```
//!
//! A macro's own names are others than the user's, which is why the names that a piece uses and the macro binds are
//! among its arguments. What rustc finds wrong with the macro's text, as when a result can't travel, [`Text::to_users_lines`]
//! says of the user's line.

mod gpu;
mod lines;

use super::text::Text;
use crate::{Code, Data, End, MagicError, Map, OnError};
use chorus_syntax::{Expression, Parameters, Shape};
pub use gpu::gpu_text;
use lines::{Around, Lines};
use std::collections::{BTreeMap, BTreeSet};

/// Types of variables, by name.
pub type Types = BTreeMap<String, String>;

/// The most sources, and the most variables of the engines and of the notebook that a map uses: px has functions for so
/// many.
const SOURCES: usize = 4;
const ENGINE_VARIABLES: usize = 6;
const CONSTANTS: usize = 12;

/// The handle's method that waits for what is done, of a map that needn't be whole.
const WAIT_PARTIAL: &str = "wait_partial";

/// How a closure gets its items that doesn't say so by types or patterns, see [`MapTexts::may_borrow`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// As values: `|x| x as f64`.
    Value,
    /// By reference: `|x| *x + 1`.
    Reference,
}

/// What a map becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapTexts {
    /// The notebook's cell.
    pub local: Text,
    /// The engines' cell, for maps that need their variables or leave them some.
    pub engines: Option<Text>,
    /// Whether the function may compile with [`Passing::Reference`] where it doesn't with values. Nothing but types
    /// could tell, and those rustc alone knows.
    pub may_borrow: bool,
    /// The variables of the notebook that the function uses, and which are sent along.
    pub constants: Vec<String>,
    /// The variables of the engines that it uses. Those of the same name of the notebook it can't see.
    pub engine_variables: Vec<String>,
}

/// What a map becomes in a notebook with these variables, on engines that all have those.
pub fn map_texts(
    map: &Map<'_>,
    cell: &str,
    passing: Passing,
    local: &Types,
    engines: &Types,
) -> Result<MapTexts, MagicError> {
    let plan = Plan::make(map, cell, passing, local, engines)?;
    Ok(MapTexts {
        may_borrow: plan.passing == Passing::Value
            && matches!(plan.function, Function::By("map" | "map2" | "map3" | "map4") | Function::It | Function::Block),
        local: plan.local(map.options.block.then_some("wait")),
        engines: plan.needs_engines().then(|| plan.engines()),
        constants: plan.constants.clone(),
        engine_variables: plan.engine_variables.clone(),
    })
}

/// The notebook's cell that asks for what this map has done, when it has been started and hasn't come to its end.
pub fn partial_text(
    map: &Map<'_>,
    cell: &str,
    passing: Passing,
    local: &Types,
    engines: &Types,
) -> Result<Text, MagicError> {
    Ok(Plan::make(map, cell, passing, local, engines)?.local(Some(WAIT_PARTIAL)))
}

/// All that was decided of a map.
struct Plan<'a> {
    map: &'a Map<'a>,
    function: Function,
    passing: Passing,
    /// Whether each source is written with `&`: places aren't consumed.
    borrowed: Vec<bool>,
    /// Variables that the sources name, of the notebook.
    named: Vec<String>,
    constants: Vec<String>,
    engine_variables: Vec<String>,
    local: &'a Types,
    engines: &'a Types,
}

/// How the function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    /// The method of `px_items`.
    By(&'static str),
    /// An expression of `it`.
    It,
    /// The lines of a block with `it`.
    Block,
}

impl<'a> Plan<'a> {
    fn make(
        map: &'a Map<'a>,
        cell: &str,
        passing: Passing,
        local: &'a Types,
        engines: &'a Types,
    ) -> Result<Plan<'a>, MagicError> {
        let body = Expression::read(map.function.text);
        let sources = match &map.data {
            Data::Sources(sources) => sources.as_slice(),
            Data::Each(part) if !engines.contains_key(part.text) => {
                let message = format!("the engines have no variable `{}`", part.text);
                let help = match local.contains_key(part.text) {
                    true => format!("the notebook has one: `over {0}` maps it, `%scatter {0}` sends it", part.text),
                    false => format!("`%scatter xs as {}` would give them one, with the parts of `xs`", part.text),
                };
                return Err(MagicError::at(*part, cell, message).with_help(help));
            }
            Data::Each(_) => &[],
        };
        if let Some(next) = sources.get(SOURCES) {
            let message = format!("at most {SOURCES} sources can be mapped together");
            return Err(MagicError::at(*next, cell, message).with_help("`over a.iter().zip(&b)` makes one of two"));
        }
        let function = function(map, &body, sources.len().max(1), passing, cell)?;
        let (mut borrowed, mut named) = (Vec::new(), BTreeSet::new());
        for source in sources {
            let Expression { shape, names } = Expression::read(source.text);
            if let Shape::Broken | Shape::Statements = shape {
                let message = "what stands behind `over` isn't a Rust expression".to_owned();
                let help = "a range, a variable or an iterator does, or several with commas: over xs, 0..10";
                return Err(MagicError::at(*source, cell, message).with_help(help));
            }
            borrowed.push(matches!(shape, Shape::Path | Shape::Place));
            if let Some(name) = names.iter().find(|name| !local.contains_key(*name) && engines.contains_key(*name)) {
                let message =
                    format!("`{name}` is a variable of the engines, and what is behind `over` of the notebook");
                let help = format!("`over each {name}` maps its items where they are");
                return Err(MagicError::at(*source, cell, message).with_help(help));
            }
            named.extend(names.into_iter().filter(|name| local.contains_key(name)));
        }
        let mut used = body.names;
        used.remove(if matches!(function, Function::By(_)) { "" } else { "it" });
        let closures = [map.filter, reduction(map)];
        used.extend(closures.into_iter().flatten().flat_map(|closure| Expression::read(closure.text).names));
        let (engine_variables, rest): (Vec<String>, Vec<String>) =
            used.into_iter().partition(|name| engines.contains_key(name));
        let constants: Vec<String> = rest.into_iter().filter(|name| local.contains_key(name)).collect();
        for (names, most, whose) in
            [(&engine_variables, ENGINE_VARIABLES, "the engines"), (&constants, CONSTANTS, "the notebook")]
        {
            if names.len() > most {
                let all = names.join("`, `");
                let message = format!(
                    "the function uses {} variables of {whose}, and at most {most} are possible: `{all}`",
                    names.len()
                );
                let help = "a struct or a tuple can hold several";
                return Err(MagicError::at(map.function, cell, message).with_help(help));
            }
        }
        let named = named.into_iter().collect();
        Ok(Plan { map, function, passing, borrowed, named, constants, engine_variables, local, engines })
    }

    fn is_each(&self) -> bool {
        matches!(self.map.data, Data::Each(_))
    }

    fn needs_engines(&self) -> bool {
        self.is_each() || self.map.options.keep || !self.engine_variables.is_empty()
    }

    /// The arguments of the function that px gives its items to, up to the items.
    fn constants_pattern(&self) -> String {
        let names: String = (0..self.constants.len()).map(|at| format!("$k{at}, ")).collect();
        format!("({})", names.trim_end())
    }

    fn constants_value(&self) -> String {
        let names: String = (0..self.constants.len()).map(|at| format!("&$k{at}, ")).collect();
        format!("({})", names.trim_end())
    }

    fn data(&self) -> String {
        let sources = self.borrowed.iter().enumerate();
        let sources: Vec<String> =
            sources.map(|(at, borrowed)| format!("{}$s{at}", if *borrowed { "&" } else { "" })).collect();
        format!("px::over!({})", sources.join(", "))
    }

    /// What calls the function.
    fn calls(&self) -> String {
        match self.function {
            Function::By(method) => format!("px_items.{method}($f)"),
            Function::It | Function::Block => match self.passing {
                Passing::Value => "px_items.map(|$it| $f)".to_owned(),
                Passing::Reference => "px_items.map_ref(|$it| $f)".to_owned(),
            },
        }
    }

    fn is_gpus(&self) -> bool {
        self.map.options.gpu.is_some()
    }

    /// What is done with the items.
    fn steps(&self) -> String {
        let mut steps = self.calls();
        if self.is_gpus() {
            let values: Vec<String> =
                (0..self.engine_variables.len()).map(|at| format!("px::map::gpu::value!($e{at})")).collect();
            let on_gpu = format!("px_items.on_gpu(::std::vec![{}])", values.join(", "));
            steps = steps.replacen("px_items", &on_gpu, 1);
        }
        if self.map.filter.is_some() {
            steps += ".filter($p)";
        }
        match self.map.end {
            End::Collect => {
                if !self.map.options.ordered {
                    steps += ".unordered()";
                }
                steps += match (self.map.options.on_error, self.map.options.keep) {
                    (OnError::Keep, _) => ".keep_errors().collect()",
                    (_, true) if self.is_gpus() => ".keep_on_gpu()",
                    (_, true) => ".keep()",
                    (_, false) => ".collect()",
                };
            }
            End::Sum => steps += ".sum()",
            End::Min => steps += ".min()",
            End::Max => steps += ".max()",
            End::Count => steps += ".count()",
            End::Mean => steps += ".mean()",
            End::Reduce(_) => steps += ".reduce($r)",
        }
        steps
    }

    /// A parameter that is the engines' variables, as a tuple with its type.
    fn engine_parameter(&self) -> String {
        let names = self.engine_variables.iter().enumerate();
        parameter(names.map(|(at, name)| (format!("$e{at}"), type_of(self.engines, name))))
    }

    /// `wait` is the handle's method to be called, if one is.
    fn local(&self, wait: Option<&str>) -> Text {
        let (mut constants, steps) = (self.constants_value(), self.steps());
        if self.is_gpus() {
            let values: Vec<String> =
                (0..self.constants.len()).map(|at| format!("px::map::gpu::value!($k{at})")).collect();
            constants = format!("px::map::gpu::OnGpu::new({constants}, ::std::vec![{}])", values.join(", "));
        }
        // What has run isn't to take its data again, which may be others by now, or be used up.
        let data = match wait {
            Some(WAIT_PARTIAL) => format!("px::map::unread(|| {})", self.data()),
            _ => self.data(),
        };
        let pattern = self.constants_pattern();
        let keep = if self.map.options.keep { "_keep" } else { "" };
        let mut call = match &self.map.data {
            Data::Each(part) => {
                let part_type = type_of(self.engines, part.text);
                let shape = format!("|$part: {part_type}| px::map::shape_each(&$part)");
                let variables = self.engine_parameter();
                let taken = format!("|{variables}, {pattern}, px_items| {steps}");
                format!("px::map::gathered{keep}({constants}, {shape}, {taken})")
            }
            Data::Sources(_) if self.needs_engines() => {
                let variables = self.engine_parameter();
                format!("px::map::typed{keep}({data}, {constants}, |{variables}, {pattern}, px_items| {steps})")
            }
            Data::Sources(_) => format!("px::map::start!({data}, {constants}, |{pattern}, px_items| {steps})"),
        };
        if self.needs_engines() && reduction(self.map).is_some() {
            call += ".merging($r)";
        }
        let options = &self.map.options;
        if let Some(wait) = wait {
            call += &format!(".{wait}()");
        }
        let begin = match &options.out {
            // Without a variable here, the engines' results are only waited for. As a statement of its own, a block could
            // have no value.
            Some(_) if options.keep && options.block => "let _ = ".to_owned(),
            Some(name) => format!("let {name} = "),
            None => {
                call = format!("px::map::show(&{call})");
                "let _ = ".to_owned()
            }
        };
        self.text(&begin, &call, Side::Local)
    }

    fn engines(&self) -> Text {
        let (pattern, steps) = (self.constants_pattern(), self.steps());
        let keep = match (self.map.options.keep, self.is_gpus()) {
            (false, _) => "",
            (true, false) => "_keep",
            (true, true) => "_keep_on_gpu",
        };
        let constants = self.constants_value();
        let given = self.constants.iter().enumerate();
        let given = given.map(|(at, name)| (format!("$k{at}"), type_of(self.local, name)));
        let call = match &self.map.data {
            Data::Each(_) => {
                let constants = parameter(given);
                format!("px::map::each{keep}(px::part!($part), |{constants}, px_items| {steps})")
            }
            Data::Sources(_) => {
                let named = self.only_named().enumerate();
                let named = named.map(|(at, name)| (format!("$n{at}"), type_of(self.local, name)));
                let variables = parameter(named.chain(given));
                let shape = format!("px::map::shape(&{}, &{constants})", self.data());
                format!("px::map::serve{keep}(|{variables}| {shape}, |{pattern}, px_items| {steps})")
            }
        };
        let begin = match &self.map.options.out {
            Some(name) if self.map.options.keep => format!("let {name} = "),
            _ => "let _ = ".to_owned(),
        };
        self.text(&begin, &call, Side::Engines)
    }

    /// The variables that only the data name.
    fn only_named(&self) -> impl Iterator<Item = &String> {
        self.named.iter().filter(|name| !self.constants.contains(name))
    }

    /// `begin` and a call of the macro that becomes `call`.
    fn text(&self, begin: &str, call: &str, side: Side) -> Text {
        let mut arguments = Vec::new();
        let mut lines = Lines::default();
        let mut pieces: Vec<(Code<'_>, String)> = Vec::new();
        pieces.extend(self.map.filter.map(|code| (code, "p".to_owned())));
        pieces.extend(reduction(self.map).map(|code| (code, "r".to_owned())));
        pieces.push((self.map.function, "f".to_owned()));
        match &self.map.data {
            Data::Sources(sources) => {
                pieces.extend(sources.iter().enumerate().map(|(at, source)| (*source, format!("s{at}"))));
            }
            Data::Each(part) => pieces.push((*part, "part".to_owned())),
        }
        pieces.sort_by_key(|(code, _)| (code.line, code.column));
        let first = pieces.first().map_or(1, |(code, _)| code.line);
        let ends = pieces.iter().map(|(code, _)| code.line + code.text.lines().count().saturating_sub(1));
        let last = ends.max().unwrap_or(first);
        lines.text = "px!{".to_owned();
        lines.line = first;
        for (code, name) in &pieces {
            let around = match (name == "f", self.function) {
                (true, Function::Block) => Around::Braces,
                // The function of a `%%map` may end in a comment.
                (true, _) if pieces.last().is_some_and(|(_, last)| last == "f") => Around::Line,
                _ => Around::Nothing,
            };
            lines.put(*code, around);
            let kind = if name == "part" { "ident" } else { "expr" };
            arguments.push(format!("${name}:{kind}"));
        }
        let mut names: Vec<(String, &str)> = Vec::new();
        if let Function::It | Function::Block = self.function {
            names.push(("it".to_owned(), "it"));
        }
        names.extend(self.constants.iter().enumerate().map(|(at, name)| (format!("k{at}"), name.as_str())));
        if side == Side::Local || self.is_gpus() {
            let variables = self.engine_variables.iter().enumerate();
            names.extend(variables.map(|(at, name)| (format!("e{at}"), name.as_str())));
        }
        match side {
            Side::Engines if !self.is_each() => {
                names.extend(self.only_named().enumerate().map(|(at, name)| (format!("n{at}"), name.as_str())));
            }
            Side::Engines | Side::Local => {}
        }
        arguments.extend(names.iter().map(|(argument, _)| format!("${argument}:ident")));
        let values: Vec<&str> = names.iter().map(|(_, name)| *name).collect();
        let arguments = arguments.join("; ");
        let separator = if names.is_empty() { ";" } else { "" };
        let text = format!(
            "{begin}{{ macro_rules! px {{ ({arguments}{separator}) => {{ {call} }} }}\n{} {}}}\n}};",
            lines.text,
            values.join("; ")
        );
        let captures = self.constants.iter().chain(&self.engine_variables).cloned().collect();
        Text { text, first_line: first.saturating_sub(1), users: first..=last, captures: Some(captures) }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Local,
    Engines,
}

/// `(a, b,): (A, B,)`
fn parameter<'t>(all: impl Iterator<Item = (String, &'t str)>) -> String {
    let (names, types): (Vec<String>, Vec<&str>) = all.unzip();
    let tuple = |parts: Vec<&str>| parts.into_iter().map(|part| format!("{part}, ")).collect::<String>();
    let (names, types) = (tuple(names.iter().map(String::as_str).collect()), tuple(types));
    format!("({}): ({})", names.trim_end(), types.trim_end())
}

fn reduction<'a>(map: &Map<'a>) -> Option<Code<'a>> {
    match map.end {
        End::Reduce(code) => Some(code),
        _ => None,
    }
}

fn type_of<'t>(types: &'t Types, name: &str) -> &'t str {
    types.get(name).map_or("_", String::as_str)
}

/// How the function is to be called, on items of so many sources.
fn function(
    map: &Map<'_>,
    body: &Expression,
    sources: usize,
    passing: Passing,
    cell: &str,
) -> Result<Function, MagicError> {
    let code = map.function;
    let uses_it = body.names.contains("it");
    let wrong = |message: String| MagicError::at(code, cell, message);
    if code.text.trim().is_empty() {
        let help = "write a closure such as `|x| x * x`, or code that uses `it`";
        return Err(wrong("`%%map` needs a function on the lines below it".into()).with_help(help));
    }
    match body.shape {
        Shape::Closure(Parameters { count, typed, borrowed }) => match (count, sources) {
            (1, _) | (2, 2) | (3, 3) | (4, 4) => {
                let ways = match (typed && borrowed, borrowed || passing == Passing::Reference) {
                    // The types say all there is to know.
                    (true, _) => ["call", "call2", "call3", "call4"],
                    (false, true) => ["map_ref", "map2_ref", "map3_ref", "map4_ref"],
                    (false, false) => ["map", "map2", "map3", "map4"],
                };
                Ok(Function::By(ways[count - 1]))
            }
            (0, _) => Err(wrong("the function takes no item: write `|x| ...`, or `|_| ...`".into())),
            (_, 1) => {
                let help = "for items that are tuples write `|(a, b)| ...`; several sources stand behind `over` with \
                    commas: over xs, ys";
                Err(wrong(format!("the function takes {count} values, and there is one source of items"))
                    .with_help(help))
            }
            _ => Err(wrong(format!("the function takes {count} values, and there are {sources} sources of items"))),
        },
        Shape::Path if !uses_it => Ok(Function::By(match sources {
            1 => "call",
            2 => "call2",
            3 => "call3",
            _ => "call4",
        })),
        Shape::Broken => {
            let help = "write a closure such as `|x| x * x`, the path of a function, or code that uses `it`";
            Err(wrong("this isn't Rust that could be a function".into()).with_help(help))
        }
        Shape::Statements if uses_it => Ok(Function::Block),
        _ if uses_it => Ok(Function::It),
        shape => {
            let what = match shape {
                Shape::Statements => "these statements don't use `it`, the item",
                _ => "this expression is no function, and doesn't use `it`, the item",
            };
            Err(wrong(what.into()).with_help("write a closure such as `|x| x * x`, or `it` for the item"))
        }
    }
}

#[cfg(test)]
mod tests;
