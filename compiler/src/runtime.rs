//! tokio's runtime in cells: that of the library of dependencies, and the thread's in each cell.
//!
//! evcxr keeps a runtime among the variables, and only cells from the first `await` on are run by it. But `tokio::spawn`
//! needs one in any cell.

use chorus_syntax::words;

/// What evcxr writes where a cell has to be awaited: these begin and end it.
const EVCXRS: [&str; 3] =
    ["let mut mutex =", "evcxr_variable_store.lazy_arc(\"evcxr_tokio_runtime\",", ".block_on(async {"];
/// Where a cell begins that has variables, and one that has none.
const BEGINS: [&str; 2] =
    ["let evcxr_variable_store = unsafe {&mut *evcxr_variable_store};", "evcxr_variable_store: *mut u8) -> *mut u8 {"];

/// The source of a cell, with as many lines, that finds its runtime in the library of this name; `None` where evcxr wrote
/// something else.
pub(crate) fn with(source: &str, library: &str) -> Option<String> {
    let mut lines: Vec<String> = source.lines().map(str::to_owned).collect();
    let awaited = lines.windows(2).position(|two| two[0] == EVCXRS[0] && two[1].starts_with(EVCXRS[1]));
    match awaited {
        Some(begin) => {
            let length = lines[begin..].iter().position(|line| line == EVCXRS[2])?;
            lines[begin..begin + length].fill(String::new());
            lines[begin] = format!("::{library}::chorus_tokio::runtime()");
        }
        None => {
            let begin = lines.iter().rposition(|line| BEGINS.contains(&line.as_str()))?;
            let wanted = words(source).any(|word| word == "tokio");
            lines[begin].push_str(&format!(" ::{library}::chorus_tokio::enter({wanted});"));
        }
    }
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_awaits_is_run_by_the_one_runtime() {
        let source = "AssertUnwindSafe(||{\nlet mut mutex =\nevcxr_variable_store.lazy_arc(\"evcxr_tokio_runtime\", ||\n\
                      std::sync::Mutex::new(tokio::runtime::Runtime::new().unwrap())); match\n{}\n.block_on(async {\na.await\n";
        let expected = "AssertUnwindSafe(||{\n::deps::chorus_tokio::runtime()\n\n\n\n.block_on(async {\na.await\n";
        assert_eq!(with(source, "deps").as_deref(), Some(expected));
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
