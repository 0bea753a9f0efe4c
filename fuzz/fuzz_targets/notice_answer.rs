//! Any bytes as the answer of every channel's peer: a verdict, never a panic, and never `Done` for what is no answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use notifier::{Answer, Verdict, open};

fuzz_target!(|bytes: &[u8]| {
    let Some((head, body)) = bytes.split_at_checked(2) else { return };
    let status = u16::from_le_bytes([head[0], head[1]]) % 700;
    let text = String::from_utf8_lossy(body);
    let read = |_: &std::path::Path| Ok("https://robot.example/send?key=a".to_owned());
    for section in [
        "name='x'\nkind='wecom'\nurl_file='/u'",
        "name='x'\nkind='dingtalk'\nurl_file='/u'",
        "name='x'\nkind='feishu'\nurl_file='/u'",
        "name='x'\nkind='webhook'\nurl='https://h.example/'",
        "name='x'\nkind='alertmanager'\nurl='http://127.0.0.1:9093'",
        "name='x'\nkind='mail'\nserver='127.0.0.1'\ntls='none'\nfrom='a@b.example'",
    ] {
        let channel = open(&section.parse().unwrap(), &read).unwrap().channel;
        let verdict = channel.classify(&Answer::Http { status, retry_after: Some(&text), body });
        assert!(verdict != Verdict::Done || (200..300).contains(&status) || body.contains(&b'0'));
        let _ = channel.classify(&Answer::Smtp { code: status, text: &text });
        let _ = channel.classify(&Answer::Broken(&text));
    }
    // A section of a configuration is checked, whatever it holds.
    if let Ok(table) = text.parse::<toml::Table>() {
        let _ = open(&table, &read);
    }
});
