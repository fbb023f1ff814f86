//! The compiler: one evcxr, the definitions that all namespaces share, and a snapshot for each set of variables.
//!
//! Engines that ran different cells have different variables. A cell is compiled against those that all its targets
//! have, so the compiler keeps a snapshot of evcxr's state for each set of variables that occurs. A set that doesn't
//! have one yet is derived from the nearest: evcxr drops a variable when it is told that its type was lost, and
//! learns of one by a `let` that is compiled and never run. All definitions are compiled in front of each cell (see
//! `definitions`), so no snapshot's account of them matters.

use crate::cell::ahead::Ahead;
use crate::cell::cache::{Cache, CacheConfig, CachedCell, not_kept, unpack};
use crate::cell::reuse::{CacheSlot, Reuse, Surroundings};
use crate::cell::types::{CellText, CompiledCell, Config, Object};
use crate::cell::work::{Done, Work};
use crate::command::{self, Reply};
use crate::dependencies::{self, Building, Current};
use crate::messages::diagnostic::{Diagnostic, Span};
use crate::messages::failure::{self, Failure, mapped};
use crate::messages::source_map::{MappedPiece, SourceMap};
use crate::messages::unkept::ending;
use crate::messages::unused;
use crate::messages::wording;
use crate::notebook::attempts::Attempts;
use crate::notebook::definitions::change::Change;
use crate::notebook::definitions::prefix::Prefix;
use crate::notebook::definitions::{Definitions, definitions_of};
use crate::notebook::dependence::{Definition, is_stds};
use crate::notebook::identity::Identities;
use crate::notebook::namespace::{Effect, Member, Namespaces, RunEnded, Ticket, Variable, Variables};
use crate::notebook::prelude;
use crate::notebook::statics::beginnings::Beginnings;
use crate::process::evaluator::Snapshot;
use crate::process::interrupt::Interrupter;
use crate::process::snapshots::Held;
use crate::process::starting::{Evcxr, Starting};
use crate::toolchain::standard_library;
use crate::tools::rewrite::put_back;
use chorus_protocol::{Death, Outcome};
use chorus_syntax::{Call, Cell, CommandLine, FactsReader, HOLDER, defines_items};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Compiles the cells of one notebook.
pub struct Compiler {
    pub(crate) evcxr: Starting,
    pub(crate) folder: PathBuf,
    pub(crate) interrupter: Interrupter,
    pub(crate) shared: Definitions,
    pub(crate) namespaces: Namespaces,
    /// What types are, as of the last cell that may have made values of them.
    pub(crate) identities: Identities,
    /// How many settings that account has seen.
    pub(crate) identities_seen: usize,
    pub(crate) facts: FactsReader,
    /// What statics are, and were.
    pub(crate) statics: Beginnings,
    pub(crate) reuse: Reuse,
    /// The standard library that objects are linked to.
    pub(crate) standard: PathBuf,
    /// The dependencies that new cells are compiled with, once there are any.
    pub(crate) set: Option<Current>,
    /// A hash of the file that dependencies take their versions from, if there is one.
    pub(crate) versions_used: Option<[u8; 32]>,
    pub(crate) last_errors: Vec<Diagnostic>,
    /// What cells were to define that weren't accepted.
    pub(crate) attempts: Attempts,
    /// Macros of other crates that turned out to define no items.
    pub(crate) expressions: BTreeSet<String>,
    pub(crate) ahead: Ahead,
}

/// So often a compiler's process that ends in the middle of a cell is replaced: it may be the cell that ends it.
const REPLACED: usize = 3;

/// An error about one of several things: its number, and the error.
pub(crate) type Misplaced = (usize, Box<Diagnostic>);

/// What a macro call defines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Defines {
    Items,
    PerhapsItems,
    Nothing,
}

