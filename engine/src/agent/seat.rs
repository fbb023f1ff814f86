//! What a run that serves a map is told and says: items on their way to the worker, reports on their way to the
//! controller. Pure: no socket, no process.

use chorus_protocol::{FromEngine, MapId, Piece, Report, RunId, SessionId};
use px::link::{Answer, Ask, Done, Message};
use std::collections::VecDeque;

/// A session's maps on this engine. Runs come one after the other, so at most one of them is served.
#[derive(Debug, Default)]
pub struct Seat {
    /// The maps of runs that haven't ended.
    runs: VecDeque<(RunId, MapId)>,
    /// The run that has started last, if it hasn't ended.
    running: Option<RunId>,
    pieces: VecDeque<Piece>,
    /// The question to which items are the answer.
    waiting: Option<u64>,
    /// Whether there will be no more items.
    ended: bool,
}

/// What is to be done about a question.
#[derive(Debug, Default, PartialEq)]
pub struct Step {
    /// Answer the worker: the question's ticket, and the encoded answer.
    pub answer: Option<(u64, Vec<u8>)>,
    /// Tell the controller.
    pub tell: Option<FromEngine>,
}

impl Seat {
    /// A run that serves a map was taken in.
    pub fn expect(&mut self, run: RunId, map: MapId) {
        self.runs.push_back((run, map));
    }

    /// A run begins.
    pub fn started(&mut self, run: RunId) {
        self.clear();
        self.running = Some(run);
    }

    /// A run has ended, in whatever way.
    pub fn done(&mut self, run: RunId) {
        self.runs.retain(|(other, _)| *other != run);
        if self.running == Some(run) {
            self.clear();
        }
    }

    fn clear(&mut self) {
        let runs = std::mem::take(&mut self.runs);
        *self = Seat { runs, ..Seat::default() };
    }

    /// The map that is being served.
    fn map(&self) -> Option<MapId> {
        let (_, map) = self.runs.iter().find(|(run, _)| Some(*run) == self.running)?;
        Some(*map)
    }

    /// A cell asks something.
    pub fn asked(&mut self, session: SessionId, ticket: u64, ask: &[u8]) -> Step {
        let failed = |why: &str| Step { answer: Some((ticket, Answer::Failed(why.into()).encode())), tell: None };
        match (Ask::decode(ask), self.map()) {
            (Err(damaged), _) => failed(&damaged.to_string()),
            (Ok(Ask::Next(done)), Some(map)) => {
                self.waiting = Some(ticket);
                let reports = done.iter().map(report).collect();
                Step { answer: self.answer(), tell: Some(FromEngine::MapReady { session, map, reports }) }
            }
            (Ok(Ask::Report(done)), Some(map)) => {
                let reports = done.iter().map(report).collect();
                Step { answer: None, tell: Some(FromEngine::MapReady { session, map, reports }) }
            }
            (Ok(Ask::Next(_) | Ask::Report(_)), None) => failed("this run serves no map"),
            (Ok(_), _) => failed("only the notebook's own cells can do that, and this cell runs on an engine"),
        }
    }

    /// Items have come.
    pub fn work(&mut self, map: MapId, pieces: Vec<Piece>) -> Option<(u64, Vec<u8>)> {
        if self.map() != Some(map) || self.ended {
            return None;
        }
        self.pieces.extend(pieces);
        self.answer()
    }

    /// No more items will come.
    pub fn end(&mut self, map: MapId) -> Option<(u64, Vec<u8>)> {
        if self.map() != Some(map) {
            return None;
        }
        self.pieces.clear();
        self.ended = true;
        self.answer()
    }

    /// One piece at a time, so that what isn't begun can still be taken back by an end.
    fn answer(&mut self) -> Option<(u64, Vec<u8>)> {
        let ticket = self.waiting?;
        let work: Vec<px::link::Piece> = match self.pieces.pop_front() {
            Some(Piece { first, count, chunk }) => vec![px::link::Piece { first, count, chunk }],
            None if self.ended => vec![],
            None => return None,
        };
        self.waiting = None;
        Some((ticket, Answer::Work(work).encode()))
    }
}

