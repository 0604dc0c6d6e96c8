//! The suites of one test binary.

use std::{env, ffi::OsString, process::ExitCode};

use libtest_mimic::{Arguments, Trial};

use crate::{kernel::Lane, run, suite::Suite, test::Case};

/// The exit code where a suite could not start.
const CANNOT_START: u8 = 2;

/// Runs the suites of one test binary; with `--suite NAME` on the command line, once or more often, those.
///
/// One binary for many suites is linked once, and on a machine that is emulated its code is translated once. Tests of different
/// suites run at the same time, so that those that wait let others run; [`alone`](crate::Test::alone) means alone
/// among all. Each suite has a plan and a report of its own, and one that cannot start keeps no other from it.
/// The runner asks for the names (`--suites` prints them).
/// Call it first thing in `main`, as [`Suite::run`], which is the same for a single suite.
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
        Ok(Command::Run { only, arguments }) => run(suites, &only, &arguments),
        Err(reason) => cannot_start(&reason),
    }
}

fn cannot_start(reason: &str) -> ExitCode {
    eprintln!("error: {reason}");
    ExitCode::from(CANNOT_START)
}

fn run(mut suites: Vec<Suite>, only: &[String], arguments: &[OsString]) -> ExitCode {
    let names: Vec<_> = suites.iter().map(Suite::name).collect();
    if let Some(unheard_of) = only.iter().find(|only| !names.contains(&only.as_str())) {
        let names = names.join(", ");
        return cannot_start(&format!("there is no suite {unheard_of} among {names}"));
    }
    let (arguments, only_plan) = read(arguments);
    if !only.is_empty() {
        suites.retain(|suite| only.iter().any(|only| only == suite.name()));
    } else if suites.len() > 1 {
        // Of many suites a filter usually means one.
        suites.retain(|suite| !suite.is_left_out(&arguments));
    }
    let lane = Lane::from_env();
    let done = if arguments.list {
        let cases = of_each(&suites, Suite::valid_cases);
        let trial = |case: Case| Trial::test(case.name, || Ok(()));
        let trials = cases.good.into_iter().flatten().map(trial).collect();
        let listed = libtest_mimic::run(&arguments, trials).exit_code();
        cases.all_are.then_some(Ok(listed))
    } else if only_plan {
        let plans = of_each(&suites, |suite| suite.plan(&arguments, lane.as_ref()?));
        print!("{}", plans.good.concat());
        plans.all_are.then_some(Ok(ExitCode::SUCCESS))
    } else {
        let planned = of_each(&suites, |suite| {
            suite.planned(&arguments, lane.as_ref()?, false)
        });
        let ran = match &lane {
            Ok(lane) if !planned.good.is_empty() => run::run(planned.good, &arguments, lane),
            _ => Ok(ExitCode::SUCCESS),
        };
        planned.all_are.then_some(ran)
    };
    match done {
        Some(Ok(code)) => code,
        Some(Err(reason)) => cannot_start(&reason),
        None => ExitCode::from(CANNOT_START),
    }
}

/// What each suite answered, and whether all could.
struct Answers<T> {
    good: Vec<T>,
    all_are: bool,
}

/// Asks each suite; one that cannot answer cannot start, and says so.
fn of_each<T>(suites: &[Suite], ask: impl Fn(&Suite) -> Result<T, String>) -> Answers<T> {
    let mut good = Vec::new();
    for suite in suites {
        match ask(suite) {
            Ok(answer) => good.push(answer),
            Err(reason) => suite.refuse_to_start(&reason),
        }
    }
    Answers {
        all_are: good.len() == suites.len(),
        good,
    }
}

/// libtest's arguments, and whether only the plan is wanted.
fn read(arguments: &[OsString]) -> (Arguments, bool) {
    let (plan, arguments): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|argument| *argument == "--plan");
    let only_plan = !plan.is_empty() || env::var_os("URING_PLAN").is_some();
    (Arguments::from_iter(arguments), only_plan)
}

/// What the command line asks of the binary.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Names,
    Run {
        only: Vec<String>,
        /// Those for the suite, after the program's name.
        arguments: Vec<OsString>,
    },
}

impl Command {
    fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut words = words.into_iter();
        let (mut only, mut arguments) = (Vec::new(), Vec::new());
        while let Some(word) = words.next() {
            match word.to_str() {
                Some("--suites") => return Ok(Self::Names),
                Some("--suite") => {
                    let name = words.next().and_then(|name| name.into_string().ok());
                    only.push(name.ok_or("--suite: which?")?);
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
    fn suites_are_asked_for_beside_what_is_for_them() {
        let run = |only: &[&str], arguments: &[&str]| Command::Run {
            only: only.iter().map(|name| (*name).to_owned()).collect(),
            arguments: arguments.iter().map(OsString::from).collect(),
        };
        assert_eq!(read("p"), Ok(run(&[], &["p"])));
        assert_eq!(read("p a --exact"), Ok(run(&[], &["p", "a", "--exact"])));
        assert_eq!(
            read("p --suite reads --plan --suite writes"),
            Ok(run(&["reads", "writes"], &["p", "--plan"]))
        );
        assert_eq!(read("p --suites"), Ok(Command::Names));
        assert!(read("p --suite").is_err());
    }

    #[test]
    fn a_suite_that_is_not_there_cannot_start() {
        let suites = || vec![Suite::new("reads"), Suite::new("writes")];
        assert_eq!(
            run(suites(), &["reeds".to_owned()], &[]),
            ExitCode::from(CANNOT_START)
        );
        let filter = ["p", "reads"].map(OsString::from);
        assert_eq!(run(suites(), &[], &filter), ExitCode::SUCCESS);
    }
}
