//! What a function is given on an engine: the engine's variables by reference, and values of the notebook.

use crate::apart::type_name;
use crate::data::Variable;
use crate::host::{make_variables, variables};
use crate::link::{Access, Message, Serve};
use crate::map::Error;
use crate::store::{Found, VariableStore};
use crate::wire::Wire;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A variable that the function reads, see [`var!`](crate::var!).
pub struct Var<T> {
    name: &'static str,
    of: PhantomData<fn() -> T>,
}

/// A variable that the function may change, see [`var!`](crate::var!).
pub struct VarMut<T> {
    name: &'static str,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Var<T> {
    fn clone(&self) -> Var<T> {
        *self
    }
}

impl<T> Copy for Var<T> {}

impl<T> Var<T> {
    /// How it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    #[doc(hidden)]
    pub const fn named(name: &'static str) -> Var<T> {
        Var { name, of: PhantomData }
    }

    /// What reading it may do with variables.
    pub(crate) fn access(&self) -> Access {
        if is_fixed(type_name::<T>()) { Access::Read } else { Access::Change }
    }
}

impl<T> VarMut<T> {
    #[doc(hidden)]
    pub const fn named(name: &'static str) -> VarMut<T> {
        VarMut { name, of: PhantomData }
    }
}

/// The number of this engine, if it is one.
fn engine() -> Option<u32> {
    std::env::var("CHORUS_ENGINE_ID").ok()?.parse().ok()
}

/// Whether values of this type can't change behind a reference: numbers and text, and what std's collections make of
/// them. Any other type may have a lock or a cell in it.
fn is_fixed(type_name: &str) -> bool {
    const FIXED: [&str; 30] = [
        "u8",
        "u16",
        "u32",
        "u64",
        "u128",
        "usize",
        "i8",
        "i16",
        "i32",
        "i64",
        "i128",
        "isize",
        "f32",
        "f64",
        "bool",
        "char",
        "str",
        "alloc::string::String",
        "alloc::vec::Vec",
        "alloc::boxed::Box",
        "core::option::Option",
        "core::result::Result",
        "std::collections::hash::map::HashMap",
        "std::collections::hash::set::HashSet",
        "alloc::collections::btree::map::BTreeMap",
        "alloc::collections::btree::set::BTreeSet",
        "alloc::collections::vec_deque::VecDeque",
        "core::time::Duration",
        "core::ops::range::Range",
        "std::path::PathBuf",
    ];
    let words =
        type_name.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).filter(|word| !word.is_empty());
    // The lengths of arrays are numbers.
    let mut words = words.filter(|word| !word.bytes().all(|byte| byte.is_ascii_digit()));
    !type_name.contains(['&', '*']) && words.all(|word| FIXED.contains(&word))
}

/// What is sent along with a call, in the making.
#[doc(hidden)]
#[derive(Default)]
pub struct Passing {
    pub(super) bytes: Vec<u8>,
    /// Of the variables.
    pub(super) names: Vec<&'static str>,
    /// Of those that must be there.
    pub(super) needs: Vec<&'static str>,
    pub(super) access: Access,
    /// As in [`crate::link::CallAsk`].
    pub(super) is_last: bool,
}

/// The variables of this process, in a run that may use them.
#[doc(hidden)]
pub struct Variables(Option<NonNull<VariableStore>>);

impl Variables {
    /// Those of the run under way.
    pub(crate) fn of_this_run() -> Variables {
        Variables(NonNull::new(variables()))
    }

    /// The variable of this type whose name comes next.
    pub(crate) fn find<T: 'static>(&self, from: &mut &[u8]) -> Result<NonNull<T>, Error> {
        let name = String::read(from)?;
        let engine = engine().map_or_else(|| "this process".to_owned(), |id| format!("engine {id}"));
        // SAFETY: the worker has the store, and nobody else uses it while a function runs that is given its variables.
        let found = self.0.map_or(Found::Missing, |store| unsafe { (*store.as_ptr()).find::<T>(&name) });
        let what = match found {
            Found::Here(value) => return Ok(value),
            Found::Missing => format!("{engine} has no variable `{name}`"),
            Found::OfAnotherType => {
                format!("`{name}` isn't a `{}` on {engine}, which is what the function takes", type_name::<T>())
            }
        };
        Err(Error::Failed(format!("{what}; the function wasn't called there")))
    }
}

