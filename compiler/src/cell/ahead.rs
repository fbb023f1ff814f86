//! Compiles cells before it is their turn, as if all cells before them had succeeded. What comes of it is in the cache, where
//! a cell that the future has in store is found. If it turns out otherwise, the key is another, and nothing has happened.

use crate::cell::cache::CacheKey;
use crate::cell::types::CellText;
use crate::compiler::Compiler;
use crate::messages::diagnostic::Diagnostic;
use crate::notebook::definitions::Definitions;
use crate::notebook::identity::Identities;
use crate::notebook::namespace::{Member, Namespaces};
use crate::notebook::statics::beginnings::Beginnings;
use chorus_syntax::Cell;
use std::collections::{BTreeSet, HashSet, VecDeque};

/// What is assumed.
#[derive(Default)]
pub(crate) struct Ahead {
    /// What is known after the last cell that was compiled ahead, if any was.
    future: Option<Accounts>,
    /// Where those are whose turn is still to come.
    expected: VecDeque<CacheKey>,
    /// Whether the cell that is being compiled is ahead of its turn.
    pub under_way: bool,
}

impl Ahead {
    /// A cell has this key, that which is compiled. If it is its turn and another one was expected, nothing that was assumed
    /// holds.
    pub fn compiled(&mut self, key: Option<CacheKey>) {
        if self.under_way {
            self.expected.extend(key);
        } else if key.is_none() || self.expected.pop_front() != key {
            *self = Ahead::default();
        }
    }
}

/// What changes with each cell that is compiled.
#[derive(Clone)]
struct Accounts {
    shared: Definitions,
    namespaces: Namespaces,
    identities: Identities,
    identities_seen: usize,
    statics: Beginnings,
    last_errors: Vec<Diagnostic>,
    expressions: BTreeSet<String>,
    loaded: HashSet<CacheKey>,
}

impl Compiler {
    /// Compiles a cell whose turn comes behind those that were compiled ahead before, or behind that which runs. False if
    /// that is of no use; so it is for all behind it.
    pub fn compile_ahead(&mut self, cell: CellText<'_>, members: &[Member]) -> bool {
        if !Cell::parse(cell.text).commands.is_empty() {
            return false;
        }
        let mut future = self.ahead.future.take().unwrap_or_else(|| self.accounts());
        self.exchange(&mut future);
        self.ahead.under_way = true;
        let compiled = self.compile(cell, members);
        self.ahead.under_way = false;
        self.namespaces.assume_success();
        self.exchange(&mut future);
        // A cell that is refused has changed nothing.
        self.ahead.future = Some(future);
        compiled.is_ok()
    }

    /// Whether cells are known that were compiled ahead, and whose turn is still to come.
    pub fn is_ahead(&self) -> bool {
        self.ahead.future.is_some()
    }

    fn accounts(&self) -> Accounts {
        let mut namespaces = self.namespaces.clone();
        namespaces.assume_success();
        Accounts {
            shared: self.shared.clone(),
            namespaces,
            identities: self.identities.clone(),
            identities_seen: self.identities_seen,
            statics: self.statics.clone(),
            last_errors: self.last_errors.clone(),
            expressions: self.expressions.clone(),
            loaded: self.reuse.loaded.clone(),
        }
    }

    fn exchange(&mut self, other: &mut Accounts) {
        std::mem::swap(&mut self.shared, &mut other.shared);
        std::mem::swap(&mut self.namespaces, &mut other.namespaces);
        std::mem::swap(&mut self.identities, &mut other.identities);
        std::mem::swap(&mut self.identities_seen, &mut other.identities_seen);
        std::mem::swap(&mut self.statics, &mut other.statics);
        std::mem::swap(&mut self.last_errors, &mut other.last_errors);
        std::mem::swap(&mut self.expressions, &mut other.expressions);
        std::mem::swap(&mut self.reuse.loaded, &mut other.loaded);
    }
}
