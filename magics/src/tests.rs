mod maps;

use super::line::complete;
use super::*;
use crate::Grouping;
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
        Command::Px { options, code } => (options, code),
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

#[test]
fn rust_stands_beside_line_magics_in_order() {
    let cell = "let a = 1;\nfn f() {}\n%px f()\n\n  %px -t 0 a\nlet b = 2;\n";
    let parts = ok(cell);
    assert_eq!(shape(cell), "RMbMR");
    assert_eq!(parts[0], Part::Rust { text: "let a = 1;\nfn f() {}\n", first_line: 1 });
    assert_eq!(parts[4], Part::Rust { text: "let b = 2;\n", first_line: 6 });
    let Part::Magic { line: 5, command: Command::Px { options, code }, .. } = &parts[3] else { panic!("{parts:?}") };
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
    assert_eq!(shape("f(); // it's\n%px f()"), "RM");
    assert_eq!(shape("let x = if a { 1 } else { 2 }\n%px f()"), "RM");
    assert_eq!(shape("\n\n"), "b");
    assert_eq!(shape(""), "");
}

#[test]
fn flags_mean_what_ipyparallels_do() {
    let config = |flags: &str| px(&format!("%px {flags} f()")).0.config;
    let default = PxConfig::default();
    assert_eq!(config(""), default);
    assert!(!config("-a").block);
    assert!(!config("--noblock").block);
    assert!(config("-a -b").block);
    assert!(!config("-b -a").block);
    assert!(!config("--no-stream").stream);
    assert_eq!((config("-r").grouping, config("-r").stream), (Grouping::Order, false));
    assert_eq!(config("-e").grouping, Grouping::Engine);
    assert_eq!(config("-e -g type").grouping, Grouping::Type);
    assert_eq!(config("--group-outputs=engine -r").grouping, Grouping::Order);
    assert!(config("--stream -e").stream);
    assert!(config("--verbose").verbose);
    assert!(config("--each").each);
    assert_eq!(config("--progress-after 0.5").progress_after, Some(std::time::Duration::from_millis(500)));
    assert_eq!(config("--progress-after -1").progress_after, None);
    assert_eq!(config("--progress-after=-1").progress_after, None);
    for (text, number) in [("SIGKILL", 9), ("9", 9), ("int", 2), ("0", 0), ("SIGterm", 15)] {
        assert_eq!(config(&format!("--signal-on-interrupt {text}")).signal_on_interrupt, Signal(number));
    }
    for (flags, targets) in [
        ("-t -1", "-1"),
        ("-t0", "0"),
        ("-bt 0", "0"),
        ("-t '0, 2'", "0,2"),
        ("--targets=-2:", "-2:"),
        ("-t 0 -t 1", "1"),
    ] {
        assert_eq!(config(flags).targets.to_string(), targets, "{flags}");
    }
}

#[test]
fn code_begins_where_flags_end() {
    for (line, text, column) in [
        ("%px f(-1, \"a  b\")  ", "f(-1, \"a  b\")  ", 5),
        ("%px -t 0 -1", "-1", 10),
        ("%px -(a + b)", "-(a + b)", 5),
        ("%px -b --  -a", "-a", 12),
        ("%px 'ü' as u32 % n", "'ü' as u32 % n", 5),
        ("%px -t \"0\" x --each", "x --each", 12),
        ("\t%px\tx", "x", 6),
        ("%px let s = r\"\\\"; // {", "let s = r\"\\\"; // {", 5),
    ] {
        let code = px(line).1;
        assert_eq!((code.text, code.column), (text, column), "{line}");
    }
}

#[test]
fn pxconfig_changes_what_stands_below_it() {
    let parts = ok("%pxconfig -t 0 -a\n%px f()\n%pxconfig");
    let [_, Part::Magic { command: Command::Px { options, .. }, .. }, Part::Magic { command: shown, .. }] =
        parts.as_slice()
    else {
        panic!("{parts:?}")
    };
    assert_eq!((options.config.targets.to_string().as_str(), options.config.block), ("0", false));
    assert_eq!(*shown, Command::PxConfig { config: options.config.clone(), changed: false });
}