/// One thing that a function may be given: [`var!`](crate::var!), or a reference to a value of the notebook.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be given to a function on engines",
    label = "this is neither a variable of the engines nor a reference to a value that travels",
    note = "`px::var!(name)` and `px::var!(mut name)` name variables of the engines; a value of the notebook goes by \
            reference, `&x`, also a number, `&0.5`"
)]
pub trait EachArg {
    /// What the function's parameter is.
    type Param<'a>;
    /// What the engine keeps for it during the call.
    #[doc(hidden)]
    type Taken;
    #[doc(hidden)]
    fn pass(&self, to: &mut Passing);
    #[doc(hidden)]
    fn take(from: &mut &[u8], variables: &Variables) -> Result<Self::Taken, Error>;
    /// # Safety
    /// What was taken from a store must still be there, and nobody else may use it; it mustn't be given twice at a time.
    #[doc(hidden)]
    unsafe fn give(taken: &mut Self::Taken) -> Self::Param<'_>;
}

impl<T: 'static> EachArg for Var<T> {
    type Param<'a> = &'a T;
    type Taken = NonNull<T>;

    fn pass(&self, to: &mut Passing) {
        self.name.to_owned().write(&mut to.bytes);
        to.names.push(self.name);
        to.needs.push(self.name);
        to.access = to.access.max(self.access());
    }

    fn take(from: &mut &[u8], variables: &Variables) -> Result<NonNull<T>, Error> {
        variables.find(from)
    }

    unsafe fn give(taken: &mut NonNull<T>) -> &T {
        // SAFETY: as the caller promises.
        unsafe { taken.as_ref() }
    }
}

impl<T: 'static> EachArg for VarMut<T> {
    type Param<'a> = &'a mut T;
    type Taken = NonNull<T>;

    fn pass(&self, to: &mut Passing) {
        EachArg::pass(&Var::<T>::named(self.name), to);
        to.access = Access::Change;
    }

    fn take(from: &mut &[u8], variables: &Variables) -> Result<NonNull<T>, Error> {
        variables.find(from)
    }

    unsafe fn give(taken: &mut NonNull<T>) -> &mut T {
        // SAFETY: as the caller promises.
        unsafe { taken.as_mut() }
    }
}

/// A place for a variable of this name.
pub(crate) struct Slot(pub &'static str);

/// The store of an engine's variables, and the name for one.
pub(crate) struct Store {
    name: String,
    store: NonNull<VariableStore>,
}

impl Store {
    /// That of this engine, in a run that may change variables.
    pub fn here(name: String) -> Result<Store, Error> {
        let store = Variables::of_this_run().0.or_else(make_variables).ok_or(Error::NoKernel)?;
        Ok(Store { name, store })
    }

    /// What this makes of the variable of this name; 0 if there is none of this type.
    pub fn look<T: 'static>(&mut self, name: &str, look: impl FnOnce(&T) -> u64) -> u64 {
        // SAFETY: as in `Variables::find`.
        match unsafe { (*self.store.as_ptr()).find::<T>(name) } {
            // SAFETY: it was just found, and nobody else uses the store.
            Found::Here(value) => look(unsafe { value.as_ref() }),
            Found::OfAnotherType | Found::Missing => 0,
        }
    }

    /// Takes the variable of this name out.
    pub fn take<T: 'static>(&mut self, name: &str) -> Option<T> {
        // SAFETY: as in `Variables::find`.
        unsafe { (*self.store.as_ptr()).take_if_there(name) }
    }

    /// Drops the variable of this name, if there is one.
    pub fn remove(&mut self, name: &str) {
        // SAFETY: as in `Variables::find`.
        unsafe { (*self.store.as_ptr()).remove(name) };
    }

    /// Puts a variable there.
    pub fn set<T: 'static>(&mut self, value: T) {
        // SAFETY: as in `Variables::find`.
        unsafe { (*self.store.as_ptr()).put_variable(&self.name, value) };
    }
}

impl EachArg for Slot {
    type Param<'a> = &'a mut Store;
    type Taken = Store;

    fn pass(&self, to: &mut Passing) {
        self.0.to_owned().write(&mut to.bytes);
        to.names.push(self.0);
        to.access = Access::Change;
    }

    fn take(from: &mut &[u8], _: &Variables) -> Result<Store, Error> {
        Store::here(String::read(from)?)
    }

    unsafe fn give(taken: &mut Store) -> &mut Store {
        taken
    }
}

/// A value that the function gets as its own.
pub(super) struct Arriving<'a, T>(pub &'a T);

impl<T: Wire> EachArg for Arriving<'_, T> {
    type Param<'a> = T;
    type Taken = Option<T>;

    fn pass(&self, to: &mut Passing) {
        self.0.put(&mut to.bytes);
    }

    fn take(from: &mut &[u8], _: &Variables) -> Result<Option<T>, Error> {
        Ok(Some(T::get(from)?))
    }

    unsafe fn give(taken: &mut Option<T>) -> T {
        taken.take().expect("it is given once")
    }
}

/// Rooms through which a variable goes.
pub(super) struct Through {
    pub engines: Vec<u32>,
    pub serve: Serve,
}

