//! The way in from a port: carries connections to a socket of our own, and looks at nothing but lengths.
//!
//! Any user of the host can connect to a port, and `zeromq` makes room for whatever length a frame announces, before
//! anybody could ask for a signature: one announcement of 2^62 bytes would abort the process. So what comes from a port
//! passes here first. Sockets in a private folder don't need it, since only its user reaches them.

use crate::accept::Accepting;
use std::io;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc::UnboundedSender;

/// The longest message, all its frames together.
const MESSAGE: u64 = 1 << 30;

/// An open port. Dropping it closes the port and all its connections.
pub(crate) struct Gate {
    _port: Accepting,
}

impl Gate {
    /// Carries connections from a port to the socket at `target`, until their end or until they announce too much, which
    /// `refused` hears. Returns the endpoint too.
    pub async fn open(port: &str, target: PathBuf, refused: UnboundedSender<()>) -> io::Result<(Gate, String)> {
        let listener = TcpListener::bind(port).await?;
        let endpoint = format!("tcp://{}", listener.local_addr()?);
        let carry = move |stream| {
            let (carried, refused) = (carry(stream, target.clone()), refused.clone());
            async move {
                let ended = carried.await;
                if ended.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
                    _ = refused.send(());
                }
                ended
            }
        };
        Ok((Gate { _port: Accepting::start(listener, carry) }, endpoint))
    }
}

async fn carry(outside: TcpStream, target: PathBuf) -> io::Result<()> {
    outside.set_nodelay(true)?;
    let (mut from_peer, mut to_peer) = outside.into_split();
    let (mut from_socket, mut to_socket) = UnixStream::connect(target).await?.into_split();
    let inward = async {
        let mut lengths = Lengths::Greeting(GREETING);
        let mut message = 0;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from_peer.read(&mut buffer).await?;
            let bytes = buffer.get(..length).unwrap_or_default();
            if bytes.is_empty() {
                // What was said is read before that is noticed.
                return to_socket.shutdown().await;
            }
            lengths = lengths.pass(bytes, &mut message).ok_or(io::ErrorKind::InvalidData)?;
            to_socket.write_all(bytes).await?;
        }
    };
    let outward = async { tokio::io::copy(&mut from_socket, &mut to_peer).await.map(drop) };
    tokio::pin!(outward);
    tokio::select! { ended = inward => ended?, ended = &mut outward => return ended }
    outward.await
}

/// A ZMTP connection begins with so many bytes.
const GREETING: u64 = 64;

/// Where in a ZMTP stream we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lengths {
    /// So many bytes are left of the greeting.
    Greeting(u64),
    Flags,
    /// So many bytes of a frame's length are still to come.
    Length {
        left: u8,
        length: u64,
        more: bool,
    },
    /// So many bytes are left of the frame.
    Body {
        left: u64,
        more: bool,
    },
}

impl Lengths {
    /// Goes on by `bytes`; `message` counts the message under way. `None` when that announces too much.
    fn pass(mut self, mut bytes: &[u8], message: &mut u64) -> Option<Lengths> {
        while let Some((&byte, rest)) = bytes.split_first() {
            self = match self {
                Lengths::Greeting(left) | Lengths::Body { left, .. } => {
                    let skipped = left.min(bytes.len() as u64);
                    bytes = bytes.get(usize::try_from(skipped).ok()?..)?;
                    match (self, left - skipped) {
                        (Lengths::Greeting(_), 0) => Lengths::Flags,
                        (Lengths::Greeting(_), left) => Lengths::Greeting(left),
                        (Lengths::Body { more, .. }, 0) => Lengths::body(0, more, message),
                        (Lengths::Body { more, .. }, left) => Lengths::Body { left, more },
                        (other, _) => other,
                    }
                }
                Lengths::Flags => {
                    bytes = rest;
                    let left = if byte & 0b10 == 0 { 1 } else { 8 };
                    Lengths::Length { left, length: 0, more: byte & 0b1 != 0 }
                }
                Lengths::Length { left, length, more } => {
                    bytes = rest;
                    let length = length << 8 | u64::from(byte);
                    if left > 1 {
                        Lengths::Length { left: left - 1, length, more }
                    } else {
                        // A frame takes memory beyond its bytes, and may have none.
                        *message = message.checked_add(length)?.checked_add(64)?;
                        if *message > MESSAGE {
                            return None;
                        }
                        Lengths::body(length, more, message)
                    }
                }
            };
        }
        Some(self)
    }

    fn body(left: u64, more: bool, message: &mut u64) -> Lengths {
        if left > 0 {
            return Lengths::Body { left, more };
        }
        if !more {
            *message = 0;
        }
        Lengths::Flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn long(flags: u8, length: u64) -> Vec<u8> {
        [&[flags | 0b10][..], &length.to_be_bytes()].concat()
    }

    fn passes(stream: &[u8]) -> Option<Lengths> {
        let greeted = [&[0; 64], stream].concat();
        Lengths::Greeting(GREETING).pass(&greeted, &mut 0)
    }

    #[test]
    fn too_long_is_refused_before_it_comes() {
        assert!(passes(&long(0, 1 << 29)).is_some());
        assert_eq!(passes(&long(0, 1 << 30)), None);
        assert_eq!(passes(&long(0, u64::MAX)), None);
    }

    #[test]
    fn parts_of_a_message_count_together() {
        // A thousand pieces of a megabyte: as messages of their own, and as parts of one, with bytes or without.
        let passes = |piece: &[u8], times: usize| {
            let mut message = 0;
            (0..times).try_fold(Lengths::Flags, |at, _| at.pass(piece, &mut message))
        };
        let megabyte = vec![0; 1 << 20];
        assert_eq!(passes(&[long(0, 1 << 20), megabyte.clone()].concat(), 1100), Some(Lengths::Flags));
        assert_eq!(passes(&[long(1, 1 << 20), megabyte].concat(), 1100), None);
        assert_eq!(passes(&[1, 0].repeat(1000), 20_000), None);
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(
            frames in proptest::collection::vec((any::<bool>(), any::<bool>(), 0..300usize), 0..8),
            cuts in proptest::collection::vec(1..100usize, 1..20),
        ) {
            let mut stream = vec![0; 64];
            for (more, wide, length) in frames {
                if wide || length > 255 {
                    stream.extend(long(u8::from(more), length as u64));
                } else {
                    stream.extend([u8::from(more), u8::try_from(length).unwrap()]);
                }
                stream.extend(vec![0xff; length]);
            }
            let (mut at, mut message) = (Lengths::Greeting(GREETING), 0);
            let mut rest = &stream[..];
            for cut in cuts.iter().cycle() {
                let (piece, next) = rest.split_at((*cut).min(rest.len()));
                at = at.pass(piece, &mut message).unwrap();
                rest = next;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(at, Lengths::Flags);
        }
    }
}
