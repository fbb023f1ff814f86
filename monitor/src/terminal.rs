//! The terminal: taken over, and given back however the program ends.

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use std::io::{self, Stdout, stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether it is ours, so that it is given back once.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// The terminal while it is ours. Dropping it gives it back, and so does a panic, before its message is printed.
pub struct Screen(pub Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    /// Takes the terminal over.
    pub fn take() -> io::Result<Screen> {
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        enter()?;
        let terminal = Terminal::new(CrosstermBackend::new(stdout())).inspect_err(|_| give_back())?;
        Ok(Screen(terminal))
    }

    /// Gives it back, stops this process until its shell continues it, and takes it over again.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        // To this thread, so that it returns no sooner than the process goes on.
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP)?;
        enter()?;
        // A new one draws everything. To clear this one, it would have to ask the terminal where the cursor is, whose
        // answer goes to whoever waits for keys.
        self.0 = Terminal::new(CrosstermBackend::new(stdout()))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    execute!(stdout(), EnterAlternateScreen, EnableMouseCapture, Hide).inspect_err(|_| give_back())
}

fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Nobody is left who could be told of an error.
        _ = execute!(stdout(), DisableMouseCapture, LeaveAlternateScreen, Show);
        _ = disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::process::Command;

    /// Tells this test that it is the process in the terminal.
    const INSIDE: &str = "CHORUS_TEST_INSIDE";
    const NAME: &str = "terminal::tests::a_panic_gives_the_terminal_back_and_can_be_read";

    /// Both ends of a terminal of 24 lines.
    fn open() -> (File, OwnedFd) {
        let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let (mut ours, mut theirs) = (-1, -1);
        // SAFETY: the pointers are to variables that live, or null where nothing is to be written.
        let opened = unsafe {
            libc::openpty(&mut ours, &mut theirs, std::ptr::null_mut(), std::ptr::null(), std::ptr::from_ref(&size))
        };
        assert_eq!(opened, 0, "{}", io::Error::last_os_error());
        // SAFETY: both were just opened, and nobody else has them.
        unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) }
    }

    /// The flags of a terminal's mode.
    fn mode(terminal: &OwnedFd) -> [u32; 4] {
        let text = Command::new("stty").arg("-g").stdin(terminal.try_clone().unwrap()).output().unwrap().stdout;
        let text = String::from_utf8(text).unwrap();
        let mut flags = text.split(':').map(|flags| u32::from_str_radix(flags, 16).unwrap());
        std::array::from_fn(|_| flags.next().unwrap())
    }

    #[test]
    fn a_panic_gives_the_terminal_back_and_can_be_read() {
        if std::env::var_os(INSIDE).is_some() {
            let mut screen = Screen::take().unwrap();
            screen.0.draw(|frame| frame.render_widget("drawn", frame.area())).unwrap();
            panic!("what went wrong");
        }
        let (mut ours, theirs) = open();
        let before = mode(&theirs);
        let status = {
            let end = || theirs.try_clone().unwrap();
            let mut inside = Command::new(std::env::current_exe().unwrap());
            inside.args(["--exact", NAME, "--nocapture"]).env(INSIDE, "1").env("TERM", "xterm");
            // It says less than the terminal holds, so it doesn't wait for a reader.
            inside.stdin(end()).stdout(end()).stderr(end()).env("RUST_BACKTRACE", "0").status().unwrap()
        };
        assert_eq!(status.code(), Some(101));
        assert_eq!(mode(&theirs), before, "the terminal's mode");
        drop(theirs);
        let mut said = Vec::new();
        // Nobody has the other end any more, which is an error behind what was said.
        _ = ours.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said);
        let (screen, after) =
            said.split_once("\x1b[?1049l").unwrap_or_else(|| panic!("the main screen isn't back: {said:?}"));
        assert!(screen.contains("drawn") && screen.contains("\x1b[?1000l"), "{said:?}");
        assert!(after.contains("\x1b[?25h"), "the cursor isn't back: {said:?}");
        let (line, _) = after.split_once("what went wrong\r\n").unwrap_or_else(|| panic!("no message: {said:?}"));
        assert!(line.contains("panicked at"), "{said:?}");
    }
}
