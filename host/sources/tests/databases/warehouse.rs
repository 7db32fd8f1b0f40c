//! BigQuery's API as far as an emulator does not go: paging, slow and broken answers, refusals, what
//! is uncertain, tokens. Asked of a stand-in that records.

mod scopes;

use std::{collections::BTreeSet, time::Duration};

use remit_domain::{
    data::{Error, Refusal, Sources as _, sql::RowSet, sql::Value},
    scope::Scope,
    source::{Credentials, Kind, Warehouse},
};
use remit_sources::Settings;
use remit_upstreams::tokens::TokenServer;
use serde_json::json;

use crate::{
    ground::Ground,
    settings,
    stand_in::{Reply, StandIn, Wish, begun, changed, failed, not_yet, page, would},
};

fn kind(url: String, credentials: Credentials) -> Kind {
    Kind::BigQuery(Warehouse {
        project: "acme".to_owned(),
        dataset: Some("sales".to_owned()),
        location: None,
        max_bytes_billed: 1_000,
        credentials: Credentials { uri: Some(url.into()), ..credentials },
    })
}

/// For what ends by itself, on a busy machine too.
fn patient() -> Settings {
    Settings { statement_timeout: Duration::from_secs(60), ..settings() }
}

/// A warehouse that answers so. It has little time where a reply does not come or never says the end.
async fn asked(replies: Vec<(Wish, Vec<Reply>)>) -> (StandIn, Ground) {
    let endless = |reply: &Reply| matches!(reply, Reply::Silent) || *reply == not_yet() || *reply == running();
    let ends = !replies.iter().any(|(_, replies)| replies.last().is_some_and(endless));
    let credentials = Credentials { token: Some("canary-token".to_owned().into()), ..Credentials::default() };
    let stand_in = StandIn::start(replies).await;
    let settings = if ends { patient() } else { settings() };
    let ground = Ground::of(settings, kind(stand_in.url(), credentials), Scope::ALL).await.unwrap();
    (stand_in, ground)
}

/// A change that has not ended.
fn running() -> Reply {
    Reply::Json(200, json!({ "status": { "state": "RUNNING" } }))
}

/// A query's outcome in a warehouse whose pages are these.
async fn paging(pages: Vec<Reply>) -> (StandIn, Result<RowSet, Error>) {
    let (stand_in, ground) =
        asked(vec![(Wish::DryRun, vec![would("SELECT", 10)]), (Wish::Begin, vec![begun()]), (Wish::Page, pages)]).await;
    let result = ground.query("SELECT n FROM t", &[]).await;
    (stand_in, result)
}

/// Its error.
async fn paged(pages: Vec<Reply>) -> Error {
    let error = paging(pages).await.1.unwrap_err();
    let shown = format!("{error:?}");
    assert!(!shown.contains("acme") && !shown.contains("127.0.0.1") && !shown.contains("canary"), "{shown}");
    error
}

/// A change's outcome in a warehouse that answers so.
async fn change(replies: Vec<(Wish, Vec<Reply>)>) -> (StandIn, Result<u64, Error>) {
    let mut all = vec![(Wish::DryRun, vec![would("DELETE", 10)])];
    all.extend(replies);
    let (stand_in, ground) = asked(all).await;
    let result = ground.execute("DELETE FROM t WHERE n = ?", &[Value::Integer(1)]).await;
    (stand_in, result.map(|change| change.rows_affected))
}

fn case<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().case()
}

