//! `%matplotlib`: plots need nothing to be switched on.

use super::prelude::*;

#[derive(Parser)]
pub(crate) struct Matplotlib {
    /// Where IPython would show plots
    #[arg(value_name = "BACKEND")]
    _backend: Option<String>,
}

impl Magic for Matplotlib {
    const NAME: &str = "matplotlib";
    const GROUP: Group = Group::Notebook;
    const SUMMARY: &str = "Says how a cell shows a plot";
    const USAGE: &str = "%matplotlib [BACKEND]";
    const TEACHING: &str = "\
It is here for notebooks that come from IPython.

Examples:
  %matplotlib inline";
    const UNCOMMON: bool = true;

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        let text = "Plots are shown without it: end a cell with one of plotters (its feature `evcxr`) or of another crate \
            with `evcxr_display`, or show an image with `px::display(px::Svg(..))` or `px::Png`.";
        Ok(Command::Say(text.to_owned()))
    }
}
