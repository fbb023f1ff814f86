//! What can go wrong in a cell, as a value; and how it reads, in one place: [`Failure::content`].

use chorus_compiler::{Diagnostic, Failure as CompileFailure, Member, describe};
use chorus_jupyter::content;
use chorus_magics::{Inside, MagicError, inside_rust};
use chorus_protocol::{Aftermath, Death, NoSnapshot, Outcome, Panic};
use chorus_render::{ErrorText, Place, PxFailure, RESTORED, RunFailure, STILL_DEFINED, at_place, no_snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// What sh says of a line that it can't read, and of a command that isn't there.
const NOT_A_COMMAND: [Death; 2] = [Death::Exit(2), Death::Exit(127)];

/// How much of a command an error repeats, in characters.
const COMMAND: usize = 60;

/// Why a cell failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// It doesn't compile, so nothing ran.
    Compile(Vec<Diagnostic>),
    /// A magic can't be read.
    Magic(Box<MagicError>),
    /// Its run in the notebook's worker failed.
    Run(Box<RunFailure>),
    /// Its run failed on engines.
    Px(PxFailure),
    /// The user ended its run on the engines, which failed so.
    PxInterrupted(PxFailure),
    /// Its run in the notebook's worker was stopped.
    Stopped {
        /// Why.
        why: Stopped,
        /// What became of the variables.
        aftermath: Aftermath,
        /// Those that are gone if there was no snapshot.
        lost: Vec<String>,
    },
    /// A map that it waited for failed.
    Map(Box<MapFailure>),
    /// A program that it started failed.
    Command {
        /// What was run.
        command: String,
        /// How it ended.
        ended: Death,
        /// Whether it is a line that begins with `!`.
        is_line: bool,
    },
    /// It happened in what `%run` ran.
    InFile {
        /// Where, as users know it.
        place: String,
        /// What.
        failure: Box<Failure>,
    },
    /// Anything else that a sentence says, perhaps with more lines below.
    Other(Kind, String),
}

/// Kinds of failures, which notebooks show by these names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message isn't what Jupyter's protocol says.
    BadRequest,
    /// A cluster can't be started or used.
    ClusterError,
    /// The cluster is gone.
    ClusterLost,
    /// A program can't be started, or failed.
    CommandFailed,
    /// Several things failed.
    CompositeError,
    /// No engine is left.
    EnginesLost,
    /// A file can't be read or written.
    FileError,
    /// The user ended it.
    Interrupted,
    /// Too many cells wait already.
    LineFull,
    /// What was compiled can't be loaded.
    LoadFailed,
    /// A magic can't be run.
    MagicError,
    /// A map or a call can't be run, or its function failed.
    MapError,
    /// The notebook has no cluster.
    NoCluster,
    /// There is nothing to show.
    NoResult,
    /// There is no such map or call.
    NoSuchTask,
    /// A text has no value.
    NotAnExpression,
    /// A cell reads what nobody can type.
    StdinNotImplementedError,
    /// There is no such subshell.
    SubshellNotFound,
    /// There are no such engines.
    TargetError,
    /// Variables can't be passed on.
    TransferError,
    /// A worker died of what it was to do.
    WorkerDied,
    /// The notebook's worker can't be started.
    WorkerError,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why a run in the notebook's worker was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The user interrupted it.
    ByUser,
    /// It waits for a line that nobody can type.
    WithoutInput,
}

/// How a map failed.
#[derive(Clone, Debug, PartialEq)]
pub struct MapFailure {
    /// What kind of failure it is.
    pub kind: Kind,
    /// In a sentence.
    pub what: String,
    /// The panic behind it, and where in the user's cells that was, if there.
    pub panic: Option<(Panic, Option<Place>)>,
    /// Items that were done well, and all.
    pub progress: (u64, u64),
    /// Whether `%pxresult --partial` shows what these items have given.
    pub has_partial: bool,
}

