//! Enrolment lines that were cut, changed or used, and identities that are not whole.

use super::*;

fn register(bench: &Bench) -> Result<PathBuf> {
    bench.write("register.toml", "[[unit]]\nid = \"bank\"\nname = \"银行\"\nsector = \"finance\"\n")
}

#[test]
fn an_enrolment_line_that_is_cut_changed_or_used_is_refused_and_nothing_is_kept() -> Result<()> {
    let Some(bench) = Bench::new("vedette-agent")? else { return Ok(()) };
    let Some(collector) = programs::collector(&bench.path("data"), "127.0.0.1", &register(&bench)?)? else { return Ok(()) };
    let line = collector.enrolment("bank")?;
    let parts: Vec<&str> = line.split(':').collect();
    let [word, host, port, pin, token] = parts[..] else { anyhow::bail!("'{line}' has {} parts", parts.len()) };
    let flip = |text: &str| {
        let last = if text.ends_with('a') { 'b' } else { 'a' };
        format!("{}{last}", &text[..text.len() - 1])
    };
    let enrol = |state: &str, line: &str| bench.run(&["enrol", "--state", state, line]);
    let shape = "must look like vedette1:";
    let cases: [(String, i32, &[&str]); 8] = [
        (String::new(), 2, &[shape]),
        (line[..line.len() - token.len() - 1].to_owned(), 2, &["64 hex digits", "cut or changed"]),
        (format!("{word}:{host}:{port}:{}:{token}", &pin[..63]), 2, &["64 hex digits", "cut or changed"]),
        (format!("vedette2:{host}:{port}:{pin}:{token}"), 2, &[shape]),
        (format!("{word}:{host}:99999:{pin}:{token}"), 2, &["address"]),
        (format!("{word}:{host}:{port}:{pin}:{}", &token[..token.len() / 2]), 4, &[]),
        (format!("{word}:{host}:{port}:{pin}:{}", flip(token)), 4, &[]),
        (format!("{word}:{host}:{port}:{}:{token}", flip(pin)), 2, &["not signed by the CA that was pinned"]),
    ];
    for (n, (changed, code, words)) in cases.iter().enumerate() {
        let state = format!("bad{n}");
        let said = enrol(&state, changed)?;
        said.is(*code, words).with_context(|| format!("'{changed}'"))?;
        ensure!(!said.err.trim().is_empty(), "nothing was said of '{changed}'");
        ensure!(!bench.path(&state).join("identity.pem").exists(), "an identity after '{changed}'");
    }
    // None of that used the token up.
    enrol("good", &line)?.is(0, &[])?;
    enrol("second", &line)?.is(4, &["used"])?;
    ensure!(!bench.path("second").join("identity.pem").exists());
    enrol("good", &collector.enrolment("bank")?)?.is(1, &["already enrolled", "--replace"])?;
    Ok(())
}

#[test]
fn an_identity_that_is_cut_or_mixed_is_named_and_the_agent_watches_on() -> Result<()> {
    let Some(bench) = Bench::new("vedette-agent")? else { return Ok(()) };
    let Some(collector) = programs::collector(&bench.path("data"), "127.0.0.1", &register(&bench)?)? else { return Ok(()) };
    for state in ["a", "b"] {
        bench.run(&["enrol", "--state", state, &collector.enrolment("bank")?])?.is(0, &[])?;
    }
    let read = |state: &str| std::fs::read_to_string(bench.path(state).join("identity.pem"));
    let (a, b) = (read("a")?, read("b")?);
    let key = |text: &str| -> Result<String> {
        let (start, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
        let (from, to) = (text.find(start).context("no key")?, text.find(end).context("no end of a key")?);
        Ok(text[from..to + end.len()].to_owned())
    };
    let cases = [
        (a[..a.len() - 200].to_owned(), "is damaged: "),
        (a.replace(&key(&a)?, ""), "the private key is missing"),
        (a.replace(&key(&a)?, &key(&b)?), "the certificate is for another key"),
        (String::new(), "is damaged: "),
    ];
    bench.write("agent.toml", "[metrics]\nlisten = \"off\"\n[sensor.net]\nenabled = false\n[sensor.file]\nenabled = false\n")?;
    for (text, word) in cases {
        bench.write("a/identity.pem", &text)?;
        let said = bench.run(&["doctor", "-c", "agent.toml", "--state", "a"])?;
        let all = format!("{}{}", said.out, said.err);
        ensure!(said.code == Some(1), "{said:?}");
        for part in [word, "a/identity.pem", "restore it from a backup", "enrol this host again"] {
            ensure!(all.contains(part), "'{part}' is not in {all}");
        }
    }
    Ok(())
}
