//! The warning desk through the real programs.

mod city;
mod drill;
mod elsewhere;
mod exchange;
mod intel;
mod kill;
mod notify;
mod real;
