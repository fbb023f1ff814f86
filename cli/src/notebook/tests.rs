//! Whole runs, against a kernel in a process of its own.

use super::run::{Stop, run_until};
use super::screen::tests::Page;
use super::*;
use serde_json::{Value, json};
use std::time::Instant;
use tokio::sync::mpsc;

mod toy;

/// Never reached when all is well; what hangs fails with it.
const AT_MOST: Duration = Duration::from_secs(60);

struct Bench {
    folder: tempfile::TempDir,
    out: Page,
    err: Page,
    stops: mpsc::Sender<Stop>,
    stop: Option<mpsc::Receiver<Stop>>,
    options: Option<RunOptions>,
}

impl Bench {
    /// A notebook with these code cells, written to a folder of its own.
    fn new(cells: &[&str]) -> Bench {
        let cells: Vec<_> = cells
            .iter()
            .map(|source| {
                // A cell that may fail begins with `#`, which the toy kernel doesn't see.
                let (source, tags) = source
                    .strip_prefix('#')
                    .map_or((*source, json!([])), |source| (source, json!(["raises-exception"])));
                json!({"cell_type": "code", "id": source, "metadata": {"tags": tags}, "source": source,
                       "outputs": [{"output_type": "stream", "name": "stdout", "text": "old"}], "execution_count": 99})
            })
            .collect();
        let notebook = json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kept": true}, "cells": cells});
        Bench::with_text(&notebook.to_string())
    }

