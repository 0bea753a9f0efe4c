//! The collector's own certificate authority.
