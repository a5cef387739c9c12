use super::*;
use std::time::Duration;

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
    assert_eq!(evm(&engine).signers[0].address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
}

#[tokio::test]
async fn connections_are_limited_as_the_file_says() {
    let file = |section: &str| format!("{GOOD}\n[connections]\n{section}").parse::<Config>().unwrap().connections.limits();
    let limits = file("max = 9\nmax_per_client = 4\nidle_seconds = 3").unwrap();
    assert_eq!((limits.overall, limits.per_client, limits.idle), (9, Some(4), Duration::from_secs(3)));
    let limits = file("").unwrap();
    assert_eq!((limits.overall, limits.per_client, limits.idle), (768, None, Duration::from_secs(30)));
    for key in ["max", "max_per_client", "idle_seconds"] {
        assert!(file(&format!("{key} = 0")).unwrap_err().to_string().contains(key));
        assert!(file(&format!("{key} = 1")).is_ok());
    }
}

/// The second development account of anvil and hardhat, whose key and address are public.
#[tokio::test]
async fn several_keys_settle_on_one_network() {
    let second = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
    let addresses = |engine: &EngineConfig| evm(engine).signers.iter().map(|signer| signer.address().to_string()).collect::<Vec<_>>();
    let want = ["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"];
    let engine = GOOD.parse::<Config>().unwrap().engine(|name| with_key(name).map(|key| format!("{key}, {second}"))).unwrap();
    assert_eq!(addresses(&engine), want);
    let folder = std::env::temp_dir().join(format!("h402-keys-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (one, two) = (folder.join("one"), folder.join("two"));
    std::fs::write(&one, KEY).unwrap();
    std::fs::write(&two, second).unwrap();
    let config = GOOD.replace("assets =", &format!("key_file = {one:?}\nkey_files = [{two:?}]\nassets ="));
    assert_eq!(addresses(&config.parse::<Config>().unwrap().engine(|_| None).unwrap()), want);
    let config = GOOD.replace("assets =", &format!("key_files = [{two:?}]\nassets ="));
    assert_eq!(addresses(&config.parse::<Config>().unwrap().engine(|_| None).unwrap()), want[1..]);
    std::fs::remove_dir_all(folder).unwrap();
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
        (format!("{GOOD}\ndaily_budget = \"1,5\""), "daily_budget"),
        (format!("{GOOD}\ncoin_usd = \"-1\""), "coin_usd"),
        (format!("{GOOD}\nmax_cost_percent = 10"), "needs coin_usd"),
        (format!("{GOOD}\ncoin_usd = \"1\"\nmax_cost_percent = 0"), "at least 1"),
        (format!("{GOOD}\npayees = [\"0x12\"]"), "payees 0x12"),
        (format!("{GOOD}\n[network.payees_of]\nUSDT = []"), "USDT is not among the assets"),
        (format!("{GOOD}\n[network.code_hash]\nUSDC = \"12\""), "code_hash USDC: is not 0x and 64 hex digits"),
        (format!("{GOOD}\n[network.code_hash]\nETH = \"0x12\""), "ETH is not among the assets"),
        (format!("{GOOD}\n[network.implementation_hash]\nUSDC = \"0x12\""), "needs its code_hash"),
        (format!("{GOOD}{}", GOOD.replace("listen = \"127.0.0.1:9000\"", "")), "is there twice"),
    ];
    for (text, word) in cases {
        let error = text.parse::<Config>().and_then(|config| config.engine(with_key)).expect_err(word).to_string();
        assert!(error.contains(word), "{error} should name {word}");
    }
    let error = GOOD.parse::<Config>().unwrap().engine(|_| None).unwrap_err().to_string();
    assert!(error.contains("H402_KEY_84532"), "{error}");
}

#[tokio::test]
async fn what_an_operator_allows_is_read() {
    let hash = format!("0x{}", "ab".repeat(32));
    let text = format!(
        "{GOOD}\npayees = [\"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266\"]\n[network.payees_of]\nUSDC = []\n\
         [network.code_hash]\nUSDC = \"{hash}\"\n[network.implementation_hash]\nUSDC = \"{hash}\""
    );
    let engine = text.parse::<Config>().unwrap().engine(with_key).unwrap();
    let (usdc, pin) = evm(&engine).pins[0];
    assert_eq!((usdc.to_string().as_str(), pin.implementation), ("0x036CbD53842c5426634e7929541eC2318f3dCF7e", Some([0xab; 32].into())));
    let (payees, payee) = (&evm(&engine).payees, "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266".parse().unwrap());
    assert!(payees.allow(Address::Evm(Default::default()), payee) && !payees.allow(usdc.into(), payee));
    let text = format!("{GOOD}\ndaily_budget = \"0.05\"\ncoin_usd = \"2500.5\"\nl1_fee = true");
    let engine = text.parse::<Config>().unwrap().engine(with_key).unwrap();
    assert_eq!(evm(&engine).daily_budget.unwrap().to_string(), "50000000000000000");
    let limit = evm(&engine).cost_limit.unwrap();
    assert_eq!((limit.coin_usd.to_string().as_str(), limit.percent, evm(&engine).l1_fee), ("2500500000000000000000", 50, true));
    let open = GOOD.parse::<Config>().unwrap().engine(with_key).unwrap();
    assert!(evm(&open).pins.is_empty() && evm(&open).payees.allow(usdc.into(), payee));
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
    assert_eq!(evm(&engine).signers[0].address().to_string(), "0x008AeEda4D805471dF9b2A5B0f38A0C3bCBA786b");
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

/// From an amount on payments are waited for longer, and no new ones are taken while a chain stands still: on both kinds.
#[tokio::test]
async fn large_amounts_and_the_age_of_blocks_are_read_of_both_kinds() {
    let text = format!("{}\n[network.large_amount]\nUSDC = \"2.5\"\n", GOOD.replace("assets =", "max_block_age_s = 90\nassets ="));
    let read = text.parse::<Config>().unwrap().engine(with_key).unwrap();
    let usdc = evm(&read).large_amounts.iter().map(|(_, amount)| *amount).collect::<Vec<_>>();
    assert_eq!((usdc, evm(&read).max_block_age), (vec![Amount::from_atomic(2_500_000)], Duration::from_secs(90)));
    let silent = GOOD.parse::<Config>().unwrap().engine(with_key).unwrap();
    assert_eq!((evm(&silent).large_amounts.len(), evm(&silent).max_block_age), (0, Duration::from_secs(30)));
    let cluster = CLUSTER.replace("commitment", "max_block_age_s = 5\ncommitment").parse::<Config>().unwrap().engine(|_| None).unwrap();
    assert!(matches!(&cluster.networks[0], NetworkConfig::Solana(cluster) if cluster.max_block_age == Duration::from_secs(5)));
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
        (CLUSTER.replace("max_fee_lamports = 20000", "coin_usd = \"1\""), "is of EVM networks"),
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

/// The key that signs receipts: from the environment or a file, named when it is missing or wrong, and never shown.
#[tokio::test]
async fn a_receipt_key_is_read_and_never_shown() {
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const ISSUER: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"; // RFC 8032, 7.1
    let config: Config = GOOD.parse().unwrap();
    assert!(config.receipt_key(|_| None).unwrap().is_none(), "none is needed");
    let from_env = |name: &str| (name == "H402_RECEIPT_KEY").then(|| SEED.to_owned()).or_else(|| with_key(name));
    let engine = config.engine(from_env).unwrap();
    assert_eq!(engine.receipt_key.as_ref().unwrap().issuer().to_string(), ISSUER);
    assert!(!format!("{engine:?}").contains(SEED));

    let folder = std::env::temp_dir().join(format!("h402-receipt-key-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("receipt.key");
    std::fs::write(&file, format!("0x{SEED}\n")).unwrap();
    let with = |section: &str| format!("{GOOD}\n[receipts]\n{section}").parse::<Config>().unwrap().receipt_key(|_| None);
    assert_eq!(with(&format!("key_file = {file:?}")).unwrap().unwrap().issuer().to_string(), ISSUER);
    std::fs::write(&file, format!("{SEED}00")).unwrap();
    for (section, named) in [
        (format!("key_file = {file:?}"), "receipt.key: not an ed25519 key"),
        ("key_file = \"/nowhere/receipt.key\"".to_owned(), "/nowhere/receipt.key"),
        ("keystore_file = \"x.json\"".to_owned(), "H402_RECEIPT_KEYSTORE_PASSWORD is not set"),
        ("key_file = \"a\"\nkeystore_file = \"b\"".to_owned(), "both given"),
        (String::new(), "is missing"),
    ] {
        let error = with(&section).unwrap_err().to_string();
        assert!(error.contains(named) && !error.contains(SEED), "{error}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
