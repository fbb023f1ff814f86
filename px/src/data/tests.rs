use super::*;
use crate::link::{USE_AT, passage_name, room_name};
use crate::sys::file_in_memory;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// Rooms of a variable, for as many engines.
struct Rooms(Vec<(File, String)>);

impl Rooms {
    fn new(count: usize) -> Rooms {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let room = |_| {
            let id = format!("px-data-test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
            let file = file_in_memory(&id);
            let name = room_name(file.as_raw_fd(), &id);
            (file, name)
        };
        Rooms((0..count).map(room).collect())
    }

    fn paths(&self) -> Vec<String> {
        self.0.iter().map(|(_, name)| name.clone()).collect()
    }

    /// The variable as the notebook sees it.
    fn here(&self, step: Step) -> Variable {
        Variable { step, threads: 2, rooms: self.paths(), own: None }
    }

    /// The variable as this engine sees it.
    fn there(&self, step: Step, engine: usize) -> Variable {
        Variable { own: Some(engine), ..self.here(step) }
    }
}

fn numbers(count: usize) -> Vec<f64> {
    (0..count).map(|n| f64::from_bits((n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect()
}

fn bits(numbers: &[f64]) -> Vec<u64> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// From nothing to what is mapped, with seams between pages.
const COUNTS: [usize; 6] = [0, 1, 511, 100_003, 1_000_000, 4_800_001];

#[test]
fn numbers_go_to_all() {
    for count in COUNTS {
        let (rooms, sent) = (Rooms::new(3), numbers(count));
        rooms.here(Step::All).put(&sent, &[]).unwrap();
        let taken: Vec<f64> = read_items(&rooms.paths()).unwrap();
        assert_eq!(bits(&taken), bits(&sent), "{count} numbers");
    }
}

#[test]
fn what_was_taken_is_its_takers_own() {
    let (rooms, sent) = (Rooms::new(1), numbers(2_000_000));
    rooms.here(Step::All).put(&sent, &[]).unwrap();
    let mut one: Vec<f64> = read_items(&rooms.paths()).unwrap();
    one.iter_mut().for_each(|number| *number = 1.0);
    let mut other: Vec<f64> = read_items(&rooms.paths()).unwrap();
    drop(rooms);
    assert_eq!(bits(&other), bits(&sent));
    other.extend(&one);
    other.shrink_to_fit();
    assert_eq!((bits(&other[..2_000_000]), other[2_000_000]), (bits(&sent), 1.0));
    other.truncate(3);
    other.shrink_to_fit();
    assert_eq!(bits(&other), bits(&sent[..3]));
}

#[test]
fn a_passage_stays_as_it_is_while_somebody_reads_it() {
    let file = file_in_memory("px-data-passage");
    file.write_all_at(&3u64.to_le_bytes(), USE_AT).unwrap();
    let name = |number| passage_name(file.as_raw_fd(), "px-data-passage", number);
    let is_open = |name: String| RoomFile::open(&name).is_ok();
    assert!(is_open(name(3)) && !is_open(name(2)) && !is_open(room_name(file.as_raw_fd(), "px-data")));
    let is_free = || file.try_lock().is_ok_and(|()| file.unlock().is_ok());
    let there = Variable { step: Step::Own, threads: 2, rooms: vec![name(3)], own: Some(0) };
    for count in [2_000_000, 800_000, 5] {
        let sent = numbers(count);
        there.put(&sent, &[]).unwrap();
        let taken: Vec<f64> = there.take().unwrap();
        assert_eq!(bits(&taken), bits(&sent), "{count} numbers");
        assert_eq!(is_free(), count == 5, "{count} numbers are read in place if there are many");
        let (mut copy, mut taken) = (taken.clone(), taken);
        copy[0] = 1.0;
        taken[1] = 2.0;
        assert!(count == 5 || !is_free(), "one's own copy of a page doesn't end it");
        drop(taken);
        assert!(is_free());
    }
    let blocks = || file.metadata().unwrap().blocks();
    let before = blocks();
    trim(&name(3));
    assert!(before > 20_000 && blocks() <= 16, "{} blocks", blocks());
    assert_eq!(bits(&there.take().unwrap()), bits(&numbers(5)));
}

#[test]
fn parts_are_put_together_again() {
    for count in COUNTS {
        let (rooms, sent) = (Rooms::new(4), numbers(count));
        let (first, second) = sent.split_at(count / 3);
        rooms.here(Step::Split).put(first, second).unwrap();
        let part = |engine| read_items::<f64>(rooms.there(Step::Own, engine).to_take().unwrap()).unwrap();
        let parts: Vec<Vec<f64>> = (0..4).map(part).collect();
        assert!(parts.iter().all(|part| part.len().abs_diff(count / 4) <= 1), "{count} numbers");

        let back = Rooms::new(4);
        for step in [Step::Count, Step::Place] {
            (0..4).rev().for_each(|engine| back.there(step, engine).put(&parts[engine], &[]).unwrap());
        }
        let gathered: Vec<f64> = read_items(&back.paths()).unwrap();
        assert_eq!(bits(&gathered), bits(&sent), "{count} numbers");
    }
}

#[test]
fn items_are_dealt_by_turns() {
    let dealt = |engine: usize| {
        let rooms = Rooms::new(3);
        let names = ["a", "b", "c", "d", "e", "f", "g"].map(str::to_owned);
        rooms.here(Step::Deal).put(&names[..2], &names[2..]).unwrap();
        read_items::<String>(rooms.there(Step::Own, engine).to_take().unwrap()).unwrap().concat()
    };
    assert_eq!([dealt(0), dealt(1), dealt(2)], ["adg", "be", "cf"]);
    let (rooms, sent) = (Rooms::new(3), numbers(700_000));
    rooms.here(Step::Deal).put(&sent, &[]).unwrap();
    let last: Vec<f64> = read_items(rooms.there(Step::Own, 2).to_take().unwrap()).unwrap();
    assert_eq!(bits(&last), bits(&sent.iter().copied().skip(2).step_by(3).collect::<Vec<f64>>()));
}

#[test]
fn other_values_are_encoded() {
    let table: BTreeMap<String, Option<(u8, Vec<char>)>> =
        [("a".to_owned(), None), ("b".to_owned(), Some((3, vec!['x', 'ß'])))].into();
    let rooms = Rooms::new(2);
    rooms.here(Step::All).put_whole(&table).unwrap();
    assert_eq!(read_whole::<BTreeMap<String, Option<(u8, Vec<char>)>>>(&rooms.paths()).unwrap(), table);

    let words: Vec<String> = (0..300_000).map(|n| format!("word {n}")).collect();
    for step in [Step::All, Step::Split] {
        let rooms = Rooms::new(3);
        rooms.here(step).put(&words, &[]).unwrap();
        assert_eq!(read_items::<String>(&rooms.paths()).unwrap(), words);
    }
    let rooms = Rooms::new(2);
    for step in [Step::Count, Step::Place] {
        rooms.there(step, 1).put(&words[5..], &[]).unwrap();
        rooms.there(step, 0).put(&words[..5], &[]).unwrap();
    }
    assert_eq!(read_items::<String>(&rooms.paths()).unwrap(), words);
    let rooms = Rooms::new(2);
    rooms.here(Step::Split).put(&[(), (), ()], &[]).unwrap();
    assert_eq!(read_items::<()>(&rooms.paths()).unwrap().len(), 3);
}

#[test]
#[expect(clippy::needless_borrow, reason = "as the macros write it, which don't know the type")]
fn a_form_is_found_by_the_type() {
    fn is_items(_: &Items) {}
    fn is_whole(_: &Whole) {}
    let deque = VecDeque::from([1]);
    is_items(&(&&Probe::of(&vec![1])).form());
    is_items(&(&&Probe::<Vec<String>>::any()).form());
    is_whole(&(&&Probe::of(&deque)).form());
    is_whole(&(&&Probe::of(&3)).form());
}

#[test]
fn what_isnt_there_or_is_another_type_isnt_taken() {
    let rooms = Rooms::new(1);
    assert_eq!(read_items::<f64>(&rooms.paths()), Err(Error::Damaged));
    rooms.here(Step::All).put(&[1u64, 2], &[]).unwrap();
    assert_eq!(read_items::<u8>(&rooms.paths()), Err(Error::Damaged));
    assert_eq!(read_items::<String>(&rooms.paths()), Err(Error::Damaged));
    assert_eq!(read_whole::<u64>(&rooms.paths()), Err(Error::Damaged));
    let file = crate::map::rooms::open(&rooms.paths()[0]).unwrap();
    file.set_len(PAGE as u64 + 20).unwrap();
    let file = RoomFile::Here(file);
    assert_eq!(read_items::<u64>(&rooms.paths()), Err(Error::Damaged));
    Head { plain: true, size: 8, items: u64::MAX, start: PAGE as u64, bytes: 16 }.write("", &file).unwrap();
    assert!(read_items::<u64>(&rooms.paths()).is_err());
    Head { plain: false, size: 24, items: 1 << 60, start: PAGE as u64, bytes: 8 }.write("", &file).unwrap();
    assert_eq!(read_items::<String>(&rooms.paths()), Err(Error::Damaged));
    let missing = Variable { rooms: rooms.paths(), ..rooms.here(Step::Own) };
    assert!(matches!(missing.to_take(), Err(Error::Failed(_))));
}
