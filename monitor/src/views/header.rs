//! The top: which cluster, how it is, and the pages.

use super::{rows, span};
use crate::app::{App, Areas, Goal, Link, Page};
use crate::tables::engines;
use crate::text;
use crate::theme::Tone;
use chorus_history::Figures;
use chorus_protocol::noun;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Over how long rates are taken, in milliseconds.
const LATELY: u64 = 10_000;
/// The tasks that are maps under way.
pub const OPEN_MAPS: &str = "kind = map and state = running";
/// The tasks that are calls under way.
pub const OPEN_CALLS: &str = "kind = call and ^(waiting|queued|running)$";

pub fn draw(frame: &mut Frame<'_>, app: &App, area: Rect, areas: &mut Areas) {
    let row = |number: u16| Rect { y: area.y + number, height: 1, ..area };
    fitting(frame, first(app), row(0), areas);
    match (&app.link, &app.replay) {
        _ if area.height < 3 => {}
        (Link::Gone(why), None) => {
            let place = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..row(1) };
            rows::put(frame.buffer_mut(), place, &text::clean(why), false, app.theme.style(Tone::Bad));
        }
        _ => fitting(frame, second(app), row(1), areas),
    }
    if area.height > 1 {
        tabs(frame, app, row(area.height - 1), areas);
    }
}

/// Figures that belong together, and where a click on them leads.
type Group = (Vec<Span<'static>>, Option<Goal>);

/// As many groups as fit; the rest are left out whole.
fn fitting(frame: &mut Frame<'_>, groups: Vec<Group>, area: Rect, areas: &mut Areas) {
    let mut line = Line::default();
    for (group, goal) in groups {
        let needed: usize = group.iter().map(Span::width).sum();
        if line.width() + needed + 2 <= area.width.into() {
            line.push_span(Span::from(if line.spans.is_empty() { " " } else { "  " }));
            let place = Rect { x: area.x + line.width() as u16, width: needed as u16, ..area };
            areas.links.extend(goal.map(|goal| (place, goal)));
            line.spans.extend(group);
        }
    }
    frame.render_widget(line, area);
}

/// The name, the connection, and what engines do.
fn first(app: &App) -> Vec<Group> {
    let theme = &app.theme;
    let figures = app.figures();
    let pair =
        |tone, number: String, what: &str| vec![span(theme, tone, number), span(theme, Tone::Dim, format!(" {what}"))];
    let name = vec![span(theme, Tone::Accent, format!("chorus {}", app.name))];
    let mut groups = vec![(name, None), (connection(app), None)];
    let mut add = |group, goal| groups.push((group, Some(goal)));
    let mut counts = std::collections::BTreeMap::<&str, (usize, Tone)>::new();
    for engine in figures.state.engines.values() {
        let (state, tone) = engines::state(engine);
        counts.entry(state).or_insert((0, tone)).0 += 1;
    }
    let known = figures.number > 0;
    let count = figures.state.engines.len();
    let shown = if known { count.to_string() } else { text::UNKNOWN.into() };
    add(pair(Tone::Normal, shown, &noun(count as u64, "engine")), Goal::Rows(Page::Overview, String::new()));
    for state in ["busy", "waiting", "idle", "starting", "draining"] {
        if let Some((count, tone)) = counts.get(state) {
            add(pair(*tone, count.to_string(), state), Goal::Rows(Page::Overview, format!("state = {state}")));
        }
    }
    if known {
        let queue: usize = figures.state.engines.values().map(|it| it.runs.len()).sum();
        let running = figures.state.engines.values().filter(|it| engines::current(it).is_some()).count();
        add(
            pair(Tone::Normal, (queue - running).to_string(), "queued"),
            Goal::Rows(Page::Tasks, "state = queued".to_owned()),
        );
        let failed: u64 = figures.state.engines.values().map(|it| it.failed).sum();
        let tone = if failed > 0 { Tone::Bad } else { Tone::Normal };
        add(pair(tone, failed.to_string(), "failed"), Goal::Failures);
        let up = figures.now.saturating_sub(figures.state.since);
        groups.push((vec![span(theme, Tone::Dim, format!("up {}", text::millis(up)))], None));
    }
    groups
}

fn connection(app: &App) -> Vec<Span<'static>> {
    let theme = &app.theme;
    let dot = if theme.utf8 { "●" } else { "*" };
    let shown = |tone, text: String| vec![span(theme, tone, text)];
    if let Some(replay) = &app.replay {
        let (begin, end) = replay.range();
        let how = match (replay.paused, replay.at >= end) {
            (_, true) => "ended".to_owned(),
            (true, _) => "paused".to_owned(),
            _ => format!("{}x", replay.speed()),
        };
        let (at, length) = (replay.at - begin.min(replay.at), end - begin);
        let text = format!("{dot} replay {how} {} of {}", text::millis(at), text::millis(length));
        return shown(Tone::Compile, text);
    }
    if app.is_frozen() {
        return shown(Tone::Warn, format!("{dot} frozen at {}", text::clock(app.figures().now)));
    }
    match &app.link {
        Link::Connecting => shown(Tone::Warn, format!("{dot} connecting")),
        Link::Live if app.figures().state.stopping => shown(Tone::Warn, format!("{dot} stopping")),
        Link::Live => shown(Tone::Good, format!("{dot} live")),
        Link::Gone(_) => shown(Tone::Bad, format!("{dot} gone, trying again")),
    }
}

