//! Log lines to events: a header reader (syslog, or none), then the format that knows the program.
//!
//! Every line gives exactly one event; what no format knows stays a plain `LogActivity` with its text. Formats state facts and
//! hold no thresholds. A user name may hold anything its owner likes, also text that looks like a log line: addresses are
//! therefore taken from where the daemon writes them (mostly the end), never from the first place that looks right.
//! `read` looks at one line; `Reader` also remembers what earlier lines of the same session said.
//!
//! Adding a format: a file here and its row in `FORMATS`.

mod account;
mod appliance;
mod apps;
mod asterisk;
mod auditd;
mod database;
mod exim;
mod ftp;
mod header;
mod idea;
mod imap;
mod json;
mod mail;
mod named;
mod package;
mod partner;
mod privilege;
mod proxy;
mod scan;
mod sendmail;
mod sessions;
mod ssh;
mod stamp;
mod system;
mod tree;
mod web;

pub use auditd::{ACTS_MAX, Acts};
pub use header::{Header, header};
pub use partner::is_partner_record;
pub use sessions::{AGE_MAX_S, Reader, SESSIONS_MAX, Sessions};

use event::{Class, Event, Field, Kind, LogSource, Timestamp, Value, field};

/// One line as it was read, without its line end.
pub struct Line<'a> {
    pub bytes: &'a [u8],
    /// When it was read; gives the year where the line has none.
    pub received: Timestamp,
    /// Seconds east of UTC of the host's local time, for lines that carry local time without a zone.
    pub utc_offset_secs: i32,
    /// Format to assume, from the configuration: `access`, `apache_error`, …; `None` finds out by content.
    pub format: Option<&'a str>,
}

/// A format for the messages of some programs: gives the class of an event it could type, or `None`.
///
/// A line belongs to the format that claims its program. A line without a program (a program's own log file) belongs to the first
/// format that finds one of its signs in it and can read it: so no program's line is ever read as another's, whatever it quotes. Without
/// a stamp as well, the sign must stand near the start (`SIGN_BYTES_MAX`): an unknown access log holds its visitors' words further on.
pub(crate) struct Format {
    /// Name in tables and in `format = "…"`.
    pub name: &'static str,
    /// Program names as they stand in a syslog header, lower case; the part before the first `/`, `(` or `[` is compared.
    programs: &'static [&'static str],
    signs: &'static [&'static str],
    anywhere: bool,
    whole: bool,
    /// Sets no field unless it gives a class, or the fields are true of the line all the same.
    read: fn(&Header<'_>, &mut Event) -> Option<Class>,
}

impl Format {
    pub const fn new(name: &'static str, programs: &'static [&'static str], read: fn(&Header<'_>, &mut Event) -> Option<Class>) -> Self {
        Self { name, programs, signs: &[], anywhere: false, whole: false, read }
    }
    /// Also reads lines without a program that hold one of these.
    pub const fn by(self, signs: &'static [&'static str]) -> Self {
        Self { signs, ..self }
    }
    /// Also reads lines of programs nobody knows: only for formats whose whole line is told by its shape.
    pub const fn anywhere(self) -> Self {
        Self { anywhere: true, whole: true, ..self }
    }
    /// Reads the line from its first byte, so that its sign may stand further on.
    pub const fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// Whether a line whose program nobody claims may be of this format.
    fn may_be(&self, head: &Header<'_>) -> bool {
        if head.program.is_some() && !self.anywhere {
            return false;
        }
        let near = if head.time.is_some() || self.whole { LOOK_BYTES_MAX } else { SIGN_BYTES_MAX };
        let look = &head.message[..head.message.floor_char_boundary(LOOK_BYTES_MAX)];
        self.signs.iter().any(|sign| look.find(sign).is_some_and(|at| at <= near))
    }
}

/// How far from the start the sign of a line without stamp and program may stand.
const SIGN_BYTES_MAX: usize = 48;
/// How far signs are looked for at all: a line of 64 KiB costs no more than one of four.
const LOOK_BYTES_MAX: usize = 4_096;

