"""What cells show while they run: displays of any kind, their updates, cleared outputs, progress bars, partial lines."""

import base64
import re
import time

import nbformat

PNG = bytes([137, 80, 78, 71, 13, 10, 26, 10])


def ids(reply):
    return [content["transient"].get("display_id") for content in reply.of("display_data")]


def cleared(reply):
    """The kinds of messages, `clear_output` with what it waits for."""
    return [
        f"clear {content['wait']}" if kind == "clear_output" else content.get("text", kind).strip()
        for kind, content, _ in reply.messages
        if kind != "execute_input"
    ]


def test_each_kind_of_display(kernel):
    reply = kernel.run(f"""
        px::display(vec![1, 2]);
        px::display(px::Html("<b>x</b>"));
        px::display(px::Markdown(String::from("*x*")));
        px::display(px::Latex("$x$"));
        px::display(px::Svg("<svg/>"));
        px::display(px::Json("{{\\"a\\": [1]}}"));
        px::display(px::Png({list(PNG)}));
        px::display(px::Text("no quotes"));
        px::display(px::Bundle::new().with("text/plain", "a").with("text/html", "<i>a</i>"));
    """).ok()
    assert reply.of("display_data") and ids(reply) == [None] * 9
    assert reply.displays == [
        {"text/plain": "[1, 2]"},
        {"text/html": "<b>x</b>"},
        {"text/markdown": "*x*", "text/plain": "*x*"},
        {"text/latex": "$x$", "text/plain": "$x$"},
        {"image/svg+xml": "<svg/>"},
        {"application/json": {"a": [1]}, "text/plain": '{"a": [1]}'},
        {"image/png": base64.b64encode(PNG).decode()},
        {"text/plain": "no quotes"},
        {"text/plain": "a", "text/html": "<i>a</i>"},
    ]


def test_displays_stand_between_the_text_around_them_and_are_no_results(kernel):
    reply = kernel.run('println!("a"); px::display(1); println!("b"); 2').ok()
    assert reply.lines() == ["a", "1", "b", "2"] and reply.results == [{"text/plain": "2"}]
    assert kernel.run("px::display!(3)").ok().results == []
    assert kernel.run('px::Html("<b>")').ok().results == [{"text/html": "<b>"}]


def test_a_type_with_a_method_of_its_own(kernel):
    kernel.run(r"""
        struct Plot;
        impl Plot {
            fn evcxr_display(&self) {
                println!("EVCXR_BEGIN_CONTENT text/html\n<b>p</b>\nEVCXR_END_CONTENT");
                println!("EVCXR_BEGIN_CONTENT text/plain\np\nEVCXR_END_CONTENT");
            }
        }
    """).ok()
    both = {"text/html": "<b>p</b>", "text/plain": "p"}
    assert kernel.run("px::display!(Plot); px::display!(Plot); px::display!([1]);").ok().displays == [
        both,
        both,
        {"text/plain": "[1]"},
    ]


def test_a_display_is_updated_in_its_cell_in_later_ones_and_from_threads(kernel):
    reply = kernel.run('let shown = px::Display::new(px::Text("first")); shown.update(2);').ok()
    (ident,) = ids(reply)
    assert ident and reply.displays == [{"text/plain": "2"}]
    reply = kernel.run('shown.update(px::Html("<b>3</b>")); shown').ok()
    assert kernel.run("px::display(4)").ok().of("update_display_data") == []
    (update,) = reply.of("update_display_data")
    assert update["transient"] == {"display_id": ident} and update["data"] == {"text/html": "<b>3</b>"}
    assert reply.of("display_data", "execute_result") == []

    late = kernel.run(
        "let from_thread = shown.clone();\n"
        "std::thread::spawn(move || { std::thread::sleep(std::time::Duration::from_millis(300)); from_thread.update(5) });",
        background=True,
    ).ok()
    kernel.pump(lambda: late.of("update_display_data"), 20, lambda: "an update from a thread")
    assert late.of("update_display_data")[0]["transient"] == {"display_id": ident}


def test_many_updates_are_few_messages_and_the_last_one_counts(kernel):
    reply = kernel.run("let many = px::Display::new(0); for n in 1..=20_000 { many.update(n); }").ok()
    assert reply.displays == [{"text/plain": "20000"}]
    took = reply.idle_at - reply.messages[0][2]
    assert len(reply.of("update_display_data")) <= 3 + 10 * took


def test_outputs_are_cleared_at_once_or_with_the_next(kernel):
    assert cleared(kernel.run('println!("a"); px::clear_output(false); println!("b");').ok()) == [
        "a",
        "clear False",
        "b",
    ]
    assert cleared(kernel.run('println!("a"); px::clear_output(true); println!("b");').ok()) == ["a", "clear True", "b"]


def test_a_line_that_is_not_finished_shows_while_the_cell_runs(kernel):
    reply = kernel.send(
        r'for n in 0..3 { print!("\rstep {n}"); std::thread::sleep(std::time::Duration::from_millis(700)); }'
    )
    kernel.wait_for_text(reply, "step 0")
    first = time.time()
    kernel.wait(reply).ok()
    assert reply.idle_at - first > 1, "the first step was shown at the end only"
    assert reply.stdout == "\rstep 0\rstep 1\rstep 2"


