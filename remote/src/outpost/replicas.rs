//! Rooms of other hosts, as far as they were brought to this one: each once, for all workers of the host.
//!
//! A room is brought in blocks, when somebody asks for bytes of them. What is missing is brought over several connections
//! at once. A replica goes when whoever has the room lets go of it; for that, each kernel is watched over a connection of
//! its own, without which nothing of it is kept. The controller's files are watched by nobody: of them, the last few are
//! kept. Who is about to open a replica that has gone asks again.

use super::way::{Stream, Way, WayError};
use crate::rooms::{PART, next_answer, take_into, take_some};
use crate::stream::Purpose;
use parking_lot::Mutex;
use px::link::{MOST, RoomAnswer, RoomAsk, framed, room_name};
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// What is brought at once, at least.
const BLOCK: u64 = 1 << 20;
/// Over so many connections at once.
const STREAMS: usize = 4;
/// How long a question may take.
const QUESTION: Duration = Duration::from_secs(20);
/// How long to pause before asking again.
const PAUSE: Duration = Duration::from_millis(200);
/// So many connections that nobody uses are kept for each who has rooms.
const SPARE: usize = 8;
/// So many files of the controller are kept.
const FILES: usize = 16;

/// Why a room can't be had. A sentence, unless it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    Gone,
    Failed(String),
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Missing {
        Missing::Failed(format!("this host's outpost has no room: {error}"))
    }
}

/// See the module.
pub struct Replicas {
    way: Arc<Way>,
    /// How long whoever has rooms may be out of reach.
    patience: Duration,
    rooms: Mutex<HashMap<String, Arc<Replica>>>,
    /// Files of the controller that were brought, the oldest first.
    files: Mutex<VecDeque<String>>,
    /// Connections that nobody uses.
    spare: Mutex<HashMap<Purpose, Vec<Stream>>>,
    /// Kernels that are watched.
    watched: tokio::sync::Mutex<std::collections::HashSet<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Missing,
    Coming,
    Here,
}

struct Replica {
    name: String,
    file: File,
    length: u64,
    blocks: Mutex<Vec<Block>>,
    changed: Notify,
}

/// The kernel that has a room, by the room's name; `None` for the files of the controller.
fn kernel(room: &str) -> Option<&str> {
    room.split_once("#chorus-")?.1.split('-').next()
}

fn purpose(room: &str) -> Purpose {
    kernel(room).map_or(Purpose::Files, |kernel| Purpose::Rooms(kernel.to_owned()))
}

impl Replicas {
    pub fn new(way: Arc<Way>, patience: Duration) -> Replicas {
        let (rooms, spare, watched) = (Mutex::default(), Mutex::default(), tokio::sync::Mutex::default());
        Replicas { way, patience, rooms, files: Mutex::default(), spare, watched }
    }

    /// The name of a file of this host that has these bytes of the room.
    pub async fn bring(self: &Arc<Self>, room: &str, at: u64, length: u64) -> Result<String, Missing> {
        let replica = self.replica(room).await?;
        let end = at.saturating_add(length).min(replica.length);
        let blocks = at / BLOCK..end.div_ceil(BLOCK);
        loop {
            // Before what it tells of is looked at.
            let changed = replica.changed.notified();
            let (mine, waits) = replica.claim(&blocks);
            if !mine.is_empty() {
                self.fetch(&replica, room, mine).await?;
            } else if waits {
                changed.await;
            } else {
                return Ok(replica.name.clone());
            }
        }
    }

