"""Threads that cells have left outlive the worker: pools, runtimes and what else there may be."""

import itertools
import re

import pytest

from conftest import start_kernel

# Chorus itself needs them, so they were downloaded.
RAYON = ':offline 1\n:dep rayon = "1"'
BOTH = RAYON + '\n:dep tokio = { version = "1", features = ["net", "rt-multi-thread", "signal", "sync", "time"] }'

SEGFAULT = "unsafe { (16 as *mut i32).write_volatile(1) };"
DEATHS = [SEGFAULT, "std::process::exit(3);", "std::process::abort();", "rayon::join(|| std::process::abort(), || 1);", None]
AS_BEFORE = "variables are as they were before this cell"
NOTICE = "variables don't outlive a crash, an exit or an interrupt"

# Where the dependencies aren't linked into one library, each cell has a pool and a runtime of its own.
MAKE = """
let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
let sum: Box<dyn Fn() -> u64> = Box::new(move || {
    pool.install(|| (0..100_000u64).into_par_iter().sum::<u64>() + rayon::current_num_threads() as u64)
});
let all: Box<dyn Fn(&[u64]) -> u64> = Box::new(|numbers| numbers.par_iter().sum());
assert_eq!(all(&xs), 4_999_950_000);
"""
MAKE_RUNTIME = """
let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
let (question, mut questions) = tokio::sync::mpsc::channel::<(u64, tokio::sync::oneshot::Sender<u64>)>(4);
runtime.spawn(async move { while let Some((n, answer)) = questions.recv().await { answer.send(n + 1).unwrap(); } });
let (ticks, ticked) = tokio::sync::watch::channel(0u64);
runtime.spawn(async move {
    loop { tokio::time::sleep(Duration::from_millis(3)).await; ticks.send_modify(|n| *n += 1); }
});
let serve: Box<dyn Fn(u64) -> u64> = Box::new(move |n| runtime.block_on(async {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    question.send((n, sender)).await.unwrap();
    let mut ticked = ticked.clone();
    for _ in 0..2 { ticked.changed().await.unwrap(); }
    let blocking = tokio::task::spawn_blocking(|| 1).await.unwrap();
    tokio::spawn(async { tokio::time::sleep(Duration::from_millis(5)).await }).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move { listener.accept().await.unwrap() });
    tokio::net::TcpStream::connect(address).await.unwrap();
    accepting.await.unwrap();
    receiver.await.unwrap() + blocking - 1
}));
assert_eq!(serve(41), 42);
// In a restored worker, too, a new one finds what tokio keeps for all.
let serve_anew: Box<dyn Fn(u64) -> u64> = Box::new(|n| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async move { tokio::spawn(async move { tokio::time::sleep(Duration::from_millis(1)).await; n }).await.unwrap() })
});
"""
USE = "assert_eq!((all(&xs), sum(), serve(41), serve_anew(7)), (4_999_950_000, 4_999_950_003, 42, 7)); "


@pytest.fixture(scope="module")
def threaded(installed):
    """A kernel with two engines and the two libraries."""
    with start_kernel() as kernel:
        kernel.run("%cluster start -n 2").ok()
        kernel.run(BOTH, timeout=400).ok()
        kernel.run("use rayon::prelude::*; use std::time::Duration;").ok()
        yield kernel


@pytest.mark.parametrize("where", ["", "%%px\n"])
def test_pools_and_a_runtime_outlive_workers(threaded, where):
    kernel = threaded
    kernel.run(where + "let mut xs: Vec<u64> = (0..100_000).collect();").ok()
    kernel.run(where + "let mut deaths = 0;" + MAKE).ok()
    kernel.run(where + MAKE_RUNTIME).ok()
    for death in itertools.islice(itertools.cycle(DEATHS), 10):
        code = f'{where}{USE}deaths += 1; xs.push(1); println!("used"); '
        if death is None:
            reply = kernel.send(code + "loop { std::hint::spin_loop() }")
            kernel.wait_for_text(reply, "used", times=2 if where else 1)
            kernel.interrupt()
            kernel.wait(reply).failed()
        else:
            reply = kernel.run(code + death).failed()
        assert AS_BEFORE in reply.text and "used" in reply.text and NOTICE not in reply.text, reply
    assert "0" in kernel.run(where + USE + "deaths").ok().text
    kernel.run(where + "drop(serve); drop(serve_anew); drop(sum);").ok()


