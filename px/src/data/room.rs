//! What a room has of a variable: a page that says it, and behind it the items.

use super::source::Source;
use crate::link::Message as _;
use crate::map::error::Error;
use crate::map::rooms::{Mapped, PAGE, RoomFile, is_passage};
use crate::map::values::{Plain, Stretch, place_behind, read_values};
use crate::sys::give_back;
use crate::wire::{LAYOUT, Wire, get_vec};
use std::fs::File;

/// What a room has, as its first page says.
pub(super) struct Head {
    /// Whether the values are there as in memory, so that they can be taken at once.
    pub plain: bool,
    /// How large each is in memory.
    pub size: u64,
    pub items: u64,
    /// Where they begin.
    pub start: u64,
    pub bytes: u64,
}

impl Head {
    pub fn write(&self, path: &str, file: &RoomFile) -> Result<(), Error> {
        let mut head = Vec::new();
        LAYOUT.to_owned().write(&mut head);
        u8::from(self.plain).write(&mut head);
        [self.size, self.items, self.start, self.bytes].iter().for_each(|number| number.write(&mut head));
        file.write(path, &head, 0)
    }

    pub fn read(path: &str, file: &RoomFile) -> Result<Head, Error> {
        let mut head = [0; 256];
        // What is shorter has no head.
        let length = file.read(path, &mut head, 0)?;
        let mut head = head.get(..length).unwrap_or_default();
        let layout = String::read(&mut head)?;
        if layout != LAYOUT && !layout.is_empty() {
            return Err(Error::Room(format!("the other side's numbers are {layout}, and this one's {LAYOUT}")));
        }
        let plain = u8::read(&mut head)? == 1;
        let mut next = || u64::read(&mut head);
        let head = Head { plain, size: next()?, items: next()?, start: next()?, bytes: next()? };
        let end = head.start.checked_add(head.bytes).ok_or(Error::Damaged)?;
        if layout.is_empty() || head.start < PAGE as u64 || usize::try_from(end).is_err() {
            return Err(Error::Damaged);
        }
        Ok(head)
    }
}

/// How many bytes this room has of a variable.
pub fn size_of_room(path: &str) -> Option<u64> {
    Some(Head::read(path, &RoomFile::open(path).ok()?).ok()?.bytes)
}

/// Gives back the memory that a room has behind its variable: something larger was there before, and who takes this one has
/// all of the file for as long.
pub fn trim(path: &str) {
    if let Ok(room) = RoomFile::open(path)
        && let (Ok(head), RoomFile::Here(file)) = (Head::read(path, &room), &room)
        && let Ok(metadata) = file.metadata()
    {
        let end = (head.start + head.bytes).next_multiple_of(PAGE as u64);
        give_back(file, end, metadata.len().next_multiple_of(PAGE as u64).saturating_sub(end));
    }
}

/// Writes the encodings of every `step`-th item, from the first to the last.
pub(super) fn write_encoded(
    path: &str,
    file: &RoomFile,
    source: &dyn Source,
    (first, last): (u64, u64),
    step: usize,
) -> Result<(), Error> {
    let (mut item, mut buffer, start) = (first, Vec::new(), place_behind(0));
    let mut at = start;
    while item < last {
        item = source.encode(item..last, step, &mut buffer);
        file.write(path, &buffer, at)?;
        at += buffer.len() as u64;
        buffer.clear();
    }
    source.head(last.saturating_sub(first).div_ceil(step as u64), start, at - start).write(path, file)
}

pub(super) fn read_items<T: Wire>(rooms: &[String]) -> Result<Vec<T>, Error> {
    let parts = open_parts(rooms, size_of::<T>() as u64, T::is_plain())?;
    let mut items = Vec::new();
    if T::is_plain() {
        // SAFETY: any bytes are a plain value.
        unsafe { read_numbers(&parts, &mut items)? };
        return Ok(items);
    }
    for (_, head, path) in &parts {
        with_encodings(head, path, &mut |bytes| {
            let more = get_vec(head.items, bytes)?;
            match items.is_empty() {
                true => items = more,
                false => items.extend(more),
            }
            Ok(())
        })?;
    }
    Ok(items)
}

/// Of a variable: the file, what it has, and its name.
type Part<'a> = (File, Head, &'a String);

/// The files that have items of this size, which is to be what they say.
fn open_parts<'a>(rooms: &'a [String], size: u64, plain: bool) -> Result<Vec<Part<'a>>, Error> {
    let open = |path: &'a String| {
        let file = RoomFile::open(path)?;
        let head = Head::read(path, &file)?;
        if head.size != size || head.plain != plain {
            return Err(Error::Damaged);
        }
        let end = head.start + head.bytes;
        Ok((file.up_to(end)?, head, path))
    };
    rooms.iter().map(open).collect()
}

/// Appends all numbers.
///
/// # Safety
/// Any bytes must be values of the `Vec`'s type.
unsafe fn read_numbers(parts: &[Part<'_>], to: &mut dyn Plain) -> Result<(), Error> {
    let count = parts.iter().try_fold(0u64, |sum, (_, head, _)| sum.checked_add(head.items));
    let count = count.and_then(|count| usize::try_from(count).ok()).ok_or(Error::Damaged)?;
    let length = |file: &File| file.metadata().map_or(0, |metadata| metadata.len());
    if parts.iter().any(|(file, head, _)| head.bytes > 0 && head.start + head.bytes > length(file)) {
        return Err(Error::Damaged);
    }
    let stretches = parts.iter().map(|(file, head, path)| {
        let (at, bytes) = (head.start, head.bytes as usize);
        Stretch { file, passes: is_passage(path), at, bytes }
    });
    let stretches: Vec<Stretch<'_>> = stretches.collect();
    // SAFETY: as the caller promises. The side that wrote these files has done so before this one runs.
    unsafe { read_values(&stretches, count, to) }.map_err(|error| Error::Room(error.to_string()))
}

pub(super) fn read_whole<T: Wire>(rooms: &[String]) -> Result<T, Error> {
    let path = rooms.first().ok_or(Error::Damaged)?;
    let head = Head::read(path, &RoomFile::open(path)?)?;
    if head.size != size_of::<T>() as u64 || head.plain || head.items != 1 {
        return Err(Error::Damaged);
    }
    let mut value = None;
    with_encodings(&head, path, &mut |bytes| {
        value = Some(T::get(bytes)?);
        Ok(())
    })?;
    value.ok_or(Error::Damaged)
}

/// Reads all of a room's encodings.
fn with_encodings(head: &Head, path: &str, read: &mut ReadEncodings<'_>) -> Result<(), Error> {
    let mapped;
    let mut bytes: &[u8] = &[];
    if head.bytes > 0 {
        mapped = Mapped::read_only(path, (head.start + head.bytes) as usize)?;
        bytes = mapped.as_slice().get(head.start as usize..).ok_or(Error::Damaged)?;
    }
    read(&mut bytes)?;
    if bytes.is_empty() { Ok(()) } else { Err(Error::Damaged) }
}

/// Takes values from the beginning of bytes.
type ReadEncodings<'a> = dyn FnMut(&mut &[u8]) -> Result<(), Error> + 'a;
