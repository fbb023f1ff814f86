//! What is wrong with a cluster, as far as its figures tell: each with its evidence and what to do.
//!
//! Each looks at what has lasted for some time, so that what is over in a moment is nobody's trouble.

use crate::figures::{EndedMap, Figures, Share, memory};
use crate::text::{SHORT, one_line};
use chorus_protocol::{EngineId, LogMap, SessionNumber, Work, size};
use std::collections::BTreeMap;

/// How long something has to last, in milliseconds.
const LASTING: u64 = 5_000;
/// A run that takes longer than this keeps others waiting, in milliseconds.
const SLOW: u64 = 10_000;
/// How long a map that is over is spoken of, in milliseconds.
const REMEMBERED: u64 = 60_000;
/// So many chunks are many.
const MANY_CHUNKS: u64 = 500;
/// A chunk that takes less is small, in microseconds.
const SMALL_CHUNK: f64 = 2_000.0;
/// A map that takes less is over soon whatever its chunks are, in milliseconds.
const LONG_MAP: u64 = 1_000;
/// Deaths within a minute that are too many.
const DEATHS: usize = 3;

/// What a diagnosis is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// An engine.
    Engine(EngineId),
    /// A map of a session.
    Map(SessionNumber, u64),
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// What it is about.
    pub about: About,
    /// Its kind, in a word or two.
    pub kind: &'static str,
    /// What is wrong, with figures.
    pub evidence: String,
    /// What to do about it.
    pub advice: String,
}

/// All that is wrong now.
pub fn diagnose(figures: &Figures) -> Vec<Diagnosis> {
    let mut found = Vec::new();
    slow_runs(figures, &mut found);
    starving(figures, &mut found);
    for (&(session, map), shares) in &figures.shares {
        if let Some(of) = figures.state.maps.get(&(session, map)) {
            let label = figures.map_label(session, map);
            small_chunks((session, map), label, of, shares, figures.now, &mut found);
            straggler(figures, (session, map), label, of, shares, &mut found);
        }
    }
    let recent = |ended: &&EndedMap| ended.at + REMEMBERED >= figures.now;
    for ended in figures.ended_maps.iter().rev().take_while(recent) {
        small_chunks((ended.session, ended.map), &ended.label, &ended.of, &ended.shares, ended.at, &mut found);
    }
    close_to_limit(figures, &mut found);
    dear_snapshots(figures, &mut found);
    dying(figures, &mut found);
    found.sort_by_key(|it| it.about);
    found
}

/// A queue behind one slow run.
fn slow_runs(figures: &Figures, found: &mut Vec<Diagnosis>) {
    for (&id, engine) in &figures.state.engines {
        let [first, waiting @ ..] = &engine.runs[..] else { continue };
        let Some(started) = first.started else { continue };
        let took = figures.now.saturating_sub(started);
        // A map's run lasts as long as the map, and what is queued behind it is meant to be.
        if waiting.is_empty() || took < SLOW || matches!(first.work, Work::Map(_)) {
            continue;
        }
        let (label, seconds) = (one_line(&first.label, SHORT), took / 1000);
        found.push(Diagnosis {
            about: About::Engine(id),
            kind: "queue",
            evidence: format!("{} behind `{label}`, which has run for {seconds} s", wait(waiting.len())),
            advice: "wait for it, interrupt it, or send the next cells elsewhere by `-t`".to_owned(),
        });
    }
}

/// Engines that have nothing to do while others have too much.
fn starving(figures: &Figures, found: &mut Vec<Diagnosis>) {
    let busiest = figures.state.engines.iter().max_by_key(|(_, engine)| engine.runs.len());
    let Some((busiest, queue)) = busiest.map(|(id, engine)| (*id, engine.runs.len())) else { return };
    let Some(first) = figures.state.engines.get(&busiest).and_then(|it| it.runs.first()) else { return };
    let lasting = first.started.is_some_and(|since| since + LASTING <= figures.now);
    if queue < 3 || !lasting {
        return;
    }
    for (&id, engine) in &figures.engines {
        let Some(since) = engine.idle_since else { continue };
        let idle = figures.now.saturating_sub(since);
        if idle >= LASTING {
            found.push(Diagnosis {
                about: About::Engine(id),
                kind: "starves",
                evidence: format!(
                    "it has had nothing to do for {} s, while {} on engine {busiest}",
                    idle / 1000,
                    wait(queue - 1)
                ),
                advice: "let calls go anywhere instead of `on:` one engine, and spread cells by `-t`".to_owned(),
            });
        }
    }
}

