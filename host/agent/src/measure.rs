//! The seed's figures of an agent: how long a reply took, its calls, the tools on offer, whether it succeeded.

use std::time::Instant;

use remit_domain::{Error, catalogue::Caller};

use crate::{Answer, MadeCall};

/// The figures of one reply. Dropped before its end, it counts as cancelled.
pub(crate) struct Measure {
    tenant: String,
    agent: String,
    began: Instant,
    ended: bool,
}

impl Measure {
    pub(crate) fn begin(caller: &Caller) -> Self {
        let (tenant, agent) = (caller.context.tenant.to_string(), caller.agent.to_string());
        Self { tenant, agent, began: Instant::now(), ended: false }
    }

    pub(crate) fn tools_available(&self, count: usize) {
        let (tenant, agent) = self.labels();
        // A set has far fewer tools than a float has exact integers.
        metrics::gauge!("remit_agent_tools_available", "tenant" => tenant, "agent" => agent).set(count as f64);
    }

    pub(crate) fn calls(&self, made: &[MadeCall]) {
        for call in made {
            let (tenant, agent) = self.labels();
            let outcome = if call.ok { "ok" } else { "failed" };
            metrics::counter!(
                "remit_agent_tool_calls_total", "tenant" => tenant, "agent" => agent, "outcome" => outcome
            )
            .increment(1);
        }
    }

    pub(crate) fn end(mut self, result: &Result<Answer, Error>) {
        self.ended = true;
        match result {
            Ok(answer) => {
                let (calls, ms) = (answer.tool_calls_made, self.began.elapsed().as_millis());
                tracing::info!(tenant = self.tenant, agent = self.agent, calls, ms, "the agent answered");
                self.count("ok");
            }
            Err(error) => {
                let (code, cause) = (error.code(), error as &dyn std::error::Error);
                tracing::warn!(tenant = self.tenant, agent = self.agent, code, error = cause, "the agent failed");
                self.count(code);
            }
        }
    }

    fn count(&self, outcome: &'static str) {
        let (tenant, agent) = self.labels();
        metrics::counter!("remit_agent_requests_total", "tenant" => tenant, "agent" => agent, "outcome" => outcome)
            .increment(1);
        let (tenant, agent) = self.labels();
        metrics::histogram!("remit_agent_response_seconds", "tenant" => tenant, "agent" => agent)
            .record(self.began.elapsed());
    }

    fn labels(&self) -> (String, String) {
        (self.tenant.clone(), self.agent.clone())
    }
}

impl Drop for Measure {
    fn drop(&mut self) {
        if !self.ended {
            self.count("cancelled");
        }
    }
}
