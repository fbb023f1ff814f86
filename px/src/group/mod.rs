//! What engines do together within a cell: collectives ([`barrier`], [`broadcast`], [`reduce`], [`allreduce`],
//! [`allgather`], [`gather`], [`scatter`], [`scan`], [`alltoall`]), and messages from one to another ([`send`], [`recv`], [`recv_any`]).
//!
//! ```no_run
//! let part: f64 = (px::rank()..1000).step_by(px::size()).map(|n| 1.0 / (n * n + 1) as f64).sum();
//! let whole = px::allreduce(part, px::sum);
//! ```
//!
//! All engines that a `%%px` cell runs on are its group, and so are those that call a function for one `each`. Each run has one
//! of its own, so nothing of one comes to another.
//! Ranks are in the order of the engines' ids. What can't be done is a panic: it names the
//! engines, what they called and where. Nothing waits for ever: who leaves or dies ends what waits for it.
//!
//! Members share memory (`segment`), and find each other by a folder that their run is told of (`info`). How they wait and
//! fail is in `member`, what they do with bytes in `exchange` and `post`. On a host that hasn't that memory, a deputy is asked
//! to do it (`far`).

mod exchange;
mod far;
mod info;
mod member;
mod ops;
mod party;
mod post;
mod segment;
mod value;

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use far::{DOOR, Deputies, refusal, tell_left};
#[doc(hidden)]
pub use info::{Info, Reach, Stretch, decode_lines, encode_lines, leave};
pub use ops::{Combine, max, min, product, sum};

use crate::host;
use crate::link::Ask;
use crate::map::Error;
use crate::wire::Wire;
use exchange::Whose;
use member::{Broken, Call, Kind, short};
use party::Party;
use std::any::type_name;
use std::borrow::Cow;
use std::ops::Range;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, TryLockError};
use value::{Coming, bytes_of};

/// The member that this object's run is, since its first call, and the run's number.
static CURRENT: Mutex<Option<(u64, Party)>> = Mutex::new(None);

/// This thread's turn in the group.
struct Turn(MutexGuard<'static, Option<(u64, Party)>>);

impl Turn {
    /// `what` is the function that is called.
    fn begin(what: &str) -> Result<Turn, Broken> {
        let nowhere = || {
            Broken::own(format!(
                "px::{what} works in cells that run on engines, `%%px` or `%px`, and in functions that `px::engines()` calls on them, by \
                 `each`, `start` or `keep`. There is no group of engines here: the notebook's own cells have none, nor do functions that \
                 engines call for `%map` and `px::call!`, nor threads of a cell or a call that has ended"
            ))
        };
        let mut current = match CURRENT.try_lock() {
            Ok(current) => current,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Broken::own(format!(
                    "px::{what} was called while another thread of this engine does something with the group: one thread \
                     of each engine speaks for it at a time"
                )));
            }
        };
        let run = host::own_run().ok_or_else(nowhere)?;
        if current.as_ref().is_none_or(|(of, _)| *of != run) {
            *current = None;
            let info = Info::decode(&host::group()).ok_or_else(nowhere)?;
            *current = Some((run, Party::open(info)?));
            say_that_it_is_used();
        }
        Ok(Turn(current))
    }

    fn party(&self) -> Result<&Party, Broken> {
        self.0.as_ref().map(|(_, party)| party).ok_or_else(|| Broken::own("the group is gone".into()))
    }
}

/// From now on, engines are told of members that have left. It is said when the memory is there where that is written.
fn say_that_it_is_used() {
    // If nobody hears it, this worker is about to end.
    _ = host::ask(&Ask::Joined);
}

/// Does something in the group. What it fails with is the panic of whoever called.
#[track_caller]
fn together<R>(what: &str, work: impl FnOnce(&Party) -> Result<R, Broken>) -> R {
    let turn = Turn::begin(what);
    let done = match turn.as_ref().map(Turn::party) {
        Ok(Ok(party)) => does(party, what, work),
        Ok(Err(broken)) => Err(broken),
        Err(broken) => fail(broken),
    };
    match done {
        Ok(done) => done,
        Err(broken) => {
            drop(turn);
            fail(&broken)
        }
    }
}

/// Has a member do its part. It does nothing more when it has left: others may still read what it has shown last.
#[track_caller]
fn does<R>(party: &Party, what: &str, work: impl FnOnce(&Party) -> Result<R, Broken>) -> Result<R, Broken> {
    if let Some(broken) = party.over(what) {
        return Err(broken);
    }
    let _unwinds = Unwinds(party);
    ops::panics_here(|| work(party)).inspect_err(|broken| {
        if !broken.own {
            party.give_up(broken);
        }
    })
}

