//! What of a cell is to run, in which order.

use crate::PxConfig;
use crate::error::MagicError;
use crate::magics::{Command, Map};
use crate::pieces::{Kind, Piece, pieces};

/// A piece of a cell. The texts of all parts, one after the other, are the cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Part<'a> {
    /// Rust for the notebook's own process, or, under `%autopx`, for the engines.
    Rust {
        /// The lines.
        text: &'a str,
        /// The 1-based line of the cell at which they begin.
        first_line: usize,
    },
    /// Lines with nothing but white space and comments.
    Blank {
        /// The lines.
        text: &'a str,
    },
    /// A magic.
    Magic {
        /// Its line, or the whole cell of a `%%px`.
        text: &'a str,
        /// The 1-based line of the cell on which `%` stands.
        line: usize,
        /// Whether it takes the cell: `%%`.
        is_cell: bool,
        /// What it asks for.
        command: Command<'a>,
    },
}

impl<'a> Part<'a> {
    /// The lines of the cell that this is.
    pub fn text(&self) -> &'a str {
        match self {
            Part::Rust { text, .. } | Part::Blank { text } | Part::Magic { text, .. } => text,
        }
    }
}

/// Splits a cell into Rust and magics, which are to run in this order. `config` gives the defaults of their flags.
pub fn parse<'a>(cell: &'a str, config: &PxConfig) -> Result<Vec<Part<'a>>, MagicError> {
    parts(cell, pieces(cell, config, None))
}

/// The maps that a cell asks for, in their order.
pub fn maps<'a>(parts: &[Part<'a>]) -> Vec<Map<'a>> {
    let of_part = |part: &Part<'a>| match part {
        Part::Magic { command: Command::Map(map), .. } => vec![Map::clone(map)],
        Part::Magic { command, .. } => command.parts().map(maps).unwrap_or_default(),
        _ => Vec::new(),
    };
    parts.iter().flat_map(of_part).collect()
}

fn parts<'a>(cell: &'a str, pieces: Vec<Piece<'a>>) -> Result<Vec<Part<'a>>, MagicError> {
    let mut parts: Vec<Part<'a>> = Vec::new();
    let first = pieces.first().map_or(0, |piece| piece.range.start);
    // Where the Rust since the last magic begins, with the number of its line, and whether it is more than white space.
    let mut rust = (first, pieces.first().map_or(1, |piece| piece.line), false);
    let end = pieces.last().map_or(0, |piece| piece.range.end);
    let push_rust = |(from, first_line, is_code), to, parts: &mut Vec<Part<'a>>| match cell.get(from..to) {
        None | Some("") => {}
        Some(text) if is_code => parts.push(Part::Rust { text, first_line }),
        Some(text) => parts.push(Part::Blank { text }),
    };
    let mut was_colon = false;
    for Piece { range, line, kind, error } in pieces {
        error.map_or(Ok(()), Err)?;
        let mut from = range.start;
        let is_colon = matches!(kind, Kind::Colon);
        if is_colon && !was_colon {
            // For the compiler commands stand above Rust. What they are told of here is what has run by then.
            push_rust(rust, from, &mut parts);
            rust = (from, line, true);
        }
        was_colon = is_colon;
        let is_cell = matches!(&kind, Kind::Magic(used) if used.is_cell);
        let command = match kind {
            Kind::Blank(_) => continue,
            Kind::Rust(_) | Kind::Colon | Kind::Text | Kind::Percent => {
                rust.2 = true;
                continue;
            }
            Kind::Shell(command) => Command::Shell(command),
            Kind::Magic(used) => {
                if is_cell {
                    // It takes what stands above it, too, which is blank.
                    (from, rust.0) = (first, first);
                }
                match used.command {
                    Some(command) if command.takes_cell() => command.with_parts(self::parts(cell, used.taken)?),
                    Some(command) => {
                        used.taken.into_iter().find_map(|piece| piece.error).map_or(Ok(()), Err)?;
                        command
                    }
                    None => continue,
                }
            }
        };
        push_rust(rust, from, &mut parts);
        rust = (range.end, line + 1, false);
        parts.push(Part::Magic { text: cell.get(from..range.end).unwrap_or(""), line, is_cell, command });
    }
    push_rust(rust, end, &mut parts);
    Ok(parts)
}
