//! How far a run is, as text and as a bar.

use super::output::{Bundle, html_bundle};
use std::time::Duration;

/// `px: 3/4 engines done, 12 s`, and the same with a bar.
pub(super) fn bundle(done: usize, total: usize, elapsed: Duration, interrupted: bool) -> Bundle {
    if interrupted {
        let text = format!("px: interrupted after {}", duration(elapsed));
        return html_bundle(text.clone(), format!("<div>{text}</div>"));
    }
    let text = format!("px: {done}/{total} engines done, {}", duration(elapsed));
    let html = format!(
        "<div><progress value=\"{done}\" max=\"{total}\" style=\"width: 16em; vertical-align: middle\"></progress> \
         {text}</div>"
    );
    html_bundle(text, html)
}

/// A time as people say it, in its two largest units.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (7265, "2 h 1 min"), (180_000, "2 d 2 h")]
        {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn progress_is_text_and_a_bar() {
        let data = bundle(3, 4, Duration::from_millis(12_900), false);
        insta::assert_snapshot!(data["text/plain"].as_str().unwrap(), @"px: 3/4 engines done, 12 s");
        insta::assert_snapshot!(data["text/html"].as_str().unwrap(), @r#"<div><progress value="3" max="4" style="width: 16em; vertical-align: middle"></progress> px: 3/4 engines done, 12 s</div>"#);
    }
}
