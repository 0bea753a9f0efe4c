//! The warning desk through the real programs.

mod exchange;
mod kill;
