//! Becoming somebody else: sudo, su, login, and what PAM says on behalf of any program.

use event::{Class, Event, Kind, field};

use super::scan::{after, set_place, set_source, value, word};
use super::{FAILURE, Format, Header, SUCCESS, authentication};

pub(crate) static SUDO: Format = Format::new("sudo", &["sudo", "doas"], sudo);
pub(crate) static SU: Format = Format::new("su", &["su", "su-l", "runuser"], su);
pub(crate) static LOGIN: Format =
    Format::new("login", &["login", "systemd-logind", "gdm-password", "gdm", "lightdm", "xrdp-sesman"], login);

/// `alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/bin/id`, with a reason before `TTY=` when it was refused.
fn sudo(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let (user, rest) = head.message.trim_start().split_once(" : ")?;
    if user.contains(' ') || !rest.contains("COMMAND=") {
        return None;
    }
    event.kind = Kind::ProcessActivity;
    event.activity = 1;
    event.body.set(field::ACTOR_USER, user);
    event.body.set(field::SERVICE_NAME, "sudo");
    let reason = rest.split("TTY=").next().unwrap_or("").trim_end_matches([' ', ';']);
    let refused = !reason.is_empty() && !rest.starts_with("TTY=") && !rest.starts_with("PWD=") && !rest.starts_with("USER=");
    event.body.set(field::STATUS_ID, if refused { FAILURE } else { SUCCESS });
    if refused {
        event.body.set(field::STATUS_DETAIL, reason);
    }
    // COMMAND is last and may hold anything, also ` ; USER=`.
    let before = rest.split("COMMAND=").next().unwrap_or("");
    for part in before.split(" ; ") {
        match part.trim().split_once('=') {
            Some(("TTY", v)) => event.body.set(field::TTY, v),
            Some(("PWD", v)) => event.body.set(field::PROCESS_CWD, v),
            Some(("USER", v)) => {
                event.body.set(field::USER_NAME, v);
                event.body.set(field::USER_PRIVILEGED, v == "root" || v == "#0");
            }
            _ => {}
        }
    }
    event.body.set_some(field::PROCESS_CMD_LINE, after(rest, "COMMAND="));
    Some(Class::Critical)
}

/// `(to root) alice on pts/0`, `Successful su for root by alice`, `FAILED SU (to root) alice on pts/0`, `+ pts/0 alice:root`, BSD's `BAD SU alice to root on tty`.
fn su(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim();
    let upper = message.to_ascii_lowercase();
    let status = if upper.starts_with("failed su") || upper.starts_with("bad su") || message.starts_with("- ") { FAILURE } else { SUCCESS };
    let (target, actor) = if let Some(rest) = after(message, "(to ") {
        let (target, rest) = rest.split_once(") ")?;
        (target, word(rest))
    } else if let Some(rest) = after(&upper, " su for ") {
        let (target, actor) = rest.split_once(" by ")?;
        let at = message.len() - rest.len();
        let real = message.get(at..)?;
        (real.get(..target.len())?, word(real.get(real.len() - actor.len()..)?))
    } else if let Some(rest) = message.strip_prefix("+ ").or_else(|| message.strip_prefix("- ")) {
        let (_, pair) = rest.split_once(' ')?;
        let (actor, target) = pair.split_once([':', '-'])?;
        (target, actor)
    } else if upper.starts_with("bad su ") {
        let mut words = message.split(' ').skip(2);
        let actor = words.next()?;
        (words.nth(1)?, actor)
    } else {
        return None;
    };
    authentication(event, "su", status);
    event.body.set(field::USER_NAME, target);
    event.body.set(field::ACTOR_USER, actor);
    event.body.set(field::USER_PRIVILEGED, target == "root");
    event.body.set_some(field::TTY, after(message, " on ").map(word));
    Some(Class::Critical)
}

/// `FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure`, `LOGIN ON tty1 BY root`, `ROOT LOGIN ON tty1`, logind's `New session 3 of user root.`
fn login(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim();
    if message.starts_with("FAILED LOGIN") {
        authentication(event, "login", FAILURE);
        let user = after(message, " FOR ").map(|r| r.trim_start_matches('\'').split(['\'', ',']).next().unwrap_or(""));
        event.body.set_some(field::USER_NAME, user);
        event.body.set_some(field::STATUS_DETAIL, message.rsplit_once(", ").map(|(_, why)| why));
        if let Some(host) = after(message, " FROM ").map(word) {
            set_source(event, host, None);
        }
        return Some(Class::Critical);
    }
    if message.starts_with("ROOT LOGIN") || message.starts_with("LOGIN ON ") {
        authentication(event, "login", SUCCESS);
        let user = if message.starts_with("ROOT") { "root" } else { after(message, " BY ").map_or("", word) };
        event.body.set(field::USER_NAME, user);
        event.body.set_some(field::TTY, after(message, " ON ").map(word).map(|t| t.trim_matches('\'')));
        return Some(Class::Critical);
    }
    if let Some(rest) = message.strip_prefix("New session ") {
        let (session, user) = rest.split_once(" of user ")?;
        authentication(event, "logind", SUCCESS);
        event.body.set(field::SESSION_UID, session);
        event.body.set(field::USER_NAME, user.trim_end_matches('.'));
        return Some(Class::Normal);
    }
    None
}

