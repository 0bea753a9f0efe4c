//! The audit trail of Linux: records of `/var/log/audit/audit.log`, also behind a syslog header.
//!
//! The kernel writes one act as several records with one id: who (SYSCALL), what was run (EXECVE), where (CWD), on which files (PATH),
//! with which words (PROCTITLE). Every record stays an event of its own with its text, so nothing waits for a record that never
//! comes; what the act's earlier records said is carried on to its later ones ([`Acts`]). The kernel writes SYSCALL first, so that
//! EXECVE becomes a program start with program, process ids, users and terminal, and PATH a file that somebody made or removed.
//!
//! Limits: `ACTS_MAX` acts remembered, the oldest goes first and is counted; `ARGUMENTS_MAX` arguments become fields; a text is cut
//! by the event's own limit. Values without quotes are hexadecimal where the kernel did not trust them (`auparse`, audit-userspace).
//! Fields a Sigma rule of `service: auditd` asks for and that have no name of ours (`a0`, `syscall`, `key`, …) keep the record's name.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use event::{Class, Event, Field, Kind, Name, Timestamp, Value, field};

use super::scan::{after, between};
use super::{FAILURE, Format, Header, SUCCESS};

pub(crate) static AUDIT: Format = Format::new("auditd", &["audit", "auditd", "audispd"], read).by(&[" msg=audit("]);

/// Acts remembered; about 500 bytes each.
pub const ACTS_MAX: usize = 1_024;
/// Arguments of a program that become fields of their own; the command line has them all.
const ARGUMENTS_MAX: usize = 32;
/// Records of one act are written together: later ones with the same id belong to a host that started anew.
const ACT_AGE_S: i64 = 30;

/// Words of a record that keep their name.
const KEPT: &[&str] =
    &["syscall", "success", "exit", "key", "nametype", "unit", "op", "mode", "ouid", "apparmor", "profile", "res", "terminal"];

/// Kinds of records that say that somebody logged on or tried to.
const LOGONS: &[&str] = &["USER_AUTH", "USER_LOGIN", "USER_ERR"];

fn read(head: &Header<'_>, event: &mut Event) -> Option<Class> {
    // Behind the separator stand the words auditd looked up itself: `SYSCALL=execve AUID="alice"`.
    let (record, looked_up) = head.message.split_once('\u{1d}').unwrap_or((head.message, ""));
    let words = Words(record);
    let kind = words.get("type")?;
    let stamp = between(record, "msg=audit(", ")")?;
    let (time, _) = stamp.split_once(':')?;
    event.body.set(field::EVENT_CODE, &*kind);
    if let Some((secs, millis)) = time.split_once('.')
        && let (Ok(secs), Ok(millis)) = (secs.parse::<i64>(), millis.parse::<i64>())
    {
        event.time = Timestamp::from_ms(secs.saturating_mul(1_000).saturating_add(millis));
    }
    event.body.set_some(field::LOG_HOST, words.get("node"));
    let mut text = |f: Field, key: &str| event.body.set_some(f, words.get(key).filter(|v| !unset(v)));
    text(field::PROCESS_PATH, "exe");
    text(field::PROCESS_NAME, "comm");
    text(field::ACTOR_UID, "auid");
    text(field::USER_UID, "uid");
    text(field::TTY, "tty");
    text(field::SESSION_UID, "ses");
    text(field::PROCESS_CWD, "cwd");
    if head.pid.is_none() {
        event.body.set_some(field::PROCESS_PID, words.get("pid").and_then(|p| p.parse::<i64>().ok()));
    }
    event.body.set_some(field::PARENT_PID, words.get("ppid").and_then(|p| p.parse::<i64>().ok()));
    for key in KEPT {
        event.body.set_some(Name::from(*key), words.get(key).filter(|v| !unset(v)));
    }
    let names = Words(looked_up);
    event.body.set_some(Name::from("syscall"), names.get("SYSCALL"));
    event.body.set_some(field::ACTOR_USER, names.get("AUID").filter(|v| !unset(v)));
    event.body.set_some(field::PROCESS_USER, names.get("UID").filter(|v| !unset(v)));
    let status = match words.get("res").or_else(|| words.get("success")).as_deref() {
        Some("success" | "1" | "yes") => Some(SUCCESS),
        Some("failed" | "0" | "no") => Some(FAILURE),
        _ => None,
    };
    event.body.set_some(field::STATUS_ID, status);
    Some(match &*kind {
        "EXECVE" => execve(&words, event),
        "PATH" => path(&words, event),
        "SOCKADDR" => socket(&words, event),
        "PROCTITLE" => {
            event.body.set_some(field::PROCESS_CMD_LINE, words.get("proctitle").map(|t| t.replace('\0', " ")));
            Class::Bulk
        }
        "ADD_USER" | "DEL_USER" | "ADD_GROUP" | "DEL_GROUP" | "USER_CHAUTHTOK" | "GRP_CHAUTHTOK" | "USER_MGMT" | "GRP_MGMT" => {
            event.body.set_some(field::USER_NAME, words.get("acct").or_else(|| words.get("id")).filter(|v| !unset(v)));
            Class::Critical
        }
        "CONFIG_CHANGE" | "DAEMON_END" | "DAEMON_ABORT" | "MAC_STATUS" | "ANOM_PROMISCUOUS" | "ANOM_ABEND" | "KERN_MODULE" => {
            Class::Critical
        }
        logon if LOGONS.contains(&logon) && status.is_some() => {
            authentication(&words, event);
            Class::Critical
        }
        _ => Class::Bulk,
    })
}

