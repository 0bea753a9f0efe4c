//! What is said at the enrolment door, and the one line an operator carries from the collector to a host.
//!
//! Limits: a request is at most `REQUEST_BYTES_MAX` after its six-byte head, an answer at most `ANSWER_BYTES_MAX`. Numbers are
//! big-endian. The format is deliberately tiny: it is the only thing a stranger may say to the collector, so it must be
//! readable in one pass, without allocation beyond its own bytes, and without anything to recurse into.
//!
//! ```text
//! request  "VDE1" len:u16 | kind:u8 (1 enrol, 2 recover) | n:u16 secret | n:u16 csr (PKCS#10 DER)
//!          secret: the token's text when enrolling; SHA-256 of the public key (32 bytes) when recovering
//! answer   "VDE1" len:u16 | 0 | n:u16 certificate DER | n:u16 CA certificate DER | link port:u16
//!                         | 1 | refusal:u8
//! ```

use std::fmt;
use std::str::FromStr;

/// First four bytes in both directions: protocol and version.
pub const MAGIC: [u8; 4] = *b"VDE1";
/// Bytes before a body: magic and length.
pub const HEAD_BYTES: usize = 6;
/// Longest request body; a P-256 signing request is about 250 bytes.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Longest answer body: two certificates.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Longest token text.
pub const TOKEN_BYTES_MAX: usize = 128;

/// The line an operator copies to a host: `vedette1:<host:port>:<SHA-256 of the CA certificate, hex>:<token>`.
///
/// `Display` prints the whole line, secret included, because that is its purpose; `Debug` hides the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Enrolment address of the collector, `host:port` (an IPv6 address in brackets).
    pub address: String,
    /// SHA-256 of the CA certificate's DER.
    pub pin: [u8; 32],
    /// One-use secret, URL-safe text without colons.
    pub token: String,
}

impl Invitation {
    /// Host and port of `address`; brackets of an IPv6 address removed.
    pub fn host_port(&self) -> Option<(&str, u16)> {
        split_host_port(&self.address)
    }
}

/// Splits `host:port` / `[v6]:port`.
pub fn split_host_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|p| *p != 0)?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    match bare {
        Some(v6) if v6.parse::<std::net::Ipv6Addr>().is_ok() => Some((v6, port)),
        None if !host.is_empty()
            && host.len() <= 253
            && host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_')) =>
        {
            Some((host, port))
        }
        _ => None,
    }
}

/// `host:port`, with brackets where the host is an IPv6 address.
pub fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// What is wrong with an enrolment line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    #[error(
        "this is not an enrolment line: it must look like vedette1:<host>:<port>:<64 hex digits>:<token>; copy the whole line from `vedette agents enrol` or the console"
    )]
    Shape,
    #[error("the address in the enrolment line is not host:port")]
    Address,
    #[error("the pin in the enrolment line is not 64 hex digits: the line was cut or changed on its way")]
    Pin,
    #[error("the token in the enrolment line is empty, too long or has strange characters: the line was cut or changed on its way")]
    Token,
}

impl FromStr for Invitation {
    type Err = InvitationError;
    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let rest = text.trim().strip_prefix("vedette1:").ok_or(InvitationError::Shape)?;
        let (rest, token) = rest.rsplit_once(':').ok_or(InvitationError::Shape)?;
        let (address, pin) = rest.rsplit_once(':').ok_or(InvitationError::Shape)?;
        // The pin first: a line that lost its end has another part in its place, and the address beside it is cut too.
        let pin = from_hex(pin).ok_or(InvitationError::Pin)?;
        split_host_port(address).ok_or(InvitationError::Address)?;
        if !token_text(token) {
            return Err(InvitationError::Token);
        }
        Ok(Self { address: address.to_owned(), pin, token: token.to_owned() })
    }
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vedette1:{}:{}:{}", self.address, hex(&self.pin), self.token)
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vedette1:{}:{}:(secret)", self.address, hex(&self.pin))
    }
}

fn token_text(token: &str) -> bool {
    (16..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// 32 bytes from 64 lower- or upper-case hexadecimal digits.
pub fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut out = [0u8; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let digit = |c: u8| (c as char).to_digit(16);
        *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    }
    Some(out)
}

/// A request at the enrolment door, borrowed from the bytes received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// A new agent: one-use token, and a signing request that proves possession of the key.
    Enrol { token: &'a str, csr: &'a [u8] },
    /// A known key whose certificate ran out: its SHA-256, and a signing request made with that very key.
    Recover { key: [u8; 32], csr: &'a [u8] },
}

/// Why the collector said no. The number is the wire's; unknown numbers read as `Other`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Refusal {
    Other = 0,
    TokenUnknown = 1,
    TokenUsed = 2,
    TokenExpired = 3,
    KeyUnknown = 4,
    Revoked = 5,
    RecoveryLimit = 6,
    Malformed = 7,
    Busy = 8,
    Internal = 9,
    BadKey = 10,
    AgentUnknown = 11,
}

