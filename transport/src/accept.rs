//! Accepting connections, each with a task of its own.

use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::net::Listener;

/// A socket that listens. Dropping it closes it and all its connections.
pub(crate) struct Accepting(AbortHandle);

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Accepting {
    /// Has `serve` serve each connection.
    pub fn start<L, F>(mut listener: L, serve: impl Fn(L::Io) -> F + Send + 'static) -> Accepting
    where
        L: Listener + Send + 'static,
        L::Io: Send,
        L::Addr: Send,
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let served = serve(stream);
                        open.spawn(async move {
                            if let Err(error) = served.await {
                                tracing::debug!(%error, "a connection broke");
                            }
                        });
                    }
                    // Such as too many open files: later there may be fewer.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
                while open.try_join_next().is_some() {}
            }
        });
        Accepting(task.abort_handle())
    }
}
