//! Maps of a cell's own Rust that GPUs run, `px::map(f, &xs).gpu()`: their functions are compiled before the cell runs.

use super::{By, reason};
use crate::executor::{Executor, Request};
use crate::failure::{Failure, Kind, failure};
use crate::jobs::ByPlace;
use chorus_compiler::GpuMap;
use chorus_magics::rust::Text;

impl Executor {
    /// Compiles what GPUs are to run of these maps. It is an error if one can't be compiled that processors don't run.
    pub(in crate::executor) async fn own_maps_for_gpus(
        &mut self,
        maps: Vec<GpuMap>,
        variables: &[String],
        request: &Request,
    ) -> Result<ByPlace, Failure> {
        let mut found = ByPlace::new();
        for map in maps {
            let place = (map.cell, map.word.0, map.word.1);
            if found.contains_key(&place) {
                continue;
            }
            let is_here = map.cell == request.publisher.count();
            let cell = if is_here { &*request.code } else { &map.shown };
            let by = if map.or_cpu { By::Either } else { By::Gpus };
            let function = &map.function;
            let text = Text::for_gpus(&function.text, (function.line, function.column), map.has_values);
            if variables.contains(&function.text) {
                let message = format!(
                    "`{}` is a variable, and GPUs are given the text of a function: write the function's own path; nothing \
                     was run",
                    function.text
                );
                return Err(failure(Kind::MapError, message));
            }
            let built = match self.build_for_gpu(text, cell, by, request).await {
                Ok(Some(built)) => Ok(built),
                Ok(None) => continue,
                Err(error) if error.is_interrupt() => return Err(error),
                Err(error) if map.or_cpu => Err(reason(&error)),
                Err(error) => return Err(in_own_rust(error, (!is_here).then_some(map.cell))),
            };
            found.insert(place, built);
        }
        Ok(found)
    }
}

/// The error as it is for who has written Rust and no magic, in this earlier cell if in one.
fn in_own_rust(mut error: Failure, cell: Option<u32>) -> Failure {
    let own = |note: &str| note.replace("`--gpu=auto`", "`gpu_or_cpu()`");
    match &mut error {
        Failure::Compile(errors) => {
            for error in errors {
                error.notes.iter_mut().for_each(|note| *note = own(note));
                error.spans.iter_mut().for_each(|span| span.cell = cell);
            }
        }
        Failure::Other(_, what) => *what = own(what),
        _ => {}
    }
    error
}
