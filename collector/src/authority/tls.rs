//! TLS as the collector speaks it on both its ports: version 1.3 only, rustls on ring (given explicitly, never the process
//! default), a server certificate of the collector's own authority that renews itself at half life without a restart, no session
//! resumption (so that every connection shows its certificate anew).

use super::{Authority, AuthorityError, Clock};
use agent::identity::{Refusal, certificate};
use event::Timestamp;
use rcgen::KeyPair;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The certificate both ports show; its key lives in memory only and changes with each renewal.
pub struct ServerCertificate {
    authority: Arc<Authority>,
    clock: Clock,
    current: Mutex<Current>,
}

struct Current {
    key: Arc<CertifiedKey>,
    renew_at: Timestamp,
}

impl ServerCertificate {
    pub fn new(authority: Arc<Authority>, clock: Clock) -> Result<Arc<Self>, AuthorityError> {
        let current = Mutex::new(make(&authority, clock())?);
        Ok(Arc::new(Self { authority, clock, current }))
    }

    /// For the link port: the handshake ends well only for an agent that is in the register, with a key of its own, not revoked.
    pub fn link_config(self: &Arc<Self>) -> Result<ServerConfig, AuthorityError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.ca().certificate().clone())?;
        let provider = agent::identity::tls::provider();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|e| rustls::Error::General(format!("client verifier: {e}")))?;
        let verifier = Arc::new(AgentVerifier { inner: verifier, authority: self.authority.clone() });
        let mut config = self.builder()?.with_client_cert_verifier(verifier).with_cert_resolver(self.clone());
        harden(&mut config);
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }

    /// For the enrolment port: strangers have no certificate yet.
    pub fn enrolment_config(self: &Arc<Self>) -> Result<ServerConfig, AuthorityError> {
        let mut config = self.builder()?.with_no_client_auth().with_cert_resolver(self.clone());
        harden(&mut config);
        Ok(config)
    }

    fn builder(&self) -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>, AuthorityError> {
        let time = Arc::new(ClockTime(self.clock.clone()));
        let builder = ServerConfig::builder_with_details(agent::identity::tls::provider(), time);
        Ok(builder.with_protocol_versions(&[&rustls::version::TLS13])?)
    }
}

fn harden(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
}

fn make(authority: &Authority, now: Timestamp) -> Result<Current, AuthorityError> {
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|e| super::CaError::Make(e.to_string()))?;
    let signed = authority.ca().sign_server(authority.names(), &pair, authority.config().server_validity_secs, now)?;
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let key = agent::identity::tls::provider().key_provider.load_private_key(der)?;
    // The CA goes along, because an agent that enrols knows only its digest.
    let chain = vec![signed.certificate, authority.ca().certificate().clone()];
    let renew_at = now.plus_ns(signed.not_after.since(now) / 2);
    Ok(Current { key: Arc::new(CertifiedKey::new(chain, key)), renew_at })
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let now = (self.clock)();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= current.renew_at {
            match make(&self.authority, now) {
                Ok(fresh) => *current = fresh,
                // The old one is good for as long again; the next connection tries once more.
                Err(error) => tracing::error!(%error, "server certificate not renewed"),
            }
        }
        Some(current.key.clone())
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCertificate")
    }
}

/// Signature, purpose and validity are rustls' judgement; who it is and whether it is still welcome, the register's. Done within the
/// handshake, so that a refused agent learns why from the alert and no byte of its is ever parsed as anything else.
#[derive(Debug)]
struct AgentVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    authority: Arc<Authority>,
}

impl ClientCertVerifier for AgentVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        let name = certificate::read(end_entity).map_err(|_| rustls::Error::InvalidCertificate(CertificateError::InvalidPurpose))?;
        self.authority.admit(&name).map_err(|reason| {
            rustls::Error::InvalidCertificate(match reason {
                Refusal::Revoked => CertificateError::Revoked,
                _ => CertificateError::ApplicationVerificationFailure,
            })
        })?;
        Ok(verified)
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken here".into()))
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
    fn offer_client_auth(&self) -> bool {
        true
    }
    fn client_auth_mandatory(&self) -> bool {
        true
    }
}

/// rustls judges validity by the same clock as everyone else here.
struct ClockTime(Clock);

impl rustls::time_provider::TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        let secs = u64::try_from((self.0)().secs()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(secs)))
    }
}

impl fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClockTime")
    }
}
