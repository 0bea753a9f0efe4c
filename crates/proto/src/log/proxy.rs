//! Proxies: Squid's native access log, HAProxy's http and tcp lines, and log-on refusals of lighttpd.

use event::{Class, Event, Kind, LogSource, field};

use super::scan::{after_last, between, place, set_place, set_source, word};
use super::{FAILURE, Format, Header, SUCCESS, failed, web};

pub(crate) static SQUID: Format = Format::new("squid", &["squid"], squid).by(&["TCP_", "NONE/", "UDP_", "NONE_NONE"]);
pub(crate) static HAPROXY: Format = Format::new("haproxy", &["haproxy"], haproxy).by(&["] ", "SSL handshake failure"]).whole();
pub(crate) static LIGHTTPD: Format = Format::new("lighttpd", &["lighttpd"], lighttpd).by(&["http_auth.c.", "mod_auth.c."]);

/// Nginx Proxy Manager, lines without a header: `[24/Jan/2026:16:51:02 +0000] - 404 404 - GET http h "/x" [Client 192.0.2.1] [Length 1] … "agent" "-"`.
pub(crate) static PROXY_MANAGER: Format = Format::new("nginx-proxy-manager", &[], proxy_manager).by(&["\" [Client "]).whole();

fn proxy_manager(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let (stamp, rest) = head.message.strip_prefix('[')?.split_once("] ")?;
    let time = web::clf_time(stamp)?;
    let (front, rest) = rest.split_once(" \"")?;
    // The target is quoted; what it holds cannot end it but by its own quote and the mark.
    let (target, rest) = rest.rsplit_once("\" [Client ")?;
    let (host, rest) = rest.split_once(']')?;
    place(host)?;
    let mut words = front.split(' ').rev();
    let (vhost, _scheme, method) = (words.next()?, words.next()?, words.next()?);
    // The proxied server's status and the one that was sent.
    let status = front.split(' ').filter_map(|w| w.parse::<u16>().ok()).next_back()?;
    event.source = LogSource::new("nginx", "webserver", "");
    event.kind = Kind::HttpActivity;
    event.time = time;
    web::request(method, target, event);
    event.body.set(field::HTTP_STATUS, status);
    event.body.set(field::HTTP_HOST, vhost);
    event.body.set(field::STATUS_ID, if status < 400 { SUCCESS } else { FAILURE });
    event.body.set_some(field::HTTP_USER_AGENT, between(rest, "] \"", "\"").filter(|a| *a != "-"));
    set_place(event, host);
    Some(Class::Normal)
}

/// `4 192.0.2.1 TCP_DENIED/403 4099 GET http://h/ - HIER_NONE/- text/html` behind the epoch.
fn squid(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let mut words = head.message.split_ascii_whitespace();
    words.next()?.parse::<u64>().ok()?;
    let host = words.next()?;
    place(host)?;
    let (code, status) = words.next()?.split_once('/')?;
    let status: u16 = status.parse().ok()?;
    let (length, method, url) = (words.next()?, words.next()?, words.next()?);
    event.source = LogSource::new("squid", "proxy", "squid");
    event.kind = Kind::HttpActivity;
    web::request(method, url, event);
    event.body.set(field::HTTP_STATUS, status);
    event.body.set_some(field::HTTP_LENGTH, length.parse::<u64>().ok());
    event.body.set(field::EVENT_CODE, code);
    event.body.set(field::STATUS_ID, if status < 400 && status > 0 { SUCCESS } else { FAILURE });
    event.body.set_some(field::USER_NAME, words.next().filter(|u| *u != "-"));
    set_place(event, host);
    Some(Class::Normal)
}

/// `192.0.2.1:4000 [10/Dec/2026:12:01:46.395] front back/server 0/0/0/0/0 503 213 - - SC-- 1/1/0/0/0 0/0 {…} "GET / HTTP/1.1"`, `Connect from …`.
fn haproxy(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim_end();
    if let Some(rest) = message.strip_prefix("Connect from ") {
        let (from, rest) = rest.split_once(" to ")?;
        place(from)?;
        event.kind = Kind::NetworkActivity;
        event.activity = 1;
        if let Some((ip, port)) = place(rest) {
            event.body.set(field::DST_IP, ip);
            event.body.set_some(field::DST_PORT, port.and_then(|p| p.parse::<u16>().ok()));
        }
        set_place(event, from);
        return Some(Class::Normal);
    }
    let (client, rest) = message.split_once(" [")?;
    let (date, rest) = rest.split_once("] ")?;
    if client.contains(' ') || date.len() < 20 || place(client).is_none() {
        return None;
    }
    if let Some(time) = web::clf_time(date.split('.').next().unwrap_or(date)).filter(|_| head.time.is_none()) {
        event.time = time;
    }
    event.source = LogSource::new("haproxy", "proxy", "haproxy");
    if rest.contains("SSL handshake failure") {
        event.kind = Kind::NetworkActivity;
        event.activity = 4;
        event.body.set(field::STATUS_ID, FAILURE);
        event.body.set(field::EVENT_CODE, "tls_handshake_failed");
        set_place(event, client);
        return Some(Class::Normal);
    }
    let mut words = rest.split(' ').skip(3);
    let (status, length) = (words.next()?, words.next()?);
    match (status.parse::<u16>(), between(rest, "\"", "\"")) {
        (Ok(status), Some(_)) if (100..=999).contains(&status) => {
            event.kind = Kind::HttpActivity;
            web::request_line(rest.split_once('"').map_or("", |(_, r)| r).trim_end_matches('"'), event);
            event.body.set(field::HTTP_STATUS, status);
            event.body.set(field::STATUS_ID, if status < 400 { SUCCESS } else { FAILURE });
            event.body.set_some(field::HTTP_LENGTH, length.parse::<u64>().ok());
        }
        _ => {
            event.kind = Kind::NetworkActivity;
            event.activity = 6;
        }
    }
    set_place(event, client);
    Some(Class::Normal)
}

/// `(mod_auth.c.525) password doesn't match for /x username: bob, IP: 192.0.2.1`; also its access log through syslog.
fn lighttpd(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim_end();
    let bad = ["password doesn't match", "auth failed", "get_password failed"].iter().any(|w| message.contains(w));
    if !bad || !message.contains("auth.c.") {
        return web::in_syslog(head, event);
    }
    let host = after_last(message, "IP: ")?;
    place(host)?;
    failed(event, "http", "auth_failed");
    event.body.set(field::AUTH_PROTOCOL, "http");
    let user = super::scan::after(message, "username: ").map(|u| word(u).trim_end_matches(','));
    event.body.set_some(field::USER_NAME, user.filter(|u| !u.is_empty()));
    set_source(event, word(host), None);
    Some(Class::Critical)
}
