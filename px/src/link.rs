//! What cells and whoever runs them say to each other over [`crate::host::Host::ask`]: the notebook's worker starts maps
//! and waits for them, an engine's worker fetches pieces of them.
//!
//! The messages have an encoding of their own, little endian, since this crate has no dependencies and programs of
//! another build of it must understand them. Nothing in here is for cells.

use std::fmt;

/// From a cell. Each has one answer, unless [`expects_answer`] says that it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Room for so many bytes, which processes of this host can open under the path that is answered.
    Room(u64),
    /// Begin a map. The answer is [`Answer::Job`].
    Map(MapAsk),
    /// Wait until a job ends, for so many milliseconds at most. The answer is [`Answer::Ended`] or [`Answer::Running`].
    Wait {
        /// Which job.
        job: u64,
        /// 0 asks how it is; `u64::MAX` waits for its end.
        millis: u64,
    },
    /// End a job. It keeps what it has done.
    Cancel(u64),
    /// Nobody will ask for this job's results any more: its rooms can go.
    Forget(u64),
    /// Nobody needs this room any more.
    Free(String),
    /// Have a function called on an engine. Waiting for it ends in [`Answer::Value`].
    Call(CallAsk),
    /// An engine's: what the function returned that this run is about, and the room of which that speaks.
    Result(Vec<u8>, Option<String>),
    /// On which engine a call runs or has run. The answer is [`Answer::Place`].
    Where(u64),
    /// An engine's: what was done since the last time; what is next?
    Next(Vec<Done>),
}

/// The first bytes of encoded asks that have no answer.
const FORGET: u8 = 4;
const FREE: u8 = 5;
const CALL: u8 = 7;
const RESULT: u8 = 8;

/// Whether this encoded [`Ask`] has an answer. For the others the way back would be most of what a short function takes.
/// They are taken in the order in which they were sent.
pub fn expects_answer(ask: &[u8]) -> bool {
    !matches!(ask.first(), Some(&(FORGET | FREE | CALL | RESULT)))
}

/// A map to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapAsk {
    /// The file of the object with the function, and where the function lies in it; empty if the magic that started the
    /// cell has compiled it for the engines.
    pub object: String,
    /// See `object`.
    pub function: u64,
    /// How many items.
    pub items: u64,
    /// The files that `input` speaks of, by number. The last is where results go.
    pub rooms: Vec<String>,
    /// What the items are, as `px` encodes it.
    pub input: Vec<u8>,
    /// Values that the function needs, as `px` encodes them.
    pub constants: Vec<u8>,
}

/// Jobs from this number on are calls, and others are maps.
pub const FIRST_CALL: u64 = 1 << 63;

/// A call to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallAsk {
    /// What the cell calls it, from [`FIRST_CALL`] on. No other call of the notebook has this number.
    pub job: u64,
    /// The file of the object with the function.
    pub object: String,
    /// Where the function lies in it.
    pub function: u64,
    /// What monitors show for it.
    pub label: String,
    /// The function's arguments, which the engine's run is given one behind the other.
    pub args: Vec<CallArg>,
    /// The rooms of which they speak. Those in `own` are the call's from now on; the kernel frees them after it. Others
    /// must be there until then, even if they are freed meanwhile.
    pub rooms: Vec<String>,
    /// See `rooms`.
    pub own: Vec<String>,
    /// Jobs that have to end well before, besides those in `args`.
    pub after: Vec<u64>,
    /// On which engine; on any if `None`.
    pub on: Option<u32>,
    /// How often to try again when the function panics; when its worker dies, at least once.
    pub retries: u32,
    /// How long it may take, in milliseconds; 0 is for ever.
    pub timeout: u64,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallArg {
    /// As `px` encodes it.
    Value(Vec<u8>),
    /// What another call returns.
    Job(u64),
}

/// What an engine's function is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serve {
    /// As in [`MapAsk`].
    pub rooms: Vec<String>,
    /// As in [`MapAsk`].
    pub input: Vec<u8>,
    /// As in [`MapAsk`].
    pub constants: Vec<u8>,
    /// How often an item whose function panics is tried again.
    pub retries: u32,
    /// What becomes of the others then.
    pub on_error: OnError,
    /// How long an item may take, in milliseconds; 0 is for ever.
    pub timeout: u64,
    /// How many threads work at a piece.
    pub threads: u32,
}

/// How a variable is passed on; it is the `input` of a [`Serve`], whose rooms are so many for each variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passing {
    /// What is to be done.
    pub step: Step,
    /// How many rooms a variable has.
    pub lanes: u32,
    /// The ranks of the engines that take part; each has the room at its place.
    pub ranks: Vec<u32>,
}

