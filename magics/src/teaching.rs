//! The texts that teach the magics: what stands below the flags in `%NAME?`. Tests run every line that begins with
//! two spaces and a `%` through the parser.

use super::Name;

/// Explanations and examples.
pub(super) fn teaching(name: Name) -> &'static str {
    match name {
        Name::Px => PX,
        Name::AutoPx => AUTOPX,
        Name::PxResult => PXRESULT,
        Name::PxConfig => PXCONFIG,
        Name::Cluster => CLUSTER,
        Name::Map => MAP,
        Name::Push | Name::Pull => PUSH,
        Name::Scatter | Name::Gather => SCATTER,
        Name::Tasks | Name::Cancel => TASKS,
        Name::Snapshot => super::snapshot::TEACHING,
        Name::Time => TIME,
        Name::TimeIt => TIMEIT,
        Name::Bash | Name::Sh => SHELL,
        Name::Script => SCRIPT,
        Name::WriteFile | Name::File => WRITEFILE,
        Name::Load => LOAD,
        Name::Who | Name::Whos => WHO,
        Name::LsMagic => "`%NAME?` tells more of each, and `%NAME??` does so in the pager.",
    }
}

const PX: &str = "\
The code is compiled once, by the notebook, and every engine runs it. Each engine keeps its own variables; functions,
types and `use` are shared with the other cells of the notebook. The first `%px` starts a cluster if there is none.

