//! The facilitator's own program, built with its failpoints: `H402_CHAOS` names one (h402-facilitator/src/chaos.rs).

fn main() -> std::process::ExitCode {
    match h402_facilitator::server::run(std::env::args_os()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("h402-facilitator: {error}");
            std::process::ExitCode::from(error.exit_code())
        }
    }
}
