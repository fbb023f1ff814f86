//! Comms: channels between a front end and the kernel, beside the cells.
//!
//! A front end opens one for a target that it knows by name. This is the account of those that are open, and what is
//! said on them; it publishes nothing itself.

use chorus_cells::failure::bad_request;
use chorus_jupyter::content::Failure;
use chorus_protocol::EngineId;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a comm can be opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// Answers each message, and its opening, with the notebook's and the engines' variables.
    Variables,
}

/// All targets, by name.
const TARGETS: [(&str, Target); 1] = [("chorus.variables", Target::Variables)];

/// A variable of somebody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownVariable {
    /// Its name.
    pub name: String,
    /// Its type, as rustc writes it.
    pub type_name: String,
    /// The engine that has it; `None` for the notebook.
    pub engine: Option<EngineId>,
}

/// A message to the front ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// `comm_msg` or `comm_close`.
    pub msg_type: &'static str,
    /// Its content.
    pub content: Value,
}

/// The comms that are open, by id.
#[derive(Debug, Default)]
pub struct Comms(Mutex<BTreeMap<String, Target>>);

#[derive(Deserialize)]
struct Open {
    comm_id: String,
    target_name: String,
}

#[derive(Deserialize)]
struct Named {
    comm_id: String,
}

impl Comms {
    /// Takes a `comm_open`, `comm_msg` or `comm_close`. What it holds besides, buffers too, means nothing to the
    /// targets that there are.
    pub fn take(
        &self,
        msg_type: &str,
        content: &Value,
        variables: impl FnOnce() -> Vec<KnownVariable>,
    ) -> Result<Option<Said>, Failure> {
        let senseless = |error| bad_request(msg_type, &error);
        let mut comms = self.0.lock();
        let (comm_id, target) = if msg_type == "comm_open" {
            let Open { comm_id, target_name } = Open::deserialize(content).map_err(senseless)?;
            let target = TARGETS.iter().find(|(name, _)| *name == target_name).map(|(_, target)| *target);
            let Some(target) = target else {
                // There is nobody to talk to; the front end is told so.
                let content = json!({"comm_id": comm_id, "data": {}});
                return Ok(Some(Said { msg_type: "comm_close", content }));
            };
            comms.insert(comm_id.clone(), target);
            (comm_id, target)
        } else {
            let Named { comm_id } = Named::deserialize(content).map_err(senseless)?;
            if msg_type == "comm_close" {
                comms.remove(&comm_id);
                return Ok(None);
            }
            // One that isn't open was closed a moment ago.
            let Some(target) = comms.get(&comm_id).copied() else { return Ok(None) };
            (comm_id, target)
        };
        let data = match target {
            Target::Variables => json!({"variables": variables().iter().map(variable).collect::<Vec<_>>()}),
        };
        Ok(Some(Said { msg_type: "comm_msg", content: json!({"comm_id": comm_id, "data": data}) }))
    }

    /// The content of the reply to a `comm_info_request`.
    pub fn info(&self, content: &Value) -> Value {
        let wanted = content["target_name"].as_str();
        let name = |target: Target| TARGETS.iter().find(|(_, other)| *other == target).map_or("", |(name, _)| *name);
        let comms = self.0.lock();
        let open: Map<String, Value> = comms
            .iter()
            .map(|(id, target)| (id, name(*target)))
            .filter(|(_, name)| wanted.is_none_or(|wanted| wanted == *name))
            .map(|(id, name)| (id.clone(), json!({"target_name": name})))
            .collect();
        json!({"status": "ok", "comms": open})
    }
}

fn variable(variable: &KnownVariable) -> Value {
    json!({"name": variable.name, "type": variable.type_name, "engine": variable.engine.map(|engine| engine.0)})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(comms: &Comms, msg_type: &str, content: Value) -> Option<Said> {
        let known = |engine| KnownVariable { name: "a".into(), type_name: "Vec<u8>".into(), engine };
        comms.take(msg_type, &content, || vec![known(None), known(Some(EngineId(2)))]).unwrap()
    }

    #[test]
    fn an_unknown_target_is_closed_at_once() {
        let comms = Comms::default();
        let said = take(&comms, "comm_open", json!({"comm_id": "c", "target_name": "jupyter.widget", "data": {}}));
        assert_eq!(said, Some(Said { msg_type: "comm_close", content: json!({"comm_id": "c", "data": {}}) }));
        assert_eq!(comms.info(&json!({}))["comms"], json!({}));
    }

    #[test]
    fn variables_are_told_until_the_comm_is_closed() {
        let comms = Comms::default();
        let said = take(&comms, "comm_open", json!({"comm_id": "c", "target_name": "chorus.variables"})).unwrap();
        let variables = json!([
            {"name": "a", "type": "Vec<u8>", "engine": null},
            {"name": "a", "type": "Vec<u8>", "engine": 2},
        ]);
        assert_eq!((said.msg_type, &said.content["data"]["variables"]), ("comm_msg", &variables));
        assert_eq!(take(&comms, "comm_msg", json!({"comm_id": "c", "data": {}})), Some(said));

        assert_eq!(comms.info(&json!({}))["comms"], json!({"c": {"target_name": "chorus.variables"}}));
        assert_eq!(comms.info(&json!({"target_name": "other"}))["comms"], json!({}));
        assert_eq!(comms.info(&json!({"target_name": "chorus.variables"}))["comms"].as_object().unwrap().len(), 1);

        assert_eq!(take(&comms, "comm_close", json!({"comm_id": "c"})), None);
        assert_eq!(take(&comms, "comm_msg", json!({"comm_id": "c"})), None);
        assert_eq!(comms.info(&json!({}))["comms"], json!({}));
    }

    #[test]
    fn senseless_ones_are_refused() {
        for content in [Value::Null, json!({}), json!({"comm_id": 7}), json!({"target_name": "chorus.variables"})] {
            assert!(Comms::default().take("comm_open", &content, Vec::new).is_err(), "{content}");
        }
    }
}
