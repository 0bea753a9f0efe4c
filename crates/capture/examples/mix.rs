//! `mix FOLDER OUT [ROUNDS SETS]`: one large capture out of many small ones, the same bytes every time, for benches.
//!
//! Every Ethernet frame of the captures named in `FOLDER/MANIFEST.tsv` is written `ROUNDS` times (25). A round is five seconds of packet time: a
//! capture that is longer is squeezed into it, a shorter one starts somewhere within it, so that captures lie between each other as on
//! a real link. Outermost IP addresses are rewritten in `SETS` (5) ways, round after round; TCP sequence numbers move with each return
//! of a set, so that what comes again is a new conversation and no retransmission. Checksums are mended by difference
//! (RFC 1624): right ones stay right, wrong ones stay wrong.
//!
//! `mix flood OUT PACKETS`: as many TCP SYNs, each from another address, within ten seconds of packet time.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use capture::{FileSource, PacketSource};
use packet::LinkType;

const ROUND_NS: i64 = 5_000_000_000;
/// Longer frames are lies of broken captures, and no program of a bench reads them.
const FRAME_MAX: usize = 65_535;

struct Piece {
    at: i64,
    len: u32,
    bytes: Vec<u8>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [word, out, packets] = &words[..]
        && word == "flood"
    {
        return flood(out, packets.parse()?);
    }
    let [folder, out, rest @ ..] = &words[..] else { return Err("mix FOLDER OUT [ROUNDS SETS]".into()) };
    let number = |at: usize, default: u32| rest.get(at).map_or(Ok(default), |w| w.parse::<u32>());
    let (rounds, sets) = (number(0, 25)?, number(1, 5)?.max(1));
    let pieces = read(Path::new(folder))?;
    let mut file = begin(out)?;
    let mut bytes = Vec::new();
    for round in 0..rounds {
        let start = 1_700_000_000_000_000_000 + i64::from(round) * ROUND_NS;
        for piece in &pieces {
            bytes.clear();
            bytes.extend_from_slice(&piece.bytes);
            rewrite(&mut bytes, round % sets, round / sets);
            let at = start + piece.at;
            record(&mut file, at, piece.len, &bytes)?;
        }
    }
    file.flush()?;
    println!("packets={} rounds={rounds} sets={sets}", pieces.len() as u64 * u64::from(rounds));
    Ok(())
}

fn begin(out: &str) -> std::io::Result<BufWriter<std::fs::File>> {
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(out)?);
    file.write_all(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0])?;
    Ok(file)
}

fn record(file: &mut impl Write, at: i64, len: u32, bytes: &[u8]) -> std::io::Result<()> {
    for word in [(at / 1_000_000_000) as u32, (at % 1_000_000_000 / 1_000) as u32, bytes.len() as u32, len] {
        file.write_all(&word.to_le_bytes())?;
    }
    file.write_all(bytes)
}

fn flood(out: &str, packets: u32) -> Result<(), Box<dyn std::error::Error>> {
    let mut file = begin(out)?;
    for n in 0..packets {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0];
        frame.extend((0x0b00_0000 + n).to_be_bytes());
        frame.extend([192, 0, 2, 1]);
        frame.extend((1024 + (n % 60_000) as u16).to_be_bytes());
        frame.extend([0, 80]);
        frame.extend(n.wrapping_mul(0x9e37_79b9).to_be_bytes());
        frame.extend([0, 0, 0, 0, 0x50, 2, 4, 0, 0, 0, 0, 0]);
        record(&mut file, 1_700_000_000_000_000_000 + i64::from(n) * 10_000_000_000 / i64::from(packets.max(1)), 54, &frame)?;
    }
    file.flush()?;
    println!("packets={packets}");
    Ok(())
}