#[tokio::test]
async fn a_query_is_tried_dry_then_begun_and_paged() {
    let pages = vec![not_yet(), page(&[1, 2], Some("more")), page(&[], Some("last")), page(&[3], None)];
    let (stand_in, ground) =
        asked(vec![(Wish::DryRun, vec![would("SELECT", 10)]), (Wish::Begin, vec![begun()]), (Wish::Page, pages)]).await;
    let given = [Value::Text("it's ?".to_owned()), Value::Null, Value::Decimal("1.50".to_owned())];
    let statement = "SELECT n FROM `acme.sales.t` WHERE a = $1 AND b = $2 AND c = $3 AND d = '?' OR a = $1 -- ?";
    let answer = ground.query(statement, &given).await.unwrap();
    assert_eq!(answer.rows, [[Value::Integer(1)], [Value::Integer(2)], [Value::Integer(3)]]);
    assert_eq!(answer.columns[0].data_type, "int64");
    assert_eq!(
        stand_in.wishes(),
        [Wish::DryRun, Wish::Begin, Wish::Page, Wish::Page, Wish::Page, Wish::Page],
        "a job that is over is not cancelled"
    );
    let seen = stand_in.seen();
    let (dry, begin) = (&seen[0].body, &seen[1].body);
    let text = json!({ "type": "STRING" });
    assert_eq!(
        begin["configuration"],
        json!({
            "dryRun": false,
            "jobTimeoutMs": "60000",
            "query": {
                "query": "SELECT n FROM `acme`.`sales`.`t` WHERE a = ? AND b = NULL AND c = ? AND d = '?' OR a = ?",
                "useLegacySql": false,
                "maximumBytesBilled": "1000",
                "parameterMode": "POSITIONAL",
                "queryParameters": [
                    { "parameterType": text, "parameterValue": { "value": "it's ?" } },
                    { "parameterType": { "type": "NUMERIC" }, "parameterValue": { "value": "1.50" } },
                    { "parameterType": text, "parameterValue": { "value": "it's ?" } },
                ],
                "defaultDataset": { "projectId": "acme", "datasetId": "sales" },
            },
        })
    );
    assert_eq!(dry["configuration"]["query"], begin["configuration"]["query"], "what is tried is what runs");
    assert_eq!(dry["jobReference"], json!({ "projectId": "acme" }));
    assert_eq!(begin["jobReference"]["location"], "EU", "where the dry run found the tables");
    let id = begin["jobReference"]["jobId"].as_str().unwrap();
    assert_eq!(seen[2].path, format!("/bigquery/v2/projects/acme/queries/{id}"));
    assert!(seen[2].query.contains("location=EU") && !seen[2].query.contains("pageToken"), "{}", seen[2].query);
    assert!(seen[4].query.contains("pageToken=more") && seen[5].query.contains("pageToken=last"));
    // The same statement again is another job.
    ground.query(statement, &given).await.unwrap();
    let ids: BTreeSet<_> = stand_in.seen().iter().filter(|seen| seen.wish == Wish::Begin).map(job_id).collect();
    assert_eq!(ids.len(), 2);
}

fn job_id(seen: &crate::stand_in::Seen) -> String {
    seen.body["jobReference"]["jobId"].to_string()
}

#[tokio::test]
async fn what_the_dry_run_finds_wrong_never_runs() {
    let other = json!({ "statistics": { "query": { "statementType": "SELECT" } } });
    let wide: Vec<_> = (0..65).map(|n| json!({ "name": format!("c{n}"), "type": "INTEGER" })).collect();
    let query = json!({ "statementType": "SELECT", "totalBytesProcessed": "1", "schema": { "fields": wide } });
    for (reply, expected) in [
        (would("EXPORT_DATA", 0), "denied"),
        (would("SCRIPT", 0), "denied"),
        (would("DELETE", 0), "denied"),
        (would("", 0), "denied"),
        (would("SELECT", 1_001), "limit"),
        (Reply::Json(200, other), "rejected"),
        (Reply::Json(200, json!({ "statistics": { "query": query } })), "invalid"),
        (Reply::Text(200, "<html>".to_owned()), "rejected"),
        (Reply::Reason(400, "invalidQuery", None), "invalid"),
        (Reply::Reason(404, "notFound", None), "not-found"),
        (Reply::Reason(403, "accessDenied", None), "denied"),
        (Reply::Reason(401, "authError", None), "unavailable"),
        (Reply::Reason(302, "moved", None), "unavailable"),
        (Reply::Reason(503, "backendError", None), "unavailable"),
        (Reply::Broken, "unavailable"),
        (Reply::Silent, "limit"),
    ] {
        let shown = format!("{reply:?}");
        let (stand_in, ground) = asked(vec![(Wish::DryRun, vec![reply.clone()])]).await;
        assert_eq!(case(ground.query("SELECT n FROM t", &[]).await), expected, "{shown}");
        let changing = case(ground.execute("UPDATE t SET n = 1 WHERE TRUE", &[]).await);
        let expected =
            if shown.contains("SELECT") && expected != "limit" && expected != "rejected" { "denied" } else { expected };
        assert_eq!(changing, expected, "{shown}");
        assert!(stand_in.wishes().iter().all(|wish| *wish == Wish::DryRun), "{shown}");
    }
    let (_stand_in, ground) = asked(vec![(Wish::DryRun, vec![would("SELECT", 1_001)])]).await;
    let error = ground.query("SELECT n FROM t", &[]).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-bytes-billed", allowed: 1_000 });
    for reason in ["rateLimitExceeded", "quotaExceeded"] {
        let (stand_in, ground) = asked(vec![(Wish::DryRun, vec![Reply::Reason(403, reason, Some(7))])]).await;
        let Err(Error::Throttled(wait)) = ground.query("SELECT n FROM t", &[]).await else { panic!("{reason}") };
        assert_eq!(wait.retry_after_ms, Some(7_000));
        assert_eq!(stand_in.wishes().len(), 1, "it asks to wait");
    }
}

