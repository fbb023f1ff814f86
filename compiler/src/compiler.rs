//! The compiler: one evcxr, the definitions that all namespaces share, and a snapshot for each set of variables.
//!
//! Engines that ran different cells have different variables. A cell is compiled against those that all its targets
//! have, so the compiler keeps a snapshot of evcxr's state for each set of variables that occurs. A set that doesn't
//! have one yet is derived from the nearest: evcxr drops a variable when it is told that its type was lost, and
//! learns of one by a `let` that is compiled and never run. A snapshot also remembers how much of the shared
//! definitions it has seen; those that it lacks are compiled in front of the next cell.

use crate::cache::{CachedCell, unpack};
use crate::command::{self, Reply};
use crate::dependence::{Definition, contains_type};
use crate::diagnostic::{Diagnostic, Span};
use crate::evaluator::{Answer, Snapshot};
use crate::failure::{self, Failure, mapped};
use crate::interrupt::Interrupter;
use crate::namespace::{Effect, Member, Namespaces, Ticket, Variable, Variables};
use crate::reuse::{Place, Reuse};
use crate::rewrite::taken;
use crate::setting::Setting;
use crate::shared::Definitions;
use crate::source_map::{MappedPiece, SourceMap};
use crate::starting::{Evcxr, Starting};
use crate::toolchain::standard_library;
use crate::types::{CellText, Config, Evaluated, Object, Ran};
use crate::work::{Done, Work};
use chorus_protocol::{Death, Outcome};
use chorus_syntax::Cell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Compiles the cells of one notebook.
pub struct Compiler {
    evcxr: Starting,
    folder: PathBuf,
    interrupter: Interrupter,
    pub(crate) shared: Definitions,
    namespaces: Namespaces,
    reuse: Reuse,
    preload: Vec<PathBuf>,
    pub(crate) last_errors: Vec<Diagnostic>,
}

impl Compiler {
    /// Begins to start evcxr, which takes some seconds; a cell that was compiled before needn't wait for it.
    pub fn start(config: &Config) -> Result<Compiler, Diagnostic> {
        let failed = |error: std::io::Error| Diagnostic::error(format!("can't write the crate px: {error}"));
        let px = crate::px::write_crate(&config.folder).map_err(failed)?;
        let failed = |error: std::io::Error| Diagnostic::error(format!("can't start a thread for evcxr: {error}"));
        let evcxr = Starting::begin(config, &px).map_err(failed)?;
        Ok(Compiler {
            evcxr,
            folder: config.folder.clone(),
            interrupter: config.interrupter.clone(),
            shared: Definitions::new(),
            namespaces: Namespaces::default(),
            reuse: Reuse::open(config.cache.as_ref()),
            preload: vec![standard_library(None)?],
            last_errors: Vec::new(),
        })
    }

    /// Who has which variables.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Where everything is built.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
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

    /// Compiles the cell against the variables that all `members` have, and lets `run` run it; or only runs it, if it
    /// was compiled before. Commands are skipped, see [`Compiler::commands`]. `run` may be called again when variables
    /// turn out to be of a redefined type.
    pub fn eval(
        &mut self,
        cell: CellText<'_>,
        members: &[Member],
        run: &mut (dyn FnMut(&Object) -> Ran + Send),
    ) -> Result<Evaluated, Failure> {
        let parsed = Cell::parse(cell.text);
        if let Some(failure) = failure::broken(&parsed, &cell) {
            return Err(failure);
        }
        let natures = parsed.items.iter().map(|item| item.nature.clone());
        let items = mapped(parsed.items.iter().map(|item| &item.piece), &cell);
        let items: Vec<Definition> = items.zip(natures).map(|(piece, nature)| Definition { piece, nature }).collect();
        let outdated = self.outdated(&items);
        let anew = self.anew(&items);
        let mut before = self.namespaces.common(members);
        before.retain(|name, _| !outdated.iter().any(|(member, lost)| members.contains(member) && lost.contains(name)));
        let mut pieces: Vec<MappedPiece> = mapped(parsed.attributes.iter().chain(&parsed.statements), &cell).collect();
        pieces.extend(items.iter().map(|item| item.piece.clone()));
        pieces.extend(self.shared.pieces());
        let mut work = Work { cell, parsed, items, pieces, members, before, types_lost: Vec::new() };

        let place = self.reuse.place(&work.parsed, &work.items, &self.shared, &work.before, &self.preload);
        let known = place.and_then(|place| Some((place, self.reuse.find(place, &work.before)?)));
        let done = match known {
            Some((place, found)) => self.run_known(&mut work, place, found, run)?,
            None => None,
        };
        let done = match done {
            Some(done) => done,
            None => self.compile(&mut work, place, run)?,
        };
        Ok(Evaluated { anew, ..self.finish(work, outdated, done) })
    }

