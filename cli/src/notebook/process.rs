//! The kernel's process: started, watched, ended.

use chorus_protocol::Death;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// How many of the last lines on its stderr are kept, for when it dies.
const TAIL: usize = 15;

/// A kernel that we started. It is killed when this is dropped, and when our own process dies.
pub struct KernelProcess {
    child: Child,
    tail: Arc<Mutex<VecDeque<String>>>,
    reader: JoinHandle<()>,
}

impl KernelProcess {
    /// Starts `command`, in which `{connection_file}` stands for that path, as in a kernel.json.
    pub fn start(
        command: &[OsString],
        connection_file: &Path,
        engines: Option<u32>,
        folder: &Path,
    ) -> io::Result<KernelProcess> {
        let mut words = command.iter().map(|word| match word.to_str() {
            Some("{connection_file}") => connection_file.as_os_str().to_owned(),
            _ => word.clone(),
        });
        let program = words.next().ok_or_else(|| io::Error::other("the kernel's command is empty"))?;
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(folder)
            // Jupyter's way of telling a kernel whose child it is.
            .env("JPY_PARENT_PID", std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C is for us; the kernel gets an interrupt_request.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(engines) = engines {
            command.env("CHORUS_ENGINES", engines.to_string());
        }
        chorus_system::parent::terminate_with_us(command.as_std_mut());
        let mut child = command.spawn()?;
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let stderr = child.stderr.take();
        let lines = tail.clone();
        let reader = tokio::spawn(async move {
            let Some(stderr) = stderr else { return };
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line).await, Ok(1..)) {
                let mut lines = lines.lock();
                lines.truncate(TAIL - 1);
                lines.push_front(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        });
        Ok(KernelProcess { child, tail, reader })
    }

    /// Waits until it has ended; says how, and what it wrote last. Dropping the future changes nothing.
    pub async fn death(&mut self) -> String {
        let status = match self.child.wait().await {
            Ok(status) => how(status),
            Err(error) => format!("is lost: {error}"),
        };
        // Its own children may hold the pipe open, so the end of the pipe isn't waited for for long.
        let _ = tokio::time::timeout(Duration::from_millis(200), &mut self.reader).await;
        let mut message = format!("the kernel {status}");
        let lines = self.tail.lock();
        if !lines.is_empty() {
            message.push_str("; its last lines on stderr:");
        }
        for line in lines.iter().rev() {
            message.push_str("\n    ");
            message.push_str(line);
        }
        message
    }

    /// Waits for its end for this long.
    pub async fn ends_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.child.wait()).await.is_ok()
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(&mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!(%error, "the kernel was gone already");
        }
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => Death::Exit(code).to_string(),
        (None, Some(signal)) => Death::Signal(signal).to_string(),
        (None, None) => "ended".to_owned(),
    }
}
