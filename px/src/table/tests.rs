use super::*;
use crate::Displayable;

fn content(bundle: &Bundle, mime: &str) -> String {
    bundle.contents().find(|(other, _)| *other == mime).map(|(_, content)| content.to_owned()).unwrap()
}

fn plain(table: impl Displayable) -> String {
    content(&table.to_bundle(), "text/plain")
}

fn of(text: &str) -> Option<Sheet> {
    let Some(Tree::Group(group)) = Tree::read(text) else { panic!("{text}") };
    Sheet::of_rows(&group.items, group.items.len(), group.items.len())
}

#[derive(Debug)]
#[allow(dead_code)]
struct Run {
    name: &'static str,
    seconds: f64,
    tags: Vec<u8>,
}

fn runs() -> [Run; 3] {
    [(2.5, "b<"), (10.25, "a"), (-1.125, "c")].map(|(seconds, name)| Run { name, seconds, tags: vec![1, 2] })
}

#[test]
fn rows_are_structs_tuples_numbers_or_entries() {
    let columns = |text: &str| {
        let sheet = of(text)?;
        Some(sheet.columns.iter().map(|c| format!("{}:{}", c.name, c.kind.name())).collect::<Vec<_>>().join(" "))
    };
    for (text, expected) in [
        ("[A { a: 1, b: 2.5 }, A { a: -2, b: 3 }]", Some("a:integer b:number")),
        ("[A { a: 1, .. }]", Some("a:integer")),
        ("[A { a: Some(1) }, A { a: None }]", Some("a:integer")),
        ("[A { a: true }, A { a: \"x\" }]", Some("a:string")),
        ("[(1, 'c'), (2, 'd')]", Some("0:integer 1:string")),
        ("[[1, 2], [3, NaN]]", Some("0:integer 1:number")),
        ("{\"k\": 1, \"l\": 2}", Some("key:string value:integer")),
        ("{1: A { a: true }}", Some("key:integer a:boolean")),
        ("{1: 2}", None),
        ("[(1, 2)]", None),
        ("[1, 2]", None),
        ("[A { a: 1 }, B { a: 1 }]", None),
        ("[A { a: 1 }, A { b: 1 }]", None),
        ("[[1, 2], [3]]", None),
        ("[Some(1), None]", None),
        ("[]", None),
        ("[A { a: x\ny }]", None),
    ] {
        assert_eq!(columns(text).as_deref(), expected, "{text}");
    }
}

