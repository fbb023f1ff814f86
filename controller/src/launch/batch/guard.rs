//! A shell that submits a job and knows its number, so that the job doesn't stay in the queue when this process is killed.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

/// A job's files, in a folder of its own. The invitation:
pub const INVITATION: &str = "invitation";
/// What is submitted.
pub const SCRIPT: &str = "job";
/// What the job writes.
pub const OUTPUT: &str = "output";
/// It is there when the job has begun.
pub const BEGUN: &str = "begun";

/// Submits what its other arguments say, tells the job's number (the first word of the answer with a digit in front), and
/// waits for a line. At the end of its input nobody is there any more who waits for the job: another controller may come,
/// and a job that has begun ends by itself.
const SHELL: &str = r#"exec 2>&1; dir=$1 stay=$2 cancel=$3; shift 3
leave() { rm -rf "$dir"; rmdir "${dir%/*}" "${dir%/*/*}" 2> /dev/null; exit; }
out=$("$@" < "$dir/job" 2>&1) || { echo "- $out"; exec > /dev/null; leave; }
id=$(printf '%s' "$out" | grep -o '[0-9][^][:space:];<>()]*' | head -n 1)
[ -n "$id" ] || { echo "- it told no number: $out"; exec > /dev/null; leave; }
echo "+ $id"; exec > /dev/null 2>&1
read -r what
case $what in
    joined) leave;;
    cancel) ;;
    *) sleep "$stay"; [ -e "$dir/begun" ] && leave;;
esac
"$cancel" "$id"
leave"#;

/// The shell. Dropping it takes the job out of the queue, unless it has joined.
#[derive(Debug)]
pub struct Guard {
    job: String,
    /// The shell's input.
    words: Option<std::fs::File>,
}

impl Guard {
    /// Has a job submitted whose files lie in `folder`. The shell removes the folder in the end.
    pub async fn submit(words: &[String], cancel: &Path, folder: &Path, stay: u32) -> Result<Guard, String> {
        let mut shell = Command::new("sh")
            .args(["-c", SHELL, "sh"])
            .args([folder.as_os_str(), stay.to_string().as_ref(), cancel.as_os_str()])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // An interrupt of the notebook isn't meant for it.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("there is no shell: {error}"))?;
        // From here on, whoever drops this takes the job back, also while it is being submitted.
        let mut guard = Guard { job: String::new(), words: input(&mut shell) };
        let mut answer = Vec::new();
        if let Some(stdout) = &mut shell.stdout {
            stdout.read_to_end(&mut answer).await.map_err(|error| format!("the shell can't be read: {error}"))?;
        }
        let answer = String::from_utf8_lossy(&answer);
        let program = words.first().map_or("", String::as_str);
        match answer.trim().split_once(' ') {
            Some(("+", job)) => guard.job = job.to_owned(),
            Some((_, why)) => return Err(format!("{program}: {}", why.trim().replace('\n', "; "))),
            None => return Err(format!("{program} has said nothing")),
        }
        Ok(guard)
    }

    /// The job's number.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Nothing is to be done for the job any more.
    pub fn joined(&mut self) {
        self.say("joined\n");
    }

    fn say(&mut self, what: &str) {
        if let Some(mut words) = self.words.take() {
            // If the shell was killed, nobody can be told. So few bytes always have room.
            _ = words.write_all(what.as_bytes());
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.say("cancel\n");
    }
}

fn input(shell: &mut Child) -> Option<std::fs::File> {
    let input: OwnedFd = shell.stdin.take()?.into_owned_fd().ok()?;
    Some(input.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    /// A batch system that writes down what it is told.
    struct Fake {
        folder: tempfile::TempDir,
        files: PathBuf,
    }

    impl Fake {
        fn new() -> Fake {
            let folder = tempfile::tempdir().unwrap();
            let files = folder.path().join("joining/lab-1/7");
            std::fs::create_dir_all(&files).unwrap();
            std::fs::write(files.join(SCRIPT), "the script\n").unwrap();
            let fake = Fake { folder, files };
            fake.program("cancel", &format!("echo \"$@\" > {}/cancelled", fake.folder.path().display()));
            fake
        }

        fn program(&self, name: &str, text: &str) -> PathBuf {
            use std::os::unix::fs::PermissionsExt as _;
            let path = self.folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path
        }

        async fn submit(&self, text: &str, stay: u32) -> Result<Guard, String> {
            let submit = self.program("submit", text);
            let words = [submit.display().to_string(), "-x".to_owned()];
            Guard::submit(&words, &self.folder.path().join("cancel"), &self.files, stay).await
        }

        /// Waits until the shell has removed what it had; what was cancelled by then.
        fn left(&self) -> Option<String> {
            let deadline = Instant::now() + Duration::from_secs(20);
            while self.folder.path().join("joining").exists() {
                assert!(Instant::now() < deadline, "the job's files stay");
                std::thread::sleep(Duration::from_millis(5));
            }
            std::fs::read_to_string(self.folder.path().join("cancelled")).ok()
        }
    }

    #[tokio::test]
    async fn a_job_that_is_dropped_is_cancelled_and_one_that_has_joined_is_not() {
        for (joins, cancelled) in [(false, Some("4711.host\n".to_owned())), (true, None)] {
            let fake = Fake::new();
            let mut guard = fake.submit("read line; echo \"Job <4711.host> is $line $1\"", 0).await.unwrap();
            assert_eq!(guard.job(), "4711.host");
            if joins {
                guard.joined();
            }
            drop(guard);
            assert_eq!(fake.left(), cancelled);
        }
    }

    #[tokio::test]
    async fn who_is_killed_cancels_what_has_not_begun() {
        for (begun, cancelled) in [(false, Some("5\n".to_owned())), (true, None)] {
            let fake = Fake::new();
            let mut guard = fake.submit("echo 5", 0).await.unwrap();
            if begun {
                std::fs::write(fake.files.join(BEGUN), "").unwrap();
            }
            // Nothing is said: as the system closes what a killed process had.
            guard.words = None;
            assert_eq!(fake.left(), cancelled);
        }
    }

    #[tokio::test]
    async fn what_is_refused_is_told() {
        let fake = Fake::new();
        let why = fake.submit("echo no such queue; echo at all >&2; exit 1", 0).await.unwrap_err();
        assert!(why.ends_with("submit: no such queue; at all"), "{why}");
        assert_eq!(fake.left(), None);
        let why = Fake::new().submit("echo hello", 0).await.unwrap_err();
        assert!(why.ends_with("submit: it told no number: hello"), "{why}");
    }
}
