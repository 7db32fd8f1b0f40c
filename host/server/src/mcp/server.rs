//! An agent's tools and resources as an MCP server.

use remit_domain::{
    Catalogue, Error,
    catalogue::Caller,
    plugin::{Level, Observer},
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, DiscoverResult, ErrorCode,
        Implementation, InitializeRequestParams, InitializeResult, ListResourceTemplatesResult, ListResourcesResult,
        ListToolsResult, PaginatedRequestParams, ProgressNotificationParam, ReadResourceRequestParams,
        ReadResourceResponse, ReadResourceResult, ServerCapabilities, ServerConfig, SubscriptionFilter,
    },
    service::{RequestContext, SubscriptionContext, SubscriptionSendError},
};
use serde_json::json;
use tokio::sync::mpsc;

use super::{changes::Changes, convert};
use crate::http::{Standing, error};

/// How long a client may take a list to be fresh. A grant that is revoked meanwhile is refused when
/// it is used.
const LIST_TTL_MS: u64 = 10_000;
/// Progress reports that wait for the client; what comes while so many wait is dropped.
const REPORTS: usize = 64;

/// Serves whichever tenant and agent the request's path named.
#[derive(Clone)]
pub(super) struct Server {
    catalogue: Catalogue,
    changes: Changes,
}

type Context = RequestContext<RoleServer>;

impl Server {
    pub(super) fn new(catalogue: Catalogue, changes: Changes) -> Self {
        Self { catalogue, changes }
    }

    fn about(&self, caller: Option<&Caller>) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_resources()
            .enable_resources_list_changed()
            .build();
        let mut info = ServerConfig::new(capabilities);
        let name = caller.map_or_else(|| "remit".to_owned(), |it| format!("{}/{}", it.context.tenant, it.agent));
        info.server_info = Implementation::new(name, env!("CARGO_PKG_VERSION"));
        let instructions = caller.map(|caller| self.catalogue.instructions(caller)).unwrap_or_default();
        info.instructions = (!instructions.is_empty()).then(|| instructions.join("\n\n"));
        info
    }
}

/// Who asks: put into the request by the route, before this server sees it.
fn caller(context: &Context) -> Result<Caller, ErrorData> {
    put(context)
}

/// What was put into the request on its way here.
fn put<T: Clone + Send + Sync + 'static>(context: &Context) -> Result<T, ErrorData> {
    let parts = context.extensions.get::<http::request::Parts>();
    let put = parts.and_then(|parts| parts.extensions.get::<T>()).cloned();
    put.ok_or_else(|| ErrorData::internal_error("internal error", None))
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        self.about(None)
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: Context,
    ) -> Result<InitializeResult, ErrorData> {
        let about = self.about(Some(&caller(&context)?));
        context.peer.set_peer_info(request.clone());
        let negotiated = self.negotiate_initialize(&request)?;
        let mut result = about;
        result.protocol_version = negotiated.protocol_version;
        Ok(result)
    }

    async fn discover(&self, context: Context) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        Ok(DiscoverResult::from_server_info(versions, self.about(Some(&caller(&context)?))))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let caller = caller(&context)?;
        let tools = self.catalogue.tools(&caller).iter().map(|offered| convert::tool(offered.tool())).collect();
        let mut result = ListToolsResult::with_all_items(tools);
        (result.ttl_ms, result.cache_scope) = (Some(LIST_TTL_MS), Some(CacheScope::Private));
        Ok(result)
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        let mut caller = caller(&context)?;
        let arguments = serde_json::Value::Object(request.arguments.unwrap_or_default());
        let token = context.meta.get_progress_token();
        let (reporter, mut reports) = mpsc::channel(REPORTS);
        if token.is_some() {
            caller.observer = std::sync::Arc::new(Reporter(reporter));
        }
        // Beside the call, not between its steps: a client that stops reading holds up its own progress,
        // and neither the call's end nor its deadline.
        let forward = async {
            while let Some(Report { done, total, message }) = reports.recv().await {
                let Some(token) = token.clone() else { continue };
                let mut param = ProgressNotificationParam::new(token, done);
                (param.total, param.message) = (total, message);
                if context.peer.notify_progress(param).await.is_err() {
                    break;
                }
            }
            std::future::pending::<Error>().await
        };
        let result = tokio::select! {
            biased;
            // The caller went away or said so: the call is dropped, which stops its guest.
            () = context.ct.cancelled() => Err(Error::Cancelled),
            never = forward => Err(never),
            result = self.catalogue.call(&caller, &request.name, arguments) => result,
        };
        match result {
            Ok(outcome) => Ok(convert::answer(outcome).into()),
            Err(failed) => refused(failed),
        }
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let caller = caller(&context)?;
        let resources = self.catalogue.resources(&caller).into_iter().map(convert::resource).collect();
        let mut result = ListResourcesResult::with_all_items(resources);
        (result.ttl_ms, result.cache_scope) = (Some(LIST_TTL_MS), Some(CacheScope::Private));
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let caller = caller(&context)?;
        let templates = self.catalogue.templates(&caller).into_iter().map(convert::template).collect();
        let mut result = ListResourceTemplatesResult::with_all_items(templates);
        (result.ttl_ms, result.cache_scope) = (Some(LIST_TTL_MS), Some(CacheScope::Private));
        Ok(result)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let caller = caller(&context)?;
        let reading = self.catalogue.read(&caller, &request.uri);
        let read = tokio::select! {
            biased;
            () = context.ct.cancelled() => Err(Error::Cancelled),
            read = reading => read,
        };
        let contents = read.map_err(|failed| protocol_error(&failed))?;
        let mut result = ReadResourceResult::new(contents.into_iter().map(convert::contents).collect());
        (result.ttl_ms, result.cache_scope) = (Some(0), Some(CacheScope::Private));
        Ok(result.into())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        let mut accepted = SubscriptionFilter::new();
        accepted.tools_list_changed = requested.tools_list_changed;
        accepted.resources_list_changed = requested.resources_list_changed;
        Some(accepted)
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let (caller, standing) = (caller(context.request_context())?, put::<Standing>(context.request_context())?);
        let mut listener = self.changes.listen(caller, standing).map_err(|error| protocol_error(&error))?;
        let accepted = context.accepted().clone();
        loop {
            let changed = tokio::select! {
                () = context.cancelled() => return Ok(()),
                changed = listener.next() => changed,
            };
            let changed = changed.map_err(|refused| {
                let data = Some(json!({ "code": refused.code() }));
                ErrorData::new(ErrorCode::INVALID_REQUEST, refused.error().to_owned(), data)
            })?;
            let Some(changed) = changed else { return Ok(()) };
            let sink = context.sink();
            let told = async {
                if changed.tools && accepted.tools_list_changed == Some(true) {
                    sink.notify_tool_list_changed().await?;
                }
                if changed.resources && accepted.resources_list_changed == Some(true) {
                    sink.notify_resource_list_changed().await?;
                }
                Ok::<(), SubscriptionSendError>(())
            };
            // Whoever can't be told is not there any more.
            if told.await.is_err() {
                return Ok(());
            }
        }
    }
}

