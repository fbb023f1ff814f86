//! Compiles CUDA C++ with NVRTC, and runs it with the simulated device. It needs the package nvidia-cuda-nvrtc-cu12.

use chorus_gpu::cuda::nvrtc::{Failed, Nvrtc};
use chorus_gpu::cuda::{entries, places, signature};
use chorus_gpu::interpret::{Device, Memory, Module};
use std::path::PathBuf;

const SAXPY: &str = r#"extern "C" __global__ void saxpy(float a, const float *x, float *y, unsigned long long n) {
    unsigned long long i = blockIdx.x * (unsigned long long)blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + y[i];
}"#;

/// `CHORUS_TEST_NVRTC` is the folder of Python's packages that has NVRTC, if nothing else says where it is.
fn nvrtc() -> Nvrtc {
    let packages: Vec<PathBuf> = std::env::var_os("CHORUS_TEST_NVRTC").map(PathBuf::from).into_iter().collect();
    let library = places::find(&|name| std::env::var_os(name), &packages).unwrap_or_else(|missing| panic!("{missing}"));
    Nvrtc::open(&library).unwrap()
}

/// What NVRTC is told: whether a product and a sum may be one step, with other bits than those of two.
fn options(fmad: bool) -> [String; 2] {
    [format!("--fmad={fmad}"), "--gpu-architecture=compute_80".to_owned()]
}

#[test]
#[ignore = "needs NVRTC; see CHORUS_TEST_NVRTC"]
fn a_kernel_gives_the_bits_of_two_steps() {
    let compiled = nvrtc().compile(SAXPY, &options(false)).unwrap();
    let kernels = entries::compiled(signature::kernels(SAXPY).unwrap(), &compiled.ptx).unwrap();
    assert_eq!(kernels[0].name, "saxpy");
    let count = 1000u64;
    let xs: Vec<f32> = (0..count).map(|i| (i as f32).sin()).collect();
    let ys: Vec<f32> = (0..count).map(|i| (i as f32).cos()).collect();
    let bytes = |all: &[f32]| all.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<_>>();
    let mut memory = Memory::new(1 << 20);
    let device = Device::load(Module::parse(&compiled.ptx).unwrap(), &mut memory).unwrap();
    let (x, y) = (memory.alloc(4 * count, 16).unwrap(), memory.alloc(4 * count, 16).unwrap());
    memory.write(x, &bytes(&xs)).unwrap();
    memory.write(y, &bytes(&ys)).unwrap();
    let arguments = [u64::from(1.1f32.to_bits()), x, y, count];
    device.launch(&mut memory, "saxpy", &arguments, 1024, &|| false).unwrap();
    let expected: Vec<f32> = xs.iter().zip(&ys).map(|(x, y)| 1.1 * x + y).collect();
    assert_eq!(memory.read(y, 4 * count).unwrap(), bytes(&expected));
    // With a count that is too large, the threads behind the end fault.
    let too_far = [arguments[0], x, y, count + 1];
    assert!(device.launch(&mut memory, "saxpy", &too_far, 1024, &|| false).is_err());
}

#[test]
#[ignore = "needs NVRTC; see CHORUS_TEST_NVRTC"]
fn products_and_sums_are_fused_only_when_asked() {
    let nvrtc = nvrtc();
    assert!(!nvrtc.compile(SAXPY, &options(false)).unwrap().ptx.contains("fma.rn"));
    assert!(nvrtc.compile(SAXPY, &options(true)).unwrap().ptx.contains("fma.rn"));
}

#[test]
#[ignore = "needs NVRTC; see CHORUS_TEST_NVRTC"]
fn an_error_is_at_its_line() {
    let failed =
        nvrtc().compile("extern \"C\" __global__ void f(float *x) {\n  x[0] = yy;\n}", &options(true)).unwrap_err();
    let Failed::Program(messages) = failed else { panic!("{failed}") };
    assert_eq!((messages[0].line, messages[0].column()), (Some(2), Some(10)));
    assert_eq!(messages[0].text, "identifier \"yy\" is undefined");
    let nvrtc = nvrtc();
    assert_eq!([nvrtc.capability(80), nvrtc.capability(85)], [80, 80], "the latest that isn't above it");
    assert!(nvrtc.compile("a\0b", &[]).is_err());
}
