//! Style, scripts and pictures: plain files in `assets/`, embedded at build, served from here and nowhere else.
//!
//! No bundler and no generated file: the source is the asset. Pages name them with the hash of all assets (`?v=`), so a browser
//! may keep them for good and never keeps the wrong one.

use std::sync::OnceLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use super::reply::{Fail, typed};

#[derive(RustEmbed)]
#[folder = "src/serve/assets/"]
struct Files;

/// Hash over all assets, short.
pub fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let mut hash = blake3::Hasher::new();
        let mut names: Vec<_> = Files::iter().collect();
        names.sort();
        for name in names {
            hash.update(name.as_bytes());
            if let Some(file) = Files::get(&name) {
                hash.update(&file.data);
            }
        }
        let mut text = hash.finalize().to_hex().to_string();
        text.truncate(12);
        text
    })
}

fn content_type(path: &str) -> Option<&'static str> {
    Some(match path.rsplit_once('.')?.1 {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

/// `/assets/{version}/{*path}`: modules import each other by relative names and so stay within one version.
pub async fn serve(Path((_, path)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some((file, kind)) = Files::get(&path).zip(content_type(&path)) else { return Fail::not_found().into_response() };
    let tag = format!("\"{}\"", version());
    let fresh = headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == tag.as_bytes());
    let mut response = if fresh { StatusCode::NOT_MODIFIED.into_response() } else { typed(kind, file.data.into_owned()) };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every asset a template or module names is embedded: an empty embedding would otherwise pass unseen.
    #[test]
    fn every_asset_that_is_named_is_there() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/serve");
        let mut seen = 0;
        for entry in std::fs::read_dir(root.join("templates")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            for part in text.split("page.asset(\"").skip(1) {
                let name = part.split('"').next().unwrap();
                assert!(Files::get(name).is_some() && content_type(name).is_some(), "{name}");
                seen += 1;
            }
        }
        for entry in std::fs::read_dir(root.join("assets/js")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(!text.contains("http://") && !text.contains("https://"), "scripts name no other host");
            for part in text.split("from \"./").skip(1) {
                let name = part.split('"').next().unwrap();
                assert!(Files::get(&format!("js/{name}")).is_some(), "{name}");
                seen += 1;
            }
        }
        assert!(seen > 8, "{seen}");
    }
}
