//! Waits for the engines of a cluster that was just started.

use super::Cluster;
use crate::publisher::Publisher;
use std::time::{Duration, Instant};

/// How often to look at a queue.
const LOOK: Duration = Duration::from_secs(1);

/// Returns when `enough` engines have joined, or when no more of those that are `wanted` will, or after the limit. For
/// engines that wait in a queue there is no limit; the notebook is told how many these are, and why, whenever that is another.
pub(super) async fn joining(
    cluster: &Cluster,
    (wanted, enough): (usize, usize),
    limit: Duration,
    publisher: &Publisher,
) {
    let mut joined = cluster.joined.clone();
    let mut deadline = Instant::now() + limit;
    let mut told = String::new();
    loop {
        let is_settled = |joined: &usize| *joined >= enough || *joined + cluster.known.lock().given_up.len() >= wanted;
        let pause = LOOK.min(deadline.saturating_duration_since(Instant::now()));
        if tokio::time::timeout(pause, joined.wait_for(is_settled)).await.is_ok() || Instant::now() >= deadline {
            return;
        }
        let Ok(status) = cluster.status().await else { return };
        cluster.given_up(status.given_up);
        if let Some(queue) = status.queue {
            deadline = Instant::now() + limit;
            let says = format!("{} of {wanted} engines have joined; {queue}", cluster.engines().len());
            if says != told {
                publisher.say(&says).await;
                told = says;
            }
        }
    }
}
