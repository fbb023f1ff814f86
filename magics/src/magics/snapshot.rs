//! `%snapshot`: whether variables outlive the workers that die.

use super::prelude::*;
use chorus_protocol::{SNAPSHOT_LIMIT, SnapshotPolicy};
use clap::Subcommand;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotCommand {
    /// From the next cell on.
    Set(SnapshotPolicy),
    /// Show the policy and the last snapshots.
    Status,
}

#[derive(Parser)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Option<Wanted>,
}

#[derive(Subcommand)]
enum Wanted {
    /// Keep a snapshot of before each cell
    On {
        /// For workers that hold at most so much: 512M, 8G, or none for no limit
        #[arg(long, value_name = "SIZE", value_parser = size)]
        limit: Option<u64>,
    },
    /// Keep none: a cell that dies takes the variables with it
    Off,
    /// Show what is kept; also what %snapshot alone does
    Status,
}

impl Magic for Flags {
    const NAME: &str = "snapshot";
    const GROUP: Group = Group::Notebook;
    const SUMMARY: &str = "Keeps variables when a cell crashes or is interrupted";
    const USAGE: &str = "%snapshot [on [--limit SIZE] | off | status]";
    const TEACHING: &str = "\
Before a cell runs, its worker makes a frozen copy of itself, which shares its memory. When the cell crashes, exits or
is interrupted, the copy carries on with the variables as they were before the cell; so it is on the engines. The copy
costs time where the cell then writes to much memory. Threads that earlier cells left go on in it; where one can't be
kept, the next cell says so. Files, pipes and connections aren't set back: what a cell wrote is written, and pipes and
sockets of a restored worker are closed.

Examples:
  %snapshot                    what the last snapshots were, and why there was none
  %snapshot off                for cells that write to many gigabytes
  %snapshot on                 for workers that hold up to 1 GiB
  %snapshot on --limit 8G      for larger ones; `none` for all";

    fn read<'a>(self, _: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        Ok(Command::Snapshot(match self.command {
            Some(Wanted::On { limit }) => SnapshotCommand::Set(SnapshotPolicy::UpTo(limit.unwrap_or(SNAPSHOT_LIMIT))),
            Some(Wanted::Off) => SnapshotCommand::Set(SnapshotPolicy::Off),
            Some(Wanted::Status) | None => SnapshotCommand::Status,
        }))
    }
}

fn size(text: &str) -> Result<u64, String> {
    let wrong = || "write a size such as 512M or 8G, or none".to_owned();
    if text.eq_ignore_ascii_case("none") {
        return Ok(u64::MAX);
    }
    let upper = text.to_ascii_uppercase();
    let upper = upper.trim_end_matches('B').trim_end_matches('I');
    let (number, shift) = match upper.char_indices().next_back() {
        Some((at, unit @ ('K' | 'M' | 'G' | 'T'))) => (&upper[..at], 10 * (1 + "KMGT".find(unit).unwrap_or(0) as u32)),
        _ => (upper, 0),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    if !number.is_finite() || number < 0.0 {
        return Err(wrong());
    }
    // Beyond the largest number, the conversion stays there.
    Ok((number * 2f64.powi(shift as i32)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let good = [("512M", 512 << 20), ("8g", 8 << 30), ("1.5GiB", 3 << 29), ("100", 100), ("none", u64::MAX)];
        for (text, bytes) in good {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "x", "-1G", "8X", "inf", "é"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
