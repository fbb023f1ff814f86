//! `%push`, `%pull`, `%scatter`, `%gather`: a cell for each side, and rooms through which variables go from one to the
//! other.

use super::gpu::without_gpu;
use super::parallel::{EngineCell, end, resolve};
use super::{Done, Executor, Next, Request};
use crate::cluster::Cluster;
use crate::failure::{Failure, Kind, failure};
use crate::jobs::{Lent, MapOptions};
use chorus_compiler::{Member, Variable};
use chorus_magics::{
    Carried, Code, MagicError, PxConfig, PxOptions, Transfer, Way,
    rust::{Text, TransferTexts, not_for_gpus, transfer_texts},
};
use chorus_protocol::{EngineId, name_engines};
use chorus_render::data_size;
use px::link::{Message, OnError, Passing, Serve, Step};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// So many rooms a variable has at most that goes whole: as many threads write it. To one file, only one can.
const LANES: usize = 4;

/// What takes less has no rate worth saying.
const RATED: u64 = 1 << 20;

impl Executor {
    pub(super) async fn transfer(&mut self, transfer: Transfer, request: &Request) -> Done {
        let cluster = self.cluster(request).await?;
        cluster.recovered().await;
        let targets = resolve(&transfer.targets, &cluster)?;
        if transfer.gpu && targets.iter().any(|engine| !cluster.has_gpu(*engine)) {
            return Err(without_gpu(Kind::TransferError, &targets, &cluster));
        }
        let variables = self.variables_of(&transfer, &targets, request).await?;
        let single = transfer.targets.is_one();
        let types: Vec<_> = variables.into_iter().map(|variable| (variable.type_name, variable.mutable)).collect();
        if let Some(carried) = not_for_gpus(&transfer, &types) {
            let code = Code { text: &carried.from, line: transfer.line, column: carried.column };
            let message = format!("`{}` isn't a Vec, and only a Vec goes to a GPU", carried.from);
            let help = "`.to_vec()` makes one of an array or a slice; nothing was copied";
            return Err(MagicError::at(code, &request.code, message).with_help(help).into());
        }
        let texts = transfer_texts(&transfer, &types, single);

        let threads = available_parallelism().map_or(1, usize::from).min(LANES);
        let is_whole = transfer.way == Way::Push || transfer.way == Way::Pull && single;
        let lanes = if is_whole { threads } else { targets.len() };
        let purpose = |carried: &Carried| format!("{} {}", name(transfer.way), carried.from);
        let purposes: Vec<String> = transfer.variables.iter().map(purpose).collect();
        let rooms = self.jobs.passages(&purposes, lanes);
        let rooms =
            rooms.map_err(|error| failure(Kind::TransferError, format!("there are no rooms for data: {error}")))?;
        let ranks: Vec<u32> = targets.iter().map(|engine| cluster.rank(*engine)).collect();
        let argument = |step| {
            let passing = Passing { step, lanes: lanes as u32, ranks: ranks.clone() };
            let serve = Serve {
                gpu: None,
                rooms: rooms.paths().to_vec(),
                input: passing.encode(),
                constants: Vec::new(),
                retries: 0,
                on_error: OnError::Stop,
                timeout: 0,
                threads: threads as u32,
            };
            serve.encode()
        };
        let (begun, compiled) = (Instant::now(), self.spent.compiled());
        let TransferTexts { put, take, types } = texts;
        match transfer.way {
            Way::Push => {
                self.here(put, argument(Step::All), request).await?;
                self.there(&transfer, take, vec![argument(Step::All)], &cluster, &targets, request).await?;
            }
            Way::Scatter { round_robin } => {
                let step = if round_robin { Step::Deal } else { Step::Split };
                self.here(put, argument(step), request).await?;
                self.there(&transfer, take, vec![argument(Step::Own)], &cluster, &targets, request).await?;
            }
            Way::Pull => {
                let step = if is_whole { Step::All } else { Step::Own };
                self.there(&transfer, put, vec![argument(step)], &cluster, &targets, request).await?;
                self.here(take, argument(Step::All), request).await?;
            }
            Way::Gather => {
                // When all have said how many items they have, each knows where its own belong.
                let arguments = vec![argument(Step::Count), argument(Step::Place)];
                self.there(&transfer, put, arguments, &cluster, &targets, request).await?;
                self.here(take, argument(Step::All), request).await?;
            }
        }
        let took = begun.elapsed().saturating_sub(self.spent.compiled().saturating_sub(compiled));
        let says = summary(&transfer, &types, &name_engines(&targets), size(&rooms), took);
        rooms.passed();
        request.publisher.say(&says).await;
        Ok(Next::Continue)
    }

