//! What a client asks, and whether it is within bounds.

use remit_domain::{Error, catalogue::Caller, schema::Problem};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::Settings;

/// A message to an agent.
#[derive(Clone)]
pub struct Request {
    /// Who asks, and which agent.
    pub caller: Caller,
    /// What the user says.
    pub message: String,
    /// The conversation to go on with: a UUID. A new one is made if there is none.
    pub conversation: Option<String>,
    /// What else the client says.
    pub details: Details,
}

/// What a client may say beside its message. The model sees it as data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Whom it is about.
    pub customer_id: Option<String>,
    /// The ticket it is about; its data is fetched where the agent has the tool for it.
    pub ticket_id: Option<String>,
    /// How urgent it is.
    pub priority: Option<String>,
    /// The machine it is about.
    pub machine_id: Option<String>,
}

impl Details {
    /// The most characters of one of them.
    pub const MAX_LENGTH: usize = 128;

    /// Those that are given, under the names that tools use.
    pub(crate) fn fields(&self) -> Map<String, Value> {
        let given = self.named().into_iter().filter_map(|(name, _, value)| Some((name, value.as_deref()?)));
        given.map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
    }

    /// Each with the name that tools use and its place in a request.
    fn named(&self) -> [(&'static str, &'static str, &Option<String>); 4] {
        [
            ("customer_id", "/customer_id", &self.customer_id),
            ("ticket_id", "/ticketId", &self.ticket_id),
            ("priority", "/priority", &self.priority),
            ("machine_id", "/machine_id", &self.machine_id),
        ]
    }
}

/// A request found to be within bounds.
pub(crate) struct Question {
    /// The conversation it belongs to.
    pub(crate) conversation: Uuid,
}

impl Question {
    /// Errors: [`Error::InvalidArguments`] with everything that is wrong.
    pub(crate) fn check(request: &Request, settings: &Settings) -> Result<Self, Error> {
        let mut problems = Vec::new();
        let mut wrong =
            |pointer: &str, message: String| problems.push(Problem { pointer: pointer.to_owned(), message });
        if request.message.trim().is_empty() {
            wrong("/message", "must not be empty".to_owned());
        } else if request.message.len() > settings.max_message_bytes {
            wrong("/message", format!("must not be longer than {} bytes", settings.max_message_bytes));
        }
        for (_, pointer, value) in request.details.named() {
            let Some(value) = value else { continue };
            if value.is_empty() || value.chars().count() > Details::MAX_LENGTH || value.contains(char::is_control) {
                wrong(pointer, format!("must be 1 to {} characters without control characters", Details::MAX_LENGTH));
            }
        }
        // However the client writes its UUID, one conversation has one name, or it could be worked on twice.
        let conversation = match &request.conversation {
            None => Some(Uuid::new_v4()),
            Some(id) => Uuid::try_parse(id).ok(),
        };
        match conversation {
            Some(conversation) if problems.is_empty() => Ok(Self { conversation }),
            Some(_) => Err(Error::InvalidArguments(problems)),
            None => {
                problems.push(Problem { pointer: "/conversationId".to_owned(), message: "must be a UUID".to_owned() });
                Err(Error::InvalidArguments(problems))
            }
        }
    }
}
