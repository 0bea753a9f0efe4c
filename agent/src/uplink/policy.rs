//! Signed policy from the collector: checked before anything in it is looked at, then put together and handed to the edge.
//!
//! The signature is the authority's own, whose certificate every enrolled agent holds; a message of another key, of another kind's name or
//! with a bit changed is counted and dropped. The revision in force is kept on disk, so that an agent started anew takes nothing older.

use std::path::{Path, PathBuf};

use indicator::edge::{Assembler, Complete, POLICY_KIND};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use wire::link::Policy;
use x509_parser::prelude::{FromDer, X509Certificate};

const FILE: &str = "policy.revision";
/// Bytes of an uncompressed point on P-256.
const P256_POINT: usize = 65;

/// Why a policy was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("its signature is not the authority's")]
    Signature,
    #[error("this agent knows no policy of that kind")]
    Kind,
    #[error("{0}")]
    Indicators(#[from] indicator::edge::EdgeError),
}

/// What this agent has been told.
pub struct Policies {
    authority: Vec<u8>,
    file: PathBuf,
    indicators: Assembler,
}

impl Policies {
    /// `authority` is the CA's certificate, DER.
    pub fn open(authority: &[u8], state: &Path) -> Self {
        let file = state.join(FILE);
        let revision = std::fs::read_to_string(&file).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0);
        Self { authority: authority.to_vec(), file, indicators: Assembler::resuming(revision) }
    }

    /// Takes a message; all indicators once the last part is there.
    pub fn take(&mut self, policy: &Policy) -> Result<Option<Complete>, PolicyError> {
        if !signed_by(&self.authority, policy) {
            return Err(PolicyError::Signature);
        }
        if policy.kind != POLICY_KIND {
            return Err(PolicyError::Kind);
        }
        let before = self.indicators.revision();
        let complete = self.indicators.take(policy.revision, &policy.body)?;
        if self.indicators.revision() != before {
            let fresh = self.file.with_extension("new");
            let kept = std::fs::write(&fresh, self.indicators.revision().to_string()).and_then(|()| std::fs::rename(&fresh, &self.file));
            if let Err(error) = kept {
                tracing::warn!(%error, file = %self.file.display(), "revision of the policy not kept");
            }
        }
        Ok(complete)
    }
}

fn signed_by(authority: &[u8], policy: &Policy) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(authority) else { return false };
    let point = &certificate.public_key().subject_public_key.data;
    let algorithm: &'static dyn ring::signature::VerificationAlgorithm =
        if point.len() == P256_POINT { &ECDSA_P256_SHA256_ASN1 } else { &ECDSA_P384_SHA384_ASN1 };
    UnparsedPublicKey::new(algorithm, point.as_ref()).verify(&policy.signed_bytes(), &policy.signature).is_ok()
}
