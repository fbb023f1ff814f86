//! All kinds of data, and of functions.

use super::host::{Chance, Setting, with};
use crate::map::{Error, start};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

macro_rules! travels {
    ($data:expr, $item:ty, $expected:expr) => {{
        let items: Vec<$item> = start!($crate::over!($data), (), |(), px_items| px_items.map(|x| x).collect()).wait();
        let expected: Vec<$item> = $expected;
        assert_eq!(items, expected);
    }};
}

#[test]
fn ranges() {
    with(Setting { most: 20, ..Setting::default() });
    travels!(0..100, i32, (0..100).collect());
    travels!(-5i8..=5, i8, (-5..=5).collect());
    travels!(u64::MAX - 3..=u64::MAX, u64, (u64::MAX - 3..=u64::MAX).collect());
    travels!(i128::MIN..i128::MIN + 9, i128, (i128::MIN..i128::MIN + 9).collect());
    travels!(0u8..=255, u8, (0..=255).collect());
    travels!(i64::MIN..=i64::MIN, i64, vec![i64::MIN]);
    #[allow(clippy::reversed_empty_ranges)]
    {
        travels!(9..3, usize, vec![]);
        travels!(9..=3, usize, vec![]);
    }
    let range = 3..7u16;
    travels!(&range, u16, (3..7).collect());
    travels!('a'..='e', char, ('a'..='e').collect());
    travels!((0..100).step_by(7), i32, (0..100).step_by(7).collect());
    let mut used = 1..=1u8;
    used.next();
    travels!(used, u8, vec![]);
    let endless = start!(crate::over!(0..), (), |(), px_items| px_items.map(|n: u64| n).sum());
    assert_eq!(endless.get(), Err(Error::Endless));
}

#[test]
fn values_in_memory() {
    with(Setting { most: 20, ..Setting::default() });
    let xs: Vec<f64> = (0..50).map(f64::from).collect();
    let words: Vec<String> = (0..50).map(|n| "ab".repeat(n)).collect();
    travels!(&xs, f64, xs.clone());
    travels!(xs.clone(), f64, xs.clone());
    travels!(&xs[3..40], f64, xs[3..40].to_vec());
    travels!(xs.as_slice(), f64, xs.clone());
    travels!(&words, String, words.clone());
    travels!([1, 2, 3], i32, vec![1, 2, 3]);
    travels!(&[(1u8, 2u64), (3, 4)], (u8, u64), vec![(1, 2), (3, 4)]);
    travels!([Some("a".to_owned()), None], Option<String>, vec![Some("a".to_owned()), None]);
    travels!(words.clone().into_boxed_slice(), String, words.clone());
    travels!(Rc::new(xs.clone()), f64, xs.clone());
    travels!(&Arc::<[f64]>::from(xs.clone()), f64, xs.clone());
    let mut deque: VecDeque<u32> = (0..10).collect();
    deque.rotate_left(4);
    deque.push_back(77);
    travels!(&deque, u32, deque.iter().copied().collect());
    let slice: &[f64] = &xs;
    travels!(&slice, f64, xs.clone());
    travels!([(), ()], (), vec![(), ()]);
    travels!(Vec::<bool>::new(), bool, vec![]);
    travels!([true, false], bool, vec![true, false]);
}

#[test]
fn iterators() {
    with(Setting { most: 20, ..Setting::default() });
    let words = ["one", "two"];
    let map: BTreeMap<String, f32> = [("a".to_owned(), 1.0), ("b".to_owned(), 2.0)].into();
    let hash: HashMap<u8, char> = [(1, 'x')].into();
    travels!(words, String, vec!["one".to_owned(), "two".to_owned()]);
    travels!(&words, String, vec!["one".to_owned(), "two".to_owned()]);
    travels!("a b".split(' '), String, vec!["a".to_owned(), "b".to_owned()]);
    travels!(&map, (String, f32), map.clone().into_iter().collect());
    let borrowed = &map;
    travels!(&borrowed, (String, f32), map.clone().into_iter().collect());
    travels!(map.clone(), (String, f32), map.clone().into_iter().collect());
    travels!(&hash, (u8, char), vec![(1, 'x')]);
    travels!(map.values(), f32, vec![1.0, 2.0]);
    travels!([5, 6].iter().enumerate(), (usize, i32), vec![(0, 5), (1, 6)]);
    travels!("aé".chars(), char, vec!['a', 'é']);
    travels!("ab".bytes().zip(map.keys()), (u8, String), vec![(b'a', "a".to_owned()), (b'b', "b".to_owned())]);
    travels!(vec![3u64; 10_000].into_iter().map(|x| x + 1), u64, vec![4; 10_000]);
    let kept = (0..3).map(|n| n * 2);
    travels!(&kept, i32, vec![0, 2, 4]);
}

