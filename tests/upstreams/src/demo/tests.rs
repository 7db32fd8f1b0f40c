//! The demo's files: written once, kept, made anew on request.

#![expect(clippy::indexing_slicing, reason = "a missing key of JSON reads as null, and a test may break")]

use anyhow::{Context, Result};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, MySqlConnection, Row, SqliteConnection};

use super::{prepare, seed_mysql, seed_sqlite};
use crate::data::techstart::dataset;
use crate::mariadb::Mariadb;

async fn open(path: &std::path::Path) -> Result<SqliteConnection> {
    Ok(SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(path)).await?)
}

#[tokio::test]
async fn prepares_once_and_anew_when_asked() -> Result<()> {
    let state = tempfile::tempdir()?;
    let prepared = prepare(state.path(), false).await?;
    assert_eq!(prepared.primary, state.path().join("demo/techstart/primary.db"));
    let mut primary = open(&prepared.primary).await?;
    sqlx::query("UPDATE customers SET notes = 'kept' WHERE id = 'cust_123'").execute(&mut primary).await?;
    primary.close().await?;
    for (fresh, kept) in [(false, true), (true, false)] {
        let prepared = prepare(state.path(), fresh).await?;
        let mut primary = open(&prepared.primary).await?;
        let row =
            sqlx::query("SELECT notes = 'kept' FROM customers WHERE id = 'cust_123'").fetch_one(&mut primary).await?;
        assert_eq!(row.try_get::<bool, _>(0)?, kept, "fresh: {fresh}");
        primary.close().await?;
    }
    std::fs::remove_file(&prepared.analytics)?;
    std::fs::remove_dir_all(&prepared.storage)?;
    std::fs::write(prepared.documents.join("handbook.md"), "kept")?;
    prepare(state.path(), false).await?;
    assert!(prepared.analytics.exists() && prepared.storage.join("campaigns/2026-q3-email.csv").exists());
    assert_eq!(std::fs::read_to_string(prepared.documents.join("handbook.md"))?, "kept");
    Ok(())
}

#[tokio::test]
async fn rows_arrive_whole_and_exact() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("primary.db");
    let data = dataset();
    seed_sqlite(&path, &data).await?;
    assert!(seed_sqlite(&path, &data).await.is_err(), "an existing file is left alone");
    let mut primary = open(&path).await?;
    for (table, expected) in [
        ("customers", data.customers.len()),
        ("orders", data.orders.len()),
        ("order_items", data.orders.iter().map(|order| order.items.len()).sum()),
        ("customer_interactions", data.interactions.len()),
        ("announcements", data.announcements.len()),
    ] {
        let count = format!("SELECT COUNT(*) FROM {table}");
        let row = sqlx::query(sqlx::AssertSqlSafe(count)).fetch_one(&mut primary).await?;
        assert_eq!(usize::try_from(row.try_get::<i64, _>(0)?)?, expected, "{table}");
    }
    let differing = "SELECT COUNT(*) FROM orders o WHERE CAST(ROUND(o.total_amount * 100) AS INTEGER) <> \
                     (SELECT SUM(CAST(ROUND(unit_price * 100) AS INTEGER) * quantity) FROM order_items WHERE order_id = o.id)";
    let row = sqlx::query(differing).fetch_one(&mut primary).await?;
    assert_eq!(row.try_get::<i64, _>(0)?, 0);
    let first = data.orders.first().context("no orders")?;
    let row = sqlx::query("SELECT created_at, typeof(created_at) FROM orders WHERE id = 'ord_00001'")
        .fetch_one(&mut primary)
        .await?;
    let written: String = row.try_get_unchecked(0)?;
    assert_eq!(written, first.created_at.to_string().get(..19).unwrap_or_default());
    assert_eq!(row.try_get::<String, _>(1)?, "text");
    let declared =
        "SELECT type FROM pragma_table_info('orders') WHERE name IN ('total_amount', 'created_at') ORDER BY cid";
    let rows = sqlx::query(declared).fetch_all(&mut primary).await?;
    let types: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    assert_eq!(types, ["DECIMAL(12,2)", "DATETIME"]);
    Ok(())
}

