//! BIND's `client … query … denied` and refused zone transfers.

use event::{Class, Event, Kind, field};

use super::scan::{after, between, set_source, word};
use super::{FAILURE, Format, Header};

pub(crate) static NAMED: Format = Format { name: "named", programs: &["named", "security", "update-security"], read };

pub(super) fn read(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message;
    let rest = after(message, "client ").filter(|_| message.starts_with("client ") || message.contains(": client "))?;
    let refused = message.ends_with(" denied") || message.contains("' denied") || message.contains("bad zone transfer request");
    if !refused {
        return None;
    }
    // `@0x7f7c95c76968 1.2.3.4#53 (name):`
    let rest = if rest.starts_with('@') { rest.split_once(' ')?.1 } else { rest };
    let (host, port) = word(rest).trim_end_matches(':').split_once('#')?;
    event.kind = Kind::DnsActivity;
    event.activity = 1;
    event.body.set(field::STATUS_ID, FAILURE);
    event.body.set(field::EVENT_CODE, if message.contains("zone transfer") { "zone_transfer_denied" } else { "query_denied" });
    if let Some(asked) = between(rest, "'", "'") {
        let mut parts = asked.split('/');
        event.body.set_some(field::DNS_QUERY, parts.next());
        event.body.set_some(field::DNS_TYPE, parts.next());
    }
    set_source(event, host, Some(port));
    Some(Class::Normal)
}
