//! `%time` and `%timeit`.

use super::{Done, Executor, Request};
use crate::failure::{Kind, failure};
use chorus_magics::{Code, Time, TimeItFlags};
use chorus_protocol::Took;
use chorus_render::measured;
use std::time::{Duration, Instant};

/// What cells have cost so far, for `%time`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    compiled: Duration,
    /// Runs in the notebook's worker or on engines.
    runs: u32,
    /// Of how many engines a run had the most; 0 for the notebook's worker.
    engines: usize,
    wall: Duration,
    user: Duration,
    system: Duration,
}

impl Spent {
    /// The compiler was at work for so long.
    pub fn compiling(&mut self, took: Duration) {
        self.compiled += took;
    }

    /// A run has ended that was `waited` for, on so many engines, or, for 0, in the notebook's worker.
    pub fn ran(&mut self, waited: Duration, took: Took, engines: usize) {
        self.runs += 1;
        self.engines = self.engines.max(engines);
        // A worker that died couldn't say how long it ran.
        self.wall += if took == Took::default() { waited } else { Duration::from_micros(took.wall) };
        self.user += Duration::from_micros(took.user);
        self.system += Duration::from_micros(took.system);
    }

    /// Cells of the notebook waited for a map on so many engines, whose processors were as long at work as this says.
    pub fn mapped(&mut self, took: Took, engines: usize) {
        self.engines = self.engines.max(engines);
        self.user += Duration::from_micros(took.user);
        self.system += Duration::from_micros(took.system);
    }

    /// How long the compiler was at work.
    pub fn compiled(&self) -> Duration {
        self.compiled
    }

    /// Both together.
    pub fn add(&mut self, other: Spent) {
        self.compiled += other.compiled;
        self.runs += other.runs;
        self.engines = self.engines.max(other.engines);
        self.wall += other.wall;
        self.user += other.user;
        self.system += other.system;
    }

    /// `total` is for what is neither compiled nor run by a worker.
    fn text(&self, total: Duration) -> String {
        if self.compiled.is_zero() && self.runs == 0 {
            return format!("took {}", measured(total));
        }
        let compiled = format!("compiled in {}", measured(self.compiled));
        if self.runs == 0 {
            return compiled;
        }
        let (slowest, all) = match self.engines {
            0 => (String::new(), String::new()),
            1 => (" on one engine".to_owned(), String::new()),
            engines => (" on the slowest engine".to_owned(), format!(" on all {engines}")),
        };
        let [wall, user, system] = [self.wall, self.user, self.system].map(measured);
        format!("run {wall}{slowest} (user {user}, system {system}{all}); {compiled}")
    }
}

impl Executor {
    pub(super) async fn time(&mut self, timed: Time<'_>, request: &Request) -> Done {
        let before = std::mem::take(&mut self.spent);
        let started = Instant::now();
        let was_timing = std::mem::replace(&mut self.is_timing, true);
        let done = match timed {
            Time::Line(Code { text, line, column }) => {
                let padded = " ".repeat(column.saturating_sub(1)) + text;
                self.rust_or_px(&padded, line, request).await
            }
            // Cells don't nest deeper than this, see `magics::parse`.
            Time::Cell(parts) => Box::pin(self.run_parts(parts, request)).await,
        };
        self.is_timing = was_timing;
        // A cell that didn't compile has no time worth telling.
        if done.is_ok() || self.spent.runs > 0 {
            request.publisher.say(&self.spent.text(started.elapsed())).await;
        }
        self.spent.add(before);
        done
    }

    pub(super) async fn time_it(
        &mut self,
        flags: TimeItFlags,
        setup: Option<Code<'_>>,
        code: Code<'_>,
        request: &Request,
    ) -> Done {
        if code.text.trim().is_empty() {
            let what = "`%%timeit` needs code on the lines below it, which is what is timed";
            return Err(failure(Kind::MagicError, what));
        }
        let (text, first_line) = time_it_source(flags, setup, code);
        let was_timing = std::mem::replace(&mut self.is_timing, true);
        let done = self.rust_or_px(&text, first_line, request).await;
        self.is_timing = was_timing;
        done
    }
}

/// Rust that measures `code`, and the line of the cell at which it begins, perhaps 0. Setup and code keep their lines
/// and columns, so that errors point to where the user wrote them.
fn time_it_source(flags: TimeItFlags, setup: Option<Code<'_>>, code: Code<'_>) -> (String, usize) {
    let indent = |code: Code<'_>| " ".repeat(code.column.saturating_sub(1)) + code.text;
    let call = format!("::px::timeit({:?}, {}, || {{\n{}\n}})", flags.loops, flags.repeats, indent(code));
    // The block also keeps evcxr from taking a line that begins with a colon for one of its commands.
    match setup {
        None => (format!("{{{call}}};"), code.line.saturating_sub(1)),
        Some(setup) => (format!("{{\n{};{call}}};", indent(setup)), setup.line.saturating_sub(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_spent_is_told() {
        let mut spent = Spent::default();
        assert_eq!(spent.text(SECOND), "took 1.00 s");
        spent.compiled = Duration::from_millis(183);
        assert_eq!(spent.text(SECOND), "compiled in 183 ms");
        spent.ran(SECOND, Took { wall: 1_234_567, user: 2_100_000, system: 0 }, 0);
        assert_eq!(spent.text(SECOND), "run 1.23 s (user 2.10 s, system 0 s); compiled in 183 ms");
        spent.ran(SECOND, Took { wall: 60_000_000, user: 900_000, system: 12_345 }, 4);
        let expected = "run 1 min 1 s on the slowest engine (user 3.00 s, system 12.3 ms on all 4); compiled in 183 ms";
        assert_eq!(spent.text(SECOND), expected);
    }

    #[test]
    fn a_death_took_as_long_as_it_was_waited_for() {
        let mut spent = Spent::default();
        spent.ran(SECOND, Took::default(), 1);
        assert!(spent.text(SECOND).starts_with("run 1.00 s on one engine (user 0 s"), "{}", spent.text(SECOND));
        let mut all = Spent { compiled: SECOND, ..Spent::default() };
        all.add(spent);
        assert_eq!((all.compiled, all.wall, all.runs, all.engines), (SECOND, SECOND, 1, 1));
    }

    #[test]
    fn timed_code_keeps_its_lines_and_columns() {
        let cell = "%timeit -n 5 a + b\n";
        let flags = TimeItFlags { loops: Some(5), repeats: 7 };
        let (text, first) = time_it_source(flags, None, Code { text: "a + b", line: 1, column: 14 });
        assert_eq!(text, "{::px::timeit(Some(5), 7, || {\n             a + b\n})};");
        assert_eq!(text.lines().nth(1 - first).and_then(|line| line.find("a + b")), cell.find("a + b"));
        let (setup, code) =
            (Code { text: "let a = 1", line: 3, column: 10 }, Code { text: "a +\nb\n", line: 4, column: 1 });
        let (text, first) = time_it_source(TimeItFlags { loops: None, repeats: 3 }, Some(setup), code);
        assert_eq!(text, "{\n         let a = 1;::px::timeit(None, 3, || {\na +\nb\n\n})};");
        assert_eq!(text.lines().nth(5 - first), Some("b"));
    }
}
