//! A value that can be looked for, in the one form in which it is compared.
//!
//! Written forms are many (`hxxps://Evil[.]test:443/a#b`), the compared form is one (`evil.test/a`), and the same function makes it from an
//! indicator and from an event. The scheme of a URL is not compared: a host's HTTP record does not know it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Type {
    Ipv4 = 1,
    Ipv6 = 2,
    Net4 = 3,
    Net6 = 4,
    Domain = 5,
    Url = 6,
    Md5 = 7,
    Sha1 = 8,
    Sha256 = 9,
    Email = 10,
}

impl Type {
    pub const ALL: [Self; 10] =
        [Self::Ipv4, Self::Ipv6, Self::Net4, Self::Net6, Self::Domain, Self::Url, Self::Md5, Self::Sha1, Self::Sha256, Self::Email];

    /// The word of STIX 2.1 for it; networks are addresses there too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 | Self::Net4 => "ipv4-addr",
            Self::Ipv6 | Self::Net6 => "ipv6-addr",
            Self::Domain => "domain-name",
            Self::Url => "url",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Email => "email-addr",
        }
    }

    pub(crate) fn from_number(n: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as u8 == n)
    }

    /// Bytes of a value, where that is fixed.
    pub(crate) const fn width(self) -> Option<usize> {
        match self {
            Self::Ipv4 => Some(4),
            Self::Ipv6 | Self::Md5 => Some(16),
            Self::Net4 => Some(5),
            Self::Net6 => Some(17),
            Self::Sha1 => Some(20),
            Self::Sha256 => Some(32),
            Self::Domain | Self::Url | Self::Email => None,
        }
    }
}

/// Longest compared form of a URL, a domain, a mail address.
const URL_MAX: usize = 2_048;
const DOMAIN_MAX: usize = 253;
const EMAIL_MAX: usize = 320;
/// A wider network than this is a mistake: it would hold a good part of the net.
const NET4_MIN: u8 = 8;
const NET6_MIN: u8 = 19;

/// A value in its compared form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Observable {
    pub(crate) kind: Type,
    pub(crate) bytes: Box<[u8]>,
}

