//! std's types travel part by part.

use super::{Wire, each, get_vec, kept, kept_bytes, put_slice, take};
use crate::link::Damaged;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{NonZero, Saturating, Wrapping};
use std::ops::{Bound, ControlFlow, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

macro_rules! numbers {
    ($($number:ty),*) => {$(
        // SAFETY: numbers are plain.
        unsafe impl Wire for $number {
            #[inline]
            fn is_plain() -> bool {
                true
            }

            #[inline]
            fn put(&self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_ne_bytes());
            }

            #[inline]
            fn get(from: &mut &[u8]) -> Result<$number, Damaged> {
                let (head, rest) = from.split_first_chunk().ok_or(Damaged)?;
                *from = rest;
                Ok(<$number>::from_ne_bytes(*head))
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);

macro_rules! tuples {
    ($($name:ident $index:tt),*) => {
        // SAFETY: plain when its parts are, and lie one behind the other in memory as in the encoding.
        unsafe impl<$($name: Wire),*> Wire for ($($name,)*) {
            #[inline]
            fn is_plain() -> bool {
                let mut end = 0;
                $(
                    if !$name::is_plain() || offset_of!(Self, $index) != end {
                        return false;
                    }
                    end += size_of::<$name>();
                )*
                end == size_of::<Self>()
            }

            #[inline]
            fn put(&self, to: &mut Vec<u8>) {
                $(self.$index.put(to);)*
            }

            #[inline]
            fn get(from: &mut &[u8]) -> Result<Self, Damaged> {
                Ok(($($name::get(from)?,)*))
            }
        }
    };
}

tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11);

macro_rules! nothing {
    ($([$($generics:tt)*] $type:ty = $value:expr),*) => {$(
        // SAFETY: there are no bytes.
        unsafe impl<$($generics)*> Wire for $type {
            #[inline]
            fn is_plain() -> bool {
                true
            }

            fn put(&self, _: &mut Vec<u8>) {}

            fn get(_: &mut &[u8]) -> Result<$type, Damaged> {
                Ok($value)
            }
        }
    )*};
}

nothing!([] () = (), [] RangeFull = .., [T: ?Sized + 'static] PhantomData<T> = PhantomData);

// SAFETY: an array's items lie one behind the other; without any, there are no bytes.
unsafe impl<T: Wire, const N: usize> Wire for [T; N] {
    #[inline]
    fn is_plain() -> bool {
        N == 0 || T::is_plain()
    }

    #[inline]
    fn put(&self, to: &mut Vec<u8>) {
        put_slice(self, to);
    }

    #[inline]
    fn get(from: &mut &[u8]) -> Result<[T; N], Damaged> {
        if !Self::is_plain() {
            return get_vec(N as u64, from)?.try_into().map_err(|_| Damaged);
        }
        let bytes = take(size_of::<Self>(), from)?;
        // SAFETY: so many bytes are there, and any are a value of a plain type.
        Ok(unsafe { bytes.as_ptr().cast::<Self>().read_unaligned() })
    }
}

/// Types that travel as what they are made of and made from, with what can go wrong then.
macro_rules! as_other {
    ($([$($generics:tt)*] $type:ty, $value:ident => $put:expr, $got:ident: $other:ty => $get:expr);* $(;)?) => {$(
        // SAFETY: not plain.
        unsafe impl<$($generics)*> Wire for $type {
            #[inline]
            fn put(&self, to: &mut Vec<u8>) {
                let $value = self;
                Wire::put(&$put, to);
            }

            #[inline]
            fn get(from: &mut &[u8]) -> Result<$type, Damaged> {
                let $got = <$other>::get(from)?;
                $get
            }
        }
    )*};
}

as_other! {
    [] bool, value => u8::from(*value), got: u8 => if got < 2 { Ok(got == 1) } else { Err(Damaged) };
    [] char, value => u32::from(*value), got: u32 => char::from_u32(got).ok_or(Damaged);
    [] Duration, value => (value.as_secs(), value.subsec_nanos()), got: (u64, u32) => match got {
        (seconds, nanos) if nanos < 1_000_000_000 => Ok(Duration::new(seconds, nanos)),
        _ => Err(Damaged),
    };
    [] Ipv4Addr, value => value.octets(), got: [u8; 4] => Ok(Ipv4Addr::from(got));
    [] Ipv6Addr, value => value.octets(), got: [u8; 16] => Ok(Ipv6Addr::from(got));
    [] SocketAddrV4, value => (*value.ip(), value.port()), got: (Ipv4Addr, u16) => Ok(SocketAddrV4::new(got.0, got.1));
    [] SocketAddrV6, value => (*value.ip(), value.port()), got: (Ipv6Addr, u16) => {
        Ok(SocketAddrV6::new(got.0, got.1, 0, 0))
    };
    [] SystemTime, value => match value.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since,
        Err(_) => panic!("a time before 1970 can't travel between the notebook and its engines"),
    }, got: Duration => SystemTime::UNIX_EPOCH.checked_add(got).ok_or(Damaged);
    [] Ordering, value => *value as i8, got: i8 => match got {
        -1 => Ok(Ordering::Less),
        0 => Ok(Ordering::Equal),
        1 => Ok(Ordering::Greater),
        _ => Err(Damaged),
    };
    [T: Wire + Copy] Cell<T>, value => value.get(), got: T => Ok(Cell::new(got));
    [B: ToOwned<Owned: Wire> + ?Sized + 'static] Cow<'static, B>, value => (**value).to_owned(),
        got: B::Owned => Ok(Cow::Owned(got));
}

/// Types that travel as their parts, which are public or can be borrowed.
macro_rules! as_parts {
    ($([$($generics:tt)*] $type:ty, $value:ident => $($part:expr),+; $($got:ident: $other:ty),+ => $get:expr);* $(;)?) => {$(
        // SAFETY: not plain.
        unsafe impl<$($generics)*> Wire for $type {
            #[inline]
            fn put(&self, to: &mut Vec<u8>) {
                let $value = self;
                $(Wire::put($part, to);)+
            }

            #[inline]
            fn get(from: &mut &[u8]) -> Result<$type, Damaged> {
                $(let $got = <$other>::get(from)?;)+
                Ok($get)
            }
        }
    )*};
}

as_parts! {
    [T: Wire] Range<T>, value => &value.start, &value.end; start: T, end: T => start..end;
    [T: Wire] RangeInclusive<T>, value => value.start(), value.end(); start: T, end: T => start..=end;
    [T: Wire] RangeFrom<T>, value => &value.start; start: T => start..;
    [T: Wire] RangeTo<T>, value => &value.end; end: T => ..end;
    [T: Wire] RangeToInclusive<T>, value => &value.end; end: T => ..=end;
    [T: Wire] Reverse<T>, value => &value.0; got: T => Reverse(got);
    [T: Wire] Wrapping<T>, value => &value.0; got: T => Wrapping(got);
    [T: Wire] Saturating<T>, value => &value.0; got: T => Saturating(got);
    [T: Wire] Box<T>, value => &**value; got: T => Box::new(got);
    [T: Wire] Rc<T>, value => &**value; got: T => Rc::new(got);
    [T: Wire] Arc<T>, value => &**value; got: T => Arc::new(got);
    [T: Wire] RefCell<T>, value => &*value.borrow(); got: T => RefCell::new(got);
}

macro_rules! nonzero {
    ($($number:ty),*) => {
        as_other! {$(
            [] NonZero<$number>, value => value.get(), got: $number => NonZero::new(got).ok_or(Damaged);
        )*}
    };
}

nonzero!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

// SAFETY: not plain. There are no values, so none is taken.
unsafe impl Wire for Infallible {
    fn put(&self, _: &mut Vec<u8>) {
        match *self {}
    }

    fn get(_: &mut &[u8]) -> Result<Infallible, Damaged> {
        Err(Damaged)
    }
}

/// Bytes behind their number.
fn put_bytes(bytes: &[u8], to: &mut Vec<u8>) {
    (bytes.len() as u64).put(to);
    to.extend_from_slice(bytes);
}

macro_rules! texts {
    ($($type:ty, $value:ident => $bytes:expr, $got:ident => $get:expr);* $(;)?) => {$(
        // SAFETY: not plain.
        unsafe impl Wire for $type {
            fn put(&self, to: &mut Vec<u8>) {
                let $value = self;
                put_bytes($bytes, to);
            }

            fn get(from: &mut &[u8]) -> Result<$type, Damaged> {
                let $got = Vec::<u8>::get(from)?;
                $get
            }
        }
    )*};
}

texts! {
    String, value => value.as_bytes(), got => String::from_utf8(got).map_err(|_| Damaged);
    Box<str>, value => value.as_bytes(), got => String::from_utf8(got).map(Into::into).map_err(|_| Damaged);
    Rc<str>, value => value.as_bytes(), got => String::from_utf8(got).map(Into::into).map_err(|_| Damaged);
    Arc<str>, value => value.as_bytes(), got => String::from_utf8(got).map(Into::into).map_err(|_| Damaged);
    &'static str, value => value.as_bytes(), got => std::str::from_utf8(&got).map(kept).map_err(|_| Damaged);
    &'static [u8], value => value, got => Ok(kept_bytes(&got));
    CString, value => value.as_bytes(), got => CString::new(got).map_err(|_| Damaged);
    Box<Path>, value => value.as_os_str().as_bytes(), got => Ok(PathBuf::from(OsString::from_vec(got)).into());
    PathBuf, value => value.as_os_str().as_bytes(), got => Ok(OsString::from_vec(got).into());
}

macro_rules! variants {
    ($([$($generics:tt)*] $type:ty = $tag:ty { $($number:literal $variant:ident $part:ty),* });* $(;)?) => {$(
        // SAFETY: not plain.
        unsafe impl<$($generics)*> Wire for $type {
            #[inline]
            fn put(&self, to: &mut Vec<u8>) {
                match self {$(
                    Self::$variant(part) => {
                        (($number) as $tag).put(to);
                        part.put(to);
                    }
                )*}
            }

            #[inline]
            fn get(from: &mut &[u8]) -> Result<Self, Damaged> {
                match <$tag>::get(from)? {
                    $($number => Ok(Self::$variant(<$part>::get(from)?)),)*
                    _ => Err(Damaged),
                }
            }
        }
    )*};
}

variants! {
    [T: Wire, E: Wire] Result<T, E> = u32 { 0 Ok T, 1 Err E };
    [] IpAddr = u32 { 0 V4 Ipv4Addr, 1 V6 Ipv6Addr };
    [] SocketAddr = u32 { 0 V4 SocketAddrV4, 1 V6 SocketAddrV6 };
    [B: Wire, C: Wire] ControlFlow<B, C> = u32 { 0 Continue C, 1 Break B };
}

// SAFETY: not plain.
unsafe impl Wire for OsString {
    fn put(&self, to: &mut Vec<u8>) {
        // As serde has it, for which an `OsString` is an enum.
        0u32.put(to);
        put_bytes(self.as_bytes(), to);
    }

    fn get(from: &mut &[u8]) -> Result<OsString, Damaged> {
        match u32::get(from)? {
            0 => Vec::get(from).map(OsString::from_vec),
            _ => Err(Damaged),
        }
    }
}

// SAFETY: not plain.
unsafe impl<T: Wire> Wire for Bound<T> {
    fn put(&self, to: &mut Vec<u8>) {
        let (variant, value) = match self {
            Bound::Unbounded => (0u32, None),
            Bound::Included(value) => (1, Some(value)),
            Bound::Excluded(value) => (2, Some(value)),
        };
        variant.put(to);
        value.into_iter().for_each(|value| value.put(to));
    }

    fn get(from: &mut &[u8]) -> Result<Bound<T>, Damaged> {
        match u32::get(from)? {
            0 => Ok(Bound::Unbounded),
            1 => T::get(from).map(Bound::Included),
            2 => T::get(from).map(Bound::Excluded),
            _ => Err(Damaged),
        }
    }
}

// SAFETY: not plain.
unsafe impl<T: Wire> Wire for Option<T> {
    #[inline]
    fn put(&self, to: &mut Vec<u8>) {
        self.is_some().put(to);
        if let Some(value) = self {
            value.put(to);
        }
    }

    #[inline]
    fn get(from: &mut &[u8]) -> Result<Option<T>, Damaged> {
        bool::get(from)?.then(|| T::get(from)).transpose()
    }
}

// SAFETY: not plain.
unsafe impl<T: Wire> Wire for Vec<T> {
    #[inline]
    fn put(&self, to: &mut Vec<u8>) {
        (self.len() as u64).put(to);
        put_slice(self, to);
    }

    #[inline]
    fn get(from: &mut &[u8]) -> Result<Vec<T>, Damaged> {
        get_vec(u64::get(from)?, from)
    }
}

macro_rules! slices {
    ($($type:ty),*) => {$(
        // SAFETY: not plain.
        unsafe impl<T: Wire> Wire for $type {
            #[inline]
            fn put(&self, to: &mut Vec<u8>) {
                (self.len() as u64).put(to);
                put_slice(self, to);
            }

            #[inline]
            fn get(from: &mut &[u8]) -> Result<$type, Damaged> {
                Vec::get(from).map(Into::into)
            }
        }
    )*};
}

slices!(Box<[T]>, Rc<[T]>, Arc<[T]>);

macro_rules! collections {
    ($([$($generics:tt)*] $type:ty, $add:ident($($item:ident: $part:ty),*));* $(;)?) => {$(
        // SAFETY: not plain.
        unsafe impl<$($generics)*> Wire for $type {
            fn put(&self, to: &mut Vec<u8>) {
                (self.len() as u64).put(to);
                #[allow(unused_parens)]
                for ($($item),*) in self {
                    $($item.put(to);)*
                }
            }

            fn get(from: &mut &[u8]) -> Result<$type, Damaged> {
                let count = u64::get(from)?;
                let mut all = <$type>::default();
                each(count, from, |from| {
                    $(let $item = <$part>::get(from)?;)*
                    all.$add($($item),*);
                    Ok(())
                })?;
                Ok(all)
            }
        }
    )*};
}

collections! {
    [T: Wire] VecDeque<T>, push_back(item: T);
    [T: Wire] LinkedList<T>, push_back(item: T);
    [T: Wire + Ord] BinaryHeap<T>, push(item: T);
    [T: Wire + Ord] BTreeSet<T>, insert(item: T);
    [T: Wire + Eq + Hash, S: BuildHasher + Default + 'static] HashSet<T, S>, insert(item: T);
    [K: Wire + Ord, V: Wire] BTreeMap<K, V>, insert(key: K, value: V);
    [K: Wire + Eq + Hash, V: Wire, S: BuildHasher + Default + 'static] HashMap<K, V, S>, insert(key: K, value: V);
}