/// Not set, as the kernel writes it: no audit user, no terminal, no key, nothing known.
fn unset(value: &str) -> bool {
    matches!(value, "" | "?" | "(null)" | "(none)" | "(unknown)" | "4294967295" | "-1" | "unset")
}

/// `argc=3 a0="docker" a1=696E7370 a2_len=9000 a2[0]=… a2[1]=…`: the program's words, each as it was given.
fn execve(words: &Words<'_>, event: &mut Event) -> Class {
    // A long command line goes on in further records, which start nothing: only the first counts the words.
    if words.raw("argc").is_some() {
        event.kind = Kind::ProcessActivity;
        event.activity = 1;
    }
    let mut line = String::new();
    let mut number = 0usize;
    let mut part: Option<String> = None;
    // One pass in the order of the record; a long argument comes in pieces, `a1_len=` before them.
    for (key, raw) in words.iter() {
        let Some(rest) = key.strip_prefix('a') else { continue };
        let (digits, piece) = rest.split_once('[').map_or((rest, false), |(d, _)| (d, true));
        if rest.ends_with("_len") || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let text = plain(raw);
        if piece && !rest.ends_with("[0]") {
            line.push_str(&text);
            if let Some(part) = &mut part {
                part.push_str(&text);
            }
        } else {
            keep(event, number, part.take());
            number = digits.parse().unwrap_or(usize::MAX);
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&text);
            part = Some(text.into_owned());
        }
    }
    keep(event, number, part);
    event.body.set(field::PROCESS_CMD_LINE, line);
    Class::Normal
}

fn keep(event: &mut Event, number: usize, text: Option<String>) {
    if let Some(text) = text
        && number < ARGUMENTS_MAX
    {
        event.body.set(Name::from(format!("a{number}").as_str()), text);
    }
}

/// `item=0 name="/etc/passwd" … nametype=CREATE`: a file that an act touched; made and removed ones are told as such.
fn path(words: &Words<'_>, event: &mut Event) -> Class {
    let Some(name) = words.get("name").filter(|n| !unset(n)) else { return Class::Bulk };
    event.body.set(field::FILE_NAME, name.trim_end_matches('/').rsplit('/').next().unwrap_or(&name));
    event.body.set(field::FILE_PATH, &*name);
    event.body.set_some(field::FILE_MODE, words.get("mode"));
    let (activity, change) = match words.get("nametype").as_deref() {
        Some("CREATE") => (1, "created"),
        Some("DELETE") => (4, "deleted"),
        _ => return Class::Bulk,
    };
    event.kind = Kind::FileActivity;
    event.activity = activity;
    event.body.set(field::FILE_CHANGES, Value::from(vec![Value::from(change)]));
    Class::Normal
}

