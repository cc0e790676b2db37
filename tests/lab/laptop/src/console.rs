//! The serial line: everything that comes is kept and written to a log with times; texts are waited for in order.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    closed: bool,
}

type Shared = Arc<(Mutex<Heard>, Condvar)>;

/// Both directions of the serial line.
pub(crate) struct Console {
    line: UnixStream,
    shared: Shared,
    /// Everything before this place was already waited for.
    cursor: usize,
    began: Instant,
}

fn lock(shared: &Shared) -> MutexGuard<'_, Heard> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Console {
    /// Connects and starts to listen; `log` gets every line with the seconds since now.
    pub(crate) fn connect(socket: &Path, log: &Path) -> Result<Self> {
        let line = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
        let mut input = line.try_clone()?;
        let mut log = Log {
            file: File::create(log)?,
            began: Instant::now(),
            at_start: true,
        };
        let shared = Shared::default();
        let heard = shared.clone();
        let began = log.began;
        std::thread::Builder::new().name("serial".into()).spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let n = input.read(&mut buffer).unwrap_or(0);
                let new = buffer.get(..n).unwrap_or_default();
                log.write(new);
                let mut state = lock(&heard);
                state.bytes.extend_from_slice(new);
                state.closed = n == 0;
                heard.1.notify_all();
                if n == 0 {
                    return;
                }
            }
        })?;
        Ok(Console {
            line,
            shared,
            cursor: 0,
            began,
        })
    }

    /// Seconds since the line was connected (power-on).
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits until `text` comes (after what was waited for before). Gives what came before it.
    /// Returns early with an error when the line closes.
    pub(crate) fn wait_for(&mut self, text: &str, limit: Duration) -> Result<Option<String>> {
        let deadline = Instant::now() + limit;
        let mut state = lock(&self.shared);
        loop {
            let new = state.bytes.get(self.cursor..).unwrap_or_default();
            if let Some(at) = find(new, text.as_bytes()) {
                let before = String::from_utf8_lossy(new.get(..at).unwrap_or_default()).into_owned();
                self.cursor += at + text.len();
                return Ok(Some(before));
            }
            if state.closed {
                bail!(
                    "the serial line closed while waiting for {text:?}; last lines:\n{}",
                    tail(&state.bytes)
                );
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            state = self
                .shared
                .1
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// The last lines that came.
    pub(crate) fn tail(&self) -> String {
        tail(&lock(&self.shared).bytes)
    }

    /// Everything that came.
    pub(crate) fn everything(&self) -> String {
        String::from_utf8_lossy(&lock(&self.shared).bytes).into_owned()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.line.write_all(bytes).context("typing on the serial line")
    }
}

fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(25)..)
        .unwrap_or_default()
        .join("\n")
}

/// The first place of `needle` in `hay`. Control sequences of the firmware may stand between words, not inside the texts we wait for.
pub(crate) fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    hay.windows(needle.len()).position(|window| window == needle)
}

struct Log {
    file: File,
    began: Instant,
    at_start: bool,
}

impl Log {
    fn write(&mut self, new: &[u8]) {
        let mut out = Vec::with_capacity(new.len() + 16);
        for byte in new {
            if self.at_start {
                out.extend(format!("[{:8.3}] ", self.began.elapsed().as_secs_f64()).bytes());
                self.at_start = false;
            }
            out.push(*byte);
            self.at_start = *byte == b'\n';
        }
        // A full disk must not end the rehearsal: the text is kept in memory too.
        let _ = self.file.write_all(&out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn pair(name: &str) -> (Console, UnixStream, std::path::PathBuf) {
        let folder = std::env::temp_dir().join(format!("lab-laptop-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let path = folder.join("s.sock");
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("listen");
        let console = Console::connect(&path, &folder.join("log")).expect("connect");
        (console, listener.accept().expect("accept").0, folder)
    }

    #[test]
    fn texts_are_found_in_order_and_each_only_once() {
        let (mut console, mut far, folder) = pair("order");
        far.write_all(b"one two one\n").expect("write");
        let second = Duration::from_secs(5);
        assert_eq!(console.wait_for("one", second).expect("wait").as_deref(), Some(""));
        assert_eq!(console.wait_for("one", second).expect("wait").as_deref(), Some(" two "));
        assert_eq!(console.wait_for("one", Duration::from_millis(50)).expect("wait"), None);
        std::fs::remove_dir_all(folder).expect("clean up");
    }

    #[test]
    fn a_closed_line_ends_the_wait_before_its_deadline() {
        let (mut console, far, folder) = pair("closed");
        drop(far);
        let began = Instant::now();
        assert!(console.wait_for("never", Duration::from_secs(60)).is_err());
        assert!(began.elapsed() < Duration::from_secs(30));
        std::fs::remove_dir_all(folder).expect("clean up");
    }
}
