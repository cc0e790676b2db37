//! The clock against real TLS servers on loopback that tell what they like.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls_pki_types::PrivateKeyDer;
use skykeep_core::http::Trust;
use skykeep_net::{NetError, clock};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

type Failure = Box<dyn std::error::Error>;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Result<Self, Failure> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2040, 1, 1);
        let pem = params.self_signed(&key)?.pem();
        Ok(Authority {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// A server on loopback with a certificate for 2026 that tells `date`. Its `host:port`.
    async fn server(&self, date: &str) -> Result<String, Failure> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".into()])?;
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der())?,
            )?;
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let answer = format!("HTTP/1.1 404 Not Found\r\nDate: {date}\r\n\r\n");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Ok(format!("localhost:{port}"))
    }
}

const MAY: &str = "Mon, 11 May 2026 10:00:00 GMT";

fn seconds(text: &str) -> Result<SystemTime, Failure> {
    Ok(httpdate::parse_http_date(text)?)
}

async fn measure(
    authority: &Authority,
    dates: &[&str],
    built: &str,
) -> Result<Result<clock::Reading, NetError>, Failure> {
    let mut hosts = Vec::new();
    for date in dates {
        hosts.push(authority.server(date).await?);
    }
    let trust = Trust::with_extra_pem(authority.pem.as_bytes()).map_err(|e| e.to_string())?;
    Ok(clock::measure(&hosts, &trust, seconds(built)?, Duration::from_secs(10)).await)
}

#[tokio::test]
async fn the_time_is_learned_whatever_this_machines_own_clock_says() -> Result<(), Failure> {
    // The real clock of the machine that runs the test is not looked at: the servers live in May 2026.
    let reading = measure(&Authority::new()?, &[MAY, MAY, MAY], "Thu, 09 Oct 2025 00:00:00 GMT").await??;
    assert_eq!(reading.hosts(), 3);
    let off = reading.now().duration_since(seconds(MAY)?)?;
    assert!(off < Duration::from_secs(10), "{off:?}");
    Ok(())
}

#[tokio::test]
async fn a_host_that_tells_a_time_outside_its_certificate_does_not_count() -> Result<(), Failure> {
    let outside = "Mon, 11 May 2037 10:00:00 GMT";
    let error = measure(&Authority::new()?, &[MAY, outside], "Thu, 09 Oct 2025 00:00:00 GMT")
        .await?
        .err();
    assert!(
        matches!(&error, Some(NetError::NoTime { answers, .. }) if answers.iter().any(|a| a.contains("2037"))),
        "{error:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_certificate_of_another_authority_does_not_count() -> Result<(), Failure> {
    let stranger = Authority::new()?;
    let hosts = [stranger.server(MAY).await?, stranger.server(MAY).await?];
    let trust = Trust::with_extra_pem(Authority::new()?.pem.as_bytes()).map_err(|e| e.to_string())?;
    let error = clock::measure(&hosts, &trust, SystemTime::UNIX_EPOCH, Duration::from_secs(10))
        .await
        .err();
    assert!(matches!(error, Some(NetError::NoTime { .. })), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_ended_before_the_image_was_built_does_not_count() -> Result<(), Failure> {
    let error = measure(&Authority::new()?, &[MAY, MAY], "Thu, 09 Oct 2031 00:00:00 GMT")
        .await?
        .err();
    assert!(matches!(error, Some(NetError::NoTime { .. })), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_time_before_the_image_was_built_is_refused() -> Result<(), Failure> {
    let error = measure(&Authority::new()?, &[MAY, MAY], "Fri, 09 Oct 2026 00:00:00 GMT")
        .await?
        .err();
    assert!(matches!(error, Some(NetError::TimeTooEarly { .. })), "{error:?}");
    Ok(())
}
