//! Shows what runs: a bar on a terminal, a line for each binary elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    libtest,
    outcome::{Outcome, Verdict},
};

/// The progress over all binaries.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(binaries: usize) -> Self {
        let bar = ProgressBar::new(binaries.try_into().unwrap_or(u64::MAX));
        let style = ProgressStyle::with_template("{bar:24} {pos}/{len} {elapsed} {wide_msg}");
        bar.set_style(style.expect("the template is one"));
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Self(bar)
    }

    pub(super) fn start(&self, name: &str) {
        self.0.set_message(name.to_owned());
    }

    /// Shows how many of the `planned` tests of `name` have printed their line.
    pub(super) fn look(&self, name: &str, planned: usize, output: &str) {
        let done = libtest::tests(output).len();
        self.0.set_message(format!("{name} {done}/{planned}"));
    }

    pub(super) fn finish(&self, outcome: Outcome) -> Outcome {
        self.0.inc(1);
        if !outcome.is_empty() {
            let line = line(&outcome);
            if self.0.is_hidden() {
                println!("{line}");
            } else {
                self.0.println(line);
            }
        }
        outcome
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn line(outcome: &Outcome) -> String {
    let counts = [
        (Verdict::Passed, "passed"),
        (Verdict::Refused, "refused"),
        (Verdict::Skipped, "skipped"),
        (Verdict::Failed, "FAILED"),
    ];
    let counts = counts.map(|(verdict, word)| (outcome.count(verdict), word));
    let mut parts: Vec<_> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if !outcome.problems.is_empty() {
        parts.push("NOT TO BE TRUSTED".to_owned());
    }
    format!(
        "{:<40} {:>7.2} s  {}",
        outcome.name,
        outcome.seconds,
        parts.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::outcome::Test;

    #[test]
    fn a_line_names_what_there_is() {
        let mut outcome = Outcome::new("s");
        outcome
            .tests
            .push(Test::new("s::a".to_owned(), Verdict::Failed));
        assert!(line(&outcome).ends_with("1 FAILED"));
        outcome.problems.push("no end".to_owned());
        assert!(line(&outcome).ends_with("1 FAILED, NOT TO BE TRUSTED"));
    }
}
