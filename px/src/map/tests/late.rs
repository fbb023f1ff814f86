//! An item that takes too long ends its process, so this test runs in one of its own.

use super::host::{Setting, with};
use crate::link::OnError;
use crate::map::start;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};

const CHILD: &str = "PX_TEST_LATE";

#[test]
fn an_item_that_takes_too_long_is_reported_and_its_process_ends() {
    if std::env::var_os(CHILD).is_some() {
        with(Setting { engines: 1, most: 50, timeout: 300, on_error: OnError::Skip, ..Setting::default() });
        let handle = start!(crate::over!(0..1000), (), |(), px_items| {
            px_items
                .map(|n| {
                    if n == 70 {
                        loop {
                            std::thread::park();
                        }
                    }
                })
                .collect()
        });
        handle.get().expect("it never ends");
    }
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "map::tests::late::an_item_that_takes_too_long_is_reported_and_its_process_ends",
            "--nocapture",
        ])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut told = String::new();
    child.stderr.take().expect("it is piped").read_to_string(&mut told).expect("text");
    let status = child.wait().expect("it ends");
    assert_eq!(status.signal(), Some(9), "{told}");
    let failure = r#"ItemFailure { item: 70, value: Some("70"), message: "took longer than 0.3 s" }"#;
    assert!(told.contains(&format!("{failure}, the one before is reported: true")), "{told}");
}
