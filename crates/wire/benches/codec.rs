//! (figures follow)
fn main() {}
