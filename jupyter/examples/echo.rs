//! A whole kernel in a page: it answers each cell with the cell's own text.
//!
//! Run it as Jupyter would, `echo CONNECTION_FILE`. `fail`, `ask` and `print N` are its three commands.

use chorus_jupyter::content::{self, ExecuteRequest, Failure};
use chorus_jupyter::{ConnectionInfo, ExecutionState, KernelSockets, Message, Receiver, Sender, server};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let path = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: echo CONNECTION_FILE")?);
    let folder = tempfile::tempdir()?;
    serve(KernelSockets::bind(&ConnectionInfo::read(&path)?, folder.path()).await?).await
}

/// Serves until somebody asks for a shutdown.
pub async fn serve(sockets: KernelSockets) -> Result<(), Error> {
    let KernelSockets { mut shell, mut control, mut stdin, iopub } = sockets;
    let mut count = 0;
    iopub.status(None, ExecutionState::Starting).await?;
    loop {
        let (request, replies) = tokio::select! {
            Some(request) = control.0.recv() => (request, &control.1),
            Some(request) = shell.0.recv() => (request, &shell.1),
            else => return Ok(()),
        };
        let parent = Some(&request.header);
        iopub.status(parent, ExecutionState::Busy).await?;
        let content = match request.msg_type() {
            "kernel_info_request" => json!({
                "status": "ok", "protocol_version": "5.5", "implementation": "echo", "implementation_version": "1",
                "language_info": {"name": "echo", "version": "1", "mimetype": "text/plain", "file_extension": ".txt"},
                "banner": "echo", "help_links": [],
            }),
            "execute_request" => {
                count += 1;
                let outcome = execute(&request, count, &iopub, &mut stdin).await?;
                let mut reply = outcome.map_or_else(|failure| failure.reply(), |()| json!({"status": "ok"}));
                reply["execution_count"] = json!(count);
                reply
            }
            "shutdown_request" => json!({"status": "ok", "restart": request.content["restart"]}),
            other => Failure { ename: "Unknown".into(), evalue: other.into(), ..Default::default() }.reply(),
        };
        replies.send(Message::reply_to(&request, &request.msg_type().replace("_request", "_reply"), content)).await;
        iopub.status(parent, ExecutionState::Idle).await?;
        if request.msg_type() == "shutdown_request" {
            iopub.flush().await?;
            tokio::time::sleep(server::LINGER).await;
            return Ok(());
        }
    }
}

async fn execute(
    request: &Message,
    count: u64,
    iopub: &chorus_jupyter::IoPub,
    stdin: &mut (Receiver, Sender),
) -> Result<Result<(), Failure>, Error> {
    let parent = Some(&request.header);
    let code = match request.content_as::<ExecuteRequest>() {
        Ok(execute) => execute.code,
        Err(error) => {
            return Ok(Err(Failure { ename: "Request".into(), evalue: error.to_string(), ..Default::default() }));
        }
    };
    iopub.send(parent, "execute_input", content::execute_input(&code, count)).await?;
    let text = if code == "fail" {
        let failure = Failure { ename: "Failed".into(), evalue: "as asked".into(), traceback: vec!["here".into()] };
        iopub.send(parent, "error", failure.publication()).await?;
        return Ok(Err(failure));
    } else if let Some(lines) = code.strip_prefix("print ").and_then(|n| n.parse::<u64>().ok()) {
        for line in 0..lines {
            iopub.send(parent, "stream", content::stream("stdout", &format!("{line}\n"))).await?;
        }
        code
    } else if code == "ask" {
        let question = json!({"prompt": "name? ", "password": false});
        stdin.1.send(Message::reply_to(request, "input_request", question)).await;
        let answer = stdin.0.recv().await.ok_or("stdin is closed")?;
        answer.content["value"].as_str().unwrap_or_default().to_owned()
    } else {
        code
    };
    let data = Map::from_iter([("text/plain".to_owned(), Value::String(text))]);
    iopub.send(parent, "execute_result", content::execute_result(count, data)).await?;
    Ok(Ok(()))
}
