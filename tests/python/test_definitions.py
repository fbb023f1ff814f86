"""The newest definition of a name counts, and an edit is accepted if it is right by itself."""

import pytest

from conftest import start_kernel


def said(kernel, code):
    """What a cell shows, all of it."""
    return kernel.run(code).ok().text.strip()


def test_two_definitions_that_need_each_other_can_both_be_edited(own_kernel):
    kernel = own_kernel
    said(kernel, "#[derive(Debug)] struct Own { a: i32 }")
    made = kernel.run("fn make() -> Own { Own { a: 1 } }").ok().count
    said(kernel, "let kept = make();")
    notice = said(kernel, "#[derive(Debug)] struct Own { a: i32, b: i32 }")
    aside = f"`make` (In[{made}]) is set aside: missing field `b` in initializer of `Own`"
    assert f"{aside}. It comes back when it fits again: edit it, or edit `Own` back." in notice, notice
    assert "`kept` of the notebook" in notice, notice
    # It is in nobody's way, and who needs it learns why it isn't there.
    assert said(kernel, "1 + 1") == "2"
    failed = kernel.run("make()").failed().text
    assert aside in failed and "or edit `Own` back" in failed, failed
    assert said(kernel, "fn make() -> Own { Own { a: 1, b: 2 } }") == ""
    assert said(kernel, "make()") == "Own { a: 1, b: 2 }"


def test_what_is_set_aside_comes_back_with_what_needs_it(own_kernel):
    kernel = own_kernel
    said(kernel, "struct Own { a: i32 }")
    said(kernel, "fn make() -> Own { Own { a: 5 } }")
    said(kernel, "fn take() -> i32 { make().a }")
    said(kernel, "fn other() -> i32 { 1 }")
    notice = said(kernel, "struct Own { b: i32 }")
    assert "`make`" in notice and "`take`" in notice and "`other`" not in notice, notice
    assert said(kernel, "fn unrelated() {}") == ""
    notice = said(kernel, "struct Own { a: i32 }")
    assert "`make` (In[2]) is back" in notice and "`take` (In[3]) is back" in notice, notice
    assert said(kernel, "take()") == "5"


def test_a_cell_that_needs_what_it_breaks_is_refused(own_kernel):
    kernel = own_kernel
    said(kernel, "struct Own { a: i32 }")
    said(kernel, "fn make() -> Own {\n    Own { a: 5 }\n}")
    failed = kernel.run("struct Own { b: i32 }\nmake().b").failed().text
    assert "In[2] line 2, column 11" in failed, failed
    assert "the cell needs `make` (In[2]), so nothing was changed" in failed, failed
    assert said(kernel, "make().a") == "5"
    # A mistake of the cell's own is told, whatever else doesn't fit.
    failed = kernel.run('struct Own { b: i32 }\nlet x: i32 = "a";').failed().text
    assert "mismatched types" in failed and "cell line 2" in failed, failed
    assert said(kernel, "make().a") == "5"


def test_impls_in_cells_of_their_own_can_be_edited(own_kernel):
    kernel = own_kernel
    said(kernel, "struct Hen { n: u8 }\ntrait Noise { fn noise(&self) -> String; }")
    said(kernel, "impl Hen { fn egg(&self) -> u8 { self.n }\nfn legs(&self) -> u8 { 2 } }")
    said(kernel, "impl Hen { fn wings(&self) -> u8 { 2 } }")
    notice = said(kernel, "impl Hen { fn egg(&self) -> u8 { self.n + 1 } }")
    assert notice == "`impl Hen` (In[2]) was replaced by that of this cell, which has no `legs`."
    assert said(kernel, "let h = Hen { n: 1 }; h.egg() + h.wings()") == "4"
    for sound in ("cluck", "cluck", "squawk"):
        cell = 'impl Noise for Hen { fn noise(&self) -> String { "%s".into() } }\nHen { n: 1 }.noise()'
        assert said(kernel, cell % sound) == f'"{sound}"'
    for parameter, sound in (("T", "some"), ("U", "many")):
        cell = 'impl<%s: Noise> Noise for Vec<%s> { fn noise(&self) -> String { "%s".into() } }'
        assert said(kernel, cell % (parameter, parameter, sound)) == ""
    assert said(kernel, "vec![Hen { n: 1 }].noise()") == '"many"'
    # What only rustc sees to be the same.
    said(kernel, "type Bird = Hen;")
    notice = said(kernel, 'impl Noise for Bird { fn noise(&self) -> String { "tweet".into() } }')
    assert "`impl Noise for Hen`" in notice and "is set aside: conflicting implementations" in notice, notice
    assert said(kernel, "h.noise()") == '"tweet"'
    notice = said(kernel, "trait Noise { fn noise(&self) -> String; fn twice(&self) -> String; }")
    assert notice.count("is set aside: not all trait items implemented") == 2, notice


