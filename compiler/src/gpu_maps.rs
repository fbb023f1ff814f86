//! Maps of cells' own Rust that GPUs are to run, with their places in the notebook.

use crate::failure::mapped;
use crate::source_map::MappedPiece;
use crate::{CellText, SourceMap};
use chorus_syntax::Cell;

/// A map that GPUs are to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuMap {
    /// The execution count of the cell that it stands in.
    pub cell: u32,
    /// The lines of that cell up to its end, as far as they are known: those in front may be blank.
    pub shown: String,
    /// Its function, with its place there.
    pub function: chorus_syntax::Piece,
    /// Whether the function gets values of the notebook besides an item.
    pub has_values: bool,
    /// Whether processors may run it, too.
    pub or_cpu: bool,
    /// The place of the word that says it, line and column.
    pub word: (usize, usize),
}

impl SourceMap {
    /// The maps that GPUs are to run.
    pub fn gpu_maps(&self) -> Vec<GpuMap> {
        self.pieces.iter().flat_map(of_piece).collect()
    }
}

impl CellText<'_> {
    /// The maps that GPUs are to run.
    pub fn gpu_maps(&self) -> Vec<GpuMap> {
        // Most cells needn't be read once more.
        if !self.text.contains("gpu") {
            return Vec::new();
        }
        let cell = Cell::parse(self.text);
        let pieces = cell.items.iter().map(|item| &item.piece).chain(&cell.statements);
        pieces.flat_map(|piece| of_piece(&mapped(piece, self))).collect()
    }
}

fn of_piece(piece: &MappedPiece) -> Vec<GpuMap> {
    let shown = "\n".repeat(piece.line.saturating_sub(1)) + &piece.shown;
    let place = |line: usize, column: usize| match line {
        1 => (piece.line, piece.column + column - 1),
        _ => (piece.line + line - 1, column),
    };
    let found = chorus_syntax::gpu_maps(&piece.text).into_iter();
    found
        .map(|map| {
            let (line, column) = place(map.function.line, map.function.column);
            GpuMap {
                cell: piece.cell,
                shown: shown.clone(),
                function: chorus_syntax::Piece { line, column, ..map.function },
                has_values: map.has_values,
                or_cpu: map.or_cpu,
                word: place(map.word.line, map.word.column),
            }
        })
        .collect()
}
