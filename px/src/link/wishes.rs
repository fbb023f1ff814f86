//! What a cell's own Rust says of how a map is to be run.

use super::encoding::{read_all, read_bool, write_all};
use super::{Access, Damaged, Message, OnError};

/// How a map is to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapWishes {
    /// What to call it.
    pub label: String,
    /// On which engines; on all if `None`.
    pub engines: Option<Vec<u32>>,
    /// How many items make a task.
    pub chunk: Option<u64>,
    /// How often an item is tried again.
    pub retries: Option<u32>,
    /// What becomes of the others when one fails.
    pub on_error: OnError,
    /// How long an item may take, in milliseconds; 0 is for ever.
    pub timeout: u64,
    /// How many threads an engine has for it.
    pub threads: Option<u32>,
    /// Whether the engines have the items, each its own.
    pub each: bool,
    /// Whether results stay on the engines.
    pub keep: bool,
    /// What it may do with its engines' variables.
    pub access: Access,
    /// Whether its results are taken while it runs, by [`super::Ask::Take`].
    pub streamed: bool,
    /// Whether they are to come in the order of the items then.
    pub ordered: bool,
    /// Whether it is one of several that are one to the user: nothing is shown of how far it is.
    pub is_part: bool,
}

impl Message for MapWishes {
    fn write(&self, to: &mut Vec<u8>) {
        self.label.write(to);
        u8::from(self.engines.is_some()).write(to);
        write_all(self.engines.as_deref().unwrap_or_default(), to);
        self.chunk.write(to);
        self.retries.write(to);
        self.on_error.write(to);
        self.timeout.write(to);
        self.threads.write(to);
        self.access.write(to);
        let words = [self.each, self.keep, self.streamed, self.ordered, self.is_part];
        words.iter().for_each(|word| u8::from(*word).write(to));
    }

    fn read(from: &mut &[u8]) -> Result<MapWishes, Damaged> {
        Ok(MapWishes {
            label: String::read(from)?,
            engines: match (u8::read(from)?, read_all(from)?) {
                (0, none) if none.is_empty() => None,
                (1, engines) => Some(engines),
                _ => return Err(Damaged),
            },
            chunk: Option::read(from)?,
            retries: Option::read(from)?,
            on_error: OnError::read(from)?,
            timeout: u64::read(from)?,
            threads: Option::read(from)?,
            access: Access::read(from)?,
            each: read_bool(from)?,
            keep: read_bool(from)?,
            streamed: read_bool(from)?,
            ordered: read_bool(from)?,
            is_part: read_bool(from)?,
        })
    }
}

impl Message for OnError {
    fn write(&self, to: &mut Vec<u8>) {
        let number: u8 = match self {
            OnError::Stop => 0,
            OnError::Skip => 1,
            OnError::Keep => 2,
        };
        number.write(to);
    }

    fn read(from: &mut &[u8]) -> Result<OnError, Damaged> {
        Ok(match u8::read(from)? {
            0 => OnError::Stop,
            1 => OnError::Skip,
            2 => OnError::Keep,
            _ => return Err(Damaged),
        })
    }
}
