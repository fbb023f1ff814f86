use super::*;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A row of a table.
#[derive(Debug, Clone)]
#[allow(dead_code)]
struct Point {
    x: i32,
    name: &'static str,
}

fn points(count: i32) -> Vec<Point> {
    (0..count).map(|x| Point { x, name: "p" }).collect()
}

fn plain(bundle: &Bundle) -> &str {
    content(bundle, "text/plain").unwrap()
}

fn content<'a>(bundle: &'a Bundle, mime: &str) -> Option<&'a str> {
    bundle.contents().find(|(other, _)| *other == mime).map(|(_, content)| content)
}

fn of<T: Debug>(value: &T) -> Bundle {
    bundle_of(type_name::<T>(), format_args!("{value:?}"))
}

#[test]
fn types_are_shown_without_their_paths() {
    let name = type_name::<HashMap<String, Option<Vec<&str>>>>();
    assert_eq!(without_paths(name), "HashMap<String, Option<Vec<&str>>>");
    assert_eq!(without_paths(type_name::<(u8, [f64; 3])>()), "(u8, [f64; 3])");
}

#[test]
fn small_values_look_as_debug_writes_them() {
    assert!(of(&vec![1, 2]) == Bundle::new().with("text/plain", "[1, 2]"));
    assert!(bundle_of_rows(&vec![1, 2]) == Bundle::new().with("text/plain", "[1, 2]"));
    assert_eq!(plain(&bundle_of_rows(&[Some("a, b"), None])), "[Some(\"a, b\"), None]");
    assert_eq!(plain(&of(&(1, "a"))), "(1, \"a\")");
    let numbers: Vec<usize> = (0..1000).collect();
    assert_eq!(plain(&bundle_of_rows(&numbers)), format!("{numbers:?}"));
}

#[test]
fn the_middle_of_long_lists_is_left_out_and_not_formatted() {
    let many: Vec<u32> = (0..1_000_000).collect();
    let text = "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … 999,980 more items …, 999990, 999991, 999992, 999993, 999994, 999995, \
                999996, 999997, 999998, 999999]";
    assert_eq!(plain(&bundle_of_rows(&many)), text);
    assert_eq!(plain(&bundle_of_rows(&&many[..])), text);
    let set: HashSet<u32> = many.iter().copied().take(2000).collect();
    assert!(plain(&bundle_of_rows(&set)).ends_with(", … 1,980 more items …}"));
    let map: BTreeMap<u32, u32> = many.iter().map(|n| (*n, *n)).collect();
    let text = plain(&bundle_of_rows(&map)).to_owned();
    assert!(text.starts_with("   key   value\n     0       0\n"), "{text}");
    assert!(text.ends_with("999999  999999\n1,000,000 rows, showing 20"), "{text}");

    struct Counted<'a>(&'a std::cell::Cell<usize>);
    impl Debug for Counted<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.set(self.0.get() + 1);
            f.write_str("c")
        }
    }
    let count = std::cell::Cell::new(0);
    let many: Vec<_> = (0..100_000).map(|_| Counted(&count)).collect();
    bundle_of_rows(&many);
    assert_eq!(count.get(), 20);
}

#[test]
fn a_list_of_structs_is_a_table() {
    let bundle = bundle_of_rows(&points(2));
    assert_eq!(plain(&bundle), "[Point { x: 0, name: \"p\" }, Point { x: 1, name: \"p\" }]");
    assert!(content(&bundle, "text/html").unwrap().contains("<td style=\"text-align: right\">1</td>"));
    assert_eq!(
        content(&bundle, "application/vnd.dataresource+json").unwrap(),
        r#"{"schema":{"fields":[{"name":"x","type":"integer"},{"name":"name","type":"string"}]},"#.to_owned()
            + r#""data":[{"x":0,"name":"p"},{"x":1,"name":"p"}]}"#
    );
    assert_eq!(plain(&bundle_of_rows(&points(5))), "x  name\n0  p\n1  p\n2  p\n3  p\n4  p");
    let cut = bundle_of_rows(&points(60));
    assert!(plain(&cut).contains("\n 9  p\n …  …\n50  p\n"), "{}", plain(&cut));
    assert!(content(&cut, "text/html").unwrap().contains("60 rows, showing 20"));
    assert!(of(&points(60)) == cut, "by its text, too");
}

