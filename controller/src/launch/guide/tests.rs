use super::*;
use std::path::PathBuf;

fn launch() -> Launch {
    let program = PathBuf::from("/bin/sh");
    Launch::new(program, vec!["run it".into()]).after(vec!["cd /x".to_owned()])
}

fn waiting(reasons: &[Option<&str>]) -> (Tasks, Vec<oneshot::Receiver<String>>) {
    let mut tasks = Tasks::default();
    let mut fails = Vec::new();
    for (number, reason) in reasons.iter().enumerate() {
        let (failed, receiver) = oneshot::channel();
        let waits = Some(reason.map(str::to_owned));
        tasks.waiting.insert(number as u64, Waiting { failed, waits });
        fails.push(receiver);
    }
    (tasks, fails)
}

fn hear(tasks: &mut Tasks, line: &str) {
    tasks.hear(serde_json::from_str(line).unwrap());
}

#[test]
fn what_a_guide_says_is_heard() {
    let (mut tasks, mut fails) = waiting(&[None, None, None]);
    hear(&mut tasks, r#"{"ready": true}"#);
    assert!(tasks.is_ready);
    hear(&mut tasks, r#"{"waits": [0, "no room"]}"#);
    hear(&mut tasks, r#"{"begun": 1}"#);
    hear(&mut tasks, r#"{"begun": 7}"#);
    let reasons: Vec<_> = tasks.waiting.values().map(|it| it.waits.clone()).collect();
    assert_eq!(reasons, [Some(Some("no room".to_owned())), None, Some(None)]);
    hear(&mut tasks, r#"{"ended": [1, "it broke"]}"#);
    assert_eq!(fails[1].try_recv().as_deref(), Ok("it broke"));
    hear(&mut tasks, r#"{"ended": [0, null]}"#);
    assert!(fails[0].try_recv().unwrap().contains("has joined and left"));
    hear(&mut tasks, r#"{"failed": "no scheduler"}"#);
    assert_eq!(fails[2].try_recv().as_deref(), Ok("no scheduler"));
    assert!(tasks.waiting.is_empty());
    tasks.end("later".to_owned());
    assert_eq!(tasks.ended.as_deref(), Some("no scheduler"), "the first reason holds");
}

#[tokio::test]
async fn a_guide_is_told_what_is_to_run() {
    let guide = Guide {
        kind: Kind::Dask,
        address: Some("tcp://a:1".into()),
        command: ["conda", "run", "python3"].map(str::to_owned).to_vec(),
        cores: Some(2),
        memory: None,
    };
    let words = guide.words("abc");
    assert_eq!(words[..4], ["conda", "run", "python3", "-c"]);
    assert!(words[4].contains("read(3)"), "{}", words[4]);
    let program = Program::read(&launch()).await.unwrap();
    let spec = guide.spec(&launch(), &program, "lab");
    assert_eq!((&spec["job"], &spec["cores"], &spec["memory"]), (&json!("chorus-lab"), &json!(2), &Value::Null));
    assert_eq!((&spec["file"], &spec["program"]), (&json!("sh"), &json!("/bin/sh")));
    let script = spec["script"].as_str().unwrap();
    assert!(script.contains("{ cd /x\n}") && script.ends_with("exec \"$1\" 'run it' outpost"), "{script}");
}

#[test]
fn sizes_are_read_as_both_write_them() {
    assert_eq!(bytes("1000"), Ok(1000));
    assert_eq!(bytes("4G"), Ok(4_000_000_000));
    assert_eq!(bytes("4GB"), Ok(4_000_000_000));
    assert_eq!(bytes("1.5GiB"), Ok(3 << 29));
    assert_eq!(bytes("512 MiB"), Ok(512 << 20));
    for wrong in ["", "G", "-1G", "4X", "0", "1e400", "nan"] {
        assert!(bytes(wrong).unwrap_err().contains("4GB"), "{wrong}");
    }
}

/// A guide that ends says why by what it wrote last, and one that can't begin by that.
#[tokio::test]
async fn a_guide_that_ends_fails_what_waits() {
    let words = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();
    let limit = Duration::from_secs(20);
    let running = Running::start_one(&words("read first; read line; echo no >&2; echo such module >&2"), "{}\n", "h");
    let running = Arc::new(running.unwrap());
    let (task, failed) = running.start("invitation").unwrap();
    let why = tokio::time::timeout(limit, failed).await.unwrap().unwrap();
    assert_eq!(why, "sh has ended: no; such module");
    drop(task);
    assert_eq!(running.start("invitation").map(|_| ()).unwrap_err(), why);
    assert!(Running::start_one(&["/nowhere/python3".to_owned()], "", "").is_err());
}

/// What is dropped is said; and at the end of all, so is that.
#[tokio::test]
async fn a_guide_hears_what_becomes_of_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let heard = folder.path().join("heard");
    let words = ["sh".to_owned(), "-c".to_owned(), format!("cat > {0}.new; mv {0}.new {0}", heard.display())];
    let running = Arc::new(Running::start_one(&words, "first\n", "h").unwrap());
    let (mut joined, _fails) = running.start("a").unwrap();
    let (dropped, _fails) = running.start("b").unwrap();
    joined.has_joined = true;
    drop((joined, dropped, running));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while !heard.exists() {
        assert!(std::time::Instant::now() < deadline, "it doesn't end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let expected =
        "first\n{\"invitation\":\"a\",\"start\":1}\n{\"invitation\":\"b\",\"start\":2}\n{\"joined\":1}\n{\"drop\":2}\n";
    assert_eq!(std::fs::read_to_string(&heard).unwrap(), expected);
}
