//! Lines with a shape of their own: MikroTik's firewall, the sshesame honeypot, Webmin, TheHive, scanlogd, lfd, amavis.

use event::{Class, Event, Kind, field};

use super::scan::{after, after_last, between, place, set_place};
use super::{FAILURE, Format, Header, SUCCESS, authentication, failed, web};

pub(crate) static MIKROTIK: Format = Format::new("mikrotik", &[], mikrotik).by(&["firewall,info "]);
pub(crate) static SSHESAME: Format =
    Format::new("sshesame", &["sshesame"], sshesame).by(&["] authentication for user \"", "] [channel ", "] connection with client"]);
pub(crate) static WEBMIN: Format = Format::new("webmin", &[], webmin).by(&[" miniserv.pl \""]).whole();
pub(crate) static THEHIVE: Format = Format::new("thehive", &[], thehive).by(&["AccessLogFilter ["]);
pub(crate) static SCANLOGD: Format = Format::new("scanlogd", &["scanlogd"], scanlogd);
pub(crate) static LFD: Format = Format::new("lfd", &["lfd"], lfd);
pub(crate) static AMAVIS: Format = Format::new("amavis", &["amavis", "amavisd"], amavis);

/// `firewall,info drop-in input: in:ether1 out:(unknown 0), …, proto TCP (SYN), 192.0.2.1:4000->192.0.2.2:23, len 40`
fn mikrotik(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let rest = after(head.message, "firewall,info ")?;
    let (from, to) = rest.split(", ").find_map(|part| part.split_once("->"))?;
    place(from)?;
    let (rule, _) = rest.split_once(": ").unwrap_or((rest, ""));
    let blocked = ["drop", "reject", "deny"].iter().any(|w| rule.to_ascii_lowercase().contains(w));
    event.kind = Kind::NetworkActivity;
    event.activity = if blocked { 5 } else { 6 };
    event.body.set(field::DISPOSITION, if blocked { "blocked" } else { "logged" });
    event.body.set_some(field::PROTOCOL, between(rest, "proto ", ",").and_then(|p| p.split(' ').next()).map(str::to_ascii_lowercase));
    event.body.set_some(field::DEVICE_INTERFACE, between(rest, "in:", " "));
    if let Some((ip, port)) = place(to) {
        event.body.set(field::DST_IP, ip);
        event.body.set_some(field::DST_PORT, port.and_then(|p| p.parse::<u16>().ok()));
    }
    set_place(event, from);
    Some(Class::Normal)
}

/// `[192.0.2.1:4000] authentication for user "root" with password "x" accepted`: a honeypot takes anybody in, and that is the fact.
fn sshesame(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let (client, rest) = head.message.strip_prefix('[')?.split_once("] ")?;
    place(client)?;
    if let Some(auth) = rest.strip_prefix("authentication for user \"") {
        let status = if auth.ends_with(" accepted") { SUCCESS } else { FAILURE };
        authentication(event, "ssh", status);
        event.body.set_some(field::USER_NAME, auth.split_once("\" with").or_else(|| auth.split_once('"')).map(|(u, _)| u));
    } else {
        event.kind = Kind::SshActivity;
        event.activity = 6;
        event.body.set(field::SERVICE_NAME, "ssh");
        event.body.set_some(field::PROCESS_CMD_LINE, after(rest, "] command \"").and_then(|r| r.rsplit_once('"')).map(|(c, _)| c));
    }
    event.body.set(field::EVENT_CODE, "honeypot");
    set_place(event, client);
    Some(Class::Normal)
}

