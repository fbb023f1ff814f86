//! One rule a test, and random order of everything.

use super::*;
use proptest::prelude::*;

fn spec(items: u64, chunk: Option<u64>, retries: u32) -> MapSpec {
    MapSpec { items: Some(items), chunk, retries, goes_on: false }
}

fn map(items: u64, chunk: Option<u64>, retries: u32, engines: u32) -> Sharing {
    with_engines(spec(items, chunk, retries), engines)
}

fn with_engines(spec: MapSpec, engines: u32) -> Sharing {
    let mut map = Sharing::new(&spec);
    (0..engines).for_each(|id| map.join(EngineId(id), RunId(0), false));
    map
}

fn report(first: u64, count: u64, micros: u64) -> Report {
    Report { first, count, micros, failed: 0, body: vec![].into() }
}

/// What an engine is given for what it says.
fn say(map: &mut Sharing, engine: u32, reports: &[(u64, u64, u64)]) -> Vec<(u64, u64)> {
    let reports: Vec<Report> = reports.iter().map(|&(first, count, micros)| report(first, count, micros)).collect();
    let news = map.report(EngineId(engine), reports.clone());
    assert_eq!(news, reports, "all of it is news");
    given(&map.hand_out(EngineId(engine)))
}

fn given(pieces: &[Piece]) -> Vec<(u64, u64)> {
    pieces.iter().map(|piece| (piece.first, piece.count)).collect()
}

fn signal(signal: i32) -> Outcome {
    Outcome::died(Death::Signal(signal))
}

#[test]
fn tasks_come_two_at_first_and_by_speed_then() {
    let mut map = map(1_000_000, Some(10), 1, 2);
    assert_eq!(say(&mut map, 0, &[]), [(0, 20)]);
    // 20 ms are 100 tasks, but the credit grows fourfold at most.
    assert_eq!(say(&mut map, 0, &[(0, 10, 200)]), [(20, 70)]);
    assert_eq!(say(&mut map, 0, &[(10, 10, 200)]), [(90, 250)]);
    assert_eq!(say(&mut map, 0, &[(20, 320, 200 * 32)]), [(340, 990)]);
    // As much as was done comes after it, when it is worth a message.
    assert_eq!(say(&mut map, 0, &[(340, 10, 200)]), []);
    let next = say(&mut map, 0, &[(350, 490, 200 * 49)]);
    assert!(matches!(next[..], [(1330, 480..=520)]), "{next:?}");
}

#[test]
fn slow_tasks_come_one_by_one_and_credit_has_a_limit() {
    let mut slow = map(1000, Some(1), 1, 2);
    assert_eq!(say(&mut slow, 0, &[]), [(0, 2)]);
    assert_eq!(say(&mut slow, 0, &[(0, 1, 1_000_000)]), [(2, 1)]);
    let mut fast = map(u64::MAX, Some(1), 1, 1);
    let mut first = 0;
    let mut at_once = say(&mut fast, 0, &[]);
    for _ in 0..10 {
        let [(_, count)] = at_once[..] else { panic!("{at_once:?}") };
        at_once = say(&mut fast, 0, &[(first, count, 0)]);
        first += count;
    }
    assert_eq!(at_once, [(first, 4096)]);
}

#[test]
fn pieces_of_a_free_size_grow_with_the_speed() {
    let mut map = map(1_000_000_000, None, 1, 4);
    let mut hand = VecDeque::from(say(&mut map, 0, &[]));
    assert_eq!(hand, [(0, 1000), (1000, 1000)]);
    let mut sizes = Vec::new();
    for _ in 0..12 {
        let (first, count) = hand.pop_front().unwrap();
        sizes.push(count);
        hand.extend(say(&mut map, 0, &[(first, count, count / 1000)]));
        assert_eq!(hand.len(), 2, "one at work and one waiting");
    }
    assert!(sizes.windows(2).all(|pair| pair[1] <= 4 * pair[0].max(1)), "{sizes:?}");
    assert!((15_000_000..=20_000_000).contains(sizes.last().unwrap()), "20 ms of 1 ns each: {sizes:?}");
}

