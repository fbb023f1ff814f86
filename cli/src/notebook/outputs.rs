//! What the cells of a run have put out so far: messages from iopub in, outputs as a notebook holds them out.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One output of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// As a notebook of nbformat 4 holds it, with its texts in one piece.
    pub value: Value,
    /// By which `update_display_data` finds it.
    pub display_id: Option<String>,
    /// Whether the terminal shows it as it is now.
    pub shown: bool,
}

impl Recorded {
    /// An output that isn't shown yet.
    pub fn new(value: Value, display_id: Option<String>) -> Recorded {
        Recorded { value, display_id, shown: false }
    }
}

/// What a message changed for the cell that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Nothing that can be seen.
    Nothing,
    /// This was added, as the cell's last output or to the end of it.
    Added(Value),
    /// A display that was there is another now.
    Updated,
    /// All that was there is gone; perhaps a first output has followed.
    Cleared,
}

/// One cell's outputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CellOutputs {
    /// In order.
    pub outputs: Vec<Recorded>,
    /// The number in `In [n]`.
    pub execution_count: Option<u64>,
    /// When the kernel said what, as nbclient notes it.
    pub times: BTreeMap<&'static str, String>,
    /// The next output replaces those before it: `clear_output` with `wait`.
    clear_on_next: bool,
}

/// The outputs of all cells that ran, by their order of running.
#[derive(Debug, Default)]
pub struct Outputs {
    cells: Vec<CellOutputs>,
}

impl Outputs {
    /// A cell begins to run: later calls name it by the number returned.
    pub fn begin(&mut self) -> usize {
        self.cells.push(CellOutputs::default());
        self.cells.len() - 1
    }

    /// A cell's outputs.
    pub fn cell(&mut self, cell: usize) -> Option<&mut CellOutputs> {
        self.cells.get_mut(cell)
    }

    /// All cells, in the order in which they began.
    pub fn cells(&self) -> &[CellOutputs] {
        &self.cells
    }

    /// Notes when a message was sent that tells how far this cell is.
    pub fn note_time(&mut self, cell: usize, msg_type: &str, content: &Value, date: Option<&str>) {
        let state = content.get("execution_state").and_then(Value::as_str);
        let what = match (msg_type, state) {
            ("status", Some("busy")) => "iopub.status.busy",
            ("status", Some("idle")) => "iopub.status.idle",
            ("execute_input", _) => "iopub.execute_input",
            ("execute_reply", _) => "shell.execute_reply",
            _ => return,
        };
        if let (Some(cell), Some(date)) = (self.cells.get_mut(cell), date) {
            cell.times.insert(what, date.to_owned());
        }
    }

    /// The last error that a cell put out.
    pub fn error(&self, cell: usize) -> Option<&Value> {
        let outputs = self.cells.get(cell)?.outputs.iter().rev();
        outputs.map(|output| &output.value).find(|value| value["output_type"] == "error")
    }

    /// Takes in a message that belongs to this cell. Unknown messages change nothing.
    pub fn apply(&mut self, cell: usize, msg_type: &str, content: &Value) -> Change {
        let part = |name: &str| content.get(name).filter(|part| part.is_object()).cloned().unwrap_or(json!({}));
        match msg_type {
            "stream" => self.add_text(cell, text(content, "name"), text(content, "text")),
            "display_data" | "update_display_data" => {
                let id = content.pointer("/transient/display_id").and_then(Value::as_str).map(str::to_owned);
                let updated = id.as_deref().is_some_and(|id| self.update(cell, id, &part("data"), &part("metadata")));
                let added = match msg_type {
                    "display_data" => {
                        let output =
                            json!({"output_type": msg_type, "data": part("data"), "metadata": part("metadata")});
                        self.add(cell, output, id)
                    }
                    _ => Change::Nothing,
                };
                if updated { Change::Updated } else { added }
            }
            "execute_result" => {
                let count = content.get("execution_count").cloned().unwrap_or_default();
                let (data, metadata) = (part("data"), part("metadata"));
                let output =
                    json!({"output_type": msg_type, "execution_count": count, "data": data, "metadata": metadata});
                self.add(cell, output, None)
            }
            "error" => self.add_error(cell, content),
            "clear_output" => self.clear(cell, content.get("wait").and_then(Value::as_bool).unwrap_or(false)),
            "execute_input" => {
                if let Some(cell) = self.cells.get_mut(cell) {
                    cell.execution_count = content.get("execution_count").and_then(Value::as_u64);
                }
                Change::Nothing
            }
            _ => Change::Nothing,
        }
    }

