//! Tasks by hand, one rule a test, and random graphs on engines that die.

use super::*;
use chorus_protocol::{BlobId, Death, Entry, RunSpec, SnapshotPolicy};
use proptest::prelude::*;

const A: EngineId = EngineId(0);
const B: EngineId = EngineId(1);

fn spec(needs: &[u64]) -> TaskSpec {
    TaskSpec {
        run: RunSpec {
            preload: vec![],
            object: BlobId::of(b"o"),
            entry: Entry::Function(0),
            argument: Bytes::new(),
            together: None,
            map: None,
            label: String::new(),
            snapshots: SnapshotPolicy::Off,
        },
        args: needs.iter().map(|need| TaskArg::Task(TaskId(*need))).collect(),
        after: vec![],
        on: None,
        gpu: false,
        retries: 0,
        timeout_ms: 0,
    }
}

fn value(byte: u8) -> TaskValue {
    TaskValue { bytes: vec![byte].into(), file: None }
}

/// Tasks on two engines.
#[derive(Default)]
struct World {
    tasks: Graph,
    effects: Vec<Effect>,
}

impl World {
    fn submit(&mut self, task: u64, spec: TaskSpec) {
        self.tasks.submit(TaskId(task), spec, &mut self.effects);
    }

    fn loads(&self) -> Vec<EngineLoad> {
        let own = |engine| self.tasks.hands.get(&engine).map_or(0, Vec::len);
        [A, B].map(|engine| EngineLoad { engine, runs: own(engine), own: own(engine), gpu: engine == B }).to_vec()
    }

    /// Starts what can be started: task, engine, argument.
    fn start(&mut self) -> Vec<(u64, u32, Vec<u8>)> {
        let mut started = Vec::new();
        while let Some(start) = self.tasks.next(&self.loads(), false) {
            started.push((start.run.task().unwrap().0, start.engine.0, start.argument.to_vec()));
        }
        started
    }

    fn run(&self, task: u64) -> RunId {
        match &self.tasks.live[&TaskId(task)].state {
            State::InHand(hand) => hand.run,
            other => panic!("task {task} is {other:?}"),
        }
    }

    fn end(&mut self, task: u64, outcome: Outcome) {
        self.tasks.ended(self.run(task), &outcome, 50_000, &mut self.effects);
    }

    fn succeed(&mut self, task: u64, byte: u8) {
        self.tasks.returned(self.run(task), value(byte), &mut self.effects);
        self.end(task, Outcome::Ok);
    }

    fn told(&mut self) -> Vec<(u64, TaskEvent)> {
        let tell = |effect| match effect {
            Effect::Tell(task, event) => Some((task.0, event)),
            _ => None,
        };
        std::mem::take(&mut self.effects).into_iter().filter_map(tell).collect()
    }
}

#[test]
fn a_graph_takes_as_many_steps_as_it_is_deep() {
    let mut world = World::default();
    (0..).zip([spec(&[]), spec(&[]), spec(&[0, 1, 0])]).for_each(|(task, spec)| world.submit(task, spec));
    assert_eq!(world.start(), [(0, 0, vec![]), (1, 1, vec![])]);
    world.succeed(1, 11);
    assert_eq!(world.start(), []);
    world.succeed(0, 10);
    assert_eq!(world.start(), [(2, 0, vec![10, 11, 10])]);
    world.succeed(2, 12);
    let done = |task, engine, byte| (task, TaskEvent::Done(engine, value(byte)));
    assert_eq!(world.told(), [done(1, B, 11), done(0, A, 10), done(2, A, 12)]);
}

