//! The magics that have nothing to do with engines.

use super::*;

#[test]
fn the_ordinary_magics_are_read() {
    let code = |text, line, column| Code { text, line, column };
    assert_eq!(only("%time f(1)"), Command::Time(Time::Line(code("f(1)", 1, 7))));
    let flags = |loops, repeats| TimeItFlags { loops, repeats };
    let time_it = |flags, setup, code| Command::TimeIt(TimeIt { flags, setup, code });
    assert_eq!(only("%timeit a + b"), time_it(flags(None, 7), None, code("a + b", 1, 9)));
    assert_eq!(only("%timeit -n5 -r 2 -- -a"), time_it(flags(Some(5), 2), None, code("-a", 1, 21)));
    assert_eq!(
        only("//\n%%timeit -r 2 let a = 1\na +\n1"),
        time_it(flags(None, 2), Some(code("let a = 1", 2, 15)), code("a +\n1", 3, 1))
    );
    assert_eq!(
        script_of("%%script python3 -u -h\nx = '"),
        ("python3".into(), vec!["-u".into(), "-h".into()], Input::Stdin, "x = '")
    );
    assert_eq!(script_of("%%bash\nls %px\n"), ("bash".into(), vec![], Input::Argument, "ls %px\n"));
    assert_eq!(script_of("%%sh -o 'a b'\nls").1, ["-o", "a b"]);
    let write = |file: &str, append, text| Command::WriteFile(WriteFile { file: file.into(), append, text });
    assert_eq!(only("%%writefile a.txt\n%%px\n\"\n"), write("a.txt", false, "%%px\n\"\n"));
    assert_eq!(only("%%writefile -a '~/a b'"), write("~/a b", true, ""));
    assert_eq!(only("%%file --append b"), write("b", true, ""));
    assert_eq!(only("%load src/lib.rs"), Command::Load(Load { file: "src/lib.rs".into() }));
    assert_eq!((only("%who"), only("%whos")), (Command::Who(Who { types: false }), Command::Who(Who { types: true })));
}

#[test]
fn a_timed_cell_is_a_cell() {
    let Command::Time(Time::Cell(parts)) = only("%%time\nlet a = 1;\n%px -t 0 a\na") else { panic!() };
    assert_eq!(parts[0], Part::Rust { text: "let a = 1;\n", first_line: 2 });
    let Part::Magic { line: 3, command: Command::Px(Px { code, .. }), .. } = &parts[1] else { panic!("{parts:?}") };
    assert_eq!((code.text, code.line, code.column), ("a", 3, 10));
    let Command::Time(Time::Cell(parts)) = only("// slow\n%%time\n%%px -t 1\na\n") else { panic!() };
    let [Part::Magic { line: 3, command: Command::Px(Px { code, .. }), .. }] = parts.as_slice() else {
        panic!("{parts:?}")
    };
    assert_eq!((code.text, code.line, code.column), ("a\n", 4, 1));
    assert_eq!(only("%%time"), Command::Time(Time::Cell(vec![])));
    let Command::Time(Time::Cell(parts)) = only("  %time %px -t 1 a") else { panic!() };
    let [Part::Magic { text: "%px -t 1 a", line: 1, command: Command::Px(Px { code, .. }), .. }] = parts.as_slice()
    else {
        panic!("{parts:?}")
    };
    assert_eq!((code.text, code.column), ("a", 18));
    for (cell, said) in [
        ("%time %%px a", "`%%px` takes the whole cell"),
        ("%time %time a", "one `%time`"),
        ("%time %pxx a", "there is no magic `%pxx`"),
        ("%time %px -q a", "-q"),
    ] {
        assert!(error(cell).contains(said), "{}", error(cell));
    }
    assert_eq!(only("%%time?"), Command::Help(name("time")));
}

#[test]
fn an_exclamation_mark_above_all_rust_is_the_shells() {
    let shell = |cell: &str| -> Vec<String> {
        let command = |part: &Part<'_>| match part {
            Part::Magic { command: Command::Shell(command), .. } => Some((*command).to_owned()),
            _ => None,
        };
        ok(cell).iter().filter_map(command).collect()
    };
    assert_eq!(shell("!ls -l | wc "), ["ls -l | wc"]);
    assert_eq!(shell("// why\n:dep a\n  !a\r\n! b\n%px c\n!./d\nlet e = 1;\n!f"), ["a", "b", "./d"]);
    assert_eq!(shape("!a\nlet b = 1;\n!b"), "MR");
    for rust in [
        "let a = true;\n!a",
        "f();\n\n!a && b",
        "!(a && b)",
        "!!a",
        "!*a",
        "!&a",
        "!{ a }",
        "!-1",
        "!",
        "f(\n!a\n)",
        "fn f() -> bool {\n!a }",
        "let s = \"\n!ls\n\";",
        "/*\n!ls\n*/ let a = 1;",
    ] {
        assert_eq!(shape(rust), "R", "{rust}");
    }
    assert_eq!(px("%%px\n!ls").1.text, "!ls", "all in a `%%px` is Rust");
}

fn script_of(cell: &str) -> (String, Vec<String>, Input, &str) {
    match only(cell) {
        Command::Script(Script { program, args, input, script }) => (program, args, input, script),
        other => panic!("{cell}: {other:?}"),
    }
}
