//! Messages on a stream, and how a stream begins.

use chorus_protocol::stream::{TRUSTED, decode, encode, length};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// No message is longer.
const LONGEST: usize = 1 << 20;

/// What a connection to the gateway is for: its first message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// What [`crate::Hello`] begins.
    Outpost(crate::Hello),
    /// An engine's connection to the controller.
    Engine,
    /// Rooms of the kernel with this number.
    Rooms(String),
    /// The controller's files.
    Files,
    /// A member of a group, to its deputy.
    Group,
}

/// The gateway's answer to a [`Purpose`]: what was asked for is there.
pub(crate) const HERE: u8 = 1;
/// Nobody is there.
pub(crate) const NOBODY: u8 = 2;

/// Sends a message.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    stream.write_all(&encode(message, LONGEST)?).await?;
    stream.flush().await
}

/// The next message.
pub async fn receive<M: DeserializeOwned>(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<M> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let length = length(head, LONGEST)?;
    // What is announced isn't trusted with much memory.
    let mut bytes = Vec::with_capacity(length.min(TRUSTED));
    if stream.take(length as u64).read_to_end(&mut bytes).await? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    decode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_as_they_were_sent_and_garbage_is_an_error() {
        let mut bytes = Vec::new();
        send(&mut bytes, &Purpose::Rooms("abc".into())).await.unwrap();
        send(&mut bytes, &Purpose::Files).await.unwrap();
        let mut from = bytes.as_slice();
        assert_eq!(receive::<Purpose>(&mut from).await.unwrap(), Purpose::Rooms("abc".into()));
        assert_eq!(receive::<Purpose>(&mut from).await.unwrap(), Purpose::Files);
        assert!(receive::<Purpose>(&mut from).await.is_err(), "nothing is left");
        assert!(receive::<Purpose>(&mut bytes.get(..6).unwrap()).await.is_err(), "cut");
        assert!(receive::<Purpose>(&mut [255u8; 40].as_slice()).await.is_err());
        assert!(receive::<Purpose>(&mut [1, 0, 0, 0, 77].as_slice()).await.is_err());
    }
}
