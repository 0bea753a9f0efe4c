//! One binary for all whole-system cases; a folder a subject.
