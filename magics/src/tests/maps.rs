//! `%map`.

use super::*;
use crate::Gpu;

fn map(cell: &str) -> Map<'_> {
    match only(cell) {
        Command::Map(map) => *map,
        other => panic!("{cell}: {other:?}"),
    }
}

/// Function and data, with `|` between the sources.
fn halves(line: &str) -> (String, String) {
    let map = map(line);
    let sources =
        |sources: Vec<Code<'_>>| sources.iter().map(|code| code.text.to_owned()).collect::<Vec<_>>().join(" | ");
    let data = match map.data {
        Data::Sources(all) => sources(all),
        Data::Each(part) => format!("each: {}", part.text),
    };
    (map.function.text.to_owned(), data)
}

#[test]
fn a_function_is_split_from_its_data() {
    for (line, function, data) in [
        ("%map f64::sqrt over xs", "f64::sqrt", "xs"),
        ("%map |x| x * k over 0..10", "|x| x * k", "0..10"),
        ("%map |x: &Point| -> f64 { x.over over }over xs", "|x: &Point| -> f64 { x.over over }", "xs"),
        ("%map |over| over + 1 over xs", "|over| over + 1", "xs"),
        ("%map f over over", "f", "over"),
        ("%map f over over.iter()", "f", "over.iter()"),
        ("%map over over over", "over", "over"),
        ("%map |x| x.over(1) over (0..3)", "|x| x.over(1)", "(0..3)"),
        ("%map |s| s == \" over \" over names // over all", "|s| s == \" over \"", "names"),
        ("%map |s| f(s /* over */) over xs", "|s| f(s /* over */)", "xs"),
        ("%map |x, y| x + y over xs, ys", "|x, y| x + y", "xs | ys"),
        ("%map f over [1, 2], m(a, b),c", "f", "[1, 2] | m(a, b) | c"),
        ("%map f over HashMap::<u8, f64>::new(), a < b, c", "f", "HashMap::<u8, f64>::new() | a < b | c"),
        ("%map f over each part", "f", "each: part"),
        ("%map f over each", "f", "each"),
        ("%map f over each.iter()", "f", "each.iter()"),
        ("%map f over each [0]", "f", "each [0]"),
        ("%map f over each, xs", "f", "each | xs"),
        ("%map -- -x over xs", "-x", "xs"),
        // rustc says what is wrong with these.
        ("%map f g over xs", "f g", "xs"),
        ("%map f over x y", "f", "x y"),
    ] {
        assert_eq!(halves(line), (function.to_owned(), data.to_owned()), "{line}");
    }
}

#[test]
fn pieces_keep_their_places() {
    let cell = "let a = 1;\n  %map -o é --filter '|é| é > 1'  |x| x+é  over  xs , ys\n";
    let parts = ok(cell);
    let Part::Magic { command: Command::Map(map), .. } = &parts[1] else { panic!("{parts:?}") };
    let Data::Sources(sources) = &map.data else { panic!("{map:?}") };
    let line: Vec<char> = cell.lines().nth(1).unwrap().chars().collect();
    for code in sources.iter().chain(&map.filter).chain([&map.function]) {
        let there: String = line[code.column - 1..][..code.text.chars().count()].iter().collect();
        assert_eq!((there.as_str(), code.line), (code.text, 2));
    }
    let map = self::map("// why\n%%map --sum over xs\n|x| {\n x }\n");
    assert_eq!((map.function.text, map.function.line, map.function.column), ("|x| {\n x }\n", 3, 1));
    let Data::Sources(sources) = &map.data else { panic!("{map:?}") };
    assert_eq!((sources[0].text, sources[0].line, sources[0].column), ("xs", 2, 18));
    assert_eq!(self::map("%%map over xs").function.text, "");
}

