//! The identity on disk: one PEM file with two lines of text before the blocks (`collector:` and `enrolment:`), mode 0600,
//! replaced by rename.

use super::{FILE, Identity, IdentityError, PENDING_FILE, SecretKey, certificate, message};
use rcgen::{KeyPair, PublicKeyData};
use rustls_pemfile::Item;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Longest identity file read; ours are about 2 KiB.
const FILE_BYTES_MAX: u64 = 64 * 1024;

pub(super) fn load(path: &Path) -> Result<Identity, IdentityError> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(IdentityError::Absent { path: path.to_owned() }),
        Err(source) => return Err(IdentityError::File { what: "read", path: path.to_owned(), source }),
    };
    parse(&text).map_err(|what| IdentityError::Damaged { path: path.to_owned(), what: what.to_owned() })
}

fn parse(text: &str) -> Result<Identity, &'static str> {
    let line = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).map(|v| v.trim().to_owned());
    let address = |text: Option<String>| text.filter(|a| message::split_host_port(a).is_some());
    let collector = address(line("collector:")).ok_or("the line 'collector: host:port' is missing or wrong")?;
    let enrolment = address(line("enrolment:")).ok_or("the line 'enrolment: host:port' is missing or wrong")?;
    let (mut key, mut certificates) = (None, Vec::new());
    for item in rustls_pemfile::read_all(&mut text.as_bytes()) {
        match item.map_err(|_| "a PEM block is cut off or has strange characters")? {
            Item::Pkcs8Key(der) if key.is_none() => key = Some(SecretKey(der.secret_pkcs8_der().to_vec())),
            Item::X509Certificate(der) if certificates.len() < 2 => certificates.push(der.to_vec()),
            _ => return Err("it has a PEM block too many or of an unknown kind"),
        }
    }
    let key = key.ok_or("the private key is missing or cut off")?;
    let [own, ca] =
        <[Vec<u8>; 2]>::try_from(certificates).map_err(|_| "a certificate is missing or cut off (expected the agent's, then the CA's)")?;
    assemble(collector, enrolment, key, own, ca)
}

/// An identity whose parts fit together, or why they do not.
pub(super) fn assemble(collector: String, enrolment: String, key: SecretKey, own: Vec<u8>, ca: Vec<u8>) -> Result<Identity, &'static str> {
    let pair = pair(&key).ok_or("the private key cannot be read")?;
    let name = certificate::read(&own).map_err(|_| "the agent's certificate cannot be read or names no agent")?;
    let print: [u8; 32] = Sha256::digest(pair.subject_public_key_info()).into();
    if print != name.key {
        return Err("the certificate is for another key");
    }
    if !certificate::is_authority(&ca) {
        return Err("the CA certificate cannot be read or is no CA's");
    }
    Ok(Identity {
        agent: name.agent,
        collector,
        enrolment,
        certificate: own,
        ca,
        key,
        not_before: name.not_before,
        not_after: name.not_after,
    })
}

/// The signing key of a stored secret.
pub(super) fn pair(key: &SecretKey) -> Option<KeyPair> {
    KeyPair::from_pkcs8_der_and_sign_algo(&key.0.as_slice().into(), &rcgen::PKCS_ECDSA_P256_SHA256).ok()
}

pub(super) fn store(dir: &Path, identity: &Identity) -> Result<(), IdentityError> {
    let text = format!(
        "Vedette agent {}. This file is the agent's identity: never copy it to another host.\ncollector: {}\nenrolment: {}\n{}{}{}",
        identity.agent,
        identity.collector,
        identity.enrolment,
        pem("PRIVATE KEY", &identity.key.0),
        pem("CERTIFICATE", &identity.certificate),
        pem("CERTIFICATE", &identity.ca),
    );
    replace(dir, FILE, text.as_bytes())?;
    // The pending key is either this one or an abandoned one: in both cases it has no use any more.
    match std::fs::remove_file(dir.join(PENDING_FILE)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(IdentityError::File { what: "remove", path: dir.join(PENDING_FILE), source: e }),
        _ => Ok(()),
    }
}

/// The key of an enrolment that was begun and perhaps cut off, or a new one, on disk before anyone is asked.
pub(super) fn pending_key(dir: &Path) -> Result<SecretKey, IdentityError> {
    let path = dir.join(PENDING_FILE);
    match read_text(&path) {
        Ok(text) => {
            // A pending key that cannot be read was never certified as far as anyone knows here: a new one takes its place.
            if let Some(Ok(Item::Pkcs8Key(der))) = rustls_pemfile::read_all(&mut text.as_bytes()).next() {
                let key = SecretKey(der.secret_pkcs8_der().to_vec());
                if pair(&key).is_some() {
                    return Ok(key);
                }
            }
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(source) => return Err(IdentityError::File { what: "read", path, source }),
    }
    let (key, _) = Identity::fresh_key()?;
    replace(dir, PENDING_FILE, pem("PRIVATE KEY", &key.0).as_bytes())?;
    Ok(key)
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes beside, syncs, renames over, syncs the folder.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), IdentityError> {
    let path = dir.join(name);
    let beside = dir.join(format!("{name}.new"));
    let step = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| IdentityError::File { what, path, source }
    };
    std::fs::create_dir_all(dir).map_err(step("create the state folder", dir))?;
    // A left-over of a crash may carry other permissions; only a file created here has ours from its first moment.
    match std::fs::remove_file(&beside) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(step("remove", &beside)(e)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(step("create", &beside))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(step("write", &beside))?;
    std::fs::rename(&beside, &path).map_err(step("replace", &path))?;
    File::open(dir).and_then(|d| d.sync_all()).map_err(step("sync", dir))
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}