def test_imports_macros_and_modules_can_be_edited(own_kernel):
    kernel = own_kernel
    said(kernel, "mod a { pub fn f() -> i32 { 1 } pub fn g() -> i32 { 10 } }\nmod b { pub fn f() -> i32 { 2 } }")
    said(kernel, "use a::{f, g as h};")
    assert said(kernel, "f() + h()") == "11"
    said(kernel, "use b::f;")
    assert said(kernel, "f() + h()") == "12"
    said(kernel, "use a::f;")
    assert said(kernel, "f() + h()") == "11"
    said(kernel, "mod a { pub fn f() -> i32 { 5 } pub fn g() -> i32 { 50 } }")
    assert said(kernel, "f() + h()") == "55"
    notice = said(kernel, "mod a { pub fn f() -> i32 { 5 } }")
    assert "`h` (In[2]) is set aside: unresolved import `a::g`" in notice, notice
    assert said(kernel, "f()") == "5"
    said(kernel, "enum Color { Red, Green }")
    said(kernel, "use Color::*;")
    assert said(kernel, "Red as u8") == "0"
    notice = said(kernel, "struct Color;")
    assert "`use Color::*;`" in notice and "is set aside" in notice, notice
    assert said(kernel, "let c = Color; 1") == "1"
    # A macro may be called by definitions of any cell, and by macros.
    said(kernel, "macro_rules! square { ($e:expr) => { $e * $e }; }")
    said(kernel, "macro_rules! cube { ($e:expr) => { $e * square!($e) }; }")
    for name in "pqrst":
        said(kernel, f"fn {name}() -> i32 {{ cube!(2) }}")
    assert said(kernel, "p() + q() + r() + s() + t()") == "40"
    said(kernel, "macro_rules! square { ($e:expr) => { 0 }; }")
    assert said(kernel, "p() + q() + r() + s() + t()") == "0"


@pytest.mark.parametrize(
    "text, message",
    [
        ("fn f() -> i32 {\n    100_000 * 100_000\n}", "this arithmetic operation will overflow"),
        ("fn f(x: i32) -> i32 {\n    x / 0\n}", "this operation will panic at runtime"),
        ("fn f() {\n    const { assert!(1 > 2) }\n}", "evaluation panicked"),
    ],
)
def test_what_rustc_finds_late_is_told_where_it_is(kernel, text, message):
    failed = kernel.run(text).failed().text
    assert message in failed and "cell line 2, column" in failed, failed
    assert said(kernel, "2 + 2") == "4"


def test_what_an_edit_breaks_late_is_set_aside(own_kernel):
    kernel = own_kernel
    said(kernel, "const N: usize = 3;")
    said(kernel, "fn last() -> u8 { let all = [1u8; N]; all[2] }")
    assert said(kernel, "last()") == "1"
    notice = said(kernel, "const N: usize = 2;")
    assert "`last` (In[2]) is set aside: this operation will panic at runtime" in notice, notice
    assert "is set aside" in kernel.run("last()").failed().text
    assert "is back" in said(kernel, "const N: usize = 4;")
    assert said(kernel, "last()") == "1"
    # A generic function that this use doesn't fit stays.
    said(kernel, "fn third<const M: usize>() -> u8 { const { assert!(M > 2) }; 3 }")
    assert "In[8]" in kernel.run("third::<1>()").failed().text
    assert said(kernel, "third::<5>()") == "3"


