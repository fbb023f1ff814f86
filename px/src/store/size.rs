//! How much memory a variable takes and how many values it has, for types of which that can be known. For others nothing is
//! said.
//!
//! A cell's code is generic in nothing, so there the compiler chooses between [`ByParts`], [`ByPlace`] and [`ByNeed`]: it
//! takes the first whose bounds the variable's type fulfils. Their method has a name that no trait of the user's has.
//!
//! Nothing here calls code of the user's, and of a collection of many values that own something only some are looked at.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::marker::PhantomData;
use std::mem::{needs_drop, size_of, size_of_val};
use std::path::PathBuf;

/// Finds the size of a value; looks at so many of its parts.
pub type Size = fn(&dyn Any, usize) -> Measured;

/// The size of a value, as far as it can be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The bytes that it takes, with all that it owns.
    pub bytes: Option<usize>,
    /// How many values it has; of a text, how many bytes.
    pub length: Option<usize>,
}

impl Measured {
    fn of<T: Owns>(value: &T, most: usize) -> Measured {
        Measured { bytes: Some(size_of::<T>() + value.owned(most)), length: value.length() }
    }
}

/// A type of which is known what its values own.
pub trait Owns {
    /// Whether that is nothing.
    const NOTHING: bool = false;

    /// The bytes that the value owns beside those of itself, after a look at so many of its parts.
    fn owned(&self, most: usize) -> usize;

    /// How many values it has, if it is a collection.
    fn length(&self) -> Option<usize> {
        None
    }
}

/// What stands for a type, to ask for its size.
pub struct Probe<T>(PhantomData<T>);

impl<T> Probe<T> {
    /// One.
    pub const NEW: Probe<T> = Probe(PhantomData);
}

/// The choice for types that are made of known ones.
pub trait ByParts {
    fn chorus_size(&self) -> Size;
}

impl<T: Owns + 'static> ByParts for &Probe<T> {
    fn chorus_size(&self) -> Size {
        |value, most| value.downcast_ref::<T>().map(|value| Measured::of(value, most)).unwrap_or_default()
    }
}

/// The choice for collections of any values. What they take is known if the values own nothing.
pub trait ByPlace {
    fn chorus_size(&self) -> Size;
}

macro_rules! collections {
    ($($value:ident: $type:ty, $element:ty, $owned:expr, <$($name:ident),*>;)*) => { $(
        impl<$($name: 'static),*> ByPlace for &&Probe<$type> {
            fn chorus_size(&self) -> Size {
                |value, _| {
                    let Some($value) = value.downcast_ref::<$type>() else { return Measured::default() };
                    let bytes = (!needs_drop::<$element>()).then(|| size_of::<$type>() + $owned);
                    Measured { bytes, length: Some($value.len()) }
                }
            }
        }
    )* };
}

collections! {
    it: Vec<T>, T, it.capacity() * size_of::<T>(), <T>;
    it: Box<[T]>, T, size_of_val(&**it), <T>;
    it: VecDeque<T>, T, it.capacity() * size_of::<T>(), <T>;
    it: BinaryHeap<T>, T, it.capacity() * size_of::<T>(), <T>;
    it: HashMap<K, V, S>, (K, V), in_table(it.capacity(), size_of::<(K, V)>()), <K, V, S>;
    it: HashSet<T, S>, T, in_table(it.capacity(), size_of::<T>()), <T, S>;
    it: BTreeMap<K, V>, (K, V), in_tree(it.len(), size_of::<(K, V)>()), <K, V>;
    it: BTreeSet<T>, T, in_tree(it.len(), size_of::<T>()), <T>;
}

/// The choice for all other types: what has nothing to drop owns nothing.
pub trait ByNeed {
    fn chorus_size(&self) -> Size;
}

impl<T> ByNeed for Probe<T> {
    fn chorus_size(&self) -> Size {
        size::<T>()
    }
}

