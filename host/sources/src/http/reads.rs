//! What a request does: whether it only reads, as its provider counts it. What is not known to read writes.

use apollo_parser::{Parser, cst::Definition};
use remit_domain::data::http_api::{Method, Request};
use serde::Deserialize;
use serde_json::Value;

use super::provider::Reads;

/// The most bytes of a GraphQL document that is looked at.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
/// How deep its parts may nest: Shopify allows less.
const MAX_DEPTH: usize = 64;
/// How many tokens it may have.
const MAX_TOKENS: usize = 10_000;

/// Whether a request only reads. `graphql` is the path that takes GraphQL.
pub(super) fn reads(facts: &Reads, graphql: Option<&str>, request: &Request) -> bool {
    let by_method = matches!(request.method, Method::Get | Method::Head);
    if graphql == Some(request.path.as_str()) {
        return match request.method {
            Method::Get | Method::Head => queried(request),
            Method::Post => posted(request),
            Method::Put | Method::Patch | Method::Delete => false,
        };
    }
    if facts.listed.contains(&request.path.as_str()) {
        return by_method || request.method == Method::Post;
    }
    // A path that is not known to take GraphQL may do so all the same.
    facts.by_method && by_method && !request.query.iter().any(|(name, value)| name == "query" && changes(value))
}

/// Whether a request that reads may have a body.
pub(super) fn takes_body(facts: &Reads, graphql: Option<&str>, request: &Request) -> bool {
    let known = graphql == Some(request.path.as_str()) || facts.listed.contains(&request.path.as_str());
    known && request.method == Method::Post
}

/// A GraphQL request's body, as <https://graphql.github.io/graphql-over-http/> has it. Members that some
/// servers know besides, such as the name of a query that they keep, may stand for another document.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Posted {
    query: String,
    #[serde(default, rename = "operationName")]
    _operation_name: Option<String>,
    #[serde(default, rename = "variables")]
    _variables: Option<serde_json::Map<String, Value>>,
}

fn posted(request: &Request) -> bool {
    // Some servers prefer the query of the URL to the body's.
    let plain = request.query.is_empty() && json(request);
    let body = request.body.as_deref().unwrap_or_default();
    // One that is a list would be taken by position.
    let object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    plain && object && serde_json::from_slice(body).is_ok_and(|Posted { query, .. }| only_queries(&query))
}

/// Whether the body is JSON by the one header that says so, and nothing says that it is encoded.
fn json(request: &Request) -> bool {
    let of = |wanted: &'static str| {
        request.headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    let mut types = of("content-type");
    let plain = |value: &String| {
        let value = value.to_ascii_lowercase().replace([' ', '"'], "");
        matches!(value.as_str(), "application/json" | "application/json;charset=utf-8")
    };
    types.next().is_some_and(plain) && types.next().is_none() && of("content-encoding").next().is_none()
}

fn queried(request: &Request) -> bool {
    let mut documents = 0;
    let fine = request.query.iter().all(|(name, value)| match name.as_str() {
        "query" => {
            documents += 1;
            only_queries(value)
        }
        "operationName" | "variables" => true,
        _ => false,
    });
    fine && documents == 1 && request.body.is_none()
}

/// Whether a document holds operations, and queries alone. Which of several is run does not matter: the
/// worst of them counts.
fn only_queries(document: &str) -> bool {
    operations(document).is_some_and(|operations| !operations.is_empty() && operations.iter().all(|query| *query))
}

/// Whether a text is a document that changes something, or could be one that is too large or too deep to
/// tell. What is no document is a search.
fn changes(text: &str) -> bool {
    match operations(text) {
        Some(operations) => operations.iter().any(|query| !query),
        None => text.contains('{') && ["mutation", "subscription"].iter().any(|word| text.contains(word)),
    }
}

