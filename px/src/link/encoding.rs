//! How the messages become bytes: numbers little endian, lengths before what they count.

use super::{
    Access, Answer, Ask, CallArg, CallAsk, Done, Failures, GpuServe, GpuTimes, ItemFailure, Layout, MapAsk, OnEngine,
    OnError, Passing, Piece, Results, Serve, Step, Taking,
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

/// Whether this encoded [`Ask`] has an answer. For the others the way back would be most of what a short function takes.
/// They are taken in the order in which they were sent.
pub fn expects_answer(ask: &[u8]) -> bool {
    !matches!(ask.first(), Some(&(FORGET | FREE | CALL | RESULT | CALL_ON | FORGET_ALL | DEFINED | REPORT | PASSED)))
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

numbers!(u8, i32, u32, u64);

impl Message for Passing {
    fn write(&self, to: &mut Vec<u8>) {
        (self.step as u8).write(to);
        self.lanes.write(to);
        write_all(&self.ranks, to);
    }

    fn read(from: &mut &[u8]) -> Result<Passing, Damaged> {
        let step = u8::read(from)?;
        let steps = [Step::All, Step::Own, Step::Split, Step::Deal, Step::Count, Step::Place];
        Ok(Passing {
            step: steps.into_iter().find(|each| *each as u8 == step).ok_or(Damaged)?,
            lanes: u32::read(from)?,
            ranks: read_all(from)?,
        })
    }
}

/// A length, and then so many bytes.
impl Message for String {
    fn write(&self, to: &mut Vec<u8>) {
        write_bytes(self.as_bytes(), to);
    }

    fn read(from: &mut &[u8]) -> Result<String, Damaged> {
        String::from_utf8(read_bytes(from)?.to_vec()).map_err(|_| Damaged)
    }
}

fn write_bytes(bytes: &[u8], to: &mut Vec<u8>) {
    (bytes.len() as u64).write(to);
    to.extend_from_slice(bytes);
}

fn read_bytes<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], Damaged> {
    let length = usize::try_from(u64::read(from)?).map_err(|_| Damaged)?;
    let (bytes, rest) = from.split_at_checked(length).ok_or(Damaged)?;
    *from = rest;
    Ok(bytes)
}

impl<M: Message> Message for Option<M> {
    fn write(&self, to: &mut Vec<u8>) {
        u8::from(self.is_some()).write(to);
        if let Some(it) = self {
            it.write(to);
        }
    }

    fn read(from: &mut &[u8]) -> Result<Option<M>, Damaged> {
        match u8::read(from)? {
            0 => Ok(None),
            1 => Ok(Some(M::read(from)?)),
            _ => Err(Damaged),
        }
    }
}

/// Each of a sequence, behind their number. What is announced isn't trusted with memory.
pub(super) fn write_all<M: Message>(all: &[M], to: &mut Vec<u8>) {
    (all.len() as u64).write(to);
    all.iter().for_each(|each| each.write(to));
}

pub(super) fn read_all<M: Message>(from: &mut &[u8]) -> Result<Vec<M>, Damaged> {
    let count = u64::read(from)?;
    (0..count).map(|_| M::read(from)).collect()
}

impl Message for Ask {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Ask::Room(bytes) => (0u8, *bytes).write(to),
            Ask::Passage(purpose) => {
                20u8.write(to);
                purpose.write(to);
            }
            Ask::Passed(path) => {
                PASSED.write(to);
                path.write(to);
            }
            Ask::Map(map) => {
                1u8.write(to);
                map.write(to);
            }
            Ask::Wait { job, millis } => {
                (2u8, *job).write(to);
                millis.write(to);
            }
            Ask::Take { maps, any } => {
                18u8.write(to);
                write_all(maps, to);
                u8::from(*any).write(to);
            }
            Ask::Cancel(job) => (3u8, *job).write(to),
            Ask::Forget(job) => (FORGET, *job).write(to),
            Ask::Free(path) => {
                FREE.write(to);
                path.write(to);
            }
            Ask::SoFar(job) => (22u8, *job).write(to),
            Ask::Where(job) => (9u8, *job).write(to),
            Ask::Engines(label) => {
                12u8.write(to);
                label.write(to);
            }
            Ask::WaitAny(jobs) => {
                13u8.write(to);
                write_all(jobs, to);
            }
            Ask::WaitAll(jobs) => {
                14u8.write(to);
                write_all(jobs, to);
            }
            Ask::CallOn(call, engines) => {
                CALL_ON.write(to);
                call.write(to);
                write_all(engines, to);
            }
            Ask::Defined { engines, name, type_name } => {
                DEFINED.write(to);
                write_all(engines, to);
                name.write(to);
                type_name.write(to);
            }
            Ask::ForgetAll(jobs) => {
                FORGET_ALL.write(to);
                write_all(jobs, to);
            }
            Ask::Hold(path) => {
                11u8.write(to);
                path.write(to);
            }
            Ask::Next(done) => {
                6u8.write(to);
                write_all(done, to);
            }
            Ask::Report(done) => {
                REPORT.write(to);
                write_all(done, to);
            }
            Ask::Call(call) => {
                CALL.write(to);
                call.write(to);
            }
            Ask::Result(value, room) => {
                RESULT.write(to);
                write_bytes(value, to);
                room.write(to);
            }
        }
    }

    fn read(from: &mut &[u8]) -> Result<Ask, Damaged> {
        Ok(match u8::read(from)? {
            0 => Ask::Room(u64::read(from)?),
            1 => Ask::Map(MapAsk::read(from)?),
            2 => Ask::Wait { job: u64::read(from)?, millis: u64::read(from)? },
            3 => Ask::Cancel(u64::read(from)?),
            FORGET => Ask::Forget(u64::read(from)?),
            FREE => Ask::Free(String::read(from)?),
            6 => Ask::Next(read_all(from)?),
            REPORT => Ask::Report(read_all(from)?),
            CALL => Ask::Call(CallAsk::read(from)?),
            9 => Ask::Where(u64::read(from)?),
            11 => Ask::Hold(String::read(from)?),
            12 => Ask::Engines(Option::read(from)?),
            13 => Ask::WaitAny(read_all(from)?),
            14 => Ask::WaitAll(read_all(from)?),
            CALL_ON => Ask::CallOn(CallAsk::read(from)?, read_all(from)?),
            FORGET_ALL => Ask::ForgetAll(read_all(from)?),
            DEFINED => {
                Ask::Defined { engines: read_all(from)?, name: String::read(from)?, type_name: String::read(from)? }
            }
            22 => Ask::SoFar(u64::read(from)?),
            20 => Ask::Passage(String::read(from)?),
            PASSED => Ask::Passed(String::read(from)?),
            18 => Ask::Take { maps: read_all(from)?, any: read_bool(from)? },
            RESULT => Ask::Result(read_bytes(from)?.to_vec(), Option::read(from)?),
            _ => return Err(Damaged),
        })
    }
}

