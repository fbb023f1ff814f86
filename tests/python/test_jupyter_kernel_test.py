"""Jupyter's own conformance suite, for those messages that this release answers."""

import jupyter_kernel_test
import pytest


@pytest.fixture(autouse=True, scope="module")
def _kernelspec(installed):
    """unittest classes take no fixtures, but the suite needs the kernel to be installed."""


class ChorusTests(jupyter_kernel_test.KernelTests):
    kernel_name = "chorus"
    language_name = "rust"
    file_extension = ".rs"
    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("oops");'
    code_execute_result = [{"code": "6 * 7", "result": "42"}, {"code": 'format!("{}", 1)', "result": '"1"'}]
    completion_samples = [{"text": "whil", "matches": {"while", "while let"}}, {"text": "%pxr", "matches": {"%pxresult"}}]
    code_inspect_sample = "%px"
    code_generate_error = 'panic!("an error");'
    code_display_data = [
        {"code": 'println!("EVCXR_BEGIN_CONTENT text/html\\n<b>x</b>\\nEVCXR_END_CONTENT");', "mime": "text/html"},
        {"code": 'px::display(px::Markdown("*x*"));', "mime": "text/markdown"},
        {"code": "px::display(px::Png([137, 80, 78, 71]));", "mime": "image/png"},
    ]
    code_clear_output = "px::clear_output(false);"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The suite gives each cell 15 s, and on a busy machine the compiler may need them to start.
        cls.kc.execute_interactive("()", timeout=120)

    code_page_something = "%px??"
    code_history_pattern = "6 *"
    supported_history_operations = ("tail", "range", "search")
    complete_code_samples = [
        "",
        "1 + 1",
        "let x = 1;",
        "fn f() {}",
        "fn f() -> i32 {\n    1\n}\nf()",
        "xs.iter()\n    .map(|x| x + 1)",
        "// a comment",
        "%px 1",
        "%%px\nlet x = 1;\nx\n",
        ":vars",
    ]
    incomplete_code_samples = [
        "fn f() {",
        "fn f()",
        "vec![1,",
        'let s = "one',
        'r#"one"',
        "/* one",
        "let x =",
        "1 +",
        "xs.iter().",
        "#[derive(Debug)]",
        "let x = 1",
        "%%px",
        "%%px\nfor x in 0..3 {",
        "%%px\nlet x = 1;\nx",
    ]
    invalid_code_samples = ["}", "let = 1;", "foo(]", "fn 5() {}", "let x = 'ab;", "%nonsense"]


class WelcomeTests(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name = "chorus"
    support_iopub_welcome = True
