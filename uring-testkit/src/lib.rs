//! Kernel-gated test fixtures for io_uring.
