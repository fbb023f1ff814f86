//! Whatever the text is, nothing panics and nothing runs for ever.

use super::super::{Device, Memory, Module};
use super::real::Random;
use std::cell::Cell;

const PTX: &str = include_str!("corpus.ptx");

/// Changes a few places of a text: leaves parts out, doubles them, or puts others there.
fn changed(lines: &[&str], random: &mut Random) -> String {
    let mut lines: Vec<String> = lines.iter().map(|it| (*it).to_owned()).collect();
    for _ in 0..=random.next() % 3 {
        let at = (random.next() % lines.len() as u64) as usize;
        let other = lines[(random.next() % lines.len() as u64) as usize].clone();
        let line = &mut lines[at];
        let mut words: Vec<&str> = line.split_inclusive(|it: char| !it.is_alphanumeric() && it != '_').collect();
        let others: Vec<&str> = other.split_inclusive(|it: char| !it.is_alphanumeric() && it != '_').collect();
        let (Some(word), Some(new)) = (words.len().checked_sub(1), others.len().checked_sub(1)) else { continue };
        let word = (random.next() % (word as u64 + 1)) as usize;
        let new = others[(random.next() % (new as u64 + 1)) as usize];
        let sign = words[word].trim_start_matches(|it: char| it.is_alphanumeric() || it == '_');
        let number = format!("{}{sign}", random.next() % 9);
        let numbered = format!("{}{}", words[word].trim_end_matches(|it: char| !it.is_alphabetic()), number);
        match random.next() % 30 {
            0 => _ = words.remove(word),
            1 => words.insert(word, new),
            2 => words[word] = new,
            3 => {
                words[word] = ["18446744073709551615, ", "-1;", "0", "{", "}", "é", "[", ".b8 ", "\"", "4294967295 "]
                    [(random.next() % 10) as usize]
            }
            4 => words.clear(),
            5 => words = others,
            // Another register, another width, another offset: that may well be code.
            _ => words[word] = &numbered,
        }
        *line = words.concat();
    }
    lines.join("\n")
}

#[test]
fn broken_modules_fail_in_an_orderly_way() {
    let rounds = std::env::var("CHORUS_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(400);
    let lines: Vec<&str> = PTX.lines().collect();
    let mut random = Random(7);
    let mut ran = 0;
    for _ in 0..rounds {
        let Ok(module) = Module::parse(&changed(&lines, &mut random)) else { continue };
        let mut memory = Memory::new(1 << 20);
        let Ok(device) = Device::load(module, &mut memory) else { continue };
        let items = memory.alloc(4096, 256).unwrap();
        let results = memory.alloc(4096, 256).unwrap();
        memory.write(items, &(0..512).flat_map(|_| random.next().to_le_bytes()).collect::<Vec<_>>()).unwrap();
        for name in ["switch", "wide", "dynamic", "sorted", "encoded", "structs", "primes", "moved"] {
            let asked = Cell::new(0);
            let stop = || {
                asked.set(asked.get() + 1);
                asked.get() > 20
            };
            ran += 1;
            _ = device.launch(&mut memory, &format!("run_{name}"), &[items, results, 5], 5, &stop);
        }
    }
    assert!(ran > rounds / 2, "only {ran} were run");
}
