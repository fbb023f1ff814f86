//! `%%writefile` and `%load`; files that magics read.

use super::Request;
use crate::failure::{Failure, Kind, failure};
use crate::surroundings::Surroundings;
use tokio::io::AsyncWriteExt;

/// A longer text is nothing for a cell, in bytes.
const LOAD_LIMIT: u64 = 8 << 20;

/// Writes the body of a cell to a file.
pub(super) async fn write(
    file: &str,
    append: bool,
    text: &str,
    surroundings: &Surroundings,
    request: &Request,
) -> Result<(), Failure> {
    let path = surroundings.path(file);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent
        && !tokio::fs::metadata(parent).await.is_ok_and(|parent| parent.is_dir())
    {
        let parent = surroundings.shown(parent);
        let what = format!("`{file}` can't be written: there is no folder `{parent}`; `!mkdir -p {parent}` makes it");
        return Err(failure(Kind::FileError, what));
    }
    let says = match (append, tokio::fs::try_exists(&path).await.unwrap_or(false)) {
        (true, true) => "Appending to",
        (false, true) => "Overwriting",
        (_, false) => "Writing",
    };
    let text = with_newline(text);
    let written = async {
        let mut options = tokio::fs::OpenOptions::new();
        let mut opened = options.create(true).write(true).append(append).truncate(!append).open(&path).await?;
        opened.write_all(text.as_bytes()).await?;
        opened.flush().await
    };
    let mut interrupted = request.interrupted.clone();
    tokio::select! {
        written = written => written.map_err(|error| failure(Kind::FileError, format!("`{file}` can't be written: {error}")))?,
        () = interrupted.next() => return Err(failure(Kind::Interrupted, format!("writing `{file}` was interrupted"))),
    }
    request.publisher.say(&format!("{says} {} ({} bytes)", surroundings.shown(&path), text.len())).await;
    Ok(())
}

/// The text that is to replace the cell: the magic as a comment, and the file below it.
pub(super) async fn load(file: &str, surroundings: &Surroundings) -> Result<String, Failure> {
    Ok(format!("// %load {file}\n{}", read(file, surroundings).await?))
}

/// The text of a file.
pub(super) async fn read(file: &str, surroundings: &Surroundings) -> Result<String, Failure> {
    let failed = |why: String| failure(Kind::FileError, format!("`{file}` can't be read: {why}"));
    if is_url(file) {
        return Err(failed(format!("only files can; `!curl -LO {file}` fetches it")));
    }
    let path = surroundings.path(file);
    let metadata = tokio::fs::metadata(&path).await.map_err(|error| failed(error.to_string()))?;
    if !metadata.is_file() {
        return Err(failed("it is no file".to_owned()));
    }
    if metadata.len() > LOAD_LIMIT {
        return Err(failed(format!("its {} MiB are too long for a cell", metadata.len() >> 20)));
    }
    let bytes = tokio::fs::read(&path).await.map_err(|error| failed(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| failed("it isn't UTF-8 text".to_owned()))
}

fn is_url(file: &str) -> bool {
    let scheme = file.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric()))
}

/// A cell's last line has no end, a file's has.
fn with_newline(text: &str) -> String {
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_ends_of_lines_are_seen() {
        assert!(is_url("https://example.org/a.rs") && !is_url("a://b".trim_start_matches('a')) && !is_url("a/b.rs"));
        assert_eq!([with_newline(""), with_newline("a"), with_newline("a\n")], ["", "a\n", "a\n"]);
    }
}
