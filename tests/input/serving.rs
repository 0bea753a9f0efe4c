//! What keeps the collector from serving, and requests its API does not take.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::Value;

use super::*;

impl Bench {
    /// `vedette serve` on free ports, but for what the arguments say.
    fn serve(&self, arguments: &[&str]) -> Result<Said> {
        let (rules, mappings, register) = (config("rules"), config("mappings"), config("register.toml"));
        let mut all = vec!["serve", "--rules", &rules, "--mappings", &mappings, "--register", &register];
        for (flag, value) in
            [("--data", "data"), ("--listen", "127.0.0.1:0"), ("--link-listen", "127.0.0.1:0"), ("--enrol-listen", "127.0.0.1:0")]
        {
            if !arguments.contains(&flag) {
                all.extend([flag, value]);
            }
        }
        all.extend(arguments);
        self.run(&all)
    }
}

#[test]
fn what_keeps_it_from_serving_is_named_with_the_way_out() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    bench.write("file", "")?;
    bench.serve(&["--data", "file"])?.is(3, &["cannot create file", "--data"])?;
    bench.serve(&["--data", "/proc/vedette"])?.is(3, &["cannot create /proc/vedette", "--data"])?;
    let held = TcpListener::bind("127.0.0.1:0")?;
    let taken = held.local_addr()?.to_string();
    for (flag, key) in [("--listen", "[serve] listen"), ("--link-listen", "[link] listen"), ("--enrol-listen", "[link] enrol_listen")] {
        bench.serve(&[flag, &taken])?.is(3, &[&taken, key, "port taken"])?;
    }
    Ok(())
}

#[test]
fn a_console_certificate_that_is_cut_or_of_another_key_is_named() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    let pair = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]);
    let (one, two) = (pair()?, pair()?);
    let (certificate, key) = (one.cert.pem(), one.signing_key.serialize_pem());
    bench.write("cert.pem", &certificate)?;
    bench.write("key.pem", &key)?;
    bench.write("other.pem", two.signing_key.serialize_pem())?;
    bench.write("half.pem", &certificate[..certificate.len() / 2])?;
    bench.write("half-key.pem", &key[..key.len() / 2])?;
    let cases: [(&str, &str, &[&str]); 5] = [
        ("half.pem", "key.pem", &["half.pem is not a PEM certificate", "CERTIFICATE"]),
        ("cert.pem", "half-key.pem", &["half-key.pem", "PRIVATE KEY"]),
        ("cert.pem", "other.pem", &["cert.pem", "other.pem", "do not belong together"]),
        ("key.pem", "cert.pem", &["key.pem holds no certificate"]),
        ("nosuch.pem", "key.pem", &["cannot read", "nosuch.pem"]),
    ];
    for (certificate, key, words) in cases {
        let place = |name: &str| text(&bench.path(name));
        bench.write("c.toml", format!("[serve]\ncertificate = \"{}\"\nkey = \"{}\"\n", place(certificate), place(key)))?;
        let said = bench.serve(&["-c", "c.toml", "--bootstrap", "this-host"])?;
        said.is(3, words).with_context(|| format!("{certificate} {key}"))?;
        ensure!(said.out.is_empty() && !said.err.contains("ready"), "it promised before it looked: {said:?}");
        let arguments = [
            "check",
            "-c",
            "c.toml",
            "--rules",
            &config("rules"),
            "--mappings",
            &config("mappings"),
            "--register",
            &config("register.toml"),
        ];
        bench.run(&arguments)?.is(2, words)?;
    }
    bench.write("c.toml", "[serve]\ncertificate = \"/cert.pem\"\n")?;
    bench.serve(&["-c", "c.toml"])?.is(2, &["c.toml:2:1: key 'serve.certificate'", "needs its key"])
}

/// A request as it is written, and the answer: status and body.
fn ask(server: SocketAddr, head: &str, token: &str, body: &[u8]) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(server)?;
    let length = body.len();
    let head = format!(
        "{head} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    // A server that has said no need not read the rest.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).with_context(|| format!("no answer: '{answer}'"))?;
    Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}

#[test]
fn a_request_the_api_does_not_take_gets_a_problem_that_says_why() -> Result<()> {
    let Some(bench) = Bench::new("vedette")? else { return Ok(()) };
    let register = bench.write("register.toml", "[[unit]]\nid = \"bank\"\nname = \"银行\"\nsector = \"finance\"\n")?;
    let Some(collector) = programs::collector(&bench.path("data"), "127.0.0.1", &register)? else { return Ok(()) };
    let (server, token) = (collector.admin.server, collector.admin.token.as_str());
    let unit = "POST /api/v1/enrolment-tokens";
    let large = [b"{\"unit_id\":\"".as_slice(), &vec![b'x'; 200_000], b"\"}"].concat();
    /// Method and path, body, the status and code wanted, words of the answer.
    type Case<'a> = (&'a str, &'a [u8], u16, &'a str, &'a [&'a str]);
    let cases: [Case; 12] = [
        (unit, b"{\"unit_id\": ", 400, "bad_request", &["column"]),
        (unit, b"\xff\xfe", 400, "bad_request", &[]),
        (unit, b"{\"unit_id\": 7}", 400, "bad_request", &["unit_id", "column 13"]),
        (unit, b"{\"unit_idd\": \"bank\"}", 400, "bad_request", &["unit_idd", "`unit_id`"]),
        (unit, b"{\"unit_id\": \"nosuch\"}", 422, "unprocessable", &["no unit 'nosuch'; register it first"]),
        (unit, &large, 413, "too_large", &[]),
        ("GET /api/v1/nosuch", b"", 404, "not_found", &[]),
        ("DELETE /api/v1/alerts", b"", 405, "wrong_method", &[]),
        ("GET /api/v1/events?cursor=garbage", b"", 400, "bad_cursor", &[]),
        ("GET /api/v1/events?limit=0", b"", 400, "bad_request", &["limit", "1000"]),
        ("GET /api/v1/events?form=x", b"", 400, "bad_request", &["form"]),
        ("GET /api/v1/events?q=src_ip%3A%3D%3D(", b"", 400, "bad_query", &["column"]),
    ];
    let mut wrong = Vec::new();
    for (head, body, status, code, words) in cases {
        let (got, text) = ask(server, head, token, body)?;
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        let said = words.iter().all(|w| text.contains(w)) && !problem["title"].is_null() && !problem["title_zh"].is_null();
        if got != status || problem["code"] != code || !said {
            wrong.push(format!(
                "{head} {}: wanted {status} {code} {words:?}, got {got} {text}",
                String::from_utf8_lossy(&body[..body.len().min(60)])
            ));
        }
    }
    let (status, _) = ask(server, "GET /api/v1/alerts", "wrong", b"")?;
    if status != 401 {
        wrong.push(format!("a wrong token got {status}"));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // And it serves on.
    let (status, text) = ask(server, unit, token, b"{\"unit_id\": \"bank\"}")?;
    ensure!((200..300).contains(&status), "{status} {text}");
    Ok(())
}
