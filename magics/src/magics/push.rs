//! `%push`: variables of the notebook for the engines.

use super::prelude::*;
use super::transfer::{TransferFlags, Way};

#[derive(Parser)]
pub(crate) struct Push {
    #[command(flatten)]
    transfer: TransferFlags,
    /// To the memory of the engines' GPUs: each variable is a Vec, and a px::GpuVec there
    #[arg(long)]
    gpu: bool,
}

impl Magic for Push {
    const NAME: &str = "push";
    const GROUP: Group = Group::Data;
    const SUMMARY: &str = "Copies variables of the notebook to the engines";
    const USAGE: &str = "%push NAME [as NAME], ... [-t T] [--gpu]";
    const TEACHING: &str = "\
What is copied may be anything that `%map` can send; see `%map?`. The variables have the same names on the other side,
or those behind `as`. `%pull` makes a Vec with one value of each engine, or the value itself where `-t` names a single
engine by its number. Each side has a copy of its own, which the other side's changes don't reach. What lies on GPUs
comes back as a Vec.

Examples:
  %push table, names          to all engines
  %push table as t -t 0,2     to two of them, with the name t
  %push --gpu table           a px::GpuVec on each engine, for maps with --gpu
  %pull count as counts       let counts: Vec<u64> = one of each engine
  %pull count -t 0            let count: u64 = engine 0's";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        self.transfer.transfer(Way::Push, self.gpu, call).map(Command::Transfer)
    }
}
