//! JSON-RPC over HTTP: one POST route, single calls and batches, with faults in the way. A websocket on the same port.

mod connection;
mod socket;
mod thread;

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, DefaultBodyLimit, State, WebSocketUpgrade},
    http::{Response, StatusCode, header::CONTENT_TYPE},
    routing::post,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use connection::Connection;
use connection::{Doors, Gatekeeper};
pub(crate) use socket::{Feed, News};
pub(crate) use thread::Running;

use crate::fault::{Fault, Faults};

/// A JSON-RPC error.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    /// The code, such as -32000 or 3.
    pub code: i64,
    /// The text that a node gives.
    pub message: String,
    /// More about it, such as the data of a revert in hex.
    pub data: Option<Value>,
}

impl RpcError {
    /// Makes an error without data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// Makes the error that nodes give for what the caller's request lacks in state or funds: code -32000.
    pub fn server(message: impl Into<String>) -> Self {
        Self::new(-32000, message)
    }

    pub(crate) fn params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        error
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for RpcError {}

/// The methods of a chain.
pub(crate) trait Methods: Send + Sync + 'static {
    fn call(&self, method: &str, params: &Value) -> Result<Value, RpcError>;

    /// Starts what the method subscribes to.
    fn subscribe(&self, _method: &str, _params: &Value) -> Result<Feed, RpcError> {
        Err(RpcError::new(-32601, "Method not found"))
    }

    /// As [`Methods::call`], of a node that does not have the newest blocks yet.
    fn call_behind(&self, _blocks: u64, method: &str, params: &Value) -> Result<Value, RpcError> {
        self.call(method, params)
    }
}

struct Endpoint<M> {
    methods: Arc<M>,
    faults: Faults,
}

impl<M> Clone for Endpoint<M> {
    fn clone(&self) -> Self {
        Self { methods: self.methods.clone(), faults: self.faults.clone() }
    }
}

/// Serves until `stop` says true or its sender is gone.
async fn serve<M: Methods>(doors: Doors, methods: Arc<M>, faults: Faults, mut stop: watch::Receiver<bool>) {
    let app = Router::new()
        .route("/", post(answer::<M>).get(upgrade::<M>))
        .layer(DefaultBodyLimit::max(16 << 20))
        .with_state(Endpoint { methods, faults })
        .into_make_service_with_connect_info::<Connection>();
    let serving = async move { axum::serve(doors, app).await };
    tokio::select! {
        result = serving => drop(result),
        result = stop.wait_for(|stop| *stop) => drop(result),
    }
}

async fn upgrade<M: Methods>(upgrade: WebSocketUpgrade, State(endpoint): State<Endpoint<M>>) -> Response<Body> {
    upgrade.on_upgrade(|socket| socket::talk(socket, endpoint.methods))
}

/// What becomes of the HTTP answer after all calls of a request are done.
#[derive(Default)]
struct Spoiled {
    drop: bool,
    truncate: bool,
    status: Option<u16>,
    delay: Duration,
}

async fn answer<M: Methods>(
    ConnectInfo(connection): ConnectInfo<Connection>,
    State(endpoint): State<Endpoint<M>>,
    body: Bytes,
) -> Response<Body> {
    endpoint.faults.count_request();
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return json_response(envelope(&Value::Null, Err(RpcError::new(-32700, "parse error"))).to_string());
    };
    let (batch, calls) = match request {
        Value::Array(calls) if calls.is_empty() => {
            return json_response(envelope(&Value::Null, Err(RpcError::new(-32600, "empty batch"))).to_string());
        }
        Value::Array(calls) => (true, calls),
        call => (false, vec![call]),
    };
    let mut planned = Vec::with_capacity(calls.len());
    for call in calls {
        let method = call.get("method").and_then(Value::as_str).unwrap_or_default();
        let fault = endpoint.faults.take(method);
        planned.push((call, fault));
    }
    // What stops a request before it is processed stops the whole of a batch.
    for (_, fault) in &planned {
        match fault {
            Some(Fault::DropRequest) => return closed(&connection),
            Some(Fault::Status(status)) => return status_response(*status),
            Some(Fault::Html) => return html(StatusCode::OK, "<html><body>Just a moment...</body></html>"),
            _ => {}
        }
    }
    // A request goes to one node: if that is behind, it is in all its answers.
    let behind = planned.iter().find_map(|(_, fault)| if let Some(Fault::Behind(blocks)) = fault { Some(*blocks) } else { None });
    let mut spoiled = Spoiled::default();
    let mut answers = Vec::with_capacity(planned.len());
    for (call, fault) in planned {
        let fault = fault.or(behind.map(Fault::Behind));
        answers.extend(one(&endpoint, call, fault, &mut spoiled).await);
    }
    if !spoiled.delay.is_zero() {
        tokio::time::sleep(spoiled.delay).await;
    }
    if spoiled.drop {
        return closed(&connection);
    }
    if let Some(status) = spoiled.status {
        return status_response(status);
    }
    let mut text = match answers.pop() {
        Some(answer) if !batch => answer.to_string(),
        Some(answer) => {
            answers.push(answer);
            Value::Array(answers).to_string()
        }
        None => String::new(),
    };
    if spoiled.truncate {
        text.truncate(text.len() / 2);
    }
    json_response(text)
}

async fn one<M: Methods>(endpoint: &Endpoint<M>, call: Value, fault: Option<Fault>, spoiled: &mut Spoiled) -> Option<Value> {
    let mut id = call.get("id").cloned().unwrap_or(Value::Null);
    let Some(method) = call.get("method").and_then(Value::as_str) else {
        return Some(envelope(&id, Err(RpcError::new(-32600, "invalid request"))));
    };
    let params = call.get("params").cloned().unwrap_or(Value::Null);
    let mut gate_after = None;
    let result = match fault {
        Some(Fault::Error(error)) => Err(error),
        Some(Fault::Answer(result)) => Ok(result),
        Some(Fault::Behind(blocks)) => endpoint.methods.call_behind(blocks, method, &params),
        fault => {
            match fault {
                Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
                Some(Fault::Hold(gate)) => gate.pass().await,
                Some(Fault::DelayAnswer(time)) => spoiled.delay = spoiled.delay.max(time),
                Some(Fault::HoldAnswer(gate)) => gate_after = Some(gate),
                Some(Fault::DropAnswer) => spoiled.drop = true,
                Some(Fault::StatusAfter(status)) => spoiled.status = Some(status),
                Some(Fault::Truncated) => spoiled.truncate = true,
                Some(Fault::WrongId) => id = json!(format!("not-{id}")),
                _ => {}
            }
            endpoint.methods.call(method, &params)
        }
    };
    if let Some(gate) = gate_after {
        gate.pass().await;
    }
    // A call without an id is a notification and gets no answer.
    call.get("id").is_some().then(|| envelope(&id, result))
}

fn envelope(id: &Value, result: Result<Value, RpcError>) -> Value {
    match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() }),
    }
}

fn json_response(text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("application/json"));
    response
}

fn status_response(status: u16) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    html(status, status.canonical_reason().unwrap_or("error"))
}

fn html(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, axum::http::HeaderValue::from_static("text/html"));
    response
}

fn closed(connection: &Connection) -> Response<Body> {
    // Whatever is returned now cannot be written any more.
    connection.close();
    Response::new(Body::empty())
}
