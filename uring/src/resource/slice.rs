//! A part of a buffer.

use std::ops::{Bound, RangeBounds};

use crate::resource::{Buf, BufMut, Untracked};

/// A range of a buffer, as a buffer: the operation works on that part and gives the whole back.
///
/// What of the range is beyond the buffer's end (a vector's length where it is read from, its capacity where it is written to) is left
/// out. A vector that is written to grows to the end of what was written and is never made shorter; should the range begin beyond
/// its length, the bytes between become zero.
///
/// ```
/// use uring::Slice;
/// use uring::op::Read;
///
/// # let mut ring = uring::Ring::best(8)?;
/// let file = std::fs::File::open("/proc/version")?;
/// let buf = Slice::new(b"kernel: ....., since".to_vec(), 8..13);
/// let token = ring.push(Read::new(file, buf))?;
/// assert_eq!(ring.wait(token)?.buf.into_inner(), b"kernel: Linux, since");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice<B> {
    buf: B,
    start: usize,
    end: usize,
}

impl<B> Slice<B> {
    /// That range of `buf`.
    pub fn new(buf: B, range: impl RangeBounds<usize>) -> Slice<B> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => usize::MAX,
        };
        Slice { buf, start, end }
    }

    /// The whole buffer.
    pub const fn get_ref(&self) -> &B {
        &self.buf
    }

    /// The whole buffer, given back.
    pub fn into_inner(self) -> B {
        self.buf
    }

    /// Where the range begins in a buffer of that many bytes, and how long it is there.
    pub(crate) fn within(&self, len: usize) -> (usize, usize) {
        let start = self.start.min(len);
        (start, self.end.min(len).saturating_sub(start))
    }
}

// SAFETY: a part of what the inner buffer answers for.
unsafe impl<B: Buf> Buf for Slice<B> {
    fn as_ptr(&self) -> *const u8 {
        let (start, _) = self.within(self.buf.len());
        self.buf.as_ptr().wrapping_add(start)
    }

    fn len(&self) -> usize {
        self.within(self.buf.len()).1
    }
}

// SAFETY: as above.
unsafe impl<B: BufMut> BufMut for Slice<B> {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        let (start, _) = self.within(self.buf.capacity());
        self.buf.as_mut_ptr().wrapping_add(start)
    }

    fn capacity(&self) -> usize {
        self.within(self.buf.capacity()).1
    }

    unsafe fn set_filled(&mut self, filled: usize) {
        // SAFETY: passed on to the caller.
        unsafe { self.set_filled_from(0, filled) };
    }

    unsafe fn set_filled_from(&mut self, start: usize, filled: usize) {
        let (own_start, _) = self.within(self.buf.capacity());
        // SAFETY: the caller vouches for these bytes of the part; in the whole they are `own_start` further on.
        unsafe { self.buf.set_filled_from(own_start + start, filled) };
    }
}

// SAFETY: the inner buffer carries the promise.
unsafe impl<B: Untracked> Untracked for Slice<B> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stays_within_the_whole() {
        let abc = b"abcdef".to_vec();
        let part = |range: (Bound<usize>, Bound<usize>)| {
            let slice = Slice::new(&abc[..], range);
            (slice.as_ptr().addr() - abc.as_ptr().addr(), slice.len())
        };
        use Bound::{Excluded, Included, Unbounded};
        assert_eq!(part((Unbounded, Unbounded)), (0, 6));
        assert_eq!(part((Included(2), Excluded(4))), (2, 2));
        assert_eq!(part((Excluded(2), Included(4))), (3, 2));
        assert_eq!(part((Included(4), Unbounded)), (4, 2));
        assert_eq!(part((Included(9), Excluded(12))), (6, 0));
        assert_eq!(part((Included(4), Excluded(2))), (4, 0));
        assert_eq!(part((Excluded(usize::MAX), Included(usize::MAX))), (6, 0));
    }

    #[test]
    fn what_is_written_is_noted_in_the_whole() {
        let mut whole = Vec::with_capacity(16);
        whole.extend(*b"abc");
        // Within what is there already: nothing is cut off.
        let mut slice = Slice::new(whole, 1..);
        assert!(BufMut::capacity(&slice) >= 15);
        // SAFETY: the byte is initialised.
        unsafe { slice.set_filled(1) };
        let whole = slice.into_inner();
        assert_eq!(whole, b"abc");
        // Of a part of a part, behind a gap.
        let mut slice = Slice::new(Slice::new(whole, 4..), 1..3);
        // SAFETY: both bytes are written, within the capacity.
        unsafe {
            slice.as_mut_ptr().write_bytes(b'x', 2);
            slice.set_filled(2);
        }
        assert_eq!(slice.into_inner().into_inner(), b"abc\0\0xx");
    }
}
