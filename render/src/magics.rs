//! The magics as a table, and all that `:help` lists.

use chorus_magics::{Group, SHELL_LINE};
use html_escape::encode_text;

/// JupyterLab aligns what stands in tables like numbers, to the right.
pub const LEFT: &str = "style=\"text-align: left\"";

/// What `%lsmagic` shows, as HTML.
pub fn magics() -> String {
    let row = |forms: &str, does: &str| {
        // Backquotes are code in the text form.
        let does: String = does.split('`').enumerate().map(|(at, piece)| code_or_text(at, piece)).collect();
        format!("<tr><td {LEFT}><code>{forms}</code></td><td {LEFT}>{does}</td></tr>")
    };
    let group = |group: Group| -> String {
        let rows: String = group.magics().map(|name| row(&name.forms(), name.summary())).collect();
        format!("<tr><th colspan=\"2\" {LEFT}>{}</th></tr>{rows}", group.title())
    };
    let groups: String = Group::ALL.into_iter().map(group).collect();
    let shell = row("!COMMAND", SHELL_LINE);
    format!(
        "<table>{groups}{shell}</table><div><code>%NAME?</code> tells more of each, <code>%NAME??</code> does so in the pager.</div>"
    )
}

fn code_or_text(at: usize, piece: &str) -> String {
    let piece = encode_text(piece);
    if at % 2 == 1 { format!("<code>{piece}</code>") } else { piece.into_owned() }
}

/// What `:help` prints; `commands` are the lines of the `:` commands.
pub fn help(commands: &str) -> String {
    let commands: String = commands.lines().map(|line| format!("  {line}\n")).collect();
    format!("Magics\n\n{}\nCommands, above the Rust of a cell\n\n{commands}", chorus_magics::list())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_magics::Name;

    #[test]
    fn every_magic_is_in_both() {
        let (html, text) = (magics(), help(":dep NAME  adds\n"));
        for name in Name::all() {
            assert!(html.contains(&format!("<code>{}</code>", name.forms())), "{html}");
            assert!(text.contains(name.summary()), "{text}");
        }
        assert!(html.contains("of <code>%px</code>, or") && !html.contains('`'), "{html}");
        assert!(text.ends_with("\n  :dep NAME  adds\n"), "{text}");
    }
}
