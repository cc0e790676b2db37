//! The steps of a plan: commands with a deadline, their words on the console.

use std::{
    collections::VecDeque,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use skykeep_cluster::plan::Step;
use skykeep_core::Deadline;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Command,
};

use super::{Say, error::NodeError};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Lines that an error quotes.
const LAST_LINES: usize = 12;

/// Runs a step to its end, its last try, or its deadline.
pub(super) async fn step(step: &Step, say: Say) -> Result<(), NodeError> {
    let limit = Duration::from_secs(step.deadline_s);
    let deadline = Deadline::after(limit);
    if let Some(path) = &step.wait_for {
        wait_for(path, deadline).await?;
    }
    let mut said = String::new();
    loop {
        let began = Instant::now();
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let result = match tokio::time::timeout(deadline.remaining(), once(step, last.clone())).await {
            Ok(result) => result,
            Err(_) => {
                return Err(NodeError::Late {
                    what: step.title.clone(),
                    limit,
                    last: joined(&last),
                });
            }
        };
        let why = match result {
            Ok(()) => {
                say.line(&format!("{} ({:.1} s)", step.title, began.elapsed().as_secs_f32()));
                return Ok(());
            }
            Err(why) => why,
        };
        if step.optional {
            say.line(&format!("{}: not done, not needed: {why}", step.title));
            return Ok(());
        }
        if !step.retry || deadline.remaining() < Duration::from_secs(2) {
            return Err(NodeError::Step {
                title: step.title.clone(),
                why,
            });
        }
        if said != why {
            say.line(&format!("{}: {why}; again and again", step.title));
            said = why;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn joined(last: &Mutex<VecDeque<String>>) -> String {
    last.lock()
        .map(|lines| lines.iter().cloned().collect::<Vec<_>>().join("\n       "))
        .unwrap_or_default()
}

async fn once(step: &Step, last: Arc<Mutex<VecDeque<String>>>) -> Result<(), String> {
    let (program, args) = step.argv.split_first().ok_or("an empty command")?;
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("{program} can't be started: {e}"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (_, _, status) = tokio::join!(echo(out, &last), echo(err, &last), child.wait());
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} ended with {status}: {}", joined(&last))),
        Err(e) => Err(format!("{program}: {e}")),
    }
}

async fn echo(stream: Option<impl AsyncRead + Unpin>, last: &Mutex<VecDeque<String>>) {
    let Some(stream) = stream else { return };
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let line = without_token(&line);
        println!("    {line}");
        if let Ok(mut last) = last.lock() {
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
    }
}

/// kubeadm prints the bootstrap token; the console can be read by whoever may call the cloud's API.
fn without_token(line: &str) -> String {
    let is_token = |word: &str| {
        word.split_once('.').is_some_and(|(id, secret)| {
            let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)
        })
    };
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '.');
    line.split_inclusive(ends)
        .map(|part| {
            let word = part.trim_end_matches(ends);
            if is_token(word) {
                part.replace(word, "[token]")
            } else {
                part.to_owned()
            }
        })
        .collect()
}

/// Waits until a path exists.
pub(super) async fn wait_for(path: &str, deadline: Deadline) -> Result<(), NodeError> {
    while !Path::new(path).exists() {
        if deadline.passed() {
            return Err(NodeError::Late {
                what: format!("the file {path}"),
                limit: deadline.limit(),
                last: "not there".into(),
            });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(argv: &[&str], deadline_s: u64, retry: bool) -> Step {
        Step {
            title: "it".into(),
            argv: argv.iter().map(|a| (*a).to_owned()).collect(),
            deadline_s,
            retry,
            optional: false,
            wait_for: None,
            own: None,
        }
    }

    #[test]
    fn a_bootstrap_token_never_reaches_the_console() {
        assert_eq!(
            without_token("[bootstrap-token] Using token: yiu3ll.53atatowtrfvfdq9"),
            "[bootstrap-token] Using token: [token]"
        );
        assert_eq!(without_token("--token=yiu3ll.53atatowtrfvfdq9,x"), "--token=[token],x");
        let plain = "wrote /etc/kubernetes/kubelet.conf in 1.5 s";
        assert_eq!(without_token(plain), plain);
    }

    #[tokio::test]
    async fn a_failed_step_quotes_what_the_program_said() {
        let e = step(
            &make(&["sh", "-c", "echo broken pipe organ >&2; exit 3"], 10, false),
            Say(Instant::now()),
        )
        .await
        .unwrap_err();
        assert!(e.to_string().contains("broken pipe organ"), "{e}");
    }

    #[tokio::test]
    async fn a_step_that_hangs_ends_at_its_deadline() {
        let began = Instant::now();
        let e = step(&make(&["sleep", "60"], 1, true), Say(Instant::now()))
            .await
            .unwrap_err();
        assert!(matches!(e, NodeError::Late { .. }));
        assert!(began.elapsed() < Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_step_that_may_be_retried_is_until_it_works() {
        let dir = tempfile::tempdir().unwrap();
        let flag = dir.path().join("flag").display().to_string();
        let script = format!("test -e {flag} || {{ touch {flag}; exit 1; }}");
        step(&make(&["sh", "-c", &script], 20, true), Say(Instant::now()))
            .await
            .unwrap();
    }
}