impl Refusal {
    pub const ALL: [Self; 12] = [
        Self::Other,
        Self::TokenUnknown,
        Self::TokenUsed,
        Self::TokenExpired,
        Self::KeyUnknown,
        Self::Revoked,
        Self::RecoveryLimit,
        Self::Malformed,
        Self::Busy,
        Self::Internal,
        Self::BadKey,
        Self::AgentUnknown,
    ];

    /// Fixed word for counters and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::TokenUnknown => "token_unknown",
            Self::TokenUsed => "token_used",
            Self::TokenExpired => "token_expired",
            Self::KeyUnknown => "key_unknown",
            Self::Revoked => "revoked",
            Self::RecoveryLimit => "recovery_limit",
            Self::Malformed => "malformed",
            Self::Busy => "busy",
            Self::Internal => "internal",
            Self::BadKey => "bad_key",
            Self::AgentUnknown => "agent_unknown",
        }
    }

    fn from_u8(n: u8) -> Self {
        Self::ALL.into_iter().find(|r| *r as u8 == n).unwrap_or(Self::Other)
    }

    /// Whether asking again later, unchanged, can succeed.
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Busy | Self::Internal)
    }
}

impl fmt::Display for Refusal {
    /// What it means, and the way out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Other => "the collector refused without a reason this agent knows: is it newer than the agent?",
            Self::TokenUnknown => "the token is not known: it was withdrawn, ran out long ago, or belongs to another collector; make a new enrolment line",
            Self::TokenUsed => "the token was used already by another key: each enrolment line serves one host; if you did not use it, revoke that agent, and make a new line",
            Self::TokenExpired => "the token has run out: make a new enrolment line and use it within its lifetime",
            Self::KeyUnknown => "the collector does not know this host's key: enrol again with a new enrolment line",
            Self::Revoked => "this agent was revoked at the collector: ask who revoked it before enrolling it again with a new line",
            Self::RecoveryLimit => "this agent has recovered its certificate too often: enrol it again with a new enrolment line",
            Self::Malformed => "the collector could not read the request: are both of the same version?",
            Self::Busy => "the collector is refusing requests from this address for a while; try again in some minutes",
            Self::Internal => "the collector could not record the certificate (see its log); try again",
            Self::BadKey => "the collector could not accept the signing request: the key must be ECDSA P-256 or Ed25519 and sign its own request",
            Self::AgentUnknown => "the collector does not know this agent: enrol again with a new enrolment line",
        })
    }
}

/// The collector's answer, borrowed from the bytes received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    Issued { certificate: &'a [u8], ca: &'a [u8], link_port: u16 },
    Refused(Refusal),
}

/// Length of the body that follows this head; `None` if it is not ours or longer than `max`.
pub fn body_length(head: [u8; HEAD_BYTES], max: usize) -> Option<usize> {
    let [a, b, c, d, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    ([a, b, c, d] == MAGIC && length <= max && length > 0).then_some(length)
}

impl<'a> Request<'a> {
    /// Reads a body; every byte must be accounted for.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let (kind, rest) = body.split_first()?;
        let (secret, rest) = part(rest)?;
        let (csr, rest) = part(rest)?;
        if !rest.is_empty() || csr.is_empty() {
            return None;
        }
        match kind {
            1 => std::str::from_utf8(secret).ok().filter(|t| token_text(t)).map(|token| Self::Enrol { token, csr }),
            2 => secret.try_into().ok().map(|key| Self::Recover { key, csr }),
            _ => None,
        }
    }

    /// Head and body; `None` when it is over the limit.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut body = Vec::with_capacity(512);
        match self {
            Self::Enrol { token, csr } => {
                body.push(1);
                put(&mut body, token.as_bytes())?;
                put(&mut body, csr)?;
            }
            Self::Recover { key, csr } => {
                body.push(2);
                put(&mut body, key)?;
                put(&mut body, csr)?;
            }
        }
        framed(&body, REQUEST_BYTES_MAX)
    }
}

