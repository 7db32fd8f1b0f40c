//! Instants. No local times: a source's time without a zone is taken as UTC.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339, macros::format_description};

/// An instant, printed in RFC 3339 and UTC (`2026-11-23T13:45:00Z`). Reads RFC 3339, and what
/// databases write without a zone: `2026-11-23 13:45:00`, `2026-11-23T13:45:00`, `2026-11-23`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub OffsetDateTime);

impl Timestamp {
    /// As a column of a zoneless type takes it, in whole seconds: `2026-11-23 13:45:00`.
    pub fn to_sql(self) -> String {
        self.in_utc().format(format_description!("[year]-[month]-[day] [hour]:[minute]:[second]")).unwrap_or_default()
    }

    /// The second it falls into.
    #[must_use]
    pub fn to_seconds(self) -> Self {
        Self(self.0.replace_nanosecond(0).unwrap_or(self.0))
    }

    fn in_utc(self) -> OffsetDateTime {
        self.0.checked_to_offset(UtcOffset::UTC).unwrap_or(self.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_utc().format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Timestamp {
    type Err = time::error::Parse;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().replacen(' ', "T", 1);
        let Some((day, clock)) = text.split_once('T') else {
            return OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339).map(Self);
        };
        let zoned = clock.contains(['Z', 'z', '+', '-']);
        let zone = if zoned { "" } else { "Z" };
        OffsetDateTime::parse(&format!("{day}T{clock}{zone}"), &Rfc3339).map(Self)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.in_utc().format(&Rfc3339).map_err(ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::invalid_value(de::Unexpected::Str(&text), &"a date, or a date and time"))
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn reads_what_sources_write() -> Result<(), time::error::Parse> {
        for (read, written) in [
            ("2026-11-23T13:45:00Z", "2026-11-23T13:45:00Z"),
            ("2026-11-23T13:45:00-05:00", "2026-11-23T18:45:00Z"),
            ("2026-11-23T13:45:00.25", "2026-11-23T13:45:00.25Z"),
            ("2026-11-23 13:45:00", "2026-11-23T13:45:00Z"),
            ("2026-11-23", "2026-11-23T00:00:00Z"),
        ] {
            assert_eq!(read.parse::<Timestamp>()?.to_string(), written, "{read}");
        }
        assert_eq!("2026-11-23T13:45:00.9-05:00".parse::<Timestamp>()?.to_sql(), "2026-11-23 18:45:00");
        for bad in ["", "yesterday", "2026-13-01", "0000-00-00 00:00:00", "2026-11-23T"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
        Ok(())
    }
}
