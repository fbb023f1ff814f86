//! A kernel whose cells are commands. It is this very test program, started again with one test to run: the kernel.

use chorus_jupyter::content::{self, ExecuteRequest, Failure};
use chorus_jupyter::{ConnectionInfo, ExecutionState, IoPub, KernelSockets, Message, Receiver, Sender, server};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Notify;

/// The connection file's path passes for one more name of a test to run; no test is called so.
pub fn command() -> Vec<OsString> {
    let name = format!("{}::the_kernel", module_path!().split_once("::").expect("a module").1);
    let program = std::env::current_exe().expect("a test program");
    let words = ["--ignored", "--exact", "--nocapture", &name, "{connection_file}"].map(OsString::from);
    std::iter::once(program.into_os_string()).chain(words).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the other tests as their kernel"]
async fn the_kernel() {
    let Some(file) = std::env::args().find(|word| word.ends_with("connection.json")) else { return };
    let info = ConnectionInfo::read(Path::new(&file)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sockets = KernelSockets::bind(&info, folder.path()).await.unwrap();
    let KernelSockets { mut shell, control, mut stdin, iopub } = sockets;
    let interrupted = Arc::new(Notify::new());
    tokio::spawn(serve_control(control, iopub.clone(), interrupted.clone()));
    let mut count = 0;
    while let Some(request) = shell.0.recv().await {
        let parent = Some(&request.header);
        iopub.status(parent, ExecutionState::Busy).await.unwrap();
        let (msg_type, content) = if request.msg_type() == "execute_request" {
            count += 1;
            let mut content = match execute(&request, count, &iopub, &mut stdin, &interrupted).await {
                Ok(()) => json!({"status": "ok"}),
                Err(failure) => failure.reply(),
            };
            content["execution_count"] = json!(count);
            ("execute_reply", content)
        } else {
            ("kernel_info_reply", json!({"status": "ok"}))
        };
        shell.1.send(Message::reply_to(&request, msg_type, content)).await;
        iopub.status(parent, ExecutionState::Idle).await.unwrap();
    }
}

async fn serve_control((mut requests, replies): (Receiver, Sender), iopub: IoPub, interrupted: Arc<Notify>) {
    while let Some(request) = requests.recv().await {
        interrupted.notify_one();
        let reply = request.msg_type().replace("_request", "_reply");
        replies.send(Message::reply_to(&request, &reply, json!({"status": "ok"}))).await;
        if request.msg_type() == "shutdown_request" {
            iopub.flush().await.unwrap();
            tokio::time::sleep(server::LINGER).await;
            std::process::exit(0);
        }
    }
}

async fn execute(
    request: &Message,
    count: u64,
    iopub: &IoPub,
    stdin: &mut (Receiver, Sender),
    interrupted: &Notify,
) -> Result<(), Failure> {
    let ExecuteRequest { code, allow_stdin, .. } = request.content_as().unwrap();
    let send = async |msg_type, content| iopub.send(Some(&request.header), msg_type, content).await.unwrap();
    let print = async |text: &str| send("stream", content::stream("stdout", &format!("{text}\n"))).await;
    let plain = |text: &str| Map::from_iter([("text/plain".to_owned(), Value::from(text))]);
    let fail = async |ename: &str| {
        let traceback = vec!["line 1".to_owned(), "line 2".to_owned()];
        let failure = Failure { ename: ename.into(), evalue: "as asked".into(), traceback };
        send("error", failure.publication()).await;
        Err(failure)
    };
    send("execute_input", content::execute_input(&code, count)).await;
    let (word, rest) = code.split_once(' ').unwrap_or((&code, ""));
    match (word, rest) {
        ("print", text) => print(text).await,
        ("result", text) => send("execute_result", content::execute_result(count, plain(text))).await,
        ("progress", _) => {
            send("display_data", content::display_data(plain("0%"), Some("bar"))).await;
            send("update_display_data", content::display_data(plain("100%"), Some("bar"))).await;
        }
        ("environment", _) => {
            let folder = std::env::current_dir().unwrap();
            print(&format!("{} {}", std::env::var("CHORUS_ENGINES").unwrap(), folder.display())).await;
        }
        ("ask", _) if !allow_stdin => print("allow_stdin is false").await,
        ("ask", _) => {
            let question = json!({"prompt": "name? ", "password": false});
            stdin.1.send(Message::reply_to(request, "input_request", question)).await;
            let answer = stdin.0.recv().await.unwrap();
            print(answer.content["value"].as_str().unwrap()).await;
        }
        ("sleep", _) => {
            print("started").await;
            interrupted.notified().await;
            return fail("KeyboardInterrupt").await;
        }
        ("hang", _) => {
            print("started").await;
            std::future::pending::<()>().await;
        }
        ("die", _) => {
            print("last output").await;
            iopub.flush().await.unwrap();
            eprintln!("giving up");
            std::process::exit(7);
        }
        ("fail", "quietly") => {
            return Err(Failure { ename: "Quiet".into(), evalue: "no traceback".into(), traceback: vec![] });
        }
        _ => return fail("Failed").await,
    }
    Ok(())
}
