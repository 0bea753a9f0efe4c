//! The OpenAPI 3.1 document, made from the route table and the types: nothing is written twice.

use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathsBuilder, Ref, RefOr, Required,
    ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

use crate::matter::{MatterRoute, MatterWhat, matter_routes, shape};
use crate::route::{Method, Param, ROUTES, Reply, Route};
use ::matter::Permission;

/// The document as a value.
pub fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    for route in ROUTES {
        paths = paths.path(route.path, PathItem::new(method(route.method), operation(route)));
    }
    for route in matter_routes() {
        paths = paths.path(route.path.clone(), PathItem::new(method(route.method), matter_operation(&route)));
    }
    let mut info = InfoBuilder::new()
        .title("Vedette 烽燧")
        .version("1")
        .description(Some(
            "Network security monitoring and early warning. Times are RFC 3339, UTC; errors are problem+json with a stable `code`.",
        ))
        .build();
    let mut license = LicenseBuilder::new().name("Apache-2.0").build();
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components())).build()
}

/// The document as text: two spaces, a final new line; what `openapi.json` beside the crate holds.
pub fn document_json() -> String {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
}

fn method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Post => HttpMethod::Post,
        Method::Put => HttpMethod::Put,
        Method::Delete => HttpMethod::Delete,
    }
}

fn operation(route: &Route) -> utoipa::openapi::path::Operation {
    let mut op = OperationBuilder::new().operation_id(Some(route.name)).tag(route.tag).summary(Some(route.about));
    let permission = serde_json::to_value(route.permission).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    op = op.description(Some(format!("Permission: `{permission}`.")));
    for part in route.path.split('/').filter_map(|p| p.strip_prefix('{')?.strip_suffix('}')) {
        op = op.parameter(
            ParameterBuilder::new().name(part).parameter_in(ParameterIn::Path).required(Required::True).schema(Some(plain(Type::String))),
        );
    }
    for param in route.params {
        op = op.parameter(query(param));
    }
    if route.if_match {
        op = op.parameter(
            ParameterBuilder::new()
                .name("If-Match")
                .parameter_in(ParameterIn::Header)
                .required(Required::True)
                .description(Some("revision the caller saw, in quotes as in ETag; `*` for whatever it is now"))
                .schema(Some(plain(Type::String))),
        );
    }
    if let Some(body) = route.body {
        op = op.request_body(Some(
            RequestBodyBuilder::new()
                .content("application/json", ContentBuilder::new().schema(Some(reference(body))).build())
                .required(Some(Required::True))
                .build(),
        ));
    }
    let ok = ResponseBuilder::new();
    op = match route.reply {
        Reply::Json(name) => op.response(
            "200",
            ok.description("done").content("application/json", ContentBuilder::new().schema(Some(reference(name))).build()).build(),
        ),
        Reply::List(name) => op.response(
            "200",
            ok.description("done; `Accept: text/csv` or `application/x-ndjson` gives the items alone")
                .content("application/json", ContentBuilder::new().schema(Some(reference(name))).build())
                .content("text/csv", ContentBuilder::new().schema(Some(plain(Type::String))).build())
                .content("application/x-ndjson", ContentBuilder::new().schema(Some(plain(Type::String))).build())
                .build(),
        ),
        Reply::Stream => op.response(
            "200",
            ok.description("a stream without end")
                .content("text/event-stream", ContentBuilder::new().schema(Some(reference("FeedEvent"))).build())
                .build(),
        ),
        Reply::Text => op.response(
            "200",
            ok.description("done").content("text/plain", ContentBuilder::new().schema(Some(plain(Type::String))).build()).build(),
        ),
        Reply::Empty => op.response("204", ok.description("done").build()),
    };
    op = op.response(
        "default",
        ResponseBuilder::new()
            .description("an error with a stable code")
            .content("application/problem+json", ContentBuilder::new().schema(Some(reference("Problem"))).build())
            .build(),
    );
    if route.permission != Permission::Public {
        op = op.security(SecurityRequirement::new::<_, [&str; 0], &str>("session", [])).security(SecurityRequirement::new::<
            _,
            [&str; 0],
            &str,
        >("token", []));
    }
    op.build()
}

