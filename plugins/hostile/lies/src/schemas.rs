//! Schemas that are none, that reach outside themselves, or that cost more than they say.

use std::fmt::Write as _;

/// The schema that a lie tells, if it is one of a schema.
pub(crate) fn of(lie: &str) -> Option<String> {
    let schema = match lie {
        "schema-of-no-json" => r#"{"type":"#.to_owned(),
        "schema-of-nothing" => String::new(),
        "schema-of-a-list" => r#"{"type":"array"}"#.to_owned(),
        "schema-of-a-number" => r#"{"type":7}"#.to_owned(),
        "schema-in-yaml" => "type: object".to_owned(),
        "schema-elsewhere" => r#"{"type":"object","$ref":"http://169.254.169.254/latest/meta-data"}"#.to_owned(),
        "schema-in-a-file" => r#"{"type":"object","$ref":"file:///etc/passwd"}"#.to_owned(),
        "schema-in-a-circle" => {
            r##"{"type":"object","$ref":"#/$defs/a","$defs":{"a":{"not":{"$ref":"#/$defs/a"}}}}"##.to_owned()
        }
        "schema-that-doubles" => doubling(30),
        "schema-that-is-deep" => {
            format!(r#"{{"type":"object","not":{}{{}}{}}}"#, r#"{"not":"#.repeat(7_000), "}".repeat(7_000))
        }
        "schema-of-a-megabyte" => format!(r#"{{"type":"object","title":"{}"}}"#, "x".repeat(1 << 20)),
        "schema-of-patterns" => patterns(200),
        "schema-of-large-patterns" => large_patterns(60),
        "schema-of-a-huge-pattern" => {
            r#"{"type":"object","properties":{"a":{"pattern":"((a{1,1000}){1,1000}){1,1000}"}}}"#.to_owned()
        }
        // Sound, and as dear to check as a schema may be: each number is looked at four thousand times.
        "schema-that-is-slow" => {
            let each = vec![r#"{"minimum":0}"#; 4_000].join(",");
            format!(r#"{{"type":"object","properties":{{"numbers":{{"type":"array","items":{{"allOf":[{each}]}}}}}}}}"#)
        }
        _ => return None,
    };
    Some(schema)
}

/// So many patterns, each of which takes memory when it is compiled.
pub(crate) fn patterns(count: usize) -> String {
    let patterns: Vec<String> = (0..count).map(|at| format!(r#""^a{{100}}{at}$":{{}}"#)).collect();
    format!(r#"{{"type":"object","patternProperties":{{{}}}}}"#, patterns.join(","))
}

/// Each is one that may be by itself.
pub(crate) fn large_patterns(count: usize) -> String {
    let patterns: Vec<String> =
        (0..count).map(|at| format!(r#""^(x{at}[a-z]{{1,99}}|y[0-9]{{1,99}}z)*$":{{}}"#)).collect();
    format!(r#"{{"type":"object","patternProperties":{{{}}}}}"#, patterns.join(","))
}

/// Each definition refers to the next one twice.
fn doubling(levels: usize) -> String {
    let mut schema = r##"{"type":"object","$ref":"#/$defs/a0","$defs":{"##.to_owned();
    for at in 0..levels {
        let next = at + 1;
        let _ = write!(schema, r##""a{at}":{{"allOf":[{{"$ref":"#/$defs/a{next}"}},{{"$ref":"#/$defs/a{next}"}}]}},"##);
    }
    let _ = write!(schema, r#""a{levels}":{{}}}}}}"#);
    schema
}