impl Compiler {
    /// Begins to start evcxr, which takes some seconds; a cell that was compiled before needn't wait for it.
    pub fn start(config: &Config) -> Result<Compiler, Diagnostic> {
        let failed = |error: std::io::Error| Diagnostic::error(format!("can't write the crate px: {error}"));
        let shared = config.cache.as_ref().map(CacheConfig::dependencies);
        let root = dependencies::root(shared.as_deref(), &config.folder).map_err(failed)?;
        let px = crate::toolchain::px::write_crate(&root).map_err(failed)?;
        // Where completion looks for it.
        std::os::unix::fs::symlink(&px, config.folder.join("px")).map_err(failed)?;
        let failed = |error: std::io::Error| Diagnostic::error(format!("can't start a thread: {error}"));
        dependencies::listen(&config.folder, config.building.clone()).map_err(failed)?;
        let cache = config.cache.as_ref().and_then(|cache| {
            let opened = Cache::open(cache.clone());
            opened.inspect_err(|error| (config.building.0)(Building::Warns(not_kept(cache, error)))).ok()
        });
        let standard = standard_library(None)?;
        let evcxr = Starting::begin(config, &px, &root, &standard).map_err(failed)?;
        Ok(Compiler {
            evcxr,
            folder: config.folder.clone(),
            interrupter: config.interrupter.clone(),
            shared: Definitions::new(),
            namespaces: Namespaces::default(),
            identities: Identities::default(),
            identities_seen: 0,
            facts: FactsReader::default(),
            statics: Beginnings::default(),
            reuse: Reuse::new(cache),
            standard,
            set: None,
            versions_used: None,
            last_errors: Vec::new(),
            attempts: Attempts::default(),
            expressions: BTreeSet::new(),
            ahead: Ahead::default(),
        })
    }

    /// Who has which variables.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The text of each definition that holds.
    pub(crate) fn definition_texts(&self) -> impl Iterator<Item = &str> {
        self.shared.current().into_iter().map(|item| item.piece.text.as_str())
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
        let mut replies = Vec::new();
        let mut lines = parsed.commands.as_slice();
        while !lines.is_empty() {
            // Dependencies that stand together are built together.
            let together = lines.iter().take_while(|line| command::is_dependency(line)).count().max(1);
            let (these, rest) = lines.split_at(together);
            match self.replacing(|compiler| compiler.command(these, members)) {
                Ok(reply) => replies.push(reply),
                Err(_) if self.interrupter.was_asked() => return Err(Failure::Interrupted),
                Err((at, error)) => return Err(Failure::Errors(vec![at_line(*error, &these[at], &cell)])),
            }
            lines = rest;
        }
        Ok(replies)
    }

    /// Runs one command, or several that add dependencies.
    fn command(&mut self, lines: &[CommandLine], members: &[Member]) -> Result<Reply, Misplaced> {
        match lines {
            [line] if !command::is_dependency(line) => {
                command::run(self, line, members).map_err(|error| (0, error.into()))
            }
            _ => command::add_dependencies(self, lines),
        }
    }

    /// Compiles the cell against the variables that all `members` have, or finds it in the cache. Commands are skipped, see
    /// [`Compiler::commands`]. Its run is taken for a success until [`Compiler::settle`] hears otherwise.
    pub fn compile(&mut self, cell: CellText<'_>, members: &[Member]) -> Result<CompiledCell, Failure> {
        self.replacing(|compiler| compiler.compile_once(cell, members))
    }

    /// Does what the compiler's process is needed for, and once more if that ends in the middle: another one learns what it
    /// knew.
    fn replacing<T, E>(&mut self, mut work: impl FnMut(&mut Compiler) -> Result<T, E>) -> Result<T, E> {
        let mut left = REPLACED;
        loop {
            self.evcxr.renew();
            let result = work(self);
            if result.is_ok() || left == 0 || self.interrupter.was_asked() || !self.evcxr.has_ended() {
                return result;
            }
            left -= 1;
        }
    }

    fn compile_once(&mut self, cell: CellText<'_>, members: &[Member]) -> Result<CompiledCell, Failure> {
        let parsed = || Cell::parse(cell.text);
        let first = parsed();
        if let Some(failure) = failure::broken(&first, &cell) {
            return Err(failure);
        }
        // A macro of another crate may define items, or not: nobody knows before it is tried.
        let calls = self.calls(&first);
        let of = |kind| move |call: &Call| calls.get(&call.path) == Some(&kind);
        let (is_item, may_be) = (of.clone()(Defines::Items), of(Defines::PerhapsItems));
        let tried: Vec<String> = first.calls.iter().filter(|call| may_be(call)).map(|call| call.path.clone()).collect();
        if tried.is_empty() {
            return self.compile_parsed(cell, first.with_items(is_item), members);
        }
        let has_place = |errors: &[Diagnostic]| errors.iter().any(|error| !error.spans.is_empty());
        match self.compile_parsed(cell, first.with_items(|call| is_item(call) || may_be(call)), members) {
            Err(Failure::Errors(errors)) => {
                match self.compile_parsed(cell, parsed().with_items(is_item), members) {
                    // The way in which rustc finds a mistake in the cell, and not in the macro, is the right one.
                    Err(Failure::Errors(others)) if has_place(&errors) && !has_place(&others) => {
                        Err(Failure::Errors(errors))
                    }
                    result => {
                        self.expressions.extend(tried.into_iter().filter(|_| result.is_ok()));
                        result
                    }
                }
            }
            result => result,
        }
    }

