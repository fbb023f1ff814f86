//! A host whose engines are threads of the test, with pieces and delays by chance.

use crate::host::{Host, attach_in_test};
use crate::link::{
    Answer, Ask, Done, GpuServe, Layout, MapAsk, Message as _, OnError, Piece, Results, Serve, Taking, USE_AT,
    passage_name, room_name,
};
use crate::map::rooms::open;
use crate::sys::file_in_memory;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::thread::JoinHandle;

/// Numbers by chance, but the same in each run.
#[derive(Clone)]
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// How the next map of this thread is run.
#[derive(Clone)]
pub struct Setting {
    pub engines: usize,
    pub threads: u32,
    pub most: u64,
    pub seed: u64,
    pub retries: u32,
    pub on_error: OnError,
    pub timeout: u64,
    /// What engines compile on their own.
    pub second: Option<Arc<dyn Fn(usize) + Send + Sync>>,
    /// Only so many items are shared out.
    pub only: u64,
    /// Engines that keep results hear that the map didn't come to its end.
    pub is_ended: bool,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting {
            engines: 3,
            threads: 1,
            most: 1000,
            seed: 1,
            retries: 0,
            on_error: OnError::Stop,
            timeout: 0,
            second: None,
            only: u64::MAX,
            is_ended: false,
        }
    }
}

struct Job {
    map: MapAsk,
    setting: Setting,
    state: Mutex<State>,
}

struct State {
    next: u64,
    chance: Chance,
    done: Vec<Done>,
    failed: Option<String>,
    reports: u64,
    ended: usize,
}

thread_local! {
    static SETTING: RefCell<Setting> = RefCell::default();
    static ENGINE: RefCell<Option<Arc<Job>>> = const { RefCell::new(None) };
}

type Running = (Arc<Job>, Vec<JoinHandle<()>>);

/// A job's number, its engines while nobody has waited for them, and the job from then on.
type Entry = (u64, Option<Running>, Option<Arc<Job>>);

static JOBS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());
/// Rooms and how many hold each.
static FILES: Mutex<Option<HashMap<String, (File, usize)>>> = Mutex::new(None);
static NUMBER: AtomicU64 = AtomicU64::new(1);

pub static HOST: Host = Host {
    version: crate::host::HOST_VERSION,
    rank: AtomicU64::new(0),
    size: AtomicU64::new(1),
    panicked: no_panic,
    displays: AtomicU64::new(0),
    ask: answer,
    argument,
    group: no_group,
    parallel,
    gpu: super::gpu::gpu,
    runs: AtomicU64::new(1),
    variables: AtomicPtr::new(std::ptr::null_mut()),
    failed: AtomicBool::new(false),
};

/// Maps of this thread run like this from now on.
pub fn with(setting: Setting) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| attach_in_test(&HOST));
    SETTING.set(setting);
}

/// How many rooms there are of the paths that are named.
pub fn rooms_of(paths: &[String]) -> usize {
    let files = FILES.lock().expect("no test panics here");
    files.iter().flat_map(HashMap::keys).filter(|path| paths.contains(path)).count()
}

/// The rooms of the latest map of this thread.
pub fn last_rooms() -> Vec<String> {
    LAST.with_borrow(Clone::clone)
}

thread_local! {
    static LAST: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

extern "C" fn no_panic(_: &crate::host::PanicReport) {}

extern "C" fn no_group(_: extern "C" fn(*mut c_void, *const u8, usize), _: *mut c_void) {}

extern "C" fn argument(take: extern "C" fn(*mut c_void, *const u8, usize), context: *mut c_void) {
    let Some(job) = ENGINE.with_borrow(Clone::clone) else {
        return crate::task::tests::argument(|bytes| take(context, bytes.as_ptr(), bytes.len()));
    };
    let serve = Serve {
        rooms: job.map.rooms.clone(),
        input: job.map.input.clone(),
        constants: job.map.constants.clone(),
        retries: job.setting.retries,
        on_error: job.setting.on_error,
        timeout: job.setting.timeout,
        threads: job.setting.threads,
        gpu: Some(job.map.gpu.clone()).filter(|gpu| !gpu.is_empty()).map(|constants| GpuServe {
            module: vec![],
            layout: Layout { item: (8, 8), result: (8, 8) },
            constants,
        }),
    };
    let bytes = serve.encode();
    take(context, bytes.as_ptr(), bytes.len());
}

struct Context(*mut c_void);
// SAFETY: px passes a pointer to something that threads may share.
unsafe impl Sync for Context {}
impl Context {
    fn get(&self) -> *mut c_void {
        self.0
    }
}

extern "C" fn parallel(threads: usize, count: usize, work: extern "C" fn(*mut c_void, usize), context: *mut c_void) {
    let (next, context) = (AtomicU64::new(0), Context(context));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed) as usize;
                    if n >= count {
                        return;
                    }
                    work(context.get(), n);
                }
            });
        }
    });
}

