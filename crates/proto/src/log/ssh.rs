//! OpenSSH's server. Messages as in sshd's `auth.c`, `auth2.c`, `packet.c` and `sshd.c`, from 3.x to 10.x.

use event::{Class, Event, Kind, field};

use super::scan::{after, after_last, set_source, word};
use super::{FAILURE, Format, Header, SUCCESS, authentication};

pub(crate) static SSHD: Format = Format::new("sshd", &["sshd", "sshd-auth"], read);

fn read(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim_end();
    let message = message.strip_suffix("[preauth]").unwrap_or(message).trim_end();
    let message = message.strip_prefix("error: ").or_else(|| message.strip_prefix("fatal: ")).unwrap_or(message);
    event.body.set(field::PRODUCT_NAME, "OpenSSH");

    if let Some(rest) = message.strip_prefix("Accepted ") {
        return logon(rest, SUCCESS, event);
    }
    if let Some(rest) = message.strip_prefix("Failed ") {
        return logon(rest, FAILURE, event);
    }
    if let Some(rest) = message.strip_prefix("Postponed ") {
        event.body.set_some(field::AUTH_PROTOCOL, Some(word(rest)));
        return None;
    }
    if let Some(rest) = message.strip_prefix("Invalid user ").or_else(|| message.strip_prefix("Illegal user ")) {
        fail(event, "invalid_user");
        event.body.set(field::USER_KNOWN, false);
        let (user, place) = split_from(rest)?;
        event.body.set(field::USER_NAME, user);
        source(event, place);
        return Some(Class::Critical);
    }
    if let Some(rest) = message.strip_prefix("PAM: ") {
        // `Authentication failure for [illegal user ]NAME from HOST[ via HOST]`
        let (what, rest) = rest.split_once(" for ")?;
        let rest = known_user(rest, event);
        let rest = rest.split(" via ").next().unwrap_or(rest);
        let (user, place) = split_from(rest.trim_end())?;
        fail(event, "pam");
        event.body.set(field::STATUS_DETAIL, what);
        event.body.set(field::AUTH_PROTOCOL, "keyboard-interactive");
        event.body.set(field::USER_NAME, user);
        source(event, place);
        return Some(Class::Critical);
    }
    if let Some(rest) = message.strip_prefix("ROOT LOGIN REFUSED FROM ") {
        fail(event, "root_refused");
        event.body.set(field::USER_NAME, "root");
        source(event, rest);
        return Some(Class::Critical);
    }
    if let Some(rest) = message.strip_prefix("User ")
        && let Some((who, why)) = rest.split_once(" not allowed because ")
    {
        fail(event, "not_allowed");
        event.body.set(field::STATUS_DETAIL, why);
        match split_from(who) {
            Some((user, place)) => {
                event.body.set(field::USER_NAME, user);
                source(event, place);
            }
            None => event.body.set(field::USER_NAME, who),
        }
        return Some(Class::Critical);
    }
    if let Some(rest) = message.strip_prefix("maximum authentication attempts exceeded for ") {
        let rest = known_user(rest, event);
        let (user, place) = split_from(rest)?;
        fail(event, "too_many_attempts");
        event.body.set(field::USER_NAME, user);
        source(event, place);
        return Some(Class::Critical);
    }
    if let Some(rest) = message.strip_prefix("Disconnecting") {
        let (_, why) = message.rsplit_once(": ").unwrap_or(("", ""));
        if message.contains("Too many authentication failures") || message.contains("Change of username or service not allowed") {
            fail(event, "too_many_attempts");
            event.body.set(field::STATUS_DETAIL, why);
            let rest = rest.trim_start();
            // `invalid user NAME HOST port N: …` in newer servers.
            for prefix in ["invalid user ", "authenticating user "] {
                if let Some(who) = rest.strip_prefix(prefix).and_then(|r| r.split_once(": ").map(|(w, _)| w)) {
                    user_and_place(who, event);
                }
            }
            return Some(Class::Critical);
        }
        // `Disconnecting invalid user NAME HOST port N[: …]`
        let who = [" invalid user ", " authenticating user "].iter().find_map(|p| rest.strip_prefix(p))?;
        session(event, 2);
        event.body.set(field::STATUS_ID, FAILURE);
        event.body.set(field::EVENT_CODE, "disconnect");
        user_and_place(who.rsplit_once(": ").map_or(who, |(w, _)| w), event);
        return Some(Class::Normal);
    }
    if message.starts_with("Authentication refused: ") {
        fail(event, "key_file_refused");
        event.body.set_some(field::STATUS_DETAIL, after(message, ": "));
        return Some(Class::Critical);
    }
    if let Some(rest) = message.strip_prefix("refused connect from ") {
        fail(event, "refused");
        source(event, after_last(rest, "(").map_or(rest, |r| r.trim_end_matches(')')));
        return Some(Class::Normal);
    }
    for (start, code) in [
        ("Received disconnect from ", "disconnect"),
        ("Connection closed by ", "closed"),
        ("Connection reset by ", "reset"),
        ("Disconnected from ", "disconnected"),
    ] {
        if let Some(rest) = message.strip_prefix(start) {
            event.body.set(field::EVENT_CODE, code);
            session(event, 2);
            let rest = match rest.strip_prefix("authenticating user ").or_else(|| rest.strip_prefix("invalid user ")) {
                Some(who) => {
                    // Who was still "authenticating" or is no user had not logged on.
                    user_and_place(who, event);
                    event.body.set(field::STATUS_ID, FAILURE);
                    ""
                }
                None => rest.strip_prefix("user ").map_or(rest, |r| r.split_once(' ').map_or(r, |(_, r)| r)),
            };
            let place = rest.split(": ").next().unwrap_or(rest);
            source(event, place);
            let before_login = head.message.trim_end().ends_with("[preauth]");
            if before_login {
                event.body.set(field::STATUS_ID, FAILURE);
            }
            if let Some(why) =
                ["Auth fail", "No supported authentication methods", "No authentication methods", "Bye Bye", "Normal Shutdown"]
                    .into_iter()
                    .find(|w| message.contains(w))
            {
                event.body.set(field::STATUS_DETAIL, why);
                if before_login || !why.starts_with('B') && !why.starts_with("Normal") {
                    event.body.set(field::STATUS_ID, FAILURE);
                }
            }
            return Some(Class::Normal);
        }
    }
    for (mark, code) in [
        ("Did not receive identification string from ", "no_identification"),
        ("Bad protocol version identification ", "bad_protocol"),
        ("Unable to negotiate with ", "no_negotiation"),
        ("banner exchange: Connection from ", "bad_banner"),
        ("ssh_dispatch_run_fatal: Connection from ", "bad_packet"),
        ("Timeout before authentication for ", "timeout"),
        ("Read from socket failed: ", "read_failed"),
        ("Write failed: ", "write_failed"),
        ("Unable to negotiate a key exchange method", "no_negotiation"),
        ("no matching ", "no_negotiation"),
        ("kex_exchange_identification: ", "bad_identification"),
    ] {
        if let Some(rest) = after(message, mark).filter(|_| message.starts_with(mark)) {
            event.body.set(field::EVENT_CODE, code);
            event.body.set(field::STATUS_ID, FAILURE);
            session(event, 4);
            let place = match code {
                "bad_protocol" => after_last(rest, " from ").unwrap_or(""),
                "timeout" => rest.strip_prefix("connection from ").unwrap_or(rest),
                _ => rest,
            };
            if place.contains(['.', ':']) && code != "bad_identification" && code != "read_failed" && !mark.ends_with("ing ") {
                source(event, place);
            }
            return Some(Class::Normal);
        }
    }
    // A name that does not lead back to its address: a fact about the caller, no failure.
    if let Some(rest) = message.strip_prefix("reverse mapping checking getaddrinfo for ") {
        session(event, 1);
        event.body.set(field::EVENT_CODE, "reverse_mapping");
        set_source(event, after_last(rest, "[")?.split(']').next()?, None);
        return Some(Class::Bulk);
    }
    // The HPN patch, of every key exchange: `SSH: Server;Ltype: Kex;Remote: 192.0.2.1-50257;Enc: …`.
    if let Some(rest) = message.strip_prefix("SSH: Server;") {
        let (host, port) = after(rest, "Remote: ")?.split(';').next()?.rsplit_once('-')?;
        session(event, 1);
        set_source(event, host, Some(port));
        return Some(Class::Bulk);
    }
    if let Some(rest) = message.strip_prefix("Connection from ") {
        session(event, 1);
        source(event, rest.split(" on ").next().unwrap_or(rest));
        return Some(Class::Bulk);
    }
    None
}

