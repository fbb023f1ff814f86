//! Recordings: the log in a file, one entry a line, as JSON.
//!
//! A recording is bounded. When its file has had half of what it may, it is renamed by adding `.1` to its name, and a
//! new one begins with the cluster's state; what was in that name before is gone. A line that a crash cut short, or
//! that a later version wrote, is skipped. A file that is something else is never written to.

use chorus_protocol::{LogEntry, LogEvent, LogState};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

/// How many bytes a recording has at most, unless somebody says otherwise.
pub const LIMIT: u64 = 128 << 20;

/// Batches that wait to be written. A disk that is so slow ends the recording.
const WAITING: usize = 10_000;

/// Writes a recording, in a thread of its own.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    batches: Option<mpsc::SyncSender<Vec<LogEntry>>>,
    thread: Option<std::thread::JoinHandle<()>>,
    trouble: mpsc::Receiver<io::Error>,
}

impl Recorder {
    /// Begins a recording, or goes on with one: what the file has stays. `limit` is how many bytes both its files
    /// together have at most. The folder is made if it isn't there; the files are private to their user. A file with
    /// anything but a recording is an error, and stays as it is.
    pub fn open(path: &Path, limit: u64) -> io::Result<Recorder> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let mut writer = Writer::open(path, limit / 2)?;
        let (batches, inbox) = mpsc::sync_channel::<Vec<LogEntry>>(WAITING);
        let (tell, trouble) = mpsc::channel();
        let work = move || {
            for batch in inbox {
                if let Err(error) = writer.write(&batch) {
                    _ = tell.send(error);
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("chorus-recorder".into()).spawn(work)?;
        Ok(Recorder { path: path.to_owned(), batches: Some(batches), thread: Some(thread), trouble })
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds entries; never waits for the disk. An error ends the recording.
    pub fn write(&self, entries: Vec<LogEntry>) -> io::Result<()> {
        let Some(batches) = &self.batches else { return Ok(()) };
        batches.try_send(entries).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => io::Error::new(io::ErrorKind::TimedOut, "the disk is too slow for it"),
            mpsc::TrySendError::Disconnected(_) => {
                self.trouble.try_recv().unwrap_or_else(|_| io::Error::other("its thread has ended"))
            }
        })
    }
}

impl Drop for Recorder {
    /// Waits until everything is written.
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    most: u64,
    state: LogState,
}

impl Writer {
    fn open(path: &Path, most: u64) -> io::Result<Writer> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        if bytes > 0 && !begins_as_recording(path)? {
            let why = "it isn't empty, and its first line is no entry of a cluster's log: it was left as it is";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut writer =
            Writer { path: path.to_owned(), file: BufWriter::new(file), bytes, most, state: LogState::default() };
        if bytes > 0 {
            // What a crash left of the last line isn't to spoil the next.
            writer.file.write_all(b"\n")?;
            writer.bytes += 1;
        }
        Ok(writer)
    }

    fn write(&mut self, entries: &[LogEntry]) -> io::Result<()> {
        for entry in entries {
            if self.bytes >= self.most {
                self.turn(entry)?;
            }
            self.line(entry)?;
            self.state.apply(entry);
        }
        self.file.flush()
    }

    fn line(&mut self, entry: &LogEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.bytes += line.len() as u64;
        self.file.write_all(&line)
    }

    /// Begins a new file, with the state before this entry.
    fn turn(&mut self, next: &LogEntry) -> io::Result<()> {
        self.file.flush()?;
        std::fs::rename(&self.path, older(&self.path))?;
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&self.path)?;
        (self.file, self.bytes) = (BufWriter::new(file), 0);
        let state = LogEvent::State(Box::new(self.state.clone()));
        self.line(&LogEntry { number: next.number.saturating_sub(1), at: next.at, event: state })
    }
}

/// How each entry begins.
const ENTRY: &[u8] = br#"{"number":"#;

/// Whether a file begins with an entry of a log.
fn begins_as_recording(path: &Path) -> io::Result<bool> {
    let mut line = Vec::new();
    BufReader::new(File::open(path)?.take(LIMIT)).read_until(b'\n', &mut line)?;
    Ok(is_entry(line.trim_ascii_end()))
}

/// Whether this is an entry, of a later version perhaps, or the beginning of one, which is what a crash may leave.
fn is_entry(line: &[u8]) -> bool {
    match serde_json::from_slice::<Value>(line) {
        Ok(entry) => entry["number"].is_u64() && entry["at"].is_u64() && !entry["event"].is_null(),
        Err(error) => error.is_eof() && line.starts_with(ENTRY),
    }
}

/// The name of a recording's older half.
fn older(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// What a recording has.
#[derive(Debug)]
pub struct Recording {
    /// The entries, oldest first.
    pub entries: Vec<LogEntry>,
    /// How many lines couldn't be read.
    pub skipped: usize,
}

/// Why a recording can't be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file.
    #[error("the recording {path} can't be read: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It isn't one.
    #[error("{0} is no recording: none of its lines is an entry of a cluster's log")]
    Foreign(PathBuf),
}