#[tokio::test]
async fn answers_that_are_too_much_or_no_answers_are_refused() {
    assert_eq!(paged(vec![Reply::Text(200, "{".to_owned())]).await.case(), "rejected");
    let wrong = json!({ "jobComplete": true, "schema": { "fields": [{ "name": "n", "type": "INTEGER" }] } });
    for rows in [json!([{ "f": [] }]), json!([{ "f": [{ "v": "1" }, { "v": "2" }] }]), json!([{ "f": [{ "v": "x" }] }])]
    {
        let mut answer = wrong.clone();
        answer["rows"] = rows;
        assert_eq!(paged(vec![Reply::Json(200, answer)]).await.case(), "rejected");
    }
    assert_eq!(paged(vec![Reply::Json(200, json!({ "jobComplete": true }))]).await.case(), "rejected");
    assert_eq!(paged(vec![page(&[1], Some("again")), page(&[1], Some("again"))]).await.case(), "rejected");
    // Rows are missing, and no page with them is named.
    let mut many = wrong.clone();
    many["totalRows"] = json!("10001");
    assert_eq!(paged(vec![Reply::Json(200, many)]).await.case(), "rejected");
    let too_large = Error::Limit { name: "max-result-bytes", allowed: 4 * 1024 * 1024 };
    assert_eq!(paged(vec![texts(&[5 * 1024 * 1024], None)]).await, too_large);
    assert_eq!(paged(vec![texts(&[17 * 1024 * 1024], None)]).await, too_large, "it is not even held");
    for (reply, expected) in [
        (Reply::Reason(400, "invalidQuery", None), "rejected"),
        (Reply::Reason(403, "bytesBilledLimitExceeded", None), "limit"),
        (Reply::Reason(403, "responseTooLarge", None), "limit"),
        (Reply::Reason(500, "backendError", Some(2)), "unavailable"),
        (Reply::Reason(429, "rateLimitExceeded", Some(2)), "throttled"),
        (Reply::Broken, "unavailable"),
    ] {
        assert_eq!(paged(vec![reply.clone()]).await.case(), expected, "{reply:?}");
    }
}

/// A page of texts of so many bytes.
fn texts(sizes: &[usize], next: Option<&str>) -> Reply {
    let rows: Vec<_> = sizes.iter().map(|size| json!({ "f": [{ "v": "x".repeat(*size) }] })).collect();
    let fields = json!([{ "name": "s", "type": "STRING" }]);
    Reply::Json(200, json!({ "jobComplete": true, "schema": { "fields": fields }, "rows": rows, "pageToken": next }))
}

