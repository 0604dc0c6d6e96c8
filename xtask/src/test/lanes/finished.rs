//! What lanes came to, for people and for machines.

use anyhow::{Result, bail};
use serde::Serialize;

use super::{judge::Trouble, lane::Lane, opcodes::Account};
use crate::{
    kernels::Facts,
    test::{junit, outcome::Outcome},
};

/// What a lane came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finished {
    #[serde(flatten)]
    pub(super) lane: Lane,
    pub(super) release: Option<String>,
    pub(super) seconds: f64,
    /// Boots that came to no test and were repeated, each with its reason.
    pub(super) repeated: Vec<String>,
    pub(super) suites: Vec<Outcome>,
    pub(super) troubles: Vec<Trouble>,
    /// What the kernel has, where that is as its lane promises.
    pub(super) facts: Option<Facts>,
    /// The end of the machine's log, where there is trouble.
    #[serde(skip)]
    pub(super) last_lines: String,
}

/// A run, for machines.
#[derive(Debug, Serialize)]
pub(super) struct Results<'a> {
    pub(super) lanes: &'a [Finished],
    pub(super) opcodes: &'a Account,
    /// What no lane has shown.
    pub(super) gaps: &'a [String],
}

impl Finished {
    pub(super) fn is_good(&self) -> bool {
        let good = |suite: &Outcome| suite.failed() == 0 && suite.problems.is_empty();
        self.troubles.is_empty() && self.suites.iter().all(good)
    }

    pub(super) fn for_junit(&self) -> junit::Part<'_> {
        let troubles = self.troubles.iter();
        let mut properties = vec![("package", self.lane.package.clone())];
        properties.extend(
            self.release
                .iter()
                .map(|release| ("release", release.clone())),
        );
        properties.extend(
            self.repeated
                .iter()
                .map(|why| ("booted again", why.clone())),
        );
        junit::Part {
            lane: Some(format!("Linux {}", self.lane.name)),
            outcomes: &self.suites,
            troubles: troubles
                .map(|trouble| (trouble.class.word(), trouble.text.clone()))
                .collect(),
            last_lines: &self.last_lines,
            properties,
        }
    }
}

/// Nothing failed, nothing is missing, something ran.
pub(super) fn verdict(finished: &[Finished], gaps: &[String]) -> Result<()> {
    let bad: Vec<_> = finished
        .iter()
        .filter(|lane| !lane.is_good())
        .map(|lane| lane.lane.name.as_str())
        .collect();
    for gap in gaps {
        println!("---- {gap}");
    }
    if !bad.is_empty() {
        bail!("failed on {}", bad.join(", "));
    }
    if !gaps.is_empty() {
        bail!("what no lane has shown: {}", gaps.len());
    }
    let ran: usize = finished
        .iter()
        .flat_map(|l| &l.suites)
        .map(Outcome::ran)
        .sum();
    if ran == 0 {
        bail!("nothing ran: this shows nothing");
    }
    Ok(())
}

pub(super) fn print_failures(finished: &Finished) {
    for said in &finished.repeated {
        println!("---- Linux {}: booted again: {said}\n", finished.lane.name);
    }
    if finished.is_good() {
        return;
    }
    println!("==== Linux {}", finished.lane.name);
    for suite in &finished.suites {
        suite.print_failures();
    }
    for trouble in &finished.troubles {
        println!("---- {trouble}\n");
    }
    println!("the machine's last lines:\n{}", finished.last_lines);
    println!("logs: {}\n", finished.lane.dir.display());
}

#[cfg(test)]
mod tests {
    use super::{
        super::judge::{self, Class},
        *,
    };
    use crate::test::outcome::{Test, Verdict};

    fn finished(verdicts: &[Verdict]) -> Finished {
        let mut suite = Outcome::new("s");
        for verdict in verdicts {
            suite.tests.push(Test::new("t".to_owned(), *verdict));
        }
        Finished {
            lane: judge::tests::lane(),
            release: None,
            seconds: 1.0,
            repeated: Vec::new(),
            suites: vec![suite],
            troubles: Vec::new(),
            facts: None,
            last_lines: String::new(),
        }
    }

    #[test]
    fn success_takes_lanes_without_trouble_and_tests_that_ran() {
        let good = finished(&[Verdict::Passed]);
        assert!(verdict(std::slice::from_ref(&good), &[]).is_ok());
        assert!(verdict(std::slice::from_ref(&good), &["t".to_owned()]).is_err());
        assert!(verdict(&[good.clone(), finished(&[Verdict::Failed])], &[]).is_err());
        assert!(verdict(&[finished(&[Verdict::Skipped])], &[]).is_err());
        let mut troubled = good;
        troubled
            .troubles
            .push(Trouble::new(Class::Kernel, "BUG: x"));
        assert!(verdict(&[troubled], &[]).is_err());
    }
}
