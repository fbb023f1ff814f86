//! `%map` and `%%map`: their flags, and what makes no sense together.

mod over;

use super::prelude::*;
use crate::PxConfig;
use crate::values::{After, either, seconds};
use chorus_syntax::{Expression, Shape};
use clap::ValueEnum;
use over::Split;
use std::time::Duration;

/// A function and the data that it is applied to.
#[derive(Clone, Debug, PartialEq)]
pub struct Map<'a> {
    /// How.
    pub options: MapOptions,
    /// A closure, a path, or code that uses `it`. Nothing but white space in a `%%map` without a body.
    pub function: Code<'a>,
    /// To what.
    pub data: Data<'a>,
    /// Of which results something becomes.
    pub filter: Option<Code<'a>>,
    /// What becomes of them.
    pub end: End<'a>,
}

/// What a function is applied to.
#[derive(Clone, Debug, PartialEq)]
pub enum Data<'a> {
    /// The items of these, one of each at a time. At least one.
    Sources(Vec<Code<'a>>),
    /// The items of this variable of the engines, where they are.
    Each(Code<'a>),
}

/// What becomes of the results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End<'a> {
    /// A `Vec`.
    Collect,
    /// Their sum.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// Their number.
    Count,
    /// Their average.
    Mean,
    /// What this makes of two at a time.
    Reduce(Code<'a>),
}

/// How a map runs.
#[derive(Clone, Debug, PartialEq)]
pub struct MapOptions {
    /// On which engines.
    pub targets: Targets,
    /// Whether the cell waits for its end. If it doesn't, there is an `out`.
    pub block: bool,
    /// When progress is shown; `None` for never.
    pub progress_after: Option<Duration>,
    /// The variable for the results.
    pub out: Option<String>,
    /// Whether that is a variable of the engines.
    pub keep: bool,
    /// Whether results have the order of their items.
    pub ordered: bool,
    /// How many items make a task; `None` for as many as are good.
    pub chunk: Option<u64>,
    /// How often an item is tried again. `None`: once if its engine died, not if the function panicked.
    pub retries: Option<u32>,
    /// How long an item may take.
    pub timeout: Option<Duration>,
    /// What becomes of items that fail.
    pub on_error: OnError,
    /// How many threads of each engine work; `None` for its share of the cores.
    pub threads: Option<u32>,
    /// Whether GPUs work instead of them.
    pub gpu: Option<Gpu>,
}

/// When GPUs work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gpu {
    /// Always: without one the map is an error.
    Always,
    /// Where they can, and else the processors.
    Auto,
}

/// What becomes of a map when an item fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// It ends
    #[default]
    Stop,
    /// The item is left out
    Skip,
    /// The item's result is an `Err`
    Keep,
}

/// clap gives `Option<Option<_>>` a meaning of its own.
#[derive(Clone, Copy, Debug)]
struct Chunk(Option<u64>);

fn chunk(text: &str) -> Result<Chunk, String> {
    match text {
        "auto" => Ok(Chunk(None)),
        _ => text
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .map(|n| Chunk(Some(n)))
            .ok_or_else(|| "write a number of items, at least 1, or auto".into()),
    }
}

fn gpu(text: &str) -> Result<Gpu, String> {
    match text {
        "always" => Ok(Gpu::Always),
        "auto" => Ok(Gpu::Auto),
        _ => Err("write `--gpu`, or `--gpu=auto` for a map that runs without a GPU, too".into()),
    }
}

fn times(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "write how many times, 0 for not at all".into())
}

fn time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // It travels in milliseconds.
    seconds.filter(|time| time.as_millis() > 0).ok_or_else(|| "write seconds, at least 0.001".into())
}

