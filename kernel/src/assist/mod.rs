//! Completion and documentation, while cells are written.
//!
//! The rust-analyzer in the compiler's process is asked, which is idle but while a cell is compiled. Who has which variables is
//! known from what the compiler and the executor told when they last were done. What isn't answered in time is answered without
//! it; it never is an error.

mod complete;
mod crates;
mod inspect;
mod paths;

use crate::comms::KnownVariable;
use crate::server::KernelConfig;
use chorus_analyzer::{Answer, Question, Source};
use chorus_cells::{CompilerThread, Known};
use chorus_compiler::{AssistLimits, Context, Member, Variable, describe};
use chorus_magics::{Targets, rust_of};
use chorus_protocol::EngineId;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

const COMPLETES: AssistLimits = AssistLimits {
    // JupyterLab and consoles drop what comes after a second, so a list of names in time is worth more.
    turn: Duration::from_millis(800),
    answer: Duration::from_secs(2),
};
const EXPLAINS: AssistLimits = AssistLimits { turn: Duration::from_secs(2), answer: Duration::from_secs(2) };

/// Answers `complete_request` and `inspect_request`.
#[derive(Clone)]
pub struct Assist {
    compiler: CompilerThread,
    known: Known,
    runtime: PathBuf,
}

/// A variable, and who has it.
struct Seen {
    variable: Variable,
    members: Vec<Member>,
}

impl Seen {
    /// Such as `i32 on engines 0-1`.
    fn signature(&self) -> String {
        match self.members.as_slice() {
            [Member::Local] => self.variable.type_name.clone(),
            members => format!("{} on {}", self.variable.type_name, describe(members)),
        }
    }
}

/// All that Rust at some place of a cell sees.
struct View {
    context: Arc<Context>,
    variables: BTreeMap<String, Seen>,
    source: Source,
}

impl Assist {
    pub fn new(config: &KernelConfig, compiler: CompilerThread, known: Known) -> Assist {
        Assist { compiler, known, runtime: config.notebook.runtime.clone() }
    }

    /// What `code` sees that is to run on `engines`, or else in the notebook.
    fn view(&self, code: String, cursor: usize, engines: Option<&Targets>) -> View {
        let facts = self.known.facts().clone();
        let context = self.compiler.context();
        let members: Vec<Member> = match engines {
            None => vec![Member::Local],
            Some(targets) => {
                let engines = targets.resolve(&facts.engines).unwrap_or_default();
                engines.into_iter().map(Member::Engine).collect()
            }
        };
        let mut variables: BTreeMap<String, Seen> = BTreeMap::new();
        for member in members {
            for (name, variable) in context.namespaces.variables(member) {
                let seen =
                    variables.entry(name).or_insert_with(|| Seen { variable: variable.clone(), members: vec![] });
                // Of different types on different engines, the first one's is shown.
                if seen.variable == variable {
                    seen.members.push(member);
                }
            }
        }
        let typed = |(name, seen): (&String, &Seen)| chorus_analyzer::Variable {
            name: name.clone(),
            type_name: seen.variable.type_name.clone(),
            mutable: seen.variable.mutable,
        };
        let running = facts.running.iter();
        let source = Source {
            variables: variables.iter().map(typed).collect(),
            before: running.map(|cell| rust_of(cell, engines.is_some(), &facts.px, facts.autopx.as_ref())).collect(),
            code,
            cursor,
        };
        View { context, variables, source }
    }

    /// All variables, of the notebook and of its engines.
    pub fn variables(&self) -> Vec<KnownVariable> {
        let (context, engines) = (self.compiler.context(), self.known.facts().engines.clone());
        let owners = std::iter::once(None).chain(engines.into_iter().map(Some));
        let of = |engine: Option<EngineId>| {
            let variables = context.namespaces.variables(engine.map_or(Member::Local, Member::Engine)).into_iter();
            variables.map(move |(name, variable)| KnownVariable { name, type_name: variable.type_name, engine })
        };
        owners.flat_map(of).collect()
    }

    async fn ask(&self, question: Question, view: &View) -> Option<Answer> {
        let limits = match question {
            Question::Complete => COMPLETES,
            Question::Hover { .. } => EXPLAINS,
        };
        let (assistant, source) = (self.compiler.assistant().clone(), view.source.clone());
        let definitions = view.context.definitions_text.clone();
        let asked = spawn_blocking(move || assistant.ask(question, source, definitions, limits));
        match timeout(limits.turn + limits.answer, asked).await {
            Ok(Ok(Answer::Failed(reason))) => tracing::info!("there is no answer: {reason}"),
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::warn!("rust-analyzer can't be asked: {error}"),
            Err(_) => tracing::info!("rust-analyzer took too long"),
        }
        None
    }
}

/// The byte of `text` before which so many characters stand; its end if there are fewer.
pub fn byte_of(text: &str, characters: usize) -> usize {
    text.char_indices().nth(characters).map_or(text.len(), |(byte, _)| byte)
}

/// How many characters stand before this byte.
fn characters_before(text: &str, byte: usize) -> usize {
    text.char_indices().take_while(|(at, _)| *at < byte).count()
}

/// Where the word begins that ends at this byte, in which `is_part` says what words are made of.
fn word_start(text: &str, end: usize, is_part: impl Fn(char) -> bool) -> usize {
    let before = text.get(..end).unwrap_or(text);
    before.trim_end_matches(is_part).len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_and_characters_are_converted_both_ways(text: String, character in 0..40usize) {
            let byte = byte_of(&text, character);
            prop_assert!(text.is_char_boundary(byte));
            prop_assert_eq!(characters_before(&text, byte), character.min(text.chars().count()));
        }

        #[test]
        fn words_begin_where_they_may_be_cut(text: String, at in 0..40usize) {
            let at = byte_of(&text, at);
            let start = word_start(&text, at, is_word);
            prop_assert!(text.is_char_boundary(start) && start <= at);
            prop_assert!(text[start..at].chars().all(is_word));
        }
    }
}
