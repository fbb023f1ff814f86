//! A figure over time.

use std::collections::VecDeque;

/// For how many seconds figures are kept.
pub const SECONDS: usize = 300;

/// A figure over time: at most one value a second.
#[derive(Clone, Debug, Default)]
pub struct Series {
    values: VecDeque<(u64, f64)>,
}

impl Series {
    pub(super) fn add(&mut self, at: u64, value: f64) {
        if self.values.is_empty() {
            // All that it will need, since it would grow to twice that.
            self.values.reserve_exact(SECONDS);
        }
        if self.values.len() >= SECONDS {
            self.values.pop_front();
        }
        self.values.push_back((at, value));
    }

    /// The last value.
    pub fn last(&self) -> Option<f64> {
        self.values.back().map(|(_, value)| *value)
    }

    /// One value a second for so many seconds until `now`, the newest last; `None` where nothing was measured.
    pub fn seconds(&self, now: u64, count: usize) -> Vec<Option<f64>> {
        let mut seconds = vec![None; count];
        for (at, value) in &self.values {
            let age = (now.saturating_sub(*at) / 1000) as usize;
            if let Some(place) = count.checked_sub(age + 1) {
                seconds[place] = Some(*value);
            }
        }
        // Measurements come about once a second: one that came a moment late left no hole.
        for place in 1..count.saturating_sub(1) {
            if seconds[place].is_none() && seconds[place + 1].is_some() {
                seconds[place] = seconds[place - 1];
            }
        }
        seconds
    }

    /// The mean of what was measured in the last so many milliseconds.
    pub fn mean(&self, now: u64, millis: u64) -> Option<f64> {
        let recent: Vec<f64> =
            self.values.iter().filter(|(at, _)| at + millis >= now).map(|(_, value)| *value).collect();
        (!recent.is_empty()).then(|| recent.iter().sum::<f64>() / recent.len() as f64)
    }
}
