//! A host under test: the program, started in a folder of its own with the demo profile and the
//! stand-ins for other people's servers.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
    sync::Once,
    thread,
    time::{Duration, Instant},
};

use remit_upstreams::{demo, running::Running, salesforce, services::Services, shopify, tokens::TokenServer};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The demo's credentials at the stand-ins: canaries, to be found in no answer, log or journal.
pub(crate) const SHOPIFY_TOKEN: &str = shopify::TOKEN;
pub(crate) const SALESFORCE_TOKEN: &str = salesforce::TOKEN;

/// A change of a host's folder before it starts.
type Edit = Box<dyn FnOnce(&Path)>;

/// What a host is started with beyond the demo.
#[derive(Default)]
pub(crate) struct Setup {
    /// More environment.
    env: Vec<(String, String)>,
    /// Changes files of the host's folder before it starts.
    edits: Vec<Edit>,
    /// Components beside those of `plugins/dist`: a folder below it, and a name there.
    components: Vec<(&'static str, &'static str)>,
}

impl Setup {
    pub(crate) fn demo() -> Self {
        Self::default()
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn edit(mut self, edit: impl FnOnce(&Path) + 'static) -> Self {
        self.edits.push(Box::new(edit));
        self
    }

    /// Patches a JSON file of the host's folder.
    pub(crate) fn patch(self, file: &'static str, patch: impl FnOnce(&mut Value) + 'static) -> Self {
        self.edit(move |root| patch_json(&root.join(file), patch))
    }

    /// Adds to the demo's settings.
    pub(crate) fn settings(self, more: impl Into<String>) -> Self {
        let more = more.into();
        self.edit(move |root| edit_settings(root, |text| format!("{text}\n{more}")))
    }

    /// Puts something else in the place of a part of the demo's settings.
    pub(crate) fn settings_instead(self, part: &'static str, instead: impl Into<String>) -> Self {
        let instead = instead.into();
        self.edit(move |root| {
            edit_settings(root, |text| {
                assert!(text.contains(part), "the demo's settings have no {part}");
                text.replace(part, &instead)
            });
        })
    }

    /// Takes in a hostile component, `plugins/dist/hostile/<name>.wasm`, which calls itself `hostile-<name>`.
    pub(crate) fn hostile(mut self, name: &'static str) -> Self {
        self.components.push(("hostile", name));
        self
    }

    /// Takes in an example, `plugins/dist/examples/<name>.wasm`.
    pub(crate) fn example(mut self, name: &'static str) -> Self {
        self.components.push(("examples", name));
        self
    }

    pub(crate) async fn start(self) -> Host {
        Host::start(self).await
    }
}

fn edit_settings(root: &Path, edit: impl FnOnce(String) -> String) {
    let file = root.join("configs/profiles/demo/host.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, edit(text)).unwrap();
}

pub(crate) fn patch_json(file: &Path, patch: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    patch(&mut value);
    fs::write(file, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
}

/// A host that runs.
pub(crate) struct Host {
    pub(crate) url: String,
    pub(crate) root: TempDir,
    pub(crate) shopify: Running,
    pub(crate) salesforce: Running,
    pub(crate) zendesk: Running,
    pub(crate) sheets: Running,
    pub(crate) tokens: TokenServer,
    pub(crate) http: reqwest::Client,
    env: Vec<(String, String)>,
    child: Child,
    log: Option<thread::JoinHandle<String>>,
}

impl Host {
    async fn start(setup: Setup) -> Self {
        install_tls();
        let root = tempfile::tempdir().unwrap();
        let repository = repository();
        for folder in ["configs", "workflows"] {
            copy(&repository.join(folder), &root.path().join(folder));
        }
        let dist = root.path().join("plugins/dist");
        fs::create_dir_all(&dist).unwrap();
        for entry in fs::read_dir(repository.join("plugins/dist")).expect_built("plugins/dist") {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                fs::copy(&path, dist.join(path.file_name().unwrap())).unwrap();
            }
        }
        for (folder, name) in &setup.components {
            let file = repository.join("plugins/dist").join(folder).join(name).with_extension("wasm");
            // A host wants a file to be called as the plugin calls itself.
            let own = if *folder == "hostile" { format!("hostile-{name}") } else { (*name).to_owned() };
            fs::copy(&file, dist.join(own).with_extension("wasm")).expect_built("plugins/dist");
        }
        let warm = warm_cache(&repository);
        if warm.is_dir() {
            copy(&warm, &root.path().join("var"));
        }
        demo::prepare(&root.path().join("var"), false).await.unwrap();
        let services = Services::start().await.unwrap();
        let mut env = services.environment(&root.path().join("var")).unwrap();
        let Services { shopify, salesforce, zendesk, sheets, tokens, .. } = services;
        for edit in setup.edits {
            edit(root.path());
        }
        env.extend(setup.env);
        let (child, log, url) = spawn(root.path(), &env).unwrap_or_else(|log| panic!("no start:\n{log}"));
        keep_warm(&root.path().join("var"), &warm);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url, root, shopify, salesforce, zendesk, sheets, tokens, http, env, child, log: Some(log) }
    }

    /// Starts it again after its end, with the same state.
    pub(crate) fn restart(&mut self) {
        let (child, log, url) = spawn(self.root.path(), &self.env).unwrap_or_else(|log| panic!("no start:\n{log}"));
        (self.child, self.log, self.url) = (child, Some(log), url);
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, waits for that, and gives its exit code and its log.
    pub(crate) fn stop(&mut self) -> (Option<i32>, String) {
        self.signal("TERM");
        let status = self.child.wait().unwrap();
        (status.code(), self.log.take().unwrap().join().unwrap())
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.url)).header("X-Context", "techstart")
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.url)).header("X-Context", "techstart").body(body)
    }

    /// `POST /api/mcp/test` for the sales agent.
    pub(crate) async fn tool(&self, tool: &str, parameters: Value) -> (u16, Value) {
        let asked = json!({ "agent_type": "sales", "tool_name": tool, "parameters": parameters });
        answer(self.post("/api/mcp/test", asked.to_string())).await
    }

    /// The result of a tool that must answer.
    pub(crate) async fn result(&self, tool: &str, parameters: Value) -> Value {
        let (status, body) = self.tool(tool, parameters).await;
        assert_eq!(status, 200, "{body:#}");
        body["result"].clone()
    }

    /// The memory that its process has, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        kilobytes.unwrap().parse::<u64>().unwrap() << 10
    }

    /// The journal's audit rows, newest first, read from its file.
    pub(crate) async fn audit(&self) -> Vec<remit_journal::Row> {
        let file = self.root.path().join("var/remit.db");
        let journal = remit_journal::Journal::open(&file.display().to_string()).await.unwrap();
        let rows = journal.events(&remit_journal::Filter::default(), 1_000).await.unwrap();
        journal.close().await;
        rows
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until a check holds. Panics with `what` if it does not within a minute.
pub(crate) async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    const PATIENCE: Duration = Duration::from_secs(60);
    let deadline = Instant::now() + PATIENCE;
    while !check().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::task::yield_now().await;
    }
}

