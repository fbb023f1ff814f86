//! How far a build of dependencies is, as text and as a bar.

use super::output::{Bundle, html_bundle};
use super::progress::{blocks, html_bar};
use super::time::duration;
use html_escape::encode_text;
use std::time::Duration;

/// Columns of a bar in a terminal.
const WIDTH: u32 = 24;

/// How far a build is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildView {
    /// How many parts of crates are compiled, and how many there are, once that is known.
    pub parts: Option<(u32, u32)>,
    /// The crates that are compiled now, or what is done instead.
    pub now: Vec<String>,
}

/// How a build ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildEnd {
    /// All is built.
    Built,
    /// Something is wrong with it; the cell's error says what.
    Failed,
    /// By the user.
    Interrupted,
}

impl BuildView {
    /// `dependencies  42% [██████████··············] 42/100, 12 s: polars-core, regex`; `end` is `None` while it goes on.
    pub fn bundle(&self, elapsed: Duration, end: Option<BuildEnd>) -> Bundle {
        let time = duration(elapsed);
        let (done, of) = self.parts.unwrap_or((0, 0));
        let after = match end {
            None if self.now.is_empty() => time,
            None => format!("{time}: {}", self.now.join(", ")),
            Some(BuildEnd::Built) => format!("built in {time}"),
            Some(BuildEnd::Failed) => format!("failed after {time}"),
            Some(BuildEnd::Interrupted) => format!("interrupted after {time}; what is built stays"),
        };
        if of == 0 {
            return html_bundle(
                format!("dependencies: {after}"),
                format!("<div>dependencies: {}</div>", encode_text(&after)),
            );
        }
        let done = if end == Some(BuildEnd::Built) { of } else { done.min(of) };
        let full = (u64::from(done) * u64::from(WIDTH) / u64::from(of)) as usize;
        let bar = blocks(full, WIDTH as usize);
        let percent = u64::from(done) * 100 / u64::from(of);
        let text = format!("dependencies {percent:>3}% [{bar}] {done}/{of}, {after}");
        let is_wrong = !matches!(end, None | Some(BuildEnd::Built));
        let drawn = html_bar(f64::from(done), of as usize, is_wrong);
        html_bundle(text, format!("<div>dependencies {drawn} {done}/{of}, {}</div>", encode_text(&after)))
    }
}

/// That a cell is being compiled, and whether it waits for the compiler's start.
pub fn compiling(starts: bool) -> Bundle {
    let text = if starts { "compiling: the compiler starts" } else { "compiling" };
    html_bundle(text.to_owned(), format!("<div style=\"opacity: 0.7\">{text}</div>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_waits_says_for_what() {
        assert_eq!(compiling(false)["text/plain"], "compiling");
        assert_eq!(compiling(true)["text/plain"], "compiling: the compiler starts");
    }

    fn text(view: &BuildView, end: Option<BuildEnd>) -> String {
        view.bundle(Duration::from_secs(12), end)["text/plain"].as_str().unwrap().to_owned()
    }

    #[test]
    fn it_says_how_far_it_is_and_what_it_does() {
        let view = BuildView { parts: Some((42, 100)), now: vec!["polars-core".into(), "regex".into()] };
        assert_eq!(text(&view, None), "dependencies  42% [██████████··············] 42/100, 12 s: polars-core, regex");
        assert!(text(&view, Some(BuildEnd::Built)).starts_with("dependencies 100% ["));
        assert!(text(&view, Some(BuildEnd::Failed)).ends_with("42/100, failed after 12 s"));
        let html = view.bundle(Duration::from_secs(1), Some(BuildEnd::Interrupted))["text/html"].to_string();
        assert!(html.contains("accent-color: #c33") && html.contains("what is built stays"), "{html}");
    }

    #[test]
    fn before_cargo_counts_it_says_what_is_done() {
        let view = BuildView { parts: None, now: vec!["Updating <index>".into()] };
        assert_eq!(text(&view, None), "dependencies: 12 s: Updating <index>");
        assert!(
            view.bundle(Duration::ZERO, None)["text/html"].to_string().contains("&lt;index>")
                || view.bundle(Duration::ZERO, None)["text/html"].to_string().contains("&lt;index&gt;")
        );
        assert_eq!(text(&BuildView { parts: Some((5, 0)), now: vec![] }, None), "dependencies: 12 s");
    }
}
