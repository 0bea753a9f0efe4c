//! The contract of `/api/v1`: every route in one table, every body as a type, the OpenAPI document made from both.
//!
//! No handler, no socket, no clock. The collector serves these types, the command line and the console read them; what is
//! not in `ROUTES` cannot be reached. `openapi.json` beside this crate is the printed contract and a test keeps it current.

mod agent;
mod alert;
mod audit;
mod baseline;
mod delivery;
mod event;
mod indicator;
mod matter;
mod openapi;
mod people;
mod problem;
mod proof;
mod register;
mod route;
mod rule;
mod stats;
mod trial;
mod why;

pub use ::matter::{Permission, Role};
pub use agent::{Agent, AgentPage, Coverage, LedgerRow, Liveness};
pub use alert::{
    Alert, AlertPage, BothTexts, BulkOutcome, BulkSkip, BulkTriage, BulkUndo, Evidence, Note, NotePage, Reason, Technique, Triage,
    TriageAction, TriageOutcome, UnitName,
};
pub use audit::{AuditEntry, AuditPage, AuditProof};
pub use baseline::{Baseline, BaselineChange, BaselineDetail, BaselineEdit, BaselineEntry, BaselineMark, BaselinePage};
pub use delivery::{Attempt, Channel, ChannelPage, ChannelTest, ChannelTested, Delivery, DeliveryPage};
pub use event::{EventField, EventPage, EventRecord};
pub use indicator::{
    IndicatorAnswer, IndicatorAnswers, IndicatorMatch, IndicatorPage, IndicatorProblem, IndicatorQuestion, IndicatorSearch,
    IndicatorSource, Weakness,
};
pub use matter::{
    Matter, MatterEntry, MatterHistory, MatterOutcome, MatterPage, MatterRoute, MatterWhat, find_matter, matter_routes, shape,
};
pub use openapi::{document, document_json};
pub use people::{Login, Me, NewPassword, NewPerson, NewToken, Person, PersonPage, Session, Token, TokenMade, TokenPage};
pub use problem::{CODES, Code, Problem, ProblemCode};
pub use proof::{BrokenRevision, WarningProof};
pub use register::{
    Asset, AssetPage, AssetPut, Contact, ContactsPut, Dependency, DependencyPage, DifferenceDecision, DifferencePage, EnrolToken,
    NewEnrolToken, ObjectPage, ObjectPut, Origin, ProtectedObject, RegisterChange, RegisterDifference, RegisterDrift, RegisterIgnored,
    RegisterImport, Revocation, RouteAnswer, RouteIndicator, RouteQuestion, RouteReason, RoutedUnit, Sector, SectorPage, Unit, UnitPage,
    UnitPut,
};
pub use route::{Body, Method, Op, Param, ROUTES, Reply, Route, find};
pub use rule::{Reloaded, Rule, RuleFault, RulePage};
pub use stats::{FeedEvent, Readiness, Stats};
pub use trial::{Trial, TrialAlert, TrialProgress, TrialResult, TrialRule, TrialSource, TrialStep};
pub use why::{Why, WhyCondition, WhyEvent, WhyRule, WhyUnit, WhyVerdict, WhyWindow};

/// Items of one page when the caller does not say, and the most a caller may ask for.
pub const PAGE_DEFAULT: usize = 100;
pub const PAGE_MAX: usize = 1000;

/// Nanoseconds since 1970 UTC as RFC 3339 text, the one time format of the API; empty for "never" (0).
pub fn time_text(ns: i64) -> String {
    if ns == 0 { String::new() } else { ::event::Timestamp::from_ns(ns).to_string() }
}
