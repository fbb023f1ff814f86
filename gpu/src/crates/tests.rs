use super::*;
use serde_json::json;

#[test]
fn dependencies_are_the_roots() {
    let library =
        |path: &str| json!([{ "kind": ["custom-build"], "src_path": "/b" }, { "kind": ["lib"], "src_path": path }]);
    let metadata = json!({
        "packages": [
            { "id": "reg#half@2.7.1", "targets": library("/half/lib.rs") },
            { "id": "reg#syn@2.0.0", "targets": [{ "kind": ["proc-macro"], "src_path": "/syn/lib.rs" }] },
            { "id": "reg#other@1.0.0", "targets": library("/other/lib.rs") },
        ],
        "resolve": { "root": "ctx", "nodes": [
            { "id": "reg#half@2.7.1", "deps": [{ "name": "other", "pkg": "reg#other@1.0.0" }] },
            { "id": "ctx", "deps": [{ "name": "renamed", "pkg": "reg#half@2.7.1" }, { "name": "syn", "pkg": "reg#syn@2.0.0" }] },
        ] },
    });
    let half = Dependency { name: "renamed".into(), id: "reg#half@2.7.1".into(), may_lack_std: false };
    assert_eq!(named(&metadata), [(half, PathBuf::from("/half/lib.rs"))]);
    for damaged in [json!(null), json!({ "resolve": { "root": 1, "nodes": [{}] } }), json!([1])] {
        assert_eq!(named(&damaged), []);
    }
}

#[test]
fn libraries_are_found_in_cargos_messages() {
    let artifact = |id: &str, kind: &str, files: &[&str]| json!({ "reason": "compiler-artifact", "package_id": id, "target": { "kind": [kind] }, "filenames": files });
    let messages = [
        artifact("half", "custom-build", &["/t/build/half/build-script"]),
        artifact("half", "lib", &["/t/libhalf.rlib", "/t/deps/libhalf-1.rmeta"]),
        artifact("cfg", "lib", &["/t/deps/libcfg-1.rlib", "/t/deps/libcfg-1.rmeta"]),
        json!({ "reason": "build-finished" }),
    ];
    let half = Dependency { name: "h".into(), id: "half".into(), may_lack_std: true };
    let expected = Crates { externs: vec![("h".into(), "/t/libhalf.rlib".into())], folders: vec!["/t/deps".into()] };
    assert_eq!(built(&messages, &[&half]), expected);
    let words = |crates: &Crates| crates.arguments().join(std::ffi::OsStr::new(" ")).into_string().unwrap();
    assert_eq!(words(&expected), "-L dependency=/t/deps --extern h=/t/libhalf.rlib");
    assert_eq!(words(&Crates::default()), "");
}

#[test]
fn cargos_failures_have_reasons() {
    let message = |name: &str, text: &str| {
        let said = json!({ "level": "error", "message": text });
        json!({ "reason": "compiler-message", "target": { "name": name }, "message": said })
    };
    let std = failed(&[message("num-x", "can't find crate for `std`")], "").to_string();
    assert!(std.starts_with("the crate `num_x` needs std, which no GPU has"), "{std}");
    let other = failed(&[message("a", "mismatched types"), message("b", "later")], "error: x").to_string();
    assert_eq!(other, "the crate `a` can't be compiled for a GPU: mismatched types");
    let cargo = failed(&[], "warning: w\nerror: no network\n").to_string();
    assert_eq!(cargo, "crates can't be compiled for a GPU: no network");
    assert_eq!(failed(&[], "").to_string(), "crates can't be compiled for a GPU: cargo has failed and doesn't say why");
}