#[test]
fn the_last_pieces_are_small() {
    let mut map = map(10_000, None, 1, 2);
    let mut hands: Vec<VecDeque<(u64, u64)>> = (0..2).map(|engine| say(&mut map, engine, &[]).into()).collect();
    let mut sizes = Vec::new();
    while !map.is_over() {
        for (engine, hand) in hands.iter_mut().enumerate() {
            let Some((first, count)) = hand.pop_front() else { continue };
            sizes.push(count);
            hand.extend(say(&mut map, engine as u32, &[(first, count, count * 100)]));
        }
    }
    assert_eq!(sizes.iter().max(), Some(&199), "20 ms: {sizes:?}");
    assert!(sizes.last() <= Some(&5), "half a millisecond: {sizes:?}");
}

#[test]
fn few_items_are_spread_over_all_engines() {
    for chunk in [None, Some(1)] {
        let mut map = map(4, chunk, 1, 4);
        for engine in 0..4 {
            assert_eq!(say(&mut map, engine, &[]), [(u64::from(engine), 1)]);
        }
    }
}

#[test]
fn only_what_is_in_hand_is_news() {
    let mut map = map(100, Some(10), 1, 2);
    assert_eq!(say(&mut map, 0, &[]), [(0, 20)]);
    for (first, count) in [(20, 10), (15, 10), (0, 0), (0, 21), (u64::MAX, 2)] {
        assert_eq!(map.report(EngineId(0), vec![report(first, count, 1)]), [], "{first}, {count}");
    }
    assert_eq!(map.report(EngineId(1), vec![report(0, 10, 1)]), [], "others have it");
    assert_eq!(map.report(EngineId(9), vec![report(0, 10, 1)]), [], "no such engine");
    let twice = vec![report(10, 10, 1), report(10, 10, 1), report(0, 10, 1)];
    assert_eq!(map.report(EngineId(0), twice), [report(10, 10, 1), report(0, 10, 1)]);
    assert_eq!(map.left, 80);
}

#[test]
fn engines_with_items_of_their_own_only_report() {
    let mut map = Sharing::new(&MapSpec { items: None, ..spec(0, None, 1) });
    map.join(EngineId(0), RunId(0), false);
    assert_eq!(say(&mut map, 0, &[(5, 7, 1)]), []);
    assert!(!map.is_over());
}

#[test]
fn what_a_lost_engine_had_is_first_for_others() {
    for outcome in [Outcome::died(Death::EngineLost), Outcome::died(Death::Stopped), Outcome::Panicked, Outcome::Ok] {
        let mut map = map(1000, Some(10), 0, 3);
        assert_eq!(say(&mut map, 0, &[]), [(0, 20)]);
        assert_eq!(say(&mut map, 1, &[]), [(20, 20)]);
        assert_eq!(map.leave(EngineId(0), RunId(0), &outcome), None);
        assert_eq!(map.leave(EngineId(0), RunId(0), &outcome), None, "it left already");
        assert_eq!(say(&mut map, 2, &[]), [(0, 20)]);
    }
}

#[test]
fn what_was_at_work_is_suspect_and_tried_alone_in_parts() {
    let mut map = map(1000, Some(32), 1, 3);
    assert_eq!(say(&mut map, 0, &[]), [(0, 64)]);
    assert_eq!(say(&mut map, 1, &[]), [(64, 64)]);
    assert_eq!(map.leave(EngineId(0), RunId(0), &signal(11)), None);
    // Engine 1 has work: nothing comes behind that.
    assert_eq!(say(&mut map, 1, &[(64, 32, 1)]), []);
    assert_eq!(say(&mut map, 1, &[(96, 32, 1)]), [(0, 4)]);
    for part in 1..16 {
        assert_eq!(say(&mut map, 1, &[(4 * part - 4, 4, 1)]), [(4 * part, 4)]);
    }
    let next = say(&mut map, 1, &[(60, 4, 1)]);
    assert_eq!(next.first().map(|(first, _)| *first), Some(128));
}