/// `METHOD for [invalid user ]NAME from HOST port N ssh2[: …]`; the name may itself hold ` from `.
fn logon(rest: &str, status: i64, event: &mut Event) -> Option<Class> {
    let (method, rest) = rest.split_once(" for ")?;
    authentication(event, "ssh", status);
    event.activity = 1;
    event.body.set(field::AUTH_PROTOCOL, method);
    let code = match (status, method) {
        (SUCCESS, _) => "accepted",
        // One of the keys an agent offers, before the right one: no guess at a password. Rules that count guesses leave it out.
        (_, "publickey") if !rest.starts_with("invalid user ") && !rest.starts_with("illegal user ") => "key_refused",
        _ => "failed",
    };
    event.body.set(field::EVENT_CODE, code);
    let rest = known_user(rest, event);
    let (user, place) = logon_place(rest)?;
    event.body.set(field::USER_NAME, user.trim());
    source(event, place);
    Some(Class::Critical)
}

/// Where the daemon itself wrote the address: the first ` from ` followed by `HOST port N ssh2` and then the end or a colon (what
/// the client sends as detail comes after that colon); else the last ` from ` with a plain `HOST[ port N]`. What an attacker
/// puts into a user name stands before the first and never ends the message.
fn logon_place(rest: &str) -> Option<(&str, &str)> {
    let mut plain = None;
    for (at, mark) in rest.match_indices(" from ") {
        let place = rest.get(at + mark.len()..)?;
        let words: Vec<&str> = place.splitn(5, ' ').collect();
        match words.as_slice() {
            [_, "port", port, proto, tail @ ..]
                if port.parse::<u16>().is_ok() && proto.starts_with("ssh") && (tail.is_empty() || proto.ends_with(':')) =>
            {
                return Some((rest.get(..at)?, place));
            }
            [_] => plain = Some((rest.get(..at)?, place)),
            [_, "port", port] if port.parse::<u16>().is_ok() => plain = Some((rest.get(..at)?, place)),
            _ => {}
        }
    }
    plain
}

