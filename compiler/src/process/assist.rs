//! What completion and documentation need of the compiler.

use crate::compiler::Compiler;
use crate::messages::failure::Failure;
use crate::notebook::definitions::prefix::Prefix;
use crate::process::starting::Evcxr;

impl Compiler {
    /// The definitions that hold, as evcxr gets them.
    pub(crate) fn definitions_text(&self) -> String {
        Prefix::whole(&self.shared, &Default::default()).text
    }

    /// Has evcxr start if it hasn't, without waiting for it, and know the notebook's dependencies: it doesn't if all cells that
    /// need them were in the cache, or if its process is another one since.
    pub fn prepare_to_assist(&mut self) -> Result<(), Failure> {
        self.evcxr.renew();
        let settings = self.shared.settings_len();
        let Some(Evcxr { snapshots, .. }) = self.evcxr.if_started()? else { return Ok(()) };
        if !snapshots.knows_settings(settings) && !self.shared.dependencies().is_empty() {
            self.build_dependencies()?;
        }
        Ok(())
    }

    /// Whether there is anything to prepare.
    pub(crate) fn is_prepared(&self) -> bool {
        let settings = self.shared.settings_len();
        let knows = |evcxr: &Evcxr| evcxr.snapshots.knows_settings(settings);
        self.shared.dependencies().is_empty() || self.evcxr.if_ready().is_some_and(knows)
    }
}
