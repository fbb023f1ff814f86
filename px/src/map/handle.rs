//! A map that was started, in the notebook.

use super::constants::{Constants, OpenConstants};
use super::error::{Error, ask};
use super::fold::ReduceFold;
use super::merge::{Ended, Kind, folded};
use super::rooms::{Blob, Room, Writer, open};
use super::source::{Part, Ready};
use crate::engines::{Engines, engines};
use crate::link::{Answer, Ask, MapAsk, MapWishes, Message as _};
use crate::task::shared::{Keeps, collect};
use crate::wire::Wire;
use std::fs::File;
use std::marker::PhantomData;
use std::sync::Arc;

/// A map that was started: `%map -a -o NAME` binds one.
///
/// When it is dropped, the kernel forgets the results, and ends the map if it goes on.
#[must_use = "a map ends with its handle, and what it has done is lost: keep the handle in a variable, or wait with `.get()?`"]
pub struct Handle<V> {
    job: Box<dyn Begun>,
    merge: Merge<V>,
}

pub(crate) type Merge<V> = Box<dyn Fn(&Job, &Ended) -> Result<V, Error> + Send + Sync>;

/// A [`Job`] or why there is none. As a trait, so that cells don't have the code to drop one.
pub(crate) trait Begun: Send + Sync {
    /// Waits until it has ended, and calls `merge` if all is done. With `so_far` it doesn't wait, and what is done will do.
    fn with_ended(&self, so_far: bool, merge: &mut dyn FnMut(&Job, &Ended)) -> Result<(), Error>;
    /// See [`Handle::done`].
    fn done(&self) -> bool;
    /// See [`Handle::cancel`].
    fn cancel(&self);
}

/// What the kernel knows by a number.
pub(crate) struct Job {
    number: u64,
    /// None if only the engines know it.
    items: Option<u64>,
    constants: OpenConstants,
    /// What its results may refer to, which is what it was given.
    _held: Vec<Arc<dyn Keeps>>,
}

/// What writes constants, for the engines' workers and for GPUs. As a trait, so that cells have no more code than that.
pub(crate) trait Put {
    fn put(&self, to: &mut Writer) -> Result<(), Error>;
    fn put_for_gpu(&self, to: &mut Writer) -> Result<bool, Error>;
}

impl<C: Constants> Put for C {
    fn put(&self, to: &mut Writer) -> Result<(), Error> {
        Constants::put(self, to)
    }

    fn put_for_gpu(&self, to: &mut Writer) -> Result<bool, Error> {
        Constants::put_for_gpu(self, to)
    }
}

/// Begins a map over `data`, or over what the engines have. `function` is what they call, if this object has it, and
/// `size` is that of a result that has a place in the room.
pub(crate) fn begin<C: Constants>(
    data: Option<Box<dyn Ready>>,
    function: Option<extern "C" fn()>,
    constants: &C,
    size: usize,
    wishes: Option<MapWishes>,
) -> Box<dyn Begun> {
    Box::new(try_begin(data, function, constants, size, wishes))
}

pub(crate) fn try_begin(
    data: Option<Box<dyn Ready>>,
    function: Option<extern "C" fn()>,
    values: &dyn Put,
    size: usize,
    wishes: Option<MapWishes>,
) -> Result<Job, Error> {
    prepared(data, function, values, size, wishes)?.begin()
}

