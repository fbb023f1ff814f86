//! Messages on a stream of bytes: each is a length (4 bytes, little endian), and so many bytes of postcard.
//!
//! Each stream has a length that no message exceeds, so that what isn't a message is soon known for that.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read};

/// So many bytes are made room for before they come.
pub const TRUSTED: usize = 64 << 10;

/// A message with its length.
pub fn encode(message: &impl Serialize, longest: usize) -> io::Result<Vec<u8>> {
    let mut bytes = postcard::to_extend(message, vec![0; 4]).map_err(io::Error::other)?;
    let length = bytes.len() - 4;
    let head = u32::try_from(length).ok().filter(|_| length <= longest);
    let head = head.ok_or_else(|| io::Error::other(format!("a message of {length} bytes is longer than {longest}")))?;
    bytes[..4].copy_from_slice(&head.to_le_bytes());
    Ok(bytes)
}

/// How long the message is that these bytes announce.
pub fn length(head: [u8; 4], longest: usize) -> io::Result<usize> {
    let length = u32::from_le_bytes(head) as usize;
    match length <= longest {
        true => Ok(length),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{length} isn't the length of a message"))),
    }
}

/// The message that is these bytes, without its length.
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> io::Result<M> {
    postcard::from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads one message; blocks.
pub fn read<M: DeserializeOwned>(from: &mut impl Read, longest: usize) -> io::Result<M> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let length = length(head, longest)?;
    // What is announced isn't trusted with much memory.
    let mut bytes = Vec::with_capacity(length.min(TRUSTED));
    if from.take(length as u64).read_to_end(&mut bytes)? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    decode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn too_long_is_an_error_on_both_sides() {
        assert_eq!(encode(&"abc", 4).unwrap(), [4, 0, 0, 0, 3, b'a', b'b', b'c']);
        assert!(encode(&"abcd", 4).is_err());
        assert!(length([4, 0, 0, 0], 4).is_ok() && length([5, 0, 0, 0], 4).is_err());
    }

    proptest! {
        #[test]
        fn messages_come_one_behind_the_other_and_cut_ones_are_errors(texts in proptest::collection::vec(".*", 1..5)) {
            let bytes: Vec<u8> = texts.iter().flat_map(|text| encode(text, 1 << 20).unwrap()).collect();
            let mut from = &bytes[..];
            for text in &texts {
                prop_assert_eq!(&read::<String>(&mut from, 1 << 20).unwrap(), text);
            }
            prop_assert_eq!(read::<String>(&mut from, 1 << 20).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            let mut cut = &bytes[..bytes.len() - 1];
            for text in &texts[..texts.len() - 1] {
                prop_assert_eq!(&read::<String>(&mut cut, 1 << 20).unwrap(), text);
            }
            prop_assert!(read::<String>(&mut cut, 1 << 20).is_err());
        }

        #[test]
        fn rubbish_is_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            _ = read::<Vec<String>>(&mut bytes.as_slice(), usize::MAX);
        }
    }
}
