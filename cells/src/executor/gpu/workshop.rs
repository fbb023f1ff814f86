//! Compiles functions for GPUs, with the crates that they name.

use crate::failure::{Failure, Kind, failure};
use crate::jobs::OnGpus;
use chorus_compiler::{Module, Modules, Package, find_program};
use chorus_gpu::build::{self, Built, Compiler, Failed};
use chorus_gpu::crates::{self, Crates, Dependency};
use chorus_gpu::source::{Crate, Definition};
use chorus_gpu::toolchain::{self, Target};
use chorus_gpu::{math, native, source};
use px::link::Layout;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a kernel has found out about GPUs' compiler, and what it has compiled.
#[derive(Debug, Default)]
pub(in crate::executor) struct Workshop {
    target: Option<Target>,
    /// For GPUs, and for this machine.
    mathematics: [Option<Crates>; 2],
    /// What follows is of this one.
    package: Option<Package>,
    dependencies: Vec<Dependency>,
    /// By who runs them, and their names. What fails isn't tried again.
    crates: HashMap<(By, Vec<String>), Result<Crates, String>>,
    /// Whether a function has needed a crate whose names it doesn't have in it, such as one of a trait.
    needs_all: bool,
    /// Optional definitions of what isn't there for GPUs.
    unresolved: BTreeSet<String>,
    /// By who runs it, and the text.
    built: HashMap<(By, String), Arc<OnGpus>>,
}

/// Who runs a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum By {
    Gpus,
    /// With the bits that GPUs have. A function that has them anyway isn't compiled for this.
    Processors,
    /// That is found out when it begins.
    Either,
}

/// A function, and what it reaches.
pub(super) struct Order {
    /// The notebook's dependencies, if it has any.
    pub package: Option<Package>,
    pub definitions: Vec<Definition>,
    pub function: String,
    /// Where what is built for all kernels is.
    pub cache: PathBuf,
    /// What other kernels have compiled.
    pub kept: Option<Arc<Modules>>,
}

/// Crates for a function.
#[derive(Default)]
struct Found {
    crates: Crates,
    /// Why others can't be had that it may use.
    lacking: Vec<String>,
    /// Whether others are imported, and weren't looked at.
    left: bool,
}

/// What rustc says of a function that can't be compiled.
pub(super) struct Refused {
    pub said: Vec<Value>,
    /// What it says it of.
    pub source: Crate,
    /// What the function can't have, and why.
    pub lacking: Vec<String>,
}

/// Why there is no code.
pub(super) enum Why {
    Refused(Box<Refused>),
    Other(Failure),
}

impl From<crates::Failed> for Why {
    fn from(error: crates::Failed) -> Why {
        other(error)
    }
}

fn other(error: impl std::fmt::Display) -> Why {
    Why::Other(failure(Kind::MapError, format!("{error}; nothing was run")))
}

impl Workshop {
    /// Whether this takes as long as it takes cargo to compile crates.
    pub(super) fn is_new(&self, order: &Order, by: By) -> bool {
        let is_made = by != By::Processors || math::is_used_in(&order.text());
        let is_used = |name: &String| order.names(name) || order.imports(name).any(|it| order.may_use(&it.text));
        let is_new = |package: &Package| package.names.iter().any(is_used) && !into(&package.folder).exists();
        is_made && order.package.as_ref().is_some_and(is_new)
    }