fn report(done: &Done) -> Report {
    let Done { first, count, micros, failed, .. } = done;
    Report { first: *first, count: *count, micros: *micros, failed: failed.count, body: done.encode().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use px::link::{Failures, GpuTimes, Results};

    const SESSION: SessionId = SessionId(1);
    const MAP: MapId = MapId(5);

    fn piece(first: u64) -> Piece {
        Piece { first, count: 10, chunk: 10 }
    }

    fn work(answer: Option<(u64, Vec<u8>)>) -> Option<(u64, Vec<u64>)> {
        let (ticket, answer) = answer?;
        match Answer::decode(&answer) {
            Ok(Answer::Work(pieces)) => Some((ticket, pieces.iter().map(|piece| piece.first).collect())),
            other => panic!("{other:?} isn't work"),
        }
    }

    fn serving() -> Seat {
        let mut seat = Seat::default();
        seat.expect(RunId(1), MAP);
        seat.started(RunId(1));
        seat
    }

    fn next(seat: &mut Seat, ticket: u64, done: Vec<Done>) -> Step {
        seat.asked(SESSION, ticket, &Ask::Next(done).encode())
    }

    #[test]
    fn pieces_go_to_whoever_asked_one_at_a_time() {
        let mut seat = serving();
        let ready = FromEngine::MapReady { session: SESSION, map: MAP, reports: vec![] };
        assert_eq!(next(&mut seat, 1, vec![]), Step { answer: None, tell: Some(ready) });
        assert_eq!(work(seat.work(MAP, vec![piece(0), piece(10)])), Some((1, vec![0])));
        assert_eq!(work(seat.work(MAP, vec![piece(20)])), None, "nobody waits");
        assert_eq!(work(next(&mut seat, 2, vec![]).answer), Some((2, vec![10])));
        assert_eq!(work(seat.end(MAP)), None);
        assert_eq!(work(next(&mut seat, 3, vec![]).answer), Some((3, vec![])), "what wasn't begun isn't wanted");
        assert_eq!(work(seat.work(MAP, vec![piece(30)])), None);
    }

    #[test]
    fn what_is_done_is_reported() {
        let mut seat = serving();
        let done = Done {
            first: 3,
            count: 4,
            micros: 5,
            gpu: GpuTimes::default(),
            results: Results::Bytes(vec![1]),
            failed: Failures::default(),
        };
        let report = Report { first: 3, count: 4, micros: 5, failed: 0, body: done.encode().into() };
        let told = Some(FromEngine::MapReady { session: SESSION, map: MAP, reports: vec![report] });
        // Of what it goes on with, it only says so.
        let said = seat.asked(SESSION, 1, &Ask::Report(vec![done.clone()]).encode());
        assert_eq!(said, Step { answer: None, tell: told.clone() });
        assert_eq!(work(seat.work(MAP, vec![piece(0)])), None);
        assert_eq!(next(&mut seat, 2, vec![done]).tell, told);
    }

    #[test]
    fn a_run_that_died_leaves_nothing_to_the_next() {
        let mut seat = serving();
        seat.expect(RunId(2), MapId(6));
        next(&mut seat, 1, vec![]);
        seat.work(MAP, vec![piece(0), piece(10)]);
        seat.done(RunId(1));
        seat.started(RunId(2));
        assert_eq!(work(seat.work(MAP, vec![piece(20)])), None, "of the map before");
        assert_eq!(work(next(&mut seat, 2, vec![]).answer), None);
        assert_eq!(work(seat.work(MapId(6), vec![piece(0)])), Some((2, vec![0])));
    }

    #[test]
    fn other_questions_are_refused_with_a_sentence() {
        for (mut seat, ask, why) in [
            (serving(), Ask::Room(1).encode(), "only the notebook"),
            (serving(), vec![255], "aren't what they should be"),
            (Seat::default(), Ask::Next(vec![]).encode(), "serves no map"),
        ] {
            let step = seat.asked(SESSION, 1, &ask);
            let Some((1, answer)) = step.answer else { panic!("no answer to {ask:?}") };
            let Ok(Answer::Failed(sentence)) = Answer::decode(&answer) else { panic!("{answer:?} is no refusal") };
            assert!(sentence.contains(why), "{sentence}");
            assert_eq!(step.tell, None);
        }
    }
}
