//! Passages that nobody uses are kept for a while: writing to memory that is there already takes a third of the time.

use chorus_system::memory;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// What has less isn't kept: its memory costs next to nothing.
const LEAST: u64 = 1 << 20;

/// For so long one is kept that isn't used.
const LONGEST: Duration = Duration::from_secs(60);

/// More aren't kept: each is an open file.
const MOST: usize = 128;

/// All of them may take this part of the memory that could be had without them.
const PART: u64 = 4;

/// How much a file in memory takes, in bytes. Of what is a hole yet, nothing counts.
pub fn taken(file: &File) -> io::Result<u64> {
    const BLOCK: u64 = 512;
    Ok(file.metadata()?.blocks() * BLOCK)
}

/// A file in memory that is used again and again.
#[derive(Debug)]
pub struct Passage {
    pub file: File,
    /// What its memory is called.
    pub id: String,
    /// Among the rooms of this kernel.
    pub number: u64,
    /// How often it was used.
    pub uses: u64,
    /// What it is used for: what goes through it then is of the same size, most often.
    pub purpose: String,
}

impl Passage {
    /// The file, which isn't used for anything else before this is dropped.
    pub fn locked(&self) -> io::Result<File> {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let file = File::options().read(true).write(true).open(path)?;
        file.lock_shared()?;
        Ok(file)
    }
}

/// Those that are kept, in the order in which they were used.
#[derive(Debug, Default)]
pub struct Passages(Vec<Kept>);

#[derive(Debug)]
struct Kept {
    passage: Passage,
    bytes: u64,
    since: Instant,
}

impl Passages {
    /// One that was used for this, and of which nobody reads any more what went through it.
    pub fn take(&mut self, purpose: &str) -> Option<Passage> {
        let at = self.0.iter().rposition(|kept| kept.passage.purpose == purpose && is_free(&kept.passage.file))?;
        Some(self.0.remove(at).passage)
    }

    /// Keeps those of them that are worth it, and that can be written to again.
    pub fn keep(&mut self, passages: Vec<Passage>, now: Instant) {
        let mut more = false;
        for passage in passages {
            let bytes = taken(&passage.file).unwrap_or_default();
            if bytes >= LEAST && memory::can_be_written(&passage.file) {
                more |= passage.uses == 1;
                self.0.push(Kept { passage, bytes, since: now });
            }
        }
        if more {
            self.tidy(now);
        }
    }

    /// Keeps none.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Lets those go that weren't used for long, and the oldest ones while there are too many, or all take too much memory.
    pub fn tidy(&mut self, now: Instant) {
        // Where it isn't known how much there is, nothing is kept.
        if !self.0.is_empty() {
            let of_host = memory::available().map_or(0, |(available, _)| available);
            let of_group = memory::available_to_group().map_or(u64::MAX, |(available, _)| available);
            self.leave(now, of_host.min(of_group));
        }
    }

    fn leave(&mut self, now: Instant, available: u64) {
        self.0.retain(|kept| now.saturating_duration_since(kept.since) < LONGEST);
        self.0.drain(..self.0.len().saturating_sub(MOST));
        let mut all: u64 = self.0.iter().map(|kept| kept.bytes).sum();
        let most = available.saturating_add(all) / PART;
        let too_many = self.0.iter().take_while(|kept| {
            let goes = all > most;
            all -= if goes { kept.bytes } else { 0 };
            goes
        });
        let too_many = too_many.count();
        self.0.drain(..too_many);
    }

    /// Their numbers, and what each takes in bytes.
    pub fn used(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().map(|kept| (kept.passage.number, kept.bytes))
    }
}

/// Whether nobody has locked it, as those do who read in place.
fn is_free(file: &File) -> bool {
    file.try_lock().is_ok() && file.unlock().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt as _;

    fn passage(number: u64, megabytes: usize) -> Passage {
        let id = format!("chorus-passages-test-{number}");
        let file = memory::file(&id, 0).unwrap();
        file.write_all_at(&vec![1; megabytes << 20], 0).unwrap();
        Passage { file, id, number, uses: 1, purpose: "push x".into() }
    }

    fn numbers(passages: &Passages) -> Vec<u64> {
        passages.used().map(|(number, _)| number).collect()
    }

    #[test]
    fn the_newest_that_nobody_reads_is_used_again() {
        let (mut passages, now) = (Passages::default(), Instant::now());
        passages.keep((0..4).map(|number| passage(number, 4)).collect(), now);
        let reads = passages.0[3].passage.locked().unwrap();
        assert!(passages.take("pull x").is_none());
        assert_eq!(passages.take("push x").map(|it| it.number), Some(2));
        let copy = reads.try_clone().unwrap();
        drop(reads);
        assert_eq!(passages.take("push x").map(|it| it.number), Some(1), "a copy of the file has the lock, too");
        drop(copy);
        let taken = passages.take("push x").unwrap();
        assert_eq!(taken.number, 3);
        assert!(File::open(format!("/proc/self/fd/{}", taken.file.as_raw_fd())).unwrap().try_lock_shared().is_ok());
        assert_eq!(numbers(&passages), [0]);
    }

    #[test]
    fn what_is_small_or_cannot_be_written_is_not_kept() {
        let (mut passages, now) = (Passages::default(), Instant::now());
        let file = File::open("/proc/self/exe").unwrap();
        passages.keep(vec![passage(0, 0), Passage { file, ..passage(1, 4) }], now);
        assert!(numbers(&passages).is_empty());
    }

    #[test]
    fn those_go_that_are_old_or_take_too_much() {
        let (mut passages, now) = (Passages::default(), Instant::now());
        for number in 0..4 {
            passages.keep(vec![passage(number, 8)], now + Duration::from_secs(number));
        }
        passages.leave(now + LONGEST, u64::MAX);
        assert_eq!(numbers(&passages), [1, 2, 3]);
        // 24 MB are kept: a quarter of 24 + 48 are 18.
        passages.leave(now, 48 << 20);
        assert_eq!(numbers(&passages), [2, 3]);
        passages.leave(now, 0);
        assert!(numbers(&passages).is_empty());
    }
}
