//! What OCSF 1.8 demands of the places our fields go to: which class has which attribute, what a value must look like there, and what
//! an object cannot be without. Held against the schema itself by a whole-system test.
//!
//! A field of the table whose attribute the event's class does not have, or whose value does not fit, is exported under `unmapped`
//! rather than at a wrong place. What OCSF requires and nobody could see is filled with `unknown` or 0; `is_filler` tells
//! such words from facts when our own export is read back.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::fields::{Field, Home, Kind, Shape};
use crate::value::Value;

/// A JSON tree over the values of an event.
pub(crate) enum Node<'a> {
    /// A field of the event: which of its fields, and whether it is text whatever its value is.
    Leaf {
        at: u16,
        value: &'a Value,
        quoted: bool,
    },
    Text(Cow<'a, str>),
    Int(i64),
    /// A list of fixed words.
    Words(Vec<&'static str>),
    Branch(Map<'a>),
}

pub(crate) type Map<'a> = BTreeMap<&'a str, Node<'a>>;

/// Who made an event where nothing else says it.
pub(crate) const US: &str = "Vedette";
const UNKNOWN: &str = "unknown";
/// An address OCSF takes for one and RFC 2606 keeps from being anybody's.
const NOBODY: &str = "unknown@unknown.invalid";

impl Node<'_> {
    const fn unknown() -> Self {
        Self::Text(Cow::Borrowed(UNKNOWN))
    }
}

/// The only HTTP methods OCSF knows.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];

/// Classes of network activity proper (mail is not one of them in OCSF).
const fn is_network(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::NetworkActivity
            | Kind::HttpActivity
            | Kind::DnsActivity
            | Kind::RdpActivity
            | Kind::SmbActivity
            | Kind::SshActivity
            | Kind::FtpActivity
            | Kind::DhcpActivity
            | Kind::NtpActivity
    )
}

const fn is_iam(kind: Kind) -> bool {
    matches!(kind, Kind::AccountChange | Kind::Authentication | Kind::GroupManagement)
}

const fn is_system(kind: Kind) -> bool {
    matches!(kind, Kind::FileActivity | Kind::ProcessActivity | Kind::LogActivity)
}

/// Whether the class has this attribute at its top, among those our fields go to.
fn has(kind: Kind, top: &str) -> bool {
    match top {
        "message" | "raw_data" | "status_id" | "status_detail" | "count" | "duration" | "start_time" | "end_time" | "metadata"
        | "disposition" | "device" | "actor" => true,
        "src_endpoint" => is_network(kind) || is_iam(kind) || matches!(kind, Kind::LogActivity | Kind::EmailActivity),
        "dst_endpoint" => is_network(kind) || matches!(kind, Kind::LogActivity | Kind::Authentication | Kind::EmailActivity),
        "connection_info" | "app_name" | "traffic" | "tls" => is_network(kind),
        "query" | "rcode" | "rcode_id" => matches!(kind, Kind::DnsActivity),
        "http_request" | "http_response" => is_iam(kind) || matches!(kind, Kind::HttpActivity),
        "user" => is_iam(kind) || matches!(kind, Kind::RdpActivity),
        "group" => matches!(kind, Kind::GroupManagement),
        "command" => matches!(kind, Kind::SmbActivity | Kind::FtpActivity | Kind::EmailActivity),
        "dialect" | "share" | "share_type" => matches!(kind, Kind::SmbActivity),
        "identifier_cookie" => matches!(kind, Kind::RdpActivity),
        "lease_dur" => matches!(kind, Kind::DhcpActivity),
        "version" => matches!(kind, Kind::NtpActivity),
        "is_cleartext" => matches!(kind, Kind::Authentication),
        "auth_protocol" | "logon_type" | "is_remote" | "service" | "session" => matches!(kind, Kind::Authentication),
        "process" => matches!(kind, Kind::ProcessActivity),
        "file" => matches!(
            kind,
            Kind::FileActivity
                | Kind::LogActivity
                | Kind::HttpActivity
                | Kind::RdpActivity
                | Kind::SmbActivity
                | Kind::SshActivity
                | Kind::FtpActivity
        ),
        "file_result" => matches!(kind, Kind::FileActivity),
        "finding_info" => matches!(kind, Kind::DetectionFinding),
        _ => false,
    }
}