/// What a cell has to do with variables that are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Use all rooms of a variable as one.
    All,
    /// Use the room of this engine.
    Own,
    /// Put stretches of the items into the rooms.
    Split,
    /// Put items into the rooms by turns.
    Deal,
    /// Say how many items this engine has.
    Count,
    /// When all have said it, put the items where they belong among those of all.
    Place,
}

/// What becomes of a map when an item fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// It ends.
    #[default]
    Stop,
    /// The item has no result.
    Skip,
    /// The item's result is an error.
    Keep,
}

/// Items to work at, `chunk` of them at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The first item.
    pub first: u64,
    /// How many, at least 1.
    pub count: u64,
    /// How many make one task, at least 1.
    pub chunk: u64,
}

/// Items that are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The first item.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// What they took on the clock, in microseconds.
    pub micros: u64,
    /// Where their results are.
    pub results: Results,
    /// Those that failed, in order.
    pub failed: Vec<ItemFailure>,
}

/// Where results are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Results {
    /// In the last room, at the items' places.
    InPlace,
    /// Here, as `px` encodes them.
    Bytes(Vec<u8>),
    /// In the last room, at this offset and of this length in bytes.
    Room(u64, u64),
}

/// An item whose function panicked, or took too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemFailure {
    /// Its index.
    pub item: u64,
    /// Its value, if it can be shown, shortened.
    pub value: Option<String>,
    /// What the panic said.
    pub message: String,
}

/// To a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done.
    Ok,
    /// The path of a room.
    Room(String),
    /// A job's number.
    Job(u64),
    /// What a call returned, as `px` encodes it, and on which engine.
    Value {
        /// The engine.
        engine: u32,
        /// The value.
        value: Vec<u8>,
    },
    /// An engine, if there is one.
    Place(Option<u32>),
    /// The job goes on.
    Running {
        /// Items that are done.
        done: u64,
        /// All items.
        items: u64,
    },
    /// The job has ended. What was done is a sequence of [`Done`] in this file, by their first items.
    Ended {
        /// The file.
        path: String,
        /// Its length.
        bytes: u64,
    },
    /// It can't be done, or the job has failed. The sentence is for users.
    Failed(String),
    /// What an engine works at next; none means that the map is over.
    Work(Vec<Piece>),
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

numbers!(u8, u32, u64);

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
fn write_all<M: Message>(all: &[M], to: &mut Vec<u8>) {
    (all.len() as u64).write(to);
    all.iter().for_each(|each| each.write(to));
}

fn read_all<M: Message>(from: &mut &[u8]) -> Result<Vec<M>, Damaged> {
    let count = u64::read(from)?;
    (0..count).map(|_| M::read(from)).collect()
}

impl Message for Ask {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Ask::Room(bytes) => (0u8, *bytes).write(to),
            Ask::Map(map) => {
                1u8.write(to);
                map.write(to);
            }
            Ask::Wait { job, millis } => {
                (2u8, *job).write(to);
                millis.write(to);
            }
            Ask::Cancel(job) => (3u8, *job).write(to),
            Ask::Forget(job) => (FORGET, *job).write(to),
            Ask::Free(path) => {
                FREE.write(to);
                path.write(to);
            }
            Ask::Where(job) => (9u8, *job).write(to),
            Ask::Next(done) => {
                6u8.write(to);
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
            CALL => Ask::Call(CallAsk::read(from)?),
            9 => Ask::Where(u64::read(from)?),
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
    }

    fn read(from: &mut &[u8]) -> Result<MapAsk, Damaged> {
        Ok(MapAsk {
            object: String::read(from)?,
            function: u64::read(from)?,
            items: u64::read(from)?,
            rooms: read_all(from)?,
            input: read_bytes(from)?.to_vec(),
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
        self.retries.write(to);
        self.timeout.write(to);
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
            retries: u32::read(from)?,
            timeout: u64::read(from)?,
        })
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
        let on_error: u8 = match self.on_error {
            OnError::Stop => 0,
            OnError::Skip => 1,
            OnError::Keep => 2,
        };
        on_error.write(to);
        self.timeout.write(to);
        self.threads.write(to);
    }

