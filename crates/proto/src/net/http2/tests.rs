//! Connections made of frames, however they are cut.

use super::super::testing::{Seen, hex, piece, talk};
use super::*;
use Side::{Originator as C, Responder as S};

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
}

/// GET http://www.example.com/?q (RFC 7541, C.4.1, with a path of its own), and then the same out of the table.
const GET: &str = "828604032f3f71418cf1e3c2e5f23a6ba0ab90f4ff";
const AGAIN: &str = "828684be";

fn begin() -> (Vec<u8>, Vec<u8>) {
    ([PREFACE, &frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])].concat(), frame(SETTINGS, 0, 0, &[]))
}

#[test]
fn requests_are_joined_with_their_answers_however_they_are_cut() {
    let (mut client, mut server) = begin();
    client.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &hex(GET)));
    client.extend(frame(HEADERS, PADDED | PRIORITY, 3, &[&[2, 0, 0, 0, 0, 9][..], &hex(AGAIN)[..2], &[0, 0]].concat()));
    client.extend(frame(CONTINUATION, END_HEADERS, 3, &hex(AGAIN)[2..]));
    client.extend(frame(DATA, END_STREAM, 3, &[7; 300]));
    server.extend(frame(HEADERS, END_HEADERS, 3, &hex("8d")));
    server.extend(frame(DATA, 0, 3, b"nothing here"));
    server.extend(frame(HEADERS, END_HEADERS, 1, &hex("880f0d0133")));
    for step in [1, 2, 7, 64, 10_000] {
        let said = talk(Carrier::Tcp, step, &[(C, &client), (S, &server)]);
        let common = "http_request.version=2 http_request.url.hostname=www.example.com";
        assert_eq!(
            said,
            [
                format!(
                    "http/3 http_request.http_method=GET http_request.url.url_string=/ http_request.url.path=/ {common} http_response.code=404 status_id=2 duration=0"
                ),
                format!(
                    "http/3 http_request.http_method=GET http_request.url.url_string=/?q http_request.url.path=/ http_request.url.query_string=q {common} http_response.code=200 status_id=1 http_response.length=3 duration=0"
                ),
            ],
            "{step}"
        );
    }
}

#[test]
fn an_upgraded_connection_goes_on_as_what_it_became() {
    let (client, server) = begin();
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let answer = [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", &server[..]].concat();
    let more = [client, frame(HEADERS, END_HEADERS | END_STREAM, 3, &hex(GET))].concat();
    for step in [1, 10, 1000] {
        let said = talk(Carrier::Tcp, step, &[(C, ask), (S, &answer), (C, &more)]);
        assert!(said.len() == 2 && said[0].contains("code=101") && said[1].contains("url_string=/?q"), "{said:?}");
    }
}

#[test]
fn dns_within_is_told_as_dns() {
    let question = hex("000001000001000000000000 0377777707 6578616d706c65 03636f6d00 00010001");
    let (mut client, mut server) = begin();
    let head = [&hex("8386040a")[..], b"/dns-query", &hex("5f17"), DNS_TYPE].concat();
    client.extend(frame(HEADERS, END_HEADERS, 1, &head));
    client.extend(frame(DATA, END_STREAM, 1, &question));
    let mut answer = question.clone();
    answer[2] = 0x81;
    server.extend(frame(HEADERS, END_HEADERS, 1, &[&hex("885f17")[..], DNS_TYPE].concat()));
    server.extend(frame(DATA, END_STREAM, 1, &answer));
    let get = b"/q?a=b&dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";
    client.extend(frame(HEADERS, END_HEADERS | END_STREAM, 3, &[&hex("8286 04")[..], &[get.len() as u8], get].concat()));
    let said = talk(Carrier::Tcp, 50, &[(C, &client), (S, &server)]);
    let starts: Vec<&str> = said.iter().map(|l| l.split(' ').next().unwrap()).collect();
    assert_eq!(starts, ["dns/1", "dns/1", "http/6", "dns/2", "http/3"], "{said:?}");
    assert!(said[0].contains("query.hostname=www.example.com") && said[1].contains("query.hostname=www.example.com"));
}

#[test]
fn what_has_no_answer_is_told_after_two_seconds_or_when_it_is_reset() {
    let (mut http, mut seen) = (Http2::default(), Seen::default());
    let bytes = [begin().0, frame(HEADERS, END_HEADERS, 1, &hex(GET)), frame(HEADERS, END_HEADERS, 3, &hex(AGAIN))].concat();
    assert_eq!(http.feed(piece(C, &bytes, 0), &mut seen), Want::Wake);
    http.feed(piece(S, &frame(RST_STREAM, 0, 3, &[0, 0, 0, 8]), 100), &mut seen);
    assert!(seen.0.len() == 1 && seen.0[0].ends_with("status_id=2 status_detail=stream reset, code 8"), "{:?}", seen.0);
    assert_eq!(http.wake(Timestamp::from_ms(2000), &mut seen), Want::More);
    assert_eq!(seen.0.len(), 2);
}

#[test]
fn everything_is_bounded() {
    let (mut client, _) = begin();
    client.extend((0..100).flat_map(|n| frame(HEADERS, END_HEADERS, n * 2 + 1, &hex("828684"))));
    let said = talk(Carrier::Tcp, 1460, &[(C, &client)]);
    assert_eq!(said.iter().filter(|l| l.starts_with("http/3")).count(), 100);
    assert_eq!(said.iter().filter(|l| l.contains("http2_too_many_streams")).count(), 36);
    let endless = [begin().0, frame(HEADERS, 0, 1, &[0x82]), frame(CONTINUATION, 0, 1, &[0x82; 30_000]).repeat(3)].concat();
    assert!(talk(Carrier::Tcp, 1460, &[(C, &endless)])[0].starts_with("anomaly http2_malformed"));
    let broken = [begin().0, frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0xff, 0xff, 0xff])].concat();
    assert!(talk(Carrier::Tcp, 1460, &[(C, &broken)])[0].starts_with("anomaly http2_malformed"));
}

#[test]
fn cousins_are_left_alone() {
    assert_eq!(probe(Carrier::Tcp, C, b"POST / HTTP/1.1"), Probe::No);
    assert_eq!(probe(Carrier::Tcp, C, b"PRI * HT"), Probe::Maybe);
    assert_eq!(probe(Carrier::Tcp, S, &[0, 0, 7, 4, 0, 0, 0, 0, 0]), Probe::No);
    assert_eq!(probe(Carrier::Tcp, S, &[0, 0, 6, 4, 0, 0, 0, 0, 1]), Probe::No);
}
