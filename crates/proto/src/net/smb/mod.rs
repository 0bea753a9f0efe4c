//! SMB 1, 2 and 3 (MS-CIFS, MS-SMB, MS-SMB2) over TCP, with or without NetBIOS names, and the host announcements of NetBIOS datagrams: log-ins,
//! shares, files, named pipes with the DCE/RPC in them.
//!
//! Each request is told with its answer: a log-in with its user and result, a share connected to, a file opened, created, deleted or renamed; what
//! was read and written of a file when it is closed. Equal ones of one connection are counted (see `ot`). Everything else of a session is counted
//! by command and told at its end. What SMB 3 encrypts is counted as encrypted.
//!
//! Limits: `HEAD_BYTES` of a message are looked at (of a file only its first bytes, and only for DCE/RPC); `PENDING_MAX` requests wait
//! for answers, `SHARES_MAX` shares and `FILES_MAX` open files are known a connection, the oldest is forgotten.

mod browse;
mod names;
mod one;
#[cfg(test)]
mod tests;
mod two;

use std::collections::VecDeque;

use event::{Class, Event, Kind, LogSource, Timestamp, Value, field};

pub use self::names::command_name;
use super::frames::{Frames, Shape};
use super::login::{self, Outcome};
use super::ot::Teller;
use super::wording::{self, Tally};
use super::{Carrier, Emit, Parser, Piece, Probe, Protocol, Side, Want, be24, dcerpc, ntlm};

pub static SMB: Protocol = Protocol {
    name: "smb",
    about: "log-ins, shares, files and named pipes with their results",
    fields: login::fields![
        field::COMMAND,
        field::COMMANDS,
        field::SMB_DIALECT,
        field::SMB_SHARE,
        field::SMB_SHARE_TYPE,
        field::FILE_PATH,
        field::FILE_NAME,
        field::FILE_TARGET,
        field::BYTES_IN,
        field::BYTES_OUT,
        field::IS_ENCRYPTED,
        field::NTLM_SERVER,
        field::NTLM_SERVER_DOMAIN,
        field::RPC_INTERFACE,
        field::RPC_UUID,
        field::RPC_OPNUM,
        field::RPC_OPERATION,
        field::REPLY_CODE,
        field::SERVER_SOFTWARE,
        field::CLIENT_SOFTWARE,
        field::COUNT,
    ],
    anomalies: &["smb_out_of_sync"],
    probe,
    open: |carrier| match carrier {
        Carrier::Tcp => Box::new(Smb::default()),
        Carrier::Udp => Box::new(browse::Datagrams::default()),
    },
};

const HEAD_BYTES: usize = 4 << 10;
const PENDING_MAX: usize = 64;
const SHARES_MAX: usize = 32;
const FILES_MAX: usize = 128;

static SHAPE: Shape = Shape {
    header: 4,
    keep: HEAD_BYTES,
    length: |b| match b.first()? {
        0 => Some(4 + be24(b, 1)?),
        // NetBIOS session request, answers, keep-alive: 17 bits of length.
        0x81..=0x85 => Some(4 + (be24(b, 1)? & 0x1_ffff)),
        _ => None,
    },
    sync: |b| {
        let at = memchr::memmem::find_iter(b, b"SMB")
            .find(|at| *at >= 5 && b.get(at - 5) == Some(&0) && matches!(b.get(at - 1), Some(0xfc..=0xff)))?;
        Some(at - 5)
    },
};

fn probe(carrier: Carrier, _: Side, bytes: &[u8]) -> Probe {
    match (carrier, bytes) {
        (Carrier::Udp, [0x10..=0x12, ..]) if browse::inner(bytes).is_some() => Probe::Yes,
        (Carrier::Udp, _) => Probe::No,
        (_, [0, _, _, _, 0xfc..=0xff, b'S', b'M', b'B', ..]) => Probe::Yes,
        // A session request of NetBIOS: its names are 32 letters each.
        (_, [0x81, 0, 0, 0x44, 0x20, ..]) => Probe::Yes,
        (_, [0, ..])
            if bytes.len() < 8
                && b"\xff\xfe\xfd\xfc".iter().any(|v| [*v, b'S', b'M', b'B'].starts_with(bytes.get(4..).unwrap_or_default())) =>
        {
            Probe::Maybe
        }
        _ => Probe::No,
    }
}

