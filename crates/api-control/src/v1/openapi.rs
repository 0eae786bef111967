//! The OpenAPI document of `/api/v1/`, made from the list that the router is made from.

use axum::handler::Handler;
use axum::routing::{delete, get, patch, post, put};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, Object, Type};
use utoipa::openapi::{
    Content, InfoBuilder, OpenApiBuilder, PathsBuilder, Ref, RefOr, Required, ResponseBuilder, Schema, Server,
};
use wharfinger_iam::Iam;

use super::{Entry, Routed};
use crate::error::ErrorBody;

const ABOUT: &str = "What the commands `wharfinger admin …` speak, over `DATA/control.sock`. Whoever may open the \
    socket is the local administrator and shows no credentials; over the network every path answers 401. A list \
    is an array; the header `opc-next-page` of a page that is not the last names the next one.";

/// An operation: what the router serves and the document describes.
pub(crate) struct Operation {
    name: &'static str,
    method: HttpMethod,
    path: &'static str,
    handler: Routed,
    query: Vec<&'static str>,
    body: Option<Described>,
    answer: Option<Described>,
}

type Named = Vec<(String, RefOr<Schema>)>;

/// A schema, and those that it refers to.
struct Described {
    schema: RefOr<Schema>,
    others: Named,
}

fn described<T: ToSchema>() -> Described {
    let mut others = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut others);
    Described { schema: Ref::from_schema_name(T::name()).into(), others }
}

impl Operation {
    pub(crate) fn new<H: Handler<T, Iam>, T: 'static>(
        name: &'static str,
        method: HttpMethod,
        path: &'static str,
        handler: H,
    ) -> Operation {
        let handler = match method {
            HttpMethod::Post => post(handler),
            HttpMethod::Put => put(handler),
            HttpMethod::Patch => patch(handler),
            HttpMethod::Delete => delete(handler),
            _ => get(handler),
        };
        Operation { name, method, path, handler, query: Vec::new(), body: None, answer: None }
    }

    /// With parameters of the query.
    pub(crate) fn asks(mut self, query: &[&'static str]) -> Operation {
        self.query.extend(query);
        self
    }

    /// With a body.
    pub(crate) fn takes<T: ToSchema>(self) -> Operation {
        Operation { body: Some(described::<T>()), ..self }
    }

    /// With one object for an answer.
    pub(crate) fn answers<T: ToSchema>(self) -> Operation {
        Operation { answer: Some(described::<T>()), ..self }
    }

    /// With an array for an answer.
    pub(crate) fn lists<T: ToSchema>(self) -> Operation {
        let one = described::<T>();
        let schema = Schema::from(utoipa::openapi::schema::Array::new(one.schema)).into();
        Operation { answer: Some(Described { schema, others: one.others }), ..self }
    }

    /// With an array that comes in pages.
    pub(crate) fn pages<T: ToSchema>(self) -> Operation {
        self.lists::<T>().asks(&["limit", "page"])
    }

    pub(crate) fn entry(self) -> Entry {
        (self.name, self.path, self.handler)
    }

    /// As in the document; schemas that it refers to are added.
    fn item(&self, schemas: &mut Named) -> PathItem {
        let text = || RefOr::from(Schema::from(Object::with_type(Type::String)));
        let parameter = |name: &str, place: ParameterIn| {
            let required = if place == ParameterIn::Path { Required::True } else { Required::False };
            let schema = match name {
                "limit" => RefOr::from(Schema::from(Object::with_type(Type::Integer))),
                _ => text(),
            };
            ParameterBuilder::new()
                .name(name)
                .parameter_in(place)
                .required(required)
                .schema(Some(schema))
                .build()
        };
        let in_path = self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let in_path = in_path.map(|name| parameter(name, ParameterIn::Path));
        let in_query = ["tenancy"].iter().chain(&self.query).map(|name| parameter(name, ParameterIn::Query));
        let mut content = |described: &Described| {
            schemas.extend(described.others.iter().cloned());
            Content::new(Some(described.schema.clone()))
        };
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.name))
            .summary(Some(summary(self.name)))
            .parameters(Some(in_path.chain(in_query).collect::<Vec<_>>()));
        if let Some(body) = &self.body {
            let body = RequestBodyBuilder::new().content("application/json", content(body));
            operation = operation.request_body(Some(body.required(Some(Required::True)).build()));
        }
        let answer = ResponseBuilder::new().description("Done.");
        operation = operation.response(
            "200",
            match &self.answer {
                Some(described) => answer.content("application/json", content(described)).build(),
                None => answer.build(),
            },
        );
        let refusals = [
            ("400", "A part of the request is not right; the message names it."),
            ("401", "The request came over the network."),
            ("404", "There is no such thing."),
            ("409", "It does not fit what is there, such as a name that is taken."),
            ("default", "The server is not able to, or not at the moment."),
        ];
        for (status, description) in refusals {
            let refusal = ResponseBuilder::new().description(description);
            let refusal = refusal.content("application/json", content(&described::<ErrorBody>()));
            operation = operation.response(status, refusal.build());
        }
        PathItem::new(self.method.clone(), operation)
    }
}

/// `list_users` is `List users`.
fn summary(name: &str) -> String {
    let words = name.replace('_', " ");
    words.split_at_checked(1).map_or_else(String::new, |(first, rest)| first.to_ascii_uppercase() + rest)
}

/// The document of these operations.
pub(crate) fn document(operations: &[Operation]) -> Value {
    let mut schemas = Named::new();
    let mut paths = PathsBuilder::new();
    for operation in operations {
        paths = paths.path(operation.path, operation.item(&mut schemas));
    }
    let info = InfoBuilder::new().title("Wharfinger").version("v1").description(Some(ABOUT)).build();
    let document = OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new("http://localhost")]))
        .paths(paths)
        .components(Some(ComponentsBuilder::new().schemas_from_iter(schemas).build()))
        .build();
    // A tree of texts always serialises.
    serde_json::to_value(&document).unwrap_or_else(|_| json!({}))
}
