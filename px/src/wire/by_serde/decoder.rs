//! serde's way from bytes.

use super::{Error, Name, Names, by_type_alone, item_access};
use crate::wire::{MOST_WITHOUT_BYTES, kept, kept_bytes, take};
use serde::de::value::U32Deserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, Visitor};
use std::any::type_name;

/// What is left of the bytes.
pub(super) struct Decoder<'a>(pub &'a [u8]);

impl<'a> Decoder<'a> {
    pub(super) fn number<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Error::Damaged)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Error> {
        match self.number()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Error::Damaged),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = usize::try_from(u64::from_ne_bytes(self.number()?)).map_err(|_| Error::Damaged)?;
        take(length, &mut self.0).map_err(|_| Error::Damaged)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::Damaged)
    }

    fn counted(&mut self) -> Result<Items<'_, 'a>, Error> {
        let count = u64::from_ne_bytes(self.number()?);
        Ok(Items { left: count, may_be_empty: count <= MOST_WITHOUT_BYTES, decoder: self })
    }

    fn fixed(&mut self, count: usize) -> Items<'_, 'a> {
        Items { left: count as u64, may_be_empty: true, decoder: self }
    }
}

macro_rules! numbers {
    ($($name:ident $visit:ident $number:ty),*) => {$(
        fn $name<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(<$number>::from_ne_bytes(self.number()?))
        }
    )*};
}

/// Nothing of the bytes is lent, so what is decoded may live for ever: `&'static str` is a text of its own.
impl Deserializer<'static> for &mut Decoder<'_> {
    type Error = Error;

    numbers!(
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_u128 visit_u128 u128, deserialize_i8 visit_i8 i8,
        deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
        deserialize_i128 visit_i128 i128, deserialize_f32 visit_f32 f32, deserialize_f64 visit_f64 f64
    );

    fn deserialize_bool<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.flag()?)
    }

    fn deserialize_char<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_char(char::from_u32(u32::from_ne_bytes(self.number()?)).ok_or(Error::Damaged)?)
    }

    fn deserialize_str<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visit_text(visitor, self.text()?)
    }

    fn deserialize_string<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_bytes<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visit_bytes(visitor, self.bytes()?)
    }

    fn deserialize_byte_buf<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bytes(self.bytes()?)
    }

    fn deserialize_option<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.flag()? {
            true => visitor.visit_some(self),
            false => visitor.visit_none(),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'static>>(self, _: Name, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self.counted()?)
    }

    fn deserialize_tuple_struct<V: Visitor<'static>>(
        self,
        _: Name,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(self.fixed(count))
    }

    fn deserialize_map<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self.counted()?)
    }

    fn deserialize_struct<V: Visitor<'static>>(self, _: Name, fields: Names, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self.fixed(fields.len()))
    }

    fn deserialize_enum<V: Visitor<'static>>(self, _: Name, _: Names, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    by_type_alone!(deserializer);
}

/// A reference is to a text that is kept; whatever else asks for a `str` makes something of its own of it.
pub(super) fn visit_text<V: Visitor<'static>>(visitor: V, text: &str) -> Result<V::Value, Error> {
    match type_name::<V::Value>().starts_with('&') {
        true => visitor.visit_borrowed_str(kept(text)),
        false => visitor.visit_str(text),
    }
}

/// The same for bytes.
pub(super) fn visit_bytes<V: Visitor<'static>>(visitor: V, bytes: &[u8]) -> Result<V::Value, Error> {
    match type_name::<V::Value>().starts_with('&') {
        true => visitor.visit_borrowed_bytes(kept_bytes(bytes)),
        false => visitor.visit_bytes(bytes),
    }
}

/// So many values, or pairs of them.
struct Items<'d, 'a> {
    decoder: &'d mut Decoder<'a>,
    left: u64,
    /// Whether there may be so many that take no bytes; see [`MOST_WITHOUT_BYTES`].
    may_be_empty: bool,
}

impl Items<'_, '_> {
    fn next<S: DeserializeSeed<'static>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        let before = self.decoder.0.len();
        let value = seed.deserialize(&mut *self.decoder)?;
        if self.decoder.0.len() == before && !self.may_be_empty {
            return Err(Error::Damaged);
        }
        self.left = left;
        Ok(Some(value))
    }

    /// Each takes a byte, or next to no memory.
    fn most(&self) -> Option<usize> {
        Some(usize::try_from(self.left).unwrap_or(usize::MAX).min(self.decoder.0.len()))
    }
}

item_access!(Items<'_, '_>, items => &mut *items.decoder);

impl EnumAccess<'static> for &mut Decoder<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'static>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let variant: U32Deserializer<Error> = u32::from_ne_bytes(self.number()?).into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

by_type_alone!(variant &mut Decoder<'_>);