Examples:
  %px let here = std::process::id();      a variable on every engine
  %px here                                its value on each: Out[0:2]: 4711 ...
  %px -t 0,2 println!(\"hello\")            on the engines 0 and 2 only
  %px -t -1 -- -here                      `--` ends the flags, where code begins with `-`
  let n = 3;                              Rust may stand above and below: it runs here, not on the engines
  %px println!(\"one of {}\", px::size())

  %%px --noblock -o squares               a cell that isn't waited for
  let mine = (px::rank() * 10)..;
  mine.take(10).map(|x| x * x).sum::<usize>()

Outputs:
  [stdout:2] text       printed by engine 2
  [output:2]            what engine 2 displays follows
  Out[0-3:7]: 42        the cell's last expression, the same on the engines 0 to 3
  [2:execute] ...       how it failed on engine 2";

const AUTOPX: &str = "\
Examples:
  %autopx                 from the next statement on, all Rust runs on the engines
  let a = px::rank();
  %autopx                 and from here on in the notebook again
  %autopx -t 0            only engine 0";

const PXRESULT: &str = "\
Examples:
  %px -a slow()           returns at once
  %pxresult               waits for its end, and shows what came of it
  %pxresult -e            the same, engine by engine
  %pxresult -o squares    what `%px -o squares` printed and computed
  %pxresult -o handle     what came of `%map -a -o handle`
  %pxresult --partial -o some   what an interrupted `%map` has done, as a variable";

const PXCONFIG: &str = "\
Examples:
  %pxconfig                              shows the defaults
  %pxconfig -t :2 --progress-after 0     from now on the first two engines, with progress at once
  %pxconfig -t all --no-stream -g engine   outputs at the end, engine by engine";

const CLUSTER: &str = "\
Examples:
  %cluster start -n 4                  4 engines on this machine
  %cluster start --name lab            other notebooks may connect to it
  %cluster connect lab                 the same cluster from another notebook
  %cluster restart -t 2                a fresh worker for engine 2; its variables are gone
  %cluster                             who is there and what runs
  %cluster disconnect                  leaves a cluster that somebody else started
  %cluster stop                        ends one's own cluster";

const MAP: &str = "\
FUNCTION is a closure, the path of a function, or code that calls the item `it`. It takes items as values or by reference.
It may use variables of the notebook, which are sent along, and of the engines. DATA is a range, a variable or anything
else with items; of several, separated by commas, the function gets one item each. `over each NAME` takes the items of
the engines' own variable NAME, where they are. Both sides must be able to send the items and the results: numbers,
strings, tuples, Vec, Option, maps, and types that derive serde's Serialize and Deserialize.

A name that both the notebook and the engines have is the engines' variable. `--reduce`, `--min`, `--max` and `--mean` give
an Option, which is None if there are no results. A sum that its type can't hold is an error, or, with 64 bits and more,
wraps around with a warning.

Results have the order of the items, whatever engine made them, and sums of floats have the same bits whatever the number of
engines. A panic ends the map, and names the item. An engine that dies loses nothing: the others do its items. An
interrupt keeps what was done: `%pxresult --partial` shows it.

Examples:
  %map |x| x * x over 0..10                        shows the results
  %map -o roots f64::sqrt over xs                  let roots: Vec<f64> = ...
  %map -o total --sum |x, y| x * y over xs, ys
  %map -o best --reduce '|a, b| a.max(b)' score over 0..1_000_000
  %map --on-error skip --timeout 2 fetch over urls
  %map -a -o handle slow over 0..100               returns at once; then: %pxresult, or handle.get()?
  %map --keep -o sizes |s| s.len() over each lines   stays on the engines

  %%map -o sums over rows
  let positive = it.iter().filter(|x| **x > 0.0);
  positive.sum::<f64>()";

const PUSH: &str = "\
What is copied may be anything that `%map` can send; see `%map?`. The variables have the same names on the other side, or
those behind `as`. `%pull` makes a Vec with one value of each engine, or the value itself where `-t` names a single engine
by its number. Each side has a copy of its own, which the other side's changes don't reach.

Examples:
  %push table, names          to all engines
  %push table as t -t 0,2     to two of them, with the name t
  %pull count as counts       let counts: Vec<u64> = one of each engine
  %pull count -t 0            let count: u64 = engine 0's";

const SCATTER: &str = "\
What is in parts may be a Vec, an array, a slice or a VecDeque; each part is a Vec. The parts are stretches of nearly the
same length, in the order of the engines, or with --round-robin every n-th item.

Examples:
  %scatter xs as part              each engine has a Vec, its part
  %map -o ys f64::sqrt over each part
  %gather part as xs               the parts, put together
  %scatter xs --round-robin -t ::2";

const TASKS: &str = "\
Maps in the background, and single calls from Rust: `px::call!(function, arguments, {options})` has a function called
on an engine and returns a handle at once, which may be the argument of another call. Options: `after: [handles]`,
`on: 2` for an engine, `retries: 3`, `timeout: 10` in seconds. `px::put(&big)` makes an argument that each host gets once.

Examples:
  %map -a -o handle slow over 0..100
  %tasks                  what runs, and how far it is
  %cancel handle          ends it; what was done remains: handle.partial()
  %cancel 3               what has this number in the list
  %cancel                 what was started last
  %cancel all

  let a = px::call!(score, 5);
  let b = px::call!(add, a, 1.0, { retries: 2 });
  b.get()?";

const TIME: &str = "\
What the code defines stays defined. `%%time` may stand above any cell, a `%%px` too, and `%time` before another magic
of one line: then the time is that of the slowest engine, and the processors' time that of all engines together.

Examples:
  %time let sorted = sort(&data);
  %time slow()            prints the result, and: run 1.23 s (user 2.1 s, system 0.1 s); compiled in 0.18 s
  %time %map --sum slow over 0..100

  %%time
  let a = slow();
  let b = slow();";

const TIMEIT: &str = "\
The code is compiled once, as the body of a closure that is called many times. It sees the notebook's variables, and
can change those that are `mut`, but can't consume one; what it defines is gone after it. It may print.

Examples:
  %timeit data.iter().sum::<u64>()
  %timeit -n 1000 -r 3 f(7)

  %%timeit let data = vec![1; 1000];     runs once and isn't counted
  let doubled: Vec<i32> = data.iter().map(|x| 2 * x).collect();
  doubled.len()";

const SHELL: &str = "\
It runs beside the kernel, in the folder in which the kernel was started, and its stdin is closed. An interrupt ends it
with all that it started; what it leaves running in the background ends with the cell. A status other than 0 is an
error. The arguments on the first line are the shell's.

Examples:
  %%bash -e
  for i in 1 2 3; do echo $i; done

  !ls -l                  a single line, above the cell's Rust";

const SCRIPT: &str = "\
It runs beside the kernel as `%%bash` does; the cell's text is its stdin.

Examples:
  %%script python3
  print(6 * 7)

  %%script sort -r
  a
  b";

const WRITEFILE: &str = "\
A path is relative to the folder in which the kernel was started; `~` is your home folder.

Examples:
  %%writefile data/points.csv
  x,y
  1,2

  %%writefile -a ~/notes.txt     adds to the file's end
  another line";

const LOAD: &str = "\
The cell's text is replaced by the file's, to be looked at and run.

Examples:
  %load src/lib.rs";

const WHO: &str = "\
The notebook and each engine have variables of their own; functions, types and `use` are shared.

Examples:
  %who                    the names
  %whos                   a table: name, type, `mut`, and where it is";
