//! Bodies of OPC UA services (OPC 10000-4 and -6, clause 5.2): node names, headers, identities, results.

use event::{Event, field};

use super::super::ot::{self, NAMED_MAX, le16, le32};

/// Reads on; None where the bytes end too early.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'b>(pub &'b [u8]);

impl<'b> Cursor<'b> {
    pub(super) fn take(&mut self, n: usize) -> Option<&'b [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }
    pub(super) fn u32(&mut self) -> Option<u32> {
        le32(self.take(4)?, 0)
    }
    /// A string or byte string; a negative length is none.
    pub(super) fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = self.u32()?.cast_signed();
        self.take(usize::try_from(length).unwrap_or(0))
    }
    pub(super) fn node(&mut self) -> Option<Node<'b>> {
        let kind = self.u8()?;
        let node = match kind & 0x3f {
            0 => Node { space: 0, id: Id::Number(u32::from(self.u8()?)) },
            1 => Node { space: u16::from(self.u8()?), id: Id::Number(u32::from(le16(self.take(2)?, 0)?)) },
            2 => Node { space: le16(self.take(2)?, 0)?, id: Id::Number(self.u32()?) },
            3 => Node { space: le16(self.take(2)?, 0)?, id: Id::Text(self.bytes()?) },
            4 => Node { space: le16(self.take(2)?, 0)?, id: Id::Bytes(self.take(16)?) },
            5 => Node { space: le16(self.take(2)?, 0)?, id: Id::Bytes(self.bytes()?) },
            _ => return None,
        };
        if kind & 0x80 != 0 {
            self.bytes()?;
        }
        if kind & 0x40 != 0 {
            self.u32()?;
        }
        Some(node)
    }
    /// The header of a request: token, time, handle, diagnostics, audit entry, time-out, extension.
    fn header(&mut self) -> Option<()> {
        self.node()?;
        self.take(16)?;
        self.bytes()?;
        self.u32()?;
        self.extension().map(|_| ())
    }
    /// An extension object: its type and its body.
    fn extension(&mut self) -> Option<(Node<'b>, &'b [u8])> {
        let node = self.node()?;
        let body = if self.u8()? == 0 { &[] } else { self.bytes()? };
        Some((node, body))
    }
    /// How many elements follow; none for a negative number.
    fn count(&mut self) -> Option<usize> {
        Some(usize::try_from(self.u32()?.cast_signed()).unwrap_or(0))
    }
}

pub(super) struct Node<'b> {
    space: u16,
    id: Id<'b>,
}

enum Id<'b> {
    Number(u32),
    Text(&'b [u8]),
    Bytes(&'b [u8]),
}

impl Node<'_> {
    /// The number of a node of the standard itself.
    pub(super) fn standard(&self) -> Option<u32> {
        match (self.space, &self.id) {
            (0, Id::Number(n)) => Some(*n),
            _ => None,
        }
    }

    /// As OPC 10000-6 clause 5.3.1.10 writes it: `ns=2;s=Valve`.
    fn name(&self) -> String {
        let space = if self.space == 0 { String::new() } else { format!("ns={};", self.space) };
        match self.id {
            Id::Number(n) => format!("{space}i={n}"),
            Id::Text(text) => format!("{space}s={}", String::from_utf8_lossy(text.get(..128).unwrap_or(text))),
            Id::Bytes(bytes) => format!("{space}b={}", bytes.iter().take(16).map(|b| format!("{b:02x}")).collect::<String>()),
        }
    }
}

/// Nodes and identity of a request, as far as they can be read.
pub(super) fn describe(event: &mut Event, service: u32, mut cursor: Cursor<'_>) {
    if cursor.header().is_none() {
        return;
    }
    match service {
        467 => {
            if let Some((kind, name)) = identity(cursor) {
                event.body.set(field::OT_IDENTITY_TYPE, kind);
                event.body.set_some(field::USER_NAME, name);
            }
        }
        631 | 673 | 712 => {
            // A read has an age and a choice of times in front.
            if service == 631 && cursor.take(12).is_none() {
                return;
            }
            let Some(count) = cursor.count() else { return };
            event.body.set(field::OT_OBJECT_COUNT, count);
            let mut names = Vec::new();
            // Behind the first, nodes of reads can be found alone: writes and calls carry values in between.
            let read = if service == 631 { count.min(NAMED_MAX) } else { count.min(1) };
            for _ in 0..read {
                let Some(node) = cursor.node() else { break };
                let method = if service == 712 { cursor.node() } else { None };
                names.push(match method {
                    Some(method) => format!("{} {}", node.name(), method.name()),
                    None => node.name(),
                });
                // Attribute, range, encoding.
                if service == 631
                    && (cursor.u32().is_none() || cursor.bytes().is_none() || cursor.take(2).is_none() || cursor.bytes().is_none())
                {
                    break;
                }
            }
            ot::objects(event, names);
        }
        _ => {}
    }
}

