//! Results of a map that a loop takes one by one while others are made: [`Map::stream`](super::builder::Map::stream).

use super::error::{Error, ask};
use super::handle::Job;
use super::merge::{Ended, Kind};
use crate::link::{Answer, Ask, Done, OnError, Results, Taking};
use crate::sys::{PAGE, give_back};
use crate::wire::Wire;
use std::collections::VecDeque;
use std::fs::File;
use std::marker::PhantomData;
use std::os::unix::fs::FileExt as _;

/// Results that are taken while others are made.
pub struct Streamed<R>(PhantomData<R>);

impl<R: 'static> Kind for Streamed<R> {
    type Value = ();
    const IN_PIECES: bool = true;

    fn merge(_: &Ended) -> Result<(), Error> {
        Err(Error::Damaged)
    }
}

/// The results of a map while they arrive, with the numbers of their items: what [`Map::stream`](super::builder::Map::stream)
/// gives. If the map fails, the error is the last one; it has the number of the item that failed, or if none did, of how
/// many have come.
///
/// When it is dropped, the map ends.
#[must_use = "a stream that nobody takes results of ends its map: `for (i, r) in stream { .. }` takes them"]
pub struct Stream<R> {
    results: Incoming,
    result: PhantomData<fn() -> R>,
}

/// The same without a type, so that cells don't have its code.
struct Incoming {
    /// Several if engines have the items: one for each engine.
    maps: Vec<Map>,
    /// Which of them is asked first.
    turn: usize,
    ordered: bool,
    on_error: OnError,
    /// Reports that nothing was read of yet.
    reports: VecDeque<Done>,
    part: Part,
    /// The item that has ended the map.
    failed: Option<u64>,
    /// How many results have come.
    came: usize,
    is_over: bool,
}

/// A map that results are taken of.
struct Map {
    job: Job,
    /// The number that its first item has to the loop.
    first: u64,
    room: Option<File>,
    /// How many reports were taken.
    taken: u64,
    is_over: bool,
}

/// Results of items in a row.
#[derive(Default)]
struct Part {
    next: u64,
    /// So many items aren't read yet.
    left: u64,
    bytes: Vec<u8>,
    /// So many bytes are read.
    read: usize,
    /// None of them has a result, for this reason.
    failed: Option<String>,
}

/// An item's mark, see [`super::output::Form::Streamed`].
enum Mark {
    Result,
    Error(String),
}

impl<R> Stream<R> {
    /// Of these maps, with the numbers that their first items have.
    pub(crate) fn new(jobs: Vec<(Job, u64)>, ordered: bool, on_error: OnError) -> Stream<R> {
        let map = |(job, first)| Map { job, first, room: None, taken: 0, is_over: false };
        let results = Incoming {
            maps: jobs.into_iter().map(map).collect(),
            turn: 0,
            ordered,
            on_error,
            reports: VecDeque::new(),
            part: Part::default(),
            failed: None,
            came: 0,
            is_over: false,
        };
        Stream { results, result: PhantomData }
    }
}

impl<R: Wire> Iterator for Stream<R> {
    type Item = (usize, Result<R, Error>);

    fn next(&mut self) -> Option<Self::Item> {
        let results = &mut self.results;
        match results.next() {
            Ok(None) => None,
            Ok(Some((number, Mark::Error(message)))) => Some((number, Err(Error::Failed(message)))),
            Ok(Some((number, Mark::Result))) => {
                let mut bytes = results.part.bytes.get(results.part.read..).unwrap_or_default();
                let value = R::get(&mut bytes).map_err(Error::from);
                results.part.read = results.part.bytes.len() - bytes.len();
                results.is_over |= value.is_err();
                Some((number, value))
            }
            Err(error) => {
                results.is_over = true;
                Some((results.failed.map_or(results.came, |item| item as usize), Err(error)))
            }
        }
    }
}

impl<R> std::fmt::Debug for Stream<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({} came{})", self.results.came, if self.results.is_over { ", and no more" } else { "" })
    }
}

impl Incoming {
    /// The next item that has something to tell; its result is what is next in the part.
    #[inline(never)]
    fn next(&mut self) -> Result<Option<(usize, Mark)>, Error> {
        while !self.is_over {
            while self.part.left > 0 {
                let number = self.part.next;
                self.part.next += 1;
                self.part.left -= 1;
                let mark = match self.part.mark()? {
                    Some(Mark::Error(_)) if self.on_error == OnError::Skip => continue,
                    Some(mark) => mark,
                    None => continue,
                };
                self.came += 1;
                return Ok(Some((usize::try_from(number).map_err(|_| Error::Damaged)?, mark)));
            }
            self.fetch()?;
        }
        Ok(None)
    }

