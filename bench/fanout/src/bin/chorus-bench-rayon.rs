//! What `bench/map.py` measures beside Chorus: one process that does the same with rayon, on all cores.

use clap::{Parser, ValueEnum};
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};
use std::hint::black_box;
use std::time::Instant;

/// Measures rayon in one process.
#[derive(Debug, Parser)]
struct Args {
    /// What to do
    what: What,
    /// With how many items
    items: u64,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 3)]
    repeat: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Squares into a Vec
    Square,
    /// The sum of the items with two bits of each turned
    Sum,
    /// The skewed work of `bench/map.py`
    Skewed,
    /// A copy of a Vec of f64 (one thread's work, as in any program)
    Copy,
}

fn main() {
    let args = Args::parse();
    let mut milliseconds = Vec::with_capacity(args.repeat);
    let numbers: Vec<f64> = match args.what {
        What::Copy => (0..args.items).map(|n| n as f64).collect(),
        _ => Vec::new(),
    };
    for _ in 0..args.repeat {
        let items = (0..black_box(args.items)).into_par_iter();
        let begin = Instant::now();
        match args.what {
            What::Square => _ = black_box(items.map(|x| x * x).collect::<Vec<u64>>()),
            What::Sum => _ = black_box(items.map(|x| x ^ 3).sum::<u64>()),
            What::Copy => _ = black_box(numbers.clone()),
            What::Skewed => {
                // Ranges of u64 can't be split at will.
                let items = (0..black_box(args.items) as usize).into_par_iter().with_max_len(1);
                _ = black_box(items.map(|item| work(item as u64)).sum::<f64>());
            }
        }
        milliseconds.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    println!("{}", serde_json::json!({ "milliseconds": milliseconds }));
}

/// One item in 100 takes 50 times as long as the others.
fn work(item: u64) -> f64 {
    let steps = if item.is_multiple_of(100) { 1_000_000 } else { 20_000 };
    (0..steps).fold(item as f64, |x, _| (x * 1.000_001 + 1.0).sqrt())
}
