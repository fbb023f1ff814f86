//! `%gpu`: the GPUs that the engines have.

use super::prelude::*;

/// Shows the engines' GPUs.
#[derive(Parser, Clone, Debug, PartialEq, Eq)]
pub struct GpuStatus {}

impl Magic for GpuStatus {
    const NAME: &str = "gpu";
    const GROUP: Group = Group::Parallel;
    const SUMMARY: &str = "Shows the engines' GPUs";
    const USAGE: &str = "%gpu";
    const TEACHING: &str = "\
For each engine: its GPU, with its number on the host; how much of the GPU's memory is free; what Chorus holds there
for maps; the driver; what the GPU's code may use; and whether a map runs there. Then the engines that have none, and
what is kept on disk for maps on GPUs. It answers while maps run. Several engines may share a GPU, which is then shown
for each.

Examples:
  %gpu                                          what there is
  %map --gpu |x: f32| x.sqrt() over xs          a map that uses it: %map?
  px::call!(train, 3, { gpu: 1 })               a call where a GPU is: %tasks?";

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Gpu(self))
    }
}
