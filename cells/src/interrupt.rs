//! The user's wish to end what runs, told to whoever runs it.

use std::sync::Arc;
use tokio::sync::watch;

/// Counts interrupts. Cloned freely.
#[derive(Clone, Debug)]
pub struct Interrupts {
    count: Arc<watch::Sender<u64>>,
}

/// Waits for an interrupt that comes after this was made. A clone hears of all that the original still would.
#[derive(Clone, Debug)]
pub struct Interrupted(watch::Receiver<u64>);

impl Default for Interrupts {
    fn default() -> Interrupts {
        Interrupts { count: Arc::new(watch::Sender::new(0)) }
    }
}

impl Interrupts {
    /// Interrupts what runs now. With `also`, which mustn't wait, it is one: no cell begins between the two.
    pub fn interrupt(&self, also: impl FnOnce()) {
        self.count.send_modify(|count| {
            *count += 1;
            also();
        });
    }

    /// A cell begins: how many interrupts there have been, and those that come from now on. So for `also`, which mustn't
    /// wait.
    pub fn begin(&self, also: impl FnOnce()) -> (u64, Interrupted) {
        let mut before = 0;
        self.count.send_if_modified(|count| {
            before = *count;
            also();
            false
        });
        let mut later = self.count.subscribe();
        if *later.borrow() != before {
            later.mark_changed();
        }
        (before, Interrupted(later))
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        *self.count.borrow()
    }
}

impl Interrupted {
    /// Returns at the next interrupt; each one counts once. Dropping the future loses none.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody can interrupt any more.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn an_interrupt_is_of_one_cell() {
        let interrupts = Interrupts::default();
        let asked = AtomicBool::new(false);
        let begin = || interrupts.begin(|| asked.store(false, Ordering::SeqCst));
        interrupts.interrupt(|| asked.store(true, Ordering::SeqCst));
        let (count, mut first) = begin();
        assert!(count == 1 && first.next().now_or_never().is_none() && !asked.load(Ordering::SeqCst));
        interrupts.interrupt(|| asked.store(true, Ordering::SeqCst));
        let (count, mut second) = begin();
        assert_eq!((count, first.next().now_or_never(), second.next().now_or_never()), (2, Some(()), None));
        assert!(!asked.load(Ordering::SeqCst));
    }

    /// Cells begin while somebody interrupts: each hears of both halves of an interrupt, or of none.
    #[test]
    fn both_halves_of_an_interrupt_are_of_the_same_cell() {
        let interrupts = Interrupts::default();
        let asked = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..20_000).for_each(|_| interrupts.interrupt(|| asked.store(true, Ordering::SeqCst))));
            for _ in 0..20_000 {
                let (count, mut interrupted) = interrupts.begin(|| asked.store(false, Ordering::SeqCst));
                let (mut heard, mut later) = (false, false);
                interrupts.count.send_if_modified(|now| {
                    (heard, later) = (asked.load(Ordering::SeqCst), *now > count);
                    false
                });
                assert_eq!(heard, later);
                assert!(!later || interrupted.next().now_or_never().is_some());
            }
        });
    }
}
