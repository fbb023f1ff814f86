//! `%%bash`, `%%script` and `!command`: other programs, which run beside the kernel.

use super::Request;
use crate::failure::{Failure, Kind, failure};
use crate::program::{self, Ended, Program};
use crate::surroundings::Surroundings;
use chorus_magics::Input;
use chorus_protocol::Death;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Runs a program on the body of a cell.
pub(super) async fn script(
    program: &str,
    mut args: Vec<String>,
    input: Input,
    script: &str,
    surroundings: &Surroundings,
    request: &Request,
) -> Result<(), Failure> {
    let input = match input {
        Input::Argument => {
            args.extend(["-c".to_owned(), script.to_owned()]);
            None
        }
        Input::Stdin => Some(script),
    };
    let status = run(Program { program, args: &args, input }, surroundings, request).await?;
    ended_well(program, status, false)
}

/// Runs a line with sh.
pub(super) async fn line(command: &str, surroundings: &Surroundings, request: &Request) -> Result<(), Failure> {
    let args = ["-c".to_owned(), command.to_owned()];
    let status = run(Program { program: "sh", args: &args, input: None }, surroundings, request).await?;
    ended_well(command, status, true)
}

async fn run(program: Program<'_>, surroundings: &Surroundings, request: &Request) -> Result<ExitStatus, Failure> {
    match program::run(program, surroundings, &request.publisher, &mut request.interrupted.clone()).await {
        Ok(Ended::Status(status)) => Ok(status),
        Ok(Ended::Interrupted) => {
            Err(failure(Kind::Interrupted, "the cell was interrupted, and what it had started was ended"))
        }
        Err(error) => {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "there is no such program".to_owned(),
                io::ErrorKind::ArgumentListTooLong => "its script is too long".to_owned(),
                _ => error.to_string(),
            };
            Err(failure(Kind::CommandFailed, format!("`{}` can't be started: {why}", program.program)))
        }
    }
}

fn ended_well(command: &str, status: ExitStatus, is_line: bool) -> Result<(), Failure> {
    let ended = match (status.code(), status.signal()) {
        _ if status.success() => return Ok(()),
        (Some(code), _) => Death::Exit(code),
        (None, signal) => Death::Signal(signal.unwrap_or_default()),
    };
    Err(Failure::Command { command: command.to_owned(), ended, is_line })
}
