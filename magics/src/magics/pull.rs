//! `%pull`: variables of the engines for the notebook.

use super::prelude::*;
use super::transfer::{TransferFlags, Way};

#[derive(Parser)]
pub(crate) struct Pull {
    #[command(flatten)]
    transfer: TransferFlags,
}

impl Magic for Pull {
    const NAME: &str = "pull";
    const GROUP: Group = Group::Data;
    const SUMMARY: &str = "Copies variables of the engines to the notebook";
    const USAGE: &str = "%pull NAME [as NAME], ... [-t T]";
    const TEACHING: &str = super::push::Push::TEACHING;

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        self.transfer.read(Way::Pull, call)
    }
}