def test_a_mistake_behind_a_cached_cell_can_be_corrected(installed, fresh_cache):
    env = {"CHORUS_CACHE_DIR": str(fresh_cache)}
    for _ in range(2):
        with start_kernel(env=env) as kernel:
            assert said(kernel, "fn half(x: i32) -> i32 { x / 2 }\nlet a = half(4);") == ""
            assert "will panic" in kernel.run("fn half(x: i32) -> i32 { x / 0 }").failed().text
            said(kernel, "fn half(x: i32) -> i32 { x / 2 + 1 }")
            assert said(kernel, "half(a)") == "2"


def test_macro_calls_that_define_items_are_definitions(own_kernel):
    kernel = own_kernel
    fields = "#[derive(Debug)] struct $n { $($f: i32),* }"
    said(kernel, "macro_rules! record { ($n:ident { $($f:ident),* }) => { %s }; }" % fields)
    said(kernel, "record!(Pair { left, right });")
    assert said(kernel, "Pair { left: 1, right: 2 }") == "Pair { left: 1, right: 2 }"
    said(kernel, "let kept: Pair = Pair { left: 1, right: 2 };")
    assert "`kept` of the notebook" in said(kernel, "record!(Pair { left });")
    assert said(kernel, "Pair { left: 1 }") == "Pair { left: 1 }"
    count = "macro_rules! count { ($n:ident, $v:expr) => { fn $n() -> u32 { $v } }; }"
    said(kernel, f"{count}\ncount!(four, 4);\ncount!(five, 5);")
    assert said(kernel, "four() + five()") == "9"
    said(kernel, "count!(four, 44);")
    assert said(kernel, "%px four() + five()").endswith("49")
    said(kernel, "thread_local! { static HELD: std::cell::Cell<u32> = std::cell::Cell::new(3); }")
    assert said(kernel, "HELD.get()") == "3"
    notice = said(kernel, "macro_rules! count { ($n:ident) => { fn $n() -> u32 { 1 } }; }")
    assert "`count!(four, 44);` (In[9]) is set aside" in notice, notice
    # What is no item stays a statement.
    assert said(kernel, "macro_rules! twice { ($e:expr) => { $e * 2 } }\ntwice!(4)") == "8"
    say = "macro_rules! say { ($e:expr) => { println!(\"{}\", $e) } }"
    assert said(kernel, say + "\nsay!(4);\nsay! { 5 }").startswith("4\n5")


PROGRAMS = [
    [
        "fn f() -> i32 { 1 }",
        "fn g() -> i32 { f() + 10 }",
        "g()",
        "fn f() -> i32 { 2 }",
        "g()",
        "fn f() -> i32 { 1 }",
        "g()",
    ],
    [
        "mod a { pub fn f() -> i32 { 1 } }\nmod b { pub fn f() -> i32 { 2 } }",
        "use a::f;",
        "f()",
        "use b::f;",
        "f()",
        "use a::f;",
        "f()",
    ],
    [
        "macro_rules! m { () => { f() } }\nfn f() -> i32 { 1 }",
        "m!()",
        "fn f() -> i32 { 7 }",
        "m!()",
        "trait T { fn t(&self) -> i32 { 1 } }\nimpl T for i32 {}",
        "5.t()",
        "impl T for i32 { fn t(&self) -> i32 { *self } }",
        "5.t()",
    ],
    [
        "const N: usize = 2;",
        "fn make() -> [u8; N] { [0; N] }",
        "make().len()",
        "const N: usize = 5;",
        "make().len()",
        "fn make() -> [u8; 2] { [0; N] }",
        "make().len()",
        "const N: usize = 2;",
        "make().len()",
    ],
]


def test_the_cache_says_what_a_compilation_would(installed, fresh_cache):
    """Programs with edits: without a cache, with an empty one, and with one that has all of it."""
    shown = []
    for cache in ({"CHORUS_CACHE_MB": "0"}, {}, {}):
        env = {"CHORUS_CACHE_DIR": str(fresh_cache)} | cache
        with start_kernel(env=env) as kernel:
            replies = []
            for program in PROGRAMS:
                for cell in program:
                    reply = kernel.run(cell)
                    replies.append((cell, reply.status, [data["text/plain"] for data in reply.results]))
                kernel.run(":clear")
            shown.append(replies)
    assert shown[0] == shown[1] == shown[2]


