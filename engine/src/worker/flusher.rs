//! Shows what a cell has printed of a line while it runs: `print!("\r{percent}")` without a newline.
//!
//! std keeps the beginning of a line to itself until the line ends, and only code within the worker can make it let go.
//! So a thread does that from time to time. It holds stdout's lock for no longer than a flush takes. A worker is copied
//! without it. Functions may run in a quick row, in which a new thread for each would take longer than they do, so the
//! thread outlives them for a moment.

use chorus_system::signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{Builder, JoinHandle, park_timeout};
use std::time::Duration;

/// How long the beginning of a line may wait.
const INTERVAL: Duration = Duration::from_millis(50);

/// For so many of these, the thread waits for the next run.
const LINGERS: u32 = 4;

/// How long the end of a flush is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Flushes std's stdout.
pub type Flush = unsafe extern "C" fn();

/// A run is under way.
const ACTIVE: u8 = 0;
/// None is.
const IDLE: u8 = 1;
/// The thread is to end.
const STOPPING: u8 = 2;
/// It has waited long enough, and has ended.
const GONE: u8 = 3;

/// The thread, if it is there.
#[derive(Default)]
pub struct Flusher(Option<Running>);

struct Running {
    shared: Arc<Shared>,
    /// Closed by the thread's end.
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

struct Shared {
    state: AtomicU8,
    /// A [`Flush`].
    flush: AtomicUsize,
}

impl Shared {
    fn turn(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn work(&self) {
        let mut idle = 0;
        loop {
            park_timeout(INTERVAL);
            match self.state.load(Ordering::Acquire) {
                ACTIVE => {
                    idle = 0;
                    let flush = self.flush.load(Ordering::Acquire);
                    // SAFETY: a `Flush`, which takes nothing, and its object is never unloaded.
                    unsafe { std::mem::transmute::<usize, Flush>(flush)() };
                }
                IDLE if idle < LINGERS => idle += 1,
                IDLE if self.turn(IDLE, GONE) => return,
                // A run has begun.
                IDLE => {}
                _ => return,
            }
        }
    }
}

impl Flusher {
    /// A run begins. Without the thread, lines show when they end.
    pub fn begin(&mut self, flush: Flush) {
        if let Some(Running { shared, .. }) = &self.0 {
            shared.flush.store(flush as usize, Ordering::Release);
            if shared.turn(IDLE, ACTIVE) {
                return;
            }
        }
        self.0 = Flusher::start(flush);
    }

    fn start(flush: Flush) -> Option<Running> {
        let shared = Arc::new(Shared { state: AtomicU8::new(ACTIVE), flush: AtomicUsize::new(flush as usize) });
        let (end, ended) = channel::<()>();
        let theirs = Arc::clone(&shared);
        let work = move || {
            let _end = end;
            theirs.work();
        };
        let builder = Builder::new().name("chorus flush".into()).stack_size(64 << 10);
        let thread = signal::blocked(|| builder.spawn(work)).ok()?.ok()?;
        Some(Running { shared, ended, thread })
    }

    /// Whether the thread is there.
    pub fn is_there(&self) -> bool {
        self.0.as_ref().is_some_and(|running| running.shared.state.load(Ordering::Acquire) != GONE)
    }

    /// The run has ended, and another may follow.
    pub fn pause(&self) {
        if let Some(Running { shared, .. }) = &self.0 {
            shared.turn(ACTIVE, IDLE);
        }
    }

    /// Ends the thread; false when it can't be ended, because the cell has kept stdout's lock.
    pub fn end(&mut self) -> bool {
        let Some(Running { shared, ended, thread }) = self.0.take() else { return true };
        shared.state.store(STOPPING, Ordering::Release);
        thread.thread().unpark();
        let is_over = ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Disconnected);
        is_over && thread.join().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::time::Instant;

    fn wait_until(what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < Duration::from_secs(20), "{what} doesn't happen");
            std::thread::yield_now();
        }
    }

    #[test]
    fn it_flushes_while_runs_are_under_way() {
        static FLUSHES: AtomicU32 = AtomicU32::new(0);
        unsafe extern "C" fn flush() {
            FLUSHES.fetch_add(1, Ordering::SeqCst);
        }
        let flushes = || FLUSHES.load(Ordering::SeqCst);
        let mut flusher = Flusher::default();
        flusher.begin(flush);
        wait_until("a second flush", || flushes() >= 2);
        flusher.pause();
        flusher.begin(flush);
        let before = flushes();
        wait_until("a flush of the next run", || flushes() > before);
        assert!(flusher.end());
        let before = flushes();
        flusher.begin(flush);
        wait_until("a flush after the end", || flushes() > before);
        assert!(flusher.end() && flusher.end());
    }

    #[test]
    fn the_thread_ends_when_nothing_runs() {
        unsafe extern "C" fn flush() {}
        let mut flusher = Flusher::default();
        flusher.begin(flush);
        flusher.pause();
        let is_gone = |flusher: &Flusher| {
            flusher.0.as_ref().is_some_and(|running| running.shared.state.load(Ordering::Acquire) == GONE)
        };
        wait_until("its end", || is_gone(&flusher));
        flusher.begin(flush);
        assert!(!is_gone(&flusher) && flusher.end());
    }
}
