"""How results are shown: tables, long values, and `px::Table`."""

import json
import re

import pytest

DATA = "application/vnd.dataresource+json"
POINTS = """
#[derive(Debug, Clone)]
struct Point { x: f64, name: String }
fn points(count: usize) -> Vec<Point> {
    (0..count).map(|n| Point { x: n as f64 / 2.0, name: format!("<p{n}>") }).collect()
}
"""


def result(kernel, code):
    (data,) = kernel.run(code).ok().results
    return data


def test_structs_are_a_table_in_three_forms(kernel):
    kernel.run(POINTS).ok()
    data = result(kernel, "points(4)")
    assert sorted(data) == [DATA, "text/html", "text/plain"]
    assert data["text/plain"] == "  x  name\n0.0  <p0>\n0.5  <p1>\n1.0  <p2>\n1.5  <p3>"
    assert data[DATA] == {
        "schema": {"fields": [{"name": "x", "type": "number"}, {"name": "name", "type": "string"}]},
        "data": [{"x": n / 2, "name": f"<p{n}>"} for n in range(4)],
    }
    html = data["text/html"]
    assert '<td style="text-align: right">0.5</td><td style="text-align: left">&lt;p1&gt;</td>' in html
    assert "<p" not in html and "color" not in html, "the front end's theme has the colours"


def test_a_small_table_is_as_text_what_it_always_was(kernel):
    kernel.run(POINTS).ok()
    for code, text in {
        "points(1)": '[Point { x: 0.0, name: "<p0>" }]',
        '[(1, "a"), (2, "b")]': '[(1, "a"), (2, "b")]',
        "std::collections::BTreeMap::from([(1, 2), (3, 4)])": "{1: 2, 3: 4}",
        "vec![vec![1.5, 2.0]; 2]": "[[1.5, 2.0], [1.5, 2.0]]",
    }.items():
        data = result(kernel, code)
        assert data["text/plain"] == text and "<table" in data["text/html"], data
    for code, text in {
        "vec![1, 2, 3]": "[1, 2, 3]",
        "&[Some(1), None][..]": "[Some(1), None]",
        "(1, 2)": "(1, 2)",
        "Vec::<Point>::new()": "[]",
        'std::collections::HashMap::from([("a", 1)])': '{"a": 1}',
        "(0..1000).collect::<Vec<_>>()": str(list(range(1000))),
    }.items():
        assert result(kernel, code) == {"text/plain": text}


def test_of_a_long_list_the_ends_are_formatted_and_counted(kernel):
    kernel.run(POINTS).ok()
    text = result(kernel, "(0..10_000_000u32).collect::<Vec<_>>()")["text/plain"]
    assert text.startswith("[0, 1, 2, ") and "9, … 9,999,980 more items …, 9999990, " in text
    data = result(kernel, "let many = points(1_000_000); many")
    assert data["text/plain"].endswith("\n1,000,000 rows, showing 20")
    assert len(data[DATA]["data"]) == 20 and data[DATA]["data"][-1]["name"] == "<p999999>"
    assert "1,000,000 rows, showing 20" in data["text/html"] and len(json.dumps(data)) < 10_000
    formatted = """
        static FORMATTED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        struct Slow;
        impl std::fmt::Debug for Slow {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                FORMATTED.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                f.write_str("slow")
            }
        }
        std::iter::repeat_with(|| Slow).take(100_000).collect::<Vec<_>>()
    """
    assert "… 99,980 more items …" in result(kernel, formatted)["text/plain"]
    assert result(kernel, "FORMATTED.load(std::sync::atomic::Ordering::Relaxed)")["text/plain"] == "20"


def test_what_polars_prints_is_a_table(kernel):
    frame = """shape: (2, 2)
┌──────┬──────┐
│ name ┆ rate │
│ ---  ┆ ---  │
│ str  ┆ f64  │
╞══════╪══════╡
│ <a>  ┆ 1.5  │
│ b    ┆ null │
└──────┴──────┘"""
    kernel.run(
        "struct Printed(&'static str); impl std::fmt::Debug for Printed "
        "{ fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.0) } }"
    ).ok()
    data = result(kernel, f'Printed("{frame}")')
    assert data["text/plain"] == frame and "<td style=\"text-align: left\">&lt;a&gt;</td>" in data["text/html"]
    assert data[DATA]["data"] == [{"name": "<a>", "rate": 1.5}, {"name": "b", "rate": None}]
    # It says that there are more rows than it has.
    frame = frame.replace("(2, 2)", "(3, 2)")
    assert result(kernel, f'Printed("{frame}")') == {"text/plain": frame}


