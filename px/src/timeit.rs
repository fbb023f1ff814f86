//! What `%timeit` compiles to: a loop around the user's expression, and what it measured as a line of text.

use crate::tree::layout::grouped;
use std::fmt;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

/// A repeat that lasts so long tells the time of one loop well enough.
const ENOUGH: Duration = Duration::from_millis(200);

/// Loops of a repeat: work that the optimizer removed takes no time however often it runs.
const MOST: u64 = 1_000_000_000;

/// Measures how long a call of `work` takes and prints it: `repeats` times it is called `loops` times, or so often that
/// this takes about 0.2 s. It prints a line such as
/// `12.3 µs ± 214 ns per loop (mean ± std. dev. of 7 runs, 10,000 loops each)`.
pub fn timeit<T>(loops: Option<u64>, repeats: u32, mut work: impl FnMut() -> T) {
    let mut first = None;
    let loops = loops.unwrap_or_else(|| {
        let (loops, took) = enough(|loops| run(loops, &mut work));
        first = Some(took);
        loops
    });
    // What was measured to find the number of loops is the first repeat.
    let repeats = (0..repeats.max(1)).map(|_| first.take().unwrap_or_else(|| run(loops, &mut work)));
    let measured = Measured::new(loops, &repeats.collect::<Vec<Duration>>());
    // A cell may have closed its stdout; there is nobody to tell.
    let _ = writeln!(std::io::stdout(), "{measured}");
}

fn run<T>(loops: u64, work: &mut impl FnMut() -> T) -> Duration {
    let begin = Instant::now();
    for _ in 0..loops {
        black_box(work());
    }
    begin.elapsed()
}

/// The first of 1, 2, 5, 10, 20, ... loops that takes long enough, and how long it took.
fn enough(mut run: impl FnMut(u64) -> Duration) -> (u64, Duration) {
    let mut loops: u64 = 1;
    loop {
        let took = run(loops);
        if took >= ENOUGH || loops >= MOST {
            return (loops, took);
        }
        let decade = 10_u64.pow(loops.ilog10());
        loops = decade
            * match loops / decade {
                1 => 2,
                2 => 5,
                _ => 10,
            };
    }
}

/// What repeats of so many loops say of one.
#[derive(Debug, PartialEq)]
struct Measured {
    loops: u64,
    repeats: usize,
    /// Of one loop, in seconds.
    mean: f64,
    deviation: f64,
}

impl Measured {
    fn new(loops: u64, repeats: &[Duration]) -> Measured {
        let each: Vec<f64> = repeats.iter().map(|took| took.as_secs_f64() / loops.max(1) as f64).collect();
        let count = each.len().max(1) as f64;
        let mean = each.iter().sum::<f64>() / count;
        let variance = each.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / count;
        Measured { loops, repeats: each.len(), mean, deviation: variance.sqrt() }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        write!(f, "{} ± {} per loop ", seconds(self.mean), seconds(self.deviation))?;
        write!(f, "(mean ± std. dev. of {} run{}, ", self.repeats, plural(self.repeats as u64))?;
        write!(f, "{} loop{} each)", grouped(self.loops), plural(self.loops))
    }
}

/// Three digits and a unit: `1.23 ms`.
fn seconds(seconds: f64) -> String {
    if seconds >= 60.0 {
        let whole = seconds.round() as u64;
        return format!("{} min {} s", whole / 60, whole % 60);
    }
    let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")];
    // 999.6 ns are 1.00 µs, so it is the rounded number that must be at least 1.
    let (unit, name) = units.into_iter().find(|(unit, _)| seconds / unit >= 0.9995).unwrap_or((1e-9, "ns"));
    let value = seconds / unit;
    let digits = match value {
        _ if value >= 99.95 => 0,
        _ if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_grow_until_a_repeat_lasts() {
        let mut tried = Vec::new();
        let (loops, took) = enough(|loops| {
            tried.push(loops);
            Duration::from_millis(3) * loops as u32
        });
        assert_eq!((loops, took), (100, Duration::from_millis(300)));
        assert_eq!(tried, [1, 2, 5, 10, 20, 50, 100]);
        assert_eq!(enough(|_| ENOUGH).0, 1);
        assert_eq!(enough(|_| Duration::ZERO).0, MOST);
    }

    #[test]
    fn every_repeat_calls_the_work_so_often() {
        let mut calls = 0;
        timeit(Some(3), 2, || calls += 1);
        assert_eq!(calls, 6);
    }

    #[test]
    fn a_loop_has_a_mean_and_a_deviation() {
        let measured = Measured::new(10_000, &[Duration::from_millis(121), Duration::from_millis(125)]);
        assert_eq!(measured.to_string(), "12.3 µs ± 200 ns per loop (mean ± std. dev. of 2 runs, 10,000 loops each)");
        let one = Measured::new(1, &[Duration::from_millis(1500)]).to_string();
        assert_eq!(one, "1.50 s ± 0.00 ns per loop (mean ± std. dev. of 1 run, 1 loop each)");
    }

    #[test]
    fn times_have_three_digits() {
        for (time, text) in [
            (0.0, "0.00 ns"),
            (0.4e-9, "0.40 ns"),
            (9.999e-9, "10.0 ns"),
            (999.6e-9, "1.00 µs"),
            (0.123, "123 ms"),
            (59.94, "59.9 s"),
            (61.2, "1 min 1 s"),
        ] {
            assert_eq!(seconds(time), text);
        }
        assert_eq!(
            ["7", "1,000", "12,345,678"],
            [grouped(7), grouped(1000), grouped(12_345_678)].map(|s| s.leak() as &str)
        );
    }
}
