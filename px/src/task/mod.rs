//! Calls of single functions on engines: [`call!`](crate::call!) and its handle, [`Task`].
//!
//! ```no_run
//! fn score(x: u32) -> u32 { x * x }
//! fn add(a: u32, b: u32) -> u32 { a + b }
//! let (a, b) = (px::call!(score, 3), px::call!(score, 4));
//! let sum = px::call!(add, &a, &b, { retries: 1, timeout: 10.0 });
//! println!("{}", sum.get()?);
//! # Ok::<(), px::Error>(())
//! ```
//!
//! As for maps, the engines load the same object, and call a function in it that is made for the types of the call. What
//! a function captures can't travel, so it is the path of a function or a closure that captures nothing. A call may need
//! what other calls return: that goes from engine to engine, and not through the notebook.

#[doc(hidden)]
pub mod args;
pub(crate) mod shared;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod values;

pub use args::{Arg, ByRef, BySlice, ByTask, ByText, ByValue, Seconds};
pub use shared::{Ref, put};

use crate::host::{argument, catch};
use crate::link::{Answer, Ask, CallArg, CallAsk, FIRST_CALL};
use crate::map::{CapturesNothing, Error, ask, conjured, place_of};
use crate::wire::Wire;
use shared::Keeps;
use std::hash::{BuildHasher, RandomState};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use values::{Packed, pack, unpack};

/// Has a function called on an engine, and returns its handle at once: `px::call!(score, 5)`.
///
/// The function is named by its path, or is a closure that captures nothing. Arguments are values, references to values,
/// or handles of other calls, `&a`, whose results are passed on when they are there. Options may follow in braces, any of
/// them: `{ after: [&a, &b], on: 2, gpu: 1, retries: 3, timeout: 10.0 }` has it wait for other calls, run on a certain
/// engine, run where a GPU is, tried again when it panics, ended after so many seconds.
#[macro_export]
macro_rules! call {
    () => {
        ::std::compile_error!("`px::call!` takes a function and what it is called with: `px::call!(score, 5)`")
    };
    ($function:expr $(,)?) => {
        $crate::__call!(@run $function, [], [])
    };
    ($function:expr, $($rest:tt)+) => {
        $crate::__call!(@args $function, [], $($rest)+)
    };
}