#[test]
fn text_is_aligned_and_html_is_text_only() {
    let sheet = of("[A { n: 1, s: \"a\\\"<b>\" }, A { n: 20, s: \"$x$ & 'y'\" }]").unwrap();
    assert_eq!(sheet.text(), " n  s\n 1  a\\\"<b>\n20  $x$ & 'y'");
    let html = sheet.html();
    assert!(html.contains("<th style=\"text-align: right\" title=\"integer\">n</th>"), "{html}");
    assert!(html.contains(">a\\&quot;&lt;b&gt;</td>"), "{html}");
    assert!(html.contains("><span>$</span>x<span>$</span> &amp; &#39;y&#39;</td>"), "{html}");
    assert!(sheet.json().contains(r#"{"n":1,"s":"a\"<b>"}"#), "{}", sheet.json());
}

#[test]
fn data_is_json_whatever_the_values_are() {
    let text = r#"[A { f: NaN, i: 340282366920938463463374607431768211455, s: "\n\u{7f}\\", n: None }, A { f: 1e-7, i: -1, s: "", n: Some(x) }]"#;
    let value: serde_json::Value = serde_json::from_str(&of(text).unwrap().json()).unwrap();
    assert_eq!(value["data"][0]["f"], serde_json::Value::Null);
    assert_eq!(value["data"][1]["f"], 1e-7);
    assert_eq!((&value["data"][0]["s"], &value["data"][1]["n"]), (&"\n\u{7f}\\".into(), &"x".into()));
    assert_eq!(value["schema"]["fields"][0]["type"], "number");
}

#[test]
fn of_many_columns_those_at_the_ends_are_shown() {
    let row = format!("({})", (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join(", "));
    let sheet = of(&format!("[{row}, {row}]")).unwrap();
    assert_eq!(sheet.columns.len(), 21);
    assert!(sheet.text().contains("8  9  …  90  91"), "{}", sheet.text());
    let value: serde_json::Value = serde_json::from_str(&sheet.json()).unwrap();
    assert_eq!(value["data"][0].as_object().unwrap().len(), 20);
}

#[test]
fn a_table_is_sorted_and_chosen_from() {
    let runs = runs();
    let table = || Table::new(&runs);
    assert_eq!(
        plain(table().columns(["seconds", "name"]).sort("seconds")),
        "seconds  name\n -1.125  c\n    2.5  b<\n  10.25  a"
    );
    assert_eq!(plain(table().sort_by_key(|run| run.name).columns(["name"]).precision(1)), "name\na\nb<\nc");
    assert_eq!(plain(table().columns(["seconds"]).precision(1).reverse()), "seconds\n   -1.1\n   10.2\n    2.5");
    let text = plain(table().format("seconds", |text| format!("{text} s")).rows(2));
    assert_eq!(
        text,
        "name  seconds   tags\nb<    2.5 s     [1, 2]\n…     …         …\nc     -1.125 s  [1, 2]\n3 rows, showing 2"
    );
    let pairs = table().columns(["tags"]).names(["a", "b", "c"]);
    assert_eq!(plain(pairs.rows(0)), "c\n…\n3 rows, showing 0");
    assert_eq!(plain(Table::new([1, 20])), "value\n    1\n   20");
    assert_eq!(plain(Table::new([(1, 2)]).names(["x", "y"])), "x  y\n1  2");
    assert_eq!(plain(Table::new(Vec::<u8>::new())), "value");
    let caught = std::panic::catch_unwind(|| Table::new([(1, 2)]).names(["x", "y", "z"])).map(drop).unwrap_err();
    let said = "the table has no column for the name `z`: its 2 columns are `0`, `1`";
    assert_eq!(caught.downcast_ref::<String>().map(String::as_str), Some(said));
    assert_eq!(plain(Table::new([(1, 2)]).names(["x"])), "x  1\n1  2");
    assert_eq!(plain(Table::new(Vec::<(u8, u8)>::new()).names(["x", "y"])).lines().next(), Some("x  y"));
    let caught = std::panic::catch_unwind(|| Table::new([(1, 2)]).sort("z").rows(1)).map(drop).unwrap_err();
    let said = caught.downcast_ref::<String>().unwrap();
    assert_eq!(said, "the table has no column `z`; it has `0`, `1`");
}

#[test]
fn arrays_and_matrices_of_other_crates_are_tables() {
    let array = "[[1.0, 2.0],\n [3.0, 4.0]], shape=[2, 2], strides=[2, 1], layout=Cc (0x5), const ndim=2";
    let of_array = |text: &str| Sheet::of_array("ndarray::ArrayBase<ndarray::OwnedRepr<f64>, _>", text);
    assert_eq!(of_array(array).unwrap().text(), "  0    1\n1.0  2.0\n3.0  4.0");
    let large = "[[1, 2, ..., 9],\n ...,\n [3, 4, ..., 8]], shape=[50, 70], strides=[70, 1]";
    let text = of_array(large).unwrap().text();
    assert_eq!(text, "0  1  69\n1  2   9\n…  …   …\n3  4   8\n50 rows, showing 2");
    assert_eq!(of_array("[1, 2], shape=[2], strides=[1]"), None);
    let of_matrix = |text: &str| Sheet::of_array("nalgebra::base::matrix::Matrix<f64, _>", text);
    assert_eq!(of_matrix("[[1, 3], [2, 4]]").unwrap().text(), "0  1\n1  2\n3  4");
    let dynamic = "VecStorage { data: [1, 3, 2, 4], nrows: Dyn(2), ncols: Dyn(2) }";
    assert_eq!(of_matrix(dynamic).unwrap().text(), "0  1\n1  2\n3  4");
    for text in
        ["[[1, 2, 3]]", "x", "[1]", "[]", "VecStorage { data: [], nrows: Dyn(0), ncols: Dyn(0) }", "nrows: Dyn("]
    {
        assert_eq!(of_matrix(text), None, "{text}");
        assert_eq!(of_array(text), None, "{text}");
    }
}
