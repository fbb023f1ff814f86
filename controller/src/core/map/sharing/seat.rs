//! An engine at a map: what it has in hand, and how fast it is.

use super::pace::Pace;
use chorus_protocol::RunId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Items that follow each other and are dealt with alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub first: u64,
    pub end: u64,
    /// How often a worker died over them. Not 0 makes them suspect.
    pub attempts: u32,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct InHand {
    end: u64,
    attempts: u32,
    /// Engines work at pieces in the order in which they were sent.
    order: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seat {
    /// The run that serves the map there.
    pub run: RunId,
    /// Whether it has asked for items.
    pub ready: bool,
    /// Whether the run was told to end.
    pub dismissed: bool,
    /// Whether it is on another host.
    pub far: bool,
    pub pace: Pace,
    /// Since when it has had something, if it had nothing before and nothing of it is reported yet.
    waits: Option<Duration>,
    /// By the first item.
    in_hand: BTreeMap<u64, InHand>,
    items: u64,
    sent: u64,
}

impl Seat {
    pub fn new(run: RunId, far: bool) -> Seat {
        let (pace, in_hand) = (Pace::default(), BTreeMap::new());
        Seat { run, ready: false, dismissed: false, far, pace, waits: None, in_hand, items: 0, sent: 0 }
    }

    /// It is given something, and had nothing.
    pub fn wait(&mut self, now: Duration) {
        self.waits = Some(now);
    }

    /// It reports what it has worked at for so long. What remains of the time since it was given the first of it was spent on the
    /// way. Where all are on one host, that is next to nothing, and would only say how busy the host is.
    pub fn hear(&mut self, now: Duration, worked: Duration) {
        if let Some(since) = self.waits.take().filter(|_| self.far) {
            self.pace.learn(now.saturating_sub(since).saturating_sub(worked));
        }
    }

    /// How many items it has.
    pub fn items(&self) -> u64 {
        self.items
    }

    /// How many pieces, or rests of pieces, it has.
    pub fn pieces(&self) -> u64 {
        self.in_hand.len() as u64
    }

    /// Whether it works at something suspect, which it then has alone.
    pub fn at_suspect(&self) -> bool {
        self.in_hand.values().next().is_some_and(|it| it.attempts > 0)
    }

    pub fn give(&mut self, span: Span) {
        let order = self.sent;
        self.sent += 1;
        self.items += span.end - span.first;
        self.in_hand.insert(span.first, InHand { end: span.end, attempts: span.attempts, order });
    }

    /// Takes items from its hand; false, and nothing is taken, unless it has them all.
    pub fn take(&mut self, first: u64, end: u64) -> bool {
        let Some((&start, &head)) = self.in_hand.range(..=first).next_back() else { return false };
        let mut covered = head.end;
        while first < covered && covered < end {
            covered = self.in_hand.get(&covered).map_or(first, |next| next.end);
        }
        if first >= end || covered <= first {
            return false;
        }
        let mut at = start;
        while at < end
            && let Some(it) = self.in_hand.remove(&at)
        {
            if at < first {
                self.in_hand.insert(at, InHand { end: first, ..it });
            }
            if it.end > end {
                self.in_hand.insert(end, it);
            }
            at = it.end;
        }
        self.items -= end - first;
        true
    }

    /// Takes all that it has, in the order in which it would have worked at them.
    pub fn take_all(&mut self) -> Vec<Span> {
        let mut spans: Vec<_> = std::mem::take(&mut self.in_hand).into_iter().collect();
        spans.sort_by_key(|(first, it)| (it.order, *first));
        self.items = 0;
        spans.into_iter().map(|(first, it)| Span { first, end: it.end, attempts: it.attempts }).collect()
    }

    #[cfg(test)]
    pub fn spans(&self) -> Vec<Span> {
        self.in_hand.iter().map(|(&first, it)| Span { first, end: it.end, attempts: it.attempts }).collect()
    }
}