static FORMATS: &[&Format] = &[
    &ssh::SSHD,
    &privilege::SUDO,
    &privilege::SU,
    &privilege::LOGIN,
    &account::ACCOUNT,
    &system::SYSTEMD,
    &system::CRON,
    &system::KERNEL,
    &package::DPKG,
    &package::DNF,
    &auditd::AUDIT,
    &ftp::VSFTPD,
    &ftp::PROFTPD,
    &ftp::PURE_FTPD,
    &mail::POSTFIX,
    &mail::DOVECOT,
    &exim::EXIM,
    &sendmail::SENDMAIL,
    &imap::IMAP,
    &imap::ORACLE,
    &named::NAMED,
    &named::NSD,
    &web::HTTPD,
    &proxy::LIGHTTPD,
    &proxy::SQUID,
    &proxy::PROXY_MANAGER,
    &database::MYSQL,
    &database::POSTGRES,
    &database::MSSQL,
    &asterisk::ASTERISK,
    &asterisk::FREESWITCH,
    &asterisk::MURMUR,
    &asterisk::TEAMSPEAK,
    &appliance::SCANLOGD,
    &apps::DRUPAL,
    &apps::APPS,
    &appliance::MIKROTIK,
    &appliance::SSHESAME,
    &appliance::WEBMIN,
    &appliance::THEHIVE,
    &appliance::LFD,
    &appliance::AMAVIS,
    &partner::EVE,
    &partner::WAZUH,
    &partner::AMINER,
    &idea::IDEA,
    &json::JSON,
    &proxy::HAPROXY,
];

/// Reads one line. Never panics, whatever the bytes. The class says how precious it is.
pub fn read(line: &Line<'_>) -> (Class, Event) {
    let text = Value::lossy(line.bytes);
    // 99 is OCSF's other: its 1 means that a log was cleared.
    let mut event = Event::new(line.received, Kind::LogActivity, 99, LogSource::default());
    let whole = text.as_str().unwrap_or_default().to_owned();
    event.body.set(field::RAW_DATA, text);

    if let Some(class) = web::line(&whole, line, &mut event) {
        return (class, event);
    }
    let head = header(&whole, line.received, line.utc_offset_secs);
    if let Some(time) = head.time {
        event.time = time;
    }
    event.body.set_some(field::LOG_HOST, head.host);
    event.body.set_some(field::LOG_PROGRAM, head.program);
    event.body.set_some(field::SYSLOG_FACILITY, head.priority.map(|p| p >> 3));
    event.body.set_some(field::SYSLOG_SEVERITY, head.priority.map(|p| p & 7));
    event.body.set_some(field::SYSLOG_MSGID, head.msgid);
    event.body.set_some(field::SYSLOG_SD, head.structured);
    event.body.set_some(field::PROCESS_PID, head.pid);
    event.body.set(field::MESSAGE, head.message);

    let mut head = head;
    if let Some((count, message)) = repeated(head.message) {
        event.body.set(field::COUNT, count);
        head.message = message;
    }
    let program = head.program_word();
    if let Some(format) = FORMATS.iter().find(|f| line.format == Some(f.name) || f.programs.contains(&program.as_str())) {
        event.source = LogSource::new("linux", "", format.name);
        let class = (format.read)(&head, &mut event).or_else(|| privilege::pam(&head, &mut event));
        return (class.unwrap_or(Class::Bulk), event);
    }
    let plain = LogSource::owned(Some("linux"), None, Some(if program.is_empty() { "syslog" } else { &program }));
    for format in FORMATS.iter().filter(|f| f.may_be(&head)) {
        event.source = LogSource::new("linux", "", format.name);
        if let Some(class) = (format.read)(&head, &mut event) {
            return (class, event);
        }
    }
    event.source = plain;
    let class = privilege::pam(&head, &mut event).unwrap_or(Class::Bulk);
    (class, event)
}