/// `saddr=020001BBC0A80206…`: the address a program connected, bound or sent to (`struct sockaddr`, family in host order).
fn socket(words: &Words<'_>, event: &mut Event) -> Class {
    let Some(bytes) = words.raw("saddr").and_then(hex) else { return Class::Bulk };
    let port = |b: &[u8]| Some(u16::from_be_bytes([*b.get(2)?, *b.get(3)?]));
    let ip: Option<IpAddr> = match bytes.get(..2) {
        Some([2, 0] | [0, 2]) => bytes.get(4..8).and_then(|b| <[u8; 4]>::try_from(b).ok()).map(IpAddr::from),
        Some([10, 0] | [0, 10]) => bytes.get(8..24).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(IpAddr::from),
        _ => None,
    };
    if let Some(ip) = ip {
        event.body.set(field::DST_IP, Value::Ip(ip));
        event.body.set_some(field::DST_PORT, port(&bytes));
    }
    Class::Bulk
}

fn authentication(words: &Words<'_>, event: &mut Event) {
    event.kind = Kind::Authentication;
    event.activity = 1;
    event.body.set_some(field::USER_NAME, words.get("acct").filter(|v| !unset(v)));
    let program = words.get("exe");
    event.body.set_some(field::SERVICE_NAME, program.as_deref().map(|e| e.rsplit('/').next().unwrap_or(e)));
    if let Some(host) = words.get("addr").filter(|a| !unset(a)) {
        super::scan::set_source(event, &host, None);
    }
}

/// The `key=value` words of a record. Quotes hold a value together; what stands in `msg='…'` counts as words too.
#[derive(Clone, Copy)]
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            loop {
                rest = rest.trim_start_matches([' ', '\'', '"', ',']);
                let at = rest.find(['=', ' '])?;
                let (key, tail) = rest.split_at(at);
                let Some(tail) = tail.strip_prefix('=') else {
                    rest = tail;
                    continue;
                };
                // `msg='op=login acct="eve" …'` opens a row of words of its own.
                if key == "msg" && tail.starts_with('\'') {
                    rest = tail.get(1..).unwrap_or("");
                    continue;
                }
                let end = match tail.strip_prefix('"') {
                    Some(quoted) => quoted.find('"').map_or(tail.len(), |e| e + 2),
                    None => tail.find(' ').unwrap_or(tail.len()),
                };
                let (value, after) = tail.split_at(end);
                rest = after;
                return Some((key, value));
            }
        })
    }

    fn raw(self, key: &str) -> Option<&'a str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// A value without its quotes, or decoded where the kernel wrote it in hexadecimal.
    fn get(self, key: &str) -> Option<Cow<'a, str>> {
        const CODED: &[&str] = &["exe", "comm", "cwd", "name", "proctitle", "acct", "key", "cmd", "data", "unit", "profile"];
        let raw = self.raw(key)?;
        if CODED.contains(&key) { Some(plain(raw)) } else { Some(Cow::Borrowed(raw.trim_end_matches('\'').trim_matches('"'))) }
    }
}

