//! Tokens, keys and roles.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Mutex;

use time::{Duration, macros::datetime};

use super::*;

const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

#[derive(Default)]
struct Kept(Mutex<Vec<(Key, Digest)>>);

#[async_trait]
impl Keys for Kept {
    async fn add(&self, key: &Key, digest: &Digest) -> Result<(), Error> {
        self.0.lock().unwrap().push((key.clone(), digest.clone()));
        Ok(())
    }

    async fn find(&self, id: &KeyId) -> Result<Option<(Key, Digest)>, Error> {
        Ok(self.0.lock().unwrap().iter().find(|(key, _)| key.id == *id).cloned())
    }

    async fn list(&self, _: Option<&TenantId>) -> Result<Vec<Key>, Error> {
        Ok(self.0.lock().unwrap().iter().map(|(key, _)| key.clone()).collect())
    }

    async fn revoke(&self, _: Option<&TenantId>, id: &KeyId, at: OffsetDateTime) -> Result<bool, Error> {
        let mut kept = self.0.lock().unwrap();
        let found = kept.iter_mut().find(|(key, _)| key.id == *id);
        Ok(found.map(|(key, _)| key.revoked = Some(at)).is_some())
    }

    async fn any(&self) -> Result<bool, Error> {
        Ok(!self.0.lock().unwrap().is_empty())
    }
}

fn key(token: &Token, role: Role) -> Key {
    Key {
        id: token.id().clone(),
        tenant: TenantId::new("techstart").ok(),
        role,
        agents: None,
        label: None,
        created: NOW,
        expires: Some(NOW + Duration::HOUR),
        revoked: None,
        quotas: Quotas::NONE,
    }
}

#[test]
fn a_token_reads_back_and_shows_nothing_in_a_log() {
    let token = Token::random().unwrap();
    let text = token.reveal();
    let read = Token::parse(&text).unwrap();
    assert_eq!((read.id(), read.has(&token.digest())), (token.id(), true));
    assert_ne!(Token::random().unwrap().reveal(), text);
    let secret = &text["remit_".len() + KeyId::LENGTH + 1..];
    assert!(!format!("{token:?} {:?}", token.digest()).contains(secret), "a secret in a log");
}

#[test]
fn what_is_mistyped_or_cut_is_no_token() {
    let text = Token::random().unwrap().reveal();
    for at in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[at] = if other[at] == b'x' { b'y' } else { b'x' };
        assert!(Token::parse(std::str::from_utf8(&other).unwrap()).is_none(), "changed at {at}");
        assert!(Token::parse(&text[..at]).is_none(), "cut at {at}");
    }
    for none in ["", "remit_", "remit__", "remit_é_é", &format!("{text} "), &format!("Bearer {text}")] {
        assert!(Token::parse(none).is_none(), "{none}");
    }
}

#[tokio::test]
async fn a_key_lets_in_until_it_expires_or_is_revoked() {
    let (kept, token) = (Kept::default(), Token::random().unwrap());
    let text = token.reveal();
    assert!(matches!(admit(&kept, &text, NOW).await, Err(Error::BadKey)), "unknown");
    kept.add(&key(&token, Role::Agent), &token.digest()).await.unwrap();
    let principal = admit(&kept, &text, NOW).await.unwrap();
    assert_eq!((principal.tenant().unwrap().as_str(), principal.role()), ("techstart", Role::Agent));
    assert!(matches!(admit(&kept, &text, NOW + Duration::HOUR).await, Err(Error::BadKey)), "expired");
    kept.revoke(None, token.id(), NOW).await.unwrap();
    assert!(matches!(admit(&kept, &text, NOW).await, Err(Error::BadKey)), "revoked");
}

#[tokio::test]
async fn a_key_s_public_name_is_not_enough() {
    let (kept, token) = (Kept::default(), Token::random().unwrap());
    kept.add(&key(&token, Role::Operator), &Token::random().unwrap().digest()).await.unwrap();
    assert!(matches!(admit(&kept, &token.reveal(), NOW).await, Err(Error::BadKey)));
}

#[test]
fn a_role_may_what_lesser_ones_may() {
    let token = Token::random().unwrap();
    for (at, has) in Role::ALL.into_iter().enumerate() {
        let principal = Principal::of(key(&token, has));
        for (needed_at, needed) in Role::ALL.into_iter().enumerate() {
            assert_eq!(principal.require(needed).is_ok(), needed_at <= at, "{has:?} {needed:?}");
        }
        assert_eq!(Role::of(has.as_str()), Some(has));
    }
    assert_eq!(Role::of("root"), None);
}

#[test]
fn a_key_speaks_for_the_agents_it_names() {
    let token = Token::random().unwrap();
    let (sales, support) = (AgentName::new("sales").unwrap(), AgentName::new("support").unwrap());
    let named = Principal::of(Key { agents: Some([sales.clone()].into()), ..key(&token, Role::Agent) });
    assert!(named.speak_for(&sales).is_ok());
    assert!(matches!(named.speak_for(&support), Err(Error::NotYourAgent(_))));
    assert!(Principal::of(key(&token, Role::Agent)).speak_for(&support).is_ok());
}

#[test]
fn a_token_s_holder_is_of_one_tenant_and_one_agent() {
    let (tenant, sales) = (TenantId::new("techstart").unwrap(), AgentName::new("sales").unwrap());
    let subject = Subject::new("https://login.example.com", "ada").unwrap();
    let holder = Principal::vouched(subject.clone(), tenant.clone(), sales.clone(), Role::Agent, Quotas::NONE);
    assert_eq!((holder.tenant(), holder.key()), (Some(&tenant), None));
    assert_eq!((holder.name(), holder.identity()), (subject.as_str(), &Identity::Subject(subject.clone())));
    assert!(holder.speak_for(&sales).is_ok() && holder.require(Role::Agent).is_ok());
    assert!(holder.speak_for(&AgentName::new("support").unwrap()).is_err());
    assert!(holder.require(Role::Admin).is_err());
}
