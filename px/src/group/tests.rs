mod messages;

use super::member::{Broken, Call, Kind, Member};
use super::party::Party;
use super::segment::CHUNK;
use super::*;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A folder of its own for each test's group.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("px-group-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn info(&self, rank: usize, size: usize) -> Info {
        // The engines' ids aren't their ranks.
        let members = (0..size as u32).map(|rank| rank * 2 + 1).collect();
        let lines = vec![
            Stretch { first: 101, count: 50, cell: 0, line: 1 },
            Stretch { first: 1, count: 50, cell: 7, line: 1 },
        ];
        Info { reach: Reach::Shared(self.0.clone()), rank, members, is_call: false, lines }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Runs a program in so many members, which are threads, and returns what each makes of it. Who returns has left.
fn members<R: Send>(size: usize, program: impl Fn(&Member) -> R + Sync) -> Vec<R> {
    let folder = Folder::new();
    std::thread::scope(|scope| {
        let member = |rank| {
            let (folder, program) = (&folder, &program);
            move || {
                let member = Member::open(folder.info(rank, size), &folder.0).unwrap();
                let made = program(&member);
                leave(&folder.0, size, rank, None).unwrap();
                made
            }
        };
        let threads: Vec<_> = (0..size).map(|rank| scope.spawn(member(rank))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// The same on two hosts: every second member is where the memory isn't, and connections from there break, most of them soon.
fn parties<R: Send>(size: usize, program: impl Fn(&Party) -> R + Sync) -> Vec<R> {
    let folder = Folder::new();
    // Deputies find groups by their names.
    let (name, door) = ("group-1-1", folder.0.join(DOOR));
    let group = folder.0.join(name);
    std::fs::create_dir(&group).unwrap();
    let listener = UnixListener::bind(&door).unwrap();
    let (deputies, over) = (Deputies::new(&folder.0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                let (stream, _) = listener.accept().unwrap();
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let mut dice = Dice(number);
                let left = if number % 3 == 2 { 64 << 20 } else { dice.roll(300_000) };
                let deputies = &deputies;
                scope.spawn(move || deputies.serve(Unsteady { stream, left }));
            }
        });
        let member = |rank| {
            let (folder, group, door, program) = (&folder, &group, &door, &program);
            move || {
                let reach = match rank % 2 {
                    0 => Reach::Shared(group.clone()),
                    _ => Reach::Far(door.clone(), name.into()),
                };
                let made = {
                    let party = Party::open(Info { reach, ..folder.info(rank, size) }).unwrap();
                    program(&party)
                };
                leave(group, size, rank, None).unwrap();
                made
            }
        };
        let threads: Vec<_> = (0..size).map(|rank| scope.spawn(member(rank))).collect();
        let made: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        over.store(true, Ordering::SeqCst);
        UnixStream::connect(&door).unwrap();
        made.into_iter().map(|made| made.unwrap()).collect()
    })
}

/// A connection that breaks after so many bytes.
struct Unsteady {
    stream: UnixStream,
    left: usize,
}

impl Unsteady {
    fn go_on(&mut self, bytes: io::Result<usize>) -> io::Result<usize> {
        self.left = self.left.saturating_sub(*bytes.as_ref().unwrap_or(&0));
        if self.left == 0 { Err(io::ErrorKind::ConnectionReset.into()) } else { bytes }
    }
}

impl Read for Unsteady {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(to);
        self.go_on(read)
    }
}

impl Write for Unsteady {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(bytes);
        self.go_on(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn a_call(kind: Kind, line: u32) -> Call<'static> {
    Call { kind, root: None, of: "alloc::vec::Vec<f64>", count: None, how: None, line }
}

fn meet(member: &Member, kind: Kind, line: u32) -> Result<(), Broken> {
    member.exchange(&a_call(kind, line), &[], &mut |_| {}).inspect_err(|broken| member.give_up(broken))
}

fn meet_all(party: &Party, kind: Kind, line: u32) -> Result<(), Broken> {
    does(party, kind.name(), |party| party.exchange(&a_call(kind, line), &[], Whose::Nobodys, &mut |_| {}))
}

/// The next message, and its bytes.
fn receive(party: &Party, from: Option<usize>, of: &str, line: u32) -> Result<(post::Letter, Vec<u8>), Broken> {
    let mut bytes = Vec::new();
    Ok((party.receive(from, of, line, &mut bytes)?, bytes))
}

fn receive_near(member: &Member, from: Option<usize>) -> Result<(usize, Vec<u8>), Broken> {
    let mut bytes = Vec::new();
    Ok((member.receive(from, "u8", 0, &mut bytes)?.from, bytes))
}

fn text<R>(result: Result<R, Broken>) -> String {
    result.err().map(|broken| broken.text).unwrap_or_default()
}

/// Numbers without a pattern, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % below as u64) as usize
    }

    fn bytes(&mut self) -> Vec<u8> {
        let most = [1, 100, CHUNK + 2, 3 * CHUNK][self.roll(4)];
        let (length, first) = (self.roll(most), self.roll(251));
        (0..length).map(|n| (n * 7 + first) as u8).collect()
    }

    fn numbers(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.roll(1 << 30) as f64 / 1e3 - 3e5).collect()
    }
}