def test_a_progress_bar_moves_while_its_cell_runs(kernel):
    reply = kernel.run(
        'for _ in px::progress(0..20).label("files") { std::thread::sleep(std::time::Duration::from_millis(30)); }'
    ).ok()
    (data,) = reply.displays
    assert data["text/plain"].startswith("files 100% [") and "20/20, " in data["text/plain"]
    assert '<progress value="20" max="20"' in data["text/html"]
    updates = [arrived for kind, _, arrived in reply.messages if kind == "update_display_data"]
    assert 3 <= len(updates) <= 2 + 10 * (updates[-1] - reply.messages[0][2] + 0.2)
    assert updates[-1] - updates[0] > 0.2, "the updates came all at once"


def test_bars_within_a_loop_share_a_place_and_one_that_is_left_says_so(kernel):
    reply = kernel.run("""
        for n in px::progress(0..3).label("outer") {
            for _ in px::progress(0..10).label(format!("inner {n}")) {}
        }
        for n in px::progress(0..10).label("left") { if n == 4 { break; } }
    """).ok()
    outer, inner, left = (data["text/plain"] for data in reply.displays)
    assert outer.startswith("outer 100%") and inner.startswith("inner 2 100%") and "10/10" in inner
    assert "4/10" in left and "stopped after" in left
    failed = kernel.run('for n in px::progress(0..10) { assert!(n < 4, "four"); }').failed()
    assert "4/10" in failed.displays[0]["text/plain"] and "panicked after" in failed.displays[0]["text/plain"]


def test_each_engine_has_its_bar_and_its_displays(kernel):
    kernel.run("%cluster start -n 2").ok()
    reply = kernel.run(
        "%%px\nlet shown = px::Display::new(px::rank());\n"
        'for _ in px::progress(0..10).label("work") { std::thread::sleep(std::time::Duration::from_millis(30)); }'
    ).ok()
    texts = sorted(data["text/plain"] for data in reply.displays)
    assert texts[:2] == ["0", "1"] and len(texts) == len(set(ids(reply))) == 3, texts
    assert re.search(r"engine 0 \[█+\] work 10/10.*\n  engine 1 \[█+\] work 10/10", texts[2]), texts
    by_value = {content["data"]["text/plain"]: content["transient"] for content in reply.of("display_data")}
    reply = kernel.run('%px shown.update(format!("engine {}", px::rank()))').ok()
    updates = {content["data"]["text/plain"]: content["transient"] for content in reply.of("update_display_data")}
    assert updates == {'"engine 0"': by_value["0"], '"engine 1"': by_value["1"]}
    # A lone engine may clear; of several, none clears what the others show.
    assert "clear True" in cleared(kernel.run('%px -t 0 px::clear_output(true); println!("x");').ok())
    assert kernel.run('%px px::clear_output(true); println!("x");').ok().of("clear_output") == []


def test_a_panic_names_the_functions_that_it_came_through(kernel):
    kernel.run("#[inline(never)]\nfn inner(n: u32) -> u32 {\n    assert!(n < 3);\n    n\n}").ok()
    kernel.run("fn outer() -> u32 {\n    (0..5).map(inner).sum()\n}").ok()
    lines = kernel.run("let a = 1;\nouter() + a").failed().traceback.splitlines()
    assert lines[-3].startswith("  in inner, In["), lines
    assert lines[-2].startswith("  called from outer, In[") and lines[-2].endswith(" line 2")
    assert lines[-1] == "  called from cell line 2"
    lines = kernel.run("%px -t 0 outer()").failed().traceback.splitlines()
    assert lines[-2].startswith("  called from outer, In[") and lines[-1] == "  called from cell line 1", lines


def test_a_compile_error_says_where_to_read_more(kernel):
    traceback = kernel.run("let a = vec![1]; let b = a; a.len()").failed().traceback
    assert "= more: `rustc --explain E0382`, https://doc.rust-lang.org/error_codes/E0382.html" in traceback


def test_chorus_run_writes_what_is_on_show_at_the_end(chorus, tmp_path):
    cells = [
        'let shown = px::Display::new("before");',
        'println!("a"); px::clear_output(true); println!("b");',
        'shown.update("after"); for _ in px::progress(0..3) {}',
    ]
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": {"name": "chorus", "display_name": "Rust"}}
    )
    nbformat.write(book, tmp_path / "in.ipynb")
    done = chorus("run", tmp_path / "in.ipynb", "-o", tmp_path / "out.ipynb")
    first, second, third = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    assert [output.data["text/plain"] for output in first.outputs] == ['"after"']
    assert [output.text for output in second.outputs] == ["b\n"]
    assert len(third.outputs) == 1 and third.outputs[0].data["text/plain"].startswith("100% [")
    # Not on a terminal: the bar is shown once.
    assert done.stdout.count("100% [") == 1 and done.stdout.count("  0% [") == 0
