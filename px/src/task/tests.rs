//! Calls in one process: the other half of the maps' host calls the function at once.

use super::*;
use crate::link::OnEngine;
use crate::map::tests::host::{Setting, marker, rooms_of, with};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Mutex;
use std::time::Duration;

struct Made {
    ask: CallAsk,
    result: Option<Vec<u8>>,
}

static MADE: Mutex<Option<HashMap<u64, Made>>> = Mutex::new(None);

thread_local! {
    static ARGUMENT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static RESULT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

pub(crate) fn argument(take: impl FnOnce(&[u8])) {
    ARGUMENT.with_borrow(|argument| take(argument));
}

thread_local! {
    static VARIABLES: Cell<*mut c_void> = const { Cell::new(std::ptr::null_mut()) };
}

/// Calls that are made meanwhile are of an engine that has these.
pub(crate) fn with_variables<R>(store: *mut c_void, work: impl FnOnce() -> R) -> R {
    VARIABLES.set(store);
    let done = work();
    VARIABLES.set(std::ptr::null_mut());
    done
}

pub(crate) fn variables() -> *mut c_void {
    VARIABLES.get()
}

pub(crate) fn is_of_call(ask: &Ask) -> bool {
    match ask {
        Ask::Call(_) | Ask::Where(_) | Ask::Result(..) | Ask::Engines(_) | Ask::WaitAny(_) => true,
        Ask::CallOn(..) | Ask::WaitAll(_) | Ask::ForgetAll(_) | Ask::Defined { .. } => true,
        Ask::Wait { job, .. } | Ask::Cancel(job) | Ask::Forget(job) => *job >= FIRST_CALL,
        _ => false,
    }
}

pub(crate) fn answer(ask: Ask) -> Answer {
    match ask {
        Ask::Call(call) => {
            run(call);
            Answer::Ok
        }
        Ask::CallOn(call, engines) => {
            for OnEngine { job, engine } in engines {
                run(CallAsk { job, on: Some(engine), ..call.clone() });
            }
            Answer::Ok
        }
        Ask::WaitAll(jobs) => {
            Answer::All(jobs.into_iter().map(|job| answer(Ask::Wait { job, millis: u64::MAX })).collect())
        }
        Ask::ForgetAll(jobs) => {
            jobs.into_iter().for_each(|job| _ = answer(Ask::Forget(job)));
            Answer::Ok
        }
        Ask::Result(bytes, _) => {
            RESULT.set(Some(bytes));
            Answer::Ok
        }
        Ask::Where(_) => Answer::RunsOn(Some(2)),
        Ask::Engines(None) => Answer::Engines(vec![0, 2]),
        Ask::Engines(Some(label)) => Answer::Engines(if label == "big" { vec![2, 5] } else { vec![] }),
        Ask::WaitAny(jobs) => Answer::Job(jobs[jobs.len() - 1]),
        Ask::Wait { job, .. } => match made(job, |made| made.result.clone()) {
            Some(value) => Answer::Value { engine: 2, value },
            None => Answer::Failed("the function panicked".into()),
        },
        Ask::Forget(job) => {
            MADE.lock().unwrap().get_or_insert_default().remove(&job);
            Answer::Ok
        }
        _ => Answer::Ok,
    }
}

fn made<T>(job: u64, look: impl FnOnce(&Made) -> T) -> T {
    look(&MADE.lock().unwrap().get_or_insert_default()[&job])
}

fn run(ask: CallAsk) {
    let mut bytes = Vec::new();
    for arg in &ask.args {
        match arg {
            CallArg::Value(value) => bytes.extend_from_slice(value),
            CallArg::Job(job) => bytes.extend(made(*job, |made| made.result.clone()).unwrap()),
        }
    }
    let (object, at) = place_of(marker).unwrap();
    assert_eq!(ask.object, object);
    let address = marker as *const () as u64 - at + ask.function;
    // SAFETY: the offset is that of a function of this type in this object.
    let function = unsafe { std::mem::transmute::<usize, extern "C" fn()>(address as usize) };
    ARGUMENT.set(bytes);
    RESULT.set(None);
    function();
    let before = MADE.lock().unwrap().get_or_insert_default().insert(ask.job, Made { ask, result: RESULT.take() });
    assert!(before.is_none(), "two calls have the same number");
}

/// What the kernel was asked for.
fn asked<R>(task: &Task<R>) -> CallAsk {
    asked_of(task.number().unwrap())
}

pub(crate) fn asked_of(number: u64) -> CallAsk {
    made(number, |made| made.ask.clone())
}

fn score(x: u32) -> u64 {
    u64::from(x) * 2
}

fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[test]
fn functions_are_called_with_values_references_and_what_other_calls_return() {
    with(Setting::default());
    let x = 4;
    let (a, b) = (crate::call!(score, 5), crate::call!(score, &x));
    let sum: Task<u64> = crate::call!(add, &a, b.clone());
    assert_eq!((a.get(), b.get(), sum.get(), sum.get()), (Ok(10), Ok(8), Ok(18), Ok(18)));
    assert_eq!((sum.done(), sum.engine()), (true, Some(2)));
    assert_eq!(crate::call!(|| 7).get(), Ok(7));
    assert_eq!(
        crate::call!(|text: String, xs: Vec<f64>| format!("{text}{xs:?}"), "a", &[1.0][..]).get().unwrap(),
        "a[1.0]"
    );
    assert_eq!(crate::call!(|x| { x + 1.5 }, { 1.0 },).get(), Ok(2.5));
    assert_eq!(asked(&crate::call!(|x: i32| x + 1, 1)).label, "|x: i32| x + 1");
}

#[test]
fn options_are_passed_on() {
    with(Setting::default());
    let (a, b) = (crate::call!(score, 1), crate::call!(|| "x".to_string()));
    let task = crate::call!(score, 2, { after: [&a, &b], on: 3, gpu: 1, retries: 4, timeout: 1.5 });
    let ask = asked(&task);
    assert_eq!(ask.after, [a.number().unwrap(), b.number().unwrap()]);
    assert_eq!((ask.on, ask.gpu, ask.retries, ask.timeout), (Some(3), 1, Some(4), 1500));
    let ask = asked(&crate::call!(|| (), { timeout: Duration::from_millis(20), after: &a, }));
    assert_eq!((ask.after.len(), ask.on, ask.gpu, ask.retries, ask.timeout), (1, None, 0, None, 20));
}

#[test]
fn a_panic_leaves_no_result() {
    with(Setting::default());
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let task = crate::call!(|| -> u8 { panic!("no") });
    std::panic::set_hook(before);
    assert_eq!(task.get(), Err(Error::Failed("the function panicked".into())));
}

#[test]
fn large_values_travel_in_rooms() {
    with(Setting::default());
    let large = vec![7u64; 20_000];
    let task = crate::call!(|xs: Vec<u64>| xs, &large);
    let ask = asked(&task);
    let CallArg::Value(value) = &ask.args[0] else { panic!("{:?} is no value", ask.args) };
    assert!(value.len() < 200, "{} bytes", value.len());
    assert_eq!((ask.own.len(), rooms_of(&ask.own)), (1, 1), "the kernel has it now");
    assert_eq!(task.get().unwrap(), large);
}

#[test]
fn a_value_that_was_put_is_written_once() {
    with(Setting::default());
    let table = crate::put(&vec![1u32; 50_000]);
    let first = crate::call!(|table: Ref<Vec<u32>>, n: usize| table[n], &table, 3);
    let both = crate::call!(|tables: Vec<Ref<Vec<u32>>>| tables.len(), vec![table.clone(), table.clone()]);
    assert_eq!((first.get(), both.get(), table.len()), (Ok(1), Ok(2), 50_000));
    let ask = asked(&first);
    assert_eq!((ask.rooms.len(), ask.own.len(), asked(&both).rooms.len()), (1, 0, 2));
    assert_eq!(rooms_of(&ask.rooms), 1);
    drop(table);
    assert_eq!(rooms_of(&ask.rooms), 0);
    let nothing = crate::put(&Vec::<u8>::new());
    assert_eq!(crate::call!(|it: Ref<Vec<u8>>| it.len(), nothing).get(), Ok(0));
}
