//! `%pxresult`: what parallel cells put out, shown again, or for the first time if nobody waited for them.

use super::maps::MapResult;
use super::parallel::finish;
use super::{Done, Executor, Next, Request};
use crate::failure::{Failure, Kind, failure};
use crate::publisher::legible;
use crate::run::PxCell;
use chorus_magics::PxResult;
use chorus_protocol::{EngineId, name_engines};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A worker that is interrupted ends within this.
const ENDED_ALONG: Duration = Duration::from_secs(3);
/// So many cells' outputs wait for being seen.
const MOST_UNSEEN: usize = 64;

/// What parallel cells put out.
#[derive(Default)]
pub(super) struct Results {
    /// Of the cell that was sent last.
    last: Option<Shown>,
    kept: HashMap<String, Shown>,
    /// The maps whose handles have, or had, these names, by their numbers.
    handles: HashMap<String, u64>,
    /// Of cells that nobody waited for, the oldest first.
    unseen: VecDeque<Shown>,
    /// How many more there were.
    forgotten: usize,
    next: u64,
}

/// What one cell put out.
#[derive(Clone)]
struct Shown {
    number: u64,
    /// The cell's execution count.
    count: u32,
    what: What,
}

/// See [`Shown`].
#[derive(Clone)]
pub(super) enum What {
    Cell(PxCell),
    Map(MapResult),
}

impl Results {
    /// Takes those of a cell that was just sent, and whether they are shown in it.
    pub(super) fn add(&mut self, what: What, count: u32, name: Option<&String>, is_seen: bool) {
        self.next += 1;
        let shown = Shown { number: self.next, count, what };
        if let Some(handle) = shown.map().and_then(MapResult::handle) {
            self.handles.insert(handle.to_owned(), shown.number);
        }
        if let Some(name) = name {
            self.kept.insert(name.clone(), shown.clone());
        }
        if !is_seen {
            if self.unseen.len() >= MOST_UNSEEN {
                self.unseen.pop_front();
                self.forgotten += 1;
            }
            self.unseen.push_back(shown.clone());
        }
        self.last = Some(shown);
    }

    /// The names under which some are kept.
    pub(super) fn names(&self) -> Vec<String> {
        self.kept.keys().cloned().collect()
    }

    /// Those of this name; without one, all that nobody has seen, or else the last.
    fn wanted(&mut self, name: Option<&str>) -> Result<Vec<Shown>, Failure> {
        if let Some(name) = name {
            return self.kept.get(name).map(|shown| vec![shown.clone()]).ok_or_else(|| {
                let what =
                    format!("nothing was kept as `{name}`: `%px -o {name} ...` and `%map -a -o {name} ...` keep it");
                failure(Kind::NoResult, what)
            });
        }
        // What a map's handle was asked for is seen.
        self.unseen.retain(|shown| shown.map().is_none_or(MapResult::is_unseen));
        if !self.unseen.is_empty() {
            return Ok(self.unseen.iter().cloned().collect());
        }
        let last = self.last.clone().ok_or_else(|| failure(Kind::NoResult, "no parallel cell has run yet"))?;
        Ok(vec![last])
    }

    /// Whether the name of this map's handle is that of another map's by now.
    fn is_replaced(&self, shown: &Shown, map: &MapResult) -> bool {
        map.handle().is_some_and(|handle| self.handles.get(handle) != Some(&shown.number))
    }

    fn seen(&mut self, shown: &Shown) {
        self.unseen.retain(|other| other.number != shown.number);
    }
}

impl Shown {
    fn map(&self) -> Option<&MapResult> {
        match &self.what {
            What::Map(map) => Some(map),
            What::Cell(_) => None,
        }
    }
}

impl Executor {
    pub(super) async fn px_result(&mut self, options: PxResult, request: &Request) -> Done {
        let wanted = self.results.wanted(options.out.as_deref())?;
        let publisher = &request.publisher;
        if let [shown] = wanted.as_slice() {
            self.wait_for(shown, request).await?;
            return self.show(shown, &options, request).await;
        }
        match std::mem::take(&mut self.results.forgotten) {
            0 => {}
            more => publisher.warn(&format!("px: the outputs of {more} more cells, sent before, weren't kept")).await,
        }
        let (all, mut failed) = (wanted.len(), Vec::new());
        for shown in wanted {
            self.wait_for(&shown, request).await?;
            let cell = format!("In[{}]", shown.count);
            publisher.say(&format!("{cell}:")).await;
            if let Err(failure) = self.show(&shown, &options, request).await {
                publisher.warn(&legible(&failure).traceback.join("\n")).await;
                failed.push(cell);
            }
        }
        if failed.is_empty() {
            return Ok(Next::Continue);
        }
        let what = format!("{} of {all} cells failed, as is said above: {}", failed.len(), failed.join(", "));
        Err(failure(Kind::CompositeError, what))
    }