/// A failure that is a sentence, perhaps with more lines below.
pub fn failure(kind: Kind, what: impl Into<String>) -> Failure {
    Failure::Other(kind, what.into())
}

/// A request whose content isn't what the protocol says.
pub fn bad_request(msg_type: &str, why: &dyn fmt::Display) -> content::Failure {
    failure(Kind::BadRequest, format!("the {msg_type} makes no sense: {why}")).content()
}

/// Nothing was compiled, and nothing ran.
impl From<CompileFailure> for Failure {
    fn from(failure: CompileFailure) -> Failure {
        match failure {
            CompileFailure::Interrupted => {
                self::failure(Kind::Interrupted, "the cell was interrupted while it was compiled; nothing ran")
            }
            CompileFailure::Errors(errors) => Failure::Compile(errors),
        }
    }
}

/// Nothing of its cell ran.
impl From<MagicError> for Failure {
    fn from(error: MagicError) -> Failure {
        Failure::Magic(Box::new(error))
    }
}

impl Failure {
    /// With the error that a `?` returned because of it, unless that says the same.
    pub fn with_what_ended(self, ended: &Failure) -> Failure {
        let returned = match ended {
            Failure::Run(run) if run.outcome == Outcome::ReturnedError => run.panic.as_ref(),
            _ => None,
        };
        match (self, returned.map(|it| it.panic.message.as_str())) {
            (Failure::Other(kind, what), Some(said)) if !what.contains(said) => {
                Failure::Other(kind, format!("{what}\n{said}"))
            }
            (cause, _) => cause,
        }
    }

    /// Whether the compiler refused the cell.
    pub fn is_compile_error(&self) -> bool {
        match self {
            Failure::InFile { failure, .. } => failure.is_compile_error(),
            failure => matches!(failure, Failure::Compile(_)),
        }
    }

    /// The same, of which lines are those of a file.
    pub fn in_file(self, place: String) -> Failure {
        Failure::InFile { place, failure: Box::new(self) }
    }

    /// The same, where rustc found the `%` of a magic inside of Rust, or looks for its name, with what to write there instead.
    /// `theirs` are the names of the engines' variables.
    pub fn explaining_magics(mut self, cell: &str, theirs: &BTreeSet<String>) -> Failure {
        let Failure::Compile(errors) = &mut self else { return self };
        for error in errors.iter_mut() {
            let before = match error.code.as_deref() {
                None => 0,
                Some("E0423" | "E0425") => 1,
                Some(_) => continue,
            };
            let place = error.spans.iter().find(|span| span.primary && span.cell.is_none());
            let Some(Inside { text, instead }) =
                place.and_then(|it| inside_rust(cell, it.line, it.column.checked_sub(before)?, theirs))
            else {
                continue;
            };
            error.code = None;
            error.message = format!("`{text}` is a magic, and can't stand inside of Rust");
            error.spans.iter_mut().for_each(|span| span.label.clear());
            error.notes = vec![format!("help: {instead}")];
        }
        self
    }

    /// Whether the user ended the cell.
    pub fn is_interrupt(&self) -> bool {
        match self {
            Failure::PxInterrupted(_) | Failure::Stopped { why: Stopped::ByUser, .. } => true,
            Failure::Map(failed) => failed.kind == Kind::Interrupted,
            Failure::InFile { failure, .. } => failure.is_interrupt(),
            Failure::Other(kind, _) => *kind == Kind::Interrupted,
            _ => false,
        }
    }

    /// What failed, in a sentence.
    pub fn sentence(&self) -> String {
        self.content().evalue
    }

