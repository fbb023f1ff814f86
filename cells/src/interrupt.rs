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
    /// Interrupts what runs now.
    pub fn interrupt(&self) {
        self.count.send_modify(|count| *count += 1);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        *self.count.borrow()
    }

    /// From now on.
    pub fn listen(&self) -> Interrupted {
        Interrupted(self.count.subscribe())
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
