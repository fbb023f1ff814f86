//! What a controller leaves for one that takes its place: its core as it was, and behind that all that has come in since.
//!
//! The core decides by nothing else, so whoever feeds it the same again has the same core. An input is written before
//! anything is done about it: what the world has seen of a controller that was killed, the next one knows. It is written
//! to the system and not to the disk, since a machine that goes down takes the engines with it.

use crate::core::{Action, Core, Input};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Its name in the cluster's folder.
pub(crate) const JOURNAL: &str = "journal";
/// It is begun anew when it has grown by so much beyond twice the core.
const GROWTH: u64 = 16 << 20;
/// A number is written in front of each record.
const LENGTH: usize = size_of::<u32>();

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Inputs that aren't written yet.
    buffer: Vec<u8>,
    core: u64,
    inputs: u64,
}

impl Journal {
    /// Begins a journal with this core, in place of the one that is there.
    pub fn begin(path: &Path, core: &Core) -> io::Result<Journal> {
        let draft = path.with_extension("tmp");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        let buffer = add(header().into_bytes(), core)?;
        file.write_all(&buffer)?;
        std::fs::rename(&draft, path)?;
        Ok(Journal { path: path.to_owned(), file, core: buffer.len() as u64, buffer: Vec::new(), inputs: 0 })
    }

    /// Takes note of an input; see [`Journal::write`].
    pub fn note(&mut self, now: Duration, input: &Input) -> io::Result<()> {
        self.buffer = add(std::mem::take(&mut self.buffer), &(now, input))?;
        Ok(())
    }

    /// Writes the inputs that were noted. Until then, nothing may be done about them.
    pub fn write(&mut self) -> io::Result<()> {
        self.file.write_all(&self.buffer)?;
        self.inputs += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Begins anew if it has grown long. What was to be done about its inputs is done.
    pub fn shorten(&mut self, core: &Core) -> io::Result<()> {
        if self.inputs > GROWTH + 2 * self.core {
            *self = Journal::begin(&self.path, core)?;
        }
        Ok(())
    }

    /// Leaves nothing to read: an account with gaps would be worse than none.
    pub fn remove(self) {
        _ = std::fs::remove_file(&self.path);
    }
}

/// The core that a journal leads to, and what its controller may not have done any more to the files in its folder; or
/// why it can't be read.
pub(crate) fn read(path: &Path) -> Result<(Core, Vec<Action>), String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut rest = bytes.strip_prefix(header().as_bytes()).ok_or("another version of Chorus wrote it")?;
    let core = take(&mut rest).ok_or("it ends early")?;
    let mut core: Core = decode(core)?;
    let (mut files, mut actions) = (Vec::new(), Vec::new());
    // The last record may be cut off: then nothing was done about it.
    while let Some(record) = take(&mut rest) {
        let (now, input) = decode(record)?;
        core.handle(now, input, &mut actions);
        let of_files = |action: &Action| {
            matches!(
                action,
                Action::StoreBlob(..) | Action::RemoveBlob(_) | Action::RemoveFile(_) | Action::RemoveGroup(_)
            )
        };
        // All else is said again over new connections, or was about processes that are gone.
        files.extend(actions.drain(..).filter(of_files));
    }
    Ok((core, files))
}

/// Only the same version can read what it has written.
fn header() -> String {
    format!("chorus {} journal, protocol {}\n", env!("CARGO_PKG_VERSION"), chorus_protocol::VERSION)
}

