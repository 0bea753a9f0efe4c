//! The oracle with the system's allocator.

fn main() {
    oracle::run();
}