impl Observable {
    /// From text of any written form, the type found by its looks. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = refang(text);
        let text = text.as_str();
        if text.is_empty() {
            return Err("there is no value");
        }
        if text.len() > URL_MAX * 2 {
            return Err("the value is too long");
        }
        if text.bytes().all(|b| b.is_ascii_hexdigit()) && matches!(text.len(), 32 | 40 | 64) {
            return Self::hash(text);
        }
        if text.contains("://") {
            return Self::url(text);
        }
        if text.parse::<IpAddr>().is_ok() || text.split_once('/').is_some_and(|(ip, _)| ip.parse::<IpAddr>().is_ok() && !text.contains('?'))
        {
            return Self::address(text);
        }
        if let Some((ip, port)) = text.rsplit_once(':')
            && port.parse::<u16>().is_ok()
            && (ip.parse::<Ipv4Addr>().is_ok() || ip.starts_with('['))
        {
            return Self::address(ip.trim_start_matches('[').trim_end_matches(']'));
        }
        if text.contains('/') {
            return Self::url(text);
        }
        if text.contains('@') {
            return Self::email(text);
        }
        Self::domain(text)
    }

    /// `192.0.2.1`, `2001:db8::1`, `198.51.100.0/24`.
    pub fn address(text: &str) -> Result<Self, &'static str> {
        let text = refang(text);
        let Some((ip, len)) = text.split_once('/') else {
            return Self::ip(text.parse().map_err(|_| "this is not an address")?);
        };
        let ip: IpAddr = ip.parse().map_err(|_| "this is not an address")?;
        let len: u8 = len.parse().map_err(|_| "the length of the network is not a number")?;
        match ip {
            _ if len == if ip.is_ipv4() { 32 } else { 128 } => Self::ip(ip),
            IpAddr::V4(_) if len > 32 => Err("the length of the network is past 32"),
            IpAddr::V6(_) if len > 128 => Err("the length of the network is past 128"),
            IpAddr::V4(_) if len < NET4_MIN => Err("the network is wider than /8: it would match a good part of the Internet"),
            IpAddr::V6(_) if len < NET6_MIN => Err("the network is wider than /19: it would match a good part of the Internet"),
            ip => Ok(Self::net(ip, len)),
        }
    }

    pub fn ip(ip: IpAddr) -> Result<Self, &'static str> {
        let ip = ip.to_canonical();
        let link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) || link_local {
            return Err("a loopback, unspecified, link-local, broadcast or multicast address marks nobody");
        }
        Ok(match ip {
            IpAddr::V4(v4) => Self { kind: Type::Ipv4, bytes: v4.octets().into() },
            IpAddr::V6(v6) => Self { kind: Type::Ipv6, bytes: v6.octets().into() },
        })
    }

    fn net(ip: IpAddr, len: u8) -> Self {
        let (kind, key) = net_key(ip, len);
        Self { kind, bytes: key.as_slice().into() }
    }

    /// A name with at least two labels; a leading `*.` is dropped, for every domain stands for what is below it.
    pub fn domain(text: &str) -> Result<Self, &'static str> {
        let text = refang(text);
        let name = text.trim_start_matches("*.").trim_matches('.').to_ascii_lowercase();
        if !name.is_ascii() {
            return Err("a domain with other than ASCII letters must be written in punycode (xn--…)");
        }
        if name.len() > DOMAIN_MAX || name.split('.').any(|l| l.is_empty() || l.len() > 63) {
            return Err("this is not a domain: a label is empty or too long");
        }
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return Err("this is not a domain: it holds a character no name has");
        }
        if !name.contains('.') {
            return Err("a single label would match a whole top-level domain, or a plain word");
        }
        if name.rsplit('.').next().is_none_or(|l| l.bytes().all(|b| b.is_ascii_digit())) {
            return Err("this is neither an address nor a domain");
        }
        Ok(Self { kind: Type::Domain, bytes: name.into_bytes().into() })
    }

    pub fn url(text: &str) -> Result<Self, &'static str> {
        let text = refang(text);
        let mut out = Vec::new();
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text.as_str()));
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).ok_or("this is not a URL")?;
        let authority = authority.rsplit('@').next().unwrap_or(authority);
        if authority.is_empty() {
            return Err("this is not a URL: it names no host");
        }
        url_key(scheme, authority, target, &mut out).ok_or("this is not a URL, or it is too long")?;
        Ok(Self { kind: Type::Url, bytes: out.into() })
    }

    /// MD5, SHA-1 or SHA-256 by its length.
    pub fn hash(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let kind = match text.len() {
            32 => Type::Md5,
            40 => Type::Sha1,
            64 => Type::Sha256,
            _ => return Err("this is not an MD5, SHA-1 or SHA-256: the length does not fit"),
        };
        let bytes = unhex(text).ok_or("this is not a hash: it holds what is no hexadecimal digit")?;
        if bytes.iter().all(|b| *b == 0) || EMPTY.iter().any(|e| e.eq_ignore_ascii_case(text)) {
            return Err("this is the hash of nothing: every empty file has it");
        }
        Ok(Self { kind, bytes: bytes.into() })
    }

    pub fn email(text: &str) -> Result<Self, &'static str> {
        let text = refang(text).to_ascii_lowercase();
        let text = text.trim_start_matches("mailto:");
        match text.split_once('@') {
            Some((user, host))
                if !user.is_empty() && host.contains('.') && text.len() <= EMAIL_MAX && !text.contains(char::is_whitespace) =>
            {
                Ok(Self { kind: Type::Email, bytes: text.as_bytes().into() })
            }
            _ => Err("this is not a mail address"),
        }
    }

    pub const fn kind(&self) -> Type {
        self.kind
    }

    /// A compared form read back; checked for its width only, for it comes from a signed layer.
    pub(crate) fn raw(kind: Type, bytes: &[u8]) -> Option<Self> {
        let fits = kind.width().map_or(bytes.len() <= URL_MAX && std::str::from_utf8(bytes).is_ok(), |w| w == bytes.len());
        fits.then(|| Self { kind, bytes: bytes.into() })
    }
}

/// Hashes of the empty input.
const EMPTY: [&str; 3] = [
    "d41d8cd98f00b204e9800998ecf8427e",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
];

/// A value as a person reads it.
impl fmt::Display for Observable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(self.kind, &self.bytes))
    }
}

