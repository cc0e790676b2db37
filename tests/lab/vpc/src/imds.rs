//! The metadata service: a small HTTP server inside the router's namespace. Who asks is known by the source address.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::SockRef;

use crate::host::{accept_until_shut, in_netns};
use crate::http::{read_request, write_response};
use crate::metadata::{Subject, Tokens, answer};
use crate::nft::METADATA;

/// Who lives in a network.
#[derive(Debug, Default)]
pub struct Directory {
    subjects: Mutex<HashMap<Ipv4Addr, Subject>>,
    tokens: Mutex<Tokens>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Directory {
    /// An instance moves in.
    pub fn add(&self, subject: Subject) {
        lock(&self.subjects).insert(subject.spec.private_ip, subject);
    }

    /// An instance moves out.
    pub fn remove(&self, private: Ipv4Addr) {
        lock(&self.subjects).remove(&private);
    }

    /// Replaces who has which public address.
    pub fn set_public(&self, public: &[(Ipv4Addr, Ipv4Addr)]) {
        for (private, subject) in lock(&self.subjects).iter_mut() {
            subject.public = public.iter().find(|(_, of)| of == private).map(|(address, _)| *address);
        }
    }
}

/// The running server.
pub struct Imds {
    listener: TcpListener,
}

impl Imds {
    /// Listens in the router's namespace.
    pub fn start(netns: &str, directory: Arc<Directory>) -> Result<Self> {
        let listener = in_netns(netns, || {
            TcpListener::bind((METADATA, 80)).context("listening for metadata requests")
        })?;
        let accepting = listener.try_clone()?;
        thread::spawn(move || {
            accept_until_shut(&accepting, |stream| {
                let directory = Arc::clone(&directory);
                thread::spawn(move || serve(stream, &directory));
            });
        });
        Ok(Self { listener })
    }

    /// Listens no more.
    pub fn stop(&self) {
        // Wakes the thread in accept with an error.
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
    }
}

fn serve(stream: TcpStream, directory: &Directory) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let IpAddr::V4(peer) = stream.peer_addr()?.ip() else {
        return Ok(());
    };
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        let Some(subject) = lock(&directory.subjects).get(&peer).cloned() else {
            return Ok(());
        };
        let fresh = random_token()?;
        let response = answer(&subject, &request, &mut lock(&directory.tokens), fresh, Instant::now());
        let put = request.method == "PUT";
        if put {
            // The answer dies on the way to anything further away than the instance allows. As the limit also counts for
            // retransmissions, this connection carries nothing else.
            writer.set_ttl(u32::from(subject.spec.imds_hop_limit.max(1)))?;
        }
        write_response(&mut writer, &response, request.method == "HEAD", put)?;
        if put {
            return Ok(());
        }
    }
    Ok(())
}

fn random_token() -> Result<String> {
    let mut bytes = [0u8; 28];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