/// `NAME from HOST…`, split at the last ` from `.
fn split_from(text: &str) -> Option<(&str, &str)> {
    if let Some(place) = text.strip_prefix("from ") {
        return Some(("", place));
    }
    text.rsplit_once(" from ")
}

/// `NAME HOST port N`: the last three words are the place, the name is what stands before.
fn user_and_place(text: &str, event: &mut Event) {
    let words: Vec<&str> = text.split(' ').collect();
    if let [name @ .., host, "port", port] = words.as_slice() {
        event.body.set(field::USER_NAME, name.join(" "));
        set_source(event, host, Some(port));
    }
}

fn known_user<'a>(rest: &'a str, event: &mut Event) -> &'a str {
    for prefix in ["invalid user ", "illegal user "] {
        if let Some(name) = rest.strip_prefix(prefix) {
            event.body.set(field::USER_KNOWN, false);
            return name;
        }
    }
    rest
}

fn fail(event: &mut Event, code: &'static str) {
    authentication(event, "ssh", FAILURE);
    event.body.set(field::EVENT_CODE, code);
}

/// A session's start or end on the wire, without a log-on (OCSF SSH activity).
fn session(event: &mut Event, activity: u8) {
    event.kind = Kind::SshActivity;
    event.activity = activity;
    event.body.set(field::SERVICE_NAME, "ssh");
}

/// `HOST[ port N]…`, `HOST:…`.
fn source(event: &mut Event, place: &str) {
    let mut words = place.split_ascii_whitespace();
    let host = words.next().unwrap_or("").trim_end_matches([':', ',']);
    let port = match (words.next(), words.next()) {
        (Some("port"), Some(port)) => Some(port.split(':').next().unwrap_or(port)),
        _ => None,
    };
    set_source(event, host, port);
}