def test_a_name_that_a_macro_puts_together_is_no_secret(own_kernel, tmp_path):
    """A macro of another crate may name what its call doesn't."""
    crate = tmp_path / "glue"
    (crate / "src").mkdir(parents=True)
    (crate / "Cargo.toml").write_text(
        '[package]\nname = "glue"\nversion = "0.1.0"\nedition = "2021"\n'
        "[lib]\nproc-macro = true\n[workspace]\n"
    )
    (crate / "src/lib.rs").write_text(
        "use proc_macro::TokenStream;\n#[proc_macro]\npub fn call(names: TokenStream) -> TokenStream {\n"
        "    let name: String = names.into_iter().map(|name| name.to_string()).collect();\n"
        '    format!("{name}()").parse().unwrap()\n}\n'
    )
    kernel = own_kernel
    said(kernel, f':dep glue = {{ path = "{crate}" }}')
    said(kernel, "fn score() -> i32 { 1 }")
    assert said(kernel, "glue::call!(sco re)") == "1"
    said(kernel, "fn score() -> i32 { 2 }")
    assert said(kernel, "glue::call!(sco re)") == "2"


def test_alternatives_under_conditions(own_kernel):
    kernel = own_kernel
    kernel.run("""#[cfg(debug_assertions)] fn mode() -> &'static str { "debug" }
#[cfg(not(debug_assertions))] fn mode() -> &'static str { "release" }
#[cfg(windows)] mod plat { pub fn sep() -> u8 { 2 } }
#[cfg(unix)] mod plat { pub fn sep() -> u8 { 1 } }
struct Own;
#[cfg(windows)] impl ToString for Own { fn to_string(&self) -> String { "w".into() } }
#[cfg(unix)] impl ToString for Own { fn to_string(&self) -> String { "u".into() } }
const LIM: u32 = 5;""").ok()
    assert said(kernel, "(mode().len() > 4, plat::sep(), Own.to_string())") == '(true, 1, "u")'
    # One whose condition doesn't hold takes nobody's place, in whichever cell it is; one that holds does.
    assert said(kernel, "#[cfg(windows)] const LIM: u32 = 9;") == ""
    assert said(kernel, "let kept = plat::sep(); LIM") == "5"
    assert said(kernel, "#[cfg(unix)] const LIM: u32 = 7;") == ""
    assert said(kernel, "(LIM, kept)") == "(7, 1)"
    # One without a condition takes the place of all.
    assert said(kernel, "const LIM: u32 = 6; fn mode() -> u8 { 3 }") == ""
    assert said(kernel, "(LIM, mode())") == "(6, 3)"
    # Places are those of the cell.
    text = kernel.run("#[cfg(windows)] fn bad() {}\n  #[cfg(unix)] fn bad() -> u8 { x }").failed().text
    assert "line 2, column 33" in text, text


def test_names_of_the_prelude_may_be_defined(own_kernel):
    kernel = own_kernel
    kernel.run('let r = "5".parse::<i32>(); let some = Some(3); let names = vec!["a".to_string()];').ok()
    kernel.run("let boxed: Box<dyn Fn() -> Option<i32>> = Box::new(|| Some(4));").ok()
    # Variables that are there, and new ones, have std's types.
    assert said(kernel, "type Result<T> = std::result::Result<T, String>;") == ""
    assert said(kernel, 'let q = "6".parse::<u8>(); let own: Result<u8> = Ok(7); r') == "Ok(5)"
    assert said(kernel, "(&q, &own)") == "(Ok(6), Ok(7))"
    # One that is the notebook's goes with its definition.
    assert "`own`" in said(kernel, "use std::io::Result;")
    assert said(kernel, "(&r, &q)") == "(Ok(5), Ok(6))"
    assert said(kernel, "#[derive(Debug)] enum Option<T> { Just(T), Nil } struct Vec<T>(T);") == ""
    assert said(kernel, 'let o = "abc".find(\'b\'); let p = Option::Just(1); let v = vec![1];') == ""
    assert said(kernel, "(o, &some, boxed(), v.len(), names.len())") == "(Some(1), Some(3), Some(4), 1, 1)"
    assert said(kernel, "p") == "Just(1)"


