//! Kernel's side against client's side, over real sockets.

// Its `main` is for those who run it as a program.
#[allow(dead_code)]
#[path = "../examples/echo.rs"]
mod echo;

use chorus_jupyter::content::{self, ExecuteRequest};
use chorus_jupyter::{
    Channel, ClientError, ConnectionInfo, ExecutionState, KernelClient, KernelSockets, Message, PendingReply,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

async fn start(info: &ConnectionInfo) -> (KernelClient, JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let sockets = KernelSockets::bind(info, folder.path()).await.unwrap();
    let kernel = tokio::spawn(async move {
        echo::serve(sockets).await.unwrap();
        drop(folder);
    });
    (KernelClient::connect(info, SOON).await.unwrap(), kernel)
}

/// What is published for this request, up to idle, and its reply.
async fn outputs(client: &mut KernelClient, request: PendingReply) -> (Vec<Message>, Message) {
    let id = request.msg_id().to_owned();
    let mut messages = Vec::new();
    loop {
        let message = timeout(SOON, client.iopub.recv()).await.expect("iopub goes on until idle").unwrap();
        if message.parent_id() == Some(&id) {
            let idle = message.content["execution_state"] == "idle";
            messages.push(message);
            if idle {
                return (messages, timeout(SOON, request).await.expect("a reply comes with idle").unwrap());
            }
        }
    }
}

async fn run(client: &mut KernelClient, code: &str) -> (Vec<Message>, Message) {
    let request = client.execute(&ExecuteRequest::new(code)).await.unwrap();
    outputs(client, request).await
}

async fn a_session(info: ConnectionInfo) {
    let (mut client, kernel) = start(&info).await;
    assert_eq!(client.kernel_info()["implementation"], "echo");
    assert!(client.is_alive(SOON).await);
    assert!(client.is_alive(SOON).await, "twice on one socket");

    let (messages, reply) = run(&mut client, "hello").await;
    let types: Vec<_> = messages.iter().map(Message::msg_type).collect();
    assert_eq!(types, ["status", "execute_input", "execute_result", "status"]);
    assert_eq!(messages[2].content["data"]["text/plain"], "hello");
    assert_eq!(reply.content, json!({"status": "ok", "execution_count": 1}));

    let (messages, reply) = run(&mut client, "fail").await;
    assert_eq!(messages[2].msg_type(), "error");
    assert_eq!((&reply.content["status"], &reply.content["execution_count"]), (&json!("error"), &json!(2)));

    let shutdown = client.request(Channel::Control, "shutdown_request", json!({"restart": false})).await.unwrap();
    let (messages, reply) = outputs(&mut client, shutdown).await;
    assert_eq!(messages.len(), 2);
    assert_eq!(reply.msg_type(), "shutdown_reply");
    timeout(SOON, kernel).await.expect("the kernel ends").unwrap();
}

#[tokio::test]
async fn a_session_over_tcp() {
    a_session(ConnectionInfo::local_tcp().unwrap()).await;
}

#[tokio::test]
async fn a_session_over_ipc_and_one_after_a_killed_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let info = ConnectionInfo::ipc(folder.path()).unwrap();
    // What a killed kernel leaves: the socket's file, with nobody behind it.
    let stale = info.shell_endpoint().replace("ipc://", "");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(std::fs::exists(&stale).unwrap());
    a_session(info).await;
}

#[tokio::test]
async fn a_client_may_come_before_its_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let info = ConnectionInfo::ipc(folder.path()).unwrap();
    let connecting = tokio::spawn({
        let info = info.clone();
        async move { KernelClient::connect(&info, SOON).await }
    });
    tokio::task::yield_now().await;
    let sockets = KernelSockets::bind(&info, folder.path()).await.unwrap();
    tokio::spawn(async move { echo::serve(sockets).await.unwrap() });
    connecting.await.unwrap().unwrap();
}

#[tokio::test]
async fn two_kernels_cannot_share_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let info = ConnectionInfo::ipc(folder.path()).unwrap();
    let (_client, _kernel) = start(&info).await;
    let error = KernelSockets::bind(&info, folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("Is another kernel using"), "{error}");
}

#[tokio::test]
async fn input_is_asked_of_the_client_that_runs_the_cell() {
    let folder = tempfile::tempdir().unwrap();
    let info = ConnectionInfo::ipc(folder.path()).unwrap();
    let (mut client, _kernel) = start(&info).await;
    let mut other = KernelClient::connect(&info, SOON).await.unwrap();

    let request = client.execute(&ExecuteRequest::new("ask")).await.unwrap();
    let question = timeout(SOON, client.stdin.recv()).await.expect("the question comes").unwrap();
    assert_eq!(question.content["prompt"], "name? ");
    assert_eq!(question.parent_id(), Some(request.msg_id()));
    client.answer_input(&question, "Ferris").await.unwrap();
    let (messages, _) = outputs(&mut client, request).await;
    assert_eq!(messages[2].content["data"]["text/plain"], "Ferris");
    assert!(other.stdin.try_recv().is_err());
}

