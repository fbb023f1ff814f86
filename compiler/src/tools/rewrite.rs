//! Makes what evcxr generated cheaper to compile, line by line, so that every place stays where it is.
//!
//! evcxr puts its store of variables as text into each cell, where rustc optimises it again for each type, and it takes
//! every variable of the notebook out of the store and puts it back. Most of a cell's compilation goes into that. Here
//! the store becomes the compiled one of `px`, and variables that the cell doesn't name stay where they are.

use std::collections::HashSet;

const STORE_BEGINS: &str = "mod evcxr_internal_runtime {";
const STORE: &str = "use px::store as evcxr_internal_runtime;";
const CHECK: &str = "vars_ok &= evcxr_variable_store.check_variable::<";
pub(crate) const TAKE: &str = " = evcxr_variable_store.take_variable::<";
const PUT: &str = "evcxr_variable_store.put_variable::<";
pub(crate) const NAME_BEGINS: &str = ">(stringify!(";
const PUT_BACK: &str = "evcxr_variable_store.put_back::<";
/// Where the code ends of a cell that has a `?`.
const QUESTIONED: &str = "Ok(())})();";
/// Where a cell's function begins.
pub(crate) const ENTERS: &str = "#[unsafe(no_mangle)]";
/// The last line of a cell that has variables.
const RETURN: &str = "evcxr_variable_store";

/// How evcxr shows a result when it takes the method `evcxr_display` for the cause of an error. It also does when the
/// result moves a variable, so that this has to call that method too.
const FALLBACK: &str = "evcxr_send_text_plain(&format!(\"{:?}\",&(";
const SHOW: &str = "px::show!((&(";

/// How evcxr shows a result, around the expression, and the same with px's choice of how. That is made where px's trait
/// is the one in scope.
const DISPLAY: [&str; 2] = ["(", ").evcxr_display();"];
pub(crate) const DISPLAY_LAST: [&str; 2] = ["px::Last(&(", ")).evcxr_display();"];
const IMPORT: &str = "use px::Show;";

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
    let entry = source.lines().skip(begin).position(|line| line == ENTERS)? + begin;
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
    with_last(&mut lines);

    let traffic: Vec<Option<&str>> = lines.iter().map(|line| variable(line)).collect();
    let rest = lines.iter().zip(&traffic).filter(|(_, variable)| variable.is_none()).map(|(line, _)| *line);
    let named: HashSet<&str> = rest.flat_map(words).collect();
    for (line, variable) in lines.iter_mut().zip(&traffic) {
        if variable.is_some_and(|name| is_word(name) && !named.contains(name)) {
            *line = "";
        }
    }
    // rustc refuses the name of the type of what never ends, such as a task with a loop in it.
    let never = |line: &&str| line.contains('!') && variable(line).is_some();
    let mut named: Vec<String> =
        lines.iter().map(|line| if never(line) { with_never(line) } else { (*line).to_owned() }).collect();
    with_put_back(&mut named);
    with_causes(&mut named);
    named.iter_mut().filter(|line| variable(line).is_some()).for_each(|line| *line = with_size(line));
    Some(named.join("\n") + "\n")
}

/// Has px choose how the cell's result is shown.
fn with_last(lines: &mut [&str]) {
    if lines.contains(&IMPORT) {
        exchange(lines, DISPLAY, DISPLAY_LAST);
    }
}

/// Whether this line stands above the cell's result. rustc counts its bracket as a part of that.
pub(crate) fn begins_result(line: &str) -> bool {
    line == DISPLAY[0] || line == DISPLAY_LAST[0]
}

/// Puts other lines around the cell's result.
fn exchange<'a>(lines: &mut [&'a str], from: [&str; 2], to: [&'a str; 2]) -> Option<()> {
    let end = lines.iter().rposition(|line| *line == from[1])?;
    let begin = lines[..end].iter().rposition(|line| *line == from[0])?;
    (lines[begin], lines[end]) = (to[0], to[1]);
    Some(())
}

/// The source that shows the result by the type's own method, if these messages say that this takes the value or changes
/// it.
pub(crate) fn without_last(source: &str, messages: &str) -> Option<String> {
    let is_about_it = ["E0507", "E0596"].iter().any(|code| messages.contains(&format!("\"code\":\"{code}\"")));
    let mut lines: Vec<&str> = source.lines().collect();
    exchange(&mut lines, DISPLAY_LAST, DISPLAY).filter(|()| is_about_it)?;
    Some(lines.join("\n") + "\n")
}

