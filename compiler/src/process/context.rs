//! evcxr itself, in the compiler's process: what it knows is kept as snapshots, and a text is evaluated against one of them.
//!
//! This file alone talks to evcxr. It never looks at members or variables. Objects aren't run here, and evcxr isn't told of
//! their runs: to it, each has succeeded, but for the first where variables are to be lost.

use super::message::{Assist, Begin, ToRun};
use super::relay::RelayServer;
use crate::messages::complaint;
use crate::messages::diagnostic::Diagnostic;
use crate::notebook::definitions::Definitions;
use crate::notebook::definitions::prefix::Prefix;
use crate::notebook::setting::Setting;
use crate::process::interrupt::Interrupter;
use crate::toolchain::library::{self, Instead};
use chorus_analyzer::{Answer, Question, Source, Wrapped, lent};
use evcxr::EvalContext;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Before the name of a variable that the user has set for builds: has the same value.
pub(crate) const USERS_VARIABLE: &str = "CHORUS_USER_SET_";

/// For the first completion.
const LOOKS_WITHIN: Duration = Duration::from_secs(60);

/// evcxr's account of a namespace at one moment.
#[derive(Clone)]
pub(super) struct State(Arc<dyn Any + Send + Sync>);

/// evcxr exports its state type without a name; the type of [`EvalContext::state`] lets inference find it.
fn state_of<S: Clone + 'static>(_names: fn(&EvalContext) -> S, state: &State) -> Result<S, evcxr::Error> {
    state.0.downcast_ref::<S>().cloned().ok_or_else(|| "a state of another type".into())
}

pub(super) struct Context {
    evcxr: EvalContext,
    relay: RelayServer,
    /// Where everything is built, by the name that evcxr has for it.
    folder: PathBuf,
    /// Where the crate px is.
    px: PathBuf,
    /// What rust-analyzer reads of the toolchain's library; all of it if that couldn't be made.
    library: Option<Instead>,
    interrupter: Interrupter,
}

impl Context {
    /// Starts evcxr, which takes some seconds. Returns its state without variables, too.
    pub fn start(begin: &Begin, folder: &Path, interrupter: &Interrupter) -> Result<(Context, State), Diagnostic> {
        let failed =
            |what: &str, error: &dyn std::fmt::Display| Box::new(Diagnostic::error(format!("{what}: {error}")));
        // Another compiler may have built here before.
        let nothing = crate::tools::remove(folder).and_then(|()| Instead::nothing(folder));
        let nothing = nothing.map_err(|error| *failed("can't write", &error))?;
        // Beside the start, which needs no library yet.
        let installing = std::thread::spawn({
            let folder = folder.to_owned();
            move || library::install(&folder)
        });
        let evcxr = RelayServer::listen(folder).map_err(evcxr::Error::from).and_then(|relay| {
            let mut command = std::process::Command::new(&begin.program);
            command.args(&begin.relay_args).arg(relay.socket());
            // evcxr evaluates something to begin with.
            let (context, _outputs) = EvalContext::with_subprocess_command(command)?;
            Ok((context, relay))
        });
        let (evcxr, relay) = evcxr.map_err(|error| {
            let missing = crate::toolchain::missing(&error.to_string());
            missing.unwrap_or_else(|| *failed("evcxr can't be started; is the Rust toolchain installed?", &error))
        })?;
        if let Ok(Err(error)) = installing.join() {
            tracing::warn!("the standard library's source can't be installed: {error}");
        }
        drop(nothing);
        let library = Instead::for_types(folder);
        let library =
            library.inspect_err(|error| tracing::warn!("rust-analyzer reads all of the library: {error}")).ok();
        let context = Context {
            evcxr,
            relay,
            folder: folder.to_owned(),
            px: begin.px.clone(),
            library,
            interrupter: interrupter.clone(),
        };
        // evcxr tries dependencies out in its own crate's place.
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        let mut base = context.state();
        let mut settings = vec![
            crate::toolchain::px::dependency(&begin.px, false),
            // evcxr prints what cargo says it compiles into the process's stderr.
            Setting::BuildEnv("CARGO_TERM_QUIET".into(), "true".into()),
        ];
        let tools = crate::tools::settings(&begin.program, folder, &begin.dependencies);
        settings.extend(tools.map_err(|error| *failed("can't write", &error))?);
        for setting in &settings {
            base = context.configure(&base, setting).map_err(|error| *failed("the crate px can't be used", &error))?;
        }
        if let Err(error) =
            crate::toolchain::px::build_ahead(&manifest, folder, &begin.px, &begin.program, &begin.dependencies)
        {
            tracing::warn!("px isn't built ahead: {error}");
        }
        Ok((context, base))
    }

