//! Names, numbers and text of the error type.

use std::{error::Error, io};

use uring_sys::Errno;

#[test]
fn names_and_numbers_belong_together() {
    for (errno, number, name) in [
        (Errno::EPERM, libc::EPERM, "EPERM"),
        (Errno::EBUSY, libc::EBUSY, "EBUSY"),
        (Errno::ETIME, libc::ETIME, "ETIME"),
        (Errno::EBADFD, libc::EBADFD, "EBADFD"),
        (Errno::ECANCELED, libc::ECANCELED, "ECANCELED"),
        (Errno::EOWNERDEAD, libc::EOWNERDEAD, "EOWNERDEAD"),
    ] {
        assert_eq!(errno.raw(), number);
        assert_eq!(errno.name(), Some(name));
        assert_eq!(Errno::from_raw(number), errno);
        assert_eq!(errno.to_string(), format!("{name} ({number})"));
    }
}

#[test]
fn an_unknown_number_is_shown_as_it_is() {
    let errno = Errno::from_raw(4000);
    assert_eq!(errno.name(), None);
    assert_eq!(errno.to_string(), "errno 4000");
    assert_eq!(format!("{errno:?}"), "Errno(errno 4000)");
}

#[test]
fn it_goes_into_boxes_and_std() {
    let boxed: Box<dyn Error + Send + Sync> = Errno::ENOSYS.into();
    assert_eq!(boxed.to_string(), format!("ENOSYS ({})", libc::ENOSYS));
    assert_eq!(
        io::Error::from_raw_os_error(Errno::ENOENT.raw()).kind(),
        io::ErrorKind::NotFound
    );
}
