//! Results of all kinds come back, in order, and failures are told.

use super::host::{Setting, in_place, last_rooms, reports, rooms_of, with};
use crate::link::OnError;
use crate::map::{Error, start};

#[test]
fn plain_results_go_to_their_places() {
    with(Setting::default());
    let xs: Vec<f64> = (0..100_000).map(f64::from).collect();
    let k = 3.0;
    let handle = start!(crate::over!(&xs), (&k,), |(k,), px_items| px_items.map(|x| x * x * k).collect());
    let expected: Vec<f64> = xs.iter().map(|x| x * x * k).collect();
    assert_eq!(handle.get(), Ok(expected.clone()));
    assert!(reports().1.iter().all(in_place));
    assert!(handle.done());
    assert_eq!(handle.wait(), expected);
    assert_eq!(rooms_of(&last_rooms()), 0, "all rooms are freed");
}

#[test]
fn large_plain_results_are_mapped_and_can_be_changed() {
    with(Setting { most: 1_000_000, ..Setting::default() });
    let n = 5_000_000u64;
    let handle = start!(crate::over!(0..n), (), |(), px_items| px_items.map(|x| x * 3).collect());
    let mut one = handle.get().expect("it ends");
    let two = handle.get().expect("it can be fetched twice");
    assert_eq!(one.len() as u64, n);
    one[1_000_000] = 7;
    drop(handle);
    assert!(two.iter().enumerate().all(|(n, value)| *value == n as u64 * 3));
    assert_eq!((one[999_999], one[1_000_000]), (2_999_997, 7));
    one.push(1);
    one.shrink_to_fit();
    one.truncate(100);
    one.shrink_to_fit();
    assert_eq!(one[99], 297);
}

#[test]
fn other_results_filters_and_threads() {
    for threads in [1, 3] {
        with(Setting { threads, ..Setting::default() });
        let lengths = start!(crate::over!(0..5000), (), |(), px_items| px_items.map(|n| "x".repeat(n % 9)).collect());
        let lengths = lengths.wait();
        assert!(lengths.len() == 5000 && lengths.iter().enumerate().all(|(n, text)| text.len() == n % 9));
        let even = |(), px_items: crate::map::Items<_>| px_items.map(|n: i64| n * n).filter(|n| n % 2 == 0).collect();
        let even = start!(crate::over!(0..5000i64), (), even).wait();
        assert_eq!(even, (0..5000).map(|n| n * n).filter(|n| n % 2 == 0).collect::<Vec<i64>>());
        let large = start!(crate::over!(0..50), (), |(), px_items| px_items.map(|n| vec![n; 100_000]).collect()).wait();
        assert!(large.iter().enumerate().all(|(n, large)| large.len() == 100_000 && large[5] == n));
        let nothing = start!(crate::over!(5..5), (), |(), px_items| px_items.map(|n: u8| n).collect()).wait();
        assert!(nothing.is_empty());
    }
}

fn odd_only(n: u64) -> u64 {
    assert!(n % 1000 != 7, "{n} isn't wanted");
    n + 1
}

#[test]
fn a_panic_ends_the_map_and_names_the_item() {
    for threads in [1, 2] {
        with(Setting { threads, engines: 1, ..Setting::default() });
        let handle = start!(crate::over!(5..9000), (), |(), px_items| px_items.call(odd_only).collect());
        assert_eq!(handle.get(), Err(Error::Failed("item 2 (7): 7 isn't wanted".into())));
        let counted = start!(crate::over!(5..9000), (), |(), px_items| px_items.call(odd_only).sum());
        assert_eq!(counted.get(), Err(Error::Failed("item 2 (7): 7 isn't wanted".into())));
    }
}

