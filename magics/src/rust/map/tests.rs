use super::*;
use crate::{Command, Part, PxConfig, parse};

fn types(all: &[(&str, &str)]) -> Types {
    all.iter().map(|(name, of)| ((*name).to_owned(), (*of).to_owned())).collect()
}

fn with<R>(cell: &str, make: impl FnOnce(&Map<'_>, &Types, &Types) -> R) -> R {
    let local = types(&[("xs", "Vec<f64>"), ("ys", "Vec<f64>"), ("k", "f64"), ("w", "Vec<u8>"), ("both", "u8")]);
    let engines = types(&[("table", "Vec<f64>"), ("part", "Vec<f64>"), ("both", "u16")]);
    let parts = parse(cell, &PxConfig::default()).unwrap_or_else(|error| panic!("{error}"));
    let map = parts.into_iter().find_map(|part| match part {
        Part::Magic { command: Command::Map(map), .. } => Some(map),
        _ => None,
    });
    make(&map.unwrap(), &local, &engines)
}

fn texts_of(cell: &str) -> Result<MapTexts, MagicError> {
    with(cell, |map, local, engines| map_texts(map, cell, Passing::Value, local, engines))
}

fn gpu_text_of(cell: &str) -> Result<Text, MagicError> {
    with(cell, |map, local, engines| gpu_text(map, cell, Passing::Value, local, engines))
}

/// What stands on the user's lines stands there in the generated text, too.
fn check_places(cell: &str, text: &Text, pieces: &[&str]) {
    let lines: Vec<&str> = text.text.lines().collect();
    for piece in pieces {
        let (line, of_cell) = cell.lines().enumerate().find(|(_, line)| line.contains(piece)).expect(piece);
        let column = of_cell.find(piece);
        let generated = lines[line + 1 - text.first_line];
        assert_eq!(generated.find(piece), column, "{piece} in\n{}", text.text);
    }
}

fn both(cell: &str, pieces: &[&str]) -> String {
    let texts = texts_of(cell).unwrap_or_else(|error| panic!("{error}"));
    check_places(cell, &texts.local, pieces);
    if let Some(engines) = &texts.engines {
        check_places(cell, engines, pieces);
    }
    let engines = texts.engines.map(|text| format!("\n--- engines\n{}", text.text)).unwrap_or_default();
    format!("{}{engines}", texts.local.text)
}

#[test]
fn maps_of_the_notebooks_own_variables_are_one_cell() {
    insta::assert_snapshot!(both("%map -o zs |x| x * k over xs", &["|x| x * k", "xs"]), @r"
    let zs = { macro_rules! px { ($f:expr; $s0:expr; $k0:ident) => { px::map::start!(px::over!(&$s0), (&$k0,), |($k0,), px_items| px_items.map($f).collect()).wait() } }
    px!{       |x| x * k;     xs; k}
    };
    ");
    insta::assert_snapshot!(both("%map f64::sqrt over 0..10, xs.iter()  // all", &["f64::sqrt", "0..10", "xs.iter()"]), @r"
    let _ = { macro_rules! px { ($f:expr; $s0:expr; $s1:expr;) => { px::map::show(&px::map::start!(px::over!($s0, $s1), (), |(), px_items| px_items.call2($f).collect()).wait()) } }
    px!{ f64::sqrt;     0..10; xs.iter(); }
    };
    ");
    insta::assert_snapshot!(both(
        "let a = 1;\n%map -a -o h --filter '|z| *z > k' --reduce '|a, b| a + b' |x, y| (x - y).max(w.len()) over xs,ys",
        &["|z| *z > k", "|a, b| a + b", "|x, y| (x - y).max(w.len())", "xs,ys"[..2].as_ref()]
    ), @r"
    let h = { macro_rules! px { ($p:expr; $r:expr; $f:expr; $s0:expr; $s1:expr; $k0:ident; $k1:ident) => { px::map::start!(px::over!(&$s0, &$s1), (&$k0, &$k1,), |($k0, $k1,), px_items| px_items.map2($f).filter($p).reduce($r)) } }
    px!{                   |z| *z > k;           |a, b| a + b; |x, y| (x - y).max(w.len());     xs;ys; k; w}
    };
    ");
    insta::assert_snapshot!(both("%map --sum it * k over xs[1..3]", &["it * k", "xs[1..3]"]), @r"
    let _ = { macro_rules! px { ($f:expr; $s0:expr; $it:ident; $k0:ident) => { px::map::show(&px::map::start!(px::over!(&$s0), (&$k0,), |($k0,), px_items| px_items.map(|$it| $f).sum()).wait()) } }
    px!{       it * k;     xs[1..3]; it; k}
    };
    ");
}

#[test]
fn a_cell_is_a_closure_or_a_block() {
    insta::assert_snapshot!(both("%%map -o zs over xs\n|x| x // it\n  * k // twice", &["|x| x", "* k", "over xs"[5..].as_ref()]), @r"
    let zs = { macro_rules! px { ($s0:expr; $f:expr; $k0:ident) => { px::map::start!(px::over!(&$s0), (&$k0,), |($k0,), px_items| px_items.map($f).collect()).wait() } }
    px!{             xs;
    |x| x // it
      * k // twice
    ; k}
    };
    ");
    insta::assert_snapshot!(both("%%map -o zs over xs\nlet a = it * k;\na + 1.0 // more", &["let a = it", "a + 1.0", "over xs"[5..].as_ref()]), @r"
    let zs = { macro_rules! px { ($s0:expr; $f:expr; $it:ident; $k0:ident) => { px::map::start!(px::over!(&$s0), (&$k0,), |($k0,), px_items| px_items.map(|$it| $f).collect()).wait() } }
    px!{             xs; {
    let a = it * k;
    a + 1.0 // more
    }; it; k}
    };
    ");
}

#[test]
fn variables_of_the_engines_need_a_cell_there() {
    insta::assert_snapshot!(both(
        "%map -o zs --reduce '|a, b| a + b' |x| x * k + table[both as usize] over xs",
        &["|a, b| a + b", "|x| x * k + table[both as usize]"]
    ), @r"
    let zs = { macro_rules! px { ($r:expr; $f:expr; $s0:expr; $k0:ident; $e0:ident; $e1:ident) => { px::map::typed(px::over!(&$s0), (&$k0,), |($e0, $e1,): (u16, Vec<f64>,), ($k0,), px_items| px_items.map($f).reduce($r)).merging($r).wait() } }
    px!{                 |a, b| a + b; |x| x * k + table[both as usize];     xs; k; both; table}
    };
    --- engines
    let _ = { macro_rules! px { ($r:expr; $f:expr; $s0:expr; $k0:ident; $n0:ident) => { px::map::serve(|($n0, $k0,): (Vec<f64>, f64,)| px::map::shape(&px::over!(&$s0), &(&$k0,)), |($k0,), px_items| px_items.map($f).reduce($r)) } }
    px!{                 |a, b| a + b; |x| x * k + table[both as usize];     xs; k; xs}
    };
    ");
    insta::assert_snapshot!(both("%map -o kept --keep |x| x * k over xs", &["|x| x * k"]), @r"
    let _ = { macro_rules! px { ($f:expr; $s0:expr; $k0:ident) => { px::map::typed_keep(px::over!(&$s0), (&$k0,), |(): (), ($k0,), px_items| px_items.map($f).keep()).wait() } }
    px!{                |x| x * k;     xs; k}
    };
    --- engines
    let kept = { macro_rules! px { ($f:expr; $s0:expr; $k0:ident; $n0:ident) => { px::map::serve_keep(|($n0, $k0,): (Vec<f64>, f64,)| px::map::shape(&px::over!(&$s0), &(&$k0,)), |($k0,), px_items| px_items.map($f).keep()) } }
    px!{                |x| x * k;     xs; k; xs}
    };
    ");
    insta::assert_snapshot!(both("%map -o zs |x| x + table.len() over each part", &["|x| x + table.len()", "part"]), @r"
    let zs = { macro_rules! px { ($f:expr; $part:ident; $e0:ident) => { px::map::gathered((), |$part: Vec<f64>| px::map::shape_each(&$part), |($e0,): (Vec<f64>,), (), px_items| px_items.map($f).collect()).wait() } }
    px!{       |x| x + table.len();          part; table}
    };
    --- engines
    let _ = { macro_rules! px { ($f:expr; $part:ident;) => { px::map::each(px::part!($part), |(): (), px_items| px_items.map($f).collect()) } }
    px!{       |x| x + table.len();          part; }
    };
    ");
    insta::assert_snapshot!(both("%map -o kept --keep |x| x * k over each part", &["|x| x * k", "part"]), @r"
    let _ = { macro_rules! px { ($f:expr; $part:ident; $k0:ident) => { px::map::gathered_keep((&$k0,), |$part: Vec<f64>| px::map::shape_each(&$part), |(): (), ($k0,), px_items| px_items.map($f).keep()).wait() } }
    px!{                |x| x * k;          part; k}
    };
    --- engines
    let kept = { macro_rules! px { ($f:expr; $part:ident; $k0:ident) => { px::map::each_keep(px::part!($part), |($k0,): (f64,), px_items| px_items.map($f).keep()) } }
    px!{                |x| x * k;          part; k}
    };
    ");
}

#[test]
fn options_decide_about_the_end() {
    let end = |flags: &str| {
        let text = texts_of(&format!("%map {flags} f over xs")).unwrap().local.text;
        text.lines().next().unwrap().split(".call($f)").nth(1).unwrap().trim_end_matches(" }").to_owned()
    };
    assert_eq!(end("-o a"), ".collect()).wait()");
    assert_eq!(end(""), ".collect()).wait())", "what is shown");
    assert_eq!(end("-o a -a"), ".collect())");
    assert_eq!(end("-o a --unordered --on-error keep"), ".unordered().keep_errors().collect()).wait()");
    assert_eq!(end("-o a --on-error skip"), ".collect()).wait()");
    for reduction in ["sum", "min", "max", "count", "mean"] {
        assert_eq!(end(&format!("-o a --{reduction}")), format!(".{reduction}()).wait()"));
    }
    assert_eq!(end("-o a --filter good --reduce f64::max"), ".filter($p).reduce($r)).wait()");
}

#[test]
fn what_it_uses_is_told() {
    let used = |cell: &str| {
        let texts = texts_of(cell).unwrap();
        (texts.constants.join(" "), texts.engine_variables.join(" "))
    };
    assert_eq!(used("%map |x| x over xs"), (String::new(), String::new()));
    assert_eq!(used("%map |k| k + w.k over xs"), ("w".into(), String::new()));
    assert_eq!(used("%map |x| x + both + table over xs"), (String::new(), "both table".into()));
    assert_eq!(used("%map --filter '|x| *x > k' |x| { let w = x; w } over xs"), ("k".into(), String::new()));
}

#[test]
fn what_makes_no_map_is_said() {
    let error = |cell: &str| texts_of(cell).unwrap_err().to_string();
    insta::assert_snapshot!(error("%map |x, y| x + y over xs"), @r"
    the function takes 2 values, and there is one source of items
     --> cell line 1:6
    1 | %map |x, y| x + y over xs
      |      ^^^^^^^^^^^^
    for items that are tuples write `|(a, b)| ...`; several sources stand behind `over` with commas: over xs, ys
    ");
    insta::assert_snapshot!(error("%map |x, y| x + y over xs, ys, xs"), @r"
    the function takes 2 values, and there are 3 sources of items
     --> cell line 1:6
    1 | %map |x, y| x + y over xs, ys, xs
      |      ^^^^^^^^^^^^
    ");
    insta::assert_snapshot!(error("%map || 1 over xs"), @r"
    the function takes no item: write `|x| ...`, or `|_| ...`
     --> cell line 1:6
    1 | %map || 1 over xs
      |      ^^^^
    ");
    insta::assert_snapshot!(error("%map k + 1.0 over xs"), @r"
    this expression is no function, and doesn't use `it`, the item
     --> cell line 1:6
    1 | %map k + 1.0 over xs
      |      ^^^^^^^
    write a closure such as `|x| x * x`, or `it` for the item
    ");
    insta::assert_snapshot!(error("%map f over part"), @r"
    `part` is a variable of the engines, and what is behind `over` of the notebook
     --> cell line 1:13
    1 | %map f over part
      |             ^^^^
    `over each part` maps its items where they are
    ");
    insta::assert_snapshot!(error("%map f over each xs"), @r"
    the engines have no variable `xs`
     --> cell line 1:18
    1 | %map f over each xs
      |                  ^^
    the notebook has one: `over xs` maps it, `%scatter xs` sends it
    ");
    insta::assert_snapshot!(error("%map f over each nothing"), @r"
    the engines have no variable `nothing`
     --> cell line 1:18
    1 | %map f over each nothing
      |                  ^^^^^^^
    `%scatter xs as nothing` would give them one, with the parts of `xs`
    ");
    insta::assert_snapshot!(error("%map f over xs, xs, xs, xs, xs"), @r"
    at most 4 sources can be mapped together
     --> cell line 1:29
    1 | %map f over xs, xs, xs, xs, xs
      |                             ^^
    `over a.iter().zip(&b)` makes one of two
    ");
    insta::assert_snapshot!(error("%%map over xs\n\n"), @r"
    `%%map` needs a function on the lines below it
     --> cell line 2:1
    2 | 
      | ^
    write a closure such as `|x| x * x`, or code that uses `it`
    ");
    insta::assert_snapshot!(error("%%map over xs\nlet a = ;"), @r"
    this isn't Rust that could be a function
     --> cell line 2:1
    2 | let a = ;
      | ^^^^^^^^^
    write a closure such as `|x| x * x`, the path of a function, or code that uses `it`
    ");
    insta::assert_snapshot!(error("%map |x| x over xs ys"), @r"
    what stands behind `over` isn't a Rust expression
     --> cell line 1:17
    1 | %map |x| x over xs ys
      |                 ^^^^^
    a range, a variable or an iterator does, or several with commas: over xs, 0..10
    ");
    insta::assert_snapshot!(error("%%map over xs\nlet a = 1; a"), @r"
    these statements don't use `it`, the item
     --> cell line 2:1
    2 | let a = 1; a
      | ^^^^^^^^^^^^
    write a closure such as `|x| x * x`, or `it` for the item
    ");
}

#[test]
fn a_map_for_gpus_is_compiled_twice() {
    let cell = "%map --gpu --sum |x| x * k + w[0] as f64 over xs";
    let texts = texts_of(cell).unwrap();
    let constants =
        "px::map::gpu::OnGpu::new((&$k0, &$k1,), ::std::vec![px::map::gpu::value!($k0), px::map::gpu::value!($k1)])";
    assert!(texts.local.text.contains(constants), "{}", texts.local.text);
    assert!(texts.local.text.contains("px_items.on_gpu(::std::vec![]).map($f).sum()"), "{}", texts.local.text);
    let text = gpu_text_of(cell).unwrap();
    let calls = "px_call.run(|($n0, $k0, $k1,): (Vec<f64>, f64, Vec<u8>,)| { use chorus_gpu::only_types::*; chorus_gpu::over!(&$s0, ) }, \
                 |($k0, $k1,): (f64, Vec<u8>,), px_items| px_items.map($f))";
    assert!(text.text.contains(calls), "{}", text.text);
    check_places(cell, &text, &["|x| x * k + w[0] as f64", "xs"]);
}

#[test]
fn what_lies_on_engines_goes_to_their_gpus() {
    let cell = "%map --gpu --keep -o ys |x| x * table[0] * k over each part";
    let texts = texts_of(cell).unwrap();
    let engines = texts.engines.unwrap().text;
    let steps = "px_items.on_gpu(::std::vec![px::map::gpu::value!($e0)]).map($f).keep_on_gpu()";
    for text in [&engines, &texts.local.text] {
        assert!(text.contains(steps), "{text}");
    }
    assert!(engines.contains("let ys = ") && engines.contains("px::map::each_keep_on_gpu("), "{engines}");
    let text = gpu_text_of(cell).unwrap();
    let calls = "px_call.run(|($part,): (Vec<f64>,)| chorus_gpu::over!(&$part), \
                 |($k0, $e0,): (f64, Vec<f64>,), px_items| px_items.map($f))";
    assert!(text.text.contains(calls), "{}", text.text);
    check_places(cell, &text, &["|x| x * table[0] * k", "part"]);
}

#[test]
fn a_variable_that_cannot_go_to_a_gpu_is_named_where_it_is() {
    for (type_name, fits) in [
        ("f64", true),
        ("Vec<(u8, Option<P>)>", true),
        ("std::ops::Range<i32>", true),
        ("Vec<String>", false),
        ("&str", false),
        ("std::collections::HashMap<i32, i32>", false),
        ("alloc::rc::Rc<u8>", false),
    ] {
        let words = types(&[("words", type_name), ("xs", "Vec<f64>")]);
        let cell = "%map --gpu |i: usize| my_words(words[i]) over xs";
        let text = with(cell, |map, _, engines| gpu_text(map, cell, Passing::Value, &words, engines));
        assert_eq!(text.is_ok(), fits, "{type_name}");
        if let Err(error) = text {
            let shown = error.to_string();
            assert!(shown.contains(&format!("`words` is a `{type_name}`")) && shown.contains("line 1:32"), "{shown}");
        }
    }
    let cell = "%%map --gpu over xs\nlet a = 1;\n  words[it]";
    let words = types(&[("words", "&str"), ("xs", "Vec<f64>")]);
    let error = with(cell, |map, _, engines| gpu_text(map, cell, Passing::Value, &words, engines)).unwrap_err();
    assert!(error.to_string().contains("line 3:3"), "{error}");
}
