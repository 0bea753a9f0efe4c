//! People, sessions and API tokens. No secret ever leaves in an answer but the one being created.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use ::matter::{Permission, Role};

#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    pub name: String,
    pub password: String,
}

/// A session was opened; the cookie is set beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    pub name: String,
    pub role: Role,
    /// Send back as `X-Csrf-Token` with every write made with the cookie.
    pub csrf: String,
}

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    pub name: String,
    pub role: Role,
    /// Units this caller may see; absent: the whole city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Vec<String>>,
    pub permissions: Vec<Permission>,
    /// True while the password is one somebody else has set.
    pub must_change_password: bool,
}

/// One's own new password; all sessions of the person end.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    pub old: String,
    /// At least 12 characters.
    pub new: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Person {
    pub name: String,
    pub role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Vec<String>>,
    pub active: bool,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PersonPage {
    pub items: Vec<Person>,
}

/// A person to create, or whose role, scope or password is to be set.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// 1 to 64 letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// At least 12 characters.
    pub password: String,
    pub role: Role,
    /// Units this person may see; absent: the whole city.
    #[serde(default)]
    pub units: Option<Vec<String>>,
}

/// An API token to create: at most the caller's own role and scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    pub name: String,
    pub role: Role,
    #[serde(default)]
    pub units: Option<Vec<String>>,
    /// Days it is valid, 1 to 3,650; 90 if not said.
    #[serde(default = "quarter")]
    pub days: u32,
}

/// The token itself; shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    pub id: String,
    pub token: String,
    pub expires: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub id: String,
    pub name: String,
    pub owner: String,
    pub role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Vec<String>>,
    pub created: String,
    pub expires: String,
}
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenPage {
    pub items: Vec<Token>,
}

const fn quarter() -> u32 {
    90
}
