//! The outputs of a cell that aren't shown, for `%%capture`.

use serde_json::Value;

/// More isn't kept, in bytes.
const LIMIT: usize = 64 << 20;

/// What would have been published.
#[derive(Debug, Default)]
pub struct Kept {
    outputs: Vec<Output>,
    bytes: usize,
    /// How many bytes weren't kept.
    cut: usize,
}

/// An output.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Text on this stream.
    Text(&'static str, String),
    /// A message of this type.
    Message(&'static str, Value),
}

impl Kept {
    /// Keeps text of a stream.
    pub fn text(&mut self, name: &'static str, text: &str) {
        if !self.has_room(text.len()) {
            return;
        }
        match self.outputs.last_mut() {
            Some(Output::Text(last, before)) if *last == name => before.push_str(text),
            _ => self.outputs.push(Output::Text(name, text.to_owned())),
        }
    }

    /// Keeps a message.
    pub fn message(&mut self, msg_type: &'static str, content: Value) {
        if msg_type == "clear_output" {
            self.outputs.clear();
        } else if self.has_room(content.to_string().len()) {
            self.outputs.push(Output::Message(msg_type, content));
        }
    }

    /// Keeps another value of a display in the place of the last one.
    pub fn update(&mut self, id: &str, content: Value) {
        let is_it =
            |output: &&mut Output| matches!(output, Output::Message(_, old) if old["transient"]["display_id"] == id);
        if self.has_room(content.to_string().len())
            && let Some(Output::Message(_, old)) = self.outputs.iter_mut().find(is_it)
        {
            *old = content;
        }
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        let fits = self.bytes + bytes <= LIMIT;
        *(if fits { &mut self.bytes } else { &mut self.cut }) += bytes;
        fits
    }

    /// That something wasn't kept.
    pub fn cut(&self) -> Option<String> {
        let mib = self.cut as f64 / f64::from(1 << 20);
        (self.cut > 0).then(|| format!("%%capture: {:.1} MiB of further output weren't kept", mib.max(0.1)))
    }

    /// In their order.
    pub fn into_outputs(self) -> Vec<Output> {
        self.outputs
    }

    /// As px decodes them.
    pub fn encoded(&self) -> Vec<u8> {
        let text = |wanted: &str| -> String {
            let texts = self.outputs.iter().filter_map(|output| match output {
                Output::Text(name, text) if *name == wanted => Some(text.as_str()),
                _ => None,
            });
            texts.collect()
        };
        let displays = self.outputs.iter().filter_map(|output| match output {
            Output::Message(_, content) => content["data"].as_object(),
            Output::Text(..) => None,
        });
        let content = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let displays = displays.map(|data| data.iter().map(|(mime, value)| (mime.clone(), content(value))).collect());
        px::everyday::encode(&text("stdout"), &text("stderr"), &displays.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outputs_are_kept_as_they_stand_at_the_end() {
        let mut kept = Kept::default();
        kept.message("display_data", json!({"data": {"text/plain": "gone"}}));
        kept.message("clear_output", json!({"wait": false}));
        kept.text("stdout", "a");
        kept.text("stdout", "b");
        kept.text("stderr", "c");
        kept.message("display_data", json!({"data": {"text/plain": "1"}, "transient": {"display_id": "d"}}));
        kept.update("d", json!({"data": {"text/plain": "2", "application/json": [3]}}));
        kept.update("of another cell", json!({"data": {}}));
        let displays = vec![vec![("application/json".into(), "[3]".into()), ("text/plain".into(), "2".into())]];
        assert_eq!(kept.encoded(), px::everyday::encode("ab", "c", &displays));
        assert_eq!((kept.cut(), kept.into_outputs().len()), (None, 3));
    }

    #[test]
    fn a_flood_is_kept_in_part() {
        let mut kept = Kept::default();
        let mib = "x".repeat(1 << 20);
        (0..70).for_each(|_| kept.text("stdout", &mib));
        assert_eq!(kept.cut().unwrap(), "%%capture: 6.0 MiB of further output weren't kept");
    }
}
