//! `%px` and `%%px`: Rust on engines.

use super::prelude::*;
use crate::PxConfig;
use crate::config::ConfigFlags;
use crate::together::together;

/// Code that runs on engines.
#[derive(Clone, Debug, PartialEq)]
pub struct Px<'a> {
    /// How.
    pub options: PxOptions,
    /// What.
    pub code: Code<'a>,
}

/// How one parallel execution runs.
#[derive(Clone, Debug, PartialEq)]
pub struct PxOptions {
    /// The defaults, with the flags of this magic.
    pub config: PxConfig,
    /// `-o NAME`.
    pub out: Option<String>,
    /// `--local`.
    pub local: bool,
}

#[derive(Parser)]
pub(crate) struct Flags {
    #[command(flatten)]
    config: ConfigFlags,
    /// Keep the outputs under this name, for `%pxresult -o NAME`
    #[arg(short, long, value_name = "NAME", value_parser = variable)]
    out: Option<String>,
    /// Run the code in the notebook's own process as well
    #[arg(long)]
    local: bool,
}

impl Magic for Flags {
    const NAME: &str = "px";
    const FORM: Form = Form::Either;
    const GROUP: Group = Group::Parallel;
    const SUMMARY: &str = "Runs Rust on every engine of the cluster; `%%px` runs the whole cell";
    const USAGE: &str = "%px [flags] CODE, or %%px [flags] and the code on the lines below";
    const TEACHING: &str = "\
The code is compiled once, by the notebook, and every engine runs it. Each engine keeps its own variables; functions,
types and `use` are shared with the other cells of the notebook. The first `%px` starts a cluster if there is none.

Examples:
  %px let here = std::process::id();      a variable on every engine
  %px here                                its value on each: Out[0:2]: 4711 ...
  %px -t 0,2 println!(\"hello\")            on the engines 0 and 2 only
  %px -t -1 -- -here                      `--` ends the flags, where code begins with `-`
  let n = 3;                              Rust may stand above and below: it runs here, not on the engines
  %px println!(\"one of {}\", px::size())

  %%px --noblock -o squares               a cell that isn't waited for
  let mine = (px::rank() * 10)..;
  mine.take(10).map(|x| x * x).sum::<usize>()

Outputs:
  [stdout:2] text       printed by engine 2
  [output:2]            what engine 2 displays follows
  Out[0-3:7]: 42        the cell's last expression, the same on the engines 0 to 3
  [2:execute] ...       how it failed on engine 2";
    const UNCOMMON: bool = true;

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        let config = self.config.over(call.config);
        let options = PxOptions { config, out: self.out, local: self.local };
        let code = call.code();
        if options.local {
            refuse_together(code, call);
        }
        Ok(Command::Px(Px { options, code }))
    }
}

/// The notebook is none of the engines that do something together. Code that asks who it is may leave it out.
fn refuse_together(code: Code<'_>, call: &mut Call<'_, '_>) {
    let asks = ["px::rank", "px::size"].iter().any(|name| code.text.contains(name));
    if let Some(found) = together(code).filter(|_| !asks) {
        let message =
            format!("`{}` works among engines alone, and `--local` runs the code in the notebook, too", found.text);
        call.note(call.error_at(&["--local"], message).with_help("leave out `--local`"));
    }
}
