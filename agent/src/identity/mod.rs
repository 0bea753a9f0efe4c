//! Who this agent is: its key, its certificate and the one CA it trusts.
//!
//! Kept in one file, `identity.pem` (0600) in the state folder, written beside and renamed over: there is never a moment with
//! a new certificate and an old key, or with none. While enrolling, the fresh key lies in `identity.pending`, so that a crash
//! between asking and being answered loses nothing: the collector gives the same key its certificate again for the same token.

pub mod certificate;
mod enrol;
mod files;
pub mod message;
pub mod tls;

pub use enrol::{enrol, recover};
pub use message::{Invitation, InvitationError, Refusal};

use event::{AgentId, Timestamp};
use std::fmt;
use std::path::{Path, PathBuf};

/// Name of the identity file in the state folder.
pub const FILE: &str = "identity.pem";
/// Name of the file that holds a key not yet certified.
pub const PENDING_FILE: &str = "identity.pending";

/// A complete, consistent identity: the certificate is for the key, and names the agent.
#[derive(Debug, Clone)]
pub struct Identity {
    pub agent: AgentId,
    /// `host:port` of the link port, learnt at enrolment.
    pub collector: String,
    /// `host:port` of the enrolment port, for recovery.
    pub enrolment: String,
    /// DER.
    pub certificate: Vec<u8>,
    /// DER; the only root this agent trusts.
    pub ca: Vec<u8>,
    pub key: SecretKey,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// A private key, PKCS#8 DER. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(pub(crate) Vec<u8>);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Why there is no identity; every text names the file or the peer, and the way out.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("not enrolled: there is no {}; get an enrolment line from the collector (`vedette enrol-token`) and run `vedette-agent enrol LINE`", path.display())]
    Absent { path: PathBuf },
    #[error("already enrolled as {agent} ({}): nothing was changed; add --replace to give this host a new identity", path.display())]
    AlreadyEnrolled { path: PathBuf, agent: AgentId },
    #[error("{} is damaged: {what}; restore it from a backup, or remove it and enrol this host again", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot reach the collector at {address}: {source}; check the address, the port, and any firewall in between")]
    Unreachable { address: String, source: std::io::Error },
    #[error("no answer from {address} within {seconds} s: is it the enrolment port?")]
    Silent { address: String, seconds: u64 },
    #[error("{0}")]
    Tls(String),
    #[error("{0}")]
    Refused(Refusal),
    #[error("{address} answered what no collector says: {what}")]
    Strange { address: String, what: &'static str },
    #[error("cannot make a key: {0}")]
    Key(String),
}

impl Identity {
    /// Reads the identity of this host.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        files::load(&dir.join(FILE))
    }

    /// Replaces the stored identity in one step: crash before it and the old one is whole, after it and the new one is.
    pub fn store(&self, dir: &Path) -> Result<(), IdentityError> {
        files::store(dir, self)
    }

    /// True from half life on: time for a new certificate. `now` by the collector's clock where its offset is known.
    pub fn renewal_due(&self, now: Timestamp) -> bool {
        let life = self.not_after.since(self.not_before).max(0);
        now.since(self.not_after) >= -(life / 2)
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        now > self.not_after
    }

    /// SHA-256 of the CA certificate.
    pub fn pin(&self) -> [u8; 32] {
        use sha2::Digest as _;
        sha2::Sha256::digest(&self.ca).into()
    }

    /// A new key and the signing request for it, for renewal.
    pub fn fresh_key() -> Result<(SecretKey, Vec<u8>), IdentityError> {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|e| IdentityError::Key(e.to_string()))?;
        let csr = enrol::signing_request(&pair)?;
        Ok((SecretKey(pair.serialize_der()), csr))
    }

    /// The same agent with a new certificate; refused unless it is for this key and this agent.
    pub fn renewed(&self, key: SecretKey, certificate: Vec<u8>) -> Result<Self, IdentityError> {
        let identity = files::assemble(self.collector.clone(), self.enrolment.clone(), key, certificate, self.ca.clone())
            .map_err(|what| IdentityError::Strange { address: self.collector.clone(), what })?;
        if identity.agent != self.agent {
            return Err(IdentityError::Strange { address: self.collector.clone(), what: "a certificate for another agent" });
        }
        Ok(identity)
    }
}