#[tokio::test]
async fn a_slow_reader_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let info = ConnectionInfo::ipc(folder.path()).unwrap();
    let (mut client, _kernel) = start(&info).await;
    // Far more than all queues on the way hold together: the kernel has to wait for us.
    const LINES: usize = 20_000;
    let request = client.execute(&ExecuteRequest::new(format!("print {LINES}"))).await.unwrap();
    let question = client.request(Channel::Control, "kernel_info_request", json!({})).await.unwrap();
    let (messages, _) = outputs(&mut client, request).await;
    let lines: Vec<_> = messages.iter().filter(|m| m.msg_type() == "stream").collect();
    assert_eq!(lines.len(), LINES);
    assert!(lines.iter().enumerate().all(|(n, line)| line.content["text"] == format!("{n}\n")));
    timeout(SOON, question).await.expect("the kernel goes on").unwrap();
}

#[tokio::test]
async fn what_is_published_before_the_first_subscription_arrives_after_a_welcome() {
    let folder = tempfile::tempdir().unwrap();
    let info = ConnectionInfo::ipc(folder.path()).unwrap();
    let sockets = KernelSockets::bind(&info, folder.path()).await.unwrap();
    sockets.iopub.status(None, ExecutionState::Starting).await.unwrap();
    let iopub = sockets.iopub.clone();
    let kernel = tokio::spawn(async move { echo::serve(sockets).await });

    let mut socket = <zeromq::SubSocket as zeromq::Socket>::new();
    zeromq::Socket::connect(&mut socket, &info.iopub_endpoint()).await.unwrap();
    socket.subscribe("").await.unwrap();
    let signer = chorus_jupyter::Signer::new(&info.key);
    let mut next = async || {
        let frames = timeout(SOON, zeromq::SocketRecv::recv(&mut socket)).await.expect("a publication").unwrap();
        Message::decode(&frames.into_vec(), &signer).unwrap()
    };
    let welcome = next().await;
    assert_eq!((welcome.msg_type(), &welcome.content), ("iopub_welcome", &json!({"subscription": ""})));
    assert_eq!(next().await.content["execution_state"], "starting");
    assert_eq!(next().await.content["execution_state"], "starting", "the kernel's own");

    let publication = Message::publication(None, iopub.session(), "stream", content::stream("stdout", "x"));
    iopub.publish(publication).await.unwrap();
    iopub.flush().await.unwrap();
    assert_eq!(next().await.content["text"], "x");
    kernel.abort();
}

#[tokio::test]
async fn without_a_subscriber_publishing_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let info = ConnectionInfo::ipc(folder.path()).unwrap();
    let sockets = KernelSockets::bind(&info, folder.path()).await.unwrap();
    let flood = async {
        for n in 0..5000 {
            sockets.iopub.send(None, "stream", content::stream("stdout", &n.to_string())).await.unwrap();
        }
        sockets.iopub.flush().await.unwrap();
    };
    timeout(SOON, flood).await.expect("what nobody reads is dropped in the end");
}

#[tokio::test]
async fn unsigned_and_senseless_requests_are_survived() {
    let folder = tempfile::tempdir().unwrap();
    let info = ConnectionInfo::ipc(folder.path()).unwrap();
    let (mut client, _kernel) = start(&info).await;

    let forged = ConnectionInfo { key: "wrong".into(), ..info.clone() };
    let error = KernelClient::connect(&forged, Duration::from_millis(300)).await.err().expect("no answer to a forger");
    assert!(matches!(error, ClientError::NotReady { missing, .. } if missing.contains("kernel_info_request")));

    for content in [json!({}), json!({"code": 7}), Value::Null] {
        let request = client.request(Channel::Shell, "execute_request", content).await.unwrap();
        let reply = timeout(SOON, request).await.expect("even this is answered").unwrap();
        assert_eq!(reply.content["status"], "error");
    }
    let mut message = Message::new("nonsense_request", client.session(), json!({}));
    message.header.0.insert("subshell_id".into(), json!("s"));
    let request = client.request_message(Channel::Control, message).await.unwrap();
    let reply = timeout(SOON, request).await.expect("an unknown request is answered").unwrap();
    assert_eq!(reply.content["evalue"], "nonsense_request");
    assert_eq!(reply.parent_header.unwrap().subshell_id(), Some("s"));
}

#[tokio::test]
async fn nobody_there_is_said_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let info = ConnectionInfo::ipc(folder.path()).unwrap();
    let error = KernelClient::connect(&info, Duration::from_millis(100)).await.err().expect("there is no kernel");
    assert!(error.to_string().contains("iopub socket at ipc://"), "{error}");
}
