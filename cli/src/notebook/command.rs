//! The arguments of `chorus run`, and what papermill's translator asks.

use super::parameters::{Definitions, Setting, Unknown, Value};
use super::{Output, RunError, RunOptions, document::Document};
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The arguments of `chorus run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The notebook
    notebook: PathBuf,
    /// The same as `-o`
    #[arg(value_name = "OUT.ipynb", conflicts_with = "output")]
    executed: Option<PathBuf>,
    /// Write the executed notebook to this file, which may be the notebook itself, or to stdout when it is `-`
    #[arg(short, long, value_name = "OUT.ipynb")]
    output: Option<PathBuf>,
    /// Give a parameter another value than the cell tagged `parameters` gives it; its type there says how VALUE is read
    ///
    /// Lists, tuples and maps are written as JSON.
    #[arg(short, long, num_args = 2, value_names = ["NAME", "VALUE"], allow_hyphen_values = true)]
    parameters: Vec<String>,
    /// The same, with a value that is text whatever it looks like
    #[arg(short = 'r', long = "parameters_raw", alias = "parameters-raw", num_args = 2, value_names = ["NAME", "TEXT"], allow_hyphen_values = true)]
    parameters_raw: Vec<String>,
    /// The same, with names and values from a file: a map in YAML if it is called .yaml or .yml, else a JSON object; `-y`, `-p`
    /// and `-r` go before it
    #[arg(short = 'f', long = "parameters_file", alias = "parameters-file", value_name = "FILE")]
    parameters_file: Vec<PathBuf>,
    /// The same, with names and values in YAML, as in `{alpha: 2.5, n: 100}`; `-p` and `-r` go before it
    #[arg(
        short = 'y',
        long = "parameters_yaml",
        alias = "parameters-yaml",
        value_name = "YAML",
        allow_hyphen_values = true
    )]
    parameters_yaml: Vec<String>,
    /// List the notebook's parameters with types, defaults and comments, and run nothing
    #[arg(long)]
    help_parameters: bool,
    /// Engines of the notebook's own cluster [default: one for each core, at least 2]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    engines: Option<u32>,
    /// The longest that one cell may take, in seconds; then it is interrupted, and the run ends
    #[arg(long, value_name = "S", value_parser = crate::seconds)]
    timeout: Option<Duration>,
    /// Go on when a cell fails or takes too long
    #[arg(long)]
    allow_errors: bool,
    /// Tell at the end how long each cell took
    #[arg(long)]
    times: bool,
    /// Write a report in JUnit's format, with a test case for each cell
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write a report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Whether colours and other escape sequences are shown; `auto` heeds NO_COLOR and CLICOLOR_FORCE
    #[arg(long, value_name = "WHEN", default_value_t = clap::ColorChoice::Auto)]
    color: clap::ColorChoice,
}

impl RunArgs {
    /// The list of parameters, if that is all that is wanted.
    pub fn help_parameters(&self) -> Option<Result<String, RunError>> {
        self.help_parameters.then(|| {
            let document = Document::read(&self.notebook)?;
            let definitions = document.definitions().map_err(|error| RunError::Parameters(error.to_string()))?;
            let cell = definitions.cell.map_or(String::new(), |cell| format!(" (cell {cell})"));
            Ok(format!("Parameters of {}{cell}:\n{}", self.notebook.display(), definitions.help()))
        })
    }

    /// What to run, and how.
    pub fn options(self) -> Result<RunOptions, RunError> {
        let parameters = self.settings()?;
        let output = self.output.or(self.executed).map(|path| match path.as_os_str() == "-" {
            true => Output::Stdout,
            false => Output::File(path),
        });
        let color = match self.color {
            clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
            clap::ColorChoice::Always => anstream::ColorChoice::Always,
            clap::ColorChoice::Never => anstream::ColorChoice::Never,
        };
        let RunArgs { engines, timeout, allow_errors, times, junit, json, .. } = self;
        let options = RunOptions::new(self.notebook, output, color)?;
        Ok(RunOptions { parameters, engines, timeout, allow_errors, times, junit, json, ..options })
    }

    /// As papermill has it: a file's values first, then those of `-y`, then those of `-p`, then those of `-r`.
    fn settings(&self) -> Result<Vec<Setting>, RunError> {
        let mut settings = Vec::new();
        for path in &self.parameters_file {
            settings.extend(read_settings(path)?);
        }
        for text in &self.parameters_yaml {
            let failed = |reason| RunError::Parameters(format!("-y {}: {reason}", text.lines().next().unwrap_or("''")));
            settings.extend(from_yaml(text.as_bytes()).map_err(failed)?);
        }
        let pairs = |words: &[String], value: fn(String) -> Value| -> Vec<Setting> {
            let pairs = words.chunks_exact(2);
            pairs.map(|pair| Setting { name: pair[0].clone(), value: value(pair[1].clone()) }).collect()
        };
        settings.extend(pairs(&self.parameters, Value::Word));
        settings.extend(pairs(&self.parameters_raw, Value::Text));
        Ok(settings)
    }
}

fn read_settings(path: &Path) -> Result<Vec<Setting>, RunError> {
    let text = std::fs::read(path).map_err(|source| RunError::Read { path: path.to_owned(), source })?;
    let failed = |reason: String| RunError::Parameters(format!("{}: {reason}", path.display()));
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let read = match is_yaml {
        true => from_yaml(&text),
        false => serde_json::from_slice(&text)
            .map_err(|error| format!("it isn't JSON ({error}); a file with YAML is called .yaml or .yml"))
            .and_then(by_name),
    };
    read.map_err(failed)
}

/// The values of a map in YAML; there are none in an empty text. An error is a sentence.
fn from_yaml(text: &[u8]) -> Result<Vec<Setting>, String> {
    match yaml_serde::from_slice(text) {
        Ok(Value::Null) => Ok(Vec::new()),
        Ok(value) => by_name(value),
        Err(error) => Err(format!("it isn't YAML that can be taken ({error})")),
    }
}

/// The values of a map. An error is a sentence.
fn by_name(value: Value) -> Result<Vec<Setting>, String> {
    match value {
        Value::Map(entries) => Ok(entries.into_iter().map(|(name, value)| Setting { name, value }).collect()),
        other => Err(format!("parameters are a map of names and values, and this is {other}")),
    }
}

/// What papermill's translator asks, as JSON: with values for a cell, without for the list of parameters.
#[derive(Deserialize)]
struct Question {
    /// The text of the cell tagged `parameters`.
    source: String,
    #[serde(default)]
    comment: String,
    values: Option<Value>,
}

/// Answers a question on stdin.
pub fn translate() -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(answer(&serde_json::from_str(&text)?))
}

fn answer(question: &Question) -> serde_json::Value {
    let definitions = Definitions::read(&question.source, None);
    let Some(values) = &question.values else {
        let parameters = definitions.variables.iter().map(|variable| {
            json!({"name": variable.name, "type": variable.type_name, "default": variable.value, "help": variable.comment})
        });
        return json!({"parameters": parameters.collect::<Vec<_>>()});
    };
    let Value::Map(entries) = values else { return json!({"errors": ["the values aren't a map"]}) };
    let settings: Vec<_> =
        entries.iter().map(|(name, value)| Setting { name: name.clone(), value: value.clone() }).collect();
    match definitions.injected(&question.comment, &settings, Unknown::Added) {
        Ok(cell) => json!({"cell": cell}),
        Err(errors) => json!({"errors": errors.iter().map(ToString::to_string).collect::<Vec<_>>()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(question: serde_json::Value) -> serde_json::Value {
        answer(&serde_json::from_value(question).unwrap())
    }

    #[test]
    fn a_translator_gets_the_list_or_the_cell_or_the_errors() {
        let source = "let a: f32 = 1.0; // rate";
        let listed = json!({"parameters": [{"name": "a", "type": "f32", "default": "1.0", "help": "rate"}]});
        assert_eq!(ask(json!({"source": source})), listed);
        let cell = ask(json!({"source": source, "comment": "Parameters", "values": {"a": 2, "b": [1]}}));
        assert_eq!(cell, json!({"cell": "// Parameters\nlet a: f32 = 2.0;\nlet b: Vec<i64> = vec![1];\n"}));
        let errors = ask(json!({"source": source, "values": {"a": "x"}}));
        assert!(errors["errors"][0].as_str().unwrap().contains("line 1: let a: f32 = 1.0;"), "{errors}");
    }

    #[test]
    fn a_file_holds_a_map() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.json");
        let error = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_settings(&path).unwrap_err().to_string()
        };
        assert!(error("a: 1").contains("isn't JSON"));
        assert!(error("[1]").contains("a map of names and values, and this is a list of 1"));
        std::fs::write(&path, "{\"b\": 1, \"a\": [\"x\"]}").unwrap();
        let names: Vec<_> = read_settings(&path).unwrap().into_iter().map(|setting| setting.name).collect();
        assert_eq!(names, ["b", "a"]);
        assert!(matches!(read_settings(Path::new("/no/such")).unwrap_err(), RunError::Read { .. }));
    }
}
