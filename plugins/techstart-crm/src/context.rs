//! `customer_context`: whom the agent works for, what it may use, and what is new. A source that fails
//! leaves its list empty.

use remit_sdk::{prelude::*, serde_json};

use crate::promotions::{self, Rule};

#[derive(Serialize)]
pub(crate) struct Context {
    company: Company,
    current_promotions: Vec<Rule>,
    recent_announcements: Vec<Announcement>,
    agent_capabilities: Capabilities,
    data_sources: Vec<String>,
}

#[derive(Serialize)]
struct Company {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    industry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    website: Option<String>,
    timezone: String,
}

/// The agent's mapping, in the form that the tenant's configuration has it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Capabilities {
    data_sources: Vec<String>,
    permissions: serde_json::Map<String, serde_json::Value>,
    mcp_server: serde_json::Value,
}

#[derive(Deserialize, Serialize)]
struct Announcement {
    title: Option<String>,
    content: Option<String>,
    created_at: Option<Timestamp>,
}

pub(crate) fn read(call: &Call) -> Result<Context> {
    let announcements = call.database("primary").map(|database| {
        database.start_rows::<Announcement>(
            "SELECT title, content, created_at FROM announcements WHERE active = 1 \
             ORDER BY created_at DESC, id DESC LIMIT 5",
            params![],
        )
    });
    let current_promotions = call.api("ecommerce").and_then(|api| promotions::active(call, &api));
    let recent_announcements = announcements.and_then(|pending| pending.get());

    let context = call.context();
    let data_sources: Vec<String> = context.sources.iter().map(|source| source.source.clone()).collect();
    let permissions = context.sources.iter().map(|source| {
        let words = match source.permission {
            Permission::Read => json!(["read"]),
            Permission::Write => json!(["read", "write"]),
        };
        (source.source.clone(), words)
    });
    Ok(Context {
        company: Company {
            name: context.company.name.clone(),
            industry: context.company.industry.clone(),
            website: context.company.website.clone(),
            timezone: context.company.time_zone.clone(),
        },
        current_promotions: or_empty(call, "promotions", current_promotions),
        recent_announcements: or_empty(call, "announcements", recent_announcements),
        agent_capabilities: Capabilities {
            data_sources: data_sources.clone(),
            permissions: permissions.collect(),
            mcp_server: match &context.sets[..] {
                [set] => json!(set),
                sets => json!(sets),
            },
        },
        data_sources,
    })
}

fn or_empty<T>(call: &Call, what: &str, read: Result<Vec<T>>) -> Vec<T> {
    read.unwrap_or_else(|error| {
        call.log(Level::Warning, &format!("{what} were not read: {error}"));
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use remit_sdk::{
        ResourceBody, ResourceContents,
        prelude::*,
        serde_json,
        testing::{self, FakeApi, FakeCall, FakeDatabase, unavailable},
    };

    use crate::tool_set;

    fn read(call: FakeCall) -> Result<serde_json::Value> {
        let read = tool_set().read("remit://techstart-crm/customer_context", &call.build())?;
        let [ResourceContents { body: ResourceBody::Text(text), .. }] = &read[..] else { panic!("one text") };
        Ok(serde_json::from_str(text).unwrap_or_default())
    }

    #[test]
    fn shows_company_news_and_mapping() -> Result<()> {
        let database = FakeDatabase::sqlite().rows(
            "from announcements",
            json!([{ "title": "Launch", "content": "Today.", "created_at": "2026-11-20 09:00:00" }]),
        );
        let api = FakeApi::new().json("price_rules.json", json!({ "price_rules": [{ "id": 1, "title": "Autumn" }] }));
        let call = testing::call().writes("primary", &database).reads("ecommerce", &api);
        let call = call.context(|context| {
            context.sets = vec!["techstart-crm".to_owned()];
            context.company.industry = Some("Technology".to_owned());
        });
        assert_eq!(
            read(call)?,
            json!({
                "company": { "name": "Test Inc", "industry": "Technology", "timezone": "UTC" },
                "current_promotions": [{ "id": 1, "title": "Autumn" }],
                "recent_announcements": [
                    { "title": "Launch", "content": "Today.", "created_at": "2026-11-20T09:00:00Z" },
                ],
                "agent_capabilities": {
                    "dataSources": ["primary", "ecommerce"],
                    "permissions": { "primary": ["read", "write"], "ecommerce": ["read"] },
                    "mcpServer": "techstart-crm",
                },
                "data_sources": ["primary", "ecommerce"],
            })
        );
        Ok(())
    }

    #[test]
    fn failing_sources_leave_their_lists_empty() -> Result<()> {
        let database = FakeDatabase::sqlite().fails("announcements", unavailable());
        let call = testing::call().reads("primary", &database);
        let told = call.told();
        let context = read(call)?;
        assert_eq!(context["current_promotions"], json!([]));
        assert_eq!(context["recent_announcements"], json!([]));
        assert_eq!(told.log().len(), 2);
        Ok(())
    }

    #[test]
    fn the_playbook_is_markdown_and_other_addresses_are_unknown() {
        let call = testing::call().build();
        let playbook = tool_set().read("remit://techstart-crm/sales_playbook", &call);
        assert!(playbook.is_ok_and(|it| it.len() == 1));
        let unknown = "remit://techstart-crm/secrets";
        assert_eq!(tool_set().read(unknown, &call), Err(Error::Unknown(unknown.to_owned())));
    }
}
