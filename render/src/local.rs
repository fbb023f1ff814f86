//! A cell that runs in the notebook's own worker: nothing is prefixed, and its value is the cell's result.

use super::output::{Output, push_text};
use super::run::{Place, Run, Source, Step};
use crate::failure::RunFailure;
use chorus_protocol::{RunEvent, Stream};
use serde_json::Map;

/// The state of one such cell.
#[derive(Clone, Debug)]
pub struct LocalView {
    run: Run,
    has_result: bool,
    lost: Vec<String>,
    failure: Option<RunFailure>,
}

impl LocalView {
    /// A cell that ends in an expression, or doesn't.
    pub fn new(has_result: bool) -> LocalView {
        LocalView { run: Run::new(Source::Local), has_result, lost: Vec::new(), failure: None }
    }

    /// The variables that are gone if the worker dies. To be told before that event.
    pub fn lost(&mut self, variables: Vec<String>) {
        self.lost = variables;
    }

    /// Takes an event; `place` is where in the user's cell a panic happened, as far as the caller knows.
    pub fn event(&mut self, event: &RunEvent, place: Option<Place>) -> Vec<Output> {
        let mut outputs = Vec::new();
        for step in self.run.event(event, place, self.has_result) {
            match step {
                Step::Text(stream, text) => push_text(&mut outputs, stream, &text),
                Step::Display(data) => outputs.push(Output::display(data)),
                Step::Named(id, data) => outputs.push(Output::named(id, data)),
                Step::Update(id, data) => outputs.push(Output::Update { id, data }),
                Step::Clear { wait } => outputs.push(Output::Clear { wait }),
                Step::Panic(panicked) => push_text(&mut outputs, Stream::Stderr, &(panicked.headline() + "\n")),
                Step::Result(data) => outputs.push(Output::Result { data, metadata: Map::new() }),
                Step::Failed(failure) => {
                    self.failure = Some(RunFailure { lost: std::mem::take(&mut self.lost), ..failure });
                }
                Step::Done => {}
            }
        }
        outputs
    }

    /// How it failed, if it did.
    pub fn failure(&mut self) -> Option<RunFailure> {
        self.failure.take()
    }
}