    /// The variables that are to go, if the side that has to have them has them all.
    async fn variables_of(
        &self,
        transfer: &Transfer,
        targets: &[EngineId],
        request: &Request,
    ) -> Result<Vec<Variable>, Failure> {
        let engines: Vec<Member> = targets.iter().copied().map(Member::Engine).collect();
        let to_engines = matches!(transfer.way, Way::Push | Way::Scatter { .. });
        let (side, other) = if to_engines { (vec![Member::Local], engines) } else { (engines, vec![Member::Local]) };
        let names: Vec<String> = transfer.variables.iter().map(|carried| carried.from.clone()).collect();
        let found = self
            .with_compiler(move |compiler| {
                let namespaces = compiler.namespaces();
                let (variables, others) = (namespaces.common(&side), namespaces.common(&other));
                let of = |name: &String| match variables.get(name) {
                    Some(variable) => Ok(variable.clone()),
                    None => Err((others.contains_key(name), namespaces.explain_missing(name, &side))),
                };
                names.iter().map(of).collect::<Vec<_>>()
            })
            .await?;
        let mut variables = Vec::new();
        for (carried, found) in transfer.variables.iter().zip(found) {
            let name = &carried.from;
            let (is_there, why) = match found {
                Ok(variable) => {
                    variables.push(variable);
                    continue;
                }
                Err(missing) => missing,
            };
            let (engines, verb) = (name_engines(targets), if targets.len() == 1 { "has" } else { "have" });
            let message = match (to_engines, &why) {
                (false, Some(why)) if !is_there => first_line(why).to_owned(),
                (true, _) => format!("the notebook has no variable `{name}`"),
                (false, _) => format!("{engines} {verb} no variable `{name}`"),
            };
            let help = match (to_engines, is_there) {
                (true, true) => Some(format!("the engines have one: `%pull {name}` copies it here")),
                (false, true) => Some(format!("the notebook has one: `%push {name}` copies it there")),
                (true, false) => why.map(|why| why.replace('\n', "; ")),
                (false, false) => why.and_then(|why| Some(why.split_once('\n')?.1.to_owned())),
            };
            let help = help.or_else(|| Some("`%who` lists variables".to_owned()));
            let code = Code { text: name, line: transfer.line, column: carried.column };
            let error = MagicError::at(code, &request.code, message);
            let error = help.into_iter().fold(error, MagicError::with_help);
            return Err(error.into());
        }
        Ok(variables)
    }

    /// Runs the notebook's half.
    pub(super) async fn here(&mut self, text: Text, argument: Vec<u8>, request: &Request) -> Result<(), Failure> {
        let mut plan = self.plan(MapOptions::default(), None, request);
        plan.argument = argument;
        self.rust_by_plan(plan, &text.text, text.first_line, Some(&text), request).await.0.map(|_| ())
    }

    /// Runs the engines' half.
    async fn there(
        &mut self,
        transfer: &Transfer,
        text: Text,
        arguments: Vec<Vec<u8>>,
        cluster: &Arc<Cluster>,
        targets: &[EngineId],
        request: &Request,
    ) -> Result<(), Failure> {
        let config = PxConfig { targets: transfer.targets.clone(), ..PxConfig::default() };
        let options = PxOptions { config, out: None, local: false };
        let label = format!("%{} {}", name(transfer.way), names(transfer));
        let (code, first_line) = (text.text.clone(), text.first_line);
        let cell = EngineCell { text: code, first_line, generated: Some(text), label, arguments };
        let ran = self.engine_cell(&options, cell, cluster, targets.to_vec(), request).await?;
        let Some(ran) = ran else { return Ok(()) };
        if let (Some(sent), Some(ticket)) = (ran.detached, ran.ticket) {
            self.keep(sent, ticket, cluster);
            return Err(failure(Kind::Interrupted, ran.left_alone.unwrap_or_default()));
        }
        let Some(cell) = ran.cell else { return Ok(()) };
        end(&cell, ran.lost, ran.interrupted, &request.publisher).await.map(|_| ())
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn name(way: Way) -> &'static str {
    match way {
        Way::Push => "push",
        Way::Pull => "pull",
        Way::Scatter { .. } => "scatter",
        Way::Gather => "gather",
    }
}

fn names(transfer: &Transfer) -> String {
    let names: Vec<&str> = transfer.variables.iter().map(|carried| carried.from.as_str()).collect();
    names.join(", ")
}

/// How much there is in the rooms.
fn size(rooms: &Lent) -> u64 {
    rooms.paths().iter().filter_map(|path| px::data::size_of_room(path)).sum()
}

/// What went where, in a line.
fn summary(transfer: &Transfer, types: &[String], engines: &str, bytes: u64, took: Duration) -> String {
    let from = names(transfer);
    let to: Vec<String> = match transfer.way {
        Way::Push | Way::Scatter { .. } => transfer.variables.iter().map(|carried| carried.to.clone()).collect(),
        Way::Pull | Way::Gather => {
            let named = transfer.variables.iter().zip(types);
            named.map(|(carried, kind)| format!("{}: {kind}", carried.to)).collect()
        }
    };
    let to = to.join(", ");
    let engines = if transfer.gpu { format!("the GPUs of {engines}") } else { engines.to_owned() };
    let what = match transfer.way {
        Way::Push => format!("{from} -> {to} on {engines}"),
        Way::Scatter { .. } => format!("{from} -> parts {to} on {engines}"),
        Way::Pull | Way::Gather => format!("{from} of {engines} -> {to}"),
    };
    let seconds = took.as_secs_f64();
    let rate = match bytes >= RATED && seconds > 0.0 {
        true => format!(" ({}/s)", data_size((bytes as f64 / seconds) as u64)),
        false => String::new(),
    };
    format!("{what}: {} in {seconds:.2} s{rate}", data_size(bytes))
}
