"""The same cells on two engines of the notebook's host and on two engines of two other hosts: they say the same.

What may differ is left out of the comparison: times, rates, process ids, sizes, progress, and all but the result of a map. Lines of
several engines come in any order.
"""

import re

import hosts as lab
import pytest

pytestmark = lab.needs(lab.missing())

TIMES = re.compile(r"[\d.,]+(?: (?:s|ms|µs|ns|[kMG]/s)|/s)\b")
PROGRESS = re.compile(r"^.*\[[█▏▎▍▌▋▊▉·]+\].*$", re.MULTILINE)


class Pair:
    """Two notebooks on one host, whose engines are there and elsewhere."""

    def __init__(self):
        self.hosts = lab.made(lambda: lab.Hosts(3))
        try:
            self.here, self.there = lab.Notebook(self.hosts), lab.Notebook(self.hosts)
            self.both("let begun = 1;")
            self.here.ok("%cluster start -n 2 --label big")
            self.there.ok(f'%cluster start --on ssh --hosts h2,h3 --label big --ssh "{self.hosts.ssh}"')
        except BaseException:
            self.hosts.close()
            raise

    def both(self, code, interrupt=None):
        """What a cell gives here and there, at the same time."""
        for notebook in (self.here, self.there):
            notebook.begin(code, interrupt)
        return self.here.end(), self.there.end()

    def close(self):
        try:
            for notebook in (self.here, self.there):
                notebook.close()
            lab.nothing_is_left(self.hosts, 40)
        finally:
            self.hosts.close()


@pytest.fixture(scope="module")
def pair():
    pair = Pair()
    yield pair
    pair.close()


def lines(text):
    """What must be the same."""
    text = TIMES.sub("TIME", PROGRESS.sub("", text))
    text = re.sub(r"[\d.]+ [kKMG]?i?B(/s)?", "SIZE", text)
    text = re.sub(r"\bpid \d+|\bkernel-\d+", "PID", text)
    return sorted(line.strip() for line in text.splitlines() if line.strip())


class Fails:
    """A cell that fails and says this."""

    def __init__(self, code, says, interrupt=None):
        self.code, self.says, self.interrupt = code, says, interrupt


class Says:
    """A cell that is well and says this."""

    def __init__(self, code, says):
        self.code, self.says, self.interrupt = code, says, None


NAP = "std::thread::sleep(std::time::Duration::from_millis({}));"
LOOP = "loop { " + NAP.format(1) + " }"

