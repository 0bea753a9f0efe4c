//! Any bytes as a mail server, in pieces: the session ends or waits, never panics, and never says it delivered before the final dot was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use notifier::smtp::{Session, Step};
use notifier::{Login, MailTls};

fuzz_target!(|bytes: &[u8]| {
    let Some((how, rest)) = bytes.split_first() else { return };
    let tls = [MailTls::None, MailTls::Starttls, MailTls::Implicit][usize::from(how % 3)];
    let login = Login { user: "u".into(), password: settings::Secret::new("p") };
    let mut session = Session::new(tls, (how & 8 != 0).then_some(&login), "h.example", "a@b.example", "c@d.example", b"x\r\n.\r\ny");
    let (mut written, mut steps) = (false, 0);
    for piece in rest.split_inclusive(|b| b % 7 == 3) {
        steps += 1;
        let mut step = session.read(piece);
        if step == Step::StartTls {
            step = session.secured();
        }
        match step {
            Step::Write(out) => written |= out.ends_with(b"\r\n.\r\n"),
            Step::End { code, .. } => {
                assert!(code != 250 || written);
                return;
            }
            Step::Read | Step::StartTls => {}
        }
        if steps > 10_000 {
            return;
        }
    }
});