#[test]
fn a_suspect_that_was_lost_for_another_reason_stays_one() {
    let mut map = map(100, Some(1), 1, 3);
    assert_eq!(say(&mut map, 0, &[]), [(0, 2)]);
    map.leave(EngineId(0), RunId(0), &signal(11));
    assert_eq!(say(&mut map, 1, &[]), [(0, 1)]);
    map.leave(EngineId(1), RunId(0), &Outcome::died(Death::EngineLost));
    assert_eq!(say(&mut map, 2, &[]), [(0, 1)], "alone");
    assert_eq!(map.leave(EngineId(2), RunId(0), &signal(11)), Some((0, 1)));
}

/// Lets engines die over one item until the map is over; returns what was given up, and how many deaths it took.
fn deadly(items: u64, chunk: Option<u64>, retries: u32, item: u64, outcome: &Outcome) -> (Vec<(u64, u64)>, u32) {
    let mut map = with_engines(MapSpec { goes_on: true, ..spec(items, chunk, retries) }, 1);
    let (mut given_up, mut deaths) = (Vec::new(), 0);
    let mut hand = VecDeque::from(map_ready(&mut map));
    while !map.is_over() {
        let Piece { first, count, .. } = hand.pop_front().expect("an engine without work");
        if (first..first + count).contains(&item) {
            deaths += 1;
            given_up.extend(map.leave(EngineId(0), RunId(0), outcome));
            map.join(EngineId(0), RunId(0), false);
            hand = map_ready(&mut map).into();
            continue;
        }
        map.report(EngineId(0), vec![report(first, count, 1000)]);
        hand.extend(map.hand_out(EngineId(0)));
    }
    (given_up, deaths)
}

fn map_ready(map: &mut Sharing) -> Vec<Piece> {
    map.report(EngineId(0), vec![]);
    map.hand_out(EngineId(0))
}

#[test]
fn a_deadly_item_is_found_and_given_up() {
    // In what was in hand, then in a part of it, then alone; more often only where that is allowed.
    assert_eq!(deadly(100, Some(1), 1, 42, &signal(11)), (vec![(42, 1)], 3));
    // In 512, 32, 2 and 1.
    assert_eq!(deadly(1000, Some(256), 1, 300, &signal(6)), (vec![(300, 1)], 4));
    let (given_up, deaths) = deadly(1_000_000, None, 1, 777_777, &signal(11));
    assert_eq!(given_up, [(777_777, 1)]);
    assert_eq!(deaths, 6, "in 1,000,000 items, 62,500, 3,907, 245, 16 and 1");
}

#[test]
fn an_exit_was_asked_for_and_is_final() {
    let exit = Outcome::died(Death::Exit(0));
    let mut map = map(1000, Some(100), 3, 2);
    assert_eq!(say(&mut map, 0, &[]), [(0, 200)]);
    assert_eq!(map.leave(EngineId(0), RunId(0), &exit), Some((0, 200)));
    assert_eq!(say(&mut map, 1, &[]), [(200, 200)], "nothing of it is begun again");
}

#[test]
fn a_map_that_goes_on_looks_for_the_item_that_exits_and_gives_up_that_at_once() {
    let exit = Outcome::died(Death::Exit(3));
    assert_eq!(deadly(100, Some(1), 3, 42, &exit), (vec![(42, 1)], 3), "in what was in hand, in a part, and alone");
    assert_eq!(deadly(1000, Some(256), 1, 300, &exit), (vec![(300, 1)], 4), "in 512, 32, 2 and 1");
}

#[test]
fn without_retries_nothing_is_begun_again() {
    assert_eq!(deadly(1000, Some(100), 0, 42, &signal(11)), (vec![(0, 200)], 1), "nor what was behind it in its piece");
}

