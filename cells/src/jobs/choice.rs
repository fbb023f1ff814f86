//! What `--gpu=auto` chooses: whether a map is done sooner by the processors or by GPUs. Decisions only.
//!
//! What an item takes on a processor is measured. What it takes on a GPU isn't known before the GPU has all of them, so that
//! is worked out, from figures that were measured once, on an H200: docs/gpu.md has them, under "Times".

use chorus_protocol::count;
use chorus_render::{data_size, measured};
use std::time::Duration;

/// Bytes a second to a GPU from memory that isn't pinned, and back: 0.4 GB took 57 ms and 29 ms.
const THERE: f64 = 0.4e9 / 57e-3;
const BACK: f64 = 0.4e9 / 29e-3;
/// Seconds that the driver takes for code that is new to it, if it is as short as `square`.
const NEW_CODE: f64 = 26e-3;
/// Seconds of a launch and its end.
const LAUNCH: f64 = 18e-6;
/// A GPU with enough to do does what so many cores do: `x*x+1` over 1e8 items took 11.9 ms on 16 cores and 0.318 ms there.
const CORES: f64 = 16.0 * 11.9e-3 / 318e-6;
/// Threads that it runs at once: its maker says that it has 132 multiprocessors of 2,048. With fewer items the others idle.
/// A thread that has less company runs faster than this tells, which wasn't measured.
const AT_ONCE: f64 = 132.0 * 2048.0;

/// What is known of a map before it begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// How many items.
    pub items: u64,
    /// What an item and its result take on the way to a GPU and back, in bytes.
    pub item_bytes: u64,
    pub result_bytes: u64,
    /// What the first items took.
    pub sample: Sample,
    /// Cores that would work.
    pub cores: u32,
    /// GPUs that would.
    pub gpus: u32,
    /// Whether the driver has had the code before.
    pub is_loaded: bool,
}

/// Items that a processor has worked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// How many. 0 says that the first one isn't done yet.
    pub items: u64,
    /// What they took, or the first one has taken so far.
    pub time: Duration,
}

/// Seconds that a map takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    item: f64,
    processors: f64,
    code: f64,
    bus: f64,
    work: f64,
}

impl Facts {
    /// How long the map takes by either.
    pub fn estimate(&self) -> Estimate {
        let items = self.items as f64;
        let item = self.sample.time.as_secs_f64() / self.sample.items.max(1) as f64;
        // Items can't be divided.
        let in_turn = (items / f64::from(self.cores.max(1))).max(items.min(1.0));
        let each = items / f64::from(self.gpus.max(1));
        Estimate {
            item,
            processors: item * in_turn,
            code: if self.is_loaded { 0.0 } else { NEW_CODE },
            bus: each * (self.item_bytes as f64 / THERE + self.result_bytes as f64 / BACK),
            work: LAUNCH + item * each.max(AT_ONCE) / CORES,
        }
    }

    /// What was chosen and why, in a line.
    pub fn sentence(&self) -> String {
        let estimate = self.estimate();
        let took = match self.sample.items {
            0 => format!("the first item took more than {}", of(estimate.item)),
            1 => format!("an item took {}", of(estimate.item)),
            many => format!("an item took {}, of {many} that were tried", of(estimate.item)),
        };
        let (cores, gpus) = (count(self.cores.into(), "core"), count(self.gpus.into(), "GPU"));
        let processors = format!("about {} by {cores} ({took})", of(estimate.processors));
        let bytes = self.items.saturating_mul(self.item_bytes.saturating_add(self.result_bytes));
        let mut parts = vec![
            format!("{} for {} on the bus", of(estimate.bus), data_size(bytes)),
            format!("{} for the launch and the work", of(estimate.work)),
        ];
        if !self.is_loaded {
            parts.insert(0, format!("{} for new code", of(estimate.code)));
        }
        let by_gpus = format!("about {} by {gpus} ({})", of(estimate.gpus()), parts.join(", "));
        match estimate.is_for_gpus() {
            true => format!("--gpu=auto: by GPUs, {by_gpus}, and not on the processors, {processors}."),
            false => format!("--gpu=auto: on the processors, {processors}, and not by GPUs, {by_gpus}."),
        }
    }
}

impl Estimate {
    /// Whether GPUs are faster.
    pub fn is_for_gpus(&self) -> bool {
        self.gpus() < self.processors
    }

