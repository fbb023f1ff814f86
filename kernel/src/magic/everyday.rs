//! The flags of the ordinary magics, those that have nothing to do with engines.

use clap::Parser;

/// `%timeit` and `%%timeit`.
#[derive(Parser, Clone, Copy, Debug, PartialEq, Eq)]
#[command(no_binary_name = true, disable_version_flag = true, args_override_self = true)]
pub struct TimeItFlags {
    /// How many loops a run has; as many as last about 0.2 s when left out
    #[arg(short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub loops: Option<u64>,
    /// How many runs there are
    #[arg(short = 'r', value_name = "R", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=10_000))]
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
