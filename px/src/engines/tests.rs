//! Functions on engines in one process: the calls' other half calls them at once.

use super::*;
use crate::link::Access;
use crate::map::tests::host::{Setting, with};
use crate::store::{VariableStore, create_variable_store};
use crate::task::tests::asked_of;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr};

/// The variables of an engine, while this lives.
struct Engine(*mut VariableStore);

impl Engine {
    fn with(fill: impl FnOnce(&mut VariableStore)) -> Engine {
        with(Setting::default());
        let store = create_variable_store();
        // SAFETY: it was just made.
        fill(unsafe { &mut *store });
        Engine(store)
    }

    /// Calls as an engine does that has these.
    fn each<A: Args, R: Wire>(&self, args: A, function: A::Function<R>) -> Result<Vec<R>, Error> {
        let engines = Engines { ids: Ok(vec![2]) };
        crate::task::tests::with_variables(self.0.cast(), || engines.with(args).each(function))
    }
}

fn push(part: &mut Vec<f64>, x: &f64) -> usize {
    part.push(*x);
    part.len()
}

#[test]
fn a_function_changes_the_engines_variables_and_gets_the_notebooks_values() {
    let engine = Engine::with(|store| {
        store.put_variable("part", vec![1.0, 2.0]);
        store.put_variable("name", "a".to_owned());
    });
    assert_eq!(engine.each((crate::var!(mut part), &3.0), push), Ok(vec![3]));
    assert_eq!(engine.each((crate::var!(mut part), &4.0), |part, x| push(part, x) + 1), Ok(vec![5]));
    let (weights, all) = (vec![2.0; 4], [1u8, 2]);
    let sum = |part: &Vec<f64>, weights: &Vec<f64>, all: &[u8], text: &str| -> (f64, String) {
        (part.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>() + all.len() as f64, text.to_uppercase())
    };
    let sums = engine.each((crate::var!(part), &weights, &all[..], "x"), sum);
    assert_eq!(sums, Ok(vec![(22.0, "X".to_owned())]));
    assert_eq!(engine.each(crate::var!(name), |name: &String| name.len()), Ok(vec![1]), "one needs no tuple");
    assert_eq!(engine.each((), || 7), Ok(vec![7]));
    let as_they_come: Vec<_> = Engines { ids: Ok(vec![5, 6]) }.start(|| 8).unwrap().collect();
    assert_eq!(as_they_come, [(6, Ok(8)), (5, Ok(8))]);
}

/// A type that can't travel.
#[derive(Debug, PartialEq)]
struct Own(f64);

#[test]
fn what_a_function_returns_stays_on_its_engine_when_all_have_theirs() {
    let engine = Engine::with(|store| store.put_variable("part", vec![1.0, 2.0]));
    let keep = |to, k: f64| {
        let engines = Engines { ids: Ok(vec![2]) };
        let train = |part: &mut Vec<f64>, k: &f64| {
            part.push(*k);
            assert!(*k < 9.0, "too large");
            Own(k * part[1])
        };
        crate::task::tests::with_variables(engine.0.cast(), || {
            engines.with((crate::var!(mut part), &k)).keep(to, train)
        })
    };
    assert_eq!(keep(crate::var!(model), 3.0), Ok(()));
    assert_eq!(
        engine.each((crate::var!(model), crate::var!(part)), |own: &Own, part: &Vec<f64>| (own.0, part.len())),
        Ok(vec![(6.0, 3)])
    );
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    assert!(keep(crate::var!(model), 9.0).is_err());
    std::panic::set_hook(before);
    assert_eq!(engine.each(crate::var!(model), |own: &Own| own.0), Ok(vec![6.0]), "what it was");
    let mut names = Vec::new();
    // SAFETY: nobody else uses it.
    unsafe { (*engine.0).sizes(|name, _| names.push(name.to_owned())) };
    names.sort();
    assert_eq!(names, ["model", "part"]);
}

#[test]
fn what_is_not_there_any_more_gets_no_name() {
    let engine = Engine::with(|store| store.put_variable("model", Own(1.0)));
    let engines = Engines { ids: Ok(vec![2]) };
    let waiting = kept::Waiting::on(Some(engines.clone()));
    let gone =
        crate::task::tests::with_variables(engine.0.cast(), || waiting.name_results(Var::<Vec<u8>>::named("model"), 3));
    assert!(gone.unwrap_err().to_string().contains("`model` is on all engines what it was"));
    assert_eq!(engine.each(crate::var!(model), |own: &Own| own.0), Ok(vec![1.0]));
}

/// Does this when it is dropped.
struct Last(fn());

impl Drop for Last {
    fn drop(&mut self) {
        self.0();
    }
}

#[test]
fn what_got_its_name_on_some_engines_only_is_not_said_to_be_what_it_was() {
    let engine = Engine::with(|store| store.put_variable("model", Last(|| panic!("no"))));
    crate::task::tests::with_variables(engine.0.cast(), || {
        let waiting = kept::Waiting::on(Some(Engines { ids: Ok(vec![2]) }));
        args::Store::leave(waiting.number(), vec![1u8, 2]).unwrap();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let failed = waiting.name_results(Var::<Vec<u8>>::named("model"), 2);
        std::panic::set_hook(before);
        assert!(failed.is_err());
        let again = waiting.name_results(Var::<Vec<u8>>::named("model"), 2).unwrap_err().to_string();
        assert!(again.contains("some of them may have it, and on others `model` is what it was"), "{again}");
    });
}

