//! Whether a cell has an object already: its key in the cache, and what an entry needs to be of use.

use crate::cell::cache::{Cache, CacheKey, CachedCell, Dependencies};
use crate::dependencies::Current;
use crate::messages::source_map::MappedPiece;
use crate::notebook::definitions::Definitions;
use crate::notebook::definitions::change::Change;
use crate::notebook::dependence::{Definition, Dependence};
use crate::notebook::engine_vars::EngineTypes;
use crate::notebook::identity::Identities;
use crate::notebook::namespace::{Variable, Variables};
use crate::notebook::setting::Setting;
use crate::notebook::statics::beginnings::Beginnings;
use chorus_syntax::Cell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Variables of the environment with these names change what cargo builds.
pub(crate) const BUILD_VARIABLES: [&str; 4] =
    ["CARGO_BUILD_", "CARGO_ENCODED_RUSTFLAGS", "CARGO_PROFILE_", "CARGO_TARGET_"];

/// Finds objects for cells.
pub(crate) struct Reuse {
    cache: Option<Cache>,
    /// What is the same for all cells of this kernel.
    surroundings: blake3::Hasher,
    /// Objects with values of their own that this kernel's processes may have loaded.
    pub(crate) loaded: HashSet<CacheKey>,
}

/// What a cell is linked with besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    /// The standard library, which stands for the toolchain.
    pub standard: &'a Path,
    /// The dependencies.
    pub set: Option<&'a Current>,
    /// A hash of the versions that dependencies are to have.
    pub versions: Option<&'a [u8; 32]>,
}

/// A cell's place in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheSlot {
    pub key: CacheKey,
    /// Loading its object again would find the values that the first run left.
    keeps_values: bool,
}

impl Reuse {
    /// Finds objects in this cache. Without one nothing is found.
    pub fn new(cache: Option<Cache>) -> Reuse {
        let mut surroundings = blake3::Hasher::new();
        add(&mut surroundings, env!("CARGO_PKG_VERSION").as_bytes());
        add(&mut surroundings, std::env::consts::ARCH.as_bytes());
        for text in crate::toolchain::px::sources() {
            add(&mut surroundings, text.as_bytes());
        }
        let mut variables: Vec<_> = std::env::vars_os()
            .filter(|(name, _)| BUILD_VARIABLES.iter().any(|start| name.to_string_lossy().starts_with(start)))
            .collect();
        variables.sort();
        for (name, value) in variables {
            add(&mut surroundings, name.as_encoded_bytes());
            add(&mut surroundings, value.as_encoded_bytes());
        }
        // Settings that apply to everything that is built.
        for file in configuration_files() {
            add(&mut surroundings, &std::fs::read(file).unwrap_or_default());
        }
        Reuse { cache, surroundings, loaded: HashSet::new() }
    }

    /// The place of a cell that was given this execution count, if its object is the same whenever it is compiled.
    pub fn place(
        &self,
        cell: &Cell,
        own: (&[Definition], &Change, &Identities, &Beginnings),
        (pieces, count): (&[MappedPiece], u32),
        shared: &Definitions,
        (variables, engine_types): (&Variables, &EngineTypes),
        surroundings: Surroundings<'_>,
    ) -> Option<CacheSlot> {
        self.cache.as_ref()?;
        let mut hasher = self.with_settings(shared, surroundings)?;
        let statements: Vec<&str> = cell.statements.iter().map(|piece| piece.text.as_str()).collect();
        let (items, change, identities, statics) = own;
        let entries = shared.entries().iter().enumerate().filter(|(index, _)| change.holds(*index));
        let current: Vec<&Definition> = entries.map(|(_, entry)| &entry.definition).collect();
        let depends = Dependence::of_cell(cell, items, &current, (variables, engine_types));
        if !depends.is_reproducible(&statements) {
            return None;
        }
        add(&mut hasher, &[u8::from(cell.has_result)]);
        for statement in &statements {
            add(&mut hasher, statement.as_bytes());
        }
        add(&mut hasher, b"attributes");
        for attribute in &cell.attributes {
            add(&mut hasher, attribute.text.as_bytes());
        }
        add(&mut hasher, b"definitions");
        for text in &depends.definitions {
            add(&mut hasher, text.as_bytes());
        }
        let reached = items.iter().chain(current.iter().copied());
        let reached = reached.filter(|item| depends.definitions.contains(item.piece.text.as_str()));
        let identities = identities.key(reached.filter_map(|item| item.nature.holder()));
        if !identities.is_empty() {
            add(&mut hasher, b"types");
            add(&mut hasher, identities.as_bytes());
        }
        let statics = statics.key(depends.definitions.iter().copied());
        if !statics.is_empty() {
            add(&mut hasher, b"statics");
            add(&mut hasher, statics.as_bytes());
        }
        let reached = |piece: &&MappedPiece| {
            let text = piece.text.as_str();
            statements.contains(&text) || depends.definitions.contains(text)
        };
        let places = crate::tools::debug::key(pieces.iter().filter(reached), count);
        if !places.is_empty() {
            add(&mut hasher, b"places");
            add(&mut hasher, &places);
        }
        add(&mut hasher, b"variables");
        for (name, Variable { type_name, mutable }) in &depends.variables {
            add(&mut hasher, name.as_bytes());
            add(&mut hasher, type_name.as_bytes());
            add(&mut hasher, &[u8::from(*mutable)]);
        }
        if !engine_types.is_empty() {
            add(&mut hasher, b"engines");
            add(&mut hasher, format!("{engine_types:?}").as_bytes());
        }
        let keeps_values = depends.keeps_values(&statements);
        Some(CacheSlot { key: CacheKey(*hasher.finalize().as_bytes()), keeps_values })
    }

