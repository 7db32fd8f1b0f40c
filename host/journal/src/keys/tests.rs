//! Keys in a real file.

use remit_domain::{
    access::{Token, admit},
    usage::{Meter, Window},
};
use time::{Duration, macros::datetime};

use super::*;

const NOW: OffsetDateTime = datetime!(2026-01-01 12:00:00.25 UTC);

type Tested = Result<(), Box<dyn std::error::Error>>;

fn key(token: &Token, tenant: Option<&str>) -> Result<Key, Box<dyn std::error::Error>> {
    Ok(Key {
        id: token.id().clone(),
        tenant: tenant.map(TenantId::new).transpose()?,
        role: if tenant.is_some() { Role::Agent } else { Role::Operator },
        agents: tenant.is_some().then(|| AgentName::new("sales").map(|agent| [agent].into())).transpose()?,
        label: Some("the shop's".to_owned()),
        created: NOW,
        expires: Some(NOW + Duration::HOUR),
        revoked: None,
        quotas: Quotas::NONE.with(Meter::Requests, Window::Minute, 60),
    })
}

#[tokio::test]
async fn a_key_is_kept_whole_and_found_by_another_process() -> Tested {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("remit.db").display().to_string();
    let (ours, theirs) = (Journal::open(&path).await?, Journal::open(&path).await?);
    assert!(!ours.any().await?);
    let token = Token::random()?;
    let made = key(&token, Some("techstart"))?;
    theirs.add(&made, &token.digest()).await?;
    assert!(ours.any().await?);
    assert_eq!(ours.find(token.id()).await?, Some((made.clone(), token.digest())));
    assert!(admit(&ours, &token.reveal(), NOW).await.is_ok());

    let at = NOW + Duration::MINUTE;
    assert!(theirs.revoke(made.tenant.as_ref(), token.id(), at).await?);
    assert!(admit(&ours, &token.reveal(), NOW).await.is_err(), "dead with the next request");
    assert!(!theirs.revoke(made.tenant.as_ref(), token.id(), at).await?, "revoked before");
    assert_eq!(ours.list(None).await?, [Key { revoked: Some(at), ..made }]);
    Ok(())
}

#[tokio::test]
async fn a_tenant_neither_sees_nor_revokes_what_is_not_its_own() -> Tested {
    let folder = tempfile::tempdir()?;
    let journal = Journal::open(&folder.path().join("remit.db").display().to_string()).await?;
    let tokens = [Token::random()?, Token::random()?, Token::random()?];
    for (token, tenant) in tokens.iter().zip([Some("techstart"), Some("fashionboutique"), None]) {
        journal.add(&key(token, tenant)?, &token.digest()).await?;
    }
    let techstart = TenantId::new("techstart")?;
    let [own, others, operators] = &tokens;
    let listed = journal.list(Some(&techstart)).await?;
    assert_eq!(listed.iter().map(|key| &key.id).collect::<Vec<_>>(), [own.id()]);
    assert_eq!(journal.list(None).await?.len(), 3);
    for foreign in [others, operators] {
        assert!(!journal.revoke(Some(&techstart), foreign.id(), NOW).await?);
        assert!(admit(&journal, &foreign.reveal(), NOW).await.is_ok());
    }
    assert!(journal.revoke(None, operators.id(), NOW).await?, "the operator revokes any");
    Ok(())
}

#[tokio::test]
async fn a_key_that_no_host_wrote_lets_nobody_in() -> Tested {
    let folder = tempfile::tempdir()?;
    let journal = Journal::open(&folder.path().join("remit.db").display().to_string()).await?;
    let token = Token::random()?;
    journal.add(&key(&token, Some("techstart"))?, &token.digest()).await?;
    for spoilt in ["role = 'root'", "agents = '[\"../x\"]'", "expires = 'never'"] {
        let text = format!("UPDATE keys SET {spoilt}");
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(&journal.lasting).await?;
        assert!(admit(&journal, &token.reveal(), NOW).await.is_err(), "{spoilt}");
    }
    Ok(())
}
