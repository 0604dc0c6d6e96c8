//! The suites of one test binary.

use std::{env, ffi::OsString, process::ExitCode};

use crate::suite::{CANNOT_START, Suite};

/// Runs the suites of one test binary, one after the other; with `--suite NAME` on the command line, that one.
///
/// One binary for many suites is linked once, and on a machine that is emulated its code is translated once; the runner
/// asks for the names (`--suites` prints them) and gives each suite a process, a plan and a report of its own. Call it first
/// thing in `main`, as [`Suite::run`], which is the same for a single suite.
///
/// # Examples
///
/// ```no_run
/// use uring_testkit::{Suite, TestResult};
///
/// fn reads() -> Suite {
///     let mut suite = Suite::new("reads");
///     suite.test("nothing", |_| Ok(()));
///     suite
/// }
///
/// fn writes() -> Suite {
///     Suite::new("writes")
/// }
///
/// fn main() -> std::process::ExitCode {
///     uring_testkit::run_suites([reads(), writes()])
/// }
/// ```
#[must_use]
pub fn run_suites(suites: impl IntoIterator<Item = Suite>) -> ExitCode {
    let suites: Vec<_> = suites.into_iter().collect();
    match Command::read(env::args_os()) {
        Ok(Command::Names) => {
            for suite in suites {
                println!("{}", suite.name());
            }
            ExitCode::SUCCESS
        }
        Ok(Command::Run { only, arguments }) => run(suites, only.as_deref(), &arguments),
        Err(reason) => cannot_start(&reason),
    }
}

fn cannot_start(reason: &str) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::from(CANNOT_START)
}

fn run(mut suites: Vec<Suite>, only: Option<&str>, arguments: &[OsString]) -> ExitCode {
    if let Some(only) = only {
        let names: Vec<_> = suites.iter().map(Suite::name).collect();
        let unheard_of = format!("there is no suite {only} among {}", names.join(", "));
        suites.retain(|suite| suite.name() == only);
        if suites.is_empty() {
            return cannot_start(&unheard_of);
        }
    }
    let alone = suites.len() == 1;
    let mut worst = ExitCode::SUCCESS;
    for suite in suites {
        // Of many suites a filter usually means one.
        if !alone && suite.is_left_out(arguments) {
            continue;
        }
        let code = suite.run_with(arguments);
        if code != ExitCode::SUCCESS {
            worst = code;
        }
    }
    worst
}

/// What the command line asks of the binary.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Names,
    Run {
        only: Option<String>,
        /// Those for the suite, after the program's name.
        arguments: Vec<OsString>,
    },
}

impl Command {
    fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut words = words.into_iter();
        let (mut only, mut arguments) = (None, Vec::new());
        while let Some(word) = words.next() {
            match word.to_str() {
                Some("--suites") => return Ok(Self::Names),
                Some("--suite") => {
                    let name = words.next().and_then(|name| name.into_string().ok());
                    only = Some(name.ok_or("--suite: which?")?);
                }
                _ => arguments.push(word),
            }
        }
        Ok(Self::Run { only, arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, String> {
        Command::read(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_suite_is_asked_for_beside_what_is_for_it() {
        let run = |only: Option<&str>, arguments: &[&str]| Command::Run {
            only: only.map(str::to_owned),
            arguments: arguments.iter().map(OsString::from).collect(),
        };
        assert_eq!(read("p"), Ok(run(None, &["p"])));
        assert_eq!(read("p a --exact"), Ok(run(None, &["p", "a", "--exact"])));
        assert_eq!(
            read("p --suite reads --plan"),
            Ok(run(Some("reads"), &["p", "--plan"]))
        );
        assert_eq!(read("p --suites"), Ok(Command::Names));
        assert!(read("p --suite").is_err());
    }

    #[test]
    fn a_suite_that_is_not_there_cannot_start() {
        let suites = || vec![Suite::new("reads"), Suite::new("writes")];
        assert_eq!(
            run(suites(), Some("reeds"), &[]),
            ExitCode::from(CANNOT_START)
        );
        let filter = ["p", "reads"].map(OsString::from);
        assert_eq!(run(suites(), None, &filter), ExitCode::SUCCESS);
    }
}