#[derive(Parser)]
pub(crate) struct Flags {
    /// Put the results into this variable; else the first and the last ones are shown
    #[arg(short, long, value_name = "NAME", value_parser = variable)]
    out: Option<String>,
    /// Leave the results on the engines, each what it has done: NAME of -o is a variable there
    #[arg(long)]
    keep: bool,
    /// The sum of the results
    #[arg(long)]
    sum: bool,
    /// The least of them
    #[arg(long)]
    min: bool,
    /// The greatest of them
    #[arg(long)]
    max: bool,
    /// Their number
    #[arg(long)]
    count: bool,
    /// Their average
    #[arg(long)]
    mean: bool,
    /// What this makes of them, two at a time: '|a, b| a.max(b)'
    #[arg(long, value_name = "CLOSURE")]
    reduce: Option<String>,
    /// Only results of which this says true: '|y| *y > 0.0'
    #[arg(long, value_name = "CLOSURE")]
    filter: Option<String>,
    /// How many items an engine gets at a time; `auto`: as many as are good
    #[arg(long, value_name = "N", value_parser = chunk, allow_negative_numbers = true)]
    chunk: Option<Chunk>,
    /// Results have the order of their items, which is the default
    #[arg(long, overrides_with = "unordered")]
    ordered: bool,
    /// Results come in any order
    #[arg(long)]
    unordered: bool,
    /// The engines: `1`, `0,2`, `0-3`, `1:3`, `::2`, `-1` for the last, or `all`
    #[arg(short, long, value_name = "T", allow_hyphen_values = true)]
    targets: Option<Targets>,
    /// Wait for the end
    #[arg(short, long, overrides_with = "noblock")]
    block: bool,
    /// Don't wait: NAME of -o is a handle with .get(), .done() and .cancel()
    #[arg(short = 'a', long)]
    noblock: bool,
    /// How often an item is tried again; once when its engine died and not when it panicked, if left out
    #[arg(long, value_name = "N", value_parser = times, allow_negative_numbers = true)]
    retries: Option<u32>,
    /// How many seconds an item may take
    #[arg(long, value_name = "S", value_parser = time, allow_negative_numbers = true)]
    timeout: Option<Duration>,
    /// When an item fails: end the map, leave the item out, or keep the error in its place
    #[arg(long, value_name = "WHAT")]
    on_error: Option<OnError>,
    /// How many threads of each engine work; its share of the cores if left out
    #[arg(long, value_name = "N", value_parser = at_least_one::<u32>, allow_negative_numbers = true)]
    threads: Option<u32>,
    /// GPUs of the engines call the function; `--gpu=auto`: if they can and are faster
    #[arg(long, value_name = "auto", num_args = 0..=1, require_equals = true, default_missing_value = "always", value_parser = gpu)]
    gpu: Option<Gpu>,
    /// Show progress after so many seconds; 0: at once, -1: never
    #[arg(long, value_name = "S", allow_hyphen_values = true, value_parser = seconds)]
    progress_after: Option<After>,
}

impl Flags {
    /// The reductions that are asked for, each with what becomes of the results, if the flag alone says that.
    fn reductions<'a>(&self) -> Vec<(&'static str, Option<End<'a>>)> {
        let all = [
            (self.sum, "--sum", Some(End::Sum)),
            (self.min, "--min", Some(End::Min)),
            (self.max, "--max", Some(End::Max)),
            (self.count, "--count", Some(End::Count)),
            (self.mean, "--mean", Some(End::Mean)),
            (self.reduce.is_some(), "--reduce", None),
        ];
        all.into_iter().filter_map(|(given, name, end)| given.then_some((name, end))).collect()
    }

    /// Refuses what makes no sense together.
    fn check(&self, call: &Call<'_, '_>) -> Result<(), MagicError> {
        let reductions = self.reductions();
        let names: Vec<&str> = reductions.iter().map(|(name, _)| *name).collect();
        if let [first, second, ..] = names[..] {
            return Err(call.error_at(&[second], format!("a map has one end: either `{first}` or `{second}`")));
        }
        let reduces = !names.is_empty();
        let one = format!("`{}` makes one value of all results", names.concat());
        let wrong: [(bool, &[&str], String); 11] = [
            (
                self.keep && self.out.is_none(),
                &["--keep"],
                "`--keep` needs `-o NAME`, the name that the results have on the engines".into(),
            ),
            (
                self.noblock && self.out.is_none(),
                &["-a", "--noblock"],
                "`-a` needs `-o NAME`: that variable is the handle by which the results are fetched".into(),
            ),
            (self.keep && reduces, &["--keep"], format!("{one}, and nothing remains to `--keep`")),
            (
                self.on_error == Some(OnError::Keep) && reduces,
                &["--on-error"],
                format!("{one}, in which no error can be kept: use `--on-error skip`"),
            ),
            (self.unordered && reduces, &["--unordered"], format!("{one}, which has no order")),
            (
                self.keep && self.timeout.is_some(),
                &["--timeout"],
                "an item that takes too long ends its worker, and with it what `--keep` has left there".into(),
            ),
            (
                self.gpu.is_some() && self.timeout.is_some(),
                &["--timeout"],
                "a GPU works at many items at once, so there is no time of one item; an interrupt ends the map".into(),
            ),
            (
                self.gpu.is_some() && self.threads.is_some(),
                &["--threads"],
                "a GPU has threads of its own, and doesn't use the engine's".into(),
            ),
            (
                self.gpu == Some(Gpu::Auto) && self.keep,
                &["--gpu"],
                "`--keep` leaves a px::GpuVec on a GPU and a Vec without one: write `--gpu`, or leave it out".into(),
            ),
            (
                self.gpu.is_some() && self.keep && self.on_error == Some(OnError::Keep),
                &["--on-error"],
                "a GPU's memory can't hold the text of an error: use `--on-error skip`".into(),
            ),
            (
                self.keep && self.unordered,
                &["--unordered"],
                "what `--keep` leaves on an engine always has the order of its items".into(),
            ),
        ];
        let found = wrong.into_iter().find(|(is_wrong, ..)| *is_wrong);
        found.map_or(Ok(()), |(_, flag, why)| Err(call.error_at(flag, why)))
    }

    fn over(self, config: &PxConfig) -> MapOptions {
        let waits = either(self.block, self.noblock).unwrap_or(config.block);
        MapOptions {
            targets: self.targets.unwrap_or_else(|| config.targets.clone()),
            // Where `%pxconfig -a` is the default, a map that has no name for its handle is waited for.
            block: waits || self.out.is_none(),
            progress_after: self.progress_after.map_or(config.progress_after, |after| after.0),
            out: self.out,
            keep: self.keep,
            ordered: !self.unordered,
            chunk: self.chunk.and_then(|chunk| chunk.0),
            retries: self.retries,
            timeout: self.timeout,
            on_error: self.on_error.unwrap_or_default(),
            threads: self.threads,
            gpu: self.gpu,
        }
    }
}

