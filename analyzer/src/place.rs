//! A place in a cell, as rust-analyzer knows it.

use crate::source::Wrapped;
use ra_ap_ide::{Analysis, FileId, FilePosition, TextSize};

/// A place in the file that has a cell's code, as rust-analyzer knows it.
pub(crate) struct Place {
    pub analysis: Analysis,
    pub file: FileId,
    pub wrapped: Wrapped,
}

impl Place {
    pub fn position(&self) -> FilePosition {
        FilePosition { file_id: self.file, offset: size(self.wrapped.cursor) }
    }
}

/// rust-analyzer counts in 32 bits; no cell is longer.
pub(crate) fn size(offset: usize) -> TextSize {
    TextSize::from(u32::try_from(offset).unwrap_or(u32::MAX))
}
