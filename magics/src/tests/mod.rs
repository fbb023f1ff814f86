//! The language of magics, told by examples.

mod data;
mod errors;
mod everyday;
mod help;
mod maps;
mod parallel;
mod pieces;

use super::*;
use proptest::prelude::*;

fn ok(cell: &str) -> Vec<Part<'_>> {
    parse(cell, &PxConfig::default()).unwrap_or_else(|error| panic!("{cell}\n{error}"))
}

fn error(cell: &str) -> String {
    parse(cell, &PxConfig::default()).expect_err(cell).to_string()
}

fn only(cell: &str) -> Command<'_> {
    match ok(cell).as_slice() {
        [Part::Magic { command, .. }] => command.clone(),
        other => panic!("{cell}: {other:?}"),
    }
}

fn px(cell: &str) -> (PxOptions, Code<'_>) {
    match only(cell) {
        Command::Px(Px { options, code }) => (options, code),
        other => panic!("{cell}: {other:?}"),
    }
}

/// One letter a part: Rust, blank, or Magic.
fn shape(cell: &str) -> String {
    ok(cell)
        .iter()
        .map(|part| match part {
            Part::Rust { .. } => 'R',
            Part::Blank { .. } => 'b',
            Part::Magic { .. } => 'M',
        })
        .collect()
}

fn name(name: &str) -> Name {
    Name::find(name).expect(name)
}

fn at_end(line: &str) -> Typed<'_> {
    Typed { line, start: 0, cursor: line.len() }
}

/// What can stand at the end of a magic's line that is being written, and from which byte on.
fn complete(line: &str) -> Option<(usize, Vec<String>)> {
    let found = candidates(at_end(line))?;
    let What::Words(words) = found.what else { panic!("{line}: {found:?}") };
    Some((found.start, words))
}