#[test]
fn random_programs_give_what_their_model_gives() {
    let mut dice = Dice(9);
    for round in 0..28 {
        let size = 1 + dice.roll(6);
        // What each member has for each step, by step and rank, and all can be seen by all.
        let steps: Vec<_> = (0..6)
            .map(|_| {
                let parts: Vec<Vec<_>> = (0..size).map(|_| (0..size).map(|_| dice.bytes()).collect()).collect();
                (dice.roll(9), dice.roll(size), dice.roll(90_000), parts)
            })
            .collect();
        let seed = dice.roll(1000) as u64;
        let numbers = |step: usize, rank: usize, count: usize| Dice(seed + (step * 31 + rank) as u64).numbers(count);
        parties(size, |member| {
            let me = member.rank();
            for (step, (kind, other, count, parts)) in steps.iter().enumerate() {
                let call = a_call(Kind::Allgather, step as u32);
                match kind {
                    0 => {
                        let all = values_of(member, &call, parts[me][0].clone(), 0..size).unwrap();
                        assert!(all.iter().zip(parts).all(|(had, part)| *had == part[0]), "round {round}");
                        // What isn't a vector of numbers is encoded.
                        let all = values_of(member, &call, Some(parts[me][0].clone()), *other..size).unwrap();
                        assert!(all.iter().zip(&parts[*other..]).all(|(had, part)| had.as_ref() == Some(&part[0])));
                    }
                    1 => {
                        let mut coming = Coming::in_place_of(parts[me][0].clone());
                        let mine = if me == *other { &*parts[me][0] } else { &[] };
                        member.exchange(&call, mine, Whose::Of(*other), &mut |part| coming.take(&part)).unwrap();
                        assert!(coming.value().unwrap() == parts[*other][0]);
                    }
                    2 => {
                        let got = parts_of(member, &call, &parts[me], Whose::All).unwrap();
                        assert!((0..size).all(|from| got[from] == parts[from][me]), "round {round}");
                        let mine: &[Vec<u8>] = if me == *other { &parts[me] } else { &[] };
                        assert!(parts_of(member, &call, mine, Whose::Of(*other)).unwrap() == [&*parts[*other][me]]);
                    }
                    6 => {
                        // Numbers that may not be cut.
                        let of = |from: usize, to: usize| vec![(from * 9 + to) as u128; parts[from][to].len() / 8];
                        let mine: Vec<Vec<u128>> = (0..size).map(|to| of(me, to)).collect();
                        let got = parts_of(member, &call, &mine, Whose::All).unwrap();
                        assert!((0..size).all(|from| got[from] == of(from, me)), "round {round}");
                    }
                    7 => {
                        let mut mine = numbers(step, me, *count);
                        let expected = (0..=me).map(|rank| numbers(step, rank, *count)).reduce(sum).unwrap();
                        let mut shown = ops::numbers(&mut mine, ops::id(&sum::<Vec<f64>>)).unwrap();
                        member.reduce(&Call { kind: Kind::Scan, ..call }, &mut shown).unwrap();
                        assert!(mine.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "round {round}");
                    }
                    3 => {
                        let mut mine = numbers(step, me, *count);
                        let mut all: Vec<_> = (0..size).map(|rank| Some(numbers(step, rank, *count))).collect();
                        let expected = tree(&mut all, 0..size, &sum).unwrap();
                        let mut shown = ops::numbers(&mut mine, ops::id(&sum::<Vec<f64>>)).unwrap();
                        member.reduce(&call, &mut shown).unwrap();
                        assert!(mine.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()), "round {round}");
                    }
                    kind => {
                        // To all, itself too, and only then from all.
                        for (to, part) in parts[me].iter().enumerate() {
                            member.send(to, "u8", step as u32, part).unwrap();
                        }
                        let mut left: Vec<usize> = (0..size).collect();
                        while let Some(&first) = left.first() {
                            let from = Some(first).filter(|_| *kind == 4);
                            let (letter, bytes) = receive(member, from, "u8", 0).unwrap();
                            assert!(bytes == parts[letter.from][me], "round {round}");
                            let place = left.iter().position(|from| *from == letter.from).unwrap();
                            left.remove(place);
                        }
                        // One that is faster mustn't be taken for one that sends in this step.
                        member.exchange(&call, &[], Whose::Nobodys, &mut |_| {}).unwrap();
                    }
                }
            }
        });
    }
}

