//! The loop: what happens becomes inputs, what the app wants is done, and what has changed is drawn.

use crate::app::{App, Areas, Effect, Input, Replay};
use crate::source::Source;
use crate::terminal::Screen;
use crate::{Error, Options, tail, views};
use chorus_history::recording::{self, LIMIT, Recorder};
use crossterm::clipboard::CopyToClipboard;
use crossterm::event::{Event, EventStream};
use crossterm::execute;
use futures::StreamExt;
use std::io::stdout;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

/// The shortest time between two frames: 30 a second.
const FRAME: Duration = Duration::from_millis(33);
/// How often times that run on the screen are looked at.
const TICK: Duration = Duration::from_millis(250);

/// Runs until the user has enough, or a signal ends it.
pub async fn run(options: Options) -> Result<(), Error> {
    let mut app = App::new(&options.name, options.theme, options.readonly || options.replay.is_some());
    app.by_host = options.by_host;
    let mut source = None;
    let mut recorder = None;
    match &options.replay {
        Some(path) => {
            let recording = recording::read(path)?;
            if recording.skipped > 0 {
                app.tell(
                    format!("{} lines of the recording couldn't be read and are left out", recording.skipped),
                    true,
                );
            }
            app.name = path.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
            app.replay = Some(Replay::new(recording.entries));
        }
        None => {
            recorder = match &options.record {
                Some(path) => {
                    Some(Recorder::open(path, LIMIT).map_err(|source| Error::Record { path: path.clone(), source })?)
                }
                None => None,
            };
            source = Some(Source::follow(&options.name, options.clusters));
        }
    }
    let ends = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()];
    let mut ends = ends.into_iter().map(signal).collect::<Result<Vec<_>, _>>()?;
    let mut stops = signal(SignalKind::from_raw(libc::SIGTSTP))?;
    let mut screen = Screen::take()?;
    let mut events = EventStream::new();
    let (columns, rows) = crossterm::terminal::size()?;
    let mut areas = Areas::default();
    let mut inputs = vec![Input::Resize(columns, rows), Input::Tick(now())];
    if options.choose {
        inputs.push(Input::Clusters((options.clusters)().into_iter().map(|it| it.name).collect()));
    }
    let mut tick = tokio::time::interval(if app.replay.is_some() { FRAME } else { TICK });
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drawn: Option<Instant> = None;
    loop {
        for input in inputs.drain(..) {
            record(&mut recorder, &input, &mut app);
            for effect in app.handle(input, &areas) {
                match effect {
                    Effect::Quit => return Ok(()),
                    Effect::Suspend => screen.suspend()?,
                    // In base64, so nothing of it is obeyed.
                    Effect::Copy(text) => execute!(stdout(), CopyToClipboard::to_clipboard_from(text))?,
                    effect => follow(effect, &mut app, &mut source, &options, &areas),
                }
            }
        }
        let due = drawn.map_or(Duration::ZERO, |then| FRAME.saturating_sub(then.elapsed()));
        if app.dirty && due.is_zero() {
            app.arrange();
            screen.0.draw(|frame| areas = views::draw(frame, &app))?;
            (app.dirty, drawn) = (false, Some(Instant::now()));
        }
        let draw_later = tokio::time::sleep(due);
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) => inputs.push(Input::Key(key)),
                Some(Ok(Event::Mouse(mouse))) => inputs.push(Input::Mouse(mouse)),
                Some(Ok(Event::Resize(columns, rows))) => inputs.push(Input::Resize(columns, rows)),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                // The terminal is closed.
                None => return Ok(()),
            },
            input = next(&mut source) => inputs.push(input),
            _ = tick.tick() => inputs.push(Input::Tick(now())),
            () = draw_later, if app.dirty => {}
            _ = stops.recv() => {
                screen.suspend()?;
                app.dirty = true;
            }
            () = any(&mut ends) => return Ok(()),
        }
    }
}

async fn next(source: &mut Option<Source>) -> Input {
    match source {
        Some(source) => source.next().await,
        None => std::future::pending().await,
    }
}

async fn any(signals: &mut [Signal]) {
    futures::future::select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))).await;
}

/// What can be done without giving the terminal up.
fn follow(effect: Effect, app: &mut App, source: &mut Option<Source>, options: &Options, areas: &Areas) {
    let input = match effect {
        Effect::Steer(order) => match source.as_ref().map(|source| source.order(order)) {
            Some(Ok(())) => return,
            Some(Err(why)) => Input::Done(Err(why)),
            None => Input::Done(Err("there is no cluster".to_owned())),
        },
        Effect::ReadLog(engine) => {
            let cluster = (options.clusters)().into_iter().find(|it| it.name == app.name);
            Input::LogFile(engine, tail::log_of(cluster.as_ref(), engine))
        }
        Effect::ListClusters => Input::Clusters((options.clusters)().into_iter().map(|it| it.name).collect()),
        Effect::Connect(name) => {
            *source = Some(Source::follow(&name, options.clusters));
            return;
        }
        Effect::Quit | Effect::Suspend | Effect::Copy(_) => return,
    };
    app.handle(input, areas);
}

/// Entries that come from the cluster go into the recording, too.
fn record(recorder: &mut Option<Recorder>, input: &Input, app: &mut App) {
    let (Some(open), Input::Entries(entries)) = (&*recorder, input) else { return };
    if let Err(error) = open.write(entries.clone()) {
        let path = open.path().display().to_string();
        *recorder = None;
        app.tell(format!("the recording {path} ends here: {error}"), true);
    }
}

/// In milliseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