/// What a request was, until its answer comes.
enum Asked {
    Setup,
    Tree { share: String },
    Open(Opening),
    Remove { name: String, share: Option<u32> },
    Rename { name: String, target: String, share: Option<u32> },
    Read { fid: u128 },
    Pipe { fid: u128 },
    Close { fid: u128 },
}

/// What a file is opened with.
struct Opening {
    name: String,
    share: Option<u32>,
    /// It is to be gone once closed.
    removes: bool,
}

struct Share {
    id: u32,
    name: String,
}

struct File {
    fid: u128,
    path: String,
    share: Option<u32>,
    read: u64,
    written: u64,
    pipe: Option<Box<dcerpc::Conversation>>,
}

/// What a connection is known by, whatever version it speaks.
#[derive(Default)]
struct Core {
    tally: Tally,
    client: Option<Side>,
    dialect: Option<&'static str>,
    encrypted: bool,
    talk: ntlm::Talk,
    software: [Option<String>; 2],
    pending: VecDeque<(u64, Asked)>,
    shares: VecDeque<Share>,
    files: VecDeque<File>,
    teller: Teller<32>,
}

impl Core {
    fn wait(&mut self, id: u64, asked: Asked) {
        if self.pending.len() >= PENDING_MAX {
            self.pending.pop_front();
        }
        self.pending.push_back((id, asked));
    }

    fn answered(&mut self, id: u64) -> Option<Asked> {
        let at = self.pending.iter().position(|p| p.0 == id)?;
        self.pending.remove(at).map(|p| p.1)
    }

    fn client(&self) -> Side {
        self.client.unwrap_or(Side::Originator)
    }

    fn share(&self, id: Option<u32>) -> Option<&str> {
        self.shares.iter().rev().find(|s| Some(s.id) == id).map(|s| s.name.as_str())
    }

    fn event(&self, command: &'static str, time: Timestamp) -> Event {
        let activity = match command {
            "open" => 2,
            "create" => 3,
            _ => 99,
        };
        let mut event = Event::new(time, Kind::SmbActivity, activity, LogSource::new("", "smb", "smb")).with(field::COMMAND, command);
        event.body.set_some(field::SMB_DIALECT, self.dialect);
        event.body.set_some(field::USER_NAME, self.talk.login.user.as_deref().filter(|u| !u.is_empty()).map(Value::from));
        event
    }

    /// What a session set-up asks with: NTLM, Kerberos, or names and passwords of old.
    fn setup(&mut self, id: u64, blob: &[u8]) {
        if !self.talk.take(blob) && wording::find(blob, KERBEROS).is_some() {
            self.talk.login.scheme = Some("Kerberos");
        }
        self.wait(id, Asked::Setup);
    }

    fn set_up(&mut self, status: u32, blob: &[u8], guest: bool, time: Timestamp, out: &mut dyn Emit) {
        self.talk.take(blob);
        if status == MORE_PROCESSING {
            return;
        }
        let (outcome, detail) = match (status, guest) {
            (0, true) => (Outcome::Success, "guest".to_owned()),
            (0, false) => (Outcome::Success, String::new()),
            _ => (Outcome::Failure, names::status(status)),
        };
        let mut event = self.talk.login.clone().event("smb", outcome, time);
        self.talk.put(&mut event);
        event.body.set_some(field::SMB_DIALECT, self.dialect);
        login::tell(self.client(), event, Some(detail.as_bytes()), out);
        if outcome == Outcome::Failure {
            self.talk = ntlm::Talk::default();
        }
    }

