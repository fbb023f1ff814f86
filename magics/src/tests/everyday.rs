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
fn what_notebooks_are_used_to_is_read() {
    for (name, mime) in [("html", "text/html"), ("latex", "text/latex"), ("javascript", "application/javascript")] {
        let cell = format!("%%{name}\n%px <b>\n");
        assert_eq!(only(&cell), Command::Show(Shown { mime, text: "%px <b>\n" }));
    }
    let folder = |to: Option<&str>| Command::Folder(Folder::Change(to.map(str::to_owned)));
    assert_eq!(only("%cd"), folder(None));
    assert_eq!(only("%cd '~/a b'"), folder(Some("~/a b")));
    assert_eq!(only("%pwd"), Command::Folder(Folder::Show));
    let set = |name: &str, value: &str| Command::Env(Env::Set(name.into(), value.into()));
    assert_eq!(only("%env"), Command::Env(Env::List));
    assert_eq!(only("%env A_B"), Command::Env(Env::Show("A_B".into())));
    assert_eq!(only("%env A=b=c"), set("A", "b=c"));
    assert_eq!([only("%env 'A=b  c'"), only("%env A=b -c")], [set("A", "b  c"), set("A", "b -c")]);
    for wrong in ["%env =b", "%env A b"] {
        assert!(error(wrong).contains("a name without spaces"), "{}", error(wrong));
    }
    assert_eq!(only("%reset -f"), Command::Reset(Reset { force: true }));
    let history = |numbered, cells| Command::History(History { numbered, cells });
    assert_eq!(only("%history -n 2-4 7 9-"), history(true, vec![2..=4, 7..=7, 9..=u32::MAX]));
    assert_eq!(only("%history"), history(false, vec![]));
    assert!(error("%history x").contains("write numbers of cells"), "{}", error("%history x"));
    assert_eq!(only("%run 'a b.rs'"), Command::Run(RunFile { file: "a b.rs".into() }));
    let Command::Say(said) = only("%load_ext ipyparallel") else { panic!() };
    assert_eq!(said, "There are no extensions to load: `%px` and the other parallel magics are always there.");
    let Command::Say(said) = only("%matplotlib inline") else { panic!() };
    assert!(said.contains("evcxr_display"), "{said}");
}

#[test]
fn a_captured_cell_is_a_cell() {
    let capture = |cell| match only(cell) {
        Command::Capture(capture) => capture,
        other => panic!("{cell}: {other:?}"),
    };
    let Capture { out, line, parts } = capture("//\n%%capture out\nlet a = 1;\n%px -t 0 a\n");
    assert_eq!((out.as_deref(), line), (Some("out"), 2));
    assert_eq!(parts[0], Part::Rust { text: "let a = 1;\n", first_line: 3 });
    assert!(matches!(parts[1], Part::Magic { line: 4, command: Command::Px(_), .. }), "{parts:?}");
    let Command::Time(Time::Cell(parts)) = only("%%time\n%%capture\n1") else { panic!() };
    let [Part::Magic { command, .. }] = parts.as_slice() else { panic!("{parts:?}") };
    assert_eq!(command.parts().map(<[_]>::len), Some(1));
    assert_eq!(capture("%%capture").parts, []);
    for (cell, said) in [
        ("%%capture\n%%capture\n1", "one `%%capture` takes the whole cell already"),
        ("%%capture 1a\n1", "a name that a Rust variable can have"),
        ("1;\n%%capture\n1", "must be the first line"),
        ("%%capture a b\n1", "b"),
    ] {
        assert!(error(cell).contains(said), "{}", error(cell));
    }
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
