//! Facts of the certificate a TLS server shows (RFC 5280): who it says it is, who vouches for it, how long, and its fingerprint.
//!
//! Only TLS 1.2 and earlier show it in the clear; in 1.3 it is encrypted. Nothing is verified here: a certificate is what the
//! server said. Self-signed means that subject and issuer are the same bytes.
//! Limits: the first certificate of the list is read, `CHAIN_MAX` are counted; `NAMES_MAX` alternative names of `NAME_BYTES_MAX`.

use std::net::{Ipv4Addr, Ipv6Addr};

use event::{Event, Value, field};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::be24;
use super::md5::hex;

const CHAIN_MAX: usize = 16;
const NAMES_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 255;

#[derive(Debug)]
pub(super) struct Certificate {
    subject: String,
    issuer: String,
    not_before: i64,
    not_after: i64,
    names: Vec<Value>,
    serial: String,
    sha256: String,
    self_signed: bool,
    key: Option<String>,
    chain: usize,
}

impl Certificate {
    /// The server's own certificate: the first of the list in a Certificate message of TLS 1.2 and earlier.
    pub(super) fn first_of(body: &[u8]) -> Option<Self> {
        let len = be24(body, 3)?;
        let der = body.get(6..6 + len)?;
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut chain = 1;
        let mut at = 6 + len;
        while chain < CHAIN_MAX
            && let Some(len) = be24(body, at)
            && body.len() >= at + 3 + len
        {
            chain += 1;
            at += 3 + len;
        }
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map_or_else(Vec::new, |list| list.value.general_names.iter().filter_map(name).take(NAMES_MAX).collect());
        let key = certificate.public_key();
        let key = match key.parsed() {
            Ok(PublicKey::RSA(rsa)) => Some(format!("rsa {}", rsa.key_size())),
            Ok(PublicKey::EC(point)) => Some(format!("ec {}", point.key_size())),
            Ok(PublicKey::DSA(_)) => Some("dsa".to_owned()),
            _ if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => Some("ed25519".to_owned()),
            _ => None,
        };
        Some(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            not_before: certificate.validity().not_before.timestamp().saturating_mul(1000),
            not_after: certificate.validity().not_after.timestamp().saturating_mul(1000),
            names,
            serial: hex(certificate.raw_serial().get(..32).unwrap_or_else(|| certificate.raw_serial())),
            sha256: hex(&Sha256::digest(der)),
            self_signed: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            key,
            chain,
        })
    }

    pub(super) fn describe(self, event: &mut Event) {
        let body = &mut event.body;
        body.set(field::TLS_CERT_SUBJECT, self.subject);
        body.set(field::TLS_CERT_ISSUER, self.issuer);
        body.set(field::TLS_CERT_BEGINS, self.not_before);
        body.set(field::TLS_CERT_EXPIRES, self.not_after);
        if !self.names.is_empty() {
            body.set(field::TLS_CERT_SANS, self.names);
        }
        body.set(field::TLS_CERT_SERIAL, self.serial);
        body.set(field::TLS_CERT_SHA256, self.sha256);
        body.set(field::TLS_CERT_SELF_SIGNED, self.self_signed);
        body.set(field::TLS_CERT_CHAIN, self.chain);
        body.set_some(field::TLS_CERT_KEY, self.key);
    }
}

fn name(name: &GeneralName<'_>) -> Option<Value> {
    let cut = |text: &str| {
        let end = (0..=NAME_BYTES_MAX.min(text.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        Value::from(&text[..end])
    };
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some(cut(text)),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|a| Value::from(Ipv4Addr::from(a).to_string())),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|a| Value::from(Ipv6Addr::from(a).to_string())),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
