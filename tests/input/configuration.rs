//! Command lines, configuration files, rules and the register.

use super::*;

#[test]
fn an_unknown_word_on_the_command_line_is_named() -> Result<()> {
    for program in ["vedette", "vedette-agent"] {
        let Some(bench) = Bench::new(program)? else { return Ok(()) };
        bench.run(&["frobnicate"])?.is(2, &["'frobnicate'", "--help"])?;
        bench.run(&["replay", "--formt", "x"])?.is(2, &["'--formt'"])?;
        bench.run(&["check", "--confg", "x"])?.is(2, &["'--confg'", "'--config'"])?;
        bench.run(&[])?.is(2, &["Usage"])?;
    }
    Ok(())
}

#[test]
fn a_typo_in_the_configuration_is_named_with_its_place_and_the_word_that_was_meant() -> Result<()> {
    let cases: [(&str, &str, &[&str]); 6] = [
        ("vedette", "[serve]\nlitsen = \"127.0.0.1:0\"\n", &["c.toml:2:1:", "'serve.litsen'", "did you mean 'listen'?"]),
        ("vedette", "data = \"/x\"\n\n[stor]\n", &["c.toml:3:2:", "'stor'", "did you mean 'store'?"]),
        ("vedette", "[link]\nlisten = 7443\n", &["c.toml:2:10:", "'link.listen'"]),
        ("vedette-agent", "[spol]\nbytes_max = \"1 GiB\"\n", &["c.toml:1:2:", "'spol'", "did you mean 'spool'?"]),
        ("vedette-agent", "state = \"/x\"\n[spool]\nbytes_max = \"1 GiBB\"\n", &["c.toml:3:13:", "'spool.bytes_max'", "1 GiBB"]),
        ("vedette-agent", "state = \"/x\n", &["c.toml:1:"]),
    ];
    for (program, text, words) in cases {
        let Some(bench) = Bench::new(program)? else { return Ok(()) };
        bench.write("c.toml", text)?;
        let start = if program == "vedette" { "serve" } else { "run" };
        for command in ["check", start] {
            bench.run(&[command, "-c", "c.toml"])?.is(2, words).with_context(|| format!("{program} {command}: {text}"))?;
        }
    }
    Ok(())
}

#[test]
fn a_configuration_that_is_not_there_or_no_text_is_named() -> Result<()> {
    for program in ["vedette", "vedette-agent"] {
        let Some(bench) = Bench::new(program)? else { return Ok(()) };
        bench.run(&["check", "-c", "nosuch.toml"])?.is(2, &["nosuch.toml", "No such file", "print config"])?;
        bench.run(&["check", "-c", "."])?.is(2, &["is a folder"])?;
        bench.write("binary.toml", b"data = \"x\"\n\xff\xfe\n")?;
        bench.run(&["check", "-c", "binary.toml"])?.is(2, &["binary.toml:2"])?;
    }
    Ok(())
}

#[test]
fn all_that_does_not_go_together_is_told_at_once() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    bench.write(
        "c.toml",
        "rules = []\n[serve]\nlisten = \"0.0.0.0:8080\"\nkey = \"/k.pem\"\n[link]\nlisten = \"0.0.0.0:1\"\nenrol_listen = \"0.0.0.0:1\"\n",
    )?;
    let words = [
        "c.toml:4:1: key 'serve.key'",
        "needs its certificate",
        "c.toml:3:1: key 'serve.listen'",
        "not loopback",
        "127.0.0.1",
        "c.toml:7:1: key 'link.enrol_listen'",
        "c.toml:1:1: key 'rules'",
    ];
    for command in ["check", "serve"] {
        bench.run(&[command, "-c", "c.toml"])?.is(2, &words)?;
    }
    // The same from a flag names the flag.
    bench.run(&["serve", "--listen", "0.0.0.0:0"])?.is(2, &["--listen", "not loopback"])
}

const GOOD: &str = "title: Good
id: 11111111-1111-4111-8111-111111111111
logsource: {product: linux, service: sshd}
detection:
  selection:
    status_id: 2
  condition: selection
level: high
";

#[test]
fn a_rule_with_an_unknown_modifier_is_named_and_the_others_run() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    let bad = GOOD.replace("Good", "Bad").replace("1111-4111", "1111-4112").replace("status_id: 2", "status_detail|contans: x");
    bench.write("rules/bad.yml", bad)?;
    bench.write("rules/good.yml", GOOD)?;
    bench.write("rules/worse.yml", "title: [\n\u{0}")?;
    bench.write("a.log", line(1))?;
    let told = ["rules/bad.yml:6:18:", "'contans'", "did you mean 'contains'?", "rules/worse.yml:"];
    let (mappings, register) = (config("mappings"), config("register.toml"));
    bench.run(&["check", "--rules", "rules", "--mappings", &mappings, "--register", &register])?.is(2, &told)?;
    let said = bench.run(&["replay", "--output", "jsonl", "--rules", "rules", "--mappings", &mappings, "a.log"])?;
    said.is(1, &told)?;
    ensure!(said.out.contains("\"title\":\"Good\""), "the good rule did not run: {}", said.out);
    Ok(())
}

#[test]
fn rules_mappings_and_register_that_are_not_there_are_named_as_what_they_are() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    let (rules, mappings, register) = (config("rules"), config("mappings"), config("register.toml"));
    let check = |r: &str, m: &str, g: &str| bench.run(&["check", "--rules", r, "--mappings", m, "--register", g]);
    check("nosuch", &mappings, &register)?.is(2, &["nosuch: there is no such file or folder of rules", "--rules"])?;
    check(&rules, "nosuch", &register)?.is(2, &["nosuch: there is no such file or folder of mappings", "--mappings"])?;
    check(&rules, &mappings, "nosuch")?.is(2, &["nosuch: there is no such register"])?;
    bench.write("m/bad.yml", "foo: [bar\n")?;
    check(&rules, &text(&bench.path("m")), &register)?.is(2, &["bad.yml:1"])
}

#[test]
fn a_register_with_a_mistake_is_named_with_its_line() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    let unit = |id: &str| format!("[[unit]]\nid = \"{id}\"\nname = \"n\"\nsector = \"finance\"\n");
    let cases: [(String, &[&str]); 3] = [
        (unit("bank") + &unit("bank"), &["r.toml:6", "'bank'", "twice"]),
        (unit("bank") + "netwoks = [\"10.0.0.0/8\"]\n", &["r.toml:5", "netwoks"]),
        (unit("bank") + "networks = [\"10.0.0.0/33\"]\n", &["r.toml:5", "10.0.0.0/33"]),
    ];
    for (register, words) in cases {
        bench.write("r.toml", &register)?;
        let arguments = ["check", "--rules", &config("rules"), "--mappings", &config("mappings"), "--register", "r.toml"];
        bench.run(&arguments)?.is(2, words).context(register)?;
    }
    Ok(())
}
