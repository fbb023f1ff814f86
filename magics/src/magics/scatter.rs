//! `%scatter`: a part of a variable for each engine.

use super::prelude::*;
use super::transfer::{TransferFlags, Way};

#[derive(Parser)]
pub(crate) struct Scatter {
    #[command(flatten)]
    transfer: TransferFlags,
    /// The first engine gets the first item, the second one the second, and so on; else each gets a stretch
    #[arg(long)]
    round_robin: bool,
    /// To the memory of the engines' GPUs: each part is a px::GpuVec
    #[arg(long)]
    gpu: bool,
}

impl Magic for Scatter {
    const NAME: &str = "scatter";
    const GROUP: Group = Group::Data;
    const SUMMARY: &str = "Gives each engine a part of a variable of the notebook";
    const USAGE: &str = "%scatter NAME [as NAME], ... [-t T] [--round-robin] [--gpu]";
    const TEACHING: &str = "\
What is in parts may be a Vec, an array, a slice or a VecDeque; each part is a Vec. The parts are stretches of nearly
the same length, in the order of the engines, or with --round-robin every n-th item.

Examples:
  %scatter xs as part              each engine has a Vec, its part
  %map -o ys f64::sqrt over each part
  %gather part as xs               the parts, put together
  %scatter xs --round-robin -t ::2
  %scatter --gpu xs as part        in the GPUs' memory: %map --gpu ... over each part";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        let way = Way::Scatter { round_robin: self.round_robin };
        self.transfer.transfer(way, self.gpu, call).map(Command::Transfer)
    }
}
