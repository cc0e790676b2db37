//! The restore job: runs in the cluster inside the owner's database image, as the user that the database runs as.
//!
//! Base backup and WAL come back, archiving off; the database is looked at and asked; then it begins its own archive on a path of
//! its own. Killed anywhere, the next one goes on: before the verdict from the beginning, after it never again from the old repository.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use skykeep_core::{Explain, Secret};

use super::{
    Fault, Outcome, Spec,
    conf::FOLDER,
    marker::{Phase, Place},
    programs::{Programs, failed, talk},
    server::{SUPERUSER, Server, literal, name},
    wal::Segment,
};
use crate::{
    RestoreError,
    report::{self, Phase as Stage, Report},
    repository::blocking,
};

/// Where the configuration of the repository to restore from is mounted.
pub const SOURCE: &str = "/etc/skykeep/source";
/// Where the roles' passwords are mounted.
pub const ROLES: &str = "/etc/skykeep/roles";
/// Where the job keeps what nobody needs afterwards; in memory.
pub const RUN: &str = "/run/skykeep";

/// The folders that a job works with.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The claim.
    pub claim: PathBuf,
    /// pgBackRest's configuration of the repository to restore from.
    pub source: PathBuf,
    /// pgBackRest's configuration of the repository to archive to.
    pub archive: PathBuf,
    /// Passwords.
    pub roles: PathBuf,
    /// Everything else.
    pub run: PathBuf,
}

impl Folders {
    /// Those of the job in the cluster.
    pub fn in_the_cluster() -> Self {
        Folders {
            claim: crate::job::TARGET.into(),
            source: SOURCE.into(),
            archive: FOLDER.into(),
            roles: ROLES.into(),
            run: RUN.into(),
        }
    }
}

/// Does what `spec` (a file) describes, and prints progress and the outcome.
pub async fn run(spec: &Path, folders: Folders) -> Result<(), RestoreError> {
    let text = std::fs::read(spec).map_err(|e| RestoreError::Internal(format!("{}: {e}", spec.display())))?;
    let spec: Spec = serde_json::from_slice(&text).map_err(|e| RestoreError::Internal(format!("spec.json: {e}")))?;
    let outcome = blocking(move || restore(&spec, &folders, &Report::lines())).await?;
    report::line(&json!({"outcome": outcome}));
    Ok(())
}

/// Restores, verifies, and begins the new archive.
pub(crate) fn restore(spec: &Spec, folders: &Folders, report: &Report) -> Result<Outcome, RestoreError> {
    let until = Instant::now() + Duration::from_secs(spec.limit);
    let place = Place {
        claim: &folders.claim,
        spec,
    };
    let (phase, outcome) = place.begin()?;
    if phase == Phase::Done {
        return Ok(outcome);
    }
    let job = Job {
        programs: Programs::find(&spec.image, &spec.version, until)?,
        spec,
        folders,
        place,
        until,
    };
    job.configure()?;
    let mut outcome = match phase {
        Phase::Restoring => job.bring_back(report)?,
        Phase::Restored | Phase::Done => outcome,
    };
    job.begin_archive(&mut outcome)?;
    job.place.write(Phase::Done, &outcome)?;
    report.say(Stage::Verify, outcome.bytes, outcome.bytes);
    Ok(outcome)
}

pub(super) struct Job<'a> {
    pub(super) programs: Programs,
    pub(super) spec: &'a Spec,
    pub(super) folders: &'a Folders,
    pub(super) place: Place<'a>,
    pub(super) until: Instant,
}

