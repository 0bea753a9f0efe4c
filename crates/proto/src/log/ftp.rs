//! FTP servers: vsftpd, ProFTPD, Pure-FTPd.

use event::{Class, Event, Kind, field};

use super::scan::{after, between, set_source, word};
use super::{FAILURE, Format, Header, SUCCESS, authentication, failed};

pub(crate) static VSFTPD: Format =
    Format::new("vsftpd", &["vsftpd"], vsftpd).by(&["] FAIL LOGIN: Client ", "] OK LOGIN: Client ", "] FTP response: Client "]);
pub(crate) static PROFTPD: Format = Format::new("proftpd", &["proftpd"], proftpd);
pub(crate) static PURE_FTPD: Format = Format::new("pure-ftpd", &["pure-ftpd"], pure_ftpd);

/// `[pid 27202] [anonymous] FAIL LOGIN: Client "1.2.3.4"`
pub(super) fn vsftpd(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message;
    // `[pid 1] [bob] FTP response: Client "192.0.2.1", "530 Permission denied."`, where the protocol is logged.
    if let Some(at) = message.rfind("] FTP response: Client \"").filter(|_| message.ends_with("\"530 Permission denied.\"")) {
        let host = between(message.get(at..)?, "Client \"", "\"")?;
        failed(event, "ftp", "not_allowed");
        event.body.set_some(field::USER_NAME, message.get(..at)?.rsplit('[').next());
        set_source(event, host, None);
        return Some(Class::Critical);
    }
    let (status, at) = match (message.find("] FAIL LOGIN: Client "), message.find("] OK LOGIN: Client ")) {
        (Some(at), _) => (FAILURE, at),
        (None, Some(at)) => (SUCCESS, at),
        _ => return None,
    };
    authentication(event, "ftp", status);
    let user = message.get(..at)?.rsplit('[').next().unwrap_or("");
    event.body.set(field::USER_NAME, user);
    event.body.set(field::AUTH_PROTOCOL, "password");
    set_source(event, between(message.get(at..)?, "Client \"", "\"")?, None);
    Some(Class::Critical)
}

/// `host (name[1.2.3.4]): USER bob (Login failed): …`; the address in the first bracket is the daemon's, later ones may be a user name's.
fn proftpd(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message;
    if let Some(rest) = message.strip_prefix("refused connect from ") {
        set_refused(event, rest.rsplit_once('(').map_or(rest, |(_, h)| h.trim_end_matches(')')));
        return Some(Class::Normal);
    }
    let (place, rest) = message.split_once(")").map(|(p, r)| (p, r.trim_start_matches([':', ' ', '-'])))?;
    let host = place.rsplit_once('[').map(|(_, h)| h.trim_end_matches(']'))?;
    if rest.starts_with("Connection from ") && rest.trim_end().ends_with("] denied.") {
        set_refused(event, host);
        return Some(Class::Normal);
    }
    let lower = rest.to_ascii_lowercase();
    let status = if lower.contains("login successful") {
        SUCCESS
    } else if lower.contains("(login failed)")
        || lower.contains("no such user")
        || lower.starts_with("security violation")
        || lower.contains("maximum login attempts")
    {
        FAILURE
    } else {
        return None;
    };
    authentication(event, "ftp", status);
    event.body.set(field::AUTH_PROTOCOL, "password");
    if let Some(user) = rest.strip_prefix("USER ") {
        let end = user.rfind(" (Login failed)").or_else(|| user.find(": ")).unwrap_or(user.len());
        event.body.set(field::USER_NAME, &user[..end]);
    }
    if lower.contains("no such user") {
        event.body.set(field::USER_KNOWN, false);
    }
    set_source(event, host, None);
    Some(Class::Critical)
}

/// A connection that was not let in.
fn set_refused(event: &mut Event, host: &str) {
    event.kind = Kind::FtpActivity;
    event.activity = 99;
    event.body.set(field::STATUS_ID, FAILURE);
    event.body.set(field::EVENT_CODE, "refused");
    event.body.set(field::SERVICE_NAME, "ftp");
    set_source(event, host, None);
}

/// `(?@1.2.3.4) [WARNING] Authentication failed for user [bob]`, `(bob@1.2.3.4) [INFO] bob is now logged in`
fn pure_ftpd(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let (place, rest) = head.message.trim().strip_prefix('(')?.split_once(") ")?;
    let (_, host) = place.rsplit_once('@')?;
    if let Some(user) = after(rest, "Authentication failed for user ") {
        authentication(event, "ftp", FAILURE);
        event.body.set(field::USER_NAME, user.trim_matches(['[', ']']));
    } else if let Some((user, _)) = after(rest, "] ").and_then(|r| r.split_once(" is now logged in")) {
        authentication(event, "ftp", SUCCESS);
        event.body.set(field::USER_NAME, word(user));
    } else {
        return None;
    }
    event.body.set(field::AUTH_PROTOCOL, "password");
    set_source(event, host, None);
    Some(Class::Critical)
}
