//! Completion of a magic's line: its name, its flags and their values.

use crate::error::Line;
use crate::head::Head;
use crate::magic::{Form, Name};
use crate::words::{Words, argument};
use crate::{Typed, config};
use clap::ValueHint;

/// What can stand at the cursor of a magic's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// From which byte of the line on they replace what is there, up to the cursor.
    pub start: usize,
    /// What is there already; they begin with it.
    pub typed: String,
    /// What they are.
    pub what: What,
}

/// What can stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// One of these.
    Words(Vec<String>),
    /// Engines.
    Targets,
    /// A name that outputs were kept under.
    Kept,
    /// The name of a cluster.
    Cluster,
    /// A path: of a folder, or of anything.
    Path {
        /// Only folders make sense.
        folder: bool,
    },
}

/// Completes a magic's line. `None` where nothing is known of what can stand there.
pub fn candidates(typed: Typed<'_>) -> Option<Candidates> {
    let line = typed.before();
    let found = |typed: &str, what| Candidates { start: line.len() - typed.len(), typed: typed.to_owned(), what };
    let fitting = |typed: &str, words: &mut dyn Iterator<Item = String>| {
        Some(found(typed, What::Words(words.filter(|word| word.starts_with(typed)).collect())))
    };
    let written = line.trim_start();
    if !written.contains(char::is_whitespace) {
        let percent = if written.starts_with("%%") { "%%" } else { "%" };
        written.strip_prefix(percent)?;
        let other = if percent == "%" { Form::Cell } else { Form::Line };
        let magics = Name::all().filter(|magic| magic.0.form != other);
        return fitting(written, &mut magics.map(|magic| format!("{percent}{}", magic.as_str())));
    }
    let head = Head::find(Line::of(line, 1, 0), 0)?;
    let magic = Name::find(head.name)?;
    let mut command = magic.flags();
    let word = line.rsplit(char::is_whitespace).next().unwrap_or("");
    let last = line.len() - word.len();
    let words: Vec<&str> = line.get(head.end..last)?.split_whitespace().collect();
    let in_flags = command.has_subcommands() || Words::split(&head, &command).is_ok_and(|words| words.code >= last);
    let sub = words.first().and_then(|word| command.find_subcommand(word)).cloned();
    let is_sub = sub.is_some();
    command = sub.unwrap_or(command);
    let (flag, value) = match word.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") => (Some(flag), value),
        _ => (words.last().copied(), word),
    };
    // What isn't a flag's stands behind the name, or the command's name, and perhaps behind flags that take nothing.
    let others = words.get(usize::from(is_sub)..)?.iter().filter(|word| !word.starts_with('-')).count();
    let is_first = others == 0 && !word.starts_with('-');
    let first = || command.get_positionals().next().filter(|argument| is_first && (is_sub || path(argument).is_some()));
    if let Some(argument) = flag.and_then(|flag| argument(&command, flag)).or_else(first) {
        let id = argument.get_id().as_str();
        let possible = || argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        let what = (magic.0.values)(id)
            .or_else(|| config::values(id))
            .or_else(|| path(argument))
            .unwrap_or_else(|| What::Words(possible()));
        // Of several targets the last one is written now.
        let value = if what == What::Targets { value.rsplit(',').next().unwrap_or(value) } else { value };
        return Some(found(value, what));
    }
    if word.starts_with('-') && in_flags {
        let longs = command.get_arguments().filter_map(|argument| argument.get_long());
        return fitting(word, &mut longs.map(|long| format!("--{long}")));
    }
    let subcommands = command.get_subcommands().map(|sub| sub.get_name().to_owned());
    if command.has_subcommands() { fitting(word, &mut subcommands.into_iter()) } else { None }
}

/// The paths that this argument takes.
fn path(argument: &clap::Arg) -> Option<What> {
    match argument.get_value_hint() {
        ValueHint::AnyPath | ValueHint::FilePath => Some(What::Path { folder: false }),
        ValueHint::DirPath => Some(What::Path { folder: true }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: &str) -> Option<(usize, What)> {
        candidates(Typed { line, start: 0, cursor: line.len() }).map(|candidates| (candidates.start, candidates.what))
    }

    fn words(line: &str) -> Vec<String> {
        match at(line) {
            Some((_, What::Words(words))) => words,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn names_flags_and_values_are_completed() {
        assert!(words("%").contains(&"%px".to_owned()));
        assert_eq!(words("%%p"), ["%%px"]);
        assert_eq!(words("%px --nobl"), ["--noblock"]);
        assert_eq!(words("%cluster st"), ["start", "stop", "status"]);
        assert_eq!(words("%cluster start --t"), ["--tcp", "--time", "--tunnel"]);
        assert!(words("%px -g ").contains(&"engine".to_owned()));
        assert!(words("%px --group-outputs=").contains(&"type".to_owned()));
        assert_eq!(at("%px -t "), Some((7, What::Targets)));
        assert_eq!(at("%px --targets 0,1"), Some((16, What::Targets)));
        assert_eq!(at("%cluster restart -t "), Some((20, What::Targets)));
        assert_eq!(at("%cluster connect la"), Some((17, What::Cluster)));
        assert_eq!(at("%pxresult -o "), Some((13, What::Kept)));
        assert_eq!(at("%px -o "), Some((7, What::Words(Vec::new()))), "a name that is new");
        assert_eq!(at("%px foo "), None, "Rust");
        assert_eq!(at("%cd sr"), Some((4, What::Path { folder: true })));
        let file = What::Path { folder: false };
        assert_eq!(at("%%writefile -a no/t"), Some((15, file.clone())));
        assert_eq!(at("%deps lock "), Some((11, file.clone())));
        assert_eq!(at("%cluster start --script a/"), Some((24, file)));
        assert_eq!(at("%cd src "), None, "one folder");
    }
}
