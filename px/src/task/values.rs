//! Arguments and results on their way: in the message while they are small, else in a room of which the message speaks.

use crate::link::Message;
use crate::map::Error;
use crate::map::rooms::{Mapped, Room, open};
use crate::wire::Wire;
use std::fs::File;

/// What is larger lies in a room.
const INLINE: usize = 64 << 10;
/// What can go into a message where there is no room that both sides see.
const MESSAGE: usize = 1 << 20;

const HERE: u8 = 0;
const IN_ROOM: u8 = 1;
const REFUSED: u8 = 2;

/// A value as it is sent.
pub(crate) struct Packed {
    pub bytes: Vec<u8>,
    room: Option<Room>,
}

impl Packed {
    /// In place of a value: why there is none.
    pub fn refusal(error: &Error) -> Packed {
        let mut bytes = vec![REFUSED];
        error.to_string().write(&mut bytes);
        Packed { bytes, room: None }
    }

    /// The room of which it speaks.
    pub fn path(&self) -> Option<String> {
        self.room.as_ref().map(|room| room.path().to_owned())
    }

    /// Somebody else frees the room.
    pub fn release(self) {
        if let Some(room) = self.room {
            room.release();
        }
    }
}

/// Packs what `put` appends.
pub(crate) fn pack(put: impl FnOnce(&mut Vec<u8>)) -> Result<Packed, Error> {
    // Small values, which are most, are written where they stay.
    let mut bytes = vec![HERE; 9];
    put(&mut bytes);
    let length = bytes.len() - 9;
    if length > INLINE {
        match Room::new(length as u64) {
            Ok(room) => {
                room.write(&bytes[9..], 0)?;
                bytes = vec![IN_ROOM];
                (length as u64).write(&mut bytes);
                room.path().to_owned().write(&mut bytes);
                return Ok(Packed { bytes, room: Some(room) });
            }
            Err(error) if length > MESSAGE => return Err(error),
            Err(_) => {}
        }
    }
    bytes[1..9].copy_from_slice(&(length as u64).to_le_bytes());
    Ok(Packed { bytes, room: None })
}

/// Takes a packed value from the beginning of `from`.
pub(crate) fn unpack<T: Wire>(from: &mut &[u8]) -> Result<T, Error> {
    with_bytes(from, whole)
}

/// The same, with its bytes.
pub(crate) fn with_bytes<R>(from: &mut &[u8], read: impl FnOnce(&[u8]) -> Result<R, Error>) -> Result<R, Error> {
    let kind = u8::read(from)?;
    if kind == REFUSED {
        return Err(Error::Failed(String::read(from)?));
    }
    let length = usize::try_from(u64::read(from)?).map_err(|_| Error::Damaged)?;
    match kind {
        HERE => {
            let (value, rest) = from.split_at_checked(length).ok_or(Error::Damaged)?;
            *from = rest;
            read(value)
        }
        IN_ROOM => with_file(&open(&String::read(from)?)?, length, read),
        _ => Err(Error::Damaged),
    }
}

/// Decodes what a room or a file holds.
pub(super) fn read_file<T: Wire>(file: &File, length: usize) -> Result<T, Error> {
    with_file(file, length, whole)
}

fn with_file<R>(file: &File, length: usize, read: impl FnOnce(&[u8]) -> Result<R, Error>) -> Result<R, Error> {
    match length {
        // Nothing can't be mapped.
        0 => read(&[]),
        _ => read(Mapped::of(file, length).map_err(|error| Error::Room(error.to_string()))?.as_slice()),
    }
}

fn whole<T: Wire>(mut bytes: &[u8]) -> Result<T, Error> {
    let value = T::get(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(Error::Damaged) }
}
