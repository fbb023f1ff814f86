//! A recording that is played: at any speed, from any time.

use chorus_history::Figures;
use chorus_protocol::LogEntry;

/// How fast it can be played.
pub const SPEEDS: [f64; 10] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 100.0];

/// A recording and how far it has been played.
#[derive(Debug)]
pub struct Replay {
    entries: Vec<LogEntry>,
    /// The entry that comes next.
    next: usize,
    /// The time that is shown, in milliseconds since 1970.
    pub at: u64,
    /// Which of [`SPEEDS`].
    pub speed: usize,
    /// Whether it stands still.
    pub paused: bool,
    rest: f64,
}

impl Replay {
    /// At its beginning. The figures get what the recording begins with.
    pub fn new(entries: Vec<LogEntry>) -> Replay {
        let at = entries.first().map_or(0, |entry| entry.at);
        Replay { entries, next: 0, at, speed: 2, paused: false, rest: 0.0 }
    }

    /// When it begins and ends, in milliseconds since 1970.
    pub fn range(&self) -> (u64, u64) {
        let times = self.entries.iter().map(|entry| entry.at);
        (times.clone().next().unwrap_or(0), times.max().unwrap_or(0))
    }

    /// How many times as fast as it happened.
    pub fn speed(&self) -> f64 {
        SPEEDS[self.speed]
    }

    /// So many milliseconds have passed here. Tells whether something has changed.
    pub(super) fn advance(&mut self, passed: u64, figures: &mut Figures) -> bool {
        let first = self.next == 0;
        let (_, end) = self.range();
        if !first && (self.paused || passed == 0 || self.at >= end) {
            return false;
        }
        let played = passed as f64 * self.speed() + self.rest;
        self.rest = played.fract();
        self.play_until(self.at.saturating_add(played as u64).min(end), figures);
        true
    }

    /// Goes to this time; to an earlier one from the beginning.
    pub(super) fn seek(&mut self, at: u64, figures: &mut Figures) {
        let (begin, end) = self.range();
        let at = at.clamp(begin, end);
        if at < self.at {
            (*figures, self.next) = (Figures::default(), 0);
        }
        self.play_until(at, figures);
    }

    pub(super) fn faster(&mut self, faster: bool) {
        self.speed = if faster { (self.speed + 1).min(SPEEDS.len() - 1) } else { self.speed.saturating_sub(1) };
    }

    fn play_until(&mut self, at: u64, figures: &mut Figures) {
        while let Some(entry) = self.entries.get(self.next).filter(|entry| entry.at <= at) {
            super::apply(figures, entry);
            self.next += 1;
        }
        self.at = at;
        figures.now = figures.now.max(at);
    }
}
