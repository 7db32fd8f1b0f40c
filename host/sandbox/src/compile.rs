//! Compiling what tenants upload, in a short-lived process of its own: a small component can take the
//! compiler minutes and gigabytes, and nothing in a process can stop it. The process is this very program
//! with a hidden verb. It limits itself before it reads a byte, has no environment, no files and no
//! descriptors but its three pipes, and is killed when it is late.
//!
//! Deliberately absent: the operator's own components, which the host compiles itself: the operator could
//! as well change the host.

use std::{
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use remit_domain::{TenantId, limits::Upload, plugin::Computed};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, nice, set_parent_process_death_signal, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};
use wasmtime::Engine;

use crate::{
    Error,
    engine::compiling,
    places::{Full, Places, Terms},
};

/// The hidden verb of the program that compiles. Its arguments are the three of [`Bounds`], in order.
pub const VERB: &str = "compile-component";

/// Compilers at work at once on this host.
const AT_ONCE: usize = 2;
/// One tenant has one of them, and this many uploads that wait.
const QUEUE: usize = 4;
/// How long an upload waits for its turn.
const WAIT: Duration = Duration::from_secs(60);
/// Code is larger than what it is compiled from, but not by more than this (three times was measured).
const MOST_CODE: u64 = 16;
/// The most that is heard of what the compiler says.
const MOST_SAID: u64 = 8 << 10;
/// How the compiler's process ends that refuses a component, as `sysexits.h` calls bad data. What it says
/// is then the reason.
const REFUSED: u8 = 65;
/// How it ends that could not begin.
const NOT_BEGUN: u8 = 71;

/// What the compiler's process may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Computing, in seconds.
    pub cpu_seconds: u64,
    /// All its address space, in bytes.
    pub memory_bytes: u64,
    /// What it reads, in bytes.
    pub component_bytes: u64,
}

impl From<&Upload> for Bounds {
    fn from(tier: &Upload) -> Self {
        Self {
            cpu_seconds: tier.compile_cpu_seconds,
            memory_bytes: tier.compile_memory_bytes,
            component_bytes: tier.component_bytes,
        }
    }
}

/// Compiles a component within this process. Errors: [`Error::NotAComponent`], as the compiler says it.
pub(crate) fn compile(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, Error> {
    engine.precompile_component(wasm).map_err(|error| Error::NotAComponent(error.root_cause().to_string()))
}

/// Starts compilers' processes: few at once, and one for a tenant.
pub struct Compiler {
    program: PathBuf,
    places: Places,
}

impl Compiler {
    /// One that runs `program` with the verb [`VERB`].
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), places: Places::new(AT_ONCE) }
    }

    /// One that runs the program that this process is, even where its file has been replaced meanwhile.
    ///
    /// Errors: [`Error::Io`] if it is not known where that lies.
    pub fn this_program() -> Result<Self, Error> {
        let running = Path::new("/proc/self/exe");
        if running.exists() {
            return Ok(Self::at(running));
        }
        let known = std::env::current_exe();
        known.map(Self::at).map_err(|cause| Error::Io { what: "this program's file is not known".to_owned(), cause })
    }

    /// One that compiles within this process: for a fuzzer, which is to see into it.
    #[cfg(fuzzing)]
    pub fn here() -> Self {
        Self::at("")
    }

    /// Compiles a tenant's component, and says what that computed, however it ends. Cancel: the process is
    /// killed.
    ///
    /// Errors: [`Error::NotAComponent`]; [`Error::Limit`] where compiling took more than the tier allows;
    /// [`Error::Uncompilable`] where the compiler broke; [`Error::Busy`]; [`Error::Io`].
    pub(crate) async fn compile(
        &self,
        tenant: &TenantId,
        tier: &Upload,
        wasm: Arc<Vec<u8>>,
        computed: &Computed,
    ) -> Result<Vec<u8>, Error> {
        let terms = Terms { share: 1, queue: QUEUE, wait: WAIT };
        let _place = self.places.take(tenant, terms).await.map_err(|full| {
            let (limit, allowed, unit) = match full {
                Full::Queue => ("the queue of uploads", QUEUE as u64, "uploads"),
                Full::Time => ("the wait for an upload's turn", WAIT.as_secs(), "seconds"),
            };
            Error::Busy(remit_domain::Error::Busy { limit, allowed, unit, retry_after_ms: 10_000 })
        })?;
        #[cfg(fuzzing)]
        if self.program.as_os_str().is_empty() {
            return compile(&compiling()?, &wasm);
        }
        let failed = |cause| Error::Io { what: "the compiler did not start".to_owned(), cause };
        let child = self.command(tier.into()).spawn().map_err(failed)?;
        // On a busy machine a second of computing takes longer, and this is not the tenant's fault.
        let patience = Duration::from_secs(tier.compile_cpu_seconds.saturating_mul(4).saturating_add(10));
        match tokio::time::timeout(patience, converse(child, wasm, tier, computed)).await {
            Ok(Ok(ended)) => ended.judge(tier),
            Ok(Err(cause)) => Err(Error::Io { what: "the compiler was lost".to_owned(), cause }),
            Err(_) => Err(late(tier)),
        }
    }

    fn command(&self, bounds: Bounds) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(VERB)
            .args([bounds.cpu_seconds, bounds.memory_bytes, bounds.component_bytes].map(|it| it.to_string()))
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// How a compiler's process ended.
struct Ended {
    status: ExitStatus,
    code: Vec<u8>,
    said: String,
}

