//! The image's own programs: found, run with a bare environment and a deadline, and heard.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::Fault;
use crate::RestoreError;

/// Where PostgreSQL's programs lie besides the path: Debian's and Red Hat's packages.
const FOLDERS: [&str; 3] = [
    "/usr/lib/postgresql/{}/bin",
    "/usr/pgsql-{}/bin",
    "/usr/local/pgsql/bin",
];
/// How many of its last lines a program's words are.
const LAST: usize = 12;

/// Where the programs are.
pub(crate) struct Programs {
    folder: PathBuf,
    pgbackrest: PathBuf,
    path: String,
}

impl Programs {
    /// Finds those of this version.
    pub(crate) fn find(image: &str, version: &str, until: Instant) -> Result<Self, RestoreError> {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".into());
        let major = version.split('.').next().unwrap_or_default();
        let known = FOLDERS.iter().map(|f| PathBuf::from(f.replace("{}", major)));
        let on_path = || std::env::split_paths(&path);
        let wrong = || Fault::Version {
            image: image.to_owned(),
            version: version.to_owned(),
        };
        let missing = |name: &str| Fault::Program {
            doing: format!("find `{name}` in {image}"),
            why: format!("it is not on the path {path}"),
        };
        let folders: Vec<PathBuf> = known
            .chain(on_path())
            .filter(|f| f.join("postgres").is_file())
            .collect();
        if folders.is_empty() {
            return Err(missing("postgres").into());
        }
        let pgbackrest = on_path().map(|f| f.join("pgbackrest")).find(|p| p.is_file());
        let mut programs = Programs {
            pgbackrest: pgbackrest.ok_or_else(|| missing("pgbackrest"))?,
            folder: PathBuf::new(),
            path,
        };
        for folder in folders {
            programs.folder = folder;
            let said = programs.run(
                programs.postgres("postgres").arg("--version"),
                "ask for the version",
                until,
            )?;
            let said = said
                .split_whitespace()
                .find(|w| w.starts_with(|c: char| c.is_ascii_digit()));
            if said.is_some_and(|v| v.split('.').next() == Some(major)) {
                return Ok(programs);
            }
        }
        Err(wrong().into())
    }

    /// One of PostgreSQL's programs.
    pub(crate) fn postgres(&self, name: &str) -> Command {
        self.bare(&self.folder.join(name))
    }

    /// Whether PostgreSQL's programs include this one.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.folder.join(name).is_file()
    }

    pub(crate) fn pgbackrest(&self) -> Command {
        self.bare(&self.pgbackrest)
    }

    /// The path of pgbackrest, for an `archive_command`.
    pub(crate) fn pgbackrest_path(&self) -> &Path {
        &self.pgbackrest
    }

    /// The image's environment may hold options of its own for all of them (PGBACKREST_*, PG*).
    fn bare(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", format!("{}:{}", self.folder.display(), self.path))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a program to its end and gives what it printed.
    pub(crate) fn run(&self, command: &mut Command, doing: &str, until: Instant) -> Result<String, RestoreError> {
        let said = talk(command, &[], doing, until, &mut |_| ())?;
        said.out_of(doing)
    }
}

/// How a program ended.
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// What it printed, when it ended well.
    pub(crate) fn out_of(self, doing: &str) -> Result<String, RestoreError> {
        if self.ok {
            return Ok(self.out);
        }
        // pgBackRest speaks on standard output.
        let words = if self.err.trim().is_empty() {
            &self.out
        } else {
            &self.err
        };
        Err(failed(doing, words))
    }
}

/// A program failed, and these were its words.
pub(crate) fn failed(doing: &str, words: &str) -> RestoreError {
    Fault::Program {
        doing: doing.to_owned(),
        why: last(words),
    }
    .into()
}

/// The last lines as one.
pub(crate) fn last(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let from = lines.len().saturating_sub(LAST);
    lines.get(from..).unwrap_or_default().join(" / ")
}

/// Ends the program when it is dropped.
struct Leash(Child);

impl Drop for Leash {
    fn drop(&mut self) {
        // It has ended, or nobody will hear it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program with this input; each line of its standard output is heard as it comes.
pub(crate) fn talk(
    command: &mut Command,
    input: &[u8],
    doing: &str,
    until: Instant,
    hear: &mut dyn FnMut(&str),
) -> Result<Said, RestoreError> {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = Leash(command.spawn().map_err(|e| failed(doing, &e.to_string()))?);
    let (send, lines) = mpsc::channel();
    for (err, pipe) in [
        (
            false,
            child.0.stdout.take().map(|p| Box::new(p) as Box<dyn Read + Send>),
        ),
        (true, child.0.stderr.take().map(|p| Box::new(p) as Box<dyn Read + Send>)),
    ] {
        let Some(pipe) = pipe else { continue };
        let send = send.clone();
        thread::spawn(move || read_lines(pipe, |line| send.send((err, line)).is_ok()));
    }
    drop(send);
    if let Some(mut stdin) = child.0.stdin.take() {
        // One that does not read ends with words of its own.
        let _ = stdin.write_all(input);
    }
    let (mut out, mut err) = (String::new(), String::new());
    let late = || failed(doing, "it was not done when its time was over");
    loop {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((true, line)) => err += &(line + "\n"),
            Ok((false, line)) => {
                hear(&line);
                out += &(line + "\n");
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => return Err(late()),
        }
    }
    // Its pipes are closed: it ends now.
    loop {
        if let Some(status) = child.0.try_wait().map_err(|e| failed(doing, &e.to_string()))? {
            return Ok(Said {
                ok: status.success(),
                out,
                err,
            });
        }
        if Instant::now() >= until {
            return Err(late());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Reads lines, whatever bytes they are of, until the pipe closes or nobody wants more.
pub(crate) fn read_lines(pipe: impl Read, mut give: impl FnMut(String) -> bool) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    while pipe.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
        if !give(text) {
            return;
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn sh(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[test]
    fn a_program_is_heard_and_its_last_words_are_the_error() {
        let mut heard = Vec::new();
        let said = talk(&mut sh("cat; echo two >&2"), b"one\n", "x", soon(), &mut |l| {
            heard.push(l.to_owned())
        })
        .unwrap();
        assert!(said.ok && said.err == "two\n" && heard == ["one"]);
        let said = talk(&mut sh("echo no such stanza; exit 3"), &[], "x", soon(), &mut |_| ()).unwrap();
        let error = said.out_of("restore the base backup").unwrap_err();
        assert!(matches!(error, RestoreError::Database(Fault::Program { why, .. }) if why == "no such stanza"));
    }

    #[test]
    fn a_program_that_hangs_is_ended_at_its_deadline() {
        let begin = Instant::now();
        let until = begin + Duration::from_millis(200);
        assert!(talk(&mut sh("exec sleep 60"), &[], "x", until, &mut |_| ()).is_err());
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
}
