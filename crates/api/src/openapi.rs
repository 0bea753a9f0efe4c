//! The OpenAPI 3.1 document, made from the route table and the types: nothing is written twice.

use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathsBuilder, Ref, RefOr, Required,
    ResponseBuilder, SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

use crate::route::{Method, Param, ROUTES, Reply, Route};
use matter::Permission;

/// The document as a value.
pub fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    for route in ROUTES {
        paths = paths.path(route.path, PathItem::new(method(route.method), operation(route)));
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
        crate::EventPage,
        crate::AgentPage,
        crate::SectorPage,
        crate::UnitPage,
        crate::UnitPut,
        crate::AssetPage,
        crate::AssetPut,
        crate::NewEnrolToken,
        crate::EnrolToken,
        crate::Revocation,
        crate::RulePage,
        crate::IndicatorPage,
        crate::IndicatorQuestion,
        crate::IndicatorAnswers,
        crate::BaselinePage,
        crate::BaselineDetail,
        crate::BaselineEdit,
        crate::BaselineChange,
        crate::AuditPage,
        crate::AuditProof,
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
        assert_eq!(value["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum::<usize>(), ROUTES.len());
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
