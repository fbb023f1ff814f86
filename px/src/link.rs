//! What cells and whoever runs them say to each other over [`crate::host::Host::ask`]: the notebook's worker starts maps
//! and waits for them, an engine's worker fetches pieces of them.
//!
//! The messages have an encoding of their own, little endian, since this crate has no dependencies and programs of
//! another build of it must understand them. Nothing in here is for cells.

mod encoding;
mod gpu;
mod rooms;
mod wishes;

pub use encoding::{Damaged, Message, expects_answer};
pub use gpu::{GpuAnswer, GpuAsk, GpuTimes, Kept, Launch, LaunchArgument};
pub use rooms::{MOST, OUTPOST, RoomAnswer, RoomAsk, ask_on, frame_length, framed};
pub use wishes::MapWishes;

/// The name of a room that this process has open under this number. Numbers are used again, so the name also has what the
/// file in memory was called when it was made: an `id` that no other one has ever had, so that nothing else can be opened.
pub fn room_name(file: i32, id: &str) -> String {
    format!("/proc/{}/fd/{file}#{id}", std::process::id())
}

/// The name of a passage, for its use of this number: nobody opens it by a name of an earlier use. The number stands in the
/// file, too, little endian at [`USE_AT`].
pub fn passage_name(file: i32, id: &str, number: u64) -> String {
    format!("{}+{number}", room_name(file, id))
}

/// Where a passage has the number of its use: at the end of its first page.
pub const USE_AT: u64 = 4088;

/// From a cell. Each has one answer, unless [`expects_answer`] says that it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Room for so many bytes, which processes of this host can open by the name that is answered.
    Room(u64),
    /// A passage: a room through which variables go, which tells what for. If one was used for the same before, and nobody has
    /// it any more, it is that one: its memory is there already. The answer is as for a room.
    Passage(String),
    /// The cell needs this passage no longer, and all has gone well: nobody writes to it any more, and whoever reads on has
    /// locked it.
    Passed(String),
    /// Begin a map. The answer is [`Answer::Job`].
    Map(MapAsk),
    /// Wait until a job ends, for so many milliseconds at most. The answer is [`Answer::Ended`] or [`Answer::Running`].
    Wait {
        /// Which job.
        job: u64,
        /// 0 asks how it is; `u64::MAX` waits for its end.
        millis: u64,
    },
    /// Wait for results of maps whose results one loop takes. The answer is [`Answer::Taken`].
    Take {
        /// Which maps.
        maps: Vec<Taking>,
        /// Whether those of any will do; else they are to be the first one's.
        any: bool,
    },
    /// End a job. It keeps what it has done.
    Cancel(u64),
    /// Nobody will ask for this job's results any more: its rooms can go.
    Forget(u64),
    /// The cell needs this room no longer, or once less if it has asked to hold it.
    Free(String),
    /// Another value needs this room, until it is freed once more. The answer is [`Answer::Ok`], or [`Answer::Gone`].
    Hold(String),
    /// Have a function called on an engine. Waiting for it ends in [`Answer::Value`].
    Call(CallAsk),
    /// An engine's: what the function returned that this run is about, and the room of which that speaks.
    Result(Vec<u8>, Option<String>),
    /// On which engine a call runs or has run. The answer is [`Answer::RunsOn`].
    Where(u64),
    /// An engine's: what was done since the last time; what is next?
    Next(Vec<Done>),
    /// An engine's: what was done of items that it goes on with. A failure without an item says that it hasn't what it
    /// should map of its own.
    Report(Vec<Done>),
    /// The engines that there are, or those of them with this label. The answer is [`Answer::Engines`].
    Engines(Option<String>),
    /// What a map has done by now, whether it has ended or not, and how. The answer is [`Answer::Ended`].
    SoFar(u64),
    /// Wait until one of these calls ends. The answer is [`Answer::Job`] with its number.
    WaitAny(Vec<u64>),
    /// Wait until all of these calls have ended. The answer is [`Answer::All`] with what [`Ask::Wait`] says of each.
    WaitAll(Vec<u64>),
    /// Have the same call made on several engines: each with its number there, in place of the call's own.
    CallOn(CallAsk, Vec<OnEngine>),
    /// An engine's: the run uses its group, whose memory is there.
    Joined,
    /// As [`Ask::Forget`], of several.
    ForgetAll(Vec<u64>),
    /// Engines have a variable that no cell of theirs has defined.
    Defined {
        /// Which engines.
        engines: Vec<u32>,
        /// Its name.
        name: String,
        /// Its type, as `std::any::type_name` has it.
        type_name: String,
    },
}

