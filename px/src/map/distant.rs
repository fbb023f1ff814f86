//! Rooms of another host. An engine that isn't on the notebook's host asks the outpost of its own, a process which knows the
//! way and keeps on this host what was brought here.

use super::error::Error;
use super::rooms::{broken, open_here};
use crate::link::{MOST, OUTPOST, RoomAnswer, RoomAsk, ask_on};
use crate::sys::Mapping;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

/// As much is brought at once, at least: a question takes as long as some of these bytes.
const AHEAD: usize = 1 << 20;

/// How often a file is asked for that is gone when it is to be opened.
const TRIES: u32 = 5;

/// Where this host's outpost listens, if the notebook is on another host.
fn outpost() -> Option<&'static PathBuf> {
    static OUTPOST_AT: OnceLock<Option<PathBuf>> = OnceLock::new();
    OUTPOST_AT.get_or_init(|| std::env::var_os(OUTPOST).map(PathBuf::from)).as_ref()
}

/// Whether rooms may lie on another host.
pub(crate) fn may_be() -> bool {
    outpost().is_some()
}

/// A room that isn't on this host.
pub(crate) struct Distant {
    name: String,
    /// How long it was when it was found.
    length: u64,
}

impl Distant {
    /// The room of this name, which somebody must have.
    pub(crate) fn find(room: &str) -> Result<Distant, Error> {
        let mut room = Distant { name: room.to_owned(), length: 0 };
        room.length = room.done(RoomAsk::Length(room.name.clone()), &[])?;
        Ok(room)
    }

    /// A file that has all of it.
    pub(crate) fn whole(&self) -> Result<File, Error> {
        self.up_to(self.length)
    }

    /// The same, but for what is behind so many bytes.
    pub(crate) fn up_to(&self, end: u64) -> Result<File, Error> {
        self.bring(0..self.length.min(end))
    }

    /// A file that has these bytes of the room in the same places.
    fn bring(&self, range: Range<u64>) -> Result<File, Error> {
        let ask = RoomAsk::Bring(self.name.clone(), range.start, range.end.saturating_sub(range.start));
        let mut tries = 0;
        loop {
            let opened = match self.ask(&ask, &[], &mut Vec::new())? {
                RoomAnswer::Here(name) => open_here(&name),
                answer => return Err(self.unexpected(answer)),
            };
            // The outpost may have let go of the file since it said so. If the room is gone, it says that now.
            tries += 1;
            match opened {
                Err(_) if tries < TRIES => {}
                opened => return opened,
            }
        }
    }