extern "C" fn answer(
    bytes: *const u8,
    length: usize,
    answered: extern "C" fn(*mut c_void, *const u8, usize),
    context: *mut c_void,
) -> bool {
    // SAFETY: what px asks.
    let bytes = unsafe { std::slice::from_raw_parts(bytes, length) };
    let answer = match Ask::decode(bytes).expect("px asks what it can encode") {
        ask if crate::task::tests::is_of_call(&ask) => crate::task::tests::answer(ask),
        Ask::Next(done) => next(done),
        Ask::Report(done) => {
            enter(done);
            Answer::Ok
        }
        Ask::Room(bytes) => Answer::Room(room(bytes)),
        Ask::Passage(_) => Answer::Room(passage()),
        Ask::Map(map) => Answer::Job(begin(map)),
        Ask::SoFar(job) => so_far(job),
        Ask::Wait { job, millis: 0 } => wait(job, false),
        Ask::Wait { job, .. } => wait(job, true),
        Ask::Take { maps, any } => take(if any { &maps } else { &maps[..1] }),
        Ask::Cancel(_) => Answer::Ok,
        Ask::Forget(job) => {
            let mut jobs = JOBS.lock().expect("no test panics here");
            let at = jobs.iter().position(|(number, ..)| *number == job).expect("a job that is there");
            let (_, running, map) = jobs.swap_remove(at);
            drop(jobs);
            if let Some((job, threads)) = running {
                threads.into_iter().for_each(|thread| drop(thread.join()));
                free(&job.map.rooms);
            }
            if let Some(job) = map {
                free(&job.map.rooms);
            }
            Answer::Ok
        }
        Ask::Free(path) | Ask::Passed(path) => {
            free(&[path]);
            Answer::Ok
        }
        Ask::Hold(path) => match FILES.lock().expect("no test panics here").get_or_insert_default().get_mut(&path) {
            Some((_, holders)) => {
                *holders += 1;
                Answer::Ok
            }
            None => Answer::Gone,
        },
        Ask::Call(_) | Ask::Where(_) | Ask::Result(..) | Ask::Engines(_) | Ask::WaitAny(_) => {
            unreachable!("they are answered above")
        }
        Ask::CallOn(..) | Ask::WaitAll(_) | Ask::ForgetAll(_) | Ask::Defined { .. } => {
            unreachable!("they are answered above")
        }
        Ask::Joined => unreachable!("nobody has a group here"),
    };
    let bytes = answer.encode();
    answered(context, bytes.as_ptr(), bytes.len());
    true
}

fn free(paths: &[String]) {
    let mut files = FILES.lock().expect("no test panics here");
    let files = files.get_or_insert_default();
    for path in paths {
        let (_, holders) = files.get_mut(path).expect("it is freed once");
        *holders -= 1;
        if *holders == 0 {
            files.remove(path);
        }
    }
}

