//! `%who` and `%whos`: which variables there are, and who has them.

use super::{Executor, Request};
use crate::failure::Failure;
use chorus_compiler::{Member, Variable, Variables, describe};
use chorus_render::LEFT;
use html_escape::encode_text;
use std::collections::BTreeMap;

impl Executor {
    pub(super) async fn who(&self, types: bool, request: &Request) -> Result<(), Failure> {
        let engines = self.engines.current().into_iter().flat_map(|cluster| cluster.engines()).map(Member::Engine);
        let members: Vec<Member> = std::iter::once(Member::Local).chain(engines).collect();
        let accounts = self
            .with_compiler(move |compiler| {
                let account = |member| (member, compiler.namespaces().variables(member));
                members.into_iter().map(account).collect::<Vec<_>>()
            })
            .await?;
        let rows = rows(&accounts);
        let publisher = &request.publisher;
        match types {
            _ if rows.is_empty() => publisher.say("There are no variables.").await,
            true => publisher.text_and_html(&text(&rows), &html(&rows)).await,
            false => publisher.say(&names(&rows)).await,
        }
        Ok(())
    }
}

/// A variable, and the members that have it in this form.
type Row = (String, Variable, Vec<Member>);

fn rows(accounts: &[(Member, Variables)]) -> Vec<Row> {
    let mut rows: BTreeMap<(&String, &Variable), Vec<Member>> = BTreeMap::new();
    for (member, variables) in accounts {
        for entry in variables {
            rows.entry(entry).or_default().push(*member);
        }
    }
    rows.into_iter().map(|((name, variable), members)| (name.clone(), variable.clone(), members)).collect()
}

fn names(rows: &[Row]) -> String {
    let mut names: Vec<&str> = rows.iter().map(|(name, ..)| name.as_str()).collect();
    names.dedup();
    names.join("  ")
}

const HEAD: [&str; 4] = ["Variable", "Type", "Mutable", "Where"];

fn cells((name, variable, members): &Row) -> [String; 4] {
    let mutable = if variable.mutable { "mut" } else { "" };
    [name.clone(), variable.type_name.clone(), mutable.to_owned(), describe(members)]
}

fn text(rows: &[Row]) -> String {
    let head = HEAD.map(str::to_owned);
    let lines: Vec<[String; 4]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let line = |[name, kind, mutable, members]: &[String; 4]| {
        format!("{name:<0$}  {kind:<1$}  {mutable:<2$}  {members}", widths[0], widths[1], widths[2])
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn html(rows: &[Row]) -> String {
    let head: String = HEAD.iter().map(|title| format!("<th {LEFT}>{title}</th>")).collect();
    let row =
        |row| -> String { cells(row).iter().map(|cell| format!("<td {LEFT}>{}</td>", encode_text(cell))).collect() };
    let body: String = rows.iter().map(|each| format!("<tr>{}</tr>", row(each))).collect();
    format!("<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::EngineId;

    #[test]
    fn equal_variables_of_several_members_are_one_row() {
        let variable = |kind: &str, mutable| Variable { type_name: kind.into(), mutable };
        let account = |member, entries: &[(&str, Variable)]| {
            (member, entries.iter().map(|(name, variable)| ((*name).to_owned(), variable.clone())).collect())
        };
        let engine = |id| Member::Engine(EngineId(id));
        let accounts = [
            account(Member::Local, &[("data", variable("Vec<f64>", true)), ("n", variable("usize", false))]),
            account(engine(0), &[("n", variable("usize", false))]),
            account(engine(1), &[("n", variable("i32", false))]),
        ];
        let rows = rows(&accounts);
        assert_eq!(names(&rows), "data  n");
        insta::assert_snapshot!(text(&rows), @r"
        Variable  Type      Mutable  Where
        data      Vec<f64>  mut      the notebook
        n         i32                engine 1
        n         usize              the notebook and engine 0
        ");
        assert!(
            html(&rows).contains(">data</td><td style=\"text-align: left\">Vec&lt;f64&gt;</td>"),
            "{}",
            html(&rows)
        );
    }
}