#[test]
fn of_two_threads_one_names_results_and_the_other_waits_for_it() {
    static IS_NAMED: AtomicBool = AtomicBool::new(false);
    let engine = Engine::with(|store| {
        store.put_variable(
            "model",
            Last(|| {
                IS_NAMED.store(true, Ordering::Release);
                std::thread::sleep(std::time::Duration::from_millis(100));
            }),
        );
    });
    let (waiting, store) = (kept::Waiting::on(Some(Engines { ids: Ok(vec![2]) })), AtomicPtr::new(engine.0));
    let on_engine = |work: &dyn Fn() -> Result<(), Error>| {
        crate::task::tests::with_variables(store.load(Ordering::Relaxed).cast(), work)
    };
    on_engine(&|| args::Store::leave(waiting.number(), vec![1u8, 2])).unwrap();
    let name = || on_engine(&|| waiting.name_results(Var::<Vec<u8>>::named("model"), 2));
    let both = std::thread::scope(|scope| {
        let first = scope.spawn(name);
        while !IS_NAMED.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        (name(), first.join().unwrap())
    });
    assert_eq!(both, (Ok(()), Ok(())));
    assert_eq!(engine.each(crate::var!(model), |model: &Vec<u8>| model.clone()), Ok(vec![vec![1, 2]]));
}

#[test]
fn what_an_engine_lacks_is_an_error_and_no_panic() {
    let engine = Engine::with(|store| store.put_variable("part", 5u8));
    let missing = engine.each(crate::var!(whole), |whole: &u8| *whole).unwrap_err().to_string();
    assert!(missing.contains("has no variable `whole`; the function wasn't called there"), "{missing}");
    let other = engine.each(crate::var!(part), |part: &Vec<u8>| part.len()).unwrap_err().to_string();
    assert!(other.contains("`part` isn't a `alloc::vec::Vec<u8>`"), "{other}");
    let twice = engine.each((crate::var!(mut part), crate::var!(part)), |a: &mut u8, b: &u8| *a + *b).unwrap_err();
    assert!(twice.to_string().contains("`part` is given to the function twice"), "{twice}");
    let none = Engines { ids: Ok(vec![0]) }.with(crate::var!(part)).each(|part: &u8| *part).unwrap_err();
    assert!(none.to_string().contains("has no variable `part`"), "{none}");
}

#[test]
fn large_values_lie_in_one_room_for_all() {
    let engine = Engine::with(|_| {});
    let xs = vec![3u64; 30_000];
    let engines = Engines { ids: Ok(vec![0, 1, 2]) };
    let each = engines.with(&xs).start(|xs: &Vec<u64>| xs.iter().sum::<u64>()).unwrap();
    let rooms: Vec<_> = each.calls.numbers().into_iter().map(|number| asked_of(number).rooms).collect();
    assert!(rooms.len() == 3 && rooms[0].len() == 1 && rooms.iter().all(|it| it == &rooms[0]), "{rooms:?}");
    assert_eq!(each.get(), Ok(vec![90_000; 3]));
    assert_eq!(engine.each(&crate::put(&xs), |xs: &crate::Ref<Vec<u64>>| xs.len()), Ok(vec![30_000]));
}

#[test]
fn views_name_engines() {
    let all = Engines { ids: Ok(vec![0, 1, 3]) };
    assert_eq!((all.len(), all.on([3, 0, 3]).ids()), (3, vec![0, 3]));
    let none = all.on([2]).each(|| ()).unwrap_err().to_string();
    assert_eq!(none, "there is no engine 2 among engines 0, 1 and 3");
    assert!(all.on([]).each(|| ()).unwrap_err().to_string().contains("no engine"));
}

#[test]
fn a_function_of_another_library_is_refused_with_the_way_out() {
    let _engine = Engine::with(|_| {});
    let engines = Engines { ids: Ok(vec![0]) };
    unsafe extern "C" {
        fn abs(x: i32) -> i32;
    }
    let passing = Passing::default();
    let refused = start(&engines, "each", passing, Vec::new(), (serve::<(), u8>, abs as *const () as usize))
        .map(drop)
        .unwrap_err();
    assert!(refused.to_string().contains("A closure around it, such as `|x| f(x)`"), "{refused}");
}

#[test]
fn only_what_cannot_change_is_taken_for_read() {
    fn access<A: Args>(args: A) -> Access {
        let mut passing = Passing::default();
        Args::pass(&args, &mut passing);
        passing.access
    }
    struct Own;
    assert_eq!(access((&1, "a")), Access::None);
    assert_eq!(access(Var::<Vec<[f64; 2]>>::named("a")), Access::Read);
    assert_eq!(access(Var::<HashMap<String, (u8, Option<char>)>>::named("a")), Access::Read);
    assert_eq!(access(VarMut::<Vec<f64>>::named("a")), Access::Change);
    assert_eq!(access((VarMut::<u8>::named("a"), Var::<u8>::named("b"))), Access::Change);
    assert_eq!(access(Var::<Vec<Mutex<u8>>>::named("a")), Access::Change);
    assert_eq!(access(Var::<Option<Own>>::named("a")), Access::Change);
    assert_eq!(access(Var::<&'static str>::named("a")), Access::Change);
}

#[test]
fn engines_are_chosen_by_their_label() {
    with(Setting::default());
    assert_eq!(crate::engines().labelled("big").ids(), [2], "those of all that there are");
    assert_eq!(crate::engines().on([0]).all(), crate::engines());
    let none = crate::engines().labelled("small").each(|| 1).unwrap_err().to_string();
    assert_eq!(none, "none of engines 0 and 2 has the label `small`; `%cluster status` shows labels");
}
