//! Shows values in the notebook, while the cell runs and in any representation, and changes what is shown.

use crate::base64;
use crate::host::host;
use std::fmt::Debug;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Shows a value as an output of its own: what is `Debug`, one of the wrappers ([`Html`], [`Markdown`], [`Latex`],
/// [`Svg`], [`Png`], [`Jpeg`], [`Json`], [`Text`]), or a [`Bundle`] of several representations.
///
/// A type that has only a method `evcxr_display(&self)`, as plots of many crates have, is shown by [`crate::display!`].
///
/// ```
/// px::display(vec![1, 2]);
/// px::display(px::Markdown("*important*"));
/// px::display(px::Bundle::new().with("text/plain", "a table").with("text/html", "<table></table>"));
/// ```
pub fn display(value: impl Displayable) {
    put("PX_DISPLAY_ONCE\n", &value.to_bundle());
}

/// Shows a value as a cell shows its last expression, at once and as an output of its own: by the type's own method
/// `evcxr_display(&self)` if it has one, else by `Debug`.
///
/// ```
/// use px::Show;
/// struct Plot;
/// impl Plot {
///     fn evcxr_display(&self) {
///         println!("EVCXR_BEGIN_CONTENT text/html\n<b>plot</b>\nEVCXR_END_CONTENT");
///     }
/// }
/// px::display!(Plot);
/// px::display!([1, 2]);
/// ```
///
/// In a cell, [`Show`](crate::Show) is in scope already.
#[macro_export]
macro_rules! display {
    ($value:expr) => {{
        let _until_shown = $crate::OneDisplay::begin();
        $crate::Last(&($value)).evcxr_display();
    }};
}

/// Has the notebook's outputs of this cell removed: at once, or with `wait` when the cell's next output comes, which
/// doesn't flicker. On engines, a cell that runs on several of them clears nothing that is shown already.
///
/// ```
/// for frame in 0..3 {
///     px::clear_output(true);
///     println!("frame {frame}");
/// }
/// ```
pub fn clear_output(wait: bool) {
    if host().is_some() {
        write(if wait { "PX_CLEAR_OUTPUT_WAIT\n" } else { "PX_CLEAR_OUTPUT\n" });
    }
}

/// An output that can be changed as long as the notebook is open: from this cell, from later ones, and from threads.
///
/// ```
/// let shown = px::Display::new("waiting");
/// shown.update(px::Html("<b>done</b>"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Display {
    id: String,
}

impl Display {
    /// Shows a value.
    pub fn new(value: impl Displayable) -> Display {
        let display = Display { id: new_id() };
        put(&format!("PX_DISPLAY_NEW {}\n", display.id), &value.to_bundle());
        display
    }

    /// Shows another value in its place. Of updates within a tenth of a second, the notebook shows the last.
    pub fn update(&self, value: impl Displayable) {
        put(&format!("PX_DISPLAY_UPDATE {}\n", self.id), &value.to_bundle());
    }

    /// A cell that ends in a `Display` shows nothing more.
    pub fn evcxr_display(&self) {}
}

/// Unique in this worker and its successors; the kernel adds which engine it is.
fn new_id() -> String {
    // For programs that no worker runs.
    static WITHOUT_HOST: AtomicU64 = AtomicU64::new(0);
    let counter = host().map_or(&WITHOUT_HOST, |host| &host.displays);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{}", now.as_nanos(), counter.fetch_add(1, Ordering::Relaxed))
}

/// What [`display`](display()) shows.
///
/// Every `Debug` type is one. For a type that isn't `Debug`, it can be implemented:
///
/// ```
/// struct Bold(&'static str);
/// impl px::Displayable for Bold {
///     fn to_bundle(&self) -> px::Bundle {
///         px::Bundle::new().with("text/html", format!("<b>{}</b>", self.0)).with("text/plain", self.0)
///     }
/// }
/// px::display(Bold("hello"));
/// ```
pub trait Displayable {
    /// The value's representations.
    fn to_bundle(&self) -> Bundle;
}

impl<T: Debug> Displayable for T {
    fn to_bundle(&self) -> Bundle {
        crate::show::bundle_of(std::any::type_name::<T>(), format_args!("{self:?}"))
    }
}

/// Representations of one value, by mime type. Front ends show the richest that they can.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    contents: Vec<(String, String)>,
}

impl Bundle {
    /// Without any representation.
    pub fn new() -> Bundle {
        Bundle::default()
    }

    /// Adds a textual one, such as `text/html`; of the same type, the last counts.
    pub fn with(mut self, mime: &str, content: impl Into<String>) -> Bundle {
        // The type is the first word on a line of its own.
        let mime: String = mime.split_whitespace().collect();
        self.contents.retain(|(earlier, _)| *earlier != mime);
        self.contents.push((mime, content.into()));
        self
    }

    /// Adds a binary one, such as `image/png`.
    pub fn with_bytes(self, mime: &str, bytes: &[u8]) -> Bundle {
        self.with(mime, base64::encode(bytes))
    }

    /// Shows it as a cell's result.
    pub fn evcxr_display(&self) {
        write(&self.protocol_text());
    }

    /// The representations, with their types.
    #[cfg(test)]
    pub(crate) fn contents(&self) -> impl Iterator<Item = (&str, &str)> {
        self.contents.iter().map(|(mime, content)| (mime.as_str(), content.as_str()))
    }

    fn plain(&self) -> Option<&str> {
        self.contents.iter().find(|(mime, _)| mime == "text/plain").map(|(_, content)| content.as_str())
    }

