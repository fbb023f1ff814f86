//! How the messages become bytes: numbers little endian, lengths before what they count.

use super::{
    Access, Answer, Ask, CallArg, CallAsk, Done, Failures, GpuServe, ItemFailure, Layout, MapAsk, OnEngine, OnError,
    Passing, Piece, Results, Serve, Step, Taking,
};
use std::fmt;

/// The first bytes of encoded asks that have no answer.
const FORGET: u8 = 4;
const FREE: u8 = 5;
const CALL: u8 = 7;
const RESULT: u8 = 8;
const CALL_ON: u8 = 15;
const FORGET_ALL: u8 = 16;
const DEFINED: u8 = 17;
const REPORT: u8 = 19;
const PASSED: u8 = 21;
const JOINED: u8 = 23;

/// Whether this encoded [`Ask`] has an answer. For the others the way back would be most of what a short function takes.
/// They are taken in the order in which they were sent.
pub fn expects_answer(ask: &[u8]) -> bool {
    !matches!(
        ask.first(),
        Some(&(FORGET | FREE | CALL | RESULT | CALL_ON | FORGET_ALL | DEFINED | REPORT | PASSED | JOINED))
    )
}

/// Bytes that aren't a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("these bytes aren't what they should be: do both sides have the same version of Chorus?")
    }
}

impl std::error::Error for Damaged {}

/// A message.
pub trait Message: Sized {
    /// Appends its bytes.
    fn write(&self, to: &mut Vec<u8>);
    /// Takes it from the beginning of `from`.
    fn read(from: &mut &[u8]) -> Result<Self, Damaged>;

    /// Appends the bytes of each of these.
    fn write_each(each: &[Self], to: &mut Vec<u8>) {
        each.iter().for_each(|it| it.write(to));
    }

    /// Takes so many. What is announced isn't trusted with memory.
    fn read_each(count: u64, from: &mut &[u8]) -> Result<Vec<Self>, Damaged> {
        (0..count).map(|_| Self::read(from)).collect()
    }

    /// Its bytes.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }

    /// From all of `bytes`.
    fn decode(mut bytes: &[u8]) -> Result<Self, Damaged> {
        let message = Self::read(&mut bytes)?;
        if bytes.is_empty() { Ok(message) } else { Err(Damaged) }
    }
}

impl Message for u8 {
    fn write(&self, to: &mut Vec<u8>) {
        to.push(*self);
    }

    fn read(from: &mut &[u8]) -> Result<u8, Damaged> {
        let (first, rest) = from.split_first().ok_or(Damaged)?;
        *from = rest;
        Ok(*first)
    }

    fn write_each(each: &[u8], to: &mut Vec<u8>) {
        to.extend_from_slice(each);
    }

    fn read_each(count: u64, from: &mut &[u8]) -> Result<Vec<u8>, Damaged> {
        let count = usize::try_from(count).map_err(|_| Damaged)?;
        let (bytes, rest) = from.split_at_checked(count).ok_or(Damaged)?;
        *from = rest;
        Ok(bytes.to_vec())
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Message for $number {
            fn write(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }

            fn read(from: &mut &[u8]) -> Result<$number, Damaged> {
                let (head, rest) = from.split_first_chunk().ok_or(Damaged)?;
                *from = rest;
                Ok(<$number>::from_le_bytes(*head))
            }
        }
    )*};
}

numbers!(i32, u32, u64);

/// Each of a sequence, behind their number.
impl<M: Message> Message for Vec<M> {
    fn write(&self, to: &mut Vec<u8>) {
        (self.len() as u64).write(to);
        M::write_each(self, to);
    }

    fn read(from: &mut &[u8]) -> Result<Vec<M>, Damaged> {
        let count = u64::read(from)?;
        M::read_each(count, from)
    }
}

impl<M: Message, const N: usize> Message for [M; N] {
    fn write(&self, to: &mut Vec<u8>) {
        M::write_each(self, to);
    }

    fn read(from: &mut &[u8]) -> Result<[M; N], Damaged> {
        M::read_each(N as u64, from)?.try_into().map_err(|_| Damaged)
    }
}

impl<A: Message, B: Message> Message for (A, B) {
    fn write(&self, to: &mut Vec<u8>) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut &[u8]) -> Result<(A, B), Damaged> {
        Ok((A::read(from)?, B::read(from)?))
    }
}

/// A length, and then so many bytes.
impl Message for String {
    fn write(&self, to: &mut Vec<u8>) {
        (self.len() as u64).write(to);
        to.extend_from_slice(self.as_bytes());
    }

    fn read(from: &mut &[u8]) -> Result<String, Damaged> {
        String::from_utf8(Vec::read(from)?).map_err(|_| Damaged)
    }
}

