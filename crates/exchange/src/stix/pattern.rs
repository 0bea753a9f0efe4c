//! One value as a STIX pattern.

/// `[ipv4-addr:value = '192.0.2.1']`; none for a type that no pattern of STIX speaks of, or a value that is not of its type.
pub fn pattern(kind: &str, value: &str) -> Option<String> {
    let value = value.trim();
    if value.is_empty() || value.chars().any(char::is_control) {
        return None;
    }
    let path = match kind {
        "ipv4-addr" | "ipv6-addr" | "domain-name" | "url" | "email-addr" => format!("{kind}:value"),
        "mutex" => "mutex:name".to_owned(),
        "file:name" => "file:name".to_owned(),
        "md5" | "file:hashes.MD5" => return hash("MD5", value, 32),
        "sha1" | "file:hashes.SHA-1" => return hash("'SHA-1'", value, 40),
        "sha256" | "file:hashes.SHA-256" => return hash("'SHA-256'", value, 64),
        "sha512" | "file:hashes.SHA-512" => return hash("'SHA-512'", value, 128),
        _ => return None,
    };
    Some(format!("[{path} = '{}']", escape(value)))
}

fn hash(name: &str, value: &str, digits: usize) -> Option<String> {
    let good = value.len() == digits && value.bytes().all(|b| b.is_ascii_hexdigit());
    good.then(|| format!("[file:hashes.{name} = '{}']", value.to_ascii_lowercase()))
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\'', "\\'")
}
