//! Asking for a certificate: over TLS pinned to the CA in the enrolment line, one request, one answer.

use super::message::{self, Answer, HEAD_BYTES, Invitation, Request};
use super::{FILE, Identity, IdentityError, files, tls};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData};
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Everything from dialling to the answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Enrols this host and stores its identity in `dir`. Safe to repeat after a crash at any point, with the same line.
///
/// # Errors
/// An identity is there already and `replace` is false; the collector cannot be reached, is not the pinned one, or refuses.
pub async fn enrol(dir: &Path, invitation: &Invitation, replace: bool) -> Result<Identity, IdentityError> {
    if !replace && let Ok(there) = Identity::load(dir) {
        return Err(IdentityError::AlreadyEnrolled { path: dir.join(FILE), agent: there.agent });
    }
    let key = files::pending_key(dir)?;
    let pair = files::pair(&key).ok_or(IdentityError::Key("the pending key cannot be read".into()))?;
    let csr = signing_request(&pair)?;
    let request = Request::Enrol { token: &invitation.token, csr: &csr };
    let issued = ask(&invitation.address, invitation.pin, &request).await?;
    let (host, _) = invitation.host_port().ok_or(IdentityError::Strange { address: invitation.address.clone(), what: "an address" })?;
    let collector = message::join_host_port(host, issued.link_port);
    let identity = files::assemble(collector, invitation.address.clone(), key, issued.certificate, issued.ca)
        .map_err(|what| IdentityError::Strange { address: invitation.address.clone(), what })?;
    if identity.pin() != invitation.pin {
        return Err(IdentityError::Strange { address: invitation.address.clone(), what: "a CA other than the pinned one" });
    }
    identity.store(dir)?;
    Ok(identity)
}

/// Gets a new certificate for the key this agent already has: after a long outage the old one may have run out. The collector
/// counts these and limits them.
pub async fn recover(dir: &Path, identity: &Identity) -> Result<Identity, IdentityError> {
    let pair = files::pair(&identity.key).ok_or(IdentityError::Key("the stored key cannot be read".into()))?;
    let csr = signing_request(&pair)?;
    let print = Sha256::digest(pair.subject_public_key_info()).into();
    let issued = ask(&identity.enrolment, identity.pin(), &Request::Recover { key: print, csr: &csr }).await?;
    let renewed = identity.renewed(identity.key.clone(), issued.certificate)?;
    renewed.store(dir)?;
    Ok(renewed)
}

/// PKCS#10 with nothing in it but the key: who the agent is, the collector decides.
pub(super) fn signing_request(pair: &KeyPair) -> Result<Vec<u8>, IdentityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(pair).map_err(|e| IdentityError::Key(e.to_string()))?;
    Ok(request.der().to_vec())
}

struct Issued {
    certificate: Vec<u8>,
    ca: Vec<u8>,
    link_port: u16,
}

async fn ask(address: &str, pin: [u8; 32], request: &Request<'_>) -> Result<Issued, IdentityError> {
    let silent = |_| IdentityError::Silent { address: address.to_owned(), seconds: PATIENCE.as_secs() };
    tokio::time::timeout(PATIENCE, converse(address, pin, request)).await.map_err(silent)?
}

async fn converse(address: &str, pin: [u8; 32], request: &Request<'_>) -> Result<Issued, IdentityError> {
    let strange = |what| IdentityError::Strange { address: address.to_owned(), what };
    let unreachable = |source| IdentityError::Unreachable { address: address.to_owned(), source };
    let (host, port) = message::split_host_port(address).ok_or(strange("an address that is not host:port"))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| strange("a host name that is none"))?;
    let config = tls::enrolment(pin).map_err(|e| IdentityError::Tls(tls::explain(&e, host)))?;
    let tcp = TcpStream::connect((host, port)).await.map_err(unreachable)?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let broken = |e: std::io::Error| match e.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => IdentityError::Tls(tls::explain(error, host)),
        None => IdentityError::Tls(format!(
            "{address} closed the connection before it answered ({e}): too many failed attempts from here, or not an enrolment port"
        )),
    };
    let mut stream = connector.connect(name, tcp).await.map_err(broken)?;
    let bytes = request.to_bytes().ok_or(strange("a request over the limit"))?;
    stream.write_all(&bytes).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut head = [0u8; HEAD_BYTES];
    stream.read_exact(&mut head).await.map_err(broken)?;
    let length = message::body_length(head, message::ANSWER_BYTES_MAX).ok_or(strange("bytes that are no answer"))?;
    let mut body = vec![0u8; length];
    stream.read_exact(&mut body).await.map_err(broken)?;
    let _ = stream.shutdown().await; // the answer is complete; a rude end of the connection changes nothing
    match Answer::parse(&body).ok_or(strange("an answer that cannot be read"))? {
        Answer::Issued { certificate, ca, link_port } => Ok(Issued { certificate: certificate.to_vec(), ca: ca.to_vec(), link_port }),
        Answer::Refused(reason) => Err(IdentityError::Refused(reason)),
    }
}
