//! How failures read that don't come from a run: of compiling, of magics, of clusters.

use chorus_compiler::{Diagnostic, Failure as CompileFailure, Member, describe};
use chorus_jupyter::content::Failure;
use chorus_magics::MagicError;
use chorus_protocol::{Aftermath, Death, NoSnapshot};
use chorus_render::{RESTORED, STILL_DEFINED, no_snapshot};
use std::collections::BTreeMap;

const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

const COMPILE_ERROR: &str = "CompileError";

/// A failure that is a sentence, perhaps with more lines below.
pub fn failure(ename: &str, evalue: impl Into<String>) -> Failure {
    let evalue = evalue.into();
    let mut lines = evalue.lines();
    let first = format!("{RED}{ename}{PLAIN}: {}", lines.next().unwrap_or_default());
    let traceback = std::iter::once(first).chain(lines.map(str::to_owned)).collect();
    Failure { ename: ename.to_owned(), evalue, traceback }
}

/// A request whose content isn't what the protocol says.
pub fn bad_request(msg_type: &str, why: &dyn std::fmt::Display) -> Failure {
    failure("BadRequest", format!("the {msg_type} makes no sense: {why}"))
}

/// Nothing was compiled, and nothing ran.
pub fn compile_failure(failure: CompileFailure) -> Failure {
    match failure {
        CompileFailure::Interrupted => {
            self::failure("Interrupted", "the cell was interrupted while it was compiled; nothing ran")
        }
        CompileFailure::Errors(errors) => compile_errors(&errors),
    }
}

/// Whether it is of the compiler's errors.
pub fn is_compile_failure(failure: &Failure) -> bool {
    failure.ename == COMPILE_ERROR
}

fn compile_errors(errors: &[Diagnostic]) -> Failure {
    let evalue = match errors {
        [] => "the cell doesn't compile".to_owned(),
        [error] => summary(error),
        [error, rest @ ..] => format!("{} (and {} more)", summary(error), rest.len()),
    };
    let rendered: Vec<String> = errors.iter().map(|error| error.render(true)).collect();
    let traceback = rendered.join("\n\n").lines().map(str::to_owned).collect();
    Failure { ename: COMPILE_ERROR.into(), evalue, traceback }
}

fn summary(error: &Diagnostic) -> String {
    let code = error.code.as_ref().map(|code| format!("[{code}]")).unwrap_or_default();
    // A reason that Chorus knows says more than rustc's sentence.
    let note = error.notes.iter().find_map(|note| note.strip_prefix("note: ")).map(|note| format!("; {note}"));
    format!("{}{code}: {}{}", error.level, error.message, note.unwrap_or_default())
}

/// A magic that can't be read; nothing of its cell ran.
pub fn magic_failure(error: &MagicError) -> Failure {
    failure("MagicError", error.to_string())
}

/// The user ended it, and these variables went with the worker if it had no snapshot.
pub fn interrupted_with(what: &str, aftermath: &Aftermath, variables: &[String]) -> Failure {
    match aftermath {
        Aftermath::Restored => failure("Interrupted", format!("{what}; {RESTORED}")),
        Aftermath::Lost(reason) => {
            let mut lines = vec![format!("{what}{}", losses(variables))];
            if !variables.is_empty() {
                lines.extend(no_snapshot(reason));
                lines.push(STILL_DEFINED.to_owned());
            }
            failure("Interrupted", lines.join("\n"))
        }
    }
}

/// A death outside of any cell, to be told with the next one.
pub fn death_notice(who: &str, death: Death, reason: &NoSnapshot, lost: &[String]) -> String {
    let why = no_snapshot(reason).filter(|_| !lost.is_empty()).map(|why| format!("; {why}")).unwrap_or_default();
    format!("{who} {death} while it ran nothing, and was replaced{}{why}", losses(lost))
}

/// A death in a call that costs variables.
pub fn call_death_notice(who: &str, death: Death, reason: &NoSnapshot, lost: &[String]) -> String {
    let why = no_snapshot(reason).map(|why| format!("; {why}")).unwrap_or_default();
    format!("{who} {death} in a call, and was replaced{}{why}", losses(lost))
}

/// The same as [`death_notice`] where a snapshot carries on.
pub fn restored_notice(who: &str, death: Death) -> String {
    format!("{who} {death} while it ran nothing; its variables are all there")
}

/// Variables that are gone because a type in them was defined anew; `None` when there are none.
pub fn outdated_notice(outdated: &[(Member, Vec<String>)]) -> Option<String> {
    let mut by_names: BTreeMap<&[String], Vec<Member>> = BTreeMap::new();
    for (member, names) in outdated {
        by_names.entry(names).or_default().push(*member);
    }
    let lost = by_names.iter().map(|(names, members)| format!("`{}` of {}", names.join("`, `"), describe(members)));
    let lost: Vec<String> = lost.collect();
    (!lost.is_empty()).then(|| format!("Lost, because a type in them was defined anew: {}.", lost.join("; ")))
}

/// `; lost variables: ...`, or nothing.
pub fn losses(lost: &[String]) -> String {
    match lost {
        [] => String::new(),
        names => format!("; lost variables: `{}`", names.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_named() {
        let lost = Aftermath::Lost(NoSnapshot::Threads(3));
        let failed = interrupted_with("the cell was interrupted", &lost, &["a".into(), "b".into()]);
        let lines = [
            "the cell was interrupted; lost variables: `a`, `b`",
            "there was no snapshot: 3 threads that cells started were alive",
            STILL_DEFINED,
        ];
        assert_eq!(failed.evalue, lines.join("\n"));
        assert_eq!(interrupted_with("it was", &lost, &[]).evalue, "it was");
        let notice = death_notice("engine 2's worker", Death::Signal(9), &NoSnapshot::Off, &[]);
        assert!(notice.starts_with("engine 2's worker was killed by signal 9"), "{notice}");
    }

    #[test]
    fn what_a_snapshot_kept_is_said_shortly() {
        let failed = interrupted_with("the cell was interrupted", &Aftermath::Restored, &["a".into()]);
        assert_eq!(failed.evalue, "the cell was interrupted; variables are as they were before this cell");
    }

    #[test]
    fn outdated_variables_are_named_with_their_owners() {
        let engine = |id| Member::Engine(chorus_protocol::EngineId(id));
        let lost = |member, names: &[&str]| (member, names.iter().map(|name| (*name).to_owned()).collect());
        let all = [lost(Member::Local, &["s"]), lost(engine(0), &["p", "q"]), lost(engine(1), &["p", "q"])];
        let notice = outdated_notice(&all).unwrap();
        assert!(notice.ends_with(": `p`, `q` of engines 0-1; `s` of the notebook."), "{notice}");
        assert_eq!(outdated_notice(&[]), None);
    }

    #[test]
    fn several_errors_are_counted_and_all_shown() {
        let errors = vec![Diagnostic::error("one"), Diagnostic::error("two")];
        let failed = compile_failure(CompileFailure::Errors(errors));
        assert_eq!(failed.evalue, "error: one (and 1 more)");
        assert!(failed.traceback.iter().any(|line| line.contains("two")));
    }
}