/// Whether the field may stand at its OCSF place in an event of this class with this value.
pub(crate) fn belongs(kind: Kind, field: Field, value: &Value) -> bool {
    let name = field.name();
    let top = name.split('.').next().unwrap_or(name);
    has(kind, top) && Fit::of(field).takes(value)
}

/// What a value must look like at the OCSF place of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// OCSF has no place for the field.
    Never,
    Text,
    Mac,
    Method,
    Int,
    Port,
    Status,
    Rcode,
    Version,
    Direction,
    Float,
    Bool,
    Ip,
    List,
    Addresses,
}

impl Fit {
    pub(crate) fn of(field: Field) -> Self {
        let name = field.name();
        match (field.home(), field.shape()) {
            (Home::Vedette, _) => Self::Never,
            (_, Shape::Text) if name == "http_request.http_method" => Self::Method,
            (_, Shape::Text) if name.ends_with(".mac") => Self::Mac,
            (_, Shape::Text) => Self::Text,
            (_, Shape::Int) => match name.rsplit('.').next().unwrap_or(name) {
                "port" => Self::Port,
                "status_id" => Self::Status,
                "rcode_id" => Self::Rcode,
                "protocol_ver_id" => Self::Version,
                "direction_id" => Self::Direction,
                _ => Self::Int,
            },
            (_, Shape::Float) => Self::Float,
            (_, Shape::Bool) => Self::Bool,
            (_, Shape::Ip) => Self::Ip,
            (_, Shape::List) if name == "http_request.x_forwarded_for" => Self::Addresses,
            (_, Shape::List) => Self::List,
        }
    }

    /// Kinds of values (`Value::bit`) that are taken whatever they are, and those that must be looked at.
    pub(crate) fn kinds(self) -> (u8, u8) {
        let samples = [
            Value::Null,
            Value::text(""),
            Value::Int(0),
            Value::Float(0.0),
            Value::Bool(true),
            Value::Ip(std::net::Ipv4Addr::UNSPECIFIED.into()),
            Value::Bytes(Box::default()),
            Value::List(Box::default()),
        ];
        let looks = match self {
            Self::Mac | Self::Method => Value::text("").bit(),
            Self::Port | Self::Status | Self::Rcode | Self::Version | Self::Direction => Value::Int(0).bit(),
            Self::Float => Value::Float(0.0).bit(),
            Self::Addresses => Value::List(Box::default()).bit(),
            _ => 0,
        };
        let taken = samples.iter().filter(|sample| self.takes(sample)).fold(0, |all, sample| all | sample.bit());
        (taken & !looks, looks)
    }

    pub(crate) fn takes(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Never, _) => false,
            (Self::Text, Value::Text(_) | Value::Ip(_) | Value::Bytes(_) | Value::Int(_) | Value::Bool(_) | Value::Float(_)) => true,
            (Self::Mac, Value::Text(text)) => is_mac(text.as_bytes()),
            (Self::Method, Value::Text(text)) => METHODS.contains(&&**text),
            (Self::Method, Value::Ip(_) | Value::Bytes(_) | Value::Int(_) | Value::Bool(_) | Value::Float(_)) => true,
            (Self::Int, Value::Int(_)) | (Self::Bool, Value::Bool(_)) | (Self::Ip, Value::Ip(_)) | (Self::List, Value::List(_)) => true,
            (Self::Port, Value::Int(n)) => (0..=65_535).contains(n),
            (Self::Status, Value::Int(n)) => matches!(n, 0..=2 | 99),
            (Self::Rcode, Value::Int(n)) => matches!(n, 0..=11 | 16..=25 | 99),
            (Self::Version, Value::Int(n)) => matches!(n, 0 | 4 | 6 | 99),
            (Self::Direction, Value::Int(n)) => matches!(n, 0..=4 | 99),
            (Self::Float, Value::Float(x)) => x.is_finite(),
            (Self::Float, Value::Int(_)) => true,
            (Self::Addresses, Value::List(list)) => list.iter().all(|v| v.to_text().parse::<std::net::IpAddr>().is_ok()),
            _ => false,
        }
    }
}

