//! The kernel's side: the five sockets, bound where the connection file says.
//!
//! Requests that aren't signed or aren't messages are dropped and logged, never answered. A front end that reads slowly
//! makes the publisher wait; one that doesn't read at all is disconnected.

use crate::connection::{ConnectionInfo, Transport};
use crate::message::{Message, MessageError, Signer};
use chorus_transport::{Arrival, PeerId, Publisher, Router, RouterSender};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

mod iopub;
pub use iopub::{IoPub, PublishError};

/// How long a kernel should wait, after its last reply and before it drops its sockets, for that reply to leave.
///
/// The sockets write replies in the background and have no way to say when that is done. What is published has:
/// [`IoPub::flush`].
pub const LINGER: Duration = Duration::from_millis(100);

/// Why a socket couldn't be bound.
#[derive(Debug, thiserror::Error)]
#[error("the {socket} socket can't be bound to {endpoint}: {source}. Is another kernel using this connection file?")]
pub struct BindError {
    /// Which of the five.
    pub socket: &'static str,
    /// Where.
    pub endpoint: String,
    /// What the system said.
    pub source: io::Error,
}

/// The kernel's sockets. Heartbeats are answered without further ado for as long as the runtime lives.
#[derive(Debug)]
pub struct KernelSockets {
    /// Requests, and where their replies go.
    pub shell: (Receiver, Sender),
    /// Requests that overtake those on shell: interrupt, shutdown, subshells.
    pub control: (Receiver, Sender),
    /// Answers to `input_request`, and where to send those.
    pub stdin: (Receiver, Sender),
    /// Outputs and states, to everyone.
    pub iopub: IoPub,
}

impl KernelSockets {
    /// Binds all five sockets, and starts the tasks that answer heartbeats and publish. What comes from ports passes through
    /// sockets in `folder`, which nobody but its user can open and no other kernel has.
    pub async fn bind(info: &ConnectionInfo, folder: &Path) -> Result<KernelSockets, BindError> {
        let signer = Signer::new(&info.key);
        let endpoint = info.iopub_endpoint();
        let iopub = bind("iopub", info, &endpoint, Publisher::bind(&endpoint)).await?;
        let router = async |socket, endpoint: String| {
            let binding = async {
                let Some(port) = endpoint.strip_prefix("tcp://") else { return Router::bind(&endpoint).await };
                let inside = folder.join(format!("{socket}.sock"));
                remove_stale_socket(&inside);
                Ok(Router::behind_gate(port, &inside).await?.0)
            };
            bind(socket, info, &endpoint, binding).await
        };
        tokio::spawn(echo(router("heartbeat", info.heartbeat_endpoint()).await?));
        Ok(KernelSockets {
            control: channel("control", router("control", info.control_endpoint()).await?, &signer),
            stdin: channel("stdin", router("stdin", info.stdin_endpoint()).await?, &signer),
            // Last: a client that reaches shell reaches the others too.
            shell: channel("shell", router("shell", info.shell_endpoint()).await?, &signer),
            iopub: IoPub::start(iopub, signer),
        })
    }
}

async fn bind<S>(
    socket: &'static str,
    info: &ConnectionInfo,
    endpoint: &str,
    binding: impl Future<Output = io::Result<S>>,
) -> Result<S, BindError> {
    if let (Transport::Ipc, Some(path)) = (info.transport, endpoint.strip_prefix("ipc://")) {
        remove_stale_socket(Path::new(path));
    }
    binding.await.map_err(|source| BindError { socket, endpoint: endpoint.to_owned(), source })
}

/// A killed kernel leaves its sockets' files behind, and Jupyter restarts it with the same connection file.
fn remove_stale_socket(path: &Path) {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        // When this fails, so does the bind that follows, with an error that names the path.
        let _ = std::fs::remove_file(path);
    }
}

async fn echo(mut router: Router) {
    let replies = router.sender();
    loop {
        match router.arrival().await {
            // To one who is gone, it isn't sent.
            Arrival::Message(peer, beat) => _ = replies.send(&peer, beat).await,
            Arrival::Disconnected(_) | Arrival::Rubbish => {}
            Arrival::Broken(error) => {
                tracing::warn!(%error, "the heartbeat socket is closed");
                return;
            }
        }
    }
}

fn channel(name: &'static str, router: Router, signer: &Signer) -> (Receiver, Sender) {
    let sender = router.sender();
    (Receiver { name, router, signer: signer.clone() }, Sender { name, router: sender, signer: signer.clone() })
}

/// Where a socket's requests come from.
pub struct Receiver {
    name: &'static str,
    router: Router,
    signer: Signer,
}

impl Receiver {
    /// The next request; `None` when the socket is closed.
    ///
    /// A request whose content isn't JSON comes with `null` for its content, so that it can be answered with an
    /// error. Dropping the future loses no request.
    pub async fn recv(&mut self) -> Option<Message> {
        loop {
            let frames = match self.router.arrival().await {
                Arrival::Message(peer, mut frames) => {
                    frames.insert(0, peer.0);
                    frames
                }
                Arrival::Disconnected(_) | Arrival::Rubbish => continue,
                Arrival::Broken(error) => {
                    tracing::debug!(socket = self.name, %error, "closed");
                    return None;
                }
            };
            match Message::decode(&frames, &self.signer) {
                Ok(message) => return Some(message),
                Err(MessageError::Content { message, source }) => {
                    tracing::warn!(socket = self.name, msg_type = message.msg_type(), %source, "content isn't JSON");
                    return Some(*message);
                }
                Err(error) => tracing::warn!(socket = self.name, %error, "dropped what isn't a message"),
            }
        }
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Receiver({})", self.name)
    }
}

/// Where a socket's replies go. Cloned freely; clones may send at the same time.
#[derive(Clone)]
pub struct Sender {
    name: &'static str,
    router: RouterSender,
    signer: Signer,
}

impl Sender {
    /// Sends a message to the client that its identities name. A client that is gone is no error: it wants no reply.
    pub async fn send(&self, message: Message) {
        let mut frames = message.encode(&self.signer);
        // A message that answers nobody goes to nobody.
        let peer = PeerId(frames.remove(0));
        if !self.router.send(&peer, frames).await {
            tracing::debug!(socket = self.name, msg_type = message.msg_type(), "not delivered");
        }
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sender({})", self.name)
    }
}
