//! The client's side: connects to a kernel, sends requests, hands on what the kernel says.
//!
//! A kernel that dies is not noticed here (a ZeroMQ socket waits for it to come back): whoever started its process
//! watches that, and [`KernelClient::is_alive`] asks the heartbeat.

use crate::connection::ConnectionInfo;
use crate::content::ExecuteRequest;
use crate::message::{Message, Signer, random_id};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use zeromq::{
    DealerRecvHalf, DealerSendHalf, DealerSocket, Socket, SocketOptions, SocketRecv, SocketSend, SubSocket, ZmqError,
};

/// Publications that may wait for us before the kernel has to.
const QUEUE: usize = 1024;

/// How long a kernel has to answer the first `kernel_info_request` before it is asked again; later ones have longer.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// In order, one after the other.
    Shell,
    /// Overtakes shell.
    Control,
}

/// Why a kernel can't be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A socket can't be connected.
    #[error("the kernel's {socket} socket at {endpoint} can't be reached: {source}")]
    Connect {
        /// Which of the five.
        socket: &'static str,
        /// Where.
        endpoint: String,
        /// What the system said.
        source: ZmqError,
    },
    /// It didn't answer `kernel_info_request`, or its publications don't arrive.
    #[error("the kernel didn't get ready within {after:?}: {missing}")]
    NotReady {
        /// How long it had.
        after: Duration,
        /// What was waited for.
        missing: &'static str,
    },
    /// A request can't be sent.
    #[error("a {msg_type} can't be sent to the kernel: {source}")]
    Send {
        /// Which request.
        msg_type: String,
        /// What the system said.
        source: ZmqError,
    },
    /// The connection broke before the reply came.
    #[error("the connection to the kernel is lost")]
    Lost,
}

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Message>>>>;

/// A connection to a kernel that is ready.
pub struct KernelClient {
    /// What the kernel publishes, to any client. It must be read, or the kernel will wait in the end.
    pub iopub: mpsc::Receiver<Message>,
    /// The kernel's questions to our user, to be answered with [`KernelClient::answer_input`].
    pub stdin: mpsc::Receiver<Message>,
    session: String,
    signer: Signer,
    shell: DealerSendHalf,
    control: DealerSendHalf,
    stdin_sender: DealerSendHalf,
    heartbeat: (DealerSendHalf, DealerRecvHalf),
    waiting: Waiting,
    kernel_info: Value,
    /// Ends the reading tasks with the client.
    _readers: JoinSet<()>,
}

/// The reply to a request, once it comes. Dropping it gives the reply up.
#[derive(Debug)]
pub struct PendingReply {
    msg_id: String,
    reply: oneshot::Receiver<Message>,
}

impl PendingReply {
    /// The id of the request: what belongs to it has this as its parent.
    pub fn msg_id(&self) -> &str {
        &self.msg_id
    }
}

impl Future for PendingReply {
    type Output = Result<Message, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(context).map_err(|_| ClientError::Lost)
    }
}

