//! How the result of a map is shown that wasn't given a name.

use super::source::shortened;
use crate::wire::Wire;
use std::fmt::Debug;

/// So many items are shown at the beginning, and as many at the end.
const SHOWN: usize = 5;

/// A map's result.
#[diagnostic::on_unimplemented(
    message = "this result of a map can't be shown",
    note = "results are shown by their `Debug`: derive it, or keep the result with `-o NAME`"
)]
pub trait Shown {
    /// As text.
    fn text(&self) -> String;
}

impl<R: Debug> Shown for Vec<R> {
    fn text(&self) -> String {
        let list = |items: &[R]| items.iter().map(|item| shortened(item)).collect::<Vec<_>>().join(", ");
        let items = if self.len() == 1 { "1 item".to_owned() } else { format!("{} items", self.len()) };
        match (self.first_chunk::<SHOWN>(), self.last_chunk::<SHOWN>()) {
            (Some(first), Some(last)) if self.len() > 2 * SHOWN + 1 => {
                format!("[{}, …, {}] ({items})", list(first), list(last))
            }
            _ => format!("[{}] ({items})", list(self)),
        }
    }
}

impl<R: Debug + Wire> Shown for Option<R> {
    fn text(&self) -> String {
        self.as_ref().map_or_else(|| "None: there were no results".to_owned(), |value| shortened(value))
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Shown for $type {
            fn text(&self) -> String {
                format!("{self:?}")
            }
        }
    )*};
}

numbers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);

/// Shows a map's result: the first items, the last ones, and how many there are.
pub fn show(result: &impl Shown) {
    crate::display(crate::Text(result.text()));
}