/// rsyslog's `message repeated 3 times: [ Failed password for …]`: stands for that many lines, so it is read as one of them.
fn repeated(message: &str) -> Option<(i64, &str)> {
    let (count, rest) = message.strip_prefix("message repeated ")?.split_once(" times: [ ")?;
    Some((count.parse().ok().filter(|n| *n > 0)?, rest.strip_suffix(']')?))
}

/// Fields that log events may carry, for the field reference.
pub const FIELDS: &[Field] = &[
    field::MESSAGE,
    field::RAW_DATA,
    field::STATUS_ID,
    field::STATUS_DETAIL,
    field::LOG_PATH,
    field::LOG_OFFSET,
    field::LOG_HOST,
    field::LOG_PROGRAM,
    field::SYSLOG_FACILITY,
    field::SYSLOG_SEVERITY,
    field::SYSLOG_MSGID,
    field::SYSLOG_SD,
    field::SRC_IP,
    field::SRC_HOSTNAME,
    field::SRC_PORT,
    field::DST_IP,
    field::DST_PORT,
    field::DST_HOSTNAME,
    field::PRODUCT_NAME,
    field::DISPOSITION,
    field::DEVICE_INTERFACE,
    field::PROTOCOL,
    field::APP_NAME,
    field::SESSION_UID,
    field::USER_NAME,
    field::USER_UID,
    field::USER_KNOWN,
    field::USER_PRIVILEGED,
    field::USER_HOME,
    field::USER_SHELL,
    field::ACTOR_USER,
    field::ACTOR_UID,
    field::GROUP_NAME,
    field::GROUP_UID,
    field::AUTH_PROTOCOL,
    field::SERVICE_NAME,
    field::IS_REMOTE,
    field::PROCESS_PID,
    field::PROCESS_CMD_LINE,
    field::PROCESS_CWD,
    field::TTY,
    field::HTTP_METHOD,
    field::HTTP_URL,
    field::HTTP_PATH,
    field::HTTP_QUERY,
    field::HTTP_VERSION,
    field::HTTP_STATUS,
    field::HTTP_LENGTH,
    field::HTTP_REFERRER,
    field::HTTP_HOST,
    field::PROCESS_NAME,
    field::PROCESS_PATH,
    field::HTTP_USER_AGENT,
    field::HTTP_X_FORWARDED_FOR,
    field::EVENT_CODE,
    field::COUNT,
    field::DNS_QUERY,
    field::DNS_TYPE,
    field::PARENT_PID,
    field::PROCESS_USER,
    field::FILE_PATH,
    field::FILE_NAME,
    field::FILE_MODE,
    field::FILE_CHANGES,
    field::LOG_NAME,
    field::COMMUNITY_ID,
    field::TLS_SNI,
    field::FINDING_RULE,
    field::FINDING_TITLE,
    field::ALERT_HOST,
    field::ALERT_CATEGORY,
    field::ALERT_TECHNIQUES,
    field::ALERT_LEVEL,
    field::PACKAGE_NAME,
    field::PACKAGE_VERSION,
];

/// Outcome of a log-on, in OCSF's `status_id`.
pub(crate) const SUCCESS: i64 = 1;
pub(crate) const FAILURE: i64 = 2;

/// Turns the event into an authentication (OCSF 3002, activity 1 logon) with its outcome.
pub(crate) fn authentication(event: &mut Event, service: &'static str, status: i64) {
    event.kind = Kind::Authentication;
    event.activity = 1;
    event.body.set(field::STATUS_ID, status);
    event.body.set(field::SERVICE_NAME, service);
}

/// A failed log-on, with the name of its kind.
pub(crate) fn failed(event: &mut Event, service: &'static str, code: &'static str) {
    authentication(event, service, FAILURE);
    event.body.set(field::EVENT_CODE, code);
}

#[cfg(test)]
mod tests;
