//! What log-ins of all protocols have in common: one event a try, with who, from where, to what, and how it went.
//!
//! Source of the event is the side that asks. No secret is ever kept: only that one crossed the network readable. A rule counts
//! failures of any protocol by `service.name`, `status_id` and the ends.

use event::{Class, Event, Kind, LogSource, Timestamp, Value, field};

use super::{Emit, Side, Want, wording};

/// How a try went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The answer was not seen or does not say.
    Unknown,
    Success,
    Failure,
}

/// One try to log in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Login {
    pub user: Option<String>,
    pub domain: Option<String>,
    /// Name the client's host gives itself.
    pub host: Option<String>,
    /// Scheme: password, NTLM, Kerberos, …
    pub scheme: Option<&'static str>,
    /// A secret was readable on the wire.
    pub cleartext: bool,
}

impl Login {
    pub(crate) fn event(self, service: &'static str, outcome: Outcome, time: Timestamp) -> Event {
        let mut event = Event::new(time, Kind::Authentication, 1, LogSource::new("", "authentication", service));
        let body = &mut event.body;
        let filled = |text: Option<String>| text.filter(|t| !t.is_empty()).map(|t| Value::text(&t));
        body.set_some(field::USER_NAME, filled(self.user));
        body.set_some(field::USER_DOMAIN, filled(self.domain));
        body.set_some(field::SRC_HOSTNAME, filled(self.host));
        body.set_some(field::AUTH_PROTOCOL, self.scheme);
        body.set(field::SERVICE_NAME, service);
        body.set(field::IS_REMOTE, true);
        if self.cleartext {
            body.set(field::IS_CLEARTEXT, true);
        }
        body.set(
            field::STATUS_ID,
            match outcome {
                Outcome::Unknown => 0,
                Outcome::Success => 1,
                Outcome::Failure => 2,
            },
        );
        event
    }
}

/// Fields every log-in may carry.
macro_rules! fields {
    ($($more:expr),* $(,)?) => {
        &[
            field::USER_NAME,
            field::USER_DOMAIN,
            field::SRC_HOSTNAME,
            field::AUTH_PROTOCOL,
            field::SERVICE_NAME,
            field::IS_REMOTE,
            field::IS_CLEARTEXT,
            field::STATUS_ID,
            field::STATUS_DETAIL,
            $($more),*
        ]
    };
}
pub(crate) use fields;

/// Tells a try, with what the server said about it.
pub(crate) fn tell(by: Side, mut event: Event, detail: Option<&[u8]>, out: &mut dyn Emit) {
    event.body.set_some(field::STATUS_DETAIL, detail.map(|d| wording::text(d.trim_ascii())).filter(|d| !d.is_empty()));
    out.asked(by, Class::Normal, event);
}

/// User of a SASL answer: `PLAIN` carries it between zeros, `SCRAM` behind `n=`.
pub(crate) fn sasl_user(mechanism: &[u8], answer: &[u8]) -> Option<String> {
    if mechanism.eq_ignore_ascii_case(b"PLAIN") {
        let mut parts = answer.split(|b| *b == 0);
        let (authority, user) = (parts.next()?, parts.next()?);
        return Some(wording::text(if user.is_empty() { authority } else { user }));
    }
    if wording::begins(mechanism, b"SCRAM-") {
        let begin = wording::find(answer, b"n=")? + 2;
        let rest = answer.get(begin..)?;
        return Some(wording::text(rest.get(..memchr::memchr(b',', rest).unwrap_or(rest.len()))?));
    }
    if wording::begins(mechanism, b"XOAUTH2") || wording::begins(mechanism, b"OAUTHBEARER") {
        let begin = wording::find(answer, b"user=")? + 5;
        let rest = answer.get(begin..)?;
        return Some(wording::text(rest.get(..memchr::memchr(1, rest).unwrap_or(rest.len()))?));
    }
    None
}

/// Name of a SASL mechanism, as events write it.
pub(crate) fn scheme(mechanism: &[u8]) -> &'static str {
    const KNOWN: &[&str] = &[
        "PLAIN",
        "LOGIN",
        "CRAM-MD5",
        "DIGEST-MD5",
        "NTLM",
        "GSSAPI",
        "GSS-SPNEGO",
        "EXTERNAL",
        "ANONYMOUS",
        "XOAUTH2",
        "OAUTHBEARER",
        "SCRAM-SHA-1",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-256-PLUS",
        "MONGODB-CR",
        "MONGODB-X509",
        "MONGODB-AWS",
    ];
    KNOWN.iter().find(|k| mechanism.eq_ignore_ascii_case(k.as_bytes())).copied().unwrap_or("SASL")
}

/// `Stop` once nothing more is worth reading.
pub(crate) const fn more(go_on: bool) -> Want {
    if go_on { Want::More } else { Want::Stop }
}
