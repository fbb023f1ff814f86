//! The compiler: one evcxr, the definitions that all namespaces share, and a snapshot for each set of variables.
//!
//! Engines that ran different cells have different variables. A cell is compiled against those that all its targets
//! have, so the compiler keeps a snapshot of evcxr's state for each set of variables that occurs. A set that doesn't
//! have one yet is derived from the nearest: evcxr drops a variable when it is told that its type was lost, and
//! learns of one by a `let` that is compiled and never run. A snapshot also remembers how much of the shared
//! definitions it has seen; those that it lacks are compiled in front of the next cell.

use crate::cell::Cell;
use crate::command::{self, Reply};
use crate::diagnostic::{Diagnostic, Level, LineMap, Span};
use crate::evaluator::{Answer, Evaluator, Setting, Snapshot};
use crate::interrupt::Interrupter;
use crate::namespace::{Effect, Member, Namespaces, Ticket, Variable, Variables};
use crate::shared::Definitions;
use crate::snapshots::Snapshots;
use crate::source_map::{MappedPiece, SourceMap};
use crate::toolchain::standard_library;
use chorus_protocol::{Death, Outcome};
use std::ffi::OsString;
use std::path::PathBuf;

/// How to start a compiler.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program that calls [`crate::relay_main`], given `relay_args` and then the socket.
    pub relay: PathBuf,
    /// Its arguments.
    pub relay_args: Vec<OsString>,
    /// An empty folder for everything that is built; see [`crate::prepare_environment`].
    pub folder: PathBuf,
    /// Interrupts compilations from other threads.
    pub interrupter: Interrupter,
}

/// A text to compile.
#[derive(Clone, Copy, Debug)]
pub struct CellText<'a> {
    /// Rust, with `:` commands in front if any.
    pub text: &'a str,
    /// The cell's execution count.
    pub count: u32,
    /// The number of the text's first line in the whole cell, 1-based.
    pub first_line: usize,
    /// The whole cell, whose lines are shown with errors.
    pub cell: &'a str,
}

/// A compiled cell.
#[derive(Clone, Debug)]
pub struct Object {
    /// The shared object. It stays as it is until the compiler is dropped.
    pub path: PathBuf,
    /// The symbol to call.
    pub entry: String,
    /// Libraries to load first.
    pub preload: Vec<PathBuf>,
    /// Whether it loads any variable.
    pub needs_variables: bool,
    /// Whether the cell ends in an expression.
    pub has_result: bool,
    /// Finds the user's line for a panic's.
    pub source: SourceMap,
}

/// What came of an object.
#[derive(Clone, Debug)]
pub enum Ran {
    /// It ran, and this is how it ended for each member.
    Finished(Vec<(Member, Outcome)>),
    /// It was sent; [`Compiler::settle`] hears later how it ended.
    Submitted,
}

/// A cell that was compiled.
#[derive(Clone, Debug, Default)]
pub struct Evaluated {
    /// For [`Compiler::settle`], when the object was [`Ran::Submitted`].
    pub ticket: Option<Ticket>,
    /// Variables that members lost by it.
    pub lost: Vec<(Member, Vec<String>)>,
}

/// Why a cell wasn't compiled. Nothing was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// These are wrong with it.
    Errors(Vec<Diagnostic>),
    /// The user interrupted the compilation.
    Interrupted,
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Failure {
        Failure::Errors(vec![diagnostic])
    }
}

/// Compiles the cells of one notebook.
pub struct Compiler {
    evaluator: Evaluator,
    interrupter: Interrupter,
    pub(crate) shared: Definitions,
    snapshots: Snapshots,
    namespaces: Namespaces,
    preload: Vec<PathBuf>,
    pub(crate) last_errors: Vec<Diagnostic>,
}

