//! The root of trust: one key, one self-signed certificate, in two files of their own folder.
//!
//! `ca.key` (PKCS#8 PEM, 0600) and `ca.crt` (PEM) are made together on first start in a folder beside, which is then renamed
//! into place: they exist both or not at all. Whatever is half, foreign or out of date afterwards is an error that says what to
//! do, never a reason to quietly make a new one: a new root would lock out every agent.
//!
//! Certificates that agents check (the CA's and the link server's) are valid from 1970 on, because a host whose clock has lost
//! its battery must still be able to report; certificates that the collector checks begin an hour before they were issued.

use event::{AgentId, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber, SigningKey as _, date_time_ymd,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use x509_parser::prelude::{FromDer, X509Certificate};

const KEY_FILE: &str = "ca.key";
const CERTIFICATE_FILE: &str = "ca.crt";
const YEAR_SECS: i64 = 365 * 86_400;
const CA_YEARS: i64 = 20;
/// Longest key or certificate file read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What is wrong with the CA's files; every text names the file and the way out.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("cannot {what} {}: {source}", path.display())]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error(
        "{} is missing although {} is there: restore it from a backup; only if no agent was ever enrolled, remove the folder and start again to make a new authority",
        missing.display(), present.display()
    )]
    Missing { missing: PathBuf, present: PathBuf },
    #[error("{} is damaged: {what}; restore it from a backup (a new authority would lock out every enrolled agent)", path.display())]
    Damaged { path: PathBuf, what: &'static str },
    #[error("{} does not belong to {}: the certificate is for another key; restore the two files from the same backup", key.display(), certificate.display())]
    WrongKey { key: PathBuf, certificate: PathBuf },
    #[error("{} has run out on {not_after}: check this machine's clock; if it is right, every agent must be enrolled again with a new authority (move the folder away and start)", path.display())]
    Expired { path: PathBuf, not_after: Timestamp },
    #[error("{} can be read by others (mode {mode:o}): run `chmod 600` on it, and think about who may have read it", path.display())]
    Exposed { path: PathBuf, mode: u32 },
    #[error("cannot make a certificate: {0}")]
    Make(String),
}

/// A loaded authority, able to sign.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    not_after: Timestamp,
}

/// What was signed.
pub struct Signed {
    pub certificate: CertificateDer<'static>,
    pub serial: [u8; 16],
    pub not_after: Timestamp,
}

