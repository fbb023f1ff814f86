//! What a member on another host and its deputy say to each other: a length (4 bytes), so many bytes that are a question or
//! an answer, and then the bytes of which it speaks.

use crate::group::member::{Broken, Call, Kind};
use crate::link::{Damaged, Message};
use std::io::{self, Read, Write};

/// No question or answer is longer, without what comes along.
const LONGEST: u32 = 1 << 20;
/// As many bytes come along with a question, at most, and with an answer where those of several members don't make them more.
pub(in crate::group) const PART: usize = 4 << 20;
/// What comes along is taken in pieces of so many bytes: what is announced needn't come.
const PIECE: usize = 1 << 20;

/// To a deputy. Along with the first two comes an [`Info`](crate::group::Info).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) enum Ask {
    /// Take part for this member in the group of this name. What it asks has numbers, and the next one has this.
    Join(String, u64),
    /// It panics: this is said of it if it leaves.
    Note(String, String),
    /// Of so many members of the group of this name, that of this rank has left, for this reason if it hasn't come to the end of
    /// the cell.
    Left(String, u32, u32, Option<String>),
    /// Take part in some steps of an exchange.
    Exchange(Collective, Steps),
    /// Combine what comes along with what others have, by this of the functions and as this kind of number.
    Reduce(Collective, u64, u8, u8),
    /// Show what has come along so far, and say what others show for this member.
    Scatter(Collective),
    /// Keep what comes along for what is asked next.
    Keep,
    /// What more is there of the last answer?
    More,
    /// Send this rank a value of this type, from this line.
    Send(u32, String, u32),
    /// Wait for the next value from this rank, or any, which should have this type, for this line.
    Receive(Option<u32>, String, u32),
    /// This member's part is over.
    Fail,
}

/// A [`Call`], with what it borrows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) struct Collective {
    kind: u32,
    root: Option<u32>,
    of: String,
    count: Option<u64>,
    how: Option<u8>,
    line: u32,
}

/// Which steps of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) struct Steps {
    /// The place that the first is about.
    pub at: u64,
    /// How many there are at most.
    pub most: u32,
    /// How many bytes this member shows in all.
    pub whole: u64,
    /// Whose are wanted: `None` for all, else those of this rank, which may be one that there isn't.
    pub whose: Option<u32>,
}

/// From a deputy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::group) enum Answer {
    /// It is done. What the numbers and the text are depends on what was asked.
    Done(Vec<u64>, String),
    /// See [`Broken`].
    Broken(String, bool),
}

impl Collective {
    pub fn of(call: &Call<'_>) -> Collective {
        Collective {
            kind: call.kind as u32,
            root: call.root.map(|root| root as u32),
            of: call.of.to_owned(),
            count: call.count.map(|count| count as u64),
            how: call.how,
            line: call.line,
        }
    }

    pub fn call(&self) -> Result<Call<'_>, Broken> {
        let kind = Kind::of(self.kind).ok_or_else(damaged)?;
        let (root, count) = (self.root.map(|root| root as usize), self.count.map(|count| count as usize));
        Ok(Call { kind, root, of: &self.of, count, how: self.how, line: self.line })
    }

    pub fn line(&self) -> u32 {
        self.line
    }
}

/// What was said can't be understood.
pub(in crate::group) fn damaged() -> Broken {
    Broken::own(Damaged.to_string())
}

impl Answer {
    pub fn settled(self) -> Result<(Vec<u64>, String), Broken> {
        match self {
            Answer::Done(numbers, text) => Ok((numbers, text)),
            Answer::Broken(text, own) => Err(Broken { text, own }),
        }
    }
}

impl From<Broken> for Answer {
    fn from(broken: Broken) -> Answer {
        Answer::Broken(broken.text, broken.own)
    }
}

impl Message for Collective {
    fn write(&self, to: &mut Vec<u8>) {
        self.kind.write(to);
        self.root.write(to);
        self.of.write(to);
        self.count.write(to);
        self.how.write(to);
        self.line.write(to);
    }

    fn read(from: &mut &[u8]) -> Result<Collective, Damaged> {
        Ok(Collective {
            kind: u32::read(from)?,
            root: Option::read(from)?,
            of: String::read(from)?,
            count: Option::read(from)?,
            how: Option::read(from)?,
            line: u32::read(from)?,
        })
    }
}

