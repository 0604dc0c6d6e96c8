//! What the headers do not say but the kernel keeps, and this crate and its users rely on.

use core::mem::{align_of, offset_of, size_of};

use static_assertions::{assert_eq_align, assert_impl_all, const_assert, const_assert_eq};

use crate::{bindings::*, errno::Errno};