#[tokio::test]
async fn the_warehouse_counts_what_the_shop_sold() -> Result<()> {
    let state = tempfile::tempdir()?;
    let prepared = prepare(state.path(), false).await?;
    let cents = "CAST(ROUND(SUM({}) * 100) AS INTEGER)";
    let mut primary = open(&prepared.primary).await?;
    let sold =
        format!("SELECT COUNT(*), {} FROM orders WHERE status <> 'cancelled'", cents.replace("{}", "total_amount"));
    let sold: (i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(sold)).fetch_one(&mut primary).await?;
    let mut warehouse = open(&prepared.warehouse).await?;
    let counted = format!("SELECT SUM(orders), {} FROM monthly_sales", cents.replace("{}", "revenue"));
    let counted: (i64, i64) = sqlx::query_as(sqlx::AssertSqlSafe(counted)).fetch_one(&mut warehouse).await?;
    assert_eq!(counted, sold);
    // The campaign that the seed asks about, and none that sold more than there was.
    let query = "SELECT id FROM campaign_performance WHERE name LIKE 'Q3 2026%' AND channel = 'email'";
    let id: String = sqlx::query_scalar(query).fetch_one(&mut warehouse).await?;
    assert_eq!(id, "camp_2026_q3");
    let odd = "SELECT COUNT(*) FROM campaign_performance WHERE conversions > clicked OR clicked > opened OR opened > sent \
               OR conversions = 0 OR revenue <= spend * 0";
    assert_eq!(sqlx::query_scalar::<_, i64>(odd).fetch_one(&mut warehouse).await?, 0);
    Ok(())
}

#[tokio::test]
async fn documents_have_json_ids() -> Result<()> {
    let state = tempfile::tempdir()?;
    let prepared = prepare(state.path(), false).await?;
    let mut analytics = open(&prepared.analytics).await?;
    let row = sqlx::query("SELECT collection, body FROM documents WHERE id = '\"analytics_123\"'")
        .fetch_one(&mut analytics)
        .await?;
    assert_eq!(row.try_get::<String, _>(0)?, "customer_analytics");
    let body: serde_json::Value = serde_json::from_str(&row.try_get::<String, _>(1)?)?;
    assert_eq!((&body["_id"], &body["customer_id"]), (&"analytics_123".into(), &"cust_123".into()));
    assert!(body["avg_orders_per_month"].as_f64().is_some_and(|rate| rate > 0.0));
    Ok(())
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a test says what it skips")]
async fn mysql_holds_the_same_rows() -> Result<()> {
    let Some(server) = Mariadb::start_if_installed().await? else {
        eprintln!("skipped: MariaDB is not installed");
        return Ok(());
    };
    let data = dataset();
    seed_mysql(&server.url(), &data).await?;
    assert!(seed_mysql(&server.url(), &data).await.is_err(), "existing tables are left alone");
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("primary.db");
    seed_sqlite(&path, &data).await?;
    let mut sqlite = open(&path).await?;
    let mut mysql = MySqlConnection::connect(&server.url()).await?;
    for (table, sum, first) in [
        ("customers", "COUNT(last_contact_date)", "created_at"),
        ("orders", "SUM(ROUND(total_amount * 100))", "created_at"),
        ("order_items", "SUM(ROUND(unit_price * 100) * quantity)", "product_name"),
        ("customer_interactions", "SUM(LENGTH(notes))", "created_at"),
        ("announcements", "SUM(active)", "created_at"),
    ] {
        // Both engines can say it in text, whatever the types of their sums.
        let query = format!("SELECT CONCAT(COUNT(*), ' ', CAST({sum} AS DECIMAL(20)), ' ', MIN({first})) FROM {table}");
        let row = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_one(&mut mysql).await?;
        let in_mysql: String = row.try_get(0)?;
        let query = format!("SELECT COUNT(*) || ' ' || CAST({sum} AS INTEGER) || ' ' || MIN({first}) FROM {table}");
        let row = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_one(&mut sqlite).await?;
        assert_eq!(in_mysql, row.try_get::<String, _>(0)?, "{table}");
    }
    Ok(())
}