    /// Compiles it. An import of what isn't there is left out, and rustc says what is missing if it was needed. For
    /// processors there is nothing if they have the same bits anyway.
    pub(super) fn make(&mut self, order: &Order, by: By) -> Result<Option<Arc<OnGpus>>, Why> {
        let by = match (by, math::is_used_in(&order.text())) {
            (By::Processors, false) => return Ok(None),
            (By::Either, false) => By::Gpus,
            (by, _) => by,
        };
        let program = |name: &str| find_program(name).ok_or_else(|| other(format!("there is no {name} on the PATH")));
        let (rustc, cargo) = (program("rustc")?, program("cargo")?);
        if let Some(changing) = order.definitions.iter().find(|it| !it.is_optional && changes(&it.text)) {
            let what = "is a static that can change, and a GPU would have one of its own";
            return Err(other(format!("{} {what}: the function can be given its value as a variable", changing.label)));
        }
        let may_change = order.package.as_ref().is_some_and(|package| !package.is_fixed);
        if self.package != order.package || may_change {
            self.package = order.package.clone();
            (self.dependencies, self.crates, self.needs_all, self.unresolved, self.built) = Default::default();
        }
        let key = (by, order.text());
        if let Some(built) = self.built.get(&key) {
            return Ok(Some(Arc::clone(built)));
        }
        let target = match &self.target {
            Some(target) => target.clone(),
            None => toolchain::find(&rustc, &order.cache).map_err(other)?,
        };
        self.target = Some(target.clone());
        let mut needs_all = self.needs_all;
        loop {
            let is_there = |it: &&Definition| !self.unresolved.contains(&it.text);
            let definitions: Vec<Definition> = order.definitions.iter().filter(is_there).cloned().collect();
            let source = Crate::new(&definitions, &order.function);
            let Found { crates: mut found, mut lacking, left } =
                self.crates(&cargo, Some(&target), order, needs_all)?;
            if source.uses_mathematics {
                found = found.and(self.mathematics(&cargo, &order.cache, Some(&target))?);
            }
            let compiler = Compiler { rustc: &rustc, target: &target, crates: &found };
            // What may change under the same name isn't what it was compiled with.
            let kept = order.kept.as_deref().filter(|_| !may_change || found.externs.is_empty());
            let said = match kept_or_built(&compiler, &source.text, kept) {
                Ok(built) => {
                    let mut built = on_gpus(built);
                    if by != By::Gpus {
                        let found = self.crates(&cargo, None, order, needs_all)?;
                        let crates = &found.crates.and(self.mathematics(&cargo, &order.cache, None)?);
                        let library = native::build(&Compiler { crates, ..compiler }, &source.text).map_err(other)?;
                        match by {
                            By::Processors => built.module = library,
                            _ => built.by_processors = Some(library),
                        }
                    }
                    let built = Arc::new(built);
                    self.built.insert(key, Arc::clone(&built));
                    self.needs_all = needs_all;
                    return Ok(Some(built));
                }
                Err(Failed::Rustc(said)) => said,
                Err(error) => return Err(other(error)),
            };
            let unresolved = optional_in(&said, &source);
            if unresolved.is_empty() && left {
                // What it uses of a crate may have no name in it: a trait's methods.
                needs_all = true;
                self.unresolved.clear();
            } else if unresolved.is_empty() {
                let is_left_out = |it: &&Definition| self.unresolved.contains(&it.text) && order.may_use(&it.text);
                let left_out = order.definitions.iter().filter(is_left_out);
                let first = |it: &Definition| it.text.lines().next().unwrap_or_default().to_owned();
                lacking.extend(left_out.map(|it| format!("`{}` has nothing that a GPU could use", first(it))));
                return Err(Why::Refused(Box::new(Refused { said, source, lacking })));
            }
            self.unresolved.extend(unresolved);
        }
    }

    /// The crates that the function names, and those that are imported and may be used, or all that are imported.
    fn crates(&mut self, cargo: &Path, target: Option<&Target>, order: &Order, needs_all: bool) -> Result<Found, Why> {
        let Some(Package { folder, names, .. }) = &order.package else { return Ok(Found::default()) };
        // To ask cargo takes a tenth of a second.
        if !names.iter().any(|name| order.names(name) || order.imports(name).next().is_some()) {
            return Ok(Found::default());
        }
        if self.dependencies.is_empty() {
            self.dependencies = crates::dependencies(cargo, folder)?;
        }
        // px is what runs on the other side.
        let known: Vec<Dependency> = self.dependencies.iter().filter(|it| it.name != "px").cloned().collect();
        let (needed, rest): (Vec<_>, Vec<_>) = known.iter().partition(|it| order.names(&it.name));
        let mut found =
            Found { crates: self.built(cargo, target, folder, &needed).map_err(other)?, ..Found::default() };
        for dependency in rest {
            let mut imports = order.imports(&dependency.name).peekable();
            let is_imported = imports.peek().is_some();
            let is_used = imports.any(|it| order.may_use(&it.text));
            if !is_imported || !(is_used || needs_all) {
                found.left |= is_imported;
                continue;
            }
            let built = match dependency.may_lack_std {
                true => self.built(cargo, target, folder, &[dependency]),
                false => Err(crates::Failed::Std(dependency.name.clone()).to_string()),
            };
            match built {
                Ok(one) => found.crates = found.crates.and(one),
                // Who uses nothing of it needn't hear of it.
                Err(why) => found.lacking.extend(is_used.then_some(why)),
            }
        }
        Ok(found)
    }

    fn built(
        &mut self,
        cargo: &Path,
        target: Option<&Target>,
        folder: &Path,
        which: &[&Dependency],
    ) -> Result<Crates, String> {
        let names: Vec<String> = which.iter().map(|it| it.name.clone()).collect();
        let build = || crates::build(cargo, folder, &into(folder), target, which).map_err(|error| error.to_string());
        let by = target.map_or(By::Processors, |_| By::Gpus);
        self.crates.entry((by, names)).or_insert_with(build).clone()
    }