#[tokio::test]
async fn an_answer_with_no_room_for_more_is_cut_after_a_whole_row() {
    // Nothing says how many there are, and they don't end.
    let numbers: Vec<i64> = (0..4_000).collect();
    let pages = vec![page(&numbers, Some("a")), page(&numbers, Some("b")), page(&numbers, Some("c"))];
    let (stand_in, cut) = paging(pages).await;
    let cut = cut.unwrap();
    assert_eq!((cut.rows.len(), cut.truncated), (10_000, true));
    let (stop, wanted) = (stand_in.wishes(), [Wish::DryRun, Wish::Begin, Wish::Page, Wish::Page, Wish::Page]);
    assert_eq!(stop, wanted, "no page more is asked for, and a job that is over is not cancelled");
    let all: Vec<i64> = (0..5_000).collect();
    let (_stand_in, full) = paging(vec![page(&all, Some("a")), page(&all, None)]).await;
    let full = full.unwrap();
    assert_eq!((full.rows.len(), full.truncated), (10_000, false));
    let (megabyte, large) = (1024 * 1024, 17 * 1024 * 1024);
    for (pages, rows) in [
        (vec![texts(&[megabyte; 5], None)], 3),
        (vec![texts(&[9, 9], Some("a")), texts(&[megabyte; 5], Some("b"))], 5),
        (vec![texts(&[9], Some("a")), texts(&[5 * megabyte], None)], 1),
        (vec![texts(&[9], Some("a")), texts(&[large], None)], 1),
    ] {
        let cut = paging(pages).await.1.unwrap();
        assert_eq!((cut.rows.len(), cut.truncated), (rows, true));
    }
    let too_large = Error::Limit { name: "max-result-bytes", allowed: 4 * 1024 * 1024 };
    assert_eq!(paged(vec![texts(&[], Some("a")), texts(&[large], None)]).await, too_large);
}

#[tokio::test]
async fn a_query_that_nobody_waits_for_is_cancelled() {
    let paging =
        |page| vec![(Wish::DryRun, vec![would("SELECT", 10)]), (Wish::Begin, vec![begun()]), (Wish::Page, vec![page])];
    // It takes too long.
    let (stand_in, ground) = asked(paging(not_yet())).await;
    let error = ground.query("SELECT n FROM t", &[]).await.unwrap_err();
    assert_eq!(error, Error::Limit { name: "max-statement-ms", allowed: 1_500 });
    stand_in.until(Wish::Cancel).await;
    let seen = stand_in.seen();
    let id = seen[1].body["jobReference"]["jobId"].as_str().unwrap();
    let cancelled = seen.iter().find(|seen| seen.wish == Wish::Cancel).unwrap();
    assert_eq!(cancelled.path, format!("/bigquery/v2/projects/acme/jobs/{id}/cancel"));
    assert_eq!(cancelled.query, "location=EU");
    // The call is given up, as soon as the job was asked for or while it runs.
    for replies in [
        paging(Reply::Silent),
        vec![
            (Wish::DryRun, vec![would("SELECT", 10)]),
            (Wish::Begin, vec![Reply::Silent]),
            (Wish::Cancel, vec![Reply::Reason(404, "notFound", None), Reply::Json(200, json!({}))]),
        ],
    ] {
        let (stand_in, ground) = asked(replies).await;
        {
            let query = ground.query("SELECT n FROM t", &[]);
            tokio::select! {
                answer = query => panic!("{answer:?}"),
                () = stand_in.until(Wish::Begin) => {}
            }
        }
        stand_in.until(Wish::Cancel).await;
    }
}

#[tokio::test]
async fn a_change_tells_what_it_changed() {
    let ended = vec![(Wish::Begin, vec![begun()]), (Wish::Page, vec![not_yet(), page(&[], None)])];
    let with = |outcome: Vec<Reply>| {
        let mut replies = ended.clone();
        replies.push((Wish::Outcome, outcome));
        replies
    };
    let (stand_in, result) = change(with(vec![running(), changed(2, 5)])).await;
    assert_eq!(result, Ok(7));
    assert!(!stand_in.wishes().contains(&Wish::Cancel));
    let plain = json!({ "status": { "state": "DONE" }, "statistics": { "query": { "numDmlAffectedRows": "3" } } });
    assert_eq!(change(with(vec![Reply::Json(200, plain)])).await.1, Ok(3));
    let (_stand_in, result) = change(with(vec![failed("invalidQuery")])).await;
    let Err(Error::Rejected(why)) = result else { panic!("{result:?}") };
    assert_eq!((why.reason, why.code.as_deref()), (Refusal::Rule, Some("invalidQuery")));
    assert_eq!(why.message, "Table t says no");
    for (reply, expected) in [
        (Reply::Reason(403, "quotaExceeded", None), "throttled"),
        (Reply::Reason(403, "accessDenied", None), "denied"),
        (failed("notFound"), "not-found"),
    ] {
        let (stand_in, result) = change(vec![(Wish::Begin, vec![reply])]).await;
        assert_eq!(case(result), expected);
        assert_eq!(stand_in.wishes(), [Wish::DryRun, Wish::Begin], "it did not begin");
    }
}

