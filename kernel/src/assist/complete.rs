//! `complete_request`: how the word at the cursor can go on.

use super::{Assist, View, characters_before, crates, is_word, paths, word_start};
use chorus_analyzer::{Answer, Completion, Question, names};
use chorus_compiler::command_names;
use chorus_controller::list_clusters;
use chorus_magics::{Spot, Typed, What, candidates, spot};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// What Rust has a meaning for everywhere, and the pairs that rust-analyzer offers too.
const KEYWORDS: &str = "as,async,await,break,const,continue,else,enum,false,fn,for,if,if let,impl,in,let,loop,match,mod,\
    move,mut,pub,ref,return,self,static,struct,super,trait,true,type,unsafe,use,where,while,while let";

/// How long a folder may take to be listed: front ends drop what comes after a second.
const PATHS_WITHIN: Duration = Duration::from_millis(800);

/// What may stand in place of some bytes of a cell.
#[derive(Debug, Default)]
struct Found {
    start: usize,
    end: usize,
    items: Vec<Completion>,
}

impl Assist {
    /// The content of the `complete_reply` for a cell with the cursor at this byte.
    pub async fn complete(&self, code: &str, cursor: usize) -> Value {
        let (px, autopx) = {
            let facts = self.known.facts();
            (facts.px.clone(), facts.autopx.clone())
        };
        let found = match spot(code, cursor, &px, autopx.as_ref()) {
            Spot::Magic(typed) => self.magic(typed).await,
            Spot::Command(typed) => command(typed),
            Spot::Text => Found::default(),
            Spot::Rust { code, engines } => self.rust(self.view(code, cursor, engines.as_ref())).await,
        };
        reply(code, &found)
    }

    async fn rust(&self, view: View) -> Found {
        let Some(Answer::Completions(completions)) = self.ask(Question::Complete, &view).await else {
            return without_analyzer(&view);
        };
        let mut items = completions.items;
        for item in &mut items {
            if item.kind == "variable"
                && let Some(seen) = view.variables.get(&item.text)
                && without_paths(&item.signature) == without_paths(&seen.variable.type_name)
            {
                item.signature = seen.signature();
            }
        }
        Found { start: completions.start, end: completions.end, items }
    }

    async fn magic(&self, typed: Typed<'_>) -> Found {
        let Some(candidates) = candidates(typed) else { return Found::default() };
        let words = match candidates.what {
            What::Words(words) => words,
            What::Targets => {
                let engines = self.known.facts().engines.clone();
                std::iter::once("all".to_owned()).chain(engines.iter().map(|id| id.0.to_string())).collect()
            }
            What::Kept => self.known.facts().kept.clone(),
            What::Cluster => {
                let clusters = list_clusters(&self.runtime);
                clusters.into_iter().filter(|cluster| cluster.alive).map(|cluster| cluster.name).collect()
            }
            What::Path { folder } => {
                let (surroundings, typed) = (self.known.facts().surroundings.clone(), candidates.typed.clone());
                let found = spawn_blocking(move || paths::fitting(&surroundings, &typed, folder));
                // A folder of another host may not answer.
                timeout(PATHS_WITHIN, found).await.ok().and_then(Result::ok).unwrap_or_default()
            }
        };
        let fitting = words.into_iter().filter(|word| word.starts_with(&candidates.typed));
        Found {
            start: typed.start + candidates.start,
            end: typed.start + typed.cursor,
            items: fitting.map(|word| item(word, "magic", "")).collect(),
        }
    }
}

/// `Vec<Rc<T>>` for `std::vec::Vec<std::rc::Rc<T>>`: the same type is written in several ways.
fn without_paths(type_name: &str) -> String {
    let mut short = String::new();
    for part in type_name.split("::") {
        let word = word_start(&short, short.len(), is_word);
        short.truncate(word);
        short.push_str(part);
    }
    short
}

fn item(text: impl Into<String>, kind: &str, signature: &str) -> Completion {
    Completion { text: text.into(), kind: kind.into(), signature: signature.into() }
}

