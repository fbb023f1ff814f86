//! How runs failed, in words.

use super::fold::fold;
use super::run::Place;
use chorus_protocol::{
    Aftermath, Death, EngineId, NoSnapshot, Outcome, Panic, RunEvent, SnapshotState, Stream, fold_ids, name_engines,
};

/// So many failures are shown in full, and the others in one line each.
const IN_FULL: usize = 4;
/// So many calls are shown.
const CALLS: usize = 12;
/// What rayon says when its pool for all is to be made and is there, and what to do about it.
const POOL_IS_THERE: [&str; 2] = ["GlobalPoolAlreadyInitialized", "global thread pool has already been initialized"];
const ONE_POOL: &str = "  help: all cells share rayon's global pool, which is there from its first use on: restart the kernel and \
    call `build_global` before that, or make a pool of your own with `build` and use it with `install`";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// What a death costs whose worker had a snapshot.
pub const RESTORED: &str = "variables are as they were before this cell";
/// What a death doesn't cost.
pub const STILL_DEFINED: &str = "still defined: functions, types and imports; other workers keep their variables";

/// Why variables were lost, where there is more to say than how the worker died.
pub fn no_snapshot(reason: &NoSnapshot) -> Option<String> {
    match reason {
        NoSnapshot::Ended | NoSnapshot::Empty => None,
        NoSnapshot::Off => Some("there was no snapshot: snapshots are off; `%snapshot on` keeps them".to_owned()),
        NoSnapshot::TooLarge { .. } => {
            Some(format!("there was no snapshot: {reason}; `%snapshot on --limit SIZE` raises it"))
        }
        NoSnapshot::Threads(_) | NoSnapshot::NotYet | NoSnapshot::Failed(_) => {
            Some(format!("there was no snapshot: {reason}"))
        }
    }
}

/// What a run says that is the first of its worker to run without a snapshot, because there can't be one. The states are
/// those of the worker's run before it and of this one.
pub fn unprotected(before: Option<&SnapshotState>, now: &SnapshotState) -> Option<String> {
    let fails = |state: &SnapshotState| matches!(state, Err(NoSnapshot::Threads(_) | NoSnapshot::Failed(_)));
    let reason = now.as_ref().err().filter(|_| fails(now) && !before.is_some_and(fails))?;
    Some(format!("from here on, variables don't outlive a crash, an exit or an interrupt: {reason}"))
}

/// The same as if the run had written it to its stderr.
pub fn as_event(notice: &str) -> RunEvent {
    RunEvent::Output { stream: Stream::Stderr, bytes: format!("{notice}\n").into_bytes().into() }
}

/// A panic, and where in the user's cell it was, if it was there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Panicked {
    /// The panic.
    pub panic: Panic,
    /// The place.
    pub place: Option<Place>,
}

impl Panicked {
    /// `panicked at cell line 3:5: message`.
    pub(super) fn headline(&self) -> String {
        self.says("panicked")
    }

    /// The same of something else that ended what ran there.
    fn says(&self, what: &str) -> String {
        let Panic { message, file, line, column, thread, .. } = &self.panic;
        let who = match thread.as_deref() {
            None => String::new(),
            Some("") => "a thread ".to_owned(),
            Some(name) => format!("thread `{name}` "),
        };
        match &self.place {
            Some(Place { cell, line: cell_line, column: cell_column, is_call, .. }) => {
                let within = if *is_call { format!(", within {file}:{line}:{column}") } else { String::new() };
                format!("{who}{what} at {cell} line {cell_line}:{cell_column}{within}: {message}")
            }
            None => format!("{who}{what} at {file}:{line}:{column}: {message}"),
        }
    }

    /// The user's line with a caret.
    fn source(&self) -> Vec<String> {
        self.place.as_ref().map(source).unwrap_or_default()
    }
}

/// Where in the user's cells something happened, below what says so.
pub fn at_place(place: &Place) -> Vec<String> {
    let at = format!("  at {} line {}:{}", place.cell, place.line, place.column);
    std::iter::once(at).chain(source(place)).chain(calls(place)).collect()
}

