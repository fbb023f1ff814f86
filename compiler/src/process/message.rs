//! What a kernel and its compiler's process say to each other: each message is its length, four bytes in little-endian order,
//! and as many bytes of postcard.

use crate::messages::complaint::Error;
use crate::messages::diagnostic::Diagnostic;
use crate::notebook::setting::Setting;
use chorus_analyzer::{Answer, Question, Source};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

/// No message is longer; a longer one isn't ours.
const LONGEST: u32 = 256 << 20;

/// What a compiler's process is started with, in a file of its folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begin {
    /// Where it builds, until it is given to a kernel.
    pub folder: PathBuf,
    /// The program that has our tools, and the arguments that make it evcxr's child.
    pub program: PathBuf,
    pub relay_args: Vec<OsString>,
    /// The crate px, and where dependencies are built.
    pub px: PathBuf,
    pub dependencies: PathBuf,
    /// Whether it is a template: it waits for kernels at its folder's socket. Any other speaks with its only kernel on its
    /// standard input.
    pub template: Option<Template>,
}

/// How long a template lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Template {
    /// So many seconds after the last kernel has come, once none of them is there any more.
    pub idle: u64,
}

/// A question, or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// The first: build in this folder from now on; relative paths begin at the other one.
    Take { folder: PathBuf, current: PathBuf },
    /// Compile this text against a snapshot; evcxr is told that these variables can't be loaded.
    Eval { code: String, snapshot: u64, lose: Vec<String> },
    /// Change a setting of a snapshot.
    Configure { snapshot: u64, setting: Setting },
    /// Explain what stands at the end.
    Hover { code: String, snapshot: u64 },
    /// Complete or explain what stands at a place of a cell, in this time.
    Assist { assist: Assist, snapshot: u64, within: Duration },
    /// Nobody asks for these snapshots any more. Not answered.
    Forget(Vec<u64>),
    /// End what is being compiled. Not answered.
    Interrupt,
}

/// A question about a place in a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assist {
    pub question: Question,
    pub source: Source,
    /// What it sees besides, as for a cell that is compiled.
    pub definitions: String,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// It has started: its process, and the snapshot without variables.
    Started(Result<(u32, u64), Diagnostic>),
    Evaluated(Result<Evaluated, Error>),
    Configured(Result<u64, Error>),
    Explained(Result<(String, String), Error>),
    Assisted(Result<Answer, Error>),
}

/// A text that was compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Evaluated {
    pub snapshot: u64,
    pub to_run: Option<ToRun>,
    /// Names and types of variables.
    pub variables: Vec<(String, String)>,
}

/// An object, and the function of it that is to be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ToRun {
    pub object: PathBuf,
    pub entry: String,
}

/// Writes a message at once, so that two threads' don't mix.
pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    bytes = postcard::to_extend(message, bytes).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len() - 4).ok().filter(|length| *length <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("a text is too long for the compiler"))?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    to.write_all(&bytes)
}

/// Waits for a message.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(io::Error::other(format!("a message of {length} bytes")));
    }
    let mut bytes = Vec::new();
    from.take(length.into()).read_to_end(&mut bytes)?;
    postcard::from_bytes(&bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn messages_arrive_one_after_the_other() {
        let asks = [
            Ask::Eval { code: "é".repeat(70_000), snapshot: 7, lose: vec!["a".into()] },
            Ask::Interrupt,
            Ask::Take { folder: "/a b".into(), current: "/".into() },
        ];
        let mut bytes = Vec::new();
        asks.iter().for_each(|ask| send(&mut bytes, ask).unwrap());
        let mut from = bytes.as_slice();
        asks.iter().for_each(|ask| assert_eq!(receive::<Ask>(&mut from).unwrap(), *ask));
        assert_eq!(receive::<Ask>(&mut from).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    proptest! {
        #[test]
        fn what_is_no_message_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // It must not take memory for what isn't there, or panic.
            let _ = receive::<Ask>(&mut bytes.as_slice());
            let _ = receive::<Reply>(&mut bytes.as_slice());
        }
    }
}
