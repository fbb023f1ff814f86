//! tokio's runtime in cells: that of the library of dependencies, and the thread's in each cell.
//!
//! evcxr keeps a runtime among the variables, and has it run all cells from the first on that awaits. But `tokio::spawn`
//! needs one in any cell, and what blocks can't be called by a runtime. So cells that don't await enter it and are called
//! as they are, whatever ran before.

use chorus_syntax::{words, words_of};

/// What evcxr writes where a cell has to be awaited: these begin and end it.
const EVCXRS: [&str; 3] =
    ["let mut mutex =", "evcxr_variable_store.lazy_arc(\"evcxr_tokio_runtime\",", ".block_on(async {"];
/// What runs a cell that awaits, and what calls one that doesn't; the latter takes a closure in the place of a future.
const RUN: &str = "runtime()";
const CALL: &str = "call";
const CLOSURE: &str = "(|| {";
/// Where a cell begins that has variables, and one that has none.
const BEGINS: [&str; 2] =
    ["let evcxr_variable_store = unsafe {&mut *evcxr_variable_store};", "evcxr_variable_store: *mut u8) -> *mut u8 {"];

/// What a worker calls before it calls a function of the object.
const FUNCTION_BEGINS: &str = "#[unsafe(no_mangle)] extern \"C\" fn chorus_function_begins()";

/// The source of a cell, with one line more behind it, that finds its runtime in the library of this name; `None` where evcxr wrote
/// something else.
pub(crate) fn with(source: &str, library: &str) -> Option<String> {
    let mut lines: Vec<String> = source.lines().map(str::to_owned).collect();
    let awaited = lines.windows(2).position(|two| two[0] == EVCXRS[0] && two[1].starts_with(EVCXRS[1]));
    match awaited {
        Some(begin) => {
            let length = lines[begin..].iter().position(|line| line == EVCXRS[2])?;
            lines[begin..begin + length].fill(String::new());
            // Definitions stand before.
            let awaits = lines[begin..].iter().flat_map(|line| words_of(line)).any(|word| word == "await");
            lines[begin] = format!("::{library}::chorus_tokio::{}", if awaits { RUN } else { CALL });
            if !awaits {
                lines[begin + length] = CLOSURE.to_owned();
            }
        }
        None => {
            let begin = lines.iter().rposition(|line| BEGINS.contains(&line.as_str()))?;
            let wanted = words(source).any(|word| word == "tokio");
            lines[begin].push_str(&format!(" ::{library}::chorus_tokio::enter({wanted});"));
        }
    }
    // Functions that engines call begin without a cell.
    let wanted = words(source).any(|word| word == "tokio");
    lines.push(format!("{FUNCTION_BEGINS} {{ ::{library}::chorus_tokio::enter({wanted}); }}"));
    Some(lines.join("\n") + "\n")
}

/// The source with a future again, if it was made a closure, and these messages say that it awaits: a macro may do that.
pub(crate) fn awaited(source: &str, messages: &str) -> Option<String> {
    let mut lines: Vec<&str> = source.lines().collect();
    let begin = lines.iter().position(|line| line.starts_with("::") && line.ends_with("::chorus_tokio::call"))?;
    let closure = begin + lines[begin..].iter().position(|line| *line == CLOSURE)?;
    let run = lines[begin].strip_suffix(CALL)?.to_owned() + RUN;
    lines[begin] = &run;
    lines[closure] = EVCXRS[2];
    messages.contains("\"code\":\"E0728\"").then(|| lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_awaits_is_run_by_the_one_runtime() {
        let source = "AssertUnwindSafe(||{\nlet mut mutex =\nevcxr_variable_store.lazy_arc(\"evcxr_tokio_runtime\", ||\n\
                      std::sync::Mutex::new(tokio::runtime::Runtime::new().unwrap())); match\n{}\n.block_on(async {\na.await\n";
        let begins = format!("{FUNCTION_BEGINS} {{ ::deps::chorus_tokio::enter(true); }}\n");
        let expected = "AssertUnwindSafe(||{\n::deps::chorus_tokio::runtime()\n\n\n\n.block_on(async {\na.await\n";
        let expected = expected.to_owned() + &begins;
        assert_eq!(with(source, "deps"), Some(expected.clone()));
        let called = with(&source.replace("a.await", "a()"), "deps").unwrap();
        let called_by = format!("::deps::chorus_tokio::call\n\n\n\n(|| {{\na()\n{begins}");
        assert!(called.ends_with(&called_by), "{called}");
        let run = expected.replace("a.await", "a()");
        assert_eq!(awaited(&called, "{\"code\":{\"code\":\"E0728\"}}"), Some(run.clone()));
        assert_eq!((awaited(&called, "E0308"), awaited(&run, "\"code\":\"E0728\"")), (None, None));
        assert_eq!(with(source.strip_suffix(".block_on(async {\na.await\n").unwrap(), "deps"), None);
    }

    #[test]
    fn any_other_cell_enters_it() {
        for begin in BEGINS {
            let source = |what: &str| format!("fn run(\n{begin}\n{what}\n");
            let entered = |wanted: bool| format!("{begin} ::deps::chorus_tokio::enter({wanted});\n");
            let text = with(&source("f();"), "deps").unwrap();
            assert!(text.contains(&entered(false)), "{text}");
            let text = with(&source("tokio::spawn(f());"), "deps").unwrap();
            assert!(text.contains(&entered(true)), "{text}");
        }
        assert_eq!(with("fn f() {}\n", "deps"), None);
    }
}
