//! evcxr, reduced to what Chorus needs: evaluate a text against a snapshot of a namespace.
//!
//! This file alone talks to evcxr. It never looks at members or variables, and it never runs a cell: it hands each
//! object to a callback and tells evcxr what came of it.

use crate::interrupt::Interrupter;
use crate::library::{self, Instead};
use crate::relay::{FromRelay, LoadAndRun, RelayServer};
use crate::setting::Setting;
use crate::types::Config;
use evcxr::EvalContext;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Before the name of a variable that the user has set for builds: has the same value.
pub(crate) const USERS_VARIABLE: &str = "CHORUS_USER_SET_";

/// All that evcxr knows of a namespace at one moment: items, dependencies, settings, variables and their types.
#[derive(Clone)]
pub(crate) struct Snapshot(Arc<dyn Any + Send + Sync>);

/// evcxr exports its state type without a name; the type of [`EvalContext::state`] lets inference find it.
fn state_of<S: Clone + 'static>(_names: fn(&EvalContext) -> S, snapshot: &Snapshot) -> Result<S, evcxr::Error> {
    snapshot.0.downcast_ref::<S>().cloned().ok_or_else(|| "a snapshot of another type".into())
}

/// What evcxr is told of a run.
pub(crate) enum Answer {
    Succeeded,
    Panicked,
    /// Nothing ran; evcxr drops these variables and compiles again without them.
    VariablesLost(Vec<String>),
}

pub(crate) struct Evaluator {
    context: EvalContext,
    relay: RelayServer,
    /// Where everything is built.
    folder: PathBuf,
    /// Where the crate px is.
    px: PathBuf,
    /// What rust-analyzer reads in the place of the toolchain's library, where it can't read that.
    library: Option<Instead>,
    interrupter: Interrupter,
}

impl Evaluator {
    /// Starts evcxr; takes some seconds.
    pub fn start(config: &Config, px: &Path) -> Result<Evaluator, evcxr::Error> {
        let relay = RelayServer::listen(&config.folder)?;
        let mut command = std::process::Command::new(&config.relay);
        command.args(&config.relay_args).arg(relay.socket());
        // evcxr evaluates something to begin with; that needs no worker.
        let (context, _outputs) =
            serve(&relay, &mut |_| Answer::Succeeded, || EvalContext::with_subprocess_command(command))?;
        let (folder, interrupter) = (config.folder.clone(), config.interrupter.clone());
        Ok(Evaluator { context, relay, folder, px: px.to_owned(), library: None, interrupter })
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot(Arc::new(self.context.state()))
    }

    /// Compiles `code` against `snapshot` and lets `run` see each object that evcxr wants to be run. Returns the
    /// snapshot that results.
    pub fn eval(
        &mut self,
        code: &str,
        snapshot: &Snapshot,
        run: &mut (dyn FnMut(LoadAndRun) -> Answer + Send),
    ) -> Result<Snapshot, evcxr::Error> {
        match self.try_eval(code, snapshot, run) {
            // Such an error comes before anything runs, and may come of types that rust-analyzer doesn't know.
            Err(evcxr::Error::Message(error)) if !self.knows_library(snapshot) => {
                tracing::warn!(error, "rust-analyzer doesn't know the standard library, and is started again");
                self.find_library(snapshot).map_err(|why| {
                    let what = "rust-analyzer, which infers the types of variables, can't read the standard library";
                    let next = "`rustup component add rust-src` installs its source";
                    evcxr::Error::Message(format!("{error}\n{what} ({why}); {next}"))
                })?;
                self.try_eval(code, snapshot, run)
            }
            result => result,
        }
    }

    fn try_eval(
        &mut self,
        code: &str,
        snapshot: &Snapshot,
        run: &mut (dyn FnMut(LoadAndRun) -> Answer + Send),
    ) -> Result<Snapshot, evcxr::Error> {
        let state = state_of(EvalContext::state, snapshot)?;
        let context = &mut self.context;
        serve(&self.relay, run, || {
            let evaluate = AssertUnwindSafe(|| context.eval_with_state(code, state));
            std::panic::catch_unwind(evaluate).unwrap_or_else(|_| {
                Err("evcxr panicked while it compiled this cell; the notebook's state is as before".into())
            })
        })?;
        Ok(self.snapshot())
    }

