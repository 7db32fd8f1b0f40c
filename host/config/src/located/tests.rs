//! Places of values in JSON and YAML, the check of shape, and merge patches.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;

/// A shape with one of each.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct Shape {
    name: String,
    #[schemars(range(min = 1, max = 10))]
    size: Option<u32>,
    mode: Option<Mode>,
    #[serde(default)]
    parts: BTreeMap<String, Part>,
    #[serde(default)]
    labels: Vec<String>,
    active: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Slow.
    Slow,
    /// Fast.
    Fast,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "read for its shape")]
struct Part {
    host_name: String,
    port: Option<u16>,
}

fn shown(located: Result<Located, Fault>) -> String {
    let mut faults = match located {
        Ok(located) => located.read::<Shape>().1,
        Err(fault) => vec![fault],
    };
    faults.sort();
    faults.iter().map(|fault| format!("{fault}\n")).collect()
}

fn json(text: &str, expect: &str) {
    assert_eq!(shown(Located::json(&File::new("a.json", text))), expect, "{text}");
}

fn yaml(text: &str, expect: &str) {
    assert_eq!(shown(Located::yaml(&File::new("a.yml", text))), expect, "{text}");
}

#[test]
fn json_syntax_faults_have_their_place() {
    json("{\"name\": \"x\"}", "");
    json("{\n  \"name\": \"x\",\n}", "a.json:2:14: trailing commas are not allowed\n");
    json("{\n  // why\n  \"name\": \"x\"\n}", "a.json:2:3: comments are not allowed\n");
    json("{\n  \"näme\" \"x\"\n}", "a.json:2:10: expected colon after the string or word in object property\n");
    json("{\"name\": 'x'}", "a.json:1:10: single-quoted strings are not allowed\n");
    json("{\"name\": \"x\"", "a.json:1:1: unterminated object\n");
    json("", "a.json:1:1: the file is empty\n");
    json("[]", "a.json:1:1: expected an object, found a list\n");
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    json(&deep, "a.json:1:66: nested deeper than 64\n");
}

#[test]
fn yaml_syntax_faults_have_their_place() {
    yaml("name: x", "");
    yaml("", "a.yml:1:1: `name` is missing\n");
    yaml("# nothing\n", "a.yml:1:1: `name` is missing\n");
    let tab = shown(Located::yaml(&File::new("a.yml", "name: x\n\tsize: 1\n")));
    assert!(tab.ends_with(" (line 2 is indented by a tab: use spaces)\n"), "{tab}");
    let unclosed = shown(Located::yaml(&File::new("a.yml", "name: \"x\nsize: 1\n")));
    assert!(unclosed.starts_with("a.yml:"), "{unclosed}");
}

#[test]
fn all_faults_come_at_once() {
    json(
        "{\n  \"name\": 5,\n  \"sise\": 3,\n  \"size\": 11,\n  \"mode\": \"fst\",\n  \"name\": \"x\",\n  \"parts\": {\n    \"a\": { \"hostname\": \"h\", \"port\": \"80\" },\n    \"b/c\": null\n  },\n  \"labels\": [\"a\", 1]\n}",
        "a.json:3:3: unknown key `sise` (did you mean `size`?)\n\
         a.json:4:11: more than 10\n\
         a.json:5:11: `fst` is not one of slow, fast (did you mean `fast`?)\n\
         a.json:6:3: duplicate key `name` (the first is on line 2)\n\
         a.json:8:10: `hostName` is missing\n\
         a.json:8:12: unknown key `hostname` (did you mean `hostName`?)\n\
         a.json:8:37: expected a whole number, found a text\n\
         a.json:9:12: expected an object, found nothing (leave the key out if nothing is meant)\n\
         a.json:11:19: expected a text, found a number (quote it)\n",
    );
    yaml(
        "name: 5\nsise: 3\nmode: fst\nname: 01\nparts:\n  a:\n    hostname: h\n    port: \"80\"\nactive: no\n",
        "a.yml:2:1: unknown key `sise` (did you mean `size`?)\n\
         a.yml:3:7: `fst` is not one of slow, fast (did you mean `fast`?)\n\
         a.yml:4:1: duplicate key `name` (the first is on line 1)\n\
         a.yml:4:7: `01` would lose its leading zero (quote it)\n\
         a.yml:7:5: `hostName` is missing\n\
         a.yml:7:5: unknown key `hostname` (did you mean `hostName`?)\n\
         a.yml:8:11: expected a whole number, found a text\n\
         a.yml:9:9: `no` without quotes (write `false`, or quote it if the word is meant)\n",
    );
}

