//! Maps whose engines have a cell of their own, and those over what lies on the engines.

use super::host::{Setting, with};
use crate::link::OnError;
use crate::map::{self, Error};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

fn second(second: impl Fn(usize) + Send + Sync + 'static) {
    with(Setting { second: Some(Arc::new(second)), most: 50, ..Setting::default() });
}

#[test]
fn engines_use_variables_of_their_own() {
    let (xs, k) = ((0..1000).map(f64::from).collect::<Vec<_>>(), 2.0);
    second(|_| {
        let table = [1.0, 10.0];
        map::serve(
            |(xs, k): (Vec<f64>, f64)| map::shape(&crate::over!(&xs), &(&k,)),
            |(k,), px_items| px_items.map(|x| table[x as usize % 2] * k).collect(),
        );
    });
    let types = |(table,): (Vec<f64>,), (k,): (f64,), px_items: map::Items<_>| {
        px_items.map(|x: f64| table[x as usize % 2] * k).collect()
    };
    let scaled = map::typed(crate::over!(&xs), (&k,), types).wait();
    assert!(scaled.iter().enumerate().all(|(n, x)| *x == [2.0, 20.0][n % 2]) && scaled.len() == 1000);
}

#[test]
fn what_engines_reduce_is_merged_by_a_function_of_its_own() {
    second(|_| {
        let step = 3;
        map::serve(
            |(): ()| map::shape(&crate::over!(0..1000u64), &()),
            |(), px_items| px_items.map(|n| n * step).reduce(|a, b| a + b),
        );
    });
    let handle = map::typed(crate::over!(0..1000u64), (), |(step,): (u64,), (), px_items| {
        px_items.map(|n| n * step).reduce(|a, b| a + b)
    });
    assert_eq!(handle.get(), Err(Error::NoMerging));
    assert_eq!(handle.merging(|a, b| a + b).wait(), Some(3 * 999 * 500));
}

/// A type that can't travel.
struct Stays(u64);

#[test]
fn results_stay_where_they_are() {
    let here = Arc::new(Mutex::new(Vec::new()));
    let there = Arc::clone(&here);
    second(move |_| {
        let kept = map::serve_keep(
            |(): ()| map::shape(&crate::over!(0..1000u64), &()),
            |(), px_items| px_items.map(Stays).keep(),
        );
        assert!(kept.is_sorted_by_key(|kept| kept.0));
        there.lock().expect("no panic").extend(kept.into_iter().map(|kept| kept.0));
    });
    map::typed_keep(crate::over!(0..1000u64), (), |(): (), (), px_items| px_items.map(Stays).keep()).wait();
    let mut all = std::mem::take(&mut *here.lock().expect("no panic"));
    all.sort_unstable();
    assert_eq!(all, (0..1000).collect::<Vec<_>>());
}

/// Runs a map that doesn't come to its end, and whose two engines keep what `keep` gives: neither may have anything.
fn stays_nowhere(keep: fn() -> Vec<Stays>, begin: fn() -> map::Handle<()>) {
    let told = Arc::new(AtomicUsize::new(0));
    let there = Arc::clone(&told);
    let work = move |_| {
        // A string of its own, which isn't a panic's: the notebook has said why.
        let ended = std::panic::catch_unwind(keep).is_err_and(|why| why.is::<&str>());
        there.fetch_add(ended.into(), Ordering::Relaxed);
    };
    with(Setting { engines: 2, second: Some(Arc::new(work)), is_ended: true, ..Setting::default() });
    let _ = begin().get();
    assert_eq!(told.load(Ordering::Relaxed), 2);
}

