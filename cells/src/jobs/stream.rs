//! Results of a map on their way to a loop of the notebook, which takes them while others are made. Pure.
//!
//! A loop may be slower than the engines, and its body may want the engines for something else. So the map rests while much
//! waits for the loop, and while the loop does something else: then its runs have ended, and engines are free.

use px::link::{Done, Results};
use std::collections::BTreeMap;

/// With so many bytes waiting, the map rests.
const MUCH: u64 = 16 << 20;
/// And goes on when only so many are left.
const LITTLE: u64 = 4 << 20;
/// So many bytes are taken at once; a report may have more.
const AT_ONCE: u64 = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub struct Stream {
    /// Whether results go in the order of the items.
    ordered: bool,
    /// The number of the next report, or of the item that is next.
    next: u64,
    /// Reports by their numbers, or by their first items.
    waiting: BTreeMap<u64, Done>,
    arrived: u64,
    bytes: u64,
    /// How many reports were taken.
    taken: u64,
    rests: bool,
    /// Whether it rests until all that it has is taken, for somebody else who needs the engines.
    gives_way: bool,
    /// Whether the loop waits for what isn't there.
    is_awaited: bool,
}

impl Stream {
    /// Of a map that has done nothing.
    pub fn new(ordered: bool) -> Stream {
        Stream { ordered, ..Stream::default() }
    }

    /// Something was reported.
    pub fn push(&mut self, done: Done) {
        self.bytes += bytes(&done);
        let key = if self.ordered { done.first } else { self.arrived };
        self.arrived += 1;
        self.waiting.insert(key, done);
        self.rests |= self.bytes > MUCH;
    }

    /// Takes what there is, some of it if it is much; nothing if the loop must wait. `None` if the loop hasn't all that was
    /// taken before: a cell that took it has died, and the loop is that of its snapshot.
    pub fn take(&mut self, taken: u64) -> Option<Vec<Done>> {
        if taken != self.taken {
            return None;
        }
        let (mut done, mut size) = (Vec::new(), 0);
        while size < AT_ONCE
            && let Some(entry) = self.waiting.first_entry().filter(|entry| *entry.key() == self.next)
        {
            let next = entry.remove();
            self.next += if self.ordered { next.count } else { 1 };
            size += bytes(&next);
            done.push(next);
        }
        self.bytes -= size;
        self.taken += done.len() as u64;
        self.is_awaited = done.is_empty();
        self.gives_way &= !self.is_awaited;
        if self.bytes <= LITTLE && !self.gives_way {
            self.rests = false;
        }
        Some(done)
    }

    /// Whether nothing new is to be begun.
    pub fn rests(&self) -> bool {
        self.rests
    }

    /// Whether the loop waits for items, while the map rests, that were begun or came back: in the order of the items, others
    /// may have come before them.
    pub fn is_owed(&self) -> bool {
        self.rests && self.is_awaited
    }

    /// The loop waits for nothing now.
    pub fn wait_no_more(&mut self) {
        self.is_awaited = false;
    }

    /// Somebody else waits for the engines. A loop that waits itself has none to spare.
    pub fn give_way(&mut self) {
        if !self.is_awaited {
            (self.gives_way, self.rests) = (true, true);
        }
    }
}

/// What it takes to keep them.
fn bytes(done: &Done) -> u64 {
    let results = match &done.results {
        Results::Bytes(bytes) => bytes.len() as u64,
        Results::Room(_, length) => *length,
        Results::InPlace | Results::Nothing => 0,
    };
    results + size_of::<Done>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use px::link::{Failures, GpuTimes};

    fn report(first: u64, count: u64, bytes: u64) -> Done {
        let (gpu, failed) = (GpuTimes::default(), Failures::default());
        Done { first, count, micros: 1, gpu, results: Results::Room(0, bytes), failed }
    }

    fn firsts(done: Option<Vec<Done>>) -> Vec<u64> {
        done.unwrap().iter().map(|done| done.first).collect()
    }

    #[test]
    fn results_go_as_they_arrive_or_in_order() {
        let (mut any, mut ordered) = (Stream::new(false), Stream::new(true));
        for stream in [&mut any, &mut ordered] {
            stream.push(report(4, 2, 1));
            stream.push(report(0, 3, 1));
        }
        assert_eq!((firsts(any.take(0)), firsts(ordered.take(0))), (vec![4, 0], vec![0]));
        ordered.push(report(3, 1, 1));
        assert_eq!((firsts(any.take(2)), firsts(ordered.take(1))), (vec![], vec![3, 4]));
    }

    #[test]
    fn a_map_rests_while_much_waits_and_goes_on_when_little_is_left() {
        let mut stream = Stream::new(false);
        (0..17).for_each(|first| stream.push(report(first, 1, 1 << 20)));
        assert!(stream.rests());
        for taken in 0..13 {
            assert!(stream.rests(), "{taken} were taken");
            assert_eq!(stream.take(taken).unwrap().len(), 1, "some at once");
        }
        assert!(stream.rests());
        assert_eq!(stream.take(13).unwrap().len(), 1);
        assert!(!stream.rests());
    }

    #[test]
    fn it_gives_way_until_all_was_taken() {
        let mut stream = Stream::new(false);
        stream.push(report(0, 1, 1));
        stream.give_way();
        assert!(stream.rests());
        assert_eq!((firsts(stream.take(0)), stream.rests()), (vec![0], true));
        assert_eq!((firsts(stream.take(1)), stream.rests()), (vec![], false));
        stream.give_way();
        assert!(!stream.rests(), "a loop waits for it");
        stream.wait_no_more();
        stream.give_way();
        assert!(stream.rests(), "the loop has got results elsewhere");
    }

    #[test]
    fn what_an_ordered_loop_waits_for_is_owed_to_it_though_much_has_come() {
        let mut stream = Stream::new(true);
        stream.push(report(1, 1, MUCH + 1));
        assert!(stream.rests() && !stream.is_owed());
        assert_eq!((firsts(stream.take(0)), stream.rests(), stream.is_owed()), (vec![], true, true));
        stream.push(report(0, 1, 1));
        assert_eq!((firsts(stream.take(0)), stream.is_owed()), (vec![0, 1], false));
        assert!(!stream.rests());
    }

    #[test]
    fn what_a_dead_cell_has_taken_is_missed() {
        let mut stream = Stream::new(false);
        stream.push(report(0, 1, 1));
        assert!(stream.take(0).is_some());
        assert_eq!(stream.take(0), None);
    }
}
