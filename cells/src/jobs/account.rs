//! What a map has done so far. Pure.

use super::stream::Stream;
use chorus_protocol::{EngineId, Report, Took};
use chorus_render::MapView;
use px::link::{Damaged, Done, Failures, GpuTimes, ItemFailure, Message, Results};
use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub struct Account {
    /// `None` when each engine has its own.
    items: Option<u64>,
    done: Vec<(EngineId, Done)>,
    /// Where results go in place of that, if a loop takes them.
    pub stream: Option<Stream>,
    /// How it looks.
    pub view: MapView,
    /// Of the engines' processors, so far.
    took: Took,
}

impl Account {
    /// Of a map that has done nothing, and whose function was compiled in so long.
    pub fn new(items: Option<u64>, compiled: Duration) -> Account {
        let view = MapView::new(items).compiled_in(compiled);
        Account { items, done: Vec::new(), stream: None, view, took: Took::default() }
    }

    /// With results that a loop takes.
    pub fn streamed(self, stream: Option<Stream>) -> Account {
        Account { stream, ..self }
    }

    /// Enters what an engine has done; returns the first item of it that failed.
    pub fn enter(&mut self, engine: EngineId, reports: &[Report]) -> Result<Option<ItemFailure>, Damaged> {
        let mut first = None;
        for report in reports {
            let mut done = Done::decode(&report.body)?;
            if self.items.is_none() {
                // Users count each engine's items by themselves.
                done.failed.first.iter_mut().for_each(|failure| failure.item %= px::map::OWN_ITEMS);
            }
            let failed: Vec<u64> = done.failed.first.iter().map(|failure| failure.item).collect();
            self.view.done(engine, done.count, done.micros, &failed, done.failed.count);
            self.view.gpu(done.gpu.transfer, done.gpu.kernel);
            first = first.or_else(|| done.failed.first.first().cloned());
            if let Some(stream) = &mut self.stream {
                stream.push(done);
                continue;
            }
            // Of what stands side by side in a room, only the ends matter.
            if let Some((_, last)) = self.done.last_mut()
                && last.results == Results::InPlace
                && done.results == Results::InPlace
                && last.first + last.count == done.first
            {
                last.count += done.count;
                last.micros += done.micros;
                last.gpu.add(done.gpu);
                last.failed.append(std::mem::take(&mut done.failed));
            } else {
                self.done.push((engine, done));
            }
        }
        Ok(first)
    }

    /// Items have no results, since workers died of them.
    pub fn give_up(&mut self, first: u64, count: u64, message: &str) {
        let mut failed = Failures::default();
        for item in first..first.saturating_add(count).min(first.saturating_add(Failures::MOST as u64)) {
            failed.push(ItemFailure { item, value: None, message: message.to_owned() });
        }
        failed.count = count;
        let items: Vec<u64> = failed.first.iter().map(|failure| failure.item).collect();
        self.view.given_up(&items, count);
        // No engine's.
        let done = Done { first, count, micros: 0, gpu: GpuTimes::default(), results: Results::Nothing, failed };
        match &mut self.stream {
            Some(stream) => stream.push(done),
            None => self.done.push((EngineId(0), done)),
        }
    }

    /// An engine's run has ended.
    pub fn ran(&mut self, took: Took) {
        self.took.user = self.took.user.saturating_add(took.user);
        self.took.system = self.took.system.saturating_add(took.system);
    }

    /// What the runs took of the processors, and how many engines did something.
    pub fn took(&self) -> (Took, usize) {
        (self.took, self.view.engines_used())
    }

    /// Items that are done, and all.
    pub fn progress(&self) -> (u64, u64) {
        let done = self.view.items_done();
        (done, self.items.unwrap_or(done))
    }

    /// Items that were done well, and all.
    pub fn progress_well(&self) -> (u64, u64) {
        let (_, items) = self.progress();
        (self.view.items_well(), items)
    }

    /// For px: what was done, by items; by engines where each has its own.
    pub fn report(&self) -> Vec<u8> {
        let mut done: Vec<&(EngineId, Done)> = self.done.iter().collect();
        match self.items {
            Some(_) => done.sort_by_key(|(_, done)| done.first),
            None => done.sort_by_key(|(engine, done)| (*engine, done.first)),
        }
        let mut bytes = Vec::new();
        done.iter().for_each(|(_, done)| done.write(&mut bytes));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(first: u64, results: Results, failed: Vec<u64>) -> Report {
        let failure = |item| ItemFailure { item, value: None, message: "no".into() };
        let mut failures = Failures::default();
        failed.into_iter().for_each(|item| failures.push(failure(item)));
        let failed = failures;
        let done = Done { first, count: 10, micros: 5, gpu: GpuTimes::default(), results, failed };
        Report { first, count: 10, micros: 5, failed: done.failed.count, body: done.encode().into() }
    }

    fn firsts(account: &Account) -> Vec<(u64, u64)> {
        let (report, mut firsts) = (account.report(), Vec::new());
        let mut bytes = report.as_slice();
        while !bytes.is_empty() {
            let done = Done::read(&mut bytes).unwrap();
            firsts.push((done.first, done.count));
        }
        firsts
    }

    #[test]
    fn what_was_done_is_told_in_the_order_of_the_items() {
        let mut account = Account::new(Some(50), Duration::ZERO);
        let bytes = || Results::Bytes(vec![1]);
        account.enter(EngineId(1), &[report(20, bytes(), vec![]), report(0, bytes(), vec![])]).unwrap();
        account.enter(EngineId(0), &[report(10, bytes(), vec![])]).unwrap();
        assert_eq!(firsts(&account), [(0, 10), (10, 10), (20, 10)]);
        assert_eq!(account.progress(), (30, 50));
    }

    #[test]
    fn neighbours_in_a_room_are_one() {
        let mut account = Account::new(Some(50), Duration::ZERO);
        account
            .enter(EngineId(0), &[report(0, Results::InPlace, vec![]), report(10, Results::InPlace, vec![])])
            .unwrap();
        account.enter(EngineId(0), &[report(40, Results::InPlace, vec![])]).unwrap();
        assert_eq!(firsts(&account), [(0, 20), (40, 10)]);
    }

    #[test]
    fn where_each_engine_has_its_own_items_engines_come_first() {
        let mut account = Account::new(None, Duration::ZERO);
        account.enter(EngineId(1), &[report(0, Results::Bytes(vec![]), vec![])]).unwrap();
        account.enter(EngineId(0), &[report(10, Results::Bytes(vec![]), vec![])]).unwrap();
        assert_eq!(firsts(&account), [(10, 10), (0, 10)]);
        assert_eq!(account.progress(), (20, 20));
    }

    #[test]
    fn the_first_failure_of_a_report_is_told() {
        let mut account = Account::new(Some(50), Duration::ZERO);
        let failed = account.enter(EngineId(0), &[report(0, Results::InPlace, vec![3, 4])]).unwrap();
        assert_eq!(failed.map(|failure| failure.item), Some(3));
        assert_eq!(account.enter(EngineId(0), &[report(10, Results::InPlace, vec![])]), Ok(None));
        let damaged = Report { body: vec![9].into(), ..report(20, Results::InPlace, vec![]) };
        assert_eq!(account.enter(EngineId(0), &[damaged]), Err(Damaged));
    }
}
