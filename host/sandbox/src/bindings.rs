//! Host bindings made from `wit/`, once for all worlds: each exported interface is bound apart, so
//! that any union of exports is a plugin.

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package remit:host;
        world all {
            include remit:plugin/tool-set@0.1.0;
            include remit:plugin/node-set@0.1.0;
        }
    ",
    world: "remit:host/all",
    imports: { default: async | trappable },
    exports: { default: async },
    with: {
        "remit:data/common.grants": crate::capability::Bag,
        "remit:data/common.reader": crate::capability::Reader,
        "remit:data/common.writer": crate::capability::Writer,
        "remit:data/sql.database": crate::capability::sql::Database,
        "remit:data/sql.transaction": crate::capability::sql::Transaction,
        "remit:data/sql.pending-rows": crate::capability::sql::PendingRows,
        "remit:data/sql.pending-change": crate::capability::sql::PendingChange,
        "remit:data/documents.document-store": crate::capability::documents::DocumentStore,
        "remit:data/documents.pending-documents": crate::capability::documents::PendingDocuments,
        "remit:data/http-api.api": crate::capability::http_api::Api,
        "remit:data/http-api.pending-response": crate::capability::http_api::PendingResponse,
        "remit:data/files.folder": crate::capability::files::Folder,
        "remit:notify/notify.channel": crate::capability::notify::Channel,
        "remit:plugin/invocation.invocation": crate::capability::invocation::Invocation,
    },
});
