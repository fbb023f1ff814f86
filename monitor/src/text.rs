//! Figures as people read them: short, and always of the same width in a column.

/// What isn't known.
pub const UNKNOWN: &str = "n/a";

/// `512`, `1.5K`, `12M`, `3.2G`: bytes in at most five characters.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["", "K", "M", "G", "T", "P"];
    let (mut amount, mut unit) = (bytes as f64, 0);
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        (amount, unit) = (amount / 1024.0, unit + 1);
    }
    match unit {
        0 => format!("{bytes}B"),
        _ if amount < 9.95 => format!("{amount:.1}{}", UNITS[unit]),
        _ => format!("{amount:.0}{}", UNITS[unit]),
    }
}

/// `1.2M/s`.
pub fn rate(per_second: f64) -> String {
    format!("{}/s", bytes(per_second.max(0.0) as u64))
}

/// `0.4s`, `12s`, `3m05s`, `2h10m`, `3d04h`.
pub fn millis(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..10 => format!("{:.1}s", millis as f64 / 1000.0),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Microseconds: `340µs`, `12ms`, and longer ones as [`millis`].
pub fn micros(micros: u64, utf8: bool) -> String {
    match micros {
        0..1000 => format!("{micros}{}", if utf8 { "µs" } else { "us" }),
        1000..1_000_000 => format!("{}ms", micros / 1000),
        _ => millis(micros / 1000),
    }
}

/// The time of day in UTC, `14:03:59`.
pub fn clock(millis: u64) -> String {
    let seconds = millis / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A text that a terminal shows as it is: on one line, tabs as blanks, of a line that was written over what came last,
/// and without escape sequences.
pub fn clean(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    let text = text.rsplit('\r').next().unwrap_or(text);
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' if chars.next_if_eq(&'[').is_some() => _ = chars.find(|c| ('@'..='~').contains(c)),
            '\x1b' => {}
            '\t' => (0..4 - clean.chars().count() % 4).for_each(|_| clean.push(' ')),
            '\n' => clean.push(' '),
            c if c.is_control() => {}
            c => clean.push(c),
        }
    }
    clean
}

/// Without characters outside ASCII, for terminals that have no others.
pub fn ascii(text: &str) -> String {
    let plain = |c| match c {
        '…' => "...".to_owned(),
        '·' | '•' => "-".to_owned(),
        'µ' => "u".to_owned(),
        '–' | '—' => "-".to_owned(),
        c if char::is_ascii(&c) => c.to_string(),
        _ => "?".to_owned(),
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fit_their_columns() {
        let sizes = [0, 999, 1000, 1023 << 10, 1 << 20, 10 << 30, 1023 << 40];
        assert_eq!(sizes.map(bytes), ["0B", "999B", "1.0K", "1.0M", "1.0M", "10G", "1.0P"]);
        assert!((0..63).all(|bit| bytes(1 << bit).len() <= 5));
        assert_eq!(rate(2048.0), "2.0K/s");
    }

    #[test]
    fn times_are_short() {
        let times = [400, 9_900, 12_000, 185_000, 7_800_000, 273_600_000];
        assert_eq!(times.map(millis), ["0.4s", "9.9s", "12s", "3m05s", "2h10m", "3d04h"]);
        assert_eq!([7, 12_000, 2_500_000].map(|it| micros(it, true)), ["7µs", "12ms", "2.5s"]);
        assert_eq!(clock(86_400_000 + 3_723_000), "01:02:03");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(clean("10 %\r20 %\r\n"), "20 %");
        assert_eq!(clean("\x1b[31mred\x1b[0m\tx\x07"), "red x");
        assert_eq!(clean("\x1b[31"), "");
        assert_eq!(ascii("a…µ✓"), "a...u?");
    }
}
