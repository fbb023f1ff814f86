//! Makes what evcxr generated cheaper to compile, line by line, so that every place stays where it is.
//!
//! evcxr puts its store of variables as text into each cell, where rustc optimises it again for each type, and it takes
//! every variable of the notebook out of the store and puts it back. Most of a cell's compilation goes into that. Here
//! the store becomes the compiled one of `px`, and variables that the cell doesn't name stay where they are.

use std::collections::HashSet;

const STORE_BEGINS: &str = "mod evcxr_internal_runtime {";
const STORE: &str = "use px::store as evcxr_internal_runtime;";
const CHECK: &str = "vars_ok &= evcxr_variable_store.check_variable::<";
const TAKE: &str = " = evcxr_variable_store.take_variable::<";
const PUT: &str = "evcxr_variable_store.put_variable::<";
const NAME_BEGINS: &str = ">(stringify!(";

/// How evcxr shows a result when it takes the method `evcxr_display` for the cause of an error. It also does when the
/// result moves a variable, so that this has to call that method too.
const FALLBACK: &str = "evcxr_send_text_plain(&format!(\"{:?}\",&(";
const SHOW: &str = "px::show!((&(";

/// Where evcxr drops what the user passed to `panic!`, whose `Drop` may panic in its turn.
const CAUGHT: [&str; 2] = ["  Err(_) => {", NOTIFIED];
const DISCARDED: &str = "  Err(payload) => {px::store::discard(payload);";
/// The same in a cell without variables.
const CAUGHT_WITHOUT: [&str; 2] = ["}).is_err() {", NOTIFIED];
const DISCARDED_WITHOUT: &str = "}).is_err_and(|payload| {px::store::discard(payload); true}) {";
const NOTIFIED: &str = "    println!(\"EVCXR_PANIC_NOTIFICATION\");";

/// The source with as many lines; `None` if it isn't what evcxr is known to write.
pub(crate) fn rewrite(source: &str) -> Option<String> {
    let Some(begin) = source.lines().position(|line| line == STORE_BEGINS) else {
        if has_nothing_to_run(source) {
            return Some(source.trim_end().strip_suffix(ENTRY)?.to_owned() + OWN_ENTRY + "\n");
        }
        return for_check(source).or_else(|| without_store(source));
    };
    // The module's own braces are indented or close functions; its last stands before the entry's attribute.
    let entry = source.lines().skip(begin).position(|line| line == "#[unsafe(no_mangle)]")? + begin;
    let mut lines: Vec<&str> = source.lines().collect();
    if lines.get(entry.checked_sub(1)?) != Some(&"}") {
        return None;
    }
    lines[begin..entry].fill("");
    lines[begin] = STORE;
    for line in lines.iter_mut().filter(|line| **line == FALLBACK) {
        *line = SHOW;
    }
    if let Some(caught) = lines.windows(2).rposition(|two| two == CAUGHT) {
        lines[caught] = DISCARDED;
    }

    let traffic: Vec<Option<&str>> = lines.iter().map(|line| variable(line)).collect();
    let rest = lines.iter().zip(&traffic).filter(|(_, variable)| variable.is_none()).map(|(line, _)| *line);
    let named: HashSet<&str> = rest.flat_map(words).collect();
    for (line, variable) in lines.iter_mut().zip(&traffic) {
        if variable.is_some_and(|name| is_word(name) && !named.contains(name)) {
            *line = "";
        }
    }
    let named: Vec<String> = lines
        .iter()
        .map(|line| match variable(line) {
            Some(_) => with_size(&with_never(line)),
            None => (*line).to_owned(),
        })
        .collect();
    Some(named.join("\n") + "\n")
}

/// A line that puts a variable into the store says how its size is found, too.
fn with_size(line: &str) -> String {
    let parts = line.strip_prefix(PUT).and_then(|rest| rest.strip_suffix(");")?.rsplit_once(NAME_BEGINS));
    let Some((of_type, value)) = parts else { return line.to_owned() };
    format!(
        "evcxr_variable_store.put_measured::<{of_type}{NAME_BEGINS}{value}, \
         {{use evcxr_internal_runtime::{{ByNeed as _, ByParts as _, ByPlace as _}}; \
         (&&evcxr_internal_runtime::Probe::<{of_type}>::NEW).chorus_size()}});"
    )
}

/// A line about a variable whose type may have `!` in it: rustc refuses that name of the type of what never ends, such as
/// a task with a loop in it.
fn with_never(line: &str) -> String {
    let Some((before, rest)) = line.split_once(NAME_BEGINS) else { return line.to_owned() };
    let mut text = String::new();
    let mut rest_of_type = before.chars().peekable();
    while let Some(c) = rest_of_type.next() {
        let is_macro = matches!(rest_of_type.peek(), Some('(' | '[' | '{'));
        match c {
            '!' if !is_macro => text.push_str("evcxr_internal_runtime::Never"),
            _ => text.push(c),
        }
    }
    text + NAME_BEGINS + rest
}

