//! An HTTP proxy that lets TLS through (CONNECT, RFC 9110, 9.3.6).

use std::io;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;

/// Most bytes of a proxy's answer that are read.
const MOST: usize = 8 * 1024;

/// Where a proxy is. It needs no password: none of ours is ever told to it.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Proxy {
    host: String,
    port: u16,
}

impl Proxy {
    /// Its name or address.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl std::fmt::Display for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl FromStr for Proxy {
    type Err = String;

    /// `http://HOST:PORT`; what is typed may leave `http://` out. The error is a sentence, and repeats nothing that could be a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let whole = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let url = Url::parse(&whole).map_err(|e| format!("A proxy is written as http://HOST:PORT: {e}."))?;
        if url.scheme() != "http" {
            return Err("A proxy is written as http://HOST:PORT; no other kind is used.".into());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("A proxy that wants a password can't be used: leave it out of the address.".into());
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) if bare => Ok(Proxy {
                host: host.to_owned(),
                port,
            }),
            _ => Err("A proxy is written as http://HOST:PORT, with nothing behind it.".into()),
        }
    }
}

impl<'de> Deserialize<'de> for Proxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Asks the proxy behind this connection for a tunnel. Afterwards the bytes are the host's.
pub(super) async fn tunnel(stream: &mut TcpStream, host: &str, port: u16) -> io::Result<()> {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let question = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut head = Vec::new();
    // Byte by byte: what follows the head is not ours to take. The stream is the kernel's buffer, so it costs calls, not packets.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MOST {
            return Err(io::Error::other("the proxy's answer does not end"));
        }
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(io::Error::other("the proxy ended the connection without an answer"));
            }
            Err(e) => return Err(e),
        }
    }
    match status(&head) {
        Some(200..=299) => Ok(()),
        Some(407) => Err(io::Error::other(
            "the proxy wants a password, which Skykeep does not give",
        )),
        Some(status) => Err(io::Error::other(format!("the proxy refuses with status {status}"))),
        None => Err(io::Error::other("what answers there is no proxy")),
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_understood_as_people_write_it() {
        for (text, shown) in [
            ("http://proxy.example:3128", "http://proxy.example:3128"),
            ("  10.0.0.1:8080 ", "http://10.0.0.1:8080"),
            ("http://proxy.example/", "http://proxy.example:80"),
            ("[2001:db8::1]:3128", "http://[2001:db8::1]:3128"),
        ] {
            assert_eq!(
                text.parse::<Proxy>().map(|proxy| proxy.to_string()).as_deref(),
                Ok(shown)
            );
        }
    }

    #[test]
    fn what_can_not_be_used_is_named_without_repeating_a_password() {
        for text in [
            "",
            "https://proxy.example:3128",
            "socks5://proxy.example",
            "http://proxy.example/path",
            "http://",
        ] {
            assert!(text.parse::<Proxy>().is_err(), "{text}");
        }
        let error = "http://me:hunter2@proxy.example:3128"
            .parse::<Proxy>()
            .expect_err("refused");
        assert!(error.contains("password") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn only_a_real_answer_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407 Proxy Authentication Required\r\n\r\n"), Some(407));
        assert_eq!(status(b"SSH-2.0-OpenSSH\r\n\r\n"), None);
        assert_eq!(status(b"\xff\xfe\r\n\r\n"), None);
    }
}
