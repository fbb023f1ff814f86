//! Kernels of CUDA C++: what the functions are made of that a `%%cuda` cell defines.

use crate::gpu_vec::{GpuVec, ask_module};
use crate::link::{GpuAsk, Launch, LaunchArgument};
use crate::map::Error;

/// Threads of a block, if nobody says otherwise.
const BLOCK: u32 = 256;

/// The threads that run a kernel: blocks, and the threads of each.
///
/// `px::Grid::over(n)` has at least `n` threads in a row. `px::Grid::new(blocks, threads)` takes a number, or two or three
/// for more directions: `px::Grid::new((w.div_ceil(16), h.div_ceil(16)), (16, 16))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    blocks: [u32; 3],
    threads: [u32; 3],
    shared: u32,
}

impl Grid {
    /// As many blocks of 256 threads as have at least so many threads, and at least one.
    pub fn over(items: usize) -> Grid {
        let blocks = u32::try_from(items.div_ceil(BLOCK as usize)).unwrap_or(u32::MAX).max(1);
        Grid::new(blocks, BLOCK)
    }

    /// So many blocks of so many threads.
    pub fn new(blocks: impl Directions, threads: impl Directions) -> Grid {
        Grid { blocks: blocks.along(), threads: threads.along(), shared: 0 }
    }

    /// With so many bytes of shared memory for each block, besides what the kernel itself says: that of an
    /// `extern __shared__` array.
    pub fn shared(self, bytes: u32) -> Grid {
        Grid { shared: bytes, ..self }
    }
}

/// Numbers along x, y and z: `n`, `(x, y)` or `(x, y, z)`.
pub trait Directions {
    #[doc(hidden)]
    fn along(self) -> [u32; 3];
}

impl Directions for u32 {
    fn along(self) -> [u32; 3] {
        [self, 1, 1]
    }
}

impl Directions for (u32, u32) {
    fn along(self) -> [u32; 3] {
        [self.0, self.1, 1]
    }
}

impl Directions for (u32, u32, u32) {
    fn along(self) -> [u32; 3] {
        [self.0, self.1, self.2]
    }
}

/// A number that a kernel takes.
pub trait Number: Copy {
    #[doc(hidden)]
    fn bits(self) -> u64;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Number for $number {
            fn bits(self) -> u64 {
                let mut bits = [0; 8];
                bits.iter_mut().zip(self.to_le_bytes()).for_each(|(to, from)| *to = from);
                u64::from_le_bytes(bits)
            }
        }
    )*};
}

numbers!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

impl Number for bool {
    fn bits(self) -> u64 {
        self.into()
    }
}

/// What a kernel takes by value.
pub fn value(number: impl Number) -> LaunchArgument {
    LaunchArgument::Value(number.bits())
}

/// What a kernel reads.
pub fn read<T>(values: &GpuVec<T>) -> LaunchArgument {
    LaunchArgument::Kept(values.buffer())
}

/// What a kernel changes.
pub fn write<T: Copy + 'static>(values: &mut GpuVec<T>) -> Result<LaunchArgument, Error> {
    values.change().map(LaunchArgument::Kept)
}

/// Runs the kernel of this name to its end.
pub fn launch(module: &str, kernel: &str, grid: Grid, arguments: &[LaunchArgument]) -> Result<(), Error> {
    let Grid { blocks, threads, shared } = grid;
    let launch =
        GpuAsk::Launch(Launch { kernel: kernel.to_owned(), blocks, threads, shared, arguments: arguments.to_vec() });
    let asked = ask_module(&launch, module);
    asked.map(|_| ()).map_err(|error| Error::Failed(format!("the kernel `{kernel}` failed: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_a_thread_for_each_item_and_one_block_at_least() {
        for (items, blocks) in [(0, 1), (1, 1), (256, 1), (257, 2), (usize::MAX, u32::MAX)] {
            assert_eq!(Grid::over(items), Grid { blocks: [blocks, 1, 1], threads: [256, 1, 1], shared: 0 });
        }
        let grid = Grid::new((3, 4), (5, 6, 7)).shared(8);
        assert_eq!(grid, Grid { blocks: [3, 4, 1], threads: [5, 6, 7], shared: 8 });
        assert_eq!(Grid::new(2, 3).blocks, [2, 1, 1]);
    }

    #[test]
    fn numbers_lie_in_the_lowest_bytes() {
        assert_eq!([(-1i8).bits(), 258u16.bits(), 1.5f32.bits()], [255, 258, 1.5f32.to_bits().into()]);
        assert_eq!([(-1i64).bits(), (-0.0f64).bits(), true.bits()], [u64::MAX, 1 << 63, 1]);
    }
}
