//! The variables of a notebook, between its cells: what evcxr generates calls this instead of a copy of its own, which
//! rustc would have to compile in each cell. All that can be is done in functions that no type is a parameter of.
//!
//! Names and behaviour are those of evcxr's module, whose lines on stdout its kernel's side reads.

use crate::apart::type_name;
pub use crate::host::discard;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::Arc;

/// Begins the line that names a variable whose type is another one by now.
pub const VARIABLE_CHANGED_TYPE: &str = "EVCXR_VARIABLE_CHANGED_TYPE:";
/// Is printed when `?` ended a cell.
pub const USER_ERROR_OCCURRED: &str = "EVCXR_ERROR_OCCURRED";

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
    values: HashMap<String, Box<dyn Any>>,
}

impl VariableStore {
    /// Stores a value, and drops the one that had its name.
    #[inline]
    pub fn put_variable<T: 'static>(&mut self, name: &str, value: T) {
        self.put(name, Box::new(value));
    }

    /// Stores a value again that was taken, unless the cell has stored another one of its name: it has failed then.
    #[inline]
    pub fn put_back<T: 'static>(&mut self, name: &str, value: T) {
        if !self.values.contains_key(name) {
            self.put(name, Box::new(value));
        }
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
        let value = self.values.entry(name.to_owned()).or_insert_with(|| Box::new(Arc::new(create())));
        match value.downcast_ref::<Arc<T>>() {
            Some(value) => Arc::clone(value),
            None => missing(name, type_name::<T>()),
        }
    }

    /// Where the value is of this name, if it is of this type.
    pub(crate) fn find<T: 'static>(&mut self, name: &str) -> Found<T> {
        let Some(value) = self.values.get_mut(name) else { return Found::Missing };
        value.downcast_mut().map_or(Found::OfAnotherType, |value| Found::Here(NonNull::from(value)))
    }

    /// Takes a value out, if it is there and of this type.
    pub(crate) fn take_if_there<T: 'static>(&mut self, name: &str) -> Option<T> {
        self.values.remove(name)?.downcast().ok().map(|value| *value)
    }

    #[inline(never)]
    fn put(&mut self, name: &str, value: Box<dyn Any>) {
        self.values.insert(name.to_owned(), value);
    }

    #[inline(never)]
    fn check(&mut self, name: &str, wanted: TypeId) -> bool {
        let fits = self.values.get(name).is_none_or(|value| (**value).type_id() == wanted);
        if !fits {
            eprintln!("The type of the variable {name} was redefined, so was lost.");
            println!("{VARIABLE_CHANGED_TYPE}{name}");
        }
        fits
    }

    #[inline(never)]
    fn take(&mut self, name: &str) -> Box<dyn Any> {
        self.values.remove(name).unwrap_or_else(|| missing(name, "any type"))
    }
}

#[inline(never)]
#[cold]
fn missing(name: &str, wanted: &str) -> ! {
    panic!("the variable `{name}` isn't there as {wanted}")
}

/// An empty store, which lives as long as the process.
pub fn create_variable_store() -> *mut VariableStore {
    Box::into_raw(Box::new(VariableStore { values: HashMap::new() }))
}