impl Compiler {
    /// Starts evcxr. This takes some seconds, and no cell can be compiled before.
    pub fn start(config: &Config) -> Result<Compiler, Diagnostic> {
        let failed = |what: &str, error: &dyn std::fmt::Display| Diagnostic::error(format!("{what}: {error}"));
        let px = crate::px::write_crate(&config.folder).map_err(|error| failed("can't write the crate px", &error))?;
        let evaluator = Evaluator::start(&config.relay, &config.relay_args, &config.folder)
            .map_err(|error| failed("evcxr can't be started; is the Rust toolchain installed?", &error))?;
        let plain = evaluator.snapshot();
        let px =
            Setting::Dependency { name: "px".into(), config: format!("{{ path = {:?} }}", px.display().to_string()) };
        // evcxr prints what cargo says it compiles into the stderr of whoever started the kernel: a console's prompt.
        let quiet = Setting::BuildEnv("CARGO_TERM_QUIET".into(), "true".into());
        let base = evaluator
            .configure(&plain, &px)
            .and_then(|base| evaluator.configure(&base, &quiet))
            .map_err(|error| failed("the crate px can't be used", &error))?;
        Ok(Compiler {
            evaluator,
            interrupter: config.interrupter.clone(),
            shared: Definitions::new(),
            snapshots: Snapshots::new(base),
            namespaces: Namespaces::default(),
            preload: vec![standard_library(None)?],
            last_errors: Vec::new(),
        })
    }

    /// Builds px and lets rust-analyzer read the standard library, which the first cell would wait for otherwise.
    pub fn warm_up(&mut self) -> Result<(), Diagnostic> {
        let (snapshot, seen) = self.snapshots.any(&Variables::new());
        let prefix = self.shared.text(seen);
        let code =
            format!("{prefix}let warm: Vec<usize> = vec![1].into_iter().map(|x: usize| x + 1).collect();\nwarm.len()");
        self.evaluator
            .eval(&code, &snapshot, &mut |_| Answer::Succeeded)
            .map_err(|error| Diagnostic::error(error.to_string()))?;
        Ok(())
    }

    /// Who has which variables.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// For members that leave.
    pub fn namespaces_mut(&mut self) -> &mut Namespaces {
        &mut self.namespaces
    }

    /// Runs the `:` commands that stand at the beginning of the cell, in order, for the namespace of `members`.
    pub fn commands(&mut self, cell: CellText<'_>, members: &[Member]) -> Result<Vec<Reply>, Failure> {
        let parsed = Cell::parse(cell.text);
        parsed
            .commands
            .iter()
            .map(|line| {
                command::run(self, line, members).map_err(|error| {
                    if self.interrupter.was_asked() {
                        return Failure::Interrupted;
                    }
                    let mut error = error;
                    error.spans.push(Span {
                        line: cell.first_line + line.line - 1,
                        column: 1,
                        end_line: cell.first_line + line.line - 1,
                        end_column: line.text.chars().count() + 1,
                        label: String::new(),
                        primary: true,
                        text: line.text.clone(),
                    });
                    Failure::Errors(vec![error])
                })
            })
            .collect()
    }