#[test]
fn engines_have_a_second_task_in_hand_while_tasks_are_short() {
    let mut world = World::default();
    (0..5).for_each(|task| world.submit(task, spec(&[])));
    assert_eq!(world.start().len(), 2, "nothing is known of their length");
    world.tasks.returned(world.run(0), value(0), &mut world.effects);
    world.tasks.ended(world.run(0), &Outcome::Ok, 100, &mut world.effects);
    assert_eq!(world.start().iter().map(|start| start.1).collect::<Vec<_>>(), [0, 0, 1]);
    // One turns out to be long: what waits behind it goes to an engine that has become idle.
    world.tasks.began(world.run(1), Duration::ZERO);
    world.succeed(2, 2);
    world.succeed(3, 3);
    let behind = world.run(4);
    let load = |engine, runs| EngineLoad { engine, runs, own: runs, gpu: engine == B };
    let loads = [load(A, 0), load(B, 2)];
    world.effects.clear();
    world.tasks.look(Duration::from_millis(100), &loads, &mut world.effects);
    assert!(world.effects.contains(&Effect::EndRun { engine: B, run: behind, kill: false }), "{:?}", world.effects);
    world.end(4, Outcome::Cancelled);
    assert!(world.tasks.ready.anywhere.contains(&TaskId(4)));
}

#[test]
fn panics_are_tried_again_as_often_as_was_wished() {
    let mut world = World::default();
    world.submit(0, TaskSpec { retries: 1, ..spec(&[]) });
    for last in [false, true] {
        world.start();
        world.tasks.panicked(world.run(0), "thread", false);
        world.tasks.panicked(world.run(0), "no", true);
        world.end(0, Outcome::Ok);
        let why = TaskFailure::Panicked("no".into());
        let event = if last { TaskEvent::Failed(Some(A), why) } else { TaskEvent::Again(A, why) };
        assert_eq!(world.told(), [(0, event)]);
    }
}

#[test]
fn a_death_is_forgiven_once_and_elsewhere() {
    let mut world = World::default();
    world.submit(0, spec(&[]));
    assert_eq!(world.start(), [(0, 0, vec![])]);
    world.end(0, Outcome::died(Death::Signal(6)));
    assert_eq!(world.told().len(), 1);
    assert_eq!(world.start(), [(0, 1, vec![])]);
    world.end(0, Outcome::died(Death::Signal(6)));
    assert_eq!(world.told(), [(0, TaskEvent::Failed(Some(B), TaskFailure::Died(Death::Signal(6))))]);
}

#[test]
fn an_exit_was_asked_for_and_is_final() {
    for status in [0, 3] {
        let mut world = World::default();
        world.submit(0, TaskSpec { retries: 5, ..spec(&[]) });
        world.start();
        world.end(0, Outcome::died(Death::Exit(status)));
        assert_eq!(world.told(), [(0, TaskEvent::Failed(Some(A), TaskFailure::Died(Death::Exit(status))))]);
        assert_eq!(world.start(), []);
    }
}

#[test]
fn runs_that_others_end_are_nobodys_fault() {
    let mut world = World::default();
    world.submit(0, spec(&[]));
    for outcome in [Outcome::Cancelled, Outcome::died(Death::Stopped), Outcome::Stale, Outcome::Cancelled] {
        assert_eq!(world.start().len(), 1);
        world.end(0, outcome);
    }
    assert_eq!(world.told(), []);
    // Not even the late end of an earlier run.
    world.start();
    let early = RunId::of_task(TaskId(0), 0);
    world.tasks.ended(early, &Outcome::died(Death::Signal(9)), 0, &mut world.effects);
    world.succeed(0, 1);
    assert_eq!(world.told(), [(0, TaskEvent::Done(A, value(1)))]);
}

#[test]
fn those_that_need_a_failed_task_fail_and_name_the_first() {
    let mut world = World::default();
    (0..).zip([spec(&[]), spec(&[0]), spec(&[1])]).for_each(|(task, spec)| world.submit(task, spec));
    world.tasks.cancel(TaskId(0), &mut world.effects);
    world.submit(3, spec(&[2]));
    world.submit(4, spec(&[77]));
    let needs = |task, origin| (task, TaskEvent::Failed(None, TaskFailure::Needs(TaskId(origin))));
    let cancelled = (0, TaskEvent::Failed(None, TaskFailure::Cancelled));
    assert_eq!(world.told(), [cancelled, needs(1, 0), needs(2, 0), needs(3, 0), needs(4, 77)]);
    assert_eq!(world.start(), []);
}

