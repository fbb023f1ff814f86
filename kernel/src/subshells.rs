//! Subshells (JEP 91): further shells of one kernel, each with a queue of its own for what a front end asks.
//!
//! All but cells is answered at once here, in the main shell too, so a subshell only has to be known. Cells run one
//! after the other in the order in which they come, whichever shell they are for: they share the notebook's variables,
//! and a cell that runs has borrowed them. A failed cell aborts those of its own shell only.

use chorus_cells::failure::{Kind, failure};
use chorus_jupyter::content::Failure;
use chorus_jupyter::random_id;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The subshells that there are.
#[derive(Debug, Default)]
pub struct Subshells(Mutex<BTreeSet<String>>);

impl Subshells {
    /// Answers `create_subshell_request`.
    pub fn create(&self) -> Value {
        let id = random_id();
        self.ids().insert(id.clone());
        json!({"status": "ok", "subshell_id": id})
    }

    /// Answers `delete_subshell_request`. Cells that wait in it still run.
    pub fn delete(&self, content: &Value) -> Result<Value, Failure> {
        let id = content["subshell_id"].as_str().unwrap_or_default();
        match self.ids().remove(id) {
            true => Ok(json!({"status": "ok"})),
            false => Err(unknown(id)),
        }
    }

    /// Answers `list_subshell_request`.
    pub fn list(&self) -> Value {
        json!({"status": "ok", "subshell_id": *self.ids()})
    }

    /// Whether a request may be for this shell; `None` is the main one.
    pub fn check(&self, id: Option<&str>) -> Result<(), Failure> {
        match id {
            Some(id) if !self.ids().contains(id) => Err(unknown(id)),
            _ => Ok(()),
        }
    }

    fn ids(&self) -> parking_lot::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock()
    }
}

fn unknown(id: &str) -> Failure {
    failure(Kind::SubshellNotFound, format!("there is no subshell `{id}`: it was deleted, or the kernel was restarted"))
        .content()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subshell_is_there_until_it_is_deleted() {
        let subshells = Subshells::default();
        let created = subshells.create();
        let id = created["subshell_id"].as_str().unwrap();
        let other = subshells.create()["subshell_id"].clone();
        assert_eq!(subshells.list()["subshell_id"].as_array().unwrap().len(), 2);
        assert_eq!(subshells.check(Some(id)), Ok(()));
        assert_eq!(subshells.delete(&created).unwrap()["status"], "ok");
        assert_eq!(subshells.list()["subshell_id"], json!([other]));
        assert!(subshells.check(Some(id)).is_err());
        assert!(subshells.delete(&created).is_err());
        assert!(subshells.delete(&Value::Null).is_err());
        assert_eq!(subshells.check(None), Ok(()), "the main shell is always there");
    }
}
