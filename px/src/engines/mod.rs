//! Engines from the notebook's own Rust: [`engines`] names them, [`Engines::each`] has a function called on each, and
//! [`Engines::with`] gives that function what it works on: the engine's own variables, by reference, and values of the
//! notebook.
//!
//! ```no_run
//! # fn step(part: &mut Vec<(f64, f64)>, rate: &f64) -> f64 { rate * part.len() as f64 }
//! let e = px::engines();
//! for k in 0..10 {
//!     let moved: Vec<f64> = e.with((px::var!(mut part), &0.1)).each(step)?;
//!     println!("{k}: {}", moved.iter().sum::<f64>());
//! }
//! # Ok::<(), px::Error>(())
//! ```
//!
//! Each engine's is a call like those of [`call!`](crate::call!), of a function in the same object, so a loop is compiled
//! once. Other than these it may read and change the variables of its engine; it brings none and takes none away. And engines that
//! call it for one `each` are a [`group`](crate::group): it may use [`allreduce`](crate::allreduce) and the others.

pub mod args;
mod carry;
mod kept;
#[cfg(test)]
mod tests;

pub use args::{Args, EachArg, Var, VarMut};
pub(crate) use kept::Waiting;

use crate::group::leave_without_result;
use crate::host::{argument, catch, host};
use crate::link::{Answer, Ask, CallArg, CallAsk, Message, OnEngine};
use crate::map::{Error, ask, distance, place_of};
use crate::task::shared::{Keeps, collect};
use crate::task::values::{Packed, pack, unpack, with_bytes};
use crate::task::{next_number, return_value};
use crate::wire::Wire;
use args::{Passing, Variables};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A variable of the engines, by its name, for [`Engines::with`]: `px::var!(part)` is a `&T` to the function, and
/// `px::var!(mut part)` a `&mut T`. What `T` is, the function says. If one of the engines has none of this name, or one of
/// another type, no engine calls it; but for what an engine has lost since the cell was compiled: then only that one doesn't.
#[macro_export]
macro_rules! var {
    (mut $name:ident) => {
        $crate::engines::VarMut::named(::std::stringify!($name))
    };
    ($name:ident) => {
        $crate::engines::Var::named(::std::stringify!($name))
    };
    ($($other:tt)*) => {
        ::std::compile_error!("`px::var!` takes the name of a variable of the engines: `px::var!(part)`, or `px::var!(mut part)` to change it")
    };
}

/// All engines of this notebook's cluster, which starts if there is none.
///
/// They are those of now: engines that join later are in what this returns then.
pub fn engines() -> Engines {
    Engines { ids: there(None) }
}

/// The numbers of all engines, or of those with this label.
fn there(label: Option<&str>) -> Result<Vec<u32>, Error> {
    match ask(&Ask::Engines(label.map(str::to_owned)))? {
        Answer::Engines(ids) => Ok(ids),
        _ => Err(Error::Damaged),
    }
}

/// Some engines, or why there are none: then that is the error of what they are to do.
#[must_use = "this only names engines: `.each(..)`, `.with(..)`, `.push(..)` and others have them do something"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engines {
    ids: Result<Vec<u32>, Error>,
}

impl Engines {
    /// Those with these numbers, which there are.
    pub(crate) fn of(ids: Vec<u32>) -> Engines {
        Engines { ids: Ok(ids) }
    }

    /// Those of these with the given numbers, each once, in the order of the numbers.
    pub fn on(&self, numbers: impl IntoIterator<Item = usize>) -> Engines {
        let pick = |ids: &Vec<u32>| {
            let mut picked = Vec::new();
            for number in numbers {
                let id = u32::try_from(number).ok().filter(|id| ids.contains(id));
                let none = || Error::Failed(format!("there is no engine {number} among {}", named(ids)));
                picked.push(id.ok_or_else(none)?);
            }
            picked.sort_unstable();
            picked.dedup();
            match picked.is_empty() {
                true => Err(Error::Failed("`on` was given no engine".to_owned())),
                false => Ok(picked),
            }
        };
        Engines { ids: self.known().and_then(pick) }
    }

