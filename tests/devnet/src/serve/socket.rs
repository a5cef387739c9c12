//! The same calls over a websocket on the same port, and subscriptions, which only a websocket has.
//!
//! Calls by websocket are not counted and meet no faults; a chain that is paused cuts them like any connection.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::{Methods, RpcError, envelope};

/// How often it is looked whether there is something to tell.
const PERIOD: Duration = Duration::from_millis(10);

/// What a subscription has to tell since it was last asked.
pub(crate) enum News {
    /// Nothing.
    None,
    /// This, and there may be more.
    Some(Value),
    /// This, and the subscription has ended.
    Last(Value),
}

/// A subscription: the method of its notifications, and what they say.
pub(crate) struct Feed {
    pub(crate) method: &'static str,
    pub(crate) next: Box<dyn FnMut() -> News + Send>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("method", &self.method).finish_non_exhaustive()
    }
}

/// What one websocket has subscribed to.
#[derive(Default)]
struct Feeds {
    open: HashMap<u64, Feed>,
    last: u64,
}

impl Feeds {
    fn add(&mut self, feed: Feed) -> u64 {
        self.last += 1;
        self.open.insert(self.last, feed);
        self.last
    }

    /// The notifications that are due.
    fn due(&mut self) -> Vec<Value> {
        let mut due = Vec::new();
        self.open.retain(|id, feed| {
            let notification =
                |result: Value| json!({ "jsonrpc": "2.0", "method": feed.method, "params": { "subscription": id, "result": result } });
            match (feed.next)() {
                News::None => true,
                News::Some(result) => {
                    due.push(notification(result));
                    true
                }
                News::Last(result) => {
                    due.push(notification(result));
                    false
                }
            }
        });
        due
    }
}

/// Answers until the other side is gone.
pub(super) async fn talk<M: Methods>(mut socket: WebSocket, methods: Arc<M>) {
    let mut feeds = Feeds::default();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let said = tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => vec![answer(&*methods, &mut feeds, &text)],
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                // Pings are answered below us.
                Some(Ok(_)) => Vec::new(),
            },
            _ = ticks.tick() => feeds.due(),
        };
        for value in said {
            if socket.send(Message::text(value.to_string())).await.is_err() {
                return;
            }
        }
    }
}

fn answer(methods: &impl Methods, feeds: &mut Feeds, text: &str) -> Value {
    let Ok(call) = serde_json::from_str::<Value>(text) else {
        return envelope(&Value::Null, Err(RpcError::new(-32700, "parse error")));
    };
    let id = call.get("id").cloned().unwrap_or(Value::Null);
    let Some(method) = call.get("method").and_then(Value::as_str) else {
        return envelope(&id, Err(RpcError::new(-32600, "invalid request")));
    };
    let params = call.get("params").cloned().unwrap_or(Value::Null);
    let result = if method.ends_with("Unsubscribe") {
        let known = params.get(0).and_then(Value::as_u64).and_then(|feed| feeds.open.remove(&feed));
        known.map(|_| json!(true)).ok_or_else(|| RpcError::params("Invalid subscription id."))
    } else if method.ends_with("Subscribe") {
        methods.subscribe(method, &params).map(|feed| json!(feeds.add(feed)))
    } else {
        methods.call(method, &params)
    };
    envelope(&id, result)
}
