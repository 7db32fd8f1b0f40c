//! Whole files, and what is said of them.

use std::{collections::BTreeSet, path::Path};

use remit_config::File;

use super::*;

type Tested = Result<(), Box<dyn std::error::Error>>;

/// The variables that workflows may name here.
fn env() -> BTreeSet<String> {
    BTreeSet::from(["ADMIN_URL".to_owned()])
}

fn faults(text: &str, expect: &str) {
    let found = parse(&File::new("w.yml", text), &env()).err().map(|faults| format!("{faults}\n")).unwrap_or_default();
    assert_eq!(found, expect, "{text}");
}

#[test]
fn the_shapes_of_the_seed_are_read() {
    for file in ["customers/techstart/sales/ai-lead-qualification.yml", "examples/graceful-degradation.yml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workflows").join(file);
        let parsed = File::read(Path::new("/"), &path).map_err(Into::into).and_then(|file| parse(&file, &env()));
        assert!(parsed.as_ref().is_ok_and(|workflow| !workflow.steps.is_empty()), "{parsed:?}");
    }
}

#[test]
fn shape_and_meaning_are_checked_at_once() {
    faults(
        "name: bad name\nstep: 1\nsteps:\n  - id: a-b\n    type: mpc\n    config: {tool: x}\n    on_error: ignore\n  - id: b\n    type: agent\n    config:\n      prompt: \"{{ steps.c.output }}\"\n",
        "w.yml:1:7: must have the form ^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$\n\
         w.yml:2:1: unknown key `step` (did you mean `steps`?)\n\
         w.yml:4:9: must have the form ^[A-Za-z_][A-Za-z0-9_]{0,63}$\n\
         w.yml:5:11: unknown kind of step `mpc` (did you mean `mcp`?)\n\
         w.yml:7:15: `ignore` is not one of stop, continue\n\
         w.yml:11:15: there is no step `c`\n",
    );
    faults("", "w.yml:1:1: `name` is missing\nw.yml:1:1: `steps` is missing\n");
    faults("name: a\nsteps: []\n", "w.yml:2:8: may not be an empty list\n");
    faults(
        "name: a\nsteps:\n  - id: a\n    type: mcp\n    config:\n      tool_name: x\n      parameters:\n        id: {{ inputs.id }}\n",
        "w.yml:8:13: `{{ inputs.id }}` without quotes is a nested map (quote it: \"{{ … }}\")\n",
    );
}

#[test]
fn ids_are_unique_and_references_go_back() {
    faults(
        "name: a
inputs: {x: {type: string}}
steps:
  - {id: first, type: mcp, config: {tool_name: t, parameters: {a: '{{ steps.first.output }}', b: '{{ inputs.y }}'}}}
  - id: fork
    type: conditional
    condition: \"{{ steps.frst.output.n > 1 }}\"
    if_true:
      - {id: left, type: p.node, config: {a: '{{ steps.fork.output }}'}}
    if_false:
      - {id: right, type: p.node, config: {a: '{{ steps.left.output }}', b: ['{{ steps.last.output }}']}}
      - {id: first, type: p.node}
  - {id: last, type: p.node, config: {a: '{{ steps.left.output.x }} {{ steps.right.result }}'}}
outputs:
  fine: '{{ steps.last.output }}'
  lost: '{{ steps.gone.output }}'
",
        "w.yml:4:67: step `first` has not run when this is reached (only earlier steps can be referred to)\n\
         w.yml:4:98: `inputs` declares no `y` (known: x)\n\
         w.yml:7:16: there is no step `frst` (did you mean `first`?)\n\
         w.yml:11:47: step `left` never ran when this is reached (it stands in the other branch)\n\
         w.yml:11:78: step `last` has not run when this is reached (only earlier steps can be referred to)\n\
         w.yml:12:14: a second step `first` (ids are unique in a file, branches included)\n\
         w.yml:13:42: a step has no `result`, only its `output` (did you mean `steps.right.output.result`?)\n\
         w.yml:16:9: there is no step `gone`\n",
    );
}