/// The same for an address of matters: the fields of an act are said in words.
fn matter_operation(route: &MatterRoute) -> utoipa::openapi::path::Operation {
    let kind = route.kind;
    let permission = serde_json::to_value(route.permission).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default();
    let title = |verb: &str| format!("{verb} {}", kind.plural);
    let (name, about, reply) = match route.what {
        MatterWhat::List => (format!("list_{}", kind.plural), title("List"), "MatterPage"),
        MatterWhat::One => (format!("get_{}", kind.word), format!("One {}; its revision is in ETag", kind.word), "Matter"),
        MatterWhat::History => {
            (format!("list_{}_history", kind.word), format!("What was done with a {}, oldest first", kind.word), "MatterHistory")
        }
        MatterWhat::Open(act) | MatterWhat::Act(act) => (format!("{}_{}", act.word, kind.word), act.about.to_owned(), "MatterOutcome"),
    };
    let mut op = OperationBuilder::new().operation_id(Some(name)).tag(kind.plural).summary(Some(about));
    let parameter = |name: &str, place: ParameterIn, required: bool, about: &str| {
        let required = if required { Required::True } else { Required::False };
        ParameterBuilder::new().name(name).parameter_in(place).required(required).description(Some(about)).schema(Some(plain(Type::String)))
    };
    if route.path.contains("{id}") {
        op = op.parameter(parameter("id", ParameterIn::Path, true, "its id"));
    }
    let mut description = format!("Permission: `{permission}`.");
    match route.what {
        MatterWhat::List => {
            for (name, about) in MATTER_LIST_PARAMS {
                op = op.parameter(parameter(name, ParameterIn::Query, false, about));
            }
        }
        MatterWhat::Open(act) | MatterWhat::Act(act) => {
            op = op.parameter(parameter("dry_run", ParameterIn::Query, false, "true: say what it would do, and do nothing"));
            if matches!(route.what, MatterWhat::Act(_)) {
                op = op.parameter(parameter(
                    "If-Match",
                    ParameterIn::Header,
                    true,
                    "revision the caller saw, in quotes; `*` for whatever it is now",
                ));
            } else {
                op = op.parameter(parameter("Idempotency-Key", ParameterIn::Header, false, "the same key opens nothing twice"));
            }
            let mut object = ObjectBuilder::new();
            for field in act.fields {
                description.push_str(&format!(
                    "\n\n`{}` ({}{}): {}",
                    field.name,
                    shape(field.input),
                    if field.required { "" } else { ", may be left out" },
                    field.about
                ));
                if field.required {
                    object = object.required(field.name);
                }
                object = object.property(field.name, Schema::Object(Object::new()));
            }
            let body = ContentBuilder::new().schema(Some(RefOr::T(Schema::Object(object.build())))).build();
            op = op.request_body(Some(RequestBodyBuilder::new().content("application/json", body).required(Some(Required::True)).build()));
        }
        MatterWhat::One | MatterWhat::History => {}
    }
    let json = |name: &str| ContentBuilder::new().schema(Some(reference(name))).build();
    op = op
        .description(Some(description))
        .response("200", ResponseBuilder::new().description("done").content("application/json", json(reply)).build())
        .response(
            "default",
            ResponseBuilder::new().description("an error with a stable code").content("application/problem+json", json("Problem")).build(),
        );
    for scheme in ["session", "token"] {
        op = op.security(SecurityRequirement::new::<_, [&str; 0], &str>(scheme, []));
    }
    op.build()
}

/// Query parameters of every list of matters.
const MATTER_LIST_PARAMS: &[(&str, &str)] = &[
    ("state", "fixed words of the kind, several with commas; `open` for all but closed ones"),
    ("level", "at least this: blue, yellow, orange, red"),
    ("unit", "unit id"),
    ("link", "something it belongs to: id of a warning, a drill, an alert"),
    ("q", "part of id or title"),
    ("exercise", "true: drills' matters in place of the real ones"),
    ("full", "true: with their bodies"),
    ("limit", "items on a page, 1 to 1000; 100 if not said"),
    ("cursor", "`next` of the page before"),
];

