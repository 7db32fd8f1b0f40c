//! Shopify's ids, in both of their forms.

/// An id of some kind of thing: `632910392`, or `gid://shopify/Product/632910392`. Errors: what is wrong, for people.
pub(crate) fn read(text: &str, kind: &str) -> Result<u64, String> {
    let digits = match text.strip_prefix("gid://shopify/") {
        Some(path) => path
            .strip_prefix(kind)
            .and_then(|rest| rest.strip_prefix('/'))
            .map(|rest| rest.split('?').next().unwrap_or_default())
            .ok_or_else(|| format!("`{text}` is no id of a {kind}"))?,
        None => text,
    };
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .parse()
        .ok()
        .filter(|_| all_digits)
        .ok_or_else(|| format!("`{text}` is no id of Shopify's: write its number, or `gid://shopify/{kind}/…`"))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn ids_come_in_two_forms() {
        for fit in ["632910392", "gid://shopify/Order/632910392", "gid://shopify/Order/632910392?x=1"] {
            assert_eq!(read(fit, "Order"), Ok(632_910_392), "{fit}");
        }
        for bad in [
            "",
            "-1",
            "+1",
            "12a",
            "1/2",
            "gid://shopify/Order/",
            "gid://shopify/Product/1",
            "gid://shopify/Order/../1",
        ] {
            assert!(read(bad, "Order").is_err(), "{bad}");
        }
    }
}
