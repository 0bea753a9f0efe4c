//! The warning desk through the real programs.

mod kill;