/// What evcxr has checked when it can't tell a variable's type; its own complaint goes before that about the variable.
/// It also finds that older variables, such as a `&str`, might not be `'static`, which isn't the cell's mistake.
fn for_check(source: &str) -> Option<String> {
    const KEEP: &str = "fn evcxr_variable_store<T: 'static>(_: T) {}";
    let at = source.lines().position(|line| line == KEEP)?;
    Some(with_line(source, at, "fn evcxr_variable_store<T>(_: T) {}"))
}

/// The source with another line in the place of this one.
fn with_line(source: &str, at: usize, text: &str) -> String {
    source.lines().enumerate().flat_map(|(index, line)| [if index == at { text } else { line }, "\n"]).collect()
}

/// The same of a cell that neither has variables nor leaves any.
fn without_store(source: &str) -> Option<String> {
    let mut lines: Vec<&str> = source.lines().collect();
    let caught = lines.windows(2).rposition(|two| two == CAUGHT_WITHOUT)?;
    lines[caught] = DISCARDED_WITHOUT;
    Some(lines.join("\n") + "\n")
}

/// Whether rustc complains, in these messages, that there are two traits by which to show a result.
pub(crate) fn is_collision(messages: &str) -> bool {
    messages.contains("\"code\":\"E0034\"") && messages.contains("`evcxr_display`")
}

/// The source without px's trait for results.
pub(crate) fn without_show(source: &str) -> Option<String> {
    let is_import = |line: &str| line.starts_with("use px::") && line.ends_with("Show;");
    let at = source.lines().position(is_import)?;
    Some(with_line(source, at, ""))
}

/// The source with evcxr's own second attempt to show a result, if it has ours and that is what these messages are about:
/// only evcxr's makes sense of a result that is never reached, and rustc's message for a type that isn't `Debug` is better.
pub(crate) fn with_fallback(source: &str, messages: &str) -> Option<String> {
    let is_about_it = messages.contains("\"code\":\"E0282\"") || messages.contains("`evcxr_display`");
    let with_fallback = source.replacen(&format!("\n{SHOW}\n"), &format!("\n{FALLBACK}\n"), 1);
    (is_about_it && with_fallback != source).then_some(with_fallback)
}

/// The entry that evcxr writes to have one, and the same with a name that no constant of the user's has.
const ENTRY: &str = "mut x: *mut std::os::raw::c_void) -> *mut std::os::raw::c_void {x}";
const OWN_ENTRY: &str = "chorus_store: *mut std::os::raw::c_void) -> *mut std::os::raw::c_void {chorus_store}";

/// Whether the source has definitions only.
pub(crate) fn has_nothing_to_run(source: &str) -> bool {
    source.trim_end().lines().next_back() == Some(ENTRY)
}

/// The variables that the source takes out of the store.
pub(crate) fn taken(source: &str) -> HashSet<&str> {
    source.lines().filter(|line| line.contains(TAKE)).filter_map(variable).collect()
}

/// The variable that this line of evcxr's checks, takes or puts.
fn variable(line: &str) -> Option<&str> {
    let is_take = line.strip_prefix("let ").and_then(|rest| rest.split_once(TAKE)).is_some_and(|(pattern, _)| {
        let name = pattern.strip_prefix("mut ").unwrap_or(pattern);
        line.ends_with(&format!("{NAME_BEGINS}{name}));"))
    });
    let rest = match () {
        () if is_take || line.starts_with(CHECK) => line.strip_suffix("));")?,
        () if line.starts_with(PUT) => line.strip_suffix(");")?.rsplit_once("), ")?.0,
        () => return None,
    };
    Some(rest.rsplit_once(NAME_BEGINS)?.1)
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}

