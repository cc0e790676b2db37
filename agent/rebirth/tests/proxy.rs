//! Where only a proxy leads out: the clients of the cluster's API and of the Git repository go through a real tinyproxy, which learns host and port and nothing else.

// The helpers of a test may fail as loudly as the test itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use skykeep_cluster::api::{self, Addresses};
use skykeep_cluster::pki::AdminIdentity;
use skykeep_core::http::Trust;
use skykeep_core::way::Way;
use skykeep_core::{Deadline, Secret, castle::Castle};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// One address for the API (its port is fixed) that nothing else on a machine uses.
const OURS: [u8; 4] = [127, 9, 7, 5];

struct Proxy {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Proxy {
    fn start() -> Proxy {
        let folder = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let settings = folder.path().join("conf");
        let text = format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nLogLevel Connect\n");
        std::fs::write(&settings, text).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(settings).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().expect("tinyproxy (tests/install-needs)");
        let began = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "tinyproxy did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Proxy { child, folder, port }
    }

    fn way(&self) -> Way {
        let proxy = format!("http://127.0.0.1:{}", self.port).parse().unwrap();
        Way {
            proxy: Some(proxy),
            nat64: None,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Server {
    ca: rcgen::Certificate,
    port: u16,
    heard: Arc<Mutex<String>>,
}

/// A TLS server for this name that answers every request with `status` and keeps what it was asked.
async fn server(at: ([u8; 4], u16), name: &str, status: &'static str) -> Server {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = authority.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(authority, ca_key);
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((std::net::Ipv4Addr::from(at.0), at.1)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(String::new()));
    let keep = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut request = vec![0; 8192];
            let length = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(request.get(..length).unwrap_or_default()).into_owned();
            keep.lock().unwrap().push_str(&request);
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    Server { ca, port, heard }
}

#[tokio::test]
async fn the_clusters_api_is_reached_through_the_proxy() {
    let proxy = Proxy::start();
    let server = server((OURS, skykeep_cluster::API_PORT), skykeep_cluster::API_NAME, "200 OK").await;
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["admin".to_owned()]).unwrap();
    let identity = AdminIdentity {
        ca: server.ca.pem(),
        ca_der: server.ca.der().to_vec(),
        certificate: own.self_signed(&key).unwrap().pem(),
        key: Secret::from_string(key.serialize_pem()),
    };
    let addresses = Addresses::by(proxy.way());
    addresses.set(vec![OURS.into()]);
    let deadline = Deadline::after(Duration::from_secs(20));
    let client = api::connect(&addresses, &identity, deadline).await;
    assert!(client.is_ok(), "{:?}; {}", client.err(), proxy.log());
    assert!(
        server.heard.lock().unwrap().contains("GET /readyz"),
        "TLS ends at the API"
    );
    let log = proxy.log();
    assert!(
        log.contains("CONNECT 127.9.7.5:6443") && !log.contains("readyz"),
        "{log}"
    );
}

#[tokio::test]
async fn the_repository_is_asked_through_the_proxy_which_sees_no_token() {
    let proxy = Proxy::start();
    let server = server(([127, 0, 0, 1], 0), "localhost", "404 Not Found").await;
    let castle = Castle::parse(include_str!("../../../tests/castle/castle.yaml")).unwrap();
    let mut gitops = castle.gitops;
    gitops.url = format!("https://localhost:{}/castle.git", server.port).parse().unwrap();
    let trust = Trust::with_extra_pem(server.ca.pem().as_bytes())
        .unwrap()
        .by(proxy.way());
    let token = Secret::from_string("secret-word".into());
    let deadline = Deadline::after(Duration::from_secs(20));
    let fetched = skykeep_gitops::fetch(&gitops, None, &token, &trust, deadline).await;
    assert!(fetched.is_err(), "there is no repository");
    assert!(
        server.heard.lock().unwrap().contains("GET /castle.git/info/refs"),
        "TLS ends at the server"
    );
    let log = proxy.log();
    assert!(log.contains(&format!("CONNECT localhost:{}", server.port)), "{log}");
    assert!(!log.contains("secret-word") && !log.contains("castle.git"), "{log}");
}
