//! The `:` commands of evcxr.

use crate::compiler::{Compiler, Misplaced};
use crate::messages::diagnostic::Diagnostic;
use crate::notebook::namespace::{Member, Namespaces, describe};
use crate::notebook::setting::Setting;
use chorus_syntax::CommandLine;
use std::collections::BTreeMap;

/// What a command answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// As text; nothing is shown when it is empty.
    pub text: String,
    /// As HTML, if it is more than text.
    pub html: Option<String>,
    /// What the caller has to do.
    pub action: Option<Action>,
}

/// What a command asks of whoever runs cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Replace the worker; its variables are gone.
    RestartWorker,
    /// Replace all workers: everything was forgotten.
    Clear,
    /// Show what there is: [`help`] and the magics.
    Help,
    /// Set a variable of the environment of workers started from now on.
    SetEnv(String, String),
    /// Show how long each cell takes, or stop showing it.
    ToggleTiming,
    /// End the kernel.
    Quit,
}

type Run = fn(&mut Compiler, &str, &[Member]) -> Result<Reply, Diagnostic>;

struct Command {
    name: &'static str,
    args: &'static str,
    help: &'static str,
    run: Run,
}

const COMMANDS: &[Command] = &[
    Command {
        name: ":dep",
        args: "NAME = VERSION",
        help: "add a dependency, as in Cargo.toml; a path adds a local crate",
        run: dep,
    },
    Command {
        name: ":show_deps",
        args: "",
        help: "list the dependencies",
        run: |c, _, _| text(c.shared.dependencies().join("\n")),
    },
    Command { name: ":vars", args: "", help: "list variables and their types, here and on the engines", run: vars },
    Command { name: ":type", args: "NAME", help: "show a variable's type", run: type_of },
    Command { name: ":t", args: "NAME", help: "short for :type", run: type_of },
    Command {
        name: ":doc",
        args: "EXPR",
        help: "show the documentation of a variable, type, keyword or module",
        run: doc,
    },
    Command {
        name: ":clear",
        args: "",
        help: "forget all definitions and variables, here and on the engines",
        run: clear,
    },
    Command {
        name: ":restart",
        args: "",
        help: "restart the process that runs local cells",
        run: |_, _, _| act(Action::RestartWorker),
    },
    Command { name: ":opt", args: "[0|1|2|3]", help: "set the optimization level (2 to begin with)", run: opt },
    Command { name: ":fmt", args: "[FORMAT]", help: "set how results are shown: {:?}, {:#?} or {}", run: fmt },
    Command { name: ":types", args: "[0|1]", help: "show the types of results", run: types },
    Command {
        name: ":efmt",
        args: "FORMAT",
        help: "set how errors returned by `?` are shown",
        run: |c, a, _| set(c, Setting::ErrorFormat(a.into()), format!("Error format: {a}")),
    },
    Command {
        name: ":last_compile_dir",
        args: "",
        help: "show where cells are compiled",
        run: |c, _, _| text(c.folder().display().to_string()),
    },
    Command { name: ":explain", args: "", help: "explain the last compile error", run: explain },
    Command {
        name: ":toolchain",
        args: "[NAME]",
        help: "choose the Rust toolchain, or show which it is",
        run: |c, a, _| match a {
            "" => text(format!("Toolchain: {}", c.shared.toolchain().as_deref().unwrap_or("default"))),
            name => set(c, Setting::Toolchain(name.into()), format!("Toolchain: {name}")),
        },
    },
    Command {
        name: ":offline",
        args: "0|1",
        help: "keep cargo from using the network",
        run: |c, a, _| set(c, Setting::Offline(a == "1"), format!("Offline mode: {}", a == "1")),
    },
    Command {
        name: ":linker",
        args: "NAME",
        help: "choose the linker: system, lld or mold",
        run: |c, a, _| set(c, Setting::Linker(a.into()), format!("linker: {a}")),
    },
    Command {
        name: ":codegen_backend",
        args: "NAME",
        help: "choose the codegen backend (nightly)",
        run: |c, a, _| set(c, Setting::CodegenBackend(a.into()), format!("codegen backend: {a}")),
    },
    Command {
        name: ":allow_static_linking",
        args: "0|1",
        help: "link dependencies statically (1 to begin with)",
        run: |c, a, _| set(c, Setting::StaticLinking(a == "1"), format!("Static linking: {}", a == "1")),
    },
    Command {
        name: ":sccache",
        args: "0|1",
        help: "use sccache",
        run: |c, a, _| set(c, Setting::Sccache(a != "0"), format!("sccache: {}", a != "0")),
    },
    Command {
        name: ":cache",
        args: "MIB",
        help: "set the size of evcxr's cache of built dependencies; 0 switches it off",
        run: cache,
    },
    Command { name: ":build_env", args: "KEY=VALUE", help: "set an environment variable for cargo", run: build_env },
    Command {
        name: ":env",
        args: "KEY=VALUE",
        help: "set an environment variable for cells, from the next :restart on",
        run: env,
    },
    Command {
        name: ":preserve_vars_on_panic",
        args: "0|1",
        help: "keep variables when a cell panics (1 to begin with)",
        run: |c, a, _| set(c, Setting::PreserveVarsOnPanic(a == "1"), format!("Preserve vars on panic: {}", a == "1")),
    },
    Command {
        name: ":timing",
        args: "",
        help: "show how long each cell takes",
        run: |_, _, _| act(Action::ToggleTiming),
    },
    Command {
        name: ":version",
        args: "",
        help: "show Chorus's version",
        run: |_, _, _| text(concat!("Chorus ", env!("CARGO_PKG_VERSION"))),
    },
    Command { name: ":quit", args: "", help: "end the kernel", run: |_, _, _| act(Action::Quit) },
    Command { name: ":help", args: "", help: "show this", run: |_, _, _| act(Action::Help) },
];

