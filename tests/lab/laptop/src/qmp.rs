//! QEMU's control socket.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What the guest asked of one medium since power-on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes read.
    pub read_bytes: u64,
    /// Read operations.
    pub reads: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Write operations.
    pub writes: u64,
    /// Operations of other kinds: flushes, discards, zone and failed ones.
    pub others: u64,
}

/// Whether the machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PowerState {
    /// It runs.
    On,
    /// It was powered off (or reset, which counts as that here).
    Off,
    /// The guest's kernel panicked.
    Panicked,
    /// Anything else, as QEMU calls it.
    Other(String),
}

/// The socket, after the greeting.
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Qmp {
    pub(crate) fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path).with_context(|| path.display().to_string())?;
        // A memory dump of some GiB answers only when it is done.
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        let mut qmp = Qmp {
            reader: BufReader::new(stream.try_clone()?),
            writer: stream,
        };
        qmp.line()?; // the greeting
        qmp.call("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    fn line(&mut self) -> Result<Value> {
        let mut text = String::new();
        let n = self.reader.read_line(&mut text).context("QMP does not answer")?;
        if n == 0 {
            bail!("QEMU has ended");
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// One command; events that come before the answer are skipped.
    pub(crate) fn call(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut message = json!({"execute": command, "arguments": arguments}).to_string();
        message.push('\n');
        self.writer.write_all(message.as_bytes())?;
        loop {
            let mut answer = self.line()?;
            if let Some(error) = answer.get("error") {
                bail!("QMP {command}: {error}");
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    pub(crate) fn power_state(&mut self) -> Result<PowerState> {
        let status = self.call("query-status", json!({}))?;
        Ok(
            match status.get("status").and_then(Value::as_str).unwrap_or("unknown") {
                "running" => PowerState::On,
                "shutdown" => PowerState::Off,
                "guest-panicked" => PowerState::Panicked,
                other => PowerState::Other(other.to_owned()),
            },
        )
    }

    pub(crate) fn counters(&mut self) -> Result<BTreeMap<String, Counters>> {
        let answer = self.call("query-blockstats", json!({}))?;
        Ok(parse_counters(&answer))
    }
}

fn parse_counters(answer: &Value) -> BTreeMap<String, Counters> {
    let mut found = BTreeMap::new();
    for entry in answer.as_array().into_iter().flatten() {
        let (Some(name), Some(stats)) = (entry.get("device").and_then(Value::as_str), entry.get("stats")) else {
            continue;
        };
        let number = |key: &str| stats.get(key).and_then(Value::as_u64).unwrap_or(0);
        let others = [
            "flush_operations",
            "unmap_operations",
            "failed_rd_operations",
            "failed_wr_operations",
            "failed_flush_operations",
        ];
        found.insert(
            name.to_owned(),
            Counters {
                read_bytes: number("rd_bytes"),
                reads: number("rd_operations"),
                written_bytes: number("wr_bytes"),
                writes: number("wr_operations"),
                others: others.iter().map(|key| number(key)).sum(),
            },
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_the_name_of_the_medium() {
        let answer = json!([{"device": "nvme", "stats": {"rd_bytes": 512, "rd_operations": 1, "wr_bytes": 0, "wr_operations": 0,
            "flush_operations": 2, "unmap_operations": 1}}, {"node-name": "x"}]);
        let counters = parse_counters(&answer);
        assert_eq!(counters.len(), 1);
        assert_eq!(
            counters.get("nvme"),
            Some(&Counters {
                read_bytes: 512,
                reads: 1,
                others: 3,
                ..Counters::default()
            })
        );
    }
}
