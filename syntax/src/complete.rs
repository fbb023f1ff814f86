//! Whether a text can be run as it is, or waits for more lines: what consoles ask at each press of Enter.
//!
//! What is open at the end, a bracket, a string or a comment, waits. The rest is rust-analyzer's grammar: a mistake
//! where the text ends is what hasn't been typed yet, and one before is a mistake whatever comes.

use crate::broken::is_unterminated;
use crate::cell::{WRAPPER, split_commands};
use ra_ap_parser::{Edition, LexedStr, StrStep, SyntaxKind, T, TopEntryPoint};

/// Longer texts aren't judged: nobody types them line by line.
const LONGEST: usize = 64 << 10;

/// Nor are texts with more brackets inside each other.
const DEEPEST: usize = 1000;

/// Enough for the longest text of operators alone; what isn't used of it costs nothing.
const STACK: usize = 512 << 20;

/// A step of indentation.
const STEP: &str = "    ";

/// What can be said of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// It can be run.
    Complete,
    /// More must come.
    Incomplete {
        /// White space that the next line should begin with.
        indent: String,
    },
    /// No continuation would make it right.
    Invalid,
    /// It is too long or too deeply nested to be judged.
    Unknown,
}

impl Completeness {
    fn incomplete(indent: impl Into<String>) -> Completeness {
        Completeness::Incomplete { indent: indent.into() }
    }
}

/// Judges Rust, with `:` commands in front if any. It takes about a millisecond.
pub fn completeness(cell: &str) -> Completeness {
    // On a thread of its own: the parser recurses at each operator, and panics when it is led around in circles.
    std::thread::scope(|scope| {
        let judging = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || judge(cell));
        judging.ok().and_then(|judging| judging.join().ok()).unwrap_or(Completeness::Unknown)
    })
}

fn judge(cell: &str) -> Completeness {
    let (_, rust) = split_commands(cell);
    if rust.len() > LONGEST {
        return Completeness::Unknown;
    }
    let text = format!("{WRAPPER}{rust}");
    let ending = match Ending::read(&text) {
        Ok(ending) => ending,
        Err(judged) => return judged,
    };
    let closers: String = ending.open.iter().rev().map(|open| open.closer()).collect();
    let whole = format!("{text}\n{closers}\n}}");
    match first_error(&whole) {
        Some(at) if at < ending.settled => Completeness::Invalid,
        None if ending.open.is_empty() && !ending.awaits_item => Completeness::Complete,
        _ => Completeness::incomplete(ending.indent(&text)),
    }
}

/// Where the parser misses something first. It makes no tree, whose depth could become a problem.
fn first_error(text: &str) -> Option<usize> {
    let tokens = LexedStr::new(Edition::Edition2024, text);
    let parsed = TopEntryPoint::SourceFile.parse(&tokens.to_input(Edition::Edition2024));
    let mut first = None;
    tokens.intersperse_trivia(&parsed, &mut |step| {
        if let StrStep::Error { pos, .. } = step {
            first = Some(first.map_or(pos, |first: usize| first.min(pos)));
        }
    });
    first
}

/// An opening bracket whose closing one hasn't come.
struct Open {
    kind: SyntaxKind,
    at: usize,
    /// Where the statement began that it belongs to.
    statement: Option<usize>,
}

impl Open {
    fn closer(&self) -> char {
        match self.kind {
            T!['('] => ')',
            T!['['] => ']',
            _ => '}',
        }
    }
}

/// How a text ends, told from its tokens.
struct Ending {
    open: Vec<Open>,
    /// Where the last token ends that is neither white space nor comment: what is wrong before is wrong for good.
    settled: usize,
    last: Option<SyntaxKind>,
    /// Where the statement begins that may still go on.
    statement: Option<usize>,
    starts_with: Option<SyntaxKind>,
    /// A documentation comment is the last thing there is.
    awaits_item: bool,
}

