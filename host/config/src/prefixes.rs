//! Which tenant may use which credentials: the operator gives out prefixes, and without a word from
//! the operator a tenant has the one that is its own name in capitals.
//!
//! The longest prefix owns: where `acme` and `acme-eu` are both tenants, `ACME_EU_DB` is not `acme`'s
//! although it begins with `ACME_`.

use std::collections::{BTreeMap, BTreeSet};

use remit_domain::TenantId;

use crate::Host;

/// The prefixes of all tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefixes {
    owned: BTreeMap<TenantId, Owned>,
    hosts_own: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Owned {
    prefixes: Vec<String>,
    /// The operator's words, rather than the tenant's name.
    given: bool,
}

impl Prefixes {
    pub(crate) fn new<'a>(host: &'a Host, tenants: impl IntoIterator<Item = &'a TenantId>) -> Self {
        let known: BTreeSet<&TenantId> = tenants.into_iter().chain(host.tenants.keys()).collect();
        let owned = known.into_iter().map(|tenant| {
            let given = host.tenants.get(tenant).and_then(|rules| rules.credential_prefixes.clone());
            let own = || vec![format!("{}_", tenant.as_str().to_ascii_uppercase().replace('-', "_"))];
            let owned = Owned { given: given.is_some(), prefixes: given.unwrap_or_else(own) };
            (tenant.clone(), owned)
        });
        Self { owned: owned.collect(), hosts_own: host.own_prefixes.clone() }
    }

    /// Whether this is a tenant's name, whatever the case.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.owned.contains_key(name.to_ascii_lowercase().as_str())
    }

    /// Whether a tenant may use a credential. Errors: why not.
    pub(crate) fn allow(&self, tenant: &TenantId, credentials: &str) -> Result<(), String> {
        // A prefix also covers the name that is the prefix without its underscore.
        let name = format!("{credentials}_");
        let longest = |prefixes: &[String]| {
            prefixes.iter().filter(|prefix| name.starts_with(prefix.as_str())).map(String::len).max()
        };
        let own = self.owned.get(tenant);
        let prefixes = own.map(|own| own.prefixes.join(", ")).unwrap_or_default();
        let Some((own, length)) = own.and_then(|own| Some((own, longest(&own.prefixes)?))) else {
            return Err(format!("the credentials `{credentials}` are not among this tenant's: {prefixes}"));
        };
        if !own.given && longest(&self.hosts_own).is_some_and(|hosts| hosts >= length) {
            return Err(format!("the credentials `{credentials}` are the host's own"));
        }
        let other = self.owned.iter().find(|(other, owned)| {
            let theirs = longest(&owned.prefixes);
            *other != tenant && theirs.is_some_and(|theirs| theirs > length || (theirs == length && !own.given))
        });
        match other {
            Some((other, _)) => Err(format!("the credentials `{credentials}` belong to tenant {other}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_owns() -> Result<(), Box<dyn std::error::Error>> {
        let rules = |prefixes: &[&str]| crate::host::Rules {
            credential_prefixes: Some(prefixes.iter().map(|prefix| (*prefix).to_owned()).collect()),
            ..Default::default()
        };
        let mut host = crate::host::tests::host()?;
        host.tenants.insert(TenantId::new("fashionboutique")?, rules(&["FASHION_", "SHARED_"]));
        host.tenants.insert(TenantId::new("partner")?, rules(&["SHARED_", "ACME_EU_"]));
        let tenants = ["acme", "acme-eu", "a-b", "a_b", "fashion", "openai", "techstart"];
        let tenants = tenants.iter().map(|name| TenantId::new(name)).collect::<Result<Vec<_>, _>>()?;
        let prefixes = Prefixes::new(&host, &tenants);
        let check = |tenant: &str, credentials: &str| -> Result<String, remit_domain::InvalidName> {
            let tenant = TenantId::new(tenant)?;
            Ok(prefixes.allow(&tenant, credentials).err().unwrap_or_else(|| "allowed".to_owned()))
        };
        assert_eq!(check("techstart", "TECHSTART_DB")?, "allowed");
        assert_eq!(check("techstart", "TECHSTART")?, "allowed");
        let foreign = "the credentials `TECHSTARTUP_DB` are not among this tenant's: TECHSTART_";
        assert_eq!(check("techstart", "TECHSTARTUP_DB")?, foreign);
        assert_eq!(check("acme", "ACME_DB")?, "allowed");
        assert_eq!(check("acme", "ACME_EU_DB")?, "the credentials `ACME_EU_DB` belong to tenant acme-eu");
        // What the operator wrote wins over what a name alone gives.
        assert_eq!(check("acme-eu", "ACME_EU_DB")?, "the credentials `ACME_EU_DB` belong to tenant partner");
        assert_eq!(check("partner", "ACME_EU_DB")?, "allowed");
        assert_eq!(check("a-b", "A_B_DB")?, "the credentials `A_B_DB` belong to tenant a_b");
        assert_eq!(check("fashionboutique", "FASHION_DB")?, "allowed");
        assert_eq!(check("fashion", "FASHION_DB")?, "the credentials `FASHION_DB` belong to tenant fashionboutique");
        assert_eq!(check("fashionboutique", "SHARED_DB")?, "allowed");
        assert_eq!(check("partner", "SHARED_DB")?, "allowed");
        assert_eq!(check("openai", "OPENAI")?, "the credentials `OPENAI` are the host's own");
        Ok(())
    }
}
