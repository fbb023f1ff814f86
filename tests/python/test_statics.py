"""Statics of definitions are one for all cells of a worker."""

import processes
from conftest import start_kernel


def said(kernel, code):
    return kernel.run(code).ok().text.strip()


DEFINITIONS = """
use std::sync::{atomic::{AtomicU32, Ordering}, LazyLock, Mutex, OnceLock};
use std::cell::{Cell, RefCell};
static N: AtomicU32 = AtomicU32::new(0);
static ALL: LazyLock<Mutex<Vec<u32>>> = LazyLock::new(Default::default);
static ONCE: OnceLock<String> = OnceLock::new();
static mut RAW: u32 = 1;
fn next() -> u32 { static C: AtomicU32 = AtomicU32::new(0); C.fetch_add(1, Ordering::SeqCst) }
mod m {
    std::thread_local! {
        pub static KEY: std::cell::RefCell<Vec<u32>> = std::cell::RefCell::new(vec![]);
    }
}
mod k { thread_local! { pub static PLAIN: std::cell::Cell<u32> = const { std::cell::Cell::new(7) } } }
use k::PLAIN;
thread_local! { static TOP: Cell<u32> = Cell::new(20) }
fn local() -> u32 { thread_local!(static L: Cell<u32> = Cell::new(1)); L.set(L.get() * 2); L.get() }
fn with(key: &'static std::thread::LocalKey<Cell<u32>>) -> u32 { key.get() }
"""


def test_statics_keep_their_values(kernel):
    kernel.run(DEFINITIONS).ok()
    change = """
        N.fetch_add(1, Ordering::SeqCst);
        ALL.lock().unwrap().push(next());
        unsafe { RAW *= 3 };
        PLAIN.set(PLAIN.get() + 1);
        TOP.set(TOP.get() + 1);
        m::KEY.with_borrow_mut(|all| all.push(with(&PLAIN)));
    """
    kernel.run(change + "ONCE.set(\"first\".to_string()).is_ok()").ok()
    kernel.run(change + "let unchanged = ONCE.set(\"second\".to_string()).is_err(); local();").ok()
    shown = said(kernel, 'println!("{} {:?} {:?} {} {:?} {} {}", N.load(Ordering::SeqCst), ALL.lock().unwrap(), ONCE.get(), unsafe { RAW }, m::KEY.take(), local(), TOP.get());')
    assert said(kernel, "unchanged") == "true"
    assert shown == '2 [0, 1] Some("first") 9 [8, 9] 4 22'
    # Other threads have values of their own.
    assert said(kernel, "std::thread::spawn(|| { PLAIN.set(PLAIN.get() + 10); PLAIN.get() }).join().unwrap() + PLAIN.get()") == "26"


def test_an_edit_begins_anew_and_is_said(kernel):
    kernel.run("use std::sync::Mutex; struct Own(u32); static OWN: Mutex<Own> = Mutex::new(Own(1));").ok()
    kernel.run("static OTHER: Mutex<u32> = Mutex::new(1);").ok()
    kernel.run("OWN.lock().unwrap().0 = 1065353216; *OTHER.lock().unwrap() = 5;").ok()
    assert said(kernel, "impl Own { fn text(&self) -> String { format!(\"{}\", self.0) } } println!(\"{}\", OWN.lock().unwrap().text());") == "1065353216"
    shown = said(kernel, "static OTHER: Mutex<u32> = Mutex::new(1); *OTHER.lock().unwrap()")
    assert shown == "5"
    shown = said(kernel, "struct Own(f32); static OWN: Mutex<Own> = Mutex::new(Own(2.5));")
    assert "`OWN` begins anew" in shown and "OTHER" not in shown
    assert said(kernel, "OWN.lock().unwrap().0") == "2.5"
    assert said(kernel, "*OTHER.lock().unwrap()") == "5"


def test_what_is_edited_back_begins_anew_too(kernel):
    first = "use std::sync::Mutex; struct Part(u8); static ALL: Mutex<Vec<Part>> = Mutex::new(Vec::new()); static ONE: Mutex<u8> = Mutex::new(1);"
    other = "struct Part(u16); static ONE: Mutex<u8> = Mutex::new(2);"
    back = "struct Part(u8); static ONE: Mutex<u8> = Mutex::new(1);"
    change = "ALL.lock().unwrap().push(Part(1)); *ONE.lock().unwrap() += 5;"
    look = "(ALL.lock().unwrap().len(), *ONE.lock().unwrap())"
    kernel.run(first).ok()
    for _ in range(2):
        kernel.run(change).ok()
        assert said(kernel, look) == "(1, 6)"
        assert "`ALL`, `ONE` begin anew" in said(kernel, other)
        assert said(kernel, look) == "(0, 2)"
        kernel.run(change).ok()
        assert "`ALL`, `ONE` begin anew" in said(kernel, back)
        # Neither the cells nor what they find are those of before.
        assert said(kernel, look) == "(0, 1)"
        assert said(kernel, look) == "(0, 1)"
    # What doesn't fit for a while begins anew when it is back.
    kernel.run("const fn of() -> u8 { 1 } static OF: Mutex<u8> = Mutex::new(of());").ok()
    kernel.run("*OF.lock().unwrap() = 9;").ok()
    assert "`OF`" in said(kernel, "const fn of() -> u16 { 1 }")
    shown = said(kernel, "const fn of() -> u8 { 1 }")
    assert "is back" in shown and "`OF` begins anew" in shown, shown
    assert said(kernel, "*OF.lock().unwrap()") == "1"


