//! The warning desk through the real programs.

mod city;
mod elsewhere;
mod exchange;
mod kill;
mod notify;