    /// The place of the fact that the dependencies were built.
    pub fn dependencies(&self, shared: &Definitions, surroundings: Surroundings<'_>) -> Option<CacheSlot> {
        self.cache.as_ref()?;
        let mut hasher = self.with_settings(shared, surroundings)?;
        add(&mut hasher, b"dependencies");
        Some(CacheSlot { key: CacheKey(*hasher.finalize().as_bytes()), keeps_values: false })
    }

    /// The set that is there.
    pub fn find_set(&self, place: CacheSlot) -> Option<Current> {
        self.cache.as_ref()?.get::<Dependencies>(place.key).map(|Dependencies(current)| current)
    }

    /// Keeps which set was built.
    pub fn keep_set(&self, place: CacheSlot, set: &Current) {
        if let Some(cache) = &self.cache {
            cache.put(place.key, &Dependencies(set.clone()));
        }
    }

    /// Whether a type of this name got this identity in some notebook. If it has it from the start, what was compiled
    /// there is of use.
    pub fn was_edited(&self, name: &str, identity: &str) -> bool {
        let found = |cache: &Cache| cache.get::<CachedCell>(self.of_edit(name, identity)).is_some();
        self.cache.as_ref().is_some_and(found)
    }

    /// Notes that a type has an identity because it was edited.
    pub fn note_edit(&self, name: &str, identity: &str) {
        if let Some(cache) = &self.cache {
            cache.put(self.of_edit(name, identity), &CachedCell::default());
        }
    }

    fn of_edit(&self, name: &str, identity: &str) -> CacheKey {
        let mut hasher = self.surroundings.clone();
        for part in ["edited", name, identity] {
            add(&mut hasher, part.as_bytes());
        }
        CacheKey(*hasher.finalize().as_bytes())
    }

    /// The entry, if it is there and fits those who have `variables`.
    pub fn find(&self, place: CacheSlot, variables: &Variables) -> Option<CachedCell> {
        if place.keeps_values && self.loaded.contains(&place.key) {
            return None;
        }
        let found: CachedCell = self.cache.as_ref()?.get(place.key)?;
        found.before.iter().all(|(name, variable)| variables.get(name) == Some(variable)).then_some(found)
    }

    /// Keeps what was compiled.
    pub fn keep(&self, place: CacheSlot, cell: &CachedCell) {
        if let Some(cache) = &self.cache {
            cache.put(place.key, cell);
        }
    }

    /// The object at this place is loaded somewhere from now on.
    pub fn loaded(&mut self, place: CacheSlot) {
        if place.keeps_values {
            self.loaded.insert(place.key);
        }
    }

    /// The entry turned out to be of no use.
    pub fn remove(&self, place: CacheSlot) {
        if let Some(cache) = &self.cache {
            cache.remove::<CachedCell>(place.key);
        }
    }

    fn with_settings(&self, shared: &Definitions, surroundings: Surroundings<'_>) -> Option<blake3::Hasher> {
        let mut hasher = self.surroundings.clone();
        add(&mut hasher, surroundings.standard.as_os_str().as_encoded_bytes());
        add(&mut hasher, surroundings.set.and_then(Current::id).unwrap_or_default());
        add(&mut hasher, surroundings.versions.map_or(&[], |hash| hash.as_slice()));
        let settings = effective(shared.settings(0));
        if !settings.iter().all(|setting| is_reproducible(setting)) {
            return None;
        }
        add(&mut hasher, b"settings");
        for setting in settings {
            add(&mut hasher, format!("{setting:?}").as_bytes());
        }
        Some(hasher)
    }
}

/// The settings that hold, each once, in an order that doesn't depend on when they were made.
fn effective<'a>(settings: impl Iterator<Item = &'a Setting>) -> Vec<&'a Setting> {
    let mut holding: Vec<&Setting> = Vec::new();
    for setting in settings {
        holding.retain(|other| !setting.replaces(other));
        holding.push(setting);
    }
    holding.sort_by_cached_key(|setting| format!("{setting:?}"));
    holding
}

/// Whether the setting's text says all: a local crate changes without it, and evcxr's own wrappers go around ours.
fn is_reproducible(setting: &Setting) -> bool {
    match setting {
        Setting::Dependency { config, .. } => !config.contains("path") && !config.contains("git"),
        Setting::LocalDependency(_) | Setting::Sccache(true) | Setting::StaticLinking(false) => false,
        Setting::CacheMib(size) => *size == 0,
        _ => true,
    }
}

pub(crate) fn configuration_files() -> Vec<PathBuf> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(dirs::home_dir()?.join(".cargo")));
    let cargo = cargo.into_iter().flat_map(|folder| [folder.join("config.toml"), folder.join("config")]);
    let evcxr = dirs::config_dir().map(|folder| folder.join("evcxr/evcxr.toml"));
    cargo.chain(evcxr).chain([Path::new("evcxr.toml").to_owned()]).collect()
}

/// Adds a part so that no two lists of parts look the same.
pub(crate) fn add(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}