/// Runs one line.
pub(crate) fn run(compiler: &mut Compiler, line: &CommandLine, members: &[Member]) -> Result<Reply, Diagnostic> {
    let command = COMMANDS.iter().find(|command| command.name == line.name).ok_or_else(|| Diagnostic {
        notes: vec![match similar(&line.name) {
            Some(name) => format!("help: did you mean `{name}`? `:help` lists the commands"),
            None => "help: `:help` lists the commands, and `%lsmagic` the magics".into(),
        }],
        ..Diagnostic::error(format!("there is no command `{}`", line.name))
    })?;
    if line.args.is_empty() && !command.args.is_empty() && !command.args.starts_with('[') {
        return Err(Diagnostic::error(format!("`{0}` needs an argument: {0} {1}", command.name, command.args)));
    }
    (command.run)(compiler, &line.args, members)
}

/// The command that begins most like this name, by two letters at least.
fn similar(name: &str) -> Option<&'static str> {
    let same = |other: &&str| name.chars().zip(other.chars()).take_while(|(a, b)| a == b).count();
    command_names().max_by_key(same).filter(|other| same(other) > 2)
}

/// All commands, one a line.
pub fn help() -> String {
    let line = |command: &Command| format!("{:<28} {}\n", format!("{} {}", command.name, command.args), command.help);
    COMMANDS.iter().map(line).collect()
}

/// The names of all commands, with their colons.
pub fn command_names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|command| command.name)
}

/// What the command of this name does, and how it is written.
pub fn help_of(name: &str) -> Option<String> {
    let command = COMMANDS.iter().find(|command| command.name == name)?;
    Some(format!("{} {}\n\n{}", command.name, command.args, command.help))
}

fn text(text: impl Into<String>) -> Result<Reply, Diagnostic> {
    Ok(Reply { text: text.into(), ..Reply::default() })
}

fn act(action: Action) -> Result<Reply, Diagnostic> {
    Ok(Reply { action: Some(action), ..Reply::default() })
}

fn set(compiler: &mut Compiler, setting: Setting, said: String) -> Result<Reply, Diagnostic> {
    compiler.set(setting)?;
    text(said)
}