#[test]
fn zipped_data_must_be_equally_long() {
    with(Setting { most: 20, ..Setting::default() });
    let (xs, ys) = (vec![1.0f32, 2.0], ["a".to_owned(), "b".to_owned()]);
    let both = start!(crate::over!(&xs, &ys), (), |(), px_items| px_items.map2(|x, y| format!("{x}{y}")).collect());
    assert_eq!(both.wait(), ["1a", "2b"]);
    let three =
        start!(crate::over!(&xs, 5.., &ys), (), |(), px_items| px_items.map3(|x, n: u8, y| (y.len(), x, n)).collect());
    assert_eq!(three.wait(), [(1, 1.0, 5), (1, 2.0, 6)]);
    let four = start!(crate::over!(&xs, 5.., &ys, [7, 8]), (), |(), px_items| {
        px_items.map4(|x, n: u8, y, m| (y.len(), x, n, m)).collect()
    });
    assert_eq!(four.wait(), [(1, 1.0, 5, 7), (1, 2.0, 6, 8)]);
    let pairs =
        start!(crate::over!(&xs, 0..2), (), |(), px_items| px_items.map(|(x, n): (f32, u64)| x as u64 + n).sum());
    assert_eq!(pairs.wait(), 4);
    let unequal = start!(crate::over!(&xs, 0..3u8), (), |(), px_items| px_items.map2(|x, _| x).sum()).get();
    assert_eq!(unequal, Err(Error::Lengths(2, 3)));
    let sentence = Error::Lengths(2, 3).to_string();
    assert!(sentence.contains("2 items") && sentence.contains("has 3"), "{sentence}");
}

fn by_value(x: f64) -> f64 {
    -x
}
fn by_reference(x: &f64) -> f64 {
    -*x
}
fn text(text: &str) -> usize {
    text.len()
}
fn sum(xs: &[f64]) -> f64 {
    xs.iter().sum()
}
fn two(text: &str, x: f64) -> f64 {
    text.len() as f64 + x
}
#[allow(clippy::ptr_arg)]
fn four(text: &String, x: &f64, n: u8, by: f64) -> f64 {
    three(text, x, n) * by
}

#[expect(clippy::ptr_arg, reason = "a reference to what the items are is what this is about")]
fn three(text: &String, x: &f64, n: u8) -> f64 {
    text.len() as f64 + x + f64::from(n)
}
fn generic<T: Into<f64>>(x: T) -> f64 {
    x.into()
}

#[test]
fn functions_take_values_or_references() {
    with(Setting { most: 20, ..Setting::default() });
    let xs = vec![1.0, 4.0];
    let words = vec!["a".to_owned(), "bb".to_owned()];
    let lists = vec![vec![1.0, 2.0], vec![]];
    macro_rules! gives {
        ($over:expr, $call:ident $function:expr, $expected:expr) => {
            assert_eq!(start!($over, (), |(), px_items| px_items.$call($function).collect()).wait(), $expected)
        };
    }
    gives!(crate::over!(&xs), call by_value, [-1.0, -4.0]);
    gives!(crate::over!(&xs), call by_reference, [-1.0, -4.0]);
    gives!(crate::over!(&xs), call f64::sqrt, [1.0, 2.0]);
    gives!(crate::over!(&xs), call generic, [1.0, 4.0]);
    gives!(crate::over!(&xs), call Some, [Some(1.0), Some(4.0)]);
    gives!(crate::over!(&xs), call |x: &f64| x + 1.0, [2.0, 5.0]);
    gives!(crate::over!(&words), call text, [1, 2]);
    gives!(crate::over!(&words), call str::len, [1, 2]);
    gives!(crate::over!(&words), call String::len, [1, 2]);
    gives!(crate::over!(&words), call str::to_uppercase, ["A", "BB"]);
    gives!(crate::over!(&lists), call sum, [3.0, 0.0]);
    gives!(crate::over!(&lists), call Vec::len, [2, 0]);
    gives!(crate::over!(&words, &xs), call2 two, [2.0, 6.0]);
    gives!(crate::over!(&words, &xs, 1..3), call3 three, [3.0, 8.0]);
    gives!(crate::over!(&words, &xs, 1..3, [0.5, 0.25]), call4 four, [1.5, 2.0]);
    gives!(crate::over!(&xs, &xs), call2 f64::powf, [1.0, 256.0]);
    gives!(crate::over!(&xs, &xs), call2 f64::max, [1.0, 4.0]);
}

#[derive(Clone)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Silent(u64);

// SAFETY: it isn't plain.
#[cfg(not(feature = "serde"))]
unsafe impl crate::wire::Wire for Silent {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
    }
    fn get(from: &mut &[u8]) -> Result<Silent, crate::link::Damaged> {
        u64::get(from).map(Silent)
    }
}

#[test]
fn items_are_named_by_their_debug() {
    with(Setting { most: 20, ..Setting::default() });
    let fails = |data| start!(data, (), |(), px_items| px_items.map(|_| -> u8 { panic!("no") }).collect()).get();
    assert_eq!(
        fails(crate::over!(["x".repeat(500)])),
        Err(Error::Failed(format!("item 0 (\"{}…): no", "x".repeat(198))))
    );
    let silent = crate::over!([Silent(1)]);
    let failed = start!(silent, (), |(), px_items| px_items.map(|x| assert!(x.0 == 0, "no")).collect()).get();
    assert_eq!(failed, Err(Error::Failed("item 0 (?): no".into())));
}

#[test]
fn large_data_of_all_kinds_in_random_pieces() {
    let mut chance = Chance(5);
    for seed in 0..6 {
        with(Setting { seed, most: 1 + chance.below(40_000), engines: 1 + seed as usize % 4, ..Setting::default() });
        let words: Vec<String> = (0..60_000).map(|_| "é".repeat(chance.below(30) as usize)).collect();
        let numbers: Vec<[u16; 3]> = (0..60_000).map(|n| [n as u16, 1, 2]).collect();
        let both =
            start!(crate::over!(&words, &numbers), (), |(), px_items| px_items.map(|both| both).collect()).wait();
        assert!(both.iter().zip(words.iter().zip(&numbers)).all(|(a, b)| (&a.0, &a.1) == b));
    }
}