#[test]
fn nothing_stays_of_a_map_that_did_not_come_to_its_end() {
    stays_nowhere(
        || {
            map::serve_keep(
                |(): ()| map::shape(&crate::over!(0..10u64), &()),
                |(), px_items| px_items.map(Stays).keep(),
            )
        },
        || map::typed_keep(crate::over!(0..10u64), (), |(): (), (), px_items| px_items.map(Stays).keep()),
    );
    stays_nowhere(
        || map::each_keep(crate::part!([1u64, 2]), |(): (), px_items| px_items.map(Stays).keep()),
        || {
            let shape = |part: Vec<u64>| map::shape_each(&part);
            map::gathered_keep((), shape, |(): (), (), px_items| px_items.map(Stays).keep())
        },
    );
}

fn part() -> VecDeque<String> {
    let mut part: VecDeque<String> = (0..300).map(|n: u32| n.to_string()).collect();
    part.rotate_left(100);
    part.extend((0..300).map(|n| n.to_string()));
    part
}

#[test]
fn each_engine_maps_its_own_part() {
    for threads in [1, 3] {
        let work = |_| {
            let part = part();
            map::each(crate::part!(part), |(k,): (usize,), px_items| px_items.call(|s: &str| s.len() + k).collect());
        };
        with(Setting { engines: 1, threads, second: Some(Arc::new(work)), ..Setting::default() });
        let k = 5usize;
        let lengths = map::gathered(
            (&k,),
            |part: VecDeque<String>| map::shape_each(&part),
            |(): (), (k,), px_items| px_items.call(|s: &str| s.len() + k).collect(),
        );
        assert_eq!(lengths.wait(), part().iter().map(|s| s.len() + 5).collect::<Vec<_>>());
        let work = |_| {
            let part = part();
            let kept = map::each_keep(&part, |(): (), px_items| px_items.map(|s| s).collect());
            assert!(part.iter().eq(&kept));
        };
        with(Setting { engines: 1, threads, second: Some(Arc::new(work)), ..Setting::default() });
        let shape = |part: VecDeque<String>| map::shape_each(&part);
        map::gathered_keep((), shape, |(): (), (), px_items| px_items.map(|s| s).collect()).wait();
    }
}

#[test]
fn errors_stay_with_the_results() {
    let work = |_| {
        let half = |(): (), px_items: map::Items<_, map::Stay>| px_items.map(|n: i32| 6 / n).keep_errors().collect();
        let kept = map::each_keep(crate::part!([3, 0, 1]), half);
        assert_eq!(kept, [Ok(2), Err("attempt to divide by zero".to_owned()), Ok(6)]);
    };
    let on_error = OnError::Keep;
    with(Setting { engines: 1, second: Some(Arc::new(work)), on_error, ..Setting::default() });
    map::gathered_keep((), |part: Vec<i32>| map::shape_each(&part), |(): (), (), px_items| px_items.map(|n| n).count())
        .wait();
}

#[test]
fn a_failing_item_of_an_engines_part_is_named() {
    let work = |_| {
        let fails = |(): (), px_items: map::Items<_>| px_items.map(|n: i32| assert!(n < 7, "too large")).count();
        map::each(crate::part!([5, 6, 7]), fails);
    };
    with(Setting { engines: 1, second: Some(Arc::new(work)), ..Setting::default() });
    let shape = |part: Vec<i32>| map::shape_each(&part);
    let handle = map::gathered((), shape, |(): (), (), px_items| px_items.map(|n| n).count());
    assert_eq!(handle.get(), Err(Error::Failed("item 2 (7): too large".into())));
}

#[test]
fn a_result_is_shown_by_its_ends() {
    use crate::map::Shown as _;
    assert_eq!((0..100).collect::<Vec<u8>>().text(), "[0, 1, 2, 3, 4, …, 95, 96, 97, 98, 99] (100 items)");
    assert_eq!(vec!["a"].text(), "[\"a\"] (1 item)");
    assert_eq!(Vec::<u8>::new().text(), "[] (0 items)");
    assert_eq!((Some(1.5).text(), 3u64.text()), ("1.5".to_owned(), "3".to_owned()));
}
