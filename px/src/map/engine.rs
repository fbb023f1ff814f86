//! The serving loop of an engine: fetches pieces of a map, calls the function for their items, and reports.
//!
//! However many items a piece has, and however short they take, the loop works at as many at once as take about a
//! millisecond: within such a block there is nothing between two calls of the function.

use super::error::Error;
use super::output::{Batch, Form, LIMIT, LargeResults, Output, Sending, lock};
use super::report::Reports;
use crate::host::{catch, parallel};
use crate::link::{Done, Failures, GpuTimes, ItemFailure, OnError, Piece, Serve};
use crate::sys::end_process;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// A block of items takes about as long.
const BLOCK: Duration = Duration::from_millis(1);
/// So long results stay here that somebody waits for.
const SOON: Duration = Duration::from_millis(20);
/// So many items of a GPU's at once, as soon as one has failed: those behind it are worked at once more.
const AFTER_FAILURE: u64 = 1 << 12;
/// Each thread has so many parts of a block, so that threads end at about the same time.
const PARTS: usize = 4;

/// What an engine was told about a map.
pub(crate) struct Server {
    pub(crate) settings: Serve,
    pub(crate) place: LargeResults,
    /// The items are this engine's own, from this number on; else it asks what to do.
    pub(crate) own: Option<Piece>,
    /// Variables of this engine that a function on a GPU uses, as GPUs take them.
    pub(crate) values: OnceLock<Vec<u8>>,
    /// What a GPU spent its time on since the last report.
    pub(crate) gpu: Mutex<GpuTimes>,
}

impl Server {
    pub(crate) fn new(settings: Serve, own: Option<Piece>) -> Server {
        let place = LargeResults::new(settings.rooms.last().cloned());
        Server { settings, place, own, values: OnceLock::new(), gpu: Mutex::default() }
    }

    /// Works at what there is, and sends the results, each of which needs so many bytes in memory. `plain` results, which
    /// all items have, can have their places in the room.
    pub(crate) fn send(&self, work: &dyn Work, plain: bool, size: usize) -> Result<(), Error> {
        // An item that fails has no result: its place would stay empty.
        let in_place = plain && self.own.is_none() && self.settings.on_error == OnError::Stop;
        self.run(work, &Sending::new(if in_place { Form::InPlace } else { Form::Encoded }, size))
    }

    /// The same, with errors in the places of results if the map keeps them.
    pub(crate) fn send_marked(&self, work: &dyn Work, size: usize) -> Result<(), Error> {
        self.run(work, &Sending::new(if self.keeps_errors() { Form::WithErrors } else { Form::Encoded }, size))
    }

    /// The same for a loop that takes each result with the number of its item.
    pub(crate) fn stream(&self, work: &dyn Work, size: usize) -> Result<(), Error> {
        self.run(work, &Sending::new(Form::Streamed, size))
    }

    pub(crate) fn keeps_errors(&self) -> bool {
        self.settings.on_error == OnError::Keep
    }

    /// Works at what there is.
    pub(crate) fn run(&self, work: &dyn Work, output: &dyn Output) -> Result<(), Error> {
        let state = State { reports: Reports::default(), current: None };
        let run = Run {
            server: self,
            work,
            output,
            state: Mutex::new(state),
            running: Mutex::new(Vec::new()),
            over: Mutex::new(false),
            ended: Condvar::new(),
            reported: AtomicBool::new(false),
        };
        let (watches, tells) = (self.settings.timeout > 0, output.is_awaited());
        if !watches && !tells {
            return run.serve();
        }
        std::thread::scope(|scope| {
            if watches {
                scope.spawn(|| run.watch());
            }
            if tells {
                scope.spawn(|| run.tell());
            }
            let _end = End { over: &run.over, ended: &run.ended };
            run.serve()
        })
    }
}

