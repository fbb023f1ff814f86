//! From a crate's text to a module that a device takes.

pub use crate::compile::Compiler;
use crate::compile::{self, compile};
use crate::interpret::{Device, Fault, Memory, Module};
use crate::toolchain;
use std::io;
use std::path::Path;

/// A module, and what it says of its items and results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The module.
    pub ptx: String,
    /// Size and alignment of an item, then of a result, in bytes.
    pub layout: [u64; 4],
}

/// Why there is no module. The sentences are for users, but for what rustc says.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// rustc says these things, in its JSON.
    #[error("the function doesn't compile for a GPU")]
    Rustc(Vec<serde_json::Value>),
    /// What it compiled can't be run there.
    #[error("the function can't be linked for a GPU: {0}")]
    Link(String),
    /// The system.
    #[error("the function can't be compiled for a GPU: {0}")]
    Io(#[from] io::Error),
}

impl From<compile::Failed> for Failed {
    fn from(failed: compile::Failed) -> Failed {
        match failed {
            compile::Failed::Rustc(said) => Failed::Rustc(said),
            compile::Failed::Link(error) => Failed::Link(error.to_string()),
            compile::Failed::Io(error) => Failed::Io(error),
        }
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Failed {
        Failed::Link(fault.to_string())
    }
}

/// What asks for files or variables of the environment; `option_env!` ends like that, too.
const READS_MORE: [&str; 4] = ["env!", "include!", "include_bytes!", "include_str!"];

/// All that a module depends on besides Chorus: rustc, its arguments, which name the crates, and the text. Nothing if the
/// text asks for files or variables of the environment, which aren't in it.
pub fn recipe(compiler: &Compiler<'_>, source: &str) -> io::Result<Option<String>> {
    if READS_MORE.iter().any(|asks| source.contains(asks)) {
        return Ok(None);
    }
    let arguments = compile::arguments(compiler, compile::Code::All, Path::new("device.rs"), Path::new("device.ptx"));
    Ok(Some(format!("{}\n{arguments:?}\n{source}", toolchain::version(compiler.rustc)?)))
}

/// Compiles the text of a crate. Takes about as long as a cell.
pub fn build(compiler: &Compiler<'_>, source: &str) -> Result<Built, Failed> {
    let folder = tempfile::tempdir()?;
    let ptx = compile(compiler, source, folder.path())?;
    Ok(Built { layout: layout(&ptx)?, ptx })
}

/// What the module's own function says.
fn layout(ptx: &str) -> Result<[u64; 4], Fault> {
    let mut memory = Memory::new(1 << 20);
    let device = Device::load(Module::parse(ptx)?, &mut memory)?;
    let at = memory.alloc(32, 8)?;
    device.call(&mut memory, "px_layout", &[at])?;
    let bytes = memory.read(at, 32)?;
    let mut numbers = bytes.chunks_exact(8).filter_map(|number| Some(u64::from_le_bytes(number.try_into().ok()?)));
    Ok(std::array::from_fn(|_| numbers.next().unwrap_or_default()))
}
