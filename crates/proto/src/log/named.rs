//! BIND's `client … query … denied` and refused zone transfers.

use event::{Class, Event, Kind, field};

use super::scan::{after, between, set_source, word};
use super::{FAILURE, Format, Header};

pub(crate) static NAMED: Format = Format::new("named", &["named", "security", "update-security"], read).by(&["client "]);
pub(crate) static NSD: Format = Format::new("nsd", &["nsd"], nsd);

/// `info: axfr for example.com. from [client ]192.0.2.1 refused, no acl matches.`, `info: ratelimit block … query 192.0.2.1 TYPE255`
fn nsd(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message;
    let (code, host, name) = if message.contains(" refused, no acl matches") {
        let rest = super::scan::after_last(message, " from ")?;
        (
            "zone_transfer_denied",
            rest.strip_prefix("client ").unwrap_or(rest),
            after(message, "axfr for zone ").or_else(|| after(message, "axfr for ")),
        )
    } else if message.contains("ratelimit block ") {
        ("rate_limited", super::scan::after_last(message, " query ")?, after(message, "ratelimit block "))
    } else {
        return None;
    };
    super::scan::address(word(host))?;
    event.kind = Kind::DnsActivity;
    event.activity = 1;
    event.body.set(field::STATUS_ID, FAILURE);
    event.body.set(field::EVENT_CODE, code);
    event.body.set_some(field::DNS_QUERY, name.map(|n| word(n).trim_end_matches('.')));
    set_source(event, word(host), None);
    Some(Class::Normal)
}

pub(super) fn read(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message;
    let rest = after(message, "client ")
        .filter(|_| message.starts_with("client ") || message.contains(": client ") || message.contains(" client @"))?;
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
