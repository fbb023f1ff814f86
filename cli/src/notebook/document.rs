//! A notebook file, as JSON. Only outputs, counts, times, missing cell ids, the cell with parameters and the kernel's metadata
//! are ever changed: everything else that is in it, known to us or not, comes out as it went in.

use super::RunError;
use super::outputs::CellOutputs;
use super::parameters::{DEFINES, Definitions, INJECTED, ParameterError};
use chorus_jupyter::notebook::{has_tag, is_code, source};
use chorus_jupyter::random_id;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Why a file is no notebook that we can run.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It isn't JSON.
    #[error("it isn't JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It is JSON, but something else.
    #[error("it isn't a notebook: {0}")]
    Shape(String),
    /// It is too old.
    #[error("it has nbformat {0}; convert it with: jupyter nbconvert --to notebook --nbformat 4")]
    Old(u64),
    /// It is too new.
    #[error("it has nbformat {0}, and only nbformat 4 is supported")]
    New(u64),
}

/// A code cell that may be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeCell {
    /// Its place among all cells.
    pub index: usize,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Its text.
    pub source: String,
    /// Tagged `raises-exception`: the run goes on when it fails.
    pub may_fail: bool,
}

/// A notebook of nbformat 4.
#[derive(Debug)]
pub struct Document {
    root: Value,
}

impl Document {
    /// Reads a notebook.
    pub fn parse(text: &[u8]) -> Result<Document, DocumentError> {
        let shape = |what: &str| Err(DocumentError::Shape(what.to_owned()));
        let root: Value = serde_json::from_slice(text)?;
        match root.get("nbformat").and_then(Value::as_u64) {
            None => return shape("there is no \"nbformat\""),
            Some(old @ 0..4) => return Err(DocumentError::Old(old)),
            Some(4) => {}
            Some(new) => return Err(DocumentError::New(new)),
        }
        let Some(cells) = root.get("cells").and_then(Value::as_array) else {
            return shape("there is no list \"cells\"");
        };
        for (index, cell) in cells.iter().enumerate() {
            if !cell.is_object() {
                return Err(DocumentError::Shape(format!("cell {} isn't an object", index + 1)));
            }
            if source(cell).is_none() {
                return Err(DocumentError::Shape(format!("cell {} has no text in \"source\"", index + 1)));
            }
        }
        Ok(Document { root })
    }

    /// Reads a notebook from a file.
    pub fn read(path: &Path) -> Result<Document, RunError> {
        let text = std::fs::read(path).map_err(|source| RunError::Read { path: path.to_owned(), source })?;
        Document::parse(&text).map_err(|source| RunError::Document { path: path.to_owned(), source })
    }

    /// The language that the notebook says it is written in.
    pub fn language(&self) -> Option<&str> {
        ["/metadata/kernelspec/language", "/metadata/language_info/name"]
            .iter()
            .find_map(|path| self.root.pointer(path)?.as_str())
    }

    /// The code cells to run: those with text, and without the tag `skip-execution`.
    pub fn code_cells(&self) -> Vec<CodeCell> {
        let cells = self.root.get("cells").and_then(Value::as_array).into_iter().flatten();
        cells
            .enumerate()
            .filter(|(_, cell)| is_code(cell) && !has_tag(cell, "skip-execution"))
            .filter_map(|(index, cell)| {
                let source = source(cell).filter(|source| !source.trim().is_empty())?;
                let id = cell.get("id").and_then(Value::as_str).map(str::to_owned);
                Some(CodeCell { index, id, source, may_fail: has_tag(cell, "raises-exception") })
            })
            .collect()
    }

    fn tagged(&self, tag: &str) -> Option<(usize, &Value)> {
        let cells = self.root.get("cells").and_then(Value::as_array)?;
        cells.iter().enumerate().find(|(_, cell)| is_code(cell) && has_tag(cell, tag))
    }