impl Ca {
    /// Loads the authority from its folder, or makes it if there is none yet.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, CaError> {
        let (key_path, certificate_path) = (dir.join(KEY_FILE), dir.join(CERTIFICATE_FILE));
        match (read(&key_path)?, read(&certificate_path)?) {
            (Some(key), Some(certificate)) => Self::load(&key_path, &key, &certificate_path, &certificate, now),
            (Some(_), None) => Err(CaError::Missing { missing: certificate_path, present: key_path }),
            (None, Some(_)) => Err(CaError::Missing { missing: key_path, present: certificate_path }),
            (None, None) => {
                if let Some(present) = anything_in(dir)? {
                    return Err(CaError::Missing { missing: key_path, present });
                }
                Self::create(dir, now)?;
                let (Some(key), Some(certificate)) = (read(&key_path)?, read(&certificate_path)?) else {
                    return Err(CaError::Missing { missing: key_path, present: dir.to_owned() });
                };
                Self::load(&key_path, &key, &certificate_path, &certificate, now)
            }
        }
    }

    fn load(key_path: &Path, key: &str, certificate_path: &Path, certificate: &str, now: Timestamp) -> Result<Self, CaError> {
        let damaged = |path: &Path, what| CaError::Damaged { path: path.to_owned(), what };
        let mode = std::fs::metadata(key_path).map_err(|source| file("look at", key_path, source))?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(CaError::Exposed { path: key_path.to_owned(), mode });
        }
        let der = match rustls_pemfile::certs(&mut certificate.as_bytes()).collect::<Result<Vec<_>, _>>() {
            Ok(all) => match <[CertificateDer<'static>; 1]>::try_from(all) {
                Ok([der]) => der,
                Err(all) if all.is_empty() => return Err(damaged(certificate_path, "it holds no whole certificate (cut off?)")),
                Err(_) => return Err(damaged(certificate_path, "it holds more than one certificate")),
            },
            Err(_) => return Err(damaged(certificate_path, "its PEM block is cut off or has strange characters")),
        };
        let (rest, parsed) = X509Certificate::from_der(&der).map_err(|_| damaged(certificate_path, "its certificate cannot be read"))?;
        if !rest.is_empty() || !parsed.is_ca() {
            return Err(damaged(certificate_path, "its certificate is not a certificate authority's"));
        }
        let pair = KeyPair::from_pem(key).map_err(|_| damaged(key_path, "it holds no whole private key"))?;
        if parsed.public_key().raw != pair.subject_public_key_info() {
            return Err(CaError::WrongKey { key: key_path.to_owned(), certificate: certificate_path.to_owned() });
        }
        let not_after = Timestamp::from_secs(parsed.validity().not_after.timestamp());
        if now > not_after {
            return Err(CaError::Expired { path: certificate_path.to_owned(), not_after });
        }
        let issuer =
            Issuer::from_ca_cert_der(&der, pair).map_err(|_| damaged(certificate_path, "its certificate cannot be used for signing"))?;
        Ok(Self { issuer, certificate: der, not_after })
    }

    fn create(dir: &Path, now: Timestamp) -> Result<(), CaError> {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(make)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let mark = Sha256::digest(pair.subject_public_key_info());
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Vedette authority {}", agent::identity::message::hex(mark.get(..4).unwrap_or_default())));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(SerialNumber::from_slice(&serial()?));
        set_validity(&mut params, Timestamp::ZERO, now.plus_secs(CA_YEARS * YEAR_SECS));
        let certificate = params.self_signed(&pair).map_err(make)?;

        let beside = dir.with_extension("new");
        match std::fs::remove_dir_all(&beside) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(file("remove", &beside, e)),
            _ => {}
        }
        if let Some(parent) = dir.parent() {
            std::fs::create_dir_all(parent).map_err(|e| file("create", parent, e))?;
        }
        DirBuilder::new().mode(0o700).create(&beside).map_err(|e| file("create", &beside, e))?;
        write(&beside.join(KEY_FILE), pair.serialize_pem().as_bytes())?;
        write(&beside.join(CERTIFICATE_FILE), certificate.pem().as_bytes())?;
        sync_dir(&beside)?;
        std::fs::rename(&beside, dir).map_err(|e| file("put in place", dir, e))?;
        dir.parent().map_or(Ok(()), sync_dir)
    }

    /// DER of the CA certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of the CA certificate: what enrolment lines carry.
    pub fn pin(&self) -> [u8; 32] {
        Sha256::digest(&self.certificate).into()
    }

    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// A certificate for an agent's key. Only the key comes from the outside; every name and limit is ours.
    pub fn sign_agent(&self, agent: AgentId, key: &impl PublicKeyData, validity_secs: i64, now: Timestamp) -> Result<Signed, CaError> {
        let id = agent.to_string();
        let uri = format!("{}{id}", agent::identity::certificate::URI_PREFIX);
        let mut params = self.leaf(&id, ExtendedKeyUsagePurpose::ClientAuth);
        params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(make)?)];
        self.sign(params, key, now.plus_secs(-3_600), now.plus_secs(validity_secs))
    }

    /// A certificate for the link and enrolment ports of this collector.
    pub fn sign_server(&self, names: &[String], key: &impl PublicKeyData, validity_secs: i64, now: Timestamp) -> Result<Signed, CaError> {
        let mut params = self.leaf("Vedette collector", ExtendedKeyUsagePurpose::ServerAuth);
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().map_err(make)?),
            });
        }
        self.sign(params, key, Timestamp::ZERO, now.plus_secs(validity_secs))
    }

    /// Signs a policy for agents, who hold the certificate of this key.
    pub fn sign_policy(&self, bytes: &[u8]) -> Result<Vec<u8>, CaError> {
        self.issuer.key().sign(bytes).map_err(make)
    }

    fn leaf(&self, common_name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        params
    }

    fn sign(&self, mut params: CertificateParams, key: &impl PublicKeyData, from: Timestamp, to: Timestamp) -> Result<Signed, CaError> {
        let not_after = Timestamp::from_secs(to.min(self.not_after).secs());
        let serial = serial()?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        set_validity(&mut params, from, not_after);
        let certificate = params.signed_by(key, &self.issuer).map_err(make)?;
        Ok(Signed { certificate: certificate.der().clone(), serial, not_after })
    }
}

/// Random, positive, never zero.
fn serial() -> Result<[u8; 16], CaError> {
    let mut serial = random::<16>()?;
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(serial)
}

/// Bytes from the operating system's generator.
pub(super) fn random<const N: usize>() -> Result<[u8; N], CaError> {
    let mut bytes = [0u8; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| CaError::Make("the system gives no random numbers".into()))?;
    Ok(bytes)
}

/// Sets the validity; whole seconds, never before 1970, never past the year 9999.
fn set_validity(params: &mut CertificateParams, from: Timestamp, to: Timestamp) {
    let since_1970 = |time: Timestamp| Duration::from_secs(u64::try_from(time.secs()).unwrap_or(0).min(253_402_300_799));
    params.not_before = date_time_ymd(1970, 1, 1) + since_1970(from);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(to);
}

