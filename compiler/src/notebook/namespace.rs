//! Who has which variables: a pure account of the notebook's own namespace and of each engine's.
//!
//! Definitions are shared by all, variables by none. The account is kept by member, so engines that ran different
//! cells, or whose worker died, differ; a cell for several members may use what all of them have.
//!
//! A run that hasn't ended yet is assumed to succeed, so that the next cell can be compiled and sent meanwhile. When
//! it turns out otherwise, what was assumed is taken back.

use chorus_protocol::{Aftermath, Death, EngineId, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// A namespace of its own: the notebook's, or one engine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// The notebook's own.
    Local,
    /// An engine's.
    Engine(EngineId),
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Member::Local => f.write_str("the notebook"),
            Member::Engine(id) => write!(f, "engine {id}"),
        }
    }
}

/// A stored variable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Variable {
    /// Its type, as Rust writes it.
    pub type_name: String,
    /// Whether it was defined by `let mut`.
    pub mutable: bool,
}

/// Variables by name.
pub type Variables = BTreeMap<String, Variable>;

/// What a cell does to the variables that it sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// What it was compiled against; it saw nothing else.
    pub before: Variables,
    /// What stands when it succeeds: `before`, less what it moved, with what it defined.
    pub after: Variables,
    /// The names that it defined, some perhaps anew.
    pub defined: BTreeSet<String>,
    /// Those of them that are stored as they were before if it fails.
    pub put_back: BTreeSet<String>,
    /// Those of them that end with it, by name: from what they borrow.
    pub ending: BTreeMap<String, String>,
    /// The execution count of the cell; 0 if none of the user's has this effect.
    pub cell: u32,
}

/// How a run ended for one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnded {
    /// Whose.
    pub member: Member,
    /// How.
    pub outcome: Outcome,
    /// The generation of the member's variables after it. It grows with each loss, so it tells whether a loss that is
    /// heard of later was before the run or after.
    pub generation: u32,
}

/// Names one run of one cell, from its submission until each member's outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

#[derive(Clone, Debug, Default)]
struct Account {
    /// After all runs before the first of `runs`.
    confirmed: Variables,
    /// The generation in which each of these was last defined.
    since: BTreeMap<String, u32>,
    /// The run that has defined each of these last.
    defined_by: BTreeMap<String, Ticket>,
    /// Runs of which one before or the run itself is still under way, in order.
    runs: VecDeque<Run>,
    /// Why variables that were there are gone.
    lost: BTreeMap<String, String>,
    /// The execution count of the cell that has defined each of these last, those that are gone among them.
    defined_in: BTreeMap<String, u32>,
}

#[derive(Clone, Debug)]
struct Run {
    ticket: Ticket,
    effect: Effect,
    /// `None` while it is under way.
    outcome: Option<Outcome>,
    /// See [`RunEnded::generation`].
    generation: u32,
}

impl Account {
    /// The variables after the first `count` runs.
    fn after(&self, count: usize) -> Variables {
        let mut variables = self.confirmed.clone();
        for run in self.runs.iter().take(count) {
            run.effect.apply(run.outcome.as_ref().unwrap_or(&Outcome::Ok), &mut variables);
        }
        variables
    }

    fn current(&self) -> Variables {
        self.after(self.runs.len())
    }

    /// The run that has defined a variable last that is there, those under way among them.
    fn last_definition(&self, name: &str) -> Option<Ticket> {
        if !self.current().contains_key(name) {
            return None;
        }
        let defines = |run: &&Run| matches!(run.outcome, None | Some(Outcome::Ok)) && run.effect.defined.contains(name);
        let run = self.runs.iter().rev().find(defines).map(|run| run.ticket);
        run.or_else(|| self.defined_by.get(name).copied())
    }

    /// How a variable that is gone comes back.
    fn what_next(&self, name: &str) -> String {
        let cell = self.defined_in.get(name).copied();
        let why = self.lost.get(name).map(String::as_str).unwrap_or_default();
        match cell {
            // Run again as it is, the cell that has moved its own variable would do so again.
            Some(cell) if why == moved_by(cell) => {
                format!("do so in In[{cell}], which also defines it, and run it again")
            }
            Some(_) if why.starts_with(ENDED) => {
                "use it in the cell that defines it, or keep a copy: `.to_owned()`, `.clone()` or `.collect()` behind it".to_owned()
            }
            Some(_) if why.starts_with(UNNAMED) => {
                "use it in the cell that defines it; a `fn` can be called from all cells, and a `Box<dyn Fn(..) -> ..>` be kept"
                    .to_owned()
            }
            cell => brought_back_by(cell),
        }
    }

