//! Which thread is where in a launch.

use super::code::{Axis, Special};

/// Threads of a block of a map.
pub(super) const BLOCK: u64 = 256;

/// How many blocks there are in each direction, and how many threads each has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Blocks.
    pub blocks: [u32; 3],
    /// Threads of a block.
    pub threads: [u32; 3],
}

impl Shape {
    /// A row of blocks as maps have them.
    pub(super) fn row(blocks: u32) -> Shape {
        Shape { blocks: [blocks, 1, 1], threads: [BLOCK as u32, 1, 1] }
    }

    /// The threads of a block; none if there are too many to count.
    pub(super) fn block(self) -> u64 {
        product(self.threads).unwrap_or_default()
    }

    /// The threads of all blocks, unless there are too many to count.
    pub(super) fn all_threads(self) -> Option<u64> {
        product(self.blocks)?.checked_mul(product(self.threads)?)
    }

    /// What the thread of this number reads. Threads of a block are counted along x first, then along y; blocks, too.
    pub(super) fn place(self, special: Special, number: u64) -> u64 {
        let Shape { blocks, threads } = self;
        let block = self.block().max(1);
        match special {
            Special::Threads(axis) => of(threads.map(u64::from), axis),
            Special::Blocks(axis) => of(blocks.map(u64::from), axis),
            Special::Thread(axis) => of(along(threads, number % block), axis),
            Special::Block(axis) => of(along(blocks, number / block), axis),
        }
    }
}

fn product(of: [u32; 3]) -> Option<u64> {
    of.into_iter().try_fold(1u64, |all, size| all.checked_mul(size.into()))
}

fn along(sizes: [u32; 3], number: u64) -> [u64; 3] {
    let [x, y, _] = sizes.map(|size| u64::from(size).max(1));
    [number % x, number / x % y, number / x / y]
}

fn of([x, y, z]: [u64; 3], axis: Axis) -> u64 {
    match axis {
        Axis::X => x,
        Axis::Y => y,
        Axis::Z => z,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_of_a_grid_has_a_place_of_its_own() {
        let shape = Shape { blocks: [2, 3, 4], threads: [5, 6, 7] };
        let axes = [Axis::X, Axis::Y, Axis::Z];
        let place = |number| {
            let [thread, block] = [Special::Thread as fn(Axis) -> Special, Special::Block];
            (axes.map(|axis| shape.place(block(axis), number)), axes.map(|axis| shape.place(thread(axis), number)))
        };
        assert_eq!(place(1), ([0, 0, 0], [1, 0, 0]));
        assert_eq!(place(5 * 6 * 2 + 5 * 4 + 3), ([0, 0, 0], [3, 4, 2]));
        assert_eq!(place(5 * 6 * 7 * (2 * 3 * 3 + 2 + 1)), ([1, 1, 3], [0, 0, 0]));
        assert_eq!(axes.map(|axis| shape.place(Special::Blocks(axis), 9)), [2, 3, 4]);
        assert_eq!((shape.block(), shape.all_threads()), (210, Some(210 * 24)));
        assert_eq!(Shape { blocks: [u32::MAX; 3], ..shape }.all_threads(), None);
    }
}
