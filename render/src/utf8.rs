//! Bytes to text, piece by piece: a character that is cut in two between pieces is joined again.

/// Decodes one stream of one engine. Invalid bytes become U+FFFD, as [`String::from_utf8_lossy`] has it; it never
/// holds back more than the three bytes of an unfinished character.
#[derive(Clone, Debug, Default)]
pub struct Utf8Decoder {
    held: Vec<u8>,
}

impl Utf8Decoder {
    /// The text of these bytes, with what was held back before them.
    pub fn decode(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.held);
        let mut text = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            let is_cut = |end| std::str::from_utf8(end).is_err_and(|error| error.error_len().is_none());
            match chunk.invalid() {
                [] => {}
                end if chunks.peek().is_none() && is_cut(end) => self.held = end.to_vec(),
                _ => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        text
    }

    /// The stream ends here: a U+FFFD if that cuts a character in two.
    pub fn finish(&mut self) -> &'static str {
        if std::mem::take(&mut self.held).is_empty() { "" } else { "\u{FFFD}" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cut_character_is_joined() {
        let mut decoder = Utf8Decoder::default();
        let bytes = "a€😀".as_bytes();
        let text: String = bytes.iter().map(|byte| decoder.decode(&[*byte])).collect();
        assert_eq!(text, "a€😀");
        assert_eq!(decoder.finish(), "");
    }

    #[test]
    fn an_unfinished_character_is_replaced_at_the_end() {
        let mut decoder = Utf8Decoder::default();
        assert_eq!(decoder.decode(&[b'x', 0xE2, 0x82]), "x");
        assert_eq!(decoder.finish(), "\u{FFFD}");
        assert_eq!(decoder.finish(), "");
    }

    #[test]
    fn invalid_bytes_are_not_held_back() {
        let mut decoder = Utf8Decoder::default();
        assert_eq!(decoder.decode(&[0xFF, b'a', 0xE2, b'b']), "\u{FFFD}a\u{FFFD}b");
    }

    proptest! {
        #[test]
        fn pieces_decode_as_the_whole(bytes: Vec<u8>, cuts in proptest::collection::vec(0..40usize, 0..20)) {
            let mut decoder = Utf8Decoder::default();
            let mut text = String::new();
            let mut rest = bytes.as_slice();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                text += &decoder.decode(piece);
                prop_assert!(decoder.held.len() <= 3);
                rest = after;
            }
            text += &decoder.decode(rest);
            text += decoder.finish();
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn any_text_comes_through(text: String) {
            let mut decoder = Utf8Decoder::default();
            let mut back = String::new();
            for byte in text.bytes() {
                back += &decoder.decode(&[byte]);
            }
            prop_assert_eq!(back, text);
        }
    }
}
