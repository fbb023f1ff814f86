use super::*;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, LinkedList, VecDeque};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

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
    }
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
        assert_eq!(encoding(&vec![Shape::Round(1.0)])[..12], [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn own_types_are_not_taken_for_plain() {
        assert!(!Size::is_plain());
        assert_eq!(as_bytes(&[Size(1, 2)]), None);
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Any {
        Number(u64),
        Text(String),
    }

    #[test]
    #[should_panic = "asks the bytes what they are"]
    fn a_type_that_needs_to_be_told_what_it_reads_is_named() {
        let _ = decode::<Any>(&encoding(&Any::Number(1)));
    }

    #[derive(Serialize, Deserialize)]
    struct Sparse {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<u8>,
    }

    #[test]
    #[should_panic = "leaves out a field"]
    fn a_field_that_is_left_out_is_named() {
        encoding(&Sparse { value: None });
    }
}