/// `pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=1.2.3.4  user=root`, older
/// `(pam_unix) authentication failure; …` and `program(pam_unix)[1]: authentication failure; …`; session opened and closed.
pub(crate) fn pam(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim();
    let named = head.program.is_some_and(|p| p.contains("(pam_"));
    let module = message.starts_with("pam_") || message.starts_with("(pam_") || named;
    // `PAM 2 more authentication failures; logname= … rhost=192.0.2.1  user=root`, at the end of a session.
    let more = message.strip_prefix("PAM ").and_then(|m| m.split_once(" more authentication failure"));
    let more = more.and_then(|(n, r)| Some((n.parse::<i64>().ok()?, r.strip_prefix("s; ").or_else(|| r.strip_prefix("; "))?)));
    event.body.set_some(field::COUNT, more.map(|(n, _)| n));
    if let Some(rest) = more
        .map(|(_, r)| r)
        .or_else(|| after(message, "authentication failure; "))
        .filter(|_| more.is_some() || module || message.starts_with("authentication failure; "))
    {
        event.kind = Kind::Authentication;
        event.activity = 1;
        event.body.set(field::STATUS_ID, FAILURE);
        event.body.set(field::AUTH_PROTOCOL, "PAM");
        event.body.set(field::EVENT_CODE, "pam_failure");
        event.body.set(field::SERVICE_NAME, service(message, head));
        let user = value(rest, "user").filter(|u| !u.is_empty()).or_else(|| value(rest, "ruser").filter(|u| !u.is_empty()));
        event.body.set_some(field::USER_NAME, user);
        event.body.set_some(field::TTY, value(rest, "tty").filter(|t| !t.is_empty()));
        event.body.set_some(field::ACTOR_UID, value(rest, "uid").filter(|t| !t.is_empty()));
        // Proxmox writes the port with it: `rhost=[::1]:4000`.
        if let Some(host) = value(rest, "rhost").filter(|h| !h.is_empty())
            && !set_place(event, host)
        {
            set_source(event, host, None);
        }
        return Some(Class::Critical);
    }
    if !module {
        return None;
    }
    if let Some(rest) = after(message, "session opened for user ") {
        event.kind = Kind::Authentication;
        event.activity = 1;
        event.body.set(field::STATUS_ID, SUCCESS);
        event.body.set(field::EVENT_CODE, "session_opened");
        event.body.set(field::SERVICE_NAME, service(message, head));
        let name = word(rest);
        event.body.set(field::USER_NAME, name.split('(').next().unwrap_or(name));
        let by = after(rest, " by ").map(|b| b.split('(').next().unwrap_or("")).filter(|b| !b.is_empty());
        event.body.set_some(field::ACTOR_USER, by);
        return Some(Class::Normal);
    }
    if let Some(rest) = after(message, "session closed for user ") {
        event.kind = Kind::Authentication;
        event.activity = 2;
        event.body.set(field::STATUS_ID, SUCCESS);
        event.body.set(field::EVENT_CODE, "session_closed");
        event.body.set(field::SERVICE_NAME, service(message, head));
        event.body.set(field::USER_NAME, word(rest));
        return Some(Class::Bulk);
    }
    if message.contains("check pass; user unknown") {
        event.kind = Kind::Authentication;
        event.activity = 1;
        event.body.set(field::STATUS_ID, FAILURE);
        event.body.set(field::USER_KNOWN, false);
        event.body.set(field::EVENT_CODE, "user_unknown");
        event.body.set(field::SERVICE_NAME, service(message, head));
        return Some(Class::Normal);
    }
    if let Some(rest) = after(message, "password changed for ") {
        event.kind = Kind::AccountChange;
        event.activity = 3;
        event.body.set(field::USER_NAME, word(rest));
        event.body.set(field::EVENT_CODE, "password_changed");
        return Some(Class::Critical);
    }
    None
}

/// The service PAM names, `sshd` of `pam_unix(sshd:auth)`, else the program.
fn service(message: &str, head: &Header<'_>) -> String {
    let inner = message.strip_prefix("pam_").and_then(|m| m.split_once('(')).and_then(|(_, r)| r.split_once([':', ')'])).map(|(s, _)| s);
    let name = inner.map_or_else(|| head.program_word(), str::to_owned);
    if name == "sshd" { "ssh".to_owned() } else { name }
}
