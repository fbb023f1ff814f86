//! `%%bash`, `%%script` and `!command`: other programs, which run beside the kernel.

use super::{Executor, Request};
use crate::failure::{Failure, Kind, failure};
use crate::program::{self, Ended, Program};
use crate::surroundings::Surroundings;
use chorus_compiler::Member;
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

impl Executor {
    /// Runs a line with sh. As IPython would fill in variables, it is said once that nothing does here.
    pub(super) async fn shell_line(&mut self, command: &str, request: &Request) -> Result<(), Failure> {
        if !self.told_unfilled && braced(command).next().is_some() {
            let own = self.with_compiler(|compiler| compiler.namespaces().variables(Member::Local)).await?;
            if let Some(name) = braced(command).find(|name| own.contains_key(*name)) {
                self.told_unfilled = true;
                request.publisher.warn(&unfilled(name, command)).await;
            }
        }
        let args = ["-c".to_owned(), command.to_owned()];
        let program = Program { program: "sh", args: &args, input: None };
        let status = run(program, &self.surroundings().await, request).await?;
        ended_well(command, status, true)
    }
}

/// The names in `{name}` of a shell line. `${name}` is the shell's own.
fn braced(command: &str) -> impl Iterator<Item = &str> {
    command.match_indices('{').filter_map(|(at, _)| {
        let (before, after) = (&command[..at], &command[at + 1..]);
        let name = after.split('}').next().filter(|name| name.len() < after.len() && !before.ends_with('$'))?;
        (!name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then_some(name)
    })
}

fn unfilled(name: &str, command: &str) -> String {
    let is_plain = !command.contains(['"', '\\', '$']) && command.matches('{').count() == braced(command).count();
    let filled = if is_plain { format!("format!(\"{command}\")") } else { "format!(..)".to_owned() };
    format!(
        "`{{{name}}}` isn't filled in: a `!` line goes to sh as it stands. From Rust it is \
         `std::process::Command::new(\"sh\").args([\"-c\", &{filled}]).status()?`"
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_isnt_filled_in_is_a_name_in_braces() {
        assert_eq!(braced("kill {pid} ${HOME} {a,b} {} {c").collect::<Vec<_>>(), ["pid"]);
        assert!(unfilled("pid", "kill {pid}").contains("&format!(\"kill {pid}\")]"));
        for odd in ["echo \"{pid}\"", "echo {pid} {a,b}"] {
            assert!(unfilled("pid", odd).contains("&format!(..)"), "{odd}");
        }
    }
}