/// What has a name for each of its fields: these, in this order.
macro_rules! fields {
    ($name:ident { $($field:ident),* }) => {
        impl Message for $name {
            fn write(&self, to: &mut Vec<u8>) {
                $(self.$field.write(to);)*
            }

            fn read(from: &mut &[u8]) -> Result<$name, Damaged> {
                // Fields are read in the order in which they stand here.
                Ok($name { $($field: Message::read(from)?),* })
            }
        }
    };
}
pub(super) use fields;

/// What is one of several: the number of which one, then what it has, in this order.
macro_rules! variants {
    ($name:ty { $($number:tt => $($variant:ident)::+ $(($($item:ident),*))? $({ $($field:ident),* })?,)* }) => {
        impl Message for $name {
            fn write(&self, to: &mut Vec<u8>) {
                match self {$(
                    $($variant)::+ $(($($item),*))? $({ $($field),* })? => {
                        u8::write(&$number, to);
                        $($($item.write(to);)*)?
                        $($($field.write(to);)*)?
                    }
                )*}
            }

            fn read(from: &mut &[u8]) -> Result<$name, Damaged> {
                Ok(match u8::read(from)? {
                    $($number => {
                        $($(let $item = Message::read(from)?;)*)?
                        $($(let $field = Message::read(from)?;)*)?
                        $($variant)::+ $(($($item),*))? $({ $($field),* })?
                    })*
                    _ => return Err(Damaged),
                })
            }
        }
    };
}
pub(super) use variants;

variants!(bool {
    0 => false,
    1 => true,
});

impl<M: Message> Message for Option<M> {
    fn write(&self, to: &mut Vec<u8>) {
        self.is_some().write(to);
        M::write_each(self.as_slice(), to);
    }

    fn read(from: &mut &[u8]) -> Result<Option<M>, Damaged> {
        bool::read(from)?.then(|| M::read(from)).transpose()
    }
}

variants!(Ask {
    0 => Ask::Room(bytes),
    1 => Ask::Map(map),
    2 => Ask::Wait { job, millis },
    3 => Ask::Cancel(job),
    FORGET => Ask::Forget(job),
    FREE => Ask::Free(path),
    6 => Ask::Next(done),
    CALL => Ask::Call(call),
    RESULT => Ask::Result(value, room),
    9 => Ask::Where(job),
    11 => Ask::Hold(path),
    12 => Ask::Engines(label),
    13 => Ask::WaitAny(jobs),
    14 => Ask::WaitAll(jobs),
    CALL_ON => Ask::CallOn(call, engines),
    FORGET_ALL => Ask::ForgetAll(jobs),
    DEFINED => Ask::Defined { engines, name, type_name },
    18 => Ask::Take { maps, any },
    REPORT => Ask::Report(done),
    20 => Ask::Passage(purpose),
    PASSED => Ask::Passed(path),
    22 => Ask::SoFar(job),
    JOINED => Ask::Joined,
});
variants!(Answer {
    0 => Answer::Ok,
    1 => Answer::Room(path),
    2 => Answer::Job(job),
    3 => Answer::Running { done, items },
    4 => Answer::Ended { path, bytes, results },
    5 => Answer::Failed(sentence),
    6 => Answer::Work(pieces),
    7 => Answer::Value { engine, value },
    8 => Answer::RunsOn(engine),
    9 => Answer::Gone,
    10 => Answer::Engines(ids),
    11 => Answer::All(answers),
    12 => Answer::Taken { map, done },
});

fields!(MapAsk { object, function, items, rooms, input, constants, gpu, wishes });
fields!(CallAsk {
    job,
    object,
    function,
    label,
    args,
    rooms,
    own,
    after,
    on,
    gpu,
    retries,
    timeout,
    access,
    variables,
    is_last
});
fields!(Serve { rooms, input, constants, retries, on_error, timeout, threads, gpu });
fields!(GpuServe { module, layout, constants });
fields!(Passing { step, lanes, ranks });
fields!(Done { first, count, micros, gpu, results, failed });
fields!(Failures { first, count });
fields!(ItemFailure { item, value, message });
fields!(Layout { item, result });
fields!(OnEngine { job, engine });
fields!(Piece { first, count, chunk });
fields!(Taking { job, taken });

variants!(CallArg {
    0 => CallArg::Value(value),
    1 => CallArg::Job(job),
});
variants!(Results {
    0 => Results::InPlace,
    1 => Results::Bytes(bytes),
    2 => Results::Room(offset, length),
    3 => Results::Nothing,
});
variants!(Access {
    0 => Access::None,
    1 => Access::Read,
    2 => Access::Change,
});
variants!(OnError {
    0 => OnError::Stop,
    1 => OnError::Skip,
    2 => OnError::Keep,
});
variants!(Step {
    0 => Step::All,
    1 => Step::Own,
    2 => Step::Split,
    3 => Step::Deal,
    4 => Step::Count,
    5 => Step::Place,
});
