//! `%load_ext`: nothing to load here.

use super::prelude::*;

#[derive(Parser)]
pub(crate) struct LoadExt {
    /// Which
    #[arg(value_name = "NAME")]
    name: String,
}

impl Magic for LoadExt {
    const NAME: &str = "load_ext";
    const GROUP: Group = Group::Notebook;
    const SUMMARY: &str = "Says that there are no extensions to load";
    const USAGE: &str = "%load_ext NAME";
    const TEACHING: &str = "\
It is here for notebooks that come from IPython.

Examples:
  %load_ext autoreload";
    const UNCOMMON: bool = true;

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        let instead = match self.name.as_str() {
            "ipyparallel" => "`%px` and the other parallel magics are always there.",
            "autoreload" => "a cell sees the newest definitions of the notebook without it.",
            "nvcc_plugin" | "nvcc4jupyter" => "`%%cuda` is always there.",
            _ => "`%lsmagic` lists the magics, which are always there.",
        };
        Ok(Command::Say(format!("There are no extensions to load: {instead}")))
    }
}