    /// What the cell's macro calls define, by the macros' paths.
    fn calls(&self, cell: &Cell) -> BTreeMap<String, Defines> {
        let shared = self.shared.current().into_iter().filter(|item| item.nature.is_macro);
        let mut macros: BTreeMap<&str, &str> =
            shared.filter_map(|item| Some((item.name()?, item.piece.text.as_str()))).collect();
        let own = cell.items.iter().filter(|item| item.nature.is_macro);
        macros.extend(own.filter_map(|item| Some((item.nature.name.as_deref()?, item.piece.text.as_str()))));
        let of = |call: &Call| match (macros.get(call.path.as_str()), call.path.as_str()) {
            (Some(text), _) if defines_items(text) => Defines::Items,
            (None, "thread_local" | "std::thread_local") => Defines::Items,
            (None, path) if call.braces && !is_stds(path) && !self.expressions.contains(path) => Defines::PerhapsItems,
            _ => Defines::Nothing,
        };
        cell.calls.iter().map(|call| (call.path.clone(), of(call))).collect()
    }

    fn compile_parsed(
        &mut self,
        cell: CellText<'_>,
        parsed: Cell,
        members: &[Member],
    ) -> Result<CompiledCell, Failure> {
        let items = definitions_of(&parsed, |piece| mapped(piece, &cell));
        let change = Change::of(&self.shared, &items);
        let identities = self.identities_with(&items, &change);
        let statics = self.statics_with(&items, &change);
        let outdated = self.outdated(&items, &identities);
        let mut before = self.namespaces.common(members);
        before.retain(|name, _| !outdated.iter().any(|(member, lost)| members.contains(member) && lost.contains(name)));
        let is_held = |index: usize| change.holds(index);
        let mut hides = self.hidden_with(&items, is_held);
        hides.retain(|name| !prelude::hidden(self.shared.current().into_iter()).contains(name));
        prelude::write_paths(&mut before, &hides);
        let mut pieces: Vec<MappedPiece> =
            parsed.attributes.iter().chain(&parsed.statements).map(|piece| mapped(piece, &cell)).collect();
        pieces.extend(items.iter().map(|item| item.piece.clone()));
        pieces.extend(self.shared.entries().iter().rev().map(|entry| entry.definition.piece.clone()));
        let mut engine_types = self.engine_types(&parsed, &outdated);
        engine_types.values_mut().for_each(|of_type| *of_type = prelude::with_paths(of_type, &hides));
        let mut work = Work {
            cell,
            parsed,
            items,
            change,
            pieces,
            members,
            before,
            identities,
            statics,
            hides,
            engine_types,
            own: Vec::new(),
            types: Vec::new(),
        };
        if work.parsed.rust.lines().all(|line| line.trim().is_empty() || line.starts_with("//")) {
            return Ok(CompiledCell::default());
        }

        let own = (work.items.as_slice(), &work.change, &work.identities, &work.statics);
        let places = (work.pieces.as_slice(), cell.count);
        let variables = (&work.before, &work.engine_types);
        let place = self.reuse.place(&work.parsed, own, places, &self.shared, variables, self.surroundings());
        // Where a definition changes, whether the others still fit is to be found out.
        let usable = place.filter(|_| !work.change.needs_check());
        if self.ahead.under_way && usable.is_none() {
            // It would be compiled once more when it is its turn.
            return Err(Failure::Errors(Vec::new()));
        }
        let known = usable.and_then(|place| Some((place, self.reuse.find(place, &work.before)?)));
        let known = known.and_then(|(place, found)| self.take_known(&work, place, found));
        if self.interrupter.was_asked() {
            return Err(Failure::Interrupted);
        }
        let done = match known {
            Some(done) => done,
            None => match self.build(&mut work, place) {
                Ok(done) => done,
                Err(failure) => return Err(self.explain_outdated(failure, &work.items, members, &outdated)),
            },
        };
        self.ahead.compiled(usable.map(|place| place.key));
        Ok(self.finish(work, outdated, done))
    }

