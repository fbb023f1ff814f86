//! Asks the process that has a GPU how that is.

use super::{FromGpu, ToGpu, Told};
use crate::wire;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Asks the process that listens at this socket. It answers while maps run, and if it doesn't within the limit, that is an
/// error: it is still being started, or the driver hangs. An error is a sentence.
pub fn ask(socket: &Path, limit: Duration) -> Result<Told, String> {
    let asked = || -> io::Result<FromGpu> {
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        wire::write(&mut stream, &ToGpu::About)?;
        wire::read(&mut stream)
    };
    match asked() {
        Ok(FromGpu::About(told)) => Ok(told),
        Ok(FromGpu::Failed(why)) => Err(why),
        Ok(_) => Err("the process that has the GPU answers with something else".to_owned()),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(format!("the process that has the GPU didn't answer within {} s", limit.as_secs_f64()))
        }
        Err(error) => Err(format!("the process that has the GPU doesn't answer: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_process_that_says_nothing_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("gpu");
        assert!(ask(&socket, Duration::from_secs(9)).unwrap_err().contains("doesn't answer: No such file"));
        // It accepts nobody, as one that is still being started.
        let _listener = UnixListener::bind(&socket).unwrap();
        let told = ask(&socket, Duration::from_millis(50));
        assert_eq!(told.unwrap_err(), "the process that has the GPU didn't answer within 0.05 s");
    }
}