/// Has variables stored again that a cell defines anew, if it fails before it has stored the new ones.
fn with_put_back(lines: &mut [String]) {
    let Some(end) = lines.iter().rposition(|line| line == RETURN) else { return };
    // What is stored behind the cell's code is what it has loaded and not defined anew.
    let Some(behind) = lines[..end].iter().rposition(|line| line == NOTIFIED || line == QUESTIONED) else { return };
    let puts = lines[..behind].iter().filter(|line| line.starts_with(PUT));
    let new: HashSet<&str> = puts.filter_map(|line| variable(line)).collect();
    let taken = lines[..behind].iter().filter_map(|line| {
        let name = variable(line).filter(|name| new.contains(name))?;
        let (type_name, _) = line.split_once(TAKE)?.1.rsplit_once(NAME_BEGINS)?;
        Some(format!("{PUT_BACK}{type_name}{NAME_BEGINS}{name}), {name}); "))
    });
    let put_back: String = taken.collect();
    lines[end] = put_back + RETURN;
}

/// The variables that the source stores again if the cell fails, though the cell defines them anew.
pub(crate) fn put_back(source: &str) -> Vec<&str> {
    let last = source.lines().rfind(|line| line.starts_with(PUT_BACK)).unwrap_or_default();
    let names = last.split(PUT_BACK).filter_map(|put| Some(put.rsplit_once(NAME_BEGINS)?.1.split_once(')')?.0));
    names.collect()
}

/// The source without storing those again that the cell moves, if that is what these messages are about.
pub(crate) fn without_moved(source: &str, messages: &str) -> Option<String> {
    let at = source.lines().position(|line| line.starts_with(PUT_BACK))?;
    let is_moved = |name: &str| messages.contains(&format!("moved value: `{name}`"));
    let line = source.lines().nth(at)?.strip_suffix(RETURN)?;
    let stays = |put: &&str| {
        put.rsplit_once(NAME_BEGINS)
            .is_none_or(|(_, rest)| !rest.split_once(')').is_some_and(|(name, _)| is_moved(name)))
    };
    let puts: String = line.split_inclusive("); ").filter(stays).collect();
    (puts != line).then(|| with_line(source, at, &format!("{puts}{RETURN}")))
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

/// What stands for `!`, see [`with_never`].
const NEVER: &str = "evcxr_internal_runtime::Never";

/// The variables that the source stores as what never ends. So rust-analyzer sees what it can't tell the type of, behind a `?`.
pub(crate) fn never_ending(source: &str) -> impl Iterator<Item = &str> {
    let begins = format!("evcxr_variable_store.put_measured::<{NEVER}{NAME_BEGINS}");
    source.lines().filter_map(move |line| line.strip_prefix(&begins)?.split(')').next())
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
            '!' if !is_macro => text.push_str(NEVER),
            _ => text.push(c),
        }
    }
    text + NAME_BEGINS + rest
}

/// What evcxr writes where a `?` ends the cell, by parts of the lines: how an error becomes evcxr's.
const FROM: &str = "From<T> for EvcxrUserCodeError {";
const FROM_SHOWN: &str = "impl<T: std::fmt::Display> From<T> for EvcxrUserCodeError {";
const INTO: &str = "fn from(error: T) -> Self {";
const PRINT: &str = "eprintln!(\"";
/// The same for errors that have causes, and for others that can be shown; their place is the caller's.
const FROM_CAUSED: &str = "impl<'a, T: ::std::convert::Into<::std::boxed::Box<dyn ::std::error::Error + 'a>>> \
                           ::std::convert::From<T> for EvcxrUserCodeError {";
const CAUSED: &str = "px::question::caused(error.into());";
const SHOWN: &str = "px::question::shown(&error);";

/// Has errors that `?` meets told with their causes and places.
fn with_causes(lines: &mut [String]) {
    let Some(begin) = lines.iter().position(|line| line.trim().ends_with(FROM)) else { return };
    let [from, into, print, ..] = &mut lines[begin..] else { return };
    let Some(rest) = print.trim().strip_prefix(PRINT).filter(|_| into.trim() == INTO) else { return };
    let told = match from.trim() == FROM_SHOWN && rest == "{}\", error);" {
        true => {
            *from = FROM_CAUSED.to_owned();
            CAUSED.to_owned()
        }
        false => format!("px::question::formatted(::std::format!(\"{rest}").replace(';', ");"),
    };
    *into = format!("#[track_caller] {INTO}");
    *print = told;
}

