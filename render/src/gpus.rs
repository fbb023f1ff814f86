//! The engines' GPUs as a table.

use super::output::{Bundle, html_bundle};
use super::table::{html_table, one_line, text_table};
use chorus_protocol::{EngineId, name_engines, size};
use html_escape::encode_text;

/// The beginning of a name or a reason that is shown, in characters.
const NAME: usize = 40;
const REASON: usize = 300;
const HEADER: [&str; 7] = ["engine", "GPU", "memory", "held", "driver", "capability", "state"];

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Its number on its host.
    pub number: u32,
    /// What it is called.
    pub name: String,
    /// The driver's version.
    pub driver: Option<String>,
    /// What its code may use.
    pub capability: Option<(u32, u32)>,
    /// How much of its memory is free, and all, in bytes.
    pub memory: (u64, u64),
    /// What Chorus has there.
    pub held: Option<u64>,
    /// Whether a map runs there.
    pub is_busy: bool,
}

/// What an engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HasGpu {
    /// This one.
    Yes(Gpu),
    /// None.
    No,
    /// One that can't be asked or used: the sentence says why.
    Failed(String),
}

/// What `%gpu` shows: the engines, and lines of what is kept on disk.
pub fn gpus(engines: &[(EngineId, HasGpu)], kept: &[String]) -> Bundle {
    let rows: Vec<[String; 7]> = engines.iter().filter_map(|(engine, has)| Some(row(*engine, has.gpu()?))).collect();
    let without: Vec<EngineId> =
        engines.iter().filter(|(_, has)| *has == HasGpu::No).map(|(engine, _)| *engine).collect();
    let mut lines = Vec::new();
    if !without.is_empty() {
        lines.push(format!("without a GPU: {}", name_engines(&without)));
    }
    for (engine, has) in engines {
        if let HasGpu::Failed(why) = has {
            lines.push(format!("engine {engine}: {}", one_line(why, REASON)));
        }
    }
    lines.extend(kept.iter().cloned());
    let (mut text, mut html) = (String::new(), String::new());
    if !rows.is_empty() {
        text = text_table(HEADER, &rows) + "\n";
        html = html_table(HEADER, &rows);
    }
    for line in lines {
        text += &format!("{line}\n");
        html += &format!("<p>{}</p>", encode_text(&line));
    }
    html_bundle(text, html)
}

impl HasGpu {
    fn gpu(&self) -> Option<&Gpu> {
        match self {
            HasGpu::Yes(gpu) => Some(gpu),
            _ => None,
        }
    }
}

fn row(engine: EngineId, gpu: &Gpu) -> [String; 7] {
    let (free, total) = gpu.memory;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    [
        engine.to_string(),
        format!("{}: {}", gpu.number, one_line(&gpu.name, NAME)),
        format!("{} of {} free", size(free), size(total)),
        or_dash(gpu.held.map(size)),
        or_dash(gpu.driver.as_ref().map(|driver| one_line(driver, NAME))),
        or_dash(gpu.capability.map(|(major, minor)| format!("{major}.{minor}"))),
        if gpu.is_busy { "a map runs" } else { "idle" }.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_with_and_without_gpus_are_shown() {
        let busy = Gpu {
            number: 1,
            name: "NVIDIA <H200>".into(),
            driver: Some("580.159.04, CUDA 13.0".into()),
            capability: Some((9, 0)),
            memory: (130 << 30, 140 << 30),
            held: Some(3 << 20),
            is_busy: true,
        };
        let name = "a simulated device".into();
        let idle =
            Gpu { number: 0, name, driver: None, capability: None, held: None, is_busy: false, memory: busy.memory };
        let engines = [
            (EngineId(0), HasGpu::Yes(busy)),
            (EngineId(1), HasGpu::No),
            (EngineId(2), HasGpu::Yes(idle)),
            (EngineId(3), HasGpu::Failed("it didn't\nanswer".into())),
            (EngineId(4), HasGpu::No),
        ];
        let shown = gpus(&engines, &["kept: much".to_owned()]);
        insta::assert_snapshot!(shown["text/plain"].as_str().unwrap(), @r"
        engine  GPU                    memory                       held     driver                 capability  state
        0       1: NVIDIA <H200>       130.0 GiB of 140.0 GiB free  3.0 MiB  580.159.04, CUDA 13.0  9.0         a map runs
        2       0: a simulated device  130.0 GiB of 140.0 GiB free  –        –                      –           idle
        without a GPU: engines 1,4
        engine 3: it didn't answer
        kept: much
        ");
        let html = shown["text/html"].as_str().unwrap();
        assert!(html.contains("NVIDIA &lt;H200&gt;") && html.ends_with("<p>kept: much</p>"), "{html}");
        let none = gpus(&engines[1..2], &[]);
        assert_eq!(none["text/plain"], "without a GPU: engine 1\n");
    }
}
