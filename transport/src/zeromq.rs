//! ZeroMQ between the processes of one host: one ROUTER that listens, and DEALERs that connect to it.
//!
//! What `zeromq` 0.7 lacks, and has here: an end of a connection that is seen, queues that are bounded for each peer, and a
//! limit on what a frame may announce where strangers can connect.

mod gate;
mod hub;
mod link;

pub use hub::{Router, RouterSender};

use crate::{Hub, Link, Transport};
use futures::future::BoxFuture;
use std::io;
use std::path::Path;
use std::time::Duration;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroMq {
    /// Sockets in a folder that only its user can open.
    Ipc,
    /// Ports of 127.0.0.1, which any user of the host can connect to.
    Tcp,
}

impl Transport for ZeroMq {
    fn listen<'a>(
        &'a self,
        socket: &'a Path,
        again: Option<&'a str>,
    ) -> BoxFuture<'a, io::Result<(Box<dyn Hub>, String)>> {
        Box::pin(async move {
            if again.is_some() {
                // The process that is gone left its socket's file.
                _ = std::fs::remove_file(socket);
            }
            let (router, endpoint) = match self {
                ZeroMq::Ipc => {
                    let endpoint = format!("ipc://{}", socket.display());
                    (Router::bind(&endpoint).await?, endpoint)
                }
                ZeroMq::Tcp => {
                    let port = again.and_then(|endpoint| endpoint.strip_prefix("tcp://"));
                    Router::behind_gate(port.unwrap_or("127.0.0.1:0"), socket).await?
                }
            };
            Ok((Box::new(router) as Box<dyn Hub>, endpoint))
        })
    }

    fn connect<'a>(&'a self, endpoint: &'a str, within: Duration) -> BoxFuture<'a, io::Result<Link>> {
        Box::pin(link::connect(endpoint, within))
    }
}

/// What `zeromq` says, as others say it.
fn error(error: zeromq::ZmqError) -> io::Error {
    match error {
        zeromq::ZmqError::Network(error) => error,
        zeromq::ZmqError::ConnectTimeout(_) => io::Error::new(io::ErrorKind::TimedOut, error.to_string()),
        other => io::Error::other(other.to_string()),
    }
}
