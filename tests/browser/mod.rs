//! (no case yet)
