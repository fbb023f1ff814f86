//! What engines do together within a cell: collectives ([`barrier`], [`broadcast`], [`reduce`], [`allreduce`],
//! [`allgather`], [`gather`], [`scatter`], [`scan`], [`alltoall`]), and messages from one to another ([`send`], [`recv`], [`recv_any`]).
//!
//! ```no_run
//! let part: f64 = (px::rank()..1000).step_by(px::size()).map(|n| 1.0 / (n * n + 1) as f64).sum();
//! let whole = px::allreduce(part, px::sum);
//! ```
//!
//! All engines that a `%%px` cell runs on are its group. Each run has one of its own, so nothing of one comes to another.
//! Ranks are in the order of the engines' ids. What can't be done is a panic, which is the cell's error: it names the
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

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use far::{DOOR, Deputies, refusal, tell_left};
#[doc(hidden)]
pub use info::{Info, Reach, Stretch, decode_lines, encode_lines, is_used, leave};
pub use ops::{Combine, max, min, product, sum};

use crate::host;
use crate::wire::{Wire, encoded};
use exchange::Whose;
use member::{Broken, Call, Kind, short};
use party::Party;
use std::any::type_name;
use std::ops::Range;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, TryLockError};

/// The member that this object's run is, since its first call, and the run's number.
static CURRENT: Mutex<Option<(u64, Party)>> = Mutex::new(None);

