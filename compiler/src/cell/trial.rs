//! Compiles a cell, and finds out what of the older definitions doesn't fit it.
//!
//! A cell counts if it is right by itself. So when rustc finds mistakes in definitions of earlier cells, these are left
//! out, and the cell is compiled once more. If it is right without them, they are set aside; if it isn't, the cell is
//! refused and nothing has changed.

use crate::cell::reuse::CacheSlot;
use crate::cell::types::Object;
use crate::cell::unnamed;
use crate::cell::work::{Done, Work};
use crate::compiler::Compiler;
use crate::dependencies::Current;
use crate::messages::complaint::{Complaint, Error};
use crate::messages::diagnostic::Diagnostic;
use crate::messages::failure::{self, Failure, mapped};
use crate::messages::source_map::{MappedPiece, SourceMap};
use crate::messages::unkept::ending;
use crate::messages::unused;
use crate::notebook::definitions::change::Change;
use crate::notebook::definitions::prefix::Prefix;
use crate::notebook::definitions::verdict::{Mistake, blamed, missing, mistakes};
use crate::notebook::dependence::{Definition, Dependence};
use crate::notebook::engine_vars;
use crate::notebook::identity::UNMOVABLE;
use crate::notebook::namespace::{Effect, Variable, Variables};
use crate::notebook::prelude;
use crate::process::evaluator::Snapshot;
use crate::process::snapshots::Held;
use crate::tools::debug;
use crate::tools::probe::with_types;
use crate::tools::rewrite::{put_back, taken};
use chorus_syntax::{Cell, Nature, Piece};
use std::collections::BTreeSet;

/// The codes of mistakes that no definition beside those that a cell reaches could mend: its names are known, and the types
/// don't fit, or values are borrowed or moved as they can't be.
const OWN: [&str; 10] = ["E0308", "E0381", "E0382", "E0384", "E0499", "E0502", "E0505", "E0506", "E0596", "E0597"];

/// A text that evcxr refused.
pub(crate) struct Failed {
    pub error: Error,
    pub prefix: Prefix,
    /// What was compiled.
    code: String,
    /// Against which state.
    pub snapshot: Snapshot,
}

impl Compiler {
    /// Compiles the cell, and keeps it.
    pub(crate) fn build(&mut self, work: &mut Work<'_>, place: Option<CacheSlot>) -> Result<Done, Failure> {
        // What the cell can't reach needn't be compiled, unless it may not fit what the cell defines.
        let mut reach = work.items.is_empty().then(|| self.reach(work));
        let mut first: Option<Vec<Diagnostic>> = None;
        let mut place = place;
        let mut unknown: Option<Failed> = None;
        loop {
            let failed = match self.attempt(work, place, reach.as_ref())? {
                Ok(done) => return Ok(done),
                Err(failed) => failed,
            };
            if let (true, Some(failed)) = (is_unmovable(&failed.error), unknown.take()) {
                // The type that rustc tells has no name here.
                return Err(self.refuse(failed, first, work));
            }
            if is_unmovable(&failed.error) && !work.identities.moved().is_empty() {
                self.identities = self.identities.without(&work.identities.moved());
                work.identities = self.identities_with(&work.items, &work.change);
                // Its key is that of types that were moved.
                place = None;
                continue;
            }
            if self.interrupter.was_asked() {
                return Err(Failure::Interrupted);
            }
            if reach.take().is_some_and(|reach| reach.len() < self.shared.current().len())
                && !is_cells_own(&failed.error)
            {
                continue;
            }
            if let Some(statement) = unnamed::ends_with_cell(&failed.error, work) {
                work.own.push(statement);
                continue;
            }
            if let Some(typed) = self.ask(&failed, work) {
                work.types.push(typed);
                unknown = Some(failed);
                continue;
            }
            let blamed = blamed(&self.mistakes(&failed), &work.change);
            if blamed.is_empty() {
                return Err(self.refuse(failed, first, work));
            }
            if first.is_none() {
                let Failed { error, prefix, .. } = &failed;
                first = Some(failure::diagnostics(error, &work.cell, prefix, &self.namespaces, work.members));
            }
            for (index, reason) in blamed {
                // Of a cell's own, under another condition, this one is the predecessor.
                let name = self.shared.entries()[index].definition.name();
                let is_second = name.is_some() && work.items.iter().any(|item| item.name() == name);
                match is_second && reason.contains("defined multiple times") {
                    true => work.change.replace(index),
                    false => work.change.leave_out(index, reason),
                }
            }
            work.identities = self.identities_with(&work.items, &work.change);
            work.statics = self.statics_with(&work.items, &work.change);
        }
    }

