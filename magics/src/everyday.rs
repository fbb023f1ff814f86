//! The flags of the ordinary magics, those that have nothing to do with engines.

use clap::Parser;

fn at_least_one(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "write a number, at least 1".into())
}

fn a_few(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|n| (1..=10_000).contains(n)).ok_or_else(|| "write a number from 1 to 10000".into())
}

/// `%timeit` and `%%timeit`.
#[derive(Parser, Clone, Copy, Debug, PartialEq, Eq)]
#[command(no_binary_name = true, disable_version_flag = true, args_override_self = true)]
pub struct TimeItFlags {
    /// How many loops a run has; as many as last about 0.2 s when left out
    #[arg(short = 'n', value_name = "N", value_parser = at_least_one)]
    pub loops: Option<u64>,
    /// How many runs there are
    #[arg(short = 'r', value_name = "R", default_value_t = 7, value_parser = a_few)]
    pub repeats: u32,
}

/// `%%bash` and `%%sh`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_version_flag = true)]
pub(super) struct ShellFlags {
    /// Arguments of the shell, such as -e
    #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) args: Vec<String>,
}

/// `%%script`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_version_flag = true)]
pub(super) struct ScriptFlags {
    /// The program
    #[arg(value_name = "PROGRAM")]
    pub(super) program: String,
    /// Its arguments
    #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) args: Vec<String>,
}

/// `%%writefile`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_version_flag = true)]
pub(super) struct WriteFlags {
    /// Add to the end of the file instead of replacing it
    #[arg(short, long)]
    pub(super) append: bool,
    /// Where to write
    #[arg(value_name = "FILE")]
    pub(super) file: String,
}

/// `%load`.
#[derive(Parser, Debug)]
#[command(no_binary_name = true, disable_version_flag = true)]
pub(super) struct LoadFlags {
    /// What to read
    #[arg(value_name = "FILE")]
    pub(super) file: String,
}