    /// The statics that these items make others, so that they begin anew.
    fn anew(&self, items: &[Definition]) -> Vec<String> {
        if items.is_empty() {
            return Vec::new();
        }
        let current = self.shared.current();
        let text = |item: &'_ Definition| item.piece.text.clone();
        let before: Vec<String> = current.iter().map(|item| text(item)).collect();
        let is_replaced = |item: &Definition| item.name().is_some() && items.iter().any(|it| it.name() == item.name());
        let kept = current.iter().filter(|item| !is_replaced(item)).map(|item| text(item));
        crate::statics::changed(&before, &kept.chain(items.iter().map(text)).collect::<Vec<_>>())
    }

    /// The variables, by member, that have a type in them that these items define anew: their values aren't what the
    /// new definition says, and evcxr, which only compares names, would take them for it.
    fn outdated(&self, items: &[Definition]) -> Vec<(Member, Vec<String>)> {
        let current = self.shared.current();
        let is_changed = |item: &&Definition| {
            let same_name = current.iter().filter(|other| other.name().is_some() && other.name() == item.name());
            item.nature.is_type && same_name.into_iter().any(|other| other.piece.text != item.piece.text)
        };
        let changed: BTreeSet<&str> = items.iter().filter(is_changed).filter_map(Definition::name).collect();
        if changed.is_empty() {
            return Vec::new();
        }
        let of = |member| {
            let variables = self.namespaces.variables(member).into_iter();
            let lost = variables.filter(|(_, variable)| contains_type(&variable.type_name, &changed, &current));
            (member, lost.map(|(name, _)| name).collect::<Vec<_>>())
        };
        self.namespaces.members().into_iter().map(of).filter(|(_, lost)| !lost.is_empty()).collect()
    }

    /// Runs an object from the cache. `None` if it turned out to be of no use.
    fn run_known(
        &mut self,
        work: &mut Work<'_>,
        place: Place,
        found: CachedCell,
        run: &mut (dyn FnMut(&Object) -> Ran + Send),
    ) -> Result<Option<Done>, Failure> {
        if self.interrupter.was_asked() {
            return Err(Failure::Interrupted);
        }
        let defined = work.parsed.lets.iter().map(|binding| binding.name.clone()).collect();
        let effect = Effect { before: found.before, after: found.after, defined };
        if found.object.is_empty() {
            return Ok(Some(Done { effect, ran: None }));
        }
        let path = match unpack(&self.folder, place.key, &found.object) {
            Ok(path) => path,
            Err(error) => {
                tracing::warn!(%error, "an object from the cache can't be written");
                return Ok(None);
            }
        };
        let object = Object {
            path,
            entry: found.entry,
            preload: self.preload.clone(),
            needs_variables: !effect.before.is_empty(),
            has_result: work.parsed.has_result,
            source: SourceMap::new(found.source, work.pieces.clone()),
        };
        self.reuse.loaded(place);
        let ran = run(&object);
        let Ran::Finished(outcomes) = &ran else { return Ok(Some(Done { effect, ran: Some(ran) })) };
        if let Answer::VariablesLost(_) = work.answer(&ran) {
            return Ok(None);
        }
        let failed = |outcome: &Outcome| matches!(outcome, Outcome::LoadFailed(_));
        if !outcomes.is_empty() && outcomes.iter().all(|(_, outcome)| failed(outcome)) {
            self.reuse.remove(place);
            return Ok(None);
        }
        Ok(Some(Done { effect, ran: Some(ran) }))
    }

