//! Progress bars around iterators. How a bar looks is a pure function of its [`Status`].

use crate::display::{Bundle, Display};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Between two drawings of a bar. The first and the last state are always drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// Columns of a bar in a terminal.
const WIDTH: u64 = 24;

/// Shows how far an iteration is, with its speed and, if the number of items is known, the time that is left. A bar
/// within another's loop takes the place of the one before it.
///
/// ```
/// let mut sum = 0;
/// for n in px::progress(0..1000u64).label("summing") {
///     sum += n;
/// }
/// # assert_eq!(sum, 499_500);
/// ```
pub fn progress<I: IntoIterator>(items: I) -> Progress<I::IntoIter> {
    Progress { items: items.into_iter(), label: String::new(), bar: None }
}

/// See [`progress`].
#[must_use = "the bar counts what a loop takes: `for x in px::progress(xs) { .. }`"]
pub struct Progress<I> {
    items: I,
    label: String,
    /// From the first item to the end.
    bar: Option<Bar>,
}

impl<I> Progress<I> {
    /// What stands before the bar.
    pub fn label(mut self, label: impl Into<String>) -> Progress<I> {
        self.label = label.into();
        self
    }
}

impl<I: Iterator> Iterator for Progress<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        match &mut self.bar {
            None => {
                let total = match self.items.size_hint() {
                    (least, Some(most)) if least == most => Some(most as u64),
                    _ => None,
                };
                self.bar = Some(Bar::begin(labelled(std::mem::take(&mut self.label)), total));
            }
            Some(bar) => bar.step(),
        }
        let item = self.items.next();
        if let (None, Some(bar)) = (&item, &mut self.bar) {
            bar.end(State::Done);
        }
        item
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

/// With the engine's name before it, on an engine.
fn labelled(label: String) -> String {
    match std::env::var("CHORUS_ENGINE_ID") {
        Ok(engine) if label.is_empty() => format!("engine {engine}"),
        Ok(engine) => format!("engine {engine}: {label}"),
        Err(_) => label,
    }
}

/// A bar on the screen.
struct Bar {
    status: Status,
    began: Instant,
    screen: Screen,
    /// Which of its thread's bars this is.
    level: u64,
}

/// The display of a bar. One that ends leaves it to the next bar in the same loop.
struct Screen {
    display: Display,
    drawn: Instant,
    /// What would have been drawn if the last drawing hadn't been so recent.
    undrawn: Option<Status>,
}

impl Screen {
    fn draw(&mut self, status: &Status) {
        self.display.update(status.bundle());
        (self.drawn, self.undrawn) = (Instant::now(), None);
    }

    fn draw_if_due(&mut self, status: &Status) {
        match self.drawn.elapsed() >= REDRAW {
            true => self.draw(status),
            false => self.undrawn = Some(status.clone()),
        }
    }
}

/// A bar under way, for those within its loop.
struct Level {
    id: u64,
    /// Left by the last bar that ended within.
    spare: Option<Screen>,
}

/// Bars may end in any order, so that their places in the list don't tell them apart.
static NEXT_LEVEL: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The bars of this thread, the outermost first.
    static LEVELS: RefCell<Vec<Level>> = const { RefCell::new(Vec::new()) };
}

/// Works on this thread's bars, unless the thread is at its end.
fn levels<T>(work: impl FnOnce(&mut Vec<Level>) -> T) -> Option<T> {
    LEVELS.try_with(|levels| levels.try_borrow_mut().ok().map(|mut levels| work(&mut levels))).ok().flatten()
}

impl Bar {
    fn begin(label: String, total: Option<u64>) -> Bar {
        let status = Status { label, done: 0, total, elapsed: Duration::ZERO, state: State::Running };
        let (level, spare) = levels(|levels| {
            let id = NEXT_LEVEL.fetch_add(1, Ordering::Relaxed);
            let spare = levels.last_mut().and_then(|level| level.spare.take());
            levels.push(Level { id, spare: None });
            (id, spare)
        })
        .unwrap_or_default();
        let screen = match spare {
            Some(mut screen) => {
                screen.draw_if_due(&status);
                screen
            }
            None => Screen { display: Display::new(status.bundle()), drawn: Instant::now(), undrawn: None },
        };
        Bar { status, began: Instant::now(), screen, level }
    }