/// Six bytes in hexadecimal with one colon or hyphen between two. All places are looked at, without a way out: it is asked twice a flow.
pub(crate) fn is_mac(text: &[u8]) -> bool {
    const DIGIT: u8 = 1;
    const MARK: u8 = 2;
    static CLASSES: [u8; 256] = {
        let mut all = [0; 256];
        let mut n = 0;
        while n < all.len() {
            let byte = n as u8;
            all[n] = if byte.is_ascii_hexdigit() { DIGIT } else { 0 };
            n += 1;
        }
        (all[b':' as usize], all[b'-' as usize]) = (MARK, MARK);
        all
    };
    let Some(text) = text.first_chunk::<17>().filter(|_| text.len() == 17) else { return false };
    let wrong = text.iter().enumerate().fold(0, |wrong, (n, byte)| {
        let wanted = if n % 3 == 2 { MARK } else { DIGIT };
        wrong | CLASSES[usize::from(*byte)] ^ wanted
    });
    wrong == 0
}

/// Whether `complete` looks at the value of this field; of others it counts only whether they are there.
pub(crate) fn value_decides(field: Field) -> bool {
    let mut parts = field.name().rsplit('.');
    let (last, object) = (parts.next(), parts.next());
    matches!((object, last), (Some("file" | "file_result"), Some("path" | "type")) | (Some("os"), Some("name")))
}

/// Adds what the class and its objects cannot be without, and names the OCSF profiles that were used.
pub(crate) fn complete<'a>(kind: Kind, log: Option<Cow<'a, str>>, root: &mut Map<'a>) {
    let demanded: &[&str] = match kind {
        Kind::FileActivity => &["actor", "device", "file"],
        Kind::ProcessActivity => &["actor", "device", "process"],
        Kind::AccountChange | Kind::Authentication => &["user"],
        Kind::GroupManagement => &["group"],
        Kind::InventoryInfo => &["device"],
        Kind::ApplicationLifecycle => &["app"],
        Kind::DetectionFinding => &["finding_info"],
        Kind::EmailActivity => &["email"],
        _ => &[],
    };
    for object in demanded {
        root.entry(object).or_insert_with(|| Node::Branch(Map::new()));
    }
    let (endpoints, web) = (["src_endpoint", "dst_endpoint"], ["http_request", "http_response"]);
    let lacks = |names: [&str; 2]| !names.iter().any(|n| root.contains_key(n));
    let one_of = match kind {
        Kind::HttpActivity if lacks(web) => Some("http_request"),
        Kind::HttpActivity => None,
        Kind::Authentication if lacks(["service", "dst_endpoint"]) => Some("dst_endpoint"),
        kind if is_network(kind) && lacks(endpoints) => Some("src_endpoint"),
        _ => None,
    };
    if let Some(object) = one_of {
        root.insert(object, Node::Branch(Map::new()));
    }
    match kind {
        Kind::LogActivity => {
            root.insert("log_name", log.map_or(Node::unknown(), Node::Text));
        }
        Kind::EmailActivity => {
            root.insert("direction_id", Node::Int(0));
        }
        Kind::NtpActivity => {
            root.entry("version").or_insert_with(Node::unknown);
        }
        _ => {}
    }
    for (name, node) in root.iter_mut() {
        if let Node::Branch(object) = node {
            fill(name, object);
        }
    }
    let mut profiles = Vec::new();
    let device = root.contains_key("device")
        && !(is_system(kind) || matches!(kind, Kind::DetectionFinding | Kind::RdpActivity | Kind::InventoryInfo));
    let actor = root.contains_key("actor") && !(is_system(kind) || is_iam(kind) || matches!(kind, Kind::InventoryInfo));
    if device || actor {
        profiles.push("host");
    }
    if root.contains_key("disposition") {
        profiles.push("security_control");
    }
    if !profiles.is_empty()
        && let Node::Branch(metadata) = root.entry("metadata").or_insert_with(|| Node::Branch(Map::new()))
    {
        metadata.insert("profiles", Node::Words(profiles));
    }
}

