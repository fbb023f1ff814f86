//! The text for GPUs as a library for processors, beside the simulated device.

mod common;

use chorus_gpu::build::Compiler;
use chorus_gpu::crates::Crates;
use chorus_gpu::devices::{Device as _, Items, Results, Simulated, Work};
use chorus_gpu::{math, native};
use common::{Case, cache, can_compile, cargo, rustc};
use libloading::{Library, Symbol};

type Run = unsafe extern "C" fn(*const [*const u8; 3], u64) -> u64;

#[test]
fn a_processor_has_the_same_bits_and_stops_at_the_same_item() {
    if !can_compile() {
        return;
    }
    let function =
        "|x: f64| { assert!(x < 400.0); x.sin() * x.exp().ln_1p() + (x as f32).abs().powf(0.3).floor() as f64 }";
    let case = Case { definitions: &[], function, item: "f64", constants: vec![], crates: Crates::default() };
    let items: Vec<f64> = (0..1000).map(|n| n as f64 * 0.77 - 20.0).collect();
    let bytes: Vec<u8> = items.iter().flat_map(|item| item.to_ne_bytes()).collect();

    let mut simulated = vec![0; bytes.len()];
    let mut device = Simulated::default();
    device.load(&case.build().ptx, &[]).unwrap();
    let room = Results::Here(&mut simulated);
    let work = Work { items: Items::Here(&bytes), results: room, count: items.len() as u64 };
    let failing = device.run(work, &|| false).unwrap().failing.unwrap();

    let (target, libm) = (common::target(), math::library(&cargo(), cache(), None).unwrap());
    let compiler = Compiler { rustc: &rustc(), target: &target, crates: &libm };
    let library = native::build(&compiler, &case.source().text).unwrap();
    assert!(native::is_library(&library) && !native::is_library(b".version 7.0"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("library.so");
    std::fs::write(&path, library).unwrap();
    let mut results = vec![0f64; items.len()];
    let args = [items.as_ptr().cast(), results.as_mut_ptr().cast::<u8>().cast_const(), std::ptr::null()];
    // SAFETY: it was compiled just now, and has this function.
    let done = unsafe {
        let library = Library::new(&path).unwrap();
        let run: Symbol<'_, Run> = library.get(native::RUN).unwrap();
        run(&args, items.len() as u64)
    };
    assert_eq!(done, failing);
    let results: Vec<u8> = results.iter().flat_map(|result| result.to_ne_bytes()).collect();
    let compared = done as usize * size_of::<f64>();
    assert!(compared > 1000 && results[..compared] == simulated[..compared]);
}
