//! `%who` and `%whos`: which variables there are, and who has them.

use super::{Executor, Request};
use crate::failure::Failure;
use chorus_compiler::{Member, Variable, Variables, describe};
use chorus_render::{html_table, text_table};
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
            true => {
                let cells: Vec<_> = rows.iter().map(cells).collect();
                publisher.text_and_html(&text_table(HEAD, &cells), &html_table(HEAD, &cells)).await;
            }
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
        insta::assert_snapshot!(text_table(HEAD, &rows.iter().map(cells).collect::<Vec<_>>()), @r"
        Variable  Type      Mutable  Where
        data      Vec<f64>  mut      the notebook
        n         i32                engine 1
        n         usize              the notebook and engine 0
        ");
    }
}
