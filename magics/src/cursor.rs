//! What stands at the cursor of a cell that is being written.
//!
//! [`super::parse`] refuses a cell with mistakes, and a cell that isn't finished has some: here, what makes no sense
//! stays what it begins as.

use crate::pieces::{Kind, Piece, pieces};
use crate::{PxConfig, Targets, candidates};
use std::ops::Range;

/// What stands at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot<'a> {
    /// Rust.
    Rust {
        /// The cell, with blanks for all that isn't Rust of the same place, so that the cursor's place is the same.
        code: String,
        /// Where it would run: on these engines, or in the notebook.
        engines: Option<Targets>,
    },
    /// A magic's name or its flags.
    Magic(Typed<'a>),
    /// A line that begins with `:` or `!`.
    Command(Typed<'a>),
    /// What a magic takes that is no Rust.
    Text,
}

/// A line with a cursor in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typed<'a> {
    /// The line, without its end.
    pub line: &'a str,
    /// Where it begins in the cell, in bytes.
    pub start: usize,
    /// The cursor's place in the line, in bytes.
    pub cursor: usize,
}

impl<'a> Typed<'a> {
    /// The line up to the cursor.
    pub fn before(&self) -> &'a str {
        self.line.get(..self.cursor).unwrap_or(self.line)
    }
}

/// A stretch of the cell, where `spot` knows no more of it.
#[derive(Clone, Copy)]
enum Stretch<'p> {
    Rust(Option<&'p Targets>),
    Magic,
    Command,
    Text,
}

/// What stands at this byte of the cell, after whatever `config` and `autopx` were set to by earlier cells.
pub fn spot<'a>(cell: &'a str, cursor: usize, config: &PxConfig, autopx: Option<&PxConfig>) -> Spot<'a> {
    let pieces = pieces(cell, config, autopx);
    let stretches = stretches(&pieces);
    let at = stretches.iter().position(|(range, _)| cursor < range.end).unwrap_or(stretches.len().saturating_sub(1));
    let Some((range, stretch)) = stretches.get(at) else {
        return Spot::Rust { code: String::new(), engines: autopx.map(|config| config.targets.clone()) };
    };
    // Between its flags and its code, a `%px` may go on with either.
    let before = at.checked_sub(1).and_then(|before| stretches.get(before));
    let dashes = cell.get(range.start..cursor).is_some_and(|code| code.trim_matches('-').is_empty());
    if let (true, Some((magic, Stretch::Magic))) = (dashes, before) {
        let typed = typed(cell, magic.start, cursor);
        if typed.start + typed.cursor == cursor && candidates(typed).is_some() {
            return Spot::Magic(typed);
        }
    }
    match stretch {
        Stretch::Magic => Spot::Magic(typed(cell, range.start, cursor)),
        Stretch::Command => Spot::Command(typed(cell, range.start, cursor)),
        Stretch::Text => Spot::Text,
        Stretch::Rust(engines) => {
            let mut code = String::with_capacity(cell.len());
            for (range, stretch) in &stretches {
                let text = cell.get(range.clone()).unwrap_or("");
                match stretch {
                    Stretch::Rust(others) if others.is_some() == engines.is_some() => code.push_str(text),
                    _ => code.extend(text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' })),
                }
            }
            Spot::Rust { code, engines: engines.cloned() }
        }
    }
}

/// The line of the cell that begins at `start`.
fn typed(cell: &str, start: usize, cursor: usize) -> Typed<'_> {
    let line = cell.get(start..).unwrap_or("").lines().next().unwrap_or("");
    Typed { line, start, cursor: cursor.saturating_sub(start).min(line.len()) }
}

/// The Rust of a cell that runs on engines, or in the notebook; the rest is blank.
pub fn rust_of(cell: &str, on_engines: bool, config: &PxConfig, autopx: Option<&PxConfig>) -> String {
    let pieces = pieces(cell, config, autopx);
    let is_asked = |stretch| matches!(stretch, Stretch::Rust(engines) if engines.is_some() == on_engines);
    let rust = stretches(&pieces).into_iter().filter(|(_, stretch)| is_asked(*stretch));
    rust.filter_map(|(range, _)| cell.get(range)).map(|text| format!("{text}\n")).collect()
}

