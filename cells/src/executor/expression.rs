//! `user_expressions`: what a front end wants to know when a cell has run.

use super::{Executor, Request};
use crate::failure::{Failure, Kind, failure};
use chorus_render::Bundle;
use parking_lot::Mutex;
use std::sync::Arc;

impl Executor {
    /// The value of an expression in the notebook's namespace, in all its representations. What it prints is published
    /// as the cell's output.
    pub async fn expression(&mut self, code: &str, cell: &Request) -> Result<Bundle, Failure> {
        if !chorus_compiler::is_expression(code) {
            let what = "this isn't an expression, so it has no value; nothing of it ran";
            return Err(failure(Kind::NotAnExpression, what));
        }
        let request = Request {
            code: Arc::from(code),
            publisher: cell.publisher.for_expression(),
            front_end: cell.front_end.clone(),
            interrupted: cell.interrupted.clone(),
            preparing: Mutex::default(),
        };
        self.rust(code, 1, &request).await?;
        Ok(request.publisher.value().unwrap_or_default())
    }
}
