//! What the notebook holds is told to its cluster's log: variables of its own worker, and rooms. Memory that is kept for rooms is
//! looked after as often.

use crate::engines::Engines;
use crate::jobs::Jobs;
use chorus_engine::Worker;
use chorus_protocol::{NotebookUse, SessionId};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// How often that may be.
const INTERVAL: Duration = Duration::from_secs(1);

/// Tells whichever cluster the notebook uses what has changed. It goes on until it is dropped.
pub async fn tell(worker: Arc<Worker>, jobs: Jobs, engines: Engines) {
    let mut told: Option<(SessionId, NotebookUse)> = None;
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        jobs.tidy();
        let Some(cluster) = engines.current() else { continue };
        let now = (cluster.session().id(), NotebookUse::new((*worker.variables()).clone(), jobs.rooms_in_use()));
        if told.as_ref() != Some(&now) {
            cluster.tell_held(now.1.clone());
            told = Some(now);
        }
    }
}
