//! FTP servers: vsftpd, ProFTPD, Pure-FTPd.

use event::{Class, Event, field};

use super::scan::{after, between, set_source, word};
use super::{FAILURE, Format, Header, SUCCESS, authentication};

pub(crate) static VSFTPD: Format = Format::new("vsftpd", &["vsftpd"], vsftpd).by(&["] FAIL LOGIN: Client ", "] OK LOGIN: Client "]);
pub(crate) static PROFTPD: Format = Format::new("proftpd", &["proftpd"], proftpd);
pub(crate) static PURE_FTPD: Format = Format::new("pure-ftpd", &["pure-ftpd"], pure_ftpd);

/// `[pid 27202] [anonymous] FAIL LOGIN: Client "1.2.3.4"`
pub(super) fn vsftpd(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message;
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
    let (place, rest) = message.split_once(")").map(|(p, r)| (p, r.trim_start_matches([':', ' ', '-'])))?;
    let host = place.rsplit_once('[').map(|(_, h)| h.trim_end_matches(']'))?;
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
        let end = user.find(": ").or_else(|| user.find(" (Login")).unwrap_or(user.len());
        event.body.set(field::USER_NAME, &user[..end]);
    }
    if lower.contains("no such user") {
        event.body.set(field::USER_KNOWN, false);
    }
    set_source(event, host, None);
    Some(Class::Critical)
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