    /// The next part.
    fn fetch(&mut self) -> Result<(), Error> {
        if self.part.read < self.part.bytes.len() {
            return Err(Error::Damaged);
        }
        if self.reports.is_empty() {
            self.take()?;
        }
        // A map may have come to its end.
        let Some(done) = self.reports.pop_front() else { return Ok(()) };
        let Done { first, mut count, results, mut failed, .. } = done;
        self.part = Part { next: first, ..Part::default() };
        // The item that ends the map has no mark; why it has failed, the kernel says.
        if self.on_error == OnError::Stop && !failed.is_empty() {
            self.failed = failed.first.first().map(|failure| failure.item);
            count = count.saturating_sub(failed.count);
        }
        self.part.left = count;
        match results {
            Results::Bytes(bytes) => self.part.bytes = bytes,
            Results::Nothing => {
                let message = failed.first.pop().map(|failure| failure.message);
                self.part.failed = Some(message.unwrap_or_default());
                return Ok(());
            }
            Results::InPlace | Results::Room(..) => return Err(Error::Damaged),
        }
        // Behind the number of results, which are as many as items.
        self.part.read = size_of::<u64>().min(self.part.bytes.len());
        Ok(())
    }

    /// Takes reports of one of the maps.
    fn take(&mut self) -> Result<(), Error> {
        let count = self.maps.len();
        // In turn, so that none waits for ever behind the others.
        let from = if self.ordered { 0 } else { self.turn };
        let open: Vec<usize> = (from..from + count).map(|at| at % count).filter(|at| !self.maps[*at].is_over).collect();
        if open.is_empty() {
            self.is_over = true;
            return Ok(());
        }
        let taking = |at: &usize| Taking { job: self.maps[*at].job.number(), taken: self.maps[*at].taken };
        let maps = open.iter().map(taking).collect();
        let (map, reports) = match ask(&Ask::Take { maps, any: !self.ordered })? {
            Answer::Taken { map, done } => (usize::try_from(map).map_err(|_| Error::Damaged)?, done),
            Answer::Failed(sentence) => return Err(Error::Failed(sentence)),
            _ => return Err(Error::Damaged),
        };
        let at = *open.get(map).ok_or(Error::Damaged)?;
        self.turn = at + 1;
        let map = &mut self.maps[at];
        map.taken += reports.len() as u64;
        map.is_over = reports.is_empty();
        // All at once: should a cell die over them, those that its snapshot has must be whole.
        for mut done in reports {
            if let Results::Room(at, length) = done.results {
                done.results = Results::Bytes(map.read(at, length)?);
            }
            done.first = done.first.checked_add(map.first).ok_or(Error::Damaged)?;
            done.failed.first.iter_mut().for_each(|failure| failure.item = failure.item.saturating_add(map.first));
            self.reports.push_back(done);
        }
        Ok(())
    }
}

impl Map {
    /// Reads results from the room, and gives their memory back.
    fn read(&mut self, at: u64, length: u64) -> Result<Vec<u8>, Error> {
        let file = match self.room.take() {
            Some(file) => file,
            None => self.job.results()?,
        };
        let unreadable = |error: std::io::Error| Error::Room(error.to_string());
        if at.checked_add(length).is_none_or(|end| file.metadata().is_ok_and(|file| end > file.len())) {
            return Err(Error::Damaged);
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| Error::Damaged)?];
        file.read_exact_at(&mut bytes, at).map_err(unreadable)?;
        give_back(&file, at, length.next_multiple_of(PAGE as u64));
        self.room = Some(file);
        Ok(bytes)
    }
}

impl Part {
    /// What is said of the next item, if anything is.
    fn mark(&mut self) -> Result<Option<Mark>, Error> {
        if let Some(message) = &self.failed {
            return Ok(Some(Mark::Error(message.clone())));
        }
        let mut rest = self.bytes.get(self.read..).unwrap_or_default();
        let mark = match u8::get(&mut rest)? {
            0 => Some(Mark::Error(String::get(&mut rest)?)),
            1 => Some(Mark::Result),
            2 => None,
            _ => return Err(Error::Damaged),
        };
        self.read = self.bytes.len() - rest.len();
        Ok(mark)
    }
}
