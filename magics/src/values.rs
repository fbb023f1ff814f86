//! Completion of a magic's line: its name, its flags and their values.

use super::line::{self, wants_value};
use super::{Name, Typed};

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
}

/// Completes a magic's line. `None` where nothing is known of what can stand there.
pub fn candidates(typed: Typed<'_>) -> Option<Candidates> {
    let before = typed.before();
    if let Some(values) = values(before) {
        return Some(values);
    }
    let (start, words) = line::complete(before)?;
    Some(Candidates { start, typed: before.get(start..).unwrap_or("").to_owned(), what: What::Words(words) })
}

/// The value of the flag before the cursor, or the argument of a command of `%cluster`.
fn values(line: &str) -> Option<Candidates> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let typed = if line.ends_with(char::is_whitespace) { "" } else { words.pop()? };
    let name = Name::find(words.first()?.trim_start_matches('%'))?;
    let mut command = name.flags();
    if let Some(sub) = words.get(1).and_then(|word| command.find_subcommand(word)) {
        command = sub.clone();
        if typed.starts_with('-') && !typed.contains('=') {
            let flags = command.get_arguments().filter_map(|argument| argument.get_long());
            let fitting = flags.map(|flag| format!("--{flag}")).filter(|flag| flag.starts_with(typed));
            let what = What::Words(fitting.collect());
            return Some(Candidates { start: line.len() - typed.len(), typed: typed.to_owned(), what });
        }
    }
    let (flag, typed) = match typed.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") => (flag, value),
        _ => (*words.last()?, typed),
    };
    let argument = if flag.starts_with('-') {
        if !wants_value(&command, flag) {
            return None;
        }
        let short = flag.chars().next_back();
        command.get_arguments().find(|argument| match flag.strip_prefix("--") {
            Some(long) => argument.get_long() == Some(long),
            None => argument.get_short() == short,
        })?
    } else {
        // Only `connect` has an argument that isn't a flag's.
        command.get_positionals().next().filter(|_| words.len() == 2)?
    };
    let what = match argument.get_id().as_str() {
        "targets" => What::Targets,
        "out" if name == Name::PxResult => What::Kept,
        "to" => What::Cluster,
        "signal_on_interrupt" => What::Words(["SIGINT", "SIGTERM", "SIGKILL", "0"].map(String::from).to_vec()),
        _ => {
            let values: Vec<String> =
                argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
            What::Words(values)
        }
    };
    // Of several targets the last one is written now.
    let typed = match what {
        What::Targets => typed.rsplit(',').next().unwrap_or(typed),
        _ => typed,
    };
    Some(Candidates { start: line.len() - typed.len(), typed: typed.to_owned(), what })
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
        assert_eq!(words("%cluster start --t"), ["--tcp"]);
        assert!(words("%px -g ").contains(&"engine".to_owned()));
        assert!(words("%px --group-outputs=").contains(&"type".to_owned()));
        assert_eq!(at("%px -t "), Some((7, What::Targets)));
        assert_eq!(at("%px --targets 0,1"), Some((16, What::Targets)));
        assert_eq!(at("%cluster restart -t "), Some((20, What::Targets)));
        assert_eq!(at("%cluster connect la"), Some((17, What::Cluster)));
        assert_eq!(at("%pxresult -o "), Some((13, What::Kept)));
        assert_eq!(at("%px -o "), Some((7, What::Words(Vec::new()))), "a name that is new");
        assert_eq!(at("%px foo "), None, "Rust");
    }
}
