//! Any bytes as a request to the console and the API, as an administrator unless it brings its own words: first line method and path, then
//! headers, an empty line, the body. There is an answer, and it is not ours to blame (5xx).
#![no_main]
use std::cell::RefCell;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use collector::serve::{Role, router, sample};
use tower::ServiceExt;

struct House {
    router: Router,
    token: String,
    runtime: tokio::runtime::Runtime,
    /// What is written stays: after so many requests a new city is built, so that memory does not grow.
    left: u32,
}

impl House {
    fn new() -> Self {
        let shared = sample::city(sample::clock, 6).expect("in memory");
        let token = format!("Bearer {}", sample::token(&shared, Role::Admin, None).expect("in memory"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { router: router(shared), token, runtime, left: 5_000 }
    }
}

thread_local!(static HOUSE: RefCell<Option<House>> = const { RefCell::new(None) });

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let at = bytes.windows(2).position(|w| w == b"\n\n").unwrap_or(bytes.len());
    let (head, body) = (&bytes[..at], bytes.get(at + 2..).unwrap_or_default());
    let Ok(head) = std::str::from_utf8(head) else { return };
    let mut lines = head.lines();
    let Some((method, path)) = lines.next().and_then(|l| l.split_once(' ')) else { return };
    // Passwords are hashed on purpose slowly: asking that ten thousand times finds nothing.
    if path.contains("login") || path.contains("password") || path.contains("people") && method != "GET" {
        return;
    }
    HOUSE.with_borrow_mut(|slot| {
        let house = slot.take_if(|h| h.left == 0).map_or_else(|| slot.take().unwrap_or_else(House::new), |_| House::new());
        let house = slot.insert(house);
        house.left -= 1;
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in lines.filter_map(|l| l.split_once(": ")).take(32) {
            request = request.header(name, value);
        }
        if !head.contains("uthorization: ") {
            request = request.header(header::AUTHORIZATION, &house.token);
        }
        let Ok(request) = request.body(Body::from(body.to_vec())) else { return };
        let router = house.router.clone();
        let response = house.runtime.block_on(async move { router.oneshot(request).await }).expect("infallible");
        assert!(response.status().as_u16() < 500 || response.status() == 503, "{method} {path}: {}", response.status());
    });
});
