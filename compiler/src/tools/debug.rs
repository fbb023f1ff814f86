//! Gives `dbg!` the places of the notebook.
//!
//! rustc knows the lines of the source that evcxr made. So where a cell, or a definition that it reaches, says `dbg`, the
//! wrapper puts a table of the places behind the source and has px's macro stand in the place of std's. The table lies in the
//! object, so it is right wherever the object runs, and its key in the cache has the places in it.

use crate::cell::reuse::add;
use crate::messages::source_map::{MappedPiece, SourceMap};
use crate::tools::telling::tell;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;

/// Tells rustc's wrapper, in the folder that evcxr builds in.
const FILE: &str = ".chorus-places";
/// What there is a table for.
const NAME: &str = "dbg";

/// What the wrapper is told.
#[derive(Serialize, Deserialize)]
struct Told<P> {
    /// The execution count of the cell that is compiled.
    cell: u32,
    pieces: P,
}

fn says_it(text: &str) -> bool {
    text.contains(NAME) && chorus_syntax::words(text).any(|word| word == NAME)
}

/// What tells an object with places in it from others: where these pieces stand, which are what a cell of this execution count
/// is made of. Empty if none of them needs its place.
pub(crate) fn key<'a>(pieces: impl Iterator<Item = &'a MappedPiece>, cell: u32) -> Vec<u8> {
    let pieces: Vec<&MappedPiece> = pieces.collect();
    if !pieces.iter().any(|piece| says_it(&piece.text)) {
        return Vec::new();
    }
    let mut places: Vec<_> =
        pieces.iter().map(|piece| (number_of(piece, cell), piece.line, piece.column, &piece.text)).collect();
    places.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    places.iter().for_each(|place| add(&mut hasher, format!("{place:?}").as_bytes()));
    hasher.finalize().as_bytes().to_vec()
}

/// Tells the wrapper where the pieces of the cell of this execution count are.
pub(crate) fn write(pieces: &[MappedPiece], cell: u32, folder: &Path) -> std::io::Result<()> {
    let is_needed = pieces.iter().any(|piece| says_it(&piece.text));
    tell(folder, FILE, is_needed.then_some(&Told { cell, pieces }))
}

/// For the wrapper: what is to stand behind this source, if it was told, and the source says `dbg`.
pub(crate) fn told(source: &str) -> Option<String> {
    let Told { cell, pieces } = crate::tools::telling::told(FILE)?;
    says_it(source).then(|| table(source, pieces, cell))
}

fn table(source: &str, pieces: Vec<MappedPiece>, cell: u32) -> String {
    let pieces = pieces.into_iter().map(|piece| MappedPiece { cell: number_of(&piece, cell), ..piece }).collect();
    let mut table = "#[allow(dead_code)] const CHORUS_PLACES: &[::px::debug::Row] = &[".to_owned();
    for [first, count, cell, line, column, shift] in SourceMap::new(source.to_owned(), pieces).rows() {
        let _ = write!(table, "::px::debug::row({first}, {count}, {cell}, {line}, {column}, {shift}), ");
    }
    // Of a prelude: what the notebook calls so goes before it.
    table + "];\n#[allow(unused_imports)] #[macro_use(dbg)] extern crate px as _;\n"
}

/// The number by which the piece's cell is known to an object, 0 for the cell that is compiled: it may be run again under
/// another one.
fn number_of(piece: &MappedPiece, cell: u32) -> u32 {
    if piece.cell == cell { 0 } else { piece.cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(cell: u32, line: usize, text: &str) -> MappedPiece {
        let users = crate::CellText::ALL;
        MappedPiece { cell, line, column: 1, text: text.into(), shown: text.into(), users }
    }

    #[test]
    fn a_cell_that_says_it_has_the_places_of_all() {
        let pieces = vec![piece(7, 2, "g(dbg!(1));"), piece(4, 3, "fn g(_: u8) {}")];
        let text = table("fn g(_: u8) {}\n{\ng(dbg!(1));\n}", pieces, 7);
        let (first, second) = ("::px::debug::row(1, 1, 4, 3, 1, 0), ", "::px::debug::row(3, 1, 0, 2, 1, 0), ");
        assert!(text.contains(&format!("&[{first}{second}];\n")), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        write(&[piece(7, 2, "dbg!(1)")], 7, folder.path()).unwrap();
        assert!(file.exists());
        write(&[piece(7, 2, "let dbg1 = 1;")], 7, folder.path()).unwrap();
        assert!(!file.exists());
        write(&[], 7, folder.path()).unwrap();
    }

    #[test]
    fn objects_with_places_are_told_apart_by_them() {
        let of = |count: u32, define: &str, at: usize, own: &str| {
            key([piece(count, 1, own), piece(2, at, define)].iter(), count)
        };
        assert!(of(5, "fn f() {}", 1, "f()").is_empty());
        let known = of(5, "fn f() { dbg!(1); }", 1, "f()");
        assert!(!known.is_empty());
        assert_eq!(of(6, "fn f() { dbg!(1); }", 1, "f()"), known, "the cell is run again");
        assert_ne!(of(5, "fn f() { dbg!(1); }", 2, "f()"), known);
        assert_ne!(of(5, "fn f() {}", 1, "dbg!(f())"), of(5, "fn f() {}", 2, "dbg!(f())"), "a macro may say it");
    }
}
