//! Shows how far dependencies are while a cell waits for them.

use crate::publisher::Publisher;
use chorus_compiler::Building;
use chorus_render::{BuildEnd, BuildView};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;
use tokio::time::{MissedTickBehavior, interval};

/// Between two drawings of the bar.
const REDRAW: Duration = Duration::from_millis(500);

/// The builds of one cell.
pub(super) struct Builds<'a> {
    publisher: &'a Publisher,
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
    pub fn new(publisher: &'a Publisher) -> Builds<'a> {
        Builds { publisher, under_way: None, warnings: Vec::new(), count: 0 }
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
                _ = clock.tick() => self.draw(None).await,
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