    fn with_text(text: &str) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let (out, err) = (Page::default(), Page::default());
        let notebook = folder.path().join("test.ipynb");
        std::fs::write(&notebook, text).unwrap();
        let options = RunOptions {
            kernel: toy::command(),
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            terminal: None,
            ask: None,
            ..RunOptions::new(notebook, None, anstream::ColorChoice::Never).unwrap()
        };
        let (stops, stop) = mpsc::channel(4);
        Bench { folder, out, err, stops, stop: Some(stop), options: Some(options) }
    }

    fn set(mut self, change: impl FnOnce(&mut RunOptions)) -> Bench {
        change(self.options.as_mut().unwrap());
        self
    }

    /// Writes the executed notebook beside the notebook.
    fn writing(self) -> Bench {
        let path = self.folder.path().join("out.ipynb");
        self.set(|options| options.output = Some(Output::File(path)))
    }

    async fn run(&mut self) -> Result<Finished, RunError> {
        let run = run_until(self.options.take().unwrap(), self.stop.take().unwrap());
        tokio::time::timeout(AT_MOST, run).await.expect("a run comes to an end")
    }

    /// The cells of the executed notebook.
    fn cells(&self) -> Vec<Value> {
        let text = std::fs::read(self.folder.path().join("out.ipynb")).unwrap();
        let notebook: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(notebook["metadata"], json!({"kept": true}));
        notebook["cells"].as_array().unwrap().clone()
    }

    async fn wait_for_output(out: Page, text: &'static str) {
        let start = Instant::now();
        while !out.text().contains(text) {
            assert!(start.elapsed() < AT_MOST, "waited for {text:?}, got {:?}", out.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn cells_run_in_order_and_the_notebook_is_written() {
    let mut bench = Bench::new(&["print a", "result 42", "progress"]).writing();
    let finished = bench.run().await.unwrap();
    assert_eq!(finished, Finished { ending: Ending::Complete, ran: 3, of: 3 });
    assert_eq!(bench.out.text(), "[1/3] print a\na\n[2/3] result 42\n42\n[3/3] progress\n100%\n");
    assert_eq!(bench.err.text(), "");
    let cells = bench.cells();
    assert_eq!(cells[0]["outputs"], json!([{"output_type": "stream", "name": "stdout", "text": ["a\n"]}]));
    assert_eq!(cells[1]["outputs"][0]["data"]["text/plain"], json!(["42"]));
    assert_eq!(cells[2]["outputs"][0]["data"]["text/plain"], json!(["100%"]));
    let counts: Vec<_> = cells.iter().map(|cell| cell["execution_count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [1, 2, 3]);
}

#[tokio::test]
async fn without_an_output_nothing_is_written() {
    let mut bench = Bench::new(&["print a"]);
    let before = std::fs::read(bench.folder.path().join("test.ipynb")).unwrap();
    assert_eq!(bench.run().await.unwrap().exit_code(), 0);
    assert_eq!(std::fs::read(bench.folder.path().join("test.ipynb")).unwrap(), before);
    assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn the_notebook_may_replace_itself_or_go_to_stdout() {
    let mut bench = Bench::new(&["print a"]);
    let path = bench.folder.path().join("test.ipynb");
    bench = bench.set(|options| options.output = Some(Output::File(options.notebook.clone())));
    bench.run().await.unwrap();
    let mut first: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(first["cells"][0]["outputs"][0]["text"], json!(["a\n"]));

    let mut bench = Bench::with_text(&first.to_string()).set(|options| options.output = Some(Output::Stdout));
    bench.run().await.unwrap();
    let mut second: Value = serde_json::from_str(&bench.out.text()).unwrap();
    for notebook in [&mut first, &mut second] {
        let times = notebook["cells"][0]["metadata"].as_object_mut().unwrap().remove("execution").unwrap();
        let expected = ["iopub.execute_input", "iopub.status.busy", "iopub.status.idle", "shell.execute_reply"];
        assert_eq!(times.as_object().unwrap().keys().collect::<Vec<_>>(), expected);
    }
    assert_eq!(second, first);
    assert_eq!(bench.err.text(), "[1/1] print a\na\n");
}

#[tokio::test]
async fn the_first_failing_cell_ends_the_run_but_is_written() {
    let mut bench = Bench::new(&["#fail", "print a", "fail", "print b"]).writing();
    let finished = bench.run().await.unwrap();
    assert_eq!((finished.clone(), finished.exit_code()), (Finished { ending: Ending::Failed, ran: 3, of: 4 }, 1));
    assert_eq!(bench.err.text(), "line 1\nline 2\nline 1\nline 2\ncell 3 of 4 failed; 1 cell wasn't run\n");
    let cells = bench.cells();
    assert_eq!(cells[2]["outputs"][0]["ename"], "Failed");
    assert_eq!((&cells[3]["outputs"], &cells[3]["execution_count"]), (&json!([]), &Value::Null));
}

#[tokio::test]
async fn where_errors_are_allowed_the_run_goes_on() {
    let mut bench =
        Bench::new(&["fail", "print a", "fail quietly"]).writing().set(|options| options.allow_errors = true);
    let finished = bench.run().await.unwrap();
    assert_eq!((finished.clone(), finished.exit_code()), (Finished { ending: Ending::Complete, ran: 3, of: 3 }, 0));
    let cells = bench.cells();
    assert_eq!(cells[0]["outputs"][0]["ename"], "Failed");
    assert_eq!(cells[1]["outputs"][0]["text"], json!(["a\n"]));
}

#[tokio::test]
async fn a_failure_that_only_the_reply_tells_is_shown_too() {
    let mut bench = Bench::new(&["fail quietly"]).writing();
    assert_eq!(bench.run().await.unwrap().ending, Ending::Failed);
    assert_eq!(bench.err.text(), "Quiet: no traceback\ncell 1 of 1 failed\n");
    assert_eq!(bench.cells()[0]["outputs"][0]["evalue"], "no traceback");
}

#[tokio::test]
async fn a_cell_over_its_time_is_interrupted_and_a_stubborn_one_killed() {
    for (cell, error) in [("sleep", "KeyboardInterrupt"), ("hang", "TimedOut")] {
        let mut bench = Bench::new(&["print a", cell, "print b"])
            .writing()
            .set(|options| options.timeout = Some(Duration::from_millis(300)));
        let finished = bench.run().await.unwrap();
        assert_eq!((finished.ending.clone(), finished.ran, finished.exit_code()), (Ending::TimedOut, 2, 124));
        assert_eq!(bench.cells()[1]["outputs"][1]["ename"], error, "{cell}");
        assert!(bench.err.text().ends_with("cell 2 of 3 took longer than 0.3 s; 1 cell wasn't run\n"));
    }
}

#[tokio::test]
async fn where_errors_are_allowed_a_cell_over_its_time_ends_alone() {
    for (cell, ran, code) in [("sleep", 3, 0), ("hang", 2, 124)] {
        let mut bench = Bench::new(&["print a", cell, "print b"]).writing().set(|options| {
            options.timeout = Some(Duration::from_millis(300));
            options.allow_errors = true;
        });
        let finished = bench.run().await.unwrap();
        assert_eq!((finished.ran, finished.exit_code()), (ran, code), "{cell}");
        let outputs = bench.cells()[1]["outputs"].clone();
        let last = outputs.as_array().unwrap().last().unwrap();
        assert_eq!(last["ename"], "TimedOut");
        assert!(last["evalue"].as_str().unwrap().starts_with("the cell took longer than 0.3 s and "), "{last}");
    }
}

#[tokio::test]
async fn reports_say_what_became_of_each_cell() {
    let mut bench = Bench::new(&["print a", "#fail", "fail", "print b"]).set(|options| options.times = true);
    let (junit, json) = (bench.folder.path().join("junit.xml"), bench.folder.path().join("report.json"));
    bench = bench.set(|options| (options.junit, options.json) = (Some(junit.clone()), Some(json.clone())));
    assert_eq!(bench.run().await.unwrap().exit_code(), 1);
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(
        junit.contains("<testsuite name=\"test\" tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"1\""),
        "{junit}"
    );
    let json: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let statuses: Vec<_> =
        json["cells"].as_array().unwrap().iter().map(|cell| cell["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["passed", "expected failure", "failed", "not run"]);
    assert_eq!(json["cells"][2]["error"], json!({"ename": "Failed", "evalue": "as asked", "text": "line 1\nline 2"}));
    assert!(json["cells"][0]["seconds"].as_f64().unwrap() > 0.0 && json["cells"][3]["seconds"].is_null());
    let err = bench.err.text();
    assert!(
        err.contains(" s  [1/4] print a\n") && err.contains("-  [4/4] print b\n") && err.ends_with(" s  in all\n"),
        "{err}"
    );

    let shell = |script: &str| vec!["sh".into(), "-c".into(), script.into()];
    let mut bench = Bench::new(&["print a"]).set(|options| options.kernel = shell("exit 3"));
    let json = bench.folder.path().join("report.json");
    bench = bench.set(|options| options.json = Some(json.clone()));
    bench.run().await.unwrap();
    let json: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!((&json["status"], &json["cells"][0]["status"]), (&json!("kernel died"), &json!("kernel died")));

    let nowhere = |options: &mut RunOptions| options.junit = Some("/no/such/folder/x.xml".into());
    let error = Bench::new(&["die"]).set(nowhere).run().await.unwrap_err();
    assert!(error.to_string().contains("report can't be written to /no/such/folder/x.xml"), "{error}");
}

#[tokio::test]
async fn parameters_are_put_behind_their_definitions_before_anything_runs() {
    let cell = |source: &str, tags: &[&str]| json!({"cell_type": "code", "id": source.len().to_string(), "metadata": {"tags": tags}, "source": source});
    let cells = [cell("let n = 1u8;", &["parameters"]), cell("print b", &[])];
    let notebook = json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kept": true}, "cells": cells}).to_string();
    let set = |name: &str, value: &str| {
        let setting = Setting { name: name.into(), value: parameters::Value::Word(value.into()) };
        move |options: &mut RunOptions| options.parameters.push(setting)
    };
    // The toy kernel knows no `let`, and may fail there.
    let mut bench = Bench::with_text(&notebook).writing().set(set("n", "7")).set(|options| options.allow_errors = true);
    assert_eq!(bench.run().await.unwrap().of, 3);
    let cells = bench.cells();
    assert_eq!(cells[1]["source"], json!(["// Parameters\n", "let n: u8 = 7;"]));
    assert_eq!(cells[1]["id"].as_str().unwrap().len(), 8);

    let mut bench = Bench::with_text(&notebook).writing().set(set("n", "300")).set(set("m", "1"));
    let error = bench.run().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cell 1, line 1: let n = 1u8;") && text.contains("no parameter `m`"), "{text}");
    assert_eq!((error.exit_code(), bench.out.text()), (2, String::new()));
}

#[tokio::test]
async fn ctrl_c_interrupts_and_a_second_one_kills() {
    for (cell, times, error) in [("sleep", 1, "KeyboardInterrupt"), ("hang", 2, "Interrupted")] {
        let mut bench = Bench::new(&[cell]).writing();
        let (out, stops) = (bench.out.clone(), bench.stops.clone());
        let pressing = tokio::spawn(async move {
            Bench::wait_for_output(out, "started").await;
            for _ in 0..times {
                stops.send(Stop::Interrupt).await.unwrap();
            }
        });
        let finished = bench.run().await.unwrap();
        pressing.await.unwrap();
        assert_eq!((finished.ending.clone(), finished.exit_code()), (Ending::Interrupted, 130));
        assert_eq!(bench.cells()[0]["outputs"][1]["ename"], error, "{cell}");
    }
}

#[tokio::test]
async fn a_kernel_that_dies_is_reported_with_its_last_words() {
    let mut bench = Bench::new(&["die", "print a"]).writing();
    let finished = bench.run().await.unwrap();
    let Ending::KernelDied(how) = &finished.ending else { panic!("{finished:?}") };
    assert!(how.starts_with("the kernel exited with status 7") && how.ends_with("    giving up"), "{how}");
    assert_eq!(finished.exit_code(), 1);
    assert!(bench.err.text().contains("giving up") && bench.err.text().contains("1 cell wasn't run"));
    let outputs = &bench.cells()[0]["outputs"];
    assert_eq!(outputs[0]["text"], json!(["last output\n"]), "what it published before isn't lost");
    assert_eq!(outputs[1]["ename"], "KernelDied");
}

#[tokio::test]
async fn a_kernel_that_never_starts_is_reported() {
    let shell = |script: &str| vec!["sh".into(), "-c".into(), script.into()];
    let mut bench = Bench::new(&["print a"]).set(|options| options.kernel = shell("echo no rustc >&2; exit 3"));
    let finished = bench.run().await.unwrap();
    let how = "the kernel exited with status 3; its last lines on stderr:\n    no rustc";
    assert_eq!(finished, Finished { ending: Ending::KernelDied(how.into()), ran: 0, of: 1 });

    let mut bench = Bench::new(&["print a"]).set(|options| options.kernel = vec!["/no/such/program".into()]);
    let error = bench.run().await.unwrap_err();
    assert!(error.to_string().starts_with("the kernel `/no/such/program` can't be started"), "{error}");
}

#[tokio::test]
async fn a_cell_may_ask_whoever_sits_at_the_terminal() {
    let mut bench = Bench::new(&["ask"]).set(|options| {
        options.ask = Some(Arc::new(|prompt, password| Ok(format!("{prompt}Ferris {password}"))));
    });
    bench.run().await.unwrap();
    assert_eq!(bench.out.text(), "[1/1] ask\nname? Ferris false\n");

    let mut bench = Bench::new(&["ask"]);
    bench.run().await.unwrap();
    assert_eq!(bench.out.text(), "[1/1] ask\nallow_stdin is false\n");
}

#[tokio::test]
async fn the_kernel_gets_engines_and_the_notebooks_folder() {
    let mut bench = Bench::new(&["environment"]).set(|options| options.engines = Some(3));
    bench.run().await.unwrap();
    let folder = bench.folder.path().canonicalize().unwrap();
    assert_eq!(bench.out.text(), format!("[1/1] environment\n3 {}\n", folder.display()));
}

#[tokio::test]
async fn what_cannot_be_run_is_said_before_a_kernel_starts() {
    let fails = async |bench: &mut Bench| bench.run().await.unwrap_err();
    let error = fails(&mut Bench::with_text("{")).await;
    assert!(error.to_string().contains("test.ipynb can't be run: it isn't JSON"), "{error}");
    assert_eq!(error.exit_code(), 2);
    let missing = |options: &mut RunOptions| options.notebook = "/no/such/notebook.ipynb".into();
    let error = fails(&mut Bench::new(&[]).set(missing)).await;
    assert!(error.to_string().starts_with("/no/such/notebook.ipynb can't be read"), "{error}");
    let nowhere = |options: &mut RunOptions| options.output = Some(Output::File("/no/such/folder/x.ipynb".into()));
    let error = fails(&mut Bench::new(&["die"]).set(nowhere)).await;
    assert!(error.to_string().contains("can't be written to /no/such/folder/x.ipynb"), "{error}");
}

#[tokio::test]
async fn another_language_is_only_warned_of() {
    let notebook = json!({"nbformat": 4, "nbformat_minor": 4, "cells": [],
        "metadata": {"kernelspec": {"name": "python3", "language": "python"}}});
    let mut bench = Bench::with_text(&notebook.to_string());
    assert_eq!(bench.run().await.unwrap(), Finished { ending: Ending::Complete, ran: 0, of: 0 });
    assert!(bench.err.text().ends_with("test.ipynb is a notebook in python, not in Rust\n"));
}

#[test]
fn a_file_is_written_whole_and_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    std::fs::write(&file, "old").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    write_atomically(&link, b"new").unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"new");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
