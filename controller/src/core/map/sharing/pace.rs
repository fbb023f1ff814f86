//! How many items an engine is given at once: enough that it never waits, and so few that all end together.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most tasks of a given size that an engine has.
const MOST_TASKS: u64 = 4096;
/// An engine has tasks of a given size for so long; where the size is free, a piece takes so long.
const PIECE: Duration = Duration::from_millis(20);
/// And such a piece so long when there is work for each engine for [`LONG`].
const LARGE_PIECE: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(5);
/// Towards the end, nothing is made smaller than this: asking again would take as long.
const LEAST: Duration = Duration::from_micros(500);
/// A task that takes so long may lie idle near the end while its engine asks for the next: it needn't have one waiting
/// that somebody else could begin at once.
const SLOW: Duration = Duration::from_millis(10);
/// An engine isn't given more for the time that reports and pieces take on their way than for so long.
const LONGEST_WAY: Duration = Duration::from_millis(250);
/// So many pieces may be on that way.
const ON_THE_WAY: u64 = 8;
/// Sizes grow by this factor from report to report at most: the first items may be cheaper than those that follow.
const GROWTH: u64 = 4;
/// How much the latest report counts for the estimate.
const LATEST: f64 = 0.5;

/// What is to be shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Items that nobody has.
    pub items: u64,
    /// Engines that take part.
    pub seats: u64,
}

impl Load {
    fn fair(self) -> u64 {
        self.items / (2 * self.seats.max(1))
    }
}

/// How fast an engine is at a map, and how much it is trusted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pace {
    /// An item's time in nanoseconds, once something was reported.
    item: Option<f64>,
    /// Tasks that the engine may have, or items of a piece; 0 before the first.
    size: u64,
    /// How long a report and what it is answered with are on their way.
    way: Duration,
}

impl Pace {
    /// Takes note of what was reported at once: items, and the time that each of the reports took in microseconds.
    pub fn observe(&mut self, items: u64, micros: impl Iterator<Item = u64>) {
        // A clock of microseconds cuts off half of one on average.
        let nanos: f64 = micros.map(|micros| micros as f64 * 1000.0 + 500.0).sum();
        let latest = nanos / items.max(1) as f64;
        self.item = Some(self.item.map_or(latest, |before| before + (latest - before) * LATEST));
        self.size = self.size.saturating_mul(GROWTH);
    }

    /// Takes note of how long a report and its answer were on their way.
    pub fn learn(&mut self, way: Duration) {
        let way = way.min(LONGEST_WAY);
        self.way = if self.way.is_zero() { way } else { (self.way + way) / 2 };
    }

    /// Towards the end, nothing is made so small that more of it would have to be on the way than may be.
    fn least(&self) -> Duration {
        LEAST.max(self.way / ON_THE_WAY as u32)
    }

    /// How many tasks of `chunk` items the engine should have.
    pub fn tasks(&mut self, chunk: u64, load: Load) -> u64 {
        let task = self.item.map(|item| item * chunk as f64);
        let load = Load { items: load.items.div_ceil(chunk), ..load };
        let most = task.map_or(2, |task| fit(PIECE + self.way, task).clamp(2, MOST_TASKS));
        self.size = self.size.clamp(2, most);
        let least = task.map_or(1, |task| fit(self.least(), task)).max(in_hand(task, load));
        self.size.min(load.fair().max(least))
    }

    /// How many pieces of this time the engine works at while its report and the answer are on their way.
    fn on_the_way(&self, time: Option<f64>) -> u64 {
        let pieces = time.map_or(0.0, |time| self.way.as_nanos() as f64 / time.max(1.0));
        (pieces.ceil() as u64).min(ON_THE_WAY)
    }

    /// How many items the engine's next piece should have, and how many pieces it should have with it. `all` is the
    /// number of the map's items.
    pub fn piece(&mut self, all: u64, load: Load) -> (u64, u64) {
        let first = (all / (64 * load.seats.max(1))).clamp(1, if all < 100_000 { 16 } else { 1000 });
        let most = self.item.map_or(first, |item| {
            let long = load.items as f64 * item >= LONG.as_nanos() as f64 * load.seats.max(1) as f64;
            fit(if long { LARGE_PIECE } else { PIECE }, item)
        });
        self.size = self.size.max(1).min(most).max(if self.item.is_none() { first } else { 1 });
        let least = self.item.map_or(1, |item| fit(self.least(), item));
        let size = self.size.min(load.fair().max(least));
        let time = self.item.map(|item| item * size as f64);
        let in_hand = in_hand(time, Load { items: load.items.div_ceil(size), ..load });
        (size, if in_hand > 1 { in_hand + self.on_the_way(time) } else { in_hand })
    }
}

/// How many tasks of this time fit.
fn fit(time: Duration, task: f64) -> u64 {
    // A conversion of a float saturates.
    ((time.as_nanos() as f64 / task.max(f64::MIN_POSITIVE)) as u64).max(1)
}

/// One task at work and one waiting, unless there are hardly more than engines and they are slow, or may be.
fn in_hand(task: Option<f64>, tasks: Load) -> u64 {
    let last = tasks.items < 2 * tasks.seats;
    let slow = task.is_none_or(|task| task >= SLOW.as_nanos() as f64);
    if last && slow { 1 } else { 2 }
}
