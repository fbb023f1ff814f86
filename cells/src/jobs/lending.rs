//! Lends the notebook's rooms to engines of other hosts: a socket in the cluster's folder, to which the cluster's gateway
//! leads those hosts.

use super::rooms::{Rooms, kernel_number};
use chorus_remote::{rooms, rooms_socket};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::task::AbortHandle;

/// Dropping it ends that.
#[derive(Debug)]
pub struct Lending {
    path: PathBuf,
    task: AbortHandle,
    /// For the gateway of a cluster in this process.
    _lent: rooms::Lent,
}

impl Lending {
    /// To be called within a runtime.
    pub(super) fn begin(lent: &Arc<Rooms>, folder: &Path) -> io::Result<Lending> {
        let path = rooms_socket(folder, &kernel_number());
        // A notebook that has left the cluster and comes again.
        _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        let lent = Arc::clone(lent);
        let store: Arc<dyn rooms::Store> = lent.clone();
        let here = rooms::Lent::at(path.clone(), store);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { return };
                        let lent = Arc::clone(&lent);
                        connections.spawn(async move { rooms::serve(stream, &*lent).await });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Lending { path, task: task.abort_handle(), _lent: here })
    }
}

impl Drop for Lending {
    fn drop(&mut self) {
        self.task.abort();
        _ = std::fs::remove_file(&self.path);
    }
}