    /// Builds px and lets rust-analyzer read the standard library, which the first cell or completion would wait for otherwise.
    pub fn warm_up(&mut self, base: &State) {
        let prefix = Prefix::whole(&Definitions::new(), &Default::default()).text;
        let code =
            format!("{prefix}let warm = vec![1].into_iter().map(|x: usize| x + 1).collect::<Vec<_>>();\nwarm.len()");
        if let Err(error) = self.eval(&code, base, &[]) {
            tracing::warn!("warming up failed: {error}");
        }
        self.look(base);
    }

    /// What evcxr is connected to; a copy of this process has to give it something else.
    pub fn relay(&self) -> &RelayServer {
        &self.relay
    }

    fn state(&self) -> State {
        State(Arc::new(self.evcxr.state()))
    }

    /// evcxr's child.
    pub fn child(&self) -> u32 {
        self.evcxr.process_handle().lock().map_or(0, |child| child.id())
    }

    /// Compiles `code` against `state`, where these variables can't be loaded. Returns the state that results, and what is
    /// to be run.
    pub fn eval(&mut self, code: &str, state: &State, lose: &[String]) -> Result<(State, Option<ToRun>), evcxr::Error> {
        match self.eval_unless_killed(code, state, lose) {
            // Such an error comes before anything is compiled, and may come of types that rust-analyzer doesn't know.
            Err(evcxr::Error::Message(error)) if !self.knows_library(state) => {
                tracing::warn!(error, "rust-analyzer doesn't know the standard library, and is started again");
                self.find_library(state).map_err(|why| {
                    let what = "rust-analyzer, which infers the types of variables, can't read the standard library";
                    let next = "`rustup component add rust-src` installs its source";
                    evcxr::Error::Message(format!("{error}\n{what} ({why}); {next}"))
                })?;
                self.eval_unless_killed(code, state, lose)
            }
            result => result,
        }
    }

    /// Once more if rustc, or what calls it, was killed: then nobody has said anything, and nothing is run yet.
    fn eval_unless_killed(
        &mut self,
        code: &str,
        state: &State,
        lose: &[String],
    ) -> Result<(State, Option<ToRun>), evcxr::Error> {
        for _ in 0..2 {
            let result = self.try_eval(code, state, lose);
            let was_killed = match &result {
                Err(evcxr::Error::Message(error)) => complaint::unparsed(error) == Some(""),
                _ => false,
            };
            if !was_killed || self.interrupter.was_asked() {
                return result;
            }
            tracing::warn!("rustc was killed while it compiled a cell");
        }
        Err("rustc was killed twice while it compiled this cell. Linux does so where memory is short. Nothing was run, and \
             the notebook's state is as before"
            .to_owned()
            .into())
    }

    fn try_eval(&mut self, code: &str, state: &State, lose: &[String]) -> Result<(State, Option<ToRun>), evcxr::Error> {
        let state = state_of(EvalContext::state, state)?;
        self.relay.expect(lose);
        let evaluate = AssertUnwindSafe(|| self.evcxr.eval_with_state(code, state));
        std::panic::catch_unwind(evaluate).unwrap_or_else(|_| {
            Err("evcxr panicked while it compiled this cell; the notebook's state is as before".into())
        })?;
        Ok((self.state(), self.relay.last()))
    }

    /// Whether rust-analyzer infers a type of the standard library. It reads the crate's manifest again if that has
    /// changed, and with it the library.
    fn knows_library(&mut self, state: &State) -> bool {
        let hover = self.hover("let chorus_probe = ::std::vec![1u8];\nchorus_probe", state);
        hover.is_ok_and(|(text, _)| text.contains("Vec<u8"))
    }

    /// Has rust-analyzer read the standard library once more.
    fn find_library(&mut self, state: &State) -> std::io::Result<()> {
        let folder = self.folder.clone();
        let installed = library::unless_interrupted(&self.interrupter, move || library::install(&folder));
        library::heed(&self.interrupter)?;
        if self.reload(state)? {
            return Ok(());
        }
        installed?;
        library::heed(&self.interrupter)?;
        // It may have come since. An earlier one lies in the same place.
        self.library = None;
        self.library = Some(Instead::for_types(&self.folder)?);
        match self.reload(state)? {
            true => Ok(()),
            false => Err(std::io::Error::other("it was read again, and no type is known")),
        }
    }

