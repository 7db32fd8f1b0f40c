//! TechStart's CRM and sales tools: customers, their orders, worth and notes in `primary`, tasks in
//! `crm` (Salesforce), stock and promotions in `ecommerce` (Shopify), habits in `analytics`.
//!
//! A file a tool. None builds SQL or paths from what it is given: parameters and queries carry it.

mod context;
mod customers;
mod inventory;
mod lifetime;
mod notes;
mod orders;
mod promotions;
mod shopify;

use remit_sdk::prelude::*;

tool_set! {
    title: "TechStart CRM and Sales Tools",
    tools: [
        Tool::new(
            "search_customers",
            "Search customers in TechStart CRM by name, email, or company",
            customers::search,
        )
        .reads("primary"),
        Tool::new("get_customer_orders", "Get orders for a specific customer", orders::of_customer).reads("primary"),
        Tool::new(
            "calculate_customer_ltv",
            "Calculate customer lifetime value with detailed analytics",
            lifetime::value,
        )
        .reads("primary")
        .reads_if_granted("analytics"),
        Tool::new(
            "update_customer_notes",
            "Update customer notes and interaction log (sales agents only)",
            notes::update,
        )
        .writes("primary")
        .writes_if_granted("crm")
        .additive(),
        Tool::new("check_inventory", "Check real-time inventory levels from Shopify", inventory::check)
            .reads("ecommerce"),
        Tool::new("get_current_promotions", "Get active promotions and discount codes", promotions::current)
            .reads("ecommerce")
            .reads_if_granted("primary"),
    ],
    resources: [
        Resource::json(
            "customer_context",
            "Current customer interaction context and company information",
            context::read,
        )
        .reads_if_granted("ecommerce")
        .reads_if_granted("primary"),
        Resource::fixed(
            "sales_playbook",
            "Sales methodologies and best practices for TechStart",
            "text/markdown",
            include_str!("sales_playbook.md"),
        ),
    ],
}

#[cfg(test)]
mod tests {
    use remit_sdk::{json, serde_json};

    use super::tool_set;

    #[test]
    fn tools_are_described_with_their_needs() {
        let tools = tool_set().describe().tools;
        let needs = tools.iter().map(|tool| {
            let needs = tool
                .needs
                .iter()
                .map(|need| format!("{}{}:{:?}", if need.optional { "?" } else { "" }, need.source, need.permission));
            (tool.name.as_str(), needs.collect::<Vec<_>>().join(" "), tool.annotations.read_only)
        });
        assert_eq!(
            needs.collect::<Vec<_>>(),
            [
                ("search_customers", "primary:Permission::Read".to_owned(), true),
                ("get_customer_orders", "primary:Permission::Read".to_owned(), true),
                ("calculate_customer_ltv", "primary:Permission::Read ?analytics:Permission::Read".to_owned(), true),
                ("update_customer_notes", "primary:Permission::Write ?crm:Permission::Write".to_owned(), false),
                ("check_inventory", "ecommerce:Permission::Read".to_owned(), true),
                ("get_current_promotions", "ecommerce:Permission::Read ?primary:Permission::Read".to_owned(), true),
            ]
        );
    }

    #[test]
    fn parameters_have_the_documented_names_defaults_and_bounds() -> serde_json::Result<()> {
        let tools = tool_set().describe().tools;
        let search: serde_json::Value = serde_json::from_str(&tools[0].input_schema)?;
        assert_eq!(
            search,
            json!({
                "type": "object",
                "properties": {
                    "query": { "type": "string", "description": "Search query (name, email, or company)" },
                    "limit": {
                        "type": "integer",
                        "format": "uint32",
                        "minimum": 1,
                        "maximum": 1000,
                        "default": 10,
                        "description": "Maximum number of results to return",
                    },
                    "include_inactive": {
                        "type": "boolean",
                        "default": false,
                        "description": "Include inactive customers in results",
                    },
                },
                "required": ["query"],
                "additionalProperties": false,
            })
        );
        let orders: serde_json::Value = serde_json::from_str(&tools[1].input_schema)?;
        assert_eq!(
            orders["properties"]["status"],
            json!({
                "type": "string",
                "enum": ["pending", "processing", "completed", "cancelled", "any"],
                "default": "any",
                "description": "Filter by order status",
            })
        );
        assert_eq!(orders["required"], json!(["customer_id"]));
        let notes: serde_json::Value = serde_json::from_str(&tools[3].input_schema)?;
        assert_eq!(
            notes["properties"]["interaction_type"]["enum"],
            json!(["call", "email", "meeting", "demo", "quote", "other", "lead_qualification", "fraud_flag"])
        );
        for tool in &tools {
            let output = tool.output_schema.as_deref().unwrap_or("null");
            let output: serde_json::Value = serde_json::from_str(output)?;
            assert_eq!(output["type"], "object", "{}", tool.name);
            // Valid JSON Schema, but strict MCP clients refuse it.
            assert!(!output.to_string().contains("\"items\":true"), "{}", tool.name);
        }
        Ok(())
    }

    #[test]
    fn resources_are_described() {
        let described = tool_set().describe_resources();
        let resources = described.resources.iter().map(|it| (it.uri.as_str(), it.mime_type.as_deref()));
        assert_eq!(
            resources.collect::<Vec<_>>(),
            [
                ("remit://techstart-crm/customer_context", Some("application/json")),
                ("remit://techstart-crm/sales_playbook", Some("text/markdown")),
            ]
        );
    }
}
