//! How a map's items are shared out: which engine gets which, how many at once, and what becomes of the items whose
//! worker died.
//!
//! Decisions only. What is kept grows with the engines and with what they have in hand, not with what is done: the
//! items that nobody has had yet are all those from one on, and those that came back are ranges.

mod pace;
mod ranges;
mod seat;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use chorus_protocol::{Death, EngineId, MapSpec, Outcome, Piece, Report, RunId};
use chorus_system::signal;
use pace::Load;
use ranges::Ranges;
use seat::{Seat, Span};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// A suspect piece is handed out again in so many parts, to find the item that ends workers.
const PARTS: u64 = 16;
/// How many more deaths are allowed that may have come from outside.
const OUTSIDE: u32 = 4;

/// How items are dealt with over which a worker ended.
#[derive(Clone, Copy, Debug)]
enum Blame {
    /// One of them ends workers. It is looked for, and may do so this often besides.
    Deadly { allowed: u32 },
    /// One of them asked for it, and the map ends: nothing of it is begun again.
    Final,
}

/// A map's items, while they are shared out.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::core) struct Sharing {
    /// `None` if engines have their own.
    items: Option<u64>,
    chunk: Option<u64>,
    retries: u32,
    goes_on: bool,
    /// Whether nothing is handed out that nobody has had yet, because the client has enough for now.
    rests: bool,
    /// Items that are neither done nor given up.
    left: u64,
    /// The first item that was never handed out; none behind it was.
    frontier: u64,
    /// Handed out, and came back.
    returned: Ranges,
    /// Came back with a dead worker that may have died of them: each is tried alone.
    suspects: VecDeque<Span>,
    seats: BTreeMap<EngineId, Seat>,
    /// Those that asked and have nothing.
    idle: BTreeSet<EngineId>,
    /// What time it is.
    now: Duration,
}

impl Sharing {
    pub fn new(spec: &MapSpec) -> Sharing {
        Sharing {
            items: spec.items,
            chunk: spec.chunk.map(|chunk| chunk.max(1)),
            retries: spec.retries,
            goes_on: spec.goes_on,
            rests: false,
            left: spec.items.unwrap_or(0),
            frontier: 0,
            returned: Ranges::default(),
            suspects: VecDeque::new(),
            seats: BTreeMap::new(),
            idle: BTreeSet::new(),
            now: Duration::ZERO,
        }
    }

    /// It is this late now.
    pub fn at(&mut self, now: Duration) -> &mut Sharing {
        self.now = now;
        self
    }

    /// Whether the engines have items of their own, and only report them.
    pub fn is_reported_only(&self) -> bool {
        self.items.is_none()
    }

    /// Whether all items are done or given up.
    pub fn is_over(&self) -> bool {
        self.items.is_some() && self.left == 0
    }

    /// How many items could be begun, and no engine has them.
    pub fn unbegun(&self) -> u64 {
        let in_hand: u64 = self.seats.values().map(Seat::items).sum();
        if self.rests { 0 } else { self.left.saturating_sub(in_hand) }
    }

    /// The engines that have a run for it.
    pub fn engines(&self) -> Vec<EngineId> {
        self.seats.keys().copied().collect()
    }

    /// A run that serves the map is on its way to an engine, which is `far` if it is on another host.
    pub fn join(&mut self, engine: EngineId, run: RunId, far: bool) {
        self.seats.entry(engine).or_insert_with(|| Seat::new(run, far));
    }

    /// The engine asks for items and says what it did; returns what of it is news.
    pub fn report(&mut self, engine: EngineId, mut reports: Vec<Report>) -> Vec<Report> {
        let Some(seat) = self.seats.get_mut(&engine) else { return Vec::new() };
        seat.ready = true;
        if self.items.is_none() {
            return reports;
        }
        reports.retain(|report| report.first.checked_add(report.count).is_some_and(|end| seat.take(report.first, end)));
        if !reports.is_empty() {
            let items: u64 = reports.iter().map(|report| report.count).sum();
            self.left -= items;
            seat.hear(self.now, reports.iter().map(|report| Duration::from_micros(report.micros)).sum());
            seat.pace.observe(items, reports.iter().map(|report| report.micros));
        }
        if seat.items() == 0 && !seat.dismissed {
            self.idle.insert(engine);
        }
        reports
    }