#[tokio::test]
async fn a_change_whose_answer_is_lost_is_asked_for_by_its_name() {
    let ended = || vec![(Wish::Page, vec![page(&[], None)]), (Wish::Outcome, vec![changed(1, 0)])];
    // It began all the same, or only the second time; there is one either way.
    for begin in [
        vec![Reply::Broken, Reply::Reason(409, "duplicate", None)],
        vec![Reply::Reason(503, "backendError", None), begun()],
        vec![Reply::Text(502, "bad gateway".to_owned()), Reply::Reason(409, "duplicate", None)],
        vec![Reply::Broken],
        vec![Reply::Reason(500, "backendError", None)],
        vec![Reply::Text(504, String::new()), Reply::Reason(403, "quotaExceeded", None)],
        vec![Reply::Silent],
        vec![Reply::Text(200, "<html>".to_owned())],
    ] {
        let shown = format!("{begin:?}");
        let mut replies = ended();
        replies.push((Wish::Begin, begin));
        let (stand_in, result) = change(replies).await;
        assert_eq!(result, Ok(1), "{shown}");
        let ids: BTreeSet<_> = stand_in.seen().iter().filter(|seen| seen.wish == Wish::Begin).map(job_id).collect();
        assert_eq!(ids.len(), 1, "{shown}");
    }
    // Nobody knows the name: an answer that said so is believed, silence is not.
    for (begin, expected) in [
        (Reply::Broken, "uncertain"),
        (Reply::Silent, "uncertain"),
        (Reply::Text(504, String::new()), "uncertain"),
        (Reply::Reason(500, "backendError", None), "unavailable"),
    ] {
        let shown = format!("{begin:?}");
        let (_stand_in, result) = change(vec![(Wish::Begin, vec![begin])]).await;
        assert_eq!(case(result), expected, "{shown}");
    }
    // It began, and then there is nothing but silence.
    let silent =
        vec![(Wish::Begin, vec![begun()]), (Wish::Page, vec![Reply::Silent]), (Wish::Outcome, vec![Reply::Silent])];
    let (stand_in, result) = change(silent).await;
    assert_eq!(case(result), "uncertain");
    stand_in.until(Wish::Cancel).await;
}

#[tokio::test]
async fn a_change_that_takes_too_long_is_stopped() {
    let begun_and = |page| vec![(Wish::Begin, vec![begun()]), (Wish::Page, vec![page])];
    let mut silent = begun_and(Reply::Silent);
    silent.push((Wish::Outcome, vec![failed("stopped")]));
    let (stand_in, result) = change(silent).await;
    assert_eq!(result, Err(Error::Limit { name: "max-statement-ms", allowed: 1_500 }));
    assert!(stand_in.wishes().contains(&Wish::Cancel));
    // Cancelling may come too late.
    let mut silent = begun_and(Reply::Silent);
    silent.push((Wish::Outcome, vec![running(), changed(0, 4)]));
    assert_eq!(change(silent).await.1, Ok(4));
    let (stand_in, result) =
        change(vec![(Wish::Begin, vec![begun()]), (Wish::Page, vec![not_yet()]), (Wish::Outcome, vec![running()])])
            .await;
    assert_eq!(case(result), "uncertain");
    assert!(stand_in.wishes().contains(&Wish::Cancel));
}

