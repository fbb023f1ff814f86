//! Which lines are magics, and that none of a cell is lost.

use super::*;
use crate::pieces::{Kind, Piece, pieces};
use std::ops::Range;

#[test]
fn rust_stands_beside_line_magics_in_order() {
    let cell = "let a = 1;\nfn f() {}\n%px f()\n\n  %px -t 0 a\nlet b = 2;\n";
    let parts = ok(cell);
    assert_eq!(shape(cell), "RMbMR");
    assert_eq!(parts[0], Part::Rust { text: "let a = 1;\nfn f() {}\n", first_line: 1 });
    assert_eq!(parts[4], Part::Rust { text: "let b = 2;\n", first_line: 6 });
    let Part::Magic { line: 5, command: Command::Px(Px { options, code }), .. } = &parts[3] else {
        panic!("{parts:?}")
    };
    assert_eq!((code.text, code.line, code.column), ("a", 5, 12));
    assert_eq!(options.config.targets.to_string(), "0");
}

#[test]
fn a_cell_magic_takes_the_whole_cell() {
    let (options, code) = px("// the squares\n\n/* of\n%px */\n%%px -t 1: --out squares --local\nlet a = 1;\na");
    assert_eq!((code.text, code.line, code.column), ("let a = 1;\na", 6, 1));
    assert_eq!(options.config.targets.to_string(), "1:");
    assert_eq!((options.out.as_deref(), options.local), (Some("squares"), true));
    assert_eq!(px("%%px").1.text, "");
    assert_eq!(px("%%px\r\na\r\n").1.text, "a\r\n");
    assert_eq!(px("%%px\n:dep rand = \"0.9\"\na").1.text, ":dep rand = \"0.9\"\na");
}

#[test]
fn a_percent_in_rust_is_rust() {
    for cell in [
        "let x = a\n% b;",
        "let x = a\n%b;",
        "let x = a\n%px;",
        "let x = a\n  %px\n;",
        "f(a,\n%px)",
        "let s = \"\n%px f()\n\";",
        "let s = r#\"\n%px \"f()\n\"#;",
        "let s = b\"\n%%px\n\";",
        "/*\n%px f()\n/* */\n%foo\n*/ let a = 1;",
        "fn f() -> u32 { a\n%px }",
        "let x = if a { 1 } else { 2 }\n%foo;",
        "let c = '\"';\nlet x = y\n%px\n;",
    ] {
        assert_eq!(shape(cell), "R", "{cell}");
    }
}

#[test]
fn comments_and_evcxr_commands_are_complete() {
    assert_eq!(shape(":dep rand = { version = \"0.9\" }\n%px f()"), "RM");
    assert_eq!(shape("// it's\n%px f()\n// done"), "bMb");
    assert_eq!(shape("/* it */\n:dep a\n:vars\n// b\nlet c = 1;"), "bR");
    let parts = ok("let a = 1;\nlet b = 2;\n:vars\na + b");
    assert_eq!(parts[0], Part::Rust { text: "let a = 1;\nlet b = 2;\n", first_line: 1 });
    assert_eq!(parts[1..], [Part::Rust { text: ":vars\na + b", first_line: 3 }]);
    assert_eq!(shape("let a = b\n: c;\nf(\n:d)"), "R");
    assert_eq!(shape("f(); // it's\n%px f()"), "RM");
    assert_eq!(shape("let x = if a { 1 } else { 2 }\n%px f()"), "RM");
    assert_eq!(shape("\n\n"), "b");
    assert_eq!(shape(""), "");
}

#[test]
fn a_common_word_behind_a_brace_is_a_variable() {
    for name in ["time", "file", "load", "script", "who", "sh"] {
        assert_eq!(shape(&format!("let x = match y {{ _ => 7 }}\n%{name} + 1;")), "R", "{name}");
    }
    assert_eq!(shape("fn f() {}\n%time f()"), "RM");
}

