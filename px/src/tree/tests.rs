use super::layout::{few_lines, one_line, shortened};
use super::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone)]
#[allow(dead_code)]
enum Any {
    Unit,
    Pair(Box<Any>, u8),
    One(f64),
    Text(String, char),
    Named { list: Vec<Any>, r#type: Option<Box<Any>> },
    Map(BTreeMap<i8, Any>, BTreeSet<(u8,)>),
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn text(&mut self, alphabet: &[char], longest: usize) -> String {
        (0..self.below(longest + 1)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    fn any(&mut self, depth: usize) -> Any {
        let kinds = if depth == 0 { 3 } else { 6 };
        let list = |random: &mut Random| (0..random.below(4)).map(|_| random.any(depth - 1)).collect::<Vec<_>>();
        match self.below(kinds) {
            0 => Any::Unit,
            1 => Any::One(self.below(1000) as f64 / 8.0 - 50.0),
            2 => Any::Text(self.text(ALPHABET, 12), ALPHABET[self.below(ALPHABET.len())]),
            3 => Any::Pair(Box::new(self.any(depth - 1)), 7),
            4 => Any::Named { list: list(self), r#type: (self.below(2) == 0).then(|| Box::new(self.any(depth - 1))) },
            _ => Any::Map(
                list(self).into_iter().enumerate().map(|(at, any)| (at as i8, any)).collect(),
                BTreeSet::from([(1,), (2,)]),
            ),
        }
    }
}

/// What texts of `Debug` and mistakes in them are made of.
const ALPHABET: &[char] =
    &['a', 'é', '"', '\'', '\\', '(', ')', '[', ']', '{', '}', ',', ':', ' ', '.', '\n', '1', '…'];

#[test]
fn what_is_derived_is_read_and_written_as_it_was() {
    let mut random = Random(1);
    for _ in 0..5000 {
        let text = format!("{:?}", random.any(4));
        let tree = Tree::read(&text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(one_line(&tree, usize::MAX).as_deref(), Some(text.as_str()));
        // Cut anywhere, it has the same beginning.
        let cut = text.floor_char_boundary(random.below(text.len() + 1));
        assert!(Tree::read_cut(&text[..cut]).is_some(), "{}", &text[..cut]);
    }
}

#[test]
fn no_text_makes_it_panic_or_lose_anything() {
    let mut random = Random(2);
    for _ in 0..20_000 {
        let text = random.text(ALPHABET, 30);
        for tree in [Tree::read(&text), Tree::read_cut(&text)].into_iter().flatten() {
            let _ = one_line(&tree, usize::MAX);
        }
        assert_eq!(shortened(&text), text.lines().collect::<Vec<_>>().join("\n"), "{text:?}");
    }
    let mut random = Random(3);
    for _ in 0..2000 {
        let mut text = format!("{:?}", random.any(4));
        let at = text.floor_char_boundary(random.below(text.len()));
        text.insert(at, ALPHABET[random.below(ALPHABET.len())]);
        let _ = shortened(&text);
        let _ = Tree::read(&text);
    }
    let deep = "[".repeat(100_000);
    assert_eq!((Tree::read(&deep), Tree::read_cut(&deep)), (None, None));
}

#[test]
fn parts_are_told_apart() {
    let group = |text| match Tree::read(text) {
        Some(Tree::Group(group)) => group.items.len(),
        Some(Tree::Atom(_)) => 0,
        None => 99,
    };
    for (text, count) in [
        ("[1, 2, 3]", 3),
        ("[]", 0),
        ("(1,)", 1),
        ("[\"a, b\", ',', '\\'']", 3),
        ("[it's, isn't]", 2),
        ("{a: b, c: [1, 2]}", 2),
        ("A { at: 2024-01-01T00:00:00Z, path: \"/\" }", 2),
        ("Mutex { data: 1, poisoned: false, .. }", 3),
        ("<[1, 2]>", 0),
        ("[1, 2] and [3]", 0),
        ("f(1) - 2", 0),
        ("[1, 2", 99),
        ("[1, 2)", 99),
        ("]", 99),
        ("\"a", 99),
    ] {
        assert_eq!(group(text), count, "{text}");
    }
    let Some(Tree::Group(cut)) = Tree::read_cut("[1, (2, \"ab") else { panic!() };
    assert_eq!(one_line(&Tree::Group(cut), 99).unwrap(), "[1, (2, \"ab, …), …]");
}

#[test]
fn long_lines_and_many_lines_lose_their_middle() {
    let many: String = (0..60).map(|n| format!("{n}\n")).collect();
    let short = few_lines(&many);
    assert_eq!(short.lines().count(), layout::LINES);
    assert!(short.contains("\n24\n… 11 more lines …\n36\n"), "{short}");
    assert_eq!(layout::without_middle("ééé", 6), "ééé");
    assert_eq!(layout::without_middle("éééé", 4), "é… 2 more characters …é");
    assert_eq!([0, 999, 1000, 1_234_567].map(layout::grouped), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!(layout::more(1, "item"), "… 1 more item …");
}
