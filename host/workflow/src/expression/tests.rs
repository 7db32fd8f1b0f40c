//! What expressions mean.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;

struct Here(Value);

impl Names for Here {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }
}

fn here() -> Here {
    Here(json!({
        "inputs": {"id": "cust_1", "count": 3, "price": 0.1, "yes": true, "none": null, "list": [3, 1, 2], "empty": []},
        "steps": {
            "a": {"output": {"score": 0.25, "items": [{"n": 1, "sku": "x"}, {"n": 2.5, "sku": "y"}], "success": false}},
        },
        "now": "2026-11-23T10:00:00Z",
    }))
}

fn comes_to(text: &str) -> String {
    match Template::read(text) {
        Err(fault) => format!("fault: {fault}"),
        Ok(template) => match template.fill(&here()) {
            Ok(value) => value.to_string(),
            Err(failure) => format!("failure: {failure}"),
        },
    }
}

#[test]
fn types_are_kept_where_a_text_is_one_expression() {
    for (text, expect) in [
        ("plain", r#""plain""#),
        ("{{ inputs.count }}", "3"),
        ("{{inputs.list}}", "[3,1,2]"),
        ("n: {{ inputs.count }}, {{inputs.id}}", r#""n: 3, cust_1""#),
        (" {{ inputs.count }}", r#"" 3""#),
        ("{{ inputs.none }}", "null"),
        ("{{ inputs.list }} {{ steps.a.output.items[0] }}", r#""[3,1,2] {\"n\":1,\"sku\":\"x\"}""#),
        ("{\"a\": {\"b\": \"{{ inputs.id }}\"}}", r#""{\"a\": {\"b\": \"cust_1\"}}""#),
        ("${{ inputs.count }}", r#""$3""#),
    ] {
        assert_eq!(comes_to(text), expect, "{text}");
    }
}

#[test]
fn what_is_not_there_is_a_failure_unless_it_is_asked_for() {
    for (text, expect) in [
        ("{{ inputs.x }}", "failure: `inputs.x` is not there"),
        ("id {{ inputs.x.y }}", "failure: `inputs.x` is not there"),
        ("{{ nothing }}", "failure: `nothing` is not there"),
        ("{{ inputs.list[7] }}", "failure: `[7]` is not there"),
        ("{{ inputs.id.x }}", "failure: `inputs.id.x` is not there"),
        ("{{ inputs.x is defined }}", "false"),
        ("{{ inputs.none is defined }}", "true"),
        ("{{ inputs.none is null and inputs.id is not null }}", "true"),
        ("{{ inputs.x.y is not defined }}", "true"),
        ("{{ inputs.x | default('d') }}", r#""d""#),
        ("{{ inputs.none ?? 'd' }}", r#""d""#),
        ("{{ inputs.x.y ?? inputs.count }}", "3"),
        ("{{ inputs.x is string }}", "failure: `inputs.x` is not there"),
        ("{{ inputs.empty | first }}", "failure: `the first of an empty list` is not there"),
    ] {
        assert_eq!(comes_to(text), expect, "{text}");
    }
}

#[test]
fn nothing_is_converted() {
    for (text, expect) in [
        ("{{ steps.a.output.success === false }}", "true"),
        ("{{ steps.a.output.success == 0 }}", "false"),
        ("{{ '3' == 3 }}", "false"),
        ("{{ 3.0 === inputs.count }}", "true"),
        ("{{ steps.a.output.score < 0.3 }}", "true"),
        ("{{ 'b' > 'a' }}", "true"),
        ("{{ '3' < 4 }}", "failure: a text and a number can't be compared"),
        ("{{ inputs.count and true }}", "failure: `and` needs true or false, not a number"),
        ("{{ inputs.id || true }}", "failure: `or` needs true or false, not a text"),
        ("{{ !inputs.yes }}", "false"),
        ("{{ not inputs.id }}", "failure: `not` needs true or false, not a text"),
        ("{{ inputs.yes || inputs.missing }}", "true"),
        ("{{ false && inputs.missing }}", "false"),
        ("{{ inputs.id + 1 }}", "failure: a text and a number can't be computed with: `~` joins texts"),
        ("{{ inputs.id ~ 1 }}", r#""cust_11""#),
        ("{{ 2 in inputs.list and 'ust' in inputs.id and 'n' not in inputs.list }}", "true"),
        ("{{ 'big' if inputs.count > 2 else 'small' }}", r#""big""#),
        ("{{ inputs.count > 5 ? 'big' : 'small' }}", r#""small""#),
    ] {
        assert_eq!(comes_to(text), expect, "{text}");
    }
}

#[test]
fn numbers_are_exact_where_decimals_are() {
    for (text, expect) in [
        ("{{ 0.1 + 0.2 }}", "0.3"),
        ("{{ inputs.price * 3 }}", "0.3"),
        ("{{ 7 / 2 }}", "3.5"),
        ("{{ 6 / 2 }}", "3"),
        ("{{ 7 % 4 - -2 }}", "5"),
        ("{{ 1 + 2 * 3 - 4 / 2 }}", "5"),
        ("{{ (1 + 2) * 3 }}", "9"),
        ("{{ 10 - 3 - 2 }}", "5"),
        ("{{ 1 / 0 }}", "failure: a division by zero"),
        ("{{ 9223372036854775807 + 1 }}", "9223372036854775808"),
        ("{{ 2.345 | round(2) }}", "2.35"),
        ("{{ -2.5 | round }}", "-3"),
        ("{{ '12.50' | number }}", "12.5"),
        ("{{ 12.9 | integer }}", "12"),
        ("{{ 'x' | number }}", "failure: the text is no number"),
    ] {
        assert_eq!(comes_to(text), expect, "{text}");
    }
}

#[test]
fn filters_work_on_what_they_are_for() {
    for (text, expect) in [
        ("{{ inputs.list.length }}", "3"),
        ("{{ inputs.id.length + (inputs.list | length) }}", "9"),
        ("{{ inputs.list | sort | join('-') }}", r#""1-2-3""#),
        ("{{ steps.a.output.items | sum('n') }}", "3.5"),
        ("{{ steps.a.output.items | pluck('sku') | last | upper }}", r#""Y""#),
        ("{{ steps.a.output.items | sort('n') | reverse | first }}", r#"{"n":2.5,"sku":"y"}"#),
        ("{{ inputs.list | max - (inputs.list | min) }}", "2"),
        ("{{ [1, 1.0, '1'] | unique }}", r#"[1,"1"]"#),
        ("{{ inputs.list | slice(1) }}", "[1,2]"),
        ("{{ 'abcdef' | slice(-3, -1) }}", r#""de""#),
        ("{{ 'a,b' | split(',') }}", r#"["a","b"]"#),
        ("{{ 'aXa' | replace('X', '-') | lower }}", r#""a-a""#),
        ("{{ {a: 1, 'b c': [2]} | keys }}", r#"["a","b c"]"#),
        ("{{ {'a': {'b': 1}} | json }}", r#""{\"a\":{\"b\":1}}""#),
        ("{{ inputs.count | upper }}", "failure: `upper` does nothing with a number"),
    ] {
        assert_eq!(comes_to(text), expect, "{text}");
    }
}

#[test]
fn what_cant_be_read_is_said_with_its_place() {
    for (text, expect) in [
        ("{{ a", "`{{ a` has no `}}`"),
        ("{{ a }", "`{{ a }` has no `}}`"),
        ("{{ 'a }}", "`{{ 'a }}` has no `}}`"),
        ("a }}", "`}}` without `{{`"),
        ("{{ }}", "`{{ }}` holds nothing"),
        ("{{ a < }}", "`{{ a < }}` at its end: something is missing here"),
        ("{{ a b }}", "`{{ a b }}` at `b`: `b` is not expected here"),
        ("{{ a = 1 }}", "`{{ a = 1 }}` at `= 1`: `=` compares nothing: write `==`"),
        ("{{ 1 < a < 3 }}", "`{{ 1 < a < 3 }}` at `< 3`: two comparisons in a row: join them by `and`"),
        ("{{ a | uper }}", "`{{ a | uper }}` at `uper`: there is no filter `uper` (did you mean `upper`?)"),
        ("{{ a | join(1, 2) }}", "`{{ a | join(1, 2) }}` at its end: `join` takes 0 to 1 arguments"),
        ("{{ now() }}", "`{{ now() }}` at `now()`: there are no functions: `now` may be a filter, as in `a | now`"),
        ("{{ a # b }}", "`{{ a # b }}` at `# b`: `#` is not part of the language"),
        (
            "{{ 99999999999999999999 }}",
            "`{{ 99999999999999999999 }}` at `99999999999999999999`: `99999999999999999999` is too large",
        ),
    ] {
        assert_eq!(Template::read(text).map(drop), Err(expect.to_owned()), "{text}");
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(100), ")".repeat(100));
    assert!(Template::read(&deep).unwrap_err().contains("nested more than 64 deep"));
    let long = format!("{{{{ 1{} }}}}", "+1".repeat(100));
    assert!(Template::read(&long).unwrap_err().contains("nested more than 64 deep"));
    assert!(Template::read(&format!("{{{{ '{}' }}}}", "x".repeat(5000))).unwrap_err().contains("at most 4096 bytes"));
}

#[test]
fn a_condition_is_one_expression() {
    for (text, is) in
        [("{{ a }}", true), (" {{ a }}\n", true), ("{{ a }} x", false), ("{{a}}{{b}}", false), ("a", false)]
    {
        assert_eq!(condition(text).is_ok(), is, "{text}");
    }
}

#[test]
fn references_are_found_outside_texts() {
    let refs = |text: &str| {
        let shown =
            |reference: Reference| format!("{}{}", reference.path.join("."), if reference.guarded { "?" } else { "" });
        parser::parse(text).unwrap().references().into_iter().map(shown).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(refs("steps.a.output.x < 0.3"), "steps.a.output.x");
    assert_eq!(refs("steps['a']['output'] === \"steps.b\""), "steps.a.output");
    assert_eq!(refs("x.steps.a + inputs . y"), "x.steps.a inputs.y");
    assert_eq!(refs("steps[inputs.id] | default(now)"), "steps? inputs.id? now");
    assert_eq!(refs("a.b is defined and a.b.c[0] > 1"), "a.b? a.b.c.0");
    assert_eq!(refs("{k: item.x ?? 1}"), "item.x?");
}

#[test]
fn what_it_makes_is_bounded() {
    let mut text = "inputs.id".to_owned();
    for _ in 0..6 {
        text = format!("({text} ~ {text})");
    }
    assert_eq!(comes_to(&format!("{{{{ {text} | length }}}}")), "384");
    let values = Here(json!({"big": "x".repeat(600_000)}));
    let failed = Template::read("{{ big ~ big }}").unwrap().fill(&values).unwrap_err();
    assert_eq!(failed.to_string(), "a text of more than 1048576 bytes");
    assert!(Template::read("{{ big }} {{ big }}").unwrap().fill(&values).is_err());
    assert!(Template::read("{{ big | replace('x', 'xx') }}").unwrap().fill(&values).is_err());
    assert!(Template::read("{{ [big, big] | join }}").unwrap().fill(&values).is_err());
}

/// Each level would double the work if an index were looked at twice: 2^50 steps are never done.
#[test]
fn nothing_is_looked_at_twice() {
    let mut text = "0".to_owned();
    for _ in 0..50 {
        text = format!("deep[{text}].length");
    }
    let deep = Here(json!({"deep": [[]]}));
    assert_eq!(Template::read(&format!("{{{{ {text} }}}}")).unwrap().fill(&deep).unwrap(), 0);
    let high = format!("{{{{ ({}1) }}}}", "1~1~1~1~1~1~1~(".repeat(20) + &")".repeat(0));
    assert!(Template::read(&high).is_err());
    let copies = format!("{{{{ [{}] }}}}", vec!["big"; 300].join(", "));
    let big = Here(json!({"big": "x".repeat(10_000)}));
    let failed = Template::read(&copies).unwrap().fill(&big).unwrap_err();
    assert_eq!(failed.to_string(), "a value of more than 1048576 bytes");
}

#[test]
fn a_value_says_where_it_cant_be_filled() {
    let form = Form::read(&json!({"a": [1, {"b": "{{ inputs.x }}"}], "c": "plain"})).unwrap();
    assert_eq!(form.fill(&here()).unwrap_err().to_string(), "`inputs.x` is not there (at /a/1/b)");
    let form = Form::read(&json!({"a": "{{ inputs.list }}", "n": 1})).unwrap();
    assert_eq!(form.fill(&here()).unwrap(), json!({"a": [3, 1, 2], "n": 1}));
    assert_eq!(Form::read(&json!({"n": [1, "x"]})).unwrap(), Form::Plain(json!({"n": [1, "x"]})));
}
