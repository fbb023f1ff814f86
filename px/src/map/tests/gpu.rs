//! Maps that a GPU works at: one of the tests', which multiplies by a constant and fails below 0.

use super::host::{HOST, Setting, with};
use crate::gpu_vec::{self, GpuVec};
use crate::host::GpuCall;
use crate::kernel;
use crate::link::{GpuAnswer, GpuAsk, GpuTimes, Kept, Launch, LaunchArgument, Message as _, OnError};
use crate::map::gpu::{OnGpu, value};
use crate::map::{self, start};
use crate::over;
use std::ffi::c_void;
use std::fs::File;
use std::os::fd::IntoRawFd as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

/// What it keeps, by number.
static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// A GPU that multiplies numbers by a constant, and fails at those below 0.
pub extern "C" fn gpu(call: &GpuCall, answered: extern "C" fn(*mut c_void, *const u8, usize), context: *mut c_void) {
    // SAFETY: px's bytes are there during the call, and nobody else has its room for output.
    let (ask, constants, input, output) = unsafe {
        let output = std::slice::from_raw_parts_mut(call.output, call.output_bytes);
        (call.ask.get(), call.constants.get(), call.input.get(), output)
    };
    let mut all = KEPT.lock().unwrap();
    let range = |kept: Kept| kept.offset as usize..(kept.offset + kept.bytes) as usize;
    let kept = |all: &[Vec<u8>], kept: Kept| all[kept.buffer as usize][range(kept)].to_vec();
    let put = |all: &mut [Vec<u8>], at: Kept, bytes: &[u8]| {
        all[at.buffer as usize][range(at)][..bytes.len()].copy_from_slice(bytes)
    };
    let mut items = 0;
    match GpuAsk::decode(ask).unwrap() {
        GpuAsk::Run { count, items: from, results } => {
            let from = from.map_or_else(|| input.to_vec(), |from| kept(&all, from));
            // The constant stands behind its two lengths.
            let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().unwrap());
            assert_eq!((from.len(), constants.len()), (count as usize * 8, 24));
            let good = from.chunks(8).map(number).take_while(|item| *item >= 0);
            let made: Vec<u8> = good.flat_map(|item| (item * number(&constants[16..])).to_le_bytes()).collect();
            items = made.len() as u64 / 8;
            match results {
                Some(to) => put(&mut all, to, &made),
                None => output[..made.len()].copy_from_slice(&made),
            }
        }
        GpuAsk::Keep(bytes) => {
            all.push(vec![0; bytes as usize]);
            let file = File::open("/dev/null").unwrap().into_raw_fd();
            let answer = GpuAnswer::Kept(all.len() as u64 - 1, file).encode();
            return answered(context, answer.as_ptr(), answer.len());
        }
        GpuAsk::Write(to) => put(&mut all, to, input),
        GpuAsk::Read(from) => output.copy_from_slice(&kept(&all, from)),
        GpuAsk::Copy(from, to) => {
            let bytes = kept(&all, from);
            put(&mut all, to, &bytes);
        }
        GpuAsk::Launch(launch) => double(&mut all, &launch),
    }
    let answer = GpuAnswer::Done { items, times: GpuTimes::default() }.encode();
    answered(context, answer.as_ptr(), answer.len());
}

/// The kernel of these tests: doubles all numbers of the buffer.
fn double(all: &mut [Vec<u8>], launch: &Launch) {
    assert_eq!((launch.kernel.as_str(), launch.blocks, launch.threads), ("double", [2, 1, 1], [256, 1, 1]));
    let [LaunchArgument::Value(factor), LaunchArgument::Kept(buffer)] = launch.arguments[..] else {
        panic!("{launch:?}")
    };
    for number in all[buffer as usize].chunks_mut(8) {
        let old = i64::from_le_bytes(number.try_into().unwrap());
        number.copy_from_slice(&(old * factor as i64).to_le_bytes());
    }
}

#[test]
fn a_kernel_changes_values_in_place_once_no_snapshot_has_them() {
    with(Setting::default());
    let launch = |xs: &mut GpuVec<i64>| {
        let arguments = [kernel::value(2i64), kernel::write(xs).unwrap()];
        kernel::launch("module", "double", kernel::Grid::over(300), &arguments).unwrap();
    };
    let mut xs = GpuVec::new(&[1i64, 2, 3]).unwrap();
    let first = xs.buffer();
    assert_eq!(xs[1], 2, "it is fetched");
    launch(&mut xs);
    assert_eq!((&xs[..], xs.buffer()), (&[2, 4, 6][..], first));
    // In the next run, a snapshot has the buffer.
    HOST.runs.fetch_add(2, Ordering::Relaxed);
    launch(&mut xs);
    let second = xs.buffer();
    launch(&mut xs);
    assert_eq!((&xs[..], xs.buffer()), (&[8, 16, 24][..], second));
    assert_ne!(first, second);
    assert_eq!(gpu_vec::fetch::<i64>(first, 0, 3).unwrap(), [2, 4, 6], "as the snapshot has it");
}

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

#[test]
fn what_stays_there_has_the_order_of_the_items() {
    // Many pieces, and many failures in one.
    for most in [5, 1000] {
        let (kept, k) = (Arc::new(Mutex::new(Vec::new())), 3i64);
        let xs: Vec<i64> = (0..2000).map(|n| if n % 10 == 7 { -n } else { n }).collect();
        let there = Arc::clone(&kept);
        let work = move |_| {
            let ys = map::serve_keep_on_gpu(
                |(xs, k): (Vec<i64>, i64)| map::shape(&over!(&xs), &(&k,)),
                |(k,), px_items| {
                    px_items
                        .on_gpu(vec![])
                        .map(|x: i64| {
                            assert!(x >= 0);
                            x * k
                        })
                        .keep_on_gpu()
                },
            );
            assert_eq!((ys.len(), ys[1]), (1800, 3));
            assert_eq!(format!("{ys:?}"), "GpuVec<i64> with 1800 values");
            *there.lock().unwrap() = ys.to_vec().unwrap();
        };
        let on_error = OnError::Skip;
        with(Setting { engines: 1, most, on_error, second: Some(Arc::new(work)), ..Setting::default() });
        let types =
            |(): (), (k,): (i64,), px_items: map::Items<_>| px_items.on_gpu(vec![]).map(|x: i64| x * k).keep_on_gpu();
        map::typed_keep(over!(&xs), OnGpu::new((&k,), vec![value!(k)]), types).wait();
        let expected: Vec<i64> = xs.iter().filter(|x| **x >= 0).map(|x| x * 3).collect();
        assert_eq!(*kept.lock().unwrap(), expected);
    }
}

#[test]
fn values_go_there_and_come_back() {
    with(Setting::default());
    let pairs = [(1u8, 2u32), (3, 4)];
    assert_eq!(GpuVec::new(&pairs).unwrap().to_vec().unwrap(), pairs);
    assert!(GpuVec::<u8>::new(&[]).unwrap().to_vec().unwrap().is_empty());
}
