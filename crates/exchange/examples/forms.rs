//! Writes a made-up warning in every form into a folder, to be looked at or handed to a validator: `cargo run -p exchange --example forms DIR`.

use event::Timestamp;
use exchange::{Format, Sender, Told};
use matter::Both;
use matter::notice::{Certainty, Indicator, Notice, Pap, Revision, Step, Tlp};
use warning::grade::Level;

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let issued = Timestamp::from_secs(1_795_435_200);
    let both = |zh: &str, en: &str| Both::new(zh, en);
    let steps = [
        (Step::Issue, Tlp::Amber),
        (Step::Upgrade, Tlp::AmberStrict),
        (Step::Extend, Tlp::Green),
        (Step::Lift, Tlp::Clear),
        (Step::Cancel, Tlp::Red),
    ];
    let sender = Sender { name: "desk.city.example".into(), ..Sender::default() };
    let mut earlier = Vec::new();
    for (n, (step, tlp)) in steps.into_iter().enumerate() {
        let number = n as u32 + 1;
        let revision = Revision {
            warning: "W0123456789abcdef".into(),
            number,
            step,
            level: [Some(Level::Yellow), Some(Level::Orange), Some(Level::Red), Some(Level::Blue), None][n],
            notice: Notice {
                title: both("勒索软件扩散 <预警> & 处置", "Ransomware <spreads> & must be handled"),
                category: "01007".into(),
                event: both("多家单位主机遭加密", "hosts of several units are encrypted"),
                threat: both("远程桌面口令爆破", "brute force on remote desktops"),
                scope: both("金融行业", "finance sector"),
                impact: both("核心业务可能中断", "core business may stop"),
                measures: vec![
                    both("关闭对外远程桌面", "close remote desktop to the outside"),
                    both("核对离线备份", "check offline backups"),
                ],
                indicators: [
                    ("ipv4-addr", "203.0.113.9".to_owned()),
                    ("ipv6-addr", "2001:db8::9".to_owned()),
                    ("domain-name", "evil.example".to_owned()),
                    ("url", "http://evil.example/a?b='c'".to_owned()),
                    ("email-addr", "x@evil.example".to_owned()),
                    ("file:hashes.SHA-256", "ab".repeat(32)),
                    ("file:hashes.MD5", "ab".repeat(16)),
                ]
                .map(|(kind, value)| Indicator { r#type: kind.into(), value })
                .into(),
                techniques: vec!["T1486".into(), "T1021.001".into(), "T0855".into()],
            },
            certainty: [Certainty::Observed, Certainty::Likely, Certainty::Possible][n % 3],
            issuer: both("某市网络安全中心", "City Cyber Centre"),
            drafted_by: "lin".into(),
            approved_by: Some("wang".into()),
            issued: issued.plus_secs(3_600 * i64::from(number)),
            review: issued.plus_secs(86_400),
            expires: issued.plus_secs(7 * 86_400),
            receipt_s: 1_800,
            feedback_s: 14_400,
            units: vec!["u-bank".into(), "u-grid".into()],
            sectors: vec!["finance".into()],
            tlp,
            pap: Pap::Amber,
            reasons: vec![],
            disclosed: None,
            exercise: n == 2,
            previous: String::new(),
            hash: String::new(),
            key: "0011223344556677".into(),
            signature: "c2lnbmF0dXJl".into(),
        };
        for format in Format::ALL {
            let path = format!("{folder}/{number}.{}", format.ending());
            let text = format.write(&Told { revision: &revision, earlier: &earlier, sender: &sender });
            if let Err(error) = std::fs::write(&path, text) {
                eprintln!("{path}: {error}");
                std::process::exit(1);
            }
        }
        earlier.push((number, revision.issued));
    }
}
