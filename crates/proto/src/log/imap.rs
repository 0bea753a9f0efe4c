//! IMAP, POP and Sieve servers that share program names: Courier, Cyrus, UW-IMAP; Oracle's messaging server.

use event::{Class, Event, field};

use super::scan::{after, after_last, between, place, set_source};
use super::{Format, Header, SUCCESS, authentication, failed};

pub(crate) static IMAP: Format = Format::new(
    "imap",
    &[
        "imapd",
        "imapd-ssl",
        "imap",
        "imaps",
        "ipop3d",
        "ipop2d",
        "pop3d",
        "pop3d-ssl",
        "pop3",
        "pop3s",
        "courierpop3login",
        "courier-pop3d",
        "courier-imapd",
        "imaplogin",
        "pop3login",
        "esmtpd",
        "cyrus",
        "sieve",
        "timsieved",
        "lmtpunix",
        "courieresmtpd",
    ],
    read,
);
pub(crate) static ORACLE: Format = Format::new("oracleims", &[], oracle).by(&["<co ts=\""]);

fn read(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim();
    let service = if head.program.is_some_and(|p| p.contains("pop")) {
        "pop3"
    } else if head.program.is_some_and(|p| p.contains("sieve")) {
        "sieve"
    } else {
        "imap"
    };
    // Cyrus: `badlogin: name [192.0.2.1] plaintext bob SASL(-13): authentication failure: …`.
    if let Some(rest) = message.strip_prefix("badlogin: ") {
        let (_, rest) = rest.split_once('[')?;
        let (host, rest) = rest.split_once(']')?;
        failed(event, service, "failed");
        let mut words = rest.trim_start().split(' ');
        event.body.set_some(field::AUTH_PROTOCOL, words.next().filter(|w| !w.is_empty()));
        event
            .body
            .set_some(field::USER_NAME, words.next().filter(|w| !w.starts_with(['[', 'S']) && !w.is_empty() && *w != "authentication"));
        event.body.set_some(field::STATUS_DETAIL, after(rest, "SASL").map(|r| r.trim_end_matches(']')));
        set_source(event, host, None);
        return Some(Class::Critical);
    }
    if let Some(rest) = message.strip_prefix("login: ") {
        let (_, rest) = rest.split_once('[')?;
        let (host, rest) = rest.split_once(']')?;
        authentication(event, service, SUCCESS);
        event.body.set_some(field::USER_NAME, rest.trim_start().split(' ').next().filter(|w| !w.is_empty()));
        set_source(event, host, None);
        return Some(Class::Critical);
    }
    // Courier: `LOGIN FAILED, user=bob, ip=[::ffff:192.0.2.1]`, `LOGIN, user=bob, ip=[…], …`.
    if let Some(rest) = message.strip_prefix("LOGIN") {
        let host = after_last(rest, " ip=[")?.split(']').next()?;
        match rest.starts_with(" FAILED,") {
            true => failed(event, service, "failed"),
            false if rest.starts_with(", ") => authentication(event, service, SUCCESS),
            false => return None,
        }
        event.body.set_some(
            field::USER_NAME,
            after(rest, "user=").and_then(|u| u.rsplit_once(", ip=[")).map(|(u, _)| u.split(", ip=").next().unwrap_or(u)),
        );
        event.body.set_some(field::AUTH_PROTOCOL, between(rest, "method=", ","));
        set_source(event, host, None);
        return Some(Class::Critical);
    }
    // UW: `Login failed user=bob auth=bob host=name [192.0.2.1]`.
    let bad = ["Login failed ", "Login excessive login failures ", "Login disabled ", "AUTHENTICATE ", "Failed "]
        .iter()
        .any(|w| message.starts_with(w));
    let good = message.starts_with("Login user=") || message.starts_with("Authenticated user=");
    if (bad || good) && message.ends_with(']') {
        let host = after_last(message, "[")?.trim_end_matches(']');
        place(host)?;
        match bad {
            true => failed(event, service, "failed"),
            false => authentication(event, service, SUCCESS),
        }
        event.body.set_some(field::USER_NAME, after(message, "user=").and_then(|u| u.split(' ').next()).filter(|u| !u.is_empty()));
        set_source(event, host, None);
        return Some(Class::Critical);
    }
    None
}

/// `<co ts="…" … tr="TCP|192.0.2.1|25|192.0.2.9|4299" ap="SMTP" mi="Bad password" us="bob@example.com" di="535 …"/>`
fn oracle(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim();
    let mut transport = between(message, " tr=\"TCP|", "\"")?.split('|').skip(2);
    let (host, port) = (transport.next()?, transport.next());
    let what = between(message, " mi=\"", "\"")?;
    match what {
        "Bad password" | "User not found" | "No such user" => failed(event, "smtp", "failed"),
        _ if what.starts_with("Authentication successful") => authentication(event, "smtp", SUCCESS),
        _ => return None,
    }
    event.body.set(field::STATUS_DETAIL, what);
    event.body.set_some(field::USER_NAME, between(message, " us=\"", "\""));
    set_source(event, host, port);
    Some(Class::Critical)
}