    /// All engines that there are now, as [`engines`] has them.
    pub fn all(&self) -> Engines {
        engines()
    }

    /// Those of these with this label: `chorus start --label big`, `%cluster start --label big`, `chorus engine --label big`.
    pub fn labelled(&self, label: &str) -> Engines {
        let pick = |ids: &Vec<u32>| {
            let mut labelled = there(Some(label))?;
            labelled.retain(|id| ids.contains(id));
            let none = || format!("none of {} has the label `{label}`; `%cluster status` shows labels", named(ids));
            if labelled.is_empty() { Err(Error::Failed(none())) } else { Ok(labelled) }
        };
        Engines { ids: self.known().and_then(pick) }
    }

    /// Their numbers, as `%px -t` has them, in ascending order.
    ///
    /// # Panics
    /// If there are none, with the reason.
    #[track_caller]
    pub fn ids(&self) -> Vec<usize> {
        match &self.ids {
            Ok(ids) => ids.iter().map(|id| *id as usize).collect(),
            Err(error) => panic!("{error}"),
        }
    }

    /// How many they are.
    ///
    /// # Panics
    /// If there are none, with the reason.
    #[track_caller]
    #[expect(clippy::len_without_is_empty, reason = "there are none only with a reason, which is an error")]
    pub fn len(&self) -> usize {
        self.ids().len()
    }

    /// With what a function is to be called on them: one thing, or a tuple of up to six. `px::var!(part)` and
    /// `px::var!(mut part)` are the engine's own variables, which the function gets as `&T` and `&mut T`. The notebook's values
    /// go by reference: `&x`, `&xs[..]`, `"text"`, `&0.5`; the function gets a reference, too, to a copy.
    pub fn with<A: Args>(&self, args: A) -> With<'_, A> {
        With { engines: self, args, verb: "each" }
    }

    /// As [`Engines::each`], for what is called otherwise where calls are listed.
    pub(crate) fn carry<A: Args, R: Wire>(
        &self,
        verb: &'static str,
        args: A,
        function: A::Function<R>,
    ) -> Result<Vec<R>, Error> {
        With { engines: self, args, verb }.each(function)
    }

    pub(crate) fn known(&self) -> Result<&Vec<u32>, Error> {
        self.ids.as_ref().map_err(Error::clone)
    }

    /// Has a function called on each, and waits. What they return is in the order of the engines' numbers.
    ///
    /// # Errors
    /// If one of them lacks a variable that it is given; then it is called on none. If it panics, or its worker dies, on any of
    /// them; the others end it all the same. Variables of an engine where it
    /// failed are as before the call. See [`With::start`] for what each engine returned.
    pub fn each<R: Wire>(&self, function: fn() -> R) -> Result<Vec<R>, Error> {
        self.with(()).each(function)
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// If none can be called.
    pub fn start<R: Wire>(&self, function: fn() -> R) -> Result<Each<R>, Error> {
        self.with(()).start(function)
    }
}

/// Engines, and what a function is to be called with there. See [`Engines::with`].
#[must_use = "nothing is called before `.each(f)?`, `.start(f)?` or `.keep(px::var!(name), f)?`"]
pub struct With<'e, A> {
    engines: &'e Engines,
    args: A,
    verb: &'static str,
}

impl<A: Args> With<'_, A> {
    /// As [`Engines::each`].
    ///
    /// # Errors
    /// As there.
    pub fn each<R: Wire>(self, function: A::Function<R>) -> Result<Vec<R>, Error> {
        self.start(function)?.get()
    }

    /// As [`Engines::start`].
    ///
    /// # Errors
    /// As there.
    pub fn start<R: Wire>(self, function: A::Function<R>) -> Result<Each<R>, Error> {
        let mut passing = Passing::default();
        let ((), held) = collect(|| self.args.pass(&mut passing));
        let calls = start(self.engines, self.verb, passing, held, (serve::<A, R>, A::address(function)))?;
        Ok(Each { calls, result: PhantomData })
    }

    /// Has engines do something that nobody waits for, if they are still there.
    fn told(self, verb: &'static str, function: A::Function<()>) -> Result<(), Error> {
        let mut passing = Passing { is_last: true, ..Passing::default() };
        self.args.pass(&mut passing);
        start(self.engines, verb, passing, Vec::new(), (serve::<A, ()>, A::address(function))).map(drop)
    }
}

