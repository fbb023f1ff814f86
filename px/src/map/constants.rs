//! Variables of the notebook that a map's function names: they are sent along.

use super::error::Error;
use super::rooms::{Bytes, Writer};
use crate::wire::Wire;

/// A tuple of references to variables.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be given to a map's function",
    label = "this isn't a tuple of references to values that travel",
    note = "`px::map_with((&a, &b), |(a, b), x| ..)` gives several, and `px::map_with((&a,), |(a,), x| ..)` one"
)]
pub trait Constants {
    /// The variables' values.
    type Owned: Values;
    /// Appends their encodings.
    #[doc(hidden)]
    fn put(&self, to: &mut Writer) -> Result<(), Error>;
    /// Appends them as a GPU takes them, if the map is for one. Returns whether it is.
    #[doc(hidden)]
    fn put_for_gpu(&self, _: &mut Writer) -> Result<bool, Error> {
        Ok(false)
    }
}

/// A tuple of values that were sent.
pub trait Values: Sized + 'static {
    /// Decodes them.
    #[doc(hidden)]
    fn get(from: &mut &[u8]) -> Result<Self, Error>;
}

macro_rules! constants {
    ($($name:ident $index:tt)*) => {
        impl<$($name: Wire),*> Constants for ($(&$name,)*) {
            type Owned = ($($name,)*);

            fn put(&self, to: &mut Writer) -> Result<(), Error> {
                $(
                    self.$index.put(to.buffer());
                    to.spill()?;
                )*
                let _ = to;
                Ok(())
            }
        }

        impl<$($name: Wire),*> Values for ($($name,)*) {
            fn get(from: &mut &[u8]) -> Result<Self, Error> {
                let _ = &from;
                Ok(($($name::get(from)?,)*))
            }
        }
    };
}

constants!();
constants!(A 0);
constants!(A 0 B 1);
constants!(A 0 B 1 C 2);
constants!(A 0 B 1 C 2 D 3);
constants!(A 0 B 1 C 2 D 3 E 4);
constants!(A 0 B 1 C 2 D 3 E 4 F 5);
constants!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
constants!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
constants!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8);
constants!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9);
constants!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10);
constants!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11);

/// Constants as they were sent.
pub(crate) struct OpenConstants {
    pub(crate) constants: Vec<u8>,
    pub(crate) rooms: Vec<String>,
}

impl OpenConstants {
    pub(crate) fn get<V: Values>(&self) -> Result<V, Error> {
        read(&self.constants, &self.rooms)
    }
}

/// Decodes what was sent.
pub(crate) fn read<V: Values>(constants: &[u8], rooms: &[String]) -> Result<V, Error> {
    let mut values = Err(Error::Damaged);
    with_bytes(constants, rooms, &mut |bytes| values = V::get(bytes))?;
    values
}

fn with_bytes(mut constants: &[u8], rooms: &[String], decode: &mut dyn FnMut(&mut &[u8])) -> Result<(), Error> {
    let bytes = Bytes::read(&mut constants, rooms)?;
    let mut bytes = bytes.as_slice();
    decode(&mut bytes);
    if bytes.is_empty() && constants.is_empty() { Ok(()) } else { Err(Error::Damaged) }
}
