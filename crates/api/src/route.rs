//! Every route of the API in one table: method, path, permission, what it takes and gives. The router is built from these
//! rows and the gate reads them, so a route without a permission cannot exist.

use ::matter::Permission;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A query parameter.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    pub name: &'static str,
    pub about: &'static str,
    pub integer: bool,
}

/// Name of the schema of a request body, if there is one.
pub type Body = Option<&'static str>;

/// What comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// JSON of the named schema.
    Json(&'static str),
    /// A list: JSON of the named page, or its items as CSV or JSON lines by `Accept`.
    List(&'static str),
    /// `text/event-stream`.
    Stream,
    Text,
    /// 204.
    Empty,
}

pub struct Route {
    pub op: Op,
    /// `operationId`.
    pub name: &'static str,
    pub method: Method,
    /// axum's and OpenAPI's form at once: `/alerts/{id}`.
    pub path: &'static str,
    pub permission: Permission,
    pub tag: &'static str,
    pub about: &'static str,
    pub params: &'static [Param],
    pub body: Body,
    pub reply: Reply,
    /// Asks for `If-Match`.
    pub if_match: bool,
}

const fn text(name: &'static str, about: &'static str) -> Param {
    Param { name, about, integer: false }
}
const fn int(name: &'static str, about: &'static str) -> Param {
    Param { name, about, integer: true }
}
const LIMIT: Param = int("limit", "items on a page, 1 to 1000; 100 if not said");
const CURSOR: Param = text("cursor", "`next` of the page before");
const FORM: Param = text("format", "cap (CAP 1.2), stix (STIX 2.1), misp, ocsf, csv (indicators), idea (IDEA0)");
const Q: Param = text("q", "filter in the query language, e.g. `sector:power severity>=high`");

macro_rules! routes {
    ($($op:ident $name:literal $method:ident $path:literal $permission:ident $tag:literal $about:literal [$($param:expr),*] $body:expr => $reply:expr $(, $if_match:ident)?;)*) => {
        /// One operation; the server maps each to its handler in one exhaustive match.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Op { $($op),* }
        /// The table.
        pub static ROUTES: &[Route] = &[$(Route {
            op: Op::$op, name: $name, method: Method::$method, path: $path, permission: Permission::$permission, tag: $tag, about: $about,
            params: &[$($param),*], body: $body, reply: $reply, if_match: routes!(@flag $($if_match)?),
        }),*];
    };
    (@flag) => { false };
    (@flag if_match) => { true };
}

routes! {
    AlertsList "listAlerts" Get "/api/v1/alerts" AlertsRead "alerts" "Alerts, newest change first"
        [Q, text("state", "new, acknowledged, investigating, escalated, closed; several with commas; `open` for all but closed"),
         text("severity", "at least this: informational, low, medium, high, critical"), text("sector", "sector id"), text("unit", "unit id"), LIMIT, CURSOR]
        None => Reply::List("AlertPage");
    AlertGet "getAlert" Get "/api/v1/alerts/{id}" AlertsRead "alerts" "One alert; its revision is in ETag" [] None => Reply::Json("Alert");
    AlertEvents "listAlertEvents" Get "/api/v1/alerts/{id}/events" EventsRead "alerts" "The events behind an alert" [] None => Reply::Json("Evidence");
    AlertHistory "listAlertHistory" Get "/api/v1/alerts/{id}/history" AlertsRead "alerts" "What people did with it, oldest first" [] None => Reply::Json("NotePage");
    AlertWhy "explainAlert" Get "/api/v1/alerts/{id}/why" EventsRead "alerts" "The engine's own trace: rules, conditions with values, window, register facts, recomputed from the events kept" [] None => Reply::Json("Why");
    AlertTriage "triageAlert" Post "/api/v1/alerts/{id}/triage" AlertsTriage "alerts" "Acknowledge, investigate, escalate, close, reopen or note; 409 shows the other person's change" []
        Some("Triage") => Reply::Json("TriageOutcome"), if_match;
    AlertsBefore "listJudgedBefore" Get "/api/v1/alerts/{id}/before" AlertsRead "alerts" "How alerts of the same rule about the same values were closed before, newest first" []
        None => Reply::Json("AlertPage");
    AlertsTriage "triageAlerts" Post "/api/v1/alerts/triage" AlertsTriage "alerts" "The same decision for all alerts a query matches; dry_run previews, the token undoes" []
        Some("BulkTriage") => Reply::Json("BulkOutcome");
    AlertsUndo "undoTriage" Post "/api/v1/alerts/undo" AlertsTriage "alerts" "Take a decision on many alerts back; what changed since is left" [] Some("BulkUndo") => Reply::Json("BulkOutcome");
    EventsList "searchEvents" Get "/api/v1/events" EventsRead "events" "Events, newest first" [Q, text("from", "RFC 3339"), text("to", "RFC 3339"), LIMIT, CURSOR] None => Reply::List("EventPage");
    EventGet "getEvent" Get "/api/v1/events/{id}" EventsRead "events" "One event" [] None => Reply::Json("EventRecord");
    AgentsList "listAgents" Get "/api/v1/agents" AgentsRead "agents" "Agents with liveness, coverage and ledger"
        [text("liveness", "alive, late, silent, never_seen, revoked"), text("unit", "unit id"), LIMIT, CURSOR] None => Reply::List("AgentPage");
    AgentGet "getAgent" Get "/api/v1/agents/{id}" AgentsRead "agents" "One agent" [] None => Reply::Json("Agent");
    AgentRevoke "revokeAgent" Post "/api/v1/agents/{id}/revoke" Enrol "agents" "Ends the agent's identity: its link is cut, its certificate is not taken again" [] Some("Revocation") => Reply::Json("Agent");
    SectorsList "listSectors" Get "/api/v1/sectors" RegisterRead "register" "Sectors" [] None => Reply::List("SectorPage");
    UnitsList "listUnits" Get "/api/v1/units" RegisterRead "register" "Units" [] None => Reply::List("UnitPage");
    UnitGet "getUnit" Get "/api/v1/units/{id}" RegisterRead "register" "One unit" [] None => Reply::Json("Unit");
    UnitPut "putUnit" Put "/api/v1/units/{id}" RegisterWrite "register" "Create or replace a unit" [] Some("UnitPut") => Reply::Json("Unit");
    UnitRemove "removeUnit" Delete "/api/v1/units/{id}" RegisterWrite "register" "Removes a unit; refused while an object, asset or agent belongs to it" [] None => Reply::Empty;
    ContactsPut "putContacts" Put "/api/v1/units/{id}/contacts" ContactsWrite "register" "Replaces whom to call; a unit's own leading people may, for their unit" [] Some("ContactsPut") => Reply::Json("Unit");
    ObjectsList "listObjects" Get "/api/v1/objects" RegisterRead "register" "Protected objects" [text("unit", "unit id"), LIMIT, CURSOR] None => Reply::List("ObjectPage");
    ObjectPut "putObject" Put "/api/v1/objects/{id}" RegisterWrite "register" "Create or replace a protected object" [] Some("ObjectPut") => Reply::Json("ProtectedObject");
    ObjectRemove "removeObject" Delete "/api/v1/objects/{id}" RegisterWrite "register" "Removes an object; refused while an asset belongs to it or another object needs it" [] None => Reply::Empty;
    AssetsList "listAssets" Get "/api/v1/assets" RegisterRead "register" "Declared assets" [text("unit", "unit id"), text("object", "object id"), LIMIT, CURSOR] None => Reply::List("AssetPage");
    AssetPut "putAsset" Put "/api/v1/assets/{id}" RegisterWrite "register" "Create or replace an asset" [] Some("AssetPut") => Reply::Json("Asset");
    AssetRemove "removeAsset" Delete "/api/v1/assets/{id}" RegisterWrite "register" "Removes an asset" [] None => Reply::Empty;
    DependenciesList "listDependencies" Get "/api/v1/dependencies" RegisterRead "register" "Which object cannot work without which, and where they go in circles" [] None => Reply::List("DependencyPage");
    DependencyPut "putDependency" Put "/api/v1/dependencies/{id}" RegisterWrite "register" "`object:needs`: the first cannot work without the second" [] None => Reply::Json("ProtectedObject");
    DependencyRemove "removeDependency" Delete "/api/v1/dependencies/{id}" RegisterWrite "register" "`object:needs`: it can" [] None => Reply::Empty;
    RegisterImport "importRegister" Post "/api/v1/register/import" RegisterWrite "register" "The body is a register as CSV or TOML: all of it is taken or nothing, each problem with its line"
        [text("format", "toml, csv; told from the text if not said"), text("dry_run", "true: say what would change, and change nothing")] None => Reply::Json("RegisterImport");
    RegisterExport "exportRegister" Get "/api/v1/register/export" RegisterRead "register" "The register in scope as a file that can be imported again"
        [text("format", "csv (if not said), toml"), text("kind", "unit, object, asset; all if not said")] None => Reply::Text;
    DifferencesList "listDifferences" Get "/api/v1/register/differences" RegisterRead "register" "What was declared against what is heard: unknown, silent and drifted hosts"
        [text("what", "unknown, silent, drifted"), text("unit", "unit id"), text("ignored", "true: those people let stand as well")] None => Reply::List("DifferencePage");
    DifferenceDecide "decideDifference" Post "/api/v1/register/differences/{id}" RegisterWrite "register" "Takes what is heard into the register, or lets the difference stand until it ends" [] Some("DifferenceDecision") => Reply::Json("RegisterDifference");
    RouteTest "testRoute" Post "/api/v1/route" RegisterRead "register" "Which units something concerns, and why: nobody is told" [] Some("RouteQuestion") => Reply::Json("RouteAnswer");
    EnrolTokenCreate "createEnrolToken" Post "/api/v1/enrolment-tokens" Enrol "register" "A one-use string that enrols one agent of a unit" [] Some("NewEnrolToken") => Reply::Json("EnrolToken");
    RulesList "listRules" Get "/api/v1/rules" RulesRead "rules" "Rules in force and rules refused" [] None => Reply::Json("RulePage");
    RuleGet "getRule" Get "/api/v1/rules/{id}" RulesRead "rules" "One rule" [] None => Reply::Json("Rule");
    RulesTry "tryRules" Post "/api/v1/rules/diff" Reload "rules" "What changed rules would have done on stored history: JSON lines of TrialStep, progress first, the result last" [] Some("Trial") => Reply::Text;
    IndicatorsList "listIndicators" Get "/api/v1/indicators" RulesRead "indicators" "Sources of indicators of compromise, and how far the search of history is" [] None => Reply::Json("IndicatorPage");
    IndicatorsAdd "addIndicators" Post "/api/v1/indicators" IndicatorsWrite "indicators" "Adds or replaces a source: the body is the feed (STIX 2.1, MISP JSON, CSV, list); it is in force at once and looked for in history"
        [text("source", "name of the source"), text("format", "auto, stix, misp, csv, list"), text("tlp", "clear, green, amber, amber+strict, red, where the feed does not say"),
         text("confidence", "0 to 100, where the feed does not say"), text("expires", "RFC 3339, or days as 30d, where the feed does not say"), text("columns", "columns of a CSV without names")]
        None => Reply::Json("IndicatorSource");
    IndicatorsRemove "removeIndicators" Delete "/api/v1/indicators/{source}" IndicatorsWrite "indicators" "Takes a source out of force" [] None => Reply::Empty;
    IndicatorsCheck "checkIndicators" Post "/api/v1/indicators/check" RulesRead "indicators" "What is known of values" [] Some("IndicatorQuestion") => Reply::Json("IndicatorAnswers");
    BaselinesList "listBaselines" Get "/api/v1/baselines" EventsRead "baselines" "Stations of control protocols: learning or frozen, how much is usual, how much was not"
        [text("state", "learning, frozen, deviating"), text("unit", "unit id"), LIMIT, CURSOR] None => Reply::List("BaselinePage");
    BaselineGet "getBaseline" Get "/api/v1/baselines/{id}" EventsRead "baselines" "Who asks a station what, on which addresses" [] None => Reply::Json("BaselineDetail");
    BaselineEditPost "editBaseline" Post "/api/v1/baselines/{id}" BaselinesWrite "baselines" "Freeze, unfreeze, allow, forget; with dry_run, what that would do" [] Some("BaselineEdit") => Reply::Json("BaselineChange");
    DeliveriesList "listDeliveries" Get "/api/v1/deliveries" DeliveriesRead "deliveries" "The delivery log, newest first; the whole city's only"
        [text("state", "queued, failed, sent, dead"), text("channel", "channel name"), text("unit", "unit id"), text("about", "id of a warning, receipt, order …"), LIMIT, CURSOR]
        None => Reply::List("DeliveryPage");
    DeliveryGet "getDelivery" Get "/api/v1/deliveries/{id}" DeliveriesRead "deliveries" "One delivery with its attempts" [] None => Reply::Json("Delivery");
    DeliveryRetry "retryDelivery" Post "/api/v1/deliveries/{id}/retry" NotifyTest "deliveries" "Sends a dead letter again" [] None => Reply::Json("Delivery");
    ChannelsList "listChannels" Get "/api/v1/channels" DeliveriesRead "deliveries" "Channels of notification and how they are" [] None => Reply::Json("ChannelPage");
    ChannelTestPost "testChannel" Post "/api/v1/channels/{name}/test" NotifyTest "deliveries" "Sends a test, marked as one, and says what came of it" [] Some("ChannelTest") => Reply::Json("ChannelTested");

    WeaknessGet "getWeakness" Get "/api/v1/weaknesses/{id}" RulesRead "exchange" "What is known of a flaw: KEV and EPSS" [] None => Reply::Json("Weakness");
    WarningExport "exportWarning" Get "/api/v1/warnings/{id}/export" MattersRead "exchange" "A revision of an issued warning in another house's form"
        [FORM, int("revision", "number of the revision; the newest if not said")] None => Reply::Text;
    ReceiptExport "exportReceipt" Get "/api/v1/receipts/{id}/export" MattersRead "exchange" "What a unit was told, in another house's form"
        [FORM, int("revision", "number of the revision; the newest if not said")] None => Reply::Text;
    IncidentExport "exportIncident" Get "/api/v1/incidents/{id}/export" MattersRead "exchange" "An incident as an OCSF incident finding" [FORM] None => Reply::Text;
    AuditList "listAudit" Get "/api/v1/audit" AuditRead "audit" "The audit trail, newest first" [LIMIT, CURSOR] None => Reply::List("AuditPage");
    WarningsVerify "verifyWarnings" Get "/api/v1/warnings/verify" MattersRead "warnings" "Recomputes the chain of every warning's revisions and of what each unit was told; a unit's people: of its own receipts" [] None => Reply::Json("WarningProof");
    AuditVerify "verifyAudit" Get "/api/v1/audit/verify" AuditRead "audit" "Recomputes the hash chain" [] None => Reply::Json("AuditProof");
    LoginPost "login" Post "/api/v1/login" Public "people" "Opens a session; sets the cookie" [] Some("Login") => Reply::Json("Session");
    LogoutPost "logout" Post "/api/v1/logout" Own "people" "Ends the session" [] None => Reply::Empty;
    MeGet "getMe" Get "/api/v1/me" Own "people" "Who is asking, and what that allows" [] None => Reply::Json("Me");
    PeopleList "listPeople" Get "/api/v1/people" PeopleManage "people" "Accounts" [] None => Reply::List("PersonPage");
    PersonCreate "putPerson" Post "/api/v1/people" PeopleManage "people" "Create an account, or set its password, role and scope" [] Some("NewPerson") => Reply::Json("Person");
    PasswordPost "changePassword" Post "/api/v1/me/password" Own "people" "Set one's own password; all one's sessions end" [] Some("NewPassword") => Reply::Empty;
    TokensList "listTokens" Get "/api/v1/tokens" TokensOwn "people" "API tokens of the caller (of all, for an admin)" [] None => Reply::List("TokenPage");
    TokenCreate "createToken" Post "/api/v1/tokens" TokensOwn "people" "An API token with at most the caller's role and scope; shown once" [] Some("NewToken") => Reply::Json("TokenMade");
    TokenDelete "deleteToken" Delete "/api/v1/tokens/{id}" TokensOwn "people" "Revoke an API token" [] None => Reply::Empty;
    FeedGet "openFeed" Get "/api/v1/feed" AlertsRead "feed" "Server-sent events: every change of an alert in scope; resumes after `Last-Event-ID` or `after`" [text("after", "position to resume after"), Q] None => Reply::Stream;
    StatsGet "getStats" Get "/api/v1/stats" StatsRead "stats" "Counts for the head of the console" [] None => Reply::Json("Stats");
    OpenApiGet "getOpenApi" Get "/api/v1/openapi.json" Public "meta" "This document" [] None => Reply::Text;
    MetricsGet "getMetrics" Get "/metrics" MetricsRead "meta" "Prometheus text" [] None => Reply::Text;
    HealthyGet "healthy" Get "/-/healthy" Public "meta" "200 while the process answers" [] None => Reply::Text;
    ReadyGet "ready" Get "/-/ready" Public "meta" "200 when rules are loaded, the store is open and the listener stands; else 503 with the reasons" [] None => Reply::Json("Readiness");
    ReloadPost "reload" Post "/-/reload" Reload "meta" "Reads configuration and rules again; on failure the old ones stay" [] None => Reply::Json("Reloaded");
}

/// The row of a method and a path as matched.
pub fn find(method: &str, path: &str) -> Option<&'static Route> {
    // A HEAD is a GET whose body nobody reads.
    let method = if method == "HEAD" { "GET" } else { method };
    ROUTES.iter().find(|r| r.method.name() == method && r.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_unique_and_writes_are_never_public_but_login() {
        for (n, a) in ROUTES.iter().enumerate() {
            for b in &ROUTES[n + 1..] {
                assert!(a.name != b.name && (a.path != b.path || a.method != b.method), "{}", a.name);
            }
            if a.method != Method::Get && a.op != Op::LoginPost {
                assert_ne!(a.permission, Permission::Public, "{}", a.name);
            }
        }
        assert_eq!(find("HEAD", "/-/healthy").map(|r| r.op), Some(Op::HealthyGet));
    }
}
