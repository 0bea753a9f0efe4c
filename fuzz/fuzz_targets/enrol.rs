//! What a stranger may say at the enrolment port, and what a host reads from there.
#![no_main]

use agent::identity::certificate::read_request;
use agent::identity::message::{Answer, HEAD_BYTES, Invitation, Request};

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    if let Some(request) = Request::parse(body) {
        let bytes = request.to_bytes().expect("what was read fits");
        assert_eq!(&bytes[HEAD_BYTES..], body, "one way to say it");
        let (Request::Enrol { csr, .. } | Request::Recover { csr, .. }) = request;
        read_request(csr);
    }
    read_request(body);
    if let Some(answer) = Answer::parse(body) {
        assert_eq!(Answer::parse(&answer.to_bytes().expect("what was read fits")[HEAD_BYTES..]), Some(answer));
    }
    if let Ok(text) = std::str::from_utf8(body)
        && let Ok(invitation) = text.parse::<Invitation>()
    {
        assert_eq!(invitation.to_string().parse(), Ok(invitation));
    }
});
