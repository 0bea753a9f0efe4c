//! Sendmail: refusals of the rule sets, commands before the greeting, failed log-ons, mail for nobody.
//!
//! `relay=name [ip]` and `name [ip]` are Sendmail's; addresses in `arg1=` and `from=` are the client's and stand before or are not looked at.

use event::{Class, Event, Kind, field};

use super::scan::{after, after_last, between, set_source, value};
use super::{FAILURE, Format, Header, failed};

pub(crate) static SENDMAIL: Format =
    Format::new("sendmail", &["sendmail", "sm-mta", "sm-acceptingconnections", "sm-msp", "sm-client", "sm-msp-queue"], read);

fn read(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim();
    // `s1P819mk027713: …`
    let message = match message.split_once(": ") {
        Some((id, rest)) if id.len() >= 12 && id.bytes().all(|c| c.is_ascii_alphanumeric()) => rest,
        _ => message,
    };
    if message.starts_with("AUTH failure (") {
        let (host, user) = (client(after_last(message, "relay=")?)?, value(message, "user"));
        failed(event, "smtp", "failed");
        event.body.set_some(field::AUTH_PROTOCOL, between(message, "AUTH failure (", ")"));
        event.body.set_some(field::USER_NAME, user);
        set_source(event, host, None);
        return Some(Class::Critical);
    }
    let (code, host) = if message.starts_with("ruleset=") {
        let (before, why) = message.rsplit_once(", reject=")?;
        event.body.set(field::STATUS_DETAIL, why);
        ("reject", after_last(before, "relay=")?)
    } else if let Some(rest) = message.strip_prefix("rejecting commands from ") {
        ("pregreet", rest)
    } else if let Some(rest) = message.strip_prefix("lost input channel from ") {
        ("lost_connection", rest)
    } else if message.contains("] did not issue MAIL/EXPN/VRFY/ETRN")
        || message.contains("] (may be forged) did not issue MAIL/EXPN/VRFY/ETRN")
    {
        ("no_mail", message)
    } else if message.ends_with(" [rejected]") && probe(message) {
        ("probe", message)
    } else if message.starts_with("from=") && message.contains(", nrcpts=0,") {
        ("no_recipient", after_last(message, "relay=")?)
    } else {
        return None;
    };
    let host = client(host)?;
    event.kind = Kind::EmailActivity;
    event.activity = 99;
    event.body.set(field::STATUS_ID, FAILURE);
    event.body.set(field::EVENT_CODE, code);
    event.body.set(field::SERVICE_NAME, "smtp");
    set_source(event, host, None);
    Some(Class::Normal)
}

/// `name [192.0.2.1]…`: the first bracket.
fn client(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(host, _)| host)
}

/// `…]: EXPN root [rejected]`
fn probe(message: &str) -> bool {
    after(message, "]: ").is_some_and(|r| r.get(..5).is_some_and(|w| w.eq_ignore_ascii_case("expn ") || w.eq_ignore_ascii_case("vrfy ")))
}
