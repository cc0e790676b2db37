//! One question over TCP, signed; the answers, verified.

use std::time::{Duration, SystemTime};

use hickory_proto::op::{Message, ResponseCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::Rfc2136;
use crate::error::DnsError;

/// How long the whole exchange may take.
const LIMIT: Duration = Duration::from_secs(20);
/// More messages than any transfer of a zone that people keep by hand.
const MOST: usize = 2000;

impl Rfc2136 {
    /// `host:port`, for messages.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.server, self.port)
    }

    /// Asks, and reads answers until they are whole.
    pub(super) async fn ask(
        &self,
        message: Message,
        whole: impl Fn(&[Message]) -> bool,
    ) -> Result<Vec<Message>, DnsError> {
        let silent = || DnsError::ServerFailed {
            server: self.place(),
            why: format!("no whole answer within {} s", LIMIT.as_secs()),
        };
        timeout(LIMIT, self.exchange(message, whole))
            .await
            .map_err(|_| silent())?
    }

    async fn exchange(
        &self,
        mut message: Message,
        whole: impl Fn(&[Message]) -> bool,
    ) -> Result<Vec<Message>, DnsError> {
        let failed = |why: String| DnsError::ServerFailed {
            server: self.place(),
            why,
        };
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let verifier = message
            .finalize(&self.signer, now.as_secs())
            .map_err(|e| failed(e.to_string()))?;
        let mut verifier = verifier.ok_or_else(|| failed("the question was not signed".into()))?;
        let bytes = message.to_vec().map_err(|e| failed(e.to_string()))?;
        let io = |e: std::io::Error| failed(e.to_string());
        let mut stream = TcpStream::connect((self.server.as_str(), self.port))
            .await
            .map_err(io)?;
        let length =
            u16::try_from(bytes.len()).map_err(|_| failed("the change is too large for one message".into()))?;
        stream
            .write_all(&[&length.to_be_bytes(), bytes.as_slice()].concat())
            .await
            .map_err(io)?;
        let mut answers: Vec<Message> = Vec::new();
        while !whole(&answers) {
            if answers.len() == MOST {
                return Err(failed("its answer does not end".into()));
            }
            let length = stream.read_u16().await.map_err(io)?;
            let mut bytes = vec![0; usize::from(length)];
            stream.read_exact(&mut bytes).await.map_err(io)?;
            let answer = Message::from_vec(&bytes).map_err(|e| failed(e.to_string()))?;
            let good = verifier.verify(&bytes);
            if let Err(e) = good {
                // Who does not know our key can't sign its refusal.
                let why = match answer.metadata.response_code {
                    ResponseCode::NoError => format!("the signature of {}: {e}", self.place()),
                    code => format!("{} answered {code}, unsigned", self.place()),
                };
                return Err(DnsError::Key(why));
            }
            answers.push(answer);
        }
        Ok(answers)
    }
}