    /// Drops the runs that nobody waits for any more.
    fn confirm(&mut self) {
        while let Some(run) = self.runs.pop_front_if(|run| run.outcome.is_some()) {
            run.effect.apply(run.outcome.as_ref().unwrap_or(&Outcome::Ok), &mut self.confirmed);
            if run.outcome == Some(Outcome::Ok) {
                self.defined_by.extend(run.effect.defined.iter().map(|name| (name.clone(), run.ticket)));
                self.since.extend(run.effect.defined.into_iter().map(|name| (name, run.generation)));
            }
        }
        self.since.retain(|name, _| self.confirmed.contains_key(name));
        self.defined_by.retain(|name, _| self.confirmed.contains_key(name));
    }
}

impl Effect {
    fn apply(&self, outcome: &Outcome, variables: &mut Variables) {
        match outcome {
            Outcome::Ok => {
                variables.retain(|name, _| !self.before.contains_key(name));
                variables.extend(self.after.clone());
            }
            // What the cell loaded is stored again, also where it was to be defined anew.
            Outcome::Panicked | Outcome::ReturnedError => {
                let stored = |name: &String| self.after.contains_key(name) && !self.defined.contains(name);
                let kept = |name: &String| stored(name) || self.put_back.contains(name);
                variables.retain(|name, _| !self.before.contains_key(name) || kept(name));
            }
            Outcome::TypesChanged(names) => variables.retain(|name, _| !names.contains(name)),
            Outcome::Died(_, Aftermath::Lost(_)) => variables.clear(),
            // A snapshot is of before the run.
            Outcome::Died(_, Aftermath::Restored) => {}
            Outcome::Stale | Outcome::LoadFailed(_) | Outcome::NoSuchEngine | Outcome::Cancelled => {}
        }
    }
}

/// All members' variables.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    accounts: BTreeMap<Member, Account>,
    /// Variables of engines that aren't there any more, with the execution counts of the cells that have defined them.
    gone: BTreeMap<String, Option<u32>>,
    next_ticket: u64,
}

impl Namespaces {
    /// The variables of one member, every run under way taken for a success.
    pub fn variables(&self, member: Member) -> Variables {
        self.accounts.get(&member).map(Account::current).unwrap_or_default()
    }

    /// Those that have or had variables.
    pub fn members(&self) -> Vec<Member> {
        self.accounts.keys().copied().collect()
    }

    /// The variables that all `members` have, of equal types.
    pub fn common(&self, members: &[Member]) -> Variables {
        let mut members = members.iter();
        let mut common = members.next().map(|&first| self.variables(first)).unwrap_or_default();
        for &member in members {
            let theirs = self.variables(member);
            common.retain(|name, variable| theirs.get(name) == Some(variable));
        }
        common
    }

    /// Whether the notebook's variable of this name was defined later than that of one of these members.
    pub fn is_newer_here(&self, name: &str, than: &[Member]) -> bool {
        let last = |member: &Member| self.accounts.get(member)?.last_definition(name);
        let here = last(&Member::Local);
        than.iter().filter_map(last).any(|there| here.is_some_and(|here| here > there))
    }

    /// Changes how variables are written, those of runs under way among them.
    pub(crate) fn for_each_variables(&mut self, mut change: impl FnMut(&mut Variables)) {
        for account in self.accounts.values_mut() {
            change(&mut account.confirmed);
            for Run { effect, .. } in &mut account.runs {
                change(&mut effect.before);
                change(&mut effect.after);
            }
        }
    }

    /// Notes that a run was sent to `members`; each one's outcome is reported with [`Namespaces::settle`].
    pub fn begin(&mut self, members: &[Member], effect: &Effect) -> Ticket {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        for &member in members {
            let run = Run { ticket, effect: effect.clone(), outcome: None, generation: 0 };
            self.accounts.entry(member).or_default().runs.push_back(run);
        }
        ticket
    }

    /// All runs under way end well.
    pub(crate) fn assume_success(&mut self) {
        for account in self.accounts.values_mut() {
            account.runs.iter_mut().for_each(|run| _ = run.outcome.get_or_insert(Outcome::Ok));
            account.confirm();
        }
    }

