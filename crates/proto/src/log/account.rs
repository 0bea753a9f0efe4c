//! Accounts and groups: useradd, usermod, userdel, groupadd, gpasswd, passwd, chpasswd, chage (shadow-utils and Debian's adduser).

use event::{Class, Event, Kind, field};

use super::scan::{after, between, value, word};
use super::{Format, Header};

pub(crate) static ACCOUNT: Format = Format::new(
    "useradd",
    &[
        "useradd", "usermod", "userdel", "groupadd", "groupmod", "groupdel", "gpasswd", "passwd", "chpasswd", "chage", "chsh", "chfn",
        "adduser", "deluser", "newusers",
    ],
    read,
);

/// Groups whose members administer the host.
const ADMIN_GROUPS: &[&str] = &["root", "sudo", "wheel", "admin", "adm", "docker", "lxd", "shadow", "disk"];

// OCSF account_change (3001): 1 create, 3 password change, 5 disable, 6 delete, 7 attach policy, 9 lock, 12 unlock, 99 other.
// OCSF group_management (3006): 3 add user, 4 remove user, 5 delete group, 6 create group.
fn read(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim();
    let mut change = |kind: Kind, activity: u8, code: &'static str| {
        event.kind = kind;
        event.activity = activity;
        event.body.set(field::EVENT_CODE, code);
    };
    if let Some(rest) = message.strip_prefix("new user: ") {
        change(Kind::AccountChange, 1, "user_created");
        user(rest, event);
    } else if let Some(rest) = message.strip_prefix("delete user ") {
        change(Kind::AccountChange, 6, "user_deleted");
        event.body.set(field::USER_NAME, quoted(rest));
    } else if let Some(rest) = message.strip_prefix("new group: ") {
        change(Kind::GroupManagement, 6, "group_created");
        event.body.set_some(field::GROUP_NAME, value(rest, "name"));
        event.body.set_some(field::GROUP_UID, value(rest, "GID"));
    } else if message.starts_with("add '") || message.starts_with("add `") {
        // usermod: `add 'alice' to group 'sudo'` and, once more, `to shadow group 'sudo'`.
        change(Kind::GroupManagement, 3, "group_member_added");
        event.body.set(field::USER_NAME, quoted(message.get(4..).unwrap_or("")));
        group(after(message, "group ").map(quoted), event);
    } else if message.starts_with("delete '") || message.starts_with("delete `") {
        change(Kind::GroupManagement, 4, "group_member_removed");
        event.body.set(field::USER_NAME, quoted(message.get(7..).unwrap_or("")));
        group(after(message, "group ").map(quoted), event);
    } else if let Some(rest) = message.strip_prefix("user ").filter(|m| m.contains(" added by ") && m.contains(" to group ")) {
        // gpasswd: `user alice added by root to group sudo`.
        change(Kind::GroupManagement, 3, "group_member_added");
        event.body.set(field::USER_NAME, word(rest));
        event.body.set_some(field::ACTOR_USER, after(rest, " added by ").map(word));
        group(after(rest, " to group ").map(word), event);
    } else if let Some(rest) = message.strip_prefix("change user ") {
        let name = quoted(rest);
        let code = match () {
            () if rest.contains(" password") => "password_changed",
            () if rest.contains(" UID ") => "user_uid_changed",
            () if rest.contains(" shell") => "user_shell_changed",
            () => "user_changed",
        };
        change(Kind::AccountChange, if code == "password_changed" { 3 } else { 99 }, code);
        event.body.set(field::USER_NAME, name);
        if code == "user_uid_changed" {
            let to = between(rest, " to '", "'").map(str::to_owned);
            event.body.set(field::USER_PRIVILEGED, to.as_deref() == Some("0"));
            event.body.set_some(field::USER_UID, to);
        }
    } else if let Some(rest) = message.strip_prefix("lock user ") {
        change(Kind::AccountChange, 9, "user_locked");
        event.body.set(field::USER_NAME, quoted(rest));
    } else if let Some(rest) = message.strip_prefix("unlock user ") {
        change(Kind::AccountChange, 12, "user_unlocked");
        event.body.set(field::USER_NAME, quoted(rest));
    } else if let Some(rest) = after(message, "password changed for ") {
        change(Kind::AccountChange, 3, "password_changed");
        event.body.set(field::USER_NAME, word(rest));
    } else {
        return None;
    }
    Some(Class::Critical)
}

/// `name=alice, UID=0, GID=0, home=/home/alice, shell=/bin/bash, from=/dev/pts/0`
fn user(rest: &str, event: &mut Event) {
    event.body.set_some(field::USER_NAME, value(rest, "name"));
    let uid = value(rest, "UID");
    event.body.set(field::USER_PRIVILEGED, uid == Some("0"));
    event.body.set_some(field::USER_UID, uid);
    event.body.set_some(field::GROUP_UID, value(rest, "GID"));
    event.body.set_some(field::USER_HOME, value(rest, "home"));
    event.body.set_some(field::USER_SHELL, value(rest, "shell"));
    event.body.set_some(field::TTY, value(rest, "from"));
}

fn group(name: Option<&str>, event: &mut Event) {
    if let Some(name) = name {
        event.body.set(field::GROUP_NAME, name);
        event.body.set(field::USER_PRIVILEGED, ADMIN_GROUPS.contains(&name));
    }
}

/// The first word without shadow's quotes `'…'` or `` `…' ``.
fn quoted(text: &str) -> &str {
    match text.strip_prefix(['\'', '`']) {
        Some(rest) => rest.split('\'').next().unwrap_or(rest),
        None => word(text),
    }
}
