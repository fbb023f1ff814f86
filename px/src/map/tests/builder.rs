//! Maps that a cell's own Rust describes.

use super::host::{Setting, streams, with};
use crate::link::{Message as _, OnError};
use crate::map::{Named, Source as _};
use crate::task::tests::with_variables;
use crate::{map, map_with};

fn settings() -> impl Iterator<Item = Setting> {
    (0..4).map(|seed| Setting {
        seed,
        engines: 1 + seed as usize % 3,
        threads: 1 + seed as u32 % 2,
        most: [1, 7, 100, 30_000][seed as usize],
        ..Setting::default()
    })
}

fn half(x: u32) -> f64 {
    f64::from(x) / 2.0
}

#[test]
fn every_end_is_that_of_the_magic() {
    for setting in settings() {
        with(setting);
        let xs: Vec<f64> = (0..300).map(f64::from).collect();
        assert_eq!(map(|x: f64| x * 2.0, &xs).collect().unwrap(), xs.iter().map(|x| x * 2.0).collect::<Vec<_>>());
        assert_eq!(map(half, 0..9).collect().unwrap().len(), 9);
        assert_eq!(map(half, 0..=8).sum(), Ok(18.0));
        assert_eq!(map(|x: f64| x, &xs[10..20]).mean(), Ok(Some(14.5)));
        assert_eq!(
            (map(|x: f64| -x, &xs).min(), map(|x: f64| -x, xs.clone()).max()),
            (Ok(Some(-299.0)), Ok(Some(0.0)))
        );
        assert_eq!(map(|x: u8| x, &[3u8, 4]).count(), Ok(2));
        assert_eq!(map(|n: u32| n.to_string(), 0..5).reduce(|a, b| a + &b), Ok(Some("01234".to_owned())));
        assert_eq!(map(|n: u32| n, 0..0).reduce(|a, b| a + b), Ok(None));
        let zipped = map(|(a, b): (f64, u32)| a + f64::from(b), crate::over!(&xs[..3], 10..13));
        assert_eq!(zipped.collect(), Ok(vec![10.0, 12.0, 14.0]));
    }
}

#[test]
fn values_go_along_and_results_are_filtered() {
    for setting in settings() {
        with(setting);
        let (k, table) = (3, vec![10, 20, 30, 40]);
        let scaled = map_with((&k, &table), |(k, table), n: usize| k * table[n], 0..4usize);
        assert_eq!(scaled.filter(|r| r % 60 == 0).collect(), Ok(vec![60, 120]));
        let sum = map_with((&table,), |(table,), n: usize| table[n], 1..3usize).filter(|x| *x > 20).sum();
        assert_eq!(sum, Ok(30));
        let joined = map_with((&k,), |(k,), n: i32| vec![n; *k as usize], 0..2).filter(|v| v[0] > 0);
        assert_eq!(joined.reduce(|a, b| [a, b].concat()), Ok(Some(vec![1, 1, 1])));
    }
}

#[test]
fn a_handle_is_had_without_waiting() {
    with(Setting::default());
    let handle = map(|x: u64| x * x, 0..100).start().sum().unwrap();
    assert_eq!((handle.get(), handle.get(), handle.done()), (Ok(328_350), Ok(328_350), true));
}

#[test]
fn errors_are_kept_where_that_is_wished() {
    with(Setting { on_error: OnError::Keep, ..Setting::default() });
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let all = map(|x: u32| 6 / x, 0..3).on_error(OnError::Keep).collect_errors().unwrap();
    std::panic::set_hook(before);
    assert_eq!((all[1].clone(), all[2].clone()), (Ok(6), Ok(3)));
    assert!(all[0].as_ref().unwrap_err().contains("divide by zero"), "{all:?}");
}

#[test]
fn results_come_one_by_one_with_their_numbers() {
    let _one = streams();
    for setting in settings() {
        with(setting);
        let mut all: Vec<(usize, String)> =
            map(|n: u32| "x".repeat(n as usize), 0..400).stream().unwrap().map(|(i, r)| (i, r.unwrap())).collect();
        all.sort();
        assert!(all.iter().enumerate().all(|(at, (i, r))| at == *i && r.len() == at) && all.len() == 400);
        let (k, even) = (10, |r: &u64| r.is_multiple_of(20));
        let some = map_with((&k,), |(k,), n: u64| k * n, 0..100u64).filter(even).ordered(true).stream().unwrap();
        let some: Vec<(usize, u64)> = some.map(|(i, r)| (i, r.unwrap())).collect();
        assert_eq!(some, (0..50).map(|at| (2 * at, 20 * at as u64)).collect::<Vec<_>>());
        assert_eq!(map(|n: u8| n, 0..0u8).stream().unwrap().next(), None);
    }
}

