//! TLS as the agent uses it: version 1.3 only, rustls on ring (given explicitly, never the process default), the collector's
//! chain checked against the one CA that was pinned at enrolment, and the name that was dialled. There is no switch to turn
//! verification off.

use super::{Identity, certificate};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The one cryptography there is.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// For the enrolment door: no client certificate; the server is accepted only if its chain ends in the CA whose SHA-256 was given.
pub fn enrolment(pin: [u8; 32]) -> Result<ClientConfig, Error> {
    let provider = provider();
    let verifier = Arc::new(PinnedCa { pin, provider: provider.clone() });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous() // rustls' word for any verifier of one's own; this one is stricter than the usual
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// For the link: our certificate, and the pinned CA as the only root.
pub fn link(identity: &Identity) -> Result<ClientConfig, Error> {
    let ca = CertificateDer::from(identity.ca.clone());
    let mut roots = RootCertStore::empty();
    roots.add(ca)?;
    let chain = vec![CertificateDer::from(identity.certificate.clone())];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.0.clone()));
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Accepts a server whose chain carries a CA certificate with the pinned SHA-256 and is validly signed by it, for the name dialled.
#[derive(Debug)]
struct PinnedCa {
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let pinned = intermediates.iter().find(|c| {
            let digest: [u8; 32] = Sha256::digest(c.as_ref()).into();
            digest == self.pin && certificate::is_authority(c)
        });
        let Some(ca) = pinned else { return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) };
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|e| Error::General(format!("pinned CA cannot be used: {e}")))?;
        inner.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".into()))
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A TLS failure in words an operator can act on.
pub fn explain(error: &Error, host: &str) -> String {
    use CertificateError as C;
    match error {
        Error::InvalidCertificate(C::UnknownIssuer) => {
            format!(
                "the server at '{host}' is not signed by the CA that was pinned: wrong address, a different collector, or someone in between"
            )
        }
        Error::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            format!(
                "the collector's certificate is not for '{host}': use a name it has, or add '{host}' to [link] names in collector.toml and restart it"
            )
        }
        Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. } | C::NotValidYet | C::NotValidYetContext { .. }) => {
            "the collector's certificate is not valid at this host's time: check the clock of this host, then of the collector".to_owned()
        }
        Error::AlertReceived(alert) => {
            use rustls::AlertDescription as A;
            match alert {
                A::CertificateRevoked => "this agent was revoked at the collector: ask who revoked it before enrolling it again".to_owned(),
                A::AccessDenied => "the collector does not know this agent or its key: enrol again with a new enrolment line".to_owned(),
                A::CertificateExpired => "the collector says this agent's certificate has run out".to_owned(),
                A::UnknownCA | A::DecryptError | A::BadCertificate => {
                    "the collector does not accept this agent's certificate: it belongs to another collector or its CA was replaced; enrol again".to_owned()
                }
                A::CertificateRequired => "the collector demands a client certificate".to_owned(),
                other => format!("the collector ended the TLS handshake: {other:?}"),
            }
        }
        Error::InvalidMessage(_) => format!("'{host}' does not speak TLS on this port: is it the right port?"),
        other => format!("TLS: {other}"),
    }
}
