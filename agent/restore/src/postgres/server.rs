//! The database while it is being restored: reachable by nobody but this job, through a socket in a folder of its own.

use std::{
    collections::VecDeque,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{
    Fault,
    programs::{self, Programs, Said, read_lines, talk},
};
use crate::RestoreError;

/// The superuser that every image has.
pub(crate) const SUPERUSER: &str = "postgres";
/// Nobody comes in but through the socket: the superuser at once, everybody else with a password.
const DOOR: &str = "local all postgres trust\nlocal all all md5\n";
/// How many lines of the server's log are kept for an error.
const KEPT: usize = 30;

/// A server that runs. Dropped, it is ended at once.
pub(crate) struct Server<'a> {
    programs: &'a Programs,
    data: PathBuf,
    socket: PathBuf,
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl<'a> Server<'a> {
    /// Starts it on a data folder. `own` are settings that win over whatever the restored configuration says.
    pub(crate) fn start(programs: &'a Programs, data: &Path, run: &Path, own: &[String]) -> Result<Self, RestoreError> {
        let target = |path: &Path, e: std::io::Error| RestoreError::Target {
            path: path.display().to_string(),
            why: e.to_string(),
        };
        let socket = run.join("socket");
        fs::create_dir_all(&socket).map_err(|e| target(&socket, e))?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o700)).map_err(|e| target(&socket, e))?;
        let mut settings = vec![
            "listen_addresses=".to_owned(),
            format!("unix_socket_directories={}", socket.display()),
            "port=5432".into(),
            format!("data_directory={}", data.display()),
            // The old machine's size, certificates and log are not ours.
            "shared_buffers=128MB".into(),
            "huge_pages=off".into(),
            "ssl=off".into(),
            "logging_collector=off".into(),
            "log_destination=stderr".into(),
            "log_statement=none".into(),
            "log_min_error_statement=panic".into(),
            "lc_messages=C".into(),
            "external_pid_file=".into(),
        ];
        for (setting, name, text) in [("hba_file", "pg_hba.conf", DOOR), ("ident_file", "pg_ident.conf", "")] {
            let path = run.join(name);
            fs::write(&path, text).map_err(|e| target(&path, e))?;
            settings.push(format!("{setting}={}", path.display()));
        }
        if !data.join("postgresql.conf").exists() {
            // Debian keeps it elsewhere, and it is not in the backup.
            let path = run.join("postgresql.conf");
            fs::write(&path, "").map_err(|e| target(&path, e))?;
            settings.push(format!("config_file={}", path.display()));
        }
        settings.extend_from_slice(own);
        let mut command = programs.postgres("postgres");
        command.arg("-D").arg(data).stdout(Stdio::null());
        for setting in &settings {
            command.arg("-c").arg(setting);
        }
        let doing = "start the restored database";
        let mut child = command.spawn().map_err(|e| programs::failed(doing, &e.to_string()))?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(pipe) = child.stderr.take() {
            let log = log.clone();
            thread::spawn(move || {
                read_lines(pipe, |line| {
                    if let Ok(mut log) = log.lock() {
                        log.push_back(line);
                        while log.len() > KEPT {
                            log.pop_front();
                        }
                    }
                    true
                });
            });
        }
        Ok(Server {
            programs,
            data: data.to_owned(),
            socket,
            child,
            log,
        })
    }

    /// The socket's folder.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits until it takes writes: WAL is replayed and it is on a timeline of its own.
    pub(crate) fn wait(&mut self, doing: &str, until: Instant) -> Result<(), RestoreError> {
        loop {
            if let Ok(Some(_)) = self.child.try_wait() {
                // Its last words may still be on their way.
                thread::sleep(Duration::from_millis(100));
                return Err(programs::failed(doing, &self.words()));
            }
            let soon = until.min(Instant::now() + Duration::from_secs(10));
            let said = self.psql(SUPERUSER, "postgres", "select pg_is_in_recovery()", soon)?;
            if said.ok && said.out.trim() == "f" {
                return Ok(());
            }
            if Instant::now() >= until {
                let words = format!("it was not ready when its time was over; {}", self.words());
                return Err(programs::failed(doing, &words));
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// What an error shows of the server's log. PostgreSQL says at the end that it shuts down; the cause comes before.
    fn words(&self) -> String {
        let log = self
            .log
            .lock()
            .map(|l| l.iter().cloned().collect::<Vec<_>>())
            .unwrap_or_default();
        let grave = |l: &&String| ["FATAL", "PANIC", "ERROR"].iter().any(|word| l.contains(word));
        let causes: Vec<String> = log.iter().filter(grave).cloned().collect();
        programs::last(&if causes.is_empty() { log } else { causes }.join("\n"))
    }

    /// Runs a script; it goes through standard input, because a password may be in it.
    pub(crate) fn psql(&self, role: &str, database: &str, script: &str, until: Instant) -> Result<Said, RestoreError> {
        let mut command = self.programs.postgres("psql");
        command
            .args(["-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-h"])
            .arg(&self.socket)
            .args(["-U", role, "-d", &format!("dbname={}", quoted(database))]);
        command.env("PGCONNECT_TIMEOUT", "10");
        let passwords = self.socket.join("passwords");
        if passwords.exists() {
            command.env("PGPASSFILE", passwords);
        }
        talk(
            &mut command,
            script.as_bytes(),
            "ask the restored database",
            until,
            &mut |_| (),
        )
    }

    /// The answer to a query of ours.
    pub(crate) fn ask(&self, query: &str, until: Instant) -> Result<String, RestoreError> {
        let said = self.psql(SUPERUSER, "postgres", query, until)?;
        Ok(said.out_of("ask the restored database")?.trim().to_owned())
    }

    /// The answer to an owner's query, in a transaction that may not write.
    pub(crate) fn ask_only(&self, database: &str, query: &str, until: Instant) -> Result<String, RestoreError> {
        let script = format!("set default_transaction_read_only = on;\n{query}\n;\n");
        let said = self.psql(SUPERUSER, database, &script, until)?;
        let doing = format!("ask the restored database `{database}`: {query}");
        Ok(said.out_of(&doing)?.trim().to_owned())
    }

    /// Whether a role comes in with this password, by its own way in.
    pub(crate) fn lets_in(&self, role: &str, password: &str, database: &str, until: Instant) -> Result<bool, Fault> {
        let path = self.socket.join("passwords");
        let fault = |why: String| Fault::Role {
            role: role.to_owned(),
            why,
        };
        let line = format!("*:*:*:*:{}\n", password.replace('\\', "\\\\").replace(':', "\\:"));
        let written = fs::File::create(&path)
            .and_then(|f| f.set_permissions(fs::Permissions::from_mode(0o600)))
            .and_then(|()| fs::write(&path, line));
        let said = written.map_err(|e| e.to_string()).and_then(|()| {
            self.psql(role, database, "select 1", until)
                .map_err(|e| skykeep_core::Explain::why(&e))
        });
        let removed = fs::remove_file(&path);
        let said = said.map_err(fault)?;
        removed.map_err(|e| fault(e.to_string()))?;
        // It is known by then who it is; that this database is not its own does not matter.
        Ok(said.ok || said.err.contains("permission denied for database"))
    }

    /// Stops it cleanly; what it still has to archive is archived.
    pub(crate) fn stop(mut self, until: Instant) -> Result<(), RestoreError> {
        let doing = "stop the restored database";
        let seconds = until
            .saturating_duration_since(Instant::now())
            .as_secs()
            .max(1)
            .to_string();
        let mut command = self.programs.postgres("pg_ctl");
        command
            .arg("-D")
            .arg(&self.data)
            .args(["-m", "fast", "-w", "-t", &seconds, "stop"]);
        self.programs.run(&mut command, doing, until)?;
        let status = self.child.wait().map_err(|e| programs::failed(doing, &e.to_string()))?;
        match status.success() {
            true => Ok(()),
            false => Err(programs::failed(doing, &self.words())),
        }
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let soon = Instant::now() + Duration::from_secs(20);
            let mut command = self.programs.postgres("pg_ctl");
            command
                .arg("-D")
                .arg(&self.data)
                .args(["-m", "immediate", "-w", "-t", "15", "stop"]);
            // The error that brought us here is the one to be told.
            let _ = self.programs.run(&mut command, "stop the database", soon);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A value in a connection string.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A name in SQL.
pub(crate) fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A text in SQL, for `standard_conforming_strings = on`.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_and_no_password_ends_its_quotes() {
        assert_eq!(name("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's \\"), "'it''s \\'");
        assert_eq!(quoted("it's \\"), "'it\\'s \\\\'");
    }
}