#[test]
fn vectors_of_numbers_are_given_to_all() {
    for count in [0_usize, 1, 100_000] {
        let got = parties(3, |member| {
            // Another number of them on each.
            let mine = vec![member.rank() as u16 + 1; if member.rank() == 1 { count } else { member.rank() * 7 }];
            let call = Call { root: Some(1), ..a_call(Kind::Broadcast, 1) };
            let shown = bytes_of(&mine);
            assert!(matches!(shown, Cow::Borrowed(_)));
            let shown = if member.rank() == 1 { &*shown } else { &[] };
            let mut coming = Coming::<Vec<u16>>::new();
            member.exchange(&call, shown, Whose::Of(1), &mut |part| coming.take(&part)).unwrap();
            coming.value().unwrap()
        });
        assert!(got.iter().all(|got| *got == vec![2; count]));
    }
}

#[test]
fn who_leaves_ends_what_waits_for_it() {
    let said = parties(3, |member| match member.rank() {
        0 => String::new(),
        1 => text(meet_all(member, Kind::Allreduce, 105)),
        _ => text(receive(member, Some(0), "f64", 105)),
    });
    assert_eq!(said[1], "allreduce(Vec<f64>) can't end: engine 1 has come to the end of the cell without taking part");
    // Rank 0 may have left, or rank 1 because of it.
    assert_eq!(said[2], "recv(f64) from rank 0 can't end: engine 1 has come to the end of the cell without sending it");
}

#[test]
fn who_leaves_after_the_last_call_fails_nobody() {
    let folder = Folder::new();
    let member = Member::open(folder.info(0, 2), &folder.0).unwrap();
    let call = a_call(Kind::Barrier, 101);
    // All meet, and the other one leaves before this one has looked.
    member.memory.gate().turn.fetch_add(2, Ordering::SeqCst);
    leave(&folder.0, 2, 1, None).unwrap();
    assert_eq!(member.may_still_come(0, &call), Ok(()));
    assert!(
        text(member.may_still_come(1, &call)).contains("without taking part"),
        "but for the next turn it is missed"
    );
}

#[test]
fn the_first_failure_is_named_also_by_who_comes_late() {
    let said = members(3, |member| {
        let folder = member.folder.clone();
        if member.rank() == 2 {
            leave(&folder, 3, 2, Some("was killed by signal 9")).unwrap();
        }
        while member.rank() == 1 && member.memory.left(0).is_none() {
            std::thread::yield_now();
        }
        text(meet(member, Kind::Barrier, 101))
    });
    assert_eq!(said[0], "barrier() can't end: engine 5 was killed by signal 9");
    assert_eq!(said[0], said[1]);
}

#[test]
fn calls_that_differ_are_named_with_their_places() {
    let said = parties(4, |member| match member.rank() {
        2 => text(meet_all(member, Kind::Barrier, 103)),
        _ => text(meet_all(member, Kind::Allreduce, 5)),
    });
    let expected = "the engines of the group don't call the same: allreduce(Vec<f64>) at In[7] line 5 on engines 1, 3 and 7, \
                    barrier() at cell line 3 on engine 5";
    assert!(said.iter().all(|said| said == expected), "{said:?}");
}

