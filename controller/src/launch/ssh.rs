//! Brings outposts to hosts by ssh. The engine's program goes along where it isn't yet; it is kept there under its hash.
//!
//! The script is sent to `sh` on standard input, since ssh joins its words and a shell reads them again; so is the
//! invitation, which nobody else must see. ssh ends when the outpost has joined: from then on, it isn't needed.

use super::Launch;
use super::distant::{Host, Provider};
use chorus_remote::Gateway;
use chorus_remote::outpost::{FAILED, JOINED, OUTPOST};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

/// So many connections at once: an sshd refuses more than some that haven't authenticated themselves yet.
const AT_ONCE: usize = 8;
/// How often a connection is tried that ends before the script has begun.
const TRIES: u32 = 3;
/// How long a host may take to begin the script, and the outpost to join.
const ANSWER: Duration = Duration::from_secs(30);
/// How long the program may take to get there.
const TRANSFER: Duration = Duration::from_secs(300);

/// The script has begun.
const BEGUN: &str = "CHORUS-BEGUN";
/// The program isn't there: send it.
const SEND: &str = "CHORUS-SEND";
/// The outpost is about to be started: send the invitation.
const INVITE: &str = "CHORUS-INVITE";

/// Hosts that ssh reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    program: OnceCell<Arc<Program>>,
    at_once: Semaphore,
}

#[derive(Debug)]
struct Program {
    path: PathBuf,
    bytes: Vec<u8>,
    hash: String,
}

impl Provider for SshProvider {
    fn bring<'a>(&'a self, host: &'a str, place: u32, gateway: &'a Gateway) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let _permit = self.at_once.acquire().await.map_err(|error| error.to_string())?;
            let program = self.program.get_or_try_init(|| self.read_program()).await?;
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

/// Why there is no outpost.
struct Failed {
    why: String,
    /// Whether the connection ended before the script began.
    before: bool,
}

impl From<String> for Failed {
    fn from(why: String) -> Failed {
        Failed { why, before: false }
    }
}

impl SshProvider {
    async fn read_program(&self) -> Result<Arc<Program>, String> {
        let path = self.launch.program.clone();
        let bytes =
            tokio::fs::read(&path).await.map_err(|error| format!("{} can't be sent: {error}", path.display()))?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        Ok(Arc::new(Program { path, bytes, hash }))
    }

    async fn once(&self, host: &str, place: u32, gateway: &Gateway, program: &Program) -> Result<(), Failed> {
        let invitation = gateway
            .invite(place, self.launch.label.clone(), Some(program.hash.clone()))
            .map_err(|error| error.to_string())?;
        let invitation = serde_json::to_string(&invitation).map_err(|error| error.to_string())?;
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
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("ssh has no standard input".to_owned().into());
        };
        let script = script(program, &self.launch.args);
        let mut talk = Talk { stdin, lines: BufReader::new(stdout).lines() };
        match talk.lead(&script, program, &invitation).await {
            Ok(()) => Ok(()),
            Err(Failed { why, before }) => {
                let said = said(&mut child).await;
                let why = if said.is_empty() { why } else { format!("{why}: {said}") };
                Err(Failed { why, before })
            }
        }
    }
}

/// What the host's shell runs. It is one command, so that the shell has read all of it before the first one reads the rest
/// of standard input.
fn script(program: &Program, args: &[OsString]) -> String {
    let quoted = |text: &str| shlex::try_quote(text).map(|it| it.into_owned()).unwrap_or_default();
    let name = program.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let args: Vec<String> = args.iter().map(|arg| quoted(&arg.to_string_lossy())).collect();
    let (hash, size, name, args) = (&program.hash, program.bytes.len(), quoted(&name), args.join(" "));
    format!(
        "{{ umask 077; d=\"${{XDG_CACHE_HOME:-$HOME/.cache}}/chorus/engines/{hash}\"; p=\"$d\"/{name}; \
         echo {BEGUN}; \
         if [ ! -x \"$p\" ]; then \
         mkdir -p \"$d\" && t=$(mktemp \"$d/.XXXXXX\") || {{ echo {FAILED} there is no place for programs: \"$d\"; exit 1; }}; \
         echo {SEND}; \
         head -c {size} > \"$t\" && [ \"$(wc -c < \"$t\")\" -eq {size} ] && chmod 700 \"$t\" && mv -f \"$t\" \"$p\" || \
         {{ rm -f \"$t\"; echo {FAILED} the program could not be written to \"$d\"; exit 1; }}; \
         fi; \
         echo {INVITE}; exec \"$p\" {args} {OUTPOST} --detach; }}\n"
    )
}

