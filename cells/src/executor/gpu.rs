//! The part of a map that GPUs run: which engines have one, and what is compiled for them.

mod workshop;

use super::gpu_status::ask_all;
use super::{Executor, Request};
use crate::cluster::Cluster;
use crate::failure::{Failure, Kind, failure};
use crate::generated::to_users_lines;
use crate::jobs::{ByGpus, OnGpus};
use chorus_compiler::{Diagnostic, Failure as CompileFailure, Modules, Reached, Span};
use chorus_gpu::source::{Crate, Definition, without_others};
use chorus_magics::{
    Data, Gpu, Map,
    rust::{Passing, Text, Types, gpu_text},
};
use chorus_protocol::{EngineId, name_engines};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
pub(super) use workshop::Workshop;
use workshop::{By, Order, Why};

/// What to do next, behind what rustc says of a function for a GPU.
const HELP: &str = "help: a function for a GPU has numbers, arrays, slices and the notebook's `Copy` types; there is no \
                    allocation, no output and no file. `--gpu=auto` has the processors run what a GPU can't; nothing was run";

const NOTHING: &str = "this was found when the function was compiled for a GPU; nothing was run";
const WIDE: &str = "on a GPU, floats can't become integers of 128 bits, or come of them";
const NO_GPU: &str = "no engine of this map has a GPU";
const NONE: &str = "no engine of this map has a GPU: an engine looks for NVIDIA's driver, libcuda.so.1, where the system has \
                    its libraries and in LD_LIBRARY_PATH, when it starts. `--gpu=auto` runs the map on the processors where \
                    there is none; nothing was run";

impl Executor {
    /// What the GPUs of these engines run of this map, with how its function takes items. Only engines that have one remain,
    /// unless the processors may turn out to be faster. A map that need not be run by GPUs becomes one for processors if it
    /// can't be, which is told.
    pub(super) async fn for_gpus(
        &mut self,
        map: &mut Map<'_>,
        targets: &mut Vec<EngineId>,
        (mine, theirs): (&Types, &Types),
        cluster: &Cluster,
        request: &Request,
    ) -> Result<Option<(ByGpus, Passing)>, Failure> {
        let Some(wanted) = map.options.gpu else { return Ok(None) };
        let with_gpu: Vec<EngineId> = targets.iter().copied().filter(|engine| cluster.has_gpu(*engine)).collect();
        let (types, is_each) = ((mine, theirs), matches!(map.data, Data::Each(_)));
        // Nobody else has their items.
        let lacks = is_each && !with_gpu.is_empty() && with_gpu.len() < targets.len();
        let found = match wanted {
            Gpu::Always if with_gpu.is_empty() => Err(failure(Kind::MapError, NONE)),
            // What lies on engines is theirs: the text for GPUs would have it otherwise.
            Gpu::Auto if with_gpu.is_empty() && is_each => Ok(None),
            Gpu::Auto if with_gpu.is_empty() => self.compiled_for_gpu(map, types, By::Processors, request).await,
            _ if lacks => Err(without_gpu(Kind::MapError, targets, cluster)),
            // Where items are, they stay.
            Gpu::Auto if !is_each => self.compiled_for_gpu(map, types, By::Either, request).await,
            _ => self.compiled_for_gpu(map, types, By::Gpus, request).await,
        };
        match (found, wanted) {
            (found, Gpu::Auto) if with_gpu.is_empty() => {
                let also = match &found {
                    Ok(None) => String::new(),
                    Ok(Some(_)) => "; `sin` and the like have the bits that they have on a GPU".to_owned(),
                    Err(error) => format!("; `sin` and the like are this machine's, since {}", reason(error)),
                };
                request.publisher.say(&format!("--gpu=auto: on the processors, since {NO_GPU}{also}.")).await;
                let found = found.unwrap_or_default();
                if found.is_none() {
                    map.options.gpu = None;
                }
                Ok(found.map(|(code, passing)| (ByGpus { code, if_faster: None }, passing)))
            }
            (Ok(found), wanted) => {
                let if_faster = match wanted == Gpu::Auto && !is_each {
                    true => Some(count(cluster, &with_gpu).await),
                    false => {
                        *targets = with_gpu;
                        None
                    }
                };
                Ok(found.map(|(code, passing)| (ByGpus { code, if_faster }, passing)))
            }
            (Err(error), Gpu::Always) => Err(error),
            (Err(error), Gpu::Auto) => {
                map.options.gpu = None;
                request.publisher.say(&format!("--gpu=auto: on the processors, since {}.", reason(&error))).await;
                Ok(None)
            }
        }
    }

