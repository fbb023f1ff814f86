//! A map that was started, in the notebook.

use super::constants::{Constants, OpenConstants};
use super::error::{Error, ask};
use super::fold::ReduceFold;
use super::merge::{Ended, Kind, folded};
use super::rooms::{Blob, Room, Writer};
use super::source::{Over, Part};
use crate::link::{Answer, Ask, MapAsk};
use crate::wire::Wire;
use std::marker::PhantomData;

/// A map that was started: `%map -a -o NAME` binds one.
///
/// When it is dropped, the kernel forgets the results.
pub struct Handle<V> {
    job: Result<Job, Error>,
    merge: Merge<V>,
}

pub(crate) type Merge<V> = Box<dyn Fn(&Job, Ended) -> Result<V, Error> + Send + Sync>;

/// What the kernel knows by a number.
pub(crate) struct Job {
    number: u64,
    /// None if only the engines know it.
    items: Option<u64>,
    /// Where results are.
    results: String,
    constants: OpenConstants,
}

/// What a map is started with.
pub(crate) struct Start {
    pub(crate) parts: Vec<Part>,
    pub(crate) input: Vec<u8>,
    pub(crate) rooms: Vec<String>,
    /// None if only the engines know it.
    pub(crate) items: Option<u64>,
}

impl Start {
    pub(crate) fn over<S>(over: Over<S>) -> Result<Start, Error> {
        let (mut input, mut rooms) = (Vec::new(), Vec::new());
        over.write(&mut input, &mut rooms);
        Ok(Start { items: Some(over.items?), parts: over.parts, input, rooms })
    }

    pub(crate) fn each() -> Start {
        Start { parts: Vec::new(), input: Vec::new(), rooms: Vec::new(), items: None }
    }

    /// Begins the map. `size` is that of a result that has a place in the room.
    pub(crate) fn begin<C: Constants>(
        mut self,
        (object, function): (String, u64),
        constants: &C,
        size: usize,
    ) -> Result<Job, Error> {
        let mut writer = Writer::new();
        constants.put(&mut writer)?;
        let blob = writer.finish()?;
        let mut constants = Vec::new();
        blob.write(&mut constants, &mut self.rooms);
        let results = Room::of_results(self.items.unwrap_or(0), size)?;
        self.rooms.push(results.path().to_owned());
        let map = MapAsk {
            object,
            function,
            items: self.items.unwrap_or(0),
            rooms: self.rooms.clone(),
            input: self.input,
            constants: constants.clone(),
        };
        let Answer::Job(number) = ask(&Ask::Map(map))? else { return Err(Error::Damaged) };
        // The rooms are the job's now.
        for part in self.parts {
            if let Part::Column { blob: Blob::Large { room, .. }, .. } = part {
                room.release();
            }
        }
        if let Blob::Large { room, .. } = blob {
            room.release();
        }
        let constants = OpenConstants { constants, rooms: self.rooms };
        Ok(Job { number, items: self.items, results: results.release(), constants })
    }
}

impl Job {
    pub(crate) fn constants(&self) -> &OpenConstants {
        &self.constants
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Without a kernel there is nothing to forget.
        let _ = ask(&Ask::Forget(self.number));
    }
}

impl<V> Handle<V> {
    pub(crate) fn new(job: Result<Job, Error>, merge: Merge<V>) -> Handle<V> {
        Handle { job, merge }
    }

    /// Of a map whose ends know by their types how results become one.
    pub(crate) fn of_kind<K: Kind<Value = V>>(job: Result<Job, Error>) -> Handle<V> {
        Handle::new(job, Box::new(|_, ended| K::merge(&ended)))
    }

    fn job(&self) -> Result<&Job, Error> {
        self.job.as_ref().map_err(Error::clone)
    }

    /// Waits for the result. If there is none, ends the cell.
    #[track_caller]
    pub fn wait(self) -> V {
        match self.get() {
            Ok(value) => value,
            // The kernel has said it.
            Err(Error::Failed(sentence)) => std::panic::resume_unwind(Box::new(sentence)),
            Err(error) => panic!("{error}"),
        }
    }

    /// The result of the items that are done, of a map that didn't come to its end. If there is none, ends the cell.
    #[track_caller]
    pub fn wait_partial(self) -> V {
        match self.partial() {
            Ok(value) => value,
            Err(Error::Failed(sentence)) => std::panic::resume_unwind(Box::new(sentence)),
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for the result. It can be fetched again as long as the handle is there.
    pub fn get(&self) -> Result<V, Error> {
        let job = self.job()?;
        let ended = job.ended(u64::MAX)?.ok_or(Error::Damaged)?;
        match (job.items, ended.items()) {
            (Some(items), done) if items != done => Err(Error::Unfinished { done, items }),
            _ => (self.merge)(job, ended),
        }
    }

    /// The result of the items that are done, of a map that has ended before all were.
    pub fn partial(&self) -> Result<V, Error> {
        let job = self.job()?;
        (self.merge)(job, job.ended(u64::MAX)?.ok_or(Error::Damaged)?)
    }

    /// Whether it has ended, with or without a result.
    pub fn done(&self) -> bool {
        self.job()
            .and_then(|job| ask(&Ask::Wait { job: job.number, millis: 0 }))
            .map_or(true, |answer| !matches!(answer, Answer::Running { .. }))
    }

    /// Ends it. What is done is kept: [`Handle::partial`].
    pub fn cancel(&self) {
        if let Ok(job) = self.job() {
            // What can't be ended has ended.
            let _ = ask(&Ask::Cancel(job.number));
        }
    }
}

impl<R: Wire + Send> Handle<Option<R>> {
    /// How the engines' results of `reduce` become one, where their function is known to them only.
    pub fn merging(self, combine: impl Fn(R, R) -> R + Send + Sync + 'static) -> Handle<Option<R>> {
        let fold = ReduceFold(combine, PhantomData);
        Handle::new(self.into_job(), Box::new(move |_, ended| folded(&ended, &fold).map(Option::flatten)))
    }

    fn into_job(self) -> Result<Job, Error> {
        self.job
    }
}

impl Job {
    fn ended(&self, millis: u64) -> Result<Option<Ended>, Error> {
        loop {
            match ask(&Ask::Wait { job: self.number, millis })? {
                Answer::Ended { path, bytes } => return Ended::load(&path, bytes, &self.results).map(Some),
                Answer::Running { .. } if millis == u64::MAX => {}
                Answer::Running { .. } => return Ok(None),
                _ => return Err(Error::Damaged),
            }
        }
    }
}
