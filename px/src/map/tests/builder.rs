//! Maps that a cell's own Rust describes.

use super::host::{Setting, with};
use crate::link::OnError;
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
fn a_function_of_another_library_is_refused() {
    with(Setting::default());
    unsafe extern "C" {
        fn abs(x: i32) -> i32;
    }
    let mut it = map(|x: i32| x, 0..3);
    it.functions[0] = abs as *const () as usize;
    assert!(it.collect().unwrap_err().to_string().contains("A closure around it"));
}
