//! The variables of a notebook, between its cells: what evcxr generates calls this instead of a copy of its own, which
//! rustc would have to compile in each cell. All that can be is done in functions that no type is a parameter of.
//!
//! Names and behaviour are those of evcxr's module, whose lines on stdout its kernel's side reads.

mod size;

use crate::apart::type_name;
pub use crate::host::discard;
#[doc(hidden)]
pub use size::{ByNeed, ByParts, ByPlace, Measured, Probe, Size};
use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::ptr::NonNull;
use std::sync::Arc;

/// Begins the line that names a variable whose type is another one by now.
pub const VARIABLE_CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";
/// Is printed when `?` ended a cell.
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";

/// So many parts of all values together are looked at to know their sizes.
const PARTS: usize = 10_000;

/// The type that is written `!`, whose name Rust hides: that of what never ends.
pub type Never = <fn() -> ! as Returns>::Output;

/// What a function returns.
pub trait Returns {
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

/// What there is of a name.
pub(crate) enum Found<T> {
    Here(NonNull<T>),
    OfAnotherType,
    Missing,
}

/// Values by name.
pub struct VariableStore {
    values: HashMap<String, Stored>,
    /// Names of variables that ended with the last cell that had them.
    ended: HashSet<String>,
}

struct Stored {
    value: Box<dyn Any>,
    size: Size,
}

impl VariableStore {
    /// Stores a value, and drops the one that had its name.
    #[inline]
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T) {
        self.put(name, Box::new(value), size::size::<T>());
    }

    /// The same of a value whose size is asked in this way.
    #[inline]
    pub fn put_measured<T: 'static>(&mut self, name: &str, value: T, size: Size) {
        self.put(name, Box::new(value), size);
    }

    /// Stores a value again that was taken, if the cell has failed: it hasn't come to the variable of this name that it has defined.
    #[inline]
    pub fn put_back<T: 'static>(&mut self, name: &str, value: T) {
        if !self.values.contains_key(name) && !self.ended.contains(name) {
            self.put_variable(name, value);
        }
    }

    /// A variable that the cell has defined ends with it.
    pub fn end(&mut self, name: &str) {
        self.ended.insert(name.to_owned());
    }

    /// Whether the value, if it is there, has this type; says so on stdout if it doesn't.
    #[inline]
    pub fn check_variable<T: 'static>(&mut self, name: &str) -> bool {
        self.check(name, TypeId::of::<T>())
    }

    /// Takes a value that was checked.
    #[inline]
    pub fn take_variable<T: 'static>(&mut self, name: &str) -> T {
        match self.take(name).downcast() {
            Ok(value) => *value,
            Err(_) => missing(name, type_name::<T>()),
        }
    }

    /// The shared value of this name, made when it isn't there yet.
    pub fn lazy_arc<T: 'static, F: FnOnce() -> T>(&mut self, name: &str, create: F) -> Arc<T> {
        let value = self.values.entry(name.to_owned()).or_insert_with(|| {
            let value: Box<dyn Any> = Box::new(Arc::new(create()));
            Stored { value, size: size::size::<Arc<T>>() }
        });
        match value.value.downcast_ref::<Arc<T>>() {
            Some(value) => Arc::clone(value),
            None => missing(name, type_name::<T>()),
        }
    }

    /// Where the value is of this name, if it is of this type.
    pub(crate) fn find<T: 'static>(&mut self, name: &str) -> Found<T> {
        let Some(value) = self.values.get_mut(name) else { return Found::Missing };
        value.value.downcast_mut().map_or(Found::OfAnotherType, |value| Found::Here(NonNull::from(value)))
    }

    /// Takes a value out, if it is there and of this type.
    pub(crate) fn take_if_there<T: 'static>(&mut self, name: &str) -> Option<T> {
        self.values.remove(name)?.value.downcast().ok().map(|value| *value)
    }

    /// Drops a value, if it is there.
    pub(crate) fn remove(&mut self, name: &str) {
        self.values.remove(name);
    }

    #[inline(never)]
    fn put(&mut self, name: &str, value: Box<dyn Any>, size: Size) {
        self.ended.remove(name);
        self.values.insert(name.to_owned(), Stored { value, size });
    }

    #[inline(never)]
    fn check(&mut self, name: &str, wanted: TypeId) -> bool {
        let fits = self.values.get(name).is_none_or(|stored| (*stored.value).type_id() == wanted);
        if !fits {
            eprintln!("The type of the variable {name} was redefined, so was lost.");
            println!("{VARIABLE_CHANGED_TYPE}{name}");
        }
        fits
    }

    #[inline(never)]
    fn take(&mut self, name: &str) -> Box<dyn Any> {
        self.values.remove(name).map_or_else(|| missing(name, "any type"), |stored| stored.value)
    }

    /// Tells the name of each value, and its size as far as its type tells that. It takes little time, however
    /// many values there are and whatever is in them.
    pub(crate) fn sizes(&self, mut tell: impl FnMut(&str, Measured)) {
        let most = PARTS / self.values.len().max(1);
        self.values.iter().for_each(|(name, stored)| tell(name, (stored.size)(&*stored.value, most)));
    }
}

#[inline(never)]
#[cold]
fn missing(name: &str, wanted: &str) -> ! {
    panic!("the variable `{name}` isn't there as {wanted}")
}

/// An empty store, which lives as long as the process.
pub fn create_variable_store() -> *mut VariableStore {
    Box::into_raw(Box::new(VariableStore { values: HashMap::new(), ended: HashSet::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cell_has_taken_comes_back_unless_its_successor_has_ended() {
        let mut store = VariableStore { values: HashMap::new(), ended: HashSet::new() };
        let is_there = |store: &mut VariableStore| matches!(store.find::<u8>("y"), Found::Here(_));
        store.put_back("y", 1u8);
        assert!(is_there(&mut store), "the cell has failed");
        let old: u8 = store.take_variable("y");
        store.end("y");
        store.put_back("y", old);
        assert!(!is_there(&mut store), "the cell's own has ended");
        store.put_variable("y", 2u8);
        let old: u8 = store.take_variable("y");
        store.put_back("y", old);
        assert!(is_there(&mut store), "a later cell has failed");
    }
}
