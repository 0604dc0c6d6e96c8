//! Writes the cpio archives that a kernel unpacks into its first file system.

/// An archive of the kind "newc" under construction.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CHARACTER_DEVICE: u32 = 0o020_600;

impl Archive {
    pub(super) fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, (0, 0), &[]);
    }

    pub(super) fn program(&mut self, path: &str, contents: &[u8]) {
        self.entry(path, PROGRAM, (0, 0), contents);
    }

    pub(super) fn file(&mut self, path: &str, contents: &[u8]) {
        self.entry(path, FILE, (0, 0), contents);
    }

    pub(super) fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// The whole archive. Archives one after the other are unpacked one over the other.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), contents: &[u8]) {
        self.entries += 1;
        let length = |bytes: usize| u32::try_from(bytes).expect("less than 4 GiB");
        let fields = [
            self.entries,
            mode,
            0, // owner
            0, // group
            1, // links
            0, // time
            length(contents.len()),
            0, // the device it is on
            0,
            device.0,
            device.1,
            length(path.len() + 1),
            0, // checksum
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_header_a_name_and_contents_at_multiples_of_four() {
        let mut archive = Archive::default();
        archive.file("ab", b"xyz");
        let bytes = archive.finish();
        let text = |start: usize, end: usize| String::from_utf8_lossy(&bytes[start..end]);
        assert_eq!(text(0, 14), "07070100000001");
        assert_eq!(text(14, 22), "000081a4", "a file that all may read");
        assert_eq!(text(54, 62), "00000003", "of three bytes");
        assert_eq!(text(94, 102), "00000003", "with a name of two and a zero");
        // The header has 110 bytes: name and padding end at 116.
        assert_eq!(text(110, 120), "ab\0\0\0\0xyz\0");
        assert_eq!(bytes.len() % 4, 0);
    }
}
