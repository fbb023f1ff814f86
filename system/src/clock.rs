//! Times of day.

use chrono::{DateTime, Local};

/// The local time of day, `14:05:09`, of a time in milliseconds since 1970.
pub fn of_day(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| "n/a".to_owned(), |time| time.with_timezone(&Local).format("%H:%M:%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_has_a_form() {
        assert_eq!(of_day(1_000).len(), 8);
        assert_eq!(of_day(u64::MAX), "n/a");
    }
}
