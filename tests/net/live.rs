//! The sensor on a real interface: connections over loopback in a network namespace of their own.
//!
//! The namespace belongs to a second run of this very binary (`unshare --net`), which runs `inside` alone. Without the
//! right to make one the test says SKIPPED.
#![expect(clippy::disallowed_methods, reason = "the test starts itself again in a namespace, and reads the clock as the agent's rim does")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use agent::sensor::{HostFacts, Output, SensorKind, net::NET};
use event::{Class, Event, field};

const INSIDE: &str = "VEDETTE_NET_INSIDE";

#[derive(Default)]
struct Seen {
    events: Vec<(Class, Event)>,
    lost: u64,
}

impl Output for Seen {
    fn event(&mut self, class: Class, event: Event) {
        self.events.push((class, event));
    }
    fn checkpoint(&mut self, _: &str, _: &[u8]) {}
    fn lost(&mut self, _: Class, count: u64, _: &'static str) {
        self.lost += count;
    }
}

/// Runs a test of this file in a network namespace of its own.
fn in_namespace(test: &str) {
    let me = std::env::current_exe().expect("this binary has a path");
    let name = format!("net::live::{test}");
    let out = Command::new("unshare").arg("--net").arg(me).args([name.as_str(), "--exact", "--nocapture"]).env(INSIDE, test).output();
    match out {
        Ok(out) if String::from_utf8_lossy(&out.stdout).contains("INSIDE DONE") => assert!(out.status.success()),
        Ok(out) if String::from_utf8_lossy(&out.stderr).contains("unshare:") => tests::skip("may not make a network namespace"),
        Ok(out) => panic!("{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)),
        Err(e) => tests::skip(&format!("no unshare(1): {e}")),
    }
}

fn is_inside(test: &str) -> bool {
    std::env::var_os(INSIDE).is_some_and(|t| t == test)
}

#[test]
fn real_connections_become_events() {
    in_namespace("inside");
}

#[test]
fn interfaces_come_and_go() {
    in_namespace("inside_interfaces");
}

fn ip(line: &str) {
    assert!(Command::new("ip").args(line.split(' ')).status().is_ok_and(|s| s.success()), "ip {line}");
}

/// Does nothing unless started by the test above.
#[test]
fn inside_interfaces() {
    if !is_inside("inside_interfaces") {
        return;
    }
    let section: toml::Table = "interfaces = \"auto\"".parse().expect("toml");
    let began = agent::clock::now();
    let host = HostFacts { hostname: "watched".to_owned(), checkpoints: Vec::new(), own_paths: Vec::new(), own_uplink: None, now: began };
    let mut sensor = NET.open(&section, &host).expect("the sensor opens without an interface");
    let mut seen = Seen::default();
    let states = |sensor: &dyn agent::sensor::Sensor| {
        let mut coverage = Vec::new();
        sensor.coverage(&mut coverage);
        coverage.sort_by(|a, b| a.subject.cmp(&b.subject));
        coverage.iter().map(|c| format!("{} {}", c.subject, c.state.name())).collect::<Vec<_>>()
    };
    assert_eq!(states(&*sensor), ["interfaces off"]);
    // Time is an argument: the next look for interfaces is a poll six seconds later, not a wait.
    let mut looks = 0;
    let mut later = |sensor: &mut dyn agent::sensor::Sensor, seen: &mut Seen| {
        looks += 1;
        sensor.poll(began.plus_secs(6 * looks), Duration::ZERO, seen).expect("it polls");
    };
    ip("link add va type veth peer name vb");
    ip("link set va up");
    ip("link set vb up");
    ip("addr add 10.9.0.1/24 dev va");
    later(&mut *sensor, &mut seen);
    assert_eq!(states(&*sensor), ["va seeing", "vb seeing"]);
    // A question to a neighbour who is not there crosses both ends of the pair.
    let socket = std::net::UdpSocket::bind("10.9.0.1:0").expect("a socket");
    socket.send_to(b"x", "10.9.0.2:9").expect("it sends");
    let deadline = agent::clock::now().plus_secs(10);
    while !seen.events.iter().any(|(_, e)| e.source.service.as_deref() == Some("arp")) {
        assert!(agent::clock::now() < deadline, "{:?}", seen.events);
        sensor.poll(began.plus_secs(7), Duration::from_millis(50), &mut seen).expect("it polls");
    }
    ip("link set vb down");
    later(&mut *sensor, &mut seen);
    assert_eq!(states(&*sensor).iter().filter(|s| s.ends_with("seeing")).count(), 1, "{:?}", states(&*sensor));
    ip("link set vb up");
    later(&mut *sensor, &mut seen);
    later(&mut *sensor, &mut seen);
    assert_eq!(states(&*sensor), ["va seeing", "vb seeing"]);
    ip("link del va");
    later(&mut *sensor, &mut seen);
    later(&mut *sensor, &mut seen);
    assert_eq!(states(&*sensor), ["interfaces off"]);
    sensor.close(began.plus_secs(100), &mut seen);
    assert_eq!(seen.lost, 0);
    println!("INSIDE DONE");
}

/// Does nothing unless started by the test above.
#[test]
fn inside() {
    if !is_inside("inside") {
        return;
    }
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().is_ok_and(|s| s.success()));
    let section: toml::Table = "interfaces = [\"lo\"]".parse().expect("toml");
    let host = HostFacts {
        hostname: "watched".to_owned(),
        checkpoints: Vec::new(),
        own_paths: Vec::new(),
        own_uplink: Some("127.0.0.1:7443".parse().expect("an address")),
        now: agent::clock::now(),
    };
    let mut sensor = NET.open(&section, &host).expect("the sensor opens");
    let mut coverage = Vec::new();
    sensor.coverage(&mut coverage);
    assert_eq!(coverage.iter().map(|c| (c.subject.as_str(), c.state.name())).collect::<Vec<_>>(), [("lo", "seeing")]);

    // A served connection, a refused one, and one to the agent's own uplink.
    let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let open = server.local_addr().expect("an address").port();
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("a client");
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).expect("a request");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").expect("an answer");
        n
    });
    let mut client = TcpStream::connect(("127.0.0.1", open)).expect("it connects");
    client.write_all(b"GET /live HTTP/1.1\r\nHost: watched\r\n\r\n").expect("it sends");
    let mut said = Vec::new();
    client.read_to_end(&mut said).expect("it is answered");
    drop(client);
    assert!(answer.join().expect("the server ends") > 0);
    assert!(TcpStream::connect("127.0.0.1:9").is_err());
    let uplink = TcpListener::bind("127.0.0.1:7443").expect("the uplink's port");
    drop(TcpStream::connect("127.0.0.1:7443").expect("it connects"));
    drop(uplink);

    let mut seen = Seen::default();
    let is = |activity: u8, service: &'static str| {
        move |(_, e): &&(Class, Event)| e.activity == activity && e.source.service.as_deref() == Some(service)
    };
    let deadline = agent::clock::now().plus_secs(10);
    while seen.events.iter().filter(is(5, "flow")).count() == 0 || seen.events.iter().filter(is(3, "http")).count() == 0 {
        assert!(agent::clock::now() < deadline, "{:?}", seen.events);
        sensor.poll(agent::clock::now(), Duration::from_millis(100), &mut seen).expect("it polls");
    }
    sensor.close(agent::clock::now(), &mut seen);
    let opened: Vec<_> = seen.events.iter().filter(is(1, "flow")).map(|(_, e)| e.text(field::DST_PORT).into_owned()).collect();
    assert_eq!(opened, [open.to_string()], "the own uplink is not watched");
    let refused: Vec<_> = seen.events.iter().filter(is(5, "flow")).map(|(_, e)| e.text(field::DST_PORT).into_owned()).collect();
    assert_eq!(refused, ["9"]);
    let http = &seen.events.iter().find(is(3, "http")).expect("a request").1;
    assert_eq!((http.text(field::HTTP_PATH), http.text(field::HTTP_STATUS)), ("/live".into(), "200".into()));
    assert_eq!(http.text(field::DEVICE_INTERFACE), "lo");
    assert_eq!(http.text(field::DEVICE_HOSTNAME), "watched");
    assert_eq!(http.text(field::DIRECTION_ID), "3");
    assert_eq!(seen.lost, 0);
    println!("INSIDE DONE");
}
