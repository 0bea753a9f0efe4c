//! The one-line query language.

use event::Timestamp;

use super::Query;

/// What is wrong with a query, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}")]
pub struct QueryError {
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

/// Reads `sector:power severity>=high src:10.0.0.1 "free text" since:2h not host:web*`; `now` is what `since:` counts back from.
pub fn parse_query(_text: &str, _now: Timestamp) -> Result<Query, QueryError> {
    Ok(Query::default())
}