/// What [`call!`] is made of: takes one argument after the other, and then the options.
#[doc(hidden)]
#[macro_export]
macro_rules! __call {
    (@args $function:expr, $args:tt, { $($key:ident : $value:tt $($more:tt)*)? } $(,)?) => {
        $crate::__call!(@run $function, $args, [$($key : $value $($more)*)?])
    };
    (@args $function:expr, [$($args:expr,)*], $arg:expr $(,)?) => {
        $crate::__call!(@run $function, [$($args,)* $arg,], [])
    };
    (@args $function:expr, [$($args:expr,)*], $arg:expr, $($rest:tt)+) => {
        $crate::__call!(@args $function, [$($args,)* $arg,], $($rest)+)
    };
    (@run $function:expr, $args:tt, $options:tt) => {{
        #[allow(unused_mut)]
        let mut px_call = $crate::task::Builder::new(::std::stringify!($function));
        $crate::__call!(@options px_call $options);
        $crate::__call!(@call px_call, $function, $args)
    }};
    (@options $call:ident [$(,)?]) => {};
    (@options $call:ident [after: [$($task:expr),* $(,)?] $(, $($rest:tt)*)?]) => {
        $($call.after($task);)*
        $crate::__call!(@options $call [$($($rest)*)?]);
    };
    (@options $call:ident [after: $task:expr $(, $($rest:tt)*)?]) => {
        $call.after($task);
        $crate::__call!(@options $call [$($($rest)*)?]);
    };
    (@options $call:ident [on: $value:expr $(, $($rest:tt)*)?]) => {
        $call.on($value);
        $crate::__call!(@options $call [$($($rest)*)?]);
    };
    (@options $call:ident [retries: $value:expr $(, $($rest:tt)*)?]) => {
        $call.retries($value);
        $crate::__call!(@options $call [$($($rest)*)?]);
    };
    (@options $call:ident [timeout: $value:expr $(, $($rest:tt)*)?]) => {
        $call.timeout($value);
        $crate::__call!(@options $call [$($($rest)*)?]);
    };
    (@options $call:ident [gpu: $value:expr $(, $($rest:tt)*)?]) => {
        $call.gpu($value);
        $crate::__call!(@options $call [$($($rest)*)?]);
    };
    (@options $call:ident [$other:ident : $($rest:tt)*]) => {
        ::std::compile_error!(::std::concat!(
            "`px::call!` has no option `", ::std::stringify!($other), "`: it has `after`, `on`, `gpu`, `retries` and `timeout`"
        ));
    };
    (@arg $arg:expr) => {
        match $arg {
            arg => {
                #[allow(unused_imports)]
                use $crate::task::args::*;
                let how = (&&&&type_of(&arg)).how();
                (arg, how)
            }
        }
    };
    (@call $call:ident, $f:expr, []) => {
        $crate::__captures_nothing!([] nothing => $crate::task::call0($call, $f, nothing))
    };
    (@call $call:ident, $f:expr, [$a:expr,]) => {
        $crate::__captures_nothing!([_] nothing => $crate::task::call1($call, $crate::__call!(@arg $a), $f, nothing))
    };
    (@call $call:ident, $f:expr, [$a:expr, $b:expr,]) => {
        $crate::__captures_nothing!([_, _] nothing => $crate::task::call2($call, $crate::__call!(@arg $a), $crate::__call!(@arg $b), $f, nothing))
    };
    (@call $call:ident, $f:expr, [$a:expr, $b:expr, $c:expr,]) => {
        $crate::__captures_nothing!([_, _, _] nothing => $crate::task::call3($call, $crate::__call!(@arg $a), $crate::__call!(@arg $b), $crate::__call!(@arg $c), $f, nothing))
    };
    (@call $call:ident, $f:expr, [$a:expr, $b:expr, $c:expr, $d:expr,]) => {
        $crate::__captures_nothing!([_, _, _, _] nothing => $crate::task::call4($call, $crate::__call!(@arg $a), $crate::__call!(@arg $b), $crate::__call!(@arg $c), $crate::__call!(@arg $d), $f, nothing))
    };
    (@call $call:ident, $f:expr, [$a:expr, $b:expr, $c:expr, $d:expr, $e:expr,]) => {
        $crate::__captures_nothing!([_, _, _, _, _] nothing => $crate::task::call5($call, $crate::__call!(@arg $a), $crate::__call!(@arg $b), $crate::__call!(@arg $c), $crate::__call!(@arg $d), $crate::__call!(@arg $e), $f, nothing))
    };
    (@call $call:ident, $f:expr, [$a:expr, $b:expr, $c:expr, $d:expr, $e:expr, $g:expr,]) => {
        $crate::__captures_nothing!([_, _, _, _, _, _] nothing => $crate::task::call6($call, $crate::__call!(@arg $a), $crate::__call!(@arg $b), $crate::__call!(@arg $c), $crate::__call!(@arg $d), $crate::__call!(@arg $e), $crate::__call!(@arg $g), $f, nothing))
    };
    (@call $call:ident, $f:expr, $more:tt) => {
        ::std::compile_error!("`px::call!` takes at most 6 arguments: put some of them into a tuple")
    };
}

/// A call on an engine. Clones are the same call; when the last is dropped, its result is forgotten. The call goes on
/// all the same, until [`Task::cancel`].
#[must_use = "what the call returns is lost with its handle, and whether it fails: keep the handle in a variable, or wait with `.get()?`"]
pub struct Task<R> {
    job: Result<Arc<Job>, Error>,
    result: PhantomData<fn() -> R>,
}

/// What the kernel knows by a number.
struct Job {
    number: u64,
    /// What its result may refer to, which is what it was given: until the result shows that it doesn't.
    held: Mutex<Vec<Arc<dyn Keeps>>>,
}

impl Job {
    /// Not inlined, nor compiled in each cell.
    #[inline(never)]
    fn let_go(&self) {
        let unneeded = std::mem::take(&mut *self.held());
        drop(unneeded);
    }