CELLS = {
    "px with each flag": [
        Says("%px px::rank() * 10", "Out[1:"),
        Says("%px 7", "Out[0-1:"),
        Says("%px --each 7", "Out[1:"),
        Says('%px -t 1 println!("from {}", px::rank())', "from"),
        Says('%%px -r\nprintln!("out {}", px::rank()); eprintln!("err {}", px::rank()); px::rank()', "err 1"),
        Says('%%px -e\nprintln!("out {}", px::rank()); eprintln!("err {}", px::rank()); px::rank()', "err 1"),
        Says('%%px -g type\nprintln!("out {}", px::rank()); px::rank()', "out 1"),
        Says('%%px --no-stream\nfor n in 0..3 { println!("{n} of {}", px::rank()); }', "2 of"),
        Says("%px --verbose 1", "Out["),
        Says("%px -t -1 7", "Out[1:"),
        Says("%px -t ::2 7", "Out[0:"),
        Fails("%px -t 5 7", "5"),
        "%autopx",
        Says("px::rank() + 100", "101"),
        "%autopx",
        "%pxconfig --each",
        Says("%px 7", "Out[1:"),
        "%pxconfig --no-each",
        Says("%px --progress-after 0 " + NAP.format(300), ""),
        Says("%px --local px::size()", ""),
        Says("%px -o kept px::rank() + 5", ""),
        Says("%pxresult -o kept", "6"),
    ],
    "cells that aren't waited for": [
        Says('%%px -a\nprintln!("late {}", px::rank()); px::rank()', ""),
        Says("%pxresult", "late 1"),
        Says("%px -a -o stored 40 + px::rank()", ""),
        Says("%pxresult -o stored", "41"),
    ],
    "definitions after the start, and variables": [
        "fn triple(x: u64) -> u64 { 3 * x }\n#[derive(Debug, Clone, PartialEq)] struct Point { x: i32 }",
        Says("%px triple(px::rank() as u64 + 1)", "6"),
        Says("%px Point { x: px::rank() as i32 }", "Point { x: 1 }"),
        "%px let mut count = vec![px::rank(); 3];",
        "%px count.push(9);",
        Says("%px count", "[1, 1, 1, 9]"),
        "use std::collections::BTreeMap;",
        Says("%px BTreeMap::from([(px::rank(), 'a')])", "{1: 'a'}"),
        Fails("%px nothing_of_this_name", "nothing_of_this_name"),
        Fails("%px let x: u8 = \"a\";", "mismatched"),
        "fn triple(x: u64) -> u64 { 30 * x }",
        Says("%px triple(1)", "30"),
    ],
    "maps with all options": [
        "let xs: Vec<f64> = (0..200_000).map(|i| i as f64).collect();",
        "let words: Vec<String> = (0..3000).map(|i| format!(\"w{i}\")).collect();",
        Says("%map -o ys |x: f64| x * 2.0 over xs\n(ys.len(), ys[199_999])", "(200000, 399998.0)"),
        Says("%map -o zs |w: String| w + \"!\" over words\nzs[2999].clone()", "w2999!"),
        Says("%map -o vs |x: u64| vec![x as u8; 300] over 0..500_u64\n(vs.len(), vs[499][299])", "(500, 243)"),
        Says("%map --sum |x: f64| x / 3.0 over xs", "6666633333."),
        Says("%map --mean |x: f64| x over xs", "99999.5"),
        Says("%map --min |x: u64| x + 3 over 0..1000_u64", "3"),
        Says("%map --max |x: u64| x + 3 over 0..1000_u64", "1002"),
        Says('%map --count --filter "|y| y % 2 == 0" |x: u64| x over 0..1000_u64', "500"),
        Says('%map --reduce "|a, b| a.max(b)" |x: u64| x ^ 5 over 0..1000_u64', "999"),
        Says("%map -o cs --chunk 7 |x: u64| x over 0..100_u64\ncs.iter().sum::<u64>()", "4950"),
        Says("%map -o us --unordered |x: u64| x over 0..100_u64\nus.iter().sum::<u64>()", "4950"),
        Says("%map -o ts -t 1 |x: u64| (x, px::rank()) over 0..10_u64\nts[9]", "(9, "),
        Says("%map -o threads --threads 2 |x: u64| x over 0..100_u64\nthreads.len()", "100"),
        Says("%map --progress-after 0 --sum |x: u64| x over 0..100_u64", "4950"),
        Says("%map -a -o later |x: u64| x + 1 over 0..100_u64", ""),
        Says("%pxresult\nlater.get()?.iter().sum::<u64>()", ""),
        Fails('%map -o es |x: u64| if x == 13 { panic!("no {x}") } else { x } over 0..100_u64', "no 13"),
        Says('%map --on-error skip -o es |x: u64| if x == 13 { panic!("no {x}") } else { x } over 0..100_u64\nes.len()', "99"),
        Says('%map --on-error keep -o es |x: u64| if x == 13 { panic!("no") } else { x } over 0..100_u64\nes[13].is_err()', "true"),
        Fails('%map --retries 2 -o es |x: u64| if x == 3 { panic!("no {x}") } else { x } over 0..5_u64', "no 3"),
        Fails("%map --timeout 0.5 -o es |x: u64| { if x == 3 { " + NAP.format(20000) + " } x } over 0..5_u64", "0.5"),
        Fails("%map -o es |x: u64| { if x == 3 { std::process::exit(4) } x } over 0..5_u64", "exit"),
        Fails("%map -o es |x: u64| { if x == 3 { std::process::abort() } x } over 0..5_u64", "SIGABRT"),
        "%map --keep -o parts |x: u64| x over 0..1000_u64",
        Says("%map --sum |x: u64| x over each parts", "499500"),
        Says("%map -o pairs |(a, b): (u64, f64)| a as f64 + b over 0..10_u64, xs[..10].iter().copied()\npairs[9]", "18.0"),
    ],
    "variables are copied": [
        "let table: Vec<u64> = (0..600_000).collect();\nlet (name, few) = (String::from(\"n\"), vec![1u8, 2, 3]);",
        "%push table, name",
        Says("%px (table.iter().sum::<u64>(), name.clone())", "(179999700000, \"n\")"),
        "%push few as fewer -t 1",
        Says("%px -t 1 fewer", "[1, 2, 3]"),
        Fails("%px -t 0 fewer", "fewer"),
        "%px let mine = vec![px::rank() as u32; 2];\n",
        Says("%pull mine\nmine", "[[0, 0], [1, 1]]"),
        Says("%pull mine as theirs -t 1\ntheirs", "[1, 1]"),
        "%scatter table as part",
        Says("%px part.len()", "300000"),
        Says("%gather part as whole\nwhole == table", "true"),
        "%scatter few --round-robin",
        Says("%px few", "[1, 3]"),
        Says("%gather few as again\nagain", "[1, 3, 2]"),
        "%scatter table -t 1 as alone",
        Says("%px -t 1 alone.len()", "600000"),
        Fails("%pull nowhere", "nowhere"),
        Fails("%push nowhere", "nowhere"),
    ],
    "calls": [
        "fn big(n: usize) -> Vec<u64> { (0..n as u64).collect() }\nfn total(v: Vec<u64>) -> u64 { v.iter().sum() }\n"
        "fn bad(n: u64) -> u64 { panic!(\"bad {n}\") }\nfn leaves(_: u64) -> u64 { std::process::exit(3) }\n"
        "fn score(table: px::Ref<Vec<f64>>, k: usize) -> f64 { table.iter().sum::<f64>() + k as f64 }",
        Says("let a = px::call!(big, 300_000);\nlet b = px::call!(total, &a);\n(b.get()?, a.get()?.len())", "(44999850000, 300000)"),
        Says("let table = px::put(&vec![1.5f64; 100_000]);\nlet tasks: Vec<px::Task<f64>> = (0..6).map(|k| px::call!(score, &table, k)).collect();\n"
             "tasks.iter().map(|task| task.get().unwrap()).sum::<f64>()", "900015"),
        Fails("let c = px::call!(bad, 3);\nc.get()?", "bad 3"),
        Fails("let d = px::call!(leaves, 3);\nd.get()?", "exit"),
        Fails("let e = px::call!(bad, 4);\nlet f = px::call!(bad, &e);\nf.get()?", "bad 4"),
    ],
    "functions with the engines' variables": [
        "%px let mut grown = vec![px::rank() as u64; 4];",
        Says("fn grow(v: &mut Vec<u64>, by: &u64) -> u64 { v.push(*by); v.iter().sum() }\n"
             "px::engines().with((px::var!(mut grown), &5)).each(grow)?", "[5, 9]"),
        Says("%px grown", "[1, 1, 1, 1, 5]"),
        Fails('px::engines().with((px::var!(mut grown),)).each(|v: &mut Vec<u64>| { v.clear(); if px::rank() == 1 { panic!("undone") } })?', "undone"),
        Says("%px -t 1 grown", "[1, 1, 1, 1, 5]"),
        Says("px::engines().labelled(\"big\").each(|| px::rank())?", "[0, 1]"),
        Says("px::engines().on([1]).each(|| px::size())?", "[1]"),
        "let rows: Vec<u32> = (0..100_000).collect();\npx::push!(rows)?;\npx::scatter!(rows as share)?;",
        Says("let (all, back): (Vec<Vec<u32>>, Vec<u32>) = (px::pull!(rows)?, px::gather!(share)?);\n(all.len(), back == rows)", "(2, true)"),
        Fails("px::engines().with((px::var!(missing),)).each(|v: &Vec<u64>| v.len())?", "missing"),
    ],
    "maps and streams from Rust": [
        Says("px::map(|x: u64| x * x, 0..1000u64).sum()?", "332833500"),
        Says("let k = 3u64;\npx::map_with((&k,), |(k,), x: u64| k * x, 0..1000u64).filter(|y| y % 2 == 0).collect()?.len()", "500"),
        Says('px::map(|x: u64| if x == 3 { panic!("three") } else { x }, 0..10u64).on_error(px::OnError::Keep).collect_errors()?.iter().filter(|r| r.is_err()).count()', "1"),
        Says("let mut sum = 0;\nfor (i, r) in px::map(|x: usize| x + 1, 0..3000usize).stream()? { assert_eq!(r?, i as usize + 1); sum += i as usize; }\nsum", "4498500"),
        Says("let mut seen = vec![];\nfor (i, _) in px::map(|x: u32| vec![x as u8; 2000], 0..300u32).ordered(true).stream()? { seen.push(i); if i == 99 { break; } }\nseen.len()", "100"),
        Says("px::map(|x: u64| x, px::over!(0..10u64)).keep(px::var!(held))?;\npx::map(|x: u64| x + 1, px::var!(held)).sum()?", "55"),
        Fails('for (_, r) in px::map(|x: u64| if x == 5 { panic!("five") } else { x }, 0..10u64).ordered(true).stream()? { r?; }', "five"),
    ],
    "what fails": [
        "%px let spared = px::rank() + 3;",
        Fails('%px -t 1 panic!("on purpose")', "on purpose"),
        Fails('%px if px::rank() == 0 { panic!("only one") } px::rank()', "only one"),
        Fails("%px std::process::exit(7)", "status 7"),
        Fails("%px std::process::abort()", "SIGABRT"),
        Fails("%px std::fs::read_to_string(\"/nowhere\")?;", "No such file"),
        Fails("%px let mut line = String::new(); std::io::stdin().read_line(&mut line).unwrap();", "input"),
        Says("%px spared", "4"),
        Fails('%px println!("looping"); ' + LOOP, "nterrupted", ["looping", 2]),
        Fails('%px --signal-on-interrupt SIGTERM println!("looping"); ' + LOOP, "nterrupted", ["looping", 2]),
        Fails('println!("looping");\npx::map(|x: u64| { loop { std::hint::spin_loop() } x }, 0..10u64).sum()?', "nterrupted", ["looping", 1]),
        Says("%px spared", "4"),
    ],
    "snapshots": [
        "%px let before = 1;",
        Says("%snapshot off", ""),
        Fails("%px std::process::abort()", "SIGABRT"),
        Fails("%px before", "lost"),
        Says("%snapshot on", ""),
        "%px let before = 2;",
        Fails("%px std::process::abort()", "SIGABRT"),
        Says("%px before", "2"),
        Says("%snapshot status", ""),
    ],
    "displays": [
        "struct Figure;\nimpl Figure { fn evcxr_display(&self) { println!(\"EVCXR_BEGIN_CONTENT image/svg+xml\\n<svg>{}</svg>\\nEVCXR_END_CONTENT\", px::size()); } }",
        Says("%px Figure", ""),
        Says("%px px::display!(Figure);", ""),
        Says('%px px::display!(format!("shown by {}", px::rank()));', ""),
    ],
    "restarts": [
        "%px let gone = 1;",
        Says("%cluster restart -t 1", ""),
        Says("%px -t 0 gone", "1"),
        Fails("%px -t 1 gone", "gone"),
        Says("%cluster restart", ""),
        Fails("%px gone", "gone"),
        Says("%px triple(2)", "60"),
    ],
}


