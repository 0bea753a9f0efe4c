//! The oracle with the allocator `vedette` ships with.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    oracle::run();
}
