use super::*;

const STARTER: &str = Config::STARTER;

fn settings(text: &str) -> Result<Settings, String> {
    text.parse::<Config>().and_then(|config| config.settings()).map_err(|error| error.to_string())
}

#[test]
fn the_starter_is_good() {
    let config: Config = STARTER.parse().unwrap();
    assert_eq!(config.check_bind(false), Ok(()));
    let settings = config.settings().unwrap();
    let labels: Vec<&str> = settings.prices.labels().collect();
    let named =
        ["getGenesisHash", "getHealth", "getLatestBlockhash", "getProgramAccounts", "getVersion", "requestAirdrop", "sendTransaction"];
    assert_eq!(labels[..7], named);
    assert_eq!((settings.timeout.as_secs(), settings.max_batch, settings.redeliveries), (10, 50, 0));
}

/// What is commented out in the starter is what holds without it.
#[test]
fn the_starter_shows_the_defaults() {
    let shown = STARTER.replace("# timeout_seconds", "timeout_seconds").replace("# probe_seconds", "probe_seconds");
    let shown =
        shown.replace("# max_body_bytes", "max_body_bytes").replace("# max_batch", "max_batch").replace("# max_in_flight", "max_in_flight");
    let shown = shown.replace("# redeliveries", "redeliveries");
    assert_eq!(format!("{:?}", shown.parse::<Config>().unwrap()), format!("{:?}", STARTER.parse::<Config>().unwrap()));
}

#[test]
fn what_is_wrong_is_named_and_never_shown() {
    let cases = [
        ("timeout_seconds = 10", "# timeout_seconds = 10", "timeout_seconds = 20", "timeout_seconds: from 1 to 19 are possible"),
        ("max_batch", "# max_batch = 50", "max_batch = 0", "max_batch: from 1 to 1000 are possible"),
        ("unknown key", "# max_batch = 50", "max_bach = 1", "line 22: unknown field `max_bach`"),
        ("origin", "origin = \"http://127.0.0.1:8899\"", "origin = \"127.0.0.1\"", "origin: "),
        ("upstream", "https://api.devnet.solana.com", "ftp://user:secret@x.example", "upstreams: RPC endpoint: scheme is neither"),
        ("no upstream", "[\"https://api.devnet.solana.com\"]", "[]", "upstreams: at least one is needed"),
        ("a key as a number", "[\"https://api.devnet.solana.com\"]", "[\"secret\", 5]", "line 16: invalid type"),
        (
            "a list that is none",
            "[\"https://api.devnet.solana.com\"]",
            "\"https://a.example/secret\"",
            "invalid type: string, expected a seq",
        ),
        ("network", "eip155:84532", "nowhere", "accept nowhere USDC: network: "),
        ("asset", "asset = \"USDC\"", "asset = \"EURC\"", "accept eip155:84532 EURC: asset: is not known"),
        ("payee", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "0x70", "accept eip155:84532 USDC: pay_to: "),
        ("rate", "asset = \"USDC\"", "asset = \"USDC\"\nper_dollar = \"1\"", "USDC is pegged to the dollar and needs no `per_dollar`"),
        ("price", "default = \"0.0001\"", "default = \"cheap\"", "price: price of default: \"cheap\" in USDC: not a decimal number"),
        ("lists", "free = [", "free = [\"requestAirdrop\", ", "price: requestAirdrop is free and denied"),
    ];
    assert!(settings(STARTER).is_ok());
    for (name, from, to, want) in cases {
        assert!(STARTER.contains(from), "{name}");
        let error = settings(&STARTER.replacen(from, to, 1)).unwrap_err();
        assert!(error.contains(want), "{name}: {error}");
        assert!(!error.contains("secret"), "{name}: {error}");
    }
}

#[test]
fn strangers_reach_nothing_that_was_not_meant_for_them() {
    let bind = |from: &str, to: &str, public| STARTER.replacen(from, to, 1).parse::<Config>().unwrap().check_bind(public).is_ok();
    assert!(bind("", "", false));
    assert!(!bind("127.0.0.1:8899\"", "0.0.0.0:8899\"", false));
    assert!(bind("127.0.0.1:8899\"", "0.0.0.0:8899\"", true));
    assert!(!bind("127.0.0.1:9899", "0.0.0.0:9899", true));
}

#[test]
fn upstreams_may_come_from_the_environment() {
    let mut config: Config = STARTER.parse().unwrap();
    config.override_from(|name| (name == "SOLANA_RPC_UPSTREAMS").then(|| "http://a.example/key, http://b.example".to_owned()));
    let counts = config.settings().unwrap().upstreams.counts();
    let endpoints: Vec<String> = counts.into_iter().map(|count| count.endpoint).collect();
    assert_eq!(endpoints, ["http://a.example", "http://b.example"]);
    assert!(!format!("{config:?}").contains("key"));
}

/// What the guide shows is a configuration.
#[test]
fn the_guides_file_is_good() {
    let guide = include_str!("../../../../docs/guides/solana-rpc-proxy.md");
    let shown = guide.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let config: Config = shown.parse().unwrap();
    let settings = config.settings().unwrap();
    assert_eq!((config.accept.len(), settings.upstreams.counts().len()), (3, 2));
}
