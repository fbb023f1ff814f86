use super::*;

const E: fn(u32) -> Member = |id| Member::Engine(EngineId(id));

fn variable(type_name: &str) -> Variable {
    Variable { type_name: type_name.into(), mutable: false }
}

fn define(namespaces: &Namespaces, members: &[Member], names: &[&str]) -> Effect {
    let before = namespaces.common(members);
    let mut after = before.clone();
    after.extend(names.iter().map(|name| (name.to_string(), variable("i32"))));
    Effect { before, after, defined: names.iter().map(|name| name.to_string()).collect(), ..Effect::default() }
}

fn run(namespaces: &mut Namespaces, members: &[Member], names: &[&str], outcome: Outcome) {
    let effect = define(namespaces, members, names);
    let ticket = namespaces.begin(members, &effect);
    for &member in members {
        namespaces.settle(ticket, &ended(member, outcome.clone()));
    }
}

fn ended(member: Member, outcome: Outcome) -> RunEnded {
    RunEnded { member, outcome, generation: 0 }
}

fn names(variables: Variables) -> Vec<String> {
    variables.into_keys().collect()
}

#[test]
fn variables_are_apart_and_common_is_what_all_have() {
    let mut all = Namespaces::default();
    run(&mut all, &[E(0), E(1)], &["a"], Outcome::Ok);
    run(&mut all, &[E(0)], &["b"], Outcome::Ok);
    run(&mut all, &[Member::Local], &["c"], Outcome::Ok);
    assert_eq!(names(all.common(&[E(0), E(1)])), ["a"]);
    assert_eq!(names(all.common(&[E(0)])), ["a", "b"]);
    assert_eq!(names(all.common(&[E(0), E(2)])), Vec::<String>::new());
    // A cell for both that doesn't use b leaves it where it is.
    run(&mut all, &[E(0), E(1)], &["d"], Outcome::Ok);
    assert_eq!(names(all.variables(E(0))), ["a", "b", "d"]);
}

#[test]
fn a_failed_cell_keeps_what_it_loaded_and_loses_what_it_defined() {
    let mut all = Namespaces::default();
    run(&mut all, &[E(0)], &["a", "b"], Outcome::Ok);
    run(&mut all, &[E(0)], &["b", "c"], Outcome::Panicked);
    assert_eq!(names(all.variables(E(0))), ["a"], "b was taken out of the store and c never got in");
    assert!(
        all.explain_missing("c", &[E(0)])
            .unwrap()
            .contains("`c` was lost on engine 0: the cell that defines it failed")
    );
}

#[test]
fn what_a_failed_cell_was_to_define_anew_stays_if_it_is_put_back() {
    let mut all = Namespaces::default();
    run(&mut all, &[E(0)], &["a", "b"], Outcome::Ok);
    let mut effect = define(&all, &[E(0)], &["a", "b"]);
    effect.after.insert("a".into(), variable("u8"));
    effect.put_back.insert("a".into());
    let ticket = all.begin(&[E(0)], &effect);
    assert_eq!(all.settle(ticket, &ended(E(0), Outcome::ReturnedError)), ["b"]);
    assert_eq!(all.variables(E(0)), Variables::from([("a".into(), variable("i32"))]));
}

#[test]
fn a_moved_variable_is_gone_without_complaint() {
    let mut all = Namespaces::default();
    run(&mut all, &[E(0)], &["a"], Outcome::Ok);
    let effect = Effect { before: all.common(&[E(0)]), ..Effect::default() };
    let ticket = all.begin(&[E(0)], &effect);
    all.settle(ticket, &ended(E(0), Outcome::Ok));
    assert_eq!(names(all.variables(E(0))), Vec::<String>::new());
    let why = all.explain_missing("a", &[E(0)]).unwrap();
    assert_eq!(why, "`a` was lost on engine 0: its value was moved\nrun the cell that defines it again");
}