    /// Compiles the cell against the variables that all `members` have, and lets `run` run it. Commands are skipped,
    /// see [`Compiler::commands`]. `run` may be called again when variables turn out to be of a redefined type.
    pub fn eval(
        &mut self,
        cell: CellText<'_>,
        members: &[Member],
        run: &mut (dyn FnMut(&Object) -> Ran + Send),
    ) -> Result<Evaluated, Failure> {
        let parsed = Cell::parse(cell.text);
        if let Some(broken) = &parsed.broken {
            let place = mapped(std::slice::from_ref(&broken.piece), &cell).map(|piece| whole(&piece, broken.label));
            return Err(Failure::from(Diagnostic { spans: place.collect(), ..Diagnostic::error(broken.message) }));
        }
        let mut before = self.namespaces.common(members);
        let (snapshot, seen) = self.snapshot_for(&before)?;
        let prefix = self.shared.text(seen);
        let (snapshot, prefix_lines) = (self.configured(&snapshot, seen)?, prefix.matches('\n').count());

        let mut pieces: Vec<MappedPiece> = mapped(&parsed.statements, &cell).collect();
        pieces.extend(mapped(&parsed.items, &cell));
        pieces.extend(self.shared.pieces());
        let (preload, generated) = (self.preload.clone(), self.evaluator.generated_source());
        let nothing_to_run = parsed.statements.is_empty();
        let (interrupter, mut given_up) = (self.interrupter.clone(), false);
        let mut ran = None;
        let mut types_lost: Vec<(Member, Vec<String>)> = Vec::new();
        let result = self.evaluator.eval(&format!("{prefix}{}", parsed.rust), &snapshot, &mut |request| {
            if interrupter.was_asked() {
                // It came while nothing could be killed: rust-analyzer was at work, or cargo had just ended.
                given_up = true;
                return Answer::Panicked;
            }
            if nothing_to_run {
                return Answer::Succeeded;
            }
            let source = generated.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
            let object = Object {
                path: request.object,
                entry: request.entry,
                preload: preload.clone(),
                needs_variables: !before.is_empty(),
                has_result: parsed.has_result,
                source: SourceMap::new(source, pieces.clone()),
            };
            let outcome = run(&object);
            let answer = answer(&outcome, &before);
            if let (Answer::VariablesLost(names), Ran::Finished(outcomes)) = (&answer, &outcome) {
                before.retain(|name, _| !names.contains(name));
                types_lost.extend(outcomes.iter().filter_map(|(member, outcome)| match outcome {
                    Outcome::TypesChanged(names) => Some((*member, names.clone())),
                    _ => None,
                }));
                return answer;
            }
            ran = Some(outcome);
            answer
        });
        for (member, names) in &types_lost {
            self.settle_now(*member, &Outcome::TypesChanged(names.clone()));
        }
        if given_up {
            return Err(Failure::Interrupted);
        }
        let resulting = match result {
            Ok(resulting) => resulting,
            Err(error) => {
                let error = self.clearer(error, &parsed, &prefix, &snapshot);
                return Err(self.failure(error, members, &cell, prefix_lines));
            }
        };
        self.last_errors.clear();
        let named = parsed.items.iter().any(|item| item.named);
        self.shared.add(mapped(&parsed.items, &cell).collect(), named);

        let after = self.variables_after(&before, &parsed);
        self.snapshots.remember(after.clone(), self.shared.len(), resulting);
        let defined = parsed.lets.iter().map(|binding| binding.name.clone()).collect();
        let effect = Effect { before, after, defined };
        let Some(ran) = ran else { return Ok(Evaluated::default()) };
        let ticket = self.namespaces.begin(members, &effect);
        match ran {
            Ran::Submitted => Ok(Evaluated { ticket: Some(ticket), lost: types_lost }),
            Ran::Finished(outcomes) => {
                let mut lost = types_lost;
                for (member, outcome) in outcomes {
                    let names = self.settle(ticket, member, &outcome);
                    if !names.is_empty() {
                        lost.push((member, names));
                    }
                }
                Ok(Evaluated { ticket: None, lost })
            }
        }
    }

    /// Notes how a submitted run ended for one member. Returns the variables that were lost by it.
    pub fn settle(&mut self, ticket: Ticket, member: Member, outcome: &Outcome) -> Vec<String> {
        self.namespaces.settle(ticket, member, outcome)
    }

    /// Notes that a member's worker died while it ran nothing. Returns the variables that were lost.
    pub fn died(&mut self, member: Member, death: Death) -> Vec<String> {
        self.namespaces.died(member, death)
    }

    fn settle_now(&mut self, member: Member, outcome: &Outcome) {
        let ticket = self.namespaces.begin(&[member], &Effect::default());
        self.namespaces.settle(ticket, member, outcome);
    }

    /// Forgets all definitions and all variables; dependencies that were built stay built.
    pub fn clear(&mut self) {
        self.shared = Definitions::new();
        self.snapshots.clear();
        self.namespaces = Namespaces::default();
    }

    /// Documentation of what stands at the end of `code`: text and markdown.
    pub fn hover(&mut self, code: &str, members: &[Member]) -> Result<(String, String), Diagnostic> {
        let (snapshot, seen) = self.snapshots.any(&self.namespaces.common(members));
        let code = format!("{}{code}", self.shared.text(seen));
        self.evaluator.hover(&code, &snapshot).map_err(|error| Diagnostic::error(error.to_string()))
    }