    /// What the notebook's parameters are.
    pub fn definitions(&self) -> Result<Definitions, ParameterError> {
        let (index, cell) = self.tagged(DEFINES).ok_or(ParameterError::NoCell)?;
        let number = self.code_cells().iter().position(|cell| cell.index == index).map(|place| place + 1);
        Ok(Definitions::read(&source(cell).unwrap_or_default(), number))
    }

    /// Puts a cell with values for parameters in the place of an earlier one, or else behind the cell that defines them.
    pub fn inject(&mut self, source: &str) {
        let lines: Value = source.trim_end().split_inclusive('\n').collect();
        let cell = json!({
            "cell_type": "code", "execution_count": null, "metadata": {"tags": [INJECTED]}, "outputs": [], "source": lines,
        });
        let (earlier, definitions) = (self.tagged(INJECTED), self.tagged(DEFINES));
        let (place, replaces) = match (earlier, definitions) {
            (Some((index, _)), _) => (index, true),
            (None, Some((index, _))) => (index + 1, false),
            (None, None) => (0, false),
        };
        if let Some(cells) = self.root.get_mut("cells").and_then(Value::as_array_mut) {
            cells.splice(place..place + usize::from(replaces), [cell]);
        }
    }

    /// Removes what earlier runs left, so that no old output passes for a new one; adds ids where they are required.
    pub fn prepare(&mut self) {
        let wants_ids = self.root.get("nbformat_minor").and_then(Value::as_u64).unwrap_or(0) >= 5;
        for cell in self.root.get_mut("cells").and_then(Value::as_array_mut).into_iter().flatten() {
            if wants_ids && cell.get("id").is_none() {
                cell["id"] = json!(random_id().split_at(8).0);
            }
            if is_code(cell) && !has_tag(cell, "skip-execution") {
                cell["outputs"] = json!([]);
                cell["execution_count"] = Value::Null;
                if let Some(metadata) = cell.get_mut("metadata").and_then(Value::as_object_mut) {
                    metadata.remove("execution");
                }
            }
        }
    }

    /// Notes the language of the kernel that it ran in, by which others name and colour it, and the kernel itself if no
    /// other is named.
    pub fn ran_in(&mut self, kernel_info: &Value, kernelspec: Value) {
        let Some(language) = kernel_info.get("language_info").filter(|language| language.is_object()) else { return };
        let Some(root) = self.root.as_object_mut() else { return };
        let metadata = root.entry("metadata").or_insert_with(|| json!({}));
        let Some(metadata) = metadata.as_object_mut() else { return };
        metadata.insert("language_info".into(), language.clone());
        metadata.entry("kernelspec").or_insert(kernelspec);
    }

    /// Sets what running a cell gave.
    pub fn record(&mut self, index: usize, record: &CellOutputs) {
        if let Some(cell) =
            self.root.get_mut("cells").and_then(|cells| cells.get_mut(index)).and_then(Value::as_object_mut)
        {
            let outputs = record.outputs.iter().map(|output| in_lines(output.value.clone())).collect();
            cell.insert("outputs".into(), outputs);
            cell.insert("execution_count".into(), json!(record.execution_count));
            let metadata = cell.entry("metadata").or_insert_with(|| json!({}));
            if let Some(metadata) = metadata.as_object_mut().filter(|_| !record.times.is_empty()) {
                let times: Map<String, Value> =
                    record.times.iter().map(|(what, when)| ((*what).to_owned(), json!(when))).collect();
                metadata.insert("execution".into(), Value::Object(times));
            }
        }
    }

    /// The file's text, as Jupyter lays it out.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
        self.root.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
        text.push(b'\n');
        Ok(text)
    }
}