    /// Adds an error with the `ename`, `evalue` and `traceback` of this content.
    pub fn add_error(&mut self, cell: usize, content: &Value) -> Change {
        let traceback = content.get("traceback").filter(|lines| lines.is_array()).cloned().unwrap_or(json!([]));
        let (ename, evalue) = (text(content, "ename"), text(content, "evalue"));
        let output = json!({"output_type": "error", "ename": ename, "evalue": evalue, "traceback": traceback});
        self.add(cell, output, None)
    }

    /// Whether the cell put out an error.
    pub fn has_error(&self, cell: usize) -> bool {
        self.error(cell).is_some()
    }

    fn add(&mut self, cell: usize, output: Value, display_id: Option<String>) -> Change {
        let Some(cell) = self.cells.get_mut(cell) else { return Change::Nothing };
        let cleared = std::mem::take(&mut cell.clear_on_next);
        if cleared {
            cell.outputs.clear();
        }
        cell.outputs.push(Recorded::new(output.clone(), display_id));
        if cleared { Change::Cleared } else { Change::Added(output) }
    }

    /// Text goes to the end of the last output when that is of the same stream.
    fn add_text(&mut self, cell: usize, name: &str, text: &str) -> Change {
        let piece = json!({"output_type": "stream", "name": name, "text": text});
        let Some(record) = self.cells.get_mut(cell) else { return Change::Nothing };
        let last = record.outputs.last_mut().filter(|last| last.value.get("name") == piece.get("name"));
        match last.and_then(|last| last.value.get_mut("text")) {
            Some(Value::String(before)) if !record.clear_on_next => {
                before.push_str(text);
                Change::Added(piece)
            }
            _ => self.add(cell, piece, None),
        }
    }

    /// Replaces the displays with this id, in any cell; says whether one of them is in this cell.
    fn update(&mut self, cell: usize, id: &str, data: &Value, metadata: &Value) -> bool {
        let mut here = false;
        for (index, record) in self.cells.iter_mut().enumerate() {
            for output in record.outputs.iter_mut().filter(|output| output.display_id.as_deref() == Some(id)) {
                output.value["data"] = data.clone();
                output.value["metadata"] = metadata.clone();
                output.shown = false;
                here |= index == cell;
            }
        }
        here
    }

    fn clear(&mut self, cell: usize, wait: bool) -> Change {
        let Some(cell) = self.cells.get_mut(cell) else { return Change::Nothing };
        cell.clear_on_next = wait;
        if wait || cell.outputs.is_empty() {
            return Change::Nothing;
        }
        cell.outputs.clear();
        Change::Cleared
    }
}

