//! wpa_supplicant's control socket: one datagram asks, one answers; a second socket hears the news.

use super::event::{Event, event};
use crate::error::NetError;
use skykeep_core::Secret;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

/// wpa_supplicant answers from its event loop, at once; only a radio that resets itself keeps it longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that the program gives.
const LONGEST: usize = 8192;

/// A conversation. Its own end of the socket goes away with it.
pub(super) struct Control {
    socket: UnixDatagram,
    own: PathBuf,
}

pub(super) fn silent(what: impl std::fmt::Display) -> NetError {
    NetError::Radio { why: what.to_string() }
}

impl Control {
    /// Opens a conversation at `server`; `own` is where the answers come.
    pub(super) fn open(server: &Path, own: PathBuf) -> Result<Self, NetError> {
        // Of an earlier conversation, if any.
        let _ = std::fs::remove_file(&own);
        let socket = UnixDatagram::bind(&own).map_err(silent)?;
        let control = Control { socket, own };
        control.socket.connect(server).map_err(silent)?;
        Ok(control)
    }

    /// Asks, and gives the whole answer.
    pub(super) async fn ask(&self, command: &str) -> Result<String, NetError> {
        self.exchange(command.as_bytes(), command).await
    }

    /// Asks for something that must simply be done.
    pub(super) async fn order(&self, command: &str) -> Result<(), NetError> {
        done(&self.ask(command).await?, command)
    }

    /// Sets one setting of a network; the value is never written anywhere.
    pub(super) async fn set(&self, network: &str, name: &str, value: &Secret) -> Result<(), NetError> {
        let mut command = Vec::with_capacity(64 + value.len());
        command.extend_from_slice(format!("SET_NETWORK {network} {name} ").as_bytes());
        command.extend_from_slice(value.expose());
        let command = Secret::new(command);
        done(&self.exchange(command.expose(), name).await?, name)
    }

    async fn exchange(&self, bytes: &[u8], named: &str) -> Result<String, NetError> {
        let late = |_| silent(format!("no answer to {named} in {} s", PATIENCE.as_secs()));
        timeout(PATIENCE, self.socket.send(bytes))
            .await
            .map_err(late)?
            .map_err(silent)?;
        loop {
            let text = timeout(PATIENCE, self.receive()).await.map_err(late)??;
            // News may come in between.
            if !text.starts_with('<') {
                return Ok(text);
            }
        }
    }

    async fn receive(&self) -> Result<String, NetError> {
        let mut buffer = vec![0; LONGEST];
        let length = self.socket.recv(&mut buffer).await.map_err(silent)?;
        buffer.truncate(length);
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }

    /// From now on the news comes here.
    pub(super) async fn listen(&self) -> Result<(), NetError> {
        self.order("ATTACH").await
    }

    /// The next news that matters, within `limit`.
    pub(super) async fn news(&self, limit: Duration) -> Result<Option<Event>, NetError> {
        let next = async {
            loop {
                if let Some(event) = event(&self.receive().await?) {
                    return Ok(event);
                }
            }
        };
        timeout(limit, next).await.ok().transpose()
    }
}

fn done(answer: &str, named: &str) -> Result<(), NetError> {
    match answer.trim_end() {
        "OK" => Ok(()),
        other => Err(silent(format!("it answers {named} with {other}"))),
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_told_from_the_news_between() {
        let folder = std::env::temp_dir().join(format!("skykeep-net-control-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        let server = UnixDatagram::bind(folder.join("server")).expect("server");
        let answers = tokio::spawn(async move {
            let mut buffer = [0; 256];
            let mut heard = Vec::new();
            for answer in [&["<3>CTRL-EVENT-SCAN-STARTED ", "PONG\n"][..], &["OK\n"], &["FAIL\n"]] {
                let (length, from) = server.recv_from(&mut buffer).await.expect("a question");
                heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                for text in answer {
                    server
                        .send_to(text.as_bytes(), from.as_pathname().expect("a path"))
                        .await
                        .expect("answer");
                }
            }
            heard
        });
        let control = Control::open(&folder.join("server"), folder.join("own")).expect("open");
        assert_eq!(control.ask("PING").await.expect("pong"), "PONG\n");
        let password = Secret::from_string("\"correct horse\"".into());
        control.set("0", "psk", &password).await.expect("set");
        let refused = control.set("0", "psk", &password).await.expect_err("refused");
        assert!(!format!("{refused:?}").contains("horse"), "{refused:?}");
        assert_eq!(answers.await.expect("heard")[1], "SET_NETWORK 0 psk \"correct horse\"");
        drop(control);
        assert!(!folder.join("own").exists(), "its end of the socket is gone");
        std::fs::remove_dir_all(folder).expect("clean up");
    }
}