#[test]
fn variables_are_those_that_the_operator_lists() {
    let text = |value: &str| format!("name: a\nsteps:\n  - {{id: x, type: p.n, config: {{a: '{value}'}}}}\n");
    faults(&text("{{ env.ADMIN_URL }}/orders {{ env[\"ADMIN_URL\"] }} {{ inputs.env.HOME }}"), "");
    for (value, expect) in [
        ("{{ env.ADMIN_URI }}", "workflows may not read the variable `ADMIN_URI` (did you mean `ADMIN_URL`?)"),
        (
            "{{ env[\"OPENAI_API_KEY\"] }}",
            "workflows may not read the variable `OPENAI_API_KEY` (the operator lists them: `env` in host.yaml)",
        ),
        ("{{ env }}", "`env` without the name of a variable (write it out, as in `env.ADMIN_URL`)"),
        ("{{ env[inputs.name] }}", "`env` without the name of a variable (write it out, as in `env.ADMIN_URL`)"),
    ] {
        faults(&text(value), &format!("w.yml:3:36: {expect}\n"));
    }
}

#[test]
fn each_kind_says_what_it_needs() {
    let step = |kind: &str, rest: &str| format!("name: a\nsteps:\n  - id: x\n    type: {kind}\n{rest}");
    for (kind, rest, expect) in [
        ("mcp", "", "w.yml:3:5: a step of type mcp needs `tool_name`"),
        (
            "mcp",
            "    config: {tool_name: \"{{ inputs.t }}\"}\n",
            "w.yml:5:25: `tool_name` can't be an expression (what a step may use is decided when the file is loaded)",
        ),
        ("mcp", "    config: {tool_name: \"\"}\n", "w.yml:5:25: `tool_name` is empty"),
        ("agent", "    config: {agentType: sales}\n", "w.yml:5:13: a step of type agent needs `prompt`"),
        (
            "conditional",
            "    config: {a: 1}\n",
            "w.yml:3:5: a conditional needs `condition`\nw.yml:3:5: a conditional needs `if_true` or `if_false`\nw.yml:5:14: a conditional has no `a`",
        ),
        (
            "p.n",
            "    condition: \"{{ true }} or so\"\n",
            "w.yml:5:16: a condition is one expression (write it as \"{{ … }}\", with nothing around it)",
        ),
        ("p.n", "    config: {a: \"{{ b\"}\n", "w.yml:5:17: `{{ b` has no `}}`"),
        ("p.n", "    if_true: [{id: y, type: p.n}]\n", "w.yml:5:5: `if_true` belongs to a conditional"),
        ("mcp", "    config: {tool_name: t}\n    branches: {a: []}\n", "w.yml:6:5: `branches` belongs to a parallel"),
        (
            "p.",
            "",
            "w.yml:4:11: unknown kind of step `p.` (known: mcp, agent, database, http_request, shopify, slack, google_sheets, email, conditional, switch, foreach, parallel, set, wait, workflow, approval)",
        ),
        (
            "foreach",
            "    config: {items: \"{{ inputs.list }} x\", concurrency: 0, size: 1}\n",
            "w.yml:3:5: a foreach needs `steps`\n\
             w.yml:5:21: `items` is a list (write it out, or as one expression)\n\
             w.yml:5:57: `concurrency` is a whole number from 1 to 100\n\
             w.yml:5:60: a foreach has no `size` (known: items, concurrency)",
        ),
        (
            "foreach",
            "    config: {items: [1]}\n    steps: [{id: y, type: p.n, config: {a: \"{{ item }} {{ index }} {{ error }}\"}}]\n",
            "w.yml:6:44: there is no `error` here (known: inputs, steps, context, env, now, item, index)",
        ),
        (
            "switch",
            "    cases: {}\n",
            "w.yml:3:5: a step of type switch needs `value`\nw.yml:3:5: a switch needs `cases` or `default`",
        ),
        ("parallel", "", "w.yml:3:5: a parallel needs `branches`"),
        ("workflow", "", "w.yml:3:5: a step of type workflow needs `name`"),
        (
            "workflow",
            "    config: {name: \"{{ inputs.which }}\", inputs: [1], input: {}}\n",
            "w.yml:5:20: `name` can't be an expression (which workflow is decided when the file is loaded)\n\
             w.yml:5:50: `inputs` is an object (by name, or as one expression)\n\
             w.yml:5:55: a workflow has no `input` (did you mean `inputs`?)",
        ),
        ("wait", "", "w.yml:3:5: a step of type wait needs either `duration` or `until`"),
        (
            "wait",
            "    config: {duration: 5 minutes}\n    retry: {attempts: 2}\n    timeout: 5s\n",
            "w.yml:5:24: `5 minutes` is not a duration (such as `30s`, `5m`, `2h`, `1d`)\n\
             w.yml:6:5: a wait is not tried again (`retry` belongs to steps that do something)\n\
             w.yml:7:5: a wait has no timeout (`timeout` belongs to steps that do something, and to an approval)",
        ),
        (
            "p.n",
            "    config: {a: \"{{ item }}\"}\n",
            "w.yml:5:17: there is no `item` here (only the steps of a foreach have one)",
        ),
        ("p.n", "    config: {a: \"{{ stps.x }}\"}\n", "w.yml:5:17: there is no `stps` here (did you mean `steps`?)"),
        (
            "p.n",
            "    config: {a: \"{{ now <  }}\"}\n",
            "w.yml:5:17: `{{ now < }}` at its end: something is missing here",
        ),
    ] {
        faults(&step(kind, rest), &format!("{expect}\n"));
    }
    faults(&step("acme.tools.send", "    config: {a: {b: [\"{{ now }}\"]}}\n"), "");
}

