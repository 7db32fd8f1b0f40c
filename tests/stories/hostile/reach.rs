//! Guests that reach for what they were not handed: the machine, other sources, and writing with a handle
//! that reads.

use remit_upstreams::{data::techstart, demo, mariadb::Mariadb};
use serde_json::{Value, json};

use super::{host, setup, still_well, walk};
use crate::host::{Host, answer, patch_json};

/// Through each of these doors of a database's handle.
const DOORS: [&str; 6] = ["execute", "start_execute", "query", "rows", "start_rows", "transaction"];

/// However a guest hands the statement over, its read handle refuses it.
async fn refused_at_every_door(host: &Host, statement: &str) {
    for through in DOORS {
        let tried =
            host.result("write_read_only", json!({"statement": statement, "through": through})).await.to_string();
        let refused = ["Denied", "Invalid", "NotFound"].iter().any(|case| tried.contains(case));
        assert!(refused && !tried.contains("allowed:"), "{through} {statement}: {tried}");
    }
}

#[tokio::test]
async fn a_guest_reaches_nothing_of_the_machine() {
    let host = host().await;
    let found = host.result("environment", json!({})).await;
    assert_eq!((&found["variables"], &found["arguments"]), (&json!(0), &json!(0)), "{found:#}");
    for closed in ["root", "passwd", "written", "socket", "lookup", "listener", "datagram"] {
        assert_ne!(found[closed], "allowed", "{found:#}");
    }
    // Not mapped, mapped but not declared, and not there at all: no difference to a guest.
    for name in ["analytics", "ecommerce", "nothing", ""] {
        let tried = host.result("open_ungranted", json!({"name": name})).await.to_string();
        assert!(!tried.contains("taken") && tried.contains("has: false"), "{name}: {tried}");
    }
}