impl KernelClient {
    /// Connects to a kernel that runs or is about to, and waits until it answers requests and its publications
    /// arrive, so that nothing of the first cell is missed.
    pub async fn connect(info: &ConnectionInfo, within: Duration) -> Result<KernelClient, ClientError> {
        let deadline = Instant::now() + within;
        let session = random_id();
        let signer = Signer::new(&info.key);
        let waiting = Waiting::default();
        let mut readers = JoinSet::new();

        let mut iopub_socket: SubSocket = connect("iopub", info.iopub_endpoint(), None, deadline).await?;
        iopub_socket.subscribe("").await.map_err(|source| ClientError::Connect {
            socket: "iopub",
            endpoint: info.iopub_endpoint(),
            source,
        })?;
        let (publications, iopub) = mpsc::channel(QUEUE);
        readers.spawn(forward(iopub_socket, signer.clone(), publications));

        // Shell and stdin share an identity: it is how a kernel finds whom to ask for input.
        let dealer = async |socket, endpoint| {
            let socket: DealerSocket = connect(socket, endpoint, Some(&session), deadline).await?;
            Ok::<_, ClientError>(socket.split())
        };
        let (shell, replies) = dealer("shell", info.shell_endpoint()).await?;
        readers.spawn(deliver(replies, signer.clone(), waiting.clone()));
        let (control, replies) = dealer("control", info.control_endpoint()).await?;
        readers.spawn(deliver(replies, signer.clone(), waiting.clone()));
        let (stdin_sender, questions) = dealer("stdin", info.stdin_endpoint()).await?;
        let (questions_sender, stdin) = mpsc::channel(QUEUE);
        readers.spawn(forward(questions, signer.clone(), questions_sender));
        let heartbeat = dealer("heartbeat", info.heartbeat_endpoint()).await?;

        let kernel_info = Value::Null;
        let mut client = KernelClient {
            iopub,
            stdin,
            session,
            signer,
            shell,
            control,
            stdin_sender,
            heartbeat,
            waiting,
            kernel_info,
            _readers: readers,
        };
        client.wait_until_ready(within, deadline).await?;
        Ok(client)
    }

    async fn wait_until_ready(&mut self, within: Duration, deadline: Instant) -> Result<(), ClientError> {
        let mut subscribed = false;
        let mut patience = ASK_AGAIN;
        loop {
            let ask_again = deadline.min(Instant::now() + patience);
            patience *= 2;
            let request = self.request(Channel::Shell, "kernel_info_request", json!({})).await?;
            if let Ok(reply) = timeout_at(ask_again, request).await {
                self.kernel_info = reply?.content;
            }
            // Any publication proves the subscription: a welcome, or the states around this very request.
            if !subscribed {
                subscribed = matches!(timeout_at(ask_again, self.iopub.recv()).await, Ok(Some(_)));
            }
            let missing = match (&self.kernel_info, subscribed) {
                (Value::Null, _) => "it doesn't answer kernel_info_request",
                (_, false) => "nothing that it publishes arrives",
                _ => return Ok(()),
            };
            if Instant::now() >= deadline {
                return Err(ClientError::NotReady { after: within, missing });
            }
        }
    }

    /// The session in our messages' headers.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The content of the kernel's `kernel_info_reply`.
    pub fn kernel_info(&self) -> &Value {
        &self.kernel_info
    }

    /// Sends a request; the result is its reply, when awaited.
    pub async fn request(
        &mut self,
        channel: Channel,
        msg_type: &str,
        content: Value,
    ) -> Result<PendingReply, ClientError> {
        let message = Message::new(msg_type, &self.session, content);
        self.request_message(channel, message).await
    }

    /// Sends a request that the caller made, with a subshell in its header or with buffers.
    pub async fn request_message(&mut self, channel: Channel, message: Message) -> Result<PendingReply, ClientError> {
        let msg_id = message.msg_id().to_owned();
        let (sender, reply) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            waiting.retain(|_, sender| !sender.is_closed());
            waiting.insert(msg_id.clone(), sender);
        }
        let socket = match channel {
            Channel::Shell => &mut self.shell,
            Channel::Control => &mut self.control,
        };
        send_frames(socket, message.encode(&self.signer))
            .await
            .map_err(|source| ClientError::Send { msg_type: message.msg_type().to_owned(), source })?;
        Ok(PendingReply { msg_id, reply })
    }

    /// Runs a cell; its outputs come through `iopub`, up to the status `idle` with the request as its parent.
    pub async fn execute(&mut self, request: &ExecuteRequest) -> Result<PendingReply, ClientError> {
        let content = serde_json::to_value(request).unwrap_or_default();
        self.request(Channel::Shell, "execute_request", content).await
    }

    /// Answers an `input_request` that came through `stdin`.
    pub async fn answer_input(&mut self, request: &Message, value: &str) -> Result<(), ClientError> {
        let mut reply = Message::new("input_reply", &self.session, json!({"value": value}));
        reply.parent_header = Some(request.header.clone());
        send_frames(&mut self.stdin_sender, reply.encode(&self.signer))
            .await
            .map_err(|source| ClientError::Send { msg_type: "input_reply".into(), source })
    }

    /// Whether the kernel's heartbeat answers within this time.
    pub async fn is_alive(&mut self, within: Duration) -> bool {
        // The empty frame is what a REQ socket would send first; the nonce tells this beat from a late earlier one.
        let nonce = Bytes::from(random_id());
        let (sender, receiver) = &mut self.heartbeat;
        let beat = async {
            send_frames(sender, vec![Bytes::new(), nonce.clone()]).await.ok()?;
            while receiver.recv().await.ok()?.iter().last() != Some(&nonce) {}
            Some(())
        };
        matches!(timeout(within, beat).await, Ok(Some(())))
    }
}

