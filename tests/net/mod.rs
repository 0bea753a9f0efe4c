//! The net sensor against real captures, mutated captures and real packets.

mod agreement;
mod attacks;
mod baseline;
mod decode;
mod explained;
mod fingerprint;
mod live;
mod login;
mod modbus;
mod mutation;
mod ot;
mod partners;
mod zeek;
