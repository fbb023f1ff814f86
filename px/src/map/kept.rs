//! Maps whose results stay on the GPU that made them, and maps of what lies there.

use super::engine::{Server, Work};
use super::error::Error;
use super::gpu::{self, To};
use super::items::{Filter, Mapped, Mode, Whither, for_gpu};
use super::merge::{Ended, Keep, Kind, Outcome};
use super::output::{Batch, LargeResults, Output, lock, own};
use super::own::{OnEngine, Part};
use super::probe::Probe;
use super::source::{Describe, Read, Silent, Source};
use crate::gpu_vec::{AT_ONCE, Buffer, GpuVec, fetch};
use crate::link::Results;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

/// Results that stay on the engine's GPU.
pub struct KeepOnGpu<R>(PhantomData<R>);

impl<R: 'static> Kind for KeepOnGpu<R> {
    type Value = GpuVec<R>;

    fn merge(_: &Ended) -> Result<GpuVec<R>, Error> {
        Err(Error::Damaged)
    }
}

impl<S: Source, R, F: Fn(S::Item) -> R + Sync, P: Filter<R>, W: Whither> Mapped<'_, S, R, F, P, W> {
    /// All results, which stay on the engine's GPU.
    pub fn keep_on_gpu(self) -> Outcome<KeepOnGpu<R>>
    where
        R: Copy + Send + 'static,
    {
        if P::FILTERS {
            // What is wanted is found out here, and goes back.
            let Outcome(results) = self.kept::<R, Keep<R>>(None, |result| result);
            let kept = |results: Option<Vec<R>>| results.map(|results| GpuVec::new(&results)).transpose();
            return Outcome(results.and_then(kept));
        }
        let kept = Kept { parts: Mutex::default(), size: size_of::<R>() };
        let Mapped { items, function, .. } = self;
        let Mode::Serving(server, open) = items.0 else { return Outcome(Err(Error::Damaged)) };
        let work = Worker::<S, F, R> { open, server, function, result: PhantomData };
        Outcome(server.run(&work, &kept).and_then(|()| kept.whole().map(Some)))
    }
}

/// So many buffers may be open before they are put together: each costs a file.
const OPEN: usize = 64;

/// Results of items in a row, on the GPU.
struct Stretch {
    /// The first item.
    first: u64,
    buffer: Arc<Buffer>,
    /// Where they begin there, in bytes.
    offset: usize,
    results: usize,
}

/// Puts what lies in several buffers into one, in this order.
fn join(stretches: &mut [Stretch], size: usize) -> Result<(), Error> {
    let parts = stretches.iter().map(|it| (&*it.buffer, it.offset, it.results * size));
    let whole = Arc::new(Buffer::joined(&parts.collect::<Vec<_>>())?);
    let mut offset = 0;
    for stretch in stretches {
        (stretch.buffer, stretch.offset) = (Arc::clone(&whole), offset);
        offset += stretch.results * size;
    }
    Ok(())
}

/// What becomes of such results.
struct Kept {
    parts: Mutex<Parts>,
    /// Of a result, in bytes.
    size: usize,
}

#[derive(Default)]
struct Parts {
    all: Vec<Stretch>,
    /// So many of the first ones were put together.
    joined: usize,
}

impl Kept {
    fn whole<R>(self) -> Result<GpuVec<R>, Error> {
        let mut all = std::mem::take(&mut lock(&self.parts).all);
        all.sort_unstable_by_key(|stretch| stretch.first);
        let results = all.iter().map(|stretch| stretch.results).sum();
        if all.len() > 1 {
            join(&mut all, self.size)?;
        }
        let buffer = all.pop().map(|last| last.buffer);
        all.clear();
        match buffer.map(Arc::into_inner) {
            Some(Some(buffer)) => Ok(GpuVec::of(buffer, results)),
            Some(None) => Err(Error::Damaged),
            None => Ok(GpuVec::of(Buffer::new(0)?, 0)),
        }
    }
}

/// The batch of [`Kept`].
struct Keeping {
    first: u64,
    parts: Vec<Stretch>,
    done: u64,
}

impl Keeping {
    /// Puts its parts into one buffer, if there are more than so many.
    fn join(&mut self, most: usize, size: usize) -> Result<(), Error> {
        if self.parts.len() <= most {
            return Ok(());
        }
        join(&mut self.parts, size)?;
        let results = self.parts.iter().map(|part| part.results).sum();
        self.parts.truncate(1);
        self.parts.iter_mut().for_each(|part| part.results = results);
        Ok(())
    }
}

impl Output for Kept {
    fn batch(&self, first: u64) -> Batch {
        Box::new(Keeping { first, parts: Vec::new(), done: 0 })
    }

    fn most(&self) -> u64 {
        (AT_ONCE / self.size.max(1)).max(1) as u64
    }

    fn fail(&self, batch: &mut Batch, _: &str) {
        own::<Keeping>(batch).done += 1;
    }

    fn done(&self, batch: &mut Batch) -> u64 {
        own::<Keeping>(batch).done
    }

    fn join(&self, batch: &mut Batch, mut other: Batch) {
        let (batch, other) = (own::<Keeping>(batch), own::<Keeping>(&mut other));
        batch.parts.append(&mut other.parts);
        batch.done += other.done;
    }