    /// It rests, or goes on. Returns the engines whose runs are to end: they give back what they haven't begun.
    pub fn rest(&mut self, rests: bool) -> Vec<EngineId> {
        self.rests = rests && self.items.is_some();
        let asked = self.seats.iter_mut().filter(|(_, seat)| self.rests && seat.ready && !seat.dismissed);
        let dismissed: Vec<EngineId> = asked.map(|(&engine, seat)| (engine, seat.dismissed = true).0).collect();
        dismissed.iter().for_each(|engine| _ = self.idle.remove(engine));
        dismissed
    }

    /// Whether an engine that has asked for items has nothing to wait for, because the map rests: its run is to end.
    pub fn dismisses(&mut self, engine: EngineId) -> bool {
        let Some(seat) = self.seats.get_mut(&engine) else { return false };
        seat.dismissed |= self.rests && seat.items() == 0;
        if seat.dismissed {
            self.idle.remove(&engine);
        }
        seat.dismissed
    }

    /// How many items the engine has.
    pub fn in_hand(&self, engine: EngineId) -> u64 {
        self.seats.get(&engine).map_or(0, |seat| seat.items())
    }

    /// What the engine is given, behind what it has.
    pub fn hand_out(&mut self, engine: EngineId) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let Some(seat) = self.seats.get_mut(&engine) else { return pieces };
        let Some(items) = self.items.filter(|_| seat.ready && !seat.dismissed) else { return pieces };
        let items = if self.rests { self.frontier } else { items };
        if seat.items() == 0
            && let Some(suspect) = self.suspects.pop_front()
        {
            seat.give(suspect);
            self.idle.remove(&engine);
            let count = suspect.end - suspect.first;
            return vec![Piece { first: suspect.first, count, chunk: count }];
        }
        // Suspects go first, and to engines that have nothing else: all run empty until they are given away.
        if !self.suspects.is_empty() || seat.at_suspect() {
            return pieces;
        }
        let mut load = Load { items: waiting(&self.returned, self.frontier, items), seats: self.seats.len() as u64 };
        let Some(seat) = self.seats.get_mut(&engine) else { return pieces };
        let was_empty = seat.items() == 0;
        match self.chunk {
            Some(chunk) => {
                let credit = seat.pace.tasks(chunk, load);
                let mut room = credit.saturating_sub(seat.items().div_ceil(chunk));
                // Few large pieces rather than many small ones.
                while room >= (credit / 4).max(1) || (room > 0 && !pieces.is_empty()) {
                    let most = room.saturating_mul(chunk);
                    let Some((first, end)) = take(&mut self.returned, &mut self.frontier, items, most) else { break };
                    seat.give(Span { first, end, attempts: 0 });
                    pieces.push(Piece { first, count: end - first, chunk });
                    room = room.saturating_sub((end - first).div_ceil(chunk));
                }
            }
            None => loop {
                let (size, in_hand) = seat.pace.piece(items, load);
                if seat.pieces() >= in_hand {
                    break;
                }
                let Some((first, end)) = take(&mut self.returned, &mut self.frontier, items, size) else { break };
                seat.give(Span { first, end, attempts: 0 });
                pieces.push(Piece { first, count: end - first, chunk: end - first });
                load.items -= end - first;
            },
        }
        if !pieces.is_empty() {
            if was_empty {
                seat.wait(self.now);
            }
            self.idle.remove(&engine);
        }
        pieces
    }

    /// Hands out what there is to engines that have nothing. Those that `takes` excludes are gone and won't ask again.
    pub fn wake(&mut self, takes: impl Fn(EngineId) -> bool) -> Vec<(EngineId, Vec<Piece>)> {
        let mut woken = Vec::new();
        while self.has_items()
            && let Some(engine) = self.idle.pop_first()
        {
            if takes(engine) {
                woken.push((engine, self.hand_out(engine)));
            }
        }
        woken
    }

    fn has_items(&self) -> bool {
        let items = if self.rests { Some(self.frontier) } else { self.items };
        let waiting = items.map_or(0, |items| waiting(&self.returned, self.frontier, items));
        waiting > 0 || !self.suspects.is_empty()
    }

    /// The engine's worker isn't there any more, though its run is: what it had goes to others.
    pub fn vacate(&mut self, engine: EngineId) {
        let Some(seat) = self.seats.get_mut(&engine) else { return };
        let (run, far) = (seat.run, seat.far);
        self.leave(engine, run, &Outcome::Cancelled);
        self.join(engine, run, far);
    }

    /// A run that serves the map has ended. Returns the items that are given up for it: the first and how many.
    pub fn leave(&mut self, engine: EngineId, run: RunId, outcome: &Outcome) -> Option<(u64, u64)> {
        self.seats.get(&engine).filter(|seat| seat.run == run)?;
        let mut seat = self.seats.remove(&engine)?;
        self.idle.remove(&engine);
        let mut spans = seat.take_all().into_iter();
        let mut given_up = None;
        if let Some(blame) = self.blame(outcome)
            && let Some(at_work) = spans.next()
        {
            given_up = self.suspect(at_work, blame);
        }
        for span in spans {
            if span.attempts > 0 {
                self.suspects.push_front(span);
            } else {
                self.returned.insert(span.first, span.end);
            }
        }
        given_up
    }

    /// What a run's end means for the items that it was at, if these can be blamed for it.
    fn blame(&self, outcome: &Outcome) -> Option<Blame> {
        let Outcome::Died(death, _) = outcome else { return None };
        match death {
            Death::Stopped | Death::EngineLost => None,
            // It would do the same again.
            Death::Exit(_) | Death::NoInput if self.goes_on => Some(Blame::Deadly { allowed: 0 }),
            Death::Exit(_) | Death::NoInput => Some(Blame::Final),
            // By a user, or the system that is short of memory.
            Death::Signal(signal::KILL | signal::TERMINATE) => {
                Some(Blame::Deadly { allowed: self.retries.saturating_add(OUTSIDE) })
            }
            Death::Signal(_) => Some(Blame::Deadly { allowed: self.retries }),
        }
    }

    /// A worker died over these items, whichever of them it was at: engines report when they have done them all.
    fn suspect(&mut self, span: Span, blame: Blame) -> Option<(u64, u64)> {
        let Span { first, end, .. } = span;
        let attempts = span.attempts.saturating_add(1);
        let count = end - first;
        let is_over = match blame {
            Blame::Final => true,
            Blame::Deadly { allowed } => attempts > allowed && (count == 1 || self.retries == 0),
        };
        if is_over {
            self.left -= count;
            return Some((first, count));
        }
        let part = count.div_ceil(PARTS);
        for first in (first..end).step_by(usize::try_from(part).unwrap_or(usize::MAX)) {
            self.suspects.push_back(Span { first, end: end.min(first.saturating_add(part)), attempts });
        }
        None
    }
}

#[cfg(test)]
impl Sharing {
    /// How many things it keeps: engines, pieces in hand, and what came back.
    pub fn kept(&self) -> usize {
        let in_hand: u64 = self.seats.values().map(Seat::pieces).sum();
        self.seats.len() + in_hand as usize + self.returned.ranges().count() + self.suspects.len()
    }
}

/// How many items nobody has, suspects left aside.
fn waiting(returned: &Ranges, frontier: u64, items: u64) -> u64 {
    returned.items() + (items - frontier)
}

/// Takes items to be handed out, those that came back first.
fn take(returned: &mut Ranges, frontier: &mut u64, items: u64, most: u64) -> Option<(u64, u64)> {
    returned.take(most).or_else(|| {
        let first = *frontier;
        *frontier = items.min(first.saturating_add(most));
        (first < *frontier).then_some((first, *frontier))
    })
}
