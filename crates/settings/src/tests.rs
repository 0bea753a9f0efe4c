//! Error texts are asserted whole: they are what an operator has at 3 a.m.

use super::*;
use serde::Deserialize;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Config {
    name: String,
    #[serde(default)]
    spool: SpoolConfig,
    #[serde(default)]
    list: Vec<Item>,
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Deserialize, PartialEq, Default)]
#[serde(deny_unknown_fields, default)]
struct SpoolConfig {
    dir: String,
    bytes_max: Bytes,
    port: u16,
    wait: Duration,
    token: Secret,
    on: bool,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Item {
    path: String,
}

#[derive(Debug, Deserialize, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Text,
    Json,
}

fn says(text: &str) -> String {
    load_text::<Config>("agent.toml", text).unwrap_err().to_string()
}

#[test]
fn a_whole_file_loads() {
    let config: Config =
        load_text("a", "name = 'x'\nformat = 'json'\n[spool]\nbytes_max = '64 MiB'\nwait = '1h 30m'\n[[list]]\npath='/a'\n").unwrap();
    assert_eq!(config.spool.bytes_max, Bytes::mib(64));
    assert_eq!(config.spool.wait.0.as_secs(), 5400);
    assert_eq!((config.format, config.list.len()), (Format::Json, 1));
}

#[test]
fn all_problems_are_told_at_once_with_their_places() {
    let text = "nmae = 'x'\nname = 'y'\nformat = 'jsno'\n\n[spool]\ndri = '/var'\nbytes_max = '64 QiB'\nport = 70000\nwait = 5\non = 'yes'\n\n[[list]]\npath = '/a'\n[[list]]\npaht = '/b'\n";
    assert_eq!(
        says(text),
        "\
agent.toml:1:1: key 'nmae': no such key; did you mean 'name'?
agent.toml:3:10: key 'format': value \"jsno\" is not known; did you mean 'json'?
agent.toml:6:1: key 'spool.dri': no such key; did you mean 'dir'?
agent.toml:7:13: key 'spool.bytes_max': value '64 QiB': not a size; write for example \"64 MiB\", \"500 kB\" or a number of bytes
agent.toml:8:8: key 'spool.port': value 70000 does not fit: expected a whole number from 0 to 65535
agent.toml:9:8: key 'spool.wait': value 5 does not fit: expected a length of time such as \"5 s\"
agent.toml:10:6: key 'spool.on': value 'yes' does not fit: expected true or false
agent.toml:14:1: key 'list[1]': 'path' is missing and has no default; add it
agent.toml:15:1: key 'list[1].paht': no such key; did you mean 'path'?"
    );
}

#[test]
fn what_is_missing_and_what_is_no_toml() {
    assert_eq!(says("[spool]\nport = 1\n"), "agent.toml: 'name' is missing and has no default; add it");
    assert_eq!(says("name = 'a'\nformat = \n").lines().count(), 1);
    assert!(says("name = 'a'\nformat = \n").starts_with("agent.toml:2:"), "{}", says("name = 'a'\nformat = \n"));
    assert_eq!(says("name = 'a'\nzzz = 1\n"), "agent.toml:2:1: key 'zzz': no such key; keys here: name, spool, list, format");
}

#[test]
fn a_secret_is_never_shown() {
    let config: Config = load_text("a", "name = 'x'\nspool.token = 'hunter2'\n").unwrap();
    assert_eq!(format!("{} {:?} {:?}", config.spool.token, config.spool.token, config).matches("hunter2").count(), 0);
    assert_eq!(config.spool.token.expose(), "hunter2");
    assert_eq!(says("name = 'x'\nspool.token = 748291\n"), "agent.toml:2:15: key 'spool.token': value: a secret is text in quotes");
    assert_eq!(
        says("name = 'x'\nspool.token = ['hunter2']\n"),
        "agent.toml:2:15: key 'spool.token': value does not fit: expected a secret as text in quotes"
    );
}

