//! Device crates on the simulated device, beside the same functions on the processor.

use super::{compiled, device_crate};
use crate::interpret::{Device, Memory, Module};

/// The bytes of values without padding.
fn bytes<T: Copy>(values: &[T]) -> Vec<u8> {
    // SAFETY: these are as many bytes; the types of this test have no padding.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), size_of_val(values)) }.to_vec()
}

/// What came of a launch.
struct Ran<R> {
    results: Vec<R>,
    failed: u64,
}

/// Maps items on the simulated device. Constants are their bytes and how many elements they have.
fn run<T: Copy, R: Copy>(ptx: &str, items: &[T], nothing: R, constants: &[(Vec<u8>, u64)]) -> Ran<R> {
    let mut memory = Memory::new(1 << 24);
    let device = Device::load(Module::parse(ptx).unwrap(), &mut memory).unwrap();
    let mut put = |bytes: &[u8]| {
        let address = memory.alloc(bytes.len().max(1) as u64, 256).unwrap();
        memory.write(address, bytes).unwrap();
        address
    };
    let table: Vec<u64> = constants.iter().flat_map(|(bytes, length)| [put(bytes), *length]).collect();
    let results = put(&bytes(&vec![nothing; items.len()]));
    let args = [put(&bytes(items)), results, put(&bytes(&table))];
    let (args, layout) = (put(&bytes(&args)), put(&[0; 32]));
    device.call(&mut memory, "px_layout", &[layout]).unwrap();
    let expected = [size_of::<T>(), align_of::<T>(), size_of::<R>(), align_of::<R>()].map(|number| number as u64);
    assert_eq!(memory.read(layout, 32).unwrap(), bytes(&expected));
    let failed = device.address_of("px_failed").unwrap();
    assert_eq!(memory.read(failed, 8).unwrap(), bytes(&[u64::MAX]));
    // In two launches, of which the second one has more threads than items.
    let half = items.len() as u64 / 2;
    device.launch(&mut memory, "px_map", &[args, 0, half], half, &|| false).unwrap();
    let (rest, mut lowest) = (items.len() as u64 - half, memory.read(failed, 8).unwrap());
    if lowest == bytes(&[u64::MAX]) {
        device.launch(&mut memory, "px_map", &[args, half, rest], rest + 300, &|| false).unwrap();
        lowest = memory.read(failed, 8).unwrap();
    }
    let read = memory.read(results, size_of_val(items) as u64 / size_of::<T>() as u64 * size_of::<R>() as u64).unwrap();
    let results = read.chunks_exact(size_of::<R>());
    // SAFETY: the device has written results of this type, or they are what was there before.
    let results = results.map(|it| unsafe { it.as_ptr().cast::<R>().read_unaligned() }).collect();
    Ran { results, failed: u64::from_le_bytes(lowest.try_into().unwrap()) }
}

/// Compares a function's results, bit for bit, and the item at which it fails first.
macro_rules! twin {
    ([$($definition:item)*] [$($name:ident: $type:ty = $value:expr, $bytes:expr, $length:expr;)*]
        $items:expr, $nothing:expr, |$item:ident: $from:ty| -> $to:ty $body:block
    ) => {{
        $($definition)*
        let (names, types) = (stringify!(($($name,)*)), stringify!(($($type,)*)));
        let body = format!("|{names}: {types}, px_items| px_items.map(|{}| {})", stringify!($item), stringify!($body));
        let source = format!("|(px_xs,): (Vec<{}>,)| chorus_gpu::over!(&px_xs)", stringify!($from));
        let definitions: &[&str] = &[$(stringify!($definition)),*];
        let Some(ptx) = compiled(&device_crate(&definitions.concat(), &source, &body)) else { return };
        $(let $name: $type = $value;)*
        let items: Vec<$from> = $items;
        let ran = run::<$from, $to>(&ptx.unwrap(), &items, $nothing, &[$(($bytes, $length)),*]);
        let silent = std::panic::AssertUnwindSafe(|$item: $from| -> $to { $body });
        let mut failed = None;
        for (at, (item, result)) in items.iter().zip(&ran.results).enumerate() {
            match std::panic::catch_unwind(|| (silent.0)(*item)) {
                Ok(expected) => {
                    let message = format!("{item:?}: {result:?} instead of {expected:?}");
                    assert_eq!(bytes(&[*result]), bytes(&[expected]), "{message}");
                }
                Err(_) => {
                    failed = Some(at);
                    break;
                }
            }
        }
        let half = items.len() / 2;
        let within = failed.map_or(u64::MAX, |at| if at < half { at } else { at - half } as u64);
        assert_eq!(ran.failed, within);
    }};
}