/// What is used, and how much gets done.
fn second(app: &App) -> Vec<Group> {
    let theme = &app.theme;
    let figures = app.figures();
    let pair = |what: &str, value: String, page: Page, filter: &'static str| {
        let spans = vec![span(theme, Tone::Dim, format!("{what} ")), span(theme, Tone::Normal, value)];
        (spans, Some(Goal::Rows(page, filter.to_owned())))
    };
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| text::UNKNOWN.to_owned());
    let cpus: Vec<f64> = figures.engines.values().filter_map(|it| engines::cpu_now(figures, Some(it))).collect();
    let cpu = (!cpus.is_empty()).then(|| format!("{:.0}%", cpus.iter().sum::<f64>()));
    let cores =
        figures.state.engines.values().filter_map(|it| Some((&it.info.as_ref()?.host, it.info.as_ref()?.cores)));
    let cores: u32 = cores.collect::<std::collections::BTreeMap<_, _>>().values().sum();
    let cpu = cpu.map(|cpu| if cores > 0 { format!("{cpu} of {cores}00%") } else { cpu });
    let held: Vec<u64> =
        figures.state.engines.values().filter_map(|it| chorus_history::memory(it.metrics.as_ref()?)).collect();
    let held = (!held.is_empty()).then(|| text::bytes(held.iter().sum()));
    let rate = figures.ended.iter().rev().take_while(|it| it.at + LATELY >= figures.now).count();
    let known = figures.number > 0;
    let rate = known.then(|| format!("{:.1}/s", rate as f64 / (LATELY / 1000) as f64));
    let count = |count: usize| or_unknown(known.then(|| count.to_string()));
    // Clients needn't tell of it, so none may only mean that nobody told.
    let told = figures.state.compiles.new + figures.state.compiles.cached > 0;
    let compiled =
        told.then(|| format!("{} ({} from the cache)", figures.state.compiles.new, figures.state.compiles.cached));
    vec![
        pair("CPU", or_unknown(cpu), Page::Overview, ""),
        pair("memory", or_unknown(held), Page::Memory, ""),
        pair("host", host(figures), Page::Memory, ""),
        pair("runs", or_unknown(rate), Page::Tasks, ""),
        pair("sessions", count(figures.state.sessions.len()), Page::Sessions, ""),
        pair("maps", count(figures.state.maps.len()), Page::Tasks, OPEN_MAPS),
        pair("calls", count(figures.state.tasks.len()), Page::Tasks, OPEN_CALLS),
        pair("compiled", or_unknown(compiled), Page::Stream, ""),
    ]
}

/// The memory that is in use where the first engine that tells runs, all programs together.
fn host(figures: &Figures) -> String {
    let hosts = figures.state.engines.values().filter_map(|it| it.metrics.as_ref()).map(|it| it.host);
    let used = hosts.filter_map(|host| match (host.limit_used, host.limit) {
        (Some(used), Some(limit)) => Some((used, limit)),
        _ => Some((host.memory_used?, host.memory?)),
    });
    match used.max_by_key(|(used, _)| *used) {
        Some((used, of)) => format!("{} of {}", text::bytes(used), text::bytes(of)),
        None => text::UNKNOWN.to_owned(),
    }
}

fn tabs(frame: &mut Frame<'_>, app: &App, area: Rect, areas: &mut Areas) {
    let is_chosen = |page: Page| page == app.page || (page == Page::Overview && matches!(app.page, Page::Engine(_)));
    let name = |place: usize, page: Page, is_short: bool| {
        let name = if is_short { (place + 1).to_string() } else { format!("{} {}", place + 1, page.title()) };
        match page == Page::Diagnoses && !app.diagnoses.is_empty() {
            true => format!("{name} {}{}", app.theme.warning(), app.diagnoses.len()),
            false => name,
        }
    };
    let pages = || Page::NUMBERED.into_iter().enumerate();
    let needed: usize = pages().map(|(place, page)| Span::from(name(place, page, false)).width() + 1).sum();
    let (narrow, short) = (area.width < 90, needed >= area.width.into());
    let mut at = area.x + 1;
    for (place, page) in pages() {
        let chosen = is_chosen(page);
        let name = name(place, page, short && !chosen);
        let name = if narrow { name } else { format!(" {name} ") };
        let tone = if page == Page::Diagnoses && !app.diagnoses.is_empty() { Tone::Warn } else { Tone::Dim };
        let style = if chosen { app.theme.chosen() } else { app.theme.style(tone) };
        let name = Span::styled(name, style);
        let width = name.width() as u16;
        if at + width > area.right() {
            break;
        }
        let place = Rect { x: at, width, ..area };
        frame.render_widget(name, place);
        areas.links.push((place, Goal::Page(page)));
        at += width + 1;
    }
}
