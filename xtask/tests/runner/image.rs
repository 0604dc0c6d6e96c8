//! Images of kernels that are not what they should be.

use std::{fs, process::Command};

use uring_testkit::TestResult;

/// The boot protocol's places: sectors of the setup code, entry, magic, version, where the release text is, and up to where
/// the first file system may lie.
const SETUP_SECTORS: usize = 0x1f1;
const ENTRY: usize = 0x200;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const RELEASE: usize = 0x20e;
const ARCHIVE_END: usize = 0x22c;
const SECTOR: usize = 0x200;

/// The image that was fetched for a series.
pub(crate) fn of(series: &str) -> TestResult<Vec<u8>> {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["kernels", "path", series])
        .output()?;
    let path = String::from_utf8(output.stdout)?;
    Ok(fs::read(path.trim())?)
}

/// The same kernel, of which the image says another series of the same length.
pub(crate) fn that_claims(mut image: Vec<u8>, series: &str) -> Vec<u8> {
    let text = usize::from(u16::from_le_bytes([image[RELEASE], image[RELEASE + 1]])) + SECTOR;
    image[text..text + series.len()].copy_from_slice(series.as_bytes());
    image
}

/// A kernel whose first instructions reset the machine.
pub(crate) fn that_resets(release: &str) -> Vec<u8> {
    const CODE: usize = 0x26c;
    const TEXT: usize = 0x400;
    // Loads a table of interrupts that has none (six zero bytes at 0x300, which is 0x100 behind the entry), and interrupts.
    const RESET: [u8; 7] = [0x2e, 0x0f, 0x01, 0x1e, 0x00, 0x01, 0xcc];
    const JUMP: u8 = 0xeb;
    let mut image = vec![0; 8 * SECTOR];
    let mut put = |place: usize, bytes: &[u8]| {
        image[place..place + bytes.len()].copy_from_slice(bytes);
    };
    put(SETUP_SECTORS, &[4]);
    // A jump counts from the instruction behind it.
    put(ENTRY, &[JUMP, 0x6a]);
    put(MAGIC, b"HdrS");
    put(VERSION, &0x0203_u16.to_le_bytes());
    put(RELEASE, &0x0200_u16.to_le_bytes());
    put(ARCHIVE_END, &0x37ff_ffff_u32.to_le_bytes());
    put(CODE, &RESET);
    put(TEXT, release.as_bytes());
    image
}
