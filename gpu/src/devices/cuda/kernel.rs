//! Launches kernels of CUDA C++.

use super::{Cuda, sentence};
use crate::devices::{Argument, Failed, Launch};
use cudarc::driver::sys::{CUevent_flags, CUresult};
use cudarc::driver::{
    CudaEvent, CudaFunction, CudaModule, DevicePtr as _, DriverError, LaunchConfig, PushKernelArg as _,
};
use cudarc::nvrtc::Ptx;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// So often it is asked whether anybody still wants a kernel's end.
const ASKED: Duration = Duration::from_millis(20);
/// A kernel that nobody wants any more has so long to end. Only the end of this process ends it earlier, which costs all
/// that lies on the GPU.
const GRACE: Duration = Duration::from_secs(2);

/// A module that is loaded, and its text.
pub struct Program {
    ptx: String,
    module: Arc<CudaModule>,
}

impl Cuda {
    /// See [`crate::devices::Device::run_kernel`].
    pub(super) fn kernel(&mut self, ptx: &str, launch: &Launch, stop: &dyn Fn() -> bool) -> Result<Duration, Failed> {
        launch.check()?;
        self.context.bind_to_thread()?;
        let arguments = launch.arguments.iter().map(|it| self.argument(it)).collect::<Result<Vec<u64>, Failed>>()?;
        let function = self.function(ptx, &launch.kernel)?;
        let work = &self.streams.work;
        let [grid_dim, block_dim] = [launch.blocks, launch.threads].map(|[x, y, z]| (x, y, z));
        let config = LaunchConfig { grid_dim, block_dim, shared_mem_bytes: launch.shared };
        let begun = work.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT))?;
        let mut builder = work.launch_builder(&function);
        arguments.iter().for_each(|argument| _ = builder.arg(argument));
        // SAFETY: the kernel has as many parameters, of up to eight bytes each, which was seen when it was compiled; the
        // driver takes as many bytes of each as it has. What the kernel itself does is its author's `unsafe`, which can
        // harm this process only.
        unsafe { builder.launch(config) }.map_err(begins)?;
        let ended = work.record_event(Some(CUevent_flags::CU_EVENT_BLOCKING_SYNC))?;
        let ended = wait_for(ended, stop)?;
        let millis = f64::from(begun.elapsed_ms(&ended)?);
        Ok(Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default())
    }

    /// A number, or the address of what is kept.
    fn argument(&self, argument: &Argument) -> Result<u64, Failed> {
        match argument {
            Argument::Value(value) => Ok(*value),
            Argument::Kept(buffer) => Ok(self.kept.whole(*buffer)?.device_ptr(&self.streams.work).0),
        }
    }

    fn function(&mut self, ptx: &str, kernel: &str) -> Result<CudaFunction, Failed> {
        if ptx.contains('\0') || kernel.contains('\0') {
            return Err(Failed::Module("there is a zero byte in it".to_owned()));
        }
        // One with variables is loaded again, so that they begin anew.
        let known = self.program.take().filter(|known| known.ptx == ptx && !ptx.contains(".global "));
        let program = match known {
            Some(known) => known,
            None => {
                Program { ptx: ptx.to_owned(), module: self.context.load_module(Ptx::from_src(ptx)).map_err(refused)? }
            }
        };
        let function = program.module.load_function(kernel).map_err(refused);
        self.program = Some(program);
        function
    }
}

/// Why a module isn't taken.
fn refused(error: DriverError) -> Failed {
    let advice = match error.0 {
        CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
            "; NVRTC is newer than the driver: install one of the driver's version of CUDA (nvidia-smi tells it), or an \
             older one, and run the `%%cuda` cell again"
        }
        CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU | CUresult::CUDA_ERROR_INVALID_PTX => {
            "; if this GPU is older than what the code was compiled for, run the `%%cuda` cell again now that there are engines"
        }
        _ => "",
    };
    Failed::Module(sentence(error) + advice)
}

/// Why a launch doesn't begin. After these, the driver goes on as if nothing had been.
fn begins(error: DriverError) -> Failed {
    match error.0 {
        CUresult::CUDA_ERROR_INVALID_VALUE | CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES => {
            Failed::Refused(format!("the driver can't begin it: {}; fewer threads in a block may do", sentence(error)))
        }
        _ => error.into(),
    }
}

/// Waits for an event. A thread of its own waits for the driver, which can't be asked to wait for two things.
fn wait_for(event: CudaEvent, stop: &dyn Fn() -> bool) -> Result<CudaEvent, Failed> {
    let (tell, told) = mpsc::sync_channel(1);
    let wait = move || {
        let ended = event.synchronize();
        // Nobody listens when it took too long.
        _ = tell.send(ended.map(|()| event));
    };
    std::thread::Builder::new()
        .name("chorus-gpu-wait".into())
        .stack_size(256 << 10)
        .spawn(wait)
        .map_err(|error| Failed::Launch(error.to_string()))?;
    let mut unwanted = None;
    loop {
        match told.recv_timeout(ASKED) {
            Ok(ended) => return Ok(ended?),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failed::Launch("its end can't be waited for".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if unwanted.is_none() && stop() {
            unwanted = Some(Instant::now());
        }
        if unwanted.is_some_and(|since| since.elapsed() > GRACE) {
            let what = format!("the kernel didn't end within {} s of the interrupt", GRACE.as_secs());
            return Err(Failed::Launch(what));
        }
    }
}