#[test]
fn what_yaml_makes_of_plain_words_is_no_surprise() {
    let one = |text: &str| {
        let text = format!("name: {text}\n");
        match Located::yaml(&File::new("a.yml", text)) {
            Ok(located) => match located.faults.first() {
                Some(fault) => fault.to_string(),
                None => located.get("/name").map(Value::to_string).unwrap_or_default(),
            },
            Err(fault) => fault.to_string(),
        }
    };
    for (text, value) in [
        ("plain words", "\"plain words\""),
        ("\"no\"", "\"no\""),
        ("true", "true"),
        ("~", "null"),
        ("-12", "-12"),
        ("+12", "12"),
        ("1.50", "1.5"),
        ("1e3", "1000.0"),
        ("12:30", "\"12:30\""),
        ("1.2.3", "\"1.2.3\""),
        ("2024-01-01", "\"2024-01-01\""),
        ("18446744073709551615", "18446744073709551615"),
        ("|\n  a {{ b }}\n  c", "\"a {{ b }}\\nc\\n\""),
        ("\"{{ inputs.x }}\"", "\"{{ inputs.x }}\""),
        ("a {{ inputs.x }}", "\"a {{ inputs.x }}\""),
        ("{ a: 1 }", "{\"a\":1}"),
    ] {
        assert_eq!(one(text), value, "{text}");
    }
    for (text, fault) in [
        ("yes", "a.yml:1:7: `yes` without quotes (write `true`, or quote it if the word is meant)"),
        ("Off", "a.yml:1:7: `Off` without quotes (write `false`, or quote it if the word is meant)"),
        ("007", "a.yml:1:7: `007` would lose its leading zero (quote it)"),
        ("0x1f", "a.yml:1:7: `0x1f` could be a text or a number (write the number in tens, or quote it)"),
        (".nan", "a.yml:1:7: `.nan` is not a number that JSON has (quote it if the text is meant)"),
        ("18446744073709551616", "a.yml:1:7: `18446744073709551616` has more digits than a number keeps (quote it)"),
        ("&a x", "a.yml:1:10: anchors and aliases are not read (write the value out)"),
        ("*a", "a.yml:1:7: anchors and aliases are not read (write the value out)"),
        ("!!str 5", "a.yml:1:13: tags are not read (quote a text, or leave the tag out)"),
        ("{<<: {a: 1}}", "a.yml:1:8: a merge key (write the keys out)"),
        ("{[a]: 1}", "a.yml:1:8: a key that is not a text (a key is one word or a quoted text)"),
        ("{{ inputs.x }}", "a.yml:1:7: `{{ inputs.x }}` without quotes is a nested map (quote it: \"{{ … }}\")"),
        ("x\n---\nname: y", "a.yml:2:1: a second document (one file holds one document: remove the `---`)"),
    ] {
        assert_eq!(one(text), fault, "{text}");
    }
    let syntax = one("{{ inputs.x }}-suffix");
    assert!(
        syntax.starts_with("a.yml:1:")
            && syntax.ends_with("(quote the value: a text that begins with `{{` needs quotes)"),
        "{syntax}"
    );
}

#[test]
fn a_patch_takes_its_places_along() -> Result<(), Fault> {
    let base = "{\n  \"name\": \"x\",\n  \"size\": 3,\n  \"parts\": { \"a\": { \"hostName\": \"h\", \"port\": 1 }, \"b\": { \"hostName\": \"h\" } }\n}";
    let patch = "{\n  \"size\": 99,\n  \"parts\": {\n    \"a\": { \"port\": \"no\", \"hst\": 1 },\n    \"b\": null,\n    \"c\": null,\n    \"d\": { \"port\": 2 }\n  }\n}";
    let mut located = Located::json(&File::new("base.json", base))?;
    located.merge(Located::json(&File::new("patch.json", patch))?);
    assert_eq!(
        shown(Ok(located.clone())),
        "patch.json:2:11: more than 10\n\
         patch.json:4:20: expected a whole number, found a text\n\
         patch.json:4:26: unknown key `hst` (known: hostName, port)\n\
         patch.json:6:5: there is no `c` to remove\n\
         patch.json:7:10: `hostName` is missing\n",
    );
    assert_eq!(
        located.value(),
        &serde_json::json!({
            "name": "x", "size": 99,
            "parts": { "a": { "hostName": "h", "port": "no", "hst": 1 }, "d": { "port": 2 } },
        })
    );
    assert_eq!(located.at("/parts/a/hostName", "here").to_string(), "base.json:4:33: here");
    Ok(())
}

#[test]
fn patches_merge_as_rfc_7386_says() -> Result<(), Fault> {
    // The examples of the RFC's appendix that consist of objects, but for those that remove nothing.
    for (target, patch, result) in [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d"}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"{"a":"foo"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        ("[1,2]", r#"{"a":"b"}"#, r#"{"a":"b"}"#),
        ("{}", r#"{"a":{"bb":{}}}"#, r#"{"a":{"bb":{}}}"#),
    ] {
        let mut located = Located::json(&File::new("t", target))?;
        located.merge(Located::json(&File::new("p", patch))?);
        assert_eq!(located.value().to_string(), result);
        assert_eq!(located.faults, []);
        let places: Vec<&String> = located.places.keys().collect();
        assert!(places.iter().all(|pointer| located.get(pointer).is_some()), "{places:?}");
    }
    Ok(())
}

#[test]
fn keys_with_slashes_are_found() -> Result<(), Fault> {
    let located = Located::json(&File::new("a", "{\n\"a/b\": {\n\"c~d\": 1}}"))?;
    assert_eq!(located.at_key(&join(&join("", "a/b"), "c~d"), "here").to_string(), "a:3:1: here");
    assert_eq!(located.at(&join(&join("", "a/b"), "missing"), "here").to_string(), "a:2:8: here");
    Ok(())
}
