//! The controller's end: one port for all hosts that were invited.

use crate::deputies::Office;
use crate::invitation::{Hidden, Invitation};
use crate::rooms::{Files, lent_at, serve};
use crate::stream::{HERE, NOBODY, Purpose, receive};
use crate::tls::{Authority, TlsError};
use crate::{Hello, LEASE};
use chorus_protocol::Key;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a connection may take to say who it is and what it is for.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// So many may be at that at once; others wait in the system's line.
const INTRODUCTIONS: usize = 64;

/// What a gateway is to be.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// The cluster's name.
    pub cluster: String,
    /// Signs the messages of engines.
    pub key: Key,
    /// Where the controller listens for engines, as in its connection file.
    pub engines: String,
    /// The controller's folder of blobs and results.
    pub blobs: PathBuf,
    /// Where kernels of this host listen that have rooms: see [`rooms_socket`].
    pub folder: PathBuf,
    /// The program of this host's engines and its first arguments: it is also the deputies.
    pub program: (PathBuf, Vec<OsString>),
    /// Ports to try; any free one if there are none.
    pub ports: Option<(u16, u16)>,
    /// Whether another controller may be started in the place of this one when it is killed.
    pub may_return: bool,
    /// What an earlier gateway has left, in whose place this one is.
    pub again: Option<Kept>,
}

/// What a gateway must have again, so that its hosts find it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    authority: Authority,
    port: u16,
}

/// An outpost that has connected.
#[derive(Debug)]
pub struct Arrival {
    /// What it said.
    pub hello: Hello,
    /// The way to it and from it.
    pub stream: TlsStream<TcpStream>,
}

/// A port at which invited hosts connect. Dropping it closes the port and all connections but those of outposts, which
/// belong to whoever took their arrivals.
#[derive(Debug)]
pub struct Gateway {
    config: GatewayConfig,
    authority: Authority,
    port: u16,
    office: Arc<Office>,
    task: AbortHandle,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where a kernel listens that has rooms, for hosts of the cluster with this folder. `kernel` is in its rooms' names.
pub fn rooms_socket(folder: &Path, kernel: &str) -> PathBuf {
    folder.join(format!("rooms-{kernel}"))
}

impl Gateway {
    /// Opens the port, and hands on the outposts that come.
    pub async fn open(config: GatewayConfig, arrivals: mpsc::UnboundedSender<Arrival>) -> io::Result<Gateway> {
        let authority = match &config.again {
            Some(kept) => kept.authority.clone(),
            None => Authority::new().map_err(io::Error::other)?,
        };
        let acceptor = authority.gateway().and_then(|it| it.acceptor()).map_err(io::Error::other)?;
        let listener = listen(&config).await?;
        let port = listener.local_addr()?.port();
        let socket = config.folder.join("deputies");
        let office = Arc::new(Office::new(config.program.clone(), socket, config.blobs.clone()));
        let local = Arc::new(Local {
            office: Arc::clone(&office),
            engines: config.engines.clone(),
            folder: config.folder.clone(),
            files: Files::of(config.blobs.clone()),
            arrivals,
        });
        let task = tokio::spawn(accept(listener, acceptor, local)).abort_handle();
        Ok(Gateway { config, authority, port, office, task })
    }

    /// What another one needs to take its place.
    pub fn keep(&self) -> Kept {
        Kept { authority: self.authority.clone(), port: self.port }
    }

