//! The id of a post, as plugins see it: where Slack keeps it, sealed with the bot's token, so that nobody makes
//! up an id of somebody else's post. Tenants may share a bot.

use remit_domain::{TenantId, data::notify::Room};
use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};

/// The bytes of the seal that stand in an id.
const SEAL_BYTES: usize = 16;

/// Where Slack keeps a post.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// The room, as the tenant names it.
    pub(super) room: String,
    /// Its id at Slack.
    pub(super) channel: String,
    /// The post's.
    pub(super) ts: String,
}

impl Ticket {
    /// None if Slack's own ids are none.
    pub(super) fn new(room: &Room, channel: &str, ts: &str) -> Option<Self> {
        let channel_is =
            !channel.is_empty() && channel.len() <= 32 && channel.bytes().all(|b| b.is_ascii_alphanumeric());
        let ts_is = !ts.is_empty() && ts.len() <= 32 && ts.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        (channel_is && ts_is).then(|| Self { room: room.to_string(), channel: channel.to_owned(), ts: ts.to_owned() })
    }

    /// The id.
    pub(super) fn sealed(&self, token: &SecretString, tenant: &TenantId) -> String {
        let Self { room, channel, ts } = self;
        let seal = hmac::sign(&key(token), self.text(tenant).as_bytes());
        let seal: String = seal.as_ref().iter().take(SEAL_BYTES).map(|byte| format!("{byte:02x}")).collect();
        format!("{room}/{channel}/{ts}/{seal}")
    }

    /// What an id stands for. None if it was not made for this tenant with this token.
    pub(super) fn open(id: &str, token: &SecretString, tenant: &TenantId) -> Option<Self> {
        let mut parts = id.split('/');
        let [room, channel, ts] = [parts.next()?, parts.next()?, parts.next()?];
        let ticket = Self::new(&Room::new(room).ok()?, channel, ts)?;
        // Of equal length and made anew with the secret: the comparison's time says nothing of it.
        let whole = ticket.sealed(token, tenant);
        ring::digest::digest(&ring::digest::SHA256, whole.as_bytes())
            .as_ref()
            .eq(ring::digest::digest(&ring::digest::SHA256, id.as_bytes()).as_ref())
            .then_some(ticket)
    }

    fn text(&self, tenant: &TenantId) -> String {
        // None of the parts holds a line feed.
        format!("remit-post-1\n{tenant}\n{}\n{}\n{}", self.room, self.channel, self.ts)
    }
}

fn key(token: &SecretString) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, token.expose_secret().as_bytes())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_id_is_good_for_its_tenant_and_its_token_alone() {
        let [mine, yours] = ["mine", "yours"].map(|name| TenantId::new(name).unwrap());
        let [token, other] = ["xoxb-1", "xoxb-2"].map(SecretString::from);
        let ticket = Ticket::new(&Room::new("#a").unwrap(), "C01", "1790000000.000001").unwrap();
        let id = ticket.sealed(&token, &mine);
        assert_eq!(Ticket::open(&id, &token, &mine).as_ref(), Some(&ticket));
        assert_eq!(Ticket::open(&id, &token, &yours), None);
        assert_eq!(Ticket::open(&id, &other, &mine), None);
        for forged in [
            id.replace("#a", "#b"),
            id.replace("C01", "C02"),
            id.replace("000001", "000002"),
            format!("{id}/x"),
            format!("{id}0"),
            id.trim_end_matches(|c: char| c.is_ascii_hexdigit()).to_owned(),
            "#a/C01/1790000000.000001".to_owned(),
            String::new(),
        ] {
            assert_eq!(Ticket::open(&forged, &token, &mine), None, "{forged}");
        }
        assert!(Ticket::new(&Room::new("#a").unwrap(), "C01\n", "1.2").is_none());
    }
}
