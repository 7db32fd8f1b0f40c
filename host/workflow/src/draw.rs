//! A workflow as it is drawn: its steps as nodes, and what follows what as edges.
//!
//! Deliberately absent: what steps are given. Whoever may see that reads the definition.

use serde_json::{Value, json};

use crate::authored::{Step, Workflow};

/// `{name, nodes: [{id, type, description, within}], edges: [{from, to, label}]}`. A node's `within` is the foreach
/// whose items it belongs to; `onFailure` for steps that run for failures. A label says by which branch, where
/// there is a choice.
pub fn drawing(workflow: &Workflow) -> Value {
    let mut drawing = Drawing::default();
    drawing.line(&workflow.steps, None, Vec::new());
    drawing.line(&workflow.on_failure, Some("onFailure"), Vec::new());
    json!({"name": workflow.name, "nodes": drawing.nodes, "edges": drawing.edges})
}

/// The drawing of the definition that a run pins; nothing, if this host can't read it any more.
pub fn drawing_of(definition: &Value) -> Value {
    crate::link::pinned(definition).map(|plan| drawing(&plan.authored)).unwrap_or_default()
}

/// Where an edge begins, with its label.
type Loose = (String, Option<String>);

#[derive(Default)]
struct Drawing {
    nodes: Vec<Value>,
    edges: Vec<Value>,
}

impl Drawing {
    /// Draws steps that follow `before`; what has to be joined to whatever follows them.
    fn line(&mut self, steps: &[Step], within: Option<&str>, mut before: Vec<Loose>) -> Vec<Loose> {
        for step in steps {
            self.nodes.push(json!({
                "id": step.id, "type": step.kind, "description": step.description, "within": within,
            }));
            for (from, label) in before {
                self.edges.push(json!({"from": from, "to": step.id, "label": label}));
            }
            before = self.inside(step, within);
        }
        before
    }

    /// Draws what stands within a step, and says where it ends.
    fn inside(&mut self, step: &Step, within: Option<&str>) -> Vec<Loose> {
        let from = |label: Option<&str>| vec![(step.id.clone(), label.map(str::to_owned))];
        let mut ends = Vec::new();
        match step.kind.as_str() {
            "conditional" => {
                ends.extend(self.line(&step.if_true, within, from(Some("true"))));
                ends.extend(self.line(&step.if_false, within, from(Some("false"))));
            }
            "switch" => {
                for (case, steps) in &step.cases {
                    ends.extend(self.line(steps, within, from(Some(case))));
                }
                ends.extend(self.line(&step.default, within, from(Some("default"))));
            }
            "parallel" => {
                for (branch, steps) in &step.branches {
                    ends.extend(self.line(steps, within, from(Some(branch))));
                }
            }
            // Its items' steps come back to it.
            "foreach" => {
                for (end, label) in self.line(&step.steps, Some(&step.id), from(Some("each"))) {
                    self.edges.push(json!({"from": end, "to": step.id, "label": label}));
                }
            }
            _ => {}
        }
        if ends.is_empty() { from(None) } else { ends }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::collections::BTreeSet;

    use remit_config::File;

    use super::*;

    #[test]
    fn branches_part_and_meet_again() {
        let text = "name: w
steps:
  - {id: a, type: set, config: {x: 1}}
  - id: fork
    type: conditional
    condition: '{{ steps.a.output.x == 1 }}'
    if_true: [{id: b, type: set, config: {x: 1}}, {id: c, type: set, config: {x: 1}}]
  - id: each
    type: foreach
    config: {items: [1]}
    steps: [{id: d, type: set, config: {x: 1}}]
  - {id: z, type: set, description: 'the last', config: {x: 1}}
onFailure: [{id: tell, type: set, config: {x: 1}}]
";
        let workflow = crate::parse(&File::new("w.yml", text.to_owned()), &BTreeSet::new()).unwrap();
        let drawing = drawing(&workflow);
        let edges: Vec<String> = drawing["edges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|edge| {
                let text = |key: &str| edge[key].as_str().unwrap_or("-").to_owned();
                format!("{} {} {}", text("from"), text("to"), text("label"))
            })
            .collect();
        assert_eq!(
            edges,
            ["a fork -", "fork b true", "b c -", "c each -", "fork each false", "each d each", "d each -", "each z -"]
        );
        let within: Vec<(&str, Option<&str>)> = drawing["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| (node["id"].as_str().unwrap(), node["within"].as_str()))
            .collect();
        assert_eq!(within.len(), 8);
        assert!(within.contains(&("d", Some("each"))) && within.contains(&("tell", Some("onFailure"))));
        assert!(within.contains(&("c", None)));
    }
}
