//! What a GPU is to compile of a map.

use super::{CONSTANTS, Passing, Plan, Side, Types, parameter, type_of};
use crate::rust::text::Text;
use crate::{Data, MagicError, Map};

/// What a GPU is to compile of a map: a statement in a function of a crate that `chorus-gpu` writes. The engines have these
/// variables.
pub fn gpu_text(
    map: &Map<'_>,
    cell: &str,
    passing: Passing,
    local: &Types,
    engines: &Types,
) -> Result<Text, MagicError> {
    let plan = Plan::make(map, cell, passing, local, engines)?;
    let used = plan.constants.len() + plan.engine_variables.len();
    if used > CONSTANTS {
        let message = format!("the function uses {used} variables, and at most {CONSTANTS} are possible on a GPU");
        return Err(MagicError::at(map.function, cell, message).with_help("a struct or a tuple can hold several"));
    }
    plan.all_fit_a_gpu(cell)?;
    Ok(plan.gpu())
}

impl Plan<'_> {
    /// Whether no variable's type is one that rustc doesn't know on a GPU, where it would have no place of the user's.
    fn all_fit_a_gpu(&self, cell: &str) -> Result<(), MagicError> {
        let sources = match &self.map.data {
            Data::Sources(sources) => sources.as_slice(),
            Data::Each(part) => std::slice::from_ref(part),
        };
        let texts = || [self.map.function].into_iter().chain(sources.iter().copied());
        let place = |name: &str| texts().find_map(|code| code.word(name)).unwrap_or(self.map.function);
        let of = |names: &[String], types: &Types| {
            let unfit = names.iter().find(|name| is_unfit_for_gpus(type_of(types, name)))?;
            Some((unfit.clone(), type_of(types, unfit).to_owned()))
        };
        let named: Vec<String> = self.only_named().cloned().collect();
        let part: Vec<String> = match &self.map.data {
            Data::Each(part) => vec![part.text.to_owned()],
            Data::Sources(_) => Vec::new(),
        };
        let unfit = of(&named, self.local).or_else(|| of(&self.constants, self.local));
        match unfit.or_else(|| of(&part, self.engines)).or_else(|| of(&self.engine_variables, self.engines)) {
            None => Ok(()),
            Some((name, type_name)) => {
                let message =
                    format!("`{name}` is a `{type_name}`, whose values can't travel between the CPU and a GPU");
                let help = "numbers, `bool`, `char`, and arrays, tuples, options, structs and enums of them can, if they are \
                            `Copy`, and a `Vec` of those; `--gpu=auto` has the processors run what a GPU can't; nothing was run";
                Err(MagicError::at(place(&name), cell, message).with_help(help))
            }
        }
    }

    fn gpu(&self) -> Text {
        let named = self.only_named().enumerate();
        let named = named.map(|(at, name)| (format!("$n{at}"), type_of(self.local, name)));
        let given = self.constants.iter().enumerate();
        let given: Vec<_> = given.map(|(at, name)| (format!("$k{at}"), type_of(self.local, name))).collect();
        let variables = parameter(named.chain(given.iter().cloned()));
        let sources = self.borrowed.iter().enumerate();
        let sources: String =
            sources.map(|(at, borrowed)| format!("{}$s{at}, ", if *borrowed { "&" } else { "" })).collect();
        let source = match &self.map.data {
            Data::Each(part) => {
                let part = parameter(std::iter::once(("$part".to_owned(), type_of(self.engines, part.text))));
                format!("|{part}| chorus_gpu::over!(&$part)")
            }
            Data::Sources(_) => {
                format!("|{variables}| {{ use chorus_gpu::only_types::*; chorus_gpu::over!({sources}) }}")
            }
        };
        let used = self.engine_variables.iter().enumerate();
        let used = used.map(|(at, name)| (format!("$e{at}"), type_of(self.engines, name)));
        let (values, calls) = (parameter(given.into_iter().chain(used)), self.calls());
        let call = format!("px_call.run({source}, |{values}, px_items| {calls})");
        self.text("let _ = ", &call, Side::Engines)
    }
}

/// Whether a type has something in it that only std has, or an address.
fn is_unfit_for_gpus(type_name: &str) -> bool {
    const MODULES: [&str; 11] =
        ["borrow", "cell", "collections", "ffi", "fs", "io", "path", "process", "rc", "sync", "thread"];
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    type_name.contains('&')
        || type_name.split(|c: char| !is_part(c)).any(|path| match path {
            "String" | "Box" | "dyn" => true,
            _ => path
                .strip_prefix("std::")
                .or(path.strip_prefix("alloc::"))
                .is_some_and(|rest| MODULES.iter().any(|module| rest.split("::").next() == Some(module))),
        })
}