    /// They aren't in this process's memory.
    fn size(&self, _: &mut Batch) -> usize {
        0
    }

    fn finish(&self, mut batch: Batch, _: &LargeResults) -> Result<Results, Error> {
        let batch = own::<Keeping>(&mut batch);
        batch.join(1, self.size)?;
        let mut parts = lock(&self.parts);
        let Parts { all, joined } = &mut *parts;
        all.append(&mut batch.parts);
        if all.len() - *joined > OPEN {
            join(all.get_mut(*joined..).unwrap_or_default(), self.size)?;
            *joined = all.len();
        }
        Ok(Results::Bytes(Vec::new()))
    }
}

struct Worker<'a, S: Source, F, R> {
    open: &'a S::Open,
    server: &'a Server,
    function: F,
    result: PhantomData<fn() -> R>,
}

impl<S: Source, R, F: Fn(S::Item) -> R + Sync> Work for Worker<'_, S, F, R> {
    fn extend(&self, batch: &mut Batch, first: u64, count: u64) -> Result<(), Error> {
        let from = for_gpu::<S>(self.open, first, count)?;
        let buffer = Buffer::new(count as usize * size_of::<R>())?;
        let done = gpu::run::<S::Item, R>(self.server, from, To::Kept(buffer.number()))?;
        let batch = own::<Keeping>(batch);
        if done > 0 {
            let first = batch.first + batch.done;
            batch.parts.push(Stretch { first, buffer: Arc::new(buffer), offset: 0, results: done as usize });
        }
        batch.done += done;
        batch.join(OPEN, size_of::<R>())?;
        if done < count {
            // Here, it panics in the way that the function does.
            let mut failing = S::read(self.open, first + done, 1)?;
            // SAFETY: one item was asked for.
            (self.function)(unsafe { failing.next() });
            gpu::disagrees();
        }
        Ok(())
    }

    fn on_gpu(&self) -> Option<u64> {
        Some(gpu::at_once::<S::Item, R>())
    }

    fn text(&self, item: u64) -> Option<String> {
        let mut reader = S::read(self.open, item, 1).ok()?;
        // SAFETY: one item was asked for.
        S::text(&unsafe { reader.next() })
    }
}

/// An engine's own items in its GPU's memory.
pub struct MineOnGpu<'a, T, D> {
    values: &'a GpuVec<T>,
    name: PhantomData<D>,
}

impl<T: Copy + 'static> OnEngine for GpuVec<T> {
    type Mine<'a> = MineOnGpu<'a, T, ()>;
    fn mine(&self) -> MineOnGpu<'_, T, ()> {
        MineOnGpu { values: self, name: PhantomData }
    }
}

impl<'a, T> MineOnGpu<'a, T, ()> {
    /// Their type.
    pub fn item(&self) -> Probe<T> {
        Probe::any()
    }

    /// How they are named.
    pub fn named<D: Describe<T>>(self, _: D) -> MineOnGpu<'a, T, D> {
        MineOnGpu { values: self.values, name: PhantomData }
    }
}

impl<'a, T: Copy + 'static, D: Describe<T>> Part<'a> for MineOnGpu<'a, T, D> {
    type Source = OnGpu<T, D>;
    fn items(&self) -> u64 {
        self.values.len() as u64
    }
    unsafe fn open(&self) -> OpenOnGpu {
        OpenOnGpu { buffer: self.values.buffer(), length: self.items() }
    }
}

impl<'a, T: Copy + 'static> Part<'a> for &'a GpuVec<T> {
    type Source = OnGpu<T, Silent>;
    fn items(&self) -> u64 {
        self.len() as u64
    }
    unsafe fn open(&self) -> OpenOnGpu {
        OpenOnGpu { buffer: self.buffer(), length: self.items() }
    }
}

/// The source that they are. Processors get copies.
pub struct OnGpu<T, D>(PhantomData<(T, D)>);

/// Where they are. It is only used while the [`GpuVec`] is borrowed.
pub struct OpenOnGpu {
    buffer: u64,
    length: u64,
}

impl<T: Copy + 'static, D: Describe<T>> Source for OnGpu<T, D> {
    type Item = T;
    type Open = OpenOnGpu;
    type Reader<'a> = OnGpuReader<T>;

    fn open(_: &mut &[u8], _: &[String]) -> Result<OpenOnGpu, Error> {
        Err(Error::Damaged)
    }

    fn read(open: &OpenOnGpu, first: u64, count: u64) -> Result<OnGpuReader<T>, Error> {
        if first.checked_add(count).is_none_or(|end| end > open.length) {
            return Err(Error::Damaged);
        }
        Ok(OnGpuReader(fetch(open.buffer, first as usize, count as usize)?.into_iter()))
    }

    fn text(item: &T) -> Option<String> {
        D::text(item)
    }

    fn buffer(open: &OpenOnGpu) -> Option<u64> {
        Some(open.buffer)
    }
}

/// See [`OnGpu`].
pub struct OnGpuReader<T>(std::vec::IntoIter<T>);

impl<T> Read<T> for OnGpuReader<T> {
    unsafe fn next(&mut self) -> T {
        self.0.next().expect("no more items are read than there are")
    }
}
