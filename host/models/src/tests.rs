//! Models against a local server that answers what a test tells it to.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::IntoResponse,
    routing::post,
};
use remit_domain::{
    Error, TenantId,
    model::{Completion, Message, Model, Models, Request, ToolCall, ToolOffer, Usage},
    tenant::{Context, ModelChoice},
};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{Limits, Offline, Providers, Settings};

/// One answer of the stand-in server.
#[derive(Clone)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Reply {
    fn ok(body: &Value) -> Self {
        Self::text(200, &body.to_string())
    }

    fn text(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// A server that answers from a list, and never once the list is empty.
#[derive(Clone, Default)]
struct Stub {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
}

impl Stub {
    async fn start(replies: impl IntoIterator<Item = Reply>) -> Result<(Self, String)> {
        let stub = Self { replies: Arc::new(Mutex::new(replies.into_iter().collect())), ..Self::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let app = Router::new().route("/v1/chat/completions", post(Self::answer)).with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok((stub, url))
    }

    async fn answer(State(stub): State<Self>, headers: HeaderMap, body: Bytes) -> axum::response::Response {
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        stub.seen.lock().unwrap_or_else(PoisonError::into_inner).push((headers, body));
        let reply = stub.replies.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some(reply) = reply else { return std::future::pending().await };
        let mut response = reply.body.into_response();
        *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
        for (name, value) in reply.headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn seen(&self) -> Vec<(HeaderMap, Value)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn http(timeout: Duration) -> Result<reqwest::Client> {
    // A second test of this process finds it installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder().timeout(timeout).no_proxy().build()?)
}

fn limits() -> Limits {
    Limits { first_pause: Duration::ZERO, ..Limits::default() }
}

fn settings(base_url: Option<&str>, key: Option<&str>) -> Settings {
    Settings {
        base_url: base_url.map(str::to_owned),
        key: key.map(SecretString::from),
        limits: limits(),
        ..Settings::default()
    }
}

fn context(model: Option<ModelChoice>) -> Result<Context> {
    Ok(Context { model, ..Context::of(TenantId::new("techstart")?, "TechStart Inc") })
}

fn choice(name: Option<&str>, base_url: Option<&str>, key: Option<&str>) -> Option<ModelChoice> {
    let [name, base_url] = [name, base_url].map(|it| it.map(str::to_owned));
    Some(ModelChoice { name, base_url, key: key.map(SecretString::from) })
}

fn provider(settings: Settings, model: Option<ModelChoice>) -> Result<Arc<dyn Model>> {
    Ok(Providers::new(settings, http(Duration::from_secs(30))?).of(&context(model)?)?)
}

fn request(tools: Vec<ToolOffer>) -> Request {
    Request { messages: vec![Message::User { content: "Hello".to_owned() }], tools, temperature: 0.0, answer: None }
}

fn tool(name: &str) -> ToolOffer {
    ToolOffer { name: name.to_owned(), description: "Does it".to_owned(), parameters: json!({"type": "object"}) }
}

/// Asks a server that answers this, and gives what the port answers and how often it was asked.
async fn ask(replies: impl IntoIterator<Item = Reply>, request: &Request) -> Result<(Result<Completion, Error>, Stub)> {
    let (stub, url) = Stub::start(replies).await?;
    let model = provider(settings(Some(&url), Some("sk-secret")), None)?;
    Ok((model.complete(request).await, stub))
}

fn said(content: &str) -> Reply {
    Reply::ok(&json!({"choices": [{"message": {"role": "assistant", "content": content}}]}))
}

/// What the client may see of an error must hold neither key, nor address, nor the server's words.
fn discreet(error: &Error) -> bool {
    let shown = format!("{error} {:?}", error.hint());
    !["sk-secret", "127.0.0.1", "http", "PRIVATE"].iter().any(|word| shown.contains(word))
}

#[tokio::test]
async fn a_turn_travels_whole() -> Result<()> {
    let answer = json!({
        "id": "x", "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{\"q\":1}"}}]}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    });
    let mut asked = request(vec![tool("search")]);
    asked.messages.insert(0, Message::System { content: "Be brief".to_owned() });
    asked.messages.push(Message::Assistant {
        content: None,
        tool_calls: vec![ToolCall { id: "a".to_owned(), name: "search".to_owned(), arguments: "{oops".to_owned() }],
    });
    asked.messages.push(Message::Tool { tool_call_id: "a".to_owned(), content: "{}".to_owned() });
    let (completion, stub) = ask([Reply::ok(&answer)], &asked).await?;
    let call = ToolCall { id: "call_1".to_owned(), name: "search".to_owned(), arguments: "{\"q\":1}".to_owned() };
    let usage = Usage { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 };
    assert_eq!(completion?, Completion { content: None, tool_calls: vec![call], usage });
    let seen = stub.seen();
    let (headers, body) = seen.first().context("asked")?;
    assert_eq!(headers.get("authorization").context("authorized")?, "Bearer sk-secret");
    let expected = json!({
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "search", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "a", "content": "{}"},
        ],
        "tools": [{"type": "function", "function": {"name": "search", "description": "Does it", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "temperature": 0.0,
        "stream": false,
    });
    assert_eq!(*body, expected);
    Ok(())
}

#[tokio::test]
async fn without_tools_the_fields_are_left_out() -> Result<()> {
    let (completion, stub) = ask([said("Hi")], &request(Vec::new())).await?;
    assert_eq!(
        completion?,
        Completion { content: Some("Hi".to_owned()), tool_calls: Vec::new(), usage: Usage::default() }
    );
    let seen = stub.seen();
    let (_, body) = seen.first().context("asked")?;
    assert!(body.get("tools").is_none() && body.get("tool_choice").is_none(), "{body}");
    Ok(())
}

#[tokio::test]
async fn fields_that_are_left_out_or_odd_are_made_good() -> Result<()> {
    let answer = json!({"usage": {"prompt_tokens": -1, "completion_tokens": u64::MAX}, "choices": [{"message": {
        "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}],
        "tool_calls": [
            {"function": {"name": "x", "arguments": {"q": 1}}},
            {"id": "same", "function": {"name": "x"}},
            {"id": "same", "function": {"name": "x", "arguments": ""}},
            {},
        ],
    }}]});
    let (completion, _) = ask([Reply::ok(&answer)], &request(Vec::new())).await?;
    let completion = completion?;
    assert_eq!(completion.content.as_deref(), Some("ab"));
    let arguments: Vec<_> = completion.tool_calls.iter().map(|it| (it.name.as_str(), it.arguments.as_str())).collect();
    assert_eq!(arguments, [("x", "{\"q\":1}"), ("x", "{}"), ("x", "{}"), ("", "{}")]);
    let ids: std::collections::BTreeSet<_> = completion.tool_calls.iter().map(|it| &it.id).collect();
    assert_eq!(ids.len(), 4);
    assert!(completion.usage.total_tokens.checked_mul(1000).is_some());
    Ok(())
}

#[tokio::test]
async fn a_name_that_openai_does_not_take_is_bent_and_straightened() -> Result<()> {
    let (stub, url) = Stub::start([said("first")]).await?;
    let model = provider(settings(Some(&url), None), None)?;
    let asked = request(vec![tool("crm.search"), tool("crm_search")]);
    model.complete(&asked).await?;
    let bent =
        stub.seen().first().and_then(|(_, body)| Some(body.pointer("/tools/0/function/name")?.as_str()?.to_owned()));
    let bent = bent.context("offered")?;
    ensure!(bent.starts_with("crm_search_") && bent.len() <= 64, "{bent}");
    let answer = json!({"choices": [{"message": {"tool_calls": [{"id": "1", "function": {"name": bent}}]}}]});
    let (completion, _) = ask([Reply::ok(&answer)], &asked).await?;
    assert_eq!(completion?.tool_calls.first().map(|call| call.name.clone()), Some("crm.search".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_refused_key_is_not_tried_again_and_not_told() -> Result<()> {
    let page = r#"{"error": {"message": "PRIVATE: bad key sk-secret", "code": "invalid_api_key"}}"#;
    let (result, stub) = ask([Reply::text(401, page)], &request(Vec::new())).await?;
    let error = result.err().context("refused")?;
    assert!(matches!(error, Error::ModelUnavailable { retry_after_ms: None, .. }) && discreet(&error), "{error:?}");
    let cause = std::error::Error::source(&error).context("for the operator")?.to_string();
    assert!(cause.contains("401") && cause.contains("[key]") && !cause.contains("sk-secret"), "{cause}");
    assert_eq!(stub.seen().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_busy_server_is_asked_again_a_few_times_and_no_more() -> Result<()> {
    let busy = Reply::text(503, "PRIVATE");
    let (result, stub) = ask([busy.clone(), Reply::text(429, "{}"), said("at last")], &request(Vec::new())).await?;
    assert_eq!(result?.content.as_deref(), Some("at last"));
    assert_eq!(stub.seen().len(), 3);
    let (result, stub) = ask(vec![busy; 5], &request(Vec::new())).await?;
    let error = result.err().context("busy")?;
    assert!(matches!(error, Error::ModelUnavailable { .. }) && discreet(&error), "{error:?}");
    assert_eq!(stub.seen().len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_long_wait_is_passed_on_instead_of_waited() -> Result<()> {
    for (reply, expected) in [
        (Reply::text(429, "{}").header("retry-after", "30"), Some(30_000)),
        (Reply::text(429, "{}").header("retry-after-ms", "7500"), Some(7_500)),
        (Reply::text(429, "{}").header("retry-after", "99999999999999"), Some(u32::MAX)),
        (Reply::text(429, r#"{"error": {"code": "insufficient_quota", "message": "pay"}}"#), None),
    ] {
        let (result, stub) = ask([reply], &request(Vec::new())).await?;
        let error = result.err().context("too many")?;
        assert_eq!(error.retry_after_ms(), expected);
        assert_eq!(stub.seen().len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn answers_that_are_none_are_the_models_fault() -> Result<()> {
    for body in [
        "PRIVATE not json",
        "{\"choices\": \"PRIVATE\"}",
        "{}",
        "{\"choices\": []}",
        "{\"error\": {\"message\": \"PRIVATE\"}}",
        "",
    ] {
        let (result, stub) = ask([Reply::text(200, body)], &request(Vec::new())).await?;
        let error = result.err().with_context(|| body.to_owned())?;
        assert!(matches!(error, Error::Model { .. }) && discreet(&error), "{body}: {error:?}");
        let chain = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(!chain.contains("PRIVATE"), "{chain}");
        assert_eq!(stub.seen().len(), 1);
    }
    let (result, _) = ask([Reply::text(400, "PRIVATE")], &request(Vec::new())).await?;
    let error = result.err().context("refused")?;
    assert_eq!(error.to_string(), "the language model answered badly: it refused the request with status 400");
    Ok(())
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() -> Result<()> {
    let (_, url) = Stub::start([said(&"x".repeat(5000))]).await?;
    let mut settings = settings(Some(&url), None);
    settings.limits.max_answer_bytes = 1000;
    let error = provider(settings, None)?.complete(&request(Vec::new())).await.err().context("too long")?;
    assert_eq!(error.to_string(), "the language model answered badly: its answer is longer than the host reads");
    Ok(())
}

#[tokio::test]
async fn silence_and_absence_are_unavailable() -> Result<()> {
    let (stub, url) = Stub::start([]).await?;
    let slow = Providers::new(settings(Some(&url), None), http(Duration::from_millis(100))?);
    let error = slow.of(&context(None)?)?.complete(&request(Vec::new())).await.err().context("slow")?;
    assert!(matches!(error, Error::ModelUnavailable { .. }) && discreet(&error), "{error:?}");
    assert!(stub.seen().len() <= 1, "a request that may have been worked on is not sent again");

    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    drop(listener);
    for url in [url.as_str(), "no url at all"] {
        let error = provider(settings(Some(url), Some("sk-secret")), None)?.complete(&request(Vec::new())).await.err();
        let error = error.context("absent")?;
        assert!(matches!(error, Error::ModelUnavailable { .. }) && discreet(&error), "{error:?}");
    }
    Ok(())
}

/// A server that is never silent and never done: spaces before the JSON, or in an error page.
async fn dripping(status: StatusCode) -> Result<(Arc<AtomicUsize>, String)> {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let drip = move || async move {
        counted.fetch_add(1, Ordering::SeqCst);
        let drops = futures::stream::unfold(tokio::time::interval(Duration::from_millis(10)), |mut clock| async {
            clock.tick().await;
            Some((Ok::<_, std::convert::Infallible>(" "), clock))
        });
        (status, axum::body::Body::from_stream(drops))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let app = Router::new().route("/v1/chat/completions", post(drip));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok((asked, url))
}

#[tokio::test]
async fn a_server_that_drips_is_not_waited_for() -> Result<()> {
    for status in [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
        let (asked, url) = dripping(status).await?;
        let mut settings = settings(Some(&url), Some("sk-secret"));
        settings.limits.attempt_time = Duration::from_millis(300);
        // The client alone would wait much longer.
        let error = provider(settings, None)?.complete(&request(Vec::new())).await.err().context("endless")?;
        assert!(matches!(error, Error::ModelUnavailable { retry_after_ms: None, .. }) && discreet(&error), "{error:?}");
        let cause = std::error::Error::source(&error).context("for the operator")?.to_string();
        assert_eq!(cause, "the model's server has not answered whole within 300ms");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "what was begun there may go on");
    }
    Ok(())
}

#[tokio::test]
async fn the_tenants_choice_comes_before_the_hosts() -> Result<()> {
    let (stub, url) = Stub::start([said("a"), said("b"), said("c")]).await?;
    let host = || settings(Some("http://127.0.0.1:9/v1"), Some("sk-host"));
    let own = [
        choice(Some("llama"), Some(&url), Some("sk-tenant")),
        choice(None, Some(&format!("{url}/")), None),
        choice(None, Some(&url), Some(" ")),
    ];
    for own in own {
        provider(host(), own)?.complete(&request(Vec::new())).await?;
    }
    let seen = stub.seen();
    let sent: Vec<_> = seen
        .iter()
        .map(|(headers, body)| {
            (headers.get("authorization").and_then(|it| it.to_str().ok()), body.get("model").and_then(Value::as_str))
        })
        .collect();
    let expected = [(Some("Bearer sk-tenant"), Some("llama")), (None, Some("gpt-4o")), (None, Some("gpt-4o"))];
    assert_eq!(sent, expected, "the host's key stays with the host's server");
    Ok(())
}

#[tokio::test]
async fn the_hosts_key_serves_a_tenant_that_names_the_hosts_server() -> Result<()> {
    let (stub, url) = Stub::start([said("a"), said("b")]).await?;
    for own in [choice(Some("small"), None, None), choice(None, Some(&format!("{url}/")), None)] {
        provider(settings(Some(&url), Some("sk-host")), own)?.complete(&request(Vec::new())).await?;
    }
    for (headers, _) in stub.seen() {
        assert_eq!(headers.get("authorization").context("authorized")?, "Bearer sk-host");
    }
    Ok(())
}

#[test]
fn without_key_and_url_there_is_no_model_but_in_the_demo() -> Result<()> {
    for blank in [settings(None, None), settings(Some(" "), Some(""))] {
        let providers = Providers::new(blank.clone(), http(Duration::from_secs(1))?);
        assert!(matches!(providers.of(&context(None)?), Err(Error::NoModel)));
        let demo = provider(Settings { offline: true, ..blank }, choice(Some("llama"), None, None))?;
        assert_eq!(demo.name(), Offline::NAME);
    }
    let real = provider(Settings { offline: true, ..settings(None, Some("sk-secret")) }, None)?;
    assert_eq!(real.name(), "gpt-4o");
    Ok(())
}

#[test]
fn a_key_that_no_header_can_carry_is_an_error_and_no_panic() -> Result<()> {
    let result =
        Providers::new(settings(None, Some("sk-secret\nX: y")), http(Duration::from_secs(1))?).of(&context(None)?);
    let error = result.err().context("unfit")?;
    assert!(matches!(error, Error::ModelUnavailable { .. }) && discreet(&error), "{error:?}");
    assert!(!format!("{error:?}").contains("sk-secret"));
    Ok(())
}
