//! A machine's console: what the kernel complains about.

/// How the message begins that is a kernel's last.
const PANIC: &str = "Kernel panic";

/// The beginnings of messages that no healthy kernel writes.
const COMPLAINTS: [&str; 12] = [
    "WARNING:",
    "BUG:",
    "Oops",
    PANIC,
    "general protection fault",
    "kernel BUG at",
    "Unable to handle kernel",
    "watchdog: BUG",
    "rcu: INFO:",
    "INFO: task ",
    "INFO: rcu",
    "Out of memory:",
];

/// The kernel's complaints, in order.
///
/// Programs write to the same console, so a line counts only with the time that the kernel puts before it.
pub(super) fn complaints(console: &str) -> Vec<&str> {
    let complaint = |line| {
        let message = kernel_message(line)?;
        let bad = COMPLAINTS.iter().any(|start| message.starts_with(start));
        bad.then_some(message)
    };
    console.lines().filter_map(complaint).collect()
}

/// Whether a complaint is the kernel's last.
pub(super) fn is_panic(complaint: &str) -> bool {
    complaint.starts_with(PANIC)
}

/// The text behind `[    1.234567] `, wherever in the line that is: a program's unfinished line may be before it.
fn kernel_message(line: &str) -> Option<&str> {
    line.match_indices('[').find_map(|(start, _)| {
        let (time, message) = line[start + 1..].split_once("] ")?;
        let (seconds, fraction) = time.trim_start().split_once('.')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        (digits(seconds) && fraction.len() == 6 && digits(fraction)).then_some(message.trim_end())
    })
}

/// What a person wants to see of a machine in trouble: its last 30 lines, or more where the kernel's last complaint begins earlier.
pub(super) fn last_lines(console: &str) -> String {
    const LINES: usize = 30;
    const LONGEST: usize = 120;
    let lines: Vec<_> = console.lines().collect();
    let is_complaint = |line: &&str| !complaints(line).is_empty();
    let complaint = lines.iter().rposition(is_complaint).unwrap_or(lines.len());
    let start = lines.len().saturating_sub(LINES).min(complaint);
    lines[start.max(lines.len().saturating_sub(LONGEST))..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_complaint_is_found() {
        for message in [
            "WARNING: CPU: 1 PID: 85 at io_uring/io_uring.c:2776 io_ring_exit_work+0x1/0x2",
            "WARNING: io_uring/rw.c:12 at io_read+0x1/0x2, CPU#0: t/85",
            "BUG: kernel NULL pointer dereference, address: 0000000000000008",
            "Oops: 0000 [#1] PREEMPT SMP",
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
            "kernel BUG at fs/inode.c:1!",
            "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [t:85]",
            "INFO: task iou-wrk-85:86 blocked for more than 120 seconds.",
            "Out of memory: Killed process 85 (t)",
        ] {
            let console = format!("test a ... ok\r\n[    3.141592] {message}\r\n[    3.2] rest\n");
            assert_eq!(complaints(&console), [message]);
        }
    }

    #[test]
    fn a_complaint_behind_half_a_line_is_found() {
        let console = "test a ...[   12.000001] BUG: x\n";
        assert_eq!(complaints(console), ["BUG: x"]);
    }

    #[test]
    fn what_programs_say_is_no_complaint() {
        let console =
            "WARNING: from a test\n[a] BUG: no\n[1.5] Oops\n[    1.000000] random: BUG: told of\n";
        assert_eq!(complaints(console), Vec::<&str>::new());
    }

    #[test]
    fn the_last_lines_are_the_last() {
        assert_eq!(last_lines("a"), "a");
        let console: Vec<_> = (0..40).map(|line| line.to_string()).collect();
        assert_eq!(last_lines(&console.join("\n")), console[10..].join("\n"));
    }

    #[test]
    fn the_last_lines_begin_with_the_complaint() {
        let mut console: Vec<_> = (0..200).map(|line| line.to_string()).collect();
        let complaint = "[    2.000000] Kernel panic - not syncing: x";
        for (place, start) in [(195, 170), (150, 150), (10, 80)] {
            console[place] = complaint.to_owned();
            let last = last_lines(&console.join("\n"));
            assert_eq!(last, console[start..].join("\n"), "{place}");
            console[place] = place.to_string();
        }
    }
}