/// What an object of this name must have.
fn fill<'a>(name: &str, object: &mut Map<'a>) {
    for (inner, node) in object.iter_mut() {
        if let Node::Branch(map) = node {
            fill(inner, map);
        }
    }
    let lacks = |object: &Map<'a>, names: &[&str]| !names.iter().any(|n| object.contains_key(n));
    match name {
        "device" => {
            object.entry("type_id").or_insert(Node::Int(0));
            if lacks(object, &["ip", "uid", "hostname", "interface_name"]) {
                object.insert("name", Node::unknown());
            }
        }
        "os" => {
            let linux = match object.entry("name").or_insert_with(Node::unknown) {
                Node::Leaf { value, .. } => value.to_text().to_ascii_lowercase().contains("linux"),
                _ => false,
            };
            object.insert("type_id", Node::Int(if linux { 200 } else { 0 }));
        }
        "src_endpoint" | "dst_endpoint" if lacks(object, &["ip", "hostname", "svc_name"]) => {
            object.insert("name", Node::unknown());
        }
        "connection_info" => {
            object.entry("direction_id").or_insert(Node::Int(0));
        }
        "file" | "file_result" => {
            let text = |name: &str| match object.get(name) {
                Some(Node::Leaf { value, .. }) => Some(value.to_text().into_owned()),
                _ => None,
            };
            let kind = match text("type").as_deref() {
                Some("file") => 1,
                Some("folder" | "directory") => 2,
                Some("link") => 7,
                _ => 0,
            };
            let last = text("path").and_then(|path| path.rsplit('/').next().map(str::to_owned)).filter(|last| !last.is_empty());
            object.entry("name").or_insert_with(|| last.map_or(Node::unknown(), |last| Node::Text(last.into())));
            object.insert("type_id", Node::Int(kind));
        }
        "process" | "parent_process" if lacks(object, &["pid"]) => {
            object.insert("uid", Node::unknown());
        }
        "user" | "owner" if lacks(object, &["name", "uid"]) => {
            object.insert("account", Node::Branch(Map::from([("name", Node::unknown())])));
        }
        "group" | "service" if lacks(object, &["name", "uid"]) => {
            object.insert("name", Node::unknown());
        }
        "tls" => {
            object.entry("version").or_insert_with(Node::unknown);
        }
        // JA3 is an MD5 by definition.
        "ja3_hash" => {
            object.insert("algorithm_id", Node::Int(1));
        }
        "certificate" => {
            object.entry("issuer").or_insert_with(Node::unknown);
            object.entry("serial_number").or_insert_with(Node::unknown);
        }
        "query" => {
            object.entry("hostname").or_insert_with(Node::unknown);
        }
        "http_response" => {
            object.entry("code").or_insert(Node::Int(0));
        }
        "url" if lacks(object, &["url_string", "path"]) => {
            object.insert("path", Node::unknown());
        }
        "actor" if lacks(object, &["process", "user"]) => {
            object.insert("app_name", Node::unknown());
        }
        "app" if lacks(object, &["name", "uid"]) => {
            object.insert("name", Node::Text(Cow::Borrowed(US)));
        }
        "email" if lacks(object, &["from", "to"]) => {
            object.insert("from", Node::Text(Cow::Borrowed(NOBODY)));
        }
        "finding_info" => {
            object.entry("uid").or_insert_with(Node::unknown);
        }
        _ => {}
    }
}

/// Whether an attribute of our own export stands there only because OCSF wants something there. `text` and `number` are its value.
pub fn is_filler(name: &str, text: Option<&str>, number: Option<i64>) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    match (text, number) {
        (_, Some(0)) => matches!(last, "type_id" | "direction_id" | "code"),
        (_, Some(_)) => matches!(last, "type_id" | "algorithm_id"),
        (Some(UNKNOWN), _) => {
            Field::from_name(name).is_none()
                || matches!(
                    name,
                    "device.os.name"
                        | "group.name"
                        | "service.name"
                        | "tls.version"
                        | "version"
                        | "tls.certificate.issuer"
                        | "query.hostname"
                        | "http_request.url.path"
                        | "file.name"
                        | "file_result.name"
                        | "finding_info.uid"
                )
        }
        (Some(NOBODY), _) => name == "email.from",
        (Some(US), _) => matches!(name, "metadata.product.name" | "metadata.product.vendor_name" | "app.name"),
        _ => matches!(name, "metadata.profiles" | "log_name" | "file_result.name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field;

    #[test]
    fn a_value_that_does_not_fit_has_no_ocsf_place() {
        let at = |f, v: Value| belongs(Kind::NetworkActivity, f, &v);
        assert!(at(field::SRC_MAC, Value::text("02:00:5e:00:00:01")));
        assert!(!at(field::SRC_MAC, Value::text("02:00:5e:00:00")));
        assert!(!at(field::SRC_PORT, Value::Int(65_536)));
        assert!(!at(field::SRC_IP, Value::text("unknown host")));
        assert!(!at(field::USER_NAME, Value::text("root")), "network activity has no user");
        assert!(belongs(Kind::Authentication, field::USER_NAME, &Value::text("root")));
    }
}
