//! Rooms: files in memory through which the notebook and its engines pass what is large, without a socket.

use super::distant::{self, Distant, Parts};
use super::error::{Error, ask};
use crate::link::{Answer, Ask, Message as _, USE_AT, room_name};
pub(crate) use crate::sys::PAGE;
use crate::sys::{Mapping, is_final};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is smaller stays in messages.
pub(crate) const SMALL: usize = 16 << 10;
/// Results that have their places begin here in a room of results. Before stands for how many bytes pages were taken for the
/// others, which are appended from the second page on; and [`VERDICT`].
pub(crate) const HEAD: u64 = 16;
/// Where in the head the kernel's word stands for engines that keep their results.
pub(crate) const VERDICT: u64 = 8;
/// So many bytes are written at once.
pub(crate) const BLOCK: usize = 1 << 20;

/// A room that is open here. What this process has made or holds is freed, unless someone else has taken over.
pub(crate) struct Room {
    path: String,
    file: RoomFile,
    is_own: bool,
}

/// What is in a room.
pub(crate) enum RoomFile {
    /// It lies on this host.
    Here(File),
    /// On another one.
    There(Distant),
}

impl RoomFile {
    /// Opens a room by its name.
    pub(crate) fn open(name: &str) -> Result<RoomFile, Error> {
        match open_here(name) {
            Ok(file) => Ok(RoomFile::Here(file)),
            Err(_) if distant::may_be() => Distant::find(name).map(RoomFile::There),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8], at: u64) -> Result<(), Error> {
        match self {
            RoomFile::Here(file) => file.write_all_at(bytes, at).map_err(|error| broken(name, &error)),
            RoomFile::There(room) => room.write(bytes, at),
        }
    }

    /// What it has there now, as far as it fits. How much that is.
    pub(crate) fn read(&self, name: &str, to: &mut [u8], at: u64) -> Result<usize, Error> {
        match self {
            RoomFile::Here(file) => file.read_at(to, at).map_err(|error| broken(name, &error)),
            RoomFile::There(room) => room.read(to, at),
        }
    }

    /// A file of this host that has all of it. What is written to it doesn't reach the room, unless it is here.
    pub(crate) fn whole(self) -> Result<File, Error> {
        self.up_to(u64::MAX)
    }

    /// The same, but for what is behind so many bytes.
    pub(crate) fn up_to(self, end: u64) -> Result<File, Error> {
        match self {
            RoomFile::Here(file) => Ok(file),
            RoomFile::There(room) => room.up_to(end),
        }
    }
}

impl Room {
    pub(crate) fn new(bytes: u64) -> Result<Room, Error> {
        let Answer::Room(path) = ask(&Ask::Room(bytes))? else { return Err(Error::Damaged) };
        let file = RoomFile::open(&path)?;
        Ok(Room { path, file, is_own: true })
    }

    /// One through which variables go that are sent for this purpose.
    pub(crate) fn passage(purpose: &str) -> Result<Room, Error> {
        let Answer::Room(path) = ask(&Ask::Passage(purpose.to_owned()))? else { return Err(Error::Damaged) };
        let file = RoomFile::open(&path)?;
        Ok(Room { path, file, is_own: true })
    }

    /// What was to go through this passage has arrived. It may be used again.
    pub(crate) fn passed(mut self) {
        self.is_own = false;
        // Without a host there is nobody to tell.
        let _ = ask(&Ask::Passed(std::mem::take(&mut self.path)));
    }

    /// One that somebody else holds.
    pub(crate) fn of_others(path: &str) -> Result<Room, Error> {
        Ok(Room { file: RoomFile::open(path)?, path: path.to_owned(), is_own: false })
    }

    /// One that somebody else has made, and which is there as long as this, too. `None` if nobody holds it any more.
    pub(crate) fn hold(path: &str) -> Option<Room> {
        let mut room = Room::of_others(path).ok()?;
        room.is_own = ask(&Ask::Hold(path.to_owned())) == Ok(Answer::Ok);
        room.is_own.then_some(room)
    }

