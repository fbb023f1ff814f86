//! Values that functions leave on their engines. They have no name until all engines have theirs: then they become variables.
//! If something goes wrong before, engines let go of them.

use super::args::{Args, Passing, Slot, Store, Var, Variables};
use super::{Each, Engines, With, engines, serve_by, start};
use crate::link::{Access, Message as _};
use crate::map::Error;
use crate::task::next_number;
use crate::task::shared::collect;
use crate::task::values::pack;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

/// What engines keep without a name. When it is dropped before they have it, they let go of that.
pub(crate) struct Waiting {
    number: u64,
    engines: Engines,
    /// Whether engines that have joined since then take part.
    on_all: bool,
    naming: Mutex<Naming>,
}

/// How far it is that they get their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    No,
    /// Some engines may have given it.
    Begun,
    Done,
}

impl Waiting {
    /// On these engines, or on all.
    pub fn on(chosen: Option<Engines>) -> Waiting {
        let (on_all, engines) = (chosen.is_none(), chosen.unwrap_or_else(engines));
        Waiting { number: next_number(), engines, on_all, naming: Mutex::new(Naming::No) }
    }

    /// For [`Store::leave`].
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Gives the results of a map this name, of which there are so many. An engine that has none gets an empty `Vec`.
    pub fn name_results<R: 'static>(&self, to: Var<Vec<R>>, results: u64) -> Result<(), Error> {
        self.name(to, results, Store::left_results::<R>, Store::name_results::<R>)
    }

    /// Gives what engines have this name, if they have as much as is wanted.
    fn name<T>(
        &self,
        to: Var<T>,
        wanted: u64,
        left: for<'a, 'b> fn(&'a mut Store, &'b u64) -> u64,
        name: for<'a, 'b> fn(&'a mut Store, &'b u64),
    ) -> Result<(), Error> {
        // Of several threads, one does it, and the others wait for that.
        let mut naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        if *naming == Naming::Done {
            return Ok(());
        }
        let engines = if self.on_all { engines() } else { self.engines.clone() };
        let there: u64 = engines.carry("keep", (Slot(to.name()), &self.number), left)?.iter().sum();
        if there != wanted {
            let name = to.name();
            return Err(Error::Failed(match *naming {
                Naming::Begun => format!(
                    "giving engines their `{name}` has failed on the way: some of them may have it, and on others `{name}` is \
                     what it was"
                ),
                _ => format!(
                    "what engines kept for `{name}` is gone with a worker, or has its name already; `{name}` is on all engines \
                     what it was"
                ),
            }));
        }
        *naming = Naming::Begun;
        engines.carry("keep", (Slot(to.name()), &self.number), name)?;
        *naming = Naming::Done;
        engines.tell::<T>(to.name())
    }
}

impl Drop for Waiting {
    #[inline(never)]
    fn drop(&mut self) {
        if *self.naming.get_mut().unwrap_or_else(PoisonError::into_inner) == Naming::Done {
            return;
        }
        // Where there is nobody to be told, there is nothing to let go of.
        _ = self.engines.with((Slot("kept"), &self.number)).told("let go", Store::let_go);
    }
}

impl<A: Args> With<'_, A> {
    /// Has a function called on each, and makes what it returns there a variable of the engine: all get theirs when the
    /// function has returned on all. It may be of any type: `e.with(px::var!(part)).keep(px::var!(model), train)?`.
    ///
    /// # Errors
    /// As [`Engines::each`]; then variables of this name are as before.
    pub fn keep<R: 'static>(self, to: Var<R>, function: A::Function<R>) -> Result<(), Error> {
        let ids = self.engines.known()?;
        let waiting = Waiting::on(Some(self.engines.clone()));
        let mut passing = Passing::default();
        waiting.number.write(&mut passing.bytes);
        let ((), held) = collect(|| self.args.pass(&mut passing));
        passing.access = Access::Change;
        let calls = start(self.engines, "keep", passing, held, (serve_keep::<A, R>, A::address(function)))?;
        Each::<()> { calls, result: PhantomData }.get()?;
        waiting.name(to, ids.len() as u64, Store::left::<R>, Store::name::<R>)
    }
}

impl Engines {
    /// As [`With::keep`], of a function that is given nothing.
    ///
    /// # Errors
    /// As there.
    pub fn keep<R: 'static>(&self, to: Var<R>, function: fn() -> R) -> Result<(), Error> {
        self.with(()).keep(to, function)
    }
}

/// What engines call. As [`super::serve`], but what the function returns stays here.
#[inline(never)]
extern "C" fn serve_keep<A: Args, R: 'static>() {
    serve_by(&mut |distance, values| {
        let number = u64::read(values)?;
        let function = (serve_keep::<A, R> as *const () as usize).wrapping_add(distance as usize);
        // SAFETY: the notebook found a function of this type so far from this one, in the same object.
        let value = unsafe { A::call::<R>(function, values, &Variables::of_this_run()) }?;
        Store::leave(number, value)?;
        pack(|_| ())
    });
}

/// No variable can have such a name.
fn name_of(number: u64) -> String {
    format!("px::kept {number}")
}

/// On an engine. The store's name is that of the variable.
impl Store {
    /// Leaves a value of this number here, without a name.
    pub fn leave<T: 'static>(number: u64, value: T) -> Result<(), Error> {
        Store::here(name_of(number)).map(|mut store| store.set(value))
    }

    /// Whether there is such a value: 1 or 0.
    fn left<T: 'static>(&mut self, number: &u64) -> u64 {
        self.look(&name_of(*number), |_: &T| 1)
    }

    /// How many results of a map there are.
    fn left_results<R: 'static>(&mut self, number: &u64) -> u64 {
        self.look(&name_of(*number), |results: &Vec<R>| results.len() as u64)
    }

    fn name<T: 'static>(&mut self, number: &u64) {
        if let Some(value) = self.take::<T>(&name_of(*number)) {
            self.set(value);
        }
    }

    fn name_results<R: 'static>(&mut self, number: &u64) {
        let results = self.take::<Vec<R>>(&name_of(*number)).unwrap_or_default();
        self.set(results);
    }

    fn let_go(&mut self, number: &u64) {
        self.remove(&name_of(*number));
    }
}