    /// Notes how a run ended. Returns the variables that were lost by it.
    pub fn settle(&mut self, ticket: Ticket, ended: &RunEnded) -> Vec<String> {
        let RunEnded { member, ref outcome, generation } = *ended;
        let account = self.accounts.entry(member).or_default();
        let Some(at) = account.runs.iter().position(|run| run.ticket == ticket) else { return Vec::new() };
        let had = account.after(at);
        (account.runs[at].outcome, account.runs[at].generation) = (Some(outcome.clone()), generation);
        let has = account.after(at + 1);
        let Effect { defined, ending, cell, .. } = account.runs[at].effect.clone();
        account.confirm();
        let reason = match outcome {
            Outcome::Ok => {
                account.lost.retain(|name, _| !has.contains_key(name));
                // The cell's own may have been moved in it, too.
                let moved = had.into_keys().chain(defined.iter().cloned()).filter(|name| !has.contains_key(name));
                account.lost.extend(moved.map(|name| (name, moved_by(cell))));
                account.lost.extend(ending.into_iter().map(|(name, lender)| (name, ended_with(cell, &lender))));
                for name in defined {
                    match cell {
                        0 => _ = account.defined_in.remove(&name),
                        _ => _ = account.defined_in.insert(name, cell),
                    }
                }
                return Vec::new();
            }
            Outcome::Panicked | Outcome::ReturnedError => "the cell that used it failed".to_owned(),
            Outcome::TypesChanged(_) => "its type was redefined".to_owned(),
            Outcome::Died(death, Aftermath::Lost(_)) => format!("the worker {death}"),
            Outcome::Died(death, Aftermath::Restored) => format!("the worker {death} in the cell that defines it"),
            Outcome::Stale | Outcome::LoadFailed(_) | Outcome::NoSuchEngine | Outcome::Cancelled => return Vec::new(),
        };
        let failed = matches!(outcome, Outcome::Panicked | Outcome::ReturnedError);
        let prevented = failed.then(|| "the cell that defines it failed".to_owned());
        let lost: Vec<String> = had.into_keys().filter(|name| !has.contains_key(name)).collect();
        account.lost.extend(lost.iter().map(|name| (name.clone(), reason.clone())));
        // A variable that the cell would have defined is missed by the next cell as well.
        for name in defined.into_iter().filter(|name| !has.contains_key(name)) {
            if !lost.contains(&name) {
                account.lost.insert(name.clone(), prevented.clone().unwrap_or_else(|| reason.clone()));
            }
            if cell > 0 {
                account.defined_in.insert(name, cell);
            }
        }
        lost
    }

    /// A member's worker died outside any run, and no snapshot carries on. Its successor's variables begin with
    /// `generation`: a run may have defined some before this is heard of. `None` if that isn't known, and all are lost.
    /// Returns the variables that were lost.
    pub fn died(&mut self, member: Member, death: Death, generation: Option<u32>) -> Vec<String> {
        let account = self.accounts.entry(member).or_default();
        let before = |since: u32| generation.is_none_or(|first| since < first);
        let Account { confirmed, since, runs, .. } = account;
        let lost = confirmed.extract_if(.., |name, _| before(since.get(name).copied().unwrap_or(0)));
        let lost: Vec<String> = lost.map(|(name, _)| name).collect();
        // Whatever runs under way still bring, it isn't what they found.
        for Run { effect, outcome, generation, .. } in runs {
            let ended_before = outcome.is_some() && before(*generation);
            let stays = |name: &String| effect.defined.contains(name) || confirmed.contains_key(name);
            effect.after.retain(|name, _| !ended_before && stays(name));
        }
        for name in &lost {
            account.lost.insert(name.clone(), format!("the worker {death}"));
        }
        lost
    }

    /// All variables are gone, because the user wanted it so.
    pub fn clear(&mut self) {
        for account in self.accounts.values_mut() {
            let lost = account.current().into_keys().map(|name| (name, "everything was forgotten".to_owned()));
            let lost = lost.collect();
            let defined_in = std::mem::take(&mut account.defined_in);
            *account = Account { lost, defined_in, ..Account::default() };
        }
    }

    /// Forgets members that are no longer there, and why they lost what they had.
    pub fn forget(&mut self, keep: impl Fn(Member) -> bool) {
        for (_, account) in self.accounts.extract_if(.., |&member, _| !keep(member)) {
            let names = account.current().into_keys().chain(account.lost.keys().cloned());
            self.gone.extend(names.map(|name| (name.clone(), account.defined_in.get(&name).copied())));
        }
    }

    /// Explains why a cell for `members` can't use the variable `name`, when some member has or had it; a second line,
    /// if there is one, says what to do.
    pub fn explain_missing(&self, name: &str, members: &[Member]) -> Option<String> {
        let lacking: Vec<Member> =
            members.iter().copied().filter(|&member| !self.variables(member).contains_key(name)).collect();
        let having: Vec<Member> =
            self.accounts.keys().copied().filter(|&member| self.variables(member).contains_key(name)).collect();
        if let Some(lost) = self.explain_loss(name, &lacking) {
            return Some(lost);
        }
        if having.is_empty() {
            let cell = self.gone.get(name).filter(|_| members != [Member::Local])?;
            return Some(format!("`{name}` was a variable of engines that are gone\n{}", brought_back_by(*cell)));
        }
        if lacking.is_empty() {
            let common = self.common(members).contains_key(name);
            return (!common).then(|| self.explain_types(name, members));
        }
        let hint = match (members == [Member::Local], having.contains(&Member::Local)) {
            (true, _) => format!(
                "variables aren't shared between the notebook and the engines: `%pull {name}` copies it here, and `%px` runs where it is"
            ),
            (false, true) if having.len() == 1 => format!(
                "variables aren't shared between the notebook and the engines: `%push {name}` copies it there, or define it in a %px cell"
            ),
            _ => {
                let engines: Vec<Member> = having.iter().copied().filter(|member| *member != Member::Local).collect();
                format!("run the cell with `-t {}`, or define it on the others first", targets(&engines))
            }
        };
        let verb = if lacking.len() == 1 { "lacks" } else { "lack" };
        Some(format!(
            "{} {verb} `{name}`, which {} {}\n{hint}",
            describe(&lacking),
            describe(&having),
            if having.len() == 1 { "has" } else { "have" }
        ))
    }
}