#[test]
fn roots_and_lengths_that_differ_are_named() {
    let said = parties(2, |member| {
        let root = Some(member.rank());
        let mut values = vec![1.0; 3 + member.rank()];
        let mut numbers = ops::numbers(&mut values, ops::id(&max::<Vec<f64>>)).unwrap();
        let call = Call { root, count: Some(numbers.bytes.len() / 8), ..a_call(Kind::Reduce, 101) };
        text(member.reduce(&call, &mut numbers))
    });
    assert_eq!(
        said[0],
        "the engines of the group don't call the same: reduce(Vec<f64>, root 0, 3 values) at cell line 1 on engine 1, \
         reduce(Vec<f64>, root 1, 4 values) at cell line 1 on engine 3"
    );
}

#[test]
fn who_waits_long_for_who_works_is_left_alone() {
    parties(2, |member| match member.rank() {
        // Longer than it takes to look twice.
        0 => {
            std::thread::sleep(Duration::from_millis(700));
            meet_all(member, Kind::Barrier, 101).unwrap();
        }
        _ => meet_all(member, Kind::Barrier, 101).unwrap(),
    });
}

#[test]
fn info_comes_back_and_other_arguments_are_none() {
    let folder = Folder::new();
    let info = folder.info(1, 3);
    assert_eq!(Info::decode(&info.encode()), Some(info.clone()));
    let apart = Info { reach: Reach::Nowhere("they are on two hosts".into()), ..info.clone() };
    let far = Info { reach: Reach::Far("/run/door".into(), "group-1-2".into()), ..info };
    assert_eq!(Info::decode(&far.encode()), Some(far));
    assert_eq!(Info::decode(&apart.encode()), Some(apart.clone()));
    assert_eq!(Info::decode(&[]), None);
    assert_eq!(Info::decode(&apart.encode()[1..]), None);
    let of_call = Info { is_call: true, ..apart.clone() };
    assert_eq!(Info::decode(&of_call.encode()), Some(of_call));
    assert_eq!(decode_lines(&encode_lines(&apart.lines)), Some(apart.lines.clone()));
    assert_eq!(decode_lines(&[]), None);
    assert_eq!([apart.place(103), apart.place(9)], ["cell line 3", "In[7] line 9"]);
}

#[test]
fn only_who_takes_part_makes_the_groups_folder() {
    let whole = Folder::new();
    let folder = whole.0.join("group-1-1");
    leave(&folder, 2, 0, Some("died")).unwrap();
    assert!(!folder.exists());
    assert!(leave(&folder, 2, 2, None).is_err());
    let members = [0, 1].map(|rank| Member::open(whole.info(rank, 2), &folder).unwrap());
    leave(&folder, 2, 0, Some("died")).unwrap();
    assert_eq!(text(meet(&members[1], Kind::Barrier, 101)), "barrier() can't end: engine 1 died");
}

#[test]
fn a_call_is_called_a_call() {
    let folder = Folder::new();
    let member = Member::open(Info { is_call: true, ..folder.info(1, 2) }, &folder.0).unwrap();
    leave(&folder.0, 2, 0, None).unwrap();
    let said = text(meet(&member, Kind::Barrier, 101));
    assert_eq!(said, "barrier() can't end: engine 1 has come to the end of the call without taking part");
}

#[test]
fn types_are_named_without_paths() {
    let name = type_name::<Vec<(std::collections::HashMap<String, f64>, [u8; 3])>>();
    assert_eq!(short(name), "Vec<(HashMap<String, f64>, [u8; 3])>");
}

#[test]
fn what_lacks_something_is_no_value() {
    let part = |bytes| exchange::Part { rank: 0, at: 0, whole: 16, bytes };
    let mut coming = Coming::<Vec<u64>>::new();
    coming.take(&part(&[1; 8]));
    assert!(text(coming.value()).contains("8 bytes are missing"));
    let mut coming = Coming::<String>::new();
    coming.take(&part(&[1; 16]));
    assert!(text(coming.value()).contains("damaged"));
}

