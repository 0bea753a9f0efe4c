//! Every command of `vedette` against a real collector over TLS: what it prints, in which language and format, and with which exit code;
//! then what goes wrong on the way there: the wrong scheme, authority, name, token, role, a server that is gone, one that talks nonsense.

mod baseline;
mod hindsight;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use collector::serve::sample;
use collector::store::desk::Step;
use collector::store::{DeskStore, DiskConfig, DiskStore, EventStore, Offset, SqliteDesk};
use event::{Class, EventId, Timestamp};
use tests::programs::{self, Running};

/// Alerts that are there when the collector starts.
const ALERTS: usize = 40;

/// A collector with TLS by an authority of its own, some alerts and events, and a token for everything.
struct House {
    _dir: tempfile::TempDir,
    _child: Running,
    program: PathBuf,
    address: SocketAddr,
    ca: PathBuf,
    token: String,
    ready: serde_json::Value,
    /// An alert with evidence.
    alert: String,
}

/// What a command said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    /// This exit code, and each of the words somewhere.
    #[track_caller]
    fn is(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{self:#?}");
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "no '{word}' in {self:#?}");
        }
        self
    }
    fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.out).with_context(|| format!("{self:#?}"))
    }
}

/// An authority's PEM, and a certificate by it for these names with its key.
fn certificates(names: &[&str]) -> Result<(String, String, String)> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "the city's authority");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key)?;
    let issuer = rcgen::Issuer::from_params(&params, &key);
    let server_key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let server = rcgen::CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())?;
    Ok((authority.pem(), server.signed_by(&server_key, &issuer)?.pem(), server_key.serialize_pem()))
}

/// Alerts and events as an earlier run left them.
fn earlier_run(data: &Path) -> Result<String> {
    std::fs::create_dir_all(data)?;
    #[expect(clippy::disallowed_methods, reason = "the collector under test has the real clock")]
    let now = Timestamp::from_secs(i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs())?);
    let desk = SqliteDesk::open(&data.join("desk.db"))?;
    let alerts: Vec<_> = (0..ALERTS).map(|n| sample::alert(n, now.plus_secs(-60 - n as i64))).collect();
    let mut evidence: Vec<_> = (0..ALERTS).flat_map(|n| sample::events(n, now.plus_secs(-60 - n as i64))).collect();
    desk.save(&Step { alerts: &alerts, evidence: &evidence, position: Offset(1), snapshot: None })?;
    desk.save(&Step { alerts: &[], evidence: &[], position: Offset(0), snapshot: Some(&baseline::learned(now)) })?;
    for (n, event) in evidence.iter_mut().enumerate() {
        let mut own = (**event).clone();
        own.id = EventId { class: Class::Normal, seq: n as u64 + 1, ..own.id };
        *event = own.into();
    }
    evidence.extend(hindsight::looked_up_three_days_ago(now));
    let store = DiskStore::open(DiskConfig { thread: false, ..DiskConfig::new(data.join("events")) })?;
    store.append(Offset(1), &evidence)?;
    store.seal()?;
    let first = alerts.iter().find(|a| !a.evidence.is_empty()).context("an alert with evidence")?;
    Ok(first.id.0.clone())
}