#[test]
fn a_task_that_runs_is_ended_by_killing_its_worker() {
    for limit in [false, true] {
        let mut world = World::default();
        world.submit(0, TaskSpec { timeout_ms: if limit { 500 } else { 0 }, ..spec(&[]) });
        world.start();
        world.tasks.began(world.run(0), Duration::from_secs(1));
        let why = if limit {
            world.tasks.look(Duration::from_millis(1499), &[], &mut world.effects);
            assert_eq!(world.told(), [(0, TaskEvent::Running(A))]);
            world.tasks.look(Duration::from_millis(1500), &[], &mut world.effects);
            TaskFailure::TimedOut(500)
        } else {
            world.tasks.cancel(TaskId(0), &mut world.effects);
            world.tasks.cancel(TaskId(0), &mut world.effects);
            TaskFailure::Cancelled
        };
        assert_eq!(world.effects, [Effect::EndRun { engine: A, run: world.run(0), kill: true }]);
        world.end(0, Outcome::died(Death::Stopped));
        assert_eq!(world.told(), [(0, TaskEvent::Failed(Some(A), why))]);
    }
}

#[test]
fn results_are_kept_for_handles_and_for_tasks_that_need_them() {
    let mut world = World::default();
    world.submit(0, spec(&[]));
    world.submit(1, spec(&[0]));
    world.start();
    let file = TaskValue { bytes: vec![1].into(), file: Some("value-1".into()) };
    world.tasks.returned(world.run(0), file, &mut world.effects);
    world.end(0, Outcome::Ok);
    world.tasks.forget(TaskId(0), &mut world.effects);
    world.tasks.forget(TaskId(1), &mut world.effects);
    assert_eq!(world.start(), [(1, 0, vec![1])]);
    world.effects.clear();
    world.succeed(1, 2);
    assert!(world.effects.contains(&Effect::Remove("value-1".into())), "{:?}", world.effects);
    assert_eq!(world.tasks.kept(), 0);
}

#[test]
fn tasks_for_engines_that_are_not_there_are_given_up() {
    let mut world = World::default();
    world.submit(0, TaskSpec { on: Some(B), ..spec(&[]) });
    world.submit(1, TaskSpec { on: Some(EngineId(9)), ..spec(&[]) });
    let up = |gpu| Presence::Up { gpu };
    world.tasks.give_up(&[(A, up(false)), (B, up(true))].into(), &mut world.effects);
    assert_eq!(world.told(), [(1, TaskEvent::Failed(None, TaskFailure::NoSuchEngine(EngineId(9))))]);
    assert_eq!(world.start(), [(0, 1, vec![])]);
    world.submit(2, spec(&[]));
    world.tasks.give_up(&BTreeMap::new(), &mut world.effects);
    assert_eq!(world.told(), [(2, TaskEvent::Failed(None, TaskFailure::NoEngine))]);
}

#[test]
fn tasks_that_need_a_gpu_run_where_one_is_and_others_leave_it_free() {
    let mut world = World::default();
    let gpu = || TaskSpec { gpu: true, ..spec(&[]) };
    world.submit(0, gpu());
    world.submit(1, gpu());
    world.submit(2, spec(&[]));
    assert_eq!(world.start(), [(0, 1, vec![]), (2, 0, vec![])], "the second waits for the engine with a GPU");
    world.succeed(2, 2);
    assert_eq!(world.start(), []);
    world.end(0, Outcome::died(Death::Signal(6)));
    assert_eq!(world.start(), [(0, 1, vec![])], "no other engine has a GPU, so it isn't avoided");
    // The idle engine has none, so what waits behind another task stays where it is.
    world.submit(3, gpu());
    world.tasks.pace = Some(100);
    assert_eq!(world.start(), [(1, 1, vec![])]);
    world.tasks.began(world.run(0), Duration::ZERO);
    world.effects.clear();
    world.tasks.look(Duration::from_millis(100), &world.loads(), &mut world.effects);
    assert_eq!(world.told(), [(0, TaskEvent::Running(B))]);
}