    /// One more item is done.
    fn step(&mut self) {
        if self.status.state != State::Running {
            return;
        }
        self.status.done += 1;
        if self.screen.drawn.elapsed() >= REDRAW {
            self.status.elapsed = self.began.elapsed();
            self.screen.draw(&self.status);
        }
    }

    fn end(&mut self, state: State) {
        if self.status.state != State::Running {
            return;
        }
        self.status.state = state;
        self.status.elapsed = self.began.elapsed();
        let (status, level) = (self.status.clone(), self.level);
        let mut screen = Screen { display: self.screen.display.clone(), drawn: self.screen.drawn, undrawn: None };
        let (inner, outer_screen) = levels(|levels| {
            let own = levels.iter().position(|other| other.id == level).unwrap_or(levels.len());
            let inner: Vec<Screen> = levels.drain(own..).filter_map(|level| level.spare).collect();
            match levels.last_mut() {
                Some(outer) if state == State::Done => {
                    screen.draw_if_due(&status);
                    outer.spare = Some(screen);
                    (inner, None)
                }
                _ => (inner, Some(screen)),
            }
        })
        .unwrap_or_default();
        // Nobody will draw on these again.
        for mut screen in inner {
            if let Some(status) = screen.undrawn.take() {
                screen.draw(&status);
            }
        }
        if let Some(mut screen) = outer_screen {
            screen.draw(&status);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end(if std::thread::panicking() { State::Panicked } else { State::Stopped });
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Done,
    /// It was left early.
    Stopped,
    Panicked,
    /// Its worker was stopped by the user.
    Interrupted,
    /// Its worker died.
    Died,
}

/// As they are numbered in a bar's own representation.
const STATES: [State; 6] =
    [State::Done, State::Running, State::Stopped, State::Panicked, State::Interrupted, State::Died];

/// The type of a bar's own representation, by which the kernel knows bars: it ends those that nobody else does.
#[doc(hidden)]
pub const BAR: &str = "application/vnd.chorus.bar";

/// How far an iteration is.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    label: String,
    done: u64,
    total: Option<u64>,
    elapsed: Duration,
    state: State,
}

impl Status {
    fn bundle(&self) -> Bundle {
        let bundle = Bundle::new().with("text/plain", self.text()).with("text/html", self.html());
        bundle.with(BAR, self.encode())
    }

    /// Its representation [`BAR`].
    pub fn encode(&self) -> String {
        let state = STATES.iter().position(|state| *state == self.state).unwrap_or_default();
        let total = self.total.map_or("-".to_owned(), |total| total.to_string());
        let label: String = self.label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("{state} {} {total} {} {label}", self.done, self.elapsed.as_micros())
    }

    /// From its representation [`BAR`].
    pub fn read(encoded: &str) -> Option<Status> {
        let mut parts = encoded.trim_end_matches('\n').splitn(5, ' ');
        let state = *STATES.get(parts.next()?.parse::<usize>().ok()?)?;
        let done = parts.next()?.parse().ok()?;
        let total = parts.next()?.parse().ok();
        let elapsed = Duration::from_micros(parts.next()?.parse().ok()?);
        Some(Status { label: parts.next()?.to_owned(), done, total, elapsed, state })
    }

    /// Whether it is under way.
    pub fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Whether it ended before its time.
    pub fn is_wrong(&self) -> bool {
        !matches!(self.state, State::Running | State::Done)
    }

    /// What stands before it, on this engine.
    pub fn label_on(&self, engine: u32) -> &str {
        let engine = format!("engine {engine}");
        let label = self.label.strip_prefix(&engine).unwrap_or(&self.label);
        label.strip_prefix(": ").unwrap_or(label)
    }

