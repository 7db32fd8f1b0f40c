//! Chat with a model behind a server that others made: `aimock`, which answers by a script and refuses
//! whatever the script does not foresee.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use serde_json::{Value, json};

use super::clients::{PATIENCE, node, tool};
use crate::host::{Host, Setup, answer, repository};

/// A canary, to be found in no answer, log or journal.
const KEY: &str = "sk-canary-of-the-model-7f3a";

/// A model's server that runs.
struct Mock {
    url: String,
    http: reqwest::Client,
    child: Child,
}

impl Mock {
    /// Nothing where it is not installed, which is said. It takes a port itself and prints it.
    fn start() -> Option<Self> {
        let (node, program) = (node()?, tool("node_modules/@copilotkit/aimock/dist/cli.js")?);
        let mut command = Command::new(node);
        command.arg(program).args(["--port", "0", "--strict", "--validate-on-load", "--fixtures"]);
        command.arg(repository().join("tests/clients/model.json"));
        command.env_clear().env("AIMOCK_API_KEYS", KEY).env("AIMOCK_STRICT_TURN_INDEX", "1");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        crate::host::install_tls();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut mock = Self { url: String::new(), http, child };
        let (ready, wait) = mpsc::channel();
        // Goes on to its end: the server would stand still if nobody read what it prints.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("listening on ") {
                    let _ = ready.send(url.trim().to_owned());
                }
            }
        });
        mock.url = wait.recv_timeout(PATIENCE).unwrap();
        Some(mock)
    }

    async fn host(&self, key: &str) -> Host {
        Setup::demo().env("OPENAI_BASE_URL", format!("{}/v1", self.url)).env("OPENAI_API_KEY", key).start().await
    }

    /// From now on each request fares like this; `{}` ends it.
    async fn chaos(&self, chaos: &Value) {
        let request = self.http.post(format!("{}/__aimock/chaos", self.url)).bearer_auth(KEY);
        let (status, body) = answer(request.body(chaos.to_string())).await;
        assert_eq!((status, &body["chaos"]), (200, chaos));
    }

    /// The chat requests that it got since it was asked last.
    async fn received(&self) -> Vec<Value> {
        let journal =
            self.http.get(format!("{}/__aimock/journal?path=/v1/chat/completions", self.url)).bearer_auth(KEY);
        let (status, body) = answer(journal).await;
        assert_eq!(status, 200, "{body:#}");
        let reset = self.http.post(format!("{}/__aimock/reset/journal", self.url)).bearer_auth(KEY);
        assert_eq!(answer(reset).await.0, 200);
        body.as_array().unwrap().iter().map(|entry| entry["body"].clone()).collect()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn say(host: &Host, said: Value) -> (u16, Value) {
    answer(host.post("/api/sales/chat", said.to_string())).await
}

fn calls(body: &Value) -> Vec<(&str, bool)> {
    let calls = body["toolCalls"].as_array().unwrap();
    calls.iter().map(|call| (call["name"].as_str().unwrap(), call["ok"].as_bool().unwrap())).collect()
}

#[tokio::test]
async fn a_model_calls_tools_in_two_rounds_and_answers() {
    let Some(mock) = Mock::start() else { return };
    let host = mock.host(KEY).await;
    let (status, body) = say(&host, json!({"message": "What may we offer Northwind Robotics?"})).await;
    assert_eq!((status, &body["success"]), (200, &json!(true)), "{body:#}");
    assert_eq!(body["response"], "Northwind Robotics is a loyal customer; any promotion that runs now may be offered.");
    assert_eq!(
        calls(&body),
        [("search_customers", true), ("calculate_customer_ltv", true), ("get_current_promotions", true)]
    );
    assert_eq!((&body["toolCallsMade"], &body["toolsAvailable"]), (&json!(3), &json!(6)));
    assert_eq!((&body["model"], &body["agentType"]), (&json!("gpt-4o"), &json!("sales")));
    assert_eq!(body["usage"], json!({"promptTokens": 7000, "completionTokens": 90, "totalTokens": 7090}));

    let received = mock.received().await;
    assert_eq!(received.len(), 3);
    let last = received.iter().max_by_key(|request| request["messages"].as_array().unwrap().len()).unwrap();
    let messages = last["messages"].as_array().unwrap();
    let roles: Vec<&str> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "tool", "tool"]);
    assert!(messages[0]["content"].as_str().unwrap().starts_with("You are a technical sales assistant"));
    for (at, id, name, parameters) in [
        (3, "call_search", "search_customers", json!({"query": "Northwind Robotics", "limit": 1000})),
        (5, "call_ltv", "calculate_customer_ltv", json!({"customer_id": "cust_123"})),
        (6, "call_promotions", "get_current_promotions", json!({})),
    ] {
        assert_eq!(messages[at]["tool_call_id"], id);
        let shown: Value = serde_json::from_str(messages[at]["content"].as_str().unwrap()).unwrap();
        assert_eq!(shown, json!({"tool_name": name, "result": host.result(name, parameters).await}));
    }

    let more = json!({"message": "Shorter, please", "conversationId": body["conversationId"]});
    let (status, more) = say(&host, more).await;
    assert_eq!((status, &more["response"]), (200, &json!("Any promotion.")), "it is told what was said: {more:#}");
}

