//! The threads that work at one piece of a map: a rayon pool of the worker's, since each object that linked rayon would
//! bring a pool of its own.
//!
//! It lasts as long as the run: a worker is copied faster without threads, see [`super::snapshot`].

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

struct Pool {
    threads: usize,
    pool: Arc<ThreadPool>,
    handles: Vec<JoinHandle<()>>,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

/// See [`px::host::Host::parallel`].
pub extern "C" fn run(threads: usize, count: usize, work: extern "C" fn(*mut c_void, usize), context: *mut c_void) {
    let context = Context(context);
    match pool(threads) {
        Some(pool) => pool.install(|| (0..count).into_par_iter().for_each(|n| work(context.get(), n))),
        // It is only slower.
        None => (0..count).for_each(|n| work(context.get(), n)),
    }
}

/// What px gave for all calls of `work`.
#[derive(Clone, Copy)]
struct Context(*mut c_void);

// SAFETY: px promises that `work` may be called on several threads at once with this context.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    fn get(self) -> *mut c_void {
        self.0
    }
}

fn pool(threads: usize) -> Option<Arc<ThreadPool>> {
    let mut held = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = held.as_ref().filter(|pool| pool.threads == threads) {
        return Some(Arc::clone(&pool.pool));
    }
    let old = held.take();
    drop(held);
    finish(old);
    let handles = Arc::new(Mutex::new(Vec::new()));
    let spawned = Arc::clone(&handles);
    let built = ThreadPoolBuilder::new().num_threads(threads).spawn_handler(move |thread| {
        let handle = std::thread::Builder::new().name("map".into()).spawn(|| thread.run())?;
        spawned.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
        Ok(())
    });
    let pool = Arc::new(built.build().ok()?);
    let handles = std::mem::take(&mut *handles.lock().unwrap_or_else(PoisonError::into_inner));
    *POOL.lock().unwrap_or_else(PoisonError::into_inner) = Some(Pool { threads, pool: Arc::clone(&pool), handles });
    Some(pool)
}

/// Ends the threads, if there are any, and waits for that.
pub fn end() {
    let held = POOL.lock().unwrap_or_else(PoisonError::into_inner).take();
    finish(held);
}

fn finish(pool: Option<Pool>) {
    let Some(Pool { pool, handles, .. }) = pool else { return };
    drop(pool);
    for handle in handles {
        // Its panic would have been a task's, and px catches those.
        let _ = handle.join();
    }
}
