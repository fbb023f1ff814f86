//! What the magics `%cd`, `%env` and `%%capture` have the notebook's worker do. The argument of the run says what.

use crate::host::argument;
use crate::{Bundle, Displayable};
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `%cd`.
pub fn change_folder() {
    let folder = argument();
    let folder = Path::new(OsStr::from_bytes(&folder));
    if let Err(error) = std::env::set_current_dir(folder) {
        panic!("the folder can't be changed to {}: {error}", folder.display());
    }
}

/// `%env NAME=VALUE`.
pub fn change_environment() {
    let variable = argument();
    let Some(at) = variable.iter().position(|byte| *byte == b'=') else { return };
    let (name, value) = (OsStr::from_bytes(&variable[..at]), OsStr::from_bytes(&variable[at + 1..]));
    // SAFETY: it is sound as far as no thread of another language reads the environment at the same time, and the user asked
    // for it as for `set_var`.
    unsafe { std::env::set_var(name, value) }
}

/// What `%%capture NAME` has kept away from the notebook.
///
/// ```
/// # let out = px::everyday::decode(&px::everyday::encode("loud\n", "", &[])).unwrap();
/// assert_eq!(out.stdout, "loud\n");
/// out.show();
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// What was printed.
    pub stdout: String,
    /// What was printed to stderr.
    pub stderr: String,
    /// What was displayed, and the cell's result.
    pub displays: Vec<Bundle>,
}

impl Captured {
    /// Shows all of it: the texts, and then what was displayed.
    pub fn show(&self) {
        print!("{}", self.stdout);
        // Its beginning isn't to come behind what is displayed.
        let _ = std::io::stdout().flush();
        eprint!("{}", self.stderr);
        for bundle in &self.displays {
            crate::display(bundle);
        }
    }

    /// Shows it as a cell's result: in a line.
    pub fn evcxr_display(&self) {
        self.to_bundle().evcxr_display();
    }
}

impl Displayable for Captured {
    fn to_bundle(&self) -> Bundle {
        let (out, err, displays) = (self.stdout.len(), self.stderr.len(), self.displays.len());
        let text = format!(
            "{out} bytes of stdout, {err} bytes of stderr and {displays} displays were captured; `.show()` shows them"
        );
        Bundle::new().with("text/plain", text)
    }
}

/// The value of the variable of `%%capture NAME`.
pub fn captured() -> Captured {
    match decode(&argument()) {
        Some(captured) => captured,
        None => panic!("the outputs that were captured didn't come whole"),
    }
}

/// As the kernel sends it: each display with its types and contents.
pub fn encode(stdout: &str, stderr: &str, displays: &[Vec<(String, String)>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = |number: usize, bytes: &mut Vec<u8>| bytes.extend((number as u64).to_le_bytes());
    let text = |text: &str, bytes: &mut Vec<u8>| {
        number(text.len(), bytes);
        bytes.extend(text.as_bytes());
    };
    text(stdout, &mut bytes);
    text(stderr, &mut bytes);
    number(displays.len(), &mut bytes);
    for contents in displays {
        number(contents.len(), &mut bytes);
        for (mime, content) in contents {
            text(mime, &mut bytes);
            text(content, &mut bytes);
        }
    }
    bytes
}

/// `None` if it isn't what [`encode`] makes.
#[doc(hidden)]
pub fn decode(mut bytes: &[u8]) -> Option<Captured> {
    fn number(bytes: &mut &[u8]) -> Option<usize> {
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        *bytes = rest;
        usize::try_from(u64::from_le_bytes(*number)).ok()
    }
    fn text(bytes: &mut &[u8]) -> Option<String> {
        let length = number(bytes)?;
        let (text, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        String::from_utf8(text.to_vec()).ok()
    }
    let (stdout, stderr) = (text(&mut bytes)?, text(&mut bytes)?);
    let mut displays = Vec::new();
    for _ in 0..number(&mut bytes)? {
        let mut bundle = Bundle::new();
        for _ in 0..number(&mut bytes)? {
            let mime = text(&mut bytes)?;
            bundle = bundle.with(&mime, text(&mut bytes)?);
        }
        displays.push(bundle);
    }
    Some(Captured { stdout, stderr, displays })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_captured_comes_as_it_was() {
        let contents =
            |text: &str| vec![("text/plain".to_owned(), text.to_owned()), ("text/html".to_owned(), String::new())];
        let bytes = encode("a\n", "é", &[contents("1"), vec![]]);
        let captured = decode(&bytes).unwrap();
        assert_eq!((captured.stdout.as_str(), captured.stderr.as_str(), captured.displays.len()), ("a\n", "é", 2));
        assert!(captured.displays[0] == Bundle::new().with("text/plain", "1").with("text/html", ""));
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_none(), "{end}");
        }
    }
}