impl Message for Ask {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Ask::Join(name, next) => {
                0u8.write(to);
                name.write(to);
                next.write(to);
            }
            Ask::Note(name, text) => {
                1u8.write(to);
                name.write(to);
                text.write(to);
            }
            Ask::Left(name, members, rank, why) => {
                2u8.write(to);
                name.write(to);
                members.write(to);
                rank.write(to);
                why.write(to);
            }
            Ask::Exchange(call, Steps { at, most, whole, whose }) => {
                3u8.write(to);
                call.write(to);
                at.write(to);
                most.write(to);
                whole.write(to);
                whose.write(to);
            }
            Ask::Reduce(call, whole, kind, how) => {
                4u8.write(to);
                call.write(to);
                whole.write(to);
                kind.write(to);
                how.write(to);
            }
            Ask::Scatter(call) => {
                5u8.write(to);
                call.write(to);
            }
            Ask::Keep => 6u8.write(to),
            Ask::More => 7u8.write(to),
            Ask::Send(rank, of, line) => {
                8u8.write(to);
                rank.write(to);
                of.write(to);
                line.write(to);
            }
            Ask::Receive(rank, of, line) => {
                9u8.write(to);
                rank.write(to);
                of.write(to);
                line.write(to);
            }
            Ask::Fail => 10u8.write(to),
        }
    }

    fn read(from: &mut &[u8]) -> Result<Ask, Damaged> {
        Ok(match u8::read(from)? {
            0 => Ask::Join(String::read(from)?, u64::read(from)?),
            1 => Ask::Note(String::read(from)?, String::read(from)?),
            2 => Ask::Left(String::read(from)?, u32::read(from)?, u32::read(from)?, Option::read(from)?),
            3 => {
                let call = Collective::read(from)?;
                let (at, most, whole) = (u64::read(from)?, u32::read(from)?, u64::read(from)?);
                Ask::Exchange(call, Steps { at, most, whole, whose: Option::read(from)? })
            }
            4 => Ask::Reduce(Collective::read(from)?, u64::read(from)?, u8::read(from)?, u8::read(from)?),
            5 => Ask::Scatter(Collective::read(from)?),
            6 => Ask::Keep,
            7 => Ask::More,
            8 => Ask::Send(u32::read(from)?, String::read(from)?, u32::read(from)?),
            9 => Ask::Receive(Option::read(from)?, String::read(from)?, u32::read(from)?),
            10 => Ask::Fail,
            _ => return Err(Damaged),
        })
    }
}

impl Message for Answer {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Answer::Done(numbers, text) => {
                0u8.write(to);
                (numbers.len() as u64).write(to);
                numbers.iter().for_each(|number| number.write(to));
                text.write(to);
            }
            Answer::Broken(text, own) => {
                if *own { 1u8 } else { 2 }.write(to);
                text.write(to);
            }
        }
    }

    fn read(from: &mut &[u8]) -> Result<Answer, Damaged> {
        Ok(match u8::read(from)? {
            0 => {
                let count = u64::read(from)?;
                let numbers = (0..count).map(|_| u64::read(from)).collect::<Result<_, _>>()?;
                Answer::Done(numbers, String::read(from)?)
            }
            kind @ (1 | 2) => Answer::Broken(String::read(from)?, kind == 1),
            _ => return Err(Damaged),
        })
    }
}

/// Sends a message and what comes along.
pub(in crate::group) fn tell(to: &mut impl Write, message: &impl Message, bytes: &[u8]) -> io::Result<()> {
    let mut head = vec![0; 4];
    message.write(&mut head);
    (bytes.len() as u64).write(&mut head);
    let length = (head.len() - 4) as u32;
    head[..4].copy_from_slice(&length.to_le_bytes());
    to.write_all(&head)?;
    to.write_all(bytes)?;
    to.flush()
}

/// The next message and what comes along, which mustn't be more than this.
pub(in crate::group) fn hear<M: Message>(from: &mut impl Read, most: u64) -> io::Result<(M, Vec<u8>)> {
    let mut head = [0; 4];
    from.read_exact(&mut head)?;
    let length = Some(u32::from_le_bytes(head)).filter(|length| *length <= LONGEST).ok_or_else(invalid)?;
    let mut message = vec![0; length as usize];
    from.read_exact(&mut message)?;
    let rest = &mut message.as_slice();
    let (message, along) = (M::read(rest).map_err(|_| invalid())?, u64::read(rest).map_err(|_| invalid())?);
    if !rest.is_empty() || along > most {
        return Err(invalid());
    }
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < along {
        let begin = bytes.len();
        bytes.resize(begin + PIECE.min(along as usize - begin), 0);
        from.read_exact(&mut bytes[begin..])?;
    }
    Ok((message, bytes))
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives<M: Message + PartialEq + std::fmt::Debug + Clone>(message: M) {
        let mut bytes = Vec::new();
        tell(&mut bytes, &message, b"along").unwrap();
        assert_eq!(hear::<M>(&mut bytes.as_slice(), 5).unwrap(), (message, b"along".to_vec()));
        assert!(hear::<M>(&mut bytes.as_slice(), 4).is_err(), "more than may come");
        (0..bytes.len()).for_each(|length| assert!(hear::<M>(&mut &bytes[..length], 5).is_err()));
        for place in 4..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 0x55;
            // Any answer but a panic.
            _ = hear::<M>(&mut other.as_slice(), 5);
        }
    }

    #[test]
    fn messages_come_back_and_cut_ones_are_errors() {
        let call = Call { kind: Kind::Reduce, root: Some(3), of: "f64", count: Some(9), how: None, line: 7 };
        let collective = || Collective::of(&call);
        assert_eq!(collective().call().unwrap().print(), call.print());
        survives(Ask::Join("group-1-2".into(), 7));
        survives(Ask::Note("group-1-2".into(), "panicked".into()));
        survives(Ask::Left("group-1-2".into(), 3, 1, Some("died".into())));
        survives(Ask::Exchange(collective(), Steps { at: 1, most: 2, whole: 3, whose: Some(4) }));
        survives(Ask::Reduce(collective(), 8, 0, 3));
        survives(Ask::Scatter(collective()));
        survives(Ask::Keep);
        survives(Ask::More);
        survives(Ask::Send(1, "u8".into(), 2));
        survives(Ask::Receive(None, "u8".into(), 2));
        survives(Ask::Fail);
        survives(Answer::Done(vec![1, 2], "f64".into()));
        survives(Answer::Broken("no".into(), true));
        assert!(hear::<Ask>(&mut [255; 40].as_slice(), 5).is_err());
    }
}