/// The user's line with a caret.
fn source(Place { line, column, text, .. }: &Place) -> Vec<String> {
    let number = line.to_string();
    let before = usize::try_from(column.saturating_sub(1)).unwrap_or(0).min(text.chars().count());
    // Tabs stay tabs, so that the caret stands under the same character.
    let indent: String = text.chars().take(before).map(|c| if c == '\t' { c } else { ' ' }).collect();
    vec![format!("  {number} | {text}"), format!("  {} | {indent}{RED}^{PLAIN}", " ".repeat(number.len()))]
}

/// `in f, In[3] line 2`, `called from cell line 1`, below the panic's own line. Nothing if that is all there is to say.
fn calls(place: &Place) -> Vec<String> {
    let mut lines: Vec<(&str, usize)> = Vec::new();
    for call in &place.calls {
        match lines.last_mut() {
            Some((last, times)) if last == call => *times += 1,
            _ => lines.push((call, 1)),
        }
    }
    let here = format!("{} line {}", place.cell, place.line);
    // Optimised code may have lost the innermost function.
    let begins_here = lines.first().is_some_and(|(call, _)| call.ends_with(&here));
    if begins_here && lines.len() == 1 {
        return Vec::new();
    }
    let more = lines.len().saturating_sub(CALLS);
    let shown = lines.iter().take(CALLS).enumerate().map(|(index, (call, times))| {
        let verb = if index == 0 && begins_here { "in" } else { "called from" };
        let again = if *times > 1 { format!(" ({times} times)") } else { String::new() };
        format!("  {verb} {call}{again}")
    });
    shown.chain((more > 0).then(|| format!("  and {more} more"))).collect()
}

/// A failure in the three forms that Jupyter has for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorText {
    /// The kind of failure.
    pub ename: String,
    /// One line that says what failed.
    pub evalue: String,
    /// What is shown, with ANSI colours.
    pub traceback: Vec<String>,
}

/// How a run failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunFailure {
    /// How it ended.
    pub outcome: Outcome,
    /// The last panic before it, or what `?` returned.
    pub panic: Option<Panicked>,
    /// The variables that are gone, as the caller knows them.
    pub lost: Vec<String>,
    /// Whether the user ended it.
    pub interrupted: bool,
}

impl RunFailure {
    fn kind(&self) -> &'static str {
        match self.outcome {
            Outcome::Ok => "Ok",
            Outcome::Panicked => "Panic",
            Outcome::ReturnedError => "ReturnedError",
            Outcome::TypesChanged(_) => "TypesChanged",
            Outcome::Died(Death::EngineLost, _) => "EngineLost",
            Outcome::Died(Death::NoInput, _) => "StdinNotImplementedError",
            Outcome::Died(..) => "WorkerDied",
            Outcome::Stale => "VariablesLost",
            Outcome::LoadFailed(_) => "LoadFailed",
            Outcome::NoSuchEngine => "NoSuchEngine",
            Outcome::Cancelled => "Cancelled",
        }
    }

    /// What happened, in a sentence; only a panic's message may have several lines.
    pub(super) fn headline(&self) -> String {
        match &self.outcome {
            Outcome::Ok => "ended well".to_owned(),
            Outcome::Panicked => self.panic.as_ref().map_or_else(|| "panicked".to_owned(), Panicked::headline),
            // px tells of it as it does of a panic.
            Outcome::ReturnedError => self.panic.as_ref().map_or_else(
                || "a `?` returned an error: the cell ended there".to_owned(),
                |error| error.says("`?` returned an error"),
            ),
            Outcome::TypesChanged(names) => format!(
                "nothing ran: the types of {} were redefined, so their values are gone; run the cells that set them again",
                quote(names)
            ),
            Outcome::Died(Death::Signal(_) | Death::Stopped, Aftermath::Restored) if self.interrupted => {
                format!("interrupted; {RESTORED}")
            }
            Outcome::Died(Death::Signal(_) | Death::Stopped, _) if self.interrupted => {
                "interrupted; the worker was replaced".to_owned()
            }
            Outcome::Died(death, Aftermath::Restored) => format!("the worker {death}; {RESTORED}"),
            Outcome::Died(death, _) => format!("the worker {death}"),
            Outcome::Stale => {
                "nothing ran: variables that the cell uses are gone; run the cells that set them again".to_owned()
            }
            Outcome::LoadFailed(why) => format!("nothing ran: the compiled cell couldn't be loaded: {why}"),
            Outcome::NoSuchEngine => "nothing ran: the cluster has no such engine".to_owned(),
            Outcome::Cancelled => "nothing ran: an interrupt took it out of the queue".to_owned(),
        }
    }

    fn first_line(&self) -> String {
        let headline = self.headline();
        let mut lines = headline.lines();
        let first = lines.next().unwrap_or_default();
        if lines.next().is_some() { format!("{first} ...") } else { first.to_owned() }
    }

    /// What a cell of the notebook's own worker ends with.
    pub fn text(&self) -> ErrorText {
        let mut traceback = vec![format!("{RED}{}{PLAIN}", self.headline())];
        traceback.extend(self.details());
        ErrorText { ename: self.kind().to_owned(), evalue: self.first_line(), traceback }
    }

    /// Place and consequences, below the headline.
    fn details(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(panic) = &self.panic {
            if !matches!(self.outcome, Outcome::Panicked | Outcome::ReturnedError) {
                lines.push(format!("  it {}", panic.headline()));
            }
            lines.extend(panic.source());
            lines.extend(panic.place.iter().flat_map(calls));
            lines.extend(overflow(&panic.panic.message).map(|help| format!("  {help}")));
            if POOL_IS_THERE.iter().any(|said| panic.panic.message.contains(said)) {
                lines.push(ONE_POOL.to_owned());
            }
        }
        if !self.lost.is_empty() {
            lines.push(format!("  lost: {}", quote(&self.lost)));
            if let Outcome::Died(_, Aftermath::Lost(reason)) = &self.outcome {
                lines.extend(no_snapshot(reason).map(|why| format!("  {why}")));
                lines.push(format!("  {STILL_DEFINED}"));
            }
        }
        lines
    }
}