impl Message for (u8, u64) {
    fn write(&self, to: &mut Vec<u8>) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut &[u8]) -> Result<(u8, u64), Damaged> {
        Ok((u8::read(from)?, u64::read(from)?))
    }
}

impl Message for MapAsk {
    fn write(&self, to: &mut Vec<u8>) {
        self.object.write(to);
        self.function.write(to);
        self.items.write(to);
        write_all(&self.rooms, to);
        write_bytes(&self.input, to);
        write_bytes(&self.constants, to);
        write_bytes(&self.gpu, to);
        self.wishes.write(to);
    }

    fn read(from: &mut &[u8]) -> Result<MapAsk, Damaged> {
        Ok(MapAsk {
            object: String::read(from)?,
            function: u64::read(from)?,
            items: u64::read(from)?,
            rooms: read_all(from)?,
            input: read_bytes(from)?.to_vec(),
            constants: read_bytes(from)?.to_vec(),
            gpu: read_bytes(from)?.to_vec(),
            wishes: Option::read(from)?,
        })
    }
}

impl Message for Layout {
    fn write(&self, to: &mut Vec<u8>) {
        [self.item.0, self.item.1, self.result.0, self.result.1].iter().for_each(|number| number.write(to));
    }

    fn read(from: &mut &[u8]) -> Result<Layout, Damaged> {
        let mut two = || Ok((u64::read(from)?, u64::read(from)?));
        Ok(Layout { item: two()?, result: two()? })
    }
}