    /// The names of the prelude that mean something else beside these items and the definitions that `holds` names.
    pub(crate) fn hidden_with(&self, items: &[Definition], holds: impl Fn(usize) -> bool) -> BTreeSet<&'static str> {
        let held = self.shared.entries().iter().enumerate().filter(|(index, _)| holds(*index));
        prelude::hidden(held.map(|(_, entry)| &entry.definition).chain(items))
    }

    pub(crate) fn surroundings(&self) -> Surroundings<'_> {
        let versions = self.versions_used.as_ref();
        Surroundings { standard: &self.standard, set: self.set.as_ref(), versions }
    }

    /// What an object that takes its dependencies from this library needs to be loaded before it.
    pub(crate) fn preload(&self, library: Option<&PathBuf>) -> Vec<PathBuf> {
        std::iter::once(&self.standard).chain(library).cloned().collect()
    }

    /// An object from the cache. `None` if it can't be had.
    fn take_known(&mut self, work: &Work<'_>, place: CacheSlot, found: CachedCell) -> Option<Done> {
        let defined = work.parsed.lets.iter().map(|binding| binding.name.clone()).collect();
        // Definitions alone take and store nothing.
        let stores = if found.object.is_empty() { "" } else { found.source.as_str() };
        let put_back = put_back(stores).into_iter().map(str::to_owned).collect();
        let (ending, cell) = (ending(stores), work.cell.count);
        let effect = Effect { before: found.before, after: found.after, defined, put_back, ending, cell };
        let source = SourceMap::new(found.source, work.pieces.clone());
        let warnings = unused::told(&source, &work.cell);
        if found.object.is_empty() {
            return Some(Done { effect, object: None, warnings });
        }
        let path = unpack(&self.folder, place.key, &found.object);
        let path =
            path.inspect_err(|error| tracing::warn!(%error, "an object from the cache can't be written")).ok()?;
        let object = Object {
            path,
            entry: found.entry,
            preload: self.preload(found.library.as_ref()),
            needs_variables: !effect.before.is_empty(),
            has_result: work.parsed.has_result,
            cached: true,
            source,
            place: Some(place),
        };
        self.reuse.loaded(place);
        Some(Done { effect, object: Some(object), warnings })
    }

    /// An object from the cache couldn't be loaded: the cell is compiled the next time.
    pub fn discard(&mut self, object: &Object) {
        object.place.into_iter().for_each(|place| self.reuse.remove(place));
    }

    pub(crate) fn keep(
        &mut self,
        place: CacheSlot,
        object: Option<&Object>,
        source: &str,
        before: &Variables,
        after: &Variables,
    ) {
        let (bytes, entry) = match object {
            Some(object) => match std::fs::read(&object.path) {
                Ok(bytes) => (bytes, object.entry.clone()),
                Err(error) => return tracing::warn!(%error, "the cell's object can't be read"),
            },
            None => Default::default(),
        };
        // The first library is the standard one.
        let library = object.and_then(|object| object.preload.get(1).cloned());
        let (source, before, after) = (source.to_owned(), before.clone(), after.clone());
        let cell = CachedCell { object: bytes, entry, source, before, after, library };
        self.reuse.keep(place, &cell);
        self.reuse.loaded(place);
    }

    /// Enters a cell that was compiled into the accounts.
    fn finish(&mut self, work: Work<'_>, outdated: Vec<(Member, Vec<String>)>, done: Done) -> CompiledCell {
        let mut notices = work.change.notices(&self.shared, &work.items);
        notices.extend(wording::of_main(&work.parsed));
        notices.extend(crate::notebook::statics::notice_of_made(&work.items, &self.shared.current()));
        self.attempts.forget(&work.parsed, &work.items);
        let left_out = work.change.reasons.keys().map(|index| &self.shared.entries()[*index].definition);
        let left_out = left_out.filter(|item| item.nature.is_type).filter_map(Definition::name).collect();
        let mut outdated = outdated;
        outdated.extend(self.with_types(&left_out));
        self.shared.apply(work.items, &work.change);
        self.namespaces.write_paths(&work.hides);
        if let (false, Some(evcxr)) = (work.hides.is_empty(), self.evcxr.ready()) {
            evcxr.snapshots.forget(|type_name| prelude::with_paths(type_name, &work.hides) != type_name);
        }
        notices.extend(crate::notebook::statics::notice(&work.statics.anew(&self.statics)));
        self.statics = work.statics;
        let moved = work.identities.moved();
        let is_edit = |(name, it): &(&String, &String)| !name.starts_with(HOLDER) && !self.identities.has(name, it);
        for (name, identity) in moved.iter().filter(is_edit) {
            self.reuse.note_edit(name, identity);
        }
        self.identities = work.identities;
        self.identities_seen = self.shared.settings_len();
        self.settle_types(&outdated);
        let run = done.object.map(|object| (object, self.namespaces.begin(work.members, &done.effect)));
        CompiledCell { run, outdated, notices, warnings: done.warnings }
    }

    /// Notes how a run ended for one member. Returns the variables that were lost by it.
    pub fn settle(&mut self, ticket: Ticket, ended: &RunEnded) -> Vec<String> {
        if ended.outcome != Outcome::Ok {
            self.ahead = Ahead::default();
        }
        self.namespaces.settle(ticket, ended)
    }

    /// See [`Namespaces::died`].
    pub fn died(&mut self, member: Member, death: Death, generation: Option<u32>) -> Vec<String> {
        self.ahead = Ahead::default();
        self.namespaces.died(member, death, generation)
    }

    /// The names of the statics of all definitions.
    pub fn statics(&self) -> Vec<String> {
        self.statics.names().map(str::to_owned).collect()
    }

    /// Notes that members have a variable that none of their cells has defined, of a type as `std::any::type_name` has
    /// it. An error says why their cells can't use it: its type can't be written in one.
    pub fn define(&mut self, members: &[(Member, u32)], name: &str, type_name: &str) -> Result<(), Failure> {
        let variable = Variable { type_name: crate::cell::type_names::as_written(type_name), mutable: true };
        let has = |member: &Member| self.namespaces.variables(*member).get(name) == Some(&variable);
        let is_known = members.iter().all(|(member, _)| has(member));
        let ended = |&(member, generation): &(Member, u32)| RunEnded { member, outcome: Outcome::Ok, generation };
        let text = format!("let _: fn({}) = |_| ();", variable.type_name);
        let cell = CellText { text: &text, count: 0, first_line: 1, cell: &text, users: CellText::ALL };
        let all: Vec<Member> = members.iter().map(|(member, _)| *member).collect();
        // That there is nothing to run is known, and a variable of this type doesn't need to be asked for again.
        if !is_known && let Some((_, ticket)) = self.compile(cell, &all)?.run {
            members.iter().for_each(|member| _ = self.settle(ticket, &ended(member)));
        }
        let after = Variables::from([(name.to_owned(), variable)]);
        let effect = Effect { after, defined: [name.to_owned()].into(), ..Effect::default() };
        let ticket = self.namespaces.begin(&all, &effect);
        members.iter().for_each(|member| _ = self.settle(ticket, &ended(member)));
        Ok(())
    }

    pub(crate) fn settle_types(&mut self, lost: &[(Member, Vec<String>)]) {
        for (member, names) in lost {
            let ticket = self.namespaces.begin(&[*member], &Effect::default());
            let outcome = Outcome::TypesChanged(names.clone());
            // It defines nothing, so its generation says nothing.
            self.namespaces.settle(ticket, &RunEnded { member: *member, outcome, generation: 0 });
        }
    }

    /// How long the compiler's process may be idle before [`Compiler::rest`] is called for.
    pub fn rests_after() -> Duration {
        crate::process::finder::rests_after()
    }

    /// Gives back the memory of the compiler's process. The next new cell waits until there is another one.
    pub fn rest(&mut self) {
        self.evcxr.rest();
    }

    /// Forgets all definitions and all variables; dependencies that were built stay built.
    pub fn clear(&mut self) {
        self.attempts.clear();
        self.ahead = Ahead::default();
        self.shared = Definitions::new();
        self.identities = Identities::default();
        self.statics = self.statics.cleared();
        if let Some(evcxr) = self.evcxr.ready() {
            evcxr.snapshots.clear();
        }
        self.namespaces.clear();
    }

    /// Documentation of what stands at the end of `code`: text and markdown.
    pub fn hover(&mut self, code: &str, members: &[Member]) -> Result<(String, String), Diagnostic> {
        self.evcxr.renew();
        let variables = self.namespaces.common(members);
        let Evcxr { evaluator, snapshots } = self.evcxr.get().map_err(Failure::into_diagnostic)?;
        let (snapshot, held) = snapshots.any(&variables);
        let code = format!("{}{code}", Prefix::whole(&self.shared, &held.for_good).text);
        evaluator.hover(&code, &snapshot).map_err(|error| Diagnostic::error(error.to_string()))
    }

    /// Keeps a snapshot that has seen all settings.
    pub(crate) fn remember(&mut self, variables: Variables, for_good: BTreeSet<String>, snapshot: Snapshot) {
        let held = Held { settings: self.shared.settings_len(), for_good };
        if let Some(evcxr) = self.evcxr.ready() {
            evcxr.snapshots.remember(variables, held, snapshot);
        }
    }
}

/// The error, at the place of the command that it is about.
fn at_line(mut error: Diagnostic, line: &CommandLine, cell: &CellText<'_>) -> Diagnostic {
    let number = cell.first_line + line.line - 1;
    error.spans.push(Span {
        line: number,
        column: 1,
        end_line: number,
        end_column: line.text.chars().count() + 1,
        label: String::new(),
        primary: true,
        text: line.text.clone(),
        cell: None,
    });
    error
}