#[test]
fn the_sources_of_this_workspace_are_rust() {
    let files = sources();
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let parts = ok(&text);
        assert!(matches!(parts.as_slice(), [Part::Rust { first_line: 1, .. }]), "{}: {}", file.display(), parts.len());
        // A magic may stand below any of them.
        let with_magic = text + "\n%px f()\n";
        assert_eq!(shape(&with_magic), "RM", "{}", file.display());
    }
}

/// Every `.rs` file of this crate and of some others of the workspace.
fn sources() -> Vec<std::path::PathBuf> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> = ["src", "../protocol/src", "../engine/src", "../controller/src", "../compiler/src"]
        .into_iter()
        .map(|folder| root.join(folder))
        .collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// Lines that begin, end and continue things.
fn cell() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("let a = 1;".to_owned()),
        Just("let a = b".to_owned()),
        Just("%px -t 0 f()".to_owned()),
        Just("%%px -e".to_owned()),
        Just("%pxconfig -a".to_owned()),
        Just("%%time".to_owned()),
        Just("%timeit -n 3 a".to_owned()),
        Just("%%timeit let a = 1".to_owned()),
        Just("%%script cat".to_owned()),
        Just("!ls".to_owned()),
        Just("%px x \"".to_owned()),
        Just("/*".to_owned()),
        Just("*/ r#\"".to_owned()),
        Just("\"# ; //".to_owned()),
        Just(":dep a".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        "[%a-z \"'\\\\{}();=?ü-]{0,12}",
        any::<String>(),
    ];
    proptest::collection::vec((line, prop_oneof![Just("\n"), Just("\r\n"), Just("")]), 0..8)
        .prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect())
}

/// The ranges of the pieces, and of those that magics are made of.
fn ranges(pieces: &[Piece<'_>]) -> Vec<Range<usize>> {
    let of_piece = |piece: &Piece<'_>| match &piece.kind {
        Kind::Magic(used) => {
            let mut all = ranges(&used.taken);
            all.insert(0, piece.range.start..used.flags_end);
            assert_eq!(all.last().unwrap().end, piece.range.end);
            all
        }
        _ => vec![piece.range.clone()],
    };
    pieces.iter().flat_map(of_piece).collect()
}

fn check_pieces(cell: &str) {
    let mut at = 0;
    for range in ranges(&pieces(cell, &PxConfig::default(), None)) {
        assert_eq!(range.start, at, "{cell:?}");
        assert!(cell.get(range.clone()).is_some(), "{cell:?}");
        at = range.end;
    }
    assert_eq!(at, cell.len(), "{cell:?}");
}

/// Where in a cell this code begins.
fn place(cell: &str, code: Code<'_>) -> usize {
    let lines: usize = cell.split_inclusive('\n').take(code.line - 1).map(str::len).sum();
    let line = cell.split_inclusive('\n').nth(code.line - 1).unwrap_or("");
    lines + line.chars().take(code.column - 1).map(char::len_utf8).sum::<usize>()
}