    fn gpus(&self) -> f64 {
        self.code + self.bus + self.work
    }
}

/// A time in words. An item may take less than a microsecond, of which [`measured`] knows no parts.
fn of(seconds: f64) -> String {
    match seconds {
        0.0..1e-7 => format!("{:.1} ns", seconds * 1e9),
        _ => measured(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts {
        items: 100_000_000,
        item_bytes: 4,
        result_bytes: 4,
        sample: Sample { items: 1_000_000, time: Duration::from_micros(1_904) },
        cores: 16,
        gpus: 1,
        is_loaded: true,
    };

    fn is_for_gpus(facts: Facts) -> bool {
        facts.estimate().is_for_gpus()
    }

    fn each(micros: u64) -> Sample {
        Sample { items: 1_000, time: Duration::from_micros(micros * 1_000) }
    }

    #[test]
    fn what_was_measured_comes_out_of_it() {
        // `x*x+1` over 1e8 numbers: 11.9 ms on 16 cores, 0.318 ms on the GPU, and 86 ms on the way.
        let Estimate { processors, bus, work, .. } = FACTS.estimate();
        assert!((processors - 11.9e-3).abs() < 1e-4, "{processors}");
        assert!((bus - 86e-3).abs() < 1e-4, "{bus}");
        assert!((work - 0.336e-3).abs() < 1e-5, "{work}");
        assert!(!is_for_gpus(FACTS));
    }

    #[test]
    fn heavy_items_go_to_the_gpu_and_few_or_light_ones_do_not() {
        assert!(is_for_gpus(Facts { sample: each(1), ..FACTS }));
        assert!(!is_for_gpus(Facts { sample: each(1), items: 5_000, ..FACTS }), "they don't fill the GPU");
        assert!(!is_for_gpus(Facts { sample: each(1), result_bytes: 1_000, ..FACTS }), "results are large");
        assert!(is_for_gpus(Facts { sample: each(1_000), items: 10_000, ..FACTS }));
        assert!(!is_for_gpus(Facts { sample: each(1_000), items: 10, ..FACTS }), "there is a core for each");
    }

    #[test]
    fn new_code_and_more_of_either_kind_count() {
        let near = Facts { sample: each(1), items: 300_000, ..FACTS };
        assert!(is_for_gpus(near));
        assert!(!is_for_gpus(Facts { is_loaded: false, ..near }), "the driver takes longer than the processors");
        let carried = Facts { sample: each(1), result_bytes: 900, ..FACTS };
        assert!(!is_for_gpus(carried) && is_for_gpus(Facts { gpus: 8, ..carried }), "each GPU has a bus of its own");
        assert!(is_for_gpus(Facts { cores: 1, ..FACTS }) && !is_for_gpus(FACTS));
    }

    #[test]
    fn odd_facts_are_no_trouble() {
        for items in [0, 1, u64::MAX] {
            for sample in [Sample::default(), Sample { items: 0, time: Duration::MAX }, each(0)] {
                let facts = Facts { items, sample, cores: 0, gpus: 0, item_bytes: 0, result_bytes: u64::MAX, ..FACTS };
                assert!(!facts.sentence().is_empty());
            }
        }
        assert!(!is_for_gpus(Facts { items: 0, ..FACTS }));
    }

    #[test]
    fn the_choice_is_told_with_its_figures() {
        assert_eq!(
            FACTS.sentence(),
            "--gpu=auto: on the processors, about 11.9 ms by 16 cores (an item took 1.9 ns, of 1000000 that were tried), \
             and not by GPUs, about 86.3 ms by 1 GPU (86.0 ms for 800 MB on the bus, 336 µs for the launch and the work)."
        );
        let long = Sample { items: 0, time: Duration::from_millis(100) };
        let facts = Facts { sample: long, items: 100_000, cores: 2, gpus: 2, is_loaded: false, ..FACTS };
        assert_eq!(
            facts.sentence(),
            "--gpu=auto: by GPUs, about 45.2 s by 2 GPUs (26.0 ms for new code, 43.0 µs for 800 kB on the bus, 45.2 s for the \
             launch and the work), and not on the processors, about 1 h 23 min by 2 cores (the first item took more than \
             100 ms)."
        );
    }
}