    /// As notebooks show it.
    pub fn content(&self) -> content::Failure {
        let ErrorText { ename, evalue, traceback } = match self {
            Failure::Compile(errors) => compile_errors(errors),
            Failure::Magic(error) => sentence(Kind::MagicError, error.to_string()),
            Failure::Run(failed) => failed.text(),
            Failure::Px(failed) => failed.text(),
            Failure::PxInterrupted(failed) => {
                let mut text = sentence(Kind::Interrupted, "the cell was interrupted on the engines".to_owned());
                text.traceback.extend(failed.text().traceback);
                text
            }
            Failure::Stopped { why, aftermath, lost } => stopped(*why, aftermath, lost),
            Failure::Map(failed) => failed.text(),
            Failure::Command { command, ended, is_line } => {
                let more = if command.chars().nth(COMMAND).is_some() { "..." } else { "" };
                let shown: String = command.chars().take(COMMAND).collect();
                let mut text = sentence(Kind::CommandFailed, format!("`{shown}{more}` {ended}"));
                if *is_line && NOT_A_COMMAND.contains(ended) {
                    let hint = "help: above the cell's Rust a line that begins with `!` is a shell command; \
                        for Rust's `!` write parentheses: `(!a)`";
                    text.traceback.push(hint.to_owned());
                }
                text
            }
            Failure::InFile { place, failure } => {
                let content::Failure { ename, evalue, mut traceback } = failure.content();
                traceback.push(format!("in {place}, which has these lines"));
                ErrorText { ename, evalue: format!("{place}: {evalue}"), traceback }
            }
            Failure::Other(kind, what) => sentence(*kind, what.clone()),
        };
        content::Failure { ename, evalue, traceback }
    }
}

impl MapFailure {
    fn text(&self) -> ErrorText {
        let mut text = sentence(self.kind, self.what.clone());
        match &self.panic {
            _ if self.kind != Kind::MapError => {}
            Some((_, Some(place))) => text.traceback.extend(at_place(place)),
            Some((panic, None)) if self.what.contains(&panic.message) => {
                text.traceback.push(format!("  at {}:{}", panic.file, panic.line));
            }
            Some((panic, None)) => {
                text.traceback.push(format!("  at {}:{}: {}", panic.file, panic.line, panic.message));
            }
            None => {}
        }
        let (done, items) = self.progress;
        let shown_by = if self.has_partial { "; `%pxresult --partial` shows them" } else { "" };
        text.traceback.push(format!("  {done} of {items} items were done{shown_by}"));
        text
    }
}

fn sentence(kind: Kind, evalue: String) -> ErrorText {
    let ename = kind.to_string();
    let mut lines = evalue.lines();
    let first = format!("{RED}{ename}{PLAIN}: {}", lines.next().unwrap_or_default());
    let traceback = std::iter::once(first).chain(lines.map(str::to_owned)).collect();
    ErrorText { ename, evalue, traceback }
}

fn compile_errors(errors: &[Diagnostic]) -> ErrorText {
    let evalue = match errors {
        [] => "the cell doesn't compile".to_owned(),
        [error] => summary(error),
        [error, rest @ ..] => format!("{} (and {} more)", summary(error), rest.len()),
    };
    let rendered: Vec<String> = errors.iter().map(|error| error.render(true)).collect();
    let traceback = rendered.join("\n\n").lines().map(str::to_owned).collect();
    ErrorText { ename: "CompileError".to_owned(), evalue, traceback }
}

fn summary(error: &Diagnostic) -> String {
    let code = error.code.as_ref().map(|code| format!("[{code}]")).unwrap_or_default();
    // A reason that Chorus knows says more than rustc's sentence.
    let mut notes = error.notes.iter().filter_map(|note| note.strip_prefix("note: "));
    let note = notes.find(|note| !note.contains('\n')).map(|note| format!("; {note}"));
    format!("{}{code}: {}{}", error.level, error.message, note.unwrap_or_default())
}

