//! The group of a run: the engines that it was sent to, which may do things together while it runs. Those that call a function
//! for one `each` have a run each, and are a group, too.

use crate::id::EngineId;
use crate::run::Outcome;
use crate::task::TaskFailure;
use serde::{Deserialize, Serialize};

/// What the names of groups' folders begin with.
pub const GROUP_PREFIX: &str = "group-";

/// Who runs a cell, or calls a function, together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The name of its folder, in the controller's folder of blobs. Who uses the group first makes it. It goes when all members
    /// have ended the run.
    pub name: String,
    /// All engines of the run, in order, also those that can't run it. A member's place among them is its rank.
    pub members: Vec<EngineId>,
}

/// How a member ended its run, as others are told that still wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parting {
    /// It came to the end of the cell or the call.
    Ended,
    /// It panicked, and has said itself how.
    Panicked,
    /// This is so of it, such as `was killed`.
    Failed(String),
}

impl Parting {
    /// As px's groups are told it: nothing if the member came to the end, and an empty text if it has said itself why.
    pub fn reason(self) -> Option<String> {
        match self {
            Parting::Ended => None,
            Parting::Panicked => Some(String::new()),
            Parting::Failed(how) => Some(how),
        }
    }
}

impl From<&Outcome> for Parting {
    fn from(outcome: &Outcome) -> Parting {
        Parting::Failed(match outcome {
            Outcome::Ok => return Parting::Ended,
            Outcome::Panicked => return Parting::Panicked,
            Outcome::ReturnedError => "left the cell with an error, by `?`".to_owned(),
            Outcome::Died(death, _) => format!("died in the cell: its worker {death}"),
            Outcome::TypesChanged(_) | Outcome::Stale => {
                "didn't run the cell: variables that it needs aren't there any more".to_owned()
            }
            Outcome::LoadFailed(why) => format!("couldn't load the cell: {why}"),
            Outcome::NoSuchEngine => "isn't there any more, and didn't run the cell".to_owned(),
            Outcome::Cancelled => "was interrupted before it ran the cell".to_owned(),
        })
    }
}

impl From<&TaskFailure> for Parting {
    fn from(failure: &TaskFailure) -> Parting {
        Parting::Failed(match failure {
            TaskFailure::Panicked(_) => return Parting::Panicked,
            TaskFailure::Died(death) => format!("died in the call: its worker {death}"),
            TaskFailure::NoSuchEngine(_) => "isn't there any more".to_owned(),
            other => format!("didn't come to the end of the call: {other}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Death;

    #[test]
    fn a_death_is_told_with_its_cause() {
        let Parting::Failed(how) = Parting::from(&Outcome::died(Death::Signal(9))) else { panic!("it is a failure") };
        assert_eq!(how, "died in the cell: its worker was killed by signal 9 (SIGKILL: killed, perhaps for memory)");
        assert_eq!(Parting::from(&Outcome::Ok), Parting::Ended);
        let Parting::Failed(how) = Parting::from(&TaskFailure::Died(Death::Exit(3))) else { panic!("it is a failure") };
        assert_eq!(how, "died in the call: its worker exited with status 3");
        assert_eq!(Parting::from(&TaskFailure::Panicked("no".into())), Parting::Panicked);
    }
}