    /// Compiles the cell, runs it, and keeps it.
    fn compile(
        &mut self,
        work: &mut Work<'_>,
        place: Option<Place>,
        run: &mut (dyn FnMut(&Object) -> Ran + Send),
    ) -> Result<Done, Failure> {
        let (snapshot, seen) = self.snapshot_for(&work.before)?;
        let prefix = crate::evaluator::kept_whole(self.shared.text(seen), &work.parsed.rust);
        let snapshot = self.configured(&snapshot, seen)?;
        let code = work.parsed.behind(&prefix);
        let preload = self.preload.clone();
        let interrupter = self.interrupter.clone();
        let evaluator = &mut self.evcxr.get()?.evaluator;
        let generated = evaluator.generated_source();
        let nothing_to_run = work.parsed.statements.is_empty();
        let (mut given_up, mut ran, mut last, mut loaded) = (false, None, None, Variables::new());
        let result = evaluator.eval(&code, &snapshot, &mut |request| {
            if interrupter.was_asked() {
                // It came while nothing could be killed: rust-analyzer was at work, or cargo had just ended.
                given_up = true;
                return Answer::Panicked;
            }
            if nothing_to_run {
                return Answer::Succeeded;
            }
            let source = generated.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
            let taken = taken(&source);
            loaded = work.before.clone();
            loaded.retain(|name, _| taken.contains(name.as_str()));
            let object = Object {
                path: request.object,
                entry: request.entry,
                preload: preload.clone(),
                needs_variables: !loaded.is_empty(),
                has_result: work.parsed.has_result,
                source: SourceMap::new(source, work.pieces.clone()),
            };
            let outcome = run(&object);
            let answer = work.answer(&outcome);
            last = Some(object);
            if !matches!(answer, Answer::VariablesLost(_)) {
                ran = Some(outcome);
            }
            answer
        });
        if given_up || result.is_err() {
            self.settle_types(&work.types_lost);
        }
        if given_up {
            return Err(Failure::Interrupted);
        }
        let resulting = match result {
            Ok(resulting) => resulting,
            Err(error) => {
                let error = self.clearer(error, &work.parsed, &prefix, &snapshot);
                return Err(self.failure(&error, work, prefix.matches('\n').count()));
            }
        };
        let after = self.variables_after(&work.before, &work.parsed);
        // The items are about to be shared, so this snapshot will have seen them.
        let seen = self.shared.len() + usize::from(!work.items.is_empty());
        self.remember(after.clone(), seen, resulting);
        // What isn't loaded stays as it is.
        let untouched = |name: &String| work.before.contains_key(name) && !loaded.contains_key(name);
        let after: Variables = after.into_iter().filter(|(name, _)| !untouched(name)).collect();
        let before = loaded;
        if let (Some(place), true) = (place, work.types_lost.is_empty()) {
            self.keep(place, last.as_ref(), &before, &after);
        }
        let defined = work.parsed.lets.iter().map(|binding| binding.name.clone()).collect();
        Ok(Done { effect: Effect { before, after, defined }, ran })
    }

    fn keep(&mut self, place: Place, object: Option<&Object>, before: &Variables, after: &Variables) {
        let (bytes, entry, source) = match object {
            Some(object) => match std::fs::read(&object.path) {
                Ok(bytes) => (bytes, object.entry.clone(), object.source.generated().to_owned()),
                Err(error) => return tracing::warn!(%error, "the cell's object can't be read"),
            },
            None => Default::default(),
        };
        let cell = CachedCell { object: bytes, entry, source, before: before.clone(), after: after.clone() };
        self.reuse.keep(place, &cell);
        self.reuse.loaded(place);
    }

    /// Enters a cell that was compiled, and perhaps run, into the accounts.
    fn finish(&mut self, work: Work<'_>, outdated: Vec<(Member, Vec<String>)>, done: Done) -> Evaluated {
        let named = work.parsed.items.iter().any(|item| item.named);
        self.shared.add(work.items, named);
        self.settle_types(&outdated);
        self.settle_types(&work.types_lost);
        let mut evaluated = Evaluated { ticket: None, lost: work.types_lost, outdated, anew: Vec::new() };
        let Some(ran) = done.ran else { return evaluated };
        let ticket = self.namespaces.begin(work.members, &done.effect);
        match ran {
            Ran::Submitted => evaluated.ticket = Some(ticket),
            Ran::Finished(outcomes) => {
                for (member, outcome) in outcomes {
                    let names = self.settle(ticket, member, &outcome);
                    if !names.is_empty() {
                        evaluated.lost.push((member, names));
                    }
                }
            }
        }
        evaluated
    }

    /// Notes how a submitted run ended for one member. Returns the variables that were lost by it.
    pub fn settle(&mut self, ticket: Ticket, member: Member, outcome: &Outcome) -> Vec<String> {
        self.namespaces.settle(ticket, member, outcome)
    }

    /// Notes that a member's worker died while it ran nothing, and that no snapshot carries on. Returns the variables that were lost.
    pub fn died(&mut self, member: Member, death: Death) -> Vec<String> {
        self.namespaces.died(member, death)
    }

    fn settle_types(&mut self, lost: &[(Member, Vec<String>)]) {
        for (member, names) in lost {
            let ticket = self.namespaces.begin(&[*member], &Effect::default());
            self.namespaces.settle(ticket, *member, &Outcome::TypesChanged(names.clone()));
        }
    }

    /// Forgets all definitions and all variables; dependencies that were built stay built.
    pub fn clear(&mut self) {
        self.shared = Definitions::new();
        if let Some(evcxr) = self.evcxr.ready() {
            evcxr.snapshots.clear();
        }
        self.namespaces = Namespaces::default();
    }

    /// Documentation of what stands at the end of `code`: text and markdown.
    pub fn hover(&mut self, code: &str, members: &[Member]) -> Result<(String, String), Diagnostic> {
        let variables = self.namespaces.common(members);
        let Evcxr { evaluator, snapshots } = self.evcxr.get().map_err(Failure::into_diagnostic)?;
        let (snapshot, seen) = snapshots.any(&variables);
        let code = format!("{}{code}", self.shared.text(seen));
        evaluator.hover(&code, &snapshot).map_err(|error| Diagnostic::error(error.to_string()))
    }