#[test]
fn what_brings_a_variable_back_is_said() {
    let mut all = Namespaces::default();
    let local = [Member::Local];
    let first = Effect { cell: 3, ..define(&all, &local, &["a", "b"]) };
    let ticket = all.begin(&local, &first);
    all.settle(ticket, &ended(Member::Local, Outcome::Ok));
    let mut moves = Effect { before: all.common(&local), after: all.common(&local), cell: 4, ..Effect::default() };
    moves.after.remove("a");
    let ticket = all.begin(&local, &moves);
    all.settle(ticket, &ended(Member::Local, Outcome::Ok));
    let why = all.explain_missing("a", &local).unwrap();
    assert!(why.starts_with("`a` was lost: its value was moved in In[4]"), "{why}");
    assert!(why.ends_with("\nrun In[3] again, which defines it"), "{why}");
    // One that has moved its own variable would do so again.
    let own = Effect { defined: ["own".to_owned()].into(), cell: 6, ..Effect::default() };
    let ticket = all.begin(&local, &own);
    all.settle(ticket, &ended(Member::Local, Outcome::Ok));
    let why = all.explain_missing("own", &local).unwrap();
    assert!(why.starts_with("`own` was lost: its value was moved in In[6]"), "{why}");
    assert!(why.ends_with("\ndo so in In[6], which also defines it, and run it again"), "{why}");
    let engine = Effect { cell: 5, ..define(&all, &[E(7)], &["e"]) };
    let ticket = all.begin(&[E(7)], &engine);
    all.settle(ticket, &ended(E(7), Outcome::Ok));
    all.forget(|member| member != E(7));
    let why = all.explain_missing("e", &[E(8)]).unwrap();
    assert_eq!(why, "`e` was a variable of engines that are gone\nrun In[5] again, which defines it");
    assert_eq!(all.explain_missing("e", &local), None);
    all.clear();
    assert_eq!(all.variables(Member::Local), Variables::new());
    assert_eq!(
        all.explain_missing("b", &local).unwrap(),
        "`b` was lost: everything was forgotten\nrun In[3] again, which defines it"
    );
}

#[test]
fn what_was_assumed_is_taken_back() {
    let mut all = Namespaces::default();
    run(&mut all, &[E(0), E(1)], &["a"], Outcome::Ok);
    let first = define(&all, &[E(0), E(1)], &["b"]);
    let first = all.begin(&[E(0), E(1)], &first);
    let second = define(&all, &[E(0), E(1)], &["c"]);
    let second = all.begin(&[E(0), E(1)], &second);
    assert_eq!(names(all.common(&[E(0), E(1)])), ["a", "b", "c"], "both are taken for successes");
    all.settle(first, &ended(E(0), Outcome::Ok));
    all.settle(first, &ended(E(1), Outcome::Panicked));
    all.settle(second, &ended(E(1), Outcome::Stale));
    all.settle(second, &ended(E(0), Outcome::Ok));
    assert_eq!(names(all.variables(E(0))), ["a", "b", "c"]);
    assert_eq!(names(all.variables(E(1))), ["a"]);
}

#[test]
fn runs_may_be_settled_out_of_order() {
    let mut all = Namespaces::default();
    let first = define(&all, &[E(0)], &["a"]);
    let first = all.begin(&[E(0)], &first);
    let second = Effect { before: all.common(&[E(0)]), defined: ["b".to_owned()].into(), ..Effect::default() };
    let second = all.begin(&[E(0)], &Effect { after: [("b".to_owned(), variable("u8"))].into(), ..second });
    assert_eq!(all.settle(second, &ended(E(0), Outcome::Ok)), Vec::<String>::new());
    assert_eq!(names(all.variables(E(0))), ["b"], "the second moved what the first defined");
    all.settle(first, &ended(E(0), Outcome::Ok));
    assert_eq!(names(all.variables(E(0))), ["b"]);
}

#[test]
fn a_death_loses_everything_and_is_remembered() {
    let mut all = Namespaces::default();
    run(&mut all, &[E(0), E(1), E(2)], &["a", "b"], Outcome::Ok);
    let effect = define(&all, &[E(2)], &[]);
    let ticket = all.begin(&[E(2)], &effect);
    let lost = all.settle(ticket, &ended(E(2), Outcome::died(Death::Signal(9))));
    assert_eq!(lost, ["a", "b"]);
    let why = all.explain_missing("a", &[E(0), E(1), E(2)]).unwrap();
    assert!(why.starts_with("`a` was lost on engine 2: the worker was killed by signal 9"), "{why}");
    run(&mut all, &[E(2)], &["a"], Outcome::Ok);
    assert_eq!(all.explain_missing("a", &[E(2)]), None, "it is back");
    assert_eq!(all.died(E(0), Death::EngineLost, None), ["a", "b"]);
}

#[test]
fn a_death_under_a_run_leaves_what_only_the_run_brings() {
    let mut all = Namespaces::default();
    run(&mut all, &[E(0)], &["a"], Outcome::Ok);
    let effect = define(&all, &[E(0)], &["b"]);
    all.begin(&[E(0)], &effect);
    assert_eq!(all.died(E(0), Death::Stopped, None), ["a"]);
    assert_eq!(names(all.variables(E(0))), ["b"]);
}

