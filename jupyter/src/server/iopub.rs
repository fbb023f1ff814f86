//! Publishing: one task owns the publisher and everyone else hands it messages through a bounded queue.
//!
//! A new subscription is welcomed (JEP 65). A front end that doesn't read is disconnected in the end, which the others are
//! told.

use crate::content;
use crate::message::{Header, Message, Signer, random_id};
use bytes::Bytes;
use chorus_transport::{LIMIT, PATIENCE, Publisher};
use jupyter_protocol::ExecutionState;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Messages that wait for the socket before publishers have to.
const QUEUE: usize = 64;

/// While nobody has subscribed yet, this many messages are held ...
const HELD: usize = 1000;

/// ... for this long after the socket was bound: front ends connect the other sockets first.
const HOLD: Duration = Duration::from_secs(1);

/// Where a kernel's publications go. Cloned freely; the messages of one clone keep their order.
#[derive(Clone, Debug)]
pub struct IoPub {
    queue: mpsc::Sender<Job>,
    /// The session of the kernel, for messages that no request asked for.
    session: Arc<str>,
}

/// The publishing task is gone: the runtime that it ran on has ended.
#[derive(Debug, thiserror::Error)]
#[error("nothing can be published any more: the iopub socket is closed")]
pub struct PublishError;

#[derive(Debug)]
enum Job {
    Publish(Message),
    Flush(oneshot::Sender<()>),
}

impl IoPub {
    pub(super) fn start(publisher: Publisher, signer: Signer) -> IoPub {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let session: Arc<str> = random_id().into();
        tokio::spawn(
            Publishing { publisher, signer, session: session.clone(), held: VecDeque::new(), cell: None }.run(jobs),
        );
        IoPub { queue, session }
    }

    /// Publishes a message, and waits while readers are slow.
    pub async fn publish(&self, message: Message) -> Result<(), PublishError> {
        self.queue.send(Job::Publish(message)).await.map_err(|_| PublishError)
    }

    /// Publishes this content as belonging to the request with this header.
    pub async fn send(&self, parent: Option<&Header>, msg_type: &str, content: Value) -> Result<(), PublishError> {
        self.publish(Message::publication(parent, &self.session, msg_type, content)).await
    }

    /// Publishes what the kernel does.
    pub async fn status(&self, parent: Option<&Header>, state: ExecutionState) -> Result<(), PublishError> {
        self.send(parent, "status", content::status(&state)).await
    }

    /// The session that the kernel's own messages carry.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Waits until all that was published before has been handed to the system, but not for front ends that don't read.
    pub async fn flush(&self) -> Result<(), PublishError> {
        let (done, wait) = oneshot::channel();
        self.queue.send(Job::Flush(done)).await.map_err(|_| PublishError)?;
        wait.await.map_err(|_| PublishError)
    }
}

struct Publishing {
    publisher: Publisher,
    signer: Signer,
    session: Arc<str>,
    /// What waits for the first subscription.
    held: VecDeque<Job>,
    /// The request of the cell that runs, as far as was published.
    cell: Option<Header>,
}

impl Publishing {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let release_at = Instant::now() + HOLD;
        let mut holding = true;
        loop {
            tokio::select! {
                biased;
                topic = self.publisher.subscription() => {
                    self.welcome(topic).await;
                    self.release().await;
                    holding = false;
                }
                () = tokio::time::sleep_until(release_at), if holding => {
                    self.release().await;
                    holding = false;
                }
                job = jobs.recv(), if !holding || self.held.len() < HELD => match job {
                    Some(job) if holding => self.held.push_back(job),
                    Some(job) => self.carry_out(job).await,
                    None => return self.release().await,
                },
            }
        }
    }

    async fn release(&mut self) {
        while let Some(job) = self.held.pop_front() {
            self.carry_out(job).await;
        }
    }

    async fn welcome(&mut self, topic: Bytes) {
        let content = json!({"subscription": String::from_utf8_lossy(&topic)});
        let mut message = Message::publication(None, &self.session, "iopub_welcome", content);
        message.identities = vec![topic];
        self.carry_out(Job::Publish(message)).await;
    }

    async fn carry_out(&mut self, job: Job) {
        match job {
            Job::Publish(message) => {
                self.follow(&message);
                let dropped = self.publisher.publish(&message.encode(&self.signer)).await;
                if dropped > 0 {
                    self.tell_of_dropped(dropped).await;
                }
            }
            Job::Flush(done) => {
                self.publisher.flush().await;
                // Whoever waits for it may have given up.
                _ = done.send(());
            }
        }
    }

    /// Notes which cell runs.
    fn follow(&mut self, message: &Message) {
        match message.msg_type() {
            "execute_input" => self.cell = message.parent_header.clone(),
            "status" if message.content["execution_state"] == "idle" => {
                self.cell.take_if(|cell| message.parent_id() == Some(cell.msg_id()));
            }
            _ => {}
        }
    }

    /// Says in the log, and in the cell that runs, that front ends were disconnected.
    async fn tell_of_dropped(&mut self, dropped: usize) {
        let (seconds, size) = (PATIENCE.as_secs(), LIMIT >> 20);
        let text = format!(
            "Front ends disconnected: {dropped}. With {size} MiB of outputs waiting, nothing was read there for \
             {seconds} s. They can connect again, without what was shown meanwhile.\n"
        );
        tracing::warn!("{}", text.trim_end());
        let Some(cell) = &self.cell else { return };
        let notice = Message::publication(Some(cell), &self.session, "stream", content::stream("stderr", &text));
        // Should this drop another one, the log has to do.
        self.publisher.publish(&notice.encode(&self.signer)).await;
    }
}