impl Namespaces {
    /// Why those of these members that have lost a variable have none any more: a line that says it, and one that says what
    /// next.
    pub fn explain_loss(&self, name: &str, lacking: &[Member]) -> Option<String> {
        let reason = |member: &Member| self.accounts.get(member)?.lost.get(name);
        let losers: Vec<Member> = lacking.iter().copied().filter(|member| reason(member).is_some()).collect();
        let reasons: BTreeSet<&str> = losers.iter().filter_map(reason).map(String::as_str).collect();
        let reasons: Vec<&str> = reasons.into_iter().collect();
        let on = if losers == [Member::Local] { String::new() } else { format!(" on {}", describe(&losers)) };
        let accounts = losers.iter().filter_map(|member| self.accounts.get(member));
        let next: BTreeSet<String> = accounts.map(|account| account.what_next(name)).collect();
        let next: Vec<String> = next.into_iter().collect();
        let said = || format!("`{name}` was lost{on}: {}\n{}", reasons.join("; "), next.join("; "));
        (!losers.is_empty()).then(said)
    }

    /// Of which type the variable is on which of them.
    fn explain_types(&self, name: &str, members: &[Member]) -> String {
        let mut by_type: BTreeMap<Variable, Vec<Member>> = BTreeMap::new();
        for &member in members {
            let variable = self.variables(member).remove(name);
            variable.into_iter().for_each(|variable| by_type.entry(variable).or_default().push(member));
        }
        let kind =
            |variable: &Variable| format!("{}{}", if variable.mutable { "mut " } else { "" }, variable.type_name);
        let types = by_type.iter().map(|(variable, members)| format!("`{}` on {}", kind(variable), describe(members)));
        let types: Vec<String> = types.collect();
        format!(
            "`{name}` has different types: {}\ndefine it anew on all of them, or run the cell with `-t`",
            types.join(", ")
        )
    }
}

fn brought_back_by(cell: Option<u32>) -> String {
    match cell {
        Some(cell) => format!("run In[{cell}] again, which defines it"),
        None => "run the cell that defines it again".to_owned(),
    }
}

/// Why a variable is gone that a cell has used up.
fn moved_by(cell: u32) -> String {
    match cell {
        0 => "its value was moved".to_owned(),
        _ => format!("its value was moved in In[{cell}], where `&` or `.clone()` would leave it"),
    }
}

const ENDED: &str = "it borrowed from ";
const UNNAMED: &str = "its type has no name, as that of a closure";

/// Why a variable is gone that ended with its cell.
fn ended_with(cell: u32, lender: &str) -> String {
    let why = if lender.is_empty() { UNNAMED.to_owned() } else { format!("{ENDED}`{lender}`") };
    let of_cell = if cell == 0 { String::new() } else { format!(", In[{cell}]") };
    format!("{why}, so it ended with its cell{of_cell}")
}

/// `engine 2`, `engines 0-3,5`, `the notebook and engines 0-1`.
pub fn describe(members: &[Member]) -> String {
    let engines: Vec<Member> = members.iter().copied().filter(|member| *member != Member::Local).collect();
    let named = match engines.len() {
        0 => None,
        1 => Some(format!("engine {}", targets(&engines))),
        _ => Some(format!("engines {}", targets(&engines))),
    };
    match (engines.len() < members.len(), named) {
        (true, Some(engines)) => format!("the notebook and {engines}"),
        (true, None) => "the notebook".to_owned(),
        (false, Some(engines)) => engines,
        (false, None) => "nobody".to_owned(),
    }
}

fn targets(members: &[Member]) -> String {
    let mut ids: Vec<u32> =
        members.iter().filter_map(|m| if let Member::Engine(id) = m { Some(id.0) } else { None }).collect();
    ids.sort_unstable();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == id => *last = id,
            Some((_, last)) if *last == id => {}
            _ => runs.push((id, id)),
        }
    }
    let text = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    runs.into_iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
