//! What the library of dependencies has besides them, for workers and cells: `library/` has the texts, which are compiled
//! with the library.

use std::path::Path;

const FORKS: &str = include_str!("library/forks.rs");
const RAND: [&str; 2] = [include_str!("library/rand.rs"), include_str!("library/rand_0_8.rs")];
const TOKIO: &str = include_str!("library/tokio.rs");

/// All of it: a library with other texts is another one.
pub(crate) const TEXTS: [&str; 4] = [FORKS, RAND[0], RAND[1], TOKIO];

/// A crate that the library has, by the name it has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crate<'a> {
    pub name: &'a str,
    pub rlib: &'a Path,
}

impl Crate<'_> {
    /// The package's name and the hash that tells its builds apart.
    fn build(&self) -> Option<(&str, &str)> {
        self.rlib.file_stem()?.to_str()?.strip_prefix("lib")?.rsplit_once('-')
    }
}

/// The library's source.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub text: String,
    /// Whether cells find tokio's runtime there.
    pub has_runtime: bool,
}

/// The source of a library of these crates. What `compiles` refuses is left out: a version or set of features of a crate
/// that lacks what is called.
pub(super) fn source(crates: &[Crate<'_>], compiles: impl Fn(&str) -> bool) -> Source {
    let mut text: String = crates.iter().map(|it| format!("pub extern crate {};\n", it.name)).collect();
    let with = |what: &Crate<'_>, piece: String| {
        let alone = format!("extern crate {};\n{piece}", what.name);
        compiles(&alone).then_some(piece)
    };
    let of =
        |name: &'static str| crates.iter().filter(move |it| it.build().is_some_and(|(package, _)| package == name));
    let mut restored = Vec::new();
    for (index, it) in of("rand").enumerate() {
        let function = format!("chorus_reseed_{index}");
        let named = |text: &str| text.replace("chorus_reseed", &function).replace("rand::", &format!("{}::", it.name));
        if let Some(piece) = RAND.iter().find_map(|text| with(it, named(text))) {
            text.push_str(&piece);
            restored.push(function);
        }
    }
    // evcxr calls it by this name.
    let tokio = of("tokio").find(|it| it.name == "tokio").and_then(|it| {
        let (_, build) = it.build()?;
        with(it, TOKIO.replace("TOKIO", build))
    });
    text.extend(tokio.as_deref());
    text.push_str(FORKS);
    text.push_str(&format!("\nstatic RESTORED: &[fn()] = &[{}];\n", restored.join(", ")));
    Source { text, has_runtime: tokio.is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_compile_is_left_out() {
        let at = |name, rlib| Crate { name, rlib: Path::new(rlib) };
        let crates = [
            at("log", "/t/liblog-1f.rlib"),
            at("rand", "/t/librand-2f.rlib"),
            at("old", "/t/librand-3f.rlib"),
            at("tokio", "/t/libtokio-4f.rlib"),
        ];
        let all = source(&crates, |_| true);
        assert!(all.has_runtime && all.text.contains("\"chorus_runtime_of_4f\""));
        assert!(all.text.starts_with("pub extern crate log;\npub extern crate rand;\npub extern crate old;\n"));
        assert!(all.text.contains("old::rng()") && all.text.contains("&[chorus_reseed_0, chorus_reseed_1]"));
        let some = source(&crates, |text| !text.contains("old::"));
        assert!(some.has_runtime && some.text.contains("&[chorus_reseed_0]"));
        let none = source(&crates, |_| false);
        assert!(!none.has_runtime && !none.text.contains("chorus_tokio") && none.text.contains("&[];"));
        let renamed = source(&[at("other", "/t/libtokio-4f.rlib")], |_| true);
        assert!(!renamed.has_runtime);
    }
}