#[test]
fn what_is_too_large_is_the_callers_panic() {
    let _alone = HOOK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let place = |work: &dyn Fn()| {
        static PLACE: Mutex<Option<u32>> = Mutex::new(None);
        let thread = std::thread::current().id();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == thread {
                *PLACE.lock().unwrap() = info.location().filter(|it| it.file() == file!()).map(|it| it.line());
            }
        }));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_err();
        std::panic::set_hook(hook);
        PLACE.lock().unwrap().take()
    };
    assert_eq!(place(&|| _ = sum(vec![i32::MAX], vec![1])), Some(line!()));
    assert_eq!(place(&|| _ = product((1, 200_u8), (1, 200))), Some(line!()));
    assert_eq!(place(&|| _ = min(vec![1], vec![1, 2])), Some(line!()));
    assert_eq!(place(&|| ops::panics_here(|| _ = sum(vec![[i8::MAX]], vec![[1]]))), Some(line!()));
    assert_eq!(place(&|| ops::panics_here(|| panic!("another"))), Some(line!()));
}

#[test]
fn functions_are_told_apart() {
    let mut value = 3.0_f64;
    assert!(ops::numbers(&mut value, ops::id(&sum::<f64>)).is_some());
    assert!(ops::numbers(&mut value, ops::id(&|a: f64, b: f64| a + b)).is_none());
    assert!(ops::numbers(&mut value, ops::id(&sum::<f32>)).is_none());
    let borrowed = [1.0];
    assert!(ops::numbers(&mut value, ops::id(&|a: f64, _: f64| a + borrowed[0])).is_none());
    assert_eq!(sum((vec![1, 2], [3.5]), (vec![10, 20], [0.5])), (vec![11, 22], [4.0]));
}

#[test]
#[ignore = "measures"]
fn costs() {
    for size in [1, 2, 4, 16] {
        members(size, |member| {
            let rounds = 20_000;
            meet(member, Kind::Barrier, 1).unwrap();
            let begin = Instant::now();
            (0..rounds).for_each(|_| meet(member, Kind::Barrier, 1).unwrap());
            let barrier = begin.elapsed() / rounds;
            let mut value = 1.0_f64;
            let begin = Instant::now();
            for _ in 0..rounds {
                let mut numbers = ops::numbers(&mut value, ops::id(&sum::<f64>)).unwrap();
                member.reduce(&a_call(Kind::Allreduce, 1), &mut numbers).unwrap();
            }
            let small = begin.elapsed() / rounds;
            let mut values = vec![1.0_f64; 1_250_000];
            let begin = Instant::now();
            for _ in 0..10 {
                let mut numbers = ops::numbers(&mut values, ops::id(&max::<Vec<f64>>)).unwrap();
                member.reduce(&a_call(Kind::Allreduce, 1), &mut numbers).unwrap();
            }
            let large = begin.elapsed() / 10;
            if member.rank() == 0 {
                println!("{size} members: barrier {barrier:?}, allreduce of 8 bytes {small:?}, of 10 MB {large:?}");
            }
        });
    }
}

/// Combines vectors as `allreduce` does.
fn allreduce_by(member: &Party, mut value: Vec<i32>, op: std::any::TypeId) -> Result<Vec<i32>, Broken> {
    does(member, "allreduce", |member| {
        let mut numbers = ops::numbers(&mut value, op).unwrap();
        let call = Call { how: Some(numbers.how), ..a_call(Kind::Allreduce, 101) };
        member.reduce(&call, &mut numbers)
    })?;
    Ok(value)
}

/// Of the tests that set the panic's hook, which all have in common, one at a time does.
static HOOK: Mutex<()> = Mutex::new(());

#[test]
fn a_panic_in_between_ends_the_group_even_if_it_is_caught() {
    let _alone = HOOK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let made = parties(2, |member| {
        // In the piece that the second member combines, the sum is too large.
        let mut value = vec![1; 8192];
        value[8000] = i32::MAX;
        let sum = || allreduce_by(member, value, ops::id(&sum::<Vec<i32>>));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(sum));
        (matches!(done, Ok(Ok(_))), text(meet_all(member, Kind::Barrier, 102)))
    });
    std::panic::set_hook(hook);
    assert!(!made[0].0 && !made[1].0, "{made:?}");
    assert!(
        made.iter().all(|(_, next)| next.contains("can't begin: this engine's part in the cell's group is over")),
        "{made:?}"
    );
}

#[test]
fn other_functions_are_another_call() {
    let made = parties(2, |member| {
        let op = if member.rank() == 0 { ops::id(&sum::<Vec<i32>>) } else { ops::id(&max::<Vec<i32>>) };
        text(allreduce_by(member, vec![10; 8192], op))
    });
    assert!(made[0].contains("px::sum) at cell line 1 on engine 1") && made[0].contains("px::max) at"), "{made:?}");
}