    /// How many items are done, and how many there are, if that is known.
    pub fn items(&self) -> (u64, Option<u64>) {
        (self.done, self.total)
    }

    /// The bar's worker has died.
    pub fn died(self, interrupted: bool) -> Status {
        Status { state: if interrupted { State::Interrupted } else { State::Died }, ..self }
    }

    /// `files  42% [██████████··············] 42/100, 3.5/s, 17 s left`
    pub fn text(&self) -> String {
        let label = if self.label.is_empty() { String::new() } else { format!("{} ", self.label) };
        let Some(total) = self.total else { return format!("{label}{}", self.numbers()) };
        let full = (share(self.done, total) * WIDTH as f64) as usize;
        let bar = "█".repeat(full) + &"·".repeat(WIDTH as usize - full);
        let percent = (share(self.done, total) * 100.0) as u64;
        format!("{label}{percent:>3}% [{bar}] {}", self.numbers())
    }

    /// The same with a bar that browsers draw.
    pub fn html(&self) -> String {
        let (value, max) = match (self.total, self.state) {
            (Some(total), _) => (format!(" value=\"{}\"", self.done.min(total)), total.max(1)),
            // Without a value, browsers show that something goes on.
            (None, State::Running) => (String::new(), 1),
            (None, _) => (" value=\"1\"".to_owned(), 1),
        };
        let label = self.label.replace('&', "&amp;").replace('<', "&lt;");
        let colour = if self.is_wrong() { "; accent-color: #c33" } else { "" };
        format!(
            "<div>{label} <progress{value} max=\"{max}\" style=\"width: 16em; vertical-align: middle{colour}\">\
             </progress> {}</div>",
            self.numbers()
        )
    }