    /// Changes a setting for all namespaces, after trying it.
    pub(crate) fn set(&mut self, setting: Setting) -> Result<(), Diagnostic> {
        let failed = |error: evcxr::Error| Diagnostic::error(error.to_string());
        self.evaluator.configure(self.snapshots.base(), &setting).map_err(failed)?;
        if let Setting::Toolchain(name) = &setting {
            self.preload = vec![standard_library(Some(name))?];
        }
        self.shared.add_setting(setting);
        Ok(())
    }

    /// Builds the dependencies now, so that a mistake in one is reported where it was made.
    pub(crate) fn build_dependencies(&mut self) -> Result<(), Diagnostic> {
        let failed = |failure: Failure| match failure {
            Failure::Errors(mut errors) if !errors.is_empty() => errors.remove(0),
            _ => Diagnostic::error("interrupted"),
        };
        let variables = self.namespaces.variables(Member::Local);
        let (snapshot, seen) = self.snapshot_for(&variables).map_err(failed)?;
        let snapshot = self.configured(&snapshot, seen).map_err(failed)?;
        let prefix = self.shared.text(seen);
        let result = self.evaluator.eval(&format!("{prefix}();"), &snapshot, &mut |_| Answer::Succeeded);
        match result {
            Ok(snapshot) => {
                self.snapshots.remember(variables, self.shared.len(), snapshot);
                Ok(())
            }
            Err(error) => {
                self.shared.take_back();
                Err(Diagnostic::error(error.to_string()))
            }
        }
    }

    fn configured(&self, snapshot: &Snapshot, seen: usize) -> Result<Snapshot, Failure> {
        let mut snapshot = snapshot.clone();
        for setting in self.shared.settings(seen) {
            let failed = |error: evcxr::Error| Failure::from(Diagnostic::error(error.to_string()));
            snapshot = self.evaluator.configure(&snapshot, setting).map_err(failed)?;
        }
        Ok(snapshot)
    }

    /// A snapshot, how much it has seen, and the variables that evcxr must be told to drop.
    /// A snapshot with exactly these variables, and how much of the shared definitions it has seen.
    fn snapshot_for(&mut self, variables: &Variables) -> Result<(Snapshot, usize), Failure> {
        let (snapshot, seen, difference) = self.snapshots.nearest(variables);
        if difference.is_empty() {
            return Ok((snapshot, seen));
        }
        let snapshot = self.configured(&snapshot, seen)?;
        let derived = difference.derive(&mut self.evaluator, &self.shared.text(seen), snapshot).map_err(|error| {
            let what = "the variables of these engines can't be brought together";
            Failure::from(Diagnostic::error(format!("{what}: {error}")))
        })?;
        self.snapshots.remember(variables.clone(), self.shared.len(), derived.clone());
        Ok((derived, self.shared.len()))
    }

    fn variables_after(&self, before: &Variables, cell: &Cell) -> Variables {
        self.evaluator
            .variables()
            .map(|(name, type_name)| {
                let binding = cell.lets.iter().rev().find(|binding| binding.name == name);
                let mutable = binding
                    .map(|binding| binding.mutable)
                    .or_else(|| before.get(name).map(|variable| variable.mutable))
                    .unwrap_or(false);
                (name.to_owned(), Variable { type_name: type_name.to_owned(), mutable })
            })
            .collect()
    }

    /// An error in a cell's last expression is in code that evcxr made of it, and then evcxr may keep rustc's advice and
    /// drop the error. The same cell without a result has the error in the user's own code.
    fn clearer(&mut self, error: evcxr::Error, cell: &Cell, prefix: &str, snapshot: &Snapshot) -> evcxr::Error {
        let evcxr::Error::CompilationErrors(errors) = &error else { return error };
        let unclear = |error: &evcxr::CompilationError| !matches!(error.level(), "error" | "warning");
        if !cell.has_result || !errors.iter().any(unclear) || self.interrupter.was_asked() {
            return error;
        }
        let code = format!("{prefix}{};", cell.rust.trim_end());
        match self.evaluator.eval(&code, snapshot, &mut |_| Answer::Panicked) {
            Err(evcxr::Error::CompilationErrors(clearer)) => evcxr::Error::CompilationErrors(clearer),
            _ => error,
        }
    }

