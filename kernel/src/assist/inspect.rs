//! `inspect_request`: what the word at the cursor means.

use super::{Assist, View, is_word, word_start};
use chorus_analyzer::{Answer, Hover, Question};
use chorus_compiler::help_of;
use chorus_magics::{Name, Spot, spot};
use serde_json::{Value, json};

impl Assist {
    /// The content of the `inspect_reply` for a cell with the cursor at this byte.
    pub async fn inspect(&self, code: &str, cursor: usize, detailed: bool) -> Value {
        let (px, autopx) = {
            let facts = self.known.facts();
            (facts.px.clone(), facts.autopx.clone())
        };
        let found = match spot(code, cursor, &px, autopx.as_ref()) {
            Spot::Magic(typed) => first_word(typed.line)
                .and_then(|word| Name::find(word.trim_start_matches('%').trim_end_matches('?')))
                .map(|name| preformatted(name.help())),
            Spot::Command(typed) => first_word(typed.line).and_then(help_of).map(preformatted),
            Spot::Text => None,
            Spot::Rust { code, engines } => self.explain(self.view(code, cursor, engines.as_ref()), detailed).await,
        };
        reply(found)
    }

    async fn explain(&self, view: View, detailed: bool) -> Option<Hover> {
        let hover = match self.ask(Question::Hover { detailed }, &view).await {
            Some(Answer::Hover(hover)) => return hover.map(|hover| with_holders(hover, &view)),
            _ => None,
        };
        // Without the analyzer a variable's type is known, though not whether the cell has one of that name itself.
        hover.or_else(|| {
            let seen = view.variables.get(word_at(&view))?;
            Some(preformatted(format!("{}: {}", word_at(&view), seen.signature())))
        })
    }
}

fn first_word(line: &str) -> Option<&str> {
    line.split_whitespace().next()
}

fn word_at(view: &View) -> &str {
    let (code, cursor) = (&view.source.code, view.source.cursor);
    let start = word_start(code, cursor, is_word);
    let rest = code.get(start..).unwrap_or("");
    rest.split(|c| !is_word(c)).next().unwrap_or("")
}

/// Says of an engine variable which engines have it.
fn with_holders(hover: Hover, view: &View) -> Hover {
    let name = word_at(view);
    let Some(seen) = view.variables.get(name) else { return hover };
    let mutable = if seen.variable.mutable { "mut " } else { "" };
    let declared = format!("let {mutable}{name}: {}", seen.variable.type_name);
    match seen.signature().strip_prefix(&seen.variable.type_name).map(str::trim) {
        Some(holders) if !holders.is_empty() && hover.plain.starts_with(&declared) => Hover {
            plain: format!("{}\n\n{holders}", hover.plain),
            markdown: format!("{}\n\n{holders}", hover.markdown),
        },
        _ => hover,
    }
}

fn preformatted(plain: String) -> Hover {
    let markdown = format!("```text\n{}\n```", plain.trim_end());
    Hover { plain, markdown }
}

fn reply(found: Option<Hover>) -> Value {
    let data = match &found {
        Some(Hover { plain, markdown }) => json!({"text/plain": plain, "text/markdown": markdown}),
        None => json!({}),
    };
    json!({"status": "ok", "found": found.is_some(), "data": data, "metadata": {}})
}
