//! Framing: one signed message is two ZeroMQ frames, `[mac, body]`.
//!
//! `body` is the postcard encoding of the message; `mac` is BLAKE3 in keyed mode over `body`, 32 bytes. A frame
//! whose mac is wrong, or whose body doesn't decode, is an error value and never a panic: whoever reads a socket
//! counts it and goes on.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// The secret that signs every message of one cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// A fresh random key.
    pub fn random() -> Key {
        let mut bytes = [0; 32];
        for half in bytes.chunks_exact_mut(16) {
            half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        // A v4 uuid has 122 random bits of 128; hashing spreads the 244 bits over the whole key.
        Key(*blake3::hash(&bytes).as_bytes())
    }

    /// Reads 64 hex digits, as they stand in a connection file.
    pub fn from_hex(text: &str) -> Result<Key, FrameError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| FrameError::Key)?;
        Ok(Key(bytes))
    }

    /// The key as 64 hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    fn sign(&self, body: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, body).as_bytes()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// A signed message, ready for a socket.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The 32 bytes that prove that the sender holds the cluster's key.
    pub mac: Bytes,
    /// The encoded message.
    pub body: Bytes,
}

/// Why bytes from a socket are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The number of frames isn't two.
    #[error("a message is 2 frames, not {0}")]
    Count(usize),
    /// The mac isn't right: the sender doesn't hold the key, or the bytes were changed on the way.
    #[error("the signature is wrong")]
    Signature,
    /// The body isn't a message of this version.
    #[error("the body doesn't decode: {0}")]
    Body(String),
    /// A key in a connection file isn't 64 hex digits.
    #[error("a key is 64 hex digits")]
    Key,
}

impl Frame {
    /// Encodes and signs `message`.
    pub fn encode<M: Serialize>(message: &M, key: &Key) -> Result<Frame, FrameError> {
        let body = postcard::to_stdvec(message).map_err(|error| FrameError::Body(error.to_string()))?;
        Ok(Frame { mac: Bytes::copy_from_slice(&key.sign(&body)), body: body.into() })
    }

    /// Checks the signature of the frames that follow the peer's identity, and decodes them.
    pub fn decode<M: DeserializeOwned>(frames: &[Bytes], key: &Key) -> Result<M, FrameError> {
        let [mac, body] = frames else { return Err(FrameError::Count(frames.len())) };
        let mac: [u8; 32] = mac.as_ref().try_into().map_err(|_| FrameError::Signature)?;
        // blake3::Hash compares in constant time.
        if blake3::Hash::from(key.sign(body)) != blake3::Hash::from(mac) {
            return Err(FrameError::Signature);
        }
        let (message, rest) = postcard::take_from_bytes(body).map_err(|error| FrameError::Body(error.to_string()))?;
        if !rest.is_empty() {
            return Err(FrameError::Body(format!("{} bytes too many", rest.len())));
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{FromClient, FromEngine, ToClient, ToEngine};
    use crate::{EngineId, RunEvent, RunId, SessionId, Stream};
    use proptest::prelude::*;

    fn event(bytes: Vec<u8>) -> ToClient {
        ToClient::Run {
            session: SessionId(7),
            run: RunId(3),
            engine: EngineId(2),
            event: RunEvent::Output { stream: Stream::Stdout, bytes: bytes.into() },
        }
    }

    #[test]
    fn a_message_comes_back() {
        let key = Key::random();
        let frame = Frame::encode(&event(b"hello".to_vec()), &key).unwrap();
        let back: ToClient = Frame::decode(&[frame.mac, frame.body], &key).unwrap();
        assert_eq!(back, event(b"hello".to_vec()));
    }

    #[test]
    fn another_key_is_refused() {
        let frame = Frame::encode(&event(vec![]), &Key::random()).unwrap();
        let back = Frame::decode::<ToClient>(&[frame.mac, frame.body], &Key::random());
        assert_eq!(back, Err(FrameError::Signature));
    }

    #[test]
    fn keys_are_read_back_and_never_printed() {
        let key = Key::random();
        assert_eq!(Key::from_hex(&key.to_hex()), Ok(key.clone()));
        assert_eq!(Key::from_hex("12"), Err(FrameError::Key));
        assert_eq!(format!("{key:?}"), "Key(secret)");
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in any::<usize>(), bit in 0..8u32) {
            let key = Key::random();
            let frame = Frame::encode(&event(bytes), &key).unwrap();
            let mut body = frame.body.to_vec();
            let at = at % body.len();
            body[at] ^= 1 << bit;
            prop_assert_eq!(Frame::decode::<ToClient>(&[frame.mac, body.into()], &key), Err(FrameError::Signature));
        }

        #[test]
        fn signed_rubbish_is_an_error_and_no_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let key = Key::random();
            let mac = Bytes::copy_from_slice(&key.sign(&body));
            let frames = [mac, Bytes::from(body)];
            let _ = Frame::decode::<ToClient>(&frames, &key);
            let _ = Frame::decode::<FromClient>(&frames, &key);
            let _ = Frame::decode::<ToEngine>(&frames, &key);
            let _ = Frame::decode::<FromEngine>(&frames, &key);
        }

        #[test]
        fn any_number_of_frames_is_an_error_and_no_panic(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..5)) {
            let frames: Vec<Bytes> = frames.into_iter().map(Bytes::from).collect();
            prop_assert!(Frame::decode::<FromEngine>(&frames, &Key::random()).is_err());
        }
    }
}
