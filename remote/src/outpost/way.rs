//! The way from a host to the gateway.

use crate::invitation::Invitation;
use crate::stream::{HERE, Purpose, send};
use crate::tls::{Connector, TlsError};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::client::TlsStream;

/// A connection to the gateway.
pub type Stream = TlsStream<TcpStream>;

/// How long an address may take to answer.
const CONNECT: Duration = Duration::from_secs(4);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum WayError {
    /// Hosts answer, and nobody listens there.
    #[error("nobody listens at the controller's addresses: {0}")]
    Closed(String),
    /// Nobody answers.
    #[error("the controller can't be reached: {0}")]
    Unreachable(String),
    /// The gateway is there, and who is asked for isn't.
    #[error("whoever had it is gone")]
    Nobody,
}

/// Where the gateway is.
pub struct Way {
    addresses: Vec<SocketAddr>,
    connector: Connector,
    /// The address that was right the last time.
    known: parking_lot::Mutex<Option<SocketAddr>>,
}

impl Way {
    pub fn new(invitation: &Invitation) -> Result<Way, TlsError> {
        let connector = invitation.identity.connector()?;
        Ok(Way { addresses: invitation.addresses.clone(), connector, known: parking_lot::Mutex::default() })
    }

    /// Opens a connection for a purpose. All addresses are tried at once; one counts where the gateway shows its
    /// certificate, since others may have the same address elsewhere.
    pub async fn open(&self, purpose: &Purpose) -> Result<Stream, WayError> {
        let known = *self.known.lock();
        if let Some(address) = known
            && let Ok(stream) = self.try_one(address).await
        {
            return introduced(stream, purpose).await;
        }
        let mut tries: FuturesUnordered<_> =
            self.addresses.iter().map(|&address| async move { (address, self.try_one(address).await) }).collect();
        let mut failed = Vec::new();
        while let Some((address, tried)) = tries.next().await {
            match tried {
                Ok(stream) => {
                    *self.known.lock() = Some(address);
                    return introduced(stream, purpose).await;
                }
                Err(error) => failed.push((address, error)),
            }
        }
        Err(why(&failed))
    }

    async fn try_one(&self, address: SocketAddr) -> io::Result<Stream> {
        let tried = async {
            let stream = TcpStream::connect(address).await?;
            chorus_system::net::watch_over(&stream)?;
            self.connector.tls.connect(self.connector.name.clone(), stream).await
        };
        timeout(CONNECT, tried).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The same, tried again for so long.
    pub async fn open_within(&self, purpose: &Purpose, limit: Duration) -> Result<Stream, WayError> {
        let begun = Instant::now();
        loop {
            match self.open(purpose).await {
                Err(error @ (WayError::Closed(_) | WayError::Unreachable(_))) if begun.elapsed() < limit => {
                    tracing::debug!(%error, "looking for the gateway");
                    tokio::time::sleep(super::PAUSE).await;
                }
                opened => return opened,
            }
        }
    }
}

/// Why none of the addresses was right.
fn why(failed: &[(SocketAddr, io::Error)]) -> WayError {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    let others = || failed.iter().filter(|(address, _)| !address.ip().is_loopback());
    // This host's own loopback says nothing about the controller's host, unless there is nothing else.
    let closed = match others().count() {
        0 => failed.iter().any(|(_, error)| refused(error)),
        _ => others().any(|(_, error)| refused(error)) && others().all(|(_, error)| refused(error)),
    };
    let all: Vec<String> = failed.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    if closed { WayError::Closed(all.join("; ")) } else { WayError::Unreachable(all.join("; ")) }
}

/// Says what the connection is for, and hears whether that is there.
async fn introduced(mut stream: Stream, purpose: &Purpose) -> Result<Stream, WayError> {
    let answer = async {
        send(&mut stream, purpose).await?;
        stream.read_u8().await
    };
    match timeout(CONNECT, answer).await {
        Ok(Ok(HERE)) => Ok(stream),
        Ok(Ok(_)) => Err(WayError::Nobody),
        Ok(Err(error)) => Err(WayError::Unreachable(format!("the gateway ended the connection: {error}"))),
        Err(_) => Err(WayError::Unreachable("the gateway doesn't answer".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_port_is_told_from_a_host_that_cannot_be_reached() {
        let failed = |address: &str, kind: io::ErrorKind| (address.parse().unwrap(), io::Error::from(kind));
        use io::ErrorKind::{ConnectionRefused, TimedOut};
        let own = || failed("127.0.0.1:1", ConnectionRefused);
        assert!(matches!(why(&[failed("10.0.0.1:1", ConnectionRefused), own()]), WayError::Closed(_)));
        assert!(matches!(why(&[own()]), WayError::Closed(_)));
        assert!(matches!(why(&[failed("10.0.0.1:1", TimedOut), own()]), WayError::Unreachable(_)));
        let both = [failed("10.0.0.1:1", ConnectionRefused), failed("10.0.1.1:1", TimedOut)];
        assert!(matches!(why(&both), WayError::Unreachable(all) if all.contains("10.0.1.1:1")));
    }
}