/// The source that takes any error that can be shown, if these messages say that one has no causes.
pub(crate) fn with_any_error(source: &str, messages: &str) -> Option<String> {
    let is_about_it = messages.contains("\"code\":\"E0277\"");
    let changed = source.replacen(FROM_CAUSED, FROM_SHOWN, 1).replacen(CAUSED, SHOWN, 1);
    (is_about_it && changed != source).then_some(changed)
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
    with_last(&mut lines);
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
    fn what_seems_never_to_end_is_found() {
        let source = SOURCE.replace("put_variable::<i32>(stringify!(new)", "put_variable::<!>(stringify!(new)");
        assert_eq!(never_ending(&rewrite(&source).unwrap()).collect::<Vec<_>>(), ["new"]);
        assert_eq!(never_ending(&rewrite(SOURCE).unwrap()).count(), 0);
    }

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
    fn what_is_defined_anew_is_put_back_if_the_cell_fails() {
        let source = SOURCE.replace("let new = 1;", "let b = c.into(); let c = 2;");
        let source = source.replace(
            "})) {\n  Ok",
            "evcxr_variable_store.put_variable::<i32>(stringify!(b), b);\n\
             evcxr_variable_store.put_variable::<i32>(stringify!(c), c);\n})) {\n  Ok",
        );
        let source = source.replace("evcxr_variable_store.put_variable::<String>(stringify!(b), b);\n", "");
        let text = rewrite(&(source.clone() + "evcxr_variable_store\n}\n")).unwrap();
        let put = |name: &str, t: &str| format!("evcxr_variable_store.put_back::<{t}>(stringify!({name}), {name}); ");
        let last = |text: &str| text.lines().rev().nth(1).unwrap().to_owned();
        assert_eq!(last(&text), put("b", "String") + &put("c", "u8") + RETURN);
        assert_eq!(put_back(&text), ["b", "c"]);
        let without = without_moved(&text, "use of moved value: `c`").unwrap();
        assert_eq!((last(&without), put_back(&without)), (put("b", "String") + RETURN, vec!["b"]));
        assert_eq!(without_moved(&text, "use of moved value: `d`"), None);
        assert_eq!(without_moved(&without, "use of moved value: `c`"), None);
        let other = rewrite(&(SOURCE.to_owned() + "evcxr_variable_store\n}\n")).unwrap();
        assert_eq!((last(&other).as_str(), put_back(&other)), (RETURN, vec![]));
    }

    #[test]
    fn errors_are_told_with_their_causes() {
        let of = |bound: &str, format: &str| {
            let text = format!(
                "struct EvcxrUserCodeError {{}}\n  impl<T: {bound}> From<T> for EvcxrUserCodeError {{\n  \
                 fn from(error: T) -> Self {{\n    eprintln!(\"{format}\", error);\n    told();\n"
            );
            let text = rewrite(&SOURCE.replace("fn f(c: u8) {}\n", &text)).unwrap();
            text.lines().skip(2).take(4).map(str::to_owned).collect::<Vec<_>>()
        };
        let track = format!("#[track_caller] {INTO}");
        let shown = of("std::fmt::Display", "{}");
        assert_eq!(shown, [FROM_CAUSED, &track, CAUSED, "    told();"]);
        let debug = of("std::fmt::Debug", "{:?}");
        assert!(debug[0].contains("impl<T: std::fmt::Debug> From<T>"), "{debug:?}");
        assert_eq!(debug[2], "px::question::formatted(::std::format!(\"{:?}\", error));");
        let source = shown.join("\n");
        let any = with_any_error(&source, "\"code\":\"E0277\"").unwrap();
        assert_eq!(any, [FROM_SHOWN, &track, SHOWN, "    told();"].join("\n"));
        assert_eq!((with_any_error(&source, "E0308"), with_any_error(&any, "\"code\":\"E0277\"")), (None, None));
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
    fn px_chooses_how_a_result_is_shown() {
        let source = SOURCE.replace("println!(\"{b}\");\n", "(\n(b\n)\n).evcxr_display();\n");
        let text = rewrite(&source).unwrap();
        assert!(text.contains("\npx::Last(&(\n(b\n)\n)).evcxr_display();\n"), "{text}");
        assert!(begins_result("px::Last(&(") && begins_result("(") && !begins_result("(b"));
        let moved = "{\"code\":{\"code\":\"E0507\",..";
        let without = without_last(&text, moved).unwrap();
        assert!(without.contains("\n(\n(b\n)\n).evcxr_display();\n"), "{without}");
        assert_eq!((without_last(&text, "E0308"), without_last(&without, moved)), (None, None));
        let pretty = rewrite(&source.replace(IMPORT, "use px::pretty::Show;")).unwrap();
        assert!(pretty.contains("\n(\n(b\n)\n).evcxr_display();\n"), "{pretty}");
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