    fn connected(&mut self, tree: u32, share: String, kind: Option<&'static str>, status: u32, time: Timestamp, out: &mut dyn Emit) {
        let mut event = self.event("tree_connect", time);
        event.body.set(field::SMB_SHARE, share.as_str());
        event.body.set_some(field::SMB_SHARE_TYPE, kind);
        outcome(&mut event, status);
        let key = [1, wording::key(share.as_bytes()), status, 0];
        if status == 0 {
            if self.shares.len() >= SHARES_MAX {
                self.shares.pop_front();
            }
            self.shares.push_back(Share { id: tree, name: share });
        }
        self.teller.poll(key, self.client(), event, out);
    }

    fn opened(&mut self, opening: Opening, fid: u128, command: &'static str, status: u32, time: Timestamp, out: &mut dyn Emit) {
        let Opening { name, share, removes } = opening;
        let key = [2, wording::key(name.as_bytes()), status, wording::key(command.as_bytes())];
        let event = self.of_file(command, &name, share, status, time);
        self.teller.poll(key, self.client(), event, out);
        if status != 0 {
            return;
        }
        if removes {
            let event = self.of_file("delete", &name, share, status, time);
            out.asked(self.client(), Class::Normal, event);
        }
        self.know(fid, name, share, time, out);
    }

    fn know(&mut self, fid: u128, path: String, share: Option<u32>, time: Timestamp, out: &mut dyn Emit) {
        if self.files.len() >= FILES_MAX {
            self.forget(0, time, out);
        }
        self.files.push_back(File { fid, path, share, read: 0, written: 0, pipe: None });
    }

    fn of_file(&self, command: &'static str, path: &str, share: Option<u32>, status: u32, time: Timestamp) -> Event {
        let mut event = self.event(command, time);
        if !path.is_empty() {
            event.body.set(field::FILE_PATH, path);
            event.body.set_some(field::FILE_NAME, path.rsplit('\\').next().filter(|n| !n.is_empty()));
        }
        event.body.set_some(field::SMB_SHARE, self.share(share));
        outcome(&mut event, status);
        event
    }

    /// A file was removed or renamed by a request of its own.
    fn changed(&mut self, asked: Asked, status: u32, time: Timestamp, out: &mut dyn Emit) {
        let event = match asked {
            Asked::Remove { name, share } => self.of_file("delete", &name, share, status, time),
            Asked::Rename { name, target, share } => {
                self.of_file("rename", &name, share, status, time).with(field::FILE_TARGET, target.as_str())
            }
            _ => return,
        };
        out.asked(self.client(), Class::Normal, event);
    }

    fn path(&self, fid: u128) -> String {
        // In a chain of requests all ones are the file opened before.
        if fid == u128::MAX
            && let Some(name) = self.pending.iter().rev().find_map(|p| if let Asked::Open(o) = &p.1 { Some(&o.name) } else { None })
        {
            return name.clone();
        }
        self.files.iter().rev().find(|f| f.fid == fid).map(|f| f.path.clone()).unwrap_or_default()
    }

    /// Bytes read from or written to a file: counted; and read where they are DCE/RPC.
    fn data(&mut self, fid: u128, by_client: bool, length: u64, data: &[u8], time: Timestamp, out: &mut dyn Emit) {
        let at = match self.files.iter().rposition(|f| f.fid == fid) {
            Some(at) => at,
            // Opened before the sensor began.
            None => {
                self.know(fid, String::new(), None, time, out);
                self.files.len().saturating_sub(1)
            }
        };
        let side = if by_client { self.client() } else { self.client().other() };
        let Some(mut file) = self.files.remove(at) else { return };
        if dcerpc::is_fragment(data) {
            let mut pipe = file.pipe.take().unwrap_or_default();
            pipe.fragment(side, data, time, &self.dress(&file), out);
            file.pipe = Some(pipe);
        }
        *(if by_client { &mut file.written } else { &mut file.read }) += length;
        self.files.insert(at, file);
    }