/// Turns the texts of an output into lists of lines, as they stand in files.
fn in_lines(mut output: Value) -> Value {
    let is_json = |mime: &str| mime == "application/json" || mime.ends_with("+json");
    let split = |text: &mut Value| {
        if let Value::String(whole) = text {
            *text = whole.split_inclusive('\n').collect();
        }
    };
    if let Some(text) = output.get_mut("text") {
        split(text);
    }
    for (mime, value) in output.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten() {
        if !is_json(mime) {
            split(value);
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::super::outputs::Recorded;
    use super::*;

    fn notebook(minor: u64) -> Value {
        json!({
            "nbformat": 4, "nbformat_minor": minor, "future": {"kept": [1, 2.5, null]},
            "metadata": {"kernelspec": {"name": "chorus", "language": "rust"}, "other": "kept"},
            "cells": [
                {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "text"], "attachments": {"a.png": {}}},
                {"cell_type": "code", "id": "mine", "metadata": {"collapsed": true}, "source": ["let x = 1;\n", "x"],
                 "outputs": [{"output_type": "stream", "name": "stdout", "text": "old"}], "execution_count": 7},
                {"cell_type": "code", "metadata": {"tags": ["raises-exception"]}, "source": "fail", "outputs": []},
                {"cell_type": "code", "metadata": {}, "source": " \n", "outputs": [{"old": 1}], "execution_count": 3},
                {"cell_type": "code", "metadata": {"tags": ["skip-execution"]}, "source": "x", "outputs": [], "execution_count": 4},
                {"cell_type": "raw", "metadata": {}, "source": ""},
            ],
        })
    }

    fn parse(value: &Value) -> Result<Document, DocumentError> {
        Document::parse(value.to_string().as_bytes())
    }

    #[test]
    fn finds_the_cells_to_run() {
        let document = parse(&notebook(5)).unwrap();
        assert_eq!(document.language(), Some("rust"));
        assert_eq!(
            document.code_cells(),
            [
                CodeCell { index: 1, id: Some("mine".into()), source: "let x = 1;\nx".into(), may_fail: false },
                CodeCell { index: 2, id: None, source: "fail".into(), may_fail: true },
            ]
        );
    }

    #[test]
    fn changes_nothing_but_outputs_counts_and_missing_ids() {
        let before = notebook(5);
        let mut document = parse(&before).unwrap();
        document.prepare();
        let result = json!({"output_type": "execute_result", "execution_count": 1, "metadata": {},
            "data": {"text/plain": "a\nb", "application/json": "a\nb", "application/vnd.x+json": {"y": 1}}});
        let times = [("iopub.status.busy", "2026-01-02T03:04:05.000000Z".to_owned())].into();
        let outputs = vec![Recorded::new(result, None)];
        let mut record = CellOutputs::default();
        (record.outputs, record.execution_count, record.times) = (outputs, Some(1), times);
        document.record(1, &record);
        let text = document.to_bytes().unwrap();
        assert!(text.ends_with(b"}\n"));
        let mut after: Value = serde_json::from_slice(&text).unwrap();

        let data = &after["cells"][1]["outputs"][0]["data"];
        assert_eq!(data["text/plain"], json!(["a\n", "b"]));
        assert_eq!((&data["application/json"], &data["application/vnd.x+json"]["y"]), (&json!("a\nb"), &json!(1)));
        assert_eq!(after["cells"][1]["execution_count"], 1);
        assert_eq!(after["cells"][1]["id"], "mine");
        let execution = after["cells"][1]["metadata"].as_object_mut().unwrap().remove("execution");
        assert_eq!(execution, Some(json!({"iopub.status.busy": "2026-01-02T03:04:05.000000Z"})));
        assert_eq!(after["cells"][3]["outputs"], json!([]), "an empty cell has no outputs");
        assert_eq!(after["cells"][4]["execution_count"], 4, "a skipped cell stays");
        assert_eq!(after["cells"][0]["id"].as_str().unwrap().len(), 8);

        let mut before = before;
        for notebook in [&mut before, &mut after] {
            for cell in notebook["cells"].as_array_mut().unwrap() {
                for field in ["id", "outputs", "execution_count"] {
                    cell.as_object_mut().unwrap().remove(field);
                }
            }
        }
        assert_eq!(after, before);
    }

    #[test]
    fn the_kernel_is_noted_and_another_one_that_is_named_stays() {
        let info = json!({"language_info": {"name": "rust", "file_extension": ".rs"}});
        let after = |notebook: &Value, info: &Value| {
            let mut document = parse(notebook).unwrap();
            document.ran_in(info, crate::install::kernelspec());
            serde_json::from_slice::<Value>(&document.to_bytes().unwrap()).unwrap()["metadata"].clone()
        };
        let mut expected = notebook(5)["metadata"].clone();
        expected["language_info"] = info["language_info"].clone();
        assert_eq!(after(&notebook(5), &info), expected);
        assert_eq!(after(&notebook(5), &json!({"status": "ok"})), notebook(5)["metadata"], "the kernel doesn't say");
        let bare = json!({"nbformat": 4, "cells": []});
        let kernelspec = json!({"name": "chorus", "display_name": "Rust (Chorus)", "language": "rust"});
        assert_eq!(after(&bare, &info)["kernelspec"], kernelspec);
    }

    #[test]
    fn older_minor_versions_get_no_ids() {
        let mut document = parse(&notebook(4)).unwrap();
        document.prepare();
        let after: Value = serde_json::from_slice(&document.to_bytes().unwrap()).unwrap();
        assert!(after["cells"][0].get("id").is_none());
    }

    #[test]
    fn parameters_stand_behind_their_definitions_or_where_they_stood() {
        let code =
            |source: &str, tags: &[&str]| json!({"cell_type": "code", "metadata": {"tags": tags}, "source": source});
        let markdown = json!({"cell_type": "markdown", "metadata": {"tags": ["parameters"]}, "source": "let x = 1;"});
        let sources = |document: &Document| -> Vec<String> {
            document.code_cells().into_iter().map(|cell| cell.source).collect()
        };
        let of = |cells: Vec<Value>| parse(&json!({"nbformat": 4, "cells": cells})).unwrap();

        let mut document =
            of(vec![markdown.clone(), code("a", &[]), code("let n = 1;", &["parameters"]), code("b", &[])]);
        let definitions = document.definitions().unwrap();
        assert_eq!((definitions.cell, definitions.variables.len()), (Some(2), 1));
        document.inject("// one\nlet n = 2;\n");
        assert_eq!(sources(&document), ["a", "let n = 1;", "// one\nlet n = 2;", "b"]);
        document.inject("let n = 3;\n");
        assert_eq!(sources(&document), ["a", "let n = 1;", "let n = 3;", "b"], "the older one is replaced");
        assert_eq!(document.root["cells"][3]["metadata"]["tags"], json!(["injected-parameters"]));

        let mut document = of(vec![markdown, code("a", &[])]);
        assert_eq!(document.definitions().unwrap_err(), ParameterError::NoCell);
        document.inject("let n = 3;");
        assert_eq!(sources(&document), ["let n = 3;", "a"]);
    }

    #[test]
    fn says_why_a_file_is_no_notebook() {
        let error = |text: &str| Document::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error("fn main() {}").contains("isn't JSON"));
        assert!(error("[]").contains("no \"nbformat\""));
        assert!(error(r#"{"nbformat": 3, "worksheets": []}"#).contains("jupyter nbconvert"));
        assert!(error(r#"{"nbformat": 5, "cells": []}"#).contains("only nbformat 4"));
        assert!(error(r#"{"nbformat": 4}"#).contains("\"cells\""));
        assert!(error(r#"{"nbformat": 4, "cells": [3]}"#).contains("cell 1 isn't an object"));
        assert!(error(r#"{"nbformat": 4, "cells": [{"cell_type": "code"}]}"#).contains("\"source\""));
        assert!(error(r#"{"nbformat": 4, "cells": [{"source": ["a", 1]}]}"#).contains("\"source\""));
    }
}
