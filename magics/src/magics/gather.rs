//! `%gather`: the engines' parts of a variable, put together.

use super::prelude::*;
use super::transfer::{TransferFlags, Way};

#[derive(Parser)]
pub(crate) struct Gather {
    #[command(flatten)]
    transfer: TransferFlags,
}

impl Magic for Gather {
    const NAME: &str = "gather";
    const GROUP: Group = Group::Data;
    const SUMMARY: &str = "Puts the engines' parts together in the notebook";
    const USAGE: &str = "%gather NAME [as NAME], ... [-t T]";
    const TEACHING: &str = super::scatter::Scatter::TEACHING;

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        self.transfer.read(Way::Gather, call)
    }
}