impl Ending {
    /// Reads what comes after [`WRAPPER`]. `Err` where the tokens alone say it all.
    fn read(text: &str) -> Result<Ending, Completeness> {
        let mut ending = Ending {
            open: Vec::new(),
            settled: WRAPPER.len(),
            last: None,
            statement: None,
            starts_with: None,
            awaits_item: false,
        };
        let tokens = LexedStr::new(Edition::Edition2024, text);
        for token in (0..tokens.len()).filter(|token| tokens.text_start(*token) >= WRAPPER.len()) {
            let (kind, range) = (tokens.kind(token), tokens.text_range(token));
            if tokens.error(token).is_some() {
                let goes_on = token + 1 == tokens.len() && is_unterminated(kind, tokens.text(token));
                // Any white space would become a part of it.
                return Err(if goes_on { Completeness::incomplete("") } else { Completeness::Invalid });
            }
            match kind {
                SyntaxKind::WHITESPACE => continue,
                SyntaxKind::COMMENT => {
                    ending.awaits_item |= documents(tokens.text(token));
                    continue;
                }
                T!['('] | T!['['] | T!['{'] => {
                    let statement = *ending.statement.get_or_insert(range.start);
                    ending.open.push(Open { kind, at: range.start, statement: Some(statement) });
                    if ending.open.len() > DEEPEST {
                        return Err(Completeness::Unknown);
                    }
                    ending.statement = None;
                }
                T![')'] | T![']'] | T!['}'] => {
                    let open = ending.open.pop().filter(|open| tokens.text(token).starts_with(open.closer()));
                    let Some(open) = open else { return Err(Completeness::Invalid) };
                    ending.statement = open.statement.filter(|_| kind != T!['}']);
                }
                T![;] => ending.statement = None,
                _ if ending.statement.is_none() => {
                    ending.statement = Some(range.start);
                    ending.starts_with = Some(kind);
                }
                _ => {}
            }
            // A lifetime may become a label, which the parser takes for a mistake until its colon comes.
            ending.settled = if kind == SyntaxKind::LIFETIME_IDENT { range.start } else { range.end };
            (ending.last, ending.awaits_item) = (Some(kind), false);
        }
        Ok(ending)
    }

    /// What the next line should begin with.
    fn indent(&self, text: &str) -> String {
        let white = |at: usize| {
            let at = at.max(WRAPPER.len());
            let start = text[..at].rfind('\n').map_or(WRAPPER.len(), |newline| newline + 1);
            let line = &text[start..];
            line[..line.len() - line.trim_start_matches([' ', '\t']).len()].to_owned()
        };
        match (self.statement, self.open.last()) {
            _ if self.awaits_item => white(text.trim_end().len()),
            (Some(statement), open) if open.is_none_or(|open| open.kind == T!['{']) => {
                let deeper = self.goes_on() || matches!(self.starts_with, Some(T![let] | T![return]));
                white(statement) + if deeper && self.last != Some(T![,]) { STEP } else { "" }
            }
            (_, Some(open)) => white(open.at) + STEP,
            (_, None) => white(self.settled),
        }
    }

    /// Whether it ends in an operator, after which the same statement goes on; not in a head such as `fn f()`, whose
    /// block may begin the next line.
    fn goes_on(&self) -> bool {
        let ends_a_part = [T![')'], T![']'], T!['}'], T![>], T![;]];
        self.last.is_some_and(|kind| kind.is_punct() && !ends_a_part.contains(&kind))
    }
}

