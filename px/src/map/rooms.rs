//! Rooms: files in memory through which the notebook and its engines pass what is large, without a socket.

use super::distant::{self, Distant, Parts};
use super::error::{Error, ask};
use crate::link::room_name;
use crate::link::{Answer, Ask, Message as _};
pub(crate) use crate::sys::PAGE;
use crate::sys::{Mapping, is_final, is_final_but_for_mappings, map_over, read_exact};
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is smaller stays in messages.
pub(crate) const SMALL: usize = 16 << 10;
/// Results that have their places begin here in a room of results. Before is for how many bytes pages were taken for the
/// others, which are appended from the second page on.
pub(crate) const HEAD: u64 = 16;
/// So many bytes are written at once.
pub(crate) const BLOCK: usize = 1 << 20;
/// Where as many bytes or more are read, files are mapped rather than copied.
const MAPPED: usize = 4 << 20;
/// For so much, glibc's malloc maps memory in any case. What isn't touched of it needs none.
const OWN_CHUNK: usize = (32 << 20) + PAGE;

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
        match self {
            RoomFile::Here(file) => Ok(file),
            RoomFile::There(room) => room.whole(),
        }
    }
}

impl Room {
    pub(crate) fn new(bytes: u64) -> Result<Room, Error> {
        let Answer::Room(path) = ask(&Ask::Room(bytes))? else { return Err(Error::Damaged) };
        let file = RoomFile::open(&path)?;
        Ok(Room { path, file, is_own: true })
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
    // Looked at before, lest something else is opened, and then again, since it may have become something else meanwhile.
    if !id.is_empty() && !is_room(path, id) {
        return Err(Error::Freed);
    }
    match File::options().read(true).write(true).open(path) {
        Ok(file) if id.is_empty() || is_room(&format!("/proc/self/fd/{}", file.as_raw_fd()), id) => Ok(file),
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

/// A `Vec` of plain values, of whatever type.
pub(crate) trait Plain {
    /// Of a value, in bytes.
    fn size(&self) -> usize;
    /// Whether it has no memory yet.
    fn is_new(&self) -> bool;
    /// Where so many more values can be written, and how many values it has memory for.
    fn room(&mut self, count: usize) -> (*mut u8, usize);
    /// # Safety
    /// So many more values must be there, where [`Plain::room`] has said.
    unsafe fn filled(&mut self, count: usize);
}

impl<T> Plain for Vec<T> {
    fn size(&self) -> usize {
        size_of::<T>()
    }

    fn is_new(&self) -> bool {
        self.capacity() == 0
    }

    fn room(&mut self, count: usize) -> (*mut u8, usize) {
        self.reserve_exact(count);
        (self.spare_capacity_mut().as_mut_ptr().cast(), self.capacity())
    }

    unsafe fn filled(&mut self, count: usize) {
        // SAFETY: the caller promises that they are there.
        unsafe { self.set_len(self.len() + count) };
    }
}

/// Bytes of a file.
pub(crate) struct Stretch<'a> {
    pub(crate) file: &'a File,
    pub(crate) at: u64,
    pub(crate) bytes: usize,
}

/// Where values have to begin in a file so that its pages can be mapped in place of a `Vec`'s, when so many bytes of the
/// `Vec` come from elsewhere before: `PAGE` or a little further.
pub(crate) fn place_behind(before: u64) -> u64 {
    PAGE as u64 + (HEAD + before) % PAGE as u64
}

/// Reads so many plain values, which are all of these bytes.
///
/// # Safety
/// Any bytes must be values of the type.
pub(crate) unsafe fn read_values(all: &[Stretch<'_>], count: usize, to: &mut dyn Plain) -> std::io::Result<()> {
    let bytes = all.iter().try_fold(0usize, |sum, stretch| sum.checked_add(stretch.bytes));
    if bytes.is_none() || bytes != count.checked_mul(to.size()) {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    // Values may take no bytes.
    let size = to.size().max(1);
    let replaceable = to.is_new() && bytes.is_some_and(|bytes| bytes >= MAPPED);
    let (start, capacity) = to.room(if replaceable { count.max(OWN_CHUNK / size) } else { count });
    let replaceable = replaceable && is_own_chunk(start, capacity * size);
    let mut done = 0;
    for stretch in all {
        // SAFETY: the stretches are as long as the spare capacity that was reserved, and lie one behind the other.
        unsafe {
            let place = start.add(done);
            match replaceable {
                true => read_by_mapping(stretch, place)?,
                false => read_exact(stretch.file, place, stretch.bytes, stretch.at)?,
            }
        }
        done += stretch.bytes;
    }
    // SAFETY: all of it is initialised now, and any bytes are values.
    unsafe { to.filled(count) };
    Ok(())
}

/// Puts the bytes there, by mapping the file's pages where they coincide with those of memory.
///
/// # Safety
/// So many bytes from `place` must lie in a chunk of [`is_own_chunk`] that nobody else uses, behind its header, and hold
/// nothing yet.
unsafe fn read_by_mapping(stretch: &Stretch<'_>, place: *mut u8) -> std::io::Result<()> {
    let Stretch { file, at, bytes } = *stretch;
    let first = (PAGE - place as usize % PAGE) % PAGE;
    let whole = bytes.saturating_sub(first) / PAGE * PAGE;
    let coincide = place as usize % PAGE == at as usize % PAGE;
    let end = at.checked_add(bytes as u64).ok_or(std::io::ErrorKind::InvalidData)?;
    if coincide && whole >= PAGE && is_final_but_for_mappings(file) && file.metadata()?.len() >= end {
        // SAFETY: glibc has mapped this chunk for just this allocation. All pages that are replaced lie inside it, are
        // whole, and hold nothing but its values, which aren't initialised yet: the chunk's header is on the page before.
        // A private mapping is memory like what was there, copied when it is written to. glibc frees such a chunk by
        // munmap of its range; to grow it, it tries mremap, which refuses a range of several mappings, and then copies
        // it; to shrink it, it unmaps the end. Each is right for this range.
        // Nobody writes to the file any more but to the numbers at the beginning of a room of results, and these pages
        // begin behind them.
        if unsafe { map_over(place.add(first), whole, file, at + first as u64) } {
            // SAFETY: what is before and behind the mapped pages is of these bytes, too.
            return unsafe {
                read_exact(file, place, first, at)?;
                read_exact(file, place.add(first + whole), bytes - first - whole, at + (first + whole) as u64)
            };
        }
    }
    // SAFETY: the caller says so.
    unsafe { read_exact(file, place, bytes, at) }
}

/// Whether the allocation is one that glibc's malloc has mapped on its own.
fn is_own_chunk(start: *mut u8, bytes: usize) -> bool {
    const IS_MAPPED: usize = 2;
    const FLAGS: usize = 7;
    if !cfg!(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")) || start as usize % PAGE != 16 {
        return false;
    }
    // SAFETY: `start` is 16 bytes behind the beginning of a page that is mapped, so the 8 before it can be read.
    let size = unsafe { start.sub(8).cast::<usize>().read() };
    size & FLAGS == IS_MAPPED && size & !FLAGS == (bytes + 16).next_multiple_of(PAGE)
}