#[test]
fn the_flags_of_map_are_read() {
    let options = |flags: &str| map(&format!("%map {flags} f over xs")).options;
    let plain = options("");
    assert_eq!(
        plain,
        MapOptions {
            targets: Targets::all(),
            block: true,
            progress_after: Some(std::time::Duration::from_secs(2)),
            out: None,
            keep: false,
            ordered: true,
            chunk: None,
            retries: None,
            timeout: None,
            on_error: OnError::Stop,
            threads: None,
            gpu: None,
        }
    );
    assert_eq!(options("--gpu").gpu, Some(Gpu::Always));
    assert_eq!(options("--gpu=auto --sum").gpu, Some(Gpu::Auto));
    let millis = std::time::Duration::from_millis;
    let all =
        options("-o ys -t :2 -a --chunk 100 --retries 3 --timeout 0.5 --on-error keep --threads 2 --progress-after -1");
    assert_eq!((all.out.as_deref(), all.keep, all.block, all.chunk), (Some("ys"), false, false, Some(100)));
    assert_eq!(
        (all.retries, all.timeout, all.on_error, all.threads),
        (Some(3), Some(millis(500)), OnError::Keep, Some(2))
    );
    assert_eq!((all.targets.to_string().as_str(), all.progress_after), (":2", None));
    assert_eq!(options("--chunk 5 --chunk auto").chunk, None);
    assert!(!options("--unordered").ordered);
    assert!(options("--unordered --ordered").ordered);
    for (flag, end) in
        [("--sum", End::Sum), ("--min", End::Min), ("--max", End::Max), ("--count", End::Count), ("--mean", End::Mean)]
    {
        assert_eq!(map(&format!("%map {flag} f over xs")).end, end);
    }
    // Of a map without a name there would be no handle.
    let config = PxConfig { block: false, ..PxConfig::default() };
    let block = |cell: &str| match parse(cell, &config).unwrap().as_slice() {
        [Part::Magic { command: Command::Map(map), .. }] => map.options.block,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (block("%map f over xs"), block("%map -o a f over xs"), block("%map -b -o a f over xs")),
        (true, false, true)
    );
}

#[test]
fn closures_of_flags_are_rust() {
    let reduce = |line: &'static str| match map(line).end {
        End::Reduce(code) => {
            let from: String = line.chars().skip(code.column - 1).collect();
            assert!(from.starts_with(code.text), "{line}");
            code.text
        }
        other => panic!("{other:?}"),
    };
    for (line, closure) in [
        ("%map --reduce '|a, b| a + b' f over xs", "|a, b| a + b"),
        ("%map --reduce \"|a, b| a + b\" f over xs", "|a, b| a + b"),
        ("%map --reduce='|a, b| a + b' f over xs", "|a, b| a + b"),
        ("%map --reduce f64::max f over xs", "f64::max"),
        ("%map --reduce |a, b| { a + b } f over xs", "|a, b| { a + b }"),
        ("%map --reduce |a, b| a + b -o total f over xs", "|a, b| a + b"),
        ("%map --reduce |a, b| a -b --chunk 3 |x| x over xs", "|a, b| a -b"),
        ("%map --reduce |a, b| (a --chunk) --chunk=3 |x| x over xs", "|a, b| (a --chunk)"),
    ] {
        assert_eq!(reduce(line), closure, "{line}");
    }
    let filter = map("%map --filter '|y| *y > 0.0 // positive' f over xs").filter.unwrap();
    assert_eq!(filter.text, "|y| *y > 0.0");
}

#[test]
fn flags_of_map_are_completed() {
    let words = |line| complete(line).map(|(_, words)| words.join(" "));
    assert_eq!(words("%map --un"), Some("--unordered".into()));
    assert_eq!(words("%%map --re"), Some("--reduce --retries".into()));
    assert_eq!(words("%map |x| x --re"), None);
    assert_eq!(words("%ma"), Some("%map %matplotlib".into()));
    let on_error = candidates(Typed { line: "%map --on-error ", start: 0, cursor: 16 }).map(|it| it.what);
    assert_eq!(on_error, Some(What::Words(["stop", "skip", "keep"].map(String::from).to_vec())));
}