fn room(bytes: u64) -> String {
    let id = format!("px-test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let file = file_in_memory(&id);
    file.set_len(bytes).expect("there is space");
    let path = room_name(file.as_raw_fd(), &id);
    FILES.lock().expect("no test panics here").get_or_insert_default().insert(path.clone(), (file, 1));
    path
}

fn passage() -> String {
    let id = format!("px-test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let file = file_in_memory(&id);
    file.write_all_at(&1u64.to_le_bytes(), USE_AT).expect("there is space");
    let path = passage_name(file.as_raw_fd(), &id, 1);
    FILES.lock().expect("no test panics here").get_or_insert_default().insert(path.clone(), (file, 1));
    path
}

fn begin(map: MapAsk) -> u64 {
    let setting = SETTING.with_borrow(Clone::clone);
    LAST.set(map.rooms.clone());
    if let Some(room) = map.rooms.last() {
        crate::map::tell_verdict(room, !setting.is_ended).expect("the room is there");
    }
    let state = State { next: 0, chance: Chance(setting.seed), done: Vec::new(), failed: None, reports: 0, ended: 0 };
    let job = Arc::new(Job { map, setting, state: Mutex::new(state) });
    let variables = AtomicPtr::new(crate::task::tests::variables());
    let threads = (0..job.setting.engines).map(|engine| {
        let (job, variables) = (Arc::clone(&job), AtomicPtr::new(variables.load(Ordering::Relaxed)));
        std::thread::spawn(move || {
            ENGINE.set(Some(Arc::clone(&job)));
            crate::task::tests::with_variables(variables.into_inner(), || match &job.setting.second {
                Some(second) => second(engine),
                None => function(&job.map)(),
            });
            job.state.lock().expect("no test panics here").ended += 1;
        })
    });
    let threads = threads.collect();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    JOBS.lock().expect("no test panics here").push((number, Some((job, threads)), None));
    number
}

fn function(map: &MapAsk) -> extern "C" fn() {
    let (object, base) = super::super::handle::place_of(marker)
        .map(|(object, at)| (object, marker as *const () as u64 - at))
        .expect("it is loaded");
    assert_eq!(map.object, object);
    // SAFETY: the offset is that of a function of this type in this object.
    unsafe { std::mem::transmute::<usize, extern "C" fn()>((base + map.function) as usize) }
}

pub extern "C" fn marker() {}

/// Takes note of what an engine has done.
fn enter(done: Vec<Done>) -> Arc<Job> {
    let job = ENGINE.with_borrow(Clone::clone).or_else(watched).expect("only engines ask for work");
    let mut state = job.state.lock().expect("no test panics here");
    state.reports += 1;
    for failure in done.iter().flat_map(|done| &done.failed.first).filter(|_| job.setting.timeout > 0) {
        // Only a process that ends now sees this.
        let before = failure.item - 1;
        let mut all = state.done.iter().chain(&done);
        let reported = all.any(|done| (done.first..done.first + done.count).contains(&before));
        eprintln!("{failure:?}, the one before is reported: {reported}");
    }
    for done in &done {
        if let (Some(failure), OnError::Stop) = (done.failed.first.first(), job.setting.on_error) {
            let value = failure.value.as_deref().unwrap_or("?");
            state.failed = Some(format!("item {} ({value}): {}", failure.item, failure.message));
        }
    }
    // Who keeps results of its own items says when it has them all.
    state.done.extend(done.into_iter().filter(|done| done.count > 0 || !done.failed.is_empty()));
    drop(state);
    job
}

fn next(done: Vec<Done>) -> Answer {
    let job = enter(done);
    let mut state = job.state.lock().expect("no test panics here");
    if state.failed.is_some() {
        return Answer::Failed("the map is over".into());
    }
    let mut pieces = Vec::new();
    for _ in 0..=state.chance.below(3) {
        let items = job.map.items.min(job.setting.only);
        let left = items - state.next;
        if left > 0 {
            let count = (1 + state.chance.below(job.setting.most)).min(left);
            pieces.push(Piece { first: state.next, count, chunk: 1 });
            state.next += count;
        }
    }
    if state.chance.below(4) == 0 {
        pieces.reverse();
    }
    Answer::Work(pieces)
}

/// The threads beside that of an engine ask, too. Of maps that have some there is one at a time.
fn watched() -> Option<Arc<Job>> {
    let jobs = JOBS.lock().expect("no test panics here");
    let mut jobs = jobs.iter().flat_map(|(_, running, ended)| running.as_ref().map(|(job, _)| job).or(ended.as_ref()));
    let is_streamed = |job: &Job| job.map.wishes.as_ref().is_some_and(|wishes| wishes.streamed);
    jobs.find(|job| job.setting.timeout > 0 || is_streamed(job)).cloned()
}

/// To be held by a test that has streams.
pub fn streams() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Takes from one of these that has something, or that has come to its end. It isn't always the same that is looked at first.
fn take(maps: &[Taking]) -> Answer {
    let first = maps.iter().map(|map| map.taken as usize).sum::<usize>();
    loop {
        let mut all = (first..first + maps.len()).map(|at| at % maps.len());
        if let Some(answer) = all.find_map(|at| take_of(maps[at], at as u64)) {
            return answer;
        }
        std::thread::yield_now();
    }
}

/// What was reported behind what was taken, one at a time; by items if they are to come in order.
fn take_of(Taking { job: number, taken }: Taking, map: u64) -> Option<Answer> {
    let (before, answer) = (taken as usize, |done| Answer::Taken { map, done });
    let jobs = JOBS.lock().expect("no test panics here");
    let job = jobs.iter().find(|(job, ..)| *job == number).and_then(|(_, running, _)| running.as_ref());
    let job = Arc::clone(&job.expect("a map that nobody has waited for").0);
    drop(jobs);
    let ordered = job.map.wishes.as_ref().expect("how it is run").ordered;
    let mut state = job.state.lock().expect("no test panics here");
    if ordered {
        state.done.sort_by_key(|done| done.first);
    }
    let items: u64 = state.done.iter().take(before).map(|done| done.count).sum();
    match state.done.get(before) {
        Some(done) if !ordered || done.first == items => Some(answer(vec![done.clone()])),
        _ if state.ended == job.setting.engines => {
            Some(state.failed.clone().map_or_else(|| answer(vec![]), Answer::Failed))
        }
        _ => None,
    }
}

fn wait(number: u64, long: bool) -> Answer {
    let mut jobs = JOBS.lock().expect("no test panics here");
    let at = jobs.iter().position(|(job, ..)| *job == number).expect("a job that is there");
    let (_, running, ended) = &mut jobs[at];
    if let Some((_, threads)) = running
        && !long
        && !threads.iter().all(JoinHandle::is_finished)
    {
        return Answer::Running { done: 0, items: 0 };
    }
    let running = running.take();
    if let Some((job, _)) = &running {
        *ended = Some(Arc::clone(job));
    }
    let job = Arc::clone(ended.as_ref().expect("it was waited for"));
    drop(jobs);
    for thread in running.into_iter().flat_map(|(_, threads)| threads) {
        thread.join().expect("engines don't panic");
    }
    let mut state = job.state.lock().expect("no test panics here");
    if let Some(failed) = &state.failed {
        return Answer::Failed(failed.clone());
    }
    told(&job, &mut state)
}

fn so_far(number: u64) -> Answer {
    let jobs = JOBS.lock().expect("no test panics here");
    let (_, running, ended) = jobs.iter().find(|(job, ..)| *job == number).expect("a job that is there");
    let job = Arc::clone(running.as_ref().map(|(job, _)| job).or(ended.as_ref()).expect("a map"));
    drop(jobs);
    let mut state = job.state.lock().expect("no test panics here");
    told(&job, &mut state)
}

/// What is done.
fn told(job: &Job, state: &mut State) -> Answer {
    state.done.sort_by_key(|done| done.first);
    let mut bytes = Vec::new();
    state.done.iter().for_each(|done| done.write(&mut bytes));
    let results = job.map.rooms.last().cloned().expect("results have a room");
    let path = room(bytes.len() as u64);
    open(&path).expect("it is there").write_all_at(&bytes, 0).expect("there is space");
    Answer::Ended { path, bytes: bytes.len() as u64, results }
}

/// What engines reported of the latest map that is still there.
pub fn reports() -> (u64, Vec<Done>) {
    let jobs = JOBS.lock().expect("no test panics here");
    let rooms = last_rooms();
    let job = jobs.iter().filter_map(|(_, running, ended)| ended.as_ref().or(running.as_ref().map(|(job, _)| job)));
    let job = job.into_iter().find(|job| job.map.rooms == rooms).expect("a map of this thread");
    let state = job.state.lock().expect("no test panics here");
    (state.reports, state.done.clone())
}

/// Whether results went in place.
pub fn in_place(done: &Done) -> bool {
    done.results == Results::InPlace
}
