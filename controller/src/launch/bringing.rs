//! What is said to a shell on another host, over its standard input and output, so that an outpost joins from there. The
//! engine's program goes along where it isn't yet; it is kept there under its hash.
//!
//! The script is sent to `sh`, and so is the invitation, which nobody else must see: arguments and environments can be read
//! by others.

use super::needs::Needs;
use super::{Launch, last_lines, quoted};
use chorus_remote::Gateway;
use chorus_remote::outpost::{FAILED, JOINED};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::time::timeout;

/// How long a host may take to begin the script, and the outpost to join.
pub const ANSWER: Duration = Duration::from_secs(30);
/// How long the program may take to get there.
const TRANSFER: Duration = Duration::from_secs(300);

/// The script has begun.
const BEGUN: &str = "CHORUS-BEGUN";
/// The program isn't there: send it.
const SEND: &str = "CHORUS-SEND";
/// The outpost is about to be started: send the invitation.
const INVITE: &str = "CHORUS-INVITE";

/// The program that is sent.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    bytes: Vec<u8>,
    hash: String,
    needs: Needs,
}

impl Program {
    /// Reads the program that engines are.
    pub async fn read(launch: &Launch) -> Result<Program, String> {
        let path = launch.program.clone();
        let bytes =
            tokio::fs::read(&path).await.map_err(|error| format!("{} can't be sent: {error}", path.display()))?;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        let needs = Needs::of(&bytes);
        Ok(Program { path, bytes, hash, needs })
    }

    /// Where it lies here.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its copies are called.
    pub fn file_name(&self) -> Cow<'_, str> {
        self.path.file_name().unwrap_or_else(|| OsStr::new("chorus-engine")).to_string_lossy()
    }

    /// What its copies are checked by.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Has a copy in a folder where hosts look for it, as the script has; where that is.
    pub fn keep_in(&self, folder: &Path) -> io::Result<PathBuf> {
        let folder = folder.join(&self.hash);
        let kept = folder.join(&*self.file_name());
        if kept.is_file() {
            return Ok(kept);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        // Whoever looks for it finds none, or all of it.
        let new = folder.join(format!(".{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o700).open(&new)?;
        file.write_all(&self.bytes)?;
        drop(file);
        std::fs::rename(&new, &kept)?;
        Ok(kept)
    }
}

/// Whether the outpost is to leave its shell when it has joined, or to stay in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stays {
    /// Whatever started the shell isn't needed any more.
    No,
    /// It is needed for the way that it keeps open, until its standard input ends.
    Beside,
    /// The end of one is that of the other.
    Yes,
}

/// Why there is no outpost.
pub struct Failed {
    /// In words.
    pub why: String,
    /// Whether the connection ended before the script began.
    pub before: bool,
}

impl From<String> for Failed {
    fn from(why: String) -> Failed {
        Failed { why, before: false }
    }
}

/// To have an outpost join from a host.
pub struct Errand<'a> {
    /// What it is to start as engines.
    pub launch: &'a Launch,
    /// The same, to be sent.
    pub program: &'a Program,
    /// Its place among the launcher's.
    pub place: u32,
    /// Where it is to join.
    pub gateway: &'a Gateway,
    /// Whether it stays with its shell.
    pub stays: Stays,
    /// See [`Launch::invitation`].
    pub tunnel: Option<u16>,
}

impl Errand<'_> {
    /// Runs it over a shell that `child` is, or has; `called` names it. With `limit` the shell has so long to begin.
    pub async fn run(&self, child: &mut Child, called: &'static str, limit: Option<Duration>) -> Result<Talk, Failed> {
        let Failed { why, before } = match self.talk(child, called, limit).await {
            Ok(talk) => return Ok(talk),
            Err(failed) => failed,
        };
        let said = said(child.stderr.take()).await;
        Err(Failed { why: if said.is_empty() { why } else { format!("{why}: {said}") }, before })
    }

    async fn talk(&self, child: &mut Child, called: &'static str, limit: Option<Duration>) -> Result<Talk, Failed> {
        let mut talk = Talk::with(child, called)?;
        talk.begin(&script(self.program, self.launch, self.stays), limit).await?;
        let invitation = self.launch.invitation(self.gateway, self.place, self.program.hash(), self.tunnel)?;
        talk.lead(self.program, &invitation).await?;
        Ok(talk)
    }
}

/// What the host's shell runs. It is one command, so that the shell has read all of it before the first one reads the rest
/// of standard input. Hosts may share the folder: what one has put there is never replaced, since it may run already.
fn script(program: &Program, launch: &Launch, stays: Stays) -> String {
    let name = quoted((*program.file_name()).as_ref());
    let (setup, outpost) = (launch.setup_command(), launch.outpost_command("\"$p\""));
    let outpost = match stays {
        Stays::Yes => format!("exec {outpost}"),
        Stays::No => format!("exec {outpost} --detach"),
        Stays::Beside => format!("{outpost} --detach && exec cat > /dev/null"),
    };
    let (hash, size, needs) = (&program.hash, program.bytes.len(), program.needs.look());
    format!(
        "{{ umask 077; d=\"${{XDG_CACHE_HOME:-$HOME/.cache}}/chorus/engines/{hash}\"; p=\"$d\"/{name}; \
         echo {BEGUN}; {needs}\
         if [ ! -x \"$p\" ]; then \
         mkdir -p \"$d\" && t=$(mktemp \"$d/.XXXXXX\") || {{ echo {FAILED} there is no place for programs: \"$d\"; exit 1; }}; \
         echo {SEND}; \
         head -c {size} > \"$t\" && [ \"$(wc -c < \"$t\")\" -eq {size} ] && chmod 700 \"$t\" && \
         {{ ln \"$t\" \"$p\" 2> /dev/null || [ -x \"$p\" ] || mv -f \"$t\" \"$p\"; }} && rm -f \"$t\" || \
         {{ rm -f \"$t\"; echo {FAILED} the program could not be written to \"$d\"; exit 1; }}; \
         fi; \
         {setup}echo {INVITE}; {outpost}; }}\n"
    )
}