/// Has a function called on each engine; not compiled in each cell.
#[inline(never)]
fn start(
    engines: &Engines,
    verb: &str,
    passing: Passing,
    held: Vec<Arc<dyn Keeps>>,
    (serve, function): (extern "C" fn(), usize),
) -> Result<Group, Error> {
    let ids = engines.known()?;
    let Passing { bytes, names, needs, access, is_last } = passing;
    if let Some(name) = names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name)) {
        let what = format!("`{name}` is given to the function twice, and may be only once; nothing was called");
        return Err(Error::Failed(what));
    }
    let (object, at) = place_of(serve)?;
    let distance = distance(serve, function, "this function", "nothing was called")?;
    let packed = pack(|to| to.extend_from_slice(&bytes))?;
    let mut argument = distance.to_le_bytes().to_vec();
    argument.extend_from_slice(&packed.bytes);
    let rooms: Vec<String> = held.iter().map(|held| held.name().to_owned()).chain(packed.path()).collect();
    let label = format!("{verb}({})", names.join(", "));
    let call = CallAsk {
        object,
        function: at,
        label,
        args: vec![CallArg::Value(argument)],
        rooms,
        access,
        variables: needs.into_iter().map(str::to_owned).collect(),
        is_last,
        ..CallAsk::default()
    };
    let calls: Vec<OnEngine> = ids.iter().map(|id| OnEngine { job: next_number(), engine: *id }).collect();
    // The kernel takes questions in order: it has the calls before it hears that the room is needed no longer here.
    ask(&Ask::CallOn(call, calls.clone()))?;
    Ok(Group { all: calls.into(), _held: held })
}

/// What engines call. It isn't inlined, lest there are copies: others lie so far from just this one.
#[inline(never)]
extern "C" fn serve<A: Args, R: Wire>() {
    serve_by(&mut |distance, values| {
        let function = (serve::<A, R> as *const () as usize).wrapping_add(distance as usize);
        // SAFETY: the notebook found a function of this type so far from this one, in the same object.
        let value = unsafe { A::call::<R>(function, values, &Variables::of_this_run()) }?;
        pack(|to| value.put(to))
    });
}

/// Calls this with the distance of the function and what it is to be given; sends what comes of it.
#[inline(never)]
fn serve_by(call: &mut dyn FnMut(u64, &mut &[u8]) -> Result<Packed, Error>) {
    // A panic has been reported by the hook, and must not leave a C function.
    let returned = catch(true, || {
        let returned = with_argument(&argument(), |distance, mut values| call(distance, &mut values));
        returned.as_ref().err().into_iter().for_each(leave_without_result);
        return_value(returned);
    });
    if let (Err(_), Some(host)) = (returned, host()) {
        host.failed.store(true, Ordering::Release);
    }
}

/// Takes apart what [`start`] has put together.
fn with_argument<R>(mut bytes: &[u8], call: impl FnOnce(u64, &[u8]) -> Result<R, Error>) -> Result<R, Error> {
    let distance = u64::read(&mut bytes)?;
    with_bytes(&mut bytes, |values| call(distance, values))
}

/// A function that was called on several engines: what each returns.
///
/// Iterating over it gives the engines' numbers with their results as they come. When it is dropped, the calls go on, and what
/// they return is forgotten.
#[must_use = "what the functions return is lost, and whether they fail: `.get()?` waits for them"]
pub struct Each<R> {
    calls: Group,
    result: PhantomData<fn() -> R>,
}

/// Calls that differ in their engines only.
struct Group {
    all: VecDeque<OnEngine>,
    /// What they were given refers to these, and so may what they return.
    _held: Vec<Arc<dyn Keeps>>,
}

impl Group {
    fn numbers(&self) -> Vec<u64> {
        self.all.iter().map(|call| call.job).collect()
    }

