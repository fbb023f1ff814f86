//! The group of a run: the engines that it was sent to, which may do things together while it runs.

use crate::id::EngineId;
use crate::run::Outcome;
use serde::{Deserialize, Serialize};

/// What the names of groups' folders begin with.
pub const GROUP_PREFIX: &str = "group-";

/// Who runs a cell together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The name of its folder, in the controller's folder of blobs. It is there until all members have ended the run.
    pub name: String,
    /// All engines of the run, in order, also those that can't run it. A member's place among them is its rank.
    pub members: Vec<EngineId>,
}

/// How a member ended its run, as others are told that still wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parting {
    /// It came to the end of the cell.
    Ended,
    /// It panicked, and has said itself how.
    Panicked,
    /// This is so of it, such as `was killed`.
    Failed(String),
}

impl Parting {
    /// As px's groups are told it: nothing if the member came to the cell's end, and an empty text if it has said itself why.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Death;

    #[test]
    fn a_death_is_told_with_its_cause() {
        let Parting::Failed(how) = Parting::from(&Outcome::died(Death::Signal(9))) else { panic!("it is a failure") };
        assert_eq!(how, "died in the cell: its worker was killed by signal 9 (SIGKILL: killed, perhaps for memory)");
        assert_eq!(Parting::from(&Outcome::Ok), Parting::Ended);
    }
}
