//! Exim's main and reject log, in a file of its own (`2026-11-23 10:00:00 [pid] id text`) or through syslog.
//!
//! `H=name (helo) [ip]:port` and `from name (helo) [ip]` are Exim's; the name in round brackets, the quoted command and everything behind
//! `F=` (sender) are the client's. The address is the last bracket of the host part, which ends before any of those.

use event::{Class, Event, Kind, field};

use super::scan::{after, after_last, between, set_source};
use super::{FAILURE, Format, Header, SUCCESS, authentication, failed};

pub(crate) static EXIM: Format = Format::new("exim", &["exim", "exim4"], read).by(&[
    " authenticator failed for ",
    "H=",
    "SMTP call from ",
    "SMTP connection from ",
    "no MAIL in SMTP connection from ",
    "no host name found for IP address ",
    "no IP address found for host ",
    "SMTP protocol ",
    "SA: Action: ",
]);

/// What ends Exim's host part.
const HOST_ENDS: &[&str] = &[
    " I=[",
    " F=",
    " P=",
    " X=",
    " CV=",
    " SNI=",
    " U=",
    " Ci=",
    " D=",
    " C=",
    ": 535",
    " rejected ",
    " dropped",
    " closed by",
    " sender verify",
    " AUTH ",
    " LOGIN ",
    " PLAIN ",
    " next input=",
    " input=",
    " input sent",
    "(TCP/IP",
    " temporarily",
    " lost",
    " incomplete",
    " A=",
];

/// `name (helo) [192.0.2.1]:25 …`
fn host(text: &str) -> Option<(&str, Option<&str>)> {
    let end = HOST_ENDS.iter().filter_map(|m| text.find(m)).min().unwrap_or(text.len());
    let (_, rest) = text.get(..end)?.rsplit_once('[')?;
    let (host, rest) = rest.split_once(']')?;
    Some((host, rest.strip_prefix(':')))
}

fn read(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = own_part(head.message);
    if let Some(rest) = after(message, " authenticator failed for ") {
        let (ip, port) = host(rest)?;
        failed(event, "smtp", "failed");
        event.body.set_some(field::AUTH_PROTOCOL, message.split(' ').next());
        event.body.set_some(field::USER_NAME, between(rest, "(set_id=", ")"));
        set_source(event, ip, port);
        return Some(Class::Critical);
    }
    let (code, text) = if let Some(rest) = message.strip_prefix("SMTP protocol error in \"") {
        ("protocol_error", after_last(rest, " H=")?)
    } else if message.starts_with("SMTP protocol synchronization error") {
        let head = message.split(" next input=").next()?.split(" input=\"").next()?;
        ("pipelining", after_last(head, " H=")?)
    } else if let Some(rest) = message.strip_prefix("SMTP call from ") {
        rest.contains(" dropped: ").then_some(())?;
        ("dropped", rest)
    } else if let Some(rest) = message.strip_prefix("no MAIL in SMTP connection from ") {
        ("no_mail", rest)
    } else if let Some(rest) = message.strip_prefix("SMTP connection from ") {
        (if rest.contains(" closed by DROP in ACL") { "dropped" } else { "connected" }, rest)
    } else if let Some(rest) = message.strip_prefix("no host name found for IP address ") {
        refused(event, "no_reverse_name");
        set_source(event, rest.split(' ').next()?, None);
        return Some(Class::Bulk);
    } else if message.starts_with("no IP address found for host ") {
        ("no_reverse_name", after_last(message, "SMTP connection from ")?)
    } else if let Some(rest) = message.strip_prefix("SA: Action: ") {
        let text = after_last(rest, " (host=")?;
        let code = if rest.starts_with("flagged") || rest.contains("tossed") { "spam" } else { "scanned" };
        (code, text)
    } else if let Some(rest) = message.strip_prefix("H=").or_else(|| after(message, " H=")) {
        let code = match () {
            () if rest.contains(" sender verify fail") => "sender_verify",
            () if rest.contains(" rejected by local_scan()") => "spam",
            () if rest.contains(" rejected ") => "reject",
            () if rest.contains(" dropped by ") => "dropped",
            () => return accepted(message, rest, event),
        };
        (code, rest)
    } else {
        return None;
    };
    let (ip, port) = host(text)?;
    if matches!(code, "connected" | "scanned") {
        event.kind = Kind::EmailActivity;
        event.activity = 99;
        event.body.set(field::EVENT_CODE, code);
    } else {
        refused(event, code);
    }
    set_source(event, ip, port);
    Some(if code == "connected" { Class::Bulk } else { Class::Normal })
}

/// `<= alice@example.com H=host [192.0.2.1] P=esmtpsa A=login:alice`: taken in after a log-on.
fn accepted(message: &str, rest: &str, event: &mut Event) -> Option<Class> {
    message.starts_with("<= ").then_some(())?;
    let (ip, port) = host(rest)?;
    let (method, user) = after(rest, " A=")?.split(' ').next()?.split_once(':')?;
    authentication(event, "smtp", SUCCESS);
    event.body.set(field::AUTH_PROTOCOL, method);
    event.body.set(field::USER_NAME, user);
    set_source(event, ip, port);
    Some(Class::Normal)
}

/// Without what Exim puts before: its own date (through syslog), `[pid]`, the message id `1ahr79-0006jK-G9`.
fn own_part(message: &str) -> &str {
    let mut rest = message.trim_start();
    if rest.as_bytes().first().is_some_and(u8::is_ascii_digit) && rest.as_bytes().get(4) == Some(&b'-') {
        rest = rest.get(19..).unwrap_or(rest).trim_start();
    }
    if let Some((pid, after)) = rest.strip_prefix('[').and_then(|r| r.split_once("] "))
        && pid.bytes().all(|c| c.is_ascii_digit())
    {
        rest = after;
    }
    if let Some((id, after)) = rest.split_once(' ') {
        let dashes = id.bytes().filter(|c| *c == b'-').count();
        if matches!(id.len(), 16 | 23) && dashes == 2 && id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            rest = after;
        }
    }
    rest
}

fn refused(event: &mut Event, code: &'static str) {
    event.kind = Kind::EmailActivity;
    event.activity = 99;
    event.body.set(field::STATUS_ID, FAILURE);
    event.body.set(field::EVENT_CODE, code);
    event.body.set(field::SERVICE_NAME, "smtp");
}