    /// The bytes that it has there now, as many as there are.
    pub(crate) fn read(&self, to: &mut [u8], at: u64) -> Result<usize, Error> {
        let mut bytes = Vec::new();
        let wanted = (to.len() as u64).min(MOST);
        match self.ask(&RoomAsk::Read(self.name.clone(), at, wanted), &[], &mut bytes)? {
            RoomAnswer::Bytes(_) if bytes.len() <= to.len() => {
                to[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            answer => Err(self.unexpected(answer)),
        }
    }

    pub(crate) fn write(&self, bytes: &[u8], at: u64) -> Result<(), Error> {
        let mut outpost = self.outpost()?;
        let mut place = at;
        for part in bytes.chunks(MOST as usize) {
            let ask = RoomAsk::Write(self.name.clone(), place, part.len() as u64);
            match self.ask_on(&mut outpost, &ask, part, &mut Vec::new())? {
                RoomAnswer::Done(_) => place += part.len() as u64,
                answer => return Err(self.unexpected(answer)),
            }
        }
        Ok(())
    }

    /// Appends and says where.
    pub(crate) fn append(&self, bytes: &[u8]) -> Result<u64, Error> {
        if bytes.len() as u64 <= MOST {
            return self.done(RoomAsk::Append(self.name.clone(), bytes.len() as u64), bytes);
        }
        let at = self.done(RoomAsk::Reserve(self.name.clone(), bytes.len() as u64), &[])?;
        self.write(bytes, at).map(|()| at)
    }

    fn done(&self, ask: RoomAsk, bytes: &[u8]) -> Result<u64, Error> {
        match self.ask(&ask, bytes, &mut Vec::new())? {
            RoomAnswer::Done(number) => Ok(number),
            answer => Err(self.unexpected(answer)),
        }
    }

    fn ask(&self, ask: &RoomAsk, bytes: &[u8], into: &mut Vec<u8>) -> Result<RoomAnswer, Error> {
        self.ask_on(&mut self.outpost()?, ask, bytes, into)
    }

    /// A connection of one's own: one that is kept would be closed in a snapshot.
    fn outpost(&self) -> Result<UnixStream, Error> {
        UnixStream::connect(outpost().ok_or(Error::NoKernel)?).map_err(|error| self.silent(&error))
    }

    fn ask_on(
        &self,
        outpost: &mut UnixStream,
        ask: &RoomAsk,
        bytes: &[u8],
        into: &mut Vec<u8>,
    ) -> Result<RoomAnswer, Error> {
        ask_on(outpost, ask, bytes, into).map_err(|error| self.silent(&error))
    }

    fn silent(&self, error: &std::io::Error) -> Error {
        Error::Room(format!("this host's outpost can't be asked about {}: {error}", self.name))
    }

    fn unexpected(&self, answer: RoomAnswer) -> Error {
        match answer {
            RoomAnswer::Gone => Error::Freed,
            RoomAnswer::Failed(why) => Error::Room(why),
            _ => Error::Damaged,
        }
    }
}

/// A room of another host of which parts are read.
pub(crate) struct Parts {
    room: Distant,
    length: usize,
    brought: Mutex<Brought>,
}

/// What is here of a room.
#[derive(Default)]
struct Brought {
    /// One stretch is enough: parts are read one behind the other. It is in the last file.
    here: Range<usize>,
    /// The outpost's files with their numbers. It makes another one when it has let go of the last, as after a connection
    /// that broke, and that one has only what is brought from then on. Those before stay: somebody may read in them.
    files: Vec<(u64, Mapping)>,
}

impl Parts {
    pub(crate) fn new(room: Distant, length: usize) -> Result<Parts, Error> {
        if room.length < length as u64 {
            return Err(Error::Damaged);
        }
        Ok(Parts { room, length, brought: Mutex::default() })
    }

    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// These bytes. They are brought if they aren't here yet.
    pub(crate) fn get(&self, wanted: Range<usize>) -> Result<&[u8], Error> {
        if wanted.start > wanted.end || wanted.end > self.length {
            return Err(Error::Damaged);
        }
        if wanted.is_empty() {
            return Ok(&[]);
        }
        let mut brought = self.brought.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.start < brought.here.start || wanted.end > brought.here.end {
            let more = wanted.start..wanted.end.max(wanted.start.saturating_add(AHEAD)).min(self.length);
            let file = self.room.bring(more.start as u64..more.end as u64)?;
            brought.take(&file, self.length).map_err(|error| broken(&self.room.name, &error))?;
            brought.here = more;
        }
        let (_, mapping) = brought.files.last().ok_or(Error::Damaged)?;
        // SAFETY: it stays mapped as long as `self` lives, which never lets go of a mapping, and is inside of the file, which
        // the outpost has sealed against shortening. The outpost writes each byte once, before it says that the byte is here,
        // which it has said of all of these.
        Ok(unsafe { std::slice::from_raw_parts(mapping.start().add(wanted.start), wanted.len()) })
    }
}

impl Brought {
    /// Maps a file, unless it is the last one.
    fn take(&mut self, file: &File, length: usize) -> std::io::Result<()> {
        // No other file has the number while this one is mapped.
        let number = file.metadata()?.ino();
        if self.files.last().is_none_or(|(last, _)| *last != number) {
            self.files.push((number, Mapping::new(file, length, false)?));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn another_file_of_the_same_room_is_read_where_it_was_brought() {
        let file = |bytes: &[u8]| {
            let mut file = crate::sys::file_in_memory("brought");
            file.write_all(bytes).unwrap();
            file
        };
        let mut brought = Brought::default();
        let byte = |brought: &Brought| {
            let (_, mapping) = brought.files.last().unwrap();
            // SAFETY: the mapping's first byte, which nobody writes to.
            unsafe { *mapping.start() }
        };
        let (first, second) = (file(b"1"), file(b"2"));
        brought.take(&first, 1).unwrap();
        brought.take(&first, 1).unwrap();
        assert_eq!((byte(&brought), brought.files.len()), (b'1', 1));
        brought.take(&second, 1).unwrap();
        assert_eq!((byte(&brought), brought.files.len()), (b'2', 2));
        assert!(brought.take(&file(b""), 1).is_err(), "shorter than the room was");
    }
}
