//! What is asked about rooms that lie on another host: by a worker of the outpost of its own host, and by that of whoever
//! has the room. Question and answer are each a length (4 bytes), so many bytes, and then the bytes of which they speak.

use super::encoding::{Damaged, Message, variants};
use std::io::{self, Read, Write};

/// Tells workers where the outpost of their host listens, if their cluster's controller is on another host.
pub const OUTPOST: &str = "CHORUS_OUTPOST";

/// Nobody asks for more bytes at once, or sends more.
pub const MOST: u64 = 8 << 20;

/// No question or answer is longer, without what comes along.
const LONGEST: u32 = 64 << 10;

/// About one room, which is named first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomAsk {
    /// How long it is. The answer is [`RoomAnswer::Done`].
    Length(String),
    /// See to it that so many bytes from here on are in a file of this host. The answer is [`RoomAnswer::Here`].
    Bring(String, u64, u64),
    /// What the room has now from here on: as much of it as there is, and [`MOST`] at most. The answer is
    /// [`RoomAnswer::Bytes`].
    Read(String, u64, u64),
    /// Put so many bytes there, which come along.
    Write(String, u64, u64),
    /// Put so many bytes, which come along, behind all that was appended before. [`RoomAnswer::Done`] says where they are.
    Append(String, u64),
    /// The same for bytes that are put there later.
    Reserve(String, u64),
    /// Make the file for a large result, of so many bytes.
    Make(String, u64),
    /// Remove such a file. The answer is [`RoomAnswer::Done`].
    Remove(String),
    /// Tell of each room that is let go of, by an answer of its own: [`RoomAnswer::Freed`].
    Watch,
}

/// To a [`RoomAsk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomAnswer {
    /// It is done. What the number is depends on what was asked for.
    Done(u64),
    /// So many bytes come along.
    Bytes(u64),
    /// A file of this host has them, under this name.
    Here(String),
    /// Nobody has the room any more.
    Gone,
    /// It wasn't done, for this reason.
    Failed(String),
    /// A room of this name was let go of.
    Freed(String),
}

impl RoomAsk {
    /// The room.
    pub fn room(&self) -> &str {
        match self {
            RoomAsk::Watch => "",
            RoomAsk::Length(room)
            | RoomAsk::Remove(room)
            | RoomAsk::Bring(room, ..)
            | RoomAsk::Read(room, ..)
            | RoomAsk::Write(room, ..)
            | RoomAsk::Append(room, _)
            | RoomAsk::Reserve(room, _)
            | RoomAsk::Make(room, _) => room,
        }
    }

    /// How many bytes come along.
    pub fn brings(&self) -> u64 {
        match *self {
            RoomAsk::Write(_, _, length) | RoomAsk::Append(_, length) => length,
            _ => 0,
        }
    }
}

impl RoomAnswer {
    /// How many bytes come along.
    pub fn brings(&self) -> u64 {
        if let RoomAnswer::Bytes(length) = *self { length } else { 0 }
    }
}

variants!(RoomAsk {
    0 => RoomAsk::Length(room),
    1 => RoomAsk::Bring(room, at, length),
    2 => RoomAsk::Read(room, at, length),
    3 => RoomAsk::Write(room, at, length),
    4 => RoomAsk::Append(room, length),
    5 => RoomAsk::Make(room, length),
    6 => RoomAsk::Watch,
    7 => RoomAsk::Reserve(room, length),
    8 => RoomAsk::Remove(room),
});
variants!(RoomAnswer {
    0 => RoomAnswer::Done(number),
    1 => RoomAnswer::Bytes(length),
    2 => RoomAnswer::Here(name),
    3 => RoomAnswer::Gone,
    4 => RoomAnswer::Failed(why),
    5 => RoomAnswer::Freed(name),
});

/// A question or an answer with its length in front.
pub fn framed(message: &impl Message) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    message.write(&mut bytes);
    let length = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// How long what follows is, if it can be a question or an answer.
pub fn frame_length(head: [u8; 4]) -> Result<usize, Damaged> {
    let length = u32::from_le_bytes(head);
    if length <= LONGEST { Ok(length as usize) } else { Err(Damaged) }
}

/// Asks, and waits for the answer. What comes along with that is put into `into`, which is as long as it then.
pub fn ask_on(
    connection: &mut (impl Read + Write),
    ask: &RoomAsk,
    bytes: &[u8],
    into: &mut Vec<u8>,
) -> io::Result<RoomAnswer> {
    let damaged = |damaged: Damaged| io::Error::new(io::ErrorKind::InvalidData, damaged);
    connection.write_all(&framed(ask))?;
    connection.write_all(bytes)?;
    let mut head = [0; 4];
    connection.read_exact(&mut head)?;
    let mut answer = vec![0; frame_length(head).map_err(damaged)?];
    connection.read_exact(&mut answer)?;
    let answer = RoomAnswer::decode(&answer).map_err(damaged)?;
    if answer.brings() > MOST {
        return Err(damaged(Damaged));
    }
    into.resize(answer.brings() as usize, 0);
    connection.read_exact(into)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_and_cut_ones_are_damaged() {
        fn survives<M: Message + PartialEq + std::fmt::Debug>(message: M) {
            let bytes = framed(&message);
            let (head, rest) = bytes.split_first_chunk().unwrap();
            assert_eq!(frame_length(*head), Ok(rest.len()));
            assert_eq!(M::decode(rest), Ok(message));
            (0..rest.len()).for_each(|length| assert_eq!(M::decode(&rest[..length]), Err(Damaged)));
        }
        let room = || "/proc/1/fd/2#chorus-3".to_owned();
        survives(RoomAsk::Length(room()));
        survives(RoomAsk::Bring(room(), 1, 2));
        survives(RoomAsk::Read(room(), 1, 2));
        survives(RoomAsk::Write(room(), 1, 2));
        survives(RoomAsk::Append(room(), 2));
        survives(RoomAsk::Make(room(), 2));
        survives(RoomAsk::Reserve(room(), 2));
        survives(RoomAsk::Remove(room()));
        survives(RoomAsk::Watch);
        survives(RoomAnswer::Done(1));
        survives(RoomAnswer::Bytes(1));
        survives(RoomAnswer::Here(room()));
        survives(RoomAnswer::Gone);
        survives(RoomAnswer::Failed("no".into()));
        survives(RoomAnswer::Freed(room()));
        assert_eq!(frame_length([255; 4]), Err(Damaged));
    }
}
