//! Changes what all namespaces have in common besides definitions: settings and dependencies.

use crate::compiler::{Compiler, Misplaced};
use crate::dependencies::{Current, Set};
use crate::messages::complaint::Error;
use crate::messages::diagnostic::Diagnostic;
use crate::messages::failure::Failure;
use crate::messages::wording;
use crate::notebook::definitions::change::Change;
use crate::notebook::definitions::prefix::Prefix;
use crate::notebook::namespace::{Member, describe};
use crate::notebook::setting::Setting;
use crate::process::evaluator::Snapshot;
use crate::process::starting::Evcxr;
use crate::toolchain::standard_library;
use std::collections::BTreeSet;

impl Compiler {
    /// Changes a setting for all namespaces, after trying it.
    pub(crate) fn set(&mut self, setting: Setting) -> Result<(), Diagnostic> {
        let failed = |error: Error| Diagnostic::error(error.to_string());
        let Evcxr { evaluator, snapshots } = self.evcxr.get().map_err(Failure::into_diagnostic)?;
        evaluator.configure(snapshots.base(), &setting).map_err(failed)?;
        if let Setting::Toolchain(name) = &setting {
            self.standard = standard_library(Some(name))?;
        }
        self.shared.add_setting(setting);
        Ok(())
    }

    /// Adds dependencies and builds them now, so that a mistake in one is reported where it was made. What was built
    /// before, on this machine, is only noted.
    /// Returns what becomes of variables by it, if anything does; an error says which of them it is about.
    pub(crate) fn add_dependencies(&mut self, settings: &[Setting]) -> Result<Option<String>, Misplaced> {
        let before = self.set.clone();
        self.build_or_adopt(settings)?;
        let of = |current: Option<&Current>| current.and_then(|current| Set::of(&current.set));
        let (Some(before), Some(after)) = (of(before.as_ref()), of(self.set.as_ref())) else { return Ok(None) };
        let changed = before.lacking_in(&after);
        let lost = self.with_types(&changed.iter().map(String::as_str).collect());
        self.settle_types(&lost);
        Ok(built_otherwise(&lost, &changed))
    }

    fn build_or_adopt(&mut self, settings: &[Setting]) -> Result<(), Misplaced> {
        settings.iter().for_each(|setting| self.shared.add_setting(setting.clone()));
        let take_back = |compiler: &mut Compiler| settings.iter().for_each(|_| compiler.shared.take_back());
        let place = self.reuse.dependencies(&self.shared, self.surroundings());
        let known = place.and_then(|place| self.reuse.find_set(place)).filter(|set| set.adopt(&self.folder));
        if known.is_some() {
            self.set = known;
            return Ok(());
        }
        // Each is tried by itself, before anything is built.
        let failed = |error: Error| Diagnostic::error(wording::of_cargo(&error.to_string()));
        let mut tried = settings.iter().enumerate().map(|(at, setting)| {
            let Evcxr { evaluator, snapshots } =
                self.evcxr.get().map_err(|failure| (at, failure.into_diagnostic().into()))?;
            evaluator.configure(snapshots.base(), setting).map(drop).map_err(|error| (at, failed(error).into()))
        });
        let tried = tried.try_for_each(|tried| tried);
        let last = settings.len().saturating_sub(1);
        let built =
            tried.and_then(|()| self.build_dependencies().map_err(|error| (last, error.into_diagnostic().into())));
        if built.is_err() {
            take_back(self);
            return built;
        }
        self.set = Current::read(&self.folder).filter(|current| current.library.is_some());
        if let (Some(place), Some(set)) = (place, &self.set) {
            self.reuse.keep_set(place, set);
        }
        Ok(())
    }

    pub(crate) fn build_dependencies(&mut self) -> Result<(), Failure> {
        let variables = self.namespaces.variables(Member::Local);
        let failed = |error: Error| Failure::from(Diagnostic::error(error.to_string()));
        let (snapshot, held) = self.snapshot_for(&variables, &Change::default())?.map_err(|it| failed(it.error))?;
        let snapshot = self.configured(&snapshot, held.settings)?;
        let prefix = Prefix::of(&self.shared, [], &held.for_good, |_| false);
        let code = format!("{}();", prefix.text);
        let built = self.evcxr.get()?.evaluator.eval(&code, &snapshot, &[]).map_err(failed)?;
        self.remember(variables, prefix.for_good, built.snapshot);
        Ok(())
    }

    pub(crate) fn configured(&mut self, snapshot: &Snapshot, seen: usize) -> Result<Snapshot, Failure> {
        let mut snapshot = snapshot.clone();
        let evaluator = &mut self.evcxr.get()?.evaluator;
        for setting in self.shared.settings(seen) {
            let failed = |error: Error| Failure::from(Diagnostic::error(error.to_string()));
            snapshot = evaluator.configure(&snapshot, setting).map_err(failed)?;
        }
        Ok(snapshot)
    }
}

/// Says which variables went because dependencies are built otherwise than before.
fn built_otherwise(lost: &[(Member, Vec<String>)], crates: &BTreeSet<String>) -> Option<String> {
    let of = |(member, names): &(Member, Vec<String>)| format!("`{}` of {}", names.join("`, `"), describe(&[*member]));
    let lost: Vec<String> = lost.iter().map(of).collect();
    let mut named: Vec<String> = crates.iter().take(5).map(|name| format!("`{name}`")).collect();
    if crates.len() > named.len() {
        named.push("others".into());
    }
    let text = format!(
        "Lost: {}. With what was added, cargo builds {} otherwise than before, because it unites the features that a crate \
         is asked for; so their types are others. Add all dependencies before the first variable.\n",
        lost.join("; "),
        named.join(", ")
    );
    (!lost.is_empty()).then_some(text)
}
