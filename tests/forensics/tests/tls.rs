//! What a TLS client of our libraries holds in its memory is found there, by what the server's side knows: the control of the searches that must find nothing.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use forensics::{Needles, keys::Found, search};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, KeyLog, RootCertStore, ServerConfig, ServerConnection, Stream,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

const FOLDER: &str = "SKYKEEP_TLS_CLIENT";

#[derive(Debug, Default)]
struct Logged(Mutex<Vec<(String, Vec<u8>)>>);

impl KeyLog for Logged {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        self.0.lock().unwrap().push((label.to_owned(), secret.to_vec()));
    }
}

fn certificate(folder: &Path, name: &str) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    fs::write(
        folder.join(format!("{name}.crt")),
        params.self_signed(&key).unwrap().pem(),
    )
    .unwrap();
    fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

fn identity(folder: &Path, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_file(folder.join(format!("{name}.crt"))).unwrap();
    (
        vec![certificate],
        PrivateKeyDer::from_pem_file(folder.join(format!("{name}.key"))).unwrap(),
    )
}

fn roots(folder: &Path, name: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(identity(folder, name).0.remove(0)).unwrap();
    roots
}

/// Runs in a process of its own, which the test below starts: as the product talks to the castle's API.
#[test]
#[ignore = "the other test's client"]
fn client() {
    let folder = std::env::var(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let (chain, key) = identity(folder, "somebody");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(folder, "server"))
        .with_client_auth_cert(chain, key)
        .unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut tcp = TcpStream::connect(fs::read_to_string(folder.join("address")).unwrap()).unwrap();
    let mut stream = Stream::new(&mut tls, &mut tcp);
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    println!("connected");
    // Until the test goes.
    let _ = std::io::stdin().read(&mut answer);
}

/// Everything that a process may write to.
fn memory_of(pid: u32) -> Vec<u8> {
    let mut memory = Vec::new();
    let file = File::open(format!("/proc/{pid}/mem")).unwrap();
    for line in BufReader::new(File::open(format!("/proc/{pid}/maps")).unwrap()).lines() {
        let line = line.unwrap();
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut part = vec![0; usize::try_from(to - from).unwrap()];
        if rest.starts_with("rw") && file.read_exact_at(&mut part, from).is_ok() {
            memory.extend(part);
        }
    }
    memory
}

#[test]
fn a_clients_session_secrets_its_keys_and_its_private_key_are_found_in_its_memory() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for name in ["server", "somebody"] {
        certificate(at, name);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    fs::write(at.join("address"), listener.local_addr().unwrap().to_string()).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(at, "somebody")), Arc::clone(&provider));
    let (chain, key) = identity(at, "server");
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    let logged = Arc::new(Logged::default());
    config.key_log = logged.clone();

    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "client", "--ignored", "--nocapture"])
        .env(FOLDER, at)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut tcp, _) = listener.accept().unwrap();
    let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
    let mut stream = Stream::new(&mut tls, &mut tcp);
    let mut said = [0; 5];
    stream.read_exact(&mut said).unwrap();
    stream.write_all(&said).unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("connected")));
    let memory = memory_of(child.id());
    drop(child.stdin.take());
    child.wait().unwrap();

    let found = Found::in_memory(memory.clone());
    let key = KeyPair::from_pem(&fs::read_to_string(at.join("somebody.key")).unwrap()).unwrap();
    assert_eq!(found.keys_of("somebody").unwrap(), [&key.serialize_der()[36..68]]);

    let mut needles = Needles::default();
    needles
        .add_scalar("private key", key.serialize_der()[36..68].try_into().unwrap())
        .unwrap();
    for (label, secret) in logged.0.lock().unwrap().iter() {
        needles.add_session(label, secret);
    }
    let dump = at.join("dump");
    fs::write(&dump, memory).unwrap();
    let found = search(&dump, &needles).unwrap();
    assert!(
        found.forms_of("private key").contains(&"as ring keeps it to sign"),
        "{found}"
    );
    for label in ["CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"] {
        let forms = found.forms_of(label);
        // Both the secret, kept for a change of keys, and what the cipher works with.
        assert!(
            forms.contains(&"secret") && forms.len() > 1,
            "{label}: {forms:?}\n{found}"
        );
    }
}
