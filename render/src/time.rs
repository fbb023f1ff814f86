//! Times and sizes in words.

use std::time::Duration;

/// A time as people say it, in its two largest units: `12 s`, `2 h 1 min`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A time that was measured: three digits and a unit, at most two behind the point; as [`duration`] from a minute on.
pub fn measured(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        0.0 => return "0 s".to_owned(),
        _ if seconds >= 60.0 => return duration(time),
        _ if seconds >= 0.9995 => (seconds, "s"),
        _ if seconds >= 0.000_999_5 => (seconds * 1e3, "ms"),
        _ => (seconds * 1e6, "µs"),
    };
    format!("{} {unit}", digits(value))
}

/// A size of data: `8 B`, `1.5 kB`, `800 MB`.
pub fn data_size(bytes: u64) -> String {
    let (mut size, mut unit) = (bytes as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if size < 1000.0 {
            break;
        }
        (size, unit) = (size / 1000.0, larger);
    }
    match unit == "B" || size >= 100.0 {
        true => format!("{size:.0} {unit}"),
        false => format!("{size:.1} {unit}"),
    }
}

fn digits(value: f64) -> String {
    let digits = match value {
        _ if value >= 99.95 => 0,
        _ if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (7265, "2 h 1 min"), (180_000, "2 d 2 h")]
        {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
        for (micros, text) in
            [(0, "0 s"), (7, "7.00 µs"), (12_345, "12.3 ms"), (999_600, "1.00 s"), (61_000_000, "1 min 1 s")]
        {
            assert_eq!(measured(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (800_000_000, "800 MB")] {
            assert_eq!(data_size(bytes), text);
        }
    }
}
