//! A notebook's parameters: what its cell tagged `parameters` defines, and the cell that gives some of them other values.
//!
//! Pure: text in, text out. What a value becomes is decided by the type that the parameter has in its cell, so that nothing
//! behind it compiles otherwise than with the defaults.

mod kind;
mod value;

use chorus_syntax::{Variable, variables};
use kind::Kind;
use std::fmt::Write;
pub use value::Value;

/// The tag of the cell that defines parameters with their defaults.
pub const DEFINES: &str = "parameters";
/// The tag of the cell that was put behind it.
pub const INJECTED: &str = "injected-parameters";

/// The cell that defines a notebook's parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definitions {
    /// As `chorus run` counts cells; `None` when the text stands alone.
    pub cell: Option<usize>,
    /// What it defines.
    pub variables: Vec<Variable>,
}

/// A value for a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The parameter.
    pub name: String,
    /// What it is to be.
    pub value: Value,
}

/// What to do with a name that isn't defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is an error.
    Refused,
    /// A variable of that name is defined, with the type that its value has by itself, as papermill does it.
    Added,
}

/// Why a notebook can't be given these values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// There is nowhere to look for types.
    #[error("no code cell is tagged `{DEFINES}`, so there are no parameters: tag the cell that defines them")]
    NoCell,
    /// The cell defines others.
    #[error("there is no parameter `{name}`{known}")]
    Unknown {
        /// The name.
        name: String,
        /// Which there are, and where.
        known: String,
    },
    /// The value is of another type.
    #[error("parameter `{name}`: {reason}{place}")]
    Misfit {
        /// The parameter.
        name: String,
        /// Why.
        reason: String,
        /// Cell, line and text of its definition.
        place: String,
    },
}

impl Definitions {
    /// Reads a cell's text.
    pub fn read(source: &str, cell: Option<usize>) -> Definitions {
        Definitions { cell, variables: variables(source) }
    }

    fn place(&self, line: usize) -> String {
        self.cell.map_or_else(|| format!("line {line}"), |cell| format!("cell {cell}, line {line}"))
    }

    fn unknown(&self, name: &str) -> ParameterError {
        let listed: Vec<_> = self
            .variables
            .iter()
            .map(|variable| format!("`{}` ({})", variable.name, self.place(variable.line)))
            .collect();
        let known = match self.cell {
            Some(cell) if listed.is_empty() => format!(": cell {cell}, which is tagged `{DEFINES}`, defines none"),
            _ => format!(". There are: {}", listed.join(", ")),
        };
        ParameterError::Unknown { name: name.to_owned(), known }
    }

    /// The text of the cell that gives these values, or all that is wrong with them. Of two values for one name the later
    /// counts.
    pub fn injected(
        &self,
        comment: &str,
        settings: &[Setting],
        unknown: Unknown,
    ) -> Result<String, Vec<ParameterError>> {
        let mut text = String::new();
        for line in comment.lines() {
            let _ = writeln!(text, "{}", format!("// {line}").trim_end());
        }
        let mut errors = Vec::new();
        for (index, setting) in settings.iter().enumerate() {
            if settings[index + 1..].iter().any(|later| later.name == setting.name) {
                continue;
            }
            match self.line(setting, unknown) {
                Ok(line) => text.push_str(&line),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(text) } else { Err(errors) }
    }

    fn line(&self, Setting { name, value }: &Setting, unknown: Unknown) -> Result<String, ParameterError> {
        let Some(variable) = self.variables.iter().find(|variable| variable.name == *name) else {
            if unknown == Unknown::Refused || !is_name(name) {
                return Err(self.unknown(name));
            }
            let written = Kind::natural(value).and_then(|kind| Ok((kind.write(value)?, kind)));
            let (text, kind) = written.map_err(|reason| ParameterError::Misfit {
                name: name.clone(),
                reason,
                place: format!(": define it, with a type, in a cell tagged `{DEFINES}`"),
            })?;
            return Ok(format!("let {name}: {kind} = {text};\n"));
        };
        let misfit = |reason: String| ParameterError::Misfit {
            name: name.clone(),
            reason,
            place: format!("\n  {}: {}", self.place(variable.line), variable.text),
        };
        let (Some(shape), Some(type_name)) = (&variable.shape, &variable.type_name) else {
            return Err(misfit("its type can't be told from its text: write it, as in `let x: f64 = ..`".into()));
        };
        let kind = Kind::of(shape).ok_or_else(|| {
            misfit(format!(
                "a value of type `{type_name}` can't be written: parameters are numbers, bool, char, strings, paths, \
                 serde_json's Value, and lists, arrays, tuples, options, maps and sets of these"
            ))
        })?;
        let text = kind.write(value).map_err(|reason| misfit(format!("{reason}, and it is a `{type_name}`")))?;
        let mutable = if variable.mutable { "mut " } else { "" };
        Ok(format!("let {mutable}{name}: {type_name} = {text};\n"))
    }

    /// A list for people: name, type, default and comment of each.
    pub fn help(&self) -> String {
        let mut text = String::new();
        for variable in &self.variables {
            let type_name = variable.type_name.as_deref().unwrap_or("?");
            let default = variable.value.as_ref().map_or(String::new(), |value| format!(" = {}", one_line(value)));
            let definition = format!("  {}: {type_name}{default}", variable.name);
            let _ = writeln!(text, "{}", format!("{definition:<34}  {}", variable.comment).trim_end());
        }
        text
    }
}

fn is_name(text: &str) -> bool {
    let mut characters = text.chars();
    let begins = characters.next().is_some_and(|first| first.is_alphabetic() || first == '_');
    begins
        && text != "_"
        && characters.all(|character| character.is_alphanumeric() || character == '_')
        && !chorus_syntax::is_keyword(text)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
