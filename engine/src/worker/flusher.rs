//! Shows what a cell has printed of a line while it runs: `print!("\r{percent}")` without a newline.
//!
//! std keeps the beginning of a line to itself until the line ends, and only code within the worker can make it let go.
//! So a thread does that from time to time. It lives only while a cell runs: a worker is copied faster without threads.
//! It holds stdout's lock for no longer than a flush takes.

use chorus_system::signal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// How long the beginning of a line may wait.
const INTERVAL: Duration = Duration::from_millis(50);

/// How long the end of a flush is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Flushes std's stdout.
pub type Flush = unsafe extern "C" fn();

/// The thread.
pub struct Flusher {
    stop: Sender<()>,
    /// Closed by the thread's end.
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Flusher {
    /// Starts the thread. Without it, lines show when they end.
    pub fn start(flush: Flush) -> Option<Flusher> {
        let (stop, stopped) = channel();
        let (end, ended) = channel::<()>();
        let work = move || {
            let _end = end;
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                // SAFETY: the function takes nothing, and its object is never unloaded.
                unsafe { flush() };
            }
        };
        let builder = Builder::new().name("chorus flush".into()).stack_size(64 << 10);
        let thread = signal::blocked(|| builder.spawn(work)).ok()?.ok()?;
        Some(Flusher { stop, ended, thread })
    }

    /// Ends the thread; false when it can't be ended, because the cell has kept stdout's lock.
    pub fn end(self) -> bool {
        drop(self.stop);
        let is_over = self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Disconnected);
        is_over && self.thread.join().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn it_flushes_until_it_is_ended() {
        static FLUSHES: AtomicU32 = AtomicU32::new(0);
        unsafe extern "C" fn flush() {
            FLUSHES.fetch_add(1, Ordering::SeqCst);
        }
        let flusher = Flusher::start(flush).unwrap();
        let begin = std::time::Instant::now();
        while FLUSHES.load(Ordering::SeqCst) < 2 {
            assert!(begin.elapsed() < Duration::from_secs(20), "no second flush");
            std::thread::yield_now();
        }
        assert!(flusher.end());
    }
}