    fn ended(&self) -> usize {
        let is_over =
            |call: &&OnEngine| !matches!(ask(&Ask::Wait { job: call.job, millis: 0 }), Ok(Answer::Running { .. }));
        self.all.iter().filter(is_over).count()
    }

    /// The answers of all, when they have ended.
    #[inline(never)]
    fn answers(&self) -> Result<Vec<Answer>, Error> {
        match ask(&Ask::WaitAll(self.numbers()))? {
            Answer::All(answers) if answers.len() == self.all.len() => Ok(answers),
            _ => Err(Error::Damaged),
        }
    }

    /// Takes out one that has ended, with its answer.
    #[inline(never)]
    fn take_first(&mut self) -> Option<(u32, Result<Answer, Error>)> {
        self.all.front()?;
        let at = match ask(&Ask::WaitAny(self.numbers())) {
            Ok(Answer::Job(number)) => self.all.iter().position(|call| call.job == number).unwrap_or(0),
            _ => 0,
        };
        let OnEngine { job, engine } = self.all.remove(at)?;
        let answer = ask(&Ask::Wait { job, millis: u64::MAX });
        let _ = ask(&Ask::Forget(job));
        Some((engine, answer))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Without a kernel there is nothing to forget.
        let _ = ask(&Ask::ForgetAll(self.numbers()));
    }
}

impl<R> std::fmt::Debug for Each<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Each({} of {} ended)", self.calls.ended(), self.calls.all.len())
    }
}

impl<R> Each<R> {
    /// Whether all have ended, with or without a result.
    pub fn done(&self) -> bool {
        self.calls.ended() == self.calls.all.len()
    }

    /// Ends those that haven't ended: their engines' variables are then as before.
    pub fn cancel(&self) {
        for call in &self.calls.all {
            // What can't be ended has ended.
            let _ = ask(&Ask::Cancel(call.job));
        }
    }
}

impl<R: Wire> Each<R> {
    /// Waits for all, and returns what they return in the order of the engines' numbers.
    ///
    /// # Errors
    /// As [`Engines::each`]: what went wrong on each engine, a line for each.
    pub fn get(&self) -> Result<Vec<R>, Error> {
        let (mut values, mut failed) = (Vec::with_capacity(self.calls.all.len()), Vec::new());
        for answer in self.calls.answers()? {
            match value(answer) {
                Ok(value) => values.push(value),
                Err(error) => failed.push(error),
            }
        }
        if failed.is_empty() { Ok(values) } else { Err(all_of(failed, values.len())) }
    }
}

/// As they come.
impl<R: Wire> Iterator for Each<R> {
    type Item = (usize, Result<R, Error>);

    fn next(&mut self) -> Option<Self::Item> {
        let (engine, answer) = self.calls.take_first()?;
        Some((engine as usize, answer.and_then(value)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.calls.all.len(), Some(self.calls.all.len()))
    }
}

/// What a call has returned.
fn value<R: Wire>(answer: Answer) -> Result<R, Error> {
    match answer {
        Answer::Value { value, .. } => unpack(&mut value.as_slice()),
        Answer::Failed(sentence) => Err(Error::Failed(sentence)),
        _ => Err(Error::Damaged),
    }
}

/// Several errors as one.
fn all_of(mut failed: Vec<Error>, well: usize) -> Error {
    if failed.len() == 1 && well == 0 {
        return failed.remove(0);
    }
    let mut lines: Vec<String> = failed.iter().map(Error::to_string).collect();
    // What the kernel says of all, it says once.
    lines.dedup();
    if well > 0 {
        lines.push(format!("the other {well} returned"));
    }
    Error::Failed(lines.join("\n"))
}

/// `engines 0, 1 and 3`.
pub(crate) fn named(ids: &[u32]) -> String {
    let texts: Vec<String> = ids.iter().map(u32::to_string).collect();
    match texts.as_slice() {
        [] => "no engines".to_owned(),
        [one] => format!("engine {one}"),
        [others @ .., last] => format!("engines {} and {last}", others.join(", ")),
    }
}
