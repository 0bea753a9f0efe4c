//! HTTP/1 conversations, however they are cut.

use super::super::testing::{Seen, piece, talk};
use super::*;
use Side::{Originator as C, Responder as S};

#[test]
fn requests_in_a_row_with_bodies_however_they_are_cut() {
    let client = b"POST /login?a=1 HTTP/1.1\r\nHost: intra.example\r\nUser-Agent: curl/8\r\nContent-Length: 5\r\n\r\nGET /GET /index.html HTTP/1.1\r\nHost: intra.example\r\nReferer: http://x/\r\n\r\nHEAD / HTTP/1.0\r\n\r\n";
    let server = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nHTTP/\r\n0\r\nTrailer: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 404 No\r\nContent-Length: 100\r\n\r\n";
    for step in [1, 2, 3, 7, 64, 10_000] {
        let said = talk(Carrier::Tcp, step, &[(C, client), (S, server)]);
        assert_eq!(
            said,
            [
                "http/6 http_request.http_method=POST http_request.url.url_string=/login?a=1 http_request.url.path=/login http_request.url.query_string=a=1 http_request.version=1.1 http_request.url.hostname=intra.example http_request.user_agent=curl/8 http_request.length=5 http_response.code=302 status_id=1 duration=0",
                "http/3 http_request.http_method=GET http_request.url.url_string=/index.html http_request.url.path=/index.html http_request.version=1.1 http_request.url.hostname=intra.example http_request.referrer=http://x/ http_response.code=200 status_id=1 http_response.length=3 http_response.content_type=text/html duration=0",
                "http/4 http_request.http_method=HEAD http_request.url.url_string=/ http_request.url.path=/ http_request.version=1.0 http_response.code=404 status_id=2 http_response.length=100 duration=0",
            ],
            "{step}"
        );
    }
}

#[test]
fn a_request_that_hangs_is_told_after_two_seconds_and_its_answer_again() {
    let (mut http, mut seen) = (Http::default(), Seen::default());
    let get = b"GET /slow HTTP/1.1\r\n\r\n";
    assert_eq!(http.feed(piece(C, get, 0), &mut seen), Want::Wake);
    assert_eq!(http.wake(Timestamp::from_ms(1000), &mut seen), Want::Wake);
    assert_eq!(http.wake(Timestamp::from_ms(2000), &mut seen), Want::More);
    assert_eq!(seen.0.len(), 1);
    http.feed(piece(S, b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 9000), &mut seen);
    assert!(seen.0[1].contains("/slow") && seen.0[1].contains("code=500"));
}

#[test]
fn after_a_hole_reading_goes_on_at_the_next_message() {
    let (mut http, mut seen) = (Http::default(), Seen::default());
    http.feed(piece(C, b"POST /a HTTP/1.1\r\nContent-Length: 500\r\n\r\nxxxx", 0), &mut seen);
    http.feed(Piece { gap: true, ..piece(C, b"xxxxxx", 0) }, &mut seen);
    http.feed(piece(C, b"GET /b HTTP/1.1\r\n\r\n", 0), &mut seen);
    http.end(Timestamp::ZERO, &mut seen);
    assert_eq!(seen.0.iter().filter(|l| l.contains("url.path=/b")).count(), 1, "{:?}", seen.0);
}

#[test]
fn a_request_line_survives_headers_that_cannot_be_read() {
    let said = talk(Carrier::Tcp, 1000, &[(C, b"GET /x HTTP/1.1\r\nbad header\x01\r\n\r\nGET /y HTTP/1.1\r\n\r\n")]);
    assert!(said.iter().any(|l| l.starts_with("anomaly http_malformed")));
    assert!(said.iter().any(|l| l.contains("url.path=/x")) && said.iter().any(|l| l.contains("url.path=/y")), "{said:?}");
}

