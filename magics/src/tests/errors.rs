//! What is wrong with a magic is said, and where.

use super::*;

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
    insta::assert_snapshot!(error("%%px -t 3-0\nf()"), @r"
    `--targets` can't be `3-0`: `3-0` names no engines: write `1`, `0,2`, `0-3`, `1:3`, `::2`, `-1` for the last, or `all`
     --> cell line 1:9
    1 | %%px -t 3-0
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
    insta::assert_snapshot!(error("f();\n%nonsense inline"), @r"
    there is no magic `%nonsense`
     --> cell line 2:1
    2 | %nonsense inline
      | ^^^^^^^^^
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
    usage: %cluster [start [-n N] [--tcp] [--name NAME] [--label LABEL] [--record FILE] [--min N] [--adapt L:M] [--on WHAT ..] | add [-n N] [--label LABEL] [--on WHAT ..] | scale N | adapt L:M | drain T | stop [--force] | status | watch [--for S] | logs [-t T] [-f] [-n N] | connect NAME|FILE | disconnect | restart [-t T]]; `%cluster?` tells more
    ");
    insta::assert_snapshot!(error("%cluster start -n 0"), @r"
    `-n` can't be `0`: write a number of engines, at least 1
     --> cell line 1:19
    1 | %cluster start -n 0
      |                   ^
    usage: %cluster [start [-n N] [--tcp] [--name NAME] [--label LABEL] [--record FILE] [--min N] [--adapt L:M] [--on WHAT ..] | add [-n N] [--label LABEL] [--on WHAT ..] | scale N | adapt L:M | drain T | stop [--force] | status | watch [--for S] | logs [-t T] [-f] [-n N] | connect NAME|FILE | disconnect | restart [-t T]]; `%cluster?` tells more
    ");
    insta::assert_snapshot!(error("%cluster connect"), @r"
    `NAME|FILE` is missing
     --> cell line 1:1
    1 | %cluster connect
      | ^^^^^^^^^^^^^^^^
    usage: %cluster [start [-n N] [--tcp] [--name NAME] [--label LABEL] [--record FILE] [--min N] [--adapt L:M] [--on WHAT ..] | add [-n N] [--label LABEL] [--on WHAT ..] | scale N | adapt L:M | drain T | stop [--force] | status | watch [--for S] | logs [-t T] [-f] [-n N] | connect NAME|FILE | disconnect | restart [-t T]]; `%cluster?` tells more
    ");
    insta::assert_snapshot!(error("%cluster stop now"), @r"
    `%cluster` doesn't take `now`
     --> cell line 1:15
    1 | %cluster stop now
      |               ^^^
    usage: %cluster [start [-n N] [--tcp] [--name NAME] [--label LABEL] [--record FILE] [--min N] [--adapt L:M] [--on WHAT ..] | add [-n N] [--label LABEL] [--on WHAT ..] | scale N | adapt L:M | drain T | stop [--force] | status | watch [--for S] | logs [-t T] [-f] [-n N] | connect NAME|FILE | disconnect | restart [-t T]]; `%cluster?` tells more
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