    /// The numbers of the definitions that the cell reaches.
    fn reach(&self, work: &Work<'_>) -> BTreeSet<usize> {
        let found =
            Dependence::of_cell(&work.parsed, &work.items, &self.shared.current(), (&work.before, &work.engine_types));
        let entries = self.shared.entries().iter().enumerate().filter(|(index, _)| work.change.holds(*index));
        let reached = entries.filter(|(_, entry)| found.definitions.contains(entry.definition.piece.text.as_str()));
        reached.map(|(index, _)| index).collect()
    }

    fn mistakes(&mut self, failed: &Failed) -> Vec<Mistake> {
        let source = self.evcxr.ready().map(|evcxr| evcxr.evaluator.generated_source()).unwrap_or_default();
        mistakes(&failed.error, &failed.prefix, &failed.code, &source)
    }

    /// Compiles the cell with the definitions that hold beside it, of those that it can `reach`.
    fn attempt(
        &mut self,
        work: &mut Work<'_>,
        place: Option<CacheSlot>,
        reach: Option<&BTreeSet<usize>>,
    ) -> Result<Result<Done, Failed>, Failure> {
        let folder = self.evcxr.get()?.evaluator.folder().to_owned();
        let failed = |error: std::io::Error| Failure::from(Diagnostic::error(format!("can't build: {error}")));
        work.identities.write(&folder).and_then(|()| work.statics.write(&folder)).map_err(failed)?;
        debug::write(&work.pieces, work.cell.count, &folder).map_err(failed)?;
        engine_vars::write(&work.engine_types, &folder).map_err(failed)?;
        let (snapshot, held) = match self.snapshot_for(&work.before, &work.change)? {
            Ok(found) => found,
            Err(failed) => return Ok(Err(failed)),
        };
        let snapshot = self.configured(&snapshot, held.settings)?;
        let holds = |index| work.change.holds(index) && reach.is_none_or(|reach| reach.contains(&index));
        let pieces = self.in_front(work);
        let places: Vec<MappedPiece> = pieces.iter().map(|piece| mapped(piece, &work.cell)).collect();
        // The text of an import isn't that of its `use`.
        let is_same =
            |item: &Definition, piece: &MappedPiece| (item.piece.line, item.piece.column) == (piece.line, piece.column);
        let moved = work.items.iter().filter(|item| places.iter().any(|piece| is_same(item, piece)));
        let mut prefix = Prefix::of(&self.shared, moved, &held.for_good, holds);
        prefix.before = work.parsed.attributes.iter().map(|piece| piece.text.chars().count() + 1).sum();
        let code = work.parsed.behind(&prefix.text, pieces);
        let code = with_types(code, &work.types, &work.parsed.statements, prefix.lines());
        let code = unnamed::out_of_sight(code, &work.own, &work.parsed.statements, prefix.lines());
        let standard = self.preload(None);
        let nothing_to_run = work.parsed.statements.is_empty();
        let compiled = self.evcxr.get()?.evaluator.eval(&code, &snapshot, &[]);
        // It may have come while nothing could be killed: rust-analyzer was at work, or cargo had just ended.
        if self.interrupter.was_asked() {
            return Err(Failure::Interrupted);
        }
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(error) => return Ok(Err(Failed { error, prefix, code, snapshot })),
        };
        let mut effect = Effect { cell: work.cell.count, ..Effect::default() };
        let mut object = None;
        let source = self.evcxr.get()?.evaluator.generated_source();
        let map = SourceMap::new(source.clone(), work.pieces.clone());
        let warnings = unused::told(&map, &work.cell);
        if let Some(to_run) = compiled.to_run.filter(|_| !nothing_to_run) {
            let library = Current::read(&self.folder).and_then(|current| current.library);
            let taken = taken(&source);
            effect.before = work.before.clone();
            effect.before.retain(|name, _| taken.contains(name.as_str()));
            effect.put_back = put_back(&source).into_iter().map(str::to_owned).collect();
            effect.ending = ending(&source);
            object = Some(Object {
                path: to_run.object,
                entry: to_run.entry,
                preload: standard.iter().cloned().chain(library.map(|library| library.path)).collect(),
                needs_variables: !effect.before.is_empty(),
                has_result: work.parsed.has_result,
                cached: false,
                source: map.clone(),
                place: None,
            });
        }
        let after = variables_after(compiled.variables, &work.before, &work.parsed);
        let own = work.items.iter().filter(|item| item.is_for_good()).map(|item| item.piece.text.clone());
        self.remember(after.clone(), prefix.for_good.into_iter().chain(own).collect(), compiled.snapshot);
        // What isn't loaded stays as it is, and evcxr doesn't know what ends.
        let untouched = |name: &String| work.before.contains_key(name) && !effect.before.contains_key(name);
        let is_stored = |name: &String| !untouched(name) && !effect.ending.contains_key(name);
        effect.after = after.into_iter().filter(|(name, _)| is_stored(name)).collect();
        if let (Some(place), true) = (place, work.change.is_plain()) {
            // Definitions alone have no object: their source is kept for what is warned of.
            let source = if object.is_some() || !warnings.is_empty() { map.generated() } else { "" };
            self.keep(place, object.as_ref(), source, &effect.before, &effect.after);
        }
        effect.defined = work.parsed.lets.iter().map(|binding| binding.name.clone()).collect();
        Ok(Ok(Done { effect, object, warnings }))
    }

    /// The cell's items that stand in front of it, among the definitions.
    pub(crate) fn in_front<'w>(&self, work: &'w Work<'_>) -> Vec<&'w Piece> {
        let natures: Vec<&Nature> = work.parsed.items.iter().map(|item| &item.nature).collect();
        let moves = Prefix::moves(&self.shared, &natures, |index| work.change.holds(index));
        let in_front = work.parsed.items.iter().zip(moves).filter(|(item, moves)| *moves || item.is_misread);
        in_front.map(|(item, _)| &item.piece).collect()
    }

    /// A snapshot with exactly these variables, and what it has of what is shared.
    pub(crate) fn snapshot_for(
        &mut self,
        variables: &Variables,
        change: &Change,
    ) -> Result<Result<(Snapshot, Held), Failed>, Failure> {
        let entries = self.shared.entries().iter().enumerate();
        // A cell's change isn't made yet; only what turned out not to fit can't be of use.
        let held = entries.filter(|(index, entry)| entry.aside.is_none() && !change.reasons.contains_key(index));
        let all: Vec<&Definition> = held.clone().map(|(_, entry)| &entry.definition).collect();
        let wanted: BTreeSet<&str> = all.iter().map(|item| item.piece.text.as_str()).collect();
        let (snapshot, held_by, difference) =
            self.evcxr.get()?.snapshots.nearest(variables, |text| wanted.contains(text));
        if difference.is_empty() {
            return Ok(Ok((snapshot, held_by)));
        }
        let types = variables.values().flat_map(|variable| prelude::words(&variable.type_name)).collect();
        let needed = Dependence::of_words(types, &all).definitions;
        let is_needed = |index: &usize| needed.contains(self.shared.entries()[*index].definition.piece.text.as_str());
        let needed: BTreeSet<usize> = held.map(|(index, _)| index).filter(is_needed).collect();
        let prefix = Prefix::of(&self.shared, [], &held_by.for_good, |index| needed.contains(&index));
        let snapshot = self.configured(&snapshot, held_by.settings)?;
        let derived = difference.derive(&mut self.evcxr.get()?.evaluator, &prefix, snapshot.clone());
        let derived = match derived {
            Ok(derived) => derived,
            Err(error) => {
                let code = prefix.text.clone();
                return Ok(Err(Failed { error, prefix, code, snapshot }));
            }
        };
        self.remember(variables.clone(), prefix.for_good.clone(), derived.clone());
        Ok(Ok((derived, Held { settings: self.shared.settings_len(), for_good: prefix.for_good })))
    }

    /// Says why the cell isn't accepted. `first` is what was wrong before anything was left out.
    fn refuse(&mut self, failed: Failed, first: Option<Vec<Diagnostic>>, work: &Work<'_>) -> Failure {
        if self.ahead.under_way {
            // It is said when it is its turn.
            return Failure::Errors(Vec::new());
        }
        let failed = self.clearer(failed, &work.parsed);
        if self.interrupter.was_asked() {
            return Failure::Interrupted;
        }
        let mistakes = self.mistakes(&failed);
        let lacks: Vec<Option<usize>> =
            mistakes.iter().map(|mistake| missing(mistake, &self.shared, &work.change)).collect();
        let entries = self.shared.entries();
        let is_new = |index: &usize| entries[*index].aside.is_none();
        let needed: BTreeSet<usize> = lacks.iter().flatten().copied().collect();
        let mut errors = match first {
            // The cell is right but for what it needs of the definitions that don't fit: these are what is wrong.
            Some(mut first) if !lacks.is_empty() && lacks.iter().all(|lacks| lacks.as_ref().is_some_and(is_new)) => {
                let needed: Vec<String> = needed.iter().map(|index| entries[*index].label()).collect();
                let unchanged = if work.items.is_empty() { "" } else { ", so nothing was changed" };
                let note = format!("note: the cell needs {}{unchanged}", needed.join(" and "));
                first.iter_mut().filter(|error| error.spans.iter().any(|span| span.cell.is_some())).for_each(|error| {
                    error.notes.push(note.clone());
                });
                first
            }
            _ => {
                let Failed { error, prefix, .. } = &failed;
                let mut errors = failure::diagnostics(error, &work.cell, prefix, &self.namespaces, work.members);
                for error in &mut errors {
                    let of_error = |mistake: &&Mistake| mistake.message == error.message && mistake.code == error.code;
                    let Some(index) =
                        mistakes.iter().find(of_error).and_then(|it| missing(it, &self.shared, &work.change))
                    else {
                        continue;
                    };
                    // rustc's guesses at a similar name only mislead where the reason is known.
                    error.notes = notes_of(&self.shared.entries()[index], work.change.reasons.get(&index));
                }
                if needed.is_empty()
                    && let Some(error) = errors.first_mut()
                {
                    let left_out = work.change.reasons.iter().filter(|(index, _)| is_new(index));
                    let note = |(index, why): (&usize, &String)| {
                        format!("note: {} didn't fit: {why}", entries[*index].label())
                    };
                    error.notes.extend(left_out.map(note));
                }
                errors
            }
        };
        errors.iter_mut().for_each(|error| self.attempts.explain(error));
        failure::say_once(&mut errors);
        self.attempts.add(work.cell.count, &work.parsed, &work.items);
        self.last_errors.clone_from(&errors);
        Failure::Errors(errors)
    }

    /// An error in a cell's last expression is in code that evcxr made of it, and then evcxr may keep rustc's advice and
    /// drop the error. The same cell without a result has the error in the user's own code.
    fn clearer(&mut self, failed: Failed, cell: &Cell) -> Failed {
        let unclear = |error: &Complaint| !matches!(error.level.as_str(), "error" | "warning");
        if !cell.has_result || !failed.error.complaints().iter().any(unclear) || self.interrupter.was_asked() {
            return failed;
        }
        let code = format!("{};", failed.code.trim_end());
        let Some(evcxr) = self.evcxr.ready() else { return failed };
        match evcxr.evaluator.eval(&code, &failed.snapshot, &[]) {
            Err(error @ Error::Complaints(_)) => Failed { error, code, ..failed },
            _ => failed,
        }
    }
}

