//! Finds out how a type is encoded, by having it decode made-up values of all its variants: whether it asks the bytes what
//! they are, and whether there is a struct or an enum in it that might leave out fields.

use super::{Error, Name, Names, Required, by_type_alone, item_access};
use crate::host::catch;
use serde::de::value::U32Deserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, Visitor};
use std::any::{TypeId, type_name};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// How a type's values are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As without serde: what std has.
    Plain,
    /// The same, behind a byte that says so: a value that leaves out a field says all about itself.
    Marked,
    /// Each value says all about itself.
    Described,
}

thread_local! {
    static FORMS: RefCell<Vec<(TypeId, Form)>> = const { RefCell::new(Vec::new()) };
    static PROBING: Cell<bool> = const { Cell::new(false) };
}

/// Whether what is decoded now is made up.
pub(crate) fn is_probing() -> bool {
    PROBING.get()
}

/// That of a type, which is the same in all processes.
pub(super) fn form_of<T: Required>() -> Form {
    let id = TypeId::of::<T>();
    let known = FORMS.with_borrow(|forms| forms.iter().find(|(of, _)| *of == id).map(|(_, form)| *form));
    known.unwrap_or_else(|| {
        let mut probe = Probe::default();
        let before = PROBING.replace(true);
        // A type of the user's may panic at a value that it doesn't expect.
        let form =
            catch(false, || probe.form(&mut |prober| T::deserialize(prober).map(drop))).unwrap_or(Form::Described);
        PROBING.set(before);
        FORMS.with_borrow_mut(|forms| forms.push((id, form)));
        form
    })
}

/// More values aren't made up for one type.
const MOST: usize = 10_000;
const DEEPEST: usize = 64;

/// What is known of a type so far.
#[derive(Default)]
struct Probe {
    /// Of each enum: how many variants were made up, how many there are, and which one came to an end.
    enums: HashMap<&'static str, (u32, u32, Option<u32>)>,
    /// Structs and enums that are being made up, the outermost first.
    open: Vec<&'static str>,
    /// How many of them are in one of the same type: those have nothing in them that they don't need.
    within: usize,
    values: usize,
    is_marked: bool,
}

impl Probe {
    fn form(&mut self, decode: &mut dyn FnMut(Prober<'_>) -> Result<(), Error>) -> Form {
        loop {
            let before = self.tried();
            if decode(Prober(self)).is_err() {
                // It asks; or it doesn't take what was made up, so that there may be more in it.
                return Form::Described;
            }
            if self.tried() == before {
                return if self.is_marked { Form::Marked } else { Form::Plain };
            }
        }
    }

    fn tried(&self) -> u32 {
        self.enums.values().map(|(tried, ..)| tried).sum()
    }

    /// Makes up a struct or an enum of this type.
    fn within<V, T>(&mut self, make: impl FnOnce(&mut Probe) -> Result<T, Error>) -> Result<T, Error> {
        // serde's own are std's types, which leave out nothing.
        self.is_marked |= !type_name::<V>().starts_with("serde::") && !type_name::<V>().starts_with("serde_core::");
        self.values += 1;
        if self.open.len() == DEEPEST || self.values > MOST {
            return Err(Error::Asks);
        }
        let name = type_name::<V>();
        let is_again = self.open.contains(&name);
        self.open.push(name);
        self.within += usize::from(is_again);
        let made = make(self);
        self.within -= usize::from(is_again);
        self.open.pop();
        made
    }

    fn variant(&mut self, name: Name, variants: usize) -> u32 {
        let (tried, all, ended) = self.enums.entry(name).or_insert((0, variants as u32, None));
        if tried < all {
            *tried += 1;
            return *tried - 1;
        }
        ended.unwrap_or(0)
    }
}

/// Decodes what is made up.
struct Prober<'a>(&'a mut Probe);

impl<'a> Prober<'a> {
    fn fixed(self, count: usize) -> Items<'a> {
        Items(self.0, count)
    }

    /// So many of what has a length.
    fn few(self) -> Items<'a> {
        let count = usize::from(self.0.within == 0);
        self.fixed(count)
    }
}

macro_rules! made_up {
    ($($name:ident $visit:ident $value:expr),* $(,)?) => {$(
        fn $name<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit($value)
        }
    )*};
}

impl Deserializer<'static> for Prober<'_> {
    type Error = Error;

    made_up!(
        deserialize_bool visit_bool true, deserialize_u8 visit_u8 1, deserialize_u16 visit_u16 1,
        deserialize_u32 visit_u32 1, deserialize_u64 visit_u64 1, deserialize_u128 visit_u128 1,
        deserialize_i8 visit_i8 1, deserialize_i16 visit_i16 1, deserialize_i32 visit_i32 1,
        deserialize_i64 visit_i64 1, deserialize_i128 visit_i128 1, deserialize_f32 visit_f32 1.0,
        deserialize_f64 visit_f64 1.0, deserialize_char visit_char 'a', deserialize_str visit_borrowed_str "a",
        deserialize_string visit_borrowed_str "a", deserialize_bytes visit_borrowed_bytes b"a",
        deserialize_byte_buf visit_borrowed_bytes b"a",
    );

    by_type_alone!(deserializer);

    fn deserialize_option<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.within > 0 { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'static>>(self, _: Name, visitor: V) -> Result<V::Value, Error> {
        self.0.within::<V, _>(|probe| visitor.visit_newtype_struct(Prober(probe)))
    }

    fn deserialize_seq<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self.few())
    }

    fn deserialize_tuple_struct<V: Visitor<'static>>(
        self,
        _: Name,
        count: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.within::<V, _>(|probe| visitor.visit_seq(Items(probe, count)))
    }

    fn deserialize_map<V: Visitor<'static>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self.few())
    }

    fn deserialize_struct<V: Visitor<'static>>(self, _: Name, fields: Names, visitor: V) -> Result<V::Value, Error> {
        self.0.within::<V, _>(|probe| visitor.visit_seq(Items(probe, fields.len())))
    }

    fn deserialize_enum<V: Visitor<'static>>(self, name: Name, variants: Names, visitor: V) -> Result<V::Value, Error> {
        // Its other variant is another system's.
        let count = if name == "OsString" { 1 } else { variants.len() };
        self.0.within::<V, _>(|probe| {
            let variant = probe.variant(type_name::<V>(), count);
            let made = visitor.visit_enum(Variant(probe, variant))?;
            if let Some((.., ended)) = probe.enums.get_mut(type_name::<V>()) {
                ended.get_or_insert(variant);
            }
            Ok(made)
        })
    }
}

/// So many values, or pairs of them.
struct Items<'a>(&'a mut Probe, usize);

impl Items<'_> {
    fn next<S: DeserializeSeed<'static>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        let Some(left) = self.1.checked_sub(1) else { return Ok(None) };
        self.1 = left;
        seed.deserialize(Prober(self.0)).map(Some)
    }

    /// None: nothing is made of what is made up.
    fn most(&self) -> Option<usize> {
        None
    }
}

item_access!(Items<'_>, items => Prober(&mut *items.0));

/// A variant of this number.
struct Variant<'a>(&'a mut Probe, u32);

impl<'a> EnumAccess<'static> for Variant<'a> {
    type Error = Error;
    type Variant = Prober<'a>;

    fn variant_seed<S: DeserializeSeed<'static>>(self, seed: S) -> Result<(S::Value, Prober<'a>), Error> {
        let number: U32Deserializer<Error> = self.1.into_deserializer();
        Ok((seed.deserialize(number)?, Prober(self.0)))
    }
}

by_type_alone!(variant Prober<'_>);
