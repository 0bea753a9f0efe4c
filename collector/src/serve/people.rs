//! Passwords, sessions, API tokens and the limit on login attempts.
//!
//! A password is stored as argon2id; a session or API token as the SHA-256 of 32 random bytes, so that a stolen database opens
//! nothing. The CSRF word of a session is a hash of its token: nothing more to store, nothing to guess.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::{Code, Role};
use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use event::{SECOND_NS, Timestamp};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

use super::Shared;
use super::reply::Fail;
use crate::store::desk::{DeskError, DeskStore, Person, SessionRow, TokenRow};

pub const PASSWORD_MIN: usize = 12;
pub const PASSWORD_MAX: usize = 256;
/// Failed logins of one name or one address before a pause, and how long it lasts.
const FAILURES_MAX: u32 = 5;
const PAUSE_S: i64 = 300;
const WATCHED_MAX: usize = 10_000;
/// argon2 takes 19 MiB a time; two at once are enough for a control room.
const HASHERS: usize = 2;

/// `n` random bytes as hex.
pub fn random_hex(n: usize) -> Result<String, Fail> {
    let mut bytes = vec![0u8; n];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Fail::code(Code::Internal))?;
    Ok(hex(&bytes))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|b| [char::from_digit(u32::from(b >> 4), 16), char::from_digit(u32::from(b & 15), 16)]).flatten().collect()
}

/// What is stored of a token.
pub fn token_hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

/// The word that must come back with every write of a session.
pub fn csrf_of(session: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"vedette csrf v1\0");
    hash.update(session.as_bytes());
    let mut text = hex(&hash.finalize());
    text.truncate(32);
    text
}

/// Equality whose time does not tell how much was right.
pub fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0u8, |diff, (x, y)| diff | (x ^ y)) == 0
}

pub fn hash_password(password: &str) -> Result<String, Fail> {
    if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&password.chars().count()) {
        return Err(Fail::because(
            Code::Unprocessable,
            format!("a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters"),
            format!("密码长度应为 {PASSWORD_MIN} 至 {PASSWORD_MAX} 个字符"),
        ));
    }
    let mut salt = [0u8; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| Fail::code(Code::Internal))?;
    let salt = SaltString::encode_b64(&salt).map_err(|_| Fail::code(Code::Internal))?;
    Argon2::default().hash_password(password.as_bytes(), &salt).map(|h| h.to_string()).map_err(|_| Fail::code(Code::Internal))
}

/// True if it is the password. An unknown person costs the same time as a known one.
pub(crate) fn verify(person: Option<&Person>, password: &str) -> bool {
    const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let text = person.map_or(NOBODY, |p| p.password_hash.as_str());
    let Ok(hash) = PasswordHash::new(text) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &hash).is_ok() && person.is_some_and(|p| !p.disabled)
}

/// Makes the account `admin` with a random password if there is nobody yet, and returns the password to show once.
pub fn ensure_first_login(desk: &dyn DeskStore, now: Timestamp) -> Result<Option<String>, DeskError> {
    if !desk.people()?.is_empty() {
        return Ok(None);
    }
    let refuse = |_| DeskError::Refused("the system gave no random numbers".to_owned());
    let password = random_hex(10).map_err(refuse)?;
    desk.put_person(&Person {
        name: "admin".to_owned(),
        password_hash: hash_password(&password).map_err(refuse)?,
        role: Role::Admin.name().to_owned(),
        must_change: true,
        created: now.ns(),
        ..Person::default()
    })?;
    Ok(Some(password))
}

/// An administrator's API token for a first run (`serve --bootstrap`), valid for a day.
pub fn bootstrap_token(desk: &dyn DeskStore, now: Timestamp) -> Result<String, DeskError> {
    let refuse = |_| DeskError::Refused("the system gave no random numbers".to_owned());
    let token = format!("vdt_{}", random_hex(32).map_err(refuse)?);
    desk.put_token(&TokenRow {
        id: random_hex(8).map_err(refuse)?,
        hash: token_hash(&token),
        label: "bootstrap".to_owned(),
        role: Role::Admin.name().to_owned(),
        created_by: "bootstrap".to_owned(),
        created: now.ns(),
        expires: Some(now.plus_secs(86_400).ns()),
        ..TokenRow::default()
    })?;
    Ok(token)
}

/// Counts failed logins by name and by address. Bounded: past `WATCHED_MAX` the longest quiet entry goes.
pub struct LoginLimiter {
    failures: Mutex<BTreeMap<String, (u32, Timestamp)>>,
    pub hashers: Arc<tokio::sync::Semaphore>,
}

impl Default for LoginLimiter {
    fn default() -> Self {
        Self { failures: Mutex::new(BTreeMap::new()), hashers: Arc::new(tokio::sync::Semaphore::new(HASHERS)) }
    }
}