/// Whether each operation of a document is a query. `None` for what is no document of operations and
/// fragments, or one that is too large or too deep.
fn operations(document: &str) -> Option<Vec<bool>> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return None;
    }
    let tree = Parser::new(document).recursion_limit(MAX_DEPTH).token_limit(MAX_TOKENS).parse();
    if tree.errors().next().is_some() {
        return None;
    }
    let mut found = Vec::new();
    for definition in tree.document().definitions() {
        match definition {
            Definition::OperationDefinition(operation) => found.push(match operation.operation_type() {
                // `{ … }` alone is a query.
                None => true,
                Some(kind) => {
                    kind.query_token().is_some()
                        && kind.mutation_token().is_none()
                        && kind.subscription_token().is_none()
                }
            }),
            Definition::FragmentDefinition(_) => {}
            _ => return None,
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use remit_domain::source::Provider;
    use serde_json::json;

    use super::{super::provider::facts, *};

    fn is_read(provider: Provider, request: &Request) -> bool {
        let facts = facts(provider);
        reads(&facts.reads, facts.reads.graphql, request)
    }

    fn request(method: Method, path: &str) -> Request {
        Request { method, path: path.to_owned(), query: vec![], headers: vec![], body: None, idempotency_key: None }
    }

    fn graphql(body: &str) -> Request {
        Request {
            headers: vec![("Content-Type".to_owned(), "application/json; charset=UTF-8".to_owned())],
            body: Some(body.as_bytes().to_vec()),
            ..request(Method::Post, "graphql.json")
        }
    }

    fn document(text: &str) -> Request {
        graphql(&json!({ "query": text }).to_string())
    }

    #[test]
    fn graphql_queries_read_and_nothing_else_does() {
        for text in [
            "{ shop { name } }",
            "query { shop { name } }",
            "query A($n: Int!) { products(first: $n) { nodes { ...F } } } fragment F on Product { id }",
            "query A { shop { name } } query B { shop { id } }",
            "# mutation { x }\n{ shop { name } }",
            "{ find(text: \"mutation { x }\", block: \"\"\"} mutation { x }\"\"\") { id } }",
        ] {
            assert!(is_read(Provider::Shopify, &document(text)), "{text}");
        }
        let deep = format!("{}x{}", "{a".repeat(200), "}".repeat(200));
        let long = format!("{{ {} }}", "a ".repeat(MAX_TOKENS));
        let huge = format!("{{ a }} #{}", "x".repeat(MAX_DOCUMENT_BYTES));
        for text in [
            "mutation { productDelete(input: {id: 1}) { deletedProductId } }",
            "subscription { x }",
            "query A { shop { name } } mutation B { x }",
            "mutation B { x } query A { shop { name } }",
            "fragment F on Product { id }",
            "",
            "# { shop }",
            "{ shop { name }",
            "query { shop { name } } }",
            "type Query { a: Int }",
            "{ a } extend type Query { b: Int }",
            "quer\u{79} \u{0} { a }",
            "{ a } mutation",
            "\u{feff}mutation { x }",
            "query A { a }\rmutation B { x }",
            "# x\u{2028}\nmutation { x }",
            deep.as_str(),
            long.as_str(),
            huge.as_str(),
        ] {
            let shown: String = text.chars().take(60).collect();
            assert!(!is_read(Provider::Shopify, &document(text)), "{shown}");
        }
    }

    #[test]
    fn a_body_that_could_be_read_otherwise_writes() {
        for body in [
            "",
            "{",
            "[]",
            r#"["{ shop }"]"#,
            r#"[{"query":"{ shop }"}]"#,
            r#"{"query":"{ shop }","query":"mutation { x }"}"#,
            r#"{"query":"{ shop }","extensions":{"persistedQuery":{"version":1}}}"#,
            r#"{"query":"{ shop }","id":"deleteAll"}"#,
            r#"{"query":"{ shop }","Query":"mutation { x }"}"#,
            r#"{"query":null}"#,
            r#"{"query":"{ shop }"} {"query":"mutation { x }"}"#,
        ] {
            assert!(!is_read(Provider::Shopify, &graphql(body)), "{body}");
        }
        let good = document("{ shop { name } }");
        let with = |name: &str, value: &str| {
            let mut request = good.clone();
            request.headers.push((name.to_owned(), value.to_owned()));
            request
        };
        for request in [
            Request { headers: vec![], ..good.clone() },
            Request { headers: vec![("content-type".into(), "application/graphql".into())], ..good.clone() },
            with("content-type", "application/x-www-form-urlencoded"),
            with("Content-Encoding", "gzip"),
            Request { query: vec![("query".into(), "mutation { x }".into())], ..good.clone() },
            Request { path: "products.json".into(), ..good.clone() },
            Request { path: "%67raphql.json".into(), ..good.clone() },
            Request { path: "graphql.json/".into(), ..good.clone() },
            Request { method: Method::Put, ..good.clone() },
        ] {
            assert!(!is_read(Provider::Shopify, &request), "{request:?}");
        }
        // At a provider without GraphQL a POST is a POST.
        assert!(!is_read(Provider::Salesforce, &good) && !is_read(Provider::Rest, &good));
    }

    #[test]
    fn graphql_by_get_reads_only_if_it_is_a_query() {
        let get = |query: &[(&str, &str)]| Request {
            query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..request(Method::Get, "graphql.json")
        };
        assert!(is_read(Provider::Shopify, &get(&[("query", "{ shop { name } }"), ("variables", "{}")])));
        for query in [
            &[][..],
            &[("query", "mutation { x }")],
            &[("query", "{ a }"), ("query", "mutation { x }")],
            &[("query", "{ a }"), ("extensions", "{}")],
            &[("id", "deleteAll")],
        ] {
            assert!(!is_read(Provider::Shopify, &get(query)), "{query:?}");
        }
        // Elsewhere `query` is what is searched for, unless it changes something.
        let search = |text: &str| Request {
            query: vec![("query".to_owned(), text.to_owned())],
            ..request(Method::Get, "search.json")
        };
        for text in ["mutation testing", "type:ticket status:open", "{ a }", "email:\"x\""] {
            assert!(is_read(Provider::Zendesk, &search(text)), "{text}");
        }
        let deep = format!("mutation {}x{}", "{a".repeat(200), "}".repeat(200));
        for text in ["mutation { x }", "mutation M($a: Int) { x(a: $a) }", "subscription { x }", "mutation {", &deep] {
            assert!(!is_read(Provider::Zendesk, &search(text)), "{text}");
        }
    }

    #[test]
    fn each_provider_counts_its_own_reads() {
        use Method::{Get, Head, Post};
        for (provider, method, path, expected) in [
            (Provider::Salesforce, Get, "query", true),
            (Provider::Salesforce, Post, "composite", false),
            (Provider::Salesforce, Post, "composite/batch", false),
            (Provider::Zendesk, Head, "tickets.json", true),
            (Provider::Zendesk, Post, "tickets.json", false),
            (Provider::Klaviyo, Get, "campaigns", true),
            (Provider::GoogleSheets, Get, "spreadsheets/x/values/A1:B2", true),
            (Provider::GoogleSheets, Post, "spreadsheets/x/values:batchGetByDataFilter", false),
            (Provider::Slack, Get, "conversations.list", true),
            (Provider::Slack, Post, "users.lookupByEmail", true),
            (Provider::Slack, Get, "chat.postMessage", false),
            (Provider::Slack, Get, "conversations.archive", false),
            (Provider::Slack, Get, "", false),
            (Provider::Slack, Get, "Conversations.list", false),
            (Provider::Slack, Get, "conversations.list/", false),
            (Provider::Slack, Method::Delete, "conversations.list", false),
        ] {
            assert_eq!(is_read(provider, &request(method, path)), expected, "{provider:?} {method:?} {path}");
        }
    }
}