    fn held(&self) -> MutexGuard<'_, Vec<Arc<dyn Keeps>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Without a kernel there is nothing to forget.
        let _ = ask(&Ask::Forget(self.number));
    }
}

impl<R> Clone for Task<R> {
    fn clone(&self) -> Task<R> {
        Task { job: self.job.clone(), result: PhantomData }
    }
}

impl<R> std::fmt::Debug for Task<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match (self.done(), self.engine()) {
            (true, _) => "ended",
            (false, Some(_)) => "running",
            (false, None) => "waiting",
        };
        write!(f, "Task({state})")
    }
}

impl<R> Task<R> {
    fn number(&self) -> Result<u64, Error> {
        self.job.as_ref().map(|job| job.number).map_err(Error::clone)
    }

    /// Whether it has ended, with or without a result.
    pub fn done(&self) -> bool {
        let asked = self.number().and_then(|job| ask(&Ask::Wait { job, millis: 0 }));
        !matches!(asked, Ok(Answer::Running { .. }))
    }

    /// Ends it, and with it all calls that need its result.
    pub fn cancel(&self) {
        // What can't be ended has ended.
        let _ = self.number().and_then(|job| ask(&Ask::Cancel(job)));
    }

    /// The engine that it runs on, or has run on; none while it waits.
    pub fn engine(&self) -> Option<usize> {
        match self.number().and_then(|job| ask(&Ask::Where(job))) {
            Ok(Answer::RunsOn(engine)) => engine.map(|engine| engine as usize),
            _ => None,
        }
    }
}

impl<R: Wire> Task<R> {
    /// Waits for the result. It can be fetched again as long as the handle is there.
    pub fn get(&self) -> Result<R, Error> {
        let job = self.job.as_ref().map_err(Error::clone)?;
        loop {
            match ask(&Ask::Wait { job: job.number, millis: u64::MAX })? {
                Answer::Value { value, .. } => {
                    let (result, refers) = shared::takes_any(|| unpack(&mut value.as_slice()));
                    if result.is_ok() && !refers {
                        job.let_go();
                    }
                    return result;
                }
                Answer::Running { .. } => {}
                _ => return Err(Error::Damaged),
            }
        }
    }
}

/// A call in the making, for [`call!`](crate::call!).
#[doc(hidden)]
pub struct Builder {
    ask: CallAsk,
    /// Rooms that are the kernel's when it has the call.
    packed: Vec<Packed>,
    /// What the arguments refer to.
    held: Vec<Arc<dyn Keeps>>,
    error: Option<Error>,
}

impl Builder {
    /// Of a function that is written like this.
    pub fn new(label: &str) -> Builder {
        let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
        let ask = CallAsk { label, ..CallAsk::default() };
        Builder { ask, packed: Vec::new(), held: Vec::new(), error: None }
    }

    /// An option.
    pub fn after<R>(&mut self, task: &Task<R>) {
        if let Some(job) = self.note(task.number()) {
            self.ask.after.push(job);
        }
    }

    /// An option.
    pub fn on(&mut self, engine: usize) {
        self.ask.on = Some(engine.try_into().unwrap_or(u32::MAX));
    }

    /// An option: how many GPUs its engine must have.
    pub fn gpu(&mut self, gpus: u32) {
        self.ask.gpu = gpus;
    }

    /// An option: 0 is that it is called once, even if its worker dies.
    pub fn retries(&mut self, retries: u32) {
        self.ask.retries = Some(retries);
    }

    /// An option.
    pub fn timeout(&mut self, limit: impl Seconds) {
        let millis = limit.seconds() * 1000.0;
        // A limit that is too short to be met isn't none.
        self.ask.timeout = if millis.is_nan() { 1 } else { (millis as u64).max(1) };
    }

    fn value(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        let (packed, mut held) = shared::collect(|| pack(put));
        self.held.append(&mut held);
        if let Some(packed) = self.note(packed) {
            self.ask.args.push(CallArg::Value(packed.bytes.clone()));
            self.packed.push(packed);
        }
    }