struct Talk {
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Talk {
    async fn lead(&mut self, script: &str, program: &Program, invitation: &str) -> Result<(), Failed> {
        let before = |why: String| Failed { why, before: true };
        self.say(script.as_bytes(), ANSWER).await.map_err(before)?;
        // A shell may greet before.
        self.hear(&[BEGUN], ANSWER).await.map_err(before)?;
        if self.hear(&[SEND, INVITE], ANSWER).await? == SEND {
            self.say(&program.bytes, TRANSFER).await?;
            self.hear(&[INVITE], TRANSFER).await?;
        }
        self.say(invitation.as_bytes(), ANSWER).await?;
        self.say(b"\n", ANSWER).await?;
        self.hear(&[JOINED], ANSWER).await?;
        Ok(())
    }

    async fn say(&mut self, bytes: &[u8], limit: Duration) -> Result<(), String> {
        let said = async {
            self.stdin.write_all(bytes).await?;
            self.stdin.flush().await
        };
        match timeout(limit, said).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("ssh has ended".to_owned()),
            Err(_) => Err(format!("it took nothing for {} s", limit.as_secs())),
        }
    }

    /// The first line that is one of these.
    async fn hear(&mut self, wanted: &[&'static str], limit: Duration) -> Result<&'static str, String> {
        let heard = async {
            while let Some(line) = self.lines.next_line().await.map_err(|error| error.to_string())? {
                if let Some(found) = wanted.iter().find(|it| line.trim() == **it) {
                    return Ok(*found);
                }
                if let Some(why) = line.trim().strip_prefix(FAILED) {
                    return Err(why.trim().to_owned());
                }
            }
            Err("ssh has ended".to_owned())
        };
        timeout(limit, heard).await.unwrap_or_else(|_| Err(format!("it said nothing for {} s", limit.as_secs())))
    }
}

/// What ssh, or the host's shell, has written to standard error: its last lines.
async fn said(child: &mut Child) -> String {
    let Some(mut stderr) = child.stderr.take() else { return String::new() };
    let mut text = Vec::new();
    _ = timeout(Duration::from_secs(1), stderr.read_to_end(&mut text)).await;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
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

    /// The script in the shell of this host, with a program that says what it is given.
    #[tokio::test]
    async fn the_program_is_sent_once_and_then_found() {
        let home = tempfile::tempdir().unwrap();
        let text = format!(
            "#!/bin/sh\nread it; [ \"$it\" = inv ] && [ \"$*\" = \"run it {OUTPOST} --detach\" ] && echo {JOINED}\n"
        );
        let program = Program { path: "/x/the engine".into(), bytes: text.into_bytes(), hash: "abc".into() };
        let script = script(&program, &["run it".into()]);
        for sent in [true, false] {
            let mut child = Command::new("sh")
                .env("XDG_CACHE_HOME", home.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            let mut talk = Talk { stdin, lines: BufReader::new(stdout).lines() };
            if sent {
                assert!(talk.lead(&script, &program, "inv").await.is_ok());
            } else {
                let nothing = Program { path: program.path.clone(), bytes: Vec::new(), hash: String::new() };
                assert!(talk.lead(&script, &nothing, "inv").await.is_ok(), "it is there");
            }
        }
        let kept: Vec<_> = std::fs::read_dir(home.path().join("chorus/engines/abc")).unwrap().collect();
        assert_eq!(kept.len(), 1, "nothing else is left");
    }
}