#[test]
fn the_config_is_shown_as_flags() {
    insta::assert_snapshot!(PxConfig::default(), @"%pxconfig --targets all --block --stream --group-outputs=type --no-each --no-verbose --progress-after 2 --signal-on-interrupt SIGINT");
    let other = PxConfig {
        targets: "0,-2:".parse().unwrap(),
        block: false,
        stream: false,
        grouping: Grouping::Order,
        each: true,
        verbose: true,
        progress_after: None,
        signal_on_interrupt: Signal(0),
    };
    for config in [PxConfig::default(), other] {
        let cell = config.to_string();
        assert_eq!(only(&cell), Command::PxConfig { config, changed: true });
    }
}

#[test]
fn the_other_magics_are_read() {
    assert_eq!(
        only("%pxresult -e --each -o a"),
        Command::PxResult(ResultOptions {
            grouping: Grouping::Engine,
            each: true,
            out: Some("a".into()),
            partial: false
        })
    );
    let Command::AutoPx(config) = only("%autopx -t 0") else { panic!() };
    assert_eq!(config.targets.to_string(), "0");
    assert_eq!(only("%lsmagic"), Command::LsMagic);
    let cluster = |cell| match only(cell) {
        Command::Cluster(command) => command,
        other => panic!("{other:?}"),
    };
    assert_eq!(cluster("%cluster"), ClusterCommand::Status);
    assert_eq!(cluster("%cluster status"), ClusterCommand::Status);
    assert_eq!(cluster("%cluster stop"), ClusterCommand::Stop { force: false });
    assert_eq!(cluster("%cluster stop --force"), ClusterCommand::Stop { force: true });
    assert_eq!(cluster("%cluster disconnect"), ClusterCommand::Disconnect);
    assert_eq!(cluster("%cluster start"), ClusterCommand::Start { n: None, tcp: false, name: None });
    assert_eq!(
        cluster("%cluster start -n 4 --tcp --name 'my lab'"),
        ClusterCommand::Start { n: Some(4), tcp: true, name: Some("my lab".into()) }
    );
    assert_eq!(cluster("%cluster connect /a/b.json"), ClusterCommand::Connect { to: "/a/b.json".into() });
    assert_eq!(cluster("%cluster restart"), ClusterCommand::Restart { targets: None });
    assert_eq!(cluster("%cluster restart -t -1"), ClusterCommand::Restart { targets: Some("-1".parse().unwrap()) });
}

#[test]
fn the_ordinary_magics_are_read() {
    let code = |text, line, column| Code { text, line, column };
    assert_eq!(only("%time f(1)"), Command::Time(Timed::Line(code("f(1)", 1, 7))));
    let flags = |loops, repeats| TimeItFlags { loops, repeats };
    let time_it = |flags, setup, code| Command::TimeIt { flags, setup, code };
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
    let write = |file: &str, append, text| Command::WriteFile { file: file.into(), append, text };
    assert_eq!(only("%%writefile a.txt\n%%px\n\"\n"), write("a.txt", false, "%%px\n\"\n"));
    assert_eq!(only("%%writefile -a '~/a b'"), write("~/a b", true, ""));
    assert_eq!(only("%%file --append b"), write("b", true, ""));
    assert_eq!(only("%load src/lib.rs"), Command::Load { file: "src/lib.rs".into() });
    assert_eq!((only("%who"), only("%whos")), (Command::Who { types: false }, Command::Who { types: true }));
}

fn script_of(cell: &str) -> (String, Vec<String>, Input, &str) {
    match only(cell) {
        Command::Script { program, args, input, script } => (program, args, input, script),
        other => panic!("{cell}: {other:?}"),
    }
}

