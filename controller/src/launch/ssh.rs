//! Brings outposts to hosts by ssh, which joins its words and has a shell read them again: so all goes by standard input.
//! ssh ends when the outpost has joined: from then on, it isn't needed, but for the way back where a host has no other.

use super::Launch;
use super::bringing::{ANSWER, Errand, Failed, Program, Stays};
use super::distant::{Host, Provider, Site};
use chorus_remote::Gateway;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

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
    /// Whether hosts connect back through ssh, which then stays.
    pub tunnel: bool,
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

    /// All words of a command that runs a shell on a host, if ssh is named; `port` is the gateway's.
    pub(super) fn words(&self, host: &str, port: &str) -> Vec<String> {
        // No terminal; never a question that nobody could answer.
        let mut ours = vec!["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10"];
        let back = format!("0:127.0.0.1:{port}");
        if self.tunnel {
            // A connection of its own, which says what port the host has given. It ends only with the network's.
            ours.extend(["-o", "ControlPath=none", "-o", "LogLevel=INFO", "-o", "ServerAliveInterval=0"]);
            ours.extend(["-o", "ExitOnForwardFailure=yes", "-R", &back]);
        }
        ours.extend(["--", host, "exec sh"]);
        self.command.iter().cloned().chain(ours.into_iter().map(str::to_owned)).collect()
    }

    pub(super) fn into_provider(self, launch: Launch) -> (Vec<Host>, SshProvider) {
        let (hosts, tunnels) = (self.hosts.clone(), self.tunnel.then(Mutex::default));
        let (program, at_once) = (OnceCell::new(), Semaphore::new(AT_ONCE));
        (hosts, SshProvider { ssh: self, launch, program, at_once, tunnels })
    }
}

#[derive(Debug)]
pub(super) struct SshProvider {
    ssh: Ssh,
    launch: Launch,
    /// What is sent.
    program: OnceCell<Program>,
    at_once: Semaphore,
    /// By place: what keeps the way back open, if hosts need one.
    tunnels: Option<Mutex<HashMap<u32, Child>>>,
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
        let words = self.ssh.words(host, &gateway.port().to_string());
        let (ssh, arguments) = words.split_first().ok_or_else(|| "no ssh program is named".to_owned())?;
        let mut child = Command::new(ssh)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("`{ssh}` can't be started: {error}"))?;
        let tunnel = match &self.tunnels {
            Some(_) => Some(port_there(&mut child).await?),
            None => None,
        };
        let stays = if tunnel.is_some() { Stays::Beside } else { Stays::No };
        let errand = Errand { launch: &self.launch, program, place, gateway, stays, tunnel };
        let talk = errand.run(&mut child, "ssh", Some(ANSWER)).await?;
        if let Some(tunnels) = &self.tunnels {
            let said = child.stderr.take();
            // It mustn't fill, and the host's end must stay.
            tokio::spawn(async move {
                let mut nowhere = tokio::io::sink();
                let said = async { tokio::io::copy(&mut said?, &mut nowhere).await.ok() };
                tokio::join!(talk.rest(), said)
            });
            tunnels.lock().insert(place, child);
        }
        Ok(())
    }
}

/// Which port of the host leads back here, as ssh says it first of all.
async fn port_there(ssh: &mut Child) -> Result<u16, Failed> {
    const SAYS: &str = "Allocated port ";
    let stderr = ssh.stderr.as_mut().ok_or_else(|| "ssh has no standard error".to_owned())?;
    let mut said = String::new();
    let found = async {
        let (mut line, mut byte) = (Vec::new(), [0]);
        // What comes behind is for others to read.
        while stderr.read(&mut byte).await.unwrap_or(0) == 1 {
            if byte != *b"\n" {
                line.push(byte[0]);
                continue;
            }
            let text = String::from_utf8_lossy(&std::mem::take(&mut line)).trim().to_owned();
            let port = text.strip_prefix(SAYS).and_then(|rest| rest.split(' ').next()?.parse().ok());
            if port.is_some() {
                return port;
            }
            said = text;
        }
        None
    };
    let found = timeout(ANSWER, found).await;
    found.ok().flatten().ok_or_else(|| Failed { why: format!("ssh opens no way back: {said}"), before: true })
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

    fn saying(script: &str) -> Child {
        Command::new("sh").args(["-c", script]).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
    }

    #[tokio::test]
    async fn the_way_back_is_where_ssh_says_and_the_rest_is_for_others() {
        let says = "Allocated port 4711 for remote forward to 127.0.0.1:9";
        let mut ssh = saying(&format!("echo 'Warning: a new key' >&2; echo '{says}' >&2; echo rest >&2"));
        assert_eq!(port_there(&mut ssh).await.ok(), Some(4711));
        let mut rest = String::new();
        ssh.stderr.take().unwrap().read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "rest\n");
        let mut ssh = saying("echo 'remote port forwarding failed' >&2; exit 255");
        let failed = port_there(&mut ssh).await.err().unwrap();
        assert_eq!(failed.why, "ssh opens no way back: remote port forwarding failed");
    }
}
