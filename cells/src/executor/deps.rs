//! `%deps`: what the notebook depends on, and files of versions.

use super::{Executor, Request};
use crate::failure::{Failure, Kind, failure};
use chorus_magics::DepsCommand;

/// A larger file is none of versions, in bytes.
const LIMIT: u64 = 16 << 20;

impl Executor {
    pub(super) async fn deps(&mut self, command: DepsCommand, request: &Request) -> Result<(), Failure> {
        let surroundings = self.surroundings().await;
        let failed = |file: &str, why: &dyn std::fmt::Display| failure(Kind::FileError, format!("`{file}`: {why}"));
        match command {
            DepsCommand::Show => {
                let text = self.compile(request, |compiler| compiler.dependencies_text()).await?;
                request.publisher.say(text.trim_end()).await;
            }
            DepsCommand::Lock(file) => {
                let versions = self.compile(request, |compiler| compiler.versions()).await?;
                let none = "there are no dependencies of a registry yet: add them by `:dep`";
                let versions = versions.ok_or_else(|| failure(Kind::MagicError, none))?;
                let path = surroundings.path(&file);
                tokio::fs::write(&path, versions).await.map_err(|error| failed(&file, &error))?;
                let path = surroundings.shown(&path);
                request.publisher.say(&format!("Wrote the versions to {path}; `%deps use {file}` takes them.")).await;
            }
            DepsCommand::Use(file) => {
                let path = surroundings.path(&file);
                let data = tokio::fs::metadata(&path).await.map_err(|error| failed(&file, &error))?;
                if !data.is_file() || data.len() > LIMIT {
                    return Err(failed(&file, &"it is no file of versions"));
                }
                let text = tokio::fs::read_to_string(&path).await.map_err(|error| failed(&file, &error))?;
                let used = self.compile(request, move |compiler| compiler.use_versions(&text)).await?;
                let count = used.map_err(|error| failed(&file, &error))?;
                request.publisher.say(&format!("Dependencies take their versions from {file}: {count} crates.")).await;
            }
        }
        Ok(())
    }
}