def test_impls_that_go_with_their_type_are_named(own_kernel):
    kernel = own_kernel
    first = kernel.run("struct Base { a: i32 } impl Base { fn f(&self) -> i32 { 1 } } impl Drop for Base { fn drop(&mut self) {} }").ok().count
    shown = said(kernel, "struct Base { a: i32, b: i32 }")
    assert f"`impl Base` (In[{first}]), `impl Drop for Base` (In[{first}]) are no longer there" in shown, shown
    assert "`f`" in kernel.run("Base { a: 1, b: 2 }.f()").failed().text
    # Of what the cell has anew nothing is said.
    again = kernel.run("struct Base { a: i32 } impl Base { fn f(&self) -> i32 { 2 } }").ok()
    assert again.text.strip() == ""
    assert said(kernel, "struct Base { b: i32 } impl Base { fn f(&self) -> i32 { 3 } }") == ""
    assert said(kernel, "Base { b: 1 }.f()") == "3"
    first = kernel.run("trait Noise { fn noise(&self) -> i32; } impl Noise for u8 { fn noise(&self) -> i32 { 1 } }").ok().count
    shown = said(kernel, "trait Noise { fn noise(&self) -> i64; }")
    assert f"`impl Noise for u8` (In[{first}]) is no longer there: it stood in the cell of the old `Noise`" in shown, shown


def test_a_variable_that_its_own_cell_makes_useless_is_explained(own_kernel):
    kernel = own_kernel
    said(kernel, "#[derive(Debug)] struct A { x: i32 } let a = A { x: 1 }; let n = 5;")
    failed = kernel.run("#[derive(Debug)] struct A { x: i32, y: i32 }\na.x").failed().text
    assert "this cell defines `A` anew, and `a` has a value of the old one" in failed, failed
    # Nothing has changed.
    assert said(kernel, "(&a, n)") == "(A { x: 1 }, 5)"
    failed = kernel.run("struct A { x: i32, y: i32 }\nfn f() -> i32 { a.x }").failed().text
    assert "functions and other definitions don't see variables" in failed, failed
    said(kernel, "mod g { pub struct P { pub x: i32 } } use g::P; let p = P { x: 1 };")
    failed = kernel.run("mod g { pub struct P { pub x: i64 } }\np.x").failed().text
    assert "this cell defines `g` anew, and `p`" in failed, failed


def test_a_variable_that_its_own_cell_has_moved_is_explained(own_kernel):
    kernel = own_kernel
    at = kernel.run("let v = vec![1]; let w = v;").ok().count
    failed = kernel.run("v.len()").failed().text
    assert f"its value was moved in In[{at}], where `&` or `.clone()` would leave it" in failed, failed
    assert f"do so in In[{at}], which also defines it, and run it again" in failed, failed
    assert said(kernel, "w.len()") == "1"
    at = kernel.run("drop(w);").ok().count
    failed = kernel.run("w.len()").failed().text
    assert f"moved in In[{at}]" in failed and f"run In[{at - 3}] again, which defines it" in failed, failed


def test_a_macro_call_that_makes_the_same_again_goes_before(own_kernel):
    kernel = own_kernel
    kernel.run("macro_rules! makes { ($t:ty) => { fn made() -> $t { 7 as $t } } }\nmakes!(u32);").ok()
    assert kernel.run("made()").ok().text.strip() == "7"
    edited = kernel.run("makes!(f32);").ok().text
    assert "`makes!(u32);` (In[1]) is set aside: the name `made` is defined multiple times" in edited, edited
    assert kernel.run("made()").ok().text.strip() == "7.0"
    edited = kernel.run('fn made() -> &\'static str { "plain" }').ok().text
    assert "`makes!(f32);` (In[3]) is set aside" in edited and "`makes`" not in edited, edited
    assert kernel.run("made()").ok().text.strip() == '"plain"'
    both = kernel.run("makes!(u8); makes!(u16);").failed()
    assert "defined multiple times" in both.traceback and kernel.run("made()").ok().text.strip() == '"plain"'