/// Reads a recording, its older half included.
pub fn read(path: &Path) -> Result<Recording, RecordingError> {
    let failed = |source| RecordingError::File { path: path.to_owned(), source };
    let mut recording = Recording { entries: Vec::new(), skipped: 0 };
    let newer = File::open(path).map_err(failed)?;
    if let Ok(file) = File::open(older(path)) {
        add(file, &mut recording).map_err(failed)?;
    }
    add(newer, &mut recording).map_err(failed)?;
    if recording.entries.is_empty() {
        return Err(RecordingError::Foreign(path.to_owned()));
    }
    Ok(recording)
}

fn add(file: File, recording: &mut Recording) -> io::Result<()> {
    for line in BufReader::new(file).split(b'\n') {
        let line = line?;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match serde_json::from_slice::<LogEntry>(&line) {
            Ok(entry) => recording.entries.push(entry),
            Err(_) => recording.skipped += 1,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::{EngineId, EngineInfo};

    fn up(number: u64) -> LogEntry {
        let info = EngineInfo { pid: 1, host: "here".into(), cores: 1, ..EngineInfo::default() };
        LogEntry { number, at: number, event: LogEvent::EngineUp { engine: EngineId(number as u32), info } }
    }

    fn state(entries: &[LogEntry]) -> LogState {
        let mut state = LogState::default();
        entries.iter().for_each(|entry| state.apply(entry));
        state
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/recording");
        let entries: Vec<LogEntry> = (1..=100).map(up).collect();
        let recorder = Recorder::open(&path, LIMIT).unwrap();
        recorder.write(entries[..60].to_vec()).unwrap();
        recorder.write(entries[60..].to_vec()).unwrap();
        drop(recorder);
        let recording = read(&path).unwrap();
        assert_eq!((recording.entries, recording.skipped), (entries, 0));
    }

    #[test]
    fn a_recording_is_bounded_and_its_state_is_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recording");
        let entries: Vec<LogEntry> = (1..=300).map(up).collect();
        let recorder = Recorder::open(&path, 1 << 17).unwrap();
        recorder.write(entries.clone()).unwrap();
        // Engines that are gone don't count any more, or the state itself would be what fills the file.
        let gone = |number: u64| LogEntry {
            number: 300 + number,
            at: 300 + number,
            event: LogEvent::EngineDown { engine: EngineId(number as u32), reason: "x".repeat(400), restarting: false },
        };
        let ends: Vec<LogEntry> = (1..=290).map(gone).collect();
        recorder.write(ends.clone()).unwrap();
        drop(recorder);
        let bytes = |path: &Path| path.metadata().unwrap().len();
        assert!(bytes(&path) + bytes(&older(&path)) < (1 << 17) + 5_000);
        let recording = read(&path).unwrap();
        assert!(matches!(recording.entries[0].event, LogEvent::State(_)), "something was dropped");
        assert_eq!(state(&recording.entries), state(&[entries, ends].concat()));
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recording");
        Recorder::open(&path, LIMIT).unwrap().write(vec![up(1)]).unwrap();
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"number":2,"at"#).unwrap();
        Recorder::open(&path, LIMIT).unwrap().write(vec![up(3)]).unwrap();
        let recording = read(&path).unwrap();
        assert_eq!((recording.entries, recording.skipped), (vec![up(1), up(3)], 1));
    }

    #[test]
    fn a_recording_goes_on_also_when_its_first_line_was_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recording");
        let whole = serde_json::to_vec(&up(1)).unwrap();
        for end in ENTRY.len()..=whole.len() {
            std::fs::write(&path, &whole[..end]).unwrap();
            for number in [2, 3] {
                Recorder::open(&path, LIMIT).unwrap().write(vec![up(number)]).unwrap();
            }
            let entries = read(&path).unwrap().entries;
            assert_eq!(entries[entries.len() - 2..], [up(2), up(3)]);
        }
        let later = br#"{"number":1,"at":2,"event":{"danced":[]},"more":0}"#;
        assert!(is_entry(later), "a later version's");
    }

    #[test]
    fn nothing_is_written_to_what_is_no_recording() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other");
        let notebook = "{\n \"cells\": [],\n \"nbformat\": 4\n}\n";
        for text in [notebook, "{\"cells\": [", "{", "\n", "\n{\"number\":1", "years of work", "7", "{\"number\":1}"] {
            std::fs::write(&path, text).unwrap();
            let error = Recorder::open(&path, LIMIT).unwrap_err();
            assert!(error.to_string().contains("no entry of a cluster's log"), "{text:?}: {error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::write(&path, "").unwrap();
        Recorder::open(&path, LIMIT).unwrap();
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other");
        std::fs::write(&path, [0xff, 0xfe, b'\n', b'{', b'}']).unwrap();
        assert!(matches!(read(&path), Err(RecordingError::Foreign(_))));
        assert!(matches!(read(&folder.path().join("none")), Err(RecordingError::File { .. })));
    }
}