fn dep(compiler: &mut Compiler, args: &str, _: &[Member]) -> Result<Reply, Diagnostic> {
    let text = compiler.add_dependencies(&[dependency(args)?]).map_err(|(_, error)| *error)?;
    Ok(Reply { text: text.unwrap_or_default(), ..Reply::default() })
}

/// Whether the line adds a dependency.
pub(crate) fn is_dependency(line: &CommandLine) -> bool {
    line.name == ":dep" && !line.args.is_empty()
}

/// Adds the dependencies of these lines. An error says which line it is about.
pub(crate) fn add_dependencies(compiler: &mut Compiler, lines: &[CommandLine]) -> Result<Reply, Misplaced> {
    let settings =
        lines.iter().enumerate().map(|(at, line)| dependency(&line.args).map_err(|error| (at, error.into())));
    let text = compiler.add_dependencies(&settings.collect::<Result<Vec<_>, _>>()?)?;
    Ok(Reply { text: text.unwrap_or_default(), ..Reply::default() })
}

fn dependency(args: &str) -> Result<Setting, Diagnostic> {
    let (name, config) =
        args.split_once('=').map_or((args.trim(), "\"*\""), |(name, config)| (name.trim(), config.trim()));
    if name.is_empty() || config.is_empty() || name.contains(char::is_whitespace) {
        return Err(Diagnostic::error("expected `:dep NAME`, `:dep NAME = \"VERSION\"` or `:dep PATH`"));
    }
    Ok(match name.starts_with(['.', '/']) {
        true => Setting::LocalDependency(name.to_owned()),
        false => Setting::Dependency { name: name.to_owned(), config: config.to_owned() },
    })
}

fn vars(compiler: &mut Compiler, _: &str, members: &[Member]) -> Result<Reply, Diagnostic> {
    let namespaces = compiler.namespaces();
    let common = namespaces.common(members).into_iter();
    let mut rows: Vec<Row> = common.map(|(name, variable)| (name, variable.type_name)).collect();
    if members == [Member::Local] {
        rows.extend(engines_rows(namespaces));
    }
    match rows.is_empty() {
        true => text("There are no variables."),
        false => Ok(Reply { text: vars_text(&rows), html: Some(vars_html(&rows)), action: None }),
    }
}

/// A variable's name, and its type and perhaps who has it.
type Row = (String, String);

/// The engines' variables.
fn engines_rows(namespaces: &Namespaces) -> Vec<Row> {
    let mut rows: BTreeMap<Row, Vec<Member>> = BTreeMap::new();
    for member in namespaces.members().into_iter().filter(|member| *member != Member::Local) {
        for (name, variable) in namespaces.variables(member) {
            rows.entry((name, variable.type_name)).or_default().push(member);
        }
    }
    let row = |((name, kind), members): (Row, Vec<Member>)| (name, format!("{kind} ({})", describe(&members)));
    rows.into_iter().map(row).collect()
}

fn vars_text(rows: &[Row]) -> String {
    rows.iter().map(|(name, kind)| format!("{name}: {kind}\n")).collect()
}

fn vars_html(rows: &[Row]) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let row = |(name, kind): &Row| format!("<tr><td>{}</td><td>{}</td></tr>", escape(name), escape(kind));
    let rows: String = rows.iter().map(row).collect();
    format!("<table><tr><th>Variable</th><th>Type</th></tr>{rows}</table>")
}

fn type_of(compiler: &mut Compiler, name: &str, members: &[Member]) -> Result<Reply, Diagnostic> {
    match compiler.namespaces().common(members).get(name) {
        Some(variable) => text(format!("{name}: {}", variable.type_name)),
        None => Err(Diagnostic {
            notes: compiler
                .namespaces()
                .explain_missing(name, members)
                .map(|why| format!("note: {}", why.replace('\n', "; ")))
                .into_iter()
                .collect(),
            ..Diagnostic::error(format!("there is no variable `{name}`"))
        }),
    }
}

fn doc(compiler: &mut Compiler, args: &str, members: &[Member]) -> Result<Reply, Diagnostic> {
    let (_plain, markdown) = compiler.hover(args, members)?;
    text(chorus_analyzer::readable(&markdown))
}