    /// `42/100, 3.5/s, 17 s left`
    pub fn numbers(&self) -> String {
        let mut text = match self.total {
            Some(total) => format!("{}/{total}", self.done),
            None => self.done.to_string(),
        };
        let seconds = self.elapsed.as_secs_f64();
        if self.done > 0 && seconds > 0.0 {
            text += &format!(", {}/s", short(self.done as f64 / seconds));
        }
        text += &match (self.state, self.total) {
            (State::Done, _) => format!(", took {}", duration(seconds)),
            (State::Stopped, _) => format!(", stopped after {}", duration(seconds)),
            (State::Panicked, _) => format!(", panicked after {}", duration(seconds)),
            (State::Interrupted, _) => format!(", interrupted after {}", duration(seconds)),
            (State::Died, _) => format!(", its worker died after {}", duration(seconds)),
            (State::Running, Some(total)) if self.done > 0 => {
                let left = total.saturating_sub(self.done) as f64;
                format!(", {} left", duration(seconds * left / self.done as f64))
            }
            (State::Running, _) if self.done > 0 => format!(", {}", duration(seconds)),
            (State::Running, _) => String::new(),
        };
        text
    }
}

/// From 0 to 1; nothing of nothing is all of it.
fn share(done: u64, total: u64) -> f64 {
    if done >= total { 1.0 } else { done as f64 / total as f64 }
}

/// Three digits or so: `0.25`, `3.5`, `1200`, `1.2 M`.
fn short(number: f64) -> String {
    match number {
        _ if number < 1.0 => format!("{number:.2}"),
        _ if number < 100.0 => format!("{number:.1}"),
        _ if number < 10_000.0 => format!("{number:.0}"),
        _ if number < 1e6 => format!("{:.0} k", number / 1e3),
        _ => format!("{:.1} M", number / 1e6),
    }
}

fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60) {
        (0, 0) if seconds < 9.95 => format!("{seconds:.1} s"),
        (0, 0) => format!("{whole} s"),
        (0, minutes) => format!("{minutes} min {} s", whole % 60),
        (hours, minutes) => format!("{hours} h {} min", minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(done: u64, total: Option<u64>, seconds: f64, state: State) -> Status {
        Status { label: "files".into(), done, total, elapsed: Duration::from_secs_f64(seconds), state }
    }

    #[test]
    fn a_bar_tells_share_speed_and_time() {
        let text = |done, total, seconds, state| status(done, total, seconds, state).text();
        assert_eq!(text(0, Some(100), 0.0, State::Running), "files   0% [························] 0/100");
        assert_eq!(
            text(42, Some(100), 12.0, State::Running),
            "files  42% [██████████··············] 42/100, 3.5/s, 17 s left"
        );
        assert_eq!(
            text(100, Some(100), 28.6, State::Done),
            "files 100% [████████████████████████] 100/100, 3.5/s, took 29 s"
        );
        assert_eq!(
            text(25, Some(100), 8000.0, State::Panicked),
            "files  25% [██████··················] 25/100, 0.00/s, panicked after 2 h 13 min"
        );
    }

    #[test]
    fn who_knows_a_bar_can_end_it_for_a_worker_that_has_died() {
        for total in [Some(100), None] {
            let bar = Status { label: "a b\nc".into(), ..status(42, total, 12.0, State::Running) };
            let known = Status::read(&bar.encode()).unwrap();
            assert!(known.is_running() && !known.is_wrong());
            assert_eq!(known, Status { label: "a b c".into(), ..bar });
            assert!(
                known.clone().died(true).text().ends_with("42/100, 3.5/s, interrupted after 12 s") == total.is_some()
            );
            assert!(known.died(false).text().ends_with("3.5/s, its worker died after 12 s"));
        }
        for state in STATES {
            let bar = status(100, None, 1.0, state);
            assert_eq!(Status::read(&bar.encode()), Some(bar));
        }
        assert_eq!([Status::read("1 x"), Status::read("6 1 1 1 a"), Status::read("")], [None, None, None]);
        let on_an_engine = |label: &str| Status { label: label.into(), ..status(1, None, 1.0, State::Done) };
        assert_eq!(on_an_engine("engine 3: files").label_on(3), "files");
        assert_eq!(on_an_engine("engine 3").label_on(3), "");
    }

    #[test]
    fn without_a_total_there_is_no_bar() {
        assert_eq!(status(1_500_000, None, 3.0, State::Running).text(), "files 1500000, 500 k/s, 3.0 s");
        assert!(status(3, None, 3.0, State::Running).html().contains("<progress max"));
    }

    #[test]
    fn odd_numbers_are_no_panic() {
        assert_eq!(Status { label: String::new(), ..status(0, Some(0), 0.0, State::Done) }.text()[..4], *"100%");
        assert!(status(7, Some(3), 1.0, State::Running).text().starts_with("files 100% "));
        status(u64::MAX, Some(u64::MAX), f64::from(u32::MAX), State::Stopped).bundle();
    }

    #[test]
    fn html_is_a_progress_element_and_the_label_is_text() {
        let status = Status { label: "<a> & b".into(), ..status(1, Some(4), 1.0, State::Running) };
        assert_eq!(
            status.html(),
            "<div>&lt;a> &amp; b <progress value=\"1\" max=\"4\" style=\"width: 16em; vertical-align: middle\">\
             </progress> 1/4, 1.0/s, 3.0 s left</div>"
        );
    }

    #[test]
    fn items_come_through_and_levels_are_left_clean() {
        let all: Vec<i32> = progress(0..3).label("outer").flat_map(|_| progress([1, 2])).collect();
        assert_eq!(all, [1, 2, 1, 2, 1, 2]);
        assert_eq!(progress("ab".chars()).take(1).count(), 1);
        let _ = std::panic::catch_unwind(|| progress(0..3).for_each(|n| assert_ne!(n, 1)));
        assert_eq!(levels(|levels| levels.len()), Some(0));
    }

    #[test]
    fn a_bar_within_a_loop_takes_the_place_of_the_one_before() {
        let outer = Bar::begin("outer".into(), None);
        let mut first = Bar::begin("first".into(), None);
        first.end(State::Done);
        let second = Bar::begin("second".into(), None);
        assert!(first.screen.display == second.screen.display);
        assert!(outer.screen.display != second.screen.display);
    }
}