    /// What events of a pipe say besides.
    fn dress(&self, file: &File) -> impl Fn(&mut Event) + use<> {
        let (share, path) = (self.share(file.share).map(Value::from), file.path.clone());
        let user = self.talk.login.user.as_deref().filter(|u| !u.is_empty()).map(Value::from);
        move |event| {
            event.body.set_some(field::SMB_SHARE, share.clone());
            event.body.set_some(field::FILE_NAME, Some(path.as_str()).filter(|p| !p.is_empty()));
            if event.get(field::USER_NAME).is_none() {
                event.body.set_some(field::USER_NAME, user.clone());
            }
        }
    }

    fn close(&mut self, fid: u128, time: Timestamp, out: &mut dyn Emit) {
        if let Some(at) = self.files.iter().rposition(|f| f.fid == fid) {
            self.forget(at, time, out);
        }
    }

    fn forget(&mut self, at: usize, time: Timestamp, out: &mut dyn Emit) {
        let Some(mut file) = self.files.remove(at) else { return };
        if let Some(mut pipe) = file.pipe.take() {
            return pipe.end(time, &self.dress(&file), out);
        }
        if file.read + file.written == 0 || file.path.is_empty() {
            return;
        }
        let command = if file.written > 0 { "write" } else { "read" };
        let mut event = self.of_file(command, &file.path, file.share, 0, time);
        event.body.set(field::BYTES_IN, file.read);
        event.body.set(field::BYTES_OUT, file.written);
        out.asked(self.client(), Class::Bulk, event);
    }

    fn end(&mut self, time: Timestamp, out: &mut dyn Emit) {
        if self.pending.iter().any(|p| matches!(p.1, Asked::Setup)) {
            let mut event = self.talk.login.clone().event("smb", Outcome::Unknown, time);
            self.talk.put(&mut event);
            login::tell(self.client(), event, None, out);
        }
        self.pending.clear();
        while !self.files.is_empty() {
            self.forget(0, time, out);
        }
        self.teller.end(out);
        let mut event = self.event("session", time);
        if self.encrypted {
            event.body.set(field::IS_ENCRYPTED, true);
        }
        let [client, server] = std::mem::take(&mut self.software);
        event.body.set_some(field::CLIENT_SOFTWARE, client);
        event.body.set_some(field::SERVER_SOFTWARE, server);
        let by = self.client();
        wording::summary(&mut self.tally, by, event, time, out);
    }
}

/// `1.2.840.113554.1.2.2`, the object identifier of Kerberos in GSS-API.
const KERBEROS: &[u8] = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
const MORE_PROCESSING: u32 = 0xc000_0016;

fn outcome(event: &mut Event, status: u32) {
    event.body.set(field::STATUS_ID, if status == 0 { 1 } else { 2 });
    if status != 0 {
        event.body.set(field::STATUS_DETAIL, names::status(status));
    }
}

#[derive(Default)]
struct Smb {
    frames: [Frames; 2],
    core: Core,
}

impl Parser for Smb {
    fn feed(&mut self, piece: Piece<'_>, out: &mut dyn Emit) -> Want {
        let at = piece.side as usize;
        if piece.gap {
            self.frames[at].gap();
        }
        let core = &mut self.core;
        let in_step = self.frames[at].feed(&SHAPE, piece.bytes, &mut |head, _| {
            let body = head.get(4..).unwrap_or_default();
            match body {
                [0xff, b'S', b'M', b'B', ..] => one::message(core, piece.side, body, piece.time, out),
                [0xfe, b'S', b'M', b'B', ..] => two::messages(core, piece.side, body, piece.time, out),
                [0xfd, b'S', b'M', b'B', ..] => {
                    core.encrypted = true;
                    core.tally.say("smb3_encrypted");
                }
                [0xfc, b'S', b'M', b'B', ..] => core.tally.say("smb3_compressed"),
                _ => {}
            }
            true
        });
        if !in_step {
            out.anomaly("smb_out_of_sync", "bytes between messages", piece.time);
        }
        Want::Whole
    }

    fn end(&mut self, now: Timestamp, out: &mut dyn Emit) {
        self.core.end(now, out);
    }
}