    fn failure(&mut self, error: evcxr::Error, members: &[Member], cell: &CellText<'_>, prefix: usize) -> Failure {
        if self.interrupter.was_asked() {
            return Failure::Interrupted;
        }
        let lines = LineMap { prefix, first_line: cell.first_line, lines: cell.cell.lines().collect() };
        let mut errors: Vec<Diagnostic> = match &error {
            evcxr::Error::CompilationErrors(errors) => {
                errors.iter().map(|error| Diagnostic::from_evcxr(error, &lines)).collect()
            }
            other => vec![Diagnostic::error(other.to_string())],
        };
        errors.dedup();
        if errors.iter().any(|error| error.level == Level::Error) {
            // A warning, perhaps of another cell, isn't what keeps this one from running.
            errors.retain(|error| error.level == Level::Error);
        }
        let result = Cell::parse(cell.text).result().and_then(|piece| mapped(std::slice::from_ref(piece), cell).next());
        for error in &mut errors {
            let about_display = ["`Debug`", "`std::fmt::Display`"].iter().any(|name| error.message.contains(name));
            if let (true, true, Some(result)) = (error.spans.is_empty(), about_display, &result) {
                // evcxr shows the cell's result in code of its own, where rustc finds the error.
                error.spans.push(whole(result, "this is the cell's result, which is to be shown"));
            }
            let name = error.message.strip_prefix("cannot find value `").and_then(|rest| rest.split('`').next());
            let missing = name.and_then(|name| self.namespaces.explain_missing(name, members));
            // rustc's guesses at a similar name only mislead where the reason is known.
            if let Some(reason) = missing {
                error.notes.clear();
                let (why, what_next) = reason.split_once('\n').unwrap_or((&reason, ""));
                error.notes.push(format!("note: {why}"));
                error.notes.extend((!what_next.is_empty()).then(|| format!("help: {what_next}")));
            }
        }
        self.last_errors.clone_from(&errors);
        Failure::Errors(errors)
    }
}

fn mapped<'a>(pieces: &'a [crate::cell::Piece], cell: &CellText<'a>) -> impl Iterator<Item = MappedPiece> + use<'a> {
    let CellText { count, first_line, cell, .. } = *cell;
    pieces.iter().map(move |piece| {
        let line = piece.line + first_line - 1;
        MappedPiece {
            cell: count,
            line,
            column: piece.column,
            text: piece.text.clone(),
            first_line: cell.lines().nth(line - 1).unwrap_or_default().to_owned(),
        }
    })
}

/// The place of a piece's first line.
fn whole(piece: &MappedPiece, label: &str) -> Span {
    let first = piece.text.lines().next().unwrap_or_default();
    Span {
        line: piece.line,
        column: piece.column,
        end_line: piece.line,
        end_column: piece.column + first.chars().count(),
        label: label.to_owned(),
        primary: true,
        text: piece.first_line.clone(),
    }
}

/// What evcxr has to know: that the new variables exist, if they do for anybody.
fn answer(ran: &Ran, stored: &Variables) -> Answer {
    let Ran::Finished(outcomes) = ran else { return Answer::Succeeded };
    if outcomes.iter().any(|(_, outcome)| *outcome == Outcome::Ok) {
        return Answer::Succeeded;
    }
    let mut lost: Vec<String> = outcomes
        .iter()
        .filter_map(|(_, outcome)| match outcome {
            Outcome::TypesChanged(names) => Some(names.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    // A cell can print anything, but only a variable that is there can be lost; so this comes to an end.
    lost.retain(|name| stored.contains_key(name));
    lost.sort();
    lost.dedup();
    if !lost.is_empty() {
        return Answer::VariablesLost(lost);
    }
    match outcomes.iter().any(|(_, outcome)| *outcome == Outcome::ReturnedError) {
        true => Answer::ReturnedError,
        false => Answer::Panicked,
    }
}
