//! Applications that log one JSON object a line: Authelia, authentik, Teleport, ntfy, GitLab.
//!
//! Only keys of the outermost object are read: what a request brought along (parameters, headers) lies deeper, and a quote inside a text is
//! escaped, so a user's own words cannot name a key. No tree is built; a line is walked once, whatever its size.

use event::{Class, Event, LogSource, Timestamp, field};

use super::scan::{between, place, set_place};
use super::{Format, Header, SUCCESS, authentication, failed};

pub(crate) static JSON: Format = Format::new("json", &[], read).by(&["{\""]);

fn read(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let text = head.message.trim();
    if !text.starts_with('{') {
        return None;
    }
    let top = Top::walk(text);
    let (service, ok, user, host) =
        authelia(&top).or_else(|| authentik(&top)).or_else(|| teleport(&top)).or_else(|| ntfy(&top)).or_else(|| gitlab(&top))?;
    place(host)?;
    event.source = LogSource::new("linux", "", service);
    match ok {
        true => authentication(event, service, SUCCESS),
        false => failed(event, service, "failed"),
    }
    event.body.set_some(field::USER_NAME, user.filter(|u| !u.is_empty()));
    event.body.set_some(field::STATUS_DETAIL, top.get("error").filter(|e| e.len() <= 256));
    if let Some(time) = ["time", "timestamp", "@timestamp"].iter().find_map(|k| top.get(k)).and_then(Timestamp::parse_rfc3339) {
        event.time = time;
    }
    set_place(event, host);
    Some(Class::Critical)
}

type Found<'a> = Option<(&'static str, bool, Option<&'a str>, &'a str)>;

fn authelia<'a>(top: &Top<'a>) -> Found<'a> {
    let message = top.get("msg")?;
    let good = message.starts_with("Successful ") && message.contains(" authentication attempt made by user '");
    let bad = message.starts_with("Unsuccessful ") && message.contains(" authentication attempt by user '");
    let unknown = message.starts_with("Error occurred getting details for user with username input '");
    (good || bad || unknown).then_some(("authelia", good, between(message, "'", "'"), top.get("remote_ip")?))
}

fn authentik<'a>(top: &Top<'a>) -> Found<'a> {
    let bad = matches!(top.get("action")?, "login_failed" | "invalid_identifier");
    bad.then_some(("authentik", false, top.get("identifier"), top.get("client_ip")?))
}

fn teleport<'a>(top: &Top<'a>) -> Found<'a> {
    (top.get("event")? == "user.login").then_some((
        "teleport",
        top.get("success") == Some("true"),
        top.get("user"),
        top.get("addr.remote")?,
    ))
}

fn ntfy<'a>(top: &Top<'a>) -> Found<'a> {
    let refused = matches!(top.get("http_status")?, "401" | "403");
    refused.then_some(("ntfy", false, top.get("user_name"), top.get("visitor_ip")?))
}

fn gitlab<'a>(top: &Top<'a>) -> Found<'a> {
    let failed = match (top.get("controller")?, top.get("action")?) {
        ("SessionsController", "create") => top.get("status").is_none_or(|s| matches!(s, "0" | "401")),
        ("OmniauthCallbacksController", "failure") => true,
        _ => false,
    };
    failed.then_some(("gitlab", false, top.get("username"), top.get("remote_ip")?))
}

/// The keys of the outermost object with their plain values, as they stand in the text; at most `KEYS_MAX`.
struct Top<'a>(Vec<(&'a str, &'a str)>);

const KEYS_MAX: usize = 128;

impl<'a> Top<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
    }

    fn walk(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let (mut found, mut depth, mut at) = (Vec::new(), 0_u32, 0_usize);
        let mut key: Option<&str> = None;
        while at < bytes.len() && found.len() < KEYS_MAX {
            match bytes[at] {
                b'"' => {
                    let end = string_end(bytes, at + 1);
                    let inner = text.get(at + 1..end).unwrap_or("");
                    at = end + 1;
                    if depth == 1 {
                        match key.take() {
                            Some(name) => found.push((name, inner)),
                            None => key = Some(inner),
                        }
                    }
                    continue;
                }
                b'{' | b'[' => depth = depth.saturating_add(1),
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' if depth == 1 => key = None,
                b':' | b',' | b' ' | b'\t' => {}
                _ if depth == 1 => {
                    let len = bytes[at..].iter().take_while(|c| !matches!(c, b',' | b'}' | b']' | b' ' | b'"' | b':')).count();
                    if let Some(name) = key.take() {
                        found.push((name, text.get(at..at + len).unwrap_or("")));
                    }
                    at += len.max(1);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        Self(found)
    }
}

/// Place of the quote that ends a text begun before `from`.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::Top;

    #[test]
    fn only_the_outermost_keys_count() {
        let top = Top::walk(
            r#"{"params":{"remote_ip":"192.0.2.66"},"q":"x\",\"remote_ip\":\"192.0.2.67","n":-1.5,"b":true, "list":["remote_ip","192.0.2.68"],"remote_ip": "192.0.2.1"}"#,
        );
        assert_eq!(
            (top.get("remote_ip"), top.get("n"), top.get("b"), top.get("params")),
            (Some("192.0.2.1"), Some("-1.5"), Some("true"), None)
        );
        for broken in ["{", "{\"", "{\"a", "{\"a\\", "{\"a\":", "{{{{", "}}}}", "{\"a\"\"b\"", "{:,:,\"\\"] {
            Top::walk(broken);
        }
    }
}
