//! What the host wants done.

use std::{fs, path::PathBuf, time::Duration};

use super::conditions::Conditions;

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
}

/// A module of the kernel and what it is loaded with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) path: PathBuf,
    pub(super) parameters: String,
}

/// The settings file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    /// As [`device::find`](super::device::find) takes it.
    pub(super) channel: String,
    /// The same.
    pub(super) disk: Option<String>,
    /// The same.
    pub(super) nvme: Option<String>,
    /// The same.
    pub(super) protected: Option<String>,
    pub(super) modules: Vec<Module>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) limit: Duration,
    pub(super) suites: Vec<Program>,
    pub(super) shell: Option<Program>,
    pub(super) conditions: Conditions,
}

impl Settings {
    pub(super) fn read(path: &str) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        Self::parse(&text).map_err(|reason| format!("{path}: {reason}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut settings = Self {
            channel: String::new(),
            disk: None,
            nvme: None,
            protected: None,
            modules: Vec::new(),
            environment: Vec::new(),
            limit: Duration::from_secs(600),
            suites: Vec::new(),
            shell: None,
            conditions: Conditions::default(),
        };
        for line in text.lines() {
            let (word, value) = line.split_once(' ').ok_or(format!("no value: {line}"))?;
            match word {
                "channel" => value.clone_into(&mut settings.channel),
                "disk" => settings.disk = Some(value.to_owned()),
                "nvme" => settings.nvme = Some(value.to_owned()),
                "protected" => settings.protected = Some(value.to_owned()),
                "module" => settings.modules.push(module(value)),
                "environment" => {
                    let (name, value) = value.split_once('=').ok_or(format!("no =: {line}"))?;
                    let variable = (name.to_owned(), value.to_owned());
                    settings.environment.push(variable);
                }
                "limit" => {
                    let seconds = value.parse().map_err(|error| format!("{line}: {error}"))?;
                    settings.limit = Duration::from_secs(seconds);
                }
                "suite" => settings.suites.push(program(value)),
                "shell" => settings.shell = Some(program(value)),
                _ if settings.conditions.read(word, value)? => {}
                _ => return Err(format!("unheard of: {line}")),
            }
        }
        if settings.channel.is_empty() {
            return Err("there is no channel".to_owned());
        }
        Ok(settings)
    }
}

fn module(value: &str) -> Module {
    let (path, parameters) = value.split_once(' ').unwrap_or((value, ""));
    Module {
        path: path.into(),
        parameters: parameters.to_owned(),
    }
}

fn program(value: &str) -> Program {
    let mut words = value.split(' ').map(str::to_owned);
    Program {
        path: words.next().unwrap_or_default().into(),
        arguments: words.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_read() {
        let text = "channel /dev/ttyS1\ndisk /dev/nvme0n1\nnvme nsid:2\nprotected nsid:4\nmodule /m.ko\nmodule /n.ko a=1 b=2\nenvironment A=b=c\nlimit 7\n\
            suite /s/one\nsuite /s/two --exact a\nshell /busybox sh\nuser 7\n";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.channel, "/dev/ttyS1");
        assert_eq!(settings.disk.as_deref(), Some("/dev/nvme0n1"));
        assert_eq!(settings.nvme.as_deref(), Some("nsid:2"));
        assert_eq!(settings.protected.as_deref(), Some("nsid:4"));
        assert_eq!(settings.modules, [module("/m.ko"), module("/n.ko a=1 b=2")]);
        assert_eq!(settings.modules[0].parameters, "");
        assert_eq!(settings.modules[1].path, PathBuf::from("/n.ko"));
        assert_eq!(settings.modules[1].parameters, "a=1 b=2");
        let variable = ("A".to_owned(), "b=c".to_owned());
        assert_eq!(settings.environment, [variable]);
        assert_eq!(settings.limit, Duration::from_secs(7));
        assert_eq!(settings.suites.len(), 2);
        assert_eq!(settings.suites[1].arguments, ["--exact", "a"]);
        assert_eq!(settings.shell.unwrap().arguments, ["sh"]);
        assert_ne!(settings.conditions, Conditions::default());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "",
            "channel",
            "channel /c\nspeed 9",
            "channel /c\nlimit soon",
            "channel /c\nuser nobody",
        ] {
            assert!(Settings::parse(text).is_err(), "{text}");
        }
    }
}
