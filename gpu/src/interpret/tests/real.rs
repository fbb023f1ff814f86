//! Real code, on the simulated device and on the processor.

use super::super::{Device, Fault, Memory, Module};
use std::time::Instant;

mod math {
    pub fn sqrt(x: f32) -> f32 {
        x.sqrt()
    }
    pub fn fma(x: f64, y: f64, z: f64) -> f64 {
        x.mul_add(y, z)
    }
}

#[allow(clippy::all, missing_docs, reason = "It is written for what it's compiled to.")]
#[macro_use]
#[path = "corpus.rs"]
mod corpus;
use corpus::Mixed;

const PTX: &str = include_str!("corpus.ptx");

/// Random numbers, the same each time.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Often a number at an end of what its type has.
    fn edgy(&mut self, edges: &[u64]) -> u64 {
        let random = self.next();
        match self.next() % 4 {
            0 => edges[(random % edges.len() as u64) as usize],
            1 => random >> (self.next() % 64),
            _ => random,
        }
    }
}

/// Items and results: how they lie in memory, and random ones.
trait Plain: Copy + std::fmt::Debug {
    const SIZE: usize;
    fn put(self, bytes: &mut Vec<u8>);
    fn got(bytes: &[u8]) -> Self;
    fn random(random: &mut Random) -> Self;
    fn same(&self, other: &Self) -> bool;
}

macro_rules! whole {
    ($($type:ty),*) => { $(impl Plain for $type {
        const SIZE: usize = size_of::<$type>();
        fn put(self, bytes: &mut Vec<u8>) {
            bytes.extend(self.to_le_bytes());
        }
        fn got(bytes: &[u8]) -> Self {
            Self::from_le_bytes(bytes[..Self::SIZE].try_into().unwrap())
        }
        fn random(random: &mut Random) -> Self {
            random.edgy(&[0, 1, 2, 3, u64::MAX, <$type>::MAX as u64, <$type>::MIN as u64, 1 << 31, 1 << 24]) as Self
        }
        fn same(&self, other: &Self) -> bool {
            self == other
        }
    })* };
}
whole!(u8, i8, u16, u32, i32, u64, i64);

macro_rules! float {
    ($type:ty, $bits:ty) => {
        impl Plain for $type {
            const SIZE: usize = size_of::<$type>();
            fn put(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_bits().to_le_bytes());
            }
            fn got(bytes: &[u8]) -> Self {
                Self::from_bits(<$bits>::got(bytes))
            }
            fn random(random: &mut Random) -> Self {
                let edges = [0.0, 0.5, 1.5, 2.5, -1.0, 127.5, 255.5, 65535.9, 4294967296.0, 9.3e18, 1.9e19, -9.3e18];
                let more = [Self::MIN_POSITIVE, Self::MAX, Self::INFINITY, Self::NAN, -0.0, 1e-40 as $type];
                match random.next() % 4 {
                    0 => more[(random.next() % more.len() as u64) as usize],
                    1 => edges[(random.next() % edges.len() as u64) as usize] as $type,
                    2 => (random.next() as i64 as $type) / (1u64 << (random.next() % 64)) as $type,
                    _ => Self::from_bits(random.next() as $bits),
                }
            }
            fn same(&self, other: &Self) -> bool {
                self.to_bits() == other.to_bits() || (self.is_nan() && other.is_nan())
            }
        }
    };
}
float!(f32, u32);
float!(f64, u64);

