//! The laptop's own program at work in a test's network.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The laptop at work. It ends with this.
pub struct Laptop {
    child: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Laptop {
    /// Starts it, and listens to what it says.
    pub fn start(mut command: Command) -> Laptop {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the laptop");
        let (tell, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("its output"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Laptop {
            orders: child.stdin.take().expect("its input"),
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// The next line with this in it.
    pub fn says(&mut self, what: &str, seconds: u64) -> String {
        let until = Instant::now() + Duration::from_secs(seconds);
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(what) {
                        return line;
                    }
                }
                Err(_) => panic!(
                    "the laptop did not say {what:?} within {seconds} s, but:\n{}",
                    self.seen.join("\n")
                ),
            }
        }
    }

    /// Gives an order and hears the one line that answers it.
    pub fn told(&mut self, order: &str, seconds: u64) -> String {
        self.order(order);
        let word = order.split(' ').next().unwrap_or_default();
        self.says(&format!("{word}: "), seconds)
    }

    /// Says nothing for so long.
    pub fn is_silent(&self, seconds: u64) {
        if let Ok(line) = self.lines.recv_timeout(Duration::from_secs(seconds)) {
            panic!("the laptop was not silent: {line}");
        }
    }

    /// Gives an order.
    pub fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("its input");
    }
}

impl Drop for Laptop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
