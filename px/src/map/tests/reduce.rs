//! Reductions have the same bits whatever the pieces and the engines.

use super::host::{Chance, Setting, with};
use crate::map::{Items, Outcome, start};

fn settings() -> impl Iterator<Item = Setting> {
    let mut chance = Chance(9);
    (0..12).map(move |seed| Setting {
        seed,
        engines: 1 + chance.below(4) as usize,
        threads: 1 + chance.below(3) as u32,
        most: [1, 7, 64, 100, 1000, 30_000][seed as usize % 6],
        ..Setting::default()
    })
}

#[test]
fn sums_of_floats_have_the_same_bits() {
    let mut chance = Chance(3);
    for n in [0usize, 1, 63, 64, 65, 1000, 2999] {
        let xs: Vec<f64> = (0..n).map(|_| 1.0 / (1.0 + chance.below(1000) as f64)).collect();
        let mut first = None;
        for setting in settings() {
            with(setting);
            let sum = start!(crate::over!(&xs), (), |(), px_items| px_items.map(|x| x * 0.1).sum()).wait();
            let mean = start!(crate::over!(&xs), (), |(), px_items| px_items.map(|x| x * 0.1).mean()).wait();
            let some =
                start!(crate::over!(&xs), (), |(), px_items| px_items.map(|x| x * 0.1).filter(|x| *x < 0.05).sum());
            let bits = (sum.to_bits(), mean.map(f64::to_bits), some.wait().to_bits());
            assert_eq!(*first.get_or_insert(bits), bits, "{n} items");
            let plain: f64 = xs.iter().map(|x| x * 0.1).sum();
            assert!((sum - plain).abs() <= 1e-9 * plain.abs(), "{sum} {plain}");
            assert_eq!(mean.is_some(), n > 0);
        }
    }
}

#[test]
fn operands_stay_in_order() {
    for n in [0u32, 1, 64, 200, 1500] {
        let expected: String = (0..n).map(|n| format!("{n},")).collect();
        for setting in settings() {
            with(setting);
            let text =
                start!(crate::over!(0..n), (), |(), px_items| px_items.map(|n| format!("{n},")).reduce(|a, b| a + &b));
            assert_eq!(text.wait().unwrap_or_default(), expected);
            let odd = start!(crate::over!(0..n), (), |(), px_items| {
                px_items.map(|n| format!("{n},")).filter(|text| text.len() > 3).reduce(|a, b| a + &b)
            });
            let expected: String = (0..n).map(|n| format!("{n},")).filter(|text| text.len() > 3).collect();
            assert_eq!(odd.wait().unwrap_or_default(), expected);
        }
    }
}

#[test]
fn smallest_largest_counted() {
    for setting in settings() {
        with(setting);
        let xs = [f64::NAN, 3.0, -1.0, f64::NAN, 7.5, -0.0];
        let xs: Vec<f64> = xs.iter().copied().cycle().take(1001).collect();
        assert_eq!(start!(crate::over!(&xs), (), |(), px_items| px_items.map(|x| x).min()).wait(), Some(-1.0));
        assert_eq!(start!(crate::over!(&xs), (), |(), px_items| px_items.map(|x| x).max()).wait(), Some(7.5));
        assert_eq!(start!(crate::over!(&xs), (), |(), px_items| px_items.map(|x| x).count()).wait(), 1001);
        let positive = start!(crate::over!(&xs), (), |(), px_items| px_items.map(|x| x).filter(|x| *x > 0.0).count());
        assert_eq!(positive.wait(), xs.iter().filter(|x| **x > 0.0).count() as u64);
        let nothing = start!(crate::over!([f64::NAN]), (), |(), px_items| px_items.map(|x| x).min());
        assert_eq!(nothing.wait(), None);
        let words = start!(crate::over!(0..300u32), (), |(), px_items| px_items.map(|n| n.to_string()).max());
        assert_eq!(words.wait().as_deref(), Some("99"));
    }
}

/// Of 1000 of these, half of them negative, the sum is 0.
fn far(n: i64) -> i64 {
    if n < 500 { i64::MAX / 100 } else { -(i64::MAX / 100) }
}

#[test]
fn sums_are_right_or_none() {
    with(Setting::default());
    let sum = start!(crate::over!(0..100_000i32), (), |(), px_items| px_items.map(|n| n).sum());
    let said = sum.get().unwrap_err().to_string();
    assert_eq!(said, "the sum is 4999950000, which i32 can't hold: have the function return a larger type");
    let wrapped = start!(crate::over!(0..1000u64), (), |(), px_items| px_items.map(|n| n << 60).sum()).wait();
    assert_eq!(wrapped, (0..1000u64).fold(0, |sum, n| (n << 60).wrapping_add(sum)));
    let none = start!(crate::over!(0..1000i64), (), |(), px_items| px_items.call(far).sum()).wait();
    assert_eq!(none, 0);
    assert_eq!(start!(crate::over!(-300..300i16), (), |(), px_items| px_items.map(|n| n).sum()).wait(), -300);
    assert_eq!(start!(crate::over!(0..10u8), (), |(), px_items| px_items.map(|n| n).sum()).wait(), 45);
    let all = |(), px_items: Items<_>| -> Outcome<_> { px_items.map(|n: u64| n * n).sum() };
    assert_eq!(start!(crate::over!(0..1_000_000), (), all).wait(), 333_332_833_333_500_000);
    let zero = start!(crate::over!(0..0), (), |(), px_items| px_items.map(|n: i32| f64::from(n)).sum()).wait();
    assert_eq!(zero.to_bits(), 0);
}
