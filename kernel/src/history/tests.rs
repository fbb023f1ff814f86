//! The rules of `history_request`, and what happens to the file.

use super::store::Store;
use super::{History, Query};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn asked(store: &mut Store, content: Value) -> Vec<(i64, i64, String)> {
    let entries = store.entries(&Query::read(&content).unwrap()).unwrap();
    entries.into_iter().map(|entry| (entry.session, entry.line, entry.source)).collect()
}

fn found(entries: &[(i64, i64, &str)]) -> Vec<(i64, i64, String)> {
    entries.iter().map(|(session, line, source)| (*session, *line, (*source).to_owned())).collect()
}

/// Three sessions: two that ended, of two and one cells, and one that has run three.
fn three_sessions(path: &Path) -> Store {
    let mut first = Store::open(path).unwrap();
    first.add(1, "let a = 1;").unwrap();
    first.add(2, "a").unwrap();
    first.set_output(2, "1").unwrap();
    let mut second = Store::open(path).unwrap();
    second.add(1, "let b = 2;").unwrap();
    let mut third = Store::open(path).unwrap();
    third.add(1, "a").unwrap();
    third.add(2, "let a = 3;").unwrap();
    third.add(3, "a\n+ 1").unwrap();
    third
}

#[test]
fn the_tail_ends_with_this_session() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = three_sessions(&folder.path().join("h"));
    let tail = |store: &mut Store, n: i64| asked(store, json!({"hist_access_type": "tail", "n": n}));
    assert_eq!(tail(&mut store, 2), found(&[(3, 2, "let a = 3;"), (3, 3, "a\n+ 1")]));
    assert_eq!(tail(&mut store, 4)[0], (2, 1, "let b = 2;".to_owned()));
    assert_eq!(tail(&mut store, 100).len(), 6);
    assert_eq!(tail(&mut store, 0), []);
    assert_eq!(tail(&mut store, -1), []);

    // A session that began later, and runs at the same time.
    let mut later = Store::open(&folder.path().join("h")).unwrap();
    later.add(1, "elsewhere").unwrap();
    let mut expected = found(&[(4, 1, "elsewhere")]);
    expected.extend(tail(&mut store, 3));
    assert_eq!(tail(&mut store, 4), expected);
}

#[test]
fn a_range_counts_sessions_and_lines_as_ipython_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = three_sessions(&folder.path().join("h"));
    let mut range = |session: i64, start: Value, stop: Value| {
        let content = json!({"hist_access_type": "range", "session": session, "start": start, "stop": stop});
        asked(&mut store, content)
    };
    let all = found(&[(0, 1, "a"), (0, 2, "let a = 3;"), (0, 3, "a\n+ 1")]);
    assert_eq!(range(0, json!(1), Value::Null), all);
    assert_eq!(range(3, json!(-1), json!(0)), found(&[(3, 3, "a\n+ 1")]), "by its number, too");
    assert_eq!(range(0, Value::Null, json!(3)), all[..2], "the stop isn't included");
    assert_eq!(range(0, json!(-2), json!(100)), all[1..]);
    assert_eq!(range(0, json!(1), json!(-1)), all[..2]);
    assert_eq!(range(-1, json!(1), Value::Null), found(&[(2, 1, "let b = 2;")]));
    assert_eq!(range(-2, json!(2), json!(3)), found(&[(1, 2, "a")]));
    assert_eq!(range(1, json!(2), Value::Null), found(&[(1, 2, "a")]));
    assert_eq!(range(-3, json!(1), Value::Null), [], "there was none");
    assert_eq!(range(i64::MIN, json!(i64::MIN), json!(i64::MIN)), []);
}