impl Magic for Flags {
    const NAME: &str = "map";
    const FORM: Form = Form::Either;
    const GROUP: Group = Group::Data;
    const SUMMARY: &str = "Applies a function to data on all engines; below a `%%map` stands the function";
    const USAGE: &str =
        "%map [flags] FUNCTION over DATA, or %%map [flags] over DATA and the function on the lines below";
    const TEACHING: &str = "\
FUNCTION is a closure, the path of a function, or code that calls the item `it`. It takes items as values or by
reference. It may use variables of the notebook, which are sent along, and of the engines. DATA is a range, a variable
or anything else with items; of several, separated by commas, the function gets one item each. `over each NAME` takes
the items of the engines' own variable NAME, where they are. Both sides must be able to send the items and the
results: numbers, strings, tuples, Vec, Option, maps, and types that derive serde's Serialize and Deserialize.

A name that both the notebook and the engines have is the engines' variable; if the notebook has defined its own
later, the cell says so. `--reduce`, `--min`, `--max` and `--mean` give an Option, which is None if there are no
results. A sum that its type can't hold is an error, or, with 64 bits and more, wraps around with a warning.

Results have the order of the items, whatever engine made them, and sums of floats have the same bits whatever the
number of engines. A panic ends the map, and names the item. An engine that dies loses nothing: the others do its
items. An interrupt keeps what was done: `%pxresult --partial` shows it.

Examples:
  %map |x| x * x over 0..10                        shows the results
  %map -o roots f64::sqrt over xs                  let roots: Vec<f64> = ...
  %map -o total --sum |x, y| x * y over xs, ys
  %map -o best --reduce '|a, b| a.max(b)' score over 0..1_000_000
  %map --on-error skip --timeout 2 fetch over urls
  %map -a -o handle slow over 0..100               returns at once; then: %pxresult, or handle.get()?
  %map --keep -o sizes |s| s.len() over each lines   stays on the engines
  %map --gpu -o ys |x: f32| (x * x + 1.0).sqrt() over xs    by the engines' GPUs
  %map --gpu --keep -o ys |x: f32| x * x over xs            stays in their memory, as ys: px::GpuVec<f32>
  %map --gpu --sum |y| y + 1.0 over each ys                 takes it from there

  %%map -o sums over rows
  let positive = it.iter().filter(|x| **x > 0.0);
  positive.sum::<f64>()";

    fn read<'a>(self, call: &mut Call<'_, 'a>) -> Result<Command<'a>, MagicError> {
        call.refuse_open();
        self.check(call)?;
        let filter = self.filter.as_ref().map(|_| closure(call, "--filter", 1)).transpose()?;
        let end = match self.reductions().first() {
            None => End::Collect,
            Some((_, Some(end))) => *end,
            Some((name, None)) => End::Reduce(closure(call, name, 2)?),
        };
        let Split { function, data } = over::split(call)?;
        if call.body.is_some() {
            call.refuse_closing();
        }
        let function = call.body.unwrap_or(function);
        Ok(Command::Map(Box::new(Map { options: self.over(call.config), function, data, filter, end })))
    }
}

/// The closure, or the path of a function, that is the value of a flag.
fn closure<'a>(call: &Call<'_, 'a>, flag: &'static str, parameters: usize) -> Result<Code<'a>, MagicError> {
    let Some(code) = call.value_code(flag) else {
        let message = format!("the closure of `{flag}` must stand here as Rust has it, without escapes");
        let help = "put it into single quotes, in which `\"` and `\\` are themselves";
        return Err(call.error_at(&[flag], message).with_help(help));
    };
    let what = match parameters {
        1 => "a closure that takes a result by reference, such as '|y| *y > 0'",
        _ => "a closure that makes one of two results, such as '|a, b| a + b'",
    };
    match Expression::read(code.text).shape {
        Shape::Closure(given) if given.count == parameters => Ok(code),
        Shape::Path | Shape::Value => Ok(code),
        _ => Err(call.error(call.words.value(flag), format!("`{flag}` needs {what}"))),
    }
}