/// Gives the process its component and takes what it makes of it. It may end at any moment.
async fn converse(mut child: Child, wasm: Arc<Vec<u8>>, tier: &Upload, computed: &Computed) -> std::io::Result<Ended> {
    // Before the process is forgotten: at its end, or where all of this is dropped.
    let spent = Spent { process: child.id(), began: Instant::now(), most: tier.compile_cpu_seconds, to: computed };
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feeding = async move {
        if let Some(mut stdin) = stdin {
            // One that ends early reads no further, and says why in another way.
            let _ = stdin.write_all(&wasm).await;
        }
    };
    // Each pipe is closed when it is heard enough of: a process that goes on writing ends by that.
    let making = async move {
        let mut code = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(most_code(tier).saturating_add(1)).read_to_end(&mut code).await?;
        }
        std::io::Result::Ok(code)
    };
    let saying = async move {
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            stderr.take(MOST_SAID).read_to_end(&mut said).await?;
        }
        std::io::Result::Ok(String::from_utf8_lossy(&said).into_owned())
    };
    let ((), code, said) = tokio::join!(feeding, making, saying);
    drop(spent);
    Ok(Ended { code: code?, said: said?, status: child.wait().await? })
}

/// Says what a process has computed when it is dropped, which has to be before the process is waited for.
struct Spent<'a> {
    process: Option<u32>,
    began: Instant,
    /// In seconds.
    most: u64,
    to: &'a Computed,
}

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        let told = self.process.and_then(|id| std::fs::read_to_string(format!("/proc/{id}/stat")).ok());
        // Where the kernel does not say it: no more than has passed.
        let passed = || self.began.elapsed().min(Duration::from_secs(self.most));
        self.to.add(told.as_deref().and_then(computed).unwrap_or_else(passed));
    }
}

/// What `/proc/<pid>/stat` says that a process has computed: its fields `utime` and `stime`, the 14th and 15th,
/// in hundredths of a second. Its name, the second, is in parentheses and may have any in it.
fn computed(stat: &str) -> Option<Duration> {
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    let ticks = next()?.checked_add(next()?)?;
    Some(Duration::from_millis(ticks.saturating_mul(10)))
}

fn most_code(tier: &Upload) -> u64 {
    tier.component_bytes.saturating_mul(MOST_CODE)
}