    /// For the results of so many items.
    pub(crate) fn of_results(items: u64, size: usize) -> Result<Room, Error> {
        let bytes = items.checked_mul(size as u64).and_then(|bytes| bytes.checked_add(HEAD));
        let room = Room::new(bytes.ok_or_else(|| Error::Room(format!("{items} results of {size} bytes")))?)?;
        room.write(&[0; HEAD as usize], 0)?;
        Ok(room)
    }

    pub(crate) fn write(&self, bytes: &[u8], at: u64) -> Result<(), Error> {
        self.file.write(&self.path, bytes, at)
    }

    /// Someone else frees it.
    pub(crate) fn release(mut self) {
        self.is_own = false;
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// A file that has all of it, and that nobody changes.
    pub(crate) fn whole(&self) -> Result<File, Error> {
        match &self.file {
            RoomFile::Here(file) => file.try_clone().map_err(|error| broken(&self.path, &error)),
            RoomFile::There(room) => room.whole(),
        }
    }

    /// The name by which it can be opened as long as this process has it open.
    pub(crate) fn name_here(&self) -> String {
        match (self.path.split_once('#'), &self.file) {
            (Some((_, id)), RoomFile::Here(file)) => room_name(file.as_raw_fd(), id),
            // The other side has it under the name that it has told.
            _ => self.path.clone(),
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.is_own {
            // Without a host there is nobody to tell.
            let _ = ask(&Ask::Free(std::mem::take(&mut self.path)));
        }
    }
}

pub(crate) fn broken(path: &str, error: &std::io::Error) -> Error {
    Error::Room(format!("{path}: {error}"))
}

/// A file that has all of a room.
pub(crate) fn open(name: &str) -> Result<File, Error> {
    RoomFile::open(name)?.whole()
}

/// Opens a room of this host by its name, see [`room_name`], or the file of a large result by its path.
pub(crate) fn open_here(name: &str) -> Result<File, Error> {
    let (path, id) = name.split_once('#').filter(|_| name.starts_with("/proc/")).unwrap_or((name, ""));
    let (id, number) = use_in(id);
    // Looked at before, lest something else is opened, and then again, since it may have become something else meanwhile.
    if !id.is_empty() && !is_room(path, id) {
        return Err(Error::Freed);
    }
    match File::options().read(true).write(true).open(path) {
        Ok(file)
            if id.is_empty()
                || is_room(&format!("/proc/self/fd/{}", file.as_raw_fd()), id)
                    && number.is_none_or(|number| is_used_so(&file, number)) =>
        {
            Ok(file)
        }
        Ok(_) => Err(Error::Freed),
        Err(error) => Err(broken(name, &error)),
    }
}

/// Whether somebody still has the room of this name.
pub(crate) fn is_there(name: &str) -> bool {
    let is_here = name.split_once('#').is_some_and(|(path, id)| is_room(path, id));
    is_here || (distant::may_be() && Distant::find(name).is_ok())
}

/// Whether a room can't be opened on this host, though it may be on another one.
pub(crate) fn is_elsewhere(name: &str) -> bool {
    distant::may_be() && open_here(name).is_err()
}

/// Whether this is an open file in memory that was made under this name, of which there is only one.
fn is_room(path: &str, id: &str) -> bool {
    std::fs::read_link(path)
        .is_ok_and(|file| file.as_os_str().as_bytes() == format!("/memfd:{id} (deleted)").as_bytes())
}

/// What a room is called, and which use of it this is if it is a passage.
fn use_in(id: &str) -> (&str, Option<u64>) {
    let passage = id.rsplit_once('+').and_then(|(id, number)| Some((id, Some(number.parse().ok()?))));
    passage.unwrap_or((id, None))
}

/// Whether the room of this name is a passage.
pub(crate) fn is_passage(name: &str) -> bool {
    use_in(name).1.is_some()
}

/// Whether a passage is in its use of this number.
fn is_used_so(passage: &File, number: u64) -> bool {
    let mut now = [0; 8];
    passage.read_exact_at(&mut now, USE_AT).is_ok() && u64::from_le_bytes(now) == number
}

/// Bytes that others read: in a message while they are few, else in a room.
pub(crate) enum Blob {
    Small(Vec<u8>),
    Large { room: Room, length: u64 },
}

impl Blob {
    /// Describes it, for [`Bytes::read`].
    pub(crate) fn write(&self, to: &mut Vec<u8>, rooms: &mut Vec<String>) {
        match self {
            Blob::Small(bytes) => {
                0u8.write(to);
                (bytes.len() as u64).write(to);
                to.extend_from_slice(bytes);
            }
            Blob::Large { room, length } => {
                1u8.write(to);
                length.write(to);
                (rooms.len() as u32).write(to);
                rooms.push(room.path.clone());
            }
        }
    }
}

/// Collects bytes.
pub struct Writer {
    buffer: Vec<u8>,
    room: Option<Room>,
    written: u64,
}

impl Writer {
    pub(crate) fn new() -> Writer {
        Writer { buffer: Vec::new(), room: None, written: 0 }
    }

    /// How many bytes there are so far.
    pub(crate) fn length(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Where bytes can be appended; [`Writer::spill`] goes after it.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(crate) fn spill(&mut self) -> Result<(), Error> {
        if self.buffer.len() < BLOCK { Ok(()) } else { self.flush() }
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() < BLOCK {
            self.buffer.extend_from_slice(bytes);
            return self.spill();
        }
        self.flush()?;
        let at = self.written;
        self.place(at + bytes.len() as u64)?.write(bytes, at)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if !self.buffer.is_empty() {
            let buffer = std::mem::take(&mut self.buffer);
            let at = self.written;
            self.place(at + buffer.len() as u64)?.write(&buffer, at)?;
            self.written += buffer.len() as u64;
            self.buffer = buffer;
            self.buffer.clear();
        }
        Ok(())
    }

    /// The room, which grows as it is written to.
    fn place(&mut self, bytes: u64) -> Result<&Room, Error> {
        if self.room.is_none() {
            self.room = Some(Room::new(bytes)?);
        }
        self.room.as_ref().ok_or(Error::Damaged)
    }

    pub(crate) fn finish(mut self) -> Result<Blob, Error> {
        if self.room.is_none() && self.buffer.len() < SMALL {
            return Ok(Blob::Small(self.buffer));
        }
        self.flush()?;
        match self.room {
            Some(room) => Ok(Blob::Large { room, length: self.written }),
            None => Ok(Blob::Small(Vec::new())),
        }
    }
}

/// What a [`Blob`] describes, in the process that reads it.
pub enum Bytes {
    #[doc(hidden)]
    Small(Box<[u8]>),
    #[doc(hidden)]
    Mapped(Mapped),
}

/// Bytes that are read in parts: of what lies on another host only these parts are brought here.
pub(crate) enum PartsOf {
    All(Bytes),
    Distant(Parts),
}

impl PartsOf {
    pub(crate) fn read(from: &mut &[u8], rooms: &[String]) -> Result<PartsOf, Error> {
        let mut ahead = *from;
        if distant::may_be()
            && let (1, length) = (u8::read(&mut ahead)?, u64::read(&mut ahead)?)
        {
            let length = usize::try_from(length).map_err(|_| Error::Damaged)?;
            let name = rooms.get(u32::read(&mut ahead)? as usize).ok_or(Error::Damaged)?;
            if let RoomFile::There(room) = RoomFile::open(name)? {
                *from = ahead;
                return Parts::new(room, length).map(PartsOf::Distant);
            }
        }
        Bytes::read(from, rooms).map(PartsOf::All)
    }

    pub(crate) fn length(&self) -> usize {
        match self {
            PartsOf::All(bytes) => bytes.as_slice().len(),
            PartsOf::Distant(parts) => parts.length(),
        }
    }

    pub(crate) fn get(&self, range: std::ops::Range<usize>) -> Result<&[u8], Error> {
        match self {
            PartsOf::All(bytes) => bytes.as_slice().get(range).ok_or(Error::Damaged),
            PartsOf::Distant(parts) => parts.get(range),
        }
    }
}

impl Bytes {
    pub(crate) fn read(from: &mut &[u8], rooms: &[String]) -> Result<Bytes, Error> {
        match (u8::read(from)?, usize::try_from(u64::read(from)?)) {
            (0, Ok(length)) => {
                let (bytes, rest) = from.split_at_checked(length).ok_or(Error::Damaged)?;
                *from = rest;
                Ok(Bytes::Small(bytes.into()))
            }
            (1, Ok(length)) => {
                let path = rooms.get(u32::read(from)? as usize).ok_or(Error::Damaged)?;
                Ok(Bytes::Mapped(Mapped::read_only(path, length)?))
            }
            _ => Err(Error::Damaged),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::Small(bytes) => bytes,
            Bytes::Mapped(mapped) => mapped.as_slice(),
        }
    }
}

/// What a file holds: its own pages if nobody can change them, else a copy.
#[doc(hidden)]
pub enum Mapped {
    Final(Mapping),
    Copy(Box<[u8]>),
}

impl Mapped {
    pub(crate) fn read_only(name: &str, length: usize) -> Result<Mapped, Error> {
        Mapped::of(&open(name)?, length).map_err(|error| broken(name, &error))
    }

    pub(crate) fn of(file: &File, length: usize) -> std::io::Result<Mapped> {
        if is_final(file) {
            return Mapping::new(file, length, false).map(Mapped::Final);
        }
        if file.metadata()?.len() < length as u64 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut copy = vec![0; length];
        file.read_exact_at(&mut copy, 0)?;
        Ok(Mapped::Copy(copy.into()))
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            // SAFETY: mapped as long as `self` lives, and inside of the file. `is_final` has sealed the file before: the
            // system lets nobody shorten it or write to it, whatever they do, and nobody had a mapping to write to.
            Mapped::Final(mapping) => unsafe { std::slice::from_raw_parts(mapping.start(), mapping.length()) },
            Mapped::Copy(bytes) => bytes,
        }
    }
}

/// The room for results, in an engine.
pub(crate) enum Results {
    Here { path: String, file: File, head: Mapping },
    There(Distant),
}

impl Results {
    pub(crate) fn open(path: &str) -> Result<Results, Error> {
        let file = match RoomFile::open(path)? {
            RoomFile::Here(file) => file,
            RoomFile::There(room) => return Ok(Results::There(room)),
        };
        let head = Mapping::new(&file, size_of::<u64>(), true).map_err(|error| broken(path, &error))?;
        Ok(Results::Here { path: path.to_owned(), file, head })
    }

    pub(crate) fn write(&self, bytes: &[u8], at: u64) -> Result<(), Error> {
        match self {
            Results::Here { path, file, .. } => file.write_all_at(bytes, at).map_err(|error| broken(path, &error)),
            Results::There(room) => room.write(bytes, at),
        }
    }

    /// Appends and says where: on pages of its own, so that these can be given back alone.
    pub(crate) fn append(&self, bytes: &[u8]) -> Result<u64, Error> {
        let head = match self {
            Results::Here { head, .. } => head,
            Results::There(room) => return room.append(bytes),
        };
        let at = reserve(head, bytes.len() as u64);
        self.write(bytes, at)?;
        Ok(at)
    }
}

/// Where so many bytes are to be appended.
fn reserve(head: &Mapping, bytes: u64) -> u64 {
    // SAFETY: a page begins here, so that it is aligned; all processes access these 8 bytes as an atomic only.
    let head = unsafe { AtomicU64::from_ptr(head.start().cast()) };
    PAGE as u64 + head.fetch_add(bytes.next_multiple_of(PAGE as u64), Ordering::Relaxed)
}

/// The same for an engine that can't map the room.
pub(crate) fn reserve_in(file: &File, bytes: u64) -> std::io::Result<u64> {
    Ok(reserve(&Mapping::new(file, size_of::<u64>(), true)?, bytes))
}