#[test]
fn environment_beats_file_and_flag_beats_environment() {
    let variables = [("P__SPOOL__DIR", "/env"), ("P__SPOOL__PORT", "9"), ("P__NAME", "12"), ("Q__NAME", "no"), ("PATH", "/bin")];
    let loaded = Layers::new()
        .text("f", "name = 'file'\n[spool]\ndir = '/file'\nport = 8\n")
        .environment("P", variables.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())))
        .flag("--spool-dir", "spool.dir", Some("/flag"))
        .flag("--port", "spool.port", None::<String>)
        .load::<Config>()
        .unwrap();
    let config = &loaded.value;
    assert_eq!((config.spool.dir.as_str(), config.spool.port, config.name.as_str()), ("/flag", 9, "12"));
    assert_eq!(loaded.document.place("spool.dir").to_string(), "flag --spool-dir");
    assert_eq!(loaded.document.place("spool.port").to_string(), "environment variable P__SPOOL__PORT");
    assert_eq!(loaded.document.place("spool.wait").to_string(), "f:2:2");
}

#[test]
fn a_bad_variable_is_named() {
    let variables = [("P__SPOOL__PROT", "9"), ("P__SPOOL__PORT", "many"), ("P__NAME__X", "1")];
    let errors = Layers::new()
        .text("f", "name = 'file'\n")
        .environment("P", variables.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())))
        .load::<Config>()
        .unwrap_err()
        .to_string();
    for line in [
        "environment variable P__SPOOL__PROT: key 'spool.prot': no such key; did you mean 'port'?",
        "environment variable P__SPOOL__PORT: key 'spool.port': value many does not fit: expected a whole number from 0 to 65535",
        "environment variable P__NAME__X: key 'name.x': stands below a key that is not a table",
    ] {
        assert!(errors.lines().any(|l| l == line), "{line}\nnot in\n{errors}");
    }
}

#[test]
fn files_that_cannot_be_read_say_so() {
    let missing = load::<Config>(Path::new("/nonexistent/agent.toml")).unwrap_err().to_string();
    assert!(missing.starts_with("/nonexistent/agent.toml: cannot be read: "), "{missing}");
    assert_eq!(load::<Config>(Path::new("/")).unwrap_err().to_string(), "/: is a folder; name the file itself");
}

#[test]
fn a_section_tells_its_keys() {
    let table: toml::Table = "dri = 'a'\nport = 'x'".parse().unwrap();
    let told = section::<SpoolConfig>(&table).unwrap_err();
    assert_eq!(
        told,
        "key 'dri': no such key; did you mean 'dir'?\nkey 'port': value \"x\" does not fit: expected a whole number from 0 to 65535"
    );
}

#[test]
fn units_there_and_back_and_nonsense_refused() {
    for (text, bytes) in [("0", 0), ("1500", 1500), ("1.5 KiB", 1536), ("64MiB", 64 << 20), ("2 GB", 2_000_000_000), ("0.5tib", 1 << 39)] {
        assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
    }
    for text in ["", "MiB", "-1", "1..5 MiB", "1 XB", "99999999999 TiB", "1 MiB MiB", "."] {
        assert!(text.parse::<Bytes>().is_err(), "{text}");
    }
    for (text, ms) in [("250 ms", 250), ("5s", 5_000), ("1h 30m", 5_400_000), ("1.5 s", 1_500), ("2 d", 172_800_000)] {
        assert_eq!(text.parse(), Ok(Duration::millis(ms)), "{text}");
    }
    for text in ["", "5", "s", "5 parsecs", "1h 30", "99999999999 w", "-5 s"] {
        assert!(text.parse::<Duration>().is_err(), "{text}");
    }
    assert_eq!((Bytes::mib(64).to_string(), Duration::secs(90).to_string()), ("64 MiB".into(), "90 s".into()));
}