    /// A function with the way in which it takes its items; `None` if processors need no other than their own.
    async fn compiled_for_gpu(
        &mut self,
        map: &Map<'_>,
        (mine, theirs): (&Types, &Types),
        by: By,
        request: &Request,
    ) -> Result<Option<(Arc<OnGpus>, Passing)>, Failure> {
        let text = |passing| gpu_text(map, &request.code, passing, mine, theirs).map_err(Failure::from);
        let first = self.build_for_gpu(text(Passing::Value)?, by, request).await;
        // Only types could tell how it takes its items.
        match first {
            Ok(built) => Ok(built.map(|built| (built, Passing::Value))),
            Err(error) if error.is_compile_error() => {
                let second = self.build_for_gpu(text(Passing::Reference)?, by, request).await;
                second.map(|built| built.map(|built| (built, Passing::Reference))).map_err(|_| error)
            }
            Err(error) => Err(error),
        }
    }

    /// What other kernels have compiled, if that is kept.
    pub(super) fn gpu_modules(&mut self) -> Option<Arc<Modules>> {
        if self.gpu_modules.is_none() {
            let opened = Modules::open(self.config.cache.as_ref()?);
            let opened = opened.inspect_err(|error| tracing::warn!(%error, "functions for GPUs can't be kept"));
            self.gpu_modules = opened.ok().map(Arc::new);
        }
        self.gpu_modules.clone()
    }

    async fn build_for_gpu(&mut self, text: Text, by: By, request: &Request) -> Result<Option<Arc<OnGpus>>, Failure> {
        let words = text.words();
        let (reached, package) =
            self.compile(request, move |compiler| (compiler.reached(&words), compiler.package())).await?;
        let definitions = reached.into_iter().map(|Reached { text, label, is_optional }| {
            let text = without_others(&text);
            Definition { text, label, is_optional }
        });
        let (function, cache) = (text.text.clone(), self.config.gpu.clone());
        let order = Order { package, definitions: definitions.collect(), function, cache, kept: self.gpu_modules() };
        let mut workshop = std::mem::take(&mut self.workshop);
        if workshop.is_new(&order, by) {
            request.publisher.say("Compiling the notebook's crates for GPUs, where they can be.").await;
        }
        let made = tokio::task::spawn_blocking(move || (workshop.make(&order, by), workshop)).await;
        let (made, workshop) = made.map_err(|error| failure(Kind::MapError, error.to_string()))?;
        self.workshop = workshop;
        made.map_err(|why| match why {
            Why::Refused(refused) => {
                let said = refused.said.iter();
                let mut errors: Vec<Diagnostic> =
                    said.filter_map(|value| diagnostic(value, &refused.source, &text, &request.code)).collect();
                if let Some(last) = errors.last_mut() {
                    last.notes.extend(refused.lacking.iter().map(|why| format!("note: {why}")));
                }
                to_users_lines(&text, CompileFailure::Errors(errors), &request.code).into()
            }
            Why::Other(failure) => failure,
        })
    }
}