impl LoginLimiter {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (u32, Timestamp)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Whether another attempt is allowed now.
    pub fn allows(&self, keys: &[String], now: Timestamp) -> bool {
        let failures = self.lock();
        keys.iter().all(|k| failures.get(k).is_none_or(|(n, last)| *n < FAILURES_MAX || now.since(*last) > PAUSE_S * SECOND_NS))
    }
    pub fn failed(&self, keys: &[String], now: Timestamp) {
        let mut failures = self.lock();
        for key in keys {
            if failures.len() >= WATCHED_MAX && !failures.contains_key(key) {
                let oldest = failures.iter().min_by_key(|(_, (_, last))| *last).map(|(k, _)| k.clone());
                oldest.and_then(|k| failures.remove(&k));
            }
            let entry = failures.entry(key.clone()).or_insert((0, now));
            if now.since(entry.1) > PAUSE_S * SECOND_NS {
                entry.0 = 0;
            }
            *entry = (entry.0.saturating_add(1), now);
        }
    }
    pub fn succeeded(&self, keys: &[String]) {
        let mut failures = self.lock();
        for key in keys {
            failures.remove(key);
        }
    }
}

/// A session that was opened: the cookie's value, and what the API answers.
pub struct Opened {
    pub token: String,
    pub session: api::Session,
}

/// Checks name and password and opens a session.
pub async fn log_in(shared: &Arc<Shared>, login: api::Login, address: String) -> Result<Opened, Fail> {
    let now = shared.now();
    let name: String = login.name.chars().take(64).collect();
    let keys = [format!("n:{name}"), format!("a:{address}")];
    if !shared.logins.allows(&keys, now) {
        shared.counts.logins.with(&["paused"]).inc();
        return Err(Fail::code(Code::TooMany));
    }
    let permit = shared.logins.hashers.clone().acquire_owned().await.map_err(|_| Fail::code(Code::Internal))?;
    shared
        .work(move |shared| {
            let person = shared.desk.person(&name)?;
            let right = login.password.len() <= PASSWORD_MAX * 4 && verify(person.as_ref(), &login.password);
            drop(permit);
            let Some(mut person) = person.filter(|_| right) else {
                shared.logins.failed(&keys, now);
                shared.counts.logins.with(&["refused"]).inc();
                shared.audit(&name, "login.refused", &name, None, &address);
                return Err(Fail::code(Code::BadLogin));
            };
            let role = Role::from_name(&person.role).ok_or_else(|| Fail::code(Code::Denied))?;
            shared.logins.succeeded(&keys);
            shared.counts.logins.with(&["done"]).inc();
            let token = random_hex(32)?;
            let hours = i64::from(shared.config.session_hours.clamp(1, 24 * 30));
            shared.desk.put_session(&SessionRow {
                hash: token_hash(&token),
                person: name.clone(),
                created: now.ns(),
                expires: now.plus_secs(hours * 3600).ns(),
                address: address.clone(),
            })?;
            person.last_login = Some(now.ns());
            shared.desk.put_person(&person)?;
            shared.audit(&name, "login", &name, None, &address);
            let csrf = csrf_of(&token);
            Ok(Opened { token, session: api::Session { name, role, csrf } })
        })
        .await
}

/// The cookie of a session; empty ends it.
pub fn session_cookie(token: &str, hours: u32, secure: bool) -> String {
    let age = if token.is_empty() { 0 } else { u64::from(hours) * 3600 };
    let secure = if secure { "; Secure" } else { "" };
    format!("vedette_session={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_wrong_passwords_make_a_pause_that_ends() {
        let limiter = LoginLimiter::default();
        let keys = ["n:a".to_owned()];
        let at = Timestamp::from_secs;
        for n in 0..5 {
            assert!(limiter.allows(&keys, at(n)));
            limiter.failed(&keys, at(n));
        }
        assert!(!limiter.allows(&keys, at(5)));
        assert!(limiter.allows(&keys, at(4 + PAUSE_S + 1)));
        limiter.failed(&keys, at(4 + PAUSE_S + 1));
        assert!(limiter.allows(&keys, at(4 + PAUSE_S + 2)), "the count begins anew after the pause");
    }

    #[test]
    fn the_limiter_stays_bounded() {
        let limiter = LoginLimiter::default();
        for n in 0..(WATCHED_MAX as i64 + 50) {
            limiter.failed(&[format!("n:{n}")], Timestamp::from_secs(n));
        }
        assert_eq!(limiter.lock().len(), WATCHED_MAX);
    }

    #[test]
    fn passwords_are_checked_and_the_dummy_never_opens() {
        let person = Person { name: "a".into(), password_hash: hash_password("correct horse battery").unwrap(), ..Person::default() };
        assert!(verify(Some(&person), "correct horse battery"));
        assert!(!verify(Some(&person), "correct horse batterz"));
        assert!(!verify(None, ""));
        assert!(!verify(Some(&Person { disabled: true, ..person }), "correct horse battery"));
        assert!(hash_password("short").is_err());
    }
}
