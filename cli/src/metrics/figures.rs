//! A cluster's figures in the text format of OpenMetrics. What isn't known has no sample.

use chorus_history::{Figures, cpu, diagnose, memory, snapshots, waiting};
use chorus_protocol::{LogEngine, Metrics};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::atomic::AtomicU64;

type Labels = Vec<(&'static str, String)>;
type Number = Gauge<f64, AtomicU64>;
type Total = Counter<f64, AtomicU64>;

/// All of them.
pub fn text(figures: &Figures) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("chorus");
    cluster(figures, &mut registry);
    engines(figures, &mut registry);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn cluster(figures: &Figures, registry: &mut Registry) {
    let state = &figures.state;
    let version = env!("CARGO_PKG_VERSION");
    let info = Info::new(vec![("name", state.name.clone()), ("version", version.to_owned())]);
    registry.register("cluster", "The cluster", info);
    let mut number = |name: &str, help: &str, value: f64| {
        let gauge = Number::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    number("engines", "Engines that have joined", state.engines.values().filter(|it| it.info.is_some()).count() as f64);
    number("sessions", "Open sessions", state.sessions.len() as f64);
    number("maps", "Maps that aren't over", state.maps.len() as f64);
    number("calls", "Calls that haven't ended", state.tasks.len() as f64);
    let compiled = Family::<Labels, Total>::default();
    for (cached, count) in [("false", figures.state.compiles.new), ("true", figures.state.compiles.cached)] {
        compiled.get_or_create(&vec![("cached", cached.to_owned())]).inc_by(count as f64);
    }
    registry.register("compilations", "Cells that were compiled for engines, or came from the cache", compiled);
    let seconds = Total::default();
    seconds.inc_by(figures.state.compiles.micros as f64 / 1e6);
    registry.register_with_unit("compile", "What compiling for engines took", Unit::Seconds, seconds);
    let found = Family::<Labels, Number>::default();
    for diagnosis in diagnose(figures) {
        found.get_or_create(&vec![("kind", diagnosis.kind.to_owned())]).inc();
    }
    registry.register("diagnoses", "What is wrong, by its kind", found);
}

fn engines(figures: &Figures, registry: &mut Registry) {
    let measured = |value: fn(&Metrics) -> Option<f64>| move |engine: &LogEngine| value(engine.metrics.as_deref()?);
    let mut gauge = |name: &str, help: &str, unit: Option<Unit>, value: &dyn Fn(&LogEngine) -> Option<f64>| {
        let family = Family::<Labels, Number>::default();
        for (id, engine) in &figures.state.engines {
            if let Some(value) = value(engine) {
                family.get_or_create(&labels(id, engine)).set(value);
            }
        }
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, family),
            None => registry.register(name, help, family),
        }
    };
    gauge("engine_up", "Whether the engine has joined", None, &|it| Some(f64::from(u8::from(it.info.is_some()))));
    gauge("engine_queue", "Runs that wait", None, &|it| Some(waiting(it) as f64));
    gauge("engine_cpu_cores", "Cores in use", None, &measured(|it| Some(cpu(it)? / 100.0)));
    gauge("engine_memory", "Memory in use", Some(Unit::Bytes), &measured(|it| Some(memory(it)? as f64)));
    let help = "Memory of snapshots, which share most of it with their workers";
    gauge("engine_snapshots", help, Some(Unit::Bytes), &measured(|it| Some(snapshots(it) as f64)));
    let gpu = |it: &Metrics| Some(it.gpu.as_ref()?.memory_used? as f64);
    gauge("engine_gpu_memory", "Memory of the engine's GPU in use", Some(Unit::Bytes), &measured(gpu));
    let mut total = |name: &str, help: &str, unit: Option<Unit>, value: &dyn Fn(&LogEngine) -> Option<u64>| {
        let family = Family::<Labels, Total>::default();
        for (id, engine) in &figures.state.engines {
            if let Some(value) = value(engine) {
                family.get_or_create(&labels(id, engine)).inc_by(value as f64);
            }
        }
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, family),
            None => registry.register(name, help, family),
        }
    };
    total("engine_runs", "Runs that have ended", None, &|it| Some(it.done));
    total("engine_failed_runs", "Runs that have ended with anything but success", None, &|it| Some(it.failed));
    total("engine_deaths", "Deaths of workers, and of the engine's process", None, &|it| Some(it.restarts));
    let (came, went) = ("Bytes from the controller", "Bytes to the controller");
    total("engine_received", came, Some(Unit::Bytes), &|it| Some(it.metrics.as_ref()?.bytes_in));
    total("engine_sent", went, Some(Unit::Bytes), &|it| Some(it.metrics.as_ref()?.bytes_out));
}

fn labels(id: &chorus_protocol::EngineId, engine: &LogEngine) -> Labels {
    let host = engine.info.as_ref().map(|info| escaped(&info.host)).unwrap_or_default();
    vec![("engine", id.to_string()), ("host", host)]
}

/// A text as a label's value has it. The library leaves that to its callers.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::{EngineId, EngineInfo, LogEntry, LogEvent, ProcessUse, Work};

    #[test]
    fn what_is_known_is_written_and_what_is_not_is_left_out() {
        let mut figures = Figures::default();
        let info = |host: &str| EngineInfo { pid: 1, host: host.into(), cores: 1, ..EngineInfo::default() };
        let supervisor = ProcessUse { pid: 1, cpu: Some(150.0), memory: Some(4096) };
        let metrics = Box::new(Metrics { supervisor, bytes_in: 7, ..Metrics::default() });
        let queued = |run, engine| LogEvent::RunQueued {
            session: 1,
            run,
            work: Work::Cell,
            label: "f".into(),
            engines: vec![EngineId(engine)],
        };
        let events = [
            LogEvent::EngineUp { engine: EngineId(0), info: info("a\"b") },
            LogEvent::EngineUp { engine: EngineId(1), info: info("b") },
            LogEvent::Measured { engine: EngineId(0), metrics },
            LogEvent::Compiled { session: 1, label: "f".into(), micros: 250_000, cached: false },
            queued(1, 0),
            queued(2, 0),
            LogEvent::RunStarted { session: 1, run: 1, engine: EngineId(0), snapshot: None },
        ];
        for (number, event) in (1..).zip(events) {
            figures.apply(&LogEntry { number, at: 1000 * number, event });
        }
        let text = text(&figures).unwrap();
        for line in [
            "chorus_engines 2.0",
            r#"chorus_engine_up{engine="1",host="b"} 1.0"#,
            r#"chorus_engine_queue{engine="0",host="a\"b"} 1.0"#,
            r#"chorus_engine_queue{engine="1",host="b"} 0.0"#,
            r#"chorus_engine_cpu_cores{engine="0",host="a\"b"} 1.5"#,
            r#"chorus_engine_memory_bytes{engine="0",host="a\"b"} 4096.0"#,
            r#"chorus_engine_received_bytes_total{engine="0",host="a\"b"} 7.0"#,
            "chorus_compile_seconds_total 0.25",
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} isn't in\n{text}");
        }
        assert!(!text.contains(r#"cpu_cores{engine="1""#), "{text}");
    }
}