#[test]
fn a_search_takes_globs_and_gives_the_last_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = three_sessions(&folder.path().join("h"));
    let mut search = |content: Value| {
        let mut whole = json!({"hist_access_type": "search"});
        whole.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        asked(&mut store, whole)
    };
    assert_eq!(search(json!({})).len(), 6, "the pattern is `*` when there is none");
    assert_eq!(search(json!({"pattern": "let ?*"})).len(), 3);
    assert_eq!(search(json!({"pattern": "LET*"})), []);
    assert_eq!(search(json!({"pattern": "a"})), found(&[(1, 2, "a"), (3, 1, "a")]));
    assert_eq!(search(json!({"pattern": "a", "unique": true})), found(&[(3, 1, "a")]));
    assert_eq!(search(json!({"pattern": "let*", "n": 2})), found(&[(2, 1, "let b = 2;"), (3, 2, "let a = 3;")]));
    assert_eq!(
        search(json!({"unique": true, "n": 3})),
        found(&[(3, 1, "a"), (3, 2, "let a = 3;"), (3, 3, "a\n+ 1")]),
        "the newest of equal ones"
    );
    assert_eq!(search(json!({"pattern": "[bl]et b*"})), found(&[(2, 1, "let b = 2;")]));
}

#[test]
fn outputs_come_when_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = three_sessions(&folder.path().join("h"));
    let mut get = |output: bool| {
        let content = json!({"hist_access_type": "range", "session": 1, "output": output, "raw": false});
        let query = Query::read(&content).unwrap();
        super::reply(store.entries(&query).unwrap(), query.output)
    };
    assert_eq!(get(false)["history"], json!([[1, 1, "let a = 1;"], [1, 2, "a"]]));
    assert_eq!(get(true)["history"], json!([[1, 1, ["let a = 1;", null]], [1, 2, ["a", "1"]]]));
}

#[test]
fn senseless_requests_are_named() {
    let error = Query::read(&json!({"hist_access_type": "all"})).unwrap_err();
    assert!(error.evalue.contains("`all`"), "{}", error.evalue);
    for content in [json!({}), Value::Null, json!({"hist_access_type": "tail", "n": "many"})] {
        assert_eq!(Query::read(&content).unwrap_err().ename, "BadRequest");
    }
}

#[test]
fn it_does_not_grow_without_end() {
    let mut store = Store::in_memory().unwrap();
    for line in 1..=20 {
        store.add(line, "12345").unwrap();
    }
    store.set_output(20, "12345").unwrap();
    let all = json!({"hist_access_type": "tail", "n": 1000});
    store.prune(10, 1000).unwrap();
    assert_eq!(asked(&mut store, all.clone()).len(), 10);
    store.prune(10, 20).unwrap();
    assert_eq!(asked(&mut store, all.clone()).iter().map(|entry| entry.1).collect::<Vec<_>>(), [18, 19, 20]);

    store.add(21, &"x".repeat(1 << 20)).unwrap();
    assert_eq!(asked(&mut store, all).len(), 3, "what is too long isn't kept");
    store.set_output(20, &"ä".repeat(1 << 20)).unwrap();
    let query = Query::read(&json!({"hist_access_type": "tail", "n": 1, "output": true})).unwrap();
    assert_eq!(store.entries(&query).unwrap()[0].output.as_ref().unwrap().len(), 16 << 10);
}

#[test]
fn several_kernels_write_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/h");
    std::thread::scope(|scope| {
        for kernel in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let mut store = Store::open(path).unwrap();
                for line in 1..=50 {
                    store.add(line, &format!("{kernel}: {line}")).unwrap();
                    store.set_output(line, "done").unwrap();
                }
            });
        }
    });
    let mut store = Store::open(&path).unwrap();
    assert_eq!(asked(&mut store, json!({"hist_access_type": "search"})).len(), 200);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700), "cells are their owner's");
}

#[test]
fn a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 7).unwrap();
    let error = Store::open(&path).unwrap_err().to_string();
    assert!(error.contains("version 7"), "{error}");
}

#[tokio::test]
async fn without_a_place_on_disk_it_lasts_as_long_as_the_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    for place in [None, Some(file)] {
        let history = History::start(place).unwrap();
        history.input(1, "1 + 1");
        history.output(1, "2".into());
        history.flush().await;
        let query = Query::read(&json!({"hist_access_type": "tail", "output": true})).unwrap();
        let entries = history.ask(query).await;
        assert_eq!(entries.iter().map(|entry| entry.output.as_deref()).collect::<Vec<_>>(), [Some("2")]);
    }
}