/// The same where the type is a parameter.
pub(super) fn size<T>() -> Size {
    if needs_drop::<T>() { common } else { plain }
}

/// Of a value that owns nothing.
#[inline(never)]
fn plain(value: &dyn Any, _: usize) -> Measured {
    Measured { bytes: Some(size_of_val(value)), length: None }
}

/// Of a value whose type can't be asked.
#[inline(never)]
fn common(value: &dyn Any, most: usize) -> Measured {
    macro_rules! first {
        ($($type:ty),*) => { $(if let Some(value) = value.downcast_ref::<$type>() {
            return Measured::of(value, most);
        })* };
    }
    first!(Vec<f64>, Vec<f32>, Vec<i64>, Vec<u64>, Vec<i32>, Vec<u32>, Vec<u8>, Vec<usize>, Vec<bool>);
    first!(String, Vec<String>, Vec<Vec<f64>>, Vec<Vec<f32>>);
    Measured::default()
}

macro_rules! nothing {
    ($($type:ty),*) => { $(impl Owns for $type {
        const NOTHING: bool = true;
        fn owned(&self, _: usize) -> usize { 0 }
    })* };
}

nothing!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, bool, char, ());
nothing!(std::time::Duration, std::time::Instant, std::time::SystemTime);

impl<T: ?Sized> Owns for &'static T {
    const NOTHING: bool = true;
    fn owned(&self, _: usize) -> usize {
        0
    }
    fn length(&self) -> Option<usize> {
        (self as &dyn Any).downcast_ref::<&'static str>().map(|text| text.len())
    }
}