impl Message for GpuServe {
    fn write(&self, to: &mut Vec<u8>) {
        write_bytes(&self.module, to);
        self.layout.write(to);
        write_bytes(&self.constants, to);
    }

    fn read(from: &mut &[u8]) -> Result<GpuServe, Damaged> {
        Ok(GpuServe {
            module: read_bytes(from)?.to_vec(),
            layout: Layout::read(from)?,
            constants: read_bytes(from)?.to_vec(),
        })
    }
}

impl Message for CallAsk {
    fn write(&self, to: &mut Vec<u8>) {
        self.job.write(to);
        self.object.write(to);
        self.function.write(to);
        self.label.write(to);
        write_all(&self.args, to);
        write_all(&self.rooms, to);
        write_all(&self.own, to);
        write_all(&self.after, to);
        self.on.write(to);
        self.gpu.write(to);
        self.retries.write(to);
        self.timeout.write(to);
        self.access.write(to);
        u8::from(self.is_last).write(to);
    }

    fn read(from: &mut &[u8]) -> Result<CallAsk, Damaged> {
        Ok(CallAsk {
            job: u64::read(from)?,
            object: String::read(from)?,
            function: u64::read(from)?,
            label: String::read(from)?,
            args: read_all(from)?,
            rooms: read_all(from)?,
            own: read_all(from)?,
            after: read_all(from)?,
            on: Option::read(from)?,
            gpu: u32::read(from)?,
            retries: Option::read(from)?,
            timeout: u64::read(from)?,
            access: Access::read(from)?,
            is_last: read_bool(from)?,
        })
    }
}

impl Message for Access {
    fn write(&self, to: &mut Vec<u8>) {
        (*self as u8).write(to);
    }

    fn read(from: &mut &[u8]) -> Result<Access, Damaged> {
        match u8::read(from)? {
            0 => Ok(Access::None),
            1 => Ok(Access::Read),
            2 => Ok(Access::Change),
            _ => Err(Damaged),
        }
    }
}

impl Message for Taking {
    fn write(&self, to: &mut Vec<u8>) {
        self.job.write(to);
        self.taken.write(to);
    }

    fn read(from: &mut &[u8]) -> Result<Taking, Damaged> {
        Ok(Taking { job: u64::read(from)?, taken: u64::read(from)? })
    }
}

/// A word of one byte.
pub(super) fn read_bool(from: &mut &[u8]) -> Result<bool, Damaged> {
    match u8::read(from)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Damaged),
    }
}

impl Message for OnEngine {
    fn write(&self, to: &mut Vec<u8>) {
        self.job.write(to);
        self.engine.write(to);
    }

    fn read(from: &mut &[u8]) -> Result<OnEngine, Damaged> {
        Ok(OnEngine { job: u64::read(from)?, engine: u32::read(from)? })
    }
}

impl Message for CallArg {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            CallArg::Value(value) => {
                0u8.write(to);
                write_bytes(value, to);
            }
            CallArg::Job(job) => (1u8, *job).write(to),
        }
    }

    fn read(from: &mut &[u8]) -> Result<CallArg, Damaged> {
        Ok(match u8::read(from)? {
            0 => CallArg::Value(read_bytes(from)?.to_vec()),
            1 => CallArg::Job(u64::read(from)?),
            _ => return Err(Damaged),
        })
    }
}

impl Message for Serve {
    fn write(&self, to: &mut Vec<u8>) {
        write_all(&self.rooms, to);
        write_bytes(&self.input, to);
        write_bytes(&self.constants, to);
        self.retries.write(to);
        self.on_error.write(to);
        self.timeout.write(to);
        self.threads.write(to);
        self.gpu.write(to);
    }

    fn read(from: &mut &[u8]) -> Result<Serve, Damaged> {
        Ok(Serve {
            rooms: read_all(from)?,
            input: read_bytes(from)?.to_vec(),
            constants: read_bytes(from)?.to_vec(),
            retries: u32::read(from)?,
            on_error: OnError::read(from)?,
            timeout: u64::read(from)?,
            threads: u32::read(from)?,
            gpu: Option::read(from)?,
        })
    }
}