/// A member whose function panics has done a part of what is called: it can't do anything more with the others, even if the
/// cell catches the panic.
struct Unwinds<'a>(&'a Party);

impl Drop for Unwinds<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail();
        }
    }
}

#[track_caller]
#[inline(never)]
fn fail(broken: &Broken) -> ! {
    panic!("{}", broken.text)
}

#[track_caller]
fn call<T>(kind: Kind, root: Option<usize>) -> Call<'static> {
    Call { kind, root, of: type_name::<T>(), count: None, how: None, line: Location::caller().line() }
}

/// What these ranks show, by rank, when all have shown their values.
fn values_of<T: Wire>(party: &Party, call: &Call<'_>, mine: T, ranks: Range<usize>) -> Result<Vec<T>, Broken> {
    let mut all: Vec<Coming<T>> = ranks.clone().map(|_| Coming::new()).collect();
    let shown = bytes_of(&mine);
    // A vector of numbers needn't be copied to be what others get.
    let stays = matches!(shown, Cow::Borrowed(_)).then_some(party.rank()).filter(|me| ranks.contains(me));
    let whose = if ranks.is_empty() { Whose::Nobodys } else { Whose::All };
    party.exchange(call, &shown, whose, &mut |part| {
        if ranks.contains(&part.rank) && stays != Some(part.rank) {
            all[part.rank - ranks.start].take(&part);
        }
    })?;
    drop(shown);
    let mut mine = Some(mine);
    let value = |(rank, coming): (usize, Coming<T>)| match mine.take_if(|_| stays == Some(rank)) {
        Some(mine) => Ok(mine),
        None => coming.value(),
    };
    ranks.clone().zip(all).map(value).collect()
}

/// What the ranks `from` have for this one, by rank. `mine` has something for each, if this is one of these.
fn parts_of<T: Wire>(party: &Party, call: &Call<'_>, mine: &[T], from: Whose) -> Result<Vec<T>, Broken> {
    let mut all: Vec<Coming<T>> = (0..party.size()).map(|_| Coming::new()).collect();
    let parts: Vec<Cow<'_, [u8]>> = mine.iter().map(bytes_of).collect();
    let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
    let lengths = exchange::lengths(&parts);
    let row = if parts.is_empty() { Vec::new() } else { exchange::row(&lengths, &parts, party.rank()) };
    party.scatter(call, &row, &mut |part| all[part.rank].take(&part))?;
    if let Some(own) = parts.get(party.rank()) {
        value::append(all[party.rank()].place(), own);
    }
    let asked_for = all.into_iter().enumerate().filter(|(rank, _)| from.has(*rank));
    asked_for.map(|(_, coming)| coming.value()).collect()
}

/// Waits until all engines of the group have called it.
#[track_caller]
pub fn barrier() {
    let call = call::<()>(Kind::Barrier, None);
    together("barrier", |party| party.exchange(&call, &[], Whose::Nobodys, &mut |_| {}));
}

/// Gives all the value of rank `root`. What the others pass is dropped.
#[track_caller]
pub fn broadcast<T: Wire>(root: usize, value: T) -> T {
    let call = call::<T>(Kind::Broadcast, Some(root));
    together("broadcast", |party| {
        party.info().check(root, "broadcast")?;
        if root == party.rank() {
            party.exchange(&call, &bytes_of(&value), Whose::Nobodys, &mut |_| {})?;
            return Ok(value);
        }
        let mut coming = Coming::in_place_of(value);
        party.exchange(&call, &[], Whose::Of(root), &mut |part| coming.take(&part))?;
        coming.value()
    })
}

/// Combines the values of all, `op(a, b)` two at a time, and gives what comes of it to rank `root`; the others get `None`.
///
/// [`sum`], [`product`], [`min`] and [`max`] combine numbers, and `Vec`s of them place by place.
#[track_caller]
pub fn reduce<T: Wire>(root: usize, value: T, op: impl Fn(T, T) -> T) -> Option<T> {
    let call = call::<T>(Kind::Reduce, Some(root));
    together("reduce", |party| {
        party.info().check(root, "reduce")?;
        combine(party, call, value, op)
    })
}

