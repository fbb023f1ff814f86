//! The compiler with the real evcxr and rustc. Nothing is run: the tests say how each run ended.
//!
//! evcxr takes its folder from the environment and some seconds to start, so one compiler serves one test, in steps.

use chorus_compiler::{CellText, CompiledCell, Compiler, Config, Diagnostic, Failure, Member, Object, RunEnded};
use chorus_protocol::{Death, EngineId, Outcome};

const E: fn(u32) -> Member = |id| Member::Engine(EngineId(id));

fn ended(member: Member, outcome: Outcome) -> RunEnded {
    RunEnded { member, outcome, generation: 0 }
}

struct Notebook {
    compiler: Compiler,
    count: u32,
    objects: Vec<Object>,
}

impl Notebook {
    fn run(
        &mut self,
        members: &[Member],
        text: &str,
        outcome: impl Fn(Member) -> Outcome,
    ) -> Result<(), Vec<Diagnostic>> {
        self.count += 1;
        let cell = CellText { text, count: self.count, first_line: 1, cell: text, users: CellText::ALL };
        self.compiler.commands(cell, members).map_err(errors)?;
        self.objects.clear();
        if let Some((object, ticket)) = self.compiler.compile(cell, members).map_err(errors)?.run {
            self.objects.push(object);
            for &member in members {
                self.compiler.settle(ticket, &ended(member, outcome(member)));
            }
        }
        Ok(())
    }

    fn ok(&mut self, members: &[Member], text: &str) {
        self.run(members, text, |_| Outcome::Ok).unwrap_or_else(|errors| panic!("{text}: {}", render(&errors)));
    }

    fn err(&mut self, members: &[Member], text: &str) -> String {
        render(&self.run(members, text, |_| Outcome::Ok).expect_err(text))
    }

    fn names(&self, member: Member) -> Vec<String> {
        self.compiler.namespaces().variables(member).into_keys().collect()
    }
}

fn errors(failure: Failure) -> Vec<Diagnostic> {
    match failure {
        Failure::Errors(errors) => errors,
        Failure::Interrupted => panic!("nobody interrupted"),
    }
}

fn render(errors: &[Diagnostic]) -> String {
    errors.iter().map(|error| error.render(false)).collect::<Vec<_>>().join("\n")
}

