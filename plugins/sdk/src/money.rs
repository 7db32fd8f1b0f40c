//! Exact amounts. No currency and no formatting: an amount is what its source says it is.

use std::{borrow::Cow, fmt, iter::Sum, ops::Add, str::FromStr};

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use crate::source::Value;

/// An exact amount. Read from a JSON string or number, written as a JSON number with all its digits
/// (`1234.50`), which a binary float never touches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(pub Decimal);

impl Money {
    /// To the nearest cent, halves away from zero.
    #[must_use]
    pub fn to_cents(self) -> Self {
        let mut rounded = self.0.round_dp_with_strategy(2, rust_decimal::RoundingStrategy::MidpointAwayFromZero);
        rounded.rescale(2);
        Self(rounded)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Money {
    type Err = rust_decimal::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(['e', 'E']) { Decimal::from_scientific(text) } else { Decimal::from_str(text) }.map(Self)
    }
}

impl From<Decimal> for Money {
    fn from(amount: Decimal) -> Self {
        Self(amount)
    }
}

impl From<Money> for Value {
    fn from(amount: Money) -> Self {
        Self::Decimal(amount.0.to_string())
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string()).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Amount)
    }
}

impl JsonSchema for Money {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}

struct Amount;

impl de::Visitor<'_> for Amount {
    type Value = Money;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal number, or one in a string")
    }

    fn visit_i64<E: de::Error>(self, amount: i64) -> Result<Money, E> {
        Ok(Money(amount.into()))
    }

    fn visit_u64<E: de::Error>(self, amount: u64) -> Result<Money, E> {
        Ok(Money(amount.into()))
    }

    /// A float's shortest decimal form is the number that was written, for up to 15 digits.
    fn visit_f64<E: de::Error>(self, amount: f64) -> Result<Money, E> {
        self.visit_str(&amount.to_string())
    }

    fn visit_str<E: de::Error>(self, amount: &str) -> Result<Money, E> {
        amount.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(amount), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn digits_survive_in_both_directions() -> serde_json::Result<()> {
        for (read, written) in [
            (r#""1234.50""#, "1234.50"),
            ("1234.5", "1234.5"),
            ("-3", "-3"),
            (r#""12345678901234567890.12""#, "12345678901234567890.12"),
            (r#""1e-7""#, "0.0000001"),
        ] {
            let amount: Money = serde_json::from_str(read)?;
            assert_eq!(serde_json::to_string(&amount)?, written, "{read}");
        }
        for bad in [r#""12,50""#, r#""""#, "null", "true", r#""NaN""#] {
            assert!(serde_json::from_str::<Money>(bad).is_err(), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn sums_are_exact() -> Result<(), rust_decimal::Error> {
        let amounts = ["0.10", "0.20"].map(str::parse::<Money>);
        let sum: Money = amounts.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().sum();
        assert_eq!(sum.to_string(), "0.30");
        Ok(())
    }

    #[test]
    fn cents_round_half_away_from_zero() -> Result<(), rust_decimal::Error> {
        for (amount, cents) in [("2.345", "2.35"), ("-2.345", "-2.35"), ("2", "2.00")] {
            assert_eq!(amount.parse::<Money>()?.to_cents().to_string(), cents);
        }
        Ok(())
    }
}
