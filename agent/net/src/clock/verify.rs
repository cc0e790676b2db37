//! A verifier for a machine that does not know the time.

use super::validity::validity;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::{Arc, Mutex, PoisonError};

/// What the server showed, to be verified again at the time it tells.
struct Shown {
    leaf: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
}

/// Verifies chain, name and signatures as always, but at a time inside the leaf's own validity. For one connection.
pub(super) struct TimelessVerifier {
    inner: Arc<WebPkiServerVerifier>,
    not_before: UnixTime,
    shown: Mutex<Option<Shown>>,
}

impl std::fmt::Debug for TimelessVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TimelessVerifier")
    }
}

impl TimelessVerifier {
    pub(super) fn new(inner: Arc<WebPkiServerVerifier>, not_before: UnixTime) -> Self {
        TimelessVerifier {
            inner,
            not_before,
            shown: Mutex::new(None),
        }
    }

    /// Verifies what was shown once more, now at the time the server told.
    pub(super) fn verify_at(&self, time: UnixTime) -> Result<(), Error> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = shown.as_ref().ok_or(Error::NoCertificatesPresented)?;
        self.inner
            .verify_server_cert(&shown.leaf, &shown.intermediates, &shown.name, &[], time)
            .map(|_| ())
    }
}

impl ServerCertVerifier for TimelessVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let bad = Error::InvalidCertificate(CertificateError::BadEncoding);
        let (from, until) = validity(end_entity).ok_or(bad)?;
        // A certificate that ended before the image was built says nothing about today.
        if until.as_secs() < self.not_before.as_secs() {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        let inside = if from.as_secs() < self.not_before.as_secs() {
            self.not_before
        } else {
            from
        };
        let verified = self
            .inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, inside)?;
        let shown = Shown {
            leaf: end_entity.clone().into_owned(),
            intermediates: intermediates.iter().map(|one| one.clone().into_owned()).collect(),
            name: server_name.to_owned(),
        };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