fn make(error: rcgen::Error) -> CaError {
    CaError::Make(error.to_string())
}

fn file(what: &'static str, path: &Path, source: std::io::Error) -> CaError {
    CaError::File { what, path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<Option<String>, CaError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(opened) => opened.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|e| file("read", path, e))?,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(file("open", path, e)),
    };
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn anything_in(dir: &Path) -> Result<Option<PathBuf>, CaError> {
    match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().transpose().map(|e| e.map(|e| e.path())).map_err(|e| file("list", dir, e)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(file("list", dir, e)),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), CaError> {
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| file("create", path, e))?;
    out.write_all(bytes).and_then(|()| out.sync_all()).map_err(|e| file("write", path, e))
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), CaError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(|e| file("sync", dir, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn made() -> (tempfile::TempDir, PathBuf) {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("authority");
        Ca::open(&dir, NOW).unwrap();
        (base, dir)
    }

    #[test]
    fn made_once_and_loaded_again_with_the_same_pin() {
        let (_base, dir) = made();
        let first = Ca::open(&dir, NOW).unwrap().pin();
        assert_eq!(Ca::open(&dir, NOW.plus_secs(86_400)).unwrap().pin(), first);
        assert_eq!(std::fs::metadata(dir.join(KEY_FILE)).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_empty_folder_made_by_a_package_is_used() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("authority");
        std::fs::create_dir(&dir).unwrap();
        Ca::open(&dir, NOW).unwrap();
    }

    #[test]
    fn every_cut_of_either_file_is_an_error_that_names_it() {
        let (_base, dir) = made();
        for name in [KEY_FILE, CERTIFICATE_FILE] {
            let path = dir.join(name);
            let whole = std::fs::read(&path).unwrap();
            for cut in (0..whole.len() - 1).step_by(7) {
                std::fs::write(&path, &whole[..cut]).unwrap();
                let text = Ca::open(&dir, NOW).err().unwrap_or_else(|| panic!("{name} cut at {cut} was accepted")).to_string();
                assert!(text.contains(&path.display().to_string()) && text.contains("backup"), "{text}");
            }
            std::fs::write(&path, &whole).unwrap();
        }
        Ca::open(&dir, NOW).unwrap();
    }

    #[test]
    fn a_missing_half_is_never_replaced_quietly() {
        for name in [KEY_FILE, CERTIFICATE_FILE] {
            let (_base, dir) = made();
            std::fs::remove_file(dir.join(name)).unwrap();
            let error = Ca::open(&dir, NOW).err().unwrap();
            assert!(matches!(&error, CaError::Missing { missing, .. } if missing.ends_with(name)), "{error}");
        }
        let (_base, dir) = made();
        std::fs::write(dir.join("authority.log"), "records").unwrap();
        std::fs::remove_file(dir.join(KEY_FILE)).unwrap();
        std::fs::remove_file(dir.join(CERTIFICATE_FILE)).unwrap();
        assert!(matches!(Ca::open(&dir, NOW), Err(CaError::Missing { .. })), "records without an authority mean a lost key");
    }

    #[test]
    fn the_key_of_another_authority_is_noticed() {
        let ((_a, one), (_b, other)) = (made(), made());
        std::fs::copy(other.join(KEY_FILE), one.join(KEY_FILE)).unwrap();
        assert!(matches!(Ca::open(&one, NOW), Err(CaError::WrongKey { .. })));
    }

    #[test]
    fn out_of_date_and_exposed_are_errors() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_base, dir) = made();
        assert!(matches!(Ca::open(&dir, NOW.plus_secs(21 * YEAR_SECS)), Err(CaError::Expired { .. })));
        std::fs::set_permissions(dir.join(KEY_FILE), std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Ca::open(&dir, NOW), Err(CaError::Exposed { mode: 0o640, .. })));
    }

    #[test]
    fn an_agent_certificate_names_its_agent_and_nothing_else_does() {
        let (_base, dir) = made();
        let ca = Ca::open(&dir, NOW).unwrap();
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let signed = ca.sign_agent(AgentId(0xabc), &pair, 86_400, NOW).unwrap();
        let name = agent::identity::certificate::read(&signed.certificate).unwrap();
        assert_eq!((name.agent, name.not_after), (AgentId(0xabc), NOW.plus_secs(86_400)));
        assert_eq!(name.key, <[u8; 32]>::from(Sha256::digest(pair.subject_public_key_info())));
        let server = ca.sign_server(&["localhost".into(), "127.0.0.1".into()], &pair, 86_400, NOW).unwrap();
        assert!(agent::identity::certificate::read(&server.certificate).is_err(), "a server certificate names no agent");
        assert!(agent::identity::certificate::read(ca.certificate()).is_err(), "a CA certificate names no agent");
    }
}
