//! What the engine uses: its processes, its host, its connection and its GPU.

use crate::gpu;
use chorus_protocol::{GpuUse, HostUse, Metrics, ProcessUse, SessionId, WorkerUse};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// How often this is told.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// How long the process that has the GPU may take to say how that is.
const GPU_LIMIT: Duration = Duration::from_millis(500);

/// A session's processes.
#[derive(Clone, Copy, Debug)]
pub struct Processes {
    /// Whose.
    pub session: SessionId,
    /// The worker's number; 0 if there is none.
    pub worker: u32,
    /// Its snapshot's; 0 if there is none.
    pub snapshot: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Meter {
    /// `None` where the system can't be asked: then nothing is known.
    system: Option<System>,
    own: u32,
    /// The processes that were there the last time: of others, nobody knows yet what they use of the processors.
    known: Vec<u32>,
    gpu: Option<PathBuf>,
    /// What the GPU was the last time, and whether it is being asked.
    about_gpu: Arc<Mutex<(Option<GpuUse>, bool)>>,
}

impl Meter {
    /// `gpu` is where the process listens that has the engine's GPU.
    pub fn new(gpu: Option<PathBuf>) -> Meter {
        let system = System::new().inspect_err(|error| tracing::warn!(%error, "what is used can't be measured")).ok();
        Meter { system, own: std::process::id(), known: Vec::new(), gpu, about_gpu: Arc::default() }
    }

    /// What is used now, and of the processors since the last time.
    pub fn measure(&mut self, sessions: &[Processes], bytes_in: u64, bytes_out: u64) -> Metrics<SessionId> {
        let pids = sessions.iter().flat_map(|it| [it.worker, it.snapshot]).filter(|pid| *pid != 0);
        let pids: Vec<u32> = pids.chain([self.own]).collect();
        let names: Vec<Pid> = pids.iter().map(|pid| Pid::from_u32(*pid)).collect();
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        if let Some(system) = &mut self.system {
            system.refresh_processes_specifics(ProcessesToUpdate::Some(&names), true, kind);
            system.refresh_cpu_usage();
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        }
        let workers = sessions.iter().filter(|it| it.worker != 0).map(|it| WorkerUse {
            session: it.session,
            worker: self.process(it.worker),
            snapshot: (it.snapshot != 0).then(|| self.process(it.snapshot)),
        });
        let used = Metrics {
            supervisor: self.process(self.own),
            workers: workers.collect(),
            host: self.host(),
            bytes_in,
            bytes_out,
            gpu: self.gpu(),
        };
        self.known = pids;
        used
    }

    fn process(&self, pid: u32) -> ProcessUse {
        let Some(process) = self.system.as_ref().and_then(|system| system.process(Pid::from_u32(pid))) else {
            return ProcessUse { pid, ..ProcessUse::default() };
        };
        let cpu = self.known.contains(&pid).then(|| process.cpu_usage());
        ProcessUse { pid, cpu, memory: Some(process.memory()) }
    }

    fn host(&self) -> HostUse {
        let Some(system) = &self.system else { return HostUse::default() };
        let total = system.total_memory();
        // Not the system's, which are those of the outermost group.
        let own = system.process(Pid::from_u32(self.own));
        let limits = own.and_then(|own| own.cgroup_limits()).filter(|limits| limits.total_memory < total);
        HostUse {
            cpu: (!self.known.is_empty()).then(|| system.global_cpu_usage()),
            memory: (total > 0).then_some(total),
            memory_used: (total > 0).then(|| system.used_memory()),
            limit: limits.as_ref().map(|limits| limits.total_memory),
            limit_used: limits.map(|limits| limits.total_memory.saturating_sub(limits.free_memory)),
        }
    }

    /// As the process said that has it, the last time that it was asked: it may take its time.
    fn gpu(&self) -> Option<GpuUse> {
        let socket = self.gpu.clone()?;
        let mut about = self.about_gpu.lock();
        if !about.1 {
            about.1 = true;
            let answer = self.about_gpu.clone();
            tokio::task::spawn_blocking(move || {
                let told = gpu::ask(&socket, GPU_LIMIT).ok();
                *answer.lock() = (told.as_ref().map(in_use), false);
            });
        }
        about.0.clone()
    }
}

fn in_use(gpu::Told { state, readings, .. }: &gpu::Told) -> GpuUse {
    let known = state.total > 0;
    GpuUse {
        name: state.name.clone(),
        memory: known.then_some(state.total),
        memory_used: known.then(|| state.total.saturating_sub(state.free)),
        busy: readings.busy.map(|percent| percent as f32),
        celsius: readings.celsius,
        watts: readings.milliwatts.map(|milliwatts| milliwatts as f32 / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Instant;

    #[test]
    fn a_busy_process_is_busy_and_an_idle_one_is_not() {
        let start = |script: &str| Command::new("/bin/sh").args(["-c", script]).spawn().unwrap();
        let (mut busy, mut idle) = (start("while :; do :; done"), start("exec sleep 1000"));
        let sessions = [busy.id(), idle.id()].map(|worker| Processes { session: SessionId(1), worker, snapshot: 0 });
        let mut meter = Meter::new(None);
        let first = meter.measure(&sessions, 0, 0);
        assert_eq!(first.workers[0].worker.cpu, None, "nobody knows yet");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            // What is asked for too soon after the last time is the same as then.
            std::thread::sleep(sysinfo::MINIMUM_CPU_UPDATE_INTERVAL * 2);
            let used = meter.measure(&sessions, 3, 4);
            let [one, other] = [0, 1].map(|at| used.workers[at].worker);
            if one.cpu.is_some_and(|cpu| cpu > 20.0) {
                assert!(other.cpu.is_some_and(|cpu| cpu < 5.0), "{other:?}");
                assert!(one.memory.is_some_and(|bytes| bytes > 0) && (used.bytes_in, used.bytes_out) == (3, 4));
                break;
            }
            assert!(Instant::now() < deadline, "{one:?}");
        }
        for child in [&mut busy, &mut idle] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn a_process_that_is_gone_uses_nothing_that_is_known() {
        let mut child = Command::new("/bin/true").spawn().unwrap();
        let worker = child.id();
        child.wait().unwrap();
        let used = Meter::new(None).measure(&[Processes { session: SessionId(1), worker, snapshot: 0 }], 0, 0);
        assert_eq!(used.workers[0].worker, ProcessUse { pid: worker, cpu: None, memory: None });
    }

    #[test]
    fn what_a_gpu_does_not_tell_is_not_zero() {
        let state = gpu::State {
            number: 0,
            name: "NVIDIA H100".into(),
            uuid: None,
            driver: None,
            capability: None,
            free: 0,
            total: 0,
            held: None,
        };
        let (readings, is_busy) = (gpu::Readings::default(), false);
        let told = gpu::Told { state, is_busy, readings };
        let used = in_use(&told);
        assert_eq!(
            (used.memory, used.memory_used, used.busy, used.celsius, used.watts),
            (None, None, None, None, None)
        );
        let readings = gpu::Readings { busy: Some(0), celsius: Some(41), milliwatts: Some(71_500) };
        let used = in_use(&gpu::Told { state: gpu::State { free: 5, total: 8, ..told.state }, is_busy, readings });
        let figures = (used.memory, used.memory_used, used.busy, used.celsius, used.watts);
        assert_eq!(figures, (Some(8), Some(3), Some(0.0), Some(41), Some(71.5)));
    }
}