#[test]
fn what_makes_no_sense_is_said() {
    insta::assert_snapshot!(error("%map |x| x * x"), @r"
    `%map` needs `over` and the data behind its function
     --> cell line 1:6
    1 | %map |x| x * x
      |      ^^^^^^^^^
    for example: %map |x| x * x over 0..10
    ");
    insta::assert_snapshot!(error("%map |x| x * x over"), @r"
    there is no data behind `over`
     --> cell line 1:6
    1 | %map |x| x * x over
      |      ^^^^^^^^^^^^^^
    for example: %map |x| x * x over 0..10
    ");
    insta::assert_snapshot!(error("%map over xs"), @r"
    `%map` needs a function in front of `over`
     --> cell line 1:6
    1 | %map over xs
      |      ^^^^^^^
    for example: %map |x| x * x over 0..10
    ");
    insta::assert_snapshot!(error("%map"), @r"
    `%map` needs `over` and the data behind its function
     --> cell line 1:5
    1 | %map
      |     ^
    for example: %map |x| x * x over 0..10
    ");
    insta::assert_snapshot!(error("%%map |x| x over xs\n"), @r"
    on the line of `%%map`, `over DATA` stands behind the flags
     --> cell line 1:7
    1 | %%map |x| x over xs
      |       ^^^^^^^^^^^^^
    for example: %%map over 0..10, and below it the function: |x| x * x
    ");
    insta::assert_snapshot!(error("%%map --sum\n|x| x"), @r"
    `%%map` needs `over` and the data
     --> cell line 1:1
    1 | %%map --sum
      | ^^^^^
    for example: %%map over 0..10, and below it the function: |x| x * x
    ");
    insta::assert_snapshot!(error("%map f over xs,"), @r"
    between two commas, and behind the last one, there must be data
     --> cell line 1:12
    1 | %map f over xs,
      |            ^^^^
    ");
    insta::assert_snapshot!(error("%map f over each a, b"), @r"
    behind `over each` there must be the name of one variable of the engines
     --> cell line 1:18
    1 | %map f over each a, b
      |                  ^^^^
    ");
    insta::assert_snapshot!(error("%map f over vec!["), @r"
    the code of `%map` ends with its line, and something that it opens isn't closed there
     --> cell line 1:6
    1 | %map f over vec![
      |      ^^^^^^^^^^^^
    for code of several lines begin the cell with `%%map`
    ");
    insta::assert_snapshot!(error("%map --sum --min f over xs"), @r"
    a map has one end: either `--sum` or `--min`
     --> cell line 1:12
    1 | %map --sum --min f over xs
      |            ^^^^^
    ");
    insta::assert_snapshot!(error("%map --keep f over xs"), @r"
    `--keep` needs `-o NAME`, the name that the results have on the engines
     --> cell line 1:6
    1 | %map --keep f over xs
      |      ^^^^^^
    ");
    insta::assert_snapshot!(error("%map -a f over xs"), @r"
    `-a` needs `-o NAME`: that variable is the handle by which the results are fetched
     --> cell line 1:6
    1 | %map -a f over xs
      |      ^^
    ");
    insta::assert_snapshot!(error("%map --keep --timeout 1 -o a f over xs"), @r"
    an item that takes too long ends its worker, and with it what `--keep` has left there
     --> cell line 1:13
    1 | %map --keep --timeout 1 -o a f over xs
      |             ^^^^^^^^^
    ");
    insta::assert_snapshot!(error("%map --keep -o a --sum f over xs"), @r"
    `--sum` makes one value of all results, and nothing remains to `--keep`
     --> cell line 1:6
    1 | %map --keep -o a --sum f over xs
      |      ^^^^^^
    ");
    insta::assert_snapshot!(error("%map --on-error keep --count f over xs"), @r"
    `--count` makes one value of all results, in which no error can be kept: use `--on-error skip`
     --> cell line 1:6
    1 | %map --on-error keep --count f over xs
      |      ^^^^^^^^^^
    ");
    insta::assert_snapshot!(error("%map --unordered --max f over xs"), @r"
    `--max` makes one value of all results, which has no order
     --> cell line 1:6
    1 | %map --unordered --max f over xs
      |      ^^^^^^^^^^^
    ");
    insta::assert_snapshot!(error("%map --unordered --keep -o a f over xs"), @r"
    what `--keep` leaves on an engine always has the order of its items
     --> cell line 1:6
    1 | %map --unordered --keep -o a f over xs
      |      ^^^^^^^^^^^
    ");
    insta::assert_snapshot!(error("%map --chunk 0 f over xs"), @r"
    `--chunk` can't be `0`: write a number of items, at least 1, or auto
     --> cell line 1:14
    1 | %map --chunk 0 f over xs
      |              ^
    usage: %map [flags] FUNCTION over DATA, or %%map [flags] over DATA and the function on the lines below; `%map?` tells more
    ");
    insta::assert_snapshot!(error("%map --timeout 0 f over xs"), @r"
    `--timeout` can't be `0`: write seconds, at least 0.001
     --> cell line 1:16
    1 | %map --timeout 0 f over xs
      |                ^
    usage: %map [flags] FUNCTION over DATA, or %%map [flags] over DATA and the function on the lines below; `%map?` tells more
    ");
    insta::assert_snapshot!(error("%map --threads 0 f over xs"), @r"
    `--threads` can't be `0`: write a number, at least 1
     --> cell line 1:16
    1 | %map --threads 0 f over xs
      |                ^
    usage: %map [flags] FUNCTION over DATA, or %%map [flags] over DATA and the function on the lines below; `%map?` tells more
    ");
    insta::assert_snapshot!(error("%map --retries -1 f over xs"), @r"
    `--retries` can't be `-1`: write how many times, 0 for not at all
     --> cell line 1:16
    1 | %map --retries -1 f over xs
      |                ^^
    usage: %map [flags] FUNCTION over DATA, or %%map [flags] over DATA and the function on the lines below; `%map?` tells more
    ");
    insta::assert_snapshot!(error("%map --on-error retry f over xs"), @r"
    `--on-error` can't be `retry`: it is one of `stop`, `skip`, `keep`
     --> cell line 1:17
    1 | %map --on-error retry f over xs
      |                 ^^^^^
    usage: %map [flags] FUNCTION over DATA, or %%map [flags] over DATA and the function on the lines below; `%map?` tells more
    ");
    insta::assert_snapshot!(error("%map --orderd f over xs"), @r"
    `%map` doesn't take the flag `--orderd`: did you mean `--ordered`?
     --> cell line 1:6
    1 | %map --orderd f over xs
      |      ^^^^^^^^
    usage: %map [flags] FUNCTION over DATA, or %%map [flags] over DATA and the function on the lines below; `%map?` tells more
    ");
    insta::assert_snapshot!(error("%map -t '' f over xs"), @r"
    `--targets` can't be ``: `` names no engines: write `1`, `0,2`, `0-3`, `1:3`, `::2`, `-1` for the last, or `all`
     --> cell line 1:9
    1 | %map -t '' f over xs
      |         ^^
    usage: %map [flags] FUNCTION over DATA, or %%map [flags] over DATA and the function on the lines below; `%map?` tells more
    ");
    insta::assert_snapshot!(error("%map --reduce |a, b| a + b f over xs"), @r"
    where this closure ends can't be told
     --> cell line 1:15
    1 | %map --reduce |a, b| a + b f over xs
      |               ^^^^^^^^^^^^^^^^^^^^^^
    put it into quotes: '|a, b| a + b'
    ");
    insta::assert_snapshot!(error("%map --reduce '|a| a' f over xs"), @r"
    `--reduce` needs a closure that makes one of two results, such as '|a, b| a + b'
     --> cell line 1:15
    1 | %map --reduce '|a| a' f over xs
      |               ^^^^^^^
    ");
    insta::assert_snapshot!(error("%map --filter '|y| *y >' f over xs"), @r"
    `--filter` needs a closure that takes a result by reference, such as '|y| *y > 0'
     --> cell line 1:15
    1 | %map --filter '|y| *y >' f over xs
      |               ^^^^^^^^^^
    ");
    insta::assert_snapshot!(error("%map --filter \"|s| s == \\\"a\\\"\" f over xs"), @r#"
    the closure of `--filter` must stand here as Rust has it, without escapes
     --> cell line 1:6
    1 | %map --filter "|s| s == \"a\"" f over xs
      |      ^^^^^^^^
    put it into single quotes, in which `"` and `\` are themselves
    "#);
    insta::assert_snapshot!(error("%%map over xs\n%px f()"), @r"
    there can't be a magic in a `%%map` cell, which is compiled whole
     --> cell line 2:1
    2 | %px f()
      | ^^^
    put it into a cell of its own
    ");
    insta::assert_snapshot!(error("%%map over xs\nit }"), @r"
    the code below closes a bracket that it hasn't opened
     --> cell line 1:1
    1 | %%map over xs
      | ^^^^^
    ");
    insta::assert_snapshot!(error("%mapp f over xs"), @r"
    there is no magic `%mapp`: did you mean `%map`?
     --> cell line 1:1
    1 | %mapp f over xs
      | ^^^^^
    `%lsmagic` lists the magics
    ");
    insta::assert_snapshot!(error("%push"), @r"
    `NAMES` is missing
     --> cell line 1:1
    1 | %push
      | ^^^^^
    usage: %push NAME [as NAME], ... [-t T] [--gpu]; `%push?` tells more
    ");
    insta::assert_snapshot!(error("%push x,"), @r"
    a name is missing beside this comma
     --> cell line 1:7
    1 | %push x,
      |       ^^
    ");
    insta::assert_snapshot!(error("%push x y"), @r"
    `x y` isn't a variable, or two of them
     --> cell line 1:7
    1 | %push x y
      |       ^
    write `x as NAME`, or a comma between several variables
    ");
    insta::assert_snapshot!(error("%push x as"), @r"
    a name is missing behind this `as`
     --> cell line 1:9
    1 | %push x as
      |         ^^
    ");
    insta::assert_snapshot!(error("%push x as 7"), @r"
    `7`: it must be a name that a Rust variable can have
     --> cell line 1:12
    1 | %push x as 7
      |            ^
    ");
    insta::assert_snapshot!(error("%pull a as x, b as x"), @r"
    two variables can't both become `x`
     --> cell line 1:20
    1 | %pull a as x, b as x
      |                    ^
    ");
    insta::assert_snapshot!(error("%gather xs --round-robin"), @r"
    `%gather` doesn't take the flag `--round-robin`
     --> cell line 1:12
    1 | %gather xs --round-robin
      |            ^^^^^^^^^^^^^
    usage: %gather NAME [as NAME], ... [-t T]; `%gather?` tells more
    ");
    insta::assert_snapshot!(error("%cancel a b"), @r"
    `%cancel` doesn't take `b`
     --> cell line 1:11
    1 | %cancel a b
      |           ^
    usage: %cancel [NAME|all]; `%cancel?` tells more
    ");
    insta::assert_snapshot!(error("%tasks a"), @r"
    `%tasks` doesn't take `a`
     --> cell line 1:8
    1 | %tasks a
      |        ^
    usage: %tasks [--graph | --stream]
    ");
}

fn line() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("over ".to_owned()),
        Just("each ".to_owned()),
        Just("|x| ".to_owned()),
        Just("x, y ".to_owned()),
        Just("xs[1..] ".to_owned()),
        Just("--reduce ".to_owned()),
        Just("--filter=".to_owned()),
        Just("-o a ".to_owned()),
        Just("--sum ".to_owned()),
        Just("'|y| *y' ".to_owned()),
        Just("|a, b| {a} ".to_owned()),
        Just("// ".to_owned()),
        Just("as ".to_owned()),
        "[%a-z \"'\\\\{}()<>|=?,.ü-]{0,6}",
        any::<String>(),
    ];
    proptest::collection::vec(word, 0..10).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_line_panics_and_pieces_stand_where_they_are_said_to(line in line()) {
        for name in ["map", "push", "pull", "scatter", "gather", "cancel"] {
            let cell = format!("%{name} {line}");
            let _ = complete(&cell);
            let Ok(parts) = parse(&cell, &PxConfig::default()) else { continue };
            let [Part::Magic { command: Command::Map(map), .. }, ..] = parts.as_slice() else { continue };
            let mut pieces = vec![map.function];
            pieces.extend(map.filter);
            match &map.data {
                Data::Sources(sources) => pieces.extend(sources),
                Data::Each(part) => pieces.push(*part),
            }
            if let End::Reduce(code) = map.end {
                pieces.push(code);
            }
            for code in pieces {
                let whole = cell.split('\n').nth(code.line - 1).unwrap_or("");
                let from: String = whole.chars().skip(code.column - 1).collect();
                prop_assert!(from.starts_with(code.text), "{:?} in {:?}", code, whole);
                prop_assert!(!code.text.is_empty());
            }
        }
        let _ = parse(&format!("%%map {line}\n{line}"), &PxConfig::default());
    }
}

#[test]
fn maps_are_found_in_timed_cells_too() {
    let functions = |cell| maps(&ok(cell)).iter().map(|map| map.function.text).collect::<Vec<_>>();
    assert_eq!(functions("%map f over 0..3\nlet a = 1;\n%time %map g over 0..3\n"), ["f", "g"]);
    assert_eq!(functions("%%time\n%map f over 0..3\n%map g over 0..3\n"), ["f", "g"]);
}