    fn task<R>(&mut self, task: &Task<R>) {
        if let Some(job) = self.note(task.job.as_ref().map_err(Error::clone)) {
            self.held.extend(job.held().iter().cloned());
            self.ask.args.push(CallArg::Job(job.number));
        }
    }

    /// The first error counts.
    fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(it) => Some(it),
            Err(error) => {
                self.error.get_or_insert(error);
                None
            }
        }
    }

    fn submit<R>(self, serve: extern "C" fn()) -> Task<R> {
        Task { job: self.begin(serve).map(Arc::new), result: PhantomData }
    }

    fn begin(mut self, serve: extern "C" fn()) -> Result<Job, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        (self.ask.object, self.ask.function) = place_of(serve)?;
        self.ask.own = self.packed.iter().filter_map(Packed::path).collect();
        self.ask.rooms = self.held.iter().map(|held| held.name().to_owned()).collect();
        let number = next_number();
        self.ask.job = number;
        ask(&Ask::Call(self.ask))?;
        self.packed.into_iter().for_each(Packed::release);
        Ok(Job { number, held: Mutex::new(self.held) })
    }
}

/// A number that no other call of the notebook has, whatever object makes it: then nobody has to be asked for one.
pub(crate) fn next_number() -> u64 {
    const COUNT_BITS: u32 = 24;
    static FIRST: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let first = FIRST.get_or_init(|| RandomState::new().hash_one(std::process::id()) << COUNT_BITS);
    FIRST_CALL | (first.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)))
}

macro_rules! calls {
    ($($call:ident $serve:ident [$($name:ident $arg:ident $how:ident $value:ident)*];)*) => {$(
        /// For [`call!`](crate::call!).
        #[doc(hidden)]
        #[allow(clippy::too_many_arguments)]
        pub fn $call<$($arg: Arg<$how>, $how,)* F, R: Wire>(
            mut call: Builder,
            $($name: ($arg, $how),)*
            function: F,
            _: CapturesNothing,
        ) -> (Task<R>, F)
        where
            F: Fn($($arg::Value),*) -> R + Copy + 'static,
        {
            $($name.0.pass(&mut call);)*
            let _ = &mut call;
            // What the arguments hold isn't dropped before the kernel has the call.
            (call.submit($serve::<$($arg::Value,)* F, R>), function)
        }

        /// What engines call.
        extern "C" fn $serve<$($value: Wire,)* F: Fn($($value),*) -> R + Copy, R: Wire>() {
            serve(|from| {
                let _ = &from;
                $(let $name = unpack::<$value>(from)?;)*
                // SAFETY: only `$call` names this, which was given the promise.
                let function = unsafe { conjured::<F>() };
                Ok(function($($name),*))
            });
        }
    )*};
}

calls! {
    call0 serve0 [];
    call1 serve1 [a A HowA TA];
    call2 serve2 [a A HowA TA b B HowB TB];
    call3 serve3 [a A HowA TA b B HowB TB c C HowC TC];
    call4 serve4 [a A HowA TA b B HowB TB c C HowC TC d D HowD TD];
    call5 serve5 [a A HowA TA b B HowB TB c C HowC TC d D HowD TD e E HowE TE];
    call6 serve6 [a A HowA TA b B HowB TB c C HowC TC d D HowD TD e E HowE TE g G HowG TG];
}

/// A panic has been reported by the hook, and must not leave a C function.
fn serve<R: Wire>(call: impl FnOnce(&mut &[u8]) -> Result<R, Error>) {
    let _ = catch(true, || {
        let argument = argument();
        let result = call(&mut argument.as_slice()).and_then(|result| pack(|to| result.put(to)));
        return_value(Ok(result.unwrap_or_else(|error| panic!("{error}"))));
    });
}

/// Sends what a function on an engine has returned, or why it wasn't called.
pub(crate) fn return_value(returned: Result<Packed, Error>) {
    let packed = returned.unwrap_or_else(|error| Packed::refusal(&error));
    let room = packed.path();
    if let Err(error) = ask(&Ask::Result(packed.bytes.clone(), room)) {
        panic!("the result couldn't be sent: {error}");
    }
    packed.release();
}