#[test]
fn long_values_with_parts_stand_on_several_lines() {
    #[derive(Debug)]
    #[allow(dead_code)]
    struct Outer {
        name: String,
        points: Vec<Point>,
        map: BTreeMap<u8, (u8, Option<u8>)>,
    }
    let map = BTreeMap::from([(1, (2, None))]);
    let outer = Outer { name: "x".repeat(50), points: points(3), map };
    let text = "Outer {\n    name: \"NAME\",\n    points: [Point { x: 0, name: \"p\" }, Point { x: 1, name: \"p\" }, \
                Point { x: 2, name: \"p\" }],\n    map: {1: (2, None)},\n}";
    assert_eq!(plain(&of(&outer)), text.replace("NAME", &"x".repeat(50)));
    let nested: Vec<Vec<Vec<u32>>> = vec![vec![(0..30).collect(); 2]; 60];
    let text = plain(&bundle_of_rows(&nested)).to_owned();
    assert_eq!(text.lines().count(), layout::LINES);
    assert!(text.starts_with("[\n    [\n        [\n            0, 1, 2,"), "{text}");
    assert!(text.contains("more lines …"), "{text}");
}

#[test]
fn what_has_lines_of_its_own_keeps_them() {
    struct Lines(usize);
    impl Debug for Lines {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "shape: ({})", self.0)?;
            (1..self.0).try_for_each(|at| write!(f, "\n│ {at} ┆ {} │", "wide ".repeat(60)))
        }
    }
    assert_eq!(plain(&of(&Lines(50))), format!("{:?}", Lines(50)));
    assert!(plain(&of(&Lines(90))).contains("\n… 41 more lines …\n│ 66 ┆"));
}

#[test]
fn what_is_too_long_is_cut_and_not_formatted_to_its_end() {
    struct Endless;
    impl Debug for Endless {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Endless { list: [")?;
            loop {
                f.write_str("1, ")?;
            }
        }
    }
    let text = plain(&of(&Endless)).to_owned();
    assert!(text.starts_with("Endless {\n    list: [1, 1, 1,") && text.ends_with(CUT), "{text}");
    assert!(text.len() < 10_000);
    let text = plain(&of(&"é".repeat(30_000))).to_owned();
    assert!(text.starts_with("\"éé") && text.contains("… 25,0") && text.ends_with("é\""));
    let text = plain(&bundle_of_rows(&vec![Endless, Endless])).to_owned();
    assert!(text.starts_with("[\n    Endless {") && text.contains("more items …") && text.len() < 1000, "{text}");
}

#[test]
fn all_of_a_value_is_shown_if_that_is_asked_for() {
    let many: Vec<u32> = (0..30_000).collect();
    let bundle = crate::Displayable::to_bundle(&full(&many));
    let numbers: Vec<&str> = plain(&bundle).split([',', ' ', '\n', '[', ']']).filter(|text| !text.is_empty()).collect();
    assert_eq!((numbers.len(), numbers[29_999]), (30_000, "29999"));
    assert_eq!(plain(&crate::Displayable::to_bundle(&full(points(1)))), "[Point { x: 0, name: \"p\" }]");
}

#[test]
fn the_last_expression_is_shown_by_whatever_fits_best() {
    #[derive(Debug)]
    struct Own;
    impl Own {
        fn evcxr_display(&self) -> u8 {
            7
        }
    }
    assert_eq!(Own.evcxr_display(), 7);
    assert_eq!(Last(&Own).evcxr_display(), 7);
    Last(&vec![Own]).evcxr_display();
    Last("text").evcxr_display();
    Last(&*vec![1]).evcxr_display();
    Last(&(1 + 1)).evcxr_display();
    Last(&HashMap::from([(1, 2)])).evcxr_display();
    Last(&std::rc::Rc::new([1, 2])).evcxr_display();
    assert_eq!(crate::show!((&(Own))), 7);
}