/// The pieces, and for magics those that they are made of.
fn stretches<'p>(pieces: &'p [Piece<'_>]) -> Vec<(Range<usize>, Stretch<'p>)> {
    let of_piece = |piece: &'p Piece<'_>| match &piece.kind {
        Kind::Rust(engines) | Kind::Blank(engines) => vec![(piece.range.clone(), Stretch::Rust(engines.as_ref()))],
        Kind::Colon | Kind::Shell(_) => vec![(piece.range.clone(), Stretch::Command)],
        Kind::Percent => vec![(piece.range.clone(), Stretch::Magic)],
        Kind::Text => vec![(piece.range.clone(), Stretch::Text)],
        Kind::Magic(used) => {
            let mut all = vec![(piece.range.start..used.flags_end, Stretch::Magic)];
            all.extend(stretches(&used.taken));
            all
        }
    };
    pieces.iter().flat_map(of_piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `|` is the cursor.
    fn at(text: &str) -> String {
        let cursor = text.find('|').expect("a cursor");
        let cell = text.replacen('|', "", 1);
        match spot(&cell, cursor, &PxConfig::default(), None) {
            Spot::Rust { code, engines } => {
                assert_eq!(code.len(), cell.len());
                format!("{}: {code}", engines.map_or("here".into(), |engines| engines.to_string()))
            }
            Spot::Magic(typed) => format!("magic: {}|", typed.before()),
            Spot::Command(typed) => format!("command: {}|", typed.before()),
            Spot::Text => "text".into(),
        }
    }

    #[test]
    fn only_rust_of_the_same_place_is_seen() {
        assert_eq!(at("|"), "here: ");
        assert_eq!(at("let a = 1;\n%px let é = 2;\n:vars\na.|"), "here: let a = 1;\n               \n     \na.");
        assert_eq!(at("%px let b = 1;\nlet a = 2;\n%px -t 1 b.|"), "1:     let b = 1;\n          \n         b.");
        assert_eq!(at("%%px -t 0,2\nlet a = 1;\n|"), "0,2:            \nlet a = 1;\n");
        assert_eq!(at("%autopx -t 1\na;|\n%autopx"), "1:             \na;\n       ");
        assert_eq!(at("%pxconfig -t ::2\n%px |"), "::2:                 \n    ");
        assert_eq!(at("%px x\n|"), "here:      \n");
        assert_eq!(at("let a = b\n% |c"), "here: let a = b\n% c");
    }

    #[test]
    fn lines_that_are_no_rust_are_told_apart() {
        assert_eq!(at("%|"), "magic: %|");
        assert_eq!(at("let a = 1;\n%p|"), "magic: %p|");
        assert_eq!(at("%px --ta|"), "magic: %px --ta|");
        assert_eq!(at("%px -t| 1 foo()"), "magic: %px -t|");
        assert_eq!(at("%%px --no|\nfoo()"), "magic: %%px --no|");
        assert_eq!(at("%px -|"), "magic: %px -|");
        assert_eq!(at("%px -t |"), "magic: %px -t |");
        assert_eq!(at("%px -b foo -|"), "all:        foo -");
        assert_eq!(at("%%bash\nls |"), "text");
        assert_eq!(at("%%ba|sh\nls"), "magic: %%ba|");
        assert_eq!(at("%%timeit -n 3 a\nb|"), "here:               a\nb");
        assert_eq!(at("%time a|"), "here:       a");
        assert_eq!(at("%time %px -t 1 a|"), "1:                a");
        assert_eq!(at("%nonsense |"), "magic: %nonsense |");
        assert_eq!(at("%cluster st|"), "magic: %cluster st|");
        assert_eq!(at("!ls |"), "command: !ls |");
        assert_eq!(at("let a = true;\n!a|"), "here: let a = true;\n!a");
        assert_eq!(at(":dep ra|"), "command: :dep ra|");
        assert_eq!(at("%%px\n:de|"), "command: :de|");
        assert_eq!(at("%%px\n%|"), "all:     \n%", "no magic can stand there");
    }

    proptest! {
        #[test]
        fn every_place_of_every_cell_is_something(
            cell in "([%:!a-z{}\"'é;=-]| |\n|%px |%%px\n|%time |%%bash|%autopx\n){0,30}",
            cursor in 0..60usize,
        ) {
            let config = PxConfig::default();
            if let Spot::Rust { code, .. } = spot(&cell, cursor, &config, None) {
                prop_assert_eq!(code.len(), cell.len());
            }
        }
    }
}
