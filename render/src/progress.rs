//! How far a run is, as text and as a bar.

use super::output::{Bundle, html_bundle};
use super::time::duration;
use html_escape::encode_text;
use std::time::Duration;

/// What a browser's bar looks like when something has gone wrong.
const WRONG: &str = "; accent-color: #c33";

/// How far a run on engines is.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Engines that have ended well.
    pub(super) done: usize,
    /// All of them.
    pub(super) total: usize,
    /// Engines whose run has failed.
    pub(super) failed: usize,
    pub(super) elapsed: Duration,
    /// `None` while it runs.
    pub(super) end: Option<PxEnd>,
}

/// How a run on engines ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PxEnd {
    /// On all of them, well or not; why it failed, if it did.
    Ended(Option<String>),
    /// By the user.
    Interrupted,
    /// It goes on, and nobody waits for it.
    Left,
}

impl Progress {
    /// `px: 3/4 engines done, 12 s`, and the same with a bar.
    pub(super) fn bundle(&self) -> Bundle {
        let Progress { done, total, failed, .. } = self;
        let text = self.text();
        let is_wrong = *failed > 0 || !matches!(self.end, None | Some(PxEnd::Ended(None)));
        html_bundle(
            text.clone(),
            format!("<div>{} {}</div>", html_bar(*done as f64, *total, is_wrong), encode_text(&text)),
        )
    }

    fn text(&self) -> String {
        let Progress { done, total, failed, elapsed, end } = self;
        let (part, time) = (format!("px: {done}/{total} engines done"), duration(*elapsed));
        match end {
            None if *failed == 0 => format!("{part}, {time}"),
            None => format!("{part}, {failed} failed, {time}"),
            // How long it took is said in a line of its own: not every front end draws updates.
            Some(PxEnd::Ended(None)) => part,
            Some(PxEnd::Ended(Some(why))) => format!("{part}, failed after {time}: {why}"),
            Some(PxEnd::Interrupted) => format!("{part}, interrupted after {time}"),
            Some(PxEnd::Left) => format!("{part}, not waited for after {time}: %pxresult shows what comes of it"),
        }
    }
}

/// A bar that browsers draw, red if something is wrong.
pub(super) fn html_bar(value: f64, max: usize, is_wrong: bool) -> String {
    let value = (value * 1e4).round() / 1e4;
    let colour = if is_wrong { WRONG } else { "" };
    format!(
        "<progress value=\"{value}\" max=\"{max}\" style=\"width: 16em; vertical-align: middle{colour}\"></progress>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_text_and_a_bar() {
        let progress =
            |failed, end| Progress { done: 3, total: 4, failed, elapsed: Duration::from_millis(12_900), end };
        let data = progress(0, None).bundle();
        insta::assert_snapshot!(data["text/plain"].as_str().unwrap(), @"px: 3/4 engines done, 12 s");
        insta::assert_snapshot!(data["text/html"].as_str().unwrap(), @r#"<div><progress value="3" max="4" style="width: 16em; vertical-align: middle"></progress> px: 3/4 engines done, 12 s</div>"#);
        assert_eq!(progress(1, None).text(), "px: 3/4 engines done, 1 failed, 12 s");
        assert_eq!(progress(0, Some(PxEnd::Ended(None))).text(), "px: 3/4 engines done");
        let wrong = [PxEnd::Ended(Some("engine 2: <it died>".into())), PxEnd::Interrupted, PxEnd::Left];
        let wrong = wrong.map(|end| progress(1, Some(end)).bundle());
        let texts = wrong.each_ref().map(|data| data["text/plain"].as_str().unwrap());
        assert_eq!(texts[0], "px: 3/4 engines done, failed after 12 s: engine 2: <it died>");
        assert_eq!(texts[1], "px: 3/4 engines done, interrupted after 12 s");
        assert!(texts[2].starts_with("px: 3/4 engines done, not waited for after 12 s"));
        assert!(wrong.iter().all(|data| data["text/html"].as_str().unwrap().contains("accent-color: #c33")));
        assert!(wrong[0]["text/html"].as_str().unwrap().contains("&lt;it died&gt;"));
    }
}
