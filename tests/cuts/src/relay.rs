//! A server that does one thing wrong, always the same, whatever it is asked.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody listens.
    Refused,
    /// The connection stands, no answer ever comes.
    Timeout,
    /// An answer of a megabyte begins and comes a byte a second.
    SlowBody,
    /// An answer breaks off in the middle.
    Cut,
    /// "Slow down", for ever.
    Status429,
    /// An error of the server.
    Status500,
    /// "Come back later".
    Status503,
    /// A certificate of an authority that nobody believes.
    WrongCertificate,
    /// A captive portal's page, with status 200.
    Rubbish,
    /// Bytes that are no TLS.
    Noise,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 10] = [
        Fault::Refused,
        Fault::Timeout,
        Fault::SlowBody,
        Fault::Cut,
        Fault::Status429,
        Fault::Status500,
        Fault::Status503,
        Fault::WrongCertificate,
        Fault::Rubbish,
        Fault::Noise,
    ];

    fn answer(self) -> String {
        let short = |status: &str, body: &str| {
            format!(
                "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        };
        match self {
            Fault::Status429 => short("429 Too Many Requests\r\nretry-after: 1", "slow down"),
            Fault::Status500 => short("500 Internal Server Error", "sorry"),
            Fault::Status503 => short("503 Service Unavailable", "later"),
            Fault::Rubbish => short(
                "200 OK",
                "<html><body>Welcome to the hotel. Please log in.</body></html>",
            ),
            Fault::SlowBody | Fault::Cut => "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{\"result\":".to_owned(),
            _ => String::new(),
        }
    }
}

/// Starts it under these names. Gives its address and the authority that the client is told to believe.
pub async fn start(fault: Fault, names: &[&str]) -> Result<(SocketAddr, String)> {
    start_at(SocketAddr::from(([127, 0, 0, 1], 0)), fault, names).await
}

/// The same at this address.
pub async fn start_at(address: SocketAddr, fault: Fault, names: &[&str]) -> Result<(SocketAddr, String)> {
    let (good, ca_pem) = crate::front::tls(names)?;
    let (foreign, _) = crate::front::tls(names)?;
    let tls = if fault == Fault::WrongCertificate {
        foreign
    } else {
        good
    };
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    if fault == Fault::Refused {
        return Ok((address, ca_pem));
    }
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            // What the client makes of it is the test; here nothing can go wrong.
            tokio::spawn(one(tcp, TlsAcceptor::from(Arc::clone(&tls)), fault));
        }
    });
    Ok((address, ca_pem))
}

async fn one(mut tcp: TcpStream, tls: TlsAcceptor, fault: Fault) -> std::io::Result<()> {
    if fault == Fault::Noise {
        return tcp.write_all(b"220 mail.example ESMTP ready\r\n").await;
    }
    let mut stream = tls.accept(tcp).await?;
    let mut asked = vec![0; 16 * 1024];
    let _ = stream.read(&mut asked).await?;
    stream.write_all(fault.answer().as_bytes()).await?;
    stream.flush().await?;
    match fault {
        Fault::Timeout => tokio::time::sleep(Duration::from_secs(600)).await,
        Fault::SlowBody => {
            for _ in 0..600 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                stream.write_all(b" ").await?;
                stream.flush().await?;
            }
        }
        // Whoever does not wait for the client's last words cuts it off.
        Fault::Cut => {}
        _ => stream.shutdown().await?,
    }
    Ok(())
}
