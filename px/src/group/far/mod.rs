//! A member whose host doesn't have the group's memory. Its *deputy*, on the host that has it, is the member there, and does
//! what this one asks it over a connection.
//!
//! So all that members say to each other, how they wait and how they fail, is what it is on one host, and only bytes travel. A
//! connection may break: what was asked then is asked again over another, and has a number, so that it is done once.

mod deputy;
mod message;

pub use deputy::Deputies;

use super::exchange::{Numbers, Part, Whose};
use super::info::Info;
use super::member::{Broken, Call, Result};
use super::ops::Vector;
use super::post::Letter;
use super::segment::CHUNK;
use super::value::append;
use message::{Answer, Ask, Collective, PART, Steps, damaged, hear, tell};
use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a deputy is looked for: as long as an engine goes on that can't reach its controller.
const LIMIT: Duration = Duration::from_secs(60);
/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(100);
/// How long who panics waits until it is heard.
const HEARING: Duration = Duration::from_secs(2);

/// The file beside the outpost's socket for rooms at which it leads to deputies.
pub const DOOR: &str = "groups";

/// See the module.
pub(super) struct Far {
    pub info: Info,
    /// Where the way to the deputy begins.
    door: PathBuf,
    /// The group's name.
    name: String,
    connection: RefCell<Option<UnixStream>>,
    /// How much was asked and answered.
    asked: Cell<u64>,
}

impl Far {
    /// Has a deputy take part.
    pub fn open(info: Info, door: &Path, name: &str) -> Result<Far> {
        let (door, name) = (door.to_owned(), name.to_owned());
        let far = Far { info, door, name, connection: RefCell::default(), asked: Cell::new(0) };
        let stream = far.until_done(|| far.join())?;
        far.connection.replace(Some(stream));
        Ok(far)
    }

    /// Asks, and waits for the answer, over as many connections as it takes.
    fn ask(&self, ask: &Ask, bytes: &[u8]) -> Result<(Vec<u64>, String, Vec<u8>)> {
        let (answer, along) = self.until_done(|| self.once(ask, bytes))?;
        self.asked.set(self.asked.get() + 1);
        answer.settled().map(|(numbers, text)| (numbers, text, along))
    }