#[tokio::test]
async fn clocks_are_coarse_and_randomness_is_there() {
    let host = host().await;
    let clocks = host.result("clocks", json!({})).await;
    let finest = clocks["finest"].as_u64().unwrap();
    assert!(finest >= 1_000_000 && finest.is_multiple_of(1_000_000), "steps of whole milliseconds: {clocks:#}");
    assert_eq!(clocks["below"], json!(0), "no more than milliseconds of the wall clock: {clocks:#}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(clocks["now"].as_u64().unwrap().abs_diff(now) < 60, "{clocks:#}");
    let (one, other) = (host.result("random", json!({})).await, host.result("random", json!({})).await);
    let (first, second) = (&one["items"][0], &one["items"][1]);
    assert!(first.as_array().unwrap().len() == 16 && first != second && one != other, "{one} {other}");
}

#[tokio::test]
async fn a_guest_does_not_speak_for_the_host() {
    let mut host = host().await;
    let spoken = host.result("speak", json!({})).await;
    assert_eq!(spoken["input"], "0 bytes", "there is nothing to read: {spoken:#}");
    still_well(&host).await;
    let (code, log) = host.stop();
    assert_eq!(code, Some(0));
    assert!(!log.lines().any(|line| line.starts_with("listening on http://evil")), "{log}");
}

#[tokio::test]
async fn a_read_handle_writes_nothing_in_any_way() {
    let mut host = host().await;
    let before = customers(&host).await;
    for statement in [
        "DELETE FROM customers",
        "UPDATE customers SET company = 'x' RETURNING id",
        "REPLACE INTO customers (id) VALUES ('cust_123')",
        "WITH gone AS (SELECT 1) DELETE FROM customers",
        "WITH gone AS (DELETE FROM customers RETURNING id) SELECT * FROM gone",
        "WITH new AS (SELECT 'x' AS title) INSERT INTO announcements (title) SELECT title FROM new",
        "SELECT * INTO loot FROM customers",
        "SELECT 1 INTO OUTFILE 'stolen'",
        "SELECT 1; DELETE FROM customers",
        "SELECT 1;\0DELETE FROM customers",
        "INSERT INTO announcements (title) VALUES ('x')",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "SELECT * FROM pragma_query_only('OFF')",
        "ATTACH DATABASE 'stolen.db' AS stolen",
        "VACUUM INTO 'stolen.db'",
        "CREATE TABLE loot (a)",
        "CREATE TEMP TABLE loot AS SELECT * FROM customers",
        "REINDEX",
        "ANALYZE",
        "EXPLAIN DELETE FROM customers",
        "SELECT load_extension('x')",
        "SELECT writefile('stolen', 'x')",
        "SELECT edit('stolen', 'x')",
        "SELECT fts3_tokenizer('x')",
        "/*!50000 DELETE */ FROM customers",
        "",
        "BEGIN",
        "COMMIT",
    ] {
        refused_at_every_door(&host, statement).await;
    }
    assert_eq!(customers(&host).await, before);
    let stolen = walk(host.root.path());
    assert!(!stolen.iter().any(|file| file.contains("stolen")), "{stolen:?}");
    // The refusals are on record.
    host.stop();
    let denied = host.audit().await.into_iter().filter(|row| row.name == "write_read_only");
    assert!(denied.into_iter().any(|row| row.sources.to_string().contains("\"denied\"")));
}

#[tokio::test]
async fn a_read_handle_of_a_server_writes_nothing_either() {
    let Some(server) = Mariadb::start_if_installed().await.unwrap() else {
        eprintln!("skipped: MariaDB is not installed (Debian: mariadb-server)");
        return;
    };
    demo::seed_mysql(&server.url(), &techstart::dataset()).await.unwrap();
    // An account that may do all: what the handle refuses is refused by the host.
    let host = setup(&["hostile-calls"])
        .hostile("calls")
        .env("TECHSTART_DB_URI", server.url())
        .edit(|root| {
            patch_json(&root.join("configs/profiles/demo/techstart.json"), |patch| {
                patch["dataSources"]["databases"].as_object_mut().unwrap().remove("primary");
            });
        })
        .start()
        .await;
    let before = customers(&host).await;
    for statement in [
        "DELETE FROM customers",
        "WITH gone AS (SELECT 1) DELETE FROM customers",
        "SELECT 1; DELETE FROM customers",
        "SELECT 1 INTO OUTFILE '/tmp/remit-stolen'",
        "SELECT 1 INTO @stolen",
        "SELECT 1 /*M!100100 INTO OUTFILE '/tmp/remit-stolen' */",
        "SELECT 1 /*!50000 INTO DUMPFILE '/tmp/remit-stolen' */",
        "SELECT LOAD_FILE('/etc/passwd')",
        "SELECT * FROM customers FOR UPDATE",
        "SET SESSION TRANSACTION READ WRITE",
        "CREATE TEMPORARY TABLE loot AS SELECT 1",
        "CALL anything()",
        "DO RELEASE_ALL_LOCKS()",
        "HANDLER customers OPEN",
        "LOCK TABLES customers WRITE",
        "GRANT ALL ON *.* TO evil",
    ] {
        refused_at_every_door(&host, statement).await;
    }
    assert_eq!(customers(&host).await, before);
    assert!(!std::path::Path::new("/tmp/remit-stolen").exists());
}

#[tokio::test]
async fn a_read_handle_of_documents_writes_nothing_in_any_way() {
    let host = setup(&["hostile-calls"])
        .hostile("calls")
        .patch("configs/contexts/techstart.json", |context| {
            let sales = &mut context["agentMappings"]["sales"];
            sales["dataSources"] = json!(["primary", "analytics"]);
            sales["permissions"] = json!({"primary": ["read"], "analytics": ["read"]});
        })
        .start()
        .await;
    let tried = async |through: &str, collection: &str, json: Value| {
        let asked = json!({"through": through, "collection": collection, "json": json});
        host.result("write_documents", asked).await.to_string()
    };
    const THERE: &str = "customer_analytics";
    let before = tried("count", THERE, json!({})).await;
    assert!(before.contains("allowed: ") && !before.contains("allowed: 0"), "{before}");
    for (through, json) in [
        ("insert", json!({"_id": "new"})),
        ("update", json!({"$set": {"a": 1}})),
        ("upsert", json!({"_id": "new"})),
        ("delete", json!({"_id": {"$exists": true}})),
    ] {
        let tried = tried(through, THERE, json).await;
        assert!(tried.contains("Denied"), "{through}: {tried}");
    }
    let code = json!({"$where": "function() { while (true) {} }"});
    for (through, json) in [
        ("aggregate", json!([{"$out": "stolen"}])),
        ("aggregate", json!([{"$match": {}}, {"$merge": {"into": "stolen"}}])),
        ("aggregate", json!([{"$facet": {"a": [{"$out": "stolen"}]}}])),
        ("aggregate", json!([{"$match": code}])),
        ("aggregate", json!([{"$group": {"_id": null, "x": {"$accumulator": {}}}}])),
        ("aggregate", json!([{"$project": {"x": {"$function": {"body": "1", "args": [], "lang": "js"}}}}])),
        ("find", code.clone()),
        ("find", json!({"$or": [{"a": 1}, code]})),
        ("count", code.clone()),
    ] {
        let started = format!("start_{through}");
        let doors = if through == "count" { vec![through] } else { vec![through, started.as_str()] };
        for through in doors {
            let tried = tried(through, THERE, json.clone()).await;
            assert!(tried.contains("Denied") && !tried.contains("allowed:"), "{through} {json}: {tried}");
        }
    }
    for collection in ["system.users", "a$b", "", "../analytics", "stolen\0"] {
        let tried = tried("find", collection, json!({})).await;
        assert!(!tried.contains("allowed: [{"), "{collection:?}: {tried}");
    }
    assert_eq!(tried("count", THERE, json!({})).await, before);
    let stolen = tried("count", "stolen", json!({})).await;
    assert!(stolen.contains("allowed: 0") || stolen.contains("NotFound"), "{stolen}");
    still_well(&host).await;
}

async fn customers(host: &Host) -> Value {
    let (status, body) = answer(host.get("/api/mcp/tools/sales")).await;
    assert_eq!(status, 200, "{body:#}");
    host.result("search_customers", json!({"query": "", "limit": 1000, "include_inactive": true})).await["total"]
        .clone()
}