impl Owns for String {
    fn owned(&self, _: usize) -> usize {
        self.capacity()
    }
    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl Owns for OsString {
    fn owned(&self, _: usize) -> usize {
        self.capacity()
    }
    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl Owns for PathBuf {
    fn owned(&self, _: usize) -> usize {
        self.capacity()
    }
}

impl<T: Owns> Owns for Option<T> {
    const NOTHING: bool = T::NOTHING;
    fn owned(&self, most: usize) -> usize {
        self.as_ref().map_or(0, |value| value.owned(most))
    }
}

impl<T: Owns, E: Owns> Owns for Result<T, E> {
    const NOTHING: bool = T::NOTHING && E::NOTHING;
    fn owned(&self, most: usize) -> usize {
        self.as_ref().map_or_else(|error| error.owned(most), |value| value.owned(most))
    }
}

impl<T: Owns> Owns for Box<T> {
    fn owned(&self, most: usize) -> usize {
        size_of::<T>() + (**self).owned(most)
    }
}

impl<T: Owns> Owns for Box<[T]> {
    fn owned(&self, most: usize) -> usize {
        size_of_val(&**self) + of_slice(self, most)
    }
    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl<T: Owns> Owns for Vec<T> {
    fn owned(&self, most: usize) -> usize {
        self.capacity() * size_of::<T>() + of_slice(self, most)
    }
    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl<T: Owns> Owns for VecDeque<T> {
    fn owned(&self, most: usize) -> usize {
        let (front, back) = self.as_slices();
        self.capacity() * size_of::<T>() + of_slice(front, most) + of_slice(back, most)
    }
    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl<T: Owns, const N: usize> Owns for [T; N] {
    const NOTHING: bool = T::NOTHING;
    fn owned(&self, most: usize) -> usize {
        of_slice(self, most)
    }
    fn length(&self) -> Option<usize> {
        Some(N)
    }
}

impl<K: Owns, V: Owns, S> Owns for HashMap<K, V, S> {
    fn owned(&self, most: usize) -> usize {
        in_table(self.capacity(), size_of::<(K, V)>()) + of_pairs(self.iter(), most)
    }
    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl<T: Owns, S> Owns for HashSet<T, S> {
    fn owned(&self, most: usize) -> usize {
        in_table(self.capacity(), size_of::<T>()) + of_pairs(self.iter().map(|value| (value, &())), most)
    }
    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl<K: Owns, V: Owns> Owns for BTreeMap<K, V> {
    fn owned(&self, most: usize) -> usize {
        in_tree(self.len(), size_of::<(K, V)>()) + of_pairs(self.iter(), most)
    }
    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl<T: Owns> Owns for BTreeSet<T> {
    fn owned(&self, most: usize) -> usize {
        in_tree(self.len(), size_of::<T>()) + of_pairs(self.iter().map(|value| (value, &())), most)
    }
    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
}

impl<T: Owns> Owns for BinaryHeap<T> {
    fn owned(&self, most: usize) -> usize {
        self.capacity() * size_of::<T>() + of_slice(self.as_slice(), most)
    }
    fn length(&self) -> Option<usize> {
        Some(self.len())
    }
}

macro_rules! tuples {
    ($(($($name:ident $place:tt),*))*) => { $(impl<$($name: Owns),*> Owns for ($($name,)*) {
        const NOTHING: bool = $($name::NOTHING)&&*;
        fn owned(&self, most: usize) -> usize { [$(self.$place.owned(most)),*].into_iter().sum() }
    })* };
}

tuples!((A 0) (A 0, B 1) (A 0, B 1, C 2) (A 0, B 1, C 2, D 3) (A 0, B 1, C 2, D 3, E 4) (A 0, B 1, C 2, D 3, E 4, F 5));

/// What values own. Of many, some that lie evenly among them stand for all.
fn of_slice<T: Owns>(values: &[T], most: usize) -> usize {
    if T::NOTHING || values.is_empty() {
        return 0;
    }
    let step = values.len().div_ceil(most.max(1));
    let seen = values.len().div_ceil(step);
    let owned: usize = values.iter().step_by(step).map(|value| value.owned(most / seen)).sum();
    share(owned, values.len(), seen)
}

/// The same, of the pairs of a collection.
fn of_pairs<'a, K: Owns + 'a, V: Owns + 'a>(
    pairs: impl ExactSizeIterator<Item = (&'a K, &'a V)>,
    most: usize,
) -> usize {
    let all = pairs.len();
    if K::NOTHING && V::NOTHING || all == 0 {
        return 0;
    }
    // To skip one takes as long as to look at it.
    let seen = all.min(most.max(1));
    let owned = pairs.take(seen).map(|(key, value)| key.owned(most / seen) + value.owned(most / seen)).sum();
    share(owned, all, seen)
}

/// What all own if `seen` of them own so much.
fn share(owned: usize, all: usize, seen: usize) -> usize {
    (owned as u128 * all as u128 / seen.max(1) as u128) as usize
}

/// A hash table has a power of two of places, of which an eighth stays empty, and a byte about each.
fn in_table(capacity: usize, pair: usize) -> usize {
    if capacity == 0 { 0 } else { (capacity * 8 / 7).next_power_of_two() * (pair + 1) }
}

/// About: a tree's nodes are two thirds full.
fn in_tree(length: usize, pair: usize) -> usize {
    length * pair * 3 / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! size {
        ($value:expr) => {{
            fn probe<T>(_: &T) -> Probe<T> {
                Probe::NEW
            }
            let value = $value;
            let size = (&&probe(&value)).chorus_size();
            size(&value, 100).bytes
        }};
    }

    macro_rules! size_of_type {
        ($type:ty, $value:expr) => {{
            let value: $type = $value;
            let size = (&&Probe::<$type>::NEW).chorus_size();
            size(&value, 100).bytes
        }};
    }

    struct Plain(#[allow(dead_code)] [u32; 4]);
    struct Owner(#[allow(dead_code)] Vec<u8>);

    #[test]
    fn types_of_std_are_asked_for_their_parts() {
        assert_eq!(size_of_type!(u32, 1), Some(4));
        assert_eq!(size_of_type!(Vec<f64>, Vec::with_capacity(1000)), Some(24 + 8000));
        assert_eq!(size_of_type!(String, "x".repeat(50)), Some(24 + 50));
        assert_eq!(size_of_type!(Vec<Vec<u8>>, vec![vec![0; 100]; 10]), Some(24 + 240 + 1000));
        assert_eq!(size_of_type!(Box<[u16; 8]>, Box::new([0; 8])), Some(8 + 16));
        assert_eq!(size_of_type!((u64, Option<String>), (1, Some("y".repeat(9)))), Some(32 + 9));
        let map: HashMap<u64, String> = (0..1000).map(|n| (n, "z".repeat(100))).collect();
        let found = size_of_type!(HashMap<u64, String>, map).unwrap();
        assert!((100_000 + 32_000..100_000 + 100_000).contains(&found), "{found}");
    }

    #[test]
    fn many_parts_are_known_by_some() {
        let lines: Vec<String> = (0..100_000).map(|_| "a".repeat(10)).collect();
        let (own, capacity) = (24, lines.capacity() * 24);
        assert_eq!(size_of_type!(Vec<String>, lines), Some(own + capacity + 1_000_000));
    }

    #[test]
    fn what_has_nothing_to_drop_owns_nothing_and_others_are_not_known() {
        assert_eq!(size_of_type!(Plain, Plain([0; 4])), Some(16));
        assert_eq!(size_of_type!(Vec<Plain>, Vec::with_capacity(10)), Some(24 + 160));
        assert_eq!(size_of_type!(Owner, Owner(vec![0; 100])), None);
        assert_eq!(size_of_type!(Vec<Owner>, vec![Owner(vec![0; 100])]), None);
        assert_eq!(size_of_type!(Option<Owner>, None), None, "never 0");
        let step = 2;
        assert_eq!(size!(move |x: u64| x * step), Some(8));
    }

    #[test]
    fn a_type_that_is_a_parameter_is_known_if_it_is_common() {
        let values: Vec<f64> = Vec::with_capacity(5);
        let bytes = Some(24 + values.capacity() * 8);
        assert_eq!(size::<Vec<f64>>()(&values, 10), Measured { bytes, length: Some(0) });
        assert_eq!(size::<Owner>()(&Owner(vec![1]), 10), Measured::default());
        assert_eq!(size::<Plain>()(&Plain([0; 4]), 10), Measured { bytes: Some(16), length: None });
    }

    #[test]
    fn collections_have_a_length_whatever_is_in_them() {
        macro_rules! length {
            ($type:ty, $value:expr) => {{
                let value: $type = $value;
                let size = (&&Probe::<$type>::NEW).chorus_size();
                size(&value, 100).length
            }};
        }
        assert_eq!(length!(Vec<u8>, vec![1, 2, 3]), Some(3));
        assert_eq!(length!(String, "é".into()), Some(2));
        assert_eq!(length!([u8; 4], [0; 4]), Some(4));
        assert_eq!(length!(Vec<Owner>, vec![Owner(vec![])]), Some(1));
        assert_eq!(length!(Box<[Owner]>, Box::new([])), Some(0));
        assert_eq!(length!(HashMap<u8, Owner>, HashMap::from([(1, Owner(vec![]))])), Some(1));
        assert_eq!(length!(BTreeSet<char>, "abca".chars().collect()), Some(3));
        assert_eq!(length!(BinaryHeap<u8>, [1, 1].into()), Some(2));
        assert_eq!(length!(&'static str, "abc"), Some(3));
        assert_eq!(length!(Option<Vec<u8>>, Some(vec![1])), None);
        assert_eq!(length!(Owner, Owner(vec![])), None);
        let found = size_of_type!(HashMap<u8, Plain>, HashMap::with_capacity(7));
        assert_eq!(found, Some(48 + 8 * 21));
    }
}