def compared(pair, cell):
    """Runs a cell here and there; what is wrong with it."""
    cell = Says(cell, "") if isinstance(cell, str) else cell
    here, there = pair.both(cell.code, cell.interrupt)
    wanted = "error" if isinstance(cell, Fails) else "ok"
    if here[0] != wanted or cell.says not in here[1]:
        return f"{cell.code}\n--- should be {wanted} and say {cell.says!r} on the own host, and is {here[0]}:\n{here[1]}"
    # Who had which of a map's items, and who failed first, is chance, and so is what its summary says, now or shown again.
    is_map = any(each in cell.code for each in ("map", "%pxresult"))
    same = cell.says in there[1] if is_map else lines(here[1]) == lines(there[1])
    if here[0] != there[0] or not same:
        return f"{cell.code}\n--- on the own host: {here[0]}\n{here[1]}\n--- on others: {there[0]}\n{there[1]}"
    kinds = [kinds_of(each.shown) for each in (pair.here, pair.there)]
    if kinds[0] != kinds[1]:
        return f"{cell.code}\n--- shows {kinds[0]} on the own host, and {kinds[1]} on others"
    return None


def kinds_of(shown):
    """What was displayed as what. Progress is for cells that take long, which any cell may on a busy machine."""
    rest = [data for data in shown if "<progress" not in data.get("text/html", "")]
    return sorted((*data, data.get("image/svg+xml")) for data in rest)


@pytest.mark.parametrize("group", CELLS)
def test_cells_say_the_same_on_other_hosts(pair, group):
    wrong = [found for cell in CELLS[group] if (found := compared(pair, cell))]
    assert not wrong, "\n\n".join(wrong)


def test_collectives_are_alike(pair):
    """More of them is in `test_group_hosts.py`."""
    for code in ["px::barrier();", "px::allreduce(1, px::sum)", "if px::rank() == 0 { px::send(1, 5u8); }", "px::recv::<u8>(9)"]:
        here, there = pair.both(f"%px {code}")
        assert here[0] == there[0] == ("error" if "9" in code else "ok"), (code, here, there)
        # Which notebook has run how many cells doesn't matter.
        texts = [sorted(re.sub(r"(Out\[[\d-]+):\d+", r"\1", text).splitlines()) for _, text in (here, there)]
        assert texts[0] == texts[1], code
