//! The global memory of the simulated device.

use super::fault::Fault;

/// Each allocation lies in a part of its own of the address space: a number and an offset.
const OFFSET_BITS: u32 = 36;
/// The parts before are for addresses of functions, and for the stack of a thread.
const FIRST: u64 = 2;
/// Where the stack of a thread is.
pub(super) const STACK: u64 = 1 << OFFSET_BITS;
/// Memory isn't cleared on a device, either. Whoever reads what nobody has written is to notice it.
pub(super) const UNWRITTEN: u8 = 0xa5;

/// The global memory of a simulated device. No address is used twice, so that what was freed isn't mistaken for what
/// came after it.
#[derive(Debug)]
pub struct Memory {
    blocks: Vec<Option<Vec<u8>>>,
    limit: u64,
    used: u64,
}

impl Memory {
    /// A memory of so many bytes.
    pub fn new(limit: u64) -> Self {
        Self { blocks: Vec::new(), limit, used: 0 }
    }

    /// The address of new bytes. It is a multiple of `align`, which is at most 64 GiB.
    pub fn alloc(&mut self, bytes: u64, align: u64) -> Result<u64, Fault> {
        let free = self.limit.saturating_sub(self.used);
        let full = Fault::OutOfMemory { bytes, free };
        let number = self.blocks.len() as u64 + FIRST;
        if bytes > free || bytes.max(align) > 1 << OFFSET_BITS || number >= 1 << (62 - OFFSET_BITS) {
            return Err(full);
        }
        let Ok(length) = usize::try_from(bytes) else { return Err(full) };
        let mut block = Vec::new();
        if block.try_reserve_exact(length).is_err() {
            return Err(full);
        }
        block.resize(length, UNWRITTEN);
        self.blocks.push(Some(block));
        self.used += bytes;
        Ok(number << OFFSET_BITS)
    }

    /// Gives back what [`Memory::alloc`] gave.
    pub fn free(&mut self, address: u64) -> Result<(), Fault> {
        let bad = Fault::BadAddress { address, bytes: 0 };
        let Some((block, 0)) = self.block(address) else { return Err(bad) };
        let freed = self.blocks.get_mut(block).and_then(Option::take).ok_or(bad)?;
        self.used = self.used.saturating_sub(freed.len() as u64);
        Ok(())
    }

    /// Writes bytes, all in one allocation.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.bytes_mut(address, bytes.len() as u64)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Reads bytes, all of one allocation.
    pub fn read(&self, address: u64, length: u64) -> Result<Vec<u8>, Fault> {
        Ok(self.bytes(address, length)?.to_vec())
    }

    /// How many bytes are free.
    pub fn available(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    fn block(&self, address: u64) -> Option<(usize, usize)> {
        let number = (address >> OFFSET_BITS).checked_sub(FIRST)?;
        Some((usize::try_from(number).ok()?, usize::try_from(address & ((1 << OFFSET_BITS) - 1)).ok()?))
    }

    pub(super) fn bytes(&self, address: u64, length: u64) -> Result<&[u8], Fault> {
        let found = self.block(address).and_then(|(block, start)| {
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            self.blocks.get(block)?.as_ref()?.get(start..end)
        });
        found.ok_or(Fault::BadAddress { address, bytes: length })
    }

    pub(super) fn bytes_mut(&mut self, address: u64, length: u64) -> Result<&mut [u8], Fault> {
        let found = self.block(address).and_then(|(block, start)| {
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            self.blocks.get_mut(block)?.as_mut()?.get_mut(start..end)
        });
        found.ok_or(Fault::BadAddress { address, bytes: length })
    }
}