/// `1690466804.2161960.0 [27/Jul/2026 16:06:44] bob - 192.0.2.1 global miniserv.pl "failed" "-" "wrongpass"`
fn webmin(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let (stamp, rest) = after(head.message, " [")?.split_once("] ")?;
    let (place_text, what) = rest.split_once(" global miniserv.pl \"")?;
    let (user, host) = place_text.rsplit_once(' ')?;
    place(host)?;
    let status = match what.split('"').next()? {
        "failed" => FAILURE,
        "login" => SUCCESS,
        _ => return None,
    };
    authentication(event, "webmin", status);
    event.body.set_some(field::STATUS_DETAIL, what.trim_end_matches('"').rsplit('"').next());
    event.body.set_some(field::USER_NAME, user.rsplit_once(' ').map(|(u, _)| u).filter(|u| *u != "-"));
    event.time = stamp.split_once(' ').and_then(|(date, clock)| web::clf_time(&format!("{date}:{clock}"))).unwrap_or(event.time);
    set_place(event, host);
    Some(Class::Critical)
}

/// `[info] o.t.s.AccessLogFilter [id|id] 192.0.2.1 POST /api/v1/login took 8ms and returned 401 65 bytes`
fn thehive(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let rest = after(head.message, "AccessLogFilter [").and_then(|r| r.split_once("] ")).map(|(_, r)| r)?;
    let mut words = rest.split(' ');
    let (host, method, target) = (words.next()?, words.next()?, words.next()?);
    place(host)?;
    let status: u16 = after_last(rest, " and returned ")?.split(' ').next()?.parse().ok()?;
    if status == 401 && target.ends_with("/login") {
        failed(event, "thehive", "failed");
    } else {
        event.kind = Kind::HttpActivity;
        web::request(method, target, event);
        event.body.set(field::STATUS_ID, if status < 400 { SUCCESS } else { FAILURE });
    }
    event.body.set(field::HTTP_STATUS, status);
    set_place(event, host);
    Some(Class::Normal)
}

/// `(sshd) Failed SSH login from 192.0.2.1 (XX/Land/name): 5 in the last 300 secs - *Blocked in csf* [LF_SSHD]`
fn lfd(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let (what, host) = head.message.split_once(" from ")?;
    place(host)?;
    failed(event, "lfd", "blocked");
    event.body.set(field::STATUS_DETAIL, what);
    event.body.set(field::DISPOSITION, "blocked");
    event.body.set_some(field::COUNT, between(host, "): ", " in the last").and_then(|n| n.parse::<i64>().ok()));
    set_place(event, host);
    Some(Class::Normal)
}

/// `(1-09) Blocked INFECTED (Name) {…}, [192.0.2.1]:1434 [192.0.2.1] <a@b> -> <c@d>, …`; the first bracket behind the braces is the client.
fn amavis(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let rest = after(head.message, ") Blocked ").filter(|_| head.message.starts_with('('))?;
    let (what, rest) = rest.split_once("}, ").or_else(|| rest.split_once(", "))?;
    let host = rest.split(" <").next()?.trim_start_matches("LOCAL ").split(' ').next()?;
    place(host)?;
    event.kind = Kind::EmailActivity;
    event.activity = 99;
    event.body.set(field::STATUS_ID, FAILURE);
    event.body.set(field::EVENT_CODE, if what.starts_with("INFECTED") { "virus" } else { "spam" });
    event.body.set(field::STATUS_DETAIL, what);
    event.body.set(field::SERVICE_NAME, "smtp");
    event.body.set(field::DISPOSITION, "blocked");
    set_place(event, host);
    Some(Class::Normal)
}

/// A scan that somebody else noticed: `192.0.2.1 to 192.0.2.2 ports 80, 81, …`.
fn scanlogd(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let (source, rest) = head.message.split_once(" to ")?;
    let (target, ports) = rest.split_once(" ports ")?;
    place(source)?;
    event.kind = Kind::NetworkActivity;
    event.activity = 6;
    event.body.set(field::STATUS_ID, FAILURE);
    event.body.set(field::EVENT_CODE, "port_scan");
    event.body.set(field::STATUS_DETAIL, ports);
    event.body.set_some(field::DST_IP, place(target).map(|(ip, _)| ip));
    set_place(event, source);
    Some(Class::Normal)
}