/// A `:` command, or the crate or the version after `:dep`.
fn command(typed: Typed<'_>) -> Found {
    let before = typed.before();
    let indent = before.len() - before.trim_start().len();
    let words = before.trim_start();
    let end = typed.start + typed.cursor;
    let Some((name, args)) = words.split_once(char::is_whitespace) else {
        let fitting = command_names().filter(|name| name.starts_with(words));
        return Found {
            start: typed.start + indent,
            end,
            items: fitting.map(|name| item(name, "keyword", "")).collect(),
        };
    };
    if name != ":dep" {
        return Found::default();
    }
    let crates = crates::downloaded();
    let (typed_now, items): (&str, Vec<Completion>) = match args.split_once('=') {
        None => {
            let typed = args.trim_start();
            let fitting = crates.iter().filter(|(name, _)| name.starts_with(typed));
            (typed, fitting.map(|(name, versions)| item(name, "module", &versions.join(", "))).collect())
        }
        Some((name, version)) => {
            let Some((_, typed)) = version.split_once('"') else { return Found::default() };
            let versions = crates.get(name.trim()).into_iter().flatten();
            (typed, versions.filter(|version| version.starts_with(typed)).map(|v| item(v, "constant", "")).collect())
        }
    };
    Found { start: end - typed_now.len(), end, items }
}

/// Variables, names of definitions and keywords. Nothing is known of members.
fn without_analyzer(view: &View) -> Found {
    let (code, end) = (&view.source.code, view.source.cursor);
    let start = word_start(code, end, is_word);
    let (before, word) = (code.get(..start).unwrap_or(""), code.get(start..end).unwrap_or(""));
    let mut items = Vec::new();
    if !before.trim_end().ends_with(['.', ':']) && !word.is_empty() {
        items.extend(view.variables.iter().map(|(name, seen)| item(name, "variable", &seen.signature())));
        items.extend(names(&view.context.definitions).into_iter().map(|(name, kind)| item(name, kind, "")));
        items.extend(KEYWORDS.split(',').map(|keyword| item(keyword, "keyword", "")));
        items.retain(|item| item.text.starts_with(word));
        items.dedup_by(|one, other| one.text == other.text);
    }
    Found { start, end, items }
}

fn reply(code: &str, found: &Found) -> Value {
    let (start, end) = (characters_before(code, found.start), characters_before(code, found.end));
    let typed = |item: &Completion| json!({"start": start, "end": end, "text": item.text, "type": item.kind, "signature": item.signature});
    json!({
        "status": "ok",
        "matches": found.items.iter().map(|item| item.text.as_str()).collect::<Vec<_>>(),
        "cursor_start": start,
        "cursor_end": end,
        "metadata": {"_jupyter_types_experimental": found.items.iter().map(typed).collect::<Vec<_>>()},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_magics::PxConfig;

    #[test]
    fn commands_are_completed_at_the_beginning_of_their_line() {
        let cell = "  :sho";
        let Spot::Command(typed) = spot(cell, cell.len(), &PxConfig::default(), None) else { panic!("a command") };
        let found = command(typed);
        assert_eq!((found.start, found.end), (2, 6));
        assert_eq!(found.items.iter().map(|item| item.text.as_str()).collect::<Vec<_>>(), [":show_deps"]);
    }

    #[test]
    fn types_are_compared_without_their_paths() {
        assert_eq!(without_paths("std::vec::Vec<std::rc::Rc<T>>"), "Vec<Rc<T>>");
        assert_eq!(without_paths("(u8, &'static a::b::C)"), "(u8, &'static C)");
    }

    #[test]
    fn places_are_told_in_characters() {
        let found = Found { start: 3, end: 5, items: vec![item("über", "variable", "u8")] };
        let reply = reply("é üb", &found);
        assert_eq!((&reply["cursor_start"], &reply["cursor_end"]), (&json!(2), &json!(3)));
        let types = &reply["metadata"]["_jupyter_types_experimental"][0];
        assert_eq!(types, &json!({"start": 2, "end": 3, "text": "über", "type": "variable", "signature": "u8"}));
    }
}