#[test]
fn a_timed_cell_is_a_cell() {
    let Command::Time(Timed::Cell(parts)) = only("%%time\nlet a = 1;\n%px -t 0 a\na") else { panic!() };
    assert_eq!(parts[0], Part::Rust { text: "let a = 1;\n", first_line: 2 });
    let Part::Magic { line: 3, command: Command::Px { code, .. }, .. } = &parts[1] else { panic!("{parts:?}") };
    assert_eq!((code.text, code.line, code.column), ("a", 3, 10));
    let Command::Time(Timed::Cell(parts)) = only("// slow\n%%time\n%%px -t 1\na\n") else { panic!() };
    let [Part::Magic { line: 3, command: Command::Px { code, .. }, .. }] = parts.as_slice() else {
        panic!("{parts:?}")
    };
    assert_eq!((code.text, code.line, code.column), ("a\n", 4, 1));
    assert_eq!(only("%%time"), Command::Time(Timed::Cell(vec![])));
    let Command::Time(Timed::Cell(parts)) = only("  %time %px -t 1 a") else { panic!() };
    let [Part::Magic { text: "%px -t 1 a", line: 1, command: Command::Px { code, .. } }] = parts.as_slice() else {
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
    assert_eq!(only("%%time?"), Command::Help(Name::Time));
}

#[test]
fn maps_are_found_in_timed_cells_too() {
    let functions = |cell| maps(&ok(cell)).iter().map(|map| map.function.text).collect::<Vec<_>>();
    assert_eq!(functions("%map f over 0..3\nlet a = 1;\n%time %map g over 0..3\n"), ["f", "g"]);
    assert_eq!(functions("%%time\n%map f over 0..3\n%map g over 0..3\n"), ["f", "g"]);
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

#[test]
fn a_common_word_behind_a_brace_is_a_variable() {
    for name in ["time", "file", "load", "script", "who", "sh"] {
        assert_eq!(shape(&format!("let x = match y {{ _ => 7 }}\n%{name} + 1;")), "R", "{name}");
    }
    assert_eq!(shape("fn f() {}\n%time f()"), "RM");
}

#[test]
fn help_is_asked_for_in_many_ways() {
    for cell in ["%px?", "%px -h", "%px --help", "%%px -h", "%%px?", "%px -t 0 -h"] {
        assert_eq!(only(cell), Command::Help(Name::Px), "{cell}");
    }
    for cell in ["%px??", "%%px?? "] {
        assert_eq!(only(cell), Command::Page(Name::Px), "{cell}");
    }
    assert_eq!(only("%cluster?"), Command::Help(Name::Cluster));
    assert_eq!(only("%cluster start -h"), Command::Help(Name::Cluster));
    assert_eq!(only("%lsmagic -h"), Command::Help(Name::LsMagic));
    for name in Name::all() {
        assert!(name.help().contains(name.usage()), "{}", name.help());
        assert!(list().contains(&name.forms()));
    }
    insta::assert_snapshot!(Name::PxResult.help(), @r"
    Shows the outputs of the last parallel cell again, and of one that didn't wait

    Usage: %pxresult [-r | -e | -g BY] [--each] [--partial] [-o NAME]

    Options:
      -r                        The same as --group-outputs=order
      -e                        The same as --group-outputs=engine
      -g, --group-outputs <BY>  Group outputs by their type, by engine, or in order: all first displays, then all second
                                ones [possible values: type, order, engine]
          --each                Show each engine's outputs although they are identical
          --no-each             Show identical outputs once, with the engines that they are from
      -o, --out <NAME>          The outputs that `%px -o NAME` kept, instead of the last ones
          --partial             What a `%map` has done that was interrupted or failed; with -o NAME as a variable of this
                                name
      -h, --help                Print help

    Examples:
      %px -a slow()           returns at once
      %pxresult               waits for its end, and shows what came of it
      %pxresult -e            the same, engine by engine
      %pxresult -o squares    what `%px -o squares` printed and computed
      %pxresult -o handle     what came of `%map -a -o handle`
      %pxresult --partial -o some   what an interrupted `%map` has done, as a variable
    ");
    insta::assert_snapshot!(Name::Cluster.help(), @r"
    Starts, shows, joins and stops clusters

    Usage: %cluster [start [-n N] [--tcp] [--name NAME] | stop [--force] | status | connect NAME|FILE | disconnect | restart [-t T]]

    Commands:
      start       Start a cluster and use it
      stop        Stop the cluster and its engines
      status      Show the cluster and its engines; also what %cluster alone does
      connect     Use a cluster that runs already
      disconnect  Leave a cluster that this notebook didn't start; it goes on
      restart     Give engines fresh, empty workers

    Examples:
      %cluster start -n 4                  4 engines on this machine
      %cluster start --name lab            other notebooks may connect to it
      %cluster connect lab                 the same cluster from another notebook
      %cluster restart -t 2                a fresh worker for engine 2; its variables are gone
      %cluster                             who is there and what runs
      %cluster disconnect                  leaves a cluster that somebody else started
      %cluster stop                        ends one's own cluster
    ");
    let list = list();
    assert!(list.starts_with("Parallel:\n  %px, %%px "), "{list}");
    assert_eq!(list.lines().filter(|line| line.starts_with("  ")).count(), Name::all().count() + 1, "{list}");
}

#[test]
fn the_examples_of_the_help_are_right() {
    for name in Name::all() {
        for line in name.help().lines().filter(|line| line.starts_with("  %")) {
            let example = line.split("   ").find(|part| !part.trim().is_empty()).unwrap();
            let parts = ok(example);
            assert!(matches!(parts.as_slice(), [Part::Magic { .. }]), "{line}");
        }
    }
}

#[test]
fn errors_point_into_the_line() {
    insta::assert_snapshot!(error("let a = 1;\n%px --blok f()"), @r"
    `%px` doesn't take the flag `--blok`: did you mean `--block`?
     --> cell line 2:5
    2 | %px --blok f()
      |     ^^^^^^
    usage: %px [flags] CODE, or %%px [flags] and the code on the lines below; `%px?` tells more
    ");
    insta::assert_snapshot!(error("%px -x"), @r"
    `%px` doesn't take the flag `-x`: if it is code, write `--` before it
     --> cell line 1:5
    1 | %px -x
      |     ^^
    usage: %px [flags] CODE, or %%px [flags] and the code on the lines below; `%px?` tells more
    ");
    insta::assert_snapshot!(error("%%px -t 0-3\nf()"), @r"
    `--targets` can't be `0-3`: `0-3` names no engines: write `1`, `0,2`, `1:3`, `::2`, `-1` for the last, or `all`
     --> cell line 1:9
    1 | %%px -t 0-3
      |         ^^^
    usage: %px [flags] CODE, or %%px [flags] and the code on the lines below; `%px?` tells more
    ");
    insta::assert_snapshot!(error("%px -t"), @r"
    `--targets` needs a value
     --> cell line 1:5
    1 | %px -t
      |     ^^
    usage: %px [flags] CODE, or %%px [flags] and the code on the lines below; `%px?` tells more
    ");
    insta::assert_snapshot!(error("%px -g=kind f()"), @r"
    `--group-outputs` can't be `kind`: it is one of `type`, `order`, `engine`
     --> cell line 1:5
    1 | %px -g=kind f()
      |     ^^^^^^^
    usage: %px [flags] CODE, or %%px [flags] and the code on the lines below; `%px?` tells more
    ");
    insta::assert_snapshot!(error("%px --progress-after soon f()"), @r"
    `--progress-after` can't be `soon`: write seconds, 0 for at once, or -1 for never
     --> cell line 1:22
    1 | %px --progress-after soon f()
      |                      ^^^^
    usage: %px [flags] CODE, or %%px [flags] and the code on the lines below; `%px?` tells more
    ");
    insta::assert_snapshot!(error("%px --signal-on-interrupt SIGFOO f()"), @r"
    `--signal-on-interrupt` can't be `SIGFOO`: write a name such as SIGINT or SIGKILL, a number up to 64, or 0 to send none
     --> cell line 1:27
    1 | %px --signal-on-interrupt SIGFOO f()
      |                           ^^^^^^
    usage: %px [flags] CODE, or %%px [flags] and the code on the lines below; `%px?` tells more
    ");
    insta::assert_snapshot!(error("%px -o 7up f()"), @r"
    `--out` can't be `7up`: it must be a name that a Rust variable can have
     --> cell line 1:8
    1 | %px -o 7up f()
      |        ^^^
    usage: %px [flags] CODE, or %%px [flags] and the code on the lines below; `%px?` tells more
    ");
    insta::assert_snapshot!(error("%px -t '0 f()"), @r"
    a quote isn't closed
     --> cell line 1:8
    1 | %px -t '0 f()
      |        ^^^^^^
    ");
    insta::assert_snapshot!(error("%px"), @r"
    `%px` needs code on its line
     --> cell line 1:1
    1 | %px
      | ^^^
    for code of several lines begin the cell with `%%px`
    ");
    insta::assert_snapshot!(error("%px let a = {"), @r"
    the code of `%px` ends with its line, and something that it opens isn't closed there
     --> cell line 1:5
    1 | %px let a = {
      |     ^^^^^^^^^
    for code of several lines begin the cell with `%%px`
    ");
    insta::assert_snapshot!(error("%%px f()"), @r"
    only flags may stand on the line of `%%px`
     --> cell line 1:6
    1 | %%px f()
      |      ^^^
    the code begins on the next line; `%px CODE` runs a single line
    ");
    insta::assert_snapshot!(error("let a = 1;\n%%px\na"), @r"
    `%%px` must be the first line of its cell, since it takes the whole cell
     --> cell line 2:1
    2 | %%px
      | ^^^^
    for one line use `%px CODE`; the rest can be a cell of its own
    ");
    insta::assert_snapshot!(error("%%px\n%px f()"), @r"
    there can't be a magic in a `%%px` cell, which goes to the engines whole
     --> cell line 2:1
    2 | %px f()
      | ^^^
    put it into a cell of its own
    ");
    insta::assert_snapshot!(error("%%cluster stop"), @r"
    `%cluster` is a magic for one line: write it with a single `%`
     --> cell line 1:1
    1 | %%cluster stop
      | ^^^^^^^^^
    ");
    insta::assert_snapshot!(error("%pz f()"), @r"
    there is no magic `%pz`: did you mean `%px`?
     --> cell line 1:1
    1 | %pz f()
      | ^^^
    `%lsmagic` lists the magics
    ");
    insta::assert_snapshot!(error("f();\n%matplotlib inline"), @r"
    there is no magic `%matplotlib`
     --> cell line 2:1
    2 | %matplotlib inline
      | ^^^^^^^^^^^
    `%lsmagic` lists the magics
    ");
    insta::assert_snapshot!(error("%px(f)"), @r"
    after `%px` there must be a space
     --> cell line 1:1
    1 | %px(f)
      | ^^^
    ");
    insta::assert_snapshot!(error("%pxresult now"), @r"
    `%pxresult` doesn't take `now`
     --> cell line 1:11
    1 | %pxresult now
      |           ^^^
    usage: %pxresult [-r | -e | -g BY] [--each] [--partial] [-o NAME]
    ");
    insta::assert_snapshot!(error("%cluster strat"), @r"
    `%cluster` doesn't know `strat`: did you mean `start`?
     --> cell line 1:10
    1 | %cluster strat
      |          ^^^^^
    usage: %cluster [start [-n N] [--tcp] [--name NAME] | stop [--force] | status | connect NAME|FILE | disconnect | restart [-t T]]; `%cluster?` tells more
    ");
    insta::assert_snapshot!(error("%cluster start -n 0"), @r"
    `-n` can't be `0`: write a number of engines, at least 1
     --> cell line 1:19
    1 | %cluster start -n 0
      |                   ^
    usage: %cluster [start [-n N] [--tcp] [--name NAME] | stop [--force] | status | connect NAME|FILE | disconnect | restart [-t T]]; `%cluster?` tells more
    ");
    insta::assert_snapshot!(error("%cluster connect"), @r"
    `NAME|FILE` is missing
     --> cell line 1:1
    1 | %cluster connect
      | ^^^^^^^^^^^^^^^^
    usage: %cluster [start [-n N] [--tcp] [--name NAME] | stop [--force] | status | connect NAME|FILE | disconnect | restart [-t T]]; `%cluster?` tells more
    ");
    insta::assert_snapshot!(error("%cluster stop now"), @r"
    `%cluster` doesn't take `now`
     --> cell line 1:15
    1 | %cluster stop now
      |               ^^^
    usage: %cluster [start [-n N] [--tcp] [--name NAME] | stop [--force] | status | connect NAME|FILE | disconnect | restart [-t T]]; `%cluster?` tells more
    ");
}

#[test]
fn errors_of_the_ordinary_magics_point_into_the_line() {
    insta::assert_snapshot!(error("%bash ls"), @r"
    `%bash` is a magic for whole cells: write it as `%%bash`
     --> cell line 1:1
    1 | %bash ls
      | ^^^^^
    usage: %%bash [ARGUMENTS] and the script on the lines below
    ");
    insta::assert_snapshot!(error("let a = 1;\n%%bash\nls"), @r"
    `%%bash` must be the first line of its cell, since it takes the whole cell
     --> cell line 2:1
    2 | %%bash
      | ^^^^^^
    the rest can be a cell of its own
    ");
    insta::assert_snapshot!(error("%%timeit\nlet a = 1;\n%px a"), @r"
    there can't be a magic in a `%%timeit` cell, which is compiled whole
     --> cell line 3:1
    3 | %px a
      | ^^^
    put it into a cell of its own
    ");
    insta::assert_snapshot!(error("%%timeit let a = 1; // one\na"), @r"
    the setup of `%%timeit` ends with its line: it must close what it opens and no more, and can't end in a comment
     --> cell line 1:10
    1 | %%timeit let a = 1; // one
      |          ^^^^^^^^^^^^^^^^^
    ");
    insta::assert_snapshot!(error("%timeit a }); b(|| { c"), @r"
    the code closes a bracket that it hasn't opened
     --> cell line 1:9
    1 | %timeit a }); b(|| { c
      |         ^^^^^^^^^^^^^^
    ");
    insta::assert_snapshot!(error("%timeit -n 0 a"), @r"
    `-n` can't be `0`: write a number, at least 1
     --> cell line 1:12
    1 | %timeit -n 0 a
      |            ^
    usage: %timeit [-n N] [-r R] CODE, or %%timeit [-n N] [-r R] [SETUP] and the code on the lines below; `%timeit?` tells more
    ");
    insta::assert_snapshot!(error("// two\n%%time\n%%time\na"), @r"
    one `%%time` times the whole cell already
     --> cell line 3:1
    3 | %%time
      | ^^^^^^
    ");
    insta::assert_snapshot!(error("%%time\na;\n%%px\nb"), @r"
    `%%px` must be the first line of its cell, since it takes the whole cell
     --> cell line 3:1
    3 | %%px
      | ^^^^
    for one line use `%px CODE`; the rest can be a cell of its own
    ");
    insta::assert_snapshot!(error("%%writefile\na"), @r"
    `FILE` is missing
     --> cell line 1:1
    1 | %%writefile
      | ^^^^^^^^^^^
    usage: %%writefile [-a] FILE and the text on the lines below; `%writefile?` tells more
    ");
    insta::assert_snapshot!(error("%load a.rs b.rs"), @r"
    `%load` doesn't take `b.rs`
     --> cell line 1:12
    1 | %load a.rs b.rs
      |            ^^^^
    usage: %load FILE; `%load?` tells more
    ");
    insta::assert_snapshot!(error("%tiemit a"), @r"
    there is no magic `%tiemit`: did you mean `%timeit`?
     --> cell line 1:1
    1 | %tiemit a
      | ^^^^^^^
    `%lsmagic` lists the magics
    ");
    insta::assert_snapshot!(error("%wirtefile a"), @r"
    there is no magic `%wirtefile`: did you mean `%%writefile`?
     --> cell line 1:1
    1 | %wirtefile a
      | ^^^^^^^^^^
    `%lsmagic` lists the magics
    ");
    insta::assert_snapshot!(error("%time"), @r"
    `%time` needs code on its line
     --> cell line 1:1
    1 | %time
      | ^^^^^
    for code of several lines begin the cell with `%%time`
    ");
    insta::assert_snapshot!(error("%who cares"), @r"
    `%who` doesn't take `cares`
     --> cell line 1:6
    1 | %who cares
      |      ^^^^^
    usage: %who
    ");
}

#[test]
fn unfinished_magics_are_completed() {
    let all = |line| complete(line).map(|(at, words)| (at, words.join(" ")));
    assert_eq!(all("%pxr"), Some((0, "%pxresult".into())));
    assert_eq!(all("  %%"), Some((2, "%%px %%map %%time %%timeit %%bash %%sh %%script %%writefile %%file".into())));
    assert_eq!(all("%wh"), Some((0, "%who %whos".into())));
    assert_eq!(all("%%writefile --a"), Some((12, "--append".into())));
    assert_eq!(all("%cluster st"), Some((9, "start stop status".into())));
    assert_eq!(all("%px -b --no-s"), Some((7, "--no-stream".into())));
    assert_eq!(all("%px f(--no-s"), None);
    assert_eq!(all("%px a - --no-s"), None);
    assert_eq!(all("let a = 1"), None);
    assert_eq!(all("%foo -"), None);
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

proptest! {
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
            let _ = complete(&format!("%%{} {cell}", name.as_str()));
        }
        let _ = parse(&format!("!{cell}"), &PxConfig::default());
        let _ = complete(&format!("%px {cell}"));
        let _ = complete(&cell);
    }

    #[test]
    fn code_stands_where_it_is_said_to(cell in cell()) {
        let parts = parse(&cell, &PxConfig::default()).unwrap_or_default();
        for part in parts {
            let Part::Magic { command: Command::Px { code, .. }, .. } = part else { continue };
            let line = cell.split_inclusive('\n').nth(code.line - 1).unwrap_or("");
            let from: String = line.chars().skip(code.column - 1).collect();
            let first = code.text.split('\n').next().unwrap_or("");
            prop_assert!(from.starts_with(first), "{:?} in {:?}", first, line);
        }
    }
}