#[test]
fn a_death_that_is_heard_of_late_loses_nothing_of_the_next_worker() {
    let mut all = Namespaces::default();
    run(&mut all, &[E(0)], &["a", "b"], Outcome::Ok);
    // It needs no variable, so it ran in the fresh worker before anybody knew of the death.
    let effect = define(&all, &[E(0)], &["b", "c"]);
    let ticket = all.begin(&[E(0)], &effect);
    all.settle(ticket, &RunEnded { member: E(0), outcome: Outcome::Ok, generation: 1 });
    let later = define(&all, &[E(0)], &["d"]);
    let later = all.begin(&[E(0)], &later);
    assert_eq!(all.died(E(0), Death::Signal(9), Some(1)), ["a"]);
    all.settle(later, &RunEnded { member: E(0), outcome: Outcome::Ok, generation: 1 });
    assert_eq!(names(all.variables(E(0))), ["b", "c", "d"]);
    assert!(all.explain_missing("a", &[E(0)]).is_some_and(|why| why.contains("killed by signal 9")));
    assert_eq!(all.died(E(0), Death::Signal(9), Some(2)), ["b", "c", "d"]);
}

#[test]
fn a_snapshot_has_what_was_there_before_the_run() {
    let mut all = Namespaces::default();
    run(&mut all, &[E(0), E(1)], &["a"], Outcome::Ok);
    let restored = Outcome::Died(Death::Signal(11), Aftermath::Restored);
    let first = define(&all, &[E(0), E(1)], &["b"]);
    let first = all.begin(&[E(0), E(1)], &first);
    let second = define(&all, &[E(0), E(1)], &["c"]);
    let second = all.begin(&[E(0), E(1)], &second);
    assert_eq!(all.settle(first, &ended(E(0), restored)), Vec::<String>::new(), "nothing is lost");
    all.settle(first, &ended(E(1), Outcome::Ok));
    all.settle(second, &ended(E(0), Outcome::Stale));
    all.settle(second, &ended(E(1), Outcome::Ok));
    assert_eq!(names(all.variables(E(0))), ["a"]);
    assert_eq!(names(all.variables(E(1))), ["a", "b", "c"]);
    let why = all.explain_missing("b", &[E(0)]).unwrap();
    assert!(why.contains("killed by signal 11") && why.contains("in the cell that defines it\n"), "{why}");
}

#[test]
fn missing_variables_are_explained() {
    let mut all = Namespaces::default();
    run(&mut all, &[E(0)], &["a"], Outcome::Ok);
    run(&mut all, &[Member::Local], &["l"], Outcome::Ok);
    assert_eq!(
        all.explain_missing("a", &[E(0), E(1), E(2), E(3)]).unwrap(),
        "engines 1-3 lack `a`, which engine 0 has\nrun the cell with `-t 0`, or define it on the others first"
    );
    assert!(
        all.explain_missing("a", &[Member::Local]).unwrap().starts_with("the notebook lacks `a`, which engine 0 has")
    );
    assert!(all.explain_missing("l", &[E(0)]).unwrap().contains("define it in a %px cell"));
    assert_eq!(all.explain_missing("zz", &[E(0)]), None);
}

#[test]
fn members_read_as_words() {
    assert_eq!(describe(&[E(0), E(1), E(2), E(5)]), "engines 0-2,5");
    assert_eq!(describe(&[E(3)]), "engine 3");
    assert_eq!(describe(&[Member::Local, E(1), E(0)]), "the notebook and engines 0-1");
}

#[test]
fn who_has_defined_a_name_later_is_known() {
    let mut all = Namespaces::default();
    run(&mut all, &[Member::Local], &["k"], Outcome::Ok);
    assert!(!all.is_newer_here("k", &[E(0), E(1)]), "no engine has it");
    run(&mut all, &[E(0), E(1)], &["k"], Outcome::Ok);
    assert!(!all.is_newer_here("k", &[E(0), E(1)]));
    run(&mut all, &[Member::Local], &["k"], Outcome::Panicked);
    assert!(!all.is_newer_here("k", &[E(0), E(1)]), "it wasn't defined");
    run(&mut all, &[Member::Local], &["k"], Outcome::Ok);
    assert!(all.is_newer_here("k", &[E(0), E(1)]) && !all.is_newer_here("j", &[E(0)]));
    run(&mut all, &[E(0)], &["k"], Outcome::Ok);
    assert!(!all.is_newer_here("k", &[E(0)]) && all.is_newer_here("k", &[E(0), E(1)]), "engine 1's is older");
    // A run under way is taken for a success.
    let effect = Effect { put_back: ["k".to_owned()].into(), ..define(&all, &[E(1)], &["k"]) };
    let ticket = all.begin(&[E(1)], &effect);
    assert!(!all.is_newer_here("k", &[E(0), E(1)]));
    all.settle(ticket, &ended(E(1), Outcome::Panicked));
    assert!(all.variables(E(1)).contains_key("k") && all.is_newer_here("k", &[E(1)]));
    all.died(Member::Local, Death::Stopped, None);
    assert!(!all.is_newer_here("k", &[E(1)]), "the notebook has none any more");
}