impl Job<'_> {
    fn configuration(&self) -> PathBuf {
        self.folders.run.join("pgbackrest.conf")
    }

    /// The part of pgBackRest's configuration that is the same for both repositories; no key is in it.
    fn configure(&self) -> Result<(), RestoreError> {
        let run = self.folders.run.display();
        let text = format!(
            "[global]\nlog-level-file=off\nlog-path={run}\nlock-path={run}/lock\nspool-path={run}/spool\nprocess-max=2\nrepo1-bundle=y\n\
             start-fast=y\n\n[{stanza}]\npg1-path={data}\npg1-socket-path={run}/socket\npg1-user={SUPERUSER}\n",
            stanza = self.spec.stanza,
            data = self.place.data().display(),
        );
        let path = self.configuration();
        std::fs::write(&path, text).map_err(|e| RestoreError::Target {
            path: path.display().to_string(),
            why: e.to_string(),
        })
    }

    pub(super) fn pgbackrest(&self, repository: &Path) -> Command {
        let mut command = self.programs.pgbackrest();
        command
            .arg(format!("--config={}", self.configuration().display()))
            .arg(format!("--config-include-path={}", repository.display()))
            .arg(format!("--stanza={}", self.spec.stanza));
        command
    }

    /// What pgBackRest says of the stanza in a repository.
    pub(super) fn info(&self, repository: &Path) -> Result<Value, RestoreError> {
        let mut command = self.pgbackrest(repository);
        command.args([
            "--output=json",
            "--log-level-console=off",
            "--log-level-stderr=error",
            "info",
        ]);
        let doing = "read what the repository holds";
        let said = self.programs.run(&mut command, doing, self.until)?;
        let all: Value = serde_json::from_str(&said).map_err(|e| failed(doing, &e.to_string()))?;
        Ok(all.pointer("/0").cloned().unwrap_or_default())
    }

    /// Everything until the database has been verified.
    fn bring_back(&self, report: &Report) -> Result<Outcome, RestoreError> {
        let info = self.info(&self.folders.source)?;
        let last = last_segment(&info);
        let mut outcome = self.base(&info, report)?;
        let data = self.place.data();
        // Without `hot_standby` nobody comes in before the end of the recovery, and the old machine's limits do not matter.
        let own = ["archive_mode=off", "hot_standby=off"].map(str::to_owned);
        let mut server = Server::start(&self.programs, &data, &self.folders.run, &own)?;
        server.wait("replay the WAL", self.until)?;
        self.reached(&server, last, &mut outcome)?;
        self.settle(&server)?;
        self.look(&server, &mut outcome)?;
        self.roles(&server, &mut outcome)?;
        for check in &self.spec.checks {
            let answer = server.ask_only(&check.database, &check.query, self.until)?;
            if let Some(expected) = check.expected.as_ref().filter(|e| e.trim() != answer) {
                return Err(Fault::Answer {
                    database: check.database.clone(),
                    query: check.query.clone(),
                    expected: expected.trim().to_owned(),
                    answer,
                }
                .into());
            }
            outcome.answers.push(answer);
        }
        server.stop(self.until)?;
        self.place.write(Phase::Restored, &outcome)?;
        Ok(outcome)
    }

    /// Where the replay came to. For `latest` that must be the end of what the archive held when it began.
    fn reached(&self, server: &Server<'_>, last: Option<Segment>, outcome: &mut Outcome) -> Result<(), RestoreError> {
        let ask = |query: &str| server.ask(query, self.until);
        outcome.last_transaction = ask("select pg_last_xact_replay_timestamp()")?;
        let timeline = ask("select timeline_id from pg_control_checkpoint()")?;
        outcome.timeline = timeline.parse().unwrap_or_default();
        let size = ask("select setting from pg_settings where name = 'wal_segment_size'")?;
        let history = format!("pg_wal/{:08X}.history", outcome.timeline);
        let text = std::fs::read_to_string(self.place.data().join(&history)).unwrap_or_default();
        let reached = size
            .parse()
            .ok()
            .and_then(|size| left_at(&text, size))
            .ok_or_else(|| failed("find out where the replay ended", &format!("{history} does not say it")))?;
        match last {
            Some(last) if self.spec.target.is_none() && reached < last => Err(Fault::Short {
                reached: reached.to_string(),
                last: last.to_string(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    /// What the restore wrote into the database's own configuration is of no use any more.
    fn settle(&self, server: &Server<'_>) -> Result<(), RestoreError> {
        let settings = [
            "restore_command",
            "recovery_target_time",
            "recovery_target_action",
            "recovery_target_timeline",
        ];
        let script: String = settings.iter().map(|s| format!("alter system reset {s};\n")).collect();
        server.ask(&script, self.until).map(|_| ())
    }

    /// Every table and index, by PostgreSQL's own check, where the image has it.
    fn look(&self, server: &Server<'_>, outcome: &mut Outcome) -> Result<(), RestoreError> {
        let known = server.ask(
            "select count(*) from pg_available_extensions where name = 'amcheck'",
            self.until,
        )?;
        if known != "1" || !self.programs.has("pg_amcheck") {
            return Ok(());
        }
        let databases = server.ask("select datname from pg_database where datallowconn", self.until)?;
        let asked = "select count(*) from pg_extension where extname = 'amcheck'";
        let mut lent = Vec::new();
        for database in databases.lines() {
            if server.ask_only(database, asked, self.until)? == "0" {
                lent.push(database);
            }
        }
        let mut command = self.programs.postgres("pg_amcheck");
        command
            .args(["--all", "--install-missing", "-w", "-U", SUPERUSER, "-h"])
            .arg(server.socket());
        let said = talk(&mut command, &[], "check tables and indexes", self.until, &mut |_| ())?;
        if !said.ok {
            let why = super::programs::last(&format!("{}\n{}", said.err, said.out));
            return Err(Fault::Corrupt { why }.into());
        }
        for database in lent {
            let said = server.psql(SUPERUSER, database, "drop extension amcheck", self.until)?;
            said.out_of("take the check's extension away again")?;
        }
        outcome.amcheck = true;
        Ok(())
    }

    /// Every listed role comes in with the password that its application will use; one that does not is given it.
    fn roles(&self, server: &Server<'_>, outcome: &mut Outcome) -> Result<(), RestoreError> {
        let database = self.spec.checks.first().map_or("postgres", |c| c.database.as_str());
        for (i, role) in self.spec.roles.iter().enumerate() {
            let fault = |why: &str| Fault::Role {
                role: role.clone(),
                why: why.to_owned(),
            };
            let path = self.folders.roles.join(format!("role-{i}"));
            let bytes = std::fs::read(&path).map_err(|e| fault(&format!("{}: {e}", path.display())))?;
            let password = Secret::new(bytes);
            let password = password
                .expose_str()
                .filter(|p| !p.is_empty() && !p.contains(['\n', '\r', '\0']));
            let password = password.ok_or_else(|| fault("its password is empty, no text, or of more than one line"))?;
            let query = format!("select rolcanlogin from pg_roles where rolname = {}", literal(role));
            match server.ask(&query, self.until)?.as_str() {
                "t" => {}
                "f" => return Err(fault("it may not log in (NOLOGIN)").into()),
                _ => return Err(fault("the backup has no such role").into()),
            }
            // The superuser comes in here without a password: whether its own is right can't be seen.
            if role != SUPERUSER && server.lets_in(role, password, database, self.until)? {
                continue;
            }
            let script = format!(
                "set standard_conforming_strings = on;\nalter role {} password {};\n",
                name(role),
                literal(password)
            );
            // Its error would repeat the statement.
            let said = server.psql(SUPERUSER, "postgres", &script, self.until)?;
            if !said.ok || (role != SUPERUSER && !server.lets_in(role, password, database, self.until)?) {
                return Err(fault("it was given the password and still does not come in").into());
            }
            outcome.roles_set.push(role.clone());
        }
        Ok(())
    }

    /// The first backup on the new path, so that from the first write on nothing can be lost.
    fn begin_archive(&self, outcome: &mut Outcome) -> Result<(), RestoreError> {
        self.place.unlock()?;
        let push = format!(
            "{} --config={} --config-include-path={} --stanza={} archive-push \"%p\"",
            self.programs.pgbackrest_path().display(),
            self.configuration().display(),
            self.folders.archive.display(),
            self.spec.stanza
        );
        let own = ["archive_mode=on".to_owned(), format!("archive_command={push}")];
        let mut server = Server::start(&self.programs, &self.place.data(), &self.folders.run, &own)?;
        server.wait("start it with its own archive", self.until)?;
        let archive = |words: &[&str], doing: &str| {
            let mut command = self.pgbackrest(&self.folders.archive);
            command
                .args(["--log-level-console=warn", "--log-timestamp=n"])
                .args(words);
            self.programs.run(&mut command, doing, self.until)
        };
        // Refused by pgBackRest when another database's archive lies there.
        archive(&["stanza-create"], "begin the archive on the new path")?;
        if newest_label(&self.info(&self.folders.archive)?).is_none() {
            archive(&["--type=full", "backup"], "make the first backup on the new path")?;
        }
        server.stop(self.until)?;
        let info = self.info(&self.folders.archive)?;
        let missing = || failed("make the first backup on the new path", "pgbackrest does not show it");
        outcome.base = newest_label(&info).ok_or_else(missing)?.to_owned();
        outcome.last_wal = last_segment(&info).ok_or_else(missing)?.to_string();
        outcome.warning = self.contradiction(&outcome.base);
        Ok(())
    }

    /// What keeps pgBackRest, called as the database will call it, from finding the new path: the image may bring a
    /// configuration of its own (Debian's names a `repo1-path`). The StatefulSet may put another in its place, so it is no error.
    fn contradiction(&self, base: &str) -> Option<String> {
        if self.folders.archive != Path::new(FOLDER) {
            return None;
        }
        let mut command = self.programs.pgbackrest();
        command.arg(format!("--stanza={}", self.spec.stanza));
        command.args([
            "--output=json",
            "--log-level-file=off",
            "--log-level-console=off",
            "--log-level-stderr=error",
            "info",
        ]);
        match self.programs.run(&mut command, "find the archive", self.until) {
            Ok(said) if said.contains(base) => None,
            Ok(_) => Some("it reads another repository".into()),
            Err(e) => Some(e.why()),
        }
    }
}

/// The last segment that the present database has in the archive.
fn last_segment(info: &Value) -> Option<Segment> {
    Segment::parse(info.pointer("/archive")?.as_array()?.last()?.get("max")?.as_str()?)
}

fn newest_label(info: &Value) -> Option<&str> {
    info.pointer("/backup")?.as_array()?.last()?.get("label")?.as_str()
}

/// The segment in which the newest timeline left its parent, from its history.
fn left_at(history: &str, segment_size: u64) -> Option<Segment> {
    let mut words = history.lines().rfind(|l| !l.trim().is_empty())?.split_whitespace();
    let timeline: u32 = words.next()?.parse().ok()?;
    let (log, offset) = words.next()?.split_once('/')?;
    let (log, offset) = (
        u32::from_str_radix(log, 16).ok()?,
        u64::from_str_radix(offset, 16).ok()?,
    );
    let number = offset.checked_div(segment_size)?;
    Segment::parse(&format!("{timeline:08X}{log:08X}{number:08X}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_timeline_left_its_parent() {
        let history = "1\t0/5000100\tno recovery target specified\n\n2\t1/AB0000A0\tno recovery target specified\n";
        assert_eq!(
            left_at(history, 16 << 20).unwrap().to_string(),
            "0000000200000001000000AB"
        );
        assert_eq!(left_at("", 16 << 20), None);
        assert_eq!(left_at(history, 0), None);
    }

    #[test]
    fn what_pgbackrest_says_of_a_stanza_is_read() {
        let info = json!({
            "archive": [{"id": "15-1", "max": "000000010000000000000005"}],
            "backup": [{"label": "a"}, {"label": "b"}],
        });
        assert_eq!(newest_label(&info), Some("b"));
        assert_eq!(last_segment(&info).unwrap().to_string(), "000000010000000000000005");
        assert_eq!(newest_label(&Value::Null), None);
    }
}