/// What to do about arithmetic whose result its type has no room for: std's message names the operation only.
fn overflow(message: &str) -> Option<String> {
    let method = match message.strip_prefix("attempt to ")?.strip_suffix(" with overflow")? {
        "add" => "add",
        "subtract" => "sub",
        "multiply" => "mul",
        _ => return None,
    };
    let below = if method == "sub" { "; a `usize` can't be below zero" } else { "" };
    Some(format!(
        "help: take a wider type, or say what is to happen: `checked_{method}`, `saturating_{method}`, `wrapping_{method}`{below}"
    ))
}

fn quote(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// How a parallel cell failed: on at least one engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PxFailure {
    failures: Vec<(EngineId, RunFailure)>,
    /// Whether equal failures aren't put together.
    each: bool,
}

impl PxFailure {
    /// Of these engines, if there are any.
    pub(super) fn new(failures: Vec<(EngineId, RunFailure)>, each: bool) -> Option<PxFailure> {
        (!failures.is_empty()).then_some(PxFailure { failures, each })
    }

    /// What the cell ends with.
    pub fn text(&self) -> ErrorText {
        let groups = fold(self.failures.iter().map(|(engine, failure)| (*engine, failure)), self.each);
        let Some((ids, first)) = groups.first() else { return ErrorText::default() };
        let mut traceback = Vec::new();
        for (place, (ids, failure)) in groups.iter().enumerate() {
            let label = format!("{RED}[{}:execute]{PLAIN}", fold_ids(ids));
            if place < IN_FULL {
                traceback.push(format!("{label} {}", failure.headline()));
                traceback.extend(failure.details());
            } else {
                traceback.push(format!("{label} {}", failure.first_line()));
            }
        }
        let count = self.failures.len();
        if count == 1 {
            let evalue = format!("{}: {}", name_engines(ids), first.first_line());
            return ErrorText { ename: first.kind().to_owned(), evalue, traceback };
        }
        traceback.push(format!("{RED}{count} errors{PLAIN}"));
        let evalue = format!("{count} errors: [{}:execute] {}", fold_ids(ids), first.first_line());
        ErrorText { ename: "CompositeError".to_owned(), evalue, traceback }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflows_say_what_else_there_is() {
        let said = |message: &str| overflow(message).unwrap_or_default();
        assert!(said("attempt to subtract with overflow").ends_with("`wrapping_sub`; a `usize` can't be below zero"));
        assert!(said("attempt to multiply with overflow").ends_with("`saturating_mul`, `wrapping_mul`"));
        assert_eq!(
            (said("attempt to divide by zero"), said("attempt to shift left with overflow")),
            Default::default()
        );
    }
}
