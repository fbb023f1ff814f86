//! Any type that derives serde's traits travels, in the encoding of [`super::structural`]: a format for serde of its own.
//!
//! It is none of the known formats, since a notebook may ask for serde when cells have run already: what those have
//! put can be taken by later ones, and px needs no crate but the one that the notebook asked for. Numbers alone, in
//! a `Vec` and in small groups don't go through serde, which would copy them one by one.

mod decoder;
mod described;
mod encoder;
mod form;

use super::required::Required;
use super::{Wire, get_vec, put_slice, take};
use crate::link::Damaged;
use decoder::Decoder;
use described::Described;
use encoder::Encoder;
pub(crate) use form::is_probing;
use form::{Form, form_of};
use serde::de;
use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::mem::{needs_drop, offset_of};

/// Why a value isn't encoded or decoded.
#[derive(Debug)]
enum Error {
    /// The bytes aren't an encoding.
    Damaged,
    /// The type asks the bytes what they are.
    Asks,
    /// The value leaves out a field.
    Skips,
    /// What the type's own implementation says.
    Own(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Damaged => Damaged.fmt(f),
            Error::Asks => f.write_str("its `Deserialize` asks the bytes what they are, and didn't at other values"),
            Error::Skips => f.write_str("its `Serialize` leaves out fields, and its `Deserialize` knows of none"),
            Error::Own(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

impl serde::ser::Error for Error {
    fn custom<T: fmt::Display>(why: T) -> Error {
        Error::Own(why.to_string())
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(why: T) -> Error {
        Error::Own(why.to_string())
    }
}

/// What serde says of a struct, an enum, a variant or a field.
type Name = &'static str;
type Names = &'static [Name];

/// Lets serde take items one by one, or pairs of them, by the type's own `next` and `most`; a pair's second comes from
/// this deserializer.
macro_rules! item_access {
    ($items:ty, $self:ident => $from:expr) => {
        impl serde::de::SeqAccess<'static> for $items {
            type Error = Error;

            fn next_element_seed<S: DeserializeSeed<'static>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
                self.next(seed)
            }

            fn size_hint(&self) -> Option<usize> {
                self.most()
            }
        }

        impl serde::de::MapAccess<'static> for $items {
            type Error = Error;

            fn next_key_seed<S: DeserializeSeed<'static>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
                self.next(seed)
            }

            fn next_value_seed<S: DeserializeSeed<'static>>(&mut self, seed: S) -> Result<S::Value, Error> {
                let $self = self;
                seed.deserialize($from)
            }

            fn size_hint(&self) -> Option<usize> {
                self.most()
            }
        }
    };
}
use item_access;

/// What is the same in every deserializer that knows nothing but the types: `fixed` gives it so many values.
macro_rules! by_type_alone {
    (deserializer) => {
        by_type_alone!(asks deserialize_any deserialize_identifier deserialize_ignored_any);

        fn deserialize_unit<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_unit()
        }

        fn deserialize_unit_struct<V: Visitor<'static>>(self, _: Name, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_unit()
        }

        fn deserialize_tuple<V: Visitor<'static>>(self, count: usize, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_seq(self.fixed(count))
        }

        fn is_human_readable(&self) -> bool {
            false
        }
    };
    (asks $($name:ident)*) => {$(
        fn $name<V: Visitor<'static>>(self, _: V) -> Result<V::Value, Error> {
            Err(Error::Asks)
        }
    )*};
    (variant $deserializer:ty) => {
        impl serde::de::VariantAccess<'static> for $deserializer {
            type Error = Error;

            fn unit_variant(self) -> Result<(), Error> {
                Ok(())
            }

            fn newtype_variant_seed<S: DeserializeSeed<'static>>(self, seed: S) -> Result<S::Value, Error> {
                seed.deserialize(self)
            }

            fn tuple_variant<V: Visitor<'static>>(self, count: usize, visitor: V) -> Result<V::Value, Error> {
                visitor.visit_seq(self.fixed(count))
            }

            fn struct_variant<V: Visitor<'static>>(self, fields: Names, visitor: V) -> Result<V::Value, Error> {
                visitor.visit_seq(self.fixed(fields.len()))
            }
        }
    };
}
use by_type_alone;

/// Whether the fields of a pair and of a triple lie one behind the other, which rustc doesn't promise.
const fn are_in_order<N>() -> bool {
    let size = size_of::<N>();
    let pair = offset_of!((N, N), 0) == 0 && offset_of!((N, N), 1) == size && size_of::<(N, N)>() == 2 * size;
    let triple = offset_of!((N, N, N), 0) == 0
        && offset_of!((N, N, N), 1) == size
        && offset_of!((N, N, N), 2) == 2 * size
        && size_of::<(N, N, N)>() == 3 * size;
    pair && triple
}

/// All kinds of numbers, and `()`, which is like a number that has one value.
macro_rules! with_numbers {
    ($macro:ident) => {
        $macro!(f64, u64, i64, usize, i32, u32, f32, u8, (), i8, u16, i16, u128, i128, isize)
    };
}

macro_rules! groups {
    ($($number:ty),*) => {
        [$(
            TypeId::of::<[$number; 2]>(),
            TypeId::of::<[$number; 3]>(),
            TypeId::of::<[$number; 4]>(),
            // A list has the same length whatever rustc does.
            if are_in_order::<$number>() { TypeId::of::<($number, $number)>() } else { TypeId::of::<$number>() },
            if are_in_order::<$number>() { TypeId::of::<($number, $number, $number)>() } else { TypeId::of::<$number>() },
        )*]
    };
}