#[test]
fn a_result_does_not_wait_for_the_others_of_its_piece() {
    let _one = streams();
    static GO_ON: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    use std::sync::atomic::Ordering::SeqCst;
    with(Setting { engines: 1, most: 1_000_000, ..Setting::default() });
    let wait = |n: u64| {
        while n == 1 && !GO_ON.load(SeqCst) {
            std::thread::yield_now();
        }
        n
    };
    let mut came = map(wait, 0..2000u64).stream().unwrap();
    assert_eq!(came.next(), Some((0, Ok(0))));
    GO_ON.store(true, SeqCst);
    assert_eq!(came.count(), 1999);
}

#[test]
fn what_was_taken_needs_no_memory_any_more() {
    let _one = streams();
    with(Setting::default());
    let mut bytes = map(|n: u8| vec![n; 3_000_000], 0..8).stream().unwrap();
    let room = crate::map::rooms::open(super::host::last_rooms().last().unwrap()).unwrap();
    let used = || std::os::unix::fs::MetadataExt::blocks(&room.metadata().unwrap()) * 512;
    assert_eq!(bytes.by_ref().map(|(i, r)| (r.unwrap() == vec![i as u8; 3_000_000]) as usize).sum::<usize>(), 8);
    assert!(used() <= 4096, "{} bytes", used());
}

#[test]
fn failing_items_are_errors_where_that_is_wished_and_the_end_otherwise() {
    let _one = streams();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let run = |on_error| {
        with(Setting { on_error, engines: 1, ..Setting::default() });
        let mut all: Vec<_> = map(|x: u32| 60 / (x % 5), 1..11).on_error(on_error).stream().unwrap().collect();
        all.sort_by_key(|(i, _)| *i);
        all
    };
    let (kept, skipped, stopped) = (run(OnError::Keep), run(OnError::Skip), run(OnError::Stop));
    std::panic::set_hook(before);
    let good: Vec<(usize, u32)> = kept.iter().filter_map(|(i, r)| Some((*i, r.clone().ok()?))).collect();
    assert_eq!(good, [(0, 60), (1, 30), (2, 20), (3, 15), (5, 60), (6, 30), (7, 20), (8, 15)]);
    assert!(kept.len() == 10 && kept[4].1.as_ref().unwrap_err().to_string().contains("divide by zero"), "{kept:?}");
    assert_eq!(skipped, good.into_iter().map(|(i, r)| (i, Ok(r))).collect::<Vec<_>>());
    let (last, error) = stopped.last().unwrap();
    assert!(*last == 4 && error.as_ref().unwrap_err().to_string().starts_with("item 4 (5): "), "{stopped:?}");
}

/// A type that can't travel.
#[derive(Debug, PartialEq)]
struct Own(f64);

#[test]
fn an_engines_own_items_are_mapped_and_results_stay_there() {
    with(Setting { engines: 1, ..Setting::default() });
    let store = crate::store::create_variable_store();
    // SAFETY: it was just made, and one thread at a time uses it.
    unsafe { (*store).put_variable("part", vec![1.5, 2.5, 3.5]) };
    with_variables(store.cast(), || {
        assert_eq!(map(|x: f64| x * 2.0, crate::var!(part)).collect(), Ok(vec![3.0, 5.0, 7.0]));
        let large = map_with((&2.0,), |(k,), x: f64| x * k, crate::var!(part)).filter(|x| *x > 3.0);
        assert_eq!(large.sum(), Ok(12.0));
        assert_eq!(map(|x: f64| x, crate::var!(part)).reduce(|a, b| a.max(b)), Ok(Some(3.5)));
        // Engines have variables of their own, but in this test.
        let one = crate::Engines::of(vec![2]);
        map(Own, crate::var!(part)).on(&one).keep(crate::var!(kept)).unwrap();
        map(|n: u64| n * n, 0..100u64).filter(|n| n % 2 == 0).on(&one).keep(crate::var!(even)).unwrap();
        let (first, second) = (map(|n: u64| n, 0..5u64).on(&one), map(|n: u64| n + 5, 0..5u64).on(&one));
        let (first, second) = (first.start().keep(crate::var!(first)), second.start().keep(crate::var!(second)));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!((second.get(), first.get(), first.get()), (Ok(()), Ok(()), Ok(())), "each has a place of its own");
        assert!(first.partial().unwrap_err().to_string().contains("`get()` waits for that"));
        let dropped = map(|n: u64| n, 0..5u64).on(&one).start().keep(crate::var!(dropped)).unwrap();
        while !dropped.done() {
            std::thread::yield_now();
        }
        drop(dropped);
    });
    let mut names = Vec::new();
    // SAFETY: as above.
    unsafe { (*store).sizes(|name, _| names.push(name.to_owned())) };
    names.sort();
    assert_eq!(names, ["even", "first", "kept", "part", "second"], "nothing without a name is left");
    // SAFETY: as above.
    let both = unsafe { ((*store).take_variable::<Vec<u64>>("first"), (*store).take_variable::<Vec<u64>>("second")) };
    assert_eq!(both, ((0..5).collect(), (5..10).collect()));
    // SAFETY: as above.
    let (kept, even) =
        unsafe { ((*store).take_variable::<Vec<Own>>("kept"), (*store).take_variable::<Vec<u64>>("even")) };
    assert_eq!(kept, [Own(1.5), Own(2.5), Own(3.5)]);
    assert_eq!(even, (0..50).map(|n| 4 * n * n).collect::<Vec<u64>>());
}

