//! `%autopx`: all following Rust on engines.

use super::prelude::*;
use crate::PxConfig;
use crate::config::ConfigFlags;

/// Begins to send all Rust to the engines, or ends it.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoPx {
    /// How it runs there.
    pub config: PxConfig,
    /// The engines that `-t` names.
    pub targets: Option<Targets>,
}

#[derive(Parser)]
pub(crate) struct Flags {
    #[command(flatten)]
    config: ConfigFlags,
}

impl Magic for Flags {
    const NAME: &str = "autopx";
    const GROUP: Group = Group::Parallel;
    const SUMMARY: &str = "Sends every following cell to the engines, until `%autopx` is run again";
    const USAGE: &str = "%autopx [flags]";
    const TEACHING: &str = "\
Examples:
  %autopx                 from the next statement on, all Rust runs on the engines
  let a = px::rank();
  %autopx                 and from here on in the notebook again
  %autopx -t 0            only engine 0";
    const UNCOMMON: bool = true;

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        let (config, targets) = self.config.defaults(call.config, "%autopx");
        Ok(Command::AutoPx(AutoPx { config, targets }))
    }
}
