use super::*;

const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const GOOD: &str = r#"
listen = "127.0.0.1:9000"
[[network]]
id = "eip155:84532"
rpc = ["https://user:hunter2@rpc.example/v1/hunter3?key=hunter4"]
assets = ["USDC"]
"#;

fn with_key(name: &str) -> Option<String> {
    (name == "H402_KEY_84532").then(|| KEY.to_owned())
}

#[tokio::test]
async fn a_good_file_is_read() {
    let config: Config = GOOD.parse().unwrap();
    let engine = config.engine(with_key).unwrap();
    assert_eq!(engine.assets.iter().count(), 1, "only what is listed is accepted");
    assert_eq!(evm(&engine).max_gas, 150_000);
    assert_eq!(evm(&engine).signer.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
}

#[tokio::test]
async fn the_starter_file_is_good() {
    let config: Config = include_str!("../starter.toml").parse().unwrap();
    assert!(config.engine(with_key).is_ok());
}

#[tokio::test]
async fn the_environment_overrides_the_file() {
    let mut config: Config = GOOD.parse().unwrap();
    let env = |name: &str| match name {
        "H402_LISTEN" => Some("127.0.0.1:9001".to_owned()),
        "H402_RPC_84532" => Some("http://127.0.0.1:1, http://127.0.0.1:2".to_owned()),
        _ => None,
    };
    config.override_from(env).unwrap();
    assert_eq!(config.listen.port(), 9001);
    assert_eq!(config.network[0].rpc.len(), 2);
}

#[tokio::test]
async fn mistakes_are_named() {
    let cases = [
        (GOOD.replace("listen", "lisen"), "line 2: unknown field `lisen`"),
        (GOOD.replace("assets = [\"USDC\"]", ""), "assets"),
        (GOOD.replace("[\"USDC\"]", "[]"), "at least one asset"),
        (GOOD.replace("USDC", "USDX"), "USDX is not known"),
        (GOOD.replace("eip155:84532", "base-sepolja"), "names no network"),
        (GOOD.replace("127.0.0.1:9000", "localhost"), "line 2"),
        (format!("{GOOD}\nmultical3 = \"none\""), "multical3"),
        (format!("{GOOD}\nmulticall3 = \"yes\""), "multicall3"),
        (format!("{GOOD}\n[network.minimum]\nUSDT = \"1\""), "USDT is not among the assets"),
        (format!("{GOOD}\n[network.minimum]\nUSDC = \"0.0000001\""), "fraction digits"),
        (format!("{GOOD}{}", GOOD.replace("listen = \"127.0.0.1:9000\"", "")), "is there twice"),
    ];
    for (text, word) in cases {
        let error = text.parse::<Config>().and_then(|config| config.engine(with_key)).expect_err(word).to_string();
        assert!(error.contains(word), "{error} should name {word}");
    }
    let error = GOOD.parse::<Config>().unwrap().engine(|_| None).unwrap_err().to_string();
    assert!(error.contains("H402_KEY_84532"), "{error}");
}

#[test]
fn a_public_listener_has_to_be_meant() {
    let config: Config = GOOD.replace("127.0.0.1", "0.0.0.0").parse().unwrap();
    assert!(config.check_bind(false).is_err());
    assert!(config.check_bind(true).is_ok());
    assert!(GOOD.parse::<Config>().unwrap().check_bind(false).is_ok());
}

/// T114: no part of a URL's credentials and no key shows, wherever a configuration is printed.
#[tokio::test]
async fn t114_secrets_are_not_shown() {
    let config: Config = GOOD.parse().unwrap();
    let engine = config.engine(with_key).unwrap();
    let bad_key = GOOD.parse::<Config>().unwrap().engine(|_| Some("hunter5".into())).unwrap_err();
    let bad_line = GOOD.replace("rpc = [", "rpc = [hunter6 ").parse::<Config>().unwrap_err();
    let bad_type = GOOD.replace("rpc = [\"", "rpc = \"").replacen("\"]", "\"", 1).parse::<Config>().unwrap_err();
    assert!(bad_type.to_string().contains("invalid type: string, expected a sequence"), "{bad_type}");
    let bad_url = GOOD.replace("https://user", "ftp://user").parse::<Config>().unwrap().engine(with_key).unwrap_err();
    let shown = format!("{config:?} {engine:?} {bad_key:?} {bad_key} {bad_line:?} {bad_line} {bad_type:?} {bad_url:?} {bad_url}");
    assert!(!shown.contains("hunter") && !shown.contains(&KEY[..16]), "{shown}");
}

/// A keystore as the Web3 Secret Storage definition publishes it: PBKDF2, password `testpassword`.
const KEYSTORE: &str = r#"{"crypto":{"cipher":"aes-128-ctr","cipherparams":{"iv":"6087dab2f9fdbbfaddc31a909735c1e6"},
"ciphertext":"5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46","kdf":"pbkdf2",
"kdfparams":{"c":262144,"dklen":32,"prf":"hmac-sha256","salt":"ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
"mac":"517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
"id":"3198bc9c-6672-5ab3-d995-4942343ae5b6","version":3}"#;

#[tokio::test]
async fn an_encrypted_keystore_is_opened_with_its_password() {
    let path = std::env::temp_dir().join(format!("h402-keystore-{}.json", std::process::id()));
    std::fs::write(&path, KEYSTORE).unwrap();
    let config: Config = GOOD.replace("assets =", &format!("keystore_file = {path:?}\nassets =")).parse().unwrap();
    let opened = |password: Option<&str>| {
        let password = password.map(str::to_owned);
        config.engine(move |name| password.clone().filter(|_| name == "H402_KEYSTORE_PASSWORD_84532"))
    };
    let engine = opened(Some("testpassword")).unwrap();
    // The published secret is 7a28b5ba…fe9d; its address is the one other wallets show for it.
    assert_eq!(evm(&engine).signer.address().to_string(), "0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b");
    let wrong = opened(Some("hunter7")).unwrap_err().to_string();
    assert!(wrong.contains("password is wrong") && !wrong.contains("hunter"), "{wrong}");
    assert!(opened(None).unwrap_err().to_string().contains("H402_KEYSTORE_PASSWORD_84532"));
    std::fs::remove_file(path).unwrap();
}

const CLUSTER: &str = r#"
[[network]]
id = "solana-devnet"
rpc = ["https://api.devnet.solana.com"]
assets = ["SOL", "USDC"]
commitment = "finalized"
extensions = ["transfer_fee"]
max_fee_lamports = 20000
[network.large_amount]
USDC = "100"
"#;

/// The key of RFC 8032's first test, as `solana-keygen` writes it.
const PAIR: &str = "[157,97,177,157,239,253,90,96,186,132,74,244,146,236,44,196,68,73,197,105,123,50,105,25,112,59,172,3,28,174,127,96,\
    215,90,152,1,130,177,10,183,213,75,254,211,201,100,7,58,14,225,114,243,218,166,35,37,175,2,26,104,247,7,81,26]";

fn with_sponsor(name: &str) -> Option<String> {
    (name == "H402_KEY_EtWTRABZaYq6iMfeYKouRu166VU2xqa1").then(|| PAIR.to_owned())
}

#[tokio::test]
async fn a_cluster_is_read() {
    let config: Config = CLUSTER.parse().unwrap();
    let engine = config.engine(with_sponsor).unwrap();
    let NetworkConfig::Solana(cluster) = &engine.networks[0] else { panic!("not Solana") };
    assert_eq!(cluster.chain.network().to_string(), "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1");
    assert_eq!(cluster.sponsor.as_ref().unwrap().address().to_string(), "FVen3X669xLzsi6N2V91DoiyzHzg1uAgqiT8jZ9nS96Z");
    assert_eq!((cluster.accept, cluster.max_fee_lamports), (crate::solana::Commitment::Finalized, 20_000));
    assert_eq!((cluster.large_amounts.len(), cluster.large_amounts[0].1), (1, Amount::from_atomic(100_000_000)));
    assert!(cluster.extensions.transfer_fee && !cluster.extensions.transfer_hook);
    let unsponsored = config.engine(|_| None).unwrap();
    assert!(matches!(&unsponsored.networks[0], NetworkConfig::Solana(cluster) if cluster.sponsor.is_none()));
}

#[tokio::test]
async fn mistakes_about_a_cluster_are_named() {
    let mint =
        "\n[[asset]]\nnetwork = \"solana-devnet\"\naddress = \"So11111111111111111111111111111111111111112\"\ndecimals = 9\nsymbol = \"W\"";
    let cases = [
        (CLUSTER.replace("finalized", "processed"), "unknown variant `processed`"),
        (CLUSTER.replace("transfer_fee", "transfer_tax"), "unknown variant `transfer_tax`"),
        (CLUSTER.replace("USDC = \"100\"", "USDT = \"100\""), "USDT is not among the assets"),
        (CLUSTER.replace("max_fee_lamports", "max_fee_gwei"), "is of EVM networks"),
        (CLUSTER.replace("max_fee_lamports = 20000", "multicall3 = \"none\""), "is of EVM networks"),
        (GOOD.replace("assets =", "min_blocks_left = 3\nassets ="), "is of Solana networks"),
        (CLUSTER.replace("rpc = [\"https://api.devnet.solana.com\"]", ""), "H402_RPC_EtWTRABZaYq6iMfeYKouRu166VU2xqa1"),
        (format!("{CLUSTER}{mint}\ntoken_program = \"spl\""), "unknown variant `spl`"),
        (
            format!("{CLUSTER}{}\ntoken_program = \"token\"", mint.replace("So11111111111111111111111111111111111111112", "native")),
            "is of mints",
        ),
    ];
    for (text, word) in cases {
        let error = text.parse::<Config>().and_then(|config| config.engine(with_key)).expect_err(word).to_string();
        assert!(error.contains(word), "{error} should name {word}");
    }
    let good: Config = format!("{CLUSTER}{mint}\ntoken_program = \"token-2022\"").parse().unwrap();
    assert_eq!(good.asset[0].asset().unwrap().token_program, Some(h402_core::TokenProgram::Token2022));
    let error = CLUSTER.parse::<Config>().unwrap().engine(|_| Some("hunter2".into())).unwrap_err().to_string();
    assert!(error.starts_with("H402_KEY_EtWT") && !error.contains("hunter"), "{error}");
}

fn evm(config: &EngineConfig) -> &EvmNetwork {
    let NetworkConfig::Evm(evm) = &config.networks[0] else { panic!("not EVM") };
    evm
}
