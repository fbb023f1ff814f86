//! How many items a launch gets. A launch can't be interrupted, so none is to take long.

use std::time::Duration;

/// Items of a first launch.
const FIRST: u64 = 1 << 16;
/// Items of a launch at most: blocks are counted by 31 bits.
const MOST: u64 = 1 << 30;
/// How long a launch may take.
const LAUNCH: Duration = Duration::from_millis(100);

/// See the module. Launches may be under way while one is begun, and are heard of in their order.
#[derive(Debug, PartialEq, Eq)]
pub struct Pace {
    step: u64,
    /// Whether it is known how long any launch takes.
    pub is_known: bool,
}

impl Pace {
    /// Of a function that hasn't run.
    pub fn new() -> Pace {
        Pace { step: FIRST, is_known: false }
    }

    /// Items of the next launch, of those that are left.
    pub fn next(&self, left: u64) -> u64 {
        self.step.min(left)
    }

    /// A launch of so many items took so long.
    pub fn learn(&mut self, items: u64, took: Duration) {
        self.is_known = true;
        if took > LAUNCH {
            self.step = self.step.min((items / 4).max(1));
        } else if took < LAUNCH / 4 && items == self.step {
            // Others, which were begun before this was known, have another number.
            self.step = (self.step * 4).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_become_as_long_as_they_may_be() {
        let mut pace = Pace::new();
        assert_eq!((pace.next(10), pace.next(u64::MAX), pace.is_known), (10, FIRST, false));
        pace.learn(FIRST, Duration::from_millis(1));
        // One that had been begun meanwhile.
        pace.learn(FIRST, Duration::from_millis(1));
        assert_eq!((pace.next(u64::MAX), pace.is_known), (FIRST * 4, true));
        pace.learn(FIRST * 4, Duration::from_millis(50));
        assert_eq!(pace.next(u64::MAX), FIRST * 4);
        pace.learn(FIRST * 4, Duration::from_millis(400));
        assert_eq!(pace.next(u64::MAX), FIRST);
        pace.learn(1, Duration::from_secs(9));
        assert_eq!(pace.next(u64::MAX), 1);
    }

    #[test]
    fn no_launch_has_more_blocks_than_can_be_counted() {
        let mut pace = Pace::new();
        for _ in 0..20 {
            let items = pace.next(u64::MAX);
            pace.learn(items, Duration::ZERO);
        }
        assert_eq!(pace.next(u64::MAX), MOST);
    }
}
