//! serde's way to bytes.

use super::Error;
use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};

const SKIPPED: &str = "it leaves out a field (`#[serde(skip_serializing_if)]`), which the other side can't notice";

pub(super) struct Encoder<'a>(pub &'a mut Vec<u8>);

impl<'a> Encoder<'a> {
    fn bytes(self, bytes: &[u8]) -> Result<(), Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn variant(self, variant: u32) -> Encoder<'a> {
        self.0.extend_from_slice(&variant.to_ne_bytes());
        self
    }

    /// What has a length that it may not know before its end.
    fn counted(self) -> Counted<'a> {
        let at = self.0.len();
        self.0.extend_from_slice(&0u64.to_ne_bytes());
        Counted { to: self.0, at, count: 0 }
    }
}

macro_rules! numbers {
    ($($name:ident $number:ty),*) => {$(
        fn $name(self, value: $number) -> Result<(), Error> {
            self.bytes(&value.to_ne_bytes())
        }
    )*};
}

impl<'a> Serializer for Encoder<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Counted<'a>;
    type SerializeTuple = Encoder<'a>;
    type SerializeTupleStruct = Encoder<'a>;
    type SerializeTupleVariant = Encoder<'a>;
    type SerializeMap = Counted<'a>;
    type SerializeStruct = Encoder<'a>;
    type SerializeStructVariant = Encoder<'a>;

    numbers!(
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_u128 u128,
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_i128 i128,
        serialize_f32 f32, serialize_f64 f64
    );

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.bytes(&[u8::from(value)])
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_u32(u32::from(value))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.0.extend_from_slice(&(value.len() as u64).to_ne_bytes());
        self.bytes(value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.bytes(&[0])
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.0.push(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, variant: u32, _: &'static str) -> Result<(), Error> {
        self.variant(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self.variant(variant))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Counted<'a>, Error> {
        Ok(self.counted())
    }

    fn serialize_tuple(self, _: usize) -> Result<Encoder<'a>, Error> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Encoder<'a>, Error> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Encoder<'a>, Error> {
        Ok(self.variant(variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Counted<'a>, Error> {
        Ok(self.counted())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Encoder<'a>, Error> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Encoder<'a>, Error> {
        Ok(self.variant(variant))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Its length is written when it is known.
pub(super) struct Counted<'a> {
    to: &'a mut Vec<u8>,
    at: usize,
    count: u64,
}

impl Counted<'_> {
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Encoder(self.to))
    }

    fn finish(self) -> Result<(), Error> {
        if let Some(place) = self.to.get_mut(self.at..).and_then(<[u8]>::first_chunk_mut) {
            *place = self.count.to_ne_bytes();
        }
        Ok(())
    }
}

impl SerializeSeq for Counted<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.count += 1;
        self.add(value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

impl SerializeMap for Counted<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.count += 1;
        self.add(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.add(value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

macro_rules! one_by_one {
    ($($kind:ident $name:ident),*) => {$(
        impl $kind for Encoder<'_> {
            type Ok = ();
            type Error = Error;

            fn $name<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                value.serialize(Encoder(self.0))
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        }
    )*};
}

one_by_one!(SerializeTuple serialize_element, SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field);

macro_rules! by_name {
    ($($kind:ident),*) => {$(
        impl $kind for Encoder<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Error> {
                value.serialize(Encoder(self.0))
            }

            fn skip_field(&mut self, _: &'static str) -> Result<(), Error> {
                Err(Error::Type(SKIPPED))
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        }
    )*};
}

by_name!(SerializeStruct, SerializeStructVariant);
