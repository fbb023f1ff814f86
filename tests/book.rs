//! Builds the book from `docs/` with mdBook, and follows all links of its pages, and those of the README, to their ends.
//!
//! mdBook comes from the PATH if it is there in this version. Else it is installed below the target folder, once: that takes
//! 110 s of the processors' time, and the package registry. Nothing outside the target folder is changed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tools::{locked, output};

mod tools;

const VERSION: &str = "0.5.4";

#[test]
fn book() {
    // In a folder of its own, since mdBook empties it, and another `cargo test` may build one.
    let book = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the book");
    if let Err(reason) = build(book.path()).and_then(|pages| check(book.path(), &pages)) {
        panic!("{reason}");
    }
}

/// The book's HTML pages by their names.
type Pages = BTreeMap<String, String>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn build(book: &Path) -> Result<Pages, String> {
    let printed = output(Command::new(mdbook()?).arg("build").arg(root()).arg("--dest-dir").arg(book))?;
    if printed.contains("WARN") || printed.contains("ERROR") {
        return Err(format!("mdBook isn't content with docs/:\n{printed}"));
    }
    let mut pages = Pages::new();
    for entry in fs::read_dir(book).map_err(|error| format!("{}: {error}", book.display()))? {
        let path = entry.map_err(|error| format!("{}: {error}", book.display()))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // The page for addresses that aren't there is for any folder, so its links are made for a server.
        if name.ends_with(".html") && name != "404.html" {
            pages.insert(name, read(&path)?);
        }
    }
    Ok(pages)
}

/// All links lead somewhere.
fn check(book: &Path, pages: &Pages) -> Result<(), String> {
    let mut wrong = Vec::new();
    for (name, html) in pages {
        for link in ["href", "src"].iter().flat_map(|attribute| values(html, attribute)) {
            if !leads_somewhere(book, pages, name, link) {
                wrong.push(format!("docs/{}: {link}", name.replace(".html", ".md")));
            }
        }
    }
    for name in ["README.md", "CHANGELOG.md", "bench/README.md"] {
        let folder = Path::new(name).parent().unwrap_or(Path::new(""));
        let text = read(&root().join(name))?;
        // Code has brackets in front of parentheses, too, but no path behind them that has a `/` or an ending.
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if (link.contains('/') || link.contains('.')) && !file_leads_somewhere(pages, folder, link) {
                wrong.push(format!("{name}: {link}"));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("these links lead nowhere:\n{}", wrong.join("\n"))) }
}

/// Whether a link of a page does: to another page and a heading there, or to a file of the book or of the repository.
fn leads_somewhere(book: &Path, pages: &Pages, from: &str, link: &str) -> bool {
    if is_elsewhere(link) {
        return true;
    }
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let path = if path.is_empty() { from } else { path };
    match pages.get(path) {
        Some(html) => heading.is_empty() || values(html, "id").any(|id| id == heading),
        // The book lies beside docs/, so what leads out of it leads into the repository.
        None if path.starts_with("../") => root().join("docs").join(path).exists(),
        None => book.join(path).exists(),
    }
}

/// Whether a link of a file of this folder does. Headings are looked up in the book.
fn file_leads_somewhere(pages: &Pages, folder: &Path, link: &str) -> bool {
    if is_elsewhere(link) {
        return true;
    }
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let page = Path::new(path).file_name().map(|name| name.to_string_lossy().replace(".md", ".html"));
    let html = page.and_then(|page| pages.get(&page)).filter(|_| path.contains("docs/"));
    root().join(folder).join(path).exists()
        && html.is_none_or(|html| heading.is_empty() || values(html, "id").any(|id| id == heading))
}

/// Other sites aren't asked.
fn is_elsewhere(link: &str) -> bool {
    ["https:", "http:", "mailto:", "data:"].iter().any(|scheme| link.starts_with(scheme))
}

/// The values of an attribute. In code and text, quotation marks are written as entities.
fn values<'h>(html: &'h str, attribute: &str) -> impl Iterator<Item = &'h str> {
    let parts: Vec<&str> = html.split(&format!(" {attribute}=\"")).skip(1).collect();
    parts.into_iter().filter_map(|rest| rest.split('"').next())
}

/// The program, installed if it isn't there yet.
fn mdbook() -> Result<PathBuf, String> {
    let is_right = |program: &Path| {
        output(Command::new(program).arg("--version"))
            .is_ok_and(|version| version.trim().ends_with(&format!("v{VERSION}")))
    };
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("the target folder has no parent")?;
    let folder = target.join("mdbook");
    let installed = folder.join("bin/mdbook");
    // Two `cargo test` at once: the second waits here until the first has installed it.
    let _lock = locked(&folder)?;
    for program in [Path::new("mdbook"), &installed] {
        if is_right(program) {
            return Ok(program.to_path_buf());
        }
    }
    // Past the test harness, which would keep it back: it takes a while.
    let _ = writeln!(std::io::stderr(), "installing mdBook {VERSION} in {}", folder.display());
    let build = folder.join("build");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Unoptimised, since it builds for longer than it ever runs. Search is left out for the same reason.
    cargo.args(["install", "mdbook", "--version", &format!("={VERSION}"), "--locked", "--force", "--debug"]);
    cargo.args(["--no-default-features", "--root"]).arg(&folder).arg("--target-dir").arg(&build);
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0");
    output(&mut cargo).map_err(|reason| {
        format!(
            "mdBook {VERSION} can't be installed, which needs the package registry; one on the PATH will do. {reason}"
        )
    })?;
    // What it was built from takes hundreds of megabytes; if it stays, that is all.
    let _ = fs::remove_dir_all(&build);
    Ok(installed)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
