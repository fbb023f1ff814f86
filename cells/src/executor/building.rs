//! Shows what a cell waits for before it runs: how far dependencies are, or that it is compiled.

use crate::publisher::Publisher;
use chorus_compiler::Building;
use chorus_render::{BuildEnd, BuildView, compiling, plain_bundle};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::sync::mpsc::Receiver;
use tokio::time::{MissedTickBehavior, interval};

/// Between two drawings of the bar.
const REDRAW: Duration = Duration::from_millis(500);

/// A cell that is compiled for longer says so.
const PATIENCE: Duration = Duration::from_secs(2);

/// Says that a cell is being compiled, for as long as it is.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    publisher: Option<Publisher>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    /// The name of the display, which is the cell's first.
    shown: Option<String>,
}

impl Waiting {
    /// Says it here.
    pub fn new(publisher: Publisher) -> Waiting {
        Waiting { publisher: Some(publisher), state: Mutex::default() }
    }

    /// It begins.
    pub async fn begin(&self) {
        self.state.lock().await.since = Some(Instant::now());
    }

    /// Says so, once that is worth it, unless the cell shows something already: then it couldn't be taken back. It is said once: not
    /// all front ends can replace a display.
    async fn draw(&self, starts: bool) {
        // Held until it is on its way, lest it is taken back before.
        let mut state = self.state.lock().await;
        let (Some(publisher), Some(since)) = (&self.publisher, state.since) else { return };
        if since.elapsed() < PATIENCE || state.shown.is_some() || publisher.sent() != 0 {
            return;
        }
        let name = || format!("chorus-compiling-{}-{}", std::process::id(), publisher.count());
        publisher.update(state.shown.get_or_insert_with(name), true, compiling(starts)).await;
    }

    /// Something else is to be shown, or it is over. Nothing is left of it, unless a thread of an earlier cell has shown something
    /// meanwhile: then an empty display.
    async fn take_back(&self, is_over: bool) {
        let mut state = self.state.lock().await;
        if is_over {
            state.since = None;
        }
        let (Some(publisher), Some(shown)) = (&self.publisher, &state.shown) else { return };
        match publisher.sent() {
            1 => publisher.clear().await,
            _ => publisher.update(shown, false, plain_bundle("")).await,
        }
        state.shown = None;
    }

    /// It is over.
    pub async fn end(&self) {
        self.take_back(true).await;
    }
}

/// The builds of one cell.
pub(super) struct Builds<'a> {
    publisher: &'a Publisher,
    waiting: &'a Waiting,
    /// Whether the cell waits for the compiler's start.
    starts: bool,
    under_way: Option<UnderWay>,
    warnings: Vec<String>,
    /// How many there were.
    count: usize,
}

struct UnderWay {
    view: BuildView,
    began: Instant,
    /// The name of its display, once it is shown.
    shown: Option<String>,
}

impl<'a> Builds<'a> {
    pub fn new(publisher: &'a Publisher, waiting: &'a Waiting) -> Builds<'a> {
        Builds { publisher, waiting, starts: false, under_way: None, warnings: Vec::new(), count: 0 }
    }

    /// Shows what is told, for as long as this is polled.
    pub async fn show(&mut self, told: &mut Receiver<Building>) {
        let mut clock = interval(REDRAW);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                building = told.recv() => match building {
                    Some(building) => self.hear(building).await,
                    // The kernel ends.
                    None => return std::future::pending().await,
                },
                _ = clock.tick() => match self.under_way {
                    Some(_) => self.draw(None).await,
                    None => self.waiting.draw(self.starts).await,
                },
            }
        }
    }

    async fn hear(&mut self, building: Building) {
        let begin = || UnderWay { view: BuildView::default(), began: Instant::now(), shown: None };
        match building {
            Building::Crates { done, of, now } => {
                let view = &mut self.under_way.get_or_insert_with(begin).view;
                (view.parts, view.now) = (Some((done, of)), now);
            }
            Building::Says(what) => self.under_way.get_or_insert_with(begin).view.now = vec![what],
            Building::Starts => self.starts = true,
            Building::Started => self.starts = false,
            Building::Warns(what) => self.warnings.push(what),
            Building::Over => self.end(BuildEnd::Built).await,
        }
    }

    async fn draw(&mut self, end: Option<BuildEnd>) {
        let Some(build) = &mut self.under_way else { return };
        let elapsed = build.began.elapsed();
        // What is there at once isn't worth a bar.
        if build.shown.is_none() && (end.is_some() || elapsed < REDRAW) {
            return;
        }
        let first = build.shown.is_none();
        if first {
            self.waiting.take_back(false).await;
        }
        let name = || format!("chorus-build-{}-{}-{}", std::process::id(), self.publisher.count(), self.count);
        let name = build.shown.get_or_insert_with(name);
        self.publisher.update(name, first, build.view.bundle(elapsed, end)).await;
    }

    async fn end(&mut self, end: BuildEnd) {
        self.draw(Some(end)).await;
        self.count += usize::from(self.under_way.take().is_some());
    }

    /// The cell has ended, which no build outlives.
    pub async fn finish(mut self, told: &mut Receiver<Building>, failed: Option<BuildEnd>) {
        while let Ok(building) = told.try_recv() {
            self.hear(building).await;
        }
        self.end(failed.unwrap_or(BuildEnd::Built)).await;
        for warning in self.warnings {
            self.publisher.warn(&warning).await;
        }
    }
}
