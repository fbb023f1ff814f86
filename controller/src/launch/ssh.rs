//! Brings outposts to hosts by ssh, which joins its words and has a shell read them again: so all goes by standard input.
//! ssh ends when the outpost has joined: from then on, it isn't needed.

use super::Launch;
use super::bringing::{ANSWER, Errand, Failed, Program, Stays};
use super::distant::{Host, Provider, Site};
use chorus_remote::Gateway;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::{OnceCell, Semaphore};

/// So many connections at once: an sshd refuses more than some that haven't authenticated themselves yet.
const AT_ONCE: usize = 8;
/// How often a connection is tried that ends before the script has begun.
const TRIES: u32 = 3;

/// Hosts that ssh reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ssh {
    /// Which.
    pub hosts: Vec<Host>,
    /// The program and its arguments before those of Chorus; `ssh` alone is the usual.
    pub command: Vec<String>,
}

/// Hosts as a user writes them: `a,b*4` is one engine on `a` and four on `b`.
pub fn parse_hosts(text: &str) -> Result<Vec<Host>, String> {
    let host = |part: &str| {
        let (name, slots) = part.rsplit_once('*').unwrap_or((part, "1"));
        let slots = u32::from_str(slots.trim()).ok().filter(|slots| *slots > 0);
        let slots = slots.ok_or_else(|| format!("`{part}`: behind `*` is a number of engines, as in `node1*4`"))?;
        let name = name.trim();
        if name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace) {
            return Err(format!("`{part}` can't be a host: write names as in `node1,node2*4`"));
        }
        Ok(Host { name: name.to_owned(), slots })
    };
    text.split(',').map(host).collect()
}

impl Ssh {
    /// How many engines they are meant for.
    pub fn engines(&self) -> u32 {
        self.hosts.iter().map(|host| host.slots).sum()
    }

    pub(super) fn into_provider(self, launch: Launch) -> (Vec<Host>, SshProvider) {
        let provider =
            SshProvider { command: self.command, launch, program: OnceCell::new(), at_once: Semaphore::new(AT_ONCE) };
        (self.hosts, provider)
    }
}

#[derive(Debug)]
pub(super) struct SshProvider {
    command: Vec<String>,
    launch: Launch,
    /// What is sent.
    program: OnceCell<Program>,
    at_once: Semaphore,
}

impl Provider for SshProvider {
    fn bring<'a>(&'a self, Site { host, place, gateway, .. }: Site<'a>) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let _permit = self.at_once.acquire().await.map_err(|error| error.to_string())?;
            let program = self.program.get_or_try_init(|| Program::read(&self.launch)).await?;
            let mut tries = 0;
            loop {
                tries += 1;
                match self.once(host, place, gateway, program).await {
                    Err(Failed { why, before: true }) if tries < TRIES => {
                        tracing::debug!(host, why, "trying again");
                        // Hosts are started together: not all again at the same time.
                        let jitter = u64::from(place % 8) * 40;
                        tokio::time::sleep(Duration::from_millis(200 * u64::from(tries) + jitter)).await;
                    }
                    result => return result.map_err(|failed| failed.why),
                }
            }
        }
        .boxed()
    }
}

impl SshProvider {
    async fn once(&self, host: &str, place: u32, gateway: &Gateway, program: &Program) -> Result<(), Failed> {
        let (ssh, before) = self.command.split_first().ok_or_else(|| "no ssh program is named".to_owned())?;
        let mut child = Command::new(ssh)
            .args(before)
            // No terminal; never a question that nobody could answer.
            .args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", host, "exec sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("`{ssh}` can't be started: {error}"))?;
        let errand = Errand { launch: &self.launch, program, place, gateway, stays: Stays::No };
        errand.run(&mut child, "ssh", Some(ANSWER)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_with_their_engines() {
        let host = |name: &str, slots| Host { name: name.into(), slots };
        assert_eq!(parse_hosts("a,me@b.org*4, c"), Ok(vec![host("a", 1), host("me@b.org", 4), host("c", 1)]));
        for wrong in ["", "a,", "a*0", "a*x", "-oProxyCommand=x", "a b"] {
            assert!(parse_hosts(wrong).is_err(), "{wrong}");
        }
    }
}