fn text<'a>(content: &'a Value, field: &str) -> &'a str {
    content.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_jupyter::content;
    use serde_json::Map;

    fn plain(text: &str) -> Map<String, Value> {
        Map::from_iter([("text/plain".to_owned(), json!(text))])
    }

    /// The outputs of one cell after these messages.
    fn after(messages: &[(&str, Value)]) -> (Vec<Value>, Vec<Change>) {
        let mut outputs = Outputs::default();
        let cell = outputs.begin();
        let changes = messages.iter().map(|(msg_type, content)| outputs.apply(cell, msg_type, content)).collect();
        (outputs.cells()[cell].outputs.iter().map(|output| output.value.clone()).collect(), changes)
    }

    fn out(text: &str) -> (&'static str, Value) {
        ("stream", content::stream("stdout", text))
    }

    #[test]
    fn text_of_one_stream_is_merged_until_something_else_comes() {
        let err = ("stream", content::stream("stderr", "e"));
        let (outputs, changes) = after(&[out("a"), out("b\n"), err, out("c")]);
        let texts: Vec<_> = outputs.iter().map(|output| (&output["name"], &output["text"])).collect();
        assert_eq!(
            format!("{texts:?}"),
            r#"[(String("stdout"), String("ab\n")), (String("stderr"), String("e")), (String("stdout"), String("c"))]"#
        );
        assert_eq!(changes[1], Change::Added(json!({"output_type": "stream", "name": "stdout", "text": "b\n"})));
    }

    #[test]
    fn results_and_errors_are_outputs_of_nbformat_4() {
        let error = json!({"ename": "E", "evalue": "e", "traceback": ["t"], "other": 1});
        let (outputs, _) = after(&[("execute_result", content::execute_result(3, plain("2"))), ("error", error)]);
        let result =
            json!({"output_type": "execute_result", "execution_count": 3, "data": {"text/plain": "2"}, "metadata": {}});
        assert_eq!(outputs, [result, json!({"output_type": "error", "ename": "E", "evalue": "e", "traceback": ["t"]})]);
    }

    #[test]
    fn clear_output_clears_now_or_with_the_next_output() {
        let now = ("clear_output", content::clear_output(false));
        let wait = ("clear_output", content::clear_output(true));
        assert_eq!(after(&[out("a"), now.clone()]).0, Vec::<Value>::new());
        assert_eq!(after(&[now]).1, [Change::Nothing]);
        let (outputs, changes) = after(&[out("a"), wait.clone(), out("b"), out("c")]);
        assert_eq!(outputs, [json!({"output_type": "stream", "name": "stdout", "text": "bc"})]);
        assert_eq!(changes[1..3], [Change::Nothing, Change::Cleared]);
        assert_eq!(after(&[out("a"), wait]).0.len(), 1, "what nothing follows stays");
    }

    #[test]
    fn a_display_is_updated_in_whichever_cell_it_stands() {
        let mut outputs = Outputs::default();
        let first = outputs.begin();
        outputs.apply(first, "display_data", &content::display_data(plain("0%"), Some("p")));
        outputs.cell(first).unwrap().outputs[0].shown = true;
        let update = content::display_data(plain("50%"), Some("p"));
        assert_eq!(outputs.apply(first, "update_display_data", &update), Change::Updated);
        assert!(!outputs.cells()[first].outputs[0].shown);

        let second = outputs.begin();
        let update = content::display_data(plain("100%"), Some("p"));
        assert_eq!(outputs.apply(second, "update_display_data", &update), Change::Nothing);
        assert_eq!(outputs.cells()[first].outputs[0].value["data"]["text/plain"], "100%");
        assert!(outputs.cells()[first].outputs[0].value.get("transient").is_none());
        assert!(outputs.cells()[second].outputs.is_empty());
        // A second display with the same id takes the first along.
        outputs.apply(second, "display_data", &content::display_data(plain("again"), Some("p")));
        assert_eq!(outputs.cells()[first].outputs[0].value["data"]["text/plain"], "again");
        assert_eq!(outputs.cells()[second].outputs.len(), 1);
    }

    #[test]
    fn messages_that_make_no_sense_do_no_harm() {
        for msg_type in
            ["stream", "display_data", "update_display_data", "execute_result", "error", "clear_output", "x"]
        {
            let (outputs, _) = after(&[(msg_type, Value::Null), (msg_type, json!({"data": 1, "text": []}))]);
            assert!(outputs.iter().all(|output| output["output_type"] == msg_type));
        }
        let mut outputs = Outputs::default();
        assert_eq!(outputs.apply(7, "stream", &content::stream("stdout", "x")), Change::Nothing);
        assert!(!outputs.has_error(7));
    }
}
