//! What can happen to a core, and how often.

use super::ENGINES;
use crate::core::*;
use crate::launch::Pool;
use chorus_protocol::Order;
use proptest::prelude::*;

/// One thing that the world does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Join {
        engine: u32,
        by_hand: bool,
    },
    Break {
        engine: u32,
    },
    Exit {
        engine: u32,
    },
    Heartbeats,
    Event {
        engine: u32,
        run: u64,
        kind: u8,
        generation: u32,
    },
    WorkerLost {
        engine: u32,
        generation: u32,
    },
    Run {
        targets: Vec<(u32, Option<u32>)>,
        map: Option<u64>,
    },
    /// A group calls something.
    Together {
        engines: Vec<u32>,
        again: bool,
    },
    /// As an event of a run, of a call's.
    OfCall {
        engine: u32,
        task: u64,
        kind: u8,
    },
    Cancel {
        task: u64,
    },
    OpenMap {
        items: u64,
        chunk: Option<u64>,
        again: bool,
    },
    CloseMap {
        map: u64,
    },
    RestMap {
        map: u64,
        rests: bool,
    },
    MapReady {
        engine: u32,
        map: u64,
        which: usize,
        reports: usize,
    },
    Resend,
    Interrupt {
        engine: u32,
    },
    Ack {
        engine: u32,
        bytes: u64,
    },
    Confirm,
    Reconnect {
        loses: usize,
    },
    Ping,
    Wait {
        millis: u64,
    },
    Steer(Order),
    Rubbish,
    /// The controller is killed before it does what the next step leads to, and started again. Those of these engines
    /// that it awaits come back.
    Restart {
        back: Vec<u32>,
    },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let engine = 0..ENGINES + 2;
    let maps = proptest::option::of(0..3u64);
    prop_oneof![
        3 => (engine.clone(), any::<bool>()).prop_map(|(engine, by_hand)| Step::Join { engine, by_hand }),
        1 => engine.clone().prop_map(|engine| Step::Break { engine }),
        1 => engine.clone().prop_map(|engine| Step::Exit { engine }),
        3 => Just(Step::Heartbeats),
        8 => (engine.clone(), 0..20u64, 0..6u8, prop_oneof![0..4u32, Just(u32::MAX)])
            .prop_map(|(engine, run, kind, generation)| Step::Event { engine, run, kind, generation }),
        1 => (engine.clone(), 0..4u32).prop_map(|(engine, generation)| Step::WorkerLost { engine, generation }),
        5 => (proptest::collection::vec((engine.clone(), proptest::option::of(0..6u32)), 0..5), maps.clone())
            .prop_map(|(targets, map)| Step::Run { targets, map }),
        3 => (proptest::collection::btree_set(engine.clone(), 0..4), any::<bool>())
            .prop_map(|(engines, again)| Step::Together { engines: engines.into_iter().collect(), again }),
        8 => (engine.clone(), 0..20u64, 0..7u8).prop_map(|(engine, task, kind)| Step::OfCall { engine, task, kind }),
        1 => (0..20u64).prop_map(|task| Step::Cancel { task }),
        2 => (0..60u64, proptest::option::of(1..10u64), any::<bool>())
            .prop_map(|(items, chunk, again)| Step::OpenMap { items, chunk, again }),
        1 => (0..3u64).prop_map(|map| Step::CloseMap { map }),
        2 => (0..3u64, any::<bool>()).prop_map(|(map, rests)| Step::RestMap { map, rests }),
        12 => (engine.clone(), 0..3u64, any::<usize>(), 0..5usize)
            .prop_map(|(engine, map, which, reports)| Step::MapReady { engine, map, which, reports }),
        1 => Just(Step::Resend),
        1 => engine.clone().prop_map(|engine| Step::Interrupt { engine }),
        1 => (engine.clone(), any::<u64>()).prop_map(|(engine, bytes)| Step::Ack { engine, bytes }),
        1 => (0..ENGINES + 2).prop_map(|engines| Step::Steer(Order::Scale { engines })),
        1 => (0..ENGINES, 1..ENGINES + 2, 0..3u32).prop_map(|(least, most, idle)| {
            Step::Steer(Order::Adapt((least <= most).then_some(Adapt { least, most, idle })))
        }),
        1 => (1..3u32, 0..3usize).prop_map(|(engines, pool)| {
            let label = ["big", "small"].get(pool).map(|label| (*label).to_owned());
            Step::Steer(Order::Add { engines, pool: Pool { label, ..Pool::default() }.write() })
        }),
        1 => engine.prop_map(|engine| Step::Steer(Order::Drain { engines: vec![EngineId(engine)] })),
        1 => (0..3u64).prop_map(|map| Step::Steer(Order::CancelMap { session: 1, map })),
        1 => Just(Step::Confirm),
        1 => (0..4usize).prop_map(|loses| Step::Reconnect { loses }),
        4 => Just(Step::Ping),
        3 => (0..900u64).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::Rubbish),
        2 => proptest::collection::vec(0..ENGINES + 2, 0..5).prop_map(|back| Step::Restart { back }),
    ]
}