impl House {
    #[expect(clippy::disallowed_methods, reason = "a case starts the programs it tests")]
    fn new() -> Result<Option<Self>> {
        let Some(program) = programs::program("vedette") else { return Ok(None) };
        let dir = tempfile::tempdir()?;
        let path = |name: &str| dir.path().join(name);
        let (ca, certificate, key) = certificates(&["127.0.0.1", "localhost"])?;
        std::fs::write(path("ca.pem"), ca)?;
        std::fs::write(path("cert.pem"), certificate)?;
        std::fs::write(path("key.pem"), key)?;
        let alert = earlier_run(&path("data"))?;
        std::fs::write(
            path("collector.toml"),
            format!(
                "data = \"{0}/data\"\nregister = \"{1}/config/register.toml\"\nrules = [\"{1}/config/rules\"]\nmappings = \"{1}/config/mappings\"\n\
                 [link]\nlisten = \"127.0.0.1:0\"\nenrol_listen = \"127.0.0.1:0\"\nadvertise = \"127.0.0.1\"\n\
                 [serve]\nlisten = \"127.0.0.1:0\"\ncertificate = \"{0}/cert.pem\"\nkey = \"{0}/key.pem\"\n",
                dir.path().display(),
                programs::root().display(),
            ),
        )?;
        let log = std::fs::File::create(path("log"))?;
        let mut child = Command::new(&program)
            .args(["serve", "--bootstrap", "this-host", "-c"])
            .arg(path("collector.toml"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let mut out = std::io::BufReader::new(child.stdout.take().context("an output")?);
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line)?;
        let child = Running(child);
        let log = || std::fs::read_to_string(path("log")).unwrap_or_default();
        let ready: serde_json::Value = serde_json::from_str(&line).with_context(|| format!("{line}\n{}", log()))?;
        let address = ready["console"].as_str().and_then(|c| c.strip_prefix("https://")).context("https")?.parse()?;
        let token = ready["token"].as_str().context("a token")?.to_owned();
        Ok(Some(Self { ca: path("ca.pem"), _child: child, program, address, token, ready, alert, _dir: dir }))
    }

    fn server(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Runs a command with the right server, authority and token.
    fn run(&self, args: &[&str]) -> Result<Said> {
        let ca = self.ca.display().to_string();
        let mut all = vec!["--server", "", "--ca", &ca];
        let server = self.server();
        all[1] = &server;
        all.extend(args);
        self.raw(&self.token, &all)
    }

    #[expect(clippy::disallowed_methods, reason = "a case starts the programs it tests")]
    fn raw(&self, token: &str, args: &[&str]) -> Result<Said> {
        let out = Command::new(&self.program)
            .args(args)
            .env_clear()
            .env("VEDETTE_TOKEN", token)
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null())
            .output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Said { code: out.status.code().unwrap_or(-1), out: text(out.stdout), err: text(out.stderr) })
    }
}

