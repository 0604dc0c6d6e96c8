//! Whether a suite can start here, asked once before any test.

use crate::{forbidden::Forbidden, kernel::Lane};

/// Makes and closes one ring, and reads what the checks after each test read.
///
/// # Errors
///
/// One sentence that names the cause. Permission is part of the machine under test: it fails the suite and is
/// never a reason to skip.
pub fn preflight(lane: &Lane) -> Result<(), String> {
    machine(lane)?;
    match (Forbidden::observe(), &lane.forbidden) {
        (None, None) => Ok(()),
        (Some(observed), _) => Err(observed.to_string()),
        (None, Some(declared)) => Err(contradiction(declared)),
    }
}

/// The same for a suite about a machine on which io_uring is forbidden: that is how it must be, in the declared way.
pub(crate) fn where_forbidden(lane: &Lane, declared: &Forbidden) -> Result<(), String> {
    machine(lane)?;
    match Forbidden::observe() {
        Some(observed) if observed == *declared => Ok(()),
        Some(observed) => Err(format!("the lane declares \"{declared}\", but {observed}")),
        None => Err(contradiction(declared)),
    }
}

fn contradiction(declared: &Forbidden) -> String {
    format!("io_uring can be used, but the lane declares: {declared}")
}

/// What has nothing to do with io_uring.
fn machine(lane: &Lane) -> Result<(), String> {
    if !lane.is_running() {
        return Err(format!(
            "the lane declares Linux {} but {} is running",
            lane.kernel, lane.release
        ));
    }
    crate::FdTable::now().map_err(|error| format!("/proc/self/fd: {error}; is /proc mounted?"))?;
    crate::leak::ring_mappings()
        .map_err(|error| format!("/proc/self/maps: {error}; is /proc mounted?"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::with_denied;

    fn lane(forbidden: Option<&str>) -> Lane {
        Lane {
            forbidden: forbidden.map(|text| text.parse().unwrap()),
            ..Lane::from_env().unwrap()
        }
    }

    const DECLARED: &str = "io_uring_setup EPERM seccomp";

    /// What a suite of either kind says behind a filter with this errno.
    fn refusals(lane: &Lane, errno: i32) -> [Result<(), String>; 2] {
        let declared = DECLARED.parse().unwrap();
        with_denied(&[(libc::SYS_io_uring_setup, errno)], || {
            [preflight(lane), where_forbidden(lane, &declared)]
        })
        .unwrap()
    }

    #[test]
    fn where_it_is_forbidden_suites_refuse_but_those_about_that() {
        let [ordinary, about_it] = refusals(&lane(Some(DECLARED)), libc::EPERM);
        assert!(ordinary.unwrap_err().contains("seccomp filter"));
        assert_eq!(about_it, Ok(()));
        // Undeclared it is no better.
        let [ordinary, _] = refusals(&lane(None), libc::EPERM);
        assert!(ordinary.unwrap_err().contains("seccomp filter"));
    }

    #[test]
    fn another_refusal_than_the_declared_one_is_told() {
        let [ordinary, about_it] = refusals(&lane(Some(DECLARED)), libc::ENOSYS);
        assert!(ordinary.unwrap_err().contains("ENOSYS"));
        let about_it = about_it.unwrap_err();
        assert!(
            about_it.contains("EPERM") && about_it.contains("ENOSYS"),
            "{about_it}"
        );
    }

    #[test]
    fn a_lane_that_forbids_nothing_although_it_says_so_is_refused() {
        let lane = lane(Some(DECLARED));
        let words = "io_uring can be used, but the lane declares";
        assert!(preflight(&lane).unwrap_err().contains(words));
        let declared = DECLARED.parse().unwrap();
        assert!(
            where_forbidden(&lane, &declared)
                .unwrap_err()
                .contains(words)
        );
    }

    #[test]
    fn a_kernel_other_than_the_declared_one_is_refused() {
        let lane = Lane {
            kernel: crate::KernelVersion::new(4, 2),
            release: "6.18.44".to_owned(),
            ..lane(None)
        };
        let refusal = preflight(&lane).unwrap_err();
        assert!(
            refusal.contains("4.2") && refusal.contains("6.18.44"),
            "{refusal}"
        );
    }
}
