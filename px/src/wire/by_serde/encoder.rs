//! serde's way to bytes.

use super::described::tag;
use super::{Error, Name};
use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};

pub(super) struct Encoder<'a> {
    pub to: &'a mut Vec<u8>,
    /// Whether the encoding says all about itself, see [`super::described`].
    pub described: bool,
}

impl<'a> Encoder<'a> {
    #[inline]
    fn again(&mut self) -> Encoder<'_> {
        Encoder { to: self.to, described: self.described }
    }

    #[inline]
    fn tag(&mut self, tag: u8) {
        if self.described {
            self.to.push(tag);
        }
    }

    #[inline]
    fn bytes(self, tag: u8, bytes: &[u8]) -> Result<(), Error> {
        let Encoder { to, described } = self;
        if described {
            to.push(tag);
        }
        to.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn text(mut self, tag: u8, bytes: &[u8]) -> Result<(), Error> {
        self.tag(tag);
        self.to.extend_from_slice(&(bytes.len() as u64).to_ne_bytes());
        self.to.extend_from_slice(bytes);
        Ok(())
    }

    /// An enum's variant is its number, or a map of one entry by its name.
    #[inline]
    fn variant(mut self, variant: u32, name: &str) -> Result<Encoder<'a>, Error> {
        match self.described {
            true => {
                self.tag(tag::MAP);
                self.to.extend_from_slice(&1u64.to_ne_bytes());
                self.again().text(tag::TEXT, name.as_bytes())?;
            }
            false => self.to.extend_from_slice(&variant.to_ne_bytes()),
        }
        Ok(self)
    }

    /// What has a length that it may not know before its end.
    #[inline]
    fn counted(mut self, tag: u8) -> Items<'a> {
        self.tag(tag);
        let at = self.to.len();
        self.to.extend_from_slice(&0u64.to_ne_bytes());
        Items { to: self, at: Some(at), count: 0 }
    }

    /// What has a length that its type says.
    #[inline]
    fn fixed(self, tag: u8) -> Items<'a> {
        match self.described {
            true => self.counted(tag),
            false => Items { to: self, at: None, count: 0 },
        }
    }
}

macro_rules! numbers {
    ($($name:ident $number:ty, $tag:ident);* $(;)?) => {$(
        #[inline]
        fn $name(self, value: $number) -> Result<(), Error> {
            self.bytes(tag::$tag, &value.to_ne_bytes())
        }
    )*};
}

impl<'a> Serializer for Encoder<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Items<'a>;
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Items<'a>;
    type SerializeStruct = Items<'a>;
    type SerializeStructVariant = Items<'a>;

    numbers!(
        serialize_u8 u8, U8; serialize_u16 u16, U16; serialize_u32 u32, U32; serialize_u64 u64, U64;
        serialize_i8 i8, I8; serialize_i16 i16, I16; serialize_i32 i32, I32; serialize_i64 i64, I64;
        serialize_u128 u128, U128; serialize_i128 i128, I128; serialize_f32 f32, F32; serialize_f64 f64, F64;
    );

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.bytes(tag::BOOL, &[u8::from(value)])
    }

    #[inline]
    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.bytes(tag::CHAR, &u32::from(value).to_ne_bytes())
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.text(tag::TEXT, value.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.text(tag::BYTES, value)
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Error> {
        self.bytes(tag::OPTION, &[0])
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Result<(), Error> {
        self.again().bytes(tag::OPTION, &[1])?;
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.bytes(tag::UNIT, &[])
    }

    fn serialize_unit_struct(self, _: Name) -> Result<(), Error> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_unit_variant(self, _: Name, variant: u32, name: Name) -> Result<(), Error> {
        match self.described {
            true => self.text(tag::TEXT, name.as_bytes()),
            false => self.variant(variant, name).map(drop),
        }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: Name, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: Name,
        variant: u32,
        name: Name,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self.variant(variant, name)?)
    }

    #[inline]
    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, Error> {
        Ok(self.counted(tag::LIST))
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Items<'a>, Error> {
        Ok(self.fixed(tag::LIST))
    }

    #[inline]
    fn serialize_tuple_struct(self, _: Name, _: usize) -> Result<Items<'a>, Error> {
        Ok(self.fixed(tag::LIST))
    }

    fn serialize_tuple_variant(self, _: Name, variant: u32, name: Name, _: usize) -> Result<Items<'a>, Error> {
        Ok(self.variant(variant, name)?.fixed(tag::LIST))
    }

    #[inline]
    fn serialize_map(self, _: Option<usize>) -> Result<Items<'a>, Error> {
        Ok(self.counted(tag::MAP))
    }

    #[inline]
    fn serialize_struct(self, _: Name, _: usize) -> Result<Items<'a>, Error> {
        Ok(self.fixed(tag::MAP))
    }

    fn serialize_struct_variant(self, _: Name, variant: u32, name: Name, _: usize) -> Result<Items<'a>, Error> {
        Ok(self.variant(variant, name)?.fixed(tag::MAP))
    }

    fn is_human_readable(&self) -> bool {
        // As is what keeps values until their type is known.
        self.described
    }
}

/// Values one behind the other.
pub(super) struct Items<'a> {
    to: Encoder<'a>,
    /// Where their number is written when it is known.
    at: Option<usize>,
    count: u64,
}

impl Items<'_> {
    #[inline]
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.count += 1;
        value.serialize(self.to.again())
    }

    #[inline]
    fn finish(self) -> Result<(), Error> {
        let place = self.at.and_then(|at| self.to.to.get_mut(at..)).and_then(<[u8]>::first_chunk_mut);
        if let Some(place) = place {
            *place = self.count.to_ne_bytes();
        }
        Ok(())
    }
}

macro_rules! one_by_one {
    ($($kind:ident $name:ident),*) => {$(
        impl $kind for Items<'_> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn $name<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.add(value)
            }

            #[inline]
            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        }
    )*};
}

one_by_one!(
    SerializeSeq serialize_element, SerializeTuple serialize_element, SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

impl SerializeMap for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.add(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(self.to.again())
    }

    #[inline]
    fn end(self) -> Result<(), Error> {
        self.finish()
    }
}

macro_rules! by_name {
    ($($kind:ident),*) => {$(
        impl $kind for Items<'_> {
            type Ok = ();
            type Error = Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: Name, value: &T) -> Result<(), Error> {
                if self.to.described {
                    self.to.again().text(tag::TEXT, name.as_bytes())?;
                }
                self.add(value)
            }

            fn skip_field(&mut self, _: Name) -> Result<(), Error> {
                // Only by their names one sees which are there.
                if self.to.described { Ok(()) } else { Err(Error::Skips) }
            }

            #[inline]
            fn end(self) -> Result<(), Error> {
                self.finish()
            }
        }
    )*};
}

by_name!(SerializeStruct, SerializeStructVariant);
