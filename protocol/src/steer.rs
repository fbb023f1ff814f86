//! What operators have a cluster do, whoever's sessions that concerns.

use crate::engines::name_engines;
use crate::id::EngineId;
use crate::log::SessionNumber;
use crate::run::signal_name;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Between which limits the number of engines follows the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Adapt {
    /// At least so many stay, also when there is nothing to do.
    pub least: u32,
    /// At most.
    pub most: u32,
    /// After how many seconds without use an engine leaves.
    pub idle: u32,
}

impl Adapt {
    /// After how many seconds, when nobody says.
    const IDLE: u32 = 30;
}

impl fmt::Display for Adapt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Adapt { least, most, idle } = self;
        match *idle {
            Adapt::IDLE => write!(f, "{least}:{most}"),
            idle => write!(f, "{least}:{most}:{idle}"),
        }
    }
}

impl FromStr for Adapt {
    type Err = String;

    fn from_str(text: &str) -> Result<Adapt, String> {
        let numbers: Option<Vec<u32>> = text.split(':').map(|number| number.parse().ok()).collect();
        let adapt = match numbers.as_deref() {
            Some(&[least, most]) => Some(Adapt { least, most, idle: Adapt::IDLE }),
            Some(&[least, most, idle]) => Some(Adapt { least, most, idle }),
            _ => None,
        };
        let adapt = adapt.filter(|it| it.least <= it.most && it.most > 0);
        adapt.ok_or_else(|| "write the least and the most engines, such as 0:8".to_owned())
    }
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// End what runs on these engines and drop what is queued there, of all sessions. SIGKILL replaces the workers, by
    /// their snapshots if they have any.
    Interrupt {
        /// Where.
        engines: Vec<EngineId>,
        /// The signal for the workers.
        signal: i32,
    },
    /// Replace all sessions' workers on these engines by fresh ones: their variables are lost.
    Restart {
        /// Where.
        engines: Vec<EngineId>,
    },
    /// Send a signal to the engines' own processes. Those that end by it are started again if the cluster started them.
    Kill {
        /// Which.
        engines: Vec<EngineId>,
        /// The signal.
        signal: i32,
    },
    /// Have so many engines: new ones are started, or those of the highest ids are drained.
    Scale {
        /// How many.
        engines: u32,
    },
    /// Have the number of engines follow the work, or leave it as it is: see [`Adapt`].
    Adapt(Option<Adapt>),
    /// Have so many engines more, in a pool of their own or in one that is there.
    Add {
        /// How many.
        engines: u32,
        /// Where and how they are started, in JSON: `chorus_controller::Pool`, of which the protocol knows nothing.
        pool: String,
    },
    /// Give these engines nothing more, and have them leave when they have finished what they have.
    Drain {
        /// Which.
        engines: Vec<EngineId>,
    },
    /// End a call. Those that need it fail.
    CancelTask {
        /// Whose.
        session: SessionNumber,
        /// Which.
        task: u64,
    },
    /// End a map: what is done of it remains.
    CancelMap {
        /// Whose.
        session: SessionNumber,
        /// Which.
        map: u64,
    },
}

impl fmt::Display for Order {
    /// What it does, to be put behind "to" or "you want to".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Interrupt { engines, .. } => write!(f, "interrupt {}", name_engines(engines)),
            Order::Restart { engines } => write!(f, "restart the workers of {}", name_engines(engines)),
            Order::Kill { engines, signal } => match signal_name(*signal) {
                Some((name, _)) => write!(f, "send {name} to {}", name_engines(engines)),
                None => write!(f, "send signal {signal} to {}", name_engines(engines)),
            },
            Order::Scale { engines: 1 } => f.write_str("have 1 engine"),
            Order::Scale { engines } => write!(f, "have {engines} engines"),
            Order::Adapt(Some(Adapt { least, most, .. })) => write!(f, "have {least} to {most} engines"),
            Order::Adapt(None) => f.write_str("leave the number of engines"),
            Order::Add { engines: 1, .. } => f.write_str("have 1 engine more"),
            Order::Add { engines, .. } => write!(f, "have {engines} engines more"),
            Order::Drain { engines } => write!(f, "drain {}", name_engines(engines)),
            Order::CancelTask { session, task } => write!(f, "cancel call {task} of session {session}"),
            Order::CancelMap { session, map } => write!(f, "cancel map {map} of session {session}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_two_numbers_of_which_the_first_is_not_larger() {
        assert_eq!("0:8".parse(), Ok(Adapt { least: 0, most: 8, idle: 30 }));
        assert_eq!("2:2:5".parse(), Ok(Adapt { least: 2, most: 2, idle: 5 }));
        for text in ["0:8", "2:2:5"] {
            assert_eq!(text.parse::<Adapt>().unwrap().to_string(), text);
        }
        for text in ["", "8", "8:0", "0:0", ":", "a:b", "-1:2", "1:2:3:4"] {
            assert!(text.parse::<Adapt>().is_err(), "{text}");
        }
    }

    #[test]
    fn orders_read_as_ends_of_sentences() {
        let engines = vec![EngineId(0), EngineId(1), EngineId(4)];
        assert_eq!(Order::Kill { engines: engines.clone(), signal: 15 }.to_string(), "send SIGTERM to engines 0-1,4");
        assert_eq!(Order::Kill { engines, signal: 63 }.to_string(), "send signal 63 to engines 0-1,4");
        assert_eq!(Order::Add { engines: 2, pool: String::new() }.to_string(), "have 2 engines more");
        assert_eq!(Order::Scale { engines: 8 }.to_string(), "have 8 engines");
    }
}
