//! `%%cuda`: a cell of CUDA C++.

use super::prelude::*;

/// Defines the functions by which Rust calls the cell's kernels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuda<'a> {
    /// NVRTC's options.
    pub options: Vec<String>,
    /// The body.
    pub code: Code<'a>,
    /// The 1-based line of the magic.
    pub line: usize,
}

#[derive(Parser)]
pub(crate) struct Flags {
    /// Options of NVRTC, such as --fmad=false or -DN=3
    #[arg(value_name = "OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

impl Magic for Flags {
    const NAME: &str = "cuda";
    const FORM: Form = Form::Cell;
    const GROUP: Group = Group::Parallel;
    const SUMMARY: &str = "Compiles kernels of CUDA C++, which cells on engines call as functions";
    const USAGE: &str = "%%cuda [OPTIONS] and the kernels on the lines below";
    const TEACHING: &str = "\
Each `extern \"C\" __global__ void` becomes a function for all cells, which is called where a GPU is: in a `%%px`
cell. It takes a px::Grid in front; a pointer becomes a reference to a px::GpuVec, `&mut` if it isn't `const`. It
returns when the kernel has ended. NVIDIA's NVRTC compiles the cell; `!pip install nvidia-cuda-nvrtc-cu12` is enough,
or CHORUS_NVRTC says where it is. The options are NVRTC's.

Examples:
  %%cuda --fmad=false
  extern \"C\" __global__ void scale(float k, float *x, size_t n) {
      size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
      if (i < n) x[i] *= k;
  }

  %scatter --gpu xs as part
  %px scale(px::Grid::over(part.len()), 2.0, &mut part, part.len() as u64)?;";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        let line = call.rest().line;
        let code = call.body.unwrap_or(call.rest());
        Ok(Command::Cuda(Cuda { options: self.options, code, line }))
    }
}
