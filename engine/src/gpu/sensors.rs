//! What NVIDIA's management library tells of a GPU. The driver's interface for programs knows its memory only.

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use serde::{Deserialize, Serialize};

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

/// The library, which is looked for when this is made, and the GPU's name there.
pub struct Sensors(Option<(Nvml, String)>);

impl Sensors {
    /// Of the GPU with this UUID: CUDA and the library count GPUs in other orders.
    pub fn of(uuid: Option<String>) -> Sensors {
        let library = |uuid| match Nvml::init() {
            Ok(library) => Some((library, uuid)),
            Err(error) => {
                tracing::info!(%error, "how busy the GPU is isn't known");
                None
            }
        };
        Sensors(uuid.and_then(library))
    }

    /// What they say.
    pub fn read(&self) -> Readings {
        let device = self.0.as_ref().and_then(|(library, uuid)| library.device_by_uuid(uuid.as_str()).ok());
        device.map_or_else(Readings::default, |device| Readings {
            busy: device.utilization_rates().ok().map(|rates| rates.gpu),
            celsius: device.temperature(TemperatureSensor::Gpu).ok(),
            milliwatts: device.power_usage().ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_gpu_that_is_not_there_nothing_is_known() {
        assert_eq!(Sensors::of(None).read(), Readings::default());
        // Also where the library is: it has no such GPU.
        let none = "GPU-00000000-0000-0000-0000-000000000000".to_owned();
        assert_eq!(Sensors::of(Some(none)).read(), Readings::default());
    }
}