    fn read(from: &mut &[u8]) -> Result<Serve, Damaged> {
        Ok(Serve {
            rooms: read_all(from)?,
            input: read_bytes(from)?.to_vec(),
            constants: read_bytes(from)?.to_vec(),
            retries: u32::read(from)?,
            on_error: match u8::read(from)? {
                0 => OnError::Stop,
                1 => OnError::Skip,
                2 => OnError::Keep,
                _ => return Err(Damaged),
            },
            timeout: u64::read(from)?,
            threads: u32::read(from)?,
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
        }
        write_all(&self.failed, to);
    }

    fn read(from: &mut &[u8]) -> Result<Done, Damaged> {
        Ok(Done {
            first: u64::read(from)?,
            count: u64::read(from)?,
            micros: u64::read(from)?,
            results: match u8::read(from)? {
                0 => Results::InPlace,
                1 => Results::Bytes(read_bytes(from)?.to_vec()),
                2 => Results::Room(u64::read(from)?, u64::read(from)?),
                _ => return Err(Damaged),
            },
            failed: read_all(from)?,
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
            Answer::Room(path) => {
                1u8.write(to);
                path.write(to);
            }
            Answer::Job(job) => (2u8, *job).write(to),
            Answer::Running { done, items } => {
                (3u8, *done).write(to);
                items.write(to);
            }
            Answer::Ended { path, bytes } => {
                4u8.write(to);
                path.write(to);
                bytes.write(to);
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
            4 => Answer::Ended { path: String::read(from)?, bytes: u64::read(from)? },
            5 => Answer::Failed(String::read(from)?),
            6 => Answer::Work(read_all(from)?),
            8 => Answer::Place(Option::read(from)?),
            7 => Answer::Value { engine: u32::read(from)?, value: read_bytes(from)?.to_vec() },
            _ => return Err(Damaged),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survives<M: Message + PartialEq + fmt::Debug>(message: M) {
        let bytes = message.encode();
        assert_eq!(M::decode(&bytes), Ok(message));
        for length in 0..bytes.len() {
            assert_eq!(M::decode(&bytes[..length]), Err(Damaged), "cut after {length}");
        }
    }

    #[test]
    fn messages_come_back_and_cut_ones_are_damaged() {
        let failed = vec![ItemFailure { item: 7, value: Some("-1.0".into()), message: "negative".into() }];
        let done = |results| Done { first: 1, count: 2, micros: 3, results, failed: failed.clone() };
        survives(Ask::Next(vec![done(Results::InPlace), done(Results::Bytes(vec![1, 2])), done(Results::Room(3, 4))]));
        survives(Ask::Map(MapAsk {
            object: "o".into(),
            function: 1,
            items: 2,
            rooms: vec!["a".into(), "b".into()],
            input: vec![3],
            constants: vec![],
        }));
        let asks = [
            Ask::Room(1),
            Ask::Where(2),
            Ask::Wait { job: 1, millis: 2 },
            Ask::Cancel(1),
            Ask::Forget(2),
            Ask::Free("x".into()),
        ];
        asks.into_iter().for_each(survives);
        survives(Ask::Call(CallAsk {
            job: 9,
            object: "o".into(),
            function: 1,
            label: "l".into(),
            args: vec![CallArg::Value(vec![2]), CallArg::Job(3)],
            rooms: vec!["r".into()],
            own: vec![],
            after: vec![4],
            on: Some(5),
            retries: 6,
            timeout: 7,
        }));
        survives(Ask::Result(vec![1], None));
        survives(Ask::Result(vec![1], Some("p".into())));
        assert!(!expects_answer(&Ask::Result(vec![], None).encode()) && expects_answer(&Ask::Cancel(1).encode()));
        survives(Serve {
            rooms: vec![],
            input: vec![1],
            constants: vec![2],
            retries: 3,
            on_error: OnError::Keep,
            timeout: 4,
            threads: 5,
        });
        for answer in [
            Answer::Ok,
            Answer::Place(None),
            Answer::Place(Some(3)),
            Answer::Room("/x".into()),
            Answer::Job(1),
            Answer::Running { done: 1, items: 2 },
            Answer::Ended { path: "/y".into(), bytes: 3 },
            Answer::Failed("why".into()),
            Answer::Value { engine: 1, value: vec![2] },
            Answer::Work(vec![Piece { first: 1, count: 2, chunk: 3 }]),
        ] {
            survives(answer);
        }
    }

    #[test]
    fn a_huge_length_is_damage_and_no_allocation() {
        let mut bytes = vec![6u8];
        bytes.extend(u64::MAX.to_le_bytes());
        assert_eq!(Ask::decode(&bytes), Err(Damaged));
        assert_eq!(Answer::decode(&bytes), Err(Damaged));
    }
}