fn clear(compiler: &mut Compiler, _: &str, _: &[Member]) -> Result<Reply, Diagnostic> {
    compiler.clear();
    act(Action::Clear)
}

fn opt(compiler: &mut Compiler, args: &str, _: &[Member]) -> Result<Reply, Diagnostic> {
    let level = if args.is_empty() { "2" } else { args };
    if !matches!(level, "0" | "1" | "2" | "3" | "s" | "z") {
        return Err(Diagnostic::error(format!("`{level}` is no optimization level: 0, 1, 2 or 3")));
    }
    set(compiler, Setting::Optimization(level.into()), format!("Optimization: {level}"))
}

fn fmt(compiler: &mut Compiler, args: &str, _: &[Member]) -> Result<Reply, Diagnostic> {
    let format = if args.is_empty() { "{:?}" } else { args };
    compiler.shared.show_with(match format {
        "{:?}" => "px",
        "{:#?}" => "px::pretty",
        "{}" => "px::text",
        other => return Err(Diagnostic::error(format!("`{other}` is no format: {{:?}}, {{:#?}} or {{}}"))),
    });
    text(format!("Output format: {format}"))
}

fn types(compiler: &mut Compiler, args: &str, _: &[Member]) -> Result<Reply, Diagnostic> {
    let on = match args {
        "" => !compiler.shared.shows_types(),
        "1" => true,
        "0" => false,
        other => return Err(Diagnostic::error(format!("`{other}` is neither 0 nor 1"))),
    };
    compiler.shared.show_with(if on { "px::typed" } else { "px" });
    text(format!("Types: {on}"))
}

fn explain(compiler: &mut Compiler, _: &str, _: &[Member]) -> Result<Reply, Diagnostic> {
    let all: Vec<&str> = compiler.last_errors.iter().filter_map(|error| error.explanation.as_deref()).collect();
    match all.is_empty() {
        true => Err(Diagnostic::error("there is no last error that rustc has an explanation for")),
        false => text(all.join("\n")),
    }
}

fn cache(compiler: &mut Compiler, args: &str, _: &[Member]) -> Result<Reply, Diagnostic> {
    let size: u64 = args.parse().map_err(|_| Diagnostic::error(format!("`{args}` is no number of MiB")))?;
    set(compiler, Setting::CacheMib(size), format!("cache: {size} MiB"))
}

fn key_value(args: &str) -> Result<(String, String), Diagnostic> {
    args.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| Diagnostic::error("expected KEY=VALUE"))
}

fn build_env(compiler: &mut Compiler, args: &str, _: &[Member]) -> Result<Reply, Diagnostic> {
    let (key, value) = key_value(args)?;
    let said = format!("Set {key}={value} for builds");
    // The path itself begins with tools of ours.
    let name = if key == "PATH" { crate::toolchain::USERS_PATH.to_owned() } else { key };
    set(compiler, Setting::BuildEnv(name, value), said)
}

fn env(_: &mut Compiler, args: &str, _: &[Member]) -> Result<Reply, Diagnostic> {
    let (key, value) = key_value(args)?;
    Ok(Reply {
        text: format!("Set {key}={value}; :restart starts a process that has it"),
        action: Some(Action::SetEnv(key, value)),
        html: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_command_is_recognised() {
        assert_eq!((similar(":varz"), similar(":clean")), (Some(":vars"), Some(":clear")));
        assert_eq!((similar(":nonsense"), similar(":")), (None, None));
    }

    #[test]
    fn every_command_is_in_the_help_once() {
        let help = help();
        for command in COMMANDS {
            assert_eq!(
                help.lines().filter(|line| line.split(' ').next() == Some(command.name)).count(),
                1,
                "{}",
                command.name
            );
        }
    }

    #[test]
    fn pairs_need_a_key() {
        assert_eq!(key_value("A = b=c"), Ok(("A".into(), "b=c".into())));
        assert!(key_value("=b").is_err());
        assert!(key_value("A").is_err());
    }

    #[test]
    fn types_are_escaped() {
        assert!(vars_html(&[("v".into(), "Vec<i32>".into())]).contains("Vec&lt;i32&gt;"));
    }
}
