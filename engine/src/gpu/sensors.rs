//! What NVIDIA's management library tells of a GPU. The driver's interface for programs knows its memory only.

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often sensors are read.
const EVERY: Duration = Duration::from_secs(1);
/// For so long what was read counts.
const VALID: Duration = Duration::from_secs(5);

/// A GPU's sensors now. What can't be read is `None`: a GPU that is shared out has no use of its own, some have no meter for
/// power, and the simulated one has nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readings {
    /// For how much of the last moment it computed, for whomever, in percent.
    pub busy: Option<u32>,
    /// How warm it is, in degrees Celsius.
    pub celsius: Option<u32>,
    /// What it takes.
    pub milliwatts: Option<u32>,
}

/// What was read last, and when.
pub struct Sensors(Arc<Mutex<Option<(Instant, Readings)>>>);

impl Sensors {
    /// Of the GPU with this UUID: CUDA and the library count GPUs in other orders. They are read in a thread of their own: whoever
    /// asks for the GPU's memory doesn't wait for a library that is slow, or that never answers.
    pub fn of(uuid: Option<String>) -> Sensors {
        let sensors = Sensors(Arc::default());
        if let Some(uuid) = uuid {
            let last = Arc::clone(&sensors.0);
            let begun = std::thread::Builder::new().name("sensors".into()).spawn(move || watch(&uuid, &last));
            _ = begun.inspect_err(|error| tracing::warn!(%error, "how busy the GPU is isn't known"));
        }
        sensors
    }

    /// What they said last; nothing if that was long ago.
    pub fn read(&self) -> Readings {
        let last = *self.0.lock();
        last.filter(|(at, _)| at.elapsed() < VALID).map_or_else(Readings::default, |(_, readings)| readings)
    }
}

fn watch(uuid: &str, last: &Mutex<Option<(Instant, Readings)>>) {
    let library = match Nvml::init() {
        Ok(library) => library,
        Err(error) => return tracing::info!(%error, "how busy the GPU is isn't known"),
    };
    loop {
        let device = library.device_by_uuid(uuid).ok();
        let readings = device.map_or_else(Readings::default, |device| Readings {
            busy: device.utilization_rates().ok().map(|rates| rates.gpu),
            celsius: device.temperature(TemperatureSensor::Gpu).ok(),
            milliwatts: device.power_usage().ok(),
        });
        *last.lock() = Some((Instant::now(), readings));
        std::thread::sleep(EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_long_ago_is_not_told() {
        let readings = Readings { busy: Some(7), ..Readings::default() };
        let read = |at: Option<Instant>| Sensors(Arc::new(Mutex::new(at.map(|at| (at, readings))))).read();
        assert_eq!(read(Some(Instant::now())), readings);
        assert_eq!(read(Instant::now().checked_sub(VALID)), Readings::default());
    }

    #[test]
    fn of_a_gpu_that_is_not_there_nothing_is_known() {
        assert_eq!(Sensors::of(None).read(), Readings::default());
        // Also where the library is: it has no such GPU.
        let none = "GPU-00000000-0000-0000-0000-000000000000".to_owned();
        assert_eq!(Sensors::of(Some(none)).read(), Readings::default());
    }
}
