//! Answers what a client asks. Each request is a task of its own, so that a long one is in nobody's way. This file must not know
//! what any tool, resource or prompt says.

use super::Server;
use super::logging::Level;
use super::logging::Log;
use super::notify::Notes;
use super::prompts;
use super::resources;
use super::tools;
use crate::operations::HostPaths;
use crate::operations::Operations;
use crate::operations::Progress;
use crate::operations::Rules;
use crate::operations::Step;
use crate::operations::Stream;
use pyro::code;
use rmcp::ErrorData;
use rmcp::RoleServer;
use rmcp::ServerHandler;
use rmcp::model::CallToolRequestParams;
use rmcp::model::CallToolResponse;
use rmcp::model::GetPromptRequestParams;
use rmcp::model::GetPromptResponse;
use rmcp::model::Implementation;
use rmcp::model::JsonObject;
use rmcp::model::ListPromptsResult;
use rmcp::model::ListResourceTemplatesResult;
use rmcp::model::ListResourcesResult;
use rmcp::model::ListToolsResult;
use rmcp::model::PaginatedRequestParams;
use rmcp::model::ProgressNotificationParam;
use rmcp::model::ReadResourceRequestParams;
use rmcp::model::ReadResourceResponse;
use rmcp::model::ServerCapabilities;
use rmcp::model::ServerConfig;
#[expect(deprecated, reason = "clients of the revisions before 2026-07-28 have logs")]
use rmcp::model::SetLevelRequestParams;
use rmcp::service::NotificationContext;
use rmcp::service::RequestContext;
use serde_json::json;
use std::convert::Infallible;
use std::time::Instant;

/// The contract's name of this server.
const NAME: &str = "pyro_mcp";

const INSTRUCTIONS: &str = "pyro gives you Linux computers of your own: microVMs, isolated from this host. Run one command \
    with vm_run; for work of several steps make a workspace with workspace_create, run commands with workspace_exec, and \
    delete it when you are done. Files of a workspace are in /workspace. What fails says a code and a hint.";

impl Server {
    /// The operations as this client may call them now.
    async fn operations(&self, context: &RequestContext<RoleServer>) -> Operations {
        let Some(client_roots) = &self.client_roots else { return self.operations.clone() };
        let host_paths = HostPaths::Below(client_roots.get(context).await);
        self.operations.with_rules(Rules { host_paths, ..self.operations.rules().clone() })
    }

    async fn call(
        &self,
        name: &str,
        arguments: JsonObject,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResponse {
        if let Err(refused) = self.tools.check(name, &arguments) {
            return tools::result(Err(refused)).into();
        }
        let began = Instant::now();
        let operations = self.operations(context).await;
        let notes = Notes::default();
        let told = Logged { notes: &notes, log: &self.log, tool: name };
        let call = operations.call(name, arguments.into(), &told);
        let outcome = tokio::select! {
            outcome = call => outcome,
            never = tell(&notes, context) => match never {},
        };
        self.log.called(name, outcome.as_ref().err().map(|error| error.code.as_str()), began.elapsed());
        tools::result(outcome).into()
    }
}

/// Notices go to the log as well: they outlast the call.
struct Logged<'a> {
    notes: &'a Notes,
    log: &'a Log,
    tool: &'a str,
}

impl Progress for Logged<'_> {
    fn step(&self, step: &Step) {
        self.notes.step(step);
    }

    fn notice(&self, text: &str) {
        self.notes.notice(text);
        self.log.notice(self.tool, text);
    }

    fn output(&self, stream: Stream, bytes: &[u8]) {
        self.notes.output(stream, bytes);
    }
}

/// Tells a client how a call goes on, if it wants to know; never ends.
async fn tell(notes: &Notes, context: &RequestContext<RoleServer>) -> Infallible {
    let Some(token) = context.meta.get_progress_token() else { return std::future::pending().await };
    let mut told = 0.0;
    loop {
        let message = notes.next().await;
        told += 1.0;
        let progress = ProgressNotificationParam::new(token.clone(), told).with_message(message);
        // A client that has gone is told no more.
        let _ = context.peer.notify_progress(progress).await;
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        #[expect(deprecated, reason = "clients of the revisions before 2026-07-28 have logs")]
        let capabilities = ServerCapabilities::builder().enable_tools().enable_logging();
        let capabilities = if self.tools.has("workspace_create") {
            capabilities.enable_resources().enable_prompts().build()
        } else {
            capabilities.build()
        };
        let version = env!("CARGO_PKG_VERSION");
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new(NAME, version).with_title("pyro"))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.list()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if !self.tools.has(&request.name) {
            let name: String = request.name.chars().take(80).collect();
            let text = format!("there is no tool '{name}'");
            return Err(ErrorData::invalid_params(text, Some(json!({ "code": code::TOOL_UNKNOWN }))));
        }
        let arguments = request.arguments.unwrap_or_default();
        let cancelled =
            || Err(ErrorData::internal_error("cancelled", Some(json!({ "code": code::CANCELLED }))));
        tokio::select! {
            response = self.call(&request.name, arguments, &context) => Ok(response),
            // Nobody waits for the answer; what was under way ends as it is dropped.
            () = context.ct.cancelled() => cancelled(),
            () = self.gone.wait() => cancelled(),
        }
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(resources::list(&self.operations).await?))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        tokio::select! {
            read = resources::read(&self.operations, &request.uri) => Ok(read?.into()),
            () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(prompts::list()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        Ok(prompts::get(&request.name, &request.arguments.unwrap_or_default())?.into())
    }

    #[expect(deprecated, reason = "clients of the revisions before 2026-07-28 have logs")]
    async fn set_level(
        &self,
        request: SetLevelRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.log.set_least(Level::of(request.level), &self.operations);
        Ok(())
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        self.log.begin(context.peer, self.operations.clone());
    }

    async fn on_roots_list_changed(&self, _: NotificationContext<RoleServer>) {
        if let Some(client_roots) = &self.client_roots {
            client_roots.forget().await;
        }
    }
}
