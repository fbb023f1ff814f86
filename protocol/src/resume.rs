//! What lets the way between a controller and an engine outlive its connections, and the controller's process: both
//! ends number the messages that must not be lost, keep each until the other end has it, and send again over the next
//! connection what it hasn't. So every such message is dealt with once. Clients number theirs in the same way; what they
//! are told is numbered by session, see [`FromClient::Resume`].

use crate::message::{FromClient, FromEngine, ToEngine};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How many messages may be dealt with before the other end is told of it: it keeps them until then.
pub const CONFIRM: u64 = 64;

/// Where an engine stands, said when it registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// A random number of the engine's process: whoever has the same goes on where it was.
    pub life: u64,
    /// Whether it was registered before, over another connection.
    pub returns: bool,
    /// How many numbered messages of the controller it has dealt with.
    pub received: u64,
}

/// Messages that the other end may not have yet, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox<M> {
    /// How many came before those, which the other end has.
    confirmed: u64,
    kept: VecDeque<M>,
}

impl<M> Default for Outbox<M> {
    fn default() -> Self {
        Outbox { confirmed: 0, kept: VecDeque::new() }
    }
}

impl<M> Outbox<M> {
    /// Keeps the next message.
    pub fn push(&mut self, message: M) {
        self.kept.push_back(message);
    }

    /// The other end has dealt with the first `count` messages, counted from the beginning.
    pub fn confirm(&mut self, count: u64) {
        while self.confirmed < count && self.kept.pop_front().is_some() {
            self.confirmed += 1;
        }
    }

    /// Takes out what the other end lacks, which has the first `received` messages; it is to be pushed again as it is
    /// sent again. `None` if what it lacks isn't there any more, or was never sent.
    pub fn take(&mut self, received: u64) -> Option<VecDeque<M>> {
        self.confirm(received);
        (self.confirmed == received).then(|| std::mem::take(&mut self.kept))
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether the other end has everything.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl FromEngine {
    /// Whether it has a number. Others are said again by themselves, or mean nothing over another connection.
    pub fn is_numbered(&self) -> bool {
        match self {
            FromEngine::Run { .. }
            | FromEngine::WorkerLost { .. }
            | FromEngine::MapReady { .. }
            | FromEngine::Result { .. }
            | FromEngine::Joined { .. }
            | FromEngine::Holds { .. } => true,
            FromEngine::Register { .. }
            | FromEngine::Heartbeat
            | FromEngine::NeedBlob(_)
            | FromEngine::Received(_)
            | FromEngine::Metrics(_)
            | FromEngine::Goodbye => false,
        }
    }
}

impl FromClient {
    /// See [`FromEngine::is_numbered`].
    pub fn is_numbered(&self) -> bool {
        match self {
            FromClient::OpenSession(_)
            | FromClient::CloseSession(_)
            | FromClient::PutBlob { .. }
            | FromClient::DropBlob { .. }
            | FromClient::Run { .. }
            | FromClient::Ack { .. }
            | FromClient::Interrupt { .. }
            | FromClient::EndRun { .. }
            | FromClient::OpenMap { .. }
            | FromClient::CloseMap { .. }
            | FromClient::RestMap { .. }
            | FromClient::SubmitTask { .. }
            | FromClient::SubmitTogether { .. }
            | FromClient::CancelTask { .. }
            | FromClient::ForgetTask { .. }
            | FromClient::Compiled { .. }
            | FromClient::Holds { .. }
            | FromClient::Prepare { .. }
            | FromClient::RestartSession { .. } => true,
            FromClient::Hello { .. }
            | FromClient::Ping
            | FromClient::Status
            | FromClient::Shutdown
            | FromClient::Goodbye
            | FromClient::Resume { .. }
            | FromClient::FollowLog(_)
            | FromClient::LeaveLog
            | FromClient::Steer { .. }
            | FromClient::Received { .. } => false,
        }
    }
}

impl ToEngine {
    /// See [`FromEngine::is_numbered`].
    pub fn is_numbered(&self) -> bool {
        match self {
            ToEngine::Run { .. }
            | ToEngine::MemberLeft { .. }
            | ToEngine::DropBlob(_)
            | ToEngine::Ack { .. }
            | ToEngine::Interrupt { .. }
            | ToEngine::MapWork { .. }
            | ToEngine::MapEnd { .. }
            | ToEngine::EndRun { .. }
            | ToEngine::OpenSession(_)
            | ToEngine::RestartSession(_)
            | ToEngine::InterruptAll(_)
            | ToEngine::RestartAll
            | ToEngine::CloseSession(_) => true,
            ToEngine::Registered { .. }
            | ToEngine::Refused(_)
            | ToEngine::Heartbeat
            | ToEngine::Received(_)
            | ToEngine::Blob { .. }
            | ToEngine::Shutdown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_the_other_end_cannot_have_is_found_out() {
        let mut outbox = Outbox::default();
        outbox.push('a');
        outbox.push('b');
        outbox.confirm(1);
        assert_eq!(outbox.take(0), None, "it had one more before");
        assert_eq!(outbox.take(3), None, "it has one that was never sent");
    }

    proptest! {
        /// However connections break, the other end deals with each message once, in order.
        #[test]
        fn each_message_arrives_once(steps in proptest::collection::vec((0..5u8, 0..4usize), 0..60)) {
            let (mut outbox, mut wire, mut sent, mut dealt_with) = (Outbox::default(), VecDeque::new(), 0, Vec::new());
            for (step, count) in steps {
                match step {
                    0 | 1 => {
                        outbox.push(sent);
                        wire.push_back(sent);
                        sent += 1;
                    }
                    2 => dealt_with.extend((0..count).map_while(|_| wire.pop_front())),
                    3 => outbox.confirm(dealt_with.len().saturating_sub(count) as u64),
                    _ => {
                        wire.clear();
                        for message in outbox.take(dealt_with.len() as u64).expect("both ends are honest") {
                            outbox.push(message);
                            wire.push_back(message);
                        }
                    }
                }
            }
            dealt_with.extend(wire);
            prop_assert_eq!(dealt_with, (0..sent).collect::<Vec<_>>());
        }
    }
}