/// Begins a map whose results a loop takes. Of what engines have it is a map for each, of which `counts` says how many items
/// there are. With each is the number that its first item has among all.
pub(crate) fn begin_stream(
    data: Box<dyn Ready>,
    function: extern "C" fn(),
    values: &dyn Put,
    mut wishes: MapWishes,
    counts: fn(&'static str, &Engines) -> Result<Vec<u64>, Error>,
) -> Result<Vec<(Job, u64)>, Error> {
    let Some(name) = data.own() else {
        return Ok(vec![(try_begin(Some(data), Some(function), values, 0, Some(wishes))?, 0)]);
    };
    let engines = wishes.engines.take().map_or_else(engines, Engines::of);
    let counts = counts(name, &engines)?;
    let map = prepared(Some(data), Some(function), values, 0, Some(wishes))?;
    map.begin_each(engines.known()?.iter().copied().zip(counts))
}

/// A map that the kernel wasn't asked for yet.
struct Prepared {
    ask: MapAsk,
    items: Option<u64>,
    /// Its rooms, which are the job's when it has begun.
    rooms: Vec<Room>,
    held: Vec<Arc<dyn Keeps>>,
}

fn prepared(
    data: Option<Box<dyn Ready>>,
    function: Option<extern "C" fn()>,
    values: &dyn Put,
    size: usize,
    mut wishes: Option<MapWishes>,
) -> Result<Prepared, Error> {
    let (mut input, mut names, mut rooms) = (Vec::new(), Vec::new(), Vec::new());
    let (mut items, mut held) = (None, Vec::new());
    let room_of = |blob| if let Blob::Large { room, .. } = blob { Some(room) } else { None };
    if let Some(data) = data.map(Ready::data) {
        data.write(&mut input, &mut names);
        let own = |part: &Part| if let Part::Own(_, access) = part { Some(*access) } else { None };
        if let (Some(access), Some(wishes)) = (data.parts.iter().find_map(own), &mut wishes) {
            // A loop has a map for each engine.
            (wishes.each, wishes.access) = (!wishes.streamed, wishes.access.max(access));
        }
        let each = wishes.as_ref().is_some_and(|wishes| wishes.each);
        (items, held) = (Some(data.items?).filter(|_| !each), data.held);
        let blobs = data.parts.into_iter().filter_map(|part| match part {
            Part::Column { blob, .. } => room_of(blob),
            _ => None,
        });
        rooms.extend(blobs);
    }
    let (object, function) = function.map(place_of).transpose()?.unwrap_or_default();
    let mut writer = Writer::new();
    let (put, constants_held) = collect(|| values.put(&mut writer));
    put?;
    held.extend(constants_held);
    let blob = writer.finish()?;
    let mut constants = Vec::new();
    blob.write(&mut constants, &mut names);
    let (mut for_gpu, mut gpu) = (Writer::new(), Vec::new());
    let gpu_blob = if values.put_for_gpu(&mut for_gpu)? { Some(for_gpu.finish()?) } else { None };
    if let Some(blob) = &gpu_blob {
        blob.write(&mut gpu, &mut names);
    }
    rooms.extend([Some(blob), gpu_blob].into_iter().flatten().filter_map(room_of));
    let results = Room::of_results(items.unwrap_or(0), size)?;
    names.push(results.path().to_owned());
    rooms.push(results);
    let ask = MapAsk { object, function, items: items.unwrap_or(0), rooms: names, input, constants, gpu, wishes };
    Ok(Prepared { ask, items, rooms, held })
}

impl Prepared {
    fn begin(self) -> Result<Job, Error> {
        let Prepared { ask: map, items, rooms, held } = self;
        let constants = OpenConstants { constants: map.constants.clone(), rooms: map.rooms.clone() };
        let Answer::Job(number) = ask(&Ask::Map(map))? else { return Err(Error::Damaged) };
        rooms.into_iter().for_each(Room::release);
        Ok(Job { number, items, constants, _held: held })
    }

    /// Begins it on each of these engines, which have so many items.
    #[inline(never)]
    fn begin_each(self, engines: impl Iterator<Item = (u32, u64)>) -> Result<Vec<(Job, u64)>, Error> {
        let (mut jobs, mut first) = (Vec::new(), 0u64);
        for (engine, items) in engines {
            if items > 0 {
                let mut ask = MapAsk { items, ..self.ask.clone() };
                // For `Named`, which finds out whether an engine has other items by then.
                items.write(&mut ask.input);
                if let Some(wishes) = &mut ask.wishes {
                    (wishes.engines, wishes.is_part) = (Some(vec![engine]), true);
                    wishes.label = format!("{} on engine {engine}", wishes.label);
                }
                // Each has its share of the rooms.
                let rooms = self.rooms.iter().map(|room| Room::hold(room.path()).ok_or(Error::Freed));
                let rooms = rooms.collect::<Result<_, _>>()?;
                let map = Prepared { ask, items: Some(items), rooms, held: self.held.clone() };
                jobs.push((map.begin()?, first));
            }
            first = first.checked_add(items).ok_or(Error::Damaged)?;
        }
        Ok(jobs)
    }
}

/// The file of the object that a function is in, and where.
pub(crate) fn place_of(function: extern "C" fn()) -> Result<(String, u64), Error> {
    let place = crate::sys::place_of(function as usize);
    place.ok_or_else(|| Error::Room("the object that the function is in can't be found".to_owned()))
}

/// How far a function lies from `origin`, which is in the cell's object: as far as there on an engine. `what` it is, and
/// what isn't done if it is elsewhere.
pub(crate) fn distance(origin: extern "C" fn(), function: usize, what: &str, undone: &str) -> Result<u64, Error> {
    let (object, _) = place_of(origin)?;
    if crate::sys::place_of(function).is_none_or(|(other, _)| other != object) {
        return Err(Error::Failed(format!(
            "{what} is in another library, where engines don't find it; {undone}. A closure around it, such as \
             `|x| f(x)`, is in the cell's own object"
        )));
    }
    Ok(function.wrapping_sub(origin as usize) as u64)
}

impl Job {
    pub(crate) fn constants(&self) -> &OpenConstants {
        &self.constants
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Where results are that are too large for messages.
    pub(crate) fn results(&self) -> Result<File, Error> {
        open(self.constants.rooms.last().ok_or(Error::Damaged)?)
    }

    fn ended(&self, so_far: bool) -> Result<Ended, Error> {
        let question = if so_far { Ask::SoFar(self.number) } else { Ask::Wait { job: self.number, millis: u64::MAX } };
        loop {
            match ask(&question)? {
                Answer::Ended { path, bytes, results } => {
                    let ended = Ended::load(&path, bytes, &results, so_far);
                    // It is only for this.
                    let _ = ask(&Ask::Free(path));
                    return ended;
                }
                Answer::Running { .. } => {}
                _ => return Err(Error::Damaged),
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Without a kernel there is nothing to forget.
        let _ = ask(&Ask::Forget(self.number));
    }
}

impl Begun for Result<Job, Error> {
    fn with_ended(&self, so_far: bool, merge: &mut dyn FnMut(&Job, &Ended)) -> Result<(), Error> {
        let job = self.as_ref().map_err(Error::clone)?;
        let ended = job.ended(so_far)?;
        match (job.items, ended.items()) {
            (Some(items), done) if !so_far && items != done => Err(Error::Unfinished { done, items }),
            _ => {
                merge(job, &ended);
                Ok(())
            }
        }
    }

    fn done(&self) -> bool {
        let Ok(job) = self else { return true };
        ask(&Ask::Wait { job: job.number, millis: 0 }).map_or(true, |answer| !matches!(answer, Answer::Running { .. }))
    }

    fn cancel(&self) {
        if let Ok(job) = self {
            // What can't be ended has ended.
            let _ = ask(&Ask::Cancel(job.number));
        }
    }
}

/// Ends the cell.
#[cold]
#[inline(never)]
#[track_caller]
fn end(error: Error) -> ! {
    match error {
        // The kernel has said it.
        Error::Failed(sentence) => std::panic::resume_unwind(Box::new(sentence)),
        error => panic!("{error}"),
    }
}

impl<V> Handle<V> {
    pub(crate) fn new(job: Box<dyn Begun>, merge: Merge<V>) -> Handle<V> {
        Handle { job, merge }
    }

    /// Of a map whose ends know by their types how results become one.
    pub(crate) fn of_kind<K: Kind<Value = V>>(job: Box<dyn Begun>) -> Handle<V> {
        Handle::new(job, Box::new(|_, ended| K::merge(ended)))
    }

    /// With what is made of its result.
    pub(crate) fn then<W>(self, make: impl Fn(V) -> Result<W, Error> + Send + Sync + 'static) -> Handle<W>
    where
        V: 'static,
    {
        let Handle { job, merge } = self;
        Handle::new(job, Box::new(move |job, ended| make(merge(job, ended)?)))
    }

    /// Waits for the result. If there is none, ends the cell.
    #[track_caller]
    pub fn wait(self) -> V {
        match self.get() {
            Ok(value) => value,
            Err(error) => end(error),
        }
    }

    /// The result of the items that are done, of a map that didn't come to its end. If there is none, ends the cell.
    #[track_caller]
    pub fn wait_partial(self) -> V {
        match self.partial() {
            Ok(value) => value,
            Err(error) => end(error),
        }
    }

    /// Waits for the result. It can be fetched again as long as the handle is there.
    pub fn get(&self) -> Result<V, Error> {
        self.merged(false)
    }

    /// The result of the items that are done by now: of a map that goes on, that was cancelled or interrupted, or that has
    /// failed. It doesn't wait. Of `collect` these are results in the order of their items, without those that aren't done.
    ///
    /// # Errors
    /// If results stay on the engines: they get their name when all are there.
    pub fn partial(&self) -> Result<V, Error> {
        self.merged(true)
    }

    fn merged(&self, so_far: bool) -> Result<V, Error> {
        let mut merged = Err(Error::Damaged);
        self.job.with_ended(so_far, &mut |job, ended| merged = (self.merge)(job, ended))?;
        merged
    }

    /// Whether it has ended, with or without a result.
    pub fn done(&self) -> bool {
        self.job.done()
    }

    /// Ends it. What is done is kept: [`Handle::partial`].
    pub fn cancel(&self) {
        self.job.cancel();
    }
}

impl<R: Wire + Send> Handle<Option<R>> {
    /// How the engines' results of `reduce` become one, where their function is known to them only.
    pub fn merging(self, combine: impl Fn(R, R) -> R + Send + Sync + 'static) -> Handle<Option<R>> {
        let fold = ReduceFold(combine, PhantomData);
        Handle::new(self.job, Box::new(move |_, ended| folded(ended, &fold).map(Option::flatten)))
    }
}
