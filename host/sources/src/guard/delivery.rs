//! What the host itself has to tell somebody: JSON, posted to one address of the operator's.
//!
//! Deliberately absent: trying again, which is the sender's affair.

use std::time::Duration;

use reqwest::{StatusCode, header};
use url::Url;

use super::{Guard, Refused, SetupError, Timeouts};

/// How long the other side may take to be reached, and to answer.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);

/// Why something did not arrive, or is not known to have.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// The guard lets nothing be sent there.
    #[error("nothing may be sent there")]
    Refused(#[source] Refused),
    /// It was not reached, or did not answer.
    #[error("the address was not reached or did not answer")]
    Unanswered(#[source] reqwest::Error),
    /// It did not take it.
    #[error("the address answered {0}")]
    Status(StatusCode),
}

/// A way to one address.
#[derive(Debug, Clone)]
pub struct Delivery {
    http: reqwest::Client,
    guard: Guard,
    url: Url,
}

impl Delivery {
    /// A guarded way to an address. Errors: [`SetupError::Client`].
    pub fn new(guard: &Guard, url: Url) -> Result<Self, SetupError> {
        let http = guard.client(Timeouts { connect: CONNECT, read: ANSWER })?;
        Ok(Self { http, guard: guard.clone(), url })
    }

    /// Posts a JSON text. Errors: [`Undelivered`]; after `Unanswered` it may have arrived.
    pub async fn post(&self, json: String) -> Result<(), Undelivered> {
        self.guard.check(&self.url).map_err(Undelivered::Refused)?;
        let request = self.http.post(self.url.clone()).timeout(CONNECT + ANSWER);
        let sent = request.header(header::CONTENT_TYPE, "application/json").body(json).send().await;
        let status = sent.map_err(|error| Undelivered::Unanswered(error.without_url()))?.status();
        if status.is_success() { Ok(()) } else { Err(Undelivered::Status(status)) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::{Arc, Mutex};

    use axum::{Router, extract::State, routing::post};

    use super::super::NetworkRules;
    use super::*;

    type Seen = Arc<Mutex<Vec<String>>>;

    async fn take(State(seen): State<Seen>, body: String) -> StatusCode {
        let full = seen.lock().unwrap().len() == 1;
        seen.lock().unwrap().push(body);
        if full { StatusCode::INSUFFICIENT_STORAGE } else { StatusCode::NO_CONTENT }
    }

    #[tokio::test]
    async fn what_is_posted_arrives_where_the_rules_let_it() {
        let seen = Seen::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/take", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().route("/take", post(take)).with_state(seen.clone());
        let serving = tokio::spawn(axum::serve(listener, router).into_future());

        let open = Guard::new(NetworkRules::new(["127.0.0.1"]).unwrap()).unwrap();
        let delivery = Delivery::new(&open, url.clone()).unwrap();
        delivery.post("{\"a\":1}".to_owned()).await.unwrap();
        let refused = delivery.post("{}".to_owned()).await;
        assert!(matches!(refused, Err(Undelivered::Status(StatusCode::INSUFFICIENT_STORAGE))), "{refused:?}");
        assert_eq!(*seen.lock().unwrap(), ["{\"a\":1}", "{}"]);

        let closed = Guard::new(NetworkRules::new([""; 0]).unwrap()).unwrap();
        let refused = Delivery::new(&closed, url.clone()).unwrap().post("{}".to_owned()).await;
        assert!(matches!(refused, Err(Undelivered::Refused(Refused::Address))), "{refused:?}");
        assert_eq!(seen.lock().unwrap().len(), 2);
        serving.abort();
    }
}