/// A map that is streamed, to those who take its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taking {
    /// Which map.
    pub job: u64,
    /// How many reports of it were taken before.
    pub taken: u64,
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
    /// The same for GPUs; empty if the map isn't for them.
    pub gpu: Vec<u8>,
    /// How it is to be run, if the magic that started the cell doesn't say it.
    pub wishes: Option<MapWishes>,
}

/// Jobs from this number on are calls, and others are maps.
pub const FIRST_CALL: u64 = 1 << 63;

/// What a function may do with the variables of its engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nothing: it isn't given any.
    #[default]
    None,
    /// Read those that it is given.
    Read,
    /// Read and change those that it is given.
    Change,
}

/// A call to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// How many GPUs its engine must have.
    pub gpu: u32,
    /// How often to try again when the function panics, or its worker dies; if nobody has said, once after a death.
    pub retries: Option<u32>,
    /// How long it may take, in milliseconds; 0 is for ever.
    pub timeout: u64,
    /// What it may do with its engine's variables.
    pub access: Access,
    /// The names of those that must be there.
    pub variables: Vec<String>,
    /// Whether it only tidies up: it is made after an interrupt, too, and no cluster is started for it.
    pub is_last: bool,
}

/// One of several calls that differ in their engine only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnEngine {
    /// As in [`CallAsk`].
    pub job: u64,
    /// The engine.
    pub engine: u32,
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// What a GPU is to do in the function's place.
    pub gpu: Option<GpuServe>,
}

/// The part of a map that is for GPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuServe {
    /// The function's code, as PTX.
    pub module: Vec<u8>,
    /// Size and alignment of an item, and of a result, as they are there.
    pub layout: Layout,
    /// As `gpu` in [`MapAsk`].
    pub constants: Vec<u8>,
}

/// Sizes and alignments, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Of an item.
    pub item: (u64, u64),
    /// Of a result.
    pub result: (u64, u64),
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
    /// What a GPU spent of that.
    pub gpu: GpuTimes,
    /// Where their results are.
    pub results: Results,
    /// Those that failed.
    pub failed: Failures,
}

/// Items that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// The first ones, in order.
    pub first: Vec<ItemFailure>,
    /// How many there are.
    pub count: u64,
}

impl Failures {
    /// No more than so many are told of: a report is one message.
    pub const MOST: usize = 100;

    /// None.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One more, behind the others.
    pub fn push(&mut self, failure: ItemFailure) {
        self.append(Failures::from(failure));
    }

    /// Those of items behind these.
    pub fn append(&mut self, others: Failures) {
        let room = Failures::MOST.saturating_sub(self.first.len());
        self.first.extend(others.first.into_iter().take(room));
        self.count = self.count.saturating_add(others.count);
    }
}

impl From<ItemFailure> for Failures {
    fn from(failure: ItemFailure) -> Failures {
        Failures { first: vec![failure], count: 1 }
    }
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
    /// There are none: all of these items failed.
    Nothing,
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
    /// The name of a room.
    Room(String),
    /// There is no such room any more.
    Gone,
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
    RunsOn(Option<u32>),
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
        /// The room of results that have a place.
        results: String,
    },
    /// Results of a map that is streamed, which are nobody else's from now on; none when all were taken.
    Taken {
        /// Which of those that were asked for, by its place.
        map: u64,
        /// The results.
        done: Vec<Done>,
    },
    /// It can't be done, or the job has failed. The sentence is for users.
    Failed(String),
    /// What an engine works at next; none means that the map is over.
    Work(Vec<Piece>),
    /// Engines, in ascending order.
    Engines(Vec<u32>),
    /// Several answers.
    All(Vec<Answer>),
}

#[cfg(test)]
mod tests;