fn stopped(why: Stopped, aftermath: &Aftermath, lost: &[String]) -> ErrorText {
    let (kind, what) = match why {
        Stopped::ByUser => (Kind::Interrupted, "the cell was interrupted"),
        Stopped::WithoutInput => {
            (Kind::StdinNotImplementedError, "the cell reads its standard input, and this front end can't ask for any")
        }
    };
    let lines = match aftermath {
        Aftermath::Restored => vec![format!("{what}; {RESTORED}")],
        Aftermath::Lost(_) if lost.is_empty() => vec![what.to_owned()],
        Aftermath::Lost(reason) => {
            let first = format!("{what}{}", losses(lost));
            std::iter::once(first).chain(no_snapshot(reason)).chain([STILL_DEFINED.to_owned()]).collect()
        }
    };
    sentence(kind, lines.join("\n"))
}

/// A death outside of any cell, to be told with the next one.
pub fn death_notice(who: &str, death: Death, reason: &NoSnapshot, lost: &[String], statics: &[String]) -> String {
    // A worker of which nothing was kept because there was nothing has none.
    let statics = if *reason == NoSnapshot::Empty { &[] } else { statics };
    let is_loss = !lost.is_empty() || !statics.is_empty();
    let why = no_snapshot(reason).filter(|_| is_loss).map(|why| format!("; {why}")).unwrap_or_default();
    let verb = if statics.len() == 1 { "begins" } else { "begin" };
    let anew = match statics {
        [] => String::new(),
        names => format!("; `{}` {verb} anew", names.join("`, `")),
    };
    format!("{who} {death} while it ran nothing, and was replaced{}{anew}{why}", losses(lost))
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
        let stopped = |aftermath, lost: &[&str]| {
            let lost = lost.iter().map(|name| (*name).to_owned()).collect();
            Failure::Stopped { why: Stopped::ByUser, aftermath, lost }.content()
        };
        let failed = stopped(Aftermath::Lost(NoSnapshot::Threads("`io` blocks signals".into())), &["a", "b"]);
        let lines = [
            "the cell was interrupted; lost variables: `a`, `b`",
            "there was no snapshot: threads that cells started can't be kept: `io` blocks signals",
            STILL_DEFINED,
        ];
        assert_eq!(failed.evalue, lines.join("\n"));
        let nothing = stopped(Aftermath::Lost(NoSnapshot::Ended), &[]);
        assert_eq!((nothing.ename.as_str(), nothing.evalue.as_str()), ("Interrupted", "the cell was interrupted"));
        let restored = stopped(Aftermath::Restored, &["a"]);
        assert_eq!(restored.evalue, "the cell was interrupted; variables are as they were before this cell");
        let notice = |reason| death_notice("engine 2's worker", Death::Signal(9), &reason, &[], &["COUNT".to_owned()]);
        let text = notice(NoSnapshot::Off);
        assert!(text.starts_with("engine 2's worker was killed by signal 9"), "{text}");
        assert!(text.contains("and was replaced; `COUNT` begins anew; there was no snapshot: "), "{text}");
        assert!(notice(NoSnapshot::Empty).ends_with("and was replaced"));
    }

    #[test]
    fn the_status_of_a_command_is_said_and_what_else_its_line_may_have_meant() {
        let failed =
            |command: &str, ended, is_line| Failure::Command { command: command.into(), ended, is_line }.content();
        assert_eq!(failed("make all", Death::Exit(2), false).evalue, "`make all` exited with status 2");
        assert_eq!(failed("make all", Death::Exit(1), true).traceback.len(), 1);
        assert!(failed("a", Death::Exit(127), true).traceback[1].contains("`(!a)`"));
        let killed = failed(&"x".repeat(99), Death::Signal(9), false);
        assert_eq!(killed.ename, "CommandFailed");
        assert!(
            killed.evalue.starts_with(&format!("`{}...` was killed by signal 9", "x".repeat(COMMAND))),
            "{killed:?}"
        );
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
        let failed = Failure::Compile(errors).content();
        assert_eq!(failed.evalue, "error: one (and 1 more)");
        assert!(failed.traceback.iter().any(|line| line.contains("two")));
    }
}
