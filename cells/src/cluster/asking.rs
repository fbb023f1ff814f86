//! What a notebook asks its cluster besides runs, and what it tells its log.

use super::{Cluster, ClusterError};
use chorus_history::Figures;
use chorus_protocol::{ClusterStatus, LogEntry, NotebookUse, Order, SessionStatus};
use std::time::Duration;
use tokio::sync::mpsc;

impl Cluster {
    /// Who else uses it, and what they run there.
    pub async fn others(&self) -> Result<Vec<SessionStatus>, ClusterError> {
        Ok(self.status().await?.users.into_iter().filter(|user| !user.own).collect())
    }

    /// The cluster as its controller sees it.
    pub async fn status(&self) -> Result<ClusterStatus, ClusterError> {
        Ok(self.client.status().await?)
    }

    /// What the cluster's log tells as far as it is kept.
    pub async fn figures(&self) -> Result<Figures, ClusterError> {
        let mut figures = Figures::default();
        self.log().await?.iter().for_each(|entry| figures.apply(entry));
        Ok(figures)
    }

    /// The cluster's log as far as it is kept.
    pub async fn log(&self) -> Result<Vec<LogEntry>, ClusterError> {
        Ok(self.client.log_now().await?)
    }

    /// The cluster's log from this entry's number on, and what is added to it.
    pub fn follow_log(&self, from: u64) -> mpsc::Receiver<Vec<LogEntry>> {
        self.client.follow_log(from)
    }

    /// Tells the cluster's log what was compiled for its engines.
    pub fn tell_compiled(&self, label: &str, took: Duration, cached: bool) {
        self.client.tell_compiled(&self.session, label, took, cached);
    }

    /// Tells the cluster's log what the notebook holds.
    pub fn tell_held(&self, held: NotebookUse) {
        self.client.tell_held(&self.session, held);
    }

    /// Has the cluster do something, and tells what was done.
    pub async fn steer(&self, order: Order) -> Result<String, ClusterError> {
        self.client.steer(order).await?.map_err(ClusterError::Order)
    }
}
