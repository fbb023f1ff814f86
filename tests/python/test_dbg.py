"""`dbg!` says where in the notebook it stands, whoever runs it."""

import pytest

from conftest import start_kernel


@pytest.fixture
def cache(installed, fresh_cache, monkeypatch):
    monkeypatch.setenv("CHORUS_CACHE_DIR", str(fresh_cache))


def test_a_place_is_that_of_the_notebook(kernel):
    define = "\nfn dbg_half(n: u32) -> u32 {\n    dbg!(n) / 2\n}\nmod dbg_inner { pub fn f() { dbg!(); } }"
    count = kernel.run(define).ok().count
    text = 'let moved: String = dbg!(String::from("é")); let kept = "é"; dbg!(kept);\n dbg!(dbg!(dbg_half(8)) + 1, 2,)'
    reply = kernel.run(text).ok()
    assert reply.stderr.splitlines() == [
        '[cell line 1:21] String::from("é") = "é"',
        '[cell line 1:62] kept = "é"',
        f"[In[{count}] line 3:5] n = 8",
        "[cell line 2:7] dbg_half(8) = 4",
        "[cell line 2:2] dbg!(dbg_half(8)) + 1 = 5",
        "[cell line 2:2] 2 = 2",
    ]
    assert "(5, 2)" in reply.text
    assert kernel.run("dbg_inner::f()").ok().stderr == f"[In[{count}] line 5:30]\n"


def test_a_shared_static_on_the_line_moves_no_place(kernel):
    text = "static DBG_S: std::sync::Mutex<u8> = std::sync::Mutex::new(3); fn dbg_s() { dbg!(DBG_S.lock().unwrap()); }"
    reply = kernel.run(f"{text}\ndbg_s();").ok()
    assert f"[cell line 1:{text.index('dbg!') + 1}] " in reply.stderr


def test_a_macro_of_the_notebook_has_the_place_of_its_call(kernel):
    kernel.run("macro_rules! dbg_both { ($a:expr) => { dbg!($a + 1) } }").ok()
    assert kernel.run("let n = 1;\n  dbg_both!(n);").ok().stderr == "[cell line 2:3] n + 1 = 2\n"


def test_engines_say_the_same(cluster):
    count = cluster.run("fn dbg_twice(n: usize) -> usize {\n    dbg!(n * 2)\n}").ok().count
    of_function = f"[In[{count}] line 2:5] n * 2 ="
    reply = cluster.run("%%px -t 1\ndbg!(px::rank());\ndbg_twice(3);").ok()
    assert "[cell line 2:1] px::rank() = 0" in reply.stderr, reply
    assert f"{of_function} 6" in reply.stderr, reply
    reply = cluster.run("%map |n: usize| dbg!(dbg_twice(n)) over 4..5").ok()
    assert f"{of_function} 8" in reply.stderr and "[cell line 1:17] dbg_twice(n) = 8" in reply.stderr, reply
    reply = cluster.run("let half = 1;\npx::call!(dbg_twice, 7usize).get()?").ok()
    assert f"{of_function} 14" in reply.stderr, reply


def test_code_of_an_earlier_cell_is_not_said_to_be_of_this_one(kernel):
    kernel.run("\nlet dbg_later: Box<dyn Fn() + Send> = Box::new(|| { dbg!(1); });\ndbg_later();").ok()
    assert kernel.run("dbg_later();").ok().stderr == "[earlier cell line 2:53] 1 = 1\n"


def test_a_mistake_is_where_the_user_made_it(kernel):
    reply = kernel.run("struct DbgPlain;\nlet n = 1; dbg!(n, DbgPlain);").failed()
    assert "`DbgPlain` doesn't implement `Debug`" in reply.traceback
    assert "cell line 2, column 12" in reply.traceback and "CHORUS" not in reply.text


def test_the_users_macro_goes_before(own_kernel):
    assert "] 1 = 1" in own_kernel.run("std::dbg!(1);").ok().stderr
    assert "cell line" not in own_kernel.run("std::dbg!(1);").ok().stderr
    assert own_kernel.run("{ use std::dbg; dbg!(1); }").ok().stderr.startswith("[src/lib.rs")
    own_kernel.run('macro_rules! dbg { ($a:expr) => { println!("own {}", $a) } }').ok()
    reply = own_kernel.run("dbg!(2);").ok()
    assert (reply.stdout, reply.stderr) == ("own 2\n", "")


def test_what_was_compiled_before_has_the_places_of_now(cache):
    define, use = "fn dbg_f() { dbg!(1); }", "dbg_f(); dbg!(2);"
    own = "[cell line 1:10] 2 = 2\n"
    with start_kernel() as kernel:
        kernel.run(define).ok()
        for _ in range(2):
            assert kernel.run(use).ok().stderr == f"[In[1] line 1:14] 1 = 1\n{own}"
    with start_kernel() as kernel:
        kernel.run("let before = 1;").ok()
        kernel.run(f"\n{define}").ok()
        assert kernel.run(use).ok().stderr == f"[In[2] line 2:14] 1 = 1\n{own}"