def test_places_stay_the_users(kernel):
    kernel.run("use std::sync::atomic::*;\nfn f(n: u32) -> u32 { static C: AtomicU32 = AtomicU32::new(1); C.load(Ordering::SeqCst) / n }").ok()
    text = kernel.run("f(0)").failed().text
    assert "divide by zero" in text and "chorus_static" not in text
    assert "static C: AtomicU32" in text, text
    text = kernel.run("fn g() { static C: AtomicU32 = AtomicU32::new(1); let x: u8 = C; }").failed().text
    assert "chorus_static" not in text and "mismatched types" in text, text
    # A function that is exported is the newest, not the first one that was loaded.
    kernel.run('#[unsafe(no_mangle)] extern "C" fn exported() -> u32 { 1 }').ok()
    assert said(kernel, "exported()") == "1"
    kernel.run('#[unsafe(no_mangle)] extern "C" fn exported() -> u32 { 2 }').ok()
    assert said(kernel, "exported()") == "2"


def test_a_fresh_worker_begins_anew_and_a_snapshot_goes_on(installed):
    with start_kernel(env={"CHORUS_ENGINES": "1"}) as kernel:
        kernel.run(DEFINITIONS).ok()
        assert [said(kernel, "%px next()").splitlines()[-1][-1] for _ in range(3)] == ["0", "1", "2"]
        # There is no variable, and a snapshot all the same.
        kernel.run("%px std::process::abort()").failed()
        kernel.run("%px let kept = next();").ok()
        kernel.run("%px next(); std::process::abort()").failed()
        assert said(kernel, "%px next() + kept")[-1] == "7"
        # The notebook's worker has its own.
        assert said(kernel, "next()") == "0"


def test_objects_from_the_cache_share_statics(installed, fresh_cache, monkeypatch):
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(fresh_cache))
    for kept in (False, True):
        with start_kernel() as kernel:
            kernel.run(DEFINITIONS).ok()
            assert [said(kernel, "next()") for _ in range(3)] == ["0", "1", "2"], kept
            # And one that is compiled now is about the same static.
            assert said(kernel, f"next() + {10 * kept}") == ("13" if kept else "3")


def test_statics_of_a_worker_that_is_lost_while_it_is_idle_are_named(own_kernel):
    own_kernel.run("%snapshot off").ok()
    own_kernel.run("static LOST: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(1);").ok()
    pid = int(said(own_kernel, "LOST.store(5, std::sync::atomic::Ordering::SeqCst); std::process::id()"))
    processes.kill(pid)
    processes.wait_until("the worker to be dead", lambda: not processes.alive(pid))
    reply = own_kernel.run("LOST.load(std::sync::atomic::Ordering::SeqCst)").ok()
    assert reply.results[0]["text/plain"] == "1"
    assert "LOST` begin" in reply.stderr and "anew; there was no snapshot" in reply.stderr, reply
    assert "anew" not in own_kernel.run("1").ok().stderr


def test_a_glob_of_the_notebooks_own_leaves_other_statics_alone(own_kernel):
    kernel = own_kernel
    kernel.run(
        "use std::sync::{Mutex, atomic::{AtomicUsize, Ordering}}; static COUNT: AtomicUsize = AtomicUsize::new(0);"
    ).ok()
    kernel.run("COUNT.fetch_add(5, Ordering::SeqCst);").ok()
    for cell in (
        "#[derive(Debug)] enum Color { Red, Green } use Color::*;",
        "#[derive(Debug)] enum Color { Red, Green, Blue } use Color::*;",
        "mod util { #[derive(Debug)] pub struct Own(pub u8); pub fn f() -> u8 { 1 } } use util::*;",
        "mod util { #[derive(Debug)] pub struct Own(pub u8); pub fn f() -> u8 { 2 } } use util::*;",
    ):
        assert "anew" not in said(kernel, cell), cell
        assert said(kernel, "COUNT.load(Ordering::SeqCst)") == "5", cell
    # One that is made of what a glob brings isn't any more what it was.
    kernel.run("static OWN: Mutex<Own> = Mutex::new(Own(1));").ok()
    kernel.run("OWN.lock().unwrap().0 = 9;").ok()
    assert "Own(9)" in said(kernel, "OWN.lock().unwrap()")
    shown = said(kernel, "mod util { #[derive(Debug)] pub struct Own(pub u8, pub u8); } use util::*;")
    assert "set aside" in shown and "COUNT" not in shown, shown
    shown = said(kernel, "static OWN: Mutex<Own> = Mutex::new(Own(1, 2));")
    assert "`OWN` begins anew" in shown, shown
    assert "Own(1, 2)" in said(kernel, "OWN.lock().unwrap()")
    assert said(kernel, "COUNT.load(Ordering::SeqCst)") == "5"