#[tokio::test]
async fn all_files_below_a_folder_are_checked() -> Tested {
    let folder = tempfile::tempdir()?;
    let write = |path: &str, text: &str| -> std::io::Result<()> {
        let path = folder.path().join("workflows").join(path);
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        std::fs::write(path, text)
    };
    let good = |name: &str| format!("name: {name}\nsteps:\n  - {{id: a, type: p.n}}\n");
    write("customers/a/sales/one.yml", &good("one"))?;
    write("customers/a/support/two.yaml", &good("one"))?;
    write("customers/b/sales/one.yml", &good("one"))?;
    write("customers/b/.hidden.yml", "half")?;
    write("examples/one.yml", &good("one"))?;
    write("examples/notes.md", "no workflow")?;
    write("examples/broken.yml", "name: [")?;
    let report = check(folder.path(), Path::new("workflows"), &env(), None).await;
    assert_eq!(report.files.len(), 5);
    let shown: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    let [twice, broken] = shown.as_slice() else { return Err(format!("{shown:?}").into()) };
    assert_eq!(
        twice,
        "workflows/customers/a/support/two.yaml:1:1: a second workflow named `one` (the first is workflows/customers/a/sales/one.yml)"
    );
    assert!(broken.starts_with("workflows/examples/broken.yml:"), "{broken}");
    let missing = check(folder.path(), Path::new("nowhere"), &env(), None).await;
    assert!(missing.faults.iter().any(|fault| fault.file == "nowhere"));
    Ok(())
}

#[tokio::test]
async fn what_is_shipped_has_no_faults() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let report = check(&root, Path::new("workflows"), &env(), None).await;
    assert_eq!(report.faults.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
    assert!(report.files.contains("workflows/examples/graceful-degradation.yml"), "{:?}", report.files);
}

#[test]
fn the_committed_schema_is_that_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/schema");
    for (name, schema) in schema::all() {
        let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let expected = remit_config::schema::text(&schema);
        assert!(committed == expected, "configs/schema/{name} has drifted: run `cargo xtask schema`");
    }
}
