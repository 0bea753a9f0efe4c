//! The central program: takes batches in, keeps them, finds, correlates, groups for a person, and serves what it knows.

pub mod app;
pub mod authority;
pub mod catalogue;
pub mod check;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod demo;
pub mod engine;
pub mod explain;
pub mod indicators;
pub mod ingest;
pub mod matching;
pub mod metrics;
pub mod normalise;
pub mod outbox;
pub mod pipeline;
pub mod register;
pub mod replay;
pub mod rulebook;
pub mod rules;
pub mod serve;
pub mod shadow;
pub mod store;
pub mod watch;