#[tokio::test]
async fn a_models_mistakes_are_told_to_the_model() {
    let Some(mock) = Mock::start() else { return };
    let host = mock.host(KEY).await;
    let (status, body) = say(&host, json!({"message": "Try everything wrong"})).await;
    assert_eq!((status, &body["response"]), (200, &json!("None of that worked.")), "{body:#}");
    assert_eq!(calls(&body), [("search_customers", false), ("search_customers", false), ("drop_all_tables", false)]);
    let received = mock.received().await;
    let told: Vec<Value> = received
        .iter()
        .flat_map(|request| request["messages"].as_array().unwrap())
        .filter(|message| message["role"] == "tool")
        .map(|message| serde_json::from_str(message["content"].as_str().unwrap()).unwrap())
        .collect();
    let codes: Vec<&str> = told.iter().map(|told| told["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["invalid_arguments", "invalid_arguments", "tool_missing"], "{told:#?}");
}

#[tokio::test]
async fn a_model_that_never_stops_is_made_to() {
    let Some(mock) = Mock::start() else { return };
    let host = mock.host(KEY).await;
    let (status, body) = say(&host, json!({"message": "Never stop"})).await;
    assert_eq!((status, &body["response"]), (200, &json!("I was made to stop.")), "{body:#}");
    assert_eq!(calls(&body), [("search_customers", true); 5]);
    assert_eq!(mock.received().await.len(), 6);
}

#[tokio::test]
async fn a_failing_model_is_said_in_stable_codes_and_the_key_nowhere() {
    let Some(mock) = Mock::start() else { return };
    let mut host = mock.host(KEY).await;
    let mut seen = String::new();
    for (chaos, expected, attempts) in [
        (json!({"malformedRate": 1}), (502, "model_bad_answer"), 1),
        (json!({"rateLimitRate": 1}), (503, "model_unavailable"), 3),
        (json!({"disconnectRate": 1}), (503, "model_unavailable"), 1),
        (json!({"dropRate": 1}), (503, "model_unavailable"), 3),
    ] {
        mock.chaos(&chaos).await;
        let asked = json!({"message": "Are you there?"}).to_string();
        let response = host.post("/api/sales/chat", asked).send().await.unwrap();
        let waits = response.headers().contains_key("retry-after");
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        assert_eq!((status, body["code"].as_str().unwrap()), expected, "{chaos}: {body:#}");
        assert_eq!((body["success"].as_bool(), waits), (Some(false), status == 503), "{chaos}");
        assert_eq!(mock.received().await.len(), attempts, "{chaos}");
        assert!(
            !body.to_string().contains("127.0.0.1") && !body.to_string().contains("haos"),
            "no internals: {body:#}"
        );
        seen += &body.to_string();
    }
    // What the script does not foresee, it refuses.
    mock.chaos(&json!({})).await;
    let (status, body) = say(&host, json!({"message": "Nobody foresaw this"})).await;
    assert_eq!((status, &body["code"]), (503, &json!("model_unavailable")), "{body:#}");
    let (status, body) = say(&host, json!({"message": "Are you there?"})).await;
    assert_eq!((status, &body["response"]), (200, &json!("I am.")), "it is asked again when it is back: {body:#}");
    let (code, log) = host.stop();
    assert_eq!(code, Some(0));
    seen += &log;
    assert!(seen.len() > 5_000, "something was looked through");
    assert!(!seen.contains(KEY), "the key was told");
}

#[tokio::test]
async fn a_key_that_the_model_refuses_is_the_operators_concern() {
    const WRONG: &str = "sk-canary-that-is-wrong-91bc";
    let Some(mock) = Mock::start() else { return };
    let mut host = mock.host(WRONG).await;
    let (status, body) = say(&host, json!({"message": "Are you there?"})).await;
    assert_eq!((status, &body["code"]), (503, &json!("model_unavailable")), "{body:#}");
    let (_, log) = host.stop();
    assert!(log.contains("401"), "the operator is told why");
    assert!(!body.to_string().contains(WRONG) && !log.contains(WRONG));
}
