//! rust-analyzer itself, loaded once: this takes some seconds.

use crate::host::Host;
use crate::message::{Answer, Completions, Hover, Question, Request, Source, Variable};

struct Asker {
    host: Host,
    source: Source,
    folder: tempfile::TempDir,
}

impl Asker {
    fn new() -> Asker {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let local = folder.path().join("local");
        std::fs::create_dir_all(local.join("src")).expect("a folder");
        std::fs::write(local.join("Cargo.toml"), "[package]\nname = \"local\"\n").expect("a manifest");
        std::fs::write(local.join("src/lib.rs"), "pub fn nearby() {}").expect("a crate");
        let px = concat!(env!("CARGO_MANIFEST_DIR"), "/../px");
        std::os::unix::fs::symlink(px, folder.path().join("px")).expect("px");
        let variable =
            |name: &str, type_name: &str, mutable| Variable { name: name.into(), type_name: type_name.into(), mutable };
        let definitions = [
            "use px::Show;",
            "use px::Show;",
            "/// A place.\n#[derive(Debug, Clone)] struct Point { wide: f64, high: f64 }",
            "impl Point { /// How far it is.\nfn distance(&self, other: &Point) -> f64 { 0.0 } }",
            "enum Shape { Circle { r: f64 }, Square(f64) }",
        ];
        let definitions = definitions.map(String::from).to_vec();
        let variables = vec![variable("words", "Vec<String>", true), variable("here", "Point", false)];
        let source = Source { definitions, variables, before: vec!["let sum = 1u8 + 1;".into()], ..Source::default() };
        Asker { host: Host::new(folder.path()), source, folder }
    }

    /// `|` is the cursor.
    fn ask(&mut self, question: Question, code: &str) -> Answer {
        let cursor = code.find('|').expect("a cursor");
        let source = Source { code: code.replacen('|', "", 1), cursor, ..self.source.clone() };
        let dependencies = vec![self.folder.path().join("local").display().to_string()];
        self.host.answer(&Request { id: 1, question, source, dependencies, toolchain: None })
    }

    fn complete(&mut self, code: &str) -> Completions {
        match self.ask(Question::Complete, code) {
            Answer::Completions(completions) => completions,
            other => panic!("{code}: {other:?}"),
        }
    }

    fn texts(&mut self, code: &str) -> Vec<String> {
        self.complete(code).items.into_iter().map(|item| item.text).collect()
    }

    fn hover(&mut self, code: &str) -> Option<Hover> {
        match self.ask(Question::Hover { detailed: false }, code) {
            Answer::Hover(hover) => hover,
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[test]
fn code_is_completed_and_explained_with_all_that_it_sees() {
    let mut asker = Asker::new();
    let all = |texts: Vec<String>, wanted: &[&str]| {
        for wanted in wanted {
            assert!(texts.iter().any(|text| text == wanted), "{wanted} isn't among {texts:?}");
        }
    };
    // Words.
    all(asker.texts("wo|"), &["words"]);
    all(asker.texts("Po|"), &["Point"]);
    all(asker.texts("let inner = 1; { inn| }"), &["inner"]);
    all(asker.texts("su|"), &["sum"]);
    all(asker.texts("whi|"), &["while"]);
    all(asker.texts("printl|"), &["println!"]);
    all(asker.texts("hashma|"), &[]);
    // Members.
    all(asker.texts("words.pu|"), &["push"]);
    all(asker.texts("words.iter().ma|;"), &["map", "max"]);
    let members = asker.texts("here.|");
    all(members.clone(), &["wide", "high", "distance", "clone"]);
    assert!(!members.iter().any(|text| text == "evcxr_display"), "{members:?}");
    // Paths.
    all(asker.texts("std::coll|"), &["collections"]);
    all(asker.texts("use std::collections::Hash|;"), &["HashMap", "HashSet"]);
    all(asker.texts("Shape::|"), &["Circle", "Square"]);
    all(asker.texts("px::ra|"), &["rank"]);
    all(asker.texts("local::|"), &["nearby"]);
    all(asker.texts("struct Own { a: u8 }\nimpl Own { fn f(&self) {} }\nlet o = Own { a: 1 };\no.|"), &["a", "f"]);
    // Ranges, in bytes, also in the middle of a word.
    let found = asker.complete("let é = \"é\"; words.pu|sh_x");
    assert_eq!((found.start, found.end), (21, 27));
    assert!(found.items.iter().all(|item| item.text.starts_with("pu")), "{found:?}");
    assert_eq!(found.items.iter().find(|item| item.text == "push").map(|item| item.kind.as_str()), Some("function"));
    // Broken code.
    for code in ["|", "}|", "fn (|", "\"|", "words.|\n}\n}", "here.|)]", "'|", "/* |"] {
        asker.complete(code);
        asker.hover(code);
    }
    // Hover.
    let method = asker.hover("here.dist|ance(&here)").expect("a method has documentation");
    assert!(method.plain.contains("How far it is.") && method.plain.contains("-> f64"), "{}", method.plain);
    assert!(method.markdown.contains("```rust"), "{}", method.markdown);
    assert_eq!(asker.hover("here.distance(|)").as_ref(), Some(&method), "in its arguments");
    assert_eq!(asker.hover("here.distance|(&here)").as_ref(), Some(&method), "at its end");
    assert!(asker.hover("words|").is_some_and(|hover| hover.plain.contains("Vec<String>")));
    assert!(asker.hover("le|t x = 1;").is_some(), "keywords");
    assert_eq!(asker.hover("  |  "), None);
}