#[tokio::test]
async fn a_token_is_got_once_and_another_where_it_is_refused() {
    let tokens = TokenServer::start("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let pages = vec![page(&[1], None)];
    let replies = vec![(Wish::DryRun, vec![would("SELECT", 10)]), (Wish::Begin, vec![begun()]), (Wish::Page, pages)];
    let stand_in = StandIn::guarded(replies, Some(tokens.issued.clone())).await;
    let credentials = Credentials { key_file: Some(tokens.key_file().into()), ..Credentials::default() };
    let ground = Ground::of(patient(), kind(stand_in.url(), credentials), Scope::ALL).await.unwrap();
    for _ in 0..3 {
        assert_eq!(ground.number("SELECT n FROM t").await, 1);
    }
    assert_eq!(tokens.issued.count(), 1);
    tokens.issued.revoke_all();
    assert_eq!(ground.number("SELECT n FROM t").await, 1);
    assert_eq!(tokens.issued.count(), 2);
    // One that is refused again is not asked for with every call.
    tokens.issued.revoke_all();
    for _ in 0..3 {
        assert_eq!(case(ground.query("SELECT n FROM t", &[]).await), "unavailable");
    }
    assert_eq!(tokens.issued.count(), 2);
}

#[tokio::test]
async fn the_probe_costs_nothing_and_there_are_no_transactions() {
    let (stand_in, ground) =
        asked(vec![(Wish::DryRun, vec![would("SELECT", 0), Reply::Reason(401, "no", None)])]).await;
    ground.pools.probe(&ground.tenant, &ground.definition).await.unwrap();
    let error = ground.pools.probe(&ground.tenant, &ground.definition).await.unwrap_err();
    assert_eq!(error, Error::unavailable("the warehouse did not accept the credentials"));
    assert_eq!(stand_in.wishes(), [Wish::DryRun, Wish::DryRun]);
    assert_eq!(stand_in.seen()[0].body["configuration"]["query"]["query"], "SELECT 1");
    let begun = ground.database.begin(ground.permit.write().unwrap()).await;
    assert_eq!(begun.err().unwrap().case(), "invalid");
    assert_eq!(ground.database.dialect().as_str(), "bigquery");
}

#[tokio::test]
async fn a_source_that_can_not_work_says_so() {
    let none = Credentials::default;
    let token = || Credentials { token: Some("t".to_owned().into()), ..none() };
    let of = async |url: &str, credentials| {
        let made = Ground::of(settings(), kind(url.to_owned(), credentials), Scope::ALL).await;
        made.err().unwrap().to_string()
    };
    for (url, credentials, expected) in [
        ("http://127.0.0.1:1", none(), "the `_KEY_FILE` credential of source `primary` is missing"),
        ("file:///etc", token(), "is not an http(s) URL"),
        ("http://u:p@127.0.0.1", token(), "is not an http(s) URL"),
        ("http://169.254.169.254", token(), "the address of source `primary` is not on the public internet"),
        ("http://10.0.0.1", token(), "the address of source `primary` is not on the public internet"),
        ("http://127.0.0.1:1", Credentials { token: Some("a\nb".to_owned().into()), ..none() }, "can't be sent"),
        ("http://127.0.0.1:1", Credentials { key_file: Some("{}".to_owned().into()), ..none() }, "invalid"),
    ] {
        let error = of(url, credentials).await;
        assert!(error.contains(expected), "{url}: {error}");
    }
    // A port that was free a moment ago: nothing is sent, and both ways say so.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dead = Ground::of(patient(), kind(format!("http://127.0.0.1:{port}"), token()), Scope::ALL).await.unwrap();
    assert_eq!(case(dead.query("SELECT n FROM t", &[]).await), "unavailable");
    assert_eq!(case(dead.execute("DELETE FROM t WHERE TRUE", &[]).await), "unavailable");
}

/// Longer than anything here takes, so that a hang is told apart from a slow machine.
#[tokio::test]
async fn no_answer_keeps_a_call_for_ever() {
    for replies in [
        vec![(Wish::DryRun, vec![Reply::Silent])],
        vec![(Wish::DryRun, vec![would("SELECT", 1)]), (Wish::Begin, vec![Reply::Silent])],
        vec![
            (Wish::DryRun, vec![would("SELECT", 1)]),
            (Wish::Begin, vec![begun()]),
            (Wish::Page, vec![Reply::Silent]),
            (Wish::Cancel, vec![Reply::Silent]),
        ],
    ] {
        let (_stand_in, ground) = asked(replies).await;
        let query = tokio::time::timeout(Duration::from_secs(60), ground.query("SELECT n FROM t", &[])).await;
        assert_eq!(case(query.unwrap()), "limit");
    }
}