    /// Returns when the cell has ended. An interrupt leaves it alone, and what it puts out stays unseen.
    async fn wait_for(&self, shown: &Shown, request: &Request) -> Result<(), Failure> {
        let mut interrupted = request.interrupted.clone();
        match &shown.what {
            What::Map(map) => map.wait(&mut interrupted).await,
            What::Cell(cell) => {
                let running = cell.view().record().running();
                tokio::select! {
                    () = cell.finished() => Ok(()),
                    () = interrupted.next() => {
                        let still = name_engines(&running);
                        let what = format!("the cell still runs on {still}; `%cluster restart` would end it");
                        Err(failure(Kind::Interrupted, what))
                    }
                }
            }
        }
    }

    /// The cells that nobody waits for and that run on none but these engines, with those on which they do.
    pub(super) fn running_before(&self, engines: &[EngineId]) -> Vec<(u32, PxCell, Vec<EngineId>)> {
        let cells = self.results.unseen.iter().filter_map(|Shown { count, what, .. }| {
            let What::Cell(cell) = what else { return None };
            let running = cell.view().record().running();
            let is_before = !running.is_empty() && running.iter().all(|engine| engines.contains(engine));
            is_before.then(|| (*count, cell.clone(), running))
        });
        cells.collect()
    }

    /// Says which of these cells have ended besides one that was interrupted behind them. What has become of their variables is
    /// known then.
    pub(super) async fn ended_along(&self, before: Vec<(u32, PxCell, Vec<EngineId>)>, request: &Request) {
        let deadline = Instant::now() + ENDED_ALONG;
        for (count, cell, running) in before {
            if timeout_at(deadline, cell.finished()).await.is_ok() {
                let there = name_engines(&running);
                let what = format!("In[{count}], which ran on {there}, has ended, too: `%pxresult` shows how");
                request.publisher.warn(&what).await;
            }
        }
    }

    /// Shows what came of a cell that has ended, and fails as it did.
    async fn show(&mut self, shown: &Shown, options: &PxResult, request: &Request) -> Done {
        self.results.seen(shown);
        match &shown.what {
            What::Map(map) => {
                let is_replaced = self.results.is_replaced(shown, map);
                self.map_result(map, is_replaced, options.each, request).await
            }
            What::Cell(cell) => {
                let ended = cell.view().record().render(options.grouping, options.each);
                finish(ended, false, &request.publisher).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(results: &mut Results, name: Option<&str>) -> Vec<u32> {
        results.wanted(name).unwrap_or_default().iter().map(|shown| shown.count).collect()
    }

    #[test]
    fn what_nobody_has_seen_is_shown_once_and_the_oldest_first() {
        let mut results = Results::default();
        assert!(results.wanted(None).is_err());
        let cell = || What::Cell(PxCell::ended());
        results.add(cell(), 1, None, true);
        assert_eq!(counts(&mut results, None), [1]);
        results.add(cell(), 2, Some(&"a".to_owned()), false);
        results.add(cell(), 3, None, false);
        results.add(cell(), 4, None, true);
        assert_eq!(counts(&mut results, None), [2, 3]);
        let a = results.wanted(Some("a")).unwrap().remove(0);
        results.seen(&a);
        assert_eq!(counts(&mut results, None), [3]);
        let rest = results.wanted(None).unwrap().remove(0);
        results.seen(&rest);
        assert_eq!(counts(&mut results, None), [4], "the last again");
        assert_eq!(counts(&mut results, Some("a")), [2], "and what has a name");
        assert!(results.wanted(Some("b")).is_err());
        for count in 0..MOST_UNSEEN as u32 + 2 {
            results.add(cell(), 10 + count, None, false);
        }
        assert_eq!((counts(&mut results, None)[0], results.forgotten), (12, 2));
    }
}
