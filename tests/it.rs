//! One binary for all whole-system cases; a folder a subject.

mod agent;
mod ait;
mod arrows;
mod browser;
mod cli;
mod crash;
mod deploy;
mod desk;
mod explain;
mod input;
mod link;
mod live;
mod logs;
mod matching;
mod net;
mod ocsf;
mod road;
mod rules;
mod rulework;
mod serve;
mod sigma;
mod store;
mod stories;