/// Small groups of numbers without gaps.
static GROUPS: [TypeId; 75] = with_numbers!(groups);

/// Not inlined, nor compiled for each type: so many comparisons would take rustc longer than all the rest.
#[inline(never)]
fn is_group(id: TypeId) -> bool {
    GROUPS.contains(&id)
}

/// How a `Vec` of numbers is put and taken at once.
struct Numbers {
    id: TypeId,
    put: fn(&dyn Any, &mut Vec<u8>),
    /// The second is an `Option` of such a `Vec`.
    get: fn(&mut &[u8], &mut dyn Any) -> Result<(), Damaged>,
}

impl Numbers {
    const fn of<N: Wire>() -> Numbers {
        Numbers {
            id: TypeId::of::<Vec<N>>(),
            put: |numbers, to| {
                if let Some(numbers) = numbers.downcast_ref::<Vec<N>>() {
                    (numbers.len() as u64).put(to);
                    put_slice(numbers, to);
                }
            },
            get: |from, got| {
                if let Some(got) = got.downcast_mut() {
                    *got = Some(get_vec::<N>(u64::get(from)?, from)?);
                }
                Ok(())
            },
        }
    }
}

macro_rules! all_numbers {
    ($($number:ty),*) => {
        [$(Numbers::of::<$number>()),*]
    };
}

static NUMBERS: [Numbers; 15] = with_numbers!(all_numbers);

#[inline(never)]
fn numbers(id: TypeId) -> Option<&'static Numbers> {
    NUMBERS.iter().find(|numbers| numbers.id == id)
}

/// What is known of this type, if it is a `Vec` of numbers.
#[inline]
fn numbers_of<T: 'static>() -> Option<&'static Numbers> {
    const { size_of::<T>() == size_of::<Vec<u8>>() && needs_drop::<T>() }.then(|| numbers(TypeId::of::<T>())).flatten()
}

// SAFETY: the types for which `is_plain` is true are listed: numbers, and groups of one kind of them without gaps, in the
// order in which serde sees them.
#[diagnostic::do_not_recommend]
unsafe impl<T: Required> Wire for T {
    #[inline]
    fn is_plain() -> bool {
        if const { needs_drop::<T>() || size_of::<T>() > size_of::<[u128; 4]>() } {
            return false;
        }
        macro_rules! is_number {
            ($($number:ty),*) => {
                false $(|| TypeId::of::<T>() == TypeId::of::<$number>())*
            };
        }
        with_numbers!(is_number) || is_group(TypeId::of::<T>())
    }

    #[inline]
    fn put(&self, to: &mut Vec<u8>) {
        if let Some(numbers) = numbers_of::<T>() {
            return (numbers.put)(self, to);
        }
        let begin = to.len();
        let form = if is_plain_text::<T>() { Form::Plain } else { form_of::<T>() };
        let put = match form {
            Form::Plain => self.serialize(Encoder { to, described: false }),
            Form::Marked => {
                to.push(NOT_DESCRIBED);
                self.serialize(Encoder { to, described: false })
            }
            Form::Described => Err(Error::Skips),
        };
        let put = match put {
            Err(Error::Skips) if form != Form::Plain => {
                to.truncate(begin);
                to.push(DESCRIBED);
                self.serialize(Encoder { to, described: true })
            }
            put => put,
        };
        if let Err(why) = put {
            cannot_travel::<T>(&why);
        }
    }

    #[inline]
    fn get(from: &mut &[u8]) -> Result<T, Damaged> {
        if let Some(numbers) = numbers_of::<T>() {
            let mut got = None::<T>;
            (numbers.get)(from, &mut got)?;
            return got.ok_or(Damaged);
        }
        let is_marked = !is_plain_text::<T>() && form_of::<T>() != Form::Plain;
        let is_described = is_marked
            && match take(1, from)? {
                [DESCRIBED] => true,
                [NOT_DESCRIBED] => false,
                _ => return Err(Damaged),
            };
        let mut decoder = Decoder(from);
        let value = match is_described {
            true => {
                let mut described = Described(decoder);
                let value = T::deserialize(&mut described);
                decoder = described.0;
                value
            }
            false => T::deserialize(&mut decoder),
        };
        match value {
            Ok(value) => {
                *from = decoder.0;
                Ok(value)
            }
            Err(why @ (Error::Asks | Error::Skips)) => cannot_travel::<T>(&why),
            Err(Error::Damaged | Error::Own(_)) => Err(Damaged),
        }
    }
}

/// The byte before a value of a type that isn't std's.
const NOT_DESCRIBED: u8 = 0;
const DESCRIBED: u8 = 1;

/// Whether this is one of the types of which there are most, for which nothing needs to be looked up. rustc knows it.
#[inline]
fn is_plain_text<T: 'static>() -> bool {
    let id = TypeId::of::<T>();
    id == TypeId::of::<String>() || id == TypeId::of::<&'static str>() || id == TypeId::of::<bool>()
}

/// That is the type's fault, or the value's, and so a mistake in the user's code.
#[cold]
fn cannot_travel<T>(why: &Error) -> ! {
    panic!("a value of the type `{}` can't travel between the notebook and its engines: {why}", type_name::<T>())
}