/// A text the kernel wrote: in quotes as it is, without them hexadecimal where it held what cannot stand in quotes.
fn plain(raw: &str) -> Cow<'_, str> {
    if let Some(quoted) = raw.strip_prefix('"') {
        return Cow::Borrowed(quoted.strip_suffix('"').unwrap_or(quoted));
    }
    let raw = raw.trim_end_matches('\'');
    match hex(raw) {
        Some(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()),
        None => Cow::Borrowed(raw),
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| (b as char).to_digit(16).and_then(|d| u8::try_from(d).ok());
    if text.len() < 2 || !text.len().is_multiple_of(2) || text.bytes().any(|b| b.is_ascii_lowercase()) {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// What earlier records of an act said, carried to its later ones.
const CARRIED: &[Field] = &[
    field::PROCESS_PATH,
    field::PROCESS_NAME,
    field::PROCESS_PID,
    field::PARENT_PID,
    field::PROCESS_USER,
    field::ACTOR_UID,
    field::ACTOR_USER,
    field::USER_UID,
    field::TTY,
    field::SESSION_UID,
    field::STATUS_ID,
    field::PROCESS_CWD,
];

type Id = (String, String);

/// Acts whose records are still being read.
#[derive(Debug, Default)]
pub struct Acts {
    open: BTreeMap<Id, (Timestamp, Vec<(Field, Value)>)>,
    order: VecDeque<Id>,
    evicted: u64,
    filled: u64,
}

impl Acts {
    /// Completes a record from those of the same act before it, and remembers what it says.
    pub fn follow(&mut self, event: &mut Event) {
        if event.source.service.as_deref() != Some(AUDIT.name) {
            return;
        }
        let Some(id) = event.body.get(field::RAW_DATA).and_then(Value::as_str).and_then(|raw| between(raw, "msg=audit(", ")")) else {
            return;
        };
        // Records that stand alone carry their words in `msg='…'` and are nobody's part.
        if event.body.get(field::RAW_DATA).and_then(Value::as_str).is_some_and(|raw| after(raw, " msg='").is_some()) {
            return;
        }
        let id = (event.text(field::LOG_HOST).into_owned(), id.to_owned());
        let fresh = !self.open.contains_key(&id);
        let (time, known) = self.open.entry(id.clone()).or_insert_with(|| (event.time, Vec::new()));
        if event.time.since(*time).unsigned_abs() > ACT_AGE_S.unsigned_abs() * event::SECOND_NS.unsigned_abs() {
            known.clear();
            *time = event.time;
        }
        let mut filled = false;
        for (f, value) in known.iter() {
            if event.get(*f).is_none() {
                event.body.set(*f, value.clone());
                filled = true;
            }
        }
        // A relative path of a file is told from the folder the act was in.
        if event.get(field::EVENT_CODE).and_then(Value::as_str) == Some("PATH")
            && let Some(name) = event.get(field::FILE_PATH).and_then(Value::as_str).filter(|n| !n.starts_with('/')).map(str::to_owned)
            && let Some(folder) = event.get(field::PROCESS_CWD).and_then(Value::as_str)
        {
            let whole = format!("{}/{}", folder.trim_end_matches('/'), name.trim_start_matches("./"));
            event.body.set(field::FILE_PATH, whole);
        }
        for f in CARRIED {
            if let Some(value) = event.get(*f)
                && !known.iter().any(|(k, _)| k == f)
            {
                known.push((*f, value.clone()));
            }
        }
        self.filled += u64::from(filled);
        if fresh {
            self.order.push_back(id);
            if self.order.len() > ACTS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.open.remove(&oldest);
                self.evicted += 1;
            }
        }
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
    /// Acts let go to make room: each act ends so, as no record says that it was the last.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }
    /// Records that were completed.
    pub const fn filled(&self) -> u64 {
        self.filled
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Line, Reader};
    use super::*;

    fn read_all(lines: &[&str]) -> Vec<(Class, Event)> {
        let received = Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").expect("a time");
        let mut reader = Reader::new();
        lines.iter().map(|l| reader.read(&Line { bytes: l.as_bytes(), received, utc_offset_secs: 0, format: None })).collect()
    }

    fn said(event: &Event, fields: &[Field]) -> String {
        fields.iter().map(|f| event.text(*f).into_owned()).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn a_program_start_knows_who_started_it_and_with_which_words() {
        let events = read_all(&[
            "type=SYSCALL msg=audit(1604994496.155:92733): arch=c000003e syscall=59 success=yes exit=0 items=2 ppid=29002 pid=1631 auid=1000 uid=0 tty=pts0 ses=104 comm=\"tar\" exe=\"/usr/bin/tar\" key=(null)\u{1d}SYSCALL=execve AUID=\"alice\" UID=\"root\"",
            "type=EXECVE msg=audit(1604994496.155:92733): argc=3 a0=\"tar\" a1=\"cf\" a2=2F746D702F6120622E746172",
            "type=CWD msg=audit(1604994496.155:92733): cwd=\"/home/alice\"",
            "type=PATH msg=audit(1604994496.155:92733): item=1 name=\"./a b.tar\" mode=0100644 ouid=0 nametype=CREATE",
            "type=PROCTITLE msg=audit(1604994496.155:92733): proctitle=746172006366",
        ]);
        let (class, start) = &events[1];
        assert_eq!((*class, start.kind, start.activity, start.time.ms()), (Class::Normal, Kind::ProcessActivity, 1, 1_604_994_496_155));
        assert_eq!(
            said(
                start,
                &[
                    field::PROCESS_CMD_LINE,
                    field::PROCESS_PATH,
                    field::PROCESS_PID,
                    field::PARENT_PID,
                    field::ACTOR_USER,
                    field::PROCESS_USER,
                    field::TTY,
                    field::STATUS_ID
                ]
            ),
            "tar cf /tmp/a b.tar | /usr/bin/tar | 1631 | 29002 | alice | root | pts0 | 1"
        );
        assert_eq!(start.get_named("a2").and_then(Value::as_str), Some("/tmp/a b.tar"));
        let made = &events[3].1;
        assert_eq!((made.kind, made.activity), (Kind::FileActivity, 1));
        assert_eq!(
            said(made, &[field::FILE_PATH, field::PROCESS_PATH, field::FILE_CHANGES]),
            "/home/alice/a b.tar | /usr/bin/tar | created"
        );
        assert_eq!(said(&events[4].1, &[field::PROCESS_CMD_LINE, field::PROCESS_PID]), "tar cf | 1631");
    }

    #[test]
    fn acts_do_not_mix() {
        let events = read_all(&[
            "type=SYSCALL msg=audit(1604994496.155:1): ppid=1 pid=10 comm=\"a\" exe=\"/bin/a\"",
            "node=other type=EXECVE msg=audit(1604994496.155:1): argc=1 a0=\"b\"",
            "type=EXECVE msg=audit(1604994496.155:2): argc=1 a0=\"c\"",
            "type=EXECVE msg=audit(1604994496.155:1): argc=1 a0=\"a\"",
        ]);
        let paths: Vec<_> = events.iter().map(|(_, e)| e.text(field::PROCESS_PATH).into_owned()).collect();
        assert_eq!(paths, ["/bin/a", "", "", "/bin/a"]);
    }

    #[test]
    fn long_arguments_come_in_pieces_and_odd_ones_do_no_harm() {
        let events = read_all(&[
            "type=EXECVE msg=audit(1.000:1): argc=3 a0=\"echo\" a1_len=8 a1[0]=6261 a1[1]=6161 a2=\"x\"",
            "type=EXECVE msg=audit(1.000:1):  a2[1]=79797979",
            "type=EXECVE msg=audit(1.000:2): argc=1 a0=",
            "type=EXECVE msg=audit(1.000:3): a99999999999999999999=41 a=1 ax=\"",
            "type=SOCKADDR msg=audit(1.000:4): saddr=020001BBC0A80206",
            "type=SOCKADDR msg=audit(1.000:5): saddr=02",
        ]);
        assert_eq!(events[0].1.text(field::PROCESS_CMD_LINE), "echo baaa x");
        assert_eq!(events[0].1.get_named("a1").and_then(Value::as_str), Some("baaa"));
        assert_eq!(said(&events[4].1, &[field::DST_IP, field::DST_PORT]), "192.168.2.6 | 443");
        assert_eq!(events[5].1.get(field::DST_IP), None);
        assert_eq!((events[1].1.kind, events[1].1.text(field::PROCESS_CMD_LINE).into_owned()), (Kind::LogActivity, "yyyy".to_owned()));
    }

    #[test]
    fn a_refused_logon_is_one() {
        let events = read_all(&[
            "type=USER_LOGIN msg=audit(1795431600.123:9): pid=7 uid=0 auid=4294967295 msg='op=login acct=\"eve\" exe=\"/usr/sbin/sshd\" hostname=? addr=192.0.2.9 terminal=ssh res=failed'",
        ]);
        let (class, logon) = &events[0];
        assert_eq!((*class, logon.kind), (Class::Critical, Kind::Authentication));
        assert_eq!(
            said(logon, &[field::USER_NAME, field::SRC_IP, field::STATUS_ID, field::SERVICE_NAME, field::ACTOR_UID]),
            "eve | 192.0.2.9 | 2 | sshd | "
        );
    }

    #[test]
    fn the_memory_of_acts_is_bounded() {
        let lines: Vec<String> = (0..ACTS_MAX + 5).map(|n| format!("type=SYSCALL msg=audit(1.000:{n}): pid={n}")).collect();
        let received = Timestamp::ZERO;
        let mut acts = Acts::default();
        for line in &lines {
            let (_, mut event) = super::super::read(&Line { bytes: line.as_bytes(), received, utc_offset_secs: 0, format: None });
            acts.follow(&mut event);
        }
        assert_eq!((acts.len(), acts.evicted()), (ACTS_MAX, 5));
    }
}
