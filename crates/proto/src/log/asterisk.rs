//! Telephony: Asterisk (`NOTICE[1] chan_sip.c: …`, the security log), FreeSWITCH, Murmur, TeamSpeak.
//!
//! SIP user parts, caller ids and call ids are the caller's own text. The address of a line is therefore the one in the place where
//! the daemon writes it: behind the last `failed for '`, in the last `RemoteAddress=`, at the end.

use event::{Class, Event, field};

use super::scan::{after, after_last, between, place, set_place};
use super::{Format, Header, failed};

pub(crate) static ASTERISK: Format = Format::new("asterisk", &["asterisk"], asterisk).by(&[
    "chan_sip.c",
    "chan_iax2.c",
    "chan_pjsip.c",
    "res_pjsip",
    "manager.c:",
    "SecurityEvent=",
    "Rejecting unknown SIP connection from ",
]);
pub(crate) static FREESWITCH: Format =
    Format::new("freeswitch", &["freeswitch"], freeswitch).by(&["SIP auth challenge (", "SIP auth failure (", "Can't find user ["]);
pub(crate) static MURMUR: Format = Format::new("murmur", &["murmurd", "mumble-server"], murmur).by(&[" Rejected connection from "]);
pub(crate) static TEAMSPEAK: Format = Format::new("teamspeak", &["ts3server"], teamspeak).by(&["|Query "]);

fn asterisk(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim_end();
    if let Some(rest) = after(message, "SecurityEvent=\"") {
        let what = rest.split('"').next()?;
        let bad = matches!(
            what,
            "InvalidAccountID"
                | "InvalidPassword"
                | "FailedACL"
                | "ChallengeResponseFailed"
                | "InvalidTransport"
                | "AuthMethodNotAllowed"
                | "UnexpectedAddress"
                | "MemLimit"
                | "RequestNotSupported"
                | "RequestBadFormat"
                | "RequestNotAllowed"
                | "SessionLimit"
                | "LoadAverageLimit"
        );
        if !bad && what != "SuccessfulAuth" {
            return None;
        }
        // `IPV4/UDP/192.0.2.1/5060`: the session id before it is the caller's.
        let mut parts = after_last(rest, "RemoteAddress=\"IPV")?.split('"').next()?.splitn(4, '/').skip(2);
        let (host, port) = (parts.next()?, parts.next());
        let code = if bad { "security_event" } else { "accepted" };
        failed(event, "sip", code);
        if !bad {
            event.body.set(field::STATUS_ID, super::SUCCESS);
        }
        event.body.set(field::STATUS_DETAIL, what);
        event.body.set_some(field::USER_NAME, between(rest, "AccountID=\"", "\"").filter(|u| !u.is_empty() && *u != "<unknown>"));
        super::scan::set_source(event, host, port);
        return Some(Class::Critical);
    }
    let (place_text, why, user) = if let Some(rest) = after_last(message, "' failed for '") {
        // `Registration from '"1"<sip:1@h>' failed for '192.0.2.1:5060' - Wrong password`; `Request 'INVITE' from …`.
        (rest, after_last(message, "' - ").or_else(|| after_last(message, ") - ")), between(message, "sip:", "@"))
    } else if let Some(rest) = after(message, "No registration for peer '").and_then(|r| after_last(r, "(from ")) {
        (rest, Some("no such peer"), between(message, "peer '", "'"))
    } else if let Some(at) = message.rfind(" failed to authenticate as '").or_else(|| message.rfind(" failed MD5 authentication for '")) {
        (message.get(..at)?.rsplit(' ').next()?, Some("failed to authenticate"), between(message.get(at..)?, "'", "'"))
    } else if let Some(at) = message.rfind(" tried to authenticate with nonexistent user '") {
        event.body.set(field::USER_KNOWN, false);
        (message.get(..at)?.rsplit(' ').next()?, Some("no such user"), between(message.get(at..)?, "'", "'"))
    } else if let Some(at) = message.rfind(" rejected because extension not found") {
        // `Call from 'x' (192.0.2.1:5060) to extension '1' …`, `Call (UDP:192.0.2.1:5060) to …`: the extension stands last.
        let call = message.get(..at)?.split(" to extension '").next()?;
        let inside = after_last(call, " (")?;
        let bare = inside.split_once(':').filter(|(p, _)| matches!(*p, "UDP" | "TCP" | "TLS" | "WS" | "WSS")).map_or(inside, |(_, r)| r);
        (bare, Some("extension not found"), None)
    } else if let Some(rest) = after_last(message, "hacking attempt detected '") {
        (rest, Some("hacking attempt"), None)
    } else if let Some(rest) = after_last(message, "Rejecting unknown SIP connection from ") {
        (rest, Some("unknown peer"), None)
    } else {
        return None;
    };
    place(place_text)?;
    failed(event, "sip", "failed");
    event.body.set_some(field::STATUS_DETAIL, why);
    event.body.set_some(field::USER_NAME, user.filter(|u| !u.is_empty()));
    set_place(event, place_text);
    Some(Class::Critical)
}

/// `SIP auth failure (INVITE) on sofia profile 'internal' for [100@h] from ip 192.0.2.1`, `Can't find user [100@h] from 192.0.2.1`
fn freeswitch(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim_end();
    let code = if message.contains("SIP auth failure (") {
        "failed"
    } else if message.contains("SIP auth challenge (") {
        "challenge"
    } else if message.contains("Can't find user [") {
        "no_such_user"
    } else {
        return None;
    };
    let host = after_last(message, "] from ip ").or_else(|| after_last(message, "] from "))?;
    place(host)?;
    failed(event, "sip", code);
    if code == "no_such_user" {
        event.body.set(field::USER_KNOWN, false);
    }
    let user = after_last(message, "for [").or_else(|| after(message, "find user [")).and_then(|u| u.split(['@', ']']).next());
    event.body.set_some(field::USER_NAME, user);
    set_place(event, host);
    Some(Class::Critical)
}

/// `1 => <4:alice(-1)> Rejected connection from 192.0.2.1:5060: Invalid server password`
fn murmur(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let (user, rest) = head.message.rsplit_once("> Rejected connection from ")?;
    let (host, why) = rest.split_once(": ")?;
    place(host)?;
    failed(event, "mumble", "failed");
    event.body.set(field::STATUS_DETAIL, why);
    event.body.set_some(field::USER_NAME, user.split_once(':').and_then(|(_, u)| u.rsplit_once('(')).map(|(u, _)| u));
    set_place(event, host);
    Some(Class::Critical)
}

/// `|INFO |Query | |query from 11 192.0.2.1:48426 attempted to login with account "x" and failed!`
fn teamspeak(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let rest = after(head.message, "|query from ")?;
    let host = rest.split(' ').nth(1)?;
    let (_, account) = rest.split_once(" attempted to login with account \"")?;
    account.ends_with(" and failed!").then_some(())?;
    place(host)?;
    failed(event, "teamspeak", "failed");
    event.body.set_some(field::USER_NAME, account.rsplit_once('"').map(|(u, _)| u));
    set_place(event, host);
    Some(Class::Critical)
}