/// Frames of all captures by their time within a round.
fn read(folder: &Path) -> Result<Vec<Piece>, Box<dyn std::error::Error>> {
    let manifest = std::fs::read_to_string(folder.join("MANIFEST.tsv"))?;
    let mut names: Vec<&str> = manifest.lines().skip(1).filter_map(|l| l.split('\t').next()).collect();
    names.sort_unstable();
    let mut all: Vec<Piece> = Vec::new();
    for (n, name) in names.into_iter().enumerate() {
        let Ok(mut source) = FileSource::open(&folder.join(name)) else { continue };
        let begin = all.len();
        let mut first = None;
        let mut last = 0;
        while let Ok(Some(frame)) = source.next(Duration::ZERO) {
            if frame.link != LinkType::Ethernet || frame.bytes.len() < 14 || frame.len as usize > FRAME_MAX {
                continue;
            }
            // Clocks of real captures run backwards; a round's does not.
            let at = frame.time.since(*first.get_or_insert(frame.time)).max(last);
            last = at;
            all.push(Piece { at, len: frame.len, bytes: frame.bytes.to_vec() });
        }
        let whole = i128::from(last.max(1));
        // Golden-ratio steps spread the beginnings evenly.
        let slack = (ROUND_NS - last).max(0);
        let shift = ((i128::from(slack) * i128::from((n as u32).wrapping_mul(0x9e37_79b9))) >> 32) as i64;
        for piece in &mut all[begin..] {
            if last >= ROUND_NS {
                piece.at = (i128::from(piece.at) * i128::from(ROUND_NS - 1) / whole) as i64;
            } else {
                piece.at += shift;
            }
        }
    }
    // Stable: frames of one capture and instant keep their order.
    all.sort_by_key(|p| p.at);
    Ok(all)
}

/// Moves the outermost addresses and, on a later return of a set, the sequence numbers.
fn rewrite(bytes: &mut [u8], set: u32, turn: u32) {
    let mut at = 12;
    let mut ether = be16(bytes, at);
    while matches!(ether, Some(0x8100 | 0x88a8 | 0x9100)) {
        at += 4;
        ether = be16(bytes, at);
    }
    let ip = at + 2;
    let mut sum = Change::default();
    let (l4, protocol) = match ether {
        Some(0x0800) if bytes.len() >= ip + 20 && bytes[ip] >> 4 == 4 && bytes[ip] & 15 >= 5 => {
            for address in [ip + 12, ip + 16] {
                // Groups and everybody stay what they are.
                if bytes[address] < 224 && bytes[address] != 0 {
                    sum.add16(bytes, address, (set as u16) << 8 | set as u16);
                }
            }
            sum.mend(bytes, ip + 10);
            let later = be16(bytes, ip + 6).is_some_and(|f| f & 0x1fff != 0);
            (if later { usize::MAX } else { ip + usize::from(bytes[ip] & 15) * 4 }, bytes[ip + 9])
        }
        Some(0x86dd) if bytes.len() >= ip + 40 && bytes[ip] >> 4 == 6 => {
            for address in [ip + 8, ip + 24] {
                if bytes[address] != 0xff && bytes[address..address + 16] != [0; 16] {
                    sum.add16(bytes, address + 6, set as u16);
                }
            }
            (ip + 40, bytes[ip + 6])
        }
        _ => return,
    };
    let Some(check) = l4.checked_add(match protocol {
        6 => 16,
        17 => 6,
        58 => 2,
        _ => return,
    }) else {
        return;
    };
    if protocol == 6 && turn > 0 && bytes.len() >= l4 + 20 {
        let step = turn.wrapping_mul(0x1357_9bdf);
        sum.add32(bytes, l4 + 4, step);
        if bytes[l4 + 13] & 16 != 0 {
            sum.add32(bytes, l4 + 8, step);
        }
    }
    // A UDP checksum of zero means that there is none.
    if bytes.len() >= check + 2 && !(protocol == 17 && be16(bytes, check) == Some(0)) {
        sum.mend(bytes, check);
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// How much the one's complement sum has changed.
#[derive(Default)]
struct Change(u32);

impl Change {
    fn add16(&mut self, bytes: &mut [u8], at: usize, step: u16) {
        let old = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let new = old.wrapping_add(step);
        bytes[at..at + 2].copy_from_slice(&new.to_be_bytes());
        self.0 += u32::from(!old) + u32::from(new);
    }

    fn add32(&mut self, bytes: &mut [u8], at: usize, step: u32) {
        let old = u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let new = old.wrapping_add(step);
        bytes[at..at + 4].copy_from_slice(&new.to_be_bytes());
        for shift in [0, 16] {
            self.0 += u32::from(!((old >> shift) as u16)) + u32::from((new >> shift) as u16);
        }
    }

    fn mend(&self, bytes: &mut [u8], at: usize) {
        let mut sum = u32::from(!u16::from_be_bytes([bytes[at], bytes[at + 1]])) + self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        bytes[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    }
}
