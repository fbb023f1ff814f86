//! `%pxconfig`: the defaults of the parallel magics.

use super::prelude::*;
use crate::PxConfig;
use crate::config::ConfigFlags;

/// Makes these the defaults, if `changed`; else shows them.
#[derive(Clone, Debug, PartialEq)]
pub struct PxDefaults {
    /// The defaults. The magics below in the same cell were read with them.
    pub config: PxConfig,
    /// Whether there were any flags.
    pub changed: bool,
    /// The engines that `-t` names.
    pub targets: Option<Targets>,
}

#[derive(Parser)]
pub(crate) struct Flags {
    #[command(flatten)]
    config: ConfigFlags,
}

impl Magic for Flags {
    const NAME: &str = "pxconfig";
    const GROUP: Group = Group::Parallel;
    const SUMMARY: &str = "Sets the defaults of the flags of `%px`, or shows them";
    const USAGE: &str = "%pxconfig [flags]";
    const TEACHING: &str = "\
Examples:
  %pxconfig                              shows the defaults
  %pxconfig -t :2 --progress-after 0     from now on the first two engines, with progress at once
  %pxconfig -t all --no-stream -g engine   outputs at the end, engine by engine";
    const UNCOMMON: bool = true;

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        let (config, targets) = self.config.defaults(call.config, "%pxconfig");
        let changed = !call.words.flags.is_empty();
        Ok(Command::PxConfig(PxDefaults { config, changed, targets }))
    }
}
