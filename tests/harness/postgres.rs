//! A throw-away PostgreSQL server for a test run, and a database of its own for each test.
//!
//! The server runs as long as the process that asked for it, whatever becomes of that: a shell waits for the other end
//! of its input to close, then stops the server and removes its files. It listens on a socket in its own folder only,
//! and syncs to disk as a real one does.

use sqlx::{Connection as _, PgConnection};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// A new, empty database, or none where no server is installed. On CI that is a failure.
pub async fn database() -> Option<Database> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(Server::start)).await.unwrap().as_ref()?;
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut conn = PgConnection::connect(&server.url("postgres")).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    Some(Database { url: server.url(&name) })
}

/// One database of the run's server.
#[derive(Debug, Clone)]
pub struct Database {
    url: String,
}

impl Database {
    /// As any client takes it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All of it as SQL, without what only `psql` understands.
    pub fn dump(&self) -> String {
        let mut dump = Command::new(programs().unwrap().join("pg_dump"));
        let dumped = dump.args(["--inserts", "--no-owner", "--no-privileges", "--dbname", &self.url]).output().unwrap();
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
        let text = String::from_utf8(dumped.stdout).unwrap();
        text.lines().filter(|line| !line.starts_with(['\\', '-']) && !line.is_empty()).flat_map(|line| [line, "\n"]).collect()
    }

    /// A connection beside whatever is tested.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// Ends all other connections to this database, in the middle of whatever they do, and says how many.
    pub async fn kick_everybody(&self) -> usize {
        let mut conn = self.connect().await;
        let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::query(ended).fetch_all(&mut conn).await.unwrap().len()
    }
}

struct Server {
    folder: PathBuf,
    /// Its input is never written to; that it closes is the sign to stop.
    _shell: Child,
}

/// `$0` is where the programs are, `$1` the server's folder.
const RUN: &str = r#"
set -eu
trap 'status=$?; "$0/pg_ctl" -D "$1/data" -m immediate -w stop > /dev/null 2>&1 || true; [ $status = 0 ] || cat "$1"/*.log >&2; rm -rf "$1"' EXIT
"$0/initdb" -D "$1/data" --username=h402 --auth=trust --no-sync --encoding=UTF8 --locale=C > "$1/initdb.log" 2>&1
cat >> "$1/data/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$1'
max_connections = 300
shared_buffers = 32MB
fsync = on
synchronous_commit = on
END
"$0/pg_ctl" -D "$1/data" -l "$1/server.log" -w -t 120 start > "$1/start.log" 2>&1
echo ready
read -r _ || true
"#;

impl Server {
    fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "CI runs the tests of PostgreSQL, and there is no server");
            // Not by a macro, whose output the test runner keeps to itself.
            let line = b"no PostgreSQL server (initdb) on PATH or in /usr/lib/postgresql/*/bin: its tests are left out\n";
            std::io::stderr().write_all(line).unwrap();
            return None;
        };
        let folder = std::env::temp_dir().join(format!("h402-postgres-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", RUN]).arg(programs).arg(&folder).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        // What is typed at the terminal is not for it.
        shell.process_group(0);
        if let Some((uid, gid)) = stand_in(&folder) {
            chown(&folder, Some(uid), Some(gid)).unwrap();
            shell.uid(uid).gid(gid);
        }
        let mut shell = shell.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "the PostgreSQL server did not start; it says why above");
        Some(Self { folder, _shell: shell })
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://h402@localhost/{database}?host={}", self.folder.display())
    }
}

/// Where the newest server's programs are.
fn programs() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut installed: Vec<_> = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    installed.sort_by_key(|path| std::cmp::Reverse(path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok())));
    on_path.chain(installed.into_iter().map(|path| path.join("bin"))).find(|path| {
        let whole = ["initdb", "pg_ctl", "pg_dump"];
        whole.iter().all(|program| path.join(program).is_file())
    })
}

/// Whom the server runs as if we are root, as which it will not run.
fn stand_in(ours: &Path) -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    if fs::metadata(ours).unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = |name: &str| {
        users.lines().find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            (fields.first() == Some(&name)).then(|| (fields[2].parse().unwrap(), fields[3].parse().unwrap()))
        })
    };
    Some(user("postgres").or_else(|| user("nobody")).expect("PostgreSQL will not run as root, and there is no other user"))
}