/// What a cell's own types and function are needed for. The rest of this file isn't compiled again for each cell.
pub(crate) trait Work: Sync {
    /// Calls the function for so many items, counted from this engine's first one, and puts the results into a batch of
    /// the output's. If the function unwinds, the batch has the results until then.
    fn extend(&self, batch: &mut Batch, first: u64, count: u64) -> Result<(), Error>;
    /// If a GPU calls the function, which works at many items best: so many of them don't need much memory here.
    fn on_gpu(&self) -> Option<u64>;
    /// An item's `Debug`, which may panic, if it has one.
    fn text(&self, item: u64) -> Option<String>;
}

/// Ends the threads beside the one that serves.
struct End<'a> {
    over: &'a Mutex<bool>,
    ended: &'a Condvar,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        *lock(self.over) = true;
        self.ended.notify_all();
    }
}

struct Run<'a> {
    server: &'a Server,
    work: &'a dyn Work,
    output: &'a dyn Output,
    state: Mutex<State>,
    /// Items under way, if there is a limit to their time.
    running: Mutex<Vec<(u64, Instant)>>,
    over: Mutex<bool>,
    ended: Condvar,
    /// A panic was shown.
    reported: AtomicBool,
}

struct State {
    reports: Reports,
    current: Option<Current>,
}

/// Items in a row that are done.
struct Current {
    batch: Batch,
    first: u64,
    count: u64,
    micros: u64,
    failed: Failures,
}