impl Plain for bool {
    const SIZE: usize = 1;
    fn put(self, bytes: &mut Vec<u8>) {
        bytes.push(self.into());
    }
    fn got(bytes: &[u8]) -> Self {
        assert!(bytes[0] < 2, "a bool is {}", bytes[0]);
        bytes[0] == 1
    }
    fn random(random: &mut Random) -> Self {
        random.next() % 2 == 1
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl<T: Plain, const N: usize> Plain for [T; N] {
    const SIZE: usize = T::SIZE * N;
    fn put(self, bytes: &mut Vec<u8>) {
        self.into_iter().for_each(|it| it.put(bytes));
    }
    fn got(bytes: &[u8]) -> Self {
        std::array::from_fn(|i| T::got(&bytes[i * T::SIZE..]))
    }
    fn random(random: &mut Random) -> Self {
        std::array::from_fn(|_| T::random(random))
    }
    fn same(&self, other: &Self) -> bool {
        self.iter().zip(other).all(|(a, b)| a.same(b))
    }
}

impl Plain for Mixed {
    const SIZE: usize = size_of::<Mixed>();
    fn put(self, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        bytes.resize(start + Self::SIZE, 0);
        let mut at = |offset: usize, put: &dyn Fn(&mut Vec<u8>)| {
            let mut part = Vec::new();
            put(&mut part);
            bytes[start + offset..][..part.len()].copy_from_slice(&part);
        };
        at(0, &|to| self.byte.put(to));
        at(2, &|to| self.short.put(to));
        at(4, &|to| self.int.put(to));
        at(8, &|to| self.float.put(to));
        at(16, &|to| self.long.put(to));
        at(24, &|to| self.double.put(to));
        at(32, &|to| self.flag.put(to));
    }
    fn got(bytes: &[u8]) -> Self {
        Self {
            byte: u8::got(bytes),
            short: u16::got(&bytes[2..]),
            int: i32::got(&bytes[4..]),
            float: f32::got(&bytes[8..]),
            long: u64::got(&bytes[16..]),
            double: f64::got(&bytes[24..]),
            flag: bool::got(&bytes[32..]),
        }
    }
    fn random(random: &mut Random) -> Self {
        Self {
            byte: u8::random(random),
            short: u16::random(random),
            int: i32::random(random),
            float: f32::random(random),
            long: u64::random(random),
            double: f64::random(random),
            flag: bool::random(random),
        }
    }
    fn same(&self, other: &Self) -> bool {
        let (a, b) = (*self, *other);
        let numbers = (a.byte, a.short, a.int, a.long, a.flag) == (b.byte, b.short, b.int, b.long, b.flag);
        numbers && a.float.same(&b.float) && a.double.same(&b.double)
    }
}

/// Runs an entry of the corpus for items. Their results and the first item that panicked.
fn run<A: Plain, R: Plain>(device: &Device, memory: &mut Memory, name: &str, items: &[A]) -> (Vec<R>, u64) {
    let mut bytes = Vec::new();
    items.iter().for_each(|item| item.put(&mut bytes));
    let inputs = memory.alloc(bytes.len() as u64, 256).unwrap();
    let results = memory.alloc((items.len() * R::SIZE) as u64, 256).unwrap();
    let failed = device.address_of("px_failed").unwrap();
    memory.write(inputs, &bytes).unwrap();
    memory.write(results, &vec![0; items.len() * R::SIZE]).unwrap();
    memory.write(failed, &u64::MAX.to_le_bytes()).unwrap();
    let count = items.len() as u64;
    let ran = device.launch(memory, &format!("run_{name}"), &[inputs, results, count], count + 3, &|| false);
    ran.unwrap_or_else(|fault| panic!("{name}: {fault}"));
    let found = memory.read(results, (items.len() * R::SIZE) as u64).unwrap();
    let failed = u64::got(&memory.read(failed, 8).unwrap());
    memory.free(inputs).unwrap();
    memory.free(results).unwrap();
    ((0..items.len()).map(|i| R::got(&found[i * R::SIZE..])).collect(), failed)
}

/// Whether the device finds what the processor finds.
fn check<A: Plain, R: Plain>(device: &Device, memory: &mut Memory, name: &str, function: impl Fn(A) -> R) {
    let mut random = Random(name.len() as u64 * 1000 + u64::from(name.as_bytes()[0]));
    let items: Vec<A> = (0..600).map(|_| A::random(&mut random)).collect();
    let (found, failed) = run::<A, R>(device, memory, name, &items);
    let mut first = u64::MAX;
    for (index, (&item, found)) in items.iter().zip(&found).enumerate() {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| function(item))) {
            Ok(wanted) => assert!(wanted.same(found), "{name}({item:?}) is {wanted:?}, and not {found:?}"),
            Err(_) => first = first.min(index as u64),
        }
    }
    assert_eq!(failed, first, "{name}: the first item that panics");
}

fn check_all(ptx: &str) {
    let mut memory = Memory::new(1 << 24);
    let device = Device::load(Module::parse(ptx).unwrap(), &mut memory).unwrap();
    // Panics are expected.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |it| {
        if !it.location().is_some_and(|at| at.file().ends_with("corpus.rs")) {
            hook(it);
        }
    }));
    macro_rules! check_each {
        ($($name:ident: $item:ty => $result:ty;)*) => {
            $(check::<$item, $result>(&device, &mut memory, stringify!($name), corpus::$name);)*
        };
    }
    each!(check_each);
}

#[test]
fn the_device_finds_what_the_processor_finds() {
    check_all(PTX);
}

/// `CHORUS_PTX=file cargo test -- --ignored`, with what corpus.sh has made otherwise.
#[test]
#[ignore = "wants other PTX"]
fn other_code_finds_it_too() {
    check_all(&std::fs::read_to_string(std::env::var("CHORUS_PTX").unwrap()).unwrap());
}

/// Prints how many steps of a loop it does in a second.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let loops = "mov.u64 %d0, 1; mov.u64 %d4, 0;
        L: mul.lo.s64 %d0, %d0, 6364136223846793005; add.s64 %d0, %d0, 1442695040888963407; xor.b64 %d5, %d0, %d4;
        shr.u64 %d5, %d5, 33; add.s64 %d4, %d4, 1; setp.lt.u64 %p1, %d4, %d1; @%p1 bra L;";
    let start = Instant::now();
    super::result(loops, [3_000_000, 0, 0]);
    println!("{:.1} million instructions a second", 21.0 / start.elapsed().as_secs_f64());
    let mut memory = Memory::new(1 << 24);
    let device = Device::load(Module::parse(PTX).unwrap(), &mut memory).unwrap();
    for name in ["sorted", "primes"] {
        let items: Vec<u32> = (0..20_000).map(|i| i * 7919).collect();
        let start = Instant::now();
        match name {
            "sorted" => _ = run::<[u32; 2], [u32; 24]>(&device, &mut memory, name, items.as_chunks::<2>().0),
            _ => _ = run::<u32, u32>(&device, &mut memory, name, &items),
        }
        println!("{name}: {:?}", start.elapsed());
    }
}

#[test]
fn an_endless_loop_is_stopped() {
    let asked = std::cell::Cell::new(0);
    let stop = || {
        asked.set(asked.get() + 1);
        asked.get() > 5
    };
    let mut memory = Memory::new(1 << 16);
    let device = Device::load(Module::parse(&super::entry("", "L: bra L;")).unwrap(), &mut memory).unwrap();
    assert_eq!(device.launch(&mut memory, "t", &[0; 4], 1, &stop), Err(Fault::Stopped));
}