pub(crate) fn show(kind: Type, bytes: &[u8]) -> String {
    let v4 = |b: &[u8]| <[u8; 4]>::try_from(b).map(Ipv4Addr::from).map(|ip| ip.to_string()).unwrap_or_default();
    let v6 = |b: &[u8]| <[u8; 16]>::try_from(b).map(Ipv6Addr::from).map(|ip| ip.to_string()).unwrap_or_default();
    match (kind, bytes.split_first()) {
        (Type::Ipv4, _) => v4(bytes),
        (Type::Ipv6, _) => v6(bytes),
        (Type::Net4, Some((len, ip))) => format!("{}/{len}", v4(ip)),
        (Type::Net6, Some((len, ip))) => format!("{}/{len}", v6(ip)),
        (Type::Md5 | Type::Sha1 | Type::Sha256, _) => event::Value::Bytes(bytes.into()).to_text().into_owned(),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// The key of a network: its length, then the address with the rest of its bits off.
pub(crate) struct NetKey {
    bytes: [u8; 17],
    len: usize,
}

impl NetKey {
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

pub(crate) fn net_key(ip: IpAddr, len: u8) -> (Type, NetKey) {
    let mut bytes = [len; 17];
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(u32::from(32u8.saturating_sub(len))).unwrap_or(0);
            if let Some(room) = bytes.get_mut(1..5) {
                room.copy_from_slice(&(v4.to_bits() & mask).to_be_bytes());
            }
            (Type::Net4, NetKey { bytes, len: 5 })
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(u32::from(128u8.saturating_sub(len))).unwrap_or(0);
            if let Some(room) = bytes.get_mut(1..) {
                room.copy_from_slice(&(v6.to_bits() & mask).to_be_bytes());
            }
            (Type::Net6, NetKey { bytes, len: 17 })
        }
    }
}

/// Writes the compared form of a URL: host in lower case, no default port, no fragment, escapes in one form, `/` for no path.
pub(crate) fn url_key(scheme: &str, authority: &str, target: &str, out: &mut Vec<u8>) -> Option<()> {
    if authority.is_empty() || authority.len() + target.len() > URL_MAX || authority.bytes().any(|b| b <= b' ') {
        return None;
    }
    let https = scheme.eq_ignore_ascii_case("https");
    let host = match authority.rsplit_once(':') {
        Some((host, "" | "80")) if !https => host,
        Some((host, "" | "443")) if https || scheme.is_empty() => host,
        _ => authority,
    };
    out.extend(host.trim_end_matches('.').bytes().map(|b| b.to_ascii_lowercase()));
    let target = target.split('#').next().unwrap_or_default();
    if !target.starts_with('/') {
        out.push(b'/');
    }
    let bytes = target.as_bytes();
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let escaped = match bytes.get(at..at + 3) {
            Some([b'%', h, l]) => hex_digit(*h).zip(hex_digit(*l)).map(|(h, l)| h << 4 | l),
            _ => None,
        };
        match escaped {
            Some(plain) if plain.is_ascii_alphanumeric() || matches!(plain, b'-' | b'.' | b'_' | b'~') => out.push(plain),
            Some(_) => out.extend(bytes.get(at..at + 3).unwrap_or_default().iter().map(u8::to_ascii_uppercase)),
            None => out.push(b),
        }
        at += if escaped.is_some() { 3 } else { 1 };
    }
    (out.len() <= URL_MAX).then_some(())
}

fn hex_digit(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[h, l]| Some(hex_digit(*h)? << 4 | hex_digit(*l)?)).collect()
}

/// Undoes what people write so that nobody clicks: `hxxp`, `[.]`, `(dot)`, `[:]`, `[at]`.
fn refang(text: &str) -> String {
    let text = text.trim().trim_matches(|c| matches!(c, '"' | '\'' | '<' | '>')).trim();
    let mut out = text.to_owned();
    if text.contains(['[', '(', '{']) {
        const FANGS: [(&str, &str); 14] = [
            ("[.]", "."),
            ("(.)", "."),
            ("{.}", "."),
            ("[dot]", "."),
            ("(dot)", "."),
            ("{dot}", "."),
            ("[DOT]", "."),
            ("[:]", ":"),
            ("[://]", "://"),
            ("[@]", "@"),
            ("(@)", "@"),
            ("[at]", "@"),
            ("(at)", "@"),
            ("[/]", "/"),
        ];
        for (fang, plain) in FANGS {
            if out.contains(fang) {
                out = out.replace(fang, plain);
            }
        }
    }
    let head = out.get(..5).unwrap_or_default().to_ascii_lowercase();
    if head.starts_with("hxxp") || head.starts_with("h**p") {
        out.replace_range(1..3, "tt");
    } else if head.starts_with("fxp") {
        out.replace_range(1..2, "t");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Observable::parse(text).map_or_else(|e| format!("! {e}"), |o| format!("{} {o}", o.kind().name()))
    }

    #[test]
    fn written_forms_are_many_and_the_compared_form_is_one() {
        for (text, want) in [
            ("192[.]0[.]2[.]1", "ipv4-addr 192.0.2.1"),
            ("::ffff:192.0.2.1", "ipv4-addr 192.0.2.1"),
            ("192.0.2.77/24", "ipv4-addr 192.0.2.0/24"),
            ("192.0.2.7/32", "ipv4-addr 192.0.2.7"),
            ("192.0.2.1:4444", "ipv4-addr 192.0.2.1"),
            ("2001:DB8::1/64", "ipv6-addr 2001:db8::/64"),
            ("*.Evil[.]Example.", "domain-name evil.example"),
            ("hxxps://Evil[.]example:443/a%2fb%41#x", "url evil.example/a%2FbA"),
            ("http://evil.example:80", "url evil.example/"),
            ("https://u:p@evil.example:80/?q", "url evil.example:80/?q"),
            ("evil.example/a", "url evil.example/a"),
            ("A@Evil.example", "email-addr a@evil.example"),
            ("44D88612FEA8A8F36DE82E1278ABB02F", "md5 44d88612fea8a8f36de82e1278abb02f"),
        ] {
            assert_eq!(shown(text), want, "{text}");
        }
    }

    #[test]
    fn what_would_match_everything_is_refused() {
        for text in [
            "0.0.0.0/0",
            "10.0.0.0/7",
            "::/0",
            "127.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "fe80::1",
            "com",
            "localhost",
            "",
            "1.2.3",
            "d41d8cd98f00b204e9800998ecf8427e",
            "http://",
            "a..b",
            "münchen.example",
            "192.0.2.1/33",
            "@",
            "a b.example",
        ] {
            assert!(shown(text).starts_with('!'), "{text}: {}", shown(text));
        }
    }
}
