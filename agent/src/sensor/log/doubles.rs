//! Lines that a syslog daemon writes into two files. Debian's rsyslog puts mail and cron into files of their own and into `syslog` as well;
//! read twice, one refused password would count as two for every rule that counts. A stamped line that was just read from another file is
//! passed over, as often as it was read there, and counted (`doubled_line`).
//!
//! Limits: only lines that begin with a syslog time stamp, so that the same plain word in two programs' logs stays two; looked back
//! `WINDOW_NS` of reading time and `LINES_MAX` lines, past which the oldest are forgotten and a double may be told; `FILES_MAX` files a line.
//! After a restart nothing is known: a line whose second copy is read then is told twice.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use event::{SECOND_NS, Timestamp};

const WINDOW_NS: i64 = 30 * SECOND_NS;
const LINES_MAX: usize = 4_096;
const FILES_MAX: usize = 4;

/// Lines of the last seconds, by the hash of their bytes.
#[derive(Default)]
pub struct Doubles {
    state: RandomState,
    lines: HashMap<u64, Seen>,
    order: VecDeque<(u64, i64)>,
    dropped: u64,
}

#[derive(Default)]
struct Seen {
    /// Hash of the path, and how often the line was read there.
    files: [(u64, u32); FILES_MAX],
    told: u32,
}

impl Doubles {
    /// True if the line is to be passed over: another file gave it already.
    pub fn is_double(&mut self, path: &Path, line: &[u8], now: Timestamp) -> bool {
        if !stamped(line) {
            return false;
        }
        self.forget(now);
        let (key, file) = (self.state.hash_one(line), self.state.hash_one(path).max(1));
        if !self.lines.contains_key(&key) {
            self.order.push_back((key, now.ns()));
        }
        let seen = self.lines.entry(key).or_default();
        let Some(slot) = seen.files.iter_mut().find(|(f, _)| *f == file || *f == 0) else { return false };
        *slot = (file, slot.1.saturating_add(1));
        let double = slot.1 <= seen.told;
        seen.told = seen.told.max(slot.1);
        self.dropped += u64::from(double);
        double
    }

    /// Lines passed over so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some((key, at)) = self.order.front().copied() {
            let age = now.ns().saturating_sub(at);
            if (0..=WINDOW_NS).contains(&age) && self.order.len() < LINES_MAX {
                return;
            }
            self.order.pop_front();
            self.lines.remove(&key);
        }
    }
}

/// `Nov  3 11:00:00 ` or `2026-11-03T11:00:00`.
fn stamped(line: &[u8]) -> bool {
    let is = |at: usize, what: fn(&u8) -> bool| line.get(at).is_some_and(what);
    let digits = |places: &[usize]| places.iter().all(|at| is(*at, u8::is_ascii_digit));
    let classic = line.get(..3).is_some_and(|m| m.iter().all(u8::is_ascii_alphabetic))
        && is(3, |c| *c == b' ')
        && digits(&[5, 7, 8, 10, 11, 13, 14])
        && is(9, |c| *c == b':')
        && is(12, |c| *c == b':')
        && is(15, |c| *c == b' ');
    let precise = digits(&[0, 1, 2, 3, 5, 6, 8, 9, 11, 12]) && is(4, |c| *c == b'-') && is(10, |c| *c == b'T');
    classic || precise
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &[u8] = b"Nov 23 11:00:00 h postfix/smtpd[7]: warning: unknown[192.0.2.9]: SASL LOGIN authentication failed";

    #[test]
    fn the_second_file_is_passed_over_as_often_as_the_first_was_read() {
        let mut doubles = Doubles::default();
        let mut read = |file: &str, line: &[u8], s| doubles.is_double(Path::new(file), line, Timestamp::from_secs(s));
        // Three of the same in one file are three; the other file has them too, and then one more.
        assert_eq!([1, 1, 1].map(|s| read("mail.log", A, s)), [false; 3]);
        assert_eq!([2, 2, 2, 2].map(|s| read("syslog", A, s)), [true, true, true, false]);
        // The other way round, line by line.
        let b: &[u8] = b"2026-11-23T11:00:00.123456+08:00 h CRON[9]: pam_unix(cron:session): session opened";
        assert!(!read("syslog", b, 3) && read("cron.log", b, 3) && read("third.log", b, 3));
        assert!(!read("syslog", b, 3) && read("cron.log", b, 4));
        assert_eq!(doubles.dropped(), 6);
    }

    #[test]
    fn what_says_no_time_or_comes_much_later_is_told() {
        let mut doubles = Doubles::default();
        let mut read = |file: &str, line: &[u8], s| doubles.is_double(Path::new(file), line, Timestamp::from_secs(s));
        for plain in [&b"connection refused"[..], b"", b"Nov", b"192.0.2.1 - - [23/Nov/2026:11:00:00 +0000] \"GET / HTTP/1.1\" 200 5"] {
            assert!(!read("a", plain, 1) && !read("b", plain, 1), "{}", String::from_utf8_lossy(plain));
        }
        assert!(!read("a", A, 1) && !read("b", A, 32));
        // A clock that goes back forgets rather than holds for good.
        assert!(!read("c", A, 5));
    }

    #[test]
    fn the_table_is_bounded() {
        let mut doubles = Doubles::default();
        for n in 0..3 * LINES_MAX {
            let line = format!("Nov 23 11:00:00 h p[1]: {n}");
            assert!(!doubles.is_double(Path::new("a"), line.as_bytes(), Timestamp::from_secs(1)));
        }
        assert!(doubles.lines.len() <= LINES_MAX && doubles.order.len() == doubles.lines.len());
        let last = format!("Nov 23 11:00:00 h p[1]: {}", 3 * LINES_MAX - 1);
        assert!(doubles.is_double(Path::new("b"), last.as_bytes(), Timestamp::from_secs(2)));
    }
}