#[test]
fn every_command_does_over_tls_what_it_says() -> Result<()> {
    let Some(house) = House::new()? else { return Ok(()) };
    let id = house.alert.as_str();

    // Alerts: tables in both languages, filters, machine formats.
    house.run(&["alerts"])?.is(0, &["SEVERITY", id, "new"]);
    house.run(&["alerts", "--lang", "zh"])?.is(0, &["级别", "待处理"]);
    let all = house.run(&["alerts", "-n", "25", "-o", "json"])?.json()?;
    assert_eq!(all.as_array().map(Vec::len), Some(25));
    let lines = house.run(&["alerts", "-n", "1000", "-o", "jsonl"])?;
    assert_eq!(lines.out.lines().count(), ALERTS);
    house.run(&["alerts", "-o", "csv", "-n", "3"])?.is(0, &["id,", "severity"]);
    let high = house.run(&["alerts", "severity>=critical", "-o", "json"])?.json()?;
    let high = high.as_array().context("a list")?;
    ensure!(!high.is_empty() && high.iter().all(|a| a["severity"] == "critical"), "{high:?}");
    house.run(&["alerts", "nosuchfield:1"])?.is(2, &["nosuchfield"]);
    house.run(&["alerts", "--state", "sleepy"])?.is(2, &["sleepy"]);
    house.run(&["alerts", "no-alert-has-these-words"])?.is(0, &["(none)"]);

    // One alert, why, and what a person does with it.
    house.run(&["alert", id])?.is(0, &["▸"]);
    house.run(&["alert", id, "--lang", "zh"])?.is(0, &["为何告警"]);
    house.run(&["alert", "A-none"])?.is(2, &["no such thing"]);
    house.run(&["alert", "../x"])?.is(2, &["is not an id"]);
    house.run(&["why", id])?.is(0, &["▸", "REJ"]).json().err().context("a table is no JSON")?;
    let why = house.run(&["why", id, "-o", "json"])?.json()?;
    ensure!(why["events"].as_array().is_some_and(|e| !e.is_empty()), "{why}");
    house.run(&["ack", id, "--dry-run"])?.is(0, &[id]);
    house.run(&["ack", id, "--note", "seen at three"])?.is(0, &["true", "acknowledged"]);
    house.run(&["ack", id, "A-none"])?.is(1, &["A-none: no such thing"]);
    house.run(&["close", id, "--reason", "false_positive", "--note", "a test"])?.is(0, &["closed"]);
    house.run(&["close", id])?.is(2, &["--reason"]);
    house.run(&["alerts", "--state", "closed"])?.is(0, &[id]);
    assert_eq!(house.run(&["tail", "-o", "jsonl"])?.is(0, &[]).out.lines().count(), ALERTS - 1);

    // Events, agents, register, rules.
    let events = house.run(&["events", "sshd", "-n", "5", "-o", "json"])?.json()?;
    assert_eq!(events.as_array().map(Vec::len), Some(5));
    house.run(&["events", "-n", "3"])?.is(0, &["TIME (UTC)"]);
    house.run(&["events", "src_ip>"])?.is(2, &[]);
    house.run(&["agents"])?.is(0, &["(none)"]);
    house.run(&["units"])?.is(0, &["this-host", "Power"]);
    house.run(&["units", "--lang", "zh"])?.is(0, &["电力", "市商业银行"]);
    // Names of units follow the language where the register has both; machine formats hold both.
    let english = house.run(&["units", "--lang", "en"])?;
    english.is(0, &["City Commercial Bank"]);
    ensure!(!english.out.contains("市商业银行"), "{english:?}");
    house.run(&["units", "-o", "jsonl"])?.is(0, &["\"name\":\"市商业银行\"", "\"name_en\":\"City Commercial Bank\""]);
    house.run(&["rules"])?.is(0, &["correlation", "T1110"]);
    house.run(&["rules", "--lang", "zh"])?.is(0, &["口令"]);

    // Enrolment and tokens: made, used, revoked.
    let string = house.run(&["enrol-token", "--unit", "metro", "--minutes", "5"])?;
    ensure!(string.code == 0 && string.out.trim().len() > 40, "{string:?}");
    house.run(&["enrol-token", "--unit", "nowhere"])?.is(2, &["nowhere"]);
    house.run(&["units", "-o", "jsonl"])?.is(0, &["\"id\":\"metro\""]);
    let made = house.run(&["token", "create", "night-shift", "--role", "viewer", "--days", "1", "-o", "json"])?.json()?;
    let viewer = made["token"].as_str().context("a token")?;
    let as_viewer = |args: &[&str]| {
        let (server, ca) = (house.server(), house.ca.display().to_string());
        house.raw(viewer, &[&["--server", &server, "--ca", &ca][..], args].concat())
    };
    as_viewer(&["alerts"])?.is(0, &["SEVERITY"]);
    as_viewer(&["ack", id])?.is(4, &["your role does not allow this"]);
    as_viewer(&["people", "--lang", "zh"])?.is(4, &["无权"]);
    house.run(&["token", "list"])?.is(0, &["night-shift", "viewer"]);
    house.run(&["token", "revoke", made["id"].as_str().context("an id")?])?.is(0, &[]);
    as_viewer(&["alerts"])?.is(4, &["no token, or one that has expired or was revoked", "--token-file"]);
    as_viewer(&["alerts", "--lang", "zh"])?.is(4, &["令牌"]);
    house.run(&["token", "create", "x", "--role", "king"])?.is(2, &["king"]);
    house.run(&["people"])?.is(0, &["admin"]);
    house.run(&["people", "add", "wang", "--role", "sector_lead", "--units", "bank-city"])?.is(0, &["wang / "]);
    house.run(&["people", "list"])?.is(0, &["wang", "sector_lead", "bank-city"]);
    house.run(&["people", "add", "li", "--role", "queen"])?.is(2, &["queen"]);

    // Reload, audit, doctor, contracts.
    house.run(&["reload"])?.is(0, &["rules in force"]);
    house.run(&["audit", "list"])?.is(0, &["token.create", "reload"]);
    house.run(&["audit", "verify"])?.is(0, &["the chain holds"]);
    house.run(&["audit", "verify", "-o", "json"])?.is(0, &["\"intact\": true"]);
    house.run(&["doctor", "-o", "json"])?.is(0, &["audit chain"]);
    for (what, word) in [("config", "[serve]"), ("metrics", "vedette_wal_sync_seconds"), ("openapi", "\"openapi\": \"3.1")] {
        house.raw("", &["print", what])?.is(0, &[word]);
    }
    house.raw("", &["completions", "bash"])?.is(0, &["_vedette"]);
    Ok(())
}

