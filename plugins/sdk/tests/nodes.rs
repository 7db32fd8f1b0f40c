//! Steps, run as an author's own tests run them.

use remit_sdk::{
    prelude::*,
    serde_json::{self, Value as Json},
    testing::{self, FakeDatabase},
};

node_set![
    Node::new("total", "Adds up the orders of a customer.", total).title("Total").reads("primary").harmless_to_repeat(),
    Node::new("archive", "Marks rows of a table as old.", |config: Archive, _: Json, call: &Call| {
        let rows = call.database("primary")?.execute("UPDATE orders SET old = 1 WHERE id = $1", params![config.id])?;
        Ok(json!({ "rows": rows.rows_affected }))
    })
    .validates(archive_needs),
    Node::new("sift", "Goes one of two ways.", |config: Sift, input: Json, _: &Call| {
        let large = input.get("amount").and_then(serde_json::Value::as_f64).unwrap_or_default() >= config.least;
        Ok(Branched { branch: if large { "large" } else { "small" }, output: input })
    })
    .branches(&["large", "small"]),
    Node::new("stray", "Goes nowhere.", |_: NoArguments, _: Json, _: &Call| Ok(Branched { branch: "up", output: 1 })),
];

#[derive(Deserialize, JsonSchema)]
struct Total {
    /// Whose orders.
    customer: String,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Sum {
    cents: i64,
}

#[derive(Deserialize, JsonSchema)]
struct Archive {
    id: i64,
    /// Where the table is.
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Deserialize, JsonSchema)]
struct Sift {
    least: f64,
}

fn total(config: Total, _: Json, call: &Call) -> Result<Sum> {
    let sum = call
        .database("primary")?
        .row("SELECT SUM(cents) AS cents FROM orders WHERE customer = $1", params![config.customer])?;
    sum.ok_or_else(|| Error::refused("no such customer"))
}

fn archive_needs(config: &Written<'_>) -> Option<Validated> {
    config.requires("archive", &["source"]);
    Some(Validated::harmless(vec![Need::writes(config.literal("source")?)]))
}

#[test]
fn steps_are_described() {
    let described = node_set().describe();
    let [total, archive, sift, _] = &described.nodes[..] else { panic!("four") };
    assert_eq!((total.title.as_deref(), &total.needs), (Some("Total"), &vec![Need::reads("primary")]));
    let config: Json = serde_json::from_str(&total.config_schema).unwrap();
    assert_eq!((&config["type"], &config["required"]), (&json!("object"), &json!(["customer"])));
    let output: Json = serde_json::from_str(total.output_schema.as_deref().unwrap()).unwrap();
    assert_eq!(output["properties"]["cents"]["type"], "integer");
    assert_eq!((archive.branches.len(), &sift.branches[..]), (0, &["large".to_owned(), "small".to_owned()][..]));
    assert_ne!(total.repeat, archive.repeat);
}

#[test]
fn needs_are_read_from_the_config() {
    let set = node_set();
    let config = r#"{"id":"{{ inputs.id }}","source":"primary"}"#;
    // Of this config a repeated execution is harmless, whatever the kind of step says.
    assert_eq!(set.validate("archive", config), Ok(Validated::harmless(vec![Need::writes("primary")])));
    let unfilled = set.validate("archive", r#"{"source":"{{ inputs.where }}"}"#).unwrap_err();
    assert_eq!(unfilled.iter().map(|problem| problem.pointer.as_str()).collect::<Vec<_>>(), ["/source"]);
    assert_eq!(set.validate("archive", "{}"), Err(vec![Problem::at("", "`archive` needs `source`")]));
    assert_eq!(set.validate("sift", "{}"), Ok(Validated::harmful(Vec::new())));
    assert_eq!(set.validate("total", "{}"), Ok(Validated::harmless(Vec::new())));
    assert_eq!(set.validate("gone", "{}"), Err(vec![Problem::at("", "there is no step `gone`")]));
    assert!(set.validate("archive", "{").is_err());
}

#[test]
fn steps_run_and_branch() -> Result<()> {
    let database = FakeDatabase::sqlite().rows("from orders", json!([{ "cents": 1250 }]));
    let call = testing::call().reads("primary", &database).build();
    let set = node_set();
    let outcome = set.execute("total", r#"{"customer":"c1"}"#, "null", &call)?;
    assert_eq!((outcome.output.as_str(), &outcome.branch), (r#"{"cents":1250}"#, &None));
    for (amount, branch) in [(10, "small"), (200, "large")] {
        let outcome = set.execute("sift", r#"{"least":100}"#, &format!(r#"{{"amount":{amount}}}"#), &call)?;
        assert_eq!(outcome.branch.as_deref(), Some(branch));
    }
    let denied = set.execute("archive", r#"{"id":1,"source":"primary"}"#, "{}", &call);
    assert!(matches!(denied.map_err(|error| error.cause().cloned()), Err(Some(Cause::Denied(_)))));
    assert!(matches!(set.execute("stray", "{}", "{}", &call), Err(Error::Refused(_))), "no such way is declared");
    assert!(matches!(set.execute("total", "{}", "{}", &call), Err(Error::Invalid(_))));
    assert!(matches!(set.execute("gone", "{}", "{}", &call), Err(Error::Unknown(_))));
    Ok(())
}
