"""What runs while `chaos.py` breaks something, and what must be true afterwards."""

import collections
import re

HELPERS = """
/// Adds a line to a file that all hosts see.
fn note(line: String) {{
    use std::io::Write as _;
    let mut file = std::fs::File::options().create(true).append(true).open("{notes}").unwrap();
    file.write_all(format!("{{line}}\\n").as_bytes()).unwrap();
}}
fn pause(milliseconds: u64) {{ std::thread::sleep(std::time::Duration::from_millis(milliseconds)); }}
fn data(n: u64, seed: u64) -> Vec<u64> {{ (0..n).map(|i| i.wrapping_mul(2654435761) ^ seed).collect() }}
fn score(table: px::Ref<Vec<u64>>, k: u64, ms: u64) -> u64 {{
    note(format!("score {{k}}"));
    pause(ms);
    table.iter().fold(k, |sum, x| sum.wrapping_add(*x))
}}
fn large(x: u64) -> Vec<u64> {{ data(50_000, x) }}
fn total(xs: Vec<u64>) -> u64 {{ xs.iter().fold(0, |sum, x| sum.wrapping_add(*x)) }}
"""


class Action:
    """Cells that run before the trouble, the cell that runs beside it, and what must hold afterwards."""

    before = ()

    def __init__(self, number, choose):
        self.number, self.choose = number, choose
        self.prepare()

    def __str__(self):
        return type(self).__name__

    def check(self, lab, status, text, kills):
        """Without kills, a connection that breaks costs time only."""
        if status != "ok":
            assert kills, f"nothing was killed, and the cell has failed:\n{text}"
            self.loss(text)
        self.verify(lab, status == "ok", text, kills)

    def loss(self, text):
        """What was lost is named."""
        assert re.search(r"\[\d:|engines? \d|lost|killed|ended", text), f"it isn't said what was lost:\n{text}"


def noted_once(lab, kills, begins, number):
    """Each of so many lines was noted; without kills once."""
    counts = collections.Counter(line for line in lab.noted() if line.startswith(begins))
    assert len(counts) == number, f"{len(counts)} of {number} were done"
    twice = [line for line, times in counts.items() if times > 1]
    assert kills or not twice, f"nothing was killed, and something was done twice: {twice[:10]}"


class Cell(Action):
    """`%px`: each engine runs it once or not at all."""

    def prepare(self):
        self.ms = self.choose.choice([0, 300, 1500])
        self.flags = self.choose.choice(["", "-e ", "--no-stream ", "-r "])
        self.cell = f"""%%px {self.flags}
note(format!("px {{}}", px::rank()));
for part in 0..10 {{ pause({self.ms} / 10); println!("part {{part}} of {{}}.", px::rank()); }}
(px::rank() as u64) * 1000 + {self.number}"""

    def verify(self, lab, ok, text, kills):
        noted = [line for line in lab.noted() if line.startswith("px ")]
        assert len(noted) == len(set(noted)), f"done twice: {noted}"
        results = [int(x) for x in re.findall(r"Out\[\d:\d+\]:\s*(\d+)", text)]
        for x in results:
            assert x % 1000 == self.number % 1000 and results.count(x) == 1, results
        lines = re.findall(r"part \d of \d\.", text)
        assert len(lines) == len(set(lines)), "something was printed twice"
        if ok:
            assert len(results) == 4 and len(lines) == 40 and len(noted) == 4, (results, len(lines), noted)


class Later(Action):
    """`%%px -a`, and `%pxresult` beside the trouble."""

    def prepare(self):
        self.before = [f"""%%px -a
note(format!("px {{}}", px::rank()));
pause(1200);
(px::rank() as u64) * 1000 + {self.number}"""]
        self.cell = "%pxresult"

    def verify(self, lab, ok, text, kills):
        noted = [line for line in lab.noted() if line.startswith("px ")]
        assert len(noted) == len(set(noted)), f"done twice: {noted}"
        results = re.findall(r"Out\[\d:\d+\]:\s*(\d+)", text)
        assert not ok or sorted(int(x) for x in results) == [k * 1000 + self.number for k in range(4)], text


class Map(Action):
    """`%map -o`: each result is there once, and right."""

    def prepare(self):
        self.items = self.choose.choice([40, 400, 1200])
        self.ms = self.choose.choice([1, 4])
        kinds = ["", "--on-error skip ", "--on-error keep ", "--chunk 10 ", "--chunk 7 --on-error keep "]
        self.flags = self.choose.choice(kinds)
        self.cell = f"""%%map {self.flags}-o ys over 0..{self.items}_u64
|x: u64| {{ note(format!("map {{x}}")); pause({self.ms}); x * x + {self.number} }}"""

    def verify(self, lab, ok, text, kills):
        # Deaths by SIGKILL are forgiven four times, and lost engines, too.
        assert ok, text
        value = "y.as_ref().unwrap()" if "keep" in self.flags else "y"
        right = f"ys.iter().enumerate().all(|(x, y)| *{value} == (x * x + {self.number}) as u64)"
        assert f"({self.items}, true)" in lab.ok(f"(ys.len(), {right})"), lab.ok("&ys[..20]")
        noted_once(lab, kills, "map ", self.items)


