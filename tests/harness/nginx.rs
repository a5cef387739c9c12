//! nginx in front of a shop, as the shared cache that many put there, and as keen on keeping things as it can be told to be.
//!
//! It runs as long as whoever asked for it, whatever becomes of that: a shell waits for the other end of its input to close.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::net::TcpStream;

/// A running nginx.
pub struct Nginx {
    pub address: SocketAddr,
    /// Its input is never written to; that it closes is the sign to stop.
    shell: Child,
}

/// `$0` is the program, `$1` its folder.
const RUN: &str = r#"
"$0" -p "$1" -c "$1/nginx.conf" -e "$1/error.log" > /dev/null 2> "$1/said" &
nginx=$!
read -r _ || true
kill "$nginx" 2> /dev/null
wait "$nginx"
rm -rf "$1"
"#;

impl Nginx {
    /// Starts one before a shop, or none where nginx is not installed. On CI that is a failure.
    pub async fn before(shop: SocketAddr) -> Option<Self> {
        let Some(program) = program() else {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "CI runs the test of nginx, and there is no nginx");
            println!("no nginx on PATH or in /usr/sbin: its test is left out");
            return None;
        };
        // A free port may be gone by the time that nginx takes it.
        for attempt in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let folder = std::env::temp_dir().join(format!("h402-nginx-{}-{}-{attempt}", std::process::id(), address.port()));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("nginx.conf"), config(&folder.display().to_string(), address, shop)).unwrap();
            let run = Command::new("sh").args(["-c", RUN]).arg(&program).arg(&folder).stdin(Stdio::piped()).spawn();
            let started = Self { address, shell: run.unwrap() };
            for _ in 0..600 {
                if TcpStream::connect(address).await.is_ok() {
                    return Some(started);
                }
                if fs::read_to_string(folder.join("error.log")).is_ok_and(|log| log.contains("[emerg]")) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        panic!("nginx does not start")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().ok();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("nginx")).find(|program| program.is_file())
}

/// Everything that the shop does not forbid is kept, whatever its status, and old things are given rather than nothing.
fn config(folder: &str, address: SocketAddr, shop: SocketAddr) -> String {
    format!(
        r#"
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 128; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    large_client_header_buffers 4 32k;
    proxy_buffer_size 32k;
    proxy_buffers 8 32k;
    proxy_cache_path {folder}/kept keys_zone=shared:1m;
    server {{
        listen {address};
        location / {{
            proxy_pass http://{shop};
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_cache shared;
            proxy_cache_key $request_uri;
            proxy_cache_methods GET HEAD POST;
            proxy_cache_valid any 10m;
            proxy_cache_use_stale error timeout invalid_header updating http_500 http_502 http_503 http_504 http_403 http_404 http_429;
            add_header X-Cache $upstream_cache_status always;
        }}
    }}
}}
"#
    )
}
