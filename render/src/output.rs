//! What a cell shows, in the terms of a notebook.

use chorus_protocol::{MimeContent, Stream};
use serde_json::{Map, Value};

/// The representations of one displayed thing, by mime type.
pub type Bundle = Map<String, Value>;

/// One message for the notebook.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Text on stdout or stderr.
    Stream {
        /// Which.
        stream: Stream,
        /// The text.
        text: String,
    },
    /// A displayed value.
    Display {
        /// Its representations.
        data: Bundle,
        /// What a front end should know of them, by mime type.
        metadata: Map<String, Value>,
        /// The name under which [`Output::Update`] replaces it.
        id: Option<String>,
    },
    /// Another value in the place of a display, perhaps of an earlier cell.
    Update {
        /// The name of the display.
        id: String,
        /// The value's representations.
        data: Bundle,
    },
    /// The cell's outputs so far go.
    Clear {
        /// Only when the next one comes.
        wait: bool,
    },
    /// The value of a cell that ran in the notebook's own process.
    Result {
        /// Its representations.
        data: Bundle,
        /// What a front end should know of them, by mime type.
        metadata: Map<String, Value>,
    },
}

impl Output {
    /// A display of this bundle.
    pub fn display(data: Bundle) -> Output {
        Output::Display { data, metadata: Map::new(), id: None }
    }

    /// A display that [`Output::Update`] can replace.
    pub fn named(id: String, data: Bundle) -> Output {
        Output::Display { data, metadata: Map::new(), id: Some(id) }
    }

    /// A display of plain text.
    pub fn plain(text: impl Into<String>) -> Output {
        Output::display(plain_bundle(text))
    }
}

/// A bundle with plain text only.
pub fn plain_bundle(text: impl Into<String>) -> Bundle {
    Map::from_iter([("text/plain".to_owned(), Value::String(text.into()))])
}

/// A bundle with plain text and HTML.
pub fn html_bundle(text: impl Into<String>, html: impl Into<String>) -> Bundle {
    let mut data = plain_bundle(text);
    data.insert("text/html".to_owned(), Value::String(html.into()));
    data
}

/// What a cell displayed, as Jupyter wants it: JSON types as values, all others as the text or base64 that they are.
pub fn bundle(contents: &[MimeContent]) -> Bundle {
    // What a bar is besides is for the kernel alone, see [`crate::Bars`].
    let shown = contents.iter().filter(|content| content.mime != px::progress::BAR);
    shown.map(|content| (content.mime.clone(), value(&content.mime, &content.content))).collect()
}

fn value(mime: &str, content: &str) -> Value {
    let essence = mime.split(';').next().unwrap_or(mime).trim();
    if essence == "application/json" || essence.ends_with("+json") {
        // What isn't JSON in spite of its name is shown as it is.
        if let Ok(value) = serde_json::from_str(content) {
            return value;
        }
    }
    if essence.starts_with("image/") && !essence.ends_with("+xml") {
        // Base64 may be wrapped; front ends put it into a URL.
        return Value::String(content.split_whitespace().collect());
    }
    Value::String(content.to_owned())
}

/// The text of a bundle that has no other representation.
pub(super) fn only_text(data: &Bundle) -> Option<&str> {
    if data.len() > 1 {
        return None;
    }
    data.get("text/plain").and_then(Value::as_str)
}

/// How many bytes a bundle takes, about.
pub(super) fn weight(data: &Bundle) -> usize {
    data.iter().map(|(mime, value)| mime.len() + value.as_str().map_or_else(|| value.to_string().len(), str::len)).sum()
}

/// Appends text to a list of outputs, in one message with the last one if that is of the same stream.
pub(super) fn push_text(outputs: &mut Vec<Output>, stream: Stream, text: &str) {
    if text.is_empty() {
        return;
    }
    if let Some(Output::Stream { stream: last, text: before }) = outputs.last_mut()
        && *last == stream
    {
        before.push_str(text);
        return;
    }
    outputs.push(stream_text(stream, text));
}

/// A piece of a stream.
pub(super) fn stream_text(stream: Stream, text: &str) -> Output {
    Output::Stream { stream, text: text.to_owned() }
}

/// `stdout` or `stderr`, as Jupyter names streams.
pub fn stream_name(stream: Stream) -> &'static str {
    match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mime_type_becomes_what_front_ends_take() {
        let content = |mime: &str, content: &str| MimeContent { mime: mime.into(), content: content.into() };
        let data = bundle(&[
            content("text/plain", "a\nb"),
            content("application/json", "{\"a\": [1]}"),
            content("application/vnd.vegalite.v5+json", "3"),
            content("application/geo+json", "not json"),
            content("image/png", "aGVs\nbG8=\n"),
            content("image/svg+xml", "<svg> </svg>"),
        ]);
        let expected = serde_json::json!({
            "text/plain": "a\nb",
            "application/json": {"a": [1]},
            "application/vnd.vegalite.v5+json": 3,
            "application/geo+json": "not json",
            "image/png": "aGVsbG8=",
            "image/svg+xml": "<svg> </svg>",
        });
        assert_eq!(Value::Object(data), expected);
    }
}