    /// As evcxr's content protocol has it.
    fn protocol_text(&self) -> String {
        let content =
            |(mime, content): &(String, String)| format!("EVCXR_BEGIN_CONTENT {mime}\n{content}\nEVCXR_END_CONTENT\n");
        self.contents.iter().map(content).collect()
    }
}

impl Displayable for Bundle {
    fn to_bundle(&self) -> Bundle {
        self.clone()
    }
}

impl Displayable for &Bundle {
    fn to_bundle(&self) -> Bundle {
        (*self).clone()
    }
}

/// The wrappers aren't `Debug`: that would make them [`Displayable`] as mere text.
macro_rules! wrappers {
    ($($(#[$doc:meta])* $name:ident of $inner:ident: |$content:ident| $bundle:expr;)*) => {$(
        $(#[$doc])*
        #[must_use = "it is shown as the cell's last expression, without `;`, or by `px::display(..)`"]
        #[derive(Clone, Copy)]
        pub struct $name<T>(pub T);

        impl<T: AsRef<$inner>> Displayable for $name<T> {
            fn to_bundle(&self) -> Bundle {
                let $content: &$inner = self.0.as_ref();
                $bundle
            }
        }

        impl<T: AsRef<$inner>> Displayable for &$name<T> {
            fn to_bundle(&self) -> Bundle {
                (**self).to_bundle()
            }
        }

        impl<T: AsRef<$inner>> $name<T> {
            /// Shows it as a cell's result.
            pub fn evcxr_display(&self) {
                self.to_bundle().evcxr_display();
            }
        }
    )*};
}

type Bytes = [u8];

wrappers! {
    /// HTML.
    Html of str: |html| Bundle::new().with("text/html", html);
    /// Markdown; a terminal shows its source.
    Markdown of str: |source| Bundle::new().with("text/markdown", source).with("text/plain", source);
    /// LaTeX, such as `$x^2$`; a terminal shows its source.
    Latex of str: |source| Bundle::new().with("text/latex", source).with("text/plain", source);
    /// An SVG image.
    Svg of str: |svg| Bundle::new().with("image/svg+xml", svg);
    /// JSON, which JupyterLab shows as a tree.
    Json of str: |json| Bundle::new().with("application/json", json).with("text/plain", json);
    /// Plain text, without the quotes that `Debug` puts around strings.
    Text of str: |text| Bundle::new().with("text/plain", text);
    /// A PNG image, as in a file.
    Png of Bytes: |bytes| Bundle::new().with_bytes("image/png", bytes);
    /// A JPEG image, as in a file.
    Jpeg of Bytes: |bytes| Bundle::new().with_bytes("image/jpeg", bytes);
}

/// What is shown as long as this lives is one output. For [`display!`](crate::display!).
pub struct OneDisplay(());

impl OneDisplay {
    /// The output begins.
    pub fn begin() -> OneDisplay {
        if host().is_some() {
            write("PX_DISPLAY_ONCE\n");
        }
        OneDisplay(())
    }
}

impl Drop for OneDisplay {
    fn drop(&mut self) {
        if host().is_some() {
            write("PX_DISPLAY_END\n");
        }
    }
}

/// Shows a bundle in one piece. A program that no worker runs gets the plain text.
fn put(begin: &str, bundle: &Bundle) {
    match (host(), bundle.plain()) {
        (Some(_), _) => write(&format!("{begin}{}PX_DISPLAY_END\n", bundle.protocol_text())),
        (None, Some(text)) => write(&format!("{text}\n")),
        (None, None) => {}
    }
}

fn write(text: &str) {
    // A cell may have closed its stdout; there is nobody to tell.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mimes(value: impl Displayable) -> Vec<String> {
        value.to_bundle().contents.into_iter().map(|(mime, _)| mime).collect()
    }

    #[test]
    fn each_wrapper_has_its_mime_type() {
        assert_eq!(mimes(Html("<b>")), ["text/html"]);
        assert_eq!(mimes(Markdown("*a*".to_owned())), ["text/markdown", "text/plain"]);
        let latex = Latex(String::from("$x$"));
        assert_eq!(mimes(&latex), ["text/latex", "text/plain"]);
        assert_eq!(latex.0, "$x$");
        assert_eq!(mimes(Svg("<svg/>")), ["image/svg+xml"]);
        assert_eq!(mimes(Json("{}")), ["application/json", "text/plain"]);
        assert_eq!(mimes(Png(vec![1])), ["image/png"]);
        assert_eq!(mimes(Jpeg([1])), ["image/jpeg"]);
        assert_eq!(Png(b"foo").to_bundle().contents[0].1, "Zm9v");
        assert_eq!(Text("a").to_bundle().plain(), Some("a"));
        assert_eq!("a".to_bundle().plain(), Some("\"a\""));
    }

    #[test]
    fn a_bundle_has_each_type_once_and_one_word_for_it() {
        let bundle = Bundle::new().with("text/plain", "1").with("text/ht\nml", "2").with("text/plain", "3");
        assert_eq!(
            bundle.protocol_text(),
            "EVCXR_BEGIN_CONTENT text/html\n2\nEVCXR_END_CONTENT\n\
             EVCXR_BEGIN_CONTENT text/plain\n3\nEVCXR_END_CONTENT\n"
        );
    }

    #[test]
    fn ids_differ() {
        assert!(Display::new(1) != Display::new(1));
    }
}