fn plain(kind: Type) -> RefOr<utoipa::openapi::Schema> {
    RefOr::T(utoipa::openapi::Schema::Object(Object::with_type(kind)))
}

fn query(param: &Param) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(param.name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(param.about))
        .schema(Some(plain(if param.integer { Type::Integer } else { Type::String })))
}

fn reference(name: &str) -> RefOr<utoipa::openapi::Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

fn components() -> utoipa::openapi::Components {
    let mut builder = ComponentsBuilder::new();
    let mut all: Vec<(String, RefOr<utoipa::openapi::Schema>)> = Vec::new();
    macro_rules! add {
        ($($t:ty),* $(,)?) => { $(
            all.push((<$t as ToSchema>::name().into_owned(), <$t as PartialSchema>::schema()));
            <$t as ToSchema>::schemas(&mut all);
        )* };
    }
    add!(
        crate::AlertPage,
        crate::Evidence,
        crate::NotePage,
        crate::Triage,
        crate::TriageOutcome,
        crate::BulkTriage,
        crate::BulkOutcome,
        crate::BulkUndo,
        crate::EventPage,
        crate::AgentPage,
        crate::SectorPage,
        crate::UnitPage,
        crate::UnitPut,
        crate::AssetPage,
        crate::AssetPut,
        crate::ContactsPut,
        crate::ObjectPage,
        crate::ObjectPut,
        crate::DependencyPage,
        crate::RegisterImport,
        crate::DifferencePage,
        crate::DifferenceDecision,
        crate::RouteQuestion,
        crate::RouteAnswer,
        crate::NewEnrolToken,
        crate::EnrolToken,
        crate::Revocation,
        crate::RulePage,
        crate::IndicatorPage,
        crate::IndicatorQuestion,
        crate::IndicatorAnswers,
        crate::Weakness,
        crate::BaselinePage,
        crate::BaselineDetail,
        crate::BaselineEdit,
        crate::BaselineChange,
        crate::AuditPage,
        crate::Delivery,
        crate::DeliveryPage,
        crate::Attempt,
        crate::Channel,
        crate::ChannelPage,
        crate::ChannelTest,
        crate::ChannelTested,
        crate::AuditProof,
        crate::WarningProof,
        crate::BrokenRevision,
        crate::Login,
        crate::Session,
        crate::Me,
        crate::PersonPage,
        crate::NewPerson,
        crate::NewPassword,
        crate::TokenPage,
        crate::NewToken,
        crate::TokenMade,
        crate::FeedEvent,
        crate::Stats,
        crate::Readiness,
        crate::Reloaded,
        crate::Why,
        crate::Trial,
        crate::TrialStep,
        crate::Matter,
        crate::MatterPage,
        crate::MatterHistory,
        crate::MatterOutcome,
        crate::Problem,
    );
    for (name, schema) in all {
        builder = builder.schema(name, schema);
    }
    builder
        .security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("vedette_session"))))
        .security_scheme("token", SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_that_is_referred_to_exists_and_the_version_is_3_1() {
        let text = document_json();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(value["openapi"].as_str().unwrap().starts_with("3.1"));
        let schemas = value["components"]["schemas"].as_object().unwrap();
        let mut seen = 0;
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
            seen += 1;
        }
        assert!(seen > 50, "{seen}");
        assert_eq!(
            value["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum::<usize>(),
            ROUTES.len() + matter_routes().len()
        );
    }

    /// `VEDETTE_BLESS=1 cargo test -p api` writes it anew.
    #[test]
    fn the_printed_contract_is_current() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        let now = document_json();
        if std::env::var_os("VEDETTE_BLESS").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let held = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(held == now, "crates/api/openapi.json is not what the types say: run VEDETTE_BLESS=1 cargo test -p api");
    }
}
