//! Variables between the notebook and its engines: what `%push`, `%pull`, `%scatter` and `%gather` do, from Rust.
//!
//! Numbers in a `Vec` go through rooms, as with the magics: nobody copies them but the side that puts them there. Everything
//! else is encoded, and goes as what a function is given and returns.

use super::args::{Arriving, Slot, Store, Through};
use super::{Engines, Var};
use crate::data::{Parts, Variable};
use crate::link::{Ask, Message as _, Passing, Serve, Step};
use crate::map::rooms::Room;
use crate::map::{Error, ask};
use crate::wire::{Wire, encoded};
use std::any::{Any, TypeId, type_name};

/// A `Vec` of fewer bytes is as fast in a message.
const SMALL: usize = 64 << 10;

/// Copies variables of the notebook to all engines, where they have the same names, or others: `px::push!(x)?`,
/// `px::push!(xs as part, k)?`. See [`Engines::push`].
#[macro_export]
macro_rules! push {
    ($($from:ident $(as $to:ident)?),+ $(,)?) => {
        $crate::__carry!(push $(, [$from $($to)?])+)
    };
    ($($other:tt)*) => {
        ::std::compile_error!("`px::push!` takes variables of the notebook: `px::push!(x)?`, `px::push!(x as y)?`; `px::engines().push(px::var!(y), &(a + b))?` takes any value")
    };
}

/// Splits variables of the notebook between all engines: `px::scatter!(xs)?`, `px::scatter!(xs as part)?`. See
/// [`Engines::scatter`].
#[macro_export]
macro_rules! scatter {
    ($($from:ident $(as $to:ident)?),+ $(,)?) => {
        $crate::__carry!(scatter $(, [$from $($to)?])+)
    };
    ($($other:tt)*) => {
        ::std::compile_error!("`px::scatter!` takes variables of the notebook: `px::scatter!(xs)?`, `px::scatter!(xs as part)?`; `px::engines().scatter(px::var!(part), &a[..9])?` takes any items")
    };
}

/// Copies a variable of all engines here: `let parts: Vec<f64> = px::pull!(part)?`. See [`Engines::pull`].
#[macro_export]
macro_rules! pull {
    ($name:ident $(,)?) => {
        $crate::engines().pull($crate::var!($name))
    };
    ($($other:tt)*) => {
        ::std::compile_error!("`px::pull!` takes the name of one variable of the engines: `px::pull!(part)?`")
    };
}

/// Puts the parts that all engines have of a variable together: `let xs: Vec<f64> = px::gather!(part)?`. See
/// [`Engines::gather`].
#[macro_export]
macro_rules! gather {
    ($name:ident $(,)?) => {
        $crate::engines().gather($crate::var!($name))
    };
    ($($other:tt)*) => {
        ::std::compile_error!("`px::gather!` takes the name of one variable of the engines: `px::gather!(part)?`")
    };
}

/// What [`push!`](crate::push!) and [`scatter!`](crate::scatter!) are made of.
#[doc(hidden)]
#[macro_export]
macro_rules! __carry {
    ($how:ident $(, [$from:ident $($to:ident)?])+) => {
        (|| {
            let px_engines = $crate::engines();
            $($crate::__carry!(@one px_engines, $how, $from $($to)?)?;)+
            ::std::result::Result::<(), $crate::Error>::Ok(())
        })()
    };
    (@one $engines:ident, $how:ident, $from:ident) => {
        $engines.$how($crate::var!($from), &$from)
    };
    (@one $engines:ident, $how:ident, $from:ident $to:ident) => {
        $engines.$how($crate::var!($to), &$from)
    };
}

impl Engines {
    /// Gives each of these engines a variable of this name with a copy of the value: `e.push(px::var!(centers), &centers)?`.
    /// It takes the place of one of that name. Later cells of the engines see it, too.
    ///
    /// # Errors
    /// If an engine can't take it; what others have taken stays.
    pub fn push<T: Wire>(&self, to: Var<T>, value: &T) -> Result<(), Error> {
        match bytes_of_numbers(value) {
            Some(bytes) if bytes > SMALL => {
                let rooms = Rooms::new(1, "push", to.name())?;
                put_numbers(value, &rooms.here(Step::All)?)?;
                self.carry("push", (Slot(to.name()), rooms.there(self, Step::All)?), take_numbers_there::<T>)?;
                rooms.passed();
            }
            _ => _ = self.carry("push", (Slot(to.name()), Arriving(value)), Store::set::<T>)?,
        }
        self.tell::<T>(to.name())
    }

    /// Gives each of these engines a part of the items, as a `Vec` of this name: stretches of them, in the order of the
    /// engines' numbers, whose lengths differ by one at most.
    ///
    /// # Errors
    /// As [`Engines::push`].
    pub fn scatter<P: Parts + ?Sized>(&self, to: Var<Vec<P::Item>>, items: &P) -> Result<(), Error> {
        self.part(Step::Split, to.name(), items)
    }

    /// The same by turns: with three engines, the first has the items 0, 3, 6 and so on.
    ///
    /// # Errors
    /// As [`Engines::push`].
    pub fn scatter_by_turns<P: Parts + ?Sized>(&self, to: Var<Vec<P::Item>>, items: &P) -> Result<(), Error> {
        self.part(Step::Deal, to.name(), items)
    }

    fn part<P: Parts + ?Sized>(&self, step: Step, to: &'static str, items: &P) -> Result<(), Error> {
        let rooms = Rooms::new(self.known()?.len(), "scatter", to)?;
        let variable = rooms.here(step)?;
        items.with(&mut |first, second| variable.put(first, second))?;
        self.carry("scatter", (Slot(to), rooms.there(self, Step::Own)?), take_items_there::<P::Item>)?;
        rooms.passed();
        self.tell::<Vec<P::Item>>(to)
    }