#[test]
fn what_engines_have_comes_one_by_one_with_numbers_among_all() {
    let _one = streams();
    let store = crate::store::create_variable_store();
    // SAFETY: it was just made, and one thread at a time uses it.
    unsafe { (*store).put_variable("part", vec![1.5, 2.5, 3.5]) };
    for setting in settings() {
        with(Setting { engines: 1, ..setting });
        with_variables(store.cast(), || {
            // In this test, all engines have the same.
            let both = crate::Engines::of(vec![2, 5]);
            let large = vec![2.0; 10_000];
            let scaled =
                map_with((&large,), |(k,), x: f64| x * k[9_999], crate::var!(part)).on(&both).stream().unwrap();
            let mut scaled: Vec<_> = scaled.map(|(i, r)| (i, r.unwrap())).collect();
            scaled.sort_by_key(|(i, _)| *i);
            assert_eq!(scaled, [(0, 3.0), (1, 5.0), (2, 7.0), (3, 3.0), (4, 5.0), (5, 7.0)]);
            let rooms = super::host::last_rooms();
            assert_eq!((rooms.len(), super::host::rooms_of(&rooms)), (2, 0), "both maps had them");
            let some =
                map(|x: f64| x, crate::var!(part)).on(&both).filter(|x| *x > 3.0).ordered(true).stream().unwrap();
            assert_eq!(some.map(|(i, r)| (i, r.unwrap())).collect::<Vec<_>>(), [(2, 3.5), (5, 3.5)]);
        });
    }
    let missing = map(|x: f64| x, crate::var!(part)).stream().unwrap_err().to_string();
    assert!(missing.contains("has no variable `part`"), "{missing}");
}

#[test]
fn a_loop_hears_that_an_engine_has_other_items_than_were_counted() {
    with(Setting::default());
    let store = crate::store::create_variable_store();
    // SAFETY: it was just made, and one thread at a time uses it.
    unsafe { (*store).put_variable("part", vec![1.5, 2.5, 3.5]) };
    let open = |counted: u64| {
        let mut input = Vec::new();
        "part".to_owned().write(&mut input);
        counted.write(&mut input);
        with_variables(store.cast(), || Named::<f64>::open(&mut input.as_slice(), &[]).map(drop))
    };
    assert_eq!(open(3), Ok(()));
    let longer = open(2).unwrap_err().to_string();
    assert_eq!(longer, "`part` has changed since the loop began: it had 2 items, and has 3");
    assert!(open(4).is_err());
}

#[test]
fn errors_are_not_dropped_without_a_word() {
    with(Setting::default());
    let keeps = || map(|n: u8| n, 0..5u8).on_error(OnError::Keep);
    for refused in [keeps().sum().err(), keeps().collect().err(), keeps().keep(crate::var!(kept)).err()] {
        let said = refused.unwrap().to_string();
        assert!(said.contains("`.collect_errors()?`") && said.contains("`OnError::Skip`"), "{said}");
    }
}

#[test]
fn a_function_of_another_library_is_refused() {
    with(Setting::default());
    unsafe extern "C" {
        fn abs(x: i32) -> i32;
    }
    let mut it = map(|x: i32| x, 0..3);
    it.functions[0] = abs as *const () as usize;
    assert!(it.collect().unwrap_err().to_string().contains("A closure around it"));
}
