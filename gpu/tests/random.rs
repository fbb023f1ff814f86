//! Two thousand random functions: the device's results beside those of the same text, compiled for the CPU with std.

mod common;

use chorus_gpu::devices::{Device as _, Items, Results, Simulated, Work};
use common::random::{DEFINITIONS, Writer};
use common::{Case, can_compile, rustc};
use libloading::{Library, Symbol};
use std::process::Command;

const FUNCTIONS: usize = 2000;
/// So many at a time: rustc needs more than twice as long for twice as many.
const AT_A_TIME: usize = 250;
/// Each is called with so many triples.
const INPUTS: usize = 8;

/// What the CPU runs around the functions. A panic is 1 in the second place.
const HOST: &str = "
#[unsafe(no_mangle)]
pub extern \"C\" fn host(k: u32, a: u64, b: u64, c: u64, out: &mut [u64; 2]) {
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let result = std::panic::catch_unwind(|| choose(k, a, b, c));
    *out = result.map_or([0, 1], |bits| [bits, 0]);
}
";

type Host = unsafe extern "C" fn(u32, u64, u64, u64, &mut [u64; 2]);

#[test]
fn random_functions_have_the_cpus_bits() {
    if !can_compile() {
        return;
    }
    let seeds: Vec<u64> = (0..(FUNCTIONS / AT_A_TIME) as u64).collect();
    std::thread::scope(|scope| {
        for half in seeds.chunks(seeds.len().div_ceil(2)) {
            scope.spawn(|| half.iter().for_each(|seed| compare(*seed)));
        }
    });
}

fn compare(seed: u64) {
    let mut writer = Writer::new(seed);
    let functions: Vec<String> = (0..AT_A_TIME).map(|k| writer.function(&format!("f{k}"))).collect();
    let arms: String = (0..AT_A_TIME).map(|k| format!("{k} => f{k}(a, b, c), ")).collect();
    let choose = format!("fn choose(k: u32, a: u64, b: u64, c: u64) -> u64 {{ match k {{ {arms} _ => 0 }} }}\n");
    let text = format!("{DEFINITIONS}{}{choose}", functions.concat());

    let case = Case {
        definitions: &[&text],
        function: "|(k, a, b, c): (u32, u64, u64, u64)| choose(k, a, b, c)",
        item: "(u32, u64, u64, u64)",
        constants: vec![],
        crates: Default::default(),
    };
    let mut device = Simulated::default();
    device.load(&case.build().ptx, &[]).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("host.rs"), folder.path().join("host.so"));
    std::fs::write(&source, format!("#![allow(warnings, arithmetic_overflow, unconditional_panic)]\n{text}{HOST}"))
        .unwrap();
    let options = ["--edition=2024", "--crate-type=cdylib", "-Copt-level=2", "-Coverflow-checks=on", "-o"];
    let compiled = Command::new(rustc()).args(options).args([&library, &source]).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    // SAFETY: it was compiled just now, and has this function.
    let host = unsafe { Library::new(&library).unwrap() };
    // SAFETY: as above.
    let host: Symbol<'_, Host> = unsafe { host.get("host").unwrap() };

    for (k, function) in functions.iter().enumerate() {
        let inputs: Vec<[u64; 3]> =
            (0..INPUTS).map(|_| [input(&mut writer), input(&mut writer), input(&mut writer)]).collect();
        let items: Vec<(u32, u64, u64, u64)> = inputs.iter().map(|[a, b, c]| (k as u32, *a, *b, *c)).collect();
        // What is between their parts nobody reads.
        let mut bytes = vec![0u8; size_of_val(&items[..])];
        // SAFETY: as many bytes as the items have.
        unsafe { std::ptr::copy_nonoverlapping(items.as_ptr().cast(), bytes.as_mut_ptr(), bytes.len()) };
        let mut results = [0u8; 8 * INPUTS];
        let work = Work { items: Items::Here(&bytes), results: Results::Here(&mut results), count: INPUTS as u64 };
        let failing = device.run(work, &|| false).unwrap().failing;
        for (at, [a, b, c]) in inputs.iter().enumerate() {
            let mut expected = [0; 2];
            // SAFETY: it takes these.
            unsafe { host(k as u32, *a, *b, *c, &mut expected) };
            let what = || format!("seed {seed}, of {a:#x} {b:#x} {c:#x}:\n{function}");
            if expected[1] == 1 {
                assert_eq!(failing, Some(at as u64), "the CPU fails at item {at}, {}", what());
                break;
            }
            assert_ne!(failing, Some(at as u64), "only the device fails at item {at}, {}", what());
            let got = u64::from_le_bytes(results[8 * at..8 * at + 8].try_into().unwrap());
            assert_eq!(got, expected[0], "item {at}, {}", what());
        }
    }
}

/// Bits that are small, large, or those of a float.
fn input(writer: &mut Writer) -> u64 {
    match writer.next() % 5 {
        0 => writer.next() % 10,
        1 => (writer.next() as i8) as u64,
        2 => (writer.next() as i32 as f64 / 64.0).to_bits(),
        3 => u64::from((writer.next() as i16 as f32 / 8.0).to_bits()),
        _ => writer.next(),
    }
}
