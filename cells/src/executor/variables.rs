//! `%who` and `%whos`: which variables there are, who has them, and what they take.

use super::{Executor, Request};
use crate::failure::Failure;
use crate::sizes::Sizes;
use chorus_compiler::{Member, Variable, Variables, describe};
use chorus_protocol::size;
use chorus_render::{html_table, text_table};
use std::collections::{BTreeMap, BTreeSet};

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
                let sizes = self.sizes(&accounts).await;
                let cells: Vec<_> = rows.iter().map(|row| cells(row, &sizes)).collect();
                publisher.text_and_html(&text_table(HEAD, &cells), &html_table(HEAD, &cells)).await;
            }
            false => publisher.say(&names(&rows)).await,
        }
        Ok(())
    }

    /// The names of the variables that engines have.
    pub(super) async fn engines_variables(&self) -> Result<BTreeSet<String>, Failure> {
        self.with_compiler(|compiler| {
            let namespaces = compiler.namespaces();
            let engines = namespaces.members().into_iter().filter(|member| *member != Member::Local);
            engines.flat_map(|engine| namespaces.variables(engine).into_keys()).collect()
        })
        .await
    }

    /// The failure, with what to write instead of a magic that stands inside of Rust.
    pub(super) async fn explaining_magics(&self, failed: Failure, cell: &str) -> Failure {
        if !failed.is_compile_error() {
            return failed;
        }
        failed.explaining_magics(cell, &self.engines_variables().await.unwrap_or_default())
    }

    /// What the variables of these members take.
    async fn sizes(&self, accounts: &[(Member, Variables)]) -> Sizes {
        let mut sizes = Sizes::default();
        if let Some(local) = &self.local {
            sizes.add(Member::Local, (*local.lock().await.variables().await).clone());
        }
        let engine = |(member, variables): &(Member, Variables)| match member {
            Member::Engine(id) => Some((*id, variables.keys().cloned().collect())),
            Member::Local => None,
        };
        let engines: BTreeMap<_, Vec<String>> = accounts.iter().filter_map(engine).collect();
        if let (Some(cluster), true) = (self.engines.current(), engines.values().any(|names| !names.is_empty())) {
            sizes.add_engines(&cluster, &engines).await;
        }
        sizes
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

const HEAD: [&str; 6] = ["Variable", "Type", "Mutable", "Length", "Size", "Where"];

fn cells((name, variable, members): &Row, sizes: &Sizes) -> [String; 6] {
    let mutable = if variable.mutable { "mut" } else { "" };
    let told = || members.iter().map(|member| sizes.of(*member, name));
    let length = range(told().filter_map(|it| it?.length), |length| length.to_string());
    let bytes = range(told().filter_map(|it| it?.bytes), size).unwrap_or_else(|| "?".to_owned());
    // As users write it: only generated code needs a path that nothing can hide.
    let type_name = variable.type_name.strip_prefix("::").unwrap_or(&variable.type_name);
    let (name, type_name) = (name.clone(), type_name.to_owned());
    [name, type_name, mutable.to_owned(), length.unwrap_or_default(), bytes, describe(members)]
}

/// The least and the most, or the one value that all have; `None` if there is none.
fn range(values: impl Iterator<Item = u64> + Clone, text: impl Fn(u64) -> String) -> Option<String> {
    let (least, most) = (text(values.clone().min()?), text(values.max()?));
    Some(if least == most { least } else { format!("{least} – {most}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chorus_protocol::{EngineId, VariableUse, Variables as Told};

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
        let mut sizes = Sizes::default();
        let told = |name: &str, bytes, length| VariableUse { name: name.into(), bytes, length };
        sizes.add(Member::Local, Told::new(vec![told("data", None, Some(10)), told("n", Some(8), None)]));
        sizes.add(engine(0), Told::new(vec![told("n", Some(3 << 20), None)]));
        insta::assert_snapshot!(text_table(HEAD, &rows.iter().map(|row| cells(row, &sizes)).collect::<Vec<_>>()), @r"
        Variable  Type      Mutable  Length  Size           Where
        data      Vec<f64>  mut      10      ?              the notebook
        n         i32                        ?              engine 1
        n         usize                      8 B – 3.0 MiB  the notebook and engine 0
        ");
    }
}