async fn connect<S: Socket>(
    name: &'static str,
    endpoint: String,
    identity: Option<&str>,
    deadline: Instant,
) -> Result<S, ClientError> {
    let mut options = SocketOptions::default();
    if let Some(identity) = identity.and_then(|identity| identity.parse().ok()) {
        options.peer_identity(identity);
    }
    let left = deadline.saturating_duration_since(Instant::now());
    options.connect_timeout(left);
    let mut socket = S::with_options(options);
    let failed = |source| ClientError::Connect { socket: name, endpoint: endpoint.clone(), source };
    if !wait_for_listener(&endpoint, deadline).await {
        return Err(failed(ZmqError::ConnectTimeout(left)));
    }
    socket.connect(&endpoint).await.map_err(failed)?;
    Ok(socket)
}

/// Waits until something listens there. zmq.rs waits too, but longer each time, and a kernel starts in no time.
async fn wait_for_listener(endpoint: &str, deadline: Instant) -> bool {
    loop {
        let listens = match endpoint.split_once("://") {
            Some(("ipc", path)) => tokio::net::UnixStream::connect(path).await.is_ok(),
            Some((_, address)) => tokio::net::TcpStream::connect(address).await.is_ok(),
            None => true,
        };
        if listens || Instant::now() >= deadline {
            return listens;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Reads replies and gives each to the request that waits for it.
async fn deliver(mut socket: DealerRecvHalf, signer: Signer, waiting: Waiting) {
    while let Some(message) = receive(&mut socket, &signer).await {
        let mut waiting = waiting.lock();
        let sender = message.parent_id().and_then(|id| waiting.remove(id));
        // A reply that nobody waits for any more is dropped.
        if let Some(sender) = sender {
            let _ = sender.send(message);
        }
    }
    // Requests still open learn that the connection is lost.
    waiting.lock().clear();
}

async fn forward(mut socket: impl SocketRecv, signer: Signer, to: mpsc::Sender<Message>) {
    while let Some(message) = receive(&mut socket, &signer).await {
        if to.send(message).await.is_err() {
            return;
        }
    }
}

/// The next message; `None` when the connection is gone.
async fn receive(socket: &mut impl SocketRecv, signer: &Signer) -> Option<Message> {
    loop {
        let frames = match socket.recv().await {
            Ok(frames) => frames.into_vec(),
            Err(error) => {
                tracing::debug!(%error, "a socket to the kernel broke");
                return None;
            }
        };
        match Message::decode(&frames, signer) {
            Ok(message) => return Some(message),
            Err(error) => tracing::warn!(%error, "dropped what isn't a message"),
        }
    }
}

async fn send_frames(socket: &mut impl SocketSend, frames: Vec<Bytes>) -> Result<(), ZmqError> {
    match frames.try_into() {
        Ok(message) => socket.send(message).await,
        // A message always has frames.
        Err(_) => Ok(()),
    }
}
