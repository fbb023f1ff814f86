//! Contents of messages.
//!
//! The crate [`jupyter_protocol`] has types for them; a test sees that it reads what stands here. Used of it is
//! [`ExecutionState`]. Why not the others:
//! - `JupyterMessage`, `Header`: lose what they don't know of a header (`subshell_id`), and buffers.
//! - `ConnectionInfo`: refuses a file without a signature scheme, loses its other fields, and shows the key when printed.
//! - `ExecuteRequest`: refuses what leaves out `silent`; one expression that isn't a string fails the whole cell.
//! - `KernelInfoReply`: has no `supported_features`, without which no front end asks for subshells.
//! - `Media` in `DisplayData`, `ExecuteResult`: parses and rebuilds data that only pass through here.
//! - `ErrorOutput`, `ReplyError`: can't be compared or shown as an error.
//! - `StreamContent`, `ExecuteInput`, `ClearOutput`: take more lines to construct than to write.

use jupyter_protocol::ExecutionState;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// `execute_request`. Absent fields have the defaults that the protocol gives them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecuteRequest {
    /// The cell's text.
    pub code: String,
    /// Publish nothing but states, count nothing, keep no history.
    #[serde(default)]
    pub silent: bool,
    /// Count it and keep it in the history; `None` means "unless silent".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_history: Option<bool>,
    /// Expressions to evaluate after the code, by name.
    #[serde(default)]
    pub user_expressions: Map<String, Value>,
    /// Whether the front end answers an `input_request`.
    #[serde(default = "yes")]
    pub allow_stdin: bool,
    /// Whether requests that wait are aborted when this one fails.
    #[serde(default = "yes")]
    pub stop_on_error: bool,
}

fn yes() -> bool {
    true
}

impl ExecuteRequest {
    /// Runs `code` as a cell.
    pub fn new(code: impl Into<String>) -> ExecuteRequest {
        ExecuteRequest {
            code: code.into(),
            silent: false,
            store_history: None,
            user_expressions: Map::new(),
            allow_stdin: true,
            stop_on_error: true,
        }
    }

    /// Whether the request is counted and kept: a silent one never is.
    pub fn stores_history(&self) -> bool {
        !self.silent && self.store_history.unwrap_or(true)
    }
}

/// What a failed reply, and an `error` message on iopub, say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of error.
    #[serde(default)]
    pub ename: String,
    /// The error in one sentence.
    #[serde(default)]
    pub evalue: String,
    /// Lines to show, perhaps with ANSI colours.
    #[serde(default)]
    pub traceback: Vec<String>,
}

impl Failure {
    /// The content of an `error` message.
    pub fn publication(&self) -> Value {
        json!({"ename": self.ename, "evalue": self.evalue, "traceback": self.traceback})
    }

    /// The content of any reply with status `error`; an `execute_reply` also wants its `execution_count`.
    pub fn reply(&self) -> Value {
        json!({"status": "error", "ename": self.ename, "evalue": self.evalue, "traceback": self.traceback})
    }
}

/// `status`: what the kernel does.
pub fn status(state: &ExecutionState) -> Value {
    json!({"execution_state": state})
}

/// `stream`: text for `stdout` or `stderr`.
pub fn stream(name: &str, text: &str) -> Value {
    json!({"name": name, "text": text})
}

/// `execute_input`: what runs, for the other front ends.
pub fn execute_input(code: &str, execution_count: u64) -> Value {
    json!({"code": code, "execution_count": execution_count})
}

/// `execute_result`: the value of the cell, in all its representations.
pub fn execute_result(execution_count: u64, data: Map<String, Value>) -> Value {
    json!({"execution_count": execution_count, "data": data, "metadata": {}})
}

/// `display_data`, or with the id of an earlier display `update_display_data`.
pub fn display_data(data: Map<String, Value>, display_id: Option<&str>) -> Value {
    let transient = display_id.map_or(json!({}), |id| json!({"display_id": id}));
    json!({"data": data, "metadata": {}, "transient": transient})
}

/// `clear_output`; with `wait`, when the next output comes.
pub fn clear_output(wait: bool) -> Value {
    json!({"wait": wait})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_execute_request_has_the_protocols_defaults() {
        let request: ExecuteRequest = serde_json::from_value(json!({"code": "1"})).unwrap();
        assert_eq!(request, ExecuteRequest::new("1"));
        assert!(request.stores_history());
        let silent: ExecuteRequest =
            serde_json::from_value(json!({"code": "1", "silent": true, "store_history": true})).unwrap();
        assert!(!silent.stores_history());
        assert!(serde_json::from_value::<ExecuteRequest>(json!({})).is_err());
    }

    #[test]
    fn contents_are_what_jupyters_own_types_read() {
        use jupyter_protocol::{ClearOutput, DisplayData, ErrorOutput, ExecuteInput, ExecuteResult, StreamContent};
        let data = Map::from_iter([("text/plain".to_owned(), json!("2"))]);
        let failure = Failure { ename: "E".into(), evalue: "e".into(), traceback: vec!["t".into()] };
        assert_eq!(serde_json::from_value::<StreamContent>(stream("stderr", "x")).unwrap().text, "x");
        assert_eq!(serde_json::from_value::<ExecuteInput>(execute_input("a", 3)).unwrap().execution_count.0, 3);
        assert_eq!(
            serde_json::from_value::<ExecuteResult>(execute_result(4, data.clone())).unwrap().execution_count.0,
            4
        );
        assert_eq!(serde_json::from_value::<ErrorOutput>(failure.publication()).unwrap().traceback, ["t"]);
        assert!(serde_json::from_value::<ClearOutput>(clear_output(true)).unwrap().wait);
        let display: DisplayData = serde_json::from_value(display_data(data, Some("d1"))).unwrap();
        assert_eq!(display.transient.unwrap().display_id.as_deref(), Some("d1"));
        assert_eq!(failure.reply()["status"], "error");
    }
}