    fn mathematics(&mut self, cargo: &Path, cache: &Path, target: Option<&Target>) -> Result<Crates, Why> {
        let known = &mut self.mathematics[usize::from(target.is_none())];
        match known {
            Some(known) => Ok(known.clone()),
            None => Ok(known.insert(math::library(cargo, cache, target)?).clone()),
        }
    }
}

impl Order {
    fn text(&self) -> String {
        let texts = self.definitions.iter().map(|it| it.text.as_str()).chain([self.function.as_str()]);
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Whether this crate is named by a path that isn't an import's.
    fn names(&self, name: &str) -> bool {
        let mut texts = self.definitions.iter().filter(|it| !it.is_optional).map(|it| it.text.as_str());
        source::names(&self.function, name) || texts.any(|text| source::names(text, name))
    }

    /// The imports that name this crate.
    fn imports(&self, name: &str) -> impl Iterator<Item = &Definition> {
        self.definitions.iter().filter(move |it| it.is_optional && source::names(&it.text, name))
    }

    /// Whether one of an import's words stands in what isn't an import.
    fn may_use(&self, import: &str) -> bool {
        let words = |text| str::split(text, |c: char| !c.is_alphanumeric() && c != '_').filter(|it| !it.is_empty());
        let texts = self.definitions.iter().filter(|it| !it.is_optional).map(|it| it.text.as_str());
        let used: BTreeSet<&str> = texts.chain([self.function.as_str()]).flat_map(words).collect();
        let says_little = ["use", "pub", "crate", "std", "core", "as", "_"];
        import.contains('*') || words(import).any(|word| used.contains(word) && !says_little.contains(&word))
    }
}

/// Whether it has a static whose value changes. There are no other such types on a GPU.
fn changes(definition: &str) -> bool {
    let mut statics = definition.match_indices("static ").filter(|(at, _)| !definition[..*at].ends_with('\''));
    statics.any(|(at, _)| {
        let end = definition[at..].find(';').map_or(definition.len(), |end| at + end);
        let item = &definition[at..end];
        item.starts_with("static mut ") || item.contains("Atomic")
    })
}

/// Where a package's crates are built for GPUs: they go when the package goes.
fn into(package: &Path) -> PathBuf {
    package.join("gpu")
}

/// The module of a crate's text, from the cache if there is one.
fn kept_or_built(compiler: &Compiler<'_>, source: &str, kept: Option<&Modules>) -> Result<Built, Failed> {
    let place = kept.zip(build::recipe(compiler, source)?);
    let found = place.as_ref().and_then(|(kept, recipe)| kept.get(recipe));
    if let Some((ptx, layout)) = found.and_then(|it| Some((String::from_utf8(it.ptx).ok()?, it.layout))) {
        return Ok(Built { ptx, layout });
    }
    let built = build::build(compiler, source)?;
    if let Some((kept, recipe)) = place {
        kept.put(&recipe, &Module { ptx: built.ptx.clone().into_bytes(), layout: built.layout });
    }
    Ok(built)
}

fn on_gpus(built: build::Built) -> OnGpus {
    let [item_size, item_align, result_size, result_align] = built.layout;
    let layout = Layout { item: (item_size, item_align), result: (result_size, result_align) };
    OnGpus { module: built.ptx.into_bytes(), by_processors: None, layout, ran: false.into() }
}

/// Those of the definitions that rustc's errors are about which need not be there.
fn optional_in(said: &[Value], source: &Crate) -> BTreeSet<String> {
    let errors = said.iter().filter(|it| it["level"] == "error");
    let places = errors.flat_map(|it| it["spans"].as_array().into_iter().flatten());
    let lines = places.filter(|it| it["is_primary"] == true).filter_map(|it| it["line_start"].as_u64());
    let definitions = lines.filter_map(|line| source.definition_at(usize::try_from(line).ok()?));
    definitions.filter(|it| it.is_optional).map(|it| it.text.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statics_that_change_are_known() {
        for text in [
            "static N: AtomicU32 = AtomicU32::new(1);",
            "#[a]\n  pub static mut X: u8 = 1;",
            "fn f() { static N: AtomicU32 = x; }",
        ] {
            assert!(changes(text), "{text}");
        }
        for text in ["static T: [u8; 2] = [1, 2];", "fn f(a: &'static Atomic) {}", "const A: Atomic = a;", ""] {
            assert!(!changes(text), "{text}");
        }
    }
}