#[test]
fn tasks_for_gpus_are_given_up_when_no_engine_has_one_or_will() {
    let mut world = World::default();
    let up = Presence::Up { gpu: false };
    world.submit(0, TaskSpec { gpu: true, ..spec(&[]) });
    world.submit(1, TaskSpec { gpu: true, on: Some(A), ..spec(&[]) });
    world.submit(2, TaskSpec { on: Some(A), ..spec(&[]) });
    world.submit(3, spec(&[0]));
    world.tasks.give_up(&[(A, Presence::Coming), (B, Presence::Coming)].into(), &mut world.effects);
    assert_eq!(world.told(), []);
    let loads = [A, B].map(|engine| EngineLoad { engine, runs: 0, own: 0, gpu: false });
    let started = world.tasks.next(&loads, false).map(|start| start.run.task());
    assert_eq!(started, Some(Some(TaskId(2))), "the one before it in the row for this engine needs a GPU");
    assert_eq!(world.tasks.next(&loads, false), None);
    world.tasks.give_up(&[(A, up), (B, Presence::Coming)].into(), &mut world.effects);
    assert_eq!(world.told(), [(1, TaskEvent::Failed(None, TaskFailure::NoGpu(Some(A))))], "engine B may have one");
    world.tasks.give_up(&[(A, up), (B, up)].into(), &mut world.effects);
    let failed = |task, why| (task, TaskEvent::Failed(None, why));
    assert_eq!(world.told(), [failed(0, TaskFailure::NoGpu(None)), failed(3, TaskFailure::Needs(TaskId(0)))]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever ends, dies, is cancelled or forgotten: each task ends once, none starts before what it needs has ended
    /// well, and nothing is left when all are forgotten.
    #[test]
    fn each_task_ends_once(
        graph in proptest::collection::vec((proptest::collection::vec(0..20u64, 0..3), 0..3u32, any::<(bool, bool)>()), 1..20),
        chances in proptest::collection::vec((0..10u8, any::<usize>()), 0..200),
    ) {
        let mut world = World::default();
        let count = graph.len() as u64;
        let mut ended: BTreeMap<u64, bool> = BTreeMap::new();
        let mut forgotten = BTreeSet::new();
        let mut waiting = graph.into_iter().enumerate();
        let mut chances = chances.into_iter();
        loop {
            if let Some((task, (needs, retries, (bound, gpu)))) = waiting.next() {
                let named = |need: &u64| *need < task as u64 && !forgotten.contains(need);
                let needs: Vec<u64> = needs.into_iter().filter(named).collect();
                world.submit(task as u64, TaskSpec { retries, on: bound.then_some(B), gpu, ..spec(&needs) });
            }
            for (task, _, argument) in world.start() {
                let needs = world.tasks.live[&TaskId(task)].needs.iter();
                for need in needs {
                    prop_assert_eq!(ended.get(&need.0), Some(&true));
                    prop_assert!(argument.contains(&(need.0 as u8)));
                }
            }
            let hands: Vec<TaskId> = world.tasks.hands.values().flatten().copied().collect();
            let (chance, which) = chances.next().unwrap_or((0, 0));
            if let Some(task) = (!hands.is_empty()).then(|| hands[which % hands.len()].0) {
                match chance {
                    0..5 => world.succeed(task, task as u8),
                    5 => world.end(task, Outcome::Ok),
                    6 => world.end(task, Outcome::died(Death::Signal(11))),
                    7 => world.end(task, Outcome::Cancelled),
                    8 => _ = world.tasks.cancel(TaskId(task), &mut world.effects),
                    _ => {
                        forgotten.insert(task);
                        world.tasks.forget(TaskId(task), &mut world.effects);
                    }
                }
            }
            for (task, event) in world.told() {
                if let TaskEvent::Done(..) | TaskEvent::Failed(..) = event {
                    let before = ended.insert(task, matches!(event, TaskEvent::Done(..)));
                    prop_assert_eq!(before, None, "task {} ended twice", task);
                }
            }
            if ended.len() as u64 == count {
                break;
            }
        }
        (0..count).for_each(|task| world.tasks.forget(TaskId(task), &mut world.effects));
        prop_assert_eq!(world.tasks.kept(), 0);
    }
}
