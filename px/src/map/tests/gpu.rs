//! Maps that a GPU works at: one of the tests', which multiplies by a constant and fails below 0.

use super::host::{Setting, with};
use crate::link::OnError;
use crate::map::gpu::{OnGpu, value};
use crate::map::start;
use crate::over;

#[test]
fn results_are_the_gpus() {
    with(Setting::default());
    let (xs, k) = ((0..3000).collect::<Vec<i64>>(), 3i64);
    let constants = || OnGpu::new((&k,), vec![value!(k)]);
    // The function says something else, so that it shows who has called it.
    let tripled =
        start!(over!(&xs), constants(), |(k,), px_items| px_items.on_gpu(vec![]).map(|x: i64| x + k - k).collect());
    assert_eq!(tripled.get().unwrap(), xs.iter().map(|x| x * 3).collect::<Vec<_>>());
    let sum = start!(over!(&xs), constants(), |(k,), px_items| px_items.on_gpu(vec![]).map(|x: i64| x + k - k).sum());
    assert_eq!(sum.get().unwrap(), xs.iter().sum::<i64>() * 3);
}

#[test]
fn an_item_that_fails_is_called_here_and_says_why() {
    let xs = vec![1i64, 2, -3, 4];
    let k = 2i64;
    let map = |on_error| {
        with(Setting { on_error, ..Setting::default() });
        let constants = OnGpu::new((&k,), vec![value!(k)]);
        start!(over!(&xs), constants, |(k,), px_items| px_items
            .on_gpu(vec![])
            .map(|x: i64| {
                assert!(x >= 0, "{x} is negative");
                x * k
            })
            .collect())
    };
    let error = map(OnError::Stop).get().unwrap_err().to_string();
    assert!(error.contains("-3 is negative") || error.contains("2 of its 4"), "{error}");
    assert_eq!(map(OnError::Skip).get().unwrap(), [2, 4, 8]);
}

#[test]
fn where_they_differ_it_is_an_error() {
    with(Setting::default());
    let (xs, k) = (vec![-1i64], 2i64);
    let constants = OnGpu::new((&k,), vec![value!(k)]);
    let handle = start!(over!(&xs), constants, |(k,), px_items| px_items.on_gpu(vec![]).map(|x: i64| x * k).collect());
    assert!(handle.get().is_err());
}
