//! Waits for engines that are being started.

use super::Cluster;
use crate::publisher::Publisher;
use chorus_controller::Where;
use std::time::{Duration, Instant};

/// How long engines may take to join.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    limit: Duration,
    /// Whether it lasts as long as any of them wait in a queue.
    queues: bool,
}

impl Patience {
    /// For engines of this host.
    pub const HERE: Patience = Patience { limit: Duration::from_secs(20), queues: true };
    /// For those that come by the way: who waits in a queue joins later.
    pub const BRIEF: Patience = Patience { queues: false, ..Patience::HERE };
    /// For those of other hosts, to which their program may have to be sent first.
    pub const THERE: Patience = Patience { limit: Duration::from_secs(120), queues: true };

    /// With engines of this place.
    pub fn with(place: &Where) -> Patience {
        if *place == Where::Here { Patience::HERE } else { Patience::THERE }
    }
}

/// How often to look at a queue.
const LOOK: Duration = Duration::from_secs(1);

/// Returns when `enough` engines have joined, or when no more of those that are `wanted` will, or after so long. For
/// engines that wait in a queue there is no limit; the notebook is told how many these are, and why, whenever that is another.
pub async fn joining(
    cluster: &Cluster,
    (wanted, enough): (usize, usize),
    Patience { limit, queues }: Patience,
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
        cluster.given_up(status.given_up, status.failing);
        if let Some(queue) = status.queue {
            if queues {
                deadline = Instant::now() + limit;
            }
            let says = format!("{} of {wanted} engines have joined; {queue}", cluster.engines().len());
            if says != told {
                publisher.say(&says).await;
                told = says;
            }
        }
    }
}