/// Who activates a session: signature, certificates and languages stand in front.
fn identity(mut cursor: Cursor<'_>) -> Option<(&'static str, Option<String>)> {
    cursor.bytes()?;
    cursor.bytes()?;
    for _ in 0..cursor.count()?.min(64) {
        cursor.bytes()?;
        cursor.bytes()?;
    }
    for _ in 0..cursor.count()?.min(64) {
        cursor.bytes()?;
    }
    let (node, token) = cursor.extension()?;
    let mut token = Cursor(token);
    match node.standard()? {
        0 | 321 => Some(("anonymous", None)),
        324 => {
            token.bytes()?;
            let name = token.bytes().map(|n| String::from_utf8_lossy(n).into_owned());
            Some(("user_name", name))
        }
        327 => Some(("certificate", None)),
        940 => Some(("issued", None)),
        _ => None,
    }
}

pub(super) const fn purpose(service: u32) -> (&'static str, bool) {
    match service {
        446 | 452 | 461 | 467 | 473 | 479 => ("session", false),
        422 | 428 | 527 | 533 | 554 | 12208 => ("identify", false),
        437 | 12211 => ("configure", false),
        488 | 494 | 500 | 506 => ("configure", true),
        673 => ("write", true),
        700 => ("write", true),
        712 => ("control", true),
        _ => ("read", false),
    }
}

/// The request that a type of answer belongs to.
pub(super) const fn answer_of(kind: u32) -> Option<u32> {
    match kind {
        12209 | 12212 => Some(kind - 1),
        3.. => Some(kind - 3),
        _ => None,
    }
}

/// Names of requests by the number of their binary encoding.
pub(super) const fn service_name(service: u32) -> Option<&'static str> {
    Some(match service {
        422 => "find_servers",
        428 => "get_endpoints",
        437 => "register_server",
        446 => "open_secure_channel",
        452 => "close_secure_channel",
        461 => "create_session",
        467 => "activate_session",
        473 => "close_session",
        479 => "cancel",
        488 => "add_nodes",
        494 => "add_references",
        500 => "delete_nodes",
        506 => "delete_references",
        527 => "browse",
        533 => "browse_next",
        554 => "translate_browse_paths",
        560 => "register_nodes",
        566 => "unregister_nodes",
        615 => "query_first",
        621 => "query_next",
        631 => "read",
        664 => "history_read",
        673 => "write",
        700 => "history_update",
        712 => "call",
        751 => "create_monitored_items",
        763 => "modify_monitored_items",
        769 => "set_monitoring_mode",
        775 => "set_triggering",
        781 => "delete_monitored_items",
        787 => "create_subscription",
        793 => "modify_subscription",
        799 => "set_publishing_mode",
        826 => "publish",
        832 => "republish",
        841 => "transfer_subscriptions",
        847 => "delete_subscriptions",
        12208 => "find_servers_on_network",
        12211 => "register_server_2",
        _ => return None,
    })
}

/// Names of results that say who may do what; the standard has hundreds.
pub(super) const fn status_name(status: u32) -> &'static str {
    match status >> 16 {
        0x8001 => "bad_unexpected_error",
        0x800a => "bad_timeout",
        0x800b => "bad_service_unsupported",
        0x8012 => "bad_certificate_invalid",
        0x8013 => "bad_security_checks_failed",
        0x8014 => "bad_certificate_time_invalid",
        0x801a => "bad_certificate_untrusted",
        0x801f => "bad_user_access_denied",
        0x8020 => "bad_identity_token_invalid",
        0x8021 => "bad_identity_token_rejected",
        0x8022 => "bad_secure_channel_id_invalid",
        0x8025 => "bad_session_id_invalid",
        0x8026 => "bad_session_closed",
        0x8027 => "bad_session_not_activated",
        0x8034 => "bad_node_id_unknown",
        0x803a => "bad_not_readable",
        0x803b => "bad_not_writable",
        0x807c => "bad_tcp_internal_error",
        0x807e => "bad_tcp_message_type_invalid",
        0x8080 => "bad_tcp_message_too_large",
        0x8055 => "bad_security_policy_rejected",
        0x8054 => "bad_security_mode_rejected",
        _ => "other",
    }
}
