//! Mail servers: Postfix and Dovecot; log-ons and refusals. (`exim`, `sendmail` and `imap` have their own files.)

use event::{Class, Event, Kind, field};

use super::scan::{after, between, set_source, value};
use super::{FAILURE, Format, Header, SUCCESS, authentication};

pub(crate) static POSTFIX: Format = Format::new("postfix", &["postfix", "postfix-incoming", "postfix-smo"], postfix);
pub(crate) static DOVECOT: Format =
    Format::new("dovecot", &["dovecot", "dovecot-auth", "imap-login", "pop3-login", "auth", "managesieve-login"], dovecot);

/// `name[1.2.3.4]` or `[1.2.3.4]:port`, the first bracket after `mark`.
fn client<'a>(message: &'a str, mark: &str) -> Option<(&'a str, Option<&'a str>)> {
    let rest = if mark.is_empty() { message } else { after(message, mark)? };
    let (_, rest) = rest.split_once('[')?;
    let (host, rest) = rest.split_once(']')?;
    let port = rest.strip_prefix(':').map(|p| p.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("")).filter(|p| !p.is_empty());
    Some((host, port))
}

fn postfix(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message;
    if message.contains("authentication failed:") && message.contains("SASL ") {
        let (host, port) = client(message, "warning: ")?;
        // Not the client's doing: the authentication server was away.
        if message.contains("Connection lost to authentication server") || message.contains("Invalid authentication mechanism") {
            event.body.set(field::EVENT_CODE, "sasl_error");
            if message.contains("Invalid authentication mechanism") {
                event.kind = Kind::EmailActivity;
                event.activity = 99;
                event.body.set(field::STATUS_ID, FAILURE);
            }
            set_source(event, host, port);
            return Some(Class::Normal);
        }
        authentication(event, "smtp", FAILURE);
        event.body.set_some(field::AUTH_PROTOCOL, between(message, "SASL ", " "));
        event.body.set_some(field::USER_NAME, value(message, "sasl_username"));
        set_source(event, host, port);
        return Some(Class::Critical);
    }
    for (mark, code, place) in [
        ("reject: ", "reject", " from "),
        ("milter-reject: ", "reject", " from "),
        ("improper command pipelining after ", "pipelining", " from "),
        ("too many errors after ", "too_many_errors", " from "),
        ("lost connection after ", "lost_connection", " from "),
        ("PREGREET ", "pregreet", " from "),
        ("HANGUP after ", "hangup", " from "),
        ("COMMAND TIME LIMIT", "command_limit", " from "),
        ("COMMAND COUNT LIMIT", "command_limit", " from "),
        ("rate limit exceeded", "rate_limit", " from "),
        ("non-SMTP command", "non_smtp_command", " from "),
    ] {
        if !message.contains(mark) {
            continue;
        }
        let Some((host, port)) = after(message, mark).and_then(|r| client(r, place).or_else(|| client(r, ""))) else { continue };
        event.kind = Kind::EmailActivity;
        event.activity = 99;
        event.body.set(field::EVENT_CODE, code);
        event.body.set(field::STATUS_ID, FAILURE);
        event.body.set(field::SERVICE_NAME, "smtp");
        set_source(event, host, port);
        return Some(Class::Normal);
    }
    if let Some(rest) = message.strip_prefix("warning: hostname ").and_then(|r| after(r, " does not resolve to address ")) {
        event.kind = Kind::EmailActivity;
        event.activity = 99;
        event.body.set(field::EVENT_CODE, "no_reverse_name");
        event.body.set(field::STATUS_ID, FAILURE);
        set_source(event, rest.split([' ', ',']).next()?.trim_end_matches(':'), None);
        return Some(Class::Bulk);
    }
    if let Some(rest) = message.strip_prefix("disconnect from ") {
        let (host, port) = client(rest, "")?;
        // `auth=0/1`: none of one attempt succeeded.
        if let Some((good, all)) = value(rest, "auth").and_then(|a| a.split_once('/')) {
            authentication(event, "smtp", if good == all { SUCCESS } else { FAILURE });
            event.body.set(field::EVENT_CODE, "auth_counts");
        } else {
            event.body.set(field::EVENT_CODE, "disconnect");
        }
        set_source(event, host, port);
        return Some(Class::Normal);
    }
    None
}

/// `imap-login: Aborted login (auth failed, 1 attempts in 2 secs): user=<bob>, method=PLAIN, rip=1.2.3.4, lip=…`, auth workers' `pam(bob,1.2.3.4): unknown user`.
fn dovecot(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message;
    if let Some(host) = value(message, "rip") {
        let lower = message.to_ascii_lowercase();
        let status = if lower.contains("login: login:")
            || lower.contains("login: info: login:")
            || lower.starts_with("login:")
            || lower.contains("): logged in")
        {
            SUCCESS
        } else if lower.contains("auth failed")
            || lower.contains("no auth attempts")
            || lower.contains("tried to use disallowed")
            || lower.contains("aborted login")
            || lower.contains("unknown user")
        {
            FAILURE
        } else {
            return None;
        };
        if lower.contains("no auth attempts") {
            event.body.set(field::EVENT_CODE, "no_auth_attempts");
        }
        authentication(event, "imap", status);
        event.body.set_some(field::USER_NAME, between(message, "user=<", ">"));
        event.body.set_some(field::AUTH_PROTOCOL, value(message, "method"));
        event.body.set_some(field::STATUS_DETAIL, between(message, "(", ")"));
        set_source(event, host, None);
        return Some(Class::Critical);
    }
    // `auth-worker(1): pam(bob,1.2.3.4,<session>): pam_authenticate() failed: …`
    let failed = [
        "unknown user",
        "Password mismatch",
        "password mismatch",
        "pam_authenticate() failed",
        "invalid credentials",
        "Credentials mismatch",
    ]
    .iter()
    .any(|w| message.contains(w));
    if failed {
        let inner =
            ["pam(", "passwd-file(", "sql(", "ldap(", "passwd(", "shadow(", "static("].iter().find_map(|m| between(message, m, ")"))?;
        let mut parts = inner.rsplit(',').filter(|p| !p.starts_with('<'));
        let host = parts.next()?;
        authentication(event, "imap", FAILURE);
        event.body.set_some(field::USER_NAME, inner.split(',').next());
        set_source(event, host, None);
        return Some(Class::Critical);
    }
    None
}