impl Run<'_> {
    fn serve(&self) -> Result<(), Error> {
        let mut pieces: VecDeque<Piece> = self.server.own.into_iter().filter(|own| own.count > 0).collect();
        let mut step = self.work.on_gpu().map_or(1, |most| most.min(self.output.most_on_gpu()));
        let limited = self.server.settings.timeout > 0 && self.server.settings.threads < 2;
        loop {
            let Some(piece) = pieces.pop_front() else {
                let mut state = lock(&self.state);
                self.flush(&mut state)?;
                if self.server.own.is_some() && state.reports.is_empty() {
                    return Ok(());
                }
                let more = state.reports.send()?;
                if more.is_empty() {
                    return Ok(());
                }
                pieces.extend(more);
                continue;
            };
            let (mut at, end) = (piece.first, piece.first.checked_add(piece.count).ok_or(Error::Damaged)?);
            while at < end {
                // With a limit to an item's time, each is noted at once, for the thread that watches.
                let count = match () {
                    () if limited => 1,
                    // Somebody waits for what makes a task, and not for the next one of the same thread.
                    () if self.output.is_awaited() => {
                        let threads = u64::from(self.server.settings.threads.max(1));
                        step.min(piece.chunk.saturating_mul(threads).max(1)).min(end - at)
                    }
                    () => step.min(end - at),
                };
                let begin = Instant::now();
                let goes_on = self.block(at, count)?;
                let took = begin.elapsed();
                at += count;
                step = match () {
                    () if self.work.on_gpu().is_some() => step,
                    () if took < BLOCK / 2 => (step.max(count) * 2).min(self.output.most()),
                    () if took > BLOCK * 2 => (step / 2).max(1),
                    () => step,
                };
                let mut state = lock(&self.state);
                if let Some(current) = &mut state.current
                    && self.output.size(&mut current.batch) >= LIMIT
                {
                    self.flush(&mut state)?;
                }
                if !goes_on {
                    self.flush(&mut state)?;
                    // The map has failed, whatever is answered.
                    return state.reports.send().map(drop);
                }
            }
        }
    }

    /// Works at some items. False if one has failed that ends the map.
    fn block(&self, first: u64, count: u64) -> Result<bool, Error> {
        let begin = Instant::now();
        let threads = (self.server.settings.threads as usize).max(1);
        if threads > 1 && count > 1 && self.work.on_gpu().is_none() {
            return self.in_parallel(threads, first, count);
        }
        if self.server.settings.timeout > 0 || self.output.is_awaited() {
            // The other threads must see what is done so far if this never ends.
            let mut batch = self.output.batch(first);
            let mut failed = Failures::default();
            let done = self.calls(&mut batch, &mut failed, first, count)?;
            return self.join(batch, failed, first, done, micros(begin));
        }
        let mut state = lock(&self.state);
        let current = self.current(&mut state, first)?;
        let done = self.calls(&mut current.batch, &mut current.failed, first, count)?;
        current.count += done;
        current.micros += micros(begin);
        Ok(self.goes_on(&current.failed))
    }

    fn in_parallel(&self, threads: usize, first: u64, count: u64) -> Result<bool, Error> {
        let parts = (threads * PARTS).min(count as usize) as u64;
        let began = Instant::now();
        let begin = |part: u64| first + (u128::from(count) * u128::from(part) / u128::from(parts)) as u64;
        let slots: Vec<_> = (0..parts).map(|_| Mutex::new(None)).collect();
        parallel(threads, parts as usize, &|n| {
            let (first, end) = (begin(n as u64), begin(n as u64 + 1));
            let mut batch = self.output.batch(first);
            let mut failed = Failures::default();
            let done = self.calls(&mut batch, &mut failed, first, end - first);
            if let Some(slot) = slots.get(n) {
                *lock(slot) = Some((batch, failed, first, done));
            }
        });
        let mut took = micros(began);
        for slot in &slots {
            let (batch, failed, first, done) = lock(slot).take().ok_or(Error::Damaged)?;
            if !self.join(batch, failed, first, done?, std::mem::take(&mut took))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn goes_on(&self, failed: &Failures) -> bool {
        failed.is_empty() || self.server.settings.on_error != OnError::Stop
    }

    /// What is done just before an item.
    fn current<'a>(&self, state: &'a mut State, first: u64) -> Result<&'a mut Current, Error> {
        if state.current.as_ref().is_some_and(|current| current.first + current.count != first) {
            self.flush(state)?;
        }
        let new =
            || Current { batch: self.output.batch(first), first, count: 0, micros: 0, failed: Failures::default() };
        Ok(state.current.get_or_insert_with(new))
    }

    fn join(&self, batch: Batch, failed: Failures, first: u64, done: u64, micros: u64) -> Result<bool, Error> {
        let goes_on = self.goes_on(&failed);
        let mut state = lock(&self.state);
        let current = self.current(&mut state, first)?;
        catch(true, || self.output.join(&mut current.batch, batch)).map_err(|said| reducing(first, &said))?;
        current.failed.append(failed);
        current.count += done;
        current.micros += micros;
        Ok(goes_on)
    }

    /// Puts results where they belong, and notes that they are to be reported.
    fn flush(&self, state: &mut State) -> Result<(), Error> {
        if let Some(Current { batch, first, count, micros, failed }) = state.current.take() {
            let results = self.output.finish(batch, &self.server.place)?;
            let gpu = std::mem::take(&mut *lock(&self.server.gpu));
            state.reports.push(Done { first, count, micros, gpu, results, failed });
        }
        Ok(())
    }

    /// Calls the function for items in a row, and says for how many: an item that fails may be the last one.
    fn calls(&self, batch: &mut Batch, failed: &mut Failures, first: u64, count: u64) -> Result<u64, Error> {
        let settings = &self.server.settings;
        let end = first + count;
        let base = self.server.own.map_or(0, |own| own.first);
        // The batch may have earlier results.
        let before = self.output.done(batch);
        let (mut at, mut attempt) = (first, 0);
        while at < end {
            let alone = attempt > 0 || settings.timeout > 0;
            let count = match alone {
                true => 1,
                false if self.work.on_gpu().is_some() && !failed.is_empty() => AFTER_FAILURE.min(end - at),
                false => end - at,
            };
            if settings.timeout > 0 {
                lock(&self.running).push((at, Instant::now()));
            }
            let last = attempt == settings.retries && settings.on_error == OnError::Stop;
            let loud = last && !self.reported.load(Ordering::Relaxed);
            let outcome = catch(loud, || self.work.extend(batch, at - base, count));
            if settings.timeout > 0 {
                lock(&self.running).retain(|(item, _)| *item != at);
            }
            let text = match outcome {
                Ok(done) => {
                    done?;
                    (at, attempt) = (at + count, 0);
                    continue;
                }
                Err(said) => said,
            };
            // The function that reduces may panic behind the last of them.
            let failing = (first + (self.output.done(batch) - before)).min(end - 1);
            if failing > at {
                (at, attempt) = (failing, 0);
            }
            // What it had reduced until then is lost, so there is nothing that could go on.
            let broken = self.output.broken(batch);
            if broken && (settings.on_error != OnError::Stop || settings.retries > 0) {
                return Err(reducing(at, &text));
            }
            if attempt < settings.retries {
                attempt += 1;
                continue;
            }
            let said = text.chars().take(LONGEST).collect();
            failed.push(ItemFailure { item: at, value: self.text(at - base), message: said });
            if settings.on_error == OnError::Stop {
                self.reported.store(true, Ordering::Relaxed);
                return Ok(at + 1 - first);
            }
            // What was reduced before may now be complete, and is reduced with what is before it.
            catch(true, || self.output.fail(batch, &text)).map_err(|said| reducing(at, &said))?;
            (at, attempt) = (at + 1, 0);
        }
        Ok(count)
    }

    /// The item's `Debug`, which may panic, too.
    fn text(&self, item: u64) -> Option<String> {
        catch(false, || self.work.text(item)).ok().flatten()
    }

    /// Waits until an item takes too long, reports what is done and that, and ends this process: a thread can't be ended.
    fn watch(&self) {
        let limit = Duration::from_millis(self.server.settings.timeout);
        let mut over = lock(&self.over);
        while !*over {
            let oldest = lock(&self.running).iter().map(|(_, since)| *since).min();
            let left = oldest.map_or(limit, |since| limit.saturating_sub(since.elapsed()));
            if left.is_zero() {
                self.end_late(limit);
            }
            let waited = self.ended.wait_timeout(over, left.max(Duration::from_millis(1)));
            over = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Tells of results that wait for others of their piece, whatever these take.
    fn tell(&self) {
        let mut over = lock(&self.over);
        while !*over {
            let waited = self.ended.wait_timeout(over, SOON);
            over = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            let mut state = lock(&self.state);
            // What goes wrong with that, goes wrong for the thread that serves, too, which says it.
            if self.flush(&mut state).is_ok() && !state.reports.is_empty() {
                let _ = state.reports.tell();
            }
        }
    }

    /// Ends this process if there is still an item that takes too long.
    fn end_late(&self, limit: Duration) {
        // With both locks, no item becomes done meanwhile.
        let mut state = lock(&self.state);
        let running = lock(&self.running);
        let Some((item, _)) = running.iter().find(|(_, since)| since.elapsed() >= limit).copied() else { return };
        let base = self.server.own.map_or(0, |own| own.first);
        let message = format!("took longer than {} s", limit.as_secs_f64());
        let mut batch = self.output.batch(item);
        self.output.fail(&mut batch, &message);
        let results = self.output.finish(batch, &self.server.place);
        let reported = self.flush(&mut state).and(results).map(|results| {
            let failed = ItemFailure { item, value: self.text(item - base), message }.into();
            state.reports.push(Done {
                first: item,
                count: 1,
                micros: limit.as_micros() as u64,
                gpu: GpuTimes::default(),
                results,
                failed,
            });
            state.reports.leave();
        });
        if let Err(error) = reported {
            eprintln!("item {item} takes too long, which can't be reported: {error}");
        }
        end_process();
    }
}

fn micros(since: Instant) -> u64 {
    since.elapsed().as_micros() as u64
}

/// So many characters of a panic's message go to the notebook.
const LONGEST: usize = 4000;

fn reducing(item: u64, text: &str) -> Error {
    Error::Failed(format!("the function that reduces panicked at item {item}: {text}"))
}
