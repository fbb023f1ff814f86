use super::*;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::ffi::OsString;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroI8, NonZeroU32, Saturating, Wrapping};
use std::ops::Bound;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
#[cfg(not(feature = "serde"))]
use std::{cmp::Ordering, convert::Infallible, ops::ControlFlow};

/// Numbers by xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn many<T>(&mut self, mut make: impl FnMut(&mut Random) -> T) -> Vec<T> {
        (0..self.next() % 5).map(|_| make(self)).collect()
    }

    fn text(&mut self) -> String {
        self.many(|random| ['a', 'ß', '漢', '🦀', '\0'][random.next() as usize % 5]).into_iter().collect()
    }
}

fn encoding<T: Wire>(value: &T) -> Vec<u8> {
    let mut bytes = vec![7];
    value.put(&mut bytes);
    assert_eq!(bytes.remove(0), 7, "what was there stays");
    bytes
}

fn decode<T: Wire>(mut bytes: &[u8]) -> Result<T, Damaged> {
    T::get(&mut bytes)
}

/// It comes back, whatever follows it, and every beginning of it is damaged.
fn survives<T: Wire + PartialEq + Debug>(value: T) {
    let bytes = encoding(&value);
    let mut longer = bytes.clone();
    longer.extend([1, 2, 3]);
    let mut from = &longer[..];
    assert_eq!(T::get(&mut from), Ok(value));
    assert_eq!(from, [1, 2, 3]);
    for length in 0..bytes.len() {
        assert!(decode::<T>(&bytes[..length]).is_err(), "cut after {length} of {bytes:?}");
    }
}

/// Other bytes than were written are another value or damage; never a panic, nor memory for what isn't there.
fn endures<T: Wire>(value: &T, random: &mut Random) {
    let bytes = encoding(value);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] = [0xff, random.next() as u8][random.next() as usize % 2];
        let _ = decode::<T>(&damaged);
    }
}

fn both<T: Wire + PartialEq + Debug>(value: T, random: &mut Random) {
    endures(&value, random);
    survives(value);
}

#[test]
fn values_come_back_and_damage_is_found() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..200 {
        let n = random.next();
        both((n as u8, n as i8, n as u16, n as i16), &mut random);
        both((n as u32, n as i32, n, n as i64, n as usize, n as isize), &mut random);
        both((u128::from(n) << 60, -(i128::from(n) << 60)), &mut random);
        both(n.is_multiple_of(2), &mut random);
        let text = random.text();
        both((text.chars().next().unwrap_or('x'), text.clone().into_boxed_str(), PathBuf::from(&text)), &mut random);
        both((text, (), PhantomData::<String>, Box::new(n)), &mut random);
        both([Some(n as f32), None, Some(-0.0)], &mut random);
        both([Ok::<_, String>(n as f64), Err(random.text())], &mut random);
        both(random.many(|random| random.many(Random::next)), &mut random);
        both(random.many(Random::text).into_boxed_slice(), &mut random);
        both(random.many(|random| (random.next() as u8, random.next())), &mut random);
        both(random.many(|random| [random.text(), random.text()]), &mut random);
        both(VecDeque::from(random.many(Random::text)), &mut random);
        both(LinkedList::from_iter(random.many(Random::next)), &mut random);
        both(BTreeSet::from_iter(random.many(Random::text)), &mut random);
        both(HashSet::<u64>::from_iter(random.many(Random::next)), &mut random);
        both(BTreeMap::from_iter(random.many(|random| (random.text(), random.next()))), &mut random);
        let map = random.many(|random| (random.next() as i16, random.many(|random| random.next() as f32)));
        both(HashMap::<i16, Vec<f32>>::from_iter(map), &mut random);
        both(Duration::new(n, (n % 1_000_000_000) as u32), &mut random);
        both((IpAddr::V4(Ipv4Addr::from(n as u32)), IpAddr::V6(Ipv6Addr::from(u128::from(n)))), &mut random);
        both(SocketAddr::from((Ipv4Addr::from(n as u32), n as u16)), &mut random);
        both(SocketAddr::from((Ipv6Addr::from(u128::from(n)), n as u16)), &mut random);
        let text: &'static str = random.text().leak();
        both((text, Some(text), vec![(n, text)], BTreeMap::from([(text, n)])), &mut random);
        both((Arc::new(n), Rc::new(random.text()), Arc::<str>::from(text), Rc::<[u64]>::from(vec![n])), &mut random);
        both((Cow::Borrowed(text), Cow::<[u64]>::Owned(vec![n])), &mut random);
        both((0..n, n..=n, n.., ..n), &mut random);
        both([Bound::Unbounded, Bound::Included(n), Bound::Excluded(n)], &mut random);
        both((NonZeroU32::new(n as u32), NonZeroI8::new(n as i8)), &mut random);
        both((Reverse(n), Wrapping(n), Saturating(n), Cell::new(n), RefCell::new(random.text())), &mut random);
        both((OsString::from(text), SystemTime::UNIX_EPOCH + Duration::new(n >> 8, 5)), &mut random);
        let heap = BinaryHeap::from(random.many(Random::next));
        assert_eq!(
            decode::<BinaryHeap<u64>>(&encoding(&heap)).map(BinaryHeap::into_sorted_vec),
            Ok(heap.into_sorted_vec())
        );
    }
}