    /// Changes a setting for all namespaces, after trying it.
    pub(crate) fn set(&mut self, setting: Setting) -> Result<(), Diagnostic> {
        let failed = |error: evcxr::Error| Diagnostic::error(error.to_string());
        let Evcxr { evaluator, snapshots } = self.evcxr.get().map_err(Failure::into_diagnostic)?;
        evaluator.configure(snapshots.base(), &setting).map_err(failed)?;
        if let Setting::Toolchain(name) = &setting {
            self.preload = vec![standard_library(Some(name))?];
        }
        self.shared.add_setting(setting);
        Ok(())
    }

    /// Adds a dependency and builds it now, so that a mistake in it is reported where it was made. One that was built
    /// before is built when a cell needs to be compiled.
    pub(crate) fn add_dependency(&mut self, setting: Setting) -> Result<(), Diagnostic> {
        self.shared.add_setting(setting.clone());
        let place = self.reuse.dependencies(&self.shared, &self.preload);
        if place.is_some_and(|place| self.reuse.find(place, &Variables::new()).is_some()) {
            return Ok(());
        }
        self.shared.take_back();
        self.set(setting)?;
        if let Err(failure) = self.build_dependencies() {
            self.shared.take_back();
            return Err(failure.into_diagnostic());
        }
        if let Some(place) = place {
            self.reuse.keep(place, &CachedCell::default());
        }
        Ok(())
    }

    fn build_dependencies(&mut self) -> Result<(), Failure> {
        let variables = self.namespaces.variables(Member::Local);
        let (snapshot, seen) = self.snapshot_for(&variables)?;
        let snapshot = self.configured(&snapshot, seen)?;
        let code = format!("{}();", self.shared.text(seen));
        let built = self.evcxr.get()?.evaluator.eval(&code, &snapshot, &mut |_| Answer::Succeeded);
        let built = built.map_err(|error| Failure::from(Diagnostic::error(error.to_string())))?;
        self.remember(variables, self.shared.len(), built);
        Ok(())
    }

    fn configured(&mut self, snapshot: &Snapshot, seen: usize) -> Result<Snapshot, Failure> {
        let mut snapshot = snapshot.clone();
        let evaluator = &self.evcxr.get()?.evaluator;
        for setting in self.shared.settings(seen) {
            let failed = |error: evcxr::Error| Failure::from(Diagnostic::error(error.to_string()));
            snapshot = evaluator.configure(&snapshot, setting).map_err(failed)?;
        }
        Ok(snapshot)
    }

    /// A snapshot with exactly these variables, and how much of the shared definitions it has seen.
    fn snapshot_for(&mut self, variables: &Variables) -> Result<(Snapshot, usize), Failure> {
        let (snapshot, seen, difference) = self.evcxr.get()?.snapshots.nearest(variables);
        if difference.is_empty() {
            return Ok((snapshot, seen));
        }
        let snapshot = self.configured(&snapshot, seen)?;
        let unseen = self.shared.text(seen);
        let derived = difference.derive(&mut self.evcxr.get()?.evaluator, &unseen, snapshot).map_err(|error| {
            let what = "the variables that the cell can use can't be brought together";
            Failure::from(Diagnostic::error(format!("{what}: {error}")))
        })?;
        self.remember(variables.clone(), self.shared.len(), derived.clone());
        Ok((derived, self.shared.len()))
    }

    fn remember(&mut self, variables: Variables, seen: usize, snapshot: Snapshot) {
        if let Some(evcxr) = self.evcxr.ready() {
            evcxr.snapshots.remember(variables, seen, snapshot);
        }
    }

    fn variables_after(&mut self, before: &Variables, cell: &Cell) -> Variables {
        let Some(evcxr) = self.evcxr.ready() else { return before.clone() };
        evcxr
            .evaluator
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
        let Some(evcxr) = self.evcxr.ready() else { return error };
        match evcxr.evaluator.eval(&code, snapshot, &mut |_| Answer::Panicked) {
            Err(evcxr::Error::CompilationErrors(clearer)) => evcxr::Error::CompilationErrors(clearer),
            _ => error,
        }
    }

    fn failure(&mut self, error: &evcxr::Error, work: &Work<'_>, prefix: usize) -> Failure {
        if self.interrupter.was_asked() {
            return Failure::Interrupted;
        }
        let errors = failure::diagnostics(error, &work.cell, prefix, &self.namespaces, work.members);
        self.last_errors.clone_from(&errors);
        Failure::Errors(errors)
    }
}