/// Whether a comment belongs to the item after it.
fn documents(text: &str) -> bool {
    let line = text.starts_with("///") && !text.starts_with("////");
    let block = text.starts_with("/**") && !text.starts_with("/***") && text != "/**/";
    line || block
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn complete(texts: &[&str]) {
        for text in texts {
            assert_eq!(completeness(text), Completeness::Complete, "{text:?}");
        }
    }

    fn invalid(texts: &[&str]) {
        for text in texts {
            assert_eq!(completeness(text), Completeness::Invalid, "{text:?}");
        }
    }

    fn incomplete(texts: &[(&str, usize)]) {
        for (text, indent) in texts {
            assert_eq!(completeness(text), Completeness::incomplete(" ".repeat(*indent)), "{text:?}");
        }
    }

    #[test]
    fn what_can_be_run_is_complete() {
        complete(&[
            "",
            " \n",
            "// only words",
            "1 + 1",
            "let x = 1;",
            "let x = 1;\nx",
            "fn f() {}",
            "fn f() -> i32 { 1 }\nf()",
            "x = 5",
            "if a { b }",
            "match a { _ => {} }",
            "struct A;",
            "struct A(u8);",
            "#[derive(Debug)]\nstruct A { a: u8 }",
            "/// What it is.\nstruct A;",
            "use std::fmt;",
            "impl A {}",
            "macro_rules! m { ($x:expr) => { $x } }",
            "println!(\"{}\", 1)",
            "\"{\"",
            "'{'",
            "r#\"\"(\"#",
            "xs.iter()\n    .map(|x| x + 1)\n    .sum::<i32>()",
            "let s = \"two\nlines\";",
            "/* } */ 1",
            "#![allow(unused)]",
            ":dep regex = \"1\"",
            ":dep regex = \"1\"\nuse regex::Regex;",
            "return",
            "a..",
            "loop { break }",
            "async fn f() {}\nf().await",
            "\"ä🦀\".len()",
        ]);
    }

    #[test]
    fn what_ends_too_early_is_incomplete() {
        incomplete(&[
            ("fn f() {", 4),
            ("fn f() {\n    if a {", 8),
            ("fn f() {\n    let a =", 8),
            ("fn f() {\n    let a = 1;", 4),
            ("fn f() {\n    let a = 1;\n", 4),
            ("fn f()", 0),
            ("fn f() -> Vec<u8>", 0),
            ("foo(", 4),
            ("foo(1,", 4),
            ("  foo(1,", 6),
            ("let v = vec![\n    1,", 4),
            ("let x =", 4),
            ("let x = 1", 4),
            ("let x = xs.iter()", 4),
            ("let x: Vec<", 4),
            ("1 +", 4),
            ("a &&", 4),
            ("xs.iter().", 4),
            ("xs\n    .iter().", 4),
            ("#[derive(Debug)]", 0),
            ("/// What it is.", 0),
            ("  /** What it is. */", 2),
            ("struct A", 0),
            ("impl A", 0),
            ("impl A {\n    /// f\n", 4),
            ("if a", 0),
            ("if a {} else", 0),
            ("match a {\n    1 => {}\n", 4),
            ("|x|", 4),
            ("println!(\"a\"", 4),
            ("let s = \"a", 0),
            ("let s = \"a\\\"", 0),
            ("let s = b\"a", 0),
            ("r#\"a\"", 0),
            ("br\"a", 0),
            ("/* a", 0),
            ("/* /* a */", 0),
            ("pub", 0),
            ("unsafe", 0),
            ("use std::", 4),
            ("macro_rules! m {", 4),
            (":dep regex = \"1\"\nfn f() {", 4),
        ]);
    }

    #[test]
    fn what_nothing_can_mend_is_invalid() {
        invalid(&[
            "}",
            "fn f() {}}",
            "foo(]",
            "foo)",
            "let = 1;",
            "fn f() { let = 1;",
            "let x = 1 2;",
            "foo() bar()",
            "'",
            "let x = 'ab;",
            "r#+;",
            "struct 5;",
            "1 + * ;",
            "\"\\q\"",
        ]);
    }

    #[test]
    fn what_is_too_deep_or_too_long_is_unknown() {
        assert_eq!(completeness(&"(".repeat(DEEPEST + 1)), Completeness::Unknown);
        assert_eq!(completeness(&" ".repeat(LONGEST + 1)), Completeness::Unknown);
        for deep in ["!", "&", "-", "|x|", "x=", "if x{}else ", "(", "[", "A<", "&'a ", "x::<", "{", "else{", "return "]
        {
            let _ = completeness(&deep.repeat(LONGEST / deep.len()));
            let _ = completeness(&format!("let x: {}", deep.repeat(DEEPEST)));
        }
    }

    /// Cells as people write them.
    const CELLS: &[&str] = &[
        "use std::collections::{BTreeMap, HashMap as Map};\nlet mut counts: Map<String, Vec<u8>> = Map::new();\n",
        "#[derive(Clone, Debug)]\npub(crate) struct Point<T: Copy, const N: usize = 3> where T: Default {\n    /// x\n    \
         pub x: [T; N],\n    y: Option<Box<dyn Fn(T) -> T + Send>>,\n}\n",
        "impl<'a, T> Iterator for Walk<'a, T>\nwhere\n    T: 'a,\n{\n    type Item = &'a T;\n    fn next(&mut self) -> \
         Option<&'a T> {\n        let at = self.at?;\n        self.at += 1;\n        self.all.get(at)\n    }\n}",
        "let total = (1..=10)\n    .filter(|n| n % 2 == 0)\n    .map(|n: u64| -> u64 { n * n })\n    .sum::<u64>();\ntotal",
        "match shape {\n    Shape::Circle { r, .. } if r > 0.0 => 3.14 * r * r,\n    Shape::Square(side @ 1..=9) | \
         Shape::Rect(side) => side,\n    _ => return Err(\"no\".into()),\n}",
        "let Some(x) = maybe else { panic!(\"none: {:?}\", maybe) };\nif let Ok(y) = x.parse::<i32>() && y > 0 { y } else \
         if y == 0 { 1 } else { -y };",
        "async fn fetch(url: &str) -> Result<String, Box<dyn std::error::Error>> { Ok(get(url).await?.text().await?) }",
        "'outer: for (i, row) in rows.iter().enumerate() {\n    while let Some(c) = row.next() { if c == 'x' { break \
         'outer; } else { continue; } }\n}",
        "macro_rules! square {\n    ($x:expr) => { $x * $x };\n}\nlet s = r#\"raw \"text\" \"#;\nprintln!(\"{s} {}\", \
         square!(3));",
        "unsafe extern \"C\" fn f(x: *const u8) -> u8 { unsafe { *x } }\nstatic mut N: u8 = 0;\nconst fn g() -> u8 { 1 }",
        "enum E { A = 1, B(u8), C { c: u8 } }\ntrait T: Sized { const N: usize; fn f(&self) -> impl Fn(u8) -> u8; }\ntype \
         A<T> = fn(T) -> T;\nmod m { pub use super::*; }",
        "let f = move |x: &mut [f64]| x.iter_mut().for_each(|x| *x = -*x as f32 as f64);\nlet y = loop { break 5 };\n\
         let z = &mut v[1..][..2];\nlet w = !a ^ b << 2 >= c && d != e;\nstd::thread::spawn(f).join().unwrap();",
    ];

    #[test]
    fn the_cells_themselves_are_complete() {
        complete(CELLS);
    }

    /// At each end of a token somebody may press Enter, but not inside of an operator of several characters.
    #[test]
    fn no_beginning_of_a_good_cell_is_invalid() {
        for cell in CELLS {
            let tokens = LexedStr::new(Edition::Edition2024, cell);
            for token in 1..tokens.len() {
                let beginning = &cell[..tokens.text_start(token)];
                let in_operator = tokens.kind(token - 1).is_punct() && tokens.kind(token).is_punct();
                let judged = completeness(beginning);
                assert!(judged != Completeness::Invalid || in_operator, "{beginning:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[a-c1 \n\t\"'#!/*(){}\\[\\]<>=.,;:&|+rbä🦀%-]{0,80}") {
            let _ = completeness(&text);
        }

        #[test]
        fn no_words_make_it_panic(words in prop::collection::vec(prop::sample::select(&[
            "fn", "f", "(", ")", "{", "}", "let", "=", ";", "\"a\"", "'a", "struct", "impl", "<", ">", "::", "=>", "match",
            "if", "else", "#[a]", "///x\n", "where", "for", "in", "async", "move", "|", "&", "mut", "..", "1.", "!", "?",
        ][..]), 0..40)) {
            let _ = completeness(&words.join(" "));
        }
    }
}