    /// Whether rust-analyzer infers a type of the standard library. It reads the crate's manifest again if that has
    /// changed, and with it the library.
    fn knows_library(&mut self, snapshot: &Snapshot) -> bool {
        let hover = self.hover("let chorus_probe = ::std::vec![1u8];\nchorus_probe", snapshot);
        hover.is_ok_and(|(text, _)| text.contains("Vec<u8"))
    }

    /// Has rust-analyzer read the standard library once more.
    fn find_library(&mut self, snapshot: &Snapshot) -> std::io::Result<()> {
        let folder = self.folder.clone();
        let installed = library::unless_interrupted(&self.interrupter, move || library::install(&folder));
        library::heed(&self.interrupter)?;
        if self.reload(snapshot)? {
            return Ok(());
        }
        installed?;
        library::heed(&self.interrupter)?;
        // It is there, and cargo can't tell of it. From now on, nobody asks cargo.
        // An earlier one lies in the same place.
        self.library = None;
        self.library = Some(Instead::without_manifest(&self.folder)?);
        match self.reload(snapshot)? {
            true => Ok(()),
            false => Err(std::io::Error::other("it was read again, and no type is known")),
        }
    }

    /// Has rust-analyzer read everything once more. Returns whether it knows the library then.
    fn reload(&mut self, snapshot: &Snapshot) -> std::io::Result<bool> {
        let manifest = self.folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)?;
        // It reads what has another manifest than before; the one that counts is to be read last.
        std::fs::write(&manifest, format!("{text}\n"))?;
        let _ = self.hover("1", snapshot);
        std::fs::write(&manifest, text)?;
        Ok(self.knows_library(snapshot))
    }

    /// The snapshot with a setting changed. A dependency is looked up, which may use the network. With serde, px lets all
    /// types travel that derive serde's traits.
    pub fn configure(&self, snapshot: &Snapshot, setting: &Setting) -> Result<Snapshot, evcxr::Error> {
        let changed = self.change(snapshot, setting)?;
        match setting.brings_serde() {
            true => self.change(&changed, &crate::px::dependency(&self.px, true)),
            false => Ok(changed),
        }
    }

    fn change(&self, snapshot: &Snapshot, setting: &Setting) -> Result<Snapshot, evcxr::Error> {
        let mut state = state_of(EvalContext::state, snapshot)?;
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
        Ok(Snapshot(Arc::new(state)))
    }

    /// Documentation of what stands at the end of `code`: text and markdown.
    pub fn hover(&mut self, code: &str, snapshot: &Snapshot) -> Result<(String, String), evcxr::Error> {
        let mut state = state_of(EvalContext::state, snapshot)?;
        self.context.hover(code, &mut state).map_err(|error| evcxr::Error::from(error.to_string()))
    }

    /// Names and types of the variables of the snapshot that the last evaluation resulted in.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.context.variables_and_types()
    }

    /// The folder that evcxr builds in.
    pub fn built_in(&self) -> Option<PathBuf> {
        self.relay.socket().parent().map(Path::to_owned)
    }

    /// Where evcxr wrote what it compiled last.
    pub fn generated_source(&self) -> Option<PathBuf> {
        self.built_in().map(|folder| folder.join("src/lib.rs"))
    }
}

/// Answers the relay's requests on a thread of its own while `evaluate` waits for them.
fn serve<T>(
    relay: &RelayServer,
    run: &mut (dyn FnMut(LoadAndRun) -> Answer + Send),
    evaluate: impl FnOnce() -> T,
) -> T {
    let over = relay.evaluation_over();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while let FromRelay::Request(request) = relay.next() {
                let markers = match run(request) {
                    Answer::Succeeded => vec![],
                    Answer::Panicked => vec!["EVCXR_PANIC_NOTIFICATION".to_owned()],
                    Answer::VariablesLost(names) => {
                        names.iter().map(|name| format!("EVCXR_VARIABLE_CHANGED_TYPE:{name}")).collect()
                    }
                };
                relay.answer(&markers);
            }
        });
        let result = evaluate();
        let _ = over.send(FromRelay::EvaluationOver);
        result
    })
}
