//! What a supervisor, its worker and the worker's keeper say to each other over their sockets, as messages of
//! [`chorus_protocol::stream`]. Pure but for [`read`] and [`write`], which the worker uses.

use bytes::{Buf, BytesMut};
use chorus_protocol::{Death, Entry, NoSnapshot, Panic, SnapshotPolicy, Taken, Took, Variables, stream};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// No message is longer: a longer one means that a cell wrote to its worker's socket.
pub const MESSAGE_MAX: usize = 2 << 20;

/// From the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToWorker {
    /// Load an object and call it.
    Load {
        /// Libraries to load first, once each.
        preload: Vec<PathBuf>,
        /// The object.
        object: PathBuf,
        /// What to call.
        entry: Entry,
        /// What it is given besides.
        argument: Vec<u8>,
        /// What it is told of its group.
        group: Vec<u8>,
        /// `px::rank()`.
        rank: u32,
        /// `px::size()`.
        size: u32,
        /// When to keep a snapshot, from now on.
        snapshots: SnapshotPolicy,
    },
    /// What [`FromWorker::Ask`] of this ticket wanted to know.
    Answer {
        /// The question's.
        ticket: u64,
        /// An encoded [`px::link::Answer`].
        #[serde(with = "serde_bytes")]
        answer: Vec<u8>,
    },
    /// Say which environment cells have. The answer is [`FromWorker::Environment`].
    TellEnvironment,
    /// Say what the variables take, even if that was said. It is dealt with in its turn among the runs.
    TellVariables,
    /// The end of the last run was heard, and there is nothing to do: take the next snapshot, and say what the variables
    /// take.
    Freeze,
}

/// From the worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromWorker {
    /// It is set up, or has been thawed, and waits for work.
    Ready {
        /// Its process id, which is also its group's.
        pid: u32,
    },
    /// What carries on when the worker dies before the end of its next run.
    Snapshot(Result<Frozen, NoSnapshot>),
    /// So many bytes that it shared with the snapshot are its own by now.
    Ahead(u64),
    /// The object is loaded; its entry is called now.
    Started,
    /// A thread panicked.
    Panic(Panic),
    /// A cell wants to know something, and one of its threads waits for the answer.
    Ask {
        /// Unique among the worker's, and among those of its predecessors.
        ticket: u64,
        /// An encoded [`px::link::Ask`].
        #[serde(with = "serde_bytes")]
        ask: Vec<u8>,
    },
    /// The entry returned.
    Done {
        /// Between call and return.
        took: Took,
        /// Whether it has failed in a way that is to leave the variables as they were.
        failed: bool,
        /// A snapshot of after the run, which is there as soon as this is told. Until then the older one counts.
        snapshot: Option<Frozen>,
    },
    /// The object couldn't be loaded; nothing was called.
    LoadFailed(String),
    /// What the cells' variables take, since that has changed, or was asked for.
    Variables(Variables),
    /// All variables of its environment.
    Environment(Vec<(OsString, OsString)>),
}

/// A copy of the worker that waits to be thawed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// Its process id, which is also its group's.
    pub pid: u32,
    /// What is told of it.
    pub taken: Taken,
}

/// To the keeper. The end of the socket is the order to end everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToKeeper {
    /// The supervisor is done with the worker that died; this copy is the worker now.
    Adopt(u32),
}

/// From the keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromKeeper {
    /// The worker died, and its group was killed. Its number stays its own until the answer.
    Died(Death),
    /// The copy is alive and counts as the worker.
    Adopted,
}

/// Encodes a message with its length.
pub fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    stream::encode(message, MESSAGE_MAX)
}

/// Reads one message; blocks.
pub fn read<M: DeserializeOwned>(from: &mut impl Read) -> io::Result<M> {
    stream::read(from, MESSAGE_MAX)
}

/// Writes one message; blocks.
pub fn write(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    to.write_all(&encode(message)?)
}

/// Cuts received bytes into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    held: BytesMut,
}

impl Decoder {
    /// Takes received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    pub fn next<M: DeserializeOwned>(&mut self) -> io::Result<Option<M>> {
        let Some((head, rest)) = self.held.split_first_chunk::<4>() else { return Ok(None) };
        let length = stream::length(*head, MESSAGE_MAX)?;
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = stream::decode(body)?;
        self.held.advance(4 + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn too_long_is_an_error_on_both_sides() {
        assert!(encode(&FromWorker::LoadFailed("x".repeat(MESSAGE_MAX))).is_err());
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(decoder.next::<FromWorker>().is_err());
    }

    #[test]
    fn a_buffer_full_of_small_messages_is_cut_in_linear_time() {
        let message = encode(&FromKeeper::Adopted).unwrap();
        let cut = |count: usize| {
            let mut decoder = Decoder::default();
            decoder.push(&message.repeat(count));
            let begin = std::time::Instant::now();
            let mut seen = 0;
            while let Some(FromKeeper::Adopted) = decoder.next().unwrap() {
                seen += 1;
            }
            assert_eq!(seen, count);
            begin.elapsed()
        };
        // 64 times as many took 4096 times as long when each message moved all that were behind it.
        let (few, many) = (cut(10_000).max(std::time::Duration::from_millis(1)), cut(640_000));
        assert!(many < few * 640, "{few:?} for 10,000 messages, {many:?} for 640,000");
    }

    proptest! {
        #[test]
        fn messages_come_back_however_they_are_cut(texts in proptest::collection::vec(".*", 0..5), size in 1..50usize) {
            let messages: Vec<FromWorker> = texts.into_iter().map(FromWorker::LoadFailed).collect();
            let bytes: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
            let mut decoder = Decoder::default();
            let mut back = Vec::new();
            for piece in bytes.chunks(size) {
                decoder.push(piece);
                while let Some(message) = decoder.next::<FromWorker>().unwrap() {
                    back.push(message);
                }
            }
            prop_assert_eq!(&back, &messages);
            let mut reader = bytes.as_slice();
            for message in messages {
                prop_assert_eq!(read::<FromWorker>(&mut reader).unwrap(), message);
            }
        }

        #[test]
        fn rubbish_is_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next::<FromWorker>() {}
        }
    }
}