#[test]
fn what_stands_in_the_way_is_said_in_one_sentence_with_its_exit_code() -> Result<()> {
    let Some(house) = House::new()? else { return Ok(()) };
    let ca = house.ca.display().to_string();
    let ask = |server: &str, ca: &str| house.raw(&house.token, &["--server", server, "--ca", ca, "alerts"]);
    let one_line = |said: &Said| assert!(said.err.lines().count() == 1 && said.out.is_empty(), "{said:#?}");

    // The wrong scheme, both ways round.
    let said = ask(&format!("http://{}", house.address), &ca)?;
    one_line(said.is(3, &["does not speak plain HTTP", "--server https://"]));
    let (plain, served) = talker(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")?;
    let said = ask(&format!("https://{plain}"), &ca)?;
    one_line(said.is(3, &["does not speak TLS", "--server http://"]));
    let said = house.raw("", &["--server", &format!("https://{plain}"), "--ca", &ca, "--lang", "zh", "units"])?;
    one_line(said.is(3, &["不是 TLS 服务"]));
    drop(served);

    // Another authority; the right one for another name; no authority at all.
    let (other, ..) = certificates(&["localhost"])?;
    let stranger = house.ca.with_file_name("stranger.pem");
    std::fs::write(&stranger, other)?;
    let stranger = stranger.display().to_string();
    one_line(ask(&house.server(), &stranger)?.is(3, &["not signed by an authority in", "stranger.pem", "--ca"]));
    let other_name = format!("https://{}:{}", Ipv4Addr::new(127, 0, 0, 2), house.address.port());
    let said = ask(&other_name, &ca)?;
    one_line(said.is(3, &["127.0.0.2"]));
    one_line(ask(&house.server(), "/nonexistent.pem")?.is(2, &["/nonexistent.pem", "--ca"]));

    // No token, a wrong one, a token file that is not there; nobody there; an address that is none.
    let run = |token: &str, args: &[&str]| {
        let server = house.server();
        house.raw(token, &[&["--server", &server, "--ca", &ca][..], args].concat())
    };
    one_line(run("", &["alerts"])?.is(4, &["no token"]));
    one_line(run("vdt_0123", &["events"])?.is(4, &["has expired or was revoked"]));
    one_line(run("", &["--token-file", "/nonexistent", "alerts"])?.is(2, &["/nonexistent"]));
    one_line(run("a\nb", &["alerts"])?.is(2, &["token"]));
    let nobody = programs::free_ports()?[0];
    one_line(ask(&format!("https://127.0.0.1:{nobody}"), &ca)?.is(3, &["nobody listens there", "--server"]));
    one_line(ask("soc.example", &ca)?.is(2, &["http://host:port"]));
    one_line(ask("http://soc.example", &ca)?.is(2, &["in the clear"]));

    // Servers that are no collector: nonsense, another JSON, an answer that breaks off, a connection that ends.
    let cases: [(&[u8], i32, &str); 5] = [
        (b"SSH-2.0-OpenSSH_9.6\r\n", 3, "does not speak plain HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nhey!", 3, "is this a Vedette collector?"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno", 2, "the address of a Vedette collector?"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 400\r\nconnection: close\r\n\r\n{\"items\": [", 3, "broke off"),
        (b"", 3, "without an answer"),
    ];
    for (answer, code, word) in cases {
        let (address, _served) = talker(answer)?;
        one_line(ask(&format!("http://{address}"), &ca)?.is(code, &[word]));
    }

    // The password is the console's: a wrong one is refused, and one's name is not told from it.
    let login = |name: &str, password: &str| {
        let body = format!("{{\"name\":\"{name}\",\"password\":\"{password}\"}}");
        curl(&house, "/api/v1/login", &body)
    };
    let right = house.ready["password"].as_str().context("a first password")?;
    let wrong = login("admin", "wrong")?;
    ensure!(wrong.starts_with("HTTP/1.1 401") && wrong.contains("name or password is wrong"), "{wrong}");
    ensure!(login("nobody", "wrong")?.contains("name or password is wrong"));
    ensure!(login("admin", right)?.starts_with("HTTP/1.1 200"));
    Ok(())
}

#[test]
fn a_deep_check_names_what_is_wrong_with_this_machine_and_the_way_out() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let Some(house) = House::new()? else { return Ok(()) };
    let config = house.ca.with_file_name("collector.toml").display().to_string();
    let data = house.ca.with_file_name("data");
    let row = |said: &Said, check: &str| -> Result<serde_json::Value> {
        let rows = said.json()?;
        let row = rows.as_array().into_iter().flatten().find(|r| r["check"] == check).cloned();
        row.with_context(|| format!("no '{check}' in {rows}"))
    };
    let look = |more: &[&str]| house.raw("", &[&["check", "--deep", "-c", &config, "-o", "json"][..], more].concat());
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700))?;
    let said = look(&[])?;
    for check in ["rules", "register", "authority", "console certificate", "data folder", "port of the console", "port of enrolment"] {
        ensure!(row(&said, check)?["good"] == true, "{check}: {said:#?}");
    }
    ensure!(row(&said, "clock")?["found"].as_str().is_some_and(|f| f.starts_with("20")), "{said:#?}");

    // A folder others can read; a port somebody else has; rules that are not there: bad, each with its way out, and exit 1.
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755))?;
    let (taken, _held) = talker(b"SSH-2.0-OpenSSH_9.6\r\n")?;
    let taken = taken.to_string();
    let said = look(&["--listen", &taken, "--register", "/nonexistent.toml"])?;
    assert_eq!(said.code, 1, "{said:#?}");
    for (check, word) in [("data folder", "chmod 700"), ("port of the console", "ss -ltnp"), ("register", "config/register.toml")] {
        let row = row(&said, check)?;
        ensure!(row["good"] == false && row["way_out"].as_str().is_some_and(|w| w.contains(word)), "{row}");
    }
    look(&["--lang", "zh", "--listen", &taken])?.is(1, &["占用"]);
    house.raw("", &["check", "--deep", "-c", "/nonexistent.toml"])?.is(2, &["/nonexistent.toml"]);
    Ok(())
}

/// A server that says the same to everybody, for as long as the second value is held (its thread ends with the program).
fn talker(answer: &'static [u8]) -> Result<(SocketAddr, std::thread::JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let thread = std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 1024];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(answer);
        }
    });
    Ok((address, thread))
}

/// One POST over TLS, trusting the house's authority; the whole answer.
fn curl(house: &House, path: &str, body: &str) -> Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(&house.ca)?;
    let der = <rustls::pki_types::CertificateDer as rustls::pki_types::pem::PemObject>::from_pem_slice(&pem)?;
    roots.add(der)?;
    let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tls = rustls::ClientConnection::new(config.into(), "localhost".try_into()?)?;
    let mut tcp = std::net::TcpStream::connect(house.address)?;
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    // Where the peer ends without a word of TLS, what came is what counts.
    let _ = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
