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
    /// Ten iterations of k-means, with as many points as items
    Kmeans,
}

fn main() {
    let args = Args::parse();
    let mut milliseconds = Vec::with_capacity(args.repeat);
    let numbers: Vec<f64> = match args.what {
        What::Copy => (0..args.items).map(|n| n as f64).collect(),
        _ => Vec::new(),
    };
    let cloud = match args.what {
        What::Kmeans => points(args.items as usize),
        _ => Vec::new(),
    };
    for _ in 0..args.repeat {
        let items = (0..black_box(args.items)).into_par_iter();
        let begin = Instant::now();
        match args.what {
            What::Square => _ = black_box(items.map(|x| x * x).collect::<Vec<u64>>()),
            What::Sum => _ = black_box(items.map(|x| x ^ 3).sum::<u64>()),
            What::Copy => _ = black_box(numbers.clone()),
            What::Kmeans => _ = black_box(kmeans(&cloud)),
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

const CENTERS: usize = 8;

/// Parts of the points, as engines have them.
const PARTS: usize = 4;

type Point = [f64; 2];

/// Ten iterations, as `bench/maps.py` has them in a notebook.
fn kmeans(points: &[Point]) -> Vec<Point> {
    let mut centers = points[..CENTERS].to_vec();
    for _ in 0..10 {
        let parts: Vec<&[Point]> = points.chunks(points.len().div_ceil(PARTS)).collect();
        let sums: Vec<_> = parts.into_par_iter().map(|part| tally(part, &centers)).collect();
        centers = moved(&sums);
    }
    centers
}

fn points(n: usize) -> Vec<Point> {
    let mut seed = 1u64;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..n).map(|_| [next(), next()]).collect()
}

/// For each center, the sums of the points that it is nearest to, and their number.
fn tally(part: &[Point], centers: &[Point]) -> Vec<[f64; 3]> {
    let mut sums = vec![[0.0; 3]; centers.len()];
    for p in part {
        let (mut best, mut least) = (0, f64::INFINITY);
        for (k, c) in centers.iter().enumerate() {
            let far = (p[0] - c[0]).powi(2) + (p[1] - c[1]).powi(2);
            if far < least {
                (best, least) = (k, far);
            }
        }
        let sum = &mut sums[best];
        *sum = [sum[0] + p[0], sum[1] + p[1], sum[2] + 1.0];
    }
    sums
}

fn moved(all: &[Vec<[f64; 3]>]) -> Vec<Point> {
    let of = |k: usize| all.iter().fold([0.0; 3], |a, b| [a[0] + b[k][0], a[1] + b[k][1], a[2] + b[k][2]]);
    (0..all[0].len()).map(of).map(|sum| [sum[0] / sum[2], sum[1] / sum[2]]).collect()
}
