//! Who a certificate names. The same strict reading on both sides: what is not exactly ours is nobody.
//!
//! An agent certificate names its agent twice: common name = 16 hex digits, and one URI among the alternative names,
//! `vedette://agent/<16 hex digits>`. Both must be there, agree, and be the only ones of their kind; the certificate must be
//! for client authentication and must not be a CA's. Signature and validity are rustls' work, before this is called.

use event::{AgentId, Timestamp};
use rcgen::{CertificateSigningRequestParams, PublicKeyData};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest certificate looked at; ours are about 500 bytes.
pub const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;

/// What an agent certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    pub agent: AgentId,
    /// SHA-256 of the subject public key info.
    pub key: [u8; 32],
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// Why a certificate names no agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("the certificate is too long")]
    TooLong,
    #[error("the certificate cannot be read")]
    Unreadable,
    #[error("the certificate is not for client authentication")]
    Purpose,
    #[error("the certificate does not name exactly one agent")]
    NoAgent,
    #[error("the certificate's two names differ")]
    Mismatch,
}

/// Reads the agent's name out of an end-entity certificate (DER).
pub fn read(der: &[u8]) -> Result<Name, NameError> {
    if der.len() > CERTIFICATE_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| NameError::Unreadable)?;
    if !rest.is_empty() {
        return Err(NameError::Unreadable);
    }
    let usage = certificate.extended_key_usage().map_err(|_| NameError::Unreadable)?.ok_or(NameError::Purpose)?;
    if certificate.is_ca() || !usage.value.client_auth || usage.value.server_auth || usage.value.any {
        return Err(NameError::Purpose);
    }
    let mut common = certificate.subject().iter_common_name();
    let (Some(name), None) = (common.next(), common.next()) else { return Err(NameError::NoAgent) };
    let common: AgentId = name.as_str().ok().and_then(|t| t.parse().ok()).ok_or(NameError::NoAgent)?;
    let alternative = certificate.subject_alternative_name().map_err(|_| NameError::Unreadable)?.ok_or(NameError::NoAgent)?;
    let [GeneralName::URI(uri)] = alternative.value.general_names.as_slice() else { return Err(NameError::NoAgent) };
    let agent: AgentId = uri.strip_prefix(URI_PREFIX).and_then(|t| t.parse().ok()).ok_or(NameError::NoAgent)?;
    if agent != common {
        return Err(NameError::Mismatch);
    }
    let validity = certificate.validity();
    Ok(Name {
        agent,
        key: Sha256::digest(certificate.public_key().raw).into(),
        not_before: Timestamp::from_secs(validity.not_before.timestamp()),
        not_after: Timestamp::from_secs(validity.not_after.timestamp()),
    })
}

/// The public key of a signing request (PKCS#10) that proved possession of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    pub public: rcgen::PublicKey,
    /// SHA-256 of the subject public key info.
    pub key: [u8; 32],
}

/// Reads a signing request and checks its signature. Names, extensions and attributes in it are ignored: who the agent is, the
/// collector decides. `None` for what cannot be read, is not signed by its own key, or is neither ECDSA P-256 nor Ed25519.
pub fn read_request(csr: &[u8]) -> Option<RequestKey> {
    let request = CertificateSigningRequestParams::from_der(&csr.into()).ok()?;
    let algorithm = request.public_key.algorithm();
    if *algorithm != rcgen::PKCS_ECDSA_P256_SHA256 && *algorithm != rcgen::PKCS_ED25519 {
        return None;
    }
    let key = Sha256::digest(request.public_key.subject_public_key_info()).into();
    Some(RequestKey { public: request.public_key, key })
}

/// Start of the URI that names an agent.
pub const URI_PREFIX: &str = "vedette://agent/";

/// True if these bytes are one certificate authority's certificate, nothing before or after it.
pub fn is_authority(der: &[u8]) -> bool {
    der.len() <= CERTIFICATE_BYTES_MAX && X509Certificate::from_der(der).is_ok_and(|(rest, c)| rest.is_empty() && c.is_ca())
}
