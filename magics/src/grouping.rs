//! How outputs of several engines are put together.

use std::fmt;

/// The order of outputs that aren't shown as they arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Grouping {
    /// All stdout, then all stderr, then all displays, then all results, each in engine order.
    #[default]
    Type,
    /// As [`Grouping::Type`], with the displays collated: every engine's first, then every engine's second.
    Order,
    /// Engine by engine.
    Engine,
}

impl fmt::Display for Grouping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Grouping::Type => "type",
            Grouping::Order => "order",
            Grouping::Engine => "engine",
        })
    }
}