/// That some of these engines have no GPU.
pub(super) fn without_gpu(kind: Kind, targets: &[EngineId], cluster: &Cluster) -> Failure {
    let without: Vec<EngineId> = targets.iter().copied().filter(|engine| !cluster.has_gpu(*engine)).collect();
    let (engines, verb) = (name_engines(&without), if without.len() == 1 { "has" } else { "have" });
    failure(kind, format!("{engines} {verb} no GPU: `-t` names engines that have one; nothing was done"))
}

/// How many GPUs these engines have: several may share one. One that isn't told of is one, too.
async fn count(cluster: &Cluster, engines: &[EngineId]) -> u32 {
    let told = ask_all(cluster).await.into_iter().filter(|(engine, _)| engines.contains(engine));
    let numbers: BTreeSet<Option<u32>> =
        told.filter_map(|(_, told)| told).map(|told| told.ok().map(|told| told.state.number)).collect();
    numbers.len() as u32
}

/// What rustc says, with its places in the user's lines. What it says of the notebook's definitions names them.
fn diagnostic(value: &Value, source: &Crate, text: &Text, cell: &str) -> Option<Diagnostic> {
    let string = |value: &Value| value.as_str().map(str::to_owned);
    let mut message = string(&value["message"])?;
    if message.contains("unsupported library call") {
        // LLVM says no more, and no place.
        message = WIDE.to_owned();
    }
    if value["level"].as_str() != Some("error") || message.starts_with("aborting due to") {
        return None;
    }
    let mut error = Diagnostic::error(message);
    error.code = string(&value["code"]["code"]);
    for place in value["spans"].as_array().into_iter().flatten() {
        let number = |name: &str| place[name].as_u64().and_then(|number| usize::try_from(number).ok());
        let (Some(line), Some(column), Some(end_line), Some(end_column)) =
            (number("line_start"), number("column_start"), number("line_end"), number("column_end"))
        else {
            continue;
        };
        if let Some(definition) = source.definition_at(line) {
            error.notes.push(format!("note: it is in {}", definition.label));
        }
        // What isn't the user's text stands above it.
        let in_cell = |line: usize| Some(line.checked_sub(source.body)? + text.first_line);
        let (Some(line), Some(end_line)) = (in_cell(line), in_cell(end_line)) else { continue };
        error.spans.push(Span {
            line,
            column,
            end_line,
            end_column,
            label: string(&place["label"]).unwrap_or_default(),
            primary: place["is_primary"].as_bool().unwrap_or_default(),
            text: line.checked_sub(1).and_then(|at| cell.lines().nth(at)).unwrap_or_default().to_owned(),
            cell: None,
        });
    }
    let is_useful = |child: &&Value| {
        let said = child["message"].as_str().unwrap_or_default();
        let of_ours = [
            "the following other types",
            "required by a bound in",
            "consider importing",
            "have you added the `#[macro",
        ];
        !of_ours.iter().any(|start| said.starts_with(start))
    };
    let added = value["children"].as_array().into_iter().flatten().filter(is_useful);
    error.notes.extend(
        added.filter_map(|child| Some(format!("{}: {}", child["level"].as_str()?, child["message"].as_str()?))),
    );
    error.notes.push(if may_be_missing(&error) { HELP.to_owned() } else { format!("note: {NOTHING}") });
    Some(error)
}

/// Whether it may be about what a GPU doesn't have, and not about a mistake that rustc would find anywhere.
fn may_be_missing(error: &Diagnostic) -> bool {
    let of_names = ["E0277", "E0412", "E0425", "E0432", "E0433", "E0463", "E0599"];
    error.code.as_deref().is_none_or(|code| of_names.contains(&code))
}

/// Why a GPU doesn't do it, as the end of a sentence.
fn reason(error: &Failure) -> String {
    match error {
        Failure::Compile(errors) => {
            let first = errors.first().map(|error| error.message.clone()).unwrap_or_default();
            format!("its function doesn't compile for a GPU ({first})")
        }
        Failure::Other(_, what) => what.split([':', ';']).next().unwrap_or_default().to_owned(),
        _ => "a GPU can't run it".to_owned(),
    }
}