impl EachArg for Through {
    type Param<'a> = &'a Variable;
    type Taken = Variable;

    fn pass(&self, to: &mut Passing) {
        self.engines.put(&mut to.bytes);
        self.serve.write(&mut to.bytes);
    }

    fn take(from: &mut &[u8], _: &Variables) -> Result<Variable, Error> {
        let engines = Vec::<u32>::get(from)?;
        let own = engine().and_then(|engine| engines.iter().position(|other| *other == engine));
        Variable::of(&Serve::read(from)?, own)
    }

    unsafe fn give(taken: &mut Variable) -> &Variable {
        taken
    }
}

macro_rules! travel {
    ($([$($generics:tt)*] $type:ty: $taken:ty, |$self:ident, $to:ident| $put:expr;)*) => {$(
        impl<$($generics)*> EachArg for &$type {
            type Param<'a> = &'a $type;
            type Taken = $taken;

            fn pass(&$self, $to: &mut Passing) {
                let $to = &mut $to.bytes;
                $put;
            }

            fn take(from: &mut &[u8], _: &Variables) -> Result<$taken, Error> {
                Ok(<$taken>::get(from)?)
            }

            unsafe fn give(taken: &mut $taken) -> &$type {
                taken
            }
        }
    )*};
}

travel! {
    [T: Wire] T: T, |self, to| self.put(to);
    [T: Wire] [T]: Vec<T>, |self, to| {
        (self.len() as u64).put(to);
        crate::wire::put_slice(self, to);
    };
    [] str: String, |self, to| self.to_string().put(to);
}

/// What a function is given: one [`EachArg`], or a tuple of up to six.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be given to a function on engines",
    label = "this is neither a variable of the engines nor a reference to a value that travels",
    note = "`px::var!(name)` and `px::var!(mut name)` name variables of the engines; a value of the notebook goes by \
            reference, `&x`, also a number, `&0.5`; several are a tuple, of up to six"
)]
pub trait Args {
    /// The function: a path, or a closure that captures nothing.
    type Function<R>;
    #[doc(hidden)]
    fn pass(&self, to: &mut Passing);
    #[doc(hidden)]
    fn address<R>(function: Self::Function<R>) -> usize;
    /// # Safety
    /// `function` must be the address of a function of this type.
    #[doc(hidden)]
    unsafe fn call<R>(function: usize, from: &mut &[u8], variables: &Variables) -> Result<R, Error>;
}

macro_rules! args {
    ($([$($generics:ident)*] $type:ty, [$($arg:ident $life:lifetime $value:ident $at:tt)*];)*) => {$(
        impl<$($generics: EachArg),*> Args for $type {
            type Function<R> = for<$($life),*> fn($($arg::Param<$life>),*) -> R;

            fn pass(&self, to: &mut Passing) {
                let _ = &to;
                $(self.$at.pass(to);)*
            }

            fn address<R>(function: Self::Function<R>) -> usize {
                function as usize
            }

            unsafe fn call<R>(function: usize, from: &mut &[u8], variables: &Variables) -> Result<R, Error> {
                let _ = (&from, variables);
                $(let mut $value = $arg::take(from, variables)?;)*
                // SAFETY: as the caller promises.
                let function = unsafe { std::mem::transmute::<usize, Self::Function<R>>(function) };
                // SAFETY: no variable was named twice, and only this run uses them.
                Ok(function($(unsafe { $arg::give(&mut $value) }),*))
            }
        }
    )*};
}

args! {
    [] (), [];
    [A] (A,), [A 'a a 0];
    [A B] (A, B), [A 'a a 0 B 'b b 1];
    [A B C] (A, B, C), [A 'a a 0 B 'b b 1 C 'c c 2];
    [A B C D] (A, B, C, D), [A 'a a 0 B 'b b 1 C 'c c 2 D 'd d 3];
    [A B C D E] (A, B, C, D, E), [A 'a a 0 B 'b b 1 C 'c c 2 D 'd d 3 E 'e e 4];
    [A B C D E F] (A, B, C, D, E, F), [A 'a a 0 B 'b b 1 C 'c c 2 D 'd d 3 E 'e e 4 F 'f f 5];
}

/// One alone needs no tuple.
impl<A: EachArg> Args for A {
    type Function<R> = for<'a> fn(A::Param<'a>) -> R;

    fn pass(&self, to: &mut Passing) {
        EachArg::pass(self, to);
    }

    fn address<R>(function: Self::Function<R>) -> usize {
        function as usize
    }

    unsafe fn call<R>(function: usize, from: &mut &[u8], variables: &Variables) -> Result<R, Error> {
        // SAFETY: as the caller promises; the function is of the same type.
        unsafe { <(A,)>::call::<R>(function, from, variables) }
    }
}