    /// The variable of this name of each of these engines, in the order of their numbers.
    ///
    /// # Errors
    /// If an engine has none of this type.
    pub fn pull<T: Wire>(&self, from: Var<T>) -> Result<Vec<T>, Error> {
        if !is_of_numbers::<T>() {
            let encoded = self.carry("pull", (from,), encoded::<T>)?;
            return encoded.iter().map(|bytes| Ok(T::get(&mut bytes.as_slice())?)).collect();
        }
        let rooms = Rooms::new(self.known()?.len(), "pull", from.name())?;
        self.carry("pull", (from, rooms.there(self, Step::Own)?), put_numbers_there::<T>)?;
        let taken = (0..rooms.0.len()).map(|at| take_numbers(&rooms.one(at)?)).collect::<Result<_, _>>()?;
        rooms.passed();
        Ok(taken)
    }

    /// The items of the variables of this name of all of these engines, one engine's behind the other's.
    ///
    /// # Errors
    /// If an engine has none of this type.
    pub fn gather<T: Wire>(&self, from: Var<Vec<T>>) -> Result<Vec<T>, Error> {
        let rooms = Rooms::new(self.known()?.len(), "gather", from.name())?;
        // When all have said how many they have, each knows where its own belong.
        let steps: &[Step] = if T::is_plain() { &[Step::Count, Step::Place] } else { &[Step::Count] };
        for step in steps {
            self.carry("gather", (from, rooms.there(self, *step)?), put_items_there::<T>)?;
        }
        let taken = rooms.here(Step::All)?.take()?;
        rooms.passed();
        Ok(taken)
    }

    /// Tells the kernel that the engines have a variable, so that their cells can use it.
    pub(super) fn tell<T>(&self, name: &str) -> Result<(), Error> {
        let engines = self.known()?.clone();
        ask(&Ask::Defined { engines, name: name.to_owned(), type_name: type_name::<T>().to_owned() }).map(drop)
    }
}

fn take_numbers_there<T: Wire>(store: &mut Store, room: &Variable) {
    store.set(or_fail(take_numbers::<T>(room)));
}

fn take_items_there<T: Wire>(store: &mut Store, room: &Variable) {
    store.set(or_fail(room.take::<T>()));
}

fn put_numbers_there<T: Wire>(value: &T, room: &Variable) {
    or_fail(put_numbers(value, room));
}

#[expect(clippy::ptr_arg, reason = "the variable is a Vec, and the function's type says so")]
fn put_items_there<T: Wire>(items: &Vec<T>, room: &Variable) {
    or_fail(room.put(items, &[]));
}

fn or_fail<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// Rooms through which a variable goes.
struct Rooms(Vec<Room>);

impl Rooms {
    fn new(count: usize, how: &str, name: &str) -> Result<Rooms, Error> {
        let purpose = format!("{how} {name}");
        (0..count).map(|_| Room::passage(&purpose)).collect::<Result<_, _>>().map(Rooms)
    }

    /// All is where it was to go.
    fn passed(self) {
        self.0.into_iter().for_each(Room::passed);
    }

    fn serve(&self, step: Step, rooms: &[Room]) -> Serve {
        let passing = Passing { step, lanes: rooms.len() as u32, ranks: Vec::new() };
        let rooms = rooms.iter().map(|room| room.path().to_owned()).collect();
        Serve { rooms, input: passing.encode(), threads: THREADS, ..Serve::default() }
    }

    /// For this side.
    fn here(&self, step: Step) -> Result<Variable, Error> {
        Variable::of(&self.serve(step, &self.0), None)
    }

    /// What this engine has put, the one with this place among all.
    fn one(&self, at: usize) -> Result<Variable, Error> {
        Variable::of(&self.serve(Step::All, &self.0[at..=at]), None)
    }

    /// For the engines.
    fn there(&self, engines: &Engines, step: Step) -> Result<Through, Error> {
        Ok(Through { engines: engines.known()?.clone(), serve: self.serve(step, &self.0) })
    }
}

/// As many threads write a variable.
const THREADS: u32 = 4;

macro_rules! numbers {
    ($($number:ty)*) => {
        /// Whether this is a `Vec` of numbers.
        fn is_of_numbers<T: 'static>() -> bool {
            [$(TypeId::of::<Vec<$number>>()),*].contains(&TypeId::of::<T>())
        }

        /// What they take in memory, if it is one.
        fn bytes_of_numbers(value: &dyn Any) -> Option<usize> {
            $(if let Some(numbers) = value.downcast_ref::<Vec<$number>>() {
                return Some(size_of_val(numbers.as_slice()));
            })*
            None
        }

        /// Puts them into rooms.
        fn put_numbers(value: &dyn Any, variable: &Variable) -> Result<(), Error> {
            $(if let Some(numbers) = value.downcast_ref::<Vec<$number>>() {
                return variable.put(numbers, &[]);
            })*
            Err(Error::Damaged)
        }

        /// Takes what was put.
        fn take_any_numbers(of: TypeId, variable: &Variable) -> Result<Box<dyn Any>, Error> {
            $(if of == TypeId::of::<Vec<$number>>() {
                return Ok(Box::new(variable.take::<$number>()?));
            })*
            Err(Error::Damaged)
        }
    };
}

numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

fn take_numbers<T: 'static>(variable: &Variable) -> Result<T, Error> {
    let taken = take_any_numbers(TypeId::of::<T>(), variable)?;
    taken.downcast().map(|numbers| *numbers).map_err(|_| Error::Damaged)
}