/// Combines the values of all, `op(a, b)` two at a time, and gives all what comes of it.
///
/// [`sum`], [`product`], [`min`] and [`max`] combine numbers, and `Vec`s of them place by place. Values are combined along
/// a tree over the ranks, which depends on their number only: floats come out the same each time, and the same for all.
#[track_caller]
#[must_use = "every engine gets a result, which is dropped here"]
pub fn allreduce<T: Wire>(value: T, op: impl Fn(T, T) -> T) -> T {
    let call = call::<T>(Kind::Allreduce, None);
    let done = together("allreduce", |party| combine(party, call, value, op));
    // Without a root all get it.
    done.unwrap_or_else(|| unreachable!("allreduce gives all engines a value"))
}

fn combine<T: Wire, F: Fn(T, T) -> T>(
    party: &Party,
    mut call: Call<'_>,
    mut value: T,
    op: F,
) -> Result<Option<T>, Broken> {
    let wanted = call.root.is_none_or(|root| root == party.rank());
    if let Some(mut numbers) = ops::numbers(&mut value, ops::id(&op)) {
        call.combines(&numbers);
        party.reduce(&call, &mut numbers)?;
        return Ok(wanted.then_some(value));
    }
    let values = values_of(party, &call, value, if wanted { 0..party.size() } else { 0..0 })?;
    let mut values: Vec<Option<T>> = values.into_iter().map(Some).collect();
    Ok(if wanted { tree(&mut values, 0..party.size(), &op) } else { None })
}

/// Combines these ranks' values in the same order as numbers are combined.
fn tree<T>(values: &mut [Option<T>], ranks: Range<usize>, op: &impl Fn(T, T) -> T) -> Option<T> {
    if ranks.len() == 1 {
        return values[ranks.start].take();
    }
    let middle = exchange::middle(&ranks);
    let (first, second) = (tree(values, ranks.start..middle, op)?, tree(values, middle..ranks.end, op)?);
    Some(op(first, second))
}

/// Gives all the values of all, by rank.
#[track_caller]
#[must_use = "every engine gets a result, which is dropped here"]
pub fn allgather<T: Wire>(value: T) -> Vec<T> {
    let call = call::<T>(Kind::Allgather, None);
    together("allgather", |party| values_of(party, &call, value, 0..party.size()))
}

/// Gives rank `root` the values of all, by rank; the others get `None`.
#[track_caller]
pub fn gather<T: Wire>(root: usize, value: T) -> Option<Vec<T>> {
    let call = call::<T>(Kind::Gather, Some(root));
    together("gather", |party| {
        party.info().check(root, "gather")?;
        let wanted = root == party.rank();
        let all = values_of(party, &call, value, if wanted { 0..party.size() } else { 0..0 })?;
        Ok(wanted.then_some(all))
    })
}

/// Gives each rank its one of the values of rank `root`, which must have one for each. What the others pass is dropped.
#[track_caller]
pub fn scatter<T: Wire>(root: usize, values: impl AsRef<[T]>) -> T {
    let call = call::<T>(Kind::Scatter, Some(root));
    together("scatter", |party| {
        party.info().check(root, "scatter")?;
        let mine = if root == party.rank() { values.as_ref() } else { &[] };
        if root == party.rank() {
            one_for_each(party, "scatter", mine.len())?;
        }
        let part = parts_of(party, &call, mine, Whose::Of(root))?.pop();
        part.ok_or_else(|| Broken::own("scatter has no value for this engine".into()))
    })
}

/// Gives each rank `n` the values `n` of all, by rank.
#[track_caller]
#[must_use = "every engine gets a result, which is dropped here"]
pub fn alltoall<T: Wire>(values: impl AsRef<[T]>) -> Vec<T> {
    let call = call::<T>(Kind::Alltoall, None);
    together("alltoall", |party| {
        one_for_each(party, "alltoall", values.as_ref().len())?;
        parts_of(party, &call, values.as_ref(), Whose::All)
    })
}

fn one_for_each(party: &Party, what: &str, count: usize) -> Result<(), Broken> {
    let size = party.size();
    if count == size {
        return Ok(());
    }
    Err(Broken::own(format!("px::{what} needs as many values as the group has engines, {size}, and was given {count}")))
}