#[test]
fn cells_become_objects() {
    let folder = tempfile::tempdir().unwrap();
    let relay = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples/relay");
    let config = Config {
        relay,
        relay_args: vec!["relay".into()],
        compiler_args: vec!["compiler".into()],
        folder: folder.path().to_owned(),
        interrupter: Default::default(),
        cache: None,
        assistant: Default::default(),
        building: Default::default(),
    };
    let compiler = Compiler::start(&config).unwrap_or_else(|error| panic!("{}", error.render(false)));
    let mut notebook = Notebook { compiler, count: 0, objects: vec![] };
    let n = &mut notebook;
    let (local, all) = ([Member::Local], [E(0), E(1), E(2), E(3)]);

    // One object a cell, which exports what a worker calls, and a display of the first try.
    n.ok(&local, "let x = 40; x + 2");
    assert_eq!(n.objects.len(), 1);
    assert!(n.objects[0].has_result && !n.objects[0].needs_variables);
    let symbols = std::fs::read(&n.objects[0].path).unwrap();
    for symbol in [n.objects[0].entry.as_bytes(), b"chorus_px_attach", b"chorus_px_flush"] {
        assert!(symbols.windows(symbol.len()).any(|window| window == symbol));
    }
    assert!(n.objects[0].preload[0].exists());

    // Definitions are shared, variables are not.
    n.ok(&local, "#[derive(Debug, Clone)] struct Point { x: i32 }\nfn double(x: i32) -> i32 { x * 2 }");
    assert!(n.objects.is_empty(), "definitions alone have nothing to run");
    n.ok(&all, "let mut p = Point { x: double(21) };");
    assert!(n.err(&all, "x + 1").contains("define it in a %px cell"));
    assert!(n.err(&local, "p.x").contains("variables aren't shared"));
    n.ok(&local, "double(x)");
    assert!(n.objects[0].needs_variables);

    // A variable of some engines, and the groups that follow.
    n.ok(&all[..1], "let only = 1u64;");
    let error = n.err(&all, "p.x += 1;\n  only + 1");
    assert!(error.contains("engines 1-3 lack `only`, which engine 0 has") && error.contains("-t 0"), "{error}");
    assert!(error.contains("--> cell line 2, column 3") && error.contains("^^^^"), "{error}");
    n.ok(&all, "p.x += 1; let q = p.clone();");
    assert_eq!(n.names(E(0)), ["only", "p", "q"]);
    n.ok(&all[..1], "only + q.x as u64");
    n.ok(&all[1..], "q.x");
    n.ok(&all, "q.x");

    // Some panic: they lack what the cell defined, and keep the rest.
    n.run(&all, "let r = 5;", |member| if member == E(1) { Outcome::Panicked } else { Outcome::Ok }).unwrap();
    assert_eq!(n.names(E(1)), ["p", "q"]);
    assert!(n.err(&all, "r").contains("`r` was lost on engine 1"));
    n.ok(&[E(0), E(2), E(3)], "r");

    // One dies: what it had is gone, and the next cell says so only if it needs it.
    n.run(&all, "1", |member| if member == E(2) { Outcome::died(Death::Signal(11)) } else { Outcome::Ok }).unwrap();
    assert!(n.err(&all, "q.x").contains("`q` was lost on engine 2: the worker was killed by signal 11"));
    n.ok(&all, "double(1)");
    n.ok(&[E(2)], "let q = Point { x: 1 };");
    n.ok(&all, "q.x");

    // A value that turns out to be of another type is dropped, and the cell compiles without it.
    n.run(&all[3..], "1 + 1", |_| Outcome::TypesChanged(vec!["p".into()])).unwrap();
    assert!(!n.names(E(3)).contains(&"p".to_owned()) && n.names(E(3)).contains(&"q".to_owned()));
    n.ok(&all[3..], "1 + 1");

    // A cell is taken for a success until it is settled.
    let cell = CellText { text: "let later = 1;", count: 100, first_line: 1, cell: "", users: CellText::ALL };
    let CompiledCell { run, .. } = n.compiler.compile(cell, &all[..1]).unwrap();
    let (_, ticket) = run.unwrap();
    n.run(&all[..1], "later + 1", |_| Outcome::Stale).unwrap();
    n.compiler.settle(ticket, &ended(E(0), Outcome::Panicked));
    assert!(n.err(&all[..1], "later").contains("`later` was lost on engine 0"));

    // Places: of errors in cells with commands, behind unseen definitions; of panics in statements and items.
    assert!(n.err(&local, ":opt 2\nlet a = 1;\nlet b: String = a;").contains("--> cell line 3, column 17"));
    n.ok(&local, "fn fails() {\n    panic!(\"no\")\n}");
    let definition = n.count;
    n.ok(&all, "\nfails();");
    let source = std::fs::read_to_string(folder.path().join("src/lib.rs")).unwrap();
    let line = |text: &str| source.lines().position(|line| line.contains(text)).unwrap() as u32 + 1;
    let place = n.objects[0].source.place(line("panic!(\"no\")"), 5).unwrap();
    assert_eq!((place.cell, place.line, place.column, place.text.as_str()), (definition, 2, 5, "    panic!(\"no\")"));
    let place = n.objects[0].source.place(line("fails();"), 1).unwrap();
    assert_eq!((place.cell, place.line), (n.count, 2));

    // rust-analyzer read everything anew while there was no standard library to be found, and said nothing.
    let (library, aside) = (folder.path().join(".git/library"), folder.path().join(".git/aside"));
    std::fs::rename(&library, &aside).unwrap();
    std::fs::create_dir_all(library.join("core")).unwrap();
    n.ok(&local, ":opt 1\n1");
    std::fs::remove_dir_all(&library).unwrap();
    std::fs::rename(&aside, &library).unwrap();
    n.ok(&local, "let mut seen = vec![1]; seen.push(2);");
    n.ok(&local, "let more: i32 = seen.iter().sum(); let f = seen.clone();");

    // Commands.
    assert!(n.err(&local, ":nonsense 1").contains("there is no command `:nonsense`"));
    std::fs::create_dir_all(folder.path().join("dep/src")).unwrap();
    std::fs::write(
        folder.path().join("dep/Cargo.toml"),
        "[package]\nname = \"mydep\"\nversion = \"1.0.0\"\nedition = \"2024\"\n[workspace]\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("dep/src/lib.rs"), "pub fn answer() -> i32 { 42 }").unwrap();
    let dep = format!(":dep mydep = {{ path = {:?} }}\nlet answer = mydep::answer();", folder.path().join("dep"));
    n.ok(&local, &dep);
    n.ok(&all, "mydep::answer()");
    assert!(n.err(&local, ":dep nonexistent-crate = { path = \"/nonexistent\" }").contains("cell line 1"));
    n.ok(&local, "answer");
    n.ok(&local, ":fmt {:#?}\nanswer");
    n.ok(&local, ":clear");
    assert!(n.err(&local, "double(1)").contains("cannot find function `double`"));

    // Errors of a cell leave everything as it was; an `impl` alone may be shared too.
    n.ok(&local, "struct S; trait T { fn t(&self) -> i32; }");
    n.ok(&local, "impl T for S { fn t(&self) -> i32 { 7 } }");
    n.ok(&all, "let s = S.t();");
    n.ok(&all, "s");
    assert!(n.err(&all, "let s = 1; let t: i32 = \"\";").contains("error[E0308]"));
    n.ok(&all, "s + 1");
    assert!(n.err(&local, "fn broken( {").contains("error"));
    n.ok(&local, "1");
}