/// Chunks that are too small for what it takes to hand them out.
fn small_chunks(
    (session, map): (SessionNumber, u64),
    label: &str,
    of: &LogMap,
    shares: &BTreeMap<EngineId, Share>,
    until: u64,
    found: &mut Vec<Diagnosis>,
) {
    // Only chunks that the user chose: others fit by themselves.
    let Some(chunk) = of.chunk else { return };
    let elapsed = until.saturating_sub(of.opened);
    let (chunks, engines) = (of.done / chunk.max(1), shares.len() as u64);
    if chunks < MANY_CHUNKS || elapsed < LONG_MAP || engines == 0 {
        return;
    }
    let each = of.micros as f64 / chunks as f64;
    let busy = of.micros as f64 / (elapsed * 1000 * engines) as f64;
    if each >= SMALL_CHUNK || busy >= 0.5 {
        return;
    }
    let better = (chunk as f64 * SMALL_CHUNK * 5.0 / each.max(1.0)) as u64;
    let digits = usize::from(each < 10.0);
    found.push(Diagnosis {
        about: About::Map(session, map),
        kind: "small chunks",
        evidence: format!(
            "`{}`: {chunks} chunks of {chunk} took {each:.digits$} µs each, and engines were busy for {:.0} % of the time",
            one_line(label, SHORT),
            busy * 100.0
        ),
        advice: format!("leave `--chunk` out, or take one of about {}", better.max(chunk + 1)),
    });
}

/// A map that waits for one engine.
fn straggler(
    figures: &Figures,
    (session, map): (SessionNumber, u64),
    label: &str,
    of: &LogMap,
    shares: &BTreeMap<EngineId, Share>,
    found: &mut Vec<Diagnosis>,
) {
    let Some(items) = of.items else { return };
    let left = items.saturating_sub(of.done);
    let mut at_work = shares.iter().filter(|(_, share)| share.left > 0);
    let (Some((&engine, share)), None) = (at_work.next(), at_work.next()) else { return };
    let others: Vec<&Share> = shares.iter().filter(|(id, _)| **id != engine).map(|(_, share)| share).collect();
    let Some(last) = others.iter().map(|share| share.at).max() else { return };
    let waiting = figures.now.saturating_sub(last);
    // Everything that is left must be this engine's, or the others wait for something else.
    if left == 0 || left > share.left || waiting < LASTING {
        return;
    }
    found.push(Diagnosis {
        about: About::Map(session, map),
        kind: "straggler",
        evidence: format!(
            "`{}`: the last {left} of {items} items are all on engine {engine}; the others have had nothing for {} s",
            one_line(label, SHORT),
            waiting / 1000
        ),
        advice: "take a smaller `--chunk`, or put the items first that take longest".to_owned(),
    });
}

/// Memory that is nearly used up.
fn close_to_limit(figures: &Figures, found: &mut Vec<Diagnosis>) {
    for (&id, engine) in &figures.state.engines {
        let Some(metrics) = &engine.metrics else { continue };
        let host = &metrics.host;
        let (used, limit, whose) = match (host.limit_used, host.limit, host.memory_used, host.memory) {
            (Some(used), Some(limit), ..) => (used, limit, "its control group may use"),
            (_, _, Some(used), Some(memory)) => (used, memory, "its host has"),
            _ => continue,
        };
        let own = memory(metrics).unwrap_or(0);
        // Only those are named that take part in it.
        let engines = figures.state.engines.len() as u64;
        if used * 100 < limit * 90 || own * engines.max(1) * 2 < used {
            continue;
        }
        found.push(Diagnosis {
            about: About::Engine(id),
            kind: "memory",
            evidence: format!("it holds {}; {} of the {} that {whose} are in use", size(own), size(used), size(limit)),
            advice: "drop variables, use fewer engines, or larger machines: the system kills what is over the limit"
                .to_owned(),
        });
    }
}

/// Snapshots that cost more than they save.
fn dear_snapshots(figures: &Figures, found: &mut Vec<Diagnosis>) {
    for (&id, engine) in &figures.engines {
        let (micros, count) = engine.snapshots;
        if count >= 10 && micros > 500_000 && micros * 2 > engine.ran && engine.saved == 0 {
            found.push(Diagnosis {
                about: About::Engine(id),
                kind: "snapshots",
                evidence: format!(
                    "{count} snapshots took {:.1} s, its runs {:.1} s, and none was needed",
                    micros as f64 / 1e6,
                    engine.ran as f64 / 1e6
                ),
                advice: "`%snapshot off` leaves them out: variables are lost then when a cell kills its worker"
                    .to_owned(),
            });
        }
    }
}

/// Workers that die again and again.
fn dying(figures: &Figures, found: &mut Vec<Diagnosis>) {
    for (&id, engine) in &figures.engines {
        let recent = engine.deaths.iter().filter(|then| **then + 60_000 >= figures.now).count();
        if recent >= DEATHS {
            found.push(Diagnosis {
                about: About::Engine(id),
                kind: "deaths",
                evidence: format!("its workers died {recent} times within a minute"),
                advice: "its log and the errors of its runs say how".to_owned(),
            });
        }
    }
}

fn wait(count: usize) -> String {
    match count {
        1 => "1 run waits".to_owned(),
        count => format!("{count} runs wait"),
    }
}

#[cfg(test)]
mod tests;