class Large(Action):
    """`%map` over 16 MB of which engines fetch their parts, with results that are as large, or texts."""

    def prepare(self):
        self.before = [f"let xs = data(2_000_000, {self.number});"]
        self.text = self.choose.random() < 0.4
        if self.text:
            self.cell = "%%map -o zs over &xs[..200_000]\n|x: u64| { if x % 2000 == 0 { pause(5); } format!(\"{x}!\") }"
            self.right = "(zs.len(), zs.iter().zip(&xs).all(|(z, x)| *z == format!(\"{x}!\")))"
        else:
            self.cell = "%%map -o zs over xs.clone()\n|x: u64| { if x % 4000 == 0 { pause(20); } x ^ 77 }"
            self.right = "(zs.len(), zs.iter().zip(&xs).all(|(z, x)| *z == x ^ 77))"

    def verify(self, lab, ok, text, kills):
        assert ok, text
        length = 200_000 if self.text else 2_000_000
        assert f"({length}, true)" in lab.ok(self.right), lab.ok(
            "zs.iter().zip(&xs).enumerate().filter(|(_, (z, x))| z.to_string() != (*x ^ 77).to_string()).count()"
        )


class Calls(Action):
    """`px::call!` with handles and a `px::Ref`."""

    def prepare(self):
        self.calls = self.choose.choice([8, 40])
        self.ms = self.choose.choice([1, 20, 200])
        self.cell = f"""let table = px::put(&data(400_000, {self.number}));
let first: Vec<px::Task<u64>> = (0..{self.calls}u64).map(|k| px::call!(score, &table, k, {self.ms}u64)).collect();
let second: Vec<px::Task<Vec<u64>>> = first.iter().map(|x| px::call!(large, x)).collect();
let third: Vec<px::Task<u64>> = second.iter().map(|x| px::call!(total, x)).collect();
let found: Vec<u64> = third.iter().map(|x| x.get()).collect::<Result<_, _>>()?;
"""

    def verify(self, lab, ok, text, kills):
        assert ok, text
        right = f"""{{ let all = total(data(400_000, {self.number}));
(found.len(), found.iter().enumerate().all(|(k, x)| *x == total(large(all.wrapping_add(k as u64))))) }}"""
        assert f"({self.calls}, true)" in lab.ok(right), lab.ok("&found")
        noted_once(lab, kills, "score ", self.calls)


class Copy(Action):
    """`%push`, `%scatter`, `%gather` or `%pull` of 10 MB; two attempts when something was killed."""

    def prepare(self):
        self.kind = self.choose.choice(["push", "scatter", "gather", "pull", "words"])
        seed = self.number
        words = f'(0..100_000).map(|x| format!("word {{x}} {seed}")).collect()'
        self.before = [f"let xs = data(1_250_000, {seed});\nlet words: Vec<String> = {words};"]
        if self.kind in ("gather", "pull"):
            self.before.append("%scatter xs as part")
            self.before.append("%push xs as theirs")
        self.cell = {
            "push": "%push xs as theirs",
            "scatter": "%scatter xs as part",
            "gather": "%gather part as back",
            "pull": "%pull theirs as all",
            "words": "%push words as texts",
        }[self.kind]

    def __str__(self):
        return f"Copy ({self.kind})"

    def verify(self, lab, ok, text, kills):
        if not ok:
            return
        if self.kind == "gather":
            assert "true" in lab.ok("back == xs")
        elif self.kind == "pull":
            assert "(4, true)" in lab.ok("(all.len(), all.iter().all(|each| *each == xs))")
        else:
            name = {"push": "theirs", "scatter": "part", "words": "texts"}[self.kind]
            status, theirs = lab.run(f"%px --each ({name}.len(), format!(\"{{:?}}\", {name}.last()))")
            assert status == "ok" or kills, theirs
            lengths = {"push": 1_250_000, "scatter": 312_500, "words": 100_000}
            found = re.findall(r"Out\[\d:\d+\]:\s*\((\d+), ", theirs)
            assert all(int(n) == lengths[self.kind] for n in found) and (kills or len(found) == 4), theirs


class Each(Action):
    """A map over what engines have."""

    def prepare(self):
        self.before = [f"%map --keep -o parts |x: u64| x + {self.number} over 0..1000_u64"]
        self.cell = "%map --sum |x: u64| { pause(2); x } over each parts"

    def verify(self, lab, ok, text, kills):
        right = sum(range(1000)) + 1000 * self.number
        assert not ok or str(right) in text.replace(",", ""), (right, text)


class Steps(Action):
    """Functions that change engines' variables: each once, or not at all and told."""

    def prepare(self):
        self.before = [f"%px let mut count = vec![{self.number}u64; 1000];"]
        self.cell = """fn step(count: &mut Vec<u64>) -> u64 { pause(300); count.iter_mut().for_each(|x| *x += 1); count[0] }
let mut last = vec![];
for _ in 0..6 { last = px::engines().with((px::var!(mut count),)).each(step)?; }
last"""

    def verify(self, lab, ok, text, kills):
        if ok:
            assert f"[{', '.join([str(self.number + 6)] * 4)}]" in text, text
        status, counts = lab.run("%px --each count[0]")
        assert status == "ok" or kills, counts
        found = [int(x) for x in re.findall(r"Out\[\d:\d+\]:\s*(\d+)", counts)]
        assert all(self.number <= x <= self.number + 6 for x in found), counts


class Stream(Action):
    """A loop that takes results while others are made."""

    def prepare(self):
        self.cell = f"""fn slow(x: u64) -> u64 {{ note(format!("stream {{x}}")); pause(5); x + {self.number} }}
let mut seen = vec![0u64; 600];
for (i, r) in px::map(slow, 0..600u64).stream()? {{ seen[i as usize] += r?; }}
(seen.len(), seen.iter().enumerate().all(|(i, x)| *x == i as u64 + {self.number}))"""

    def verify(self, lab, ok, text, kills):
        assert ok and "(600, true)" in text, text
        noted_once(lab, kills, "stream ", 600)


ACTIONS = {kind.__name__: kind for kind in [Cell, Later, Map, Large, Calls, Copy, Each, Steps, Stream]}