/// However many equal texts are decoded, they are kept once.
#[test]
fn text_that_lives_for_ever_is_kept_once() {
    let bytes = encoding(&["again", "again"]);
    let [one, other] = decode::<[&'static str; 2]>(&bytes).unwrap();
    assert!(std::ptr::eq(one, other) && one == "again");
}

#[cfg(not(feature = "serde"))]
#[test]
fn types_travel_of_which_serde_knows_nothing() {
    survives([Some(Ordering::Less), Some(Ordering::Equal), Some(Ordering::Greater), None]);
    survives([ControlFlow::Break(1u8), ControlFlow::Continue("a")]);
    survives([Ok::<u8, Infallible>(1)]);
    survives((.., ..=3u8));
}

#[test]
fn the_bits_of_floats_stay() {
    for bits in [f64::NAN.to_bits() | 1, (-0.0f64).to_bits(), 1] {
        let back = decode::<f64>(&encoding(&f64::from_bits(bits)));
        assert_eq!(back.map(f64::to_bits), Ok(bits));
    }
}

#[test]
fn what_is_plain_is_copied_as_it_lies_in_memory() {
    fn check<T: Wire + Copy + PartialEq + Debug>(items: &[T]) {
        let bytes = as_bytes(items).expect("plain");
        assert_eq!(bytes.len(), size_of_val(items));
        let one_by_one: Vec<u8> = items.iter().flat_map(encoding).collect();
        assert_eq!(bytes, one_by_one);
        let mut together = Vec::new();
        put_slice(items, &mut together);
        assert_eq!(bytes, together);
        // Unaligned.
        together.insert(0, 7);
        let mut from = &together[1..];
        assert_eq!(get_vec(items.len() as u64, &mut from), Ok(items.to_vec()));
        assert!(from.is_empty());
        assert_eq!(items.first().map(|_| decode::<T>(&together[1..])), items.first().map(|first| Ok(*first)));
    }
    check::<f64>(&[]);
    check(&[1.5f64, -2.5]);
    check(&[1u8, 2, 3]);
    check(&[usize::MAX, 7]);
    check(&[(1.0f64, 2.0f64), (3.0, 4.0)]);
    check(&[[1i16, 2, 3], [4, 5, 6]]);
    check(&[()]);
    assert!(!<(u8, u64)>::is_plain(), "there are gaps");
    assert!(!bool::is_plain() && !<[char; 2]>::is_plain() && !<(u8, bool)>::is_plain(), "not any bytes are a value");
    assert!(!String::is_plain() && !Vec::<u8>::is_plain() && !Option::<u8>::is_plain() && !Box::<u8>::is_plain());
    assert_eq!(as_bytes(&[true]), None);
}

/// With serde and without, or a handle's results couldn't be had after `:dep serde`.
#[test]
fn the_encoding_is_always_the_same() {
    fn is<T: Wire>(value: T, expected: &[u8]) {
        assert_eq!(encoding(&value), expected, "{}", std::any::type_name::<T>());
    }
    let two = [2, 0, 0, 0, 0, 0, 0, 0];
    is((1u16, -1isize, true, 'a'), &[1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 1, b'a', 0, 0, 0]);
    is(String::from("ab"), &[&two[..], b"ab"].concat());
    is(PathBuf::from("ab"), &[&two[..], b"ab"].concat());
    is(vec![1u16, 2], &[&two[..], &[1, 0, 2, 0]].concat());
    is(vec![Some(1u8), None], &[&two[..], &[1, 1, 0]].concat());
    is(BTreeMap::from([(1u8, true), (2, false)]), &[&two[..], &[1, 1, 2, 0]].concat());
    is(BTreeSet::from([1u8, 2]), &[&two[..], &[1, 2]].concat());
    is([Ok(1u8), Err(false)], &[0, 0, 0, 0, 1, 1, 0, 0, 0, 0]);
    is(([(); 3], PhantomData::<u8>, Box::new(3u8)), &[3]);
    is(Duration::new(2, 3), &[&two[..], &[3, 0, 0, 0]].concat());
    is(SocketAddr::from(([1, 2, 3, 4], 5)), &[0, 0, 0, 0, 1, 2, 3, 4, 5, 0]);
    is("ab", &[&two[..], b"ab"].concat());
    is((1u8..2, 3u8..=4, 5u8.., ..6u8, Reverse(7u8)), &[1, 2, 3, 4, 5, 6, 7]);
    is([Bound::Unbounded, Bound::Included(9u8), Bound::Excluded(8)], &[0, 0, 0, 0, 1, 0, 0, 0, 9, 2, 0, 0, 0, 8]);
    is((NonZeroI8::new(2), Arc::new(3u8), Cow::Borrowed("")), &[1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0]);
    is(OsString::from("ab"), &[&[0; 4], &two[..], b"ab"].concat());
    is(SystemTime::UNIX_EPOCH + Duration::new(2, 3), &[&two[..], &[3, 0, 0, 0]].concat());
    is(IpAddr::V6(Ipv6Addr::from(1)), &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn what_is_made_of_what_travels_travels() {
    fn together<A: Wire + Debug + PartialEq, B: Wire + Debug + PartialEq>(a: A, b: B) {
        survives((vec![a], Some(Ok::<B, String>(b))));
    }
    together(1, true);
}

#[test]
fn lengths_are_not_trusted_with_memory() {
    let huge = u64::MAX.to_ne_bytes();
    assert!(decode::<Vec<u64>>(&huge).is_err());
    assert!(decode::<Vec<String>>(&huge).is_err());
    assert!(decode::<String>(&huge).is_err());
    assert!(decode::<HashMap<u8, u8>>(&huge).is_err());
    assert!(decode::<VecDeque<Vec<u8>>>(&huge).is_err());
    assert!(decode::<Vec<Box<()>>>(&huge).is_err(), "nor with time");
    assert_eq!(decode::<Vec<()>>(&1_000_000_000u64.to_ne_bytes()).map(|all| all.len()), Ok(1_000_000_000));
    assert!(get_vec::<u16>(2, &mut &[0u8; 3][..]).is_err());
}

#[test]
fn the_layout_is_this_machines() {
    let endian = if 1u16.to_ne_bytes()[0] == 1 { "little" } else { "big" };
    assert_eq!(LAYOUT, format!("{endian} endian, {} bits", usize::BITS));
}

#[cfg(not(feature = "serde"))]
#[test]
fn arrays_of_any_length_travel() {
    survives([1u64; 1000]);
    survives([(); 40].map(|()| String::from("x")));
}

#[cfg(feature = "serde")]
mod by_serde {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Nothing,
        Round(f64),
        Corners(u8, Vec<(f32, f32)>),
        Named { name: String, inner: Option<Box<Shape>> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Drawing {
        shapes: Vec<Shape>,
        #[serde(rename = "by", default)]
        author: Option<String>,
        numbers: Vec<f64>,
        size: Size,
        unit: Unit,
        #[serde(skip)]
        cache: u8,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    struct Size(u32, u32);

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Unit;

    #[test]
    fn derived_types_travel() {
        let mut random = Random(0x1234_5678_9abc_def1);
        for _ in 0..200 {
            let shapes = random.many(|random| match random.next() % 4 {
                0 => Shape::Nothing,
                1 => Shape::Round(random.next() as f64),
                2 => Shape::Corners(3, random.many(|random| (random.next() as f32, 0.5))),
                _ => Shape::Named { name: random.text(), inner: Some(Box::new(Shape::Round(1.0))) },
            });
            let author = Some(random.text());
            let numbers = random.many(|random| random.next() as f64);
            let size = Size(random.next() as u32, 2);
            let drawing = Drawing { shapes, author, numbers, size, unit: Unit, cache: 0 };
            both(drawing.clone(), &mut random);
            both(HashMap::from([(size.0, drawing)]), &mut random);
        }
        assert_eq!(encoding(&vec![Shape::Round(1.0)])[..13], [0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn own_types_are_not_taken_for_plain() {
        assert!(!Size::is_plain());
        assert_eq!(as_bytes(&[Size(1, 2)]), None);
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Any {
        Number(u64),
        Text(String),
        Many { many: Vec<Any> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        Nothing,
        Circle { radius: f64, at: (u8, i64) },
        Of(Named),
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", content = "of")]
    enum Beside {
        Nothing,
        One(u8),
        Two(u8, String),
        Three { any: Option<Any> },
    }

    #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Named {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        first: Option<u8>,
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        last: Option<String>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        id: u32,
        #[serde(flatten)]
        named: Named,
        #[serde(flatten)]
        rest: BTreeMap<String, serde_json::Value>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Tree {
        Fork(Box<Tree>, Vec<Tree>),
        Leaf { json: Option<serde_json::Value> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct List<T> {
        value: T,
        next: Option<Box<List<T>>>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Late {
        First(u8),
        Second(Option<List<Vec<serde_json::Value>>>),
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Word {
        text: &'static str,
        kind: Option<&'static str>,
    }

    #[test]
    fn fields_may_be_text_that_lives_for_ever() {
        both(vec![Word { text: "hey", kind: None }, Word { text: "", kind: Some("b") }], &mut Random(7));
    }

    /// Both what is there and what is left out, whatever was put before.
    #[test]
    fn types_travel_that_leave_out_fields_or_ask_what_they_read() {
        let mut random = Random(77);
        let named = |first, last: Option<&str>| Named { first, name: "it".into(), last: last.map(str::to_owned) };
        both(
            vec![named(None, None), named(Some(1), None), named(None, Some("x")), named(Some(2), Some("y"))],
            &mut random,
        );
        assert_eq!(encoding(&named(Some(1), Some("x")))[..3], [0, 1, 1], "and what has all its fields stays short");
        both(vec![Any::Number(1 << 40), Any::Text("a".into()), Any::Many { many: vec![Any::Number(1)] }], &mut random);
        both(
            vec![Tagged::Nothing, Tagged::Circle { radius: 0.5, at: (1, -7) }, Tagged::Of(named(None, None))],
            &mut random,
        );
        both(
            vec![Beside::Nothing, Beside::One(1), Beside::Two(2, "b".into()), Beside::Three { any: None }],
            &mut random,
        );
        let json: serde_json::Value =
            serde_json::from_str(r#"{"a": [1, -2.5, null, true, "x", {}], "b": {}}"#).unwrap();
        both(json.clone(), &mut random);
        both(vec![Some(json.clone()), None], &mut random);
        let rest = BTreeMap::from([("more".to_owned(), json.clone())]);
        both(Flat { id: 1, named: named(None, Some("z")), rest }, &mut random);
        let leaf = |json| Tree::Leaf { json };
        both(Tree::Fork(Box::new(leaf(None)), vec![leaf(Some(json.clone())), leaf(None)]), &mut random);
        let list = List { value: 1u8, next: Some(Box::new(List { value: 2, next: None })) };
        both(list.clone(), &mut random);
        assert_eq!(encoding(&list), [0, 1, 1, 2, 0]);
        both(Late::First(1), &mut random);
        both(Late::Second(Some(List { value: vec![json], next: None })), &mut random);
    }

    /// What is made up for a type whose values must be of a certain kind doesn't say how it is made.
    #[test]
    fn types_that_refuse_values_travel() {
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        struct Date(String);
        impl TryFrom<String> for Date {
            type Error = String;
            fn try_from(text: String) -> Result<Date, String> {
                assert_ne!(text, "a", "not even made for this");
                Ok(Date(text))
            }
        }
        impl From<Date> for String {
            fn from(date: Date) -> String {
                date.0
            }
        }
        survives((1u8, Date("2024-01-01".into()), Some(Any::Number(2))));
    }
}
