//! Small readers over message text. All are total: they give `None` where the text is not what they look for.

use std::net::IpAddr;

use event::{Event, field};

/// What follows the first `mark`.
pub(crate) fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.find(mark).and_then(|at| text.get(at + mark.len()..))
}

/// What follows the last `mark`.
pub(crate) fn after_last<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.rfind(mark).and_then(|at| text.get(at + mark.len()..))
}

/// What stands between `open` and the next `close`.
pub(crate) fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let rest = after(text, open)?;
    rest.find(close).map(|at| &rest[..at])
}

/// The first blank-separated word.
pub(crate) fn word(text: &str) -> &str {
    text.split_ascii_whitespace().next().unwrap_or("")
}

/// The value of `key=value` where the key starts a word; the value ends at a blank, a comma or a semicolon, or at its closing quote.
pub(crate) fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut from = 0;
    while let Some(at) = text.get(from..)?.find(key).map(|a| a + from) {
        let rest = text.get(at + key.len()..)?;
        let starts = text[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        if let Some(v) = rest.strip_prefix('=').filter(|_| starts) {
            if let Some(quoted) = v.strip_prefix('"') {
                return quoted.find('"').map(|end| &quoted[..end]);
            }
            let end = v.find([' ', ',', ';', '\t']).unwrap_or(v.len());
            return Some(&v[..end]);
        }
        from = at + key.len();
    }
    None
}

/// An address as daemons write it: plain, in brackets, IPv4 mapped into IPv6 (`::ffff:1.2.3.4` becomes `1.2.3.4`), with a zone.
pub(crate) fn address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_matches(|c: char| matches!(c, '[' | ']' | '(' | ')' | '<' | '>' | ',' | ';' | '"' | '\''));
    let bare = bare.split('%').next().unwrap_or(bare);
    let bare = bare.strip_prefix("IPv6:").unwrap_or(bare);
    let ip: IpAddr = bare.parse().ok()?;
    Some(match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    })
}

/// Sets source address, or source host name where it is a name, and the port.
pub(crate) fn set_source(event: &mut Event, host: &str, port: Option<&str>) {
    match address(host) {
        Some(ip) => event.body.set(field::SRC_IP, ip),
        None if !host.is_empty() => event.body.set(field::SRC_HOSTNAME, host),
        None => return,
    }
    if let Some(port) = port.and_then(|p| p.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u16>().ok()) {
        event.body.set(field::SRC_PORT, port);
    }
    event.body.set(field::IS_REMOTE, true);
}

/// An address with its port where text begins with one, as programs write it: `1.2.3.4`, `1.2.3.4:50`, `[::1]:50`, `'1.2.3.4:50'`,
/// `1.2.3.4.`; it ends at a blank, a quote, a comma or a bracket.
pub(crate) fn place(text: &str) -> Option<(IpAddr, Option<&str>)> {
    let text = text.trim_start_matches([' ', '\'', '"', '`', '(', '<', '{', '\\']);
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | ',' | ';' | '(' | ')' | '>' | '|' | '}' | '\\'));
    let token = text.get(..end.unwrap_or(text.len()))?.trim_end_matches(['.', ':', '!']);
    if let Some(ip) = address(token) {
        return Some((ip, None));
    }
    if let Some((inner, rest)) = token.strip_prefix('[').and_then(|t| t.split_once(']')) {
        return Some((address(inner)?, rest.strip_prefix(':')));
    }
    let (host, port) = token.rsplit_once(':')?;
    Some((address(host)?, Some(port)))
}

/// Sets the source from a `place`; false where the text is none.
pub(crate) fn set_place(event: &mut Event, text: &str) -> bool {
    let Some((ip, port)) = place(text) else { return false };
    event.body.set(field::SRC_IP, ip);
    event.body.set_some(field::SRC_PORT, port.and_then(|p| p.parse::<u16>().ok()));
    event.body.set(field::IS_REMOTE, true);
    true
}
