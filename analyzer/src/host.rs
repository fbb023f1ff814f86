//! rust-analyzer's state from one question to the next.

use crate::complete;
use crate::hover;
use crate::message::{Answer, Question, Request};
use crate::place::Place;
use crate::source::Wrapped;
use crate::workspace::{LoadError, Wanted, Workspace};
use ra_ap_ide::AnalysisHost;
use ra_ap_ide_db::ChangeWithProcMacros;
use std::path::{Path, PathBuf};

/// Answers after which rust-analyzer frees what it no longer needs.
const TIDY: u64 = 500;

pub(crate) struct Host {
    analysis: AnalysisHost,
    workspace: Workspace,
    builds: PathBuf,
    answered: u64,
}

impl Host {
    /// For the notebook whose builds are in the folder `builds`. Nothing is loaded yet.
    pub fn new(builds: &Path) -> Host {
        Host {
            analysis: AnalysisHost::default(),
            workspace: Workspace::new(builds.join("analyzer")),
            builds: builds.to_owned(),
            answered: 0,
        }
    }

    pub fn answer(&mut self, request: &Request) -> Answer {
        self.answered += 1;
        if self.answered.is_multiple_of(TIDY) {
            self.analysis.trigger_garbage_collection();
        }
        let place = match self.place(request) {
            Ok(place) => place,
            Err(error) => return Answer::Failed(error.to_string()),
        };
        let answer = match request.question {
            Question::Complete => complete::complete(&place).map(Answer::Completions),
            Question::Hover { detailed } => hover::hover(&place, detailed).map(Answer::Hover),
        };
        answer.unwrap_or_else(|_cancelled| Answer::Failed("rust-analyzer gave the question up".into()))
    }

    fn place(&mut self, request: &Request) -> Result<Place, LoadError> {
        let wrapped = Wrapped::new(&request.source);
        let wanted = Wanted::new(request, &self.builds);
        let mut change = ChangeWithProcMacros::default();
        let file = self.workspace.load(&wanted, &mut change)?;
        change.change_file(file, Some(wrapped.text.clone()));
        self.analysis.apply_change(change);
        Ok(Place { analysis: self.analysis.analysis(), file, wrapped })
    }
}