/// The shell's ends.
pub struct Talk {
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    program: &'static str,
}

impl Talk {
    /// With what was started so that there is a shell; `program` names it.
    fn with(child: &mut Child, program: &'static str) -> Result<Talk, String> {
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Talk { stdin, lines: BufReader::new(stdout).lines(), program }),
            _ => Err(format!("{program} has no standard input")),
        }
    }

    /// Has the shell begin with the script, for which it may take so long; without a limit, it may have to wait for its turn.
    async fn begin(&mut self, script: &str, limit: Option<Duration>) -> Result<(), Failed> {
        let before = |why: String| Failed { why, before: true };
        self.say(script.as_bytes(), ANSWER).await.map_err(before)?;
        // A shell may greet before.
        self.hear(&[BEGUN], limit).await.map_err(before)?;
        Ok(())
    }

    /// Leads the script to its end: an outpost that has joined.
    async fn lead(&mut self, program: &Program, invitation: &str) -> Result<(), String> {
        if self.hear(&[SEND, INVITE], Some(ANSWER)).await? == SEND {
            self.say(&program.bytes, TRANSFER).await?;
            self.hear(&[INVITE], Some(TRANSFER)).await?;
        }
        self.say(invitation.as_bytes(), ANSWER).await?;
        self.say(b"\n", ANSWER).await?;
        self.hear(&[JOINED], Some(ANSWER)).await?;
        Ok(())
    }

    /// Reads what else is said, until there is no more.
    pub async fn rest(mut self) {
        while let Ok(Some(_)) = self.lines.next_line().await {}
    }

    async fn say(&mut self, bytes: &[u8], limit: Duration) -> Result<(), String> {
        let said = async {
            self.stdin.write_all(bytes).await?;
            self.stdin.flush().await
        };
        match timeout(limit, said).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(format!("{} has ended", self.program)),
            Err(_) => Err(format!("it took nothing for {} s", limit.as_secs())),
        }
    }

    /// The first line that is one of these.
    async fn hear(&mut self, wanted: &[&'static str], limit: Option<Duration>) -> Result<&'static str, String> {
        let heard = async {
            while let Some(line) = self.lines.next_line().await.map_err(|error| error.to_string())? {
                if let Some(found) = wanted.iter().find(|it| line.trim() == **it) {
                    return Ok(*found);
                }
                if let Some(why) = line.trim().strip_prefix(FAILED) {
                    return Err(why.trim().to_owned());
                }
            }
            Err(format!("{} has ended", self.program))
        };
        let Some(limit) = limit else { return heard.await };
        timeout(limit, heard).await.unwrap_or_else(|_| Err(format!("it said nothing for {} s", limit.as_secs())))
    }
}

/// What the program that started the shell, or the shell, has written to standard error: its last lines.
async fn said(stderr: Option<ChildStderr>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let mut text = Vec::new();
    _ = timeout(Duration::from_secs(1), stderr.read_to_end(&mut text)).await;
    last_lines(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_remote::outpost::OUTPOST;
    use std::process::Stdio;
    use tokio::process::Command;

    /// The script in the shell of this host, with a program that says what it is given.
    #[tokio::test]
    async fn the_program_is_sent_once_and_then_found() {
        let home = tempfile::tempdir().unwrap();
        let text = format!(
            "#!/bin/sh\nread it; [ \"$it\" = inv ] && [ \"$*\" = \"run it {OUTPOST} --detach\" ] && echo {JOINED}\n"
        );
        let (path, bytes) = ("/x/the engine".into(), text.into_bytes());
        let program = Program { path, bytes, hash: "abc".into(), needs: Needs::default() };
        let args = vec!["run it".into()];
        let launch = Launch::new(program.path.clone(), args).after(vec!["x=1".into()]);
        let script = script(&program, &launch, Stays::No);
        for sent in [true, false] {
            let mut child = Command::new("sh")
                .env("XDG_CACHE_HOME", home.path())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let mut talk = Talk::with(&mut child, "sh").unwrap();
            assert!(talk.begin(&script, Some(ANSWER)).await.is_ok());
            if sent {
                assert!(talk.lead(&program, "inv").await.is_ok());
            } else {
                let (path, bytes, hash) = (program.path.clone(), Vec::new(), String::new());
                let nothing = Program { path, bytes, hash, needs: Needs::default() };
                assert!(talk.lead(&nothing, "inv").await.is_ok(), "it is there");
            }
        }
        let kept: Vec<_> = std::fs::read_dir(home.path().join("chorus/engines/abc")).unwrap().collect();
        assert_eq!(kept.len(), 1, "nothing else is left");
    }
}