/// Whether all that rustc says is of [`OWN`].
fn is_cells_own(error: &Error) -> bool {
    let is_own = |error: &Complaint| error.code.as_deref().is_some_and(|code| OWN.contains(&code));
    matches!(error, Error::Complaints(errors) if errors.iter().all(is_own))
}

/// Whether rustc only refuses that types are moved.
fn is_unmovable(error: &Error) -> bool {
    error.complaints().iter().any(|error| error.message.contains(UNMOVABLE))
}

/// The variables with their types as evcxr knows them behind the cell.
fn variables_after(known: Vec<(String, String)>, before: &Variables, cell: &Cell) -> Variables {
    let with_mutability = |(name, type_name): (String, String)| {
        let binding = cell.lets.iter().rev().find(|binding| binding.name == name);
        let mutable = binding
            .map(|binding| binding.mutable)
            .or_else(|| before.get(&name).map(|variable| variable.mutable))
            .unwrap_or(false);
        (name, Variable { type_name, mutable })
    };
    known.into_iter().map(with_mutability).collect()
}

/// What is to be said of a definition that isn't there.
fn notes_of(entry: &crate::notebook::definitions::Entry, new: Option<&String>) -> Vec<String> {
    match (&entry.aside, new) {
        (Some(aside), _) => {
            vec![
                format!("note: {} is set aside: {}", entry.label(), aside.reason),
                format!("help: edit it and run its cell again{}", aside.or_back()),
            ]
        }
        (None, reason) => {
            reason.map(|reason| format!("note: {} didn't fit: {reason}", entry.label())).into_iter().collect()
        }
    }
}