fn is_word(name: &str) -> bool {
    name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "use px::Show;
fn f(c: u8) {}
mod evcxr_internal_runtime {
pub struct VariableStore {
    a: u8,
}
}
#[unsafe(no_mangle)]
pub extern \"C\" fn run_user_code_3(
{let mut vars_ok = true;
vars_ok &= evcxr_variable_store.check_variable::<Vec<i32>>(stringify!(a));
vars_ok &= evcxr_variable_store.check_variable::<String>(stringify!(b));
if !vars_ok {return evcxr_variable_store;}}
let a = evcxr_variable_store.take_variable::<Vec<i32>>(stringify!(a));
let mut b = evcxr_variable_store.take_variable::<String>(stringify!(b));
let c = evcxr_variable_store.take_variable::<u8>(stringify!(c));
let r#type = evcxr_variable_store.take_variable::<u8>(stringify!(r#type));
let long = evcxr_variable_store.take_variable::<Vec<
u8>>(stringify!(long));
println!(\"{b}\");
let new = 1;
})) {
  Ok(_) => {}
  Err(_) => {
    println!(\"EVCXR_PANIC_NOTIFICATION\");
}}
evcxr_variable_store.put_variable::<i32>(stringify!(new), new);
evcxr_variable_store.put_variable::<Vec<i32>>(stringify!(a), a);
evcxr_variable_store.put_variable::<String>(stringify!(b), b);
evcxr_variable_store.put_variable::<Vec<
u8>>(stringify!(long), long);
";

    #[test]
    fn the_store_is_replaced_and_what_is_not_named_stays_in_it() {
        let text = rewrite(SOURCE).unwrap();
        let (before, after): (Vec<&str>, Vec<&str>) = (SOURCE.lines().collect(), text.lines().collect());
        assert_eq!(before.len(), after.len());
        let changed: Vec<usize> = (0..before.len()).filter(|&at| before[at] != after[at]).map(|at| at + 1).collect();
        assert_eq!(changed, [3, 4, 5, 6, 7, 11, 14, 24, 27, 28, 29], "\n{text}");
        assert_eq!(
            after[26],
            format!("evcxr_variable_store.put_measured::<i32>(stringify!(new), new, {});", size_of("i32"))
        );
        assert_eq!((after[2], after[23]), (STORE, DISCARDED));
        let mut names: Vec<&str> = taken(&text).into_iter().collect();
        names.sort_unstable();
        assert_eq!(names, ["b", "c", "r#type"]);
    }

    fn size_of(of_type: &str) -> String {
        format!(
            "{{use evcxr_internal_runtime::{{ByNeed as _, ByParts as _, ByPlace as _}}; \
             (&&evcxr_internal_runtime::Probe::<{of_type}>::NEW).chorus_size()}}"
        )
    }

    #[test]
    fn a_type_that_ends_never_has_a_name() {
        let source = SOURCE.replace("<u8>(stringify!(c))", "<Task<fn(M![u8]) -> !>>(stringify!(c))");
        let text = rewrite(&source).unwrap();
        let line = text.lines().find(|line| line.starts_with("let c = ")).unwrap();
        let expected = "take_variable::<Task<fn(M![u8]) -> evcxr_internal_runtime::Never>>(stringify!(c));";
        assert_eq!(line.split_once('.').unwrap().1, expected);
        assert_eq!(text.matches("Never").count(), 1);
    }

    #[test]
    fn a_result_is_shown_in_the_way_that_compiles() {
        let source = SOURCE.replace("use px::Show;", "use px::typed::Show;");
        let source = source.replace("println!(\"{b}\");\n", &format!("{FALLBACK}\nb\n)));\n"));
        let text = rewrite(&source).unwrap();
        assert!(text.contains("\npx::show!((&(\nb\n)));\n"), "{text}");
        let message = |code: &str, about: &str| format!("{{\"message\":\"{about}\",\"code\":{{\"code\":\"{code}\",..");
        let restored = with_fallback(&text, &message("E0599", "no method `evcxr_display`")).unwrap();
        assert!(restored.contains(&format!("\n{FALLBACK}\nb\n")), "{restored}");
        assert_eq!(with_fallback(&text, &message("E0282", "type annotations needed")), Some(restored.clone()));
        assert_eq!(with_fallback(&text, &message("E0308", "mismatched types")), None);
        assert_eq!(with_fallback(&restored, &message("E0282", "type annotations needed")), None);

        assert!(is_collision(&message("E0034", "multiple `evcxr_display` found")));
        assert!(!is_collision(&message("E0034", "multiple `f` found")));
        let without = without_show(&text).unwrap();
        assert_eq!(without.lines().count(), text.lines().count());
        assert!(!without.contains("Show;"));
        assert_eq!(without_show(&without), None);
    }

    #[test]
    fn a_panic_of_a_cell_without_variables_is_discarded() {
        let source = format!("{{if std::panic::catch_unwind(||{{\n{}\n{NOTIFIED}\n}}\n", CAUGHT_WITHOUT[0]);
        let text = rewrite(&source).unwrap();
        assert_eq!(text.lines().nth(1), Some(DISCARDED_WITHOUT));
        assert_eq!(text.lines().count(), source.lines().count());
    }

    #[test]
    fn what_is_not_known_stays_as_it_is() {
        assert_eq!(rewrite("fn main() {}"), None);
        let entry = format!("fn f(\n{ENTRY}\n\n");
        assert_eq!(rewrite(&entry), Some(format!("fn f(\n{OWN_ENTRY}\n")));
        let check = "a\nfn evcxr_variable_store<T: 'static>(_: T) {}\nb\n";
        assert_eq!(rewrite(check).as_deref(), Some("a\nfn evcxr_variable_store<T>(_: T) {}\nb\n"));
        assert_eq!(rewrite(&SOURCE.replace("}\n}\n#[unsafe", "}\n#[unsafe")).map(|_| ()), Some(()), "one brace fewer");
        assert_eq!(rewrite("mod evcxr_internal_runtime {\nstruct A;\n#[unsafe(no_mangle)]\n"), None);
    }
}
