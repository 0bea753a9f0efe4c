//! Memory over the lines of one session: sshd names the address once, and says later, under the same process id, what went wrong.
//!
//! Only what the daemon wrote itself is carried on: the address and port of an earlier line of the same (host, program, process id)
//! fill a later line that has none. Bounds: `SESSIONS_MAX` sessions, the oldest goes first and is counted; a session is forgotten
//! `AGE_MAX_S` seconds after its last line, because process ids come again. Time is the events' own.

use std::collections::{BTreeMap, VecDeque};

use event::{Class, Event, Kind, Timestamp, Value, field};

use super::{Acts, FAILURE, Line, read};

/// Sessions held at once; about 200 bytes each.
pub const SESSIONS_MAX: usize = 4_096;
/// A session without a line for so long is over: sshd's own `LoginGraceTime` is 120 s.
pub const AGE_MAX_S: i64 = 600;

/// Programs that write one process id a session.
const PROGRAMS: &[&str] = &["sshd"];

type Key = (String, String, i64);

#[derive(Debug, Clone, Default)]
struct Session {
    last: Timestamp,
    ip: Option<Value>,
    port: Option<Value>,
    /// An earlier line said that the exchange went wrong, without an address.
    trouble: bool,
    /// Number of the row in `order` that is the newest for this session.
    stamp: u64,
}

/// What is known of open sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    open: BTreeMap<Key, Session>,
    order: VecDeque<(u64, Key)>,
    next: u64,
    evicted: u64,
    filled: u64,
}

impl Sessions {
    /// Completes an event from what its session said before, and remembers what it says.
    pub fn follow(&mut self, event: &mut Event) {
        let service = event.source.service.as_deref().unwrap_or("");
        let Some(program) = PROGRAMS.iter().find(|p| **p == service) else { return };
        let Some(pid) = event.get(field::PROCESS_PID).and_then(Value::as_int) else { return };
        let key = (event.text(field::LOG_HOST).into_owned(), (*program).to_owned(), pid);
        let time = event.time;
        let mut session = self
            .open
            .get(&key)
            .filter(|s| time.since(s.last).unsigned_abs() <= AGE_MAX_S.unsigned_abs() * event::SECOND_NS.unsigned_abs())
            .cloned()
            .unwrap_or_default();
        let failed = event.get(field::STATUS_ID).and_then(Value::as_int) == Some(FAILURE);
        if event.get(field::SRC_IP).is_some() {
            session.ip = event.get(field::SRC_IP).cloned();
            if event.get(field::SRC_PORT).is_some() {
                session.port = event.get(field::SRC_PORT).cloned();
            }
            // `Connection closed by 1.2.3.4` after a line that named no address is the end of that failure.
            if session.trouble && event.kind == Kind::SshActivity && event.get(field::STATUS_ID).is_none() {
                event.body.set(field::STATUS_ID, FAILURE);
                self.filled += 1;
            }
        } else if event.kind != Kind::LogActivity {
            if let Some(ip) = &session.ip {
                event.body.set(field::SRC_IP, ip.clone());
                event.body.set_some(field::SRC_PORT, session.port.clone());
                event.body.set(field::IS_REMOTE, true);
                self.filled += 1;
            } else if failed && event.kind == Kind::SshActivity {
                session.trouble = true;
            }
        }
        session.last = time;
        self.keep(key, session);
    }

    /// Sessions forgotten because there were too many, and events that were completed.
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }
    pub const fn filled(&self) -> u64 {
        self.filled
    }
    pub fn len(&self) -> usize {
        self.open.len()
    }
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn keep(&mut self, key: Key, mut session: Session) {
        let fresh = !self.open.contains_key(&key);
        if fresh {
            self.next += 1;
            session.stamp = self.next;
            self.order.push_back((self.next, key.clone()));
        } else if let Some(old) = self.open.get(&key) {
            session.stamp = old.stamp;
        }
        let now = session.last;
        self.open.insert(key, session);
        // Sessions that ended by age go without being counted; those that are pushed out are counted.
        while let Some((stamp, oldest)) = self.order.front() {
            let over = self.open.get(oldest).is_none_or(|s| s.stamp != *stamp || now.since(s.last) > AGE_MAX_S * event::SECOND_NS);
            if !over && self.open.len() <= SESSIONS_MAX {
                break;
            }
            self.evicted += u64::from(!over);
            if let Some((_, oldest)) = self.order.pop_front() {
                self.open.remove(&oldest);
            }
        }
    }
}

/// Reads the lines of one source in order, with a memory of its sessions.
#[derive(Debug, Default)]
pub struct Reader {
    sessions: Sessions,
    acts: Acts,
}

impl Reader {
    pub fn new() -> Self {
        Self::default()
    }

    /// As `log::read`, and an address from an earlier line of the same session where this one names none.
    pub fn read(&mut self, line: &Line<'_>) -> (Class, Event) {
        let (class, mut event) = read(line);
        self.sessions.follow(&mut event);
        self.acts.follow(&mut event);
        (class, event)
    }

    pub const fn sessions(&self) -> &Sessions {
        &self.sessions
    }
    pub const fn acts(&self) -> &Acts {
        &self.acts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all<'a>(reader: &mut Reader, lines: impl IntoIterator<Item = &'a str>) -> Event {
        let received = Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").expect("a time");
        let mut last = None;
        for line in lines {
            last = Some(reader.read(&Line { bytes: line.as_bytes(), received, utc_offset_secs: 0, format: None }).1);
        }
        last.expect("a line")
    }

    #[test]
    fn a_failure_without_an_address_gets_its_sessions() {
        let mut reader = Reader::new();
        let e = read_all(
            &mut reader,
            [
                "Nov 23 11:00:00 h sshd[7]: Connection from 192.0.2.9 port 4000 on 192.0.2.1 port 22",
                "Nov 23 11:00:00 h sshd[8]: Connection from 192.0.2.8 port 4001 on 192.0.2.1 port 22",
                "Nov 23 11:00:02 h sshd[7]: Disconnecting: Too many authentication failures for git [preauth]",
            ],
        );
        assert_eq!(
            (e.text(field::SRC_IP), e.text(field::SRC_PORT), e.text(field::STATUS_ID)),
            ("192.0.2.9".into(), "4000".into(), "2".into())
        );
        // Another host's process 7, and the same process much later, are other sessions.
        for line in [
            "Nov 23 11:00:02 i sshd[7]: Disconnecting: Too many authentication failures for git [preauth]",
            "Nov 23 11:30:02 h sshd[7]: Disconnecting: Too many authentication failures for git [preauth]",
        ] {
            assert_eq!(read_all(&mut reader, [line]).get(field::SRC_IP), None, "{line}");
        }
    }

    #[test]
    fn the_memory_is_bounded_and_says_what_it_forgot() {
        let mut reader = Reader::new();
        let lines: Vec<String> = (0..SESSIONS_MAX + 10)
            .map(|n| format!("Nov 23 11:00:00 h sshd[{n}]: Connection from 192.0.2.9 port 4000 on 192.0.2.1 port 22"))
            .collect();
        read_all(&mut reader, lines.iter().map(String::as_str));
        assert_eq!((reader.sessions().len(), reader.sessions().evicted()), (SESSIONS_MAX, 10));
        // Age is no eviction.
        read_all(&mut reader, ["Nov 23 11:30:00 h sshd[1]: Connection from 192.0.2.9 port 4000 on 192.0.2.1 port 22"]);
        assert_eq!((reader.sessions().len(), reader.sessions().evicted()), (1, 10));
    }
}
