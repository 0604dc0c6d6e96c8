//! The first process of a virtual machine that runs suites; see [`uring_testkit::guest`].

fn main() {
    uring_testkit::guest::main();
}