impl Message for Piece {
    fn write(&self, to: &mut Vec<u8>) {
        [self.first, self.count, self.chunk].iter().for_each(|number| number.write(to));
    }

    fn read(from: &mut &[u8]) -> Result<Piece, Damaged> {
        Ok(Piece { first: u64::read(from)?, count: u64::read(from)?, chunk: u64::read(from)? })
    }
}

impl Message for Done {
    fn write(&self, to: &mut Vec<u8>) {
        [self.first, self.count, self.micros].iter().for_each(|number| number.write(to));
        self.gpu.write(to);
        match &self.results {
            Results::InPlace => 0u8.write(to),
            Results::Bytes(bytes) => {
                1u8.write(to);
                write_bytes(bytes, to);
            }
            Results::Room(offset, length) => {
                (2u8, *offset).write(to);
                length.write(to);
            }
            Results::Nothing => 3u8.write(to),
        }
        write_all(&self.failed.first, to);
        self.failed.count.write(to);
    }

    fn read(from: &mut &[u8]) -> Result<Done, Damaged> {
        Ok(Done {
            first: u64::read(from)?,
            count: u64::read(from)?,
            micros: u64::read(from)?,
            gpu: GpuTimes::read(from)?,
            results: match u8::read(from)? {
                0 => Results::InPlace,
                1 => Results::Bytes(read_bytes(from)?.to_vec()),
                2 => Results::Room(u64::read(from)?, u64::read(from)?),
                3 => Results::Nothing,
                _ => return Err(Damaged),
            },
            failed: Failures { first: read_all(from)?, count: u64::read(from)? },
        })
    }
}

impl Message for ItemFailure {
    fn write(&self, to: &mut Vec<u8>) {
        self.item.write(to);
        self.value.write(to);
        self.message.write(to);
    }

    fn read(from: &mut &[u8]) -> Result<ItemFailure, Damaged> {
        Ok(ItemFailure { item: u64::read(from)?, value: Option::read(from)?, message: String::read(from)? })
    }
}

impl Message for Answer {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Answer::Ok => 0u8.write(to),
            Answer::Gone => 9u8.write(to),
            Answer::Room(path) => {
                1u8.write(to);
                path.write(to);
            }
            Answer::Job(job) => (2u8, *job).write(to),
            Answer::Engines(ids) => {
                10u8.write(to);
                write_all(ids, to);
            }
            Answer::All(answers) => {
                11u8.write(to);
                write_all(answers, to);
            }
            Answer::Taken { map, done } => {
                (12u8, *map).write(to);
                write_all(done, to);
            }
            Answer::Running { done, items } => {
                (3u8, *done).write(to);
                items.write(to);
            }
            Answer::Ended { path, bytes, results } => {
                4u8.write(to);
                path.write(to);
                bytes.write(to);
                results.write(to);
            }
            Answer::Failed(sentence) => {
                5u8.write(to);
                sentence.write(to);
            }
            Answer::Work(pieces) => {
                6u8.write(to);
                write_all(pieces, to);
            }
            Answer::Place(engine) => {
                8u8.write(to);
                engine.write(to);
            }
            Answer::Value { engine, value } => {
                7u8.write(to);
                engine.write(to);
                write_bytes(value, to);
            }
        }
    }

    fn read(from: &mut &[u8]) -> Result<Answer, Damaged> {
        Ok(match u8::read(from)? {
            0 => Answer::Ok,
            1 => Answer::Room(String::read(from)?),
            2 => Answer::Job(u64::read(from)?),
            3 => Answer::Running { done: u64::read(from)?, items: u64::read(from)? },
            4 => Answer::Ended { path: String::read(from)?, bytes: u64::read(from)?, results: String::read(from)? },
            5 => Answer::Failed(String::read(from)?),
            6 => Answer::Work(read_all(from)?),
            8 => Answer::Place(Option::read(from)?),
            9 => Answer::Gone,
            10 => Answer::Engines(read_all(from)?),
            11 => Answer::All(read_all(from)?),
            12 => Answer::Taken { map: u64::read(from)?, done: read_all(from)? },
            7 => Answer::Value { engine: u32::read(from)?, value: read_bytes(from)?.to_vec() },
            _ => return Err(Damaged),
        })
    }
}