/// What stands at a cursor is what runs there.
fn check_spots(cell: &str, parts: &[Part<'_>]) {
    let at = |cursor| spot(cell, cursor, &PxConfig::default(), None);
    let mut start = 0;
    for part in parts {
        let end = start + part.text().len();
        match part {
            Part::Rust { .. } | Part::Blank { .. } => {
                for cursor in start..end {
                    match at(cursor) {
                        Spot::Rust { engines: None, .. } | Spot::Command(_) => {}
                        // No Rust begins with it, though no magic has its name yet.
                        Spot::Magic(typed) if typed.line.trim_start().starts_with('%') => {}
                        other => panic!("{cell:?} at {cursor}: {other:?}"),
                    }
                }
            }
            Part::Magic { command: Command::Shell(command), text, .. } => {
                let found = at(start + text.find('!').unwrap());
                assert!(matches!(found, Spot::Command(typed) if typed.line.contains(command)), "{cell:?}");
            }
            Part::Magic { command: Command::Px(Px { options, code }), .. } if !code.text.is_empty() => {
                let found = at(place(cell, *code));
                let is_there = |engines: &Option<Targets>| engines.as_ref() == Some(&options.config.targets);
                let fits = match &found {
                    Spot::Rust { engines, .. } => is_there(engines),
                    // A `:` line, or Rust that may become a flag.
                    Spot::Command(_) => true,
                    Spot::Magic(_) => code.text.starts_with('-'),
                    Spot::Text => false,
                };
                assert!(fits, "{cell:?}: {found:?}");
            }
            Part::Magic { .. } => {}
        }
        start = end;
    }
}

#[test]
fn an_error_ends_no_reading() {
    let cell = "%px -q a\n%pz\nlet a = 1;\n%cluster strat\n%px -t 1 a\n%%bash\nls";
    let found = pieces(cell, &PxConfig::default(), None);
    let errors: Vec<usize> = found.iter().filter_map(|piece| Some(piece.error.as_ref()?.line)).collect();
    assert_eq!(errors, [1, 2, 4, 6]);
    assert_eq!(parse(cell, &PxConfig::default()).unwrap_err().line, 1);
    check_pieces(cell);
    let cell = "%%px\nlet a = 1;\n%px a\n%pz\nb";
    let [piece] = &pieces(cell, &PxConfig::default(), None)[..] else { panic!() };
    let Kind::Magic(used) = &piece.kind else { panic!("{piece:?}") };
    let errors: Vec<usize> = used.taken.iter().filter_map(|piece| Some(piece.error.as_ref()?.line)).collect();
    assert_eq!(errors, [3, 4]);
}

proptest! {
    #[test]
    fn the_pieces_are_the_cell(cell in cell(), text: String) {
        check_pieces(&cell);
        check_pieces(&text);
        check_pieces(&format!("%time {text}"));
    }

    #[test]
    fn commands_and_cursor_agree(cell in cell()) {
        if let Ok(parts) = parse(&cell, &PxConfig::default()) {
            check_spots(&cell, &parts);
        }
    }

    #[test]
    fn no_cell_panics_and_no_text_is_lost(cell in cell()) {
        match parse(&cell, &PxConfig::default()) {
            Ok(parts) => prop_assert_eq!(parts.iter().map(Part::text).collect::<String>(), cell),
            Err(error) => {
                let line = cell.split('\n').nth(error.line - 1).unwrap();
                prop_assert_eq!(line.trim_end_matches('\r'), error.text.trim_end_matches('\r'));
                let _ = error.to_string();
            }
        }
    }

    #[test]
    fn no_text_panics(cell: String) {
        let _ = parse(&cell, &PxConfig::default());
        let _ = parse(&format!("%px {cell}"), &PxConfig::default());
        for name in Name::all() {
            let _ = parse(&format!("%{} {cell}", name.as_str()), &PxConfig::default());
            let _ = parse(&format!("%%{} {cell}", name.as_str()), &PxConfig::default());
            let _ = candidates(at_end(&format!("%%{} {cell}", name.as_str())));
        }
        let _ = parse(&format!("!{cell}"), &PxConfig::default());
        let _ = candidates(at_end(&format!("%px {cell}")));
        let _ = candidates(at_end(&cell));
    }

    #[test]
    fn code_stands_where_it_is_said_to(cell in cell()) {
        let parts = parse(&cell, &PxConfig::default()).unwrap_or_default();
        for part in parts {
            let Part::Magic { command: Command::Px(Px { code, .. }), .. } = part else { continue };
            let line = cell.split_inclusive('\n').nth(code.line - 1).unwrap_or("");
            let from: String = line.chars().skip(code.column - 1).collect();
            let first = code.text.split('\n').next().unwrap_or("");
            prop_assert!(from.starts_with(first), "{:?} in {:?}", first, line);
        }
    }
}
