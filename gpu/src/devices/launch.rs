//! A launch of a kernel of CUDA C++: what it is given, and what no device takes.

use super::Failed;
use serde::{Deserialize, Serialize};

/// Of a kernel, which its module has by this name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The name.
    pub kernel: String,
    /// Blocks along x, y and z.
    pub blocks: [u32; 3],
    /// Threads of a block along x, y and z.
    pub threads: [u32; 3],
    /// Bytes of shared memory that each block has besides what the kernel itself says.
    pub shared: u32,
    /// In their order. Whoever launches it has compared them with what the kernel takes.
    pub arguments: Vec<Argument>,
}

/// What a kernel is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Argument {
    /// A number, in its lowest bytes.
    Value(u64),
    /// Where this buffer begins.
    Kept(u64),
}

/// What CUDA allows on all GPUs that it still knows.
const MOST_BLOCKS: [u32; 3] = [i32::MAX as u32, 65_535, 65_535];
const MOST_THREADS: [u32; 3] = [1024, 1024, 64];
const MOST_IN_BLOCK: u64 = 1024;
/// More has to be asked for in another way.
const MOST_SHARED: u32 = 48 << 10;

impl Launch {
    /// An error if no GPU could begin it.
    pub fn check(&self) -> Result<(), Failed> {
        let Launch { blocks, threads, shared, .. } = self;
        let refused = |what: String| Err(Failed::Refused(what));
        let has_none = |all: &[u32; 3]| all.contains(&0);
        let fits = |all: &[u32; 3], most: [u32; 3]| all.iter().zip(most).all(|(it, most)| *it <= most);
        let in_block: u64 = threads.iter().map(|it| u64::from(*it)).fold(1, u64::saturating_mul);
        if has_none(blocks) {
            return refused(format!("the grid has no blocks ({}); one is the least", shown(blocks)));
        }
        if has_none(threads) {
            return refused(format!("its blocks have no threads ({}); one is the least", shown(threads)));
        }
        if !fits(blocks, MOST_BLOCKS) {
            let most = shown(&MOST_BLOCKS);
            return refused(format!("the grid has {} blocks, and may have {most}", shown(blocks)));
        }
        if in_block > MOST_IN_BLOCK || !fits(threads, MOST_THREADS) {
            let (threads, most) = (shown(threads), shown(&MOST_THREADS));
            return refused(format!("a block has {threads} threads, and may have {most}, and {MOST_IN_BLOCK} in all"));
        }
        if *shared > MOST_SHARED {
            return refused(format!("a block wants {shared} bytes of shared memory, and may have {MOST_SHARED}"));
        }
        Ok(())
    }
}

fn shown([x, y, z]: &[u32; 3]) -> String {
    format!("{x} x {y} x {z}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_gpu_begins_is_refused_and_says_why() {
        let launch = |blocks, threads, shared| {
            let launch = Launch { kernel: "f".into(), blocks, threads, shared, arguments: Vec::new() };
            launch.check().map_err(|failed| failed.to_string())
        };
        assert_eq!(launch([i32::MAX as u32, 65_535, 65_535], [32, 32, 1], 48 << 10), Ok(()));
        assert_eq!(launch([1, 1, 1], [1, 16, 64], 0), Ok(()));
        for (blocks, threads, shared, says) in [
            ([0, 1, 1], [1, 1, 1], 0, "the grid has no blocks (0 x 1 x 1); one is the least"),
            ([1, 1, 1], [8, 0, 1], 0, "no threads"),
            ([1, 65_536, 1], [1, 1, 1], 0, "65536"),
            ([1, 1, 1], [1025, 1, 1], 0, "a block has 1025 x 1 x 1 threads"),
            ([1, 1, 1], [32, 33, 1], 0, "1024 in all"),
            ([1, 1, 1], [1, 1, 65], 0, "1024 x 1024 x 64"),
            ([1, 1, 1], [u32::MAX; 3], 0, "a block has"),
            ([1, 1, 1], [1, 1, 1], 49_153, "49153 bytes of shared memory"),
        ] {
            let said = launch(blocks, threads, shared).unwrap_err();
            assert!(said.contains(says) && said.contains("nothing ran"), "{said}");
        }
    }
}