def test_long_values_are_on_few_lines(kernel):
    text = result(kernel, "vec![vec![(0..100).collect::<Vec<_>>(); 2]; 100]")["text/plain"]
    lines = text.splitlines()
    assert len(lines) == 50 and lines[0] == "[" and lines[-1] == "]" and "more lines …" in text
    assert max(map(len, lines)) <= 100
    text = result(kernel, '"x".repeat(1 << 20)')["text/plain"]
    assert len(text) < 11_000 and "more characters …" in text
    whole = result(kernel, "px::full(vec![vec![(0..100).collect::<Vec<_>>(); 2]; 100])")["text/plain"]
    assert re.findall(r"\d+", whole) == [str(n) for n in range(100)] * 200
    printed = kernel.run('println!("{:?}", vec![7; 2000]);').ok().stdout
    assert printed == f"{[7] * 2000}\n", "what a cell prints is its own"


def test_a_format_that_was_asked_for_is_kept(kernel):
    kernel.run(POINTS).ok()
    try:
        assert result(kernel, ":types\npoints(2)") == {
            "text/plain": ': Vec<Point> = [Point { x: 0.0, name: "<p0>" }, Point { x: 0.5, name: "<p1>" }]'
        }
    finally:
        kernel.run(":types").ok()


def test_own_methods_go_first(kernel):
    kernel.run(r"""
        #[derive(Debug)]
        struct Own(u8);
        impl Own {
            fn evcxr_display(&self) { println!("EVCXR_BEGIN_CONTENT text/plain\nown {}\nEVCXR_END_CONTENT", self.0); }
        }
        struct Taken(u8);
        impl Taken {
            fn evcxr_display(self) { println!("EVCXR_BEGIN_CONTENT text/plain\ntaken {}\nEVCXR_END_CONTENT", self.0); }
        }
    """).ok()
    assert result(kernel, "Own(1)") == {"text/plain": "own 1"}
    assert result(kernel, "&Own(2)") == {"text/plain": "own 2"}
    assert result(kernel, "Taken(4)") == {"text/plain": "taken 4"}
    assert result(kernel, "vec![Own(5)]") == {"text/plain": "[Own(5)]"}


def test_a_table_of_ones_own(kernel):
    kernel.run(POINTS).ok()
    kernel.run("let ps = points(30);").ok()
    text = result(kernel, 'px::Table::new(&ps).columns(["name", "x"]).sort("x").reverse().rows(2).precision(2)')["text/plain"]
    assert text == "name       x\n<p29>  14.50\n…          …\n<p0>    0.00\n30 rows, showing 2"
    text = result(kernel, 'px::Table::new(ps.iter().map(|p| (p.x, p.x * p.x))).names(["x", "square"]).rows(1)')["text/plain"]
    assert text == "  x  square\n0.0     0.0\n  …       …\n30 rows, showing 1"
    (shown,) = kernel.run('px::display(px::Table::new(&ps).format("x", |x| format!("{x} m")));').ok().displays
    assert "0.5 m" in shown["text/html"] and "30 rows, showing 20" in shown["text/plain"]
    failed = kernel.run('px::Table::new(&ps)\n  .sort("z")').failed()
    assert "the table has no column `z`; it has `x`, `name`" in failed.traceback and "cell line 2" in failed.traceback


def test_engines_show_tables_and_equal_ones_once(cluster):
    cluster.run(POINTS).ok()
    reply = cluster.run("%px points(4)").ok()
    tables = [data for data in reply.displays if DATA in data]
    assert len(tables) == 1 and "<table" in tables[0]["text/html"] and "Out[0-3:" in reply.text
    reply = cluster.run("%px points(3 + px::rank())").ok()
    assert [len(data[DATA]["data"]) for data in reply.displays if DATA in data] == [3, 4, 5, 6]
    assert "… 4,980 more items …" in cluster.run("%px -t 0 vec![1; 5000]").ok().text


@pytest.mark.parametrize("arrays", ["ndarray", "nalgebra"])
def test_arrays_of_other_crates_are_tables(own_kernel, arrays):
    code, text, rows = {
        "ndarray": (
            ':dep ndarray = "*"\nndarray::array![[1.0, 2.0], [3.0, 4.0]]',
            "[[1.0, 2.0],\n [3.0, 4.0]], shape=[2, 2]",
            [[1.0, 2.0], [3.0, 4.0]],
        ),
        "nalgebra": (
            ':dep nalgebra = "*"\nnalgebra::DMatrix::from_row_slice(2, 2, &[1.0, 2.0, 3.0, 4.0])',
            "VecStorage",
            [[1.0, 2.0], [3.0, 4.0]],
        ),
    }[arrays]
    reply = own_kernel.run(code, timeout=400)
    if not reply.content["status"] == "ok":
        pytest.skip(f"{arrays} isn't on this machine")
    (data,) = reply.results
    assert data["text/plain"].startswith(text), data
    assert [list(row.values()) for row in data[DATA]["data"]] == rows