fn late(tier: &Upload) -> Error {
    Error::Limit {
        limit: "compileCpuSeconds",
        allowed: tier.compile_cpu_seconds,
        unit: "seconds",
        wants: "takes longer to compile".to_owned(),
    }
}

impl Ended {
    fn judge(self, tier: &Upload) -> Result<Vec<u8>, Error> {
        if u64::try_from(self.code.len()).unwrap_or(u64::MAX) > most_code(tier) {
            return Err(Error::Uncompilable(format!("its code has more than {} bytes", most_code(tier))));
        }
        if self.status.success() && !self.code.is_empty() {
            return Ok(self.code);
        }
        let said = self.said.trim();
        // What Rust's allocator says before it aborts, and what the kernel says to a mapping.
        let starved = said.contains("memory allocation of") || said.contains("Cannot allocate memory");
        if self.status.code() == Some(REFUSED.into()) && !starved {
            return Err(Error::NotAComponent(said.to_owned()));
        }
        if self.status.code() == Some(NOT_BEGUN.into()) {
            let cause = std::io::Error::other(said.to_owned());
            return Err(Error::Io { what: "the compiler could not begin".to_owned(), cause });
        }
        if self.status.signal() == Some(Signal::XCPU.as_raw()) {
            return Err(late(tier));
        }
        if starved {
            return Err(Error::Limit {
                limit: "compileMemoryBytes",
                allowed: tier.compile_memory_bytes,
                unit: "bytes",
                wants: "takes more to compile".to_owned(),
            });
        }
        tracing::warn!(status = %self.status, said, "a compiler's process broke");
        Err(Error::Uncompilable("the compiler broke on it".to_owned()))
    }
}

/// What the program does for the verb [`VERB`]: limits itself, reads a component, writes its code.
pub fn compile_as_child(bounds: Bounds) -> ExitCode {
    let begun = confine(bounds).map_err(|error| error.to_string());
    let begun = begun.and_then(|()| compiling().map_err(|error| error.to_string()));
    let (ended, said) = match begun {
        Ok(engine) => match transform(&engine, bounds) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(Error::NotAComponent(reason)) => (REFUSED, reason),
            Err(error) => (NOT_BEGUN, error.to_string()),
        },
        Err(reason) => (NOT_BEGUN, reason),
    };
    // Nobody is left to hear that nobody hears.
    let _ = std::io::stderr().write_all(said.as_bytes());
    ExitCode::from(ended)
}

/// Gives up what compiling does not need, for good.
fn confine(bounds: Bounds) -> std::io::Result<()> {
    let to = |resource, soft: u64, hard: u64| {
        // A limit that is lower already stays.
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        setrlimit(resource, Rlimit { current: Some(soft.min(most)), maximum: Some(hard.min(most)) })
    };
    // A second more before the end that can't be told from others.
    to(Resource::Cpu, bounds.cpu_seconds, bounds.cpu_seconds.saturating_add(1))?;
    to(Resource::As, bounds.memory_bytes, bounds.memory_bytes)?;
    to(Resource::Core, 0, 0)?;
    to(Resource::Fsize, 0, 0)?;
    to(Resource::Nproc, 0, 0)?;
    to(Resource::Nofile, 8, 8)?;
    // With the host that wants the code, however that ends.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Behind those who serve; where this is not to be had, it is no less confined.
    let _ = nice(10);
    Ok(())
}