#[test]
fn deaths_that_may_come_from_outside_are_forgiven_longer() {
    assert_eq!(deadly(100, Some(1), 1, 42, &signal(9)), (vec![(42, 1)], 6));
    assert_eq!(deadly(100, Some(1), 0, 42, &signal(15)), (vec![(42, 1)], 5));
}

#[test]
fn returned_items_wake_who_had_nothing() {
    let mut map = map(4, Some(1), 1, 3);
    for engine in 0..3 {
        assert_eq!(say(&mut map, engine, &[]), [(u64::from(engine), 1)]);
    }
    assert_eq!(say(&mut map, 0, &[(0, 1, 1)]), [(3, 1)]);
    assert_eq!(say(&mut map, 0, &[(3, 1, 1)]), []);
    assert_eq!(map.wake(|_| true), []);
    map.leave(EngineId(1), RunId(0), &signal(9));
    let woken: Vec<_> = map.wake(|_| true).into_iter().map(|(engine, pieces)| (engine.0, given(&pieces))).collect();
    assert_eq!(woken, [(0, vec![(1, 1)])]);
    assert_eq!(map.wake(|_| true), []);
}

#[test]
fn a_map_that_rests_hands_out_what_came_back_and_nothing_else() {
    let mut map = map(100, Some(1), 1, 3);
    assert_eq!(say(&mut map, 0, &[]), [(0, 2)]);
    assert_eq!(say(&mut map, 1, &[]), [(2, 2)]);
    assert_eq!(map.rest(true), [EngineId(0), EngineId(1)], "who hasn't asked yet isn't told");
    assert_eq!(map.rest(true), []);
    assert_eq!((say(&mut map, 1, &[(2, 1, 9)]), map.dismisses(EngineId(1))), (vec![], true));
    assert_eq!((say(&mut map, 2, &[]), map.dismisses(EngineId(2))), (vec![], true));
    // Engine 1 ends without what it hasn't begun, and another one, which comes anew, may have that.
    for engine in [1, 2] {
        assert_eq!(map.leave(EngineId(engine), RunId(0), &Outcome::Ok), None);
        map.join(EngineId(engine), RunId(1), false);
    }
    assert_eq!((say(&mut map, 2, &[]), map.dismisses(EngineId(2))), (vec![(3, 1)], false));
    assert_eq!((say(&mut map, 2, &[(3, 1, 9)]), map.dismisses(EngineId(2))), (vec![], true));
    assert_eq!(map.rest(false), []);
    assert_eq!((say(&mut map, 0, &[(0, 2, 9)]), map.dismisses(EngineId(0))), (vec![], true), "its run is to end first");
    assert_eq!(say(&mut map, 1, &[]).first(), Some(&(4, 2)));
}

#[test]
fn ranges_that_touch_become_one() {
    let mut ranges = Ranges::default();
    for (first, end) in [(10, 20), (30, 40), (20, 30), (5, 10), (50, 60)] {
        ranges.insert(first, end);
    }
    assert_eq!((ranges.ranges().count(), ranges.items()), (2, 45));
    assert_eq!((ranges.take(10), ranges.take(100), ranges.take(100)), (Some((5, 15)), Some((15, 40)), Some((50, 60))));
    assert_eq!((ranges.take(1), ranges.items()), (None, 0));
}

