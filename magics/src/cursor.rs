//! What stands at the cursor of a cell that is being written.
//!
//! [`super::parse`] refuses a cell with mistakes, and a cell that isn't finished has some: here, what makes no sense
//! stays what it begins as.

use super::error::Line;
use super::flags::{ConfigFlags, PxFlags};
use super::line::{Head, Reader, split_flags};
use super::scan::{Next, Scanner};
use super::{Name, PxConfig, Targets, candidates, found, is_evcxr_command};
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

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Rust(Option<Targets>),
    Magic,
    Command,
    Text,
}

/// What stands at this byte of the cell, after whatever `config` and `autopx` were set to by earlier cells.
pub fn spot<'a>(cell: &'a str, cursor: usize, config: &PxConfig, autopx: Option<&PxConfig>) -> Spot<'a> {
    let stretches = stretches(cell, config.clone(), autopx.cloned());
    let at = stretches.iter().position(|(range, _)| cursor < range.end).unwrap_or(stretches.len().saturating_sub(1));
    let Some((range, kind)) = stretches.get(at) else {
        return Spot::Rust { code: String::new(), engines: autopx.map(|config| config.targets.clone()) };
    };
    // Between its flags and its code, a `%px` may go on with either.
    let magic = at.checked_sub(1).and_then(|before| stretches.get(before)).filter(|(_, kind)| *kind == Kind::Magic);
    let dashes = cell.get(range.start..cursor).is_some_and(|code| code.trim_matches('-').is_empty());
    if let (true, Some((magic, _))) = (dashes, magic) {
        let typed = typed(cell, magic.start, cursor);
        if typed.start + typed.cursor == cursor && candidates(typed).is_some() {
            return Spot::Magic(typed);
        }
    }
    match kind {
        Kind::Magic => Spot::Magic(typed(cell, range.start, cursor)),
        Kind::Command => Spot::Command(typed(cell, range.start, cursor)),
        Kind::Text => Spot::Text,
        Kind::Rust(engines) => {
            let mut code = String::with_capacity(cell.len());
            for (range, kind) in &stretches {
                let text = cell.get(range.clone()).unwrap_or("");
                match kind {
                    Kind::Rust(others) if others.is_some() == engines.is_some() => code.push_str(text),
                    _ => code.extend(text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' })),
                }
            }
            Spot::Rust { code, engines: engines.clone() }
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
    let stretches = stretches(cell, config.clone(), autopx.cloned());
    let rust = stretches.iter().filter(|(_, kind)| match kind {
        Kind::Rust(engines) => engines.is_some() == on_engines,
        _ => false,
    });
    rust.filter_map(|(range, _)| cell.get(range.clone())).map(|text| format!("{text}\n")).collect()
}

/// The cell, cut where its kind changes: at ends of lines, and where a `%px`'s code begins.
fn stretches(cell: &str, mut config: PxConfig, mut autopx: Option<PxConfig>) -> Vec<(Range<usize>, Kind)> {
    let mut all = Vec::new();
    let mut scanner = Scanner::default();
    let mut at = 0;
    // Whether there was Rust: `!` is its own from then on.
    let mut code = false;
    // The engines of a `%%px`, below its line.
    let mut body: Option<Targets> = None;
    for (index, whole) in cell.split_inclusive('\n').enumerate() {
        let line = Line { text: whole.trim_end_matches(['\r', '\n']), number: index + 1 };
        let (start, end) = (at, at + whole.len());
        at = end;
        let next = scanner.next();
        let begins = line.text.trim_start();
        let is_command = next != Next::Rest && (is_evcxr_command(line.text) || !code && begins.starts_with('!'));
        if let (Some(targets), false) = (&body, is_command) {
            all.push((start..end, Kind::Rust(Some(targets.clone()))));
            scanner.read(whole);
            code |= scanner.has_code();
            continue;
        }
        let head = match found(line, next) {
            Ok(found) => found,
            Err(_) => {
                all.push((start..end, Kind::Magic));
                scanner.skip_line();
                continue;
            }
        };
        match head {
            Some((mut name, mut head)) => {
                let mut words = split_flags(&head, &name.flags()).ok();
                // Where the magic begins that the line is about.
                let mut from = start;
                let code = words.as_ref().filter(|_| name == Name::Time && !head.double).map(|words| words.code);
                let timed = code.and_then(|code| Head::find_from(line, code));
                if let Some((magic, inner)) = timed.and_then(|inner| Some((inner.magic()?, inner))) {
                    from += inner.start;
                    all.push((start..from, Kind::Magic));
                    (name, head) = (magic, inner);
                    words = split_flags(&head, &name.flags()).ok();
                }
                match name {
                    Name::Px => {
                        let reader = Reader { name, head: &head };
                        let flags = words.as_ref().and_then(|words| reader.parse::<PxFlags>(words).ok().flatten());
                        let config = flags.map_or_else(|| config.clone(), |flags| flags.over(&config).config);
                        let targets = config.targets;
                        if head.double {
                            all.push((from..end, Kind::Magic));
                            body = Some(targets);
                            continue;
                        }
                        let begin = words.map_or(end, |words| (start + words.code).min(end));
                        all.push((from..begin, Kind::Magic));
                        all.push((begin..end, Kind::Rust(Some(targets))));
                    }
                    Name::AutoPx | Name::PxConfig => {
                        all.push((from..end, Kind::Magic));
                        let reader = Reader { name, head: &head };
                        let flags = words.as_ref().and_then(|words| reader.parse::<ConfigFlags>(words).ok().flatten());
                        let changed = flags.map_or_else(|| config.clone(), |flags| flags.over(&config));
                        match (name, &autopx) {
                            (Name::PxConfig, _) => config = changed,
                            (_, Some(_)) => autopx = None,
                            (_, None) => autopx = Some(changed),
                        }
                    }
                    _ if name.takes_code() => {
                        let begin = words.map_or(end, |words| (start + words.code).min(end));
                        all.push((from..begin, Kind::Magic));
                        all.push((begin..end, Kind::Rust(autopx.as_ref().map(|config| config.targets.clone()))));
                    }
                    _ if head.double => {
                        all.push((from..end, Kind::Magic));
                        all.push((end..cell.len(), Kind::Text));
                        return all;
                    }
                    _ => all.push((from..end, Kind::Magic)),
                }
                scanner.skip_line();
            }
            None if is_command => {
                all.push((start..end, Kind::Command));
                scanner.skip_line();
            }
            // A magic without a name yet.
            None if next == Next::Statement && begins.starts_with('%') => {
                all.push((start..end, Kind::Magic));
                scanner.skip_line();
            }
            None => {
                all.push((start..end, Kind::Rust(autopx.as_ref().map(|config| config.targets.clone()))));
                scanner.read(whole);
                code |= scanner.has_code();
            }
        }
    }
    // Behind the last line's end a new line begins.
    if cell.is_empty() || cell.ends_with('\n') {
        all.push((at..at, Kind::Rust(body.or(autopx.map(|config| config.targets)))));
    }
    all
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
            cell in "([%:!a-z{}\"'é;=-]| |\n|%px |%%px\n|%autopx\n){0,30}",
            cursor in 0..60usize,
        ) {
            let config = PxConfig::default();
            let all = stretches(&cell, config.clone(), None);
            let whole: String = all.iter().map(|(range, _)| &cell[range.clone()]).collect();
            prop_assert_eq!(&whole, &cell);
            if let Spot::Rust { code, .. } = spot(&cell, cursor, &config, None) {
                prop_assert_eq!(code.len(), cell.len());
            }
        }
    }
}