#[test]
fn endless_heads_and_pipelines_are_bounded() {
    let mut head = b"GET / HTTP/1.1\r\n".to_vec();
    for n in 0..4000 {
        head.extend(format!("X-{n}: aaaaaaaaaaaaaaa\r\n").bytes());
    }
    let said = talk(Carrier::Tcp, 1460, &[(C, &head)]);
    assert!(said.iter().any(|l| l.starts_with("anomaly http_")), "{said:?}");
    let many = b"GET / HTTP/1.1\r\n\r\n".repeat(100);
    let said = talk(Carrier::Tcp, 1460, &[(C, &many)]);
    assert_eq!(said.iter().filter(|l| l.starts_with("http/3")).count(), 100);
}

#[test]
fn cousins_of_http_are_left_alone() {
    for bytes in [&b"OPTIONS rtsp://cam/1 RTSP/1.0\r\n"[..], b"OPTIONS sip:a@b SIP/2.0\r\n", b"INVITE sip:a@b SIP/2.0\r\n", b"GETX / \r\n"]
    {
        assert_eq!(probe(Carrier::Tcp, C, bytes), Probe::No);
    }
    assert_eq!(probe(Carrier::Tcp, C, b"GE"), Probe::Maybe);
}

#[test]
fn what_a_tunnel_carries_is_read_as_what_it_is() {
    let hello = super::super::tls::tests::client_record();
    for step in [1, 7, 1000] {
        let ask = [b"CONNECT a.example:443 HTTP/1.1\r\n\r\n", &hello[..]].concat();
        let said = talk(Carrier::Tcp, step, &[(C, &ask), (S, b"HTTP/1.1 200 OK\r\n\r\n")]);
        assert!(said.len() == 2 && said[0].starts_with("http/1 ") && said[1].starts_with("tls/6 tls.sni=example.org"), "{said:?}");
        let ask = b"CONNECT a.example:80 HTTP/1.1\r\n\r\n";
        let said =
            talk(Carrier::Tcp, step, &[(C, ask), (S, b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"), (C, b"GET /next HTTP/1.1\r\n\r\n")]);
        assert!(said.len() == 2 && said[0].contains("code=407") && said[1].contains("path=/next"), "{said:?}");
    }
}

#[test]
fn tunnels_within_tunnels_end() {
    let ask = b"CONNECT a.example:443 HTTP/1.1\r\n\r\n";
    let one: &[(Side, &[u8])] = &[(C, ask), (S, b"HTTP/1.1 200 OK\r\n\r\n")];
    let said = talk(Carrier::Tcp, 1000, &one.repeat(9));
    assert_eq!(said.len(), 1 + usize::from(super::super::DEPTH_MAX));
}

#[test]
fn a_request_of_one_line_and_an_answer_without_a_head() {
    for step in [1, 8, 1000] {
        let said = talk(Carrier::Tcp, step, &[(C, b"GET /old.html?x\r\n"), (S, b"<html>HTTP/1.1 404 is not here</html>\r\n\r\n")]);
        assert_eq!(
            said,
            [
                "http/3 http_request.http_method=GET http_request.url.url_string=/old.html?x http_request.url.path=/old.html http_request.url.query_string=x http_request.version=0.9"
            ]
        );
        let said = talk(Carrier::Tcp, step, &[(C, b"GET /old\n"), (S, b"HTTP/1.0 404 No\r\nContent-Length: 0\r\n\r\n")]);
        assert!(said.len() == 1 && said[0].contains("version=0.9 http_response.code=404"), "{said:?}");
    }
}

#[test]
fn statements_that_contradict_each_other_are_named() {
    let said = talk(
        Carrier::Tcp,
        1000,
        &[(C, b"POST /a HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")],
    );
    assert!(said[0].starts_with("anomaly http_two_hosts") && said[1].starts_with("anomaly http_length_doubtful"), "{said:?}");
    let said = talk(Carrier::Tcp, 1000, &[(C, b"POST /a HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\nGET /b HTTP/1.1\r\n\r\n")]);
    assert!(said[0].starts_with("anomaly http_length_implausible") && said.len() == 3, "{said:?}");
}
