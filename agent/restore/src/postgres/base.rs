//! The base backup into the claim: the newest, or, when that one is damaged, the newest that is not. Nothing is lost by that: the WAL is
//! replayed to the same end, it only takes longer.

use serde_json::Value;

use super::{
    Outcome,
    job::Job,
    programs::{Said, talk},
};
use crate::{
    RestoreError,
    report::{Phase, Report},
};

const DOING: &str = "restore the base backup";

impl Job<'_> {
    /// Tries the backups that would do, the newest first.
    pub(super) fn base(&self, info: &Value, report: &Report) -> Result<Outcome, RestoreError> {
        let (mut outcome, said) = self.copy(info, None, report)?;
        if said.ok {
            return Ok(outcome);
        }
        let newest = std::mem::take(&mut outcome.backup);
        let error = said.out_of(DOING);
        // What can't be reached now will not be reached for another backup either.
        if newest.is_empty() || self.info(&self.folders.source).is_err() {
            return error.map(|_| outcome);
        }
        for label in older(info, &newest) {
            let (outcome, said) = self.copy(info, Some(label), report)?;
            if said.ok {
                return Ok(Outcome {
                    damaged: Some(newest),
                    ..outcome
                });
            }
        }
        error.map(|_| outcome)
    }

    fn copy(&self, info: &Value, set: Option<&str>, report: &Report) -> Result<(Outcome, Said), RestoreError> {
        let mut command = self.pgbackrest(&self.folders.source);
        if self.place.prepare()? {
            command.arg("--delta");
        }
        if let Some(target) = &self.spec.target {
            command.args(["--type=time", "--target-action=promote"]);
            command.arg(format!("--target={target}"));
        }
        command.args(set.map(|label| format!("--set={label}")));
        command.args(["--log-level-console=detail", "--log-timestamp=n", "restore"]);
        let (mut outcome, mut done) = (Outcome::default(), 0);
        let said = talk(&mut command, &[], DOING, self.until, &mut |line| {
            if let Some(label) = label_in(line) {
                outcome.bytes = size_of(info, label);
                label.clone_into(&mut outcome.backup);
            }
            if let Some(percent) = percent_in(line) {
                done = done.max((outcome.bytes as f64 * percent / 100.0) as u64);
                // The last byte is there when all of it has been verified.
                report.say(Phase::Write, done, outcome.bytes);
            }
        })?;
        Ok((outcome, said))
    }
}

fn label_of(backup: &Value) -> Option<&str> {
    backup.get("label")?.as_str()
}

/// The backups of the same database before this one, the newest first. Labels are in the order of time.
fn older<'a>(info: &'a Value, than: &str) -> Vec<&'a str> {
    let all = || info.pointer("/backup").and_then(Value::as_array).into_iter().flatten();
    let database = |backup: &Value| backup.pointer("/database/id").cloned();
    let of_the_same = all().find(|b| label_of(b) == Some(than)).map(database);
    let fits = |b: &&Value| Some(database(b)) == of_the_same;
    let mut labels: Vec<_> = all()
        .filter(fits)
        .filter_map(label_of)
        .filter(|label| *label < than)
        .collect();
    labels.sort_unstable_by(|a, b| b.cmp(a));
    labels
}

fn size_of(info: &Value, label: &str) -> u64 {
    let all = info.pointer("/backup").and_then(Value::as_array);
    let found = all
        .into_iter()
        .flatten()
        .find(|b| b.get("label").and_then(Value::as_str) == Some(label));
    found
        .and_then(|b| b.pointer("/info/size")?.as_u64())
        .unwrap_or_default()
}

/// `repo1: restore backup set 20261130-194114F, ...`.
fn label_in(line: &str) -> Option<&str> {
    let rest = line.split_once("restore backup set ")?.1;
    rest.split([',', ' ']).next().filter(|label| !label.is_empty())
}

/// `restore file ... (8KB, 12.34%) ...`.
fn percent_in(line: &str) -> Option<f64> {
    let before = line.contains("restore file ").then(|| line.split_once("%)"))??.0;
    before
        .rsplit_once(", ")?
        .1
        .parse()
        .ok()
        .filter(|p| (0.0..=100.0).contains(p))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_read_from_pgbackrests_own_lines() {
        let line = "P01 DETAIL: restore file /target/pgdata/base/5/2674 (472KB, 34.90%) checksum e3b0";
        assert_eq!(percent_in(line), Some(34.9));
        assert_eq!(percent_in("P00   INFO: write updated /target/x (10%)"), None);
        let line =
            "P00   INFO: repo1: restore backup set 20261130-194114F_20261130-194118I, recovery will start at 2026";
        assert_eq!(label_in(line), Some("20261130-194114F_20261130-194118I"));
    }

    #[test]
    fn older_backups_of_the_same_database_are_tried_the_newest_first() {
        let one =
            |label: &str, id: u32, size: u32| json!({"label": label, "database": {"id": id}, "info": {"size": size}});
        let info = json!({"backup": [
            one("20251101-000000F", 1, 6), one("20261101-000000F", 2, 7), one("20261102-000000F", 2, 8),
            one("20261102-000000F_20261103-000000I", 2, 9), one("20261104-000000F", 2, 10),
        ]});
        assert_eq!(
            older(&info, "20261102-000000F_20261103-000000I"),
            ["20261102-000000F", "20261101-000000F"]
        );
        assert!(older(&info, "20251101-000000F").is_empty() && older(&Value::Null, "x").is_empty());
        assert_eq!(size_of(&info, "20261101-000000F"), 7);
    }
}