/// Numbers of all sizes, without NaN, which may have other bits.
fn floats() -> Vec<f64> {
    let some = [0.0, 0.3, 1.0, 2.5, 7.0, 1e-300, 5e-324, 1e20, 1.7976931348623157e308, 123456.789, 4503599627370497.5];
    some.into_iter().flat_map(|x| [x, -x]).chain((1..40).map(|n| (n as f64).powi(n % 11 - 5) * 1.1)).collect()
}

#[test]
fn variables_are_read() {
    let (k, v) = (2.5, [7, 8]);
    twin!([] [k: f64 = k, bytes(&[k]), 1; v: Vec<i32> = v.to_vec(), bytes(&v), 2;] floats(), 0.0, |x: f64| -> f64 {
        x * k + v[0] as f64 - v.iter().sum::<i32>() as f64
    });
    let none: [f64; 0] = [];
    twin!([] [v: Vec<f64> = vec![], bytes(&none), 0;] floats(), 0, |x: f64| -> u64 {
        v.len() as u64 + (x > 1.0) as u64
    });
}

#[test]
fn floats_have_the_same_bits() {
    for k in [3.0, -0.1, 1e-310, f64::INFINITY, 1e17] {
        twin!([] [k: f64 = k, bytes(&[k]), 1;] floats(), [0.0; 9], |x: f64| -> [f64; 9] {
            let rests = [x % k, x % 3.0, x % 2.0, x % 1.0, x % -0.1, if x == 0.0 { 0.0 } else { 10.5 % x }, -(x % 7.5)];
            let single = x as f32 % 0.7_f32;
            let mut all = [0.0; 9];
            all[..7].copy_from_slice(&rests);
            all[7] = if single.is_nan() { 0.5 } else { single as f64 };
            all[8] = x.rem_euclid(2.5) + x.div_euclid(0.5).min(1e9);
            all.map(|x| if x.is_nan() { 0.25 } else { x })
        });
    }
    twin!([] [] floats(), [0.0; 8], |x: f64| -> [f64; 8] {
        let y = x as f32;
        let whole = y.floor() * y.ceil() - y.round() + y.round_ties_even() + y.trunc();
        let single = (y.abs().sqrt() + y.mul_add(y, 1.0) + whole) as f64;
        let [a, b, c, d] = [x.floor(), x.ceil(), x.round(), x.round_ties_even()];
        let all = [x.abs().sqrt(), x.mul_add(x, 1.5), a, b, c, d, x.powi(5), single];
        all.map(|x| if x.is_nan() { 0.25 } else { x })
    });
}

#[test]
fn memory_is_copied_and_compared() {
    let v: [[u8; 24]; 3] = [[1; 24], [2; 24], std::array::from_fn(|at| at as u8)];
    let items = (0..20).map(|n| if n % 3 == 0 { v[n % 2 + 1] } else { std::array::from_fn(|at| (at * n) as u8 % 200) });
    twin!([] [v: Vec<[u8; 24]> = v.to_vec(), bytes(&v), 3;] items.collect(), [0; 4], |x: [u8; 24]| -> [u64; 4] {
        let mut room = [0_u8; 300];
        let n = x[0] as usize + x[1] as usize;
        room[n..n + 24].copy_from_slice(&x);
        room.copy_within(n..n + 9, n + 2);
        room.copy_within(n + 4..n + 20, n + 1);
        room[..n].fill(x[1]);
        let sum = room.iter().enumerate().map(|(at, x)| at as u64 * *x as u64).sum();
        let (below, place) = (x[..n % 20] < v[2][..n % 21], v.iter().position(|y| *y == x));
        [sum, below as u64, place.map_or(9, |at| at as u64), (x[3..9] == v[2][3..9]) as u64]
    });
}

#[test]
fn panics_are_found_at_the_first_item() {
    for at in [3, 17] {
        let items: Vec<i32> = (0..30).map(|n| if n >= at { i32::MAX - n } else { n }).collect();
        twin!([] [] items.clone(), 0, |x: i32| -> i32 { x * 3 + 1 });
        let v: Vec<u8> = (0..29).collect();
        twin!([] [v: Vec<u8> = v.clone(), bytes(&v), 29;] items.clone(), 0, |x: i32| -> u8 { v[x as usize] });
        twin!([
            #[derive(Debug, Clone, Copy, PartialEq)]
            struct Pair {
                a: i32,
                b: f32,
            }
        ] [] items.clone(), 0.0, |x: i32| -> f32 {
            let pair = Pair { a: x, b: x as f32 / 2.0 };
            assert_eq!(pair, Pair { a: x % 1000, ..pair }, "{pair:?} {x:>5} {:.2}", pair.b);
            pair.b
        });
        twin!([] [] items, 0, |x: i32| -> i32 {
            let functions: [&dyn Fn(i32) -> i32; 2] = [&|x| x - 1, &|x| 7 / (x % 1000)];
            functions[(x & 1) as usize](x)
        });
    }
}