/// What the map keeps is a partition of what isn't done.
fn check(map: &Sharing, open: &BTreeSet<u64>) -> Result<(), TestCaseError> {
    let items = map.items.unwrap_or(0);
    let mut kept: BTreeSet<u64> = (map.frontier..items).collect();
    let mut add = |first: u64, end: u64| (first..end).all(|item| kept.insert(item));
    prop_assert!(map.returned.ranges().all(|(first, end)| add(first, end)));
    prop_assert!(map.suspects.iter().all(|span| add(span.first, span.end)));
    for (engine, seat) in &map.seats {
        let spans = seat.spans();
        prop_assert_eq!(seat.items(), spans.iter().map(|span| span.end - span.first).sum::<u64>());
        prop_assert!(spans.iter().all(|span| add(span.first, span.end)));
        prop_assert!(
            spans.iter().all(|span| span.attempts == 0) || spans.iter().all(|span| span.attempts > 0),
            "company"
        );
        prop_assert_eq!(map.idle.contains(engine), seat.ready && seat.items() == 0 && !seat.dismissed);
    }
    prop_assert_eq!(&kept, open);
    prop_assert_eq!(map.left, open.len() as u64);
    prop_assert!(map.idle.iter().all(|engine| map.seats.contains_key(engine)));
    Ok(())
}

proptest! {
    /// Engines that do anything, in any order: nothing is done twice, lost, or left with the dead.
    #[test]
    fn each_item_is_done_once_or_given_up(
        items in 0..300u64,
        chunk in proptest::option::of(1..40u64),
        retries in 0..3u32,
        steps in proptest::collection::vec((0..4u32, 0..13u8, any::<u64>(), 0..5000u64), 0..200),
    ) {
        let mut map = Sharing::new(&spec(items, chunk, retries));
        let mut open: BTreeSet<u64> = (0..items).collect();
        let mut hands: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
        for (engine, kind, random, micros) in steps {
            let id = EngineId(engine);
            match kind {
                0 => map.join(id, RunId(0), false),
                1 => _ = map.report(id, vec![]),
                2 => {
                    let outcomes = [signal(11), signal(9), Outcome::died(Death::EngineLost), Outcome::Panicked];
                    if let Some((first, count)) = map.leave(id, RunId(0), &outcomes[(random % 4) as usize]) {
                        prop_assert!((first..first + count).all(|item| open.remove(&item)));
                    }
                    hands.remove(&engine);
                }
                3 => map.vacate(id),
                12 => _ = map.rest(random % 2 == 0),
                // Something that isn't in hand, or perhaps is.
                4 => for news in map.report(id, vec![report(random % 310, random % 7, micros)]) {
                    prop_assert!((news.first..news.first + news.count).all(|item| open.remove(&item)));
                },
                _ => {
                    let hand = hands.entry(engine).or_default();
                    if !hand.is_empty() {
                        let (first, count) = hand.swap_remove(random as usize % hand.len());
                        for news in map.report(id, vec![report(first, count, micros); 2]) {
                            prop_assert!((news.first..news.first + news.count).all(|item| open.remove(&item)));
                        }
                    }
                }
            }
            check(&map, &open)?;
            for (engine, pieces) in map.wake(|_| true).into_iter().chain([(id, map.hand_out(id))]) {
                for Piece { first, count, chunk } in pieces {
                    prop_assert!(count > 0 && chunk > 0);
                    let tasks = (first..first + count).step_by(chunk as usize);
                    let hand = hands.entry(engine.0).or_default();
                    hand.extend(tasks.map(|task| (task, chunk.min(first + count - task))));
                }
            }
            map.dismisses(id);
            check(&map, &open)?;
            prop_assert!(!map.has_items() || map.idle.is_empty(), "somebody waits though there is work");
        }
        map.rest(false);
        // One engine that does all that it is given comes to the end.
        (0..4).for_each(|engine| _ = map.leave(EngineId(engine), RunId(0), &Outcome::Ok));
        map.join(EngineId(0), RunId(1), false);
        let mut hand = VecDeque::from(map_ready(&mut map));
        while !map.is_over() {
            let piece = hand.pop_front().expect("work");
            prop_assert_eq!(map.report(EngineId(0), vec![report(piece.first, piece.count, 10)]).len(), 1);
            prop_assert!((piece.first..piece.first + piece.count).all(|item| open.remove(&item)));
            check(&map, &open)?;
            hand.extend(map.hand_out(EngineId(0)));
        }
        prop_assert!(open.is_empty());
    }
}