    /// Has rust-analyzer read everything once more. Returns whether it knows the library then.
    fn reload(&mut self, state: &State) -> std::io::Result<bool> {
        let manifest = self.folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)?;
        // It reads what has another manifest than before; the one that counts is to be read last.
        std::fs::write(&manifest, format!("{text}\n"))?;
        let _ = self.hover("1", state);
        std::fs::write(&manifest, text)?;
        Ok(self.knows_library(state))
    }

    /// The state with a setting changed. A dependency is looked up, which may use the network. With serde, px lets all
    /// types travel that derive serde's traits.
    pub fn configure(&self, state: &State, setting: &Setting) -> Result<State, evcxr::Error> {
        let changed = self.change(state, setting)?;
        match setting.brings_serde() {
            true => self.change(&changed, &crate::toolchain::px::dependency(&self.px, true)),
            false => Ok(changed),
        }
    }

    fn change(&self, state: &State, setting: &Setting) -> Result<State, evcxr::Error> {
        let mut state = state_of(EvalContext::state, state)?;
        match setting.clone() {
            Setting::Dependency { name, config } => {
                // evcxr tries it out in the place of its own crate, whose versions are to stay.
                let versions = self.folder.join("Cargo.lock");
                let kept = std::fs::read(&versions).ok();
                let online = state.clone();
                // What is on this machine needs no network, which may be slow, or not there.
                let was_offline = state.offline_mode();
                state.set_offline_mode(true);
                if state.add_dep(&name, &config).is_err() {
                    state = online;
                    state.add_dep(&name, &config)?;
                }
                state.set_offline_mode(was_offline);
                if let Some(kept) = kept {
                    std::fs::write(versions, kept)?;
                }
            }
            Setting::LocalDependency(path) => state.add_local_dep(&path)?,
            Setting::Optimization(level) => state.set_opt_level(&level)?,
            Setting::ErrorFormat(format) => state.set_error_format(&format)?,
            Setting::Toolchain(name) => {
                state.set_toolchain(&name).map_err(|error| evcxr::Error::from(error.to_string()))?
            }
            Setting::Offline(on) => state.set_offline_mode(on),
            Setting::Linker(name) => state.set_linker(name),
            Setting::CodegenBackend(name) => state.set_codegen_backend(name),
            Setting::StaticLinking(on) => state.set_allow_static_linking(on),
            Setting::Sccache(on) => state.set_sccache(on)?,
            Setting::CacheMib(size) => state.set_cache_bytes(size << 20),
            Setting::BuildEnv(name, value) => {
                if !crate::tools::is_own(&name) {
                    // Dependencies are built for it.
                    state.set_build_env(&format!("{USERS_VARIABLE}{name}"), &value);
                }
                state.set_build_env(&name, &value);
            }
            Setting::PreserveVarsOnPanic(on) => state.set_preserve_vars_on_panic(on),
        }
        Ok(State(Arc::new(state)))
    }

    /// Documentation of what stands at the end of `code`: text and markdown.
    pub fn hover(&mut self, code: &str, state: &State) -> Result<(String, String), evcxr::Error> {
        let mut state = state_of(EvalContext::state, state)?;
        self.evcxr.hover(code, &mut state).map_err(|error| evcxr::Error::from(error.to_string()))
    }

    /// Completes or explains what stands at a place of a cell. evcxr is asked to explain a text with that cell in it, and its
    /// rust-analyzer, which has read the text then, what is to be known.
    pub fn assist(&mut self, assist: &Assist, state: &State, within: Duration) -> Result<Answer, evcxr::Error> {
        let mut state = state_of(EvalContext::state, state)?;
        let wrapped = Wrapped::new(&assist.source);
        let text = format!("{}{}", assist.definitions, wrapped.text);
        let (begun, mut asked) = (Instant::now(), Ok(()));
        let source = self.folder.join("src/lib.rs");
        let compiled = std::fs::read(&source).ok();
        let answer = AssertUnwindSafe(|| {
            let lent = lent(|| asked = self.evcxr.hover(&text, &mut state).map(drop));
            lent.map(|lent| lent.answer(&wrapped, assist.question, within.saturating_sub(begun.elapsed())))
        });
        let answer = std::panic::catch_unwind(answer);
        // evcxr has written the text there; those who look for what was compiled last are to find that.
        if let Some(compiled) = compiled {
            std::fs::write(&source, compiled)?;
        }
        asked.map_err(|error| evcxr::Error::from(error.to_string()))?;
        let failed = |why: &str| Answer::Failed(why.to_owned());
        Ok(match answer {
            Ok(answer) => answer.unwrap_or_else(|| failed("evcxr's rust-analyzer wasn't found")),
            Err(_) => failed("rust-analyzer panicked"),
        })
    }

    /// Completes something, so that rust-analyzer knows whatever it needs for that.
    pub fn look(&mut self, base: &State) {
        let code = "let warm = vec![1u8].into_iter().map(|x| x + 1).collect::<Vec<_>>();\nwarm.".to_owned();
        let source = Source { cursor: code.len(), code, ..Source::default() };
        let assist = Assist { question: Question::Complete, source, definitions: String::new() };
        match self.assist(&assist, base, LOOKS_WITHIN) {
            Ok(Answer::Completions(_)) => {}
            other => tracing::warn!("warming up failed: {other:?}"),
        }
    }

    /// Names and types of the variables of the state that the last evaluation resulted in.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.evcxr.variables_and_types()
    }
}
