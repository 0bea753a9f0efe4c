//! Roles and what each may do. Deny by default: a permission not listed for a role is refused.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Anyone, without a session: login, health, the contract itself.
    Public,
    /// Anyone who is logged in, about themselves.
    Own,
    AlertsRead,
    AlertsTriage,
    EventsRead,
    AgentsRead,
    RegisterRead,
    RegisterWrite,
    /// Keep the list of whom to call of one's own unit.
    ContactsWrite,
    /// Create enrolment strings.
    Enrol,
    RulesRead,
    /// Add and remove indicators of compromise.
    IndicatorsWrite,
    /// Freeze and edit what is usual on control networks.
    BaselinesWrite,
    /// Read configuration and rules again.
    Reload,
    AuditRead,
    PeopleManage,
    /// Create API tokens for oneself.
    TokensOwn,
    StatsRead,
    MetricsRead,
    /// Look at warnings, incidents, orders, clocks, drills, bulletins: what of them is in scope.
    MattersRead,
    /// Draft and assess warnings.
    WarningsDraft,
    /// Release a warning that needs a second person; lift, cancel.
    WarningsRelease,
    /// Sign for a warning, feed back.
    ReceiptsSign,
    IncidentsWrite,
    SilencesWrite,
    OrdersWrite,
    /// Feed back on an order.
    OrdersFeedback,
    ConsultationsWrite,
    /// Give an opinion.
    ConsultationsSpeak,
    /// Start and answer a statutory clock.
    ClocksWrite,
    DrillsWrite,
    BulletinsWrite,
    /// The delivery log of notifications.
    DeliveriesRead,
    /// Send a marked test through a channel.
    NotifyTest,
}

/// What a person or token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything in scope, changes nothing.
    Viewer,
    /// Works the alert queue.
    Operator,
    /// An operator who also keeps the register, enrols agents and reloads rules.
    ShiftLead,
    /// Reads and reloads rules.
    RuleAuthor,
    /// A unit's or sector's own people.
    SectorUser,
    /// The same, and may enrol agents of the unit.
    SectorLead,
    /// Reads the audit trail.
    Auditor,
    /// A wall display: alerts and agents, nothing else.
    Display,
    /// A scraper: metrics only.
    Metrics,
    Admin,
}

impl Role {
    pub const ALL: [Self; 10] = [
        Self::Viewer,
        Self::Operator,
        Self::ShiftLead,
        Self::RuleAuthor,
        Self::SectorUser,
        Self::SectorLead,
        Self::Auditor,
        Self::Display,
        Self::Metrics,
        Self::Admin,
    ];

    /// The word in the API, the store and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::ShiftLead => "shift_lead",
            Self::RuleAuthor => "rule_author",
            Self::SectorUser => "sector_user",
            Self::SectorLead => "sector_lead",
            Self::Auditor => "auditor",
            Self::Display => "display",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.name() == name)
    }

    /// Whether this role may do that. The whole policy of the house is this table.
    pub const fn may(self, permission: Permission) -> bool {
        use Permission as P;
        match permission {
            P::Public | P::Own => true,
            P::AlertsRead | P::AgentsRead | P::StatsRead => !matches!(self, Self::Metrics),
            P::RegisterRead | P::EventsRead | P::RulesRead => !matches!(self, Self::Metrics | Self::Display),
            P::AlertsTriage => matches!(self, Self::Operator | Self::ShiftLead | Self::SectorUser | Self::SectorLead | Self::Admin),
            P::RegisterWrite => matches!(self, Self::ShiftLead | Self::Admin),
            P::ContactsWrite | P::Enrol => matches!(self, Self::ShiftLead | Self::SectorLead | Self::Admin),
            P::IndicatorsWrite => matches!(self, Self::Operator | Self::ShiftLead | Self::RuleAuthor | Self::Admin),
            P::BaselinesWrite => matches!(self, Self::ShiftLead | Self::SectorLead | Self::RuleAuthor | Self::Admin),
            P::Reload => matches!(self, Self::ShiftLead | Self::RuleAuthor | Self::Admin),
            P::AuditRead => matches!(self, Self::Auditor | Self::Admin),
            P::PeopleManage => matches!(self, Self::Admin),
            P::TokensOwn => !matches!(self, Self::Display | Self::Metrics),
            P::MattersRead => !matches!(self, Self::Metrics | Self::Display),
            P::WarningsDraft | P::OrdersWrite | P::ConsultationsWrite | P::BulletinsWrite => {
                matches!(self, Self::Operator | Self::ShiftLead | Self::Admin)
            }
            P::WarningsRelease | P::DrillsWrite | P::NotifyTest => matches!(self, Self::ShiftLead | Self::Admin),
            P::SilencesWrite => matches!(self, Self::Operator | Self::ShiftLead | Self::RuleAuthor | Self::Admin),
            P::ReceiptsSign | P::IncidentsWrite | P::OrdersFeedback | P::ClocksWrite => {
                matches!(self, Self::Operator | Self::ShiftLead | Self::SectorUser | Self::SectorLead | Self::Admin)
            }
            P::ConsultationsSpeak => matches!(self, Self::Operator | Self::ShiftLead | Self::SectorLead | Self::Admin),
            P::DeliveriesRead => matches!(self, Self::Operator | Self::ShiftLead | Self::Auditor | Self::Admin),
            P::MetricsRead => matches!(self, Self::Metrics | Self::Operator | Self::ShiftLead | Self::Admin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_there_and_back() {
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.name()), Some(role));
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{}\"", role.name()));
        }
    }

    #[test]
    fn who_only_looks_changes_nothing() {
        for role in [Role::Viewer, Role::Auditor, Role::Display, Role::Metrics] {
            for permission in [
                Permission::IndicatorsWrite,
                Permission::BaselinesWrite,
                Permission::AlertsTriage,
                Permission::RegisterWrite,
                Permission::Enrol,
                Permission::Reload,
                Permission::PeopleManage,
                Permission::WarningsDraft,
                Permission::WarningsRelease,
                Permission::ReceiptsSign,
                Permission::IncidentsWrite,
                Permission::SilencesWrite,
                Permission::OrdersWrite,
                Permission::DrillsWrite,
                Permission::NotifyTest,
            ] {
                assert!(!role.may(permission), "{role:?} {permission:?}");
            }
        }
    }
}
