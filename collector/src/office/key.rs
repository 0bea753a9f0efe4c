//! The key warnings are signed with: Ed25519 (RFC 8032), made at the first start, kept beside the desk's database with mode 0600. Public keys
//! of keys before it lie in the same folder as `<id>.pub`, so that what they signed can still be checked.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use matter::Signer;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// The key pair in use, and public keys known.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    id: String,
    known: BTreeMap<String, Vec<u8>>,
}

impl SigningKey {
    /// One that is gone with the program: tests, samples.
    pub fn fleeting() -> Result<Self> {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| anyhow!("no random numbers to make a key of"))?;
        let pair = Ed25519KeyPair::from_pkcs8(made.as_ref()).map_err(|e| anyhow!("a key just made is none: {e}"))?;
        let public = pair.public_key().as_ref().to_vec();
        let id = key_id(&public);
        Ok(Self { pair, known: BTreeMap::from([(id.clone(), public)]), id })
    }

    /// Reads the key of a folder, or makes it there.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let path = folder.join("signing.key");
        if !path.exists() {
            let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| anyhow!("no random numbers to make a key of"))?;
            write_secret(&path, made.as_ref())?;
        }
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let pair = Ed25519KeyPair::from_pkcs8(&bytes).map_err(|e| anyhow!("{} is no Ed25519 key (PKCS #8): {e}", path.display()))?;
        let public = pair.public_key().as_ref().to_vec();
        let id = key_id(&public);
        let shown = folder.join(format!("{id}.pub"));
        if !shown.exists() {
            std::fs::write(&shown, STANDARD.encode(&public)).with_context(|| format!("cannot write {}", shown.display()))?;
        }
        let mut known = BTreeMap::new();
        for file in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?.flatten() {
            let path = file.path();
            if path.extension().is_some_and(|e| e == "pub") {
                let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let public = STANDARD.decode(text.trim()).with_context(|| format!("{} is no public key in base64", path.display()))?;
                known.insert(key_id(&public), public);
            }
        }
        Ok(Self { pair, id, known })
    }
}

/// 32 random bytes of a file, made where there is none: what pseudonyms are keyed with.
pub fn secret(path: &Path) -> Result<[u8; 32]> {
    if !path.exists() {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("no random numbers to make a secret of"))?;
        write_secret(path, &bytes)?;
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    bytes.try_into().map_err(|_| anyhow!("{} does not hold 32 bytes", path.display()))
}

/// Whole or not at all: written beside, synced, renamed.
fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    let make = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    };
    make().with_context(|| format!("cannot write {}", path.display()))
}

fn key_id(public: &[u8]) -> String {
    blake3::hash(public).to_hex()[..16].to_owned()
}

impl Signer for SigningKey {
    fn key(&self) -> String {
        self.id.clone()
    }
    fn sign(&self, hash: &[u8; 32]) -> String {
        STANDARD.encode(self.pair.sign(hash))
    }
    fn verify(&self, key: &str, hash: &[u8; 32], signature: &str) -> bool {
        let (Some(public), Ok(signature)) = (self.known.get(key), STANDARD.decode(signature)) else { return false };
        UnparsedPublicKey::new(&ED25519, public).verify(hash, &signature).is_ok()
    }
}