    /// Asks whoever has the room, again and again while they can't be reached. What comes along with the answer is returned, or
    /// put into the file.
    pub async fn ask(
        &self,
        ask: &RoomAsk,
        bytes: &[u8],
        into: Option<(&File, u64)>,
    ) -> Result<(RoomAnswer, Vec<u8>), Missing> {
        self.forget_what_changes(ask);
        let (purpose, begun) = (purpose(ask.room()), Instant::now());
        loop {
            let why = match self.ask_once(&purpose, ask, bytes, into).await {
                Ok(answer) => return settled(answer),
                Err(WayError::Nobody) => return Err(Missing::Gone),
                Err(error) => error,
            };
            if begun.elapsed() > self.patience {
                return Err(Missing::Failed(why.to_string()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks what a worker asks while the bytes that belong to it are still coming: `bytes` has them at the end, in case they
    /// must be sent again. It fails when the worker's connection does.
    pub async fn relay(
        &self,
        ask: &RoomAsk,
        worker: &mut UnixStream,
        bytes: &mut Vec<u8>,
    ) -> io::Result<Result<(RoomAnswer, Vec<u8>), Missing>> {
        self.forget_what_changes(ask);
        let purpose = purpose(ask.room());
        let mut stream = match self.spare(&purpose) {
            Some(stream) => Some(stream),
            None => self.way.open(&purpose).await.ok(),
        };
        if let Some(it) = &mut stream
            && say(it, &framed(ask)).await.is_err()
        {
            stream = None;
        }
        let length = ask.brings();
        bytes.reserve(length as usize);
        while (bytes.len() as u64) < length {
            let before = bytes.len();
            take_some(worker, (length - before as u64).min(PART as u64), bytes).await?;
            if let Some(it) = &mut stream
                && say(it, &bytes[before..]).await.is_err()
            {
                stream = None;
            }
        }
        if let Some(mut stream) = stream
            && let Ok(answer) = answered(&mut stream, None).await
        {
            self.keep(&purpose, stream);
            return Ok(settled(answer));
        }
        Ok(self.ask(ask, bytes, None).await)
    }

    /// What was brought of a room before it is written to isn't what is there then.
    fn forget_what_changes(&self, ask: &RoomAsk) {
        if matches!(ask, RoomAsk::Write(..)) {
            self.rooms.lock().remove(ask.room());
        }
    }

    async fn ask_once(
        &self,
        purpose: &Purpose,
        ask: &RoomAsk,
        bytes: &[u8],
        into: Option<(&File, u64)>,
    ) -> Result<(RoomAnswer, Vec<u8>), WayError> {
        if let Some(mut stream) = self.spare(purpose)
            && let Ok(answer) = ask_on(&mut stream, ask, bytes, into).await
        {
            self.keep(purpose, stream);
            return Ok(answer);
        }
        let mut stream = self.way.open(purpose).await?;
        let asked = ask_on(&mut stream, ask, bytes, into).await;
        let answer = asked.map_err(|error| WayError::Unreachable(error.to_string()))?;
        self.keep(purpose, stream);
        Ok(answer)
    }

    /// A connection that nobody uses.
    fn spare(&self, purpose: &Purpose) -> Option<Stream> {
        self.spare.lock().get_mut(purpose).and_then(Vec::pop)
    }

    fn keep(&self, purpose: &Purpose, stream: Stream) {
        let mut spare = self.spare.lock();
        let spare = spare.entry(purpose.clone()).or_default();
        if spare.len() < SPARE {
            spare.push(stream);
        }
    }

    async fn replica(self: &Arc<Self>, room: &str) -> Result<Arc<Replica>, Missing> {
        if let Some(replica) = self.rooms.lock().get(room) {
            return Ok(Arc::clone(replica));
        }
        match kernel(room) {
            // Before it is asked for, lest its end is missed.
            Some(kernel) => self.watch(kernel, room).await?,
            None => self.make_way_for(room),
        }
        let (answer, _) = self.ask(&RoomAsk::Length(room.to_owned()), &[], None).await?;
        let RoomAnswer::Done(length) = answer else {
            return Err(Missing::Failed("the answer to a question about a room isn't one".to_owned()));
        };
        let replica = Arc::new(Replica::new(room, length)?);
        // Somebody else may have been faster.
        Ok(Arc::clone(self.rooms.lock().entry(room.to_owned()).or_insert(replica)))
    }

    /// Lets go of the oldest file if there are too many with this one.
    fn make_way_for(&self, room: &str) {
        let mut files = self.files.lock();
        files.push_back(room.to_owned());
        while files.len() > FILES {
            let oldest = files.pop_front().unwrap_or_default();
            self.rooms.lock().remove(&oldest);
        }
    }

    /// Sees to it that replicas of the kernel's rooms go when the rooms do.
    async fn watch(self: &Arc<Self>, kernel: &str, room: &str) -> Result<(), Missing> {
        let kernel = kernel.to_owned();
        let mut watched = self.watched.lock().await;
        if watched.contains(&kernel) {
            return Ok(());
        }
        let begun = Instant::now();
        let mut stream = loop {
            let left = self.patience.saturating_sub(begun.elapsed());
            let mut stream = match self.way.open_within(&purpose(room), left).await {
                Ok(stream) => stream,
                Err(WayError::Nobody) => return Err(Missing::Gone),
                Err(error) => return Err(Missing::Failed(error.to_string())),
            };
            match ask_on(&mut stream, &RoomAsk::Watch, &[], None).await {
                Ok(_) => break stream,
                Err(error) if begun.elapsed() > self.patience => return Err(Missing::Failed(error.to_string())),
                // It broke at this very moment.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        watched.insert(kernel.clone());
        drop(watched);
        let replicas = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok(RoomAnswer::Freed(room)) = next_answer(&mut stream).await {
                replicas.rooms.lock().remove(&room);
            }
            let mut watched = replicas.watched.lock().await;
            watched.remove(&kernel);
            replicas.rooms.lock().retain(|room, _| self::kernel(room) != Some(&kernel));
        });
        Ok(())
    }

    /// Brings blocks that were claimed.
    async fn fetch(&self, replica: &Replica, room: &str, blocks: Vec<u64>) -> Result<(), Missing> {
        let mut claim = Claim { replica, left: blocks.clone() };
        let stretches = stretches(&blocks, replica.length);
        let fetched = futures::stream::iter(stretches.into_iter().map(|stretch| async move {
            let mut at = stretch.start;
            while at < stretch.end {
                let ask = RoomAsk::Read(room.to_owned(), at, stretch.end - at);
                let (answer, _) = self.ask(&ask, &[], Some((&replica.file, at))).await?;
                if answer.brings() == 0 {
                    return Err(Missing::Failed("a room is shorter than it was".to_owned()));
                }
                at += answer.brings();
            }
            Ok(())
        }));
        use futures::{StreamExt as _, TryStreamExt as _};
        fetched.buffer_unordered(STREAMS).try_collect::<()>().await?;
        claim.left.clear();
        replica.mark(&blocks, Block::Here);
        Ok(())
    }
}

/// Blocks that somebody has said to bring. Those that aren't here when this is dropped are missing again.
struct Claim<'a> {
    replica: &'a Replica,
    left: Vec<u64>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.left.is_empty() {
            self.replica.mark(&self.left, Block::Missing);
        }
    }
}

impl Replica {
    fn new(room: &str, length: u64) -> io::Result<Replica> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // The room's next replica may get the descriptor that this one had: whoever opens it by its name must see that.
        let id = match room.split_once('#') {
            Some((_, id)) => format!("{id}-{number}"),
            None => format!("chorus-copy-{number}"),
        };
        let file = chorus_system::memory::file(&id, length)?;
        let blocks = Mutex::new(vec![Block::Missing; length.div_ceil(BLOCK) as usize]);
        Ok(Replica { name: room_name(file.as_raw_fd(), &id), file, length, blocks, changed: Notify::new() })
    }

    /// Takes the missing ones of these blocks upon oneself; and whether others are still coming.
    fn claim(&self, wanted: &Range<u64>) -> (Vec<u64>, bool) {
        let mut blocks = self.blocks.lock();
        let (mut mine, mut waits) = (Vec::new(), false);
        for number in wanted.clone() {
            let Some(block) = blocks.get_mut(number as usize) else { continue };
            match block {
                Block::Missing => {
                    *block = Block::Coming;
                    mine.push(number);
                }
                Block::Coming => waits = true,
                Block::Here => {}
            }
        }
        (mine, waits)
    }

    fn mark(&self, numbers: &[u64], state: Block) {
        let mut blocks = self.blocks.lock();
        for number in numbers {
            if let Some(block) = blocks.get_mut(*number as usize) {
                *block = state;
            }
        }
        drop(blocks);
        self.changed.notify_waiters();
    }
}

/// Blocks as bytes: neighbours together, as far as they fit into an answer, but not fewer than connections can bring at
/// once.
fn stretches(blocks: &[u64], length: u64) -> Vec<Range<u64>> {
    let most = (blocks.len().div_ceil(STREAMS) as u64 * BLOCK).clamp(BLOCK, MOST);
    let mut all: Vec<Range<u64>> = Vec::new();
    for block in blocks {
        let (start, end) = (block * BLOCK, ((block + 1) * BLOCK).min(length));
        match all.last_mut() {
            Some(last) if last.end == start && end - last.start <= most => last.end = end,
            _ => all.push(start..end),
        }
    }
    all
}

/// What an answer says, if it is one to go on with.
fn settled((answer, bytes): (RoomAnswer, Vec<u8>)) -> Result<(RoomAnswer, Vec<u8>), Missing> {
    match answer {
        RoomAnswer::Gone => Err(Missing::Gone),
        RoomAnswer::Failed(why) => Err(Missing::Failed(why)),
        answer => Ok((answer, bytes)),
    }
}

async fn ask_on(
    stream: &mut Stream,
    ask: &RoomAsk,
    bytes: &[u8],
    into: Option<(&File, u64)>,
) -> io::Result<(RoomAnswer, Vec<u8>)> {
    say(stream, &framed(ask)).await?;
    say(stream, bytes).await?;
    answered(stream, into).await
}

async fn say(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    timeout(QUESTION, stream.write_all(bytes)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn answered(stream: &mut Stream, into: Option<(&File, u64)>) -> io::Result<(RoomAnswer, Vec<u8>)> {
    let answered = async {
        stream.flush().await?;
        let answer = next_answer(stream).await?;
        let mut bytes = Vec::new();
        match into {
            Some(to) => {
                // The connection has no part in it.
                if let Err(Missing::Failed(why)) = take_into(stream, answer.brings(), Ok(to)).await? {
                    return Ok((RoomAnswer::Failed(why), bytes));
                }
            }
            None => {
                while (bytes.len() as u64) < answer.brings() {
                    take_some(stream, answer.brings() - bytes.len() as u64, &mut bytes).await?;
                }
            }
        }
        Ok((answer, bytes))
    };
    timeout(QUESTION, answered).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rooms_name_says_who_has_it() {
        assert_eq!(kernel("/proc/7/fd/9#chorus-00ff-12"), Some("00ff"));
        assert_eq!(kernel("/run/x/value-1"), None);
        assert_eq!(purpose("/run/x/value-1"), Purpose::Files);
    }

    #[test]
    fn what_is_missing_is_brought_once_and_again_after_a_failure() {
        let replica = Replica::new("/proc/7/fd/9#chorus-00ff-12", 5 * BLOCK / 2).unwrap();
        let another = Replica::new("/proc/7/fd/9#chorus-00ff-12", 5 * BLOCK / 2).unwrap();
        assert!(replica.name.contains("#chorus-00ff-12-"));
        assert_ne!(replica.name.split_once('#').unwrap().1, another.name.split_once('#').unwrap().1);
        assert_eq!(replica.claim(&(1..3)), (vec![1, 2], false));
        assert_eq!(replica.claim(&(0..3)), (vec![0], true));
        replica.mark(&[1, 2], Block::Here);
        drop(Claim { replica: &replica, left: vec![0] });
        assert_eq!(replica.claim(&(0..3)), (vec![0], false));
        assert_eq!(replica.claim(&(1..9)), (vec![], false));
    }

    #[test]
    fn neighbours_come_together_and_the_last_is_as_long_as_the_room() {
        assert_eq!(stretches(&[0, 1], BLOCK + 10), [0..BLOCK, BLOCK..BLOCK + 10]);
        assert_eq!(stretches(&[0, 1, 3], 4 * BLOCK), [0..BLOCK, BLOCK..2 * BLOCK, 3 * BLOCK..4 * BLOCK]);
        let all: Vec<u64> = (0..100).collect();
        let parts = stretches(&all, 100 * BLOCK - 1);
        assert_eq!(parts.first(), Some(&(0..MOST)));
        assert_eq!(parts.iter().map(|part| part.end - part.start).sum::<u64>(), 100 * BLOCK - 1);
    }
}