def test_a_static_of_a_type_that_a_macro_makes_begins_anew_with_it(own_kernel):
    kernel = own_kernel
    kernel.run("use std::sync::Mutex;\nmacro_rules! make { ($name:ident, $t:ty) => { #[derive(Debug)] struct $name($t); } }").ok()
    kernel.run("make!(First, u64); make!(Second, u64);\nstatic A: Mutex<Vec<First>> = Mutex::new(Vec::new());\nstatic B: Mutex<Vec<Second>> = Mutex::new(Vec::new());\nstatic N: Mutex<u8> = Mutex::new(0);").ok()
    add = "A.lock().unwrap().push(First(7 as _)); B.lock().unwrap().push(Second(7 as _)); *N.lock().unwrap() += 1;"
    show = 'println!("{:?} {:?} {:?}", A.lock().unwrap(), B.lock().unwrap(), N.lock().unwrap());'
    kernel.run(add).ok()
    edited = kernel.run("make!(First, f64);").ok()
    assert "`A` begins anew" in edited.text and "`B`" not in edited.text, edited.text
    assert kernel.run(show).ok().text == "[] [Second(7)] 1\n"
    kernel.run(add).ok()
    assert kernel.run(show).ok().text == "[First(7.0)] [Second(7), Second(7)] 2\n"
    edited = kernel.run("macro_rules! make { ($name:ident, $t:ty) => { #[derive(Debug)] struct $name(String); impl From<$t> for $name { fn from(t: $t) -> Self { $name(t.to_string()) } } } }").ok()
    assert "`A`, `B` begin anew" in edited.text, edited.text
    assert kernel.run(show).ok().text == "[] [] 2\n"


def test_so_does_one_in_a_function_that_calls_a_macro_of_the_notebook(own_kernel):
    kernel = own_kernel
    kernel.run("use std::sync::Mutex;\nmacro_rules! make { () => { #[derive(Debug)] struct Own(u64); } }").ok()
    kernel.run(
        """
        fn keep() -> String {
            make!();
            static OWN: Mutex<Vec<Own>> = Mutex::new(Vec::new());
            let mut own = OWN.lock().unwrap();
            own.push(Own(7 as _));
            format!("{own:?}")
        }
        """
    ).ok()
    assert said(kernel, "keep(); keep()") == '"[Own(7), Own(7)]"'
    edited = kernel.run("macro_rules! make { () => { #[derive(Debug)] struct Own(f64); } }").ok()
    assert "`keep::OWN` begins anew" in edited.text, edited.text
    assert said(kernel, "keep()") == '"[Own(7.0)]"'


def test_lazy_statics_are_statics(own_kernel):
    kernel = own_kernel
    kernel.run(':dep lazy_static = "1.5"').ok()
    define = """
        use lazy_static::lazy_static;
        use std::sync::Mutex;
        lazy_static! {
            /// All of them.
            #[allow(dead_code)]
            static ref WORDS: Mutex<Vec<&'static str>> = { println!("made"); Mutex::new(Vec::new()) };
            pub(crate) static ref LENGTH: usize = 7;
        }
        fn add(word: &'static str) -> usize {
            lazy_static! { static ref CALLS: Mutex<usize> = Mutex::new(0); }
            *CALLS.lock().unwrap() += 1;
            WORDS.lock().unwrap().push(word);
            *CALLS.lock().unwrap()
        }
        mod deep { lazy_static::lazy_static! { pub static ref SEEN: std::sync::Mutex<u8> = std::sync::Mutex::new(0); } }
    """
    defined = kernel.run(define).ok()
    assert "begin anew in each cell" not in defined.text, defined.text
    made = kernel.run('lazy_static::initialize(&WORDS); add("a"); add("b")').ok().text
    assert made.splitlines()[0] == "made" and made.splitlines()[-1] == "2", made
    assert said(kernel, 'add("c") + *LENGTH') == "10"
    kernel.run("*deep::SEEN.lock().unwrap() += 1;").ok()
    assert kernel.run(define).ok().text == ""
    assert said(kernel, "*deep::SEEN.lock().unwrap() += 1; (*deep::SEEN.lock().unwrap(), WORDS.lock().unwrap().clone())") == '(2, ["a", "b", "c"])'
    # One of each engine.
    for count in (1, 2):
        assert said(kernel, 'let n: usize = px::engines().each(|| add("there"))?.into_iter().sum(); n').endswith(str(2 * count))
    edited = kernel.run("lazy_static! { static ref OTHER: u8 = 1; }").ok()
    assert "anew" not in edited.text
    edited = kernel.run(define.replace("usize = 7", "usize = 8")).ok()
    assert "`LENGTH` begins anew" in edited.text and "WORDS" not in edited.text.split("anew")[0].splitlines()[-1], edited.text
    assert said(kernel, "*LENGTH + WORDS.lock().unwrap().len()") == "11"
    wrong = kernel.run('lazy_static! { static ref BAD: u32 = "x"; }').failed()
    assert "expected `u32`, found `&str`" in wrong.text and "cell line 1, column 38" in wrong.text, wrong.text