/// Status and JSON of an answer.
pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Runs the program with arguments, to its end.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program()).args(arguments).current_dir(root).env_clear().output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

type Spawned = (Child, thread::JoinHandle<String>, String);

fn spawn(root: &Path, env: &[(String, String)]) -> Result<Spawned, String> {
    let mut command = Command::new(program());
    command.args(["serve", "--profile", "demo", "--listen", "127.0.0.1:0", "--state", "var", "--log-format", "json"]);
    command
        .current_dir(root)
        .env_clear()
        .envs(env.iter().cloned())
        .env("RUST_LOG", "debug,cranelift_codegen=info,wasmtime=info,regalloc2=info,hyper=info,h2=info");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect_built("target/*/remit");
    let log = collect(child.stderr.take().unwrap());
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    match line.trim().strip_prefix("listening on ") {
        Some(url) => Ok((child, log, url.to_owned())),
        None => {
            child.wait().unwrap();
            Err(log.join().unwrap())
        }
    }
}

fn collect(mut stderr: ChildStderr) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        stderr.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// The program lies beside this test's own folder.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("remit")
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Where hosts under test leave their compiled code for the next: it is found there only by a host of
/// the same engine for the same components, and verified like any other.
fn warm_cache(repository: &Path) -> PathBuf {
    repository.join("target/stories/warm")
}

/// Keeps a host's compiled code, with the key that seals it, unless another test has done so.
fn keep_warm(state: &Path, warm: &Path) {
    if warm.is_dir() {
        return;
    }
    let own = warm.with_extension(std::process::id().to_string());
    for folder in ["cache", "secrets"] {
        copy(&state.join(folder), &own.join(folder));
    }
    // The folder appears whole or not at all; who comes second throws its own away.
    if fs::rename(&own, warm).is_err() {
        let _ = fs::remove_dir_all(&own);
    }
}

pub(crate) fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
}

/// What `cargo xtask test` builds first.
trait ExpectBuilt<T> {
    fn expect_built(self, what: &str) -> T;
}

impl<T> ExpectBuilt<T> for std::io::Result<T> {
    fn expect_built(self, what: &str) -> T {
        self.unwrap_or_else(|error| {
            panic!("{what} is not built ({error}): run `cargo xtask test`, which builds it first")
        })
    }
}
