//! What engines write to their log files, from the end on.

use chorus_protocol::EngineId;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How much of a file's end is looked at for its last lines, in bytes; and how much is read at once.
const MOST: u64 = 256 << 10;

/// The log files in a cluster's folder, `engine-N.log`.
#[derive(Debug)]
pub struct Tails {
    folder: PathBuf,
    only: Option<BTreeSet<EngineId>>,
    /// How far each was read: to the end of a line.
    read: BTreeMap<EngineId, u64>,
}

impl Tails {
    /// Of these engines, or of all that there are and will be.
    pub fn new(folder: &Path, only: Option<BTreeSet<EngineId>>) -> Tails {
        Tails { folder: folder.to_owned(), only, read: BTreeMap::new() }
    }

    /// The last lines of each engine, at most so many. What is read next comes behind them.
    pub fn last(&mut self, lines: usize) -> io::Result<Vec<(EngineId, String)>> {
        let mut all = Vec::new();
        for (engine, path) in self.files()? {
            let end = std::fs::metadata(&path)?.len();
            let begin = end.saturating_sub(MOST);
            let (mut found, read) = whole_lines(&path, begin)?;
            if begin > 0 && !found.is_empty() {
                // It may begin in the middle of a line.
                found.remove(0);
            }
            self.read.insert(engine, read);
            let first = found.len().saturating_sub(lines);
            all.extend(found.drain(first..).map(|line| (engine, line)));
        }
        Ok(all)
    }

    /// The lines that came since; empty if there are none.
    pub fn more(&mut self) -> io::Result<Vec<(EngineId, String)>> {
        let mut all = Vec::new();
        for (engine, path) in self.files()? {
            let read = self.read.entry(engine).or_default();
            let end = std::fs::metadata(&path)?.len();
            if end == *read {
                continue;
            }
            // A file that is shorter is another one.
            let (lines, until) = whole_lines(&path, if end < *read { 0 } else { *read })?;
            *read = until;
            all.extend(lines.into_iter().map(|line| (engine, line)));
        }
        Ok(all)
    }

    fn files(&self) -> io::Result<Vec<(EngineId, PathBuf)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("engine-")?.strip_suffix(".log"));
            let Some(engine) = number.and_then(|number| number.parse().ok()).map(EngineId) else { continue };
            if self.only.as_ref().is_none_or(|only| only.contains(&engine)) {
                files.push((engine, entry.path()));
            }
        }
        files.sort();
        Ok(files)
    }
}

/// The lines that are whole, from this byte on, and where they end.
fn whole_lines(path: &Path, from: u64) -> io::Result<(Vec<String>, u64)> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(last) => last + 1,
        // A line longer than that is cut.
        None if bytes.len() as u64 == MOST => bytes.len(),
        None => 0,
    };
    let text = String::from_utf8_lossy(&bytes[..whole]);
    Ok((text.lines().map(str::to_owned).collect(), from + whole as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn append(folder: &Path, engine: u32, text: &str) {
        let path = folder.join(format!("engine-{engine}.log"));
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn lines(found: io::Result<Vec<(EngineId, String)>>) -> Vec<(u32, String)> {
        found.unwrap().into_iter().map(|(engine, line)| (engine.0, line)).collect()
    }

    #[test]
    fn lines_come_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        append(folder.path(), 0, "a\nb\nc\nhalf");
        std::fs::write(folder.path().join("connection.json"), "no\n").unwrap();
        let mut tails = Tails::new(folder.path(), None);
        assert_eq!(lines(tails.last(2)), [(0, "b".into()), (0, "c".into())]);
        assert_eq!(lines(tails.more()), []);
        append(folder.path(), 0, " line\n");
        append(folder.path(), 12, "new\n");
        assert_eq!(lines(tails.more()), [(0, "half line".into()), (12, "new".into())]);
        std::fs::write(folder.path().join("engine-0.log"), "anew\n").unwrap();
        assert_eq!(lines(tails.more()), [(0, "anew".into())]);
    }

    #[test]
    fn others_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        append(folder.path(), 0, "a\n");
        append(folder.path(), 1, "b\n");
        let mut tails = Tails::new(folder.path(), Some([EngineId(1)].into()));
        assert_eq!(lines(tails.last(9)), [(1, "b".into())]);
    }

    #[test]
    fn of_a_large_file_the_end_is_read() {
        let folder = tempfile::tempdir().unwrap();
        append(folder.path(), 0, &format!("{}\n", "x".repeat(999)).repeat(1000));
        let mut tails = Tails::new(folder.path(), None);
        let last = lines(tails.last(1000));
        assert!(last.len() < 300 && last.iter().all(|(_, line)| line.len() == 999), "{}", last.len());
    }
}