/// A call that failed: an error of the protocol if the client asked for what is not there, else an
/// answer that says so, which the model can read and act on.
fn refused(failed: Error) -> Result<CallToolResponse, ErrorData> {
    if matches!(
        failed,
        Error::UnknownTool { .. } | Error::NoSet(_) | Error::Cancelled | Error::Internal(_) | Error::Journal(_)
    ) {
        return Err(protocol_error(&failed));
    }
    error::report(&failed, error::status(&failed));
    let mut said = json!({ "error": failed.to_string(), "code": failed.code() });
    if let Some(said) = said.as_object_mut() {
        if let Some(hint) = failed.hint() {
            said.insert("hint".to_owned(), hint.into());
        }
        if failed.retriable() {
            said.insert("retriable".to_owned(), true.into());
        }
        if let Some(wait) = failed.retry_after_ms() {
            said.insert("retryAfterMs".to_owned(), wait.into());
        }
        if let Error::InvalidArguments(problems) = &failed {
            said.insert("problems".to_owned(), json!(problems));
        }
    }
    Ok(CallToolResult::error(vec![ContentBlock::text(said.to_string())]).into())
}

fn protocol_error(failed: &Error) -> ErrorData {
    error::report(failed, error::status(failed));
    let data = Some(json!({ "code": failed.code(), "hint": failed.hint() }));
    let code = match failed {
        Error::UnknownTool { .. } | Error::UnknownResource { .. } | Error::NoSet(_) | Error::InvalidArguments(_) => {
            ErrorCode::INVALID_PARAMS
        }
        Error::Denied(_) | Error::Cancelled => ErrorCode::INVALID_REQUEST,
        _ => ErrorCode::INTERNAL_ERROR,
    };
    ErrorData::new(code, failed.to_string(), data)
}

/// One report of progress.
struct Report {
    done: f64,
    total: Option<f64>,
    message: Option<String>,
}

/// Passes progress on to the request that waits for the call.
struct Reporter(mpsc::Sender<Report>);

impl Observer for Reporter {
    fn progress(&self, done: f64, total: Option<f64>, message: Option<&str>) {
        let _ = self.0.try_send(Report { done, total, message: message.map(str::to_owned) });
    }

    fn log(&self, _: Level, _: &str, _: Option<&str>) {}
}