    /// A member of this group has left it, and whoever may wait for it can't be told by an engine of this host. `why` is as in
    /// [`px::group::leave`].
    pub fn member_left(&self, group: String, members: usize, rank: usize, why: Option<String>) {
        let office = Arc::clone(&self.office);
        tokio::spawn(async move { office.member_left(&group, members, rank, why).await });
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// For the host in this place, whose engines are called `label`; `program` is the hash of what was sent there.
    pub fn invite(&self, place: u32, label: Option<String>, program: Option<String>) -> Result<Invitation, TlsError> {
        let addresses = chorus_system::net::addresses();
        // Loopback last: where it leads somewhere, it is this host or a tunnel.
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let addresses = addresses.into_iter().filter(|it| !it.is_loopback()).chain([loopback]);
        Ok(Invitation {
            version: chorus_protocol::VERSION,
            cluster: self.config.cluster.clone(),
            place,
            addresses: addresses.map(|address| SocketAddr::new(address, self.port)).collect(),
            lease: LEASE.as_secs() as u32,
            may_return: self.config.may_return,
            blobs: self.config.blobs.clone(),
            label,
            program,
            identity: self.authority.outpost()?,
            key: Hidden::of(&self.config.key),
        })
    }
}

/// How often to try a port again that an earlier controller had, and how long to wait in between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

async fn listen(config: &GatewayConfig) -> io::Result<TcpListener> {
    if let Some(kept) = &config.again {
        let mut tries = 0;
        loop {
            match chorus_system::net::listen(kept.port) {
                Ok(listener) => return TcpListener::from_std(listener),
                Err(_) if tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    let (first, last) = config.ports.unwrap_or((0, 0));
    let mut failed = None;
    for port in first..=last {
        match chorus_system::net::listen(port) {
            Ok(listener) => return TcpListener::from_std(listener),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::other("there is no port in that range")))
}

/// What connections are led to.
struct Local {
    office: Arc<Office>,
    engines: String,
    folder: PathBuf,
    files: Files,
    arrivals: mpsc::UnboundedSender<Arrival>,
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, local: Arc<Local>) {
    let introductions = Arc::new(Semaphore::new(INTRODUCTIONS));
    // They end with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&introductions).acquire_owned().await else { return };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, or the peer has gone: the next may be better.
                    tracing::warn!(%error, "a connection can't be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let (acceptor, local) = (acceptor.clone(), Arc::clone(&local));
        connections.spawn(async move {
            let introduced = timeout(INTRODUCTION, introduce(stream, &acceptor)).await;
            drop(permit);
            match introduced {
                Ok(Ok((stream, purpose))) => {
                    if let Err(error) = lead(stream, purpose, &local).await {
                        tracing::debug!(%error, "a host's connection has ended");
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "somebody connected who wasn't invited, or has left"),
                Err(_) => tracing::debug!("somebody connected and said nothing"),
            }
        });
    }
}

async fn introduce(stream: TcpStream, acceptor: &TlsAcceptor) -> io::Result<(TlsStream<TcpStream>, Purpose)> {
    chorus_system::net::watch_over(&stream)?;
    let mut stream = acceptor.accept(stream).await?;
    let purpose = receive(&mut stream).await?;
    Ok((stream, purpose))
}

async fn lead(mut stream: TlsStream<TcpStream>, purpose: Purpose, local: &Local) -> io::Result<()> {
    match purpose {
        Purpose::Outpost(hello) => {
            answer(&mut stream, HERE).await?;
            _ = local.arrivals.send(Arrival { hello, stream });
            Ok(())
        }
        Purpose::Files => {
            answer(&mut stream, HERE).await?;
            serve(stream, &local.files).await
        }
        Purpose::Rooms(kernel) => {
            let is_one = !kernel.is_empty() && kernel.len() <= 32 && kernel.chars().all(|c| c.is_ascii_hexdigit());
            if !is_one {
                return join(stream, None::<UnixStream>).await;
            }
            let socket = rooms_socket(&local.folder, &kernel);
            match lent_at(&socket) {
                Some(store) => {
                    answer(&mut stream, HERE).await?;
                    serve(stream, &*store).await
                }
                None => join(stream, UnixStream::connect(socket).await.ok()).await,
            }
        }
        Purpose::Group => {
            let there = local.office.connect().await;
            if let Err(error) = &there {
                tracing::error!(%error, "engines of other hosts can't take part in groups");
            }
            join(stream, there.ok()).await
        }
        Purpose::Engine => match local.engines.split_once("://") {
            Some(("ipc", path)) => join(stream, UnixStream::connect(path).await.ok()).await,
            Some(("tcp", address)) => join(stream, TcpStream::connect(address).await.ok()).await,
            _ => join(stream, None::<UnixStream>).await,
        },
    }
}

async fn answer(stream: &mut TlsStream<TcpStream>, what: u8) -> io::Result<()> {
    stream.write_u8(what).await?;
    stream.flush().await
}

/// Carries bytes both ways until one end closes.
async fn join<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut stream: TlsStream<TcpStream>,
    there: Option<S>,
) -> io::Result<()> {
    let Some(mut there) = there else { return answer(&mut stream, NOBODY).await };
    answer(&mut stream, HERE).await?;
    tokio::io::copy_bidirectional_with_sizes(&mut stream, &mut there, crate::outpost::BUFFER, crate::outpost::BUFFER)
        .await
        .map(drop)
}
