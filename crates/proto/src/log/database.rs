//! Database servers: MySQL and MariaDB, PostgreSQL, Microsoft SQL Server.

use event::{Class, Event, field};

use super::scan::{after, after_last, between, place, set_place, set_source};
use super::{Format, Header, failed};

pub(crate) static MYSQL: Format =
    Format::new("mysqld", &["mysqld", "mariadbd", "mysql", "mariadb"], mysql).by(&["Access denied for user '"]);
pub(crate) static POSTGRES: Format = Format::new("postgresql", &["postgres", "postgresql"], postgres).by(LEVELS);

/// A level and two blanks, as every PostgreSQL line has them.
const LEVELS: &[&str] =
    &["FATAL:  ", "LOG:  ", "ERROR:  ", "PANIC:  ", "WARNING:  ", "HINT:  ", "DETAIL:  ", "STATEMENT:  ", "CONTEXT:  ", "NOTICE:  "];
pub(crate) static MSSQL: Format = Format::new("mssql", &[], mssql).by(&["Login failed for user '"]);

/// `… [Warning] Access denied for user 'root'@'192.0.2.1' (using password: YES)`; the line ends there, or it is something else's text.
fn mysql(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim_end();
    let rest = after(message, "Access denied for user '")?;
    let rest = rest.strip_suffix(" (using password: YES)").or_else(|| rest.strip_suffix(" (using password: NO)")).unwrap_or(rest);
    let (user, host) = rest.strip_suffix('\'')?.rsplit_once("'@'")?;
    if host.contains([' ', '\'']) {
        return None;
    }
    failed(event, "mysql", "failed");
    event.body.set(field::USER_NAME, user);
    event.body.set(field::AUTH_PROTOCOL, "password");
    set_source(event, host, None);
    Some(Class::Critical)
}

/// `[147] 192.0.2.1 bob@db FATAL:  password authentication failed for user "bob"`; the prefix is configured, the client's address is the first in it.
fn postgres(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let message = head.message.trim_end();
    let at = LEVELS.iter().filter_map(|level| message.find(level)).min()?;
    let (prefix, rest) = message.split_at_checked(at)?;
    let (level, rest) = rest.split_once(":  ")?;
    if let Some(pid) = between(prefix, "[", "]").and_then(|p| p.split('-').next()).and_then(|p| p.parse::<i64>().ok())
        && head.pid.is_none()
    {
        event.body.set(field::PROCESS_PID, pid);
    }
    let bad = rest.contains(" authentication failed for user \"")
        || rest.starts_with("no pg_hba.conf entry for host \"")
        || rest.starts_with("role \"") && rest.ends_with("\" does not exist");
    // `%u@%d`, the user and the database.
    let user = prefix.split([' ', ':']).find_map(|w| w.split_once('@')).map(|(user, _)| user);
    event.body.set_some(field::USER_NAME, user.filter(|u| !u.is_empty() && *u != "[unknown]"));
    if !bad || level != "FATAL" {
        return Some(Class::Bulk);
    }
    failed(event, "postgresql", "failed");
    if let Some(user) = between(rest, "user \"", "\"").or_else(|| between(rest, "role \"", "\"")) {
        event.body.set(field::USER_NAME, user);
    }
    event.body.set(field::STATUS_DETAIL, rest);
    if let Some(host) = between(rest, "for host \"", "\"").filter(|_| rest.starts_with("no pg_hba")) {
        set_source(event, host, None);
    } else if let Some(found) = prefix.split([' ', ':']).find(|w| place(w).is_some()) {
        set_place(event, found);
    }
    Some(Class::Critical)
}

/// `Logon       Login failed for user 'bob'. Reason: … [CLIENT: 192.0.2.1]`
fn mssql(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    let rest = head.message.trim().strip_prefix("Logon ")?.trim_start().strip_prefix("Login failed for user '")?;
    let host = after_last(rest, "[CLIENT: ")?.strip_suffix(']')?;
    failed(event, "mssql", "failed");
    event.body.set_some(field::USER_NAME, rest.split_once("'. ").map(|(u, _)| u));
    event.body.set_some(field::STATUS_DETAIL, between(rest, "Reason: ", " [CLIENT"));
    set_source(event, host, None);
    Some(Class::Critical)
}