/// This thread's turn in the group.
struct Turn(MutexGuard<'static, Option<(u64, Party)>>);

impl Turn {
    /// `what` is the function that is called.
    fn begin(what: &str) -> Result<Turn, Broken> {
        let nowhere = || {
            Broken::own(format!(
                "px::{what} works in cells that run on engines, `%%px` or `%px`, and there is no group of engines here: the \
                 notebook's own cells have none, nor do functions that engines call for `%map`, `px::call!` and `each`, nor \
                 threads of a cell that has ended"
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
            let info = Info::decode(&host::argument()).ok_or_else(nowhere)?;
            *current = Some((run, Party::open(info)?));
        }
        Ok(Turn(current))
    }

    fn party(&self) -> Result<&Party, Broken> {
        self.0.as_ref().map(|(_, party)| party).ok_or_else(|| Broken::own("the group is gone".into()))
    }
}

/// Does something in the group. What it fails with is the panic of whoever called.
#[track_caller]
fn together<R>(what: &str, work: impl FnOnce(&Party) -> Result<R, Broken>) -> R {
    let done = Turn::begin(what).and_then(|turn| does(turn.party()?, what, work));
    match done {
        Ok(done) => done,
        Err(broken) => fail(&broken),
    }
}

/// Has a member do its part. It does nothing more when it has left: others may still read what it has shown last.
fn does<R>(party: &Party, what: &str, work: impl FnOnce(&Party) -> Result<R, Broken>) -> Result<R, Broken> {
    if let Some(broken) = party.over(what) {
        return Err(broken);
    }
    let _unwinds = Unwinds(party);
    work(party).inspect_err(|broken| {
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

fn decode<T: Wire>(mut bytes: &[u8]) -> Result<T, Broken> {
    T::get(&mut bytes).map_err(|damaged| Broken::own(format!("what another engine has sent is damaged: {damaged}")))
}

fn decode_all<T: Wire>(all: &[Vec<u8>]) -> Result<Vec<T>, Broken> {
    all.iter().map(|bytes| decode(bytes)).collect()
}

/// Waits until all engines of the group have called it.
#[track_caller]
pub fn barrier() {
    let call = call::<()>(Kind::Barrier, None);
    together("barrier", |party| party.gather(&call, &[], Whose::Nobodys).map(drop));
}

/// Gives all the value of rank `root`. What the others pass is dropped.
#[track_caller]
pub fn broadcast<T: Wire>(root: usize, mut value: T) -> T {
    let call = call::<T>(Kind::Broadcast, Some(root));
    together("broadcast", |party| {
        party.info().check(root, "broadcast")?;
        if let Some(vector) = ops::vector(&mut value) {
            party.broadcast(&call, root, vector)?;
            return Ok(value);
        }
        if root == party.rank() {
            party.gather(&call, &encoded(&value), Whose::Nobodys)?;
            return Ok(value);
        }
        let all = party.gather(&call, &[], Whose::Of(root))?;
        decode(&all[root])
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
        (call.count, call.how) = (Some(numbers.bytes.len() / numbers.width), Some(numbers.how));
        party.reduce(&call, &mut numbers)?;
        return Ok(wanted.then_some(value));
    }
    let all = party.gather(&call, &encoded(&value), if wanted { Whose::All } else { Whose::Nobodys })?;
    if !wanted {
        return Ok(None);
    }
    let mut values: Vec<Option<T>> = decode_all(&all)?.into_iter().map(Some).collect();
    Ok(tree(&mut values, 0..party.size(), &op))
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
    together("allgather", |party| decode_all(&party.gather(&call, &encoded(&value), Whose::All)?))
}

/// Gives rank `root` the values of all, by rank; the others get `None`.
#[track_caller]
pub fn gather<T: Wire>(root: usize, value: T) -> Option<Vec<T>> {
    let call = call::<T>(Kind::Gather, Some(root));
    together("gather", |party| {
        party.info().check(root, "gather")?;
        let wanted = root == party.rank();
        let all = party.gather(&call, &encoded(&value), if wanted { Whose::All } else { Whose::Nobodys })?;
        if wanted { decode_all(&all).map(Some) } else { Ok(None) }
    })
}

/// Gives each rank its one of the values of rank `root`, which must have one for each. What the others pass is dropped.
#[track_caller]
pub fn scatter<T: Wire>(root: usize, values: impl AsRef<[T]>) -> T {
    let call = call::<T>(Kind::Scatter, Some(root));
    together("scatter", |party| {
        party.info().check(root, "scatter")?;
        let mut parts = Vec::new();
        if root == party.rank() {
            one_for_each(party, "scatter", values.as_ref().len())?;
            parts = values.as_ref().iter().map(encoded).collect();
        }
        decode(&party.scatter(&call, &parts)?[root])
    })
}

/// Gives each rank `n` the values `n` of all, by rank.
#[track_caller]
#[must_use = "every engine gets a result, which is dropped here"]
pub fn alltoall<T: Wire>(values: impl AsRef<[T]>) -> Vec<T> {
    let call = call::<T>(Kind::Alltoall, None);
    together("alltoall", |party| {
        one_for_each(party, "alltoall", values.as_ref().len())?;
        let parts: Vec<Vec<u8>> = values.as_ref().iter().map(encoded).collect();
        decode_all(&party.scatter(&call, &parts)?)
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
pub fn scan<T: Wire>(value: T, op: impl Fn(T, T) -> T) -> T {
    let call = call::<T>(Kind::Scan, None);
    together("scan", |party| {
        let all = party.gather(&call, &encoded(&value), Whose::All)?;
        let mut sum = decode(&all[0])?;
        for bytes in &all[1..=party.rank()] {
            sum = op(sum, decode(bytes)?);
        }
        Ok(sum)
    })
}

/// Sends a value to a rank, which may be this engine's own. It doesn't wait. Values from one rank to another arrive in the
/// order in which they were sent.
#[track_caller]
pub fn send<T: Wire>(to: usize, value: T) {
    let line = Location::caller().line();
    together("send", |party| party.send(to, type_name::<T>(), line, &|bytes| value.put(bytes)));
}

/// Takes the next value that a rank has sent to this one; waits for it. It must be of this type.
#[track_caller]
pub fn recv<T: Wire>(from: usize) -> T {
    let line = Location::caller().line();
    together("recv", |party| opened(party, "recv", line, &party.receive(Some(from), type_name::<T>(), line)?))
}

/// Takes the next value that any rank has sent to this one, with its rank; waits for it. It must be of this type. If several
/// ranks have sent one, they take turns.
#[track_caller]
#[must_use = "it gives the rank that has sent, and what"]
pub fn recv_any<T: Wire>() -> (usize, T) {
    let line = Location::caller().line();
    together("recv_any", |party| {
        let letter = party.receive(None, type_name::<T>(), line)?;
        Ok((letter.from, opened(party, "recv_any", line, &letter)?))
    })
}

/// What is in a letter that this line gets by this function.
fn opened<T: Wire>(party: &Party, what: &str, line: u32, letter: &post::Letter) -> Result<T, Broken> {
    match letter.of == type_name::<T>() {
        true => decode(&letter.bytes),
        false => Err(unlike(party, what, (type_name::<T>(), line), letter)),
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
    let Some(info) = of_cell.then(|| Info::decode(&host::argument())).flatten() else { return };
    let place = line.map(|line| format!(" at {}", info.place(line))).unwrap_or_default();
    let text = format!("panicked{place}: {message}");
    match &info.reach {
        Reach::Shared(folder) => {
            if let Ok(memory) = segment::Segment::open(folder, info.members.len())
                && memory.left(info.rank).is_none()
            {
                memory.write_note(info.rank, &text);
            }
        }
        // If it isn't heard, the others hear of a failure without its reason.
        Reach::Far(door, name) => _ = far::note(&info, door, name, &text),
        Reach::Nowhere(_) => {}
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
