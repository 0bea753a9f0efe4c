//! Reading `[[channel]]`: what all channels have in common, then the section of its kind.

use std::path::Path;
use std::sync::Arc;

use settings::Secret;

use crate::queue::Limits;
use crate::{CHANNELS, Channel, ChannelKind};

/// Reads a file with a secret: one line, its end trimmed.
pub type Reader<'a> = &'a dyn Fn(&Path) -> Result<String, String>;

/// What every channel has.
#[derive(Debug, Clone, PartialEq)]
pub struct Common {
    /// What contacts, `[notify]` and the delivery log call it.
    pub name: String,
    pub kind: &'static str,
    pub limits: Limits,
    /// Language of what goes to the channel where the recipient has none of their own.
    pub zh: bool,
    pub addressed: bool,
}

/// A channel ready to use.
#[derive(Clone)]
pub struct Configured {
    pub common: Common,
    pub channel: Arc<dyn Channel>,
}

const NAME_BYTES_MAX: usize = 64;

/// Opens one `[[channel]]`. An `Err` has one line a problem, each beginning with `key 'name': ` where a key is to blame.
pub fn open(section: &toml::Table, read: Reader) -> Result<Configured, String> {
    let mut section = section.clone();
    let word = take_text(&mut section, "kind")?.ok_or_else(|| format!("key 'kind': missing; one of {}", words().join(", ")))?;
    let kind: &'static ChannelKind = CHANNELS.iter().find(|k| k.word == word).ok_or_else(|| {
        let near = settings::did_you_mean(&word, CHANNELS.iter().map(|k| k.word));
        let way = near.map_or_else(|| format!("one of {}", words().join(", ")), |n| format!("did you mean '{n}'?"));
        format!("key 'kind': value \"{word}\" is no kind of channel; {way}")
    })?;
    let name = take_text(&mut section, "name")?.ok_or("key 'name': missing; what contacts and [notify] call this channel")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(fits) {
        return Err(format!("key 'name': value \"{name}\": letters, digits, - _ . only, at most {NAME_BYTES_MAX}"));
    }
    let mut limits = kind.limits;
    if let Some(most) = take_number(&mut section, "per_minute")? {
        if most == 0 {
            return Err("key 'per_minute': value 0: at least 1".to_owned());
        }
        limits.most = most;
        limits.reserve = limits.reserve.min(most.saturating_sub(1));
    }
    if let Some(reserve) = take_number(&mut section, "red_reserve")? {
        if reserve >= limits.most {
            return Err(format!("key 'red_reserve': value {reserve}: less than per_minute ({})", limits.most));
        }
        limits.reserve = reserve;
    }
    let zh = match take_text(&mut section, "lang")?.as_deref() {
        None | Some("zh") => true,
        Some("en") => false,
        Some(other) => return Err(format!("key 'lang': value \"{other}\": \"zh\" or \"en\"")),
    };
    let channel = (kind.read)(&section, read)?;
    let common = Common { name, kind: kind.word, limits, zh, addressed: kind.addressed };
    Ok(Configured { common, channel: Arc::from(channel) })
}

fn words() -> Vec<&'static str> {
    CHANNELS.iter().map(|k| k.word).collect()
}

fn take_text(section: &mut toml::Table, key: &str) -> Result<Option<String>, String> {
    match section.remove(key) {
        None => Ok(None),
        Some(toml::Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("key '{key}': value {other} does not fit: expected text in quotes")),
    }
}

fn take_number(section: &mut toml::Table, key: &str) -> Result<Option<u32>, String> {
    match section.remove(key) {
        None => Ok(None),
        Some(toml::Value::Integer(n)) if (0..=100_000).contains(&n) => Ok(u32::try_from(n).ok()),
        Some(other) => Err(format!("key '{key}': value {other} does not fit: a number from 0 to 100000")),
    }
}

/// The secret in a file, where one is named.
pub(crate) fn secret(key: &str, file: Option<&Path>, read: Reader) -> Result<Option<Secret>, String> {
    let Some(file) = file else { return Ok(None) };
    let text = read(file).map_err(|why| format!("key '{key}': {}: {why}", file.display()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() || text.contains(['\r', '\n']) {
        return Err(format!("key '{key}': {}: one line with the secret is expected", file.display()));
    }
    Ok(Some(Secret::new(text)))
}

/// An `http://` or `https://` address in its parts: (secure, host, port, authority, path with query).
pub(crate) fn address(key: &str, url: &str) -> Result<(bool, String, u16, String, String), String> {
    let wrong = || format!("key '{key}': value \"{url}\": write https://host[:port]/path");
    let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err(wrong()),
    };
    if !rest.bytes().all(|b| b.is_ascii_graphic()) || rest.contains(['#', '@', '\\', '"', '<', '>']) {
        return Err(wrong());
    }
    let cut = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(cut);
    let (host, port) = split(authority, if secure { 443 } else { 80 }).ok_or_else(wrong)?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok((secure, host, port, authority.to_owned(), path))
}

/// `host`, `host:port`, `[v6]:port`.
pub(crate) fn split(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':').map_or_else(|| rest.is_empty().then_some(default_port), |p| p.parse().ok())?)
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, default_port),
        },
    };
    let good = !host.is_empty() && host.len() <= 253 && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:%".contains(&b));
    (good && port != 0).then(|| (host.to_owned(), port))
}
