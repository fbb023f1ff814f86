//! `%%bash`, `%%script` and `!command`: other programs, which run beside the kernel.

use super::Request;
use crate::failure::failure;
use crate::program::{self, Ended, Program};
use chorus_jupyter::content::Failure;
use chorus_magics::Input;
use chorus_protocol::Death;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// What sh says of a line that it can't read, and of a command that isn't there.
const NOT_A_COMMAND: [i32; 2] = [2, 127];

/// How much of a command an error repeats, in characters.
const SHOWN: usize = 60;

/// Runs a program on the body of a cell.
pub(super) async fn script(
    program: &str,
    mut args: Vec<String>,
    input: Input,
    script: &str,
    request: &Request,
) -> Result<(), Failure> {
    let input = match input {
        Input::Argument => {
            args.extend(["-c".to_owned(), script.to_owned()]);
            None
        }
        Input::Stdin => Some(script),
    };
    let status = run(Program { program, args: &args, input }, request).await?;
    if status.success() { Ok(()) } else { Err(failed(program, status)) }
}

/// Runs a line with sh.
pub(super) async fn line(command: &str, request: &Request) -> Result<(), Failure> {
    let args = ["-c".to_owned(), command.to_owned()];
    let status = run(Program { program: "sh", args: &args, input: None }, request).await?;
    if status.success() {
        return Ok(());
    }
    let mut failed = failed(command, status);
    if status.code().is_some_and(|code| NOT_A_COMMAND.contains(&code)) {
        let hint = "help: above the cell's Rust a line that begins with `!` is a shell command; \
            for Rust's `!` write parentheses: `(!a)`";
        failed.traceback.push(hint.to_owned());
    }
    Err(failed)
}

async fn run(program: Program<'_>, request: &Request) -> Result<ExitStatus, Failure> {
    match program::run(program, &request.publisher, &mut request.interrupted.clone()).await {
        Ok(Ended::Status(status)) => Ok(status),
        Ok(Ended::Interrupted) => {
            Err(failure("Interrupted", "the cell was interrupted, and what it had started was ended"))
        }
        Err(error) => {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "there is no such program".to_owned(),
                io::ErrorKind::ArgumentListTooLong => "its script is too long".to_owned(),
                _ => error.to_string(),
            };
            Err(failure("CommandFailed", format!("`{}` can't be started: {why}", program.program)))
        }
    }
}

fn failed(what: &str, status: ExitStatus) -> Failure {
    let death = match (status.code(), status.signal()) {
        (Some(code), _) => Death::Exit(code),
        (None, signal) => Death::Signal(signal.unwrap_or_default()),
    };
    let more = if what.chars().nth(SHOWN).is_some() { "..." } else { "" };
    let what: String = what.chars().take(SHOWN).collect();
    failure("CommandFailed", format!("`{what}{more}` {death}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_said() {
        assert_eq!(failed("make all", ExitStatus::from_raw(2 << 8)).evalue, "`make all` exited with status 2");
        let killed = failed(&"x".repeat(99), ExitStatus::from_raw(9));
        assert_eq!(killed.ename, "CommandFailed");
        assert!(killed.evalue.starts_with(&format!("`{}...` was killed by signal 9", "x".repeat(SHOWN))), "{killed:?}");
    }
}
