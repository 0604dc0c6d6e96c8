//! Safe io_uring without file descriptors.