impl<'a> Answer<'a> {
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let (status, rest) = body.split_first()?;
        match (status, rest) {
            (0, rest) => {
                let (certificate, rest) = part(rest)?;
                let (ca, rest) = part(rest)?;
                let [high, low] = rest else { return None };
                Some(Self::Issued { certificate, ca, link_port: u16::from_be_bytes([*high, *low]) })
            }
            (1, [reason]) => Some(Self::Refused(Refusal::from_u8(*reason))),
            _ => None,
        }
    }

    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let mut body = Vec::with_capacity(2048);
        match self {
            Self::Issued { certificate, ca, link_port } => {
                body.push(0);
                put(&mut body, certificate)?;
                put(&mut body, ca)?;
                body.extend_from_slice(&link_port.to_be_bytes());
            }
            Self::Refused(reason) => body.extend_from_slice(&[1, *reason as u8]),
        }
        framed(&body, ANSWER_BYTES_MAX)
    }
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend_from_slice(&u16::try_from(bytes.len()).ok()?.to_be_bytes());
    out.extend_from_slice(bytes);
    Some(())
}

fn framed(body: &[u8], max: usize) -> Option<Vec<u8>> {
    let length = u16::try_from(body.len()).ok().filter(|_| body.len() <= max)?;
    let mut out = Vec::with_capacity(HEAD_BYTES + body.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_there_and_back() {
        for address in ["collector.city.example:7444", "[2001:db8::7]:7444", "10.0.0.5:7444"] {
            let line = Invitation { address: address.into(), pin: [0xa5; 32], token: "abcdefghijklmnop-_".into() };
            assert_eq!(line.to_string().parse::<Invitation>().unwrap(), line);
            assert!(!format!("{line:?}").contains("abcdefghijklmnop"), "a token must not reach a log");
        }
        let whole = Invitation { address: "a:1".into(), pin: [1; 32], token: "abcdefghijklmnop".into() }.to_string();
        for cut in 0..whole.len() - 1 {
            assert!(whole[..cut].parse::<Invitation>().is_err(), "{cut}");
        }
        assert_eq!("vedette1:a:1:00:abcdefghijklmnop".parse::<Invitation>(), Err(InvitationError::Pin));
        assert_eq!(whole.replace("a:1", "a:0").parse::<Invitation>(), Err(InvitationError::Address));
        assert_eq!("vedette2:a:1:00:abcdefghijklmnop".parse::<Invitation>(), Err(InvitationError::Shape));
        assert_eq!(whole.replace("vedette1:a", "vedette1:a/../b").parse::<Invitation>(), Err(InvitationError::Address));
    }

    #[test]
    fn messages_there_and_back_and_every_cut_is_refused() {
        let requests =
            [Request::Enrol { token: "abcdefghijklmnop", csr: b"csr bytes" }, Request::Recover { key: [7; 32], csr: b"csr bytes" }];
        for request in requests {
            let bytes = request.to_bytes().unwrap();
            let (head, body) = bytes.split_at(HEAD_BYTES);
            assert_eq!(body_length(head.try_into().unwrap(), REQUEST_BYTES_MAX), Some(body.len()));
            assert_eq!(Request::parse(body), Some(request));
            for cut in 0..body.len() {
                assert_eq!(Request::parse(&body[..cut]), None, "{cut}");
            }
            let mut longer = body.to_vec();
            longer.push(0);
            assert_eq!(Request::parse(&longer), None, "bytes left over");
        }
        for answer in [Answer::Issued { certificate: b"leaf", ca: b"ca", link_port: 7443 }, Answer::Refused(Refusal::TokenUsed)] {
            let bytes = answer.to_bytes().unwrap();
            assert_eq!(Answer::parse(&bytes[HEAD_BYTES..]), Some(answer));
            for cut in HEAD_BYTES..bytes.len() {
                assert_eq!(Answer::parse(&bytes[HEAD_BYTES..cut]), None, "{cut}");
            }
        }
    }

    #[test]
    fn limits_hold() {
        assert_eq!(Request::Enrol { token: "abcdefghijklmnop", csr: &vec![0; REQUEST_BYTES_MAX] }.to_bytes(), None);
        assert_eq!(body_length([b'V', b'D', b'E', b'1', 0xff, 0xff], REQUEST_BYTES_MAX), None);
        assert_eq!(body_length([b'V', b'D', b'E', b'1', 0, 0], REQUEST_BYTES_MAX), None);
        assert_eq!(body_length(*b"GET / ", REQUEST_BYTES_MAX), None);
        assert_eq!(Request::parse(&[1, 0, 2, 0xff, 0xfe, 0, 1, 0]), None, "a token that is not text");
        assert_eq!(Answer::parse(&[1, 200]), Some(Answer::Refused(Refusal::Other)));
    }
}