fn transform(engine: &Engine, bounds: Bounds) -> Result<(), Error> {
    let lost = |cause| Error::Io { what: "a pipe broke".to_owned(), cause };
    let mut wasm = Vec::new();
    std::io::stdin().take(bounds.component_bytes).read_to_end(&mut wasm).map_err(lost)?;
    let code = compile(engine, &wasm)?;
    let mut out = std::io::stdout().lock();
    out.write_all(&code).and_then(|()| out.flush()).map_err(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(raw: i32, code: &[u8], said: &str) -> String {
        let ended = Ended { status: ExitStatus::from_raw(raw), code: code.to_vec(), said: said.to_owned() };
        match ended.judge(&Upload { component_bytes: 1, ..Upload::SMALL }) {
            Ok(code) => format!("code of {} bytes", code.len()),
            Err(error) => error.to_string(),
        }
    }

    fn exited(code: u8) -> i32 {
        i32::from(code) << 8
    }

    #[test]
    fn the_end_of_the_process_says_what_is_wrong_with_the_component() {
        assert_eq!(ended(0, &[1; 16], ""), "code of 16 bytes");
        assert_eq!(ended(exited(REFUSED), b"", "bad magic\n"), "not a component: bad magic");
        let signals =
            [(Signal::XCPU, "compileCpuSeconds allows 5 seconds"), (Signal::KILL, "broke"), (Signal::SEGV, "broke")];
        for (signal, said) in signals.map(|(signal, said)| (signal.as_raw(), said)) {
            assert!(ended(signal, b"", "").contains(said), "{signal}: {}", ended(signal, b"", ""));
        }
        let memory = ended(6, b"", "memory allocation of 4096 bytes failed\nstack backtrace");
        assert_eq!(memory, "compileMemoryBytes allows 1073741824 bytes, and it takes more to compile");
        let mapping = ended(exited(REFUSED), b"", "Cannot allocate memory (os error 12)");
        assert_eq!(mapping, memory);
        for (raw, code, said, expect) in [
            (6, &b""[..], "thread 'main' has overflowed its stack", "broke on it"),
            (exited(101), b"", "thread 'main' panicked", "broke on it"),
            (exited(NOT_BEGUN), b"", "no limits", "could not begin"),
            (0, b"", "", "broke on it"),
            (exited(1), b"code", "", "broke on it"),
            (0, &[1; 17], "", "its code has more than 16 bytes"),
        ] {
            let became = ended(raw, code, said);
            assert!(became.contains(expect), "{raw} {said}: {became}");
        }
    }

    #[test]
    fn the_kernel_says_what_a_process_has_computed() {
        let stat = "7 (a) b (c) R 1 2 3 4 -1 4194560 100 0 0 0 123 45 0 0 30 10 1 0 99 1000 50";
        assert_eq!(computed(stat), Some(Duration::from_millis(1_680)));
        for none in ["", "7 (a", "7 (a) R 1 2", "7 (a) R 1 2 3 4 -1 4194560 100 0 0 0 x 45"] {
            assert_eq!(computed(none), None, "{none}");
        }
        // What computes is counted, whether or not it has ended.
        let spent = Computed::default();
        let began = Instant::now();
        while spent.time().is_zero() {
            assert!(began.elapsed() < Duration::from_secs(60), "this process computes nothing");
            drop(Spent { process: Some(std::process::id()), began, most: 0, to: &spent });
        }
        // Of one that is not there, what has passed, up to what it might have had.
        let spent = Computed::default();
        drop(Spent { process: None, began, most: 0, to: &spent });
        assert!(spent.time().is_zero());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_or_none_of_ours_compiles_nothing() -> Result<(), Box<dyn std::error::Error>> {
        let tenant = TenantId::new("a")?;
        let (tier, wasm, none) = (Upload::SMALL, Arc::new(vec![0; 1 << 20]), Computed::default());
        let missing = Compiler::at("/nonexistent/remit").compile(&tenant, &tier, wasm.clone(), &none).await;
        assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
        // It ends at once, reads nothing and says nothing.
        let silent = Compiler::at("/bin/true").compile(&tenant, &tier, wasm.clone(), &none).await;
        assert!(matches!(silent, Err(Error::Uncompilable(_))), "{silent:?}");
        // It repeats its arguments: code that the engine would not take, so that loading it is what fails.
        let echo = Compiler::at("/bin/echo").compile(&tenant, &tier, wasm, &none).await;
        assert_eq!(echo.map_err(|error| error.to_string()), Ok(b"compile-component 5 1073741824 8388608\n".to_vec()));
        Ok(())
    }
}