def test_a_thread_that_is_joined_after_a_restore_has_ended(kernel):
    kernel.run("let (sender, receiver) = std::sync::mpsc::channel::<u32>();").ok()
    kernel.run("let adder = std::thread::spawn(move || receiver.into_iter().sum::<u32>());").ok()
    for _ in range(3):
        reply = kernel.run("sender.send(1000).unwrap(); std::thread::spawn(|| loop { std::thread::park() }); " + SEGFAULT)
        assert AS_BEFORE in reply.failed().text
    threads = 'std::fs::read_dir("/proc/self/task").unwrap().count()'
    # The main thread, the one that flushes, and the adder.
    assert kernel.run(threads).ok().results[0]["text/plain"] == "3", "what dead cells started is gone"
    assert kernel.run("for n in 0..5 { sender.send(n).unwrap(); }").ok()
    assert kernel.run("drop(sender); adder.join().unwrap()").ok().results[0]["text/plain"] == "10"


STUBBORN = """
mod c { unsafe extern "C" { pub fn pthread_sigmask(how: i32, mask: *const u64, old: *mut u64) -> i32; } }
let (end, ended) = std::sync::mpsc::channel::<()>();
let (ready, is_ready) = std::sync::mpsc::channel::<()>();
let stubborn = std::thread::Builder::new().name("stubborn".into()).spawn(move || {
    unsafe { c::pthread_sigmask(0, [u64::MAX; 16].as_ptr(), std::ptr::null_mut()) };
    ready.send(()).unwrap();
    let _ = ended.recv();
}).unwrap();
is_ready.recv().unwrap();
"""


@pytest.mark.parametrize("where", ["", "%%px\n"])
def test_a_thread_that_cannot_be_kept_is_told_before_it_costs_anything(cluster, where):
    kernel = cluster
    assert NOTICE not in kernel.run(where + "let precious = 1;").ok().text
    assert NOTICE not in kernel.run(where + STUBBORN).ok().text
    reply = kernel.run(where + "precious + 1").ok()
    assert NOTICE in reply.text and "threads that cells started can't be kept: `stubborn` blocks signals" in reply.text
    assert NOTICE not in kernel.run(where + "precious + 2").ok().text, "once"
    assert "`stubborn` blocks signals" in kernel.run("%snapshot status").ok().text
    kernel.run(where + "drop(end); stubborn.join().unwrap();").ok()
    assert AS_BEFORE in kernel.run(where + "std::process::abort();").failed().text
    kernel.run(where + STUBBORN).ok()
    reply = kernel.run(where + "std::process::abort();").failed()
    assert NOTICE in reply.text and re.search("lost.*`precious`", reply.text), reply
    assert "there was no snapshot: threads that cells started can't be kept: `stubborn` blocks signals" in reply.text


def test_the_notice_of_a_cell_in_the_background_comes_with_the_next(cluster):
    kernel = cluster
    kernel.run("%%px\nlet kept = 1;" + STUBBORN).ok()
    kernel.run("%%px -a\nprintln!(\"late\");", background=True).ok()
    texts = [kernel.run(code).ok().text for code in ["%pxresult", "let a = 1;", "let b = 1;"]]
    assert re.search(r"engines 0-\d: from here on, " + NOTICE, "".join(texts[:2])) and NOTICE not in texts[2], texts
    kernel.run("%%px\ndrop(end); stubborn.join().unwrap();").ok()
