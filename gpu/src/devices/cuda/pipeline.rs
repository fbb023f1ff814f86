//! Which items go next, and what is waited for: several parts of a launch are under way at once, and end in their order.

use super::pace::Pace;
use crate::devices::Failed;
use std::collections::VecDeque;
use std::time::Duration;

/// So many parts are under way at once: one on its way there, one at work, and one on its way back.
pub const LANES: usize = 3;

/// Items in a row, and which lane has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub first: u64,
    pub count: u64,
    pub lane: usize,
}

/// What the parts go through.
pub trait Lanes {
    /// Begins to work at a part, whose lane has nothing else.
    fn start(&mut self, part: Part) -> Result<(), Failed>;
    /// Waits for the end of a part. Returns the first item that fails, counted from the part's first one, and how long the
    /// GPU worked.
    fn finish(&mut self, part: Part) -> Result<(Option<u64>, Duration), Failed>;
}

/// Works at so many items, of which at most so many make a part. Returns the first one that fails, and how long the GPU
/// worked. When one fails, and after an error, parts may still be under way.
pub fn run(
    count: u64,
    most: u64,
    pace: &mut Pace,
    lanes: &mut impl Lanes,
    stop: &dyn Fn() -> bool,
) -> Result<(Option<u64>, Duration), Failed> {
    let (mut at, mut lane, mut kernel) = (0, 0, Duration::ZERO);
    let mut flying = VecDeque::new();
    loop {
        // As long as nobody knows how long a launch takes, there is one at a time.
        let most_flying = if pace.is_known { LANES } else { 1 };
        while let Some(part) = flying.front().copied().filter(|_| at == count || flying.len() >= most_flying) {
            flying.pop_front();
            let Part { first, count, .. } = part;
            let (failing, took) = lanes.finish(part)?;
            kernel += took;
            pace.learn(count, took);
            if let Some(failing) = failing {
                return Ok((Some(first + failing), kernel));
            }
        }
        if at == count {
            return Ok((None, kernel));
        }
        if stop() {
            return Err(Failed::Stopped);
        }
        let part = Part { first: at, count: pace.next(count - at).min(most), lane };
        lanes.start(part)?;
        flying.push_back(part);
        (at, lane) = (at + part.count, (lane + 1) % LANES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a millisecond for each part, and notes what it was asked.
    #[derive(Default)]
    struct Noted {
        failing: Option<u64>,
        flying: Vec<Part>,
        most_flying: usize,
        done: u64,
    }

    impl Lanes for Noted {
        fn start(&mut self, part: Part) -> Result<(), Failed> {
            assert!(self.flying.iter().all(|other| other.lane != part.lane), "the lane is free");
            self.flying.push(part);
            self.most_flying = self.most_flying.max(self.flying.len());
            Ok(())
        }

        fn finish(&mut self, part: Part) -> Result<(Option<u64>, Duration), Failed> {
            assert_eq!(self.flying.remove(0), part);
            assert_eq!(part.first, self.done, "parts follow each other");
            self.done += part.count;
            let failing = self.failing.and_then(|failing| failing.checked_sub(part.first));
            Ok((failing.filter(|failing| *failing < part.count), Duration::from_millis(1)))
        }
    }

    #[test]
    fn parts_are_under_way_beside_each_other() {
        let (mut lanes, mut pace) = (Noted::default(), Pace::new());
        let ran = run(100 << 20, 1 << 20, &mut pace, &mut lanes, &|| false);
        assert_eq!((lanes.done, lanes.most_flying, lanes.flying.len()), (100 << 20, LANES, 0));
        // The first ones are smaller, until it is known how long they take.
        assert!(matches!(ran, Ok((None, kernel)) if kernel >= Duration::from_millis(100)), "{ran:?}");
        let (mut lanes, mut unknown) = (Noted::default(), Pace::new());
        run(10, 10, &mut unknown, &mut lanes, &|| false).unwrap();
        assert_eq!((lanes.done, lanes.most_flying), (10, 1));
        assert_eq!(run(0, 1, &mut pace, &mut lanes, &|| false), Ok((None, Duration::ZERO)));
    }

    #[test]
    fn the_first_item_that_fails_ends_it() {
        let (mut lanes, mut pace) = (Noted { failing: Some(200_000), ..Noted::default() }, Pace::new());
        let ran = run(1 << 30, 1 << 16, &mut pace, &mut lanes, &|| false);
        assert!(matches!(ran, Ok((Some(200_000), _))), "{ran:?}");
        assert!(lanes.done < 1 << 20, "nothing is begun behind it");
    }

    #[test]
    fn it_stops_when_nobody_wants_it() {
        let (mut lanes, mut pace) = (Noted::default(), Pace::new());
        assert_eq!(run(1 << 30, 1, &mut pace, &mut lanes, &|| true), Err(Failed::Stopped));
        assert_eq!(lanes.done, 0);
    }
}