fn add(mut buffer: Vec<u8>, record: &impl serde::Serialize) -> io::Result<Vec<u8>> {
    let start = buffer.len();
    buffer.extend([0; LENGTH]);
    let mut buffer = postcard::to_extend(record, buffer).map_err(io::Error::other)?;
    let length = u32::try_from(buffer.len() - start - LENGTH).map_err(io::Error::other)?;
    if let Some(place) = buffer.get_mut(start..start + LENGTH) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    Ok(buffer)
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk::<LENGTH>()?;
    let (record, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = behind;
    Some(record)
}

fn decode<T: DeserializeOwned>(record: &[u8]) -> Result<T, String> {
    postcard::from_bytes(record).map_err(|error| format!("it can't be understood: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{CoreConfig, Exit, PeerId};
    use bytes::Bytes;
    use chorus_protocol::{BlobId, ClientInfo, EngineId, FromClient};

    fn core() -> Core {
        let config = CoreConfig {
            name: "a".into(),
            pid: 1,
            host: "here".into(),
            engines: 2,
            pool: crate::launch::Pool::default(),
            adapt: None,
            heartbeat: Duration::from_secs(1),
            begun: 0,
            records: false,
            launches: true,
        };
        Core::new(config, &mut Vec::new())
    }

    fn inputs() -> Vec<Input> {
        let client = |message| Input::FromClient(PeerId(Bytes::from_static(b"c")), message);
        let info = ClientInfo { name: "c".into(), pid: 1, host: "h".into() };
        let (id, bytes) = (BlobId::of(b"library"), Bytes::from_static(b"library"));
        vec![
            client(FromClient::Hello { version: chorus_protocol::VERSION, info, life: 1 }),
            client(FromClient::PutBlob { session: None, id, bytes }),
            Input::EngineExited(EngineId(1), Exit::Status(3)),
            Input::Tick,
        ]
    }

    #[test]
    fn what_is_read_is_what_was_there_and_what_may_be_left_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JOURNAL);
        let mut core = core();
        let mut journal = Journal::begin(&path, &core).unwrap();
        for (input, millis) in inputs().into_iter().zip(1..) {
            let now = Duration::from_millis(millis);
            journal.note(now, &input).unwrap();
            core.handle(now, input, &mut Vec::new());
        }
        journal.write().unwrap();
        let (read, files) = read(&path).unwrap();
        assert_eq!(format!("{read:?}"), format!("{core:?}"));
        assert!(matches!(&files[..], [Action::StoreBlob(id, _)] if *id == BlobId::of(b"library")), "{files:?}");
        journal.remove();
        assert!(!path.exists());
    }

    #[test]
    fn what_was_cut_off_never_happened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JOURNAL);
        let mut core = core();
        let mut journal = Journal::begin(&path, &core).unwrap();
        let mut inputs = inputs();
        let last = inputs.pop().unwrap();
        for input in inputs {
            journal.note(Duration::ZERO, &input).unwrap();
            core.handle(Duration::ZERO, input, &mut Vec::new());
        }
        journal.write().unwrap();
        let whole = std::fs::metadata(&path).unwrap().len();
        journal.note(Duration::from_secs(9), &last).unwrap();
        journal.write().unwrap();
        let longer = std::fs::metadata(&path).unwrap().len();
        for length in (whole..longer).rev() {
            File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
            assert_eq!(format!("{:?}", read(&path).unwrap().0), format!("{core:?}"));
        }
        std::fs::write(&path, "chorus 0.0.0 journal, protocol 1\n").unwrap();
        assert_eq!(read(&path).unwrap_err(), "another version of Chorus wrote it");
    }

    #[test]
    fn it_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JOURNAL);
        let mut core = core();
        let mut journal = Journal::begin(&path, &core).unwrap();
        let empty = std::fs::metadata(&path).unwrap().len();
        let input = inputs().swap_remove(0);
        while journal.inputs <= GROWTH + 2 * journal.core {
            journal.note(Duration::ZERO, &input).unwrap();
            if journal.buffer.len() > 1 << 20 {
                journal.write().unwrap();
                journal.shorten(&core).unwrap();
                assert!(std::fs::metadata(&path).unwrap().len() < GROWTH + (4 << 20));
                if journal.inputs == 0 {
                    break;
                }
            }
        }
        core.handle(Duration::ZERO, Input::Tick, &mut Vec::new());
        assert_eq!(std::fs::metadata(&path).unwrap().len(), empty);
    }
}
