//! What a program needs of the host that it is sent to, as lines of shell that look for it.

use chorus_remote::outpost::FAILED;
use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Architecture, Endianness, Object as _};
use std::fmt::Write as _;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Which machine, as `uname -m` says it.
    machine: Option<&'static str>,
    /// Which version of glibc 2, if it links that.
    glibc: Option<u32>,
}

impl Needs {
    /// Of the program with these bytes. What isn't known isn't looked for.
    pub fn of(program: &[u8]) -> Needs {
        let Ok(file) = ElfFile64::<Endianness>::parse(program) else { return Needs::default() };
        let machine = match file.architecture() {
            Architecture::X86_64 => Some("x86_64"),
            Architecture::Aarch64 => Some("aarch64"),
            Architecture::Riscv64 => Some("riscv64"),
            _ => None,
        };
        Needs { machine, glibc: newest_glibc(&file) }
    }

    /// Commands that end a script with a sentence if the host hasn't it.
    pub fn look(&self) -> String {
        let mut script = String::new();
        // Writing to a `String` can't fail.
        if let Some(machine) = self.machine {
            _ = write!(
                script,
                "m=$(uname -m); [ \"$m\" = {machine} ] || {{ echo {FAILED} \"this host is $m, and the engines' program is for \
                 {machine}\"; exit 1; }}; "
            );
        }
        if let Some(version) = self.glibc {
            _ = write!(
                script,
                "if command -v getconf > /dev/null; then v=$(getconf GNU_LIBC_VERSION 2> /dev/null); \
                 [ -n \"$v\" ] && [ \"${{v##*.}}\" -ge {version} ] || {{ echo {FAILED} \"this host has ${{v:-no glibc}}, and \
                 the engines' program needs glibc 2.{version}: build Chorus on a host with no newer one than here\"; exit 1; \
                 }}; fi; "
            );
        }
        script
    }
}

/// The newest version of glibc that a file's symbols have.
fn newest_glibc(file: &ElfFile64<'_>) -> Option<u32> {
    let (endian, data) = (file.endian(), file.data());
    let sections = file.elf_header().sections(endian, data).ok()?;
    let (mut needed, link) = sections.gnu_verneed(endian, data).ok()??;
    let strings = sections.strings(endian, data, link).ok()?;
    let mut newest = None;
    while let Ok(Some((_, mut versions))) = needed.next() {
        while let Ok(Some(version)) = versions.next() {
            let name = version.name(endian, strings).ok().and_then(|name| std::str::from_utf8(name).ok());
            let minor = name.and_then(|name| name.strip_prefix("GLIBC_2.")?.split('.').next()?.parse().ok());
            newest = newest.max(minor);
        }
    }
    newest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn says(needs: &Needs) -> String {
        let script = format!("{}echo it has all", needs.look());
        let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn this_host_has_what_this_program_needs_and_not_what_another_needs() {
        let own = Needs::of(&std::fs::read(std::env::current_exe().unwrap()).unwrap());
        assert!(own.machine.is_some(), "{own:?}");
        assert_eq!(says(&own), "it has all", "{own:?}");
        let other = Needs { machine: Some("vax"), ..own.clone() };
        assert!(says(&other).starts_with(&format!("{FAILED} this host is ")), "{}", says(&other));
        if own.glibc.is_some() {
            let said = says(&Needs { glibc: Some(9999), ..own });
            assert!(said.contains("this host has glibc 2.") && said.contains("needs glibc 2.9999"), "{said}");
        }
        assert_eq!(says(&Needs::default()), "it has all");
    }

    #[test]
    fn what_is_no_program_needs_nothing() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for bytes in [&b"#!/bin/sh\n"[..], &[], &own[..200], &own[..own.len().min(9000)]] {
            _ = Needs::of(bytes).look();
        }
        assert_eq!(Needs::of(b"#!/bin/sh\n"), Needs::default());
    }
}
