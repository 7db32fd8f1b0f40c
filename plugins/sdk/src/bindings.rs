//! Bindings made from `wit/`. Each exported interface is bound apart, so that a plugin exports just
//! those it fills; what a component does not call is not among its imports.

wit_bindgen::generate!({
    path: "../../wit",
    world: "remit:plugin/tools-only",
    generate_all,
    pub_export_macro: true,
    export_macro_name: "export_tools",
    additional_derives: [PartialEq],
    additional_derives_ignore: ["response-head"],
});

/// Bindings of `remit:plugin/resources`.
pub mod readable {
    wit_bindgen::generate!({
        inline: "package remit:sdk@0.1.0; world readable { export remit:plugin/resources@0.1.0; }",
        path: "../../wit",
        world: "remit:sdk/readable",
        pub_export_macro: true,
        export_macro_name: "export_resources",
        additional_derives: [PartialEq],
        with: {
            "remit:data/common@0.1.0": crate::bindings::remit::data::common,
            "remit:plugin/types@0.1.0": crate::bindings::remit::plugin::types,
            "remit:plugin/context@0.1.0": crate::bindings::remit::plugin::context,
            "remit:plugin/invocation@0.1.0": crate::bindings::remit::plugin::invocation,
        },
    });
}

/// Bindings of `remit:plugin/prompts`.
pub mod prompting {
    wit_bindgen::generate!({
        inline: "package remit:sdk@0.1.0; world prompting { export remit:plugin/prompts@0.1.0; }",
        path: "../../wit",
        world: "remit:sdk/prompting",
        pub_export_macro: true,
        export_macro_name: "export_prompts",
        additional_derives: [PartialEq],
        with: {
            "remit:data/common@0.1.0": crate::bindings::remit::data::common,
            "remit:plugin/types@0.1.0": crate::bindings::remit::plugin::types,
            "remit:plugin/context@0.1.0": crate::bindings::remit::plugin::context,
            "remit:plugin/invocation@0.1.0": crate::bindings::remit::plugin::invocation,
        },
    });
}

/// Bindings of `remit:plugin/nodes`.
pub mod stepping {
    wit_bindgen::generate!({
        inline: "package remit:sdk@0.1.0; world stepping { export remit:plugin/nodes@0.1.0; }",
        path: "../../wit",
        world: "remit:sdk/stepping",
        pub_export_macro: true,
        export_macro_name: "export_nodes",
        additional_derives: [PartialEq],
        with: {
            "remit:data/common@0.1.0": crate::bindings::remit::data::common,
            "remit:plugin/types@0.1.0": crate::bindings::remit::plugin::types,
            "remit:plugin/context@0.1.0": crate::bindings::remit::plugin::context,
            "remit:plugin/invocation@0.1.0": crate::bindings::remit::plugin::invocation,
        },
    });
}
