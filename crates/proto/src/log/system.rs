//! The system's own voice: systemd, cron, the kernel.

use event::{Class, Event, Kind, field};

use super::scan::{after, after_last, set_place, value};
use super::{FAILURE, Format, Header, SUCCESS};

pub(crate) static SYSTEMD: Format = Format::new("systemd", &["systemd"], systemd);
pub(crate) static CRON: Format = Format::new("cron", &["cron", "crond", "crontab", "anacron", "atd"], cron);
pub(crate) static KERNEL: Format = Format::new("kernel", &["kernel"], kernel).by(&[" SRC="]).whole();

/// `Started X.`, `Stopped X.`, `X: Main process exited, …`, `Reloading.`; OCSF application lifecycle: 3 start, 4 stop, 5 restart.
fn systemd(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim();
    let (activity, code, name) = if let Some(rest) = message.strip_prefix("Started ") {
        (3, "unit_started", rest)
    } else if let Some(rest) = message.strip_prefix("Stopped ") {
        (4, "unit_stopped", rest)
    } else if let Some((unit, _)) = message.split_once(": Failed with result") {
        event.body.set(field::STATUS_ID, FAILURE);
        (4, "unit_failed", unit)
    } else if let Some(rest) = message.strip_prefix("Reloading") {
        (5, "reloaded", rest)
    } else {
        return None;
    };
    event.kind = Kind::ApplicationLifecycle;
    event.activity = activity;
    event.body.set(field::EVENT_CODE, code);
    // `Started nginx.service - A high performance web server.`
    let name = name.split(" - ").next().unwrap_or(name).trim_end_matches('.').trim();
    if !name.is_empty() {
        event.body.set(field::APP_NAME, name);
    }
    Some(Class::Normal)
}

/// `(root) CMD (command)`, `(alice) REPLACE (alice)` from crontab(1).
fn cron(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let (user, rest) = head.message.trim().strip_prefix('(')?.split_once(") ")?;
    event.body.set(field::ACTOR_USER, user);
    if let Some(command) = rest.strip_prefix("CMD (") {
        event.kind = Kind::ProcessActivity;
        event.activity = 1;
        event.body.set(field::PROCESS_CMD_LINE, command.strip_suffix(')').unwrap_or(command));
        event.body.set(field::STATUS_ID, SUCCESS);
        event.body.set(field::EVENT_CODE, "cron_command");
        return Some(Class::Normal);
    }
    if let Some(rest) = rest.strip_prefix("REPLACE (") {
        event.body.set(field::USER_NAME, rest.trim_end_matches(')'));
        event.body.set(field::EVENT_CODE, "crontab_replaced");
        return Some(Class::Critical);
    }
    None
}

/// Packet filter lines (`IN=eth0 OUT= SRC=… DST=… PROTO=TCP SPT=… DPT=…`) and promiscuous mode.
fn kernel(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message;
    if message.contains(" SRC=") && message.contains(" DST=") && message.contains("IN=") {
        event.kind = Kind::NetworkActivity;
        let lower = message.to_ascii_lowercase();
        let blocked =
            ["drop", "deny", "reject", "block", "denied"].iter().any(|w| lower.split(" src=").next().is_some_and(|p| p.contains(w)));
        event.activity = if blocked { 5 } else { 6 };
        event.source.category = Some("firewall".into());
        event.body.set(field::DISPOSITION, if blocked { "blocked" } else { "logged" });
        for (key, f) in [("SRC", field::SRC_IP), ("DST", field::DST_IP)] {
            event.body.set_some(f, value(message, key).and_then(|v| v.parse::<std::net::IpAddr>().ok()));
        }
        for (key, f) in [("SPT", field::SRC_PORT), ("DPT", field::DST_PORT)] {
            event.body.set_some(f, value(message, key).and_then(|v| v.parse::<u16>().ok()));
        }
        event.body.set_some(field::PROTOCOL, value(message, "PROTO").map(str::to_ascii_lowercase));
        event.body.set_some(field::DEVICE_INTERFACE, value(message, "IN").filter(|v| !v.is_empty()));
        if head.time.is_none() {
            // Proxmox's own log: `100 6 PVEFW-HOST-IN 20/Jun/2026:13:09:14 +0200 policy DROP: IN=…`.
            let stamp = message.split(" SRC=").next().and_then(|m| m.find('/')).and_then(|at| message.get(at.checked_sub(2)?..at + 24));
            event.time = stamp.and_then(super::web::clf_time).unwrap_or(event.time);
        }
        return Some(Class::Normal);
    }
    // `wireguard: wg0: Invalid handshake initiation from 192.0.2.1:51820`, `… Packet has unallowed src IP (10.0.0.3) from peer 1 (192.0.2.1:51820)`.
    if let Some(rest) = after(message, "wireguard: ") {
        let host = after(rest, "Invalid handshake initiation from ")
            .or_else(|| after_last(rest, " (").filter(|_| rest.contains("unallowed src IP")))?;
        set_place(event, host).then_some(())?;
        event.kind = Kind::NetworkActivity;
        event.activity = 5;
        event.body.set(field::STATUS_ID, FAILURE);
        event.body.set(field::EVENT_CODE, "wireguard_refused");
        event.body.set(field::SERVICE_NAME, "wireguard");
        return Some(Class::Normal);
    }
    if message.contains("entered promiscuous mode") {
        event.body.set(field::EVENT_CODE, "promiscuous_mode");
        return Some(Class::Normal);
    }
    None
}