    fn until_done<T>(&self, once: impl Fn() -> std::result::Result<T, Failed>) -> Result<T> {
        let mut lost: Option<Instant> = None;
        loop {
            match once() {
                Ok(done) => return Ok(done),
                Err(Failed::Refused(broken)) => return Err(broken),
                Err(Failed::Connection(error)) => {
                    *self.connection.borrow_mut() = None;
                    // The first time at once: it may have been an old connection.
                    let Some(lost) = lost else {
                        lost = Some(Instant::now());
                        continue;
                    };
                    if lost.elapsed() > LIMIT {
                        return Err(Broken::group(format!(
                            "the other engines of the group can't be reached from here for {} s: {error}",
                            LIMIT.as_secs()
                        )));
                    }
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    fn once(&self, ask: &Ask, bytes: &[u8]) -> std::result::Result<(Answer, Vec<u8>), Failed> {
        let mut connection = self.connection.borrow_mut();
        let stream = match &mut *connection {
            Some(stream) => stream,
            none => none.insert(self.join()?),
        };
        tell(stream, ask, bytes)?;
        Ok(hear(stream, u64::MAX >> 1)?)
    }

    /// A connection to the deputy.
    fn join(&self) -> std::result::Result<UnixStream, Failed> {
        let mut stream = UnixStream::connect(&self.door)?;
        tell(&mut stream, &Ask::Join(self.name.clone(), self.asked.get()), &self.info.encode())?;
        let (answer, _) = hear::<Answer>(&mut stream, 0)?;
        answer.settled().map_err(Failed::Refused)?;
        Ok(stream)
    }

    /// Has the deputy keep all but the last part of what is to come along with a question, and returns that.
    fn bring<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let mut rest = bytes;
        while rest.len() > PART {
            let (part, behind) = rest.split_at(PART);
            self.ask(&Ask::Keep, part)?;
            rest = behind;
        }
        Ok(rest)
    }

    /// Appends all of which the answer has brought the first part.
    fn fetch(&self, mut bytes: Vec<u8>, whole: u64, to: &mut dyn Vector) -> Result<()> {
        if !whole.is_multiple_of(to.width() as u64) {
            return Err(damaged());
        }
        let mut come = bytes.len() as u64;
        append(to, &bytes);
        while come < whole {
            (_, _, bytes) = self.ask(&Ask::More, &[])?;
            if bytes.is_empty() {
                return Err(damaged());
            }
            come += bytes.len() as u64;
            append(to, &bytes);
        }
        Ok(())
    }

    /// See [`Member::exchange`](super::member::Member::exchange); of those that are asked for, and several chunks at a time.
    pub fn exchange(&self, call: &Call<'_>, mine: &[u8], whose: Whose, take: &mut dyn FnMut(Part<'_>)) -> Result<()> {
        let shares = if whose == Whose::All { self.info.size() } else { 1 };
        let most = (PART / CHUNK / shares).max(1);
        let (ranks, asked_for) = match whose {
            Whose::All => ((0..self.info.size()).collect(), None),
            Whose::Of(rank) => (vec![rank], Some(rank as u32)),
            Whose::Nobodys => (Vec::new(), Some(u32::MAX)),
        };
        let mut at = 0;
        loop {
            let part = mine.get(at..).unwrap_or_default();
            let part = &part[..part.len().min(most * CHUNK)];
            let steps = Steps { at: at as u64, most: most as u32, whole: mine.len() as u64, whose: asked_for };
            let (numbers, _, bytes) = self.ask(&Ask::Exchange(Collective::of(call), steps), part)?;
            // How long the longest is, and of each who is asked for: how long all is, and what came of it.
            let (longest, parts) = numbers.split_first().ok_or_else(damaged)?;
            if parts.len() != 2 * ranks.len() {
                return Err(damaged());
            }
            let mut bytes = bytes.as_slice();
            for (rank, two) in ranks.iter().zip(parts.chunks_exact(2)) {
                let (came, rest) = bytes.split_at_checked(two[1] as usize).ok_or_else(damaged)?;
                bytes = rest;
                take(Part { rank: *rank, at, whole: two[0] as usize, bytes: came });
            }
            at += most * CHUNK;
            if at as u64 >= *longest {
                return Ok(());
            }
        }
    }

    pub fn scatter(&self, call: &Call<'_>, mine: &[&[u8]], take: &mut dyn FnMut(Part<'_>)) -> Result<()> {
        let whole = mine.concat();
        let last = self.bring(&whole)?;
        let (lengths, _, first) = self.ask(&Ask::Scatter(Collective::of(call)), last)?;
        let mut bytes = Vec::new();
        self.fetch(first, lengths.iter().sum(), &mut bytes)?;
        if lengths.len() != self.info.size() {
            return Err(damaged());
        }
        let mut rest = bytes.as_slice();
        for (rank, length) in lengths.iter().enumerate() {
            let (part, behind) = rest.split_at_checked(*length as usize).ok_or_else(damaged)?;
            rest = behind;
            if !part.is_empty() {
                take(Part { rank, at: 0, whole: part.len(), bytes: part });
            }
        }
        Ok(())
    }

    pub fn reduce(&self, call: &Call<'_>, numbers: &mut Numbers<'_>) -> Result<()> {
        let (whole, kind, how) = (numbers.bytes.len() as u64, numbers.kind, numbers.how);
        let wanted = call.root.is_none_or(|root| root == self.info.rank);
        let mut rest = &mut *numbers.bytes;
        loop {
            let (part, behind) = rest.split_at_mut(rest.len().min(PART));
            let (_, _, combined) = self.ask(&Ask::Reduce(Collective::of(call), whole, kind, how), part)?;
            if wanted {
                if combined.len() != part.len() {
                    return Err(damaged());
                }
                part.copy_from_slice(&combined);
            }
            if behind.is_empty() {
                return Ok(());
            }
            rest = behind;
        }
    }

    pub fn send(&self, to: usize, of: &str, line: u32, value: &[u8]) -> Result<()> {
        let last = self.bring(value)?;
        let to = u32::try_from(to).unwrap_or(u32::MAX);
        self.ask(&Ask::Send(to, of.to_owned(), line), last).map(drop)
    }

    pub fn receive(&self, from: Option<usize>, of: &str, line: u32, value: &mut dyn Vector) -> Result<Letter> {
        let from = from.map(|from| u32::try_from(from).unwrap_or(u32::MAX));
        let (numbers, of, bytes) = self.ask(&Ask::Receive(from, of.to_owned(), line), &[])?;
        let [from, line, whole] = numbers[..] else { return Err(damaged()) };
        let from = usize::try_from(from).ok().filter(|from| *from < self.info.size()).ok_or_else(damaged)?;
        // Of another type than this none have come.
        self.fetch(bytes, whole, value)?;
        Ok(Letter { from, of, line: line as u32 })
    }

    /// Takes part no more.
    pub fn fail(&self) {
        // If it isn't heard, the end of the cell is.
        _ = self.once(&Ask::Fail, &[]);
    }
}

/// Says of the member that panics why it will leave.
pub(super) fn note(info: &Info, door: &Path, name: &str, text: &str) -> io::Result<()> {
    say(&mut connect(door)?, &Ask::Note(name.to_owned(), text.to_owned()), &info.encode())
}

/// Says of a group's member that it has left, as [`super::leave`] does, to whoever has its memory and listens there.
pub fn tell_left(at: &Path, name: &str, members: usize, rank: usize, why: Option<&str>) -> io::Result<()> {
    let ask = Ask::Left(name.to_owned(), members as u32, rank as u32, why.map(str::to_owned));
    say(&mut connect(at)?, &ask, &[])
}

/// For who wants to reach a deputy and can't: what it is told, as that would say it.
pub fn refusal(why: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let broken = Broken::own(format!("the other engines of the group can't be reached from here: {why}"));
    // Memory takes whatever is written.
    _ = tell(&mut bytes, &Answer::from(broken), &[]);
    bytes
}

fn connect(at: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(at)?;
    stream.set_read_timeout(Some(HEARING))?;
    stream.set_write_timeout(Some(HEARING))?;
    Ok(stream)
}

fn say(stream: &mut UnixStream, ask: &Ask, bytes: &[u8]) -> io::Result<()> {
    tell(stream, ask, bytes)?;
    let (answer, _) = hear::<Answer>(stream, 0)?;
    answer.settled().map(drop).map_err(|broken| io::Error::other(broken.text))
}

/// Why something wasn't answered.
enum Failed {
    /// It may be by another connection.
    Connection(io::Error),
    /// It won't be.
    Refused(Broken),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Connection(error)
    }
}
