//! How long a service asks to wait: `Retry-After`, by seconds or date (RFC 9110, 10.2.3).

use std::time::Duration;

use http::{HeaderMap, header};

/// The longest wait that a service is believed for.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The milliseconds that an answer asks to wait. `None` if it does not say, or nothing that makes sense.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<u32> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => {
            let format = time::macros::format_description!(
                "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
            );
            let until = time::PrimitiveDateTime::parse(value, format).ok()?.assume_utc();
            Duration::try_from(until - time::OffsetDateTime::now_utc()).unwrap_or_default()
        }
    };
    u32::try_from(wait.min(LONGEST).as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn waits_are_told_by_seconds_or_date() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
            retry_after(&headers)
        };
        assert_eq!(of("2"), Some(2_000));
        assert_eq!(of("2.0"), Some(2_000));
        assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        assert_eq!(of("999999999"), Some(86_400_000));
        for odd in ["-1", "soon", "NaN", "inf"] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }
}
