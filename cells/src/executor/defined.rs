//! Variables that a cell's Rust has given engines: `px::push!`, `px::scatter!`. Cells of the engines can use them from then on.

use super::{Executor, Request};
use crate::failure::Failure;
use crate::jobs::Defined;
use chorus_compiler::{Failure as CompileFailure, Member};
use chorus_protocol::{EngineId, name_engines};
use std::collections::BTreeMap;

impl Executor {
    /// Enters them into the compiler's account. What an engine has lost since isn't there any more.
    pub(super) async fn take_over(
        &mut self,
        defined: BTreeMap<String, Defined>,
        request: &Request,
    ) -> Result<(), Failure> {
        let Some(cluster) = self.engines.current().filter(|_| !defined.is_empty()) else { return Ok(()) };
        for (name, Defined { type_name, engines }) in defined {
            let there = engines.into_iter().filter(|(engine, generation)| cluster.generation(*engine) == *generation);
            let (ids, members): (Vec<EngineId>, Vec<(Member, u32)>) =
                there.map(|(engine, since)| (engine, (Member::Engine(engine), since))).unzip();
            let (variable, told) = (name.clone(), type_name.clone());
            let entered = self.with_compiler(move |compiler| compiler.define(&members, &variable, &told)).await?;
            if let Err(failure) = entered {
                let why = match failure {
                    CompileFailure::Errors(errors) => {
                        errors.first().map(|error| error.message.clone()).unwrap_or_default()
                    }
                    _ => "the compiler was stopped".to_owned(),
                };
                let what = format!("`{name}` is on {}, where `px::var!({name})` finds it", name_engines(&ids));
                let but = format!("cells of theirs can't name its type, `{type_name}`: {why}");
                request.publisher.warn(&format!("{what}; but {but}")).await;
            }
        }
        Ok(())
    }
}
