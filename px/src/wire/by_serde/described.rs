//! The encoding that says all about itself, for types that need to be told what they read or leave out fields: before each
//! value stands what it is, and fields and variants go by their names. It is like JSON, but for its numbers and keys.

use super::decoder::{Decoder, visit_bytes, visit_text};
use super::{Error, Name, Names, item_access};
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;

/// What a value is.
pub(super) mod tag {
    macro_rules! tags {
        ($($name:ident = $value:literal),* $(,)?) => {$(pub const $name: u8 = $value;)*};
    }
    tags!(
        UNIT = 0,
        BOOL = 1,
        U8 = 2,
        U16 = 3,
        U32 = 4,
        U64 = 5,
        U128 = 6,
        I8 = 7,
        I16 = 8,
        I32 = 9,
        I64 = 10,
        I128 = 11,
        F32 = 12,
        F64 = 13,
        CHAR = 14,
        TEXT = 15,
        BYTES = 16,
        OPTION = 17,
        LIST = 18,
        MAP = 19,
    );
}

/// What is left of the bytes.
pub(super) struct Described<'a>(pub Decoder<'a>);

impl Described<'_> {
    fn next(&self) -> Option<u8> {
        self.0.0.first().copied()
    }

    fn count(&mut self) -> Result<u64, Error> {
        Ok(u64::from_ne_bytes(self.0.number()?))
    }
}

impl Deserializer<'static> for &mut Described<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        let from = &mut self.0;
        let [tag] = from.number()?;
        match tag {
            tag::UNIT => visitor.visit_unit(),
            tag::BOOL => from.deserialize_bool(visitor),
            tag::U8 => from.deserialize_u8(visitor),
            tag::U16 => from.deserialize_u16(visitor),
            tag::U32 => from.deserialize_u32(visitor),
            tag::U64 => from.deserialize_u64(visitor),
            tag::U128 => from.deserialize_u128(visitor),
            tag::I8 => from.deserialize_i8(visitor),
            tag::I16 => from.deserialize_i16(visitor),
            tag::I32 => from.deserialize_i32(visitor),
            tag::I64 => from.deserialize_i64(visitor),
            tag::I128 => from.deserialize_i128(visitor),
            tag::F32 => from.deserialize_f32(visitor),
            tag::F64 => from.deserialize_f64(visitor),
            tag::CHAR => from.deserialize_char(visitor),
            tag::TEXT => visit_text(visitor, from.text()?),
            tag::BYTES => visit_bytes(visitor, from.bytes()?),
            tag::OPTION => match from.flag()? {
                true => visitor.visit_some(self),
                false => visitor.visit_none(),
            },
            tag::LIST => {
                let left = self.count()?;
                visitor.visit_seq(Items { from: self, left })
            }
            tag::MAP => {
                let left = self.count()?;
                visitor.visit_map(Items { from: self, left })
            }
            _ => Err(Error::Damaged),
        }
    }

    fn deserialize_option<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.next() {
            Some(tag::OPTION) => self.deserialize_any(visitor),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'static>>(self, _: Name, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'static>>(self, _: Name, _: Names, visitor: V) -> Result<V::Value, Error> {
        match self.0.number()? {
            [tag::TEXT] => {
                let name: StrDeserializer<'_, Error> = self.0.text()?.into_deserializer();
                visitor.visit_enum(name)
            }
            [tag::MAP] if self.count()? == 1 => visitor.visit_enum(self),
            _ => Err(Error::Damaged),
        }
    }

    forward_to_deserialize_any! {
        <V: Visitor<'static>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// So many values, or pairs of them.
struct Items<'d, 'a> {
    from: &'d mut Described<'a>,
    left: u64,
}

impl Items<'_, '_> {
    fn next<S: DeserializeSeed<'static>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.from).map(Some)
    }

    /// Each takes a byte.
    fn most(&self) -> Option<usize> {
        Some(usize::try_from(self.left).unwrap_or(usize::MAX).min(self.from.0.0.len()))
    }
}

item_access!(Items<'_, '_>, items => &mut *items.from);

impl EnumAccess<'static> for &mut Described<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'static>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        Ok((seed.deserialize(&mut *self)?, self))
    }
}

impl VariantAccess<'static> for &mut Described<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Err(Error::Damaged)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'static>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'static>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'static>>(self, _: Names, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_any(visitor)
    }
}