/// Combines the values of the ranks up to this one, from rank 0 on: rank 2 gets `op(op(a, b), c)`.
#[track_caller]
#[must_use = "every engine gets a result, which is dropped here"]
pub fn scan<T: Wire>(mut value: T, op: impl Fn(T, T) -> T) -> T {
    let mut call = call::<T>(Kind::Scan, None);
    together("scan", |party| {
        if let Some(mut numbers) = ops::numbers(&mut value, ops::id(&op)) {
            call.combines(&numbers);
            party.reduce(&call, &mut numbers)?;
            return Ok(value);
        }
        let values = values_of(party, &call, value, 0..party.rank() + 1)?.into_iter();
        values.reduce(op).ok_or_else(|| Broken::own("scan has no value for this engine".into()))
    })
}

/// Sends a value to a rank, which may be this engine's own. It doesn't wait. Values from one rank to another arrive in the
/// order in which they were sent.
#[track_caller]
pub fn send<T: Wire>(to: usize, value: T) {
    let line = Location::caller().line();
    together("send", |party| party.send(to, type_name::<T>(), line, &bytes_of(&value)));
}

/// Takes the next value that a rank has sent to this one; waits for it. It must be of this type.
#[track_caller]
pub fn recv<T: Wire>(from: usize) -> T {
    let line = Location::caller().line();
    together("recv", |party| received(party, "recv", line, Some(from))).1
}

/// Takes the next value that any rank has sent to this one, with its rank; waits for it. It must be of this type. If several
/// ranks have sent one, they take turns.
#[track_caller]
#[must_use = "it gives the rank that has sent, and what"]
pub fn recv_any<T: Wire>() -> (usize, T) {
    let line = Location::caller().line();
    together("recv_any", |party| received(party, "recv_any", line, None))
}

/// What this line gets from a rank, or any, by this function.
fn received<T: Wire>(party: &Party, what: &str, line: u32, from: Option<usize>) -> Result<(usize, T), Broken> {
    let mut coming = Coming::new();
    let letter = party.receive(from, type_name::<T>(), line, coming.place())?;
    match letter.of == type_name::<T>() {
        true => Ok((letter.from, coming.value()?)),
        false => Err(unlike(party, what, (type_name::<T>(), line), &letter)),
    }
}

fn unlike(party: &Party, what: &str, (of, line): (&str, u32), letter: &post::Letter) -> Broken {
    Broken::own(format!(
        "{what}({}) at {} on engine {} gets what send({}) at {} on engine {} has sent: the types differ",
        short(of),
        party.info().place(line),
        party.info().members[party.rank()],
        short(&letter.of),
        party.info().place(letter.line),
        party.info().members[letter.from],
    ))
}

/// A panic is about to end the cell, perhaps: if it does, the others are told this. `line` is one of the object's source.
pub(crate) fn note_panic(message: &str, line: Option<u32>) {
    let of_cell = crate::sys::is_first_thread() && host::own_run().is_some();
    let Some(info) = of_cell.then(|| Info::decode(&host::group())).flatten() else { return };
    let place = line.map(|line| format!(" at {}", info.place(line))).unwrap_or_default();
    leave_word(&info, &format!("panicked{place}: {message}"));
}

/// A call has no result here, though its function hasn't panicked: it was not called, perhaps. The others don't wait for it.
pub(crate) fn leave_without_result(why: &Error) {
    let Some(info) = Info::decode(&host::group()) else { return };
    let text = format!("has no result of the call: {why}");
    leave_word(&info, &text);
    let (size, rank, text) = (info.size(), info.rank, Some(text.as_str()));
    // If it isn't heard, the end of the call is.
    _ = match &info.reach {
        Reach::Shared(folder) => leave(folder, size, rank, text),
        Reach::Far(door, name) => far::tell_left(door, name, size, rank, text),
        Reach::Nowhere(_) => Ok(()),
    };
}

/// Writes down what is said of this member if it leaves, also if nobody has used the group yet.
fn leave_word(info: &Info, text: &str) {
    let written = match &info.reach {
        Reach::Shared(folder) => segment::Segment::make(folder, info.size()).map(|memory| {
            if memory.left(info.rank).is_none() {
                memory.write_note(info.rank, text);
            }
        }),
        Reach::Far(door, name) => far::note(info, door, name, text),
        Reach::Nowhere(_) => return,
    };
    // Or else the others hear of a failure without its reason.
    if written.is_ok() {
        say_that_it_is_used();
    }
}

/// The run is over: lets go of what the group shares.
pub(crate) fn end() {
    // A thread that a cell has left waits in it, and will be told that this engine has left.
    match CURRENT.try_lock() {
        Ok(mut current) => *current = None,
        Err(TryLockError::Poisoned(poisoned)) => *poisoned.into_inner() = None,
        Err(TryLockError::WouldBlock) => {}
    }
}