#[test]
fn failing_items_are_left_out_or_kept() {
    for threads in [1, 2] {
        let expected: Vec<u64> = (0..9000).filter(|n| n % 1000 != 7).map(|n| n + 1).collect();
        with(Setting { threads, on_error: OnError::Skip, ..Setting::default() });
        let handle = start!(crate::over!(0..9000), (), |(), px_items| px_items.call(odd_only).collect());
        assert_eq!(handle.get().as_ref(), Ok(&expected));
        let failed: Vec<u64> =
            reports().1.iter().flat_map(|done| &done.failed.first).map(|failed| failed.item).collect();
        assert_eq!(failed, [7, 1007, 2007, 3007, 4007, 5007, 6007, 7007, 8007]);
        let sum = start!(crate::over!(0..9000), (), |(), px_items| px_items.call(odd_only).sum()).wait();
        assert_eq!(sum, expected.iter().sum::<u64>());
        with(Setting { threads, on_error: OnError::Keep, ..Setting::default() });
        let kept = start!(crate::over!(0..9000), (), |(), px_items| px_items.call(odd_only).keep_errors().collect());
        let kept = kept.wait();
        assert_eq!(kept.len(), 9000);
        assert_eq!(kept[1007], Err("1007 isn't wanted".to_owned()));
        assert_eq!(kept.into_iter().flatten().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn an_item_is_tried_again_and_no_other() {
    use std::sync::atomic::{AtomicU64, Ordering};
    static CALLS: AtomicU64 = AtomicU64::new(0);
    static FAILS: AtomicU64 = AtomicU64::new(0);
    with(Setting { retries: 2, ..Setting::default() });
    let sum = start!(crate::over!(0..1000u64), (), |(), px_items| {
        px_items
            .map(|n| {
                CALLS.fetch_add(1, Ordering::Relaxed);
                assert!(n != 77 || FAILS.fetch_add(1, Ordering::Relaxed) >= 2, "not yet");
                n
            })
            .sum()
    });
    assert_eq!(sum.get(), Ok(999 * 1000 / 2));
    assert_eq!(CALLS.load(Ordering::Relaxed), 1002);
}

#[test]
fn what_is_done_of_an_unfinished_map_can_be_had() {
    with(Setting { only: 300, most: 50, ..Setting::default() });
    let handle = start!(crate::over!(0..1000u32), (), |(), px_items| px_items.map(|n| n + 1).collect());
    assert_eq!(handle.get(), Err(Error::Unfinished { done: 300, items: 1000 }));
    assert_eq!(handle.partial(), Ok((1..=300).collect::<Vec<u32>>()));
    let handle = start!(crate::over!(0..1000u32), (), |(), px_items| px_items.map(|n| n + 1).sum());
    assert!(handle.get().is_err());
    assert_eq!(handle.partial(), Ok(300 * 301 / 2));
}

#[test]
fn what_has_arrived_can_be_had_while_the_map_goes_on() {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    static GO_ON: AtomicBool = AtomicBool::new(false);
    with(Setting { engines: 1, most: 1, ..Setting::default() });
    let wait = |n: u32| {
        while n == 7 && !GO_ON.load(SeqCst) {
            std::thread::yield_now();
        }
        n
    };
    let handle = crate::map(wait, 0..9u32).start().collect().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while handle.partial().unwrap().len() < 3 {
        assert!(std::time::Instant::now() < deadline, "nothing has arrived");
        std::thread::yield_now();
    }
    let so_far = handle.partial().unwrap();
    assert!(!handle.done() && so_far.len() <= 7 && so_far.iter().zip(0..).all(|(n, at)| *n == at), "{so_far:?}");
    GO_ON.store(true, SeqCst);
    assert_eq!((handle.get().unwrap().len(), handle.partial().unwrap().len()), (9, 9));
}

#[test]
fn large_constants_and_none() {
    with(Setting::default());
    let (table, name) = ((0..100_000).collect::<Vec<u32>>(), "ab".to_owned());
    let found = start!(crate::over!(0..1000usize), (&table, &name), |(table, name), px_items| {
        px_items.map(|n| (table[n * 100], name.len())).collect()
    });
    assert!(found.wait().iter().enumerate().all(|(n, found)| *found == (n as u32 * 100, 2)));
}
