//! Completions, from the kernel's side to this one.

use super::*;

#[test]
fn q01_completions_arrive_in_order_across_the_end_of_the_indices() {
    for start in STARTS {
        for size in [CompletionSize::Normal, CompletionSize::Large] {
            let kernel = Kernel::new(start, EntrySize::Normal, size);
            let mut queue = kernel.completion_queue();
            let extra = |number: u64| (size == CompletionSize::Large).then_some([number, !number]);
            let (mut next, mut seen) = (0, 0);
            for batch in (1..=CAPACITY).cycle().take(40) {
                for _ in 0..batch {
                    kernel.post(next, 0, extra(next));
                    next += 1;
                }
                assert_eq!(queue.ready(), batch);
                while let Some(completion) = queue.take() {
                    assert_eq!(completion.user_data(), seen, "from {start}");
                    assert_eq!(completion.raw_result(), 7);
                    assert_eq!(completion.extra(), extra(seen).unwrap_or_default());
                    seen += 1;
                }
                assert_eq!(kernel.completion_room(), CAPACITY);
            }
            assert_eq!(seen, next);
        }
    }
}

#[test]
fn completions_are_given_back_only_when_they_are_released() {
    let kernel = plain(u32::MAX);
    let mut queue = kernel.completion_queue();
    kernel.post(1, 0, None);
    kernel.post(2, 0, None);
    let mut arrived = queue.look();
    kernel.post(3, 0, None);
    assert_eq!(
        arrived.next().map(|completion| completion.user_data()),
        Some(1)
    );
    assert_eq!(kernel.completion_room(), CAPACITY - 3);
    queue.release(arrived.head());
    assert_eq!(kernel.completion_room(), CAPACITY - 2);
    assert_eq!(queue.ready(), 2);
    assert_eq!(
        arrived.next().map(|completion| completion.user_data()),
        Some(2)
    );
    assert_eq!(arrived.next(), None, "it came after the look");
    queue.release(arrived.head());
    assert_eq!(
        queue.take().map(|completion| completion.user_data()),
        Some(3)
    );
    assert_eq!(queue.take(), None);
}

#[test]
fn q06_completions_of_both_sizes_mix() {
    for start in STARTS {
        // Three slots per round move the place of the large one over every position of the array.
        let kernel = Kernel::new(start, EntrySize::Normal, CompletionSize::Mixed);
        let mut queue = kernel.completion_queue();
        for round in 0..40_u64 {
            kernel.post(2 * round, uring_sys::IORING_CQE_F_MORE, None);
            kernel.post(2 * round + 1, 0, Some([round, !round]));
            let first = queue.take().unwrap();
            assert_eq!((first.user_data(), first.extra()), (2 * round, [0; 2]));
            let second = queue.take().unwrap();
            assert_eq!(second.user_data(), 2 * round + 1);
            assert_eq!(second.extra(), [round, !round]);
            assert_eq!(queue.take(), None);
            assert_eq!(kernel.completion_room(), CAPACITY);
        }
    }
}

#[test]
fn q06_a_filler_alone_is_no_completion() {
    let kernel = Kernel::new(0, EntrySize::Normal, CompletionSize::Mixed);
    let mut queue = kernel.completion_queue();
    kernel.post_one(1, uring_sys::IORING_CQE_F_SKIP, None);
    assert_eq!(queue.take(), None);
    assert_eq!(kernel.completion_room(), CAPACITY);
}

#[test]
fn what_has_come_is_between_none_and_all_that_there_is_room_for() {
    for start in STARTS {
        let kernel = plain(start);
        let queue = kernel.completion_queue();
        assert!(queue.has_come(0) && !queue.has_come(1));
        kernel.post(1, 0, None);
        kernel.post(2, 0, None);
        assert!(queue.has_come(2) && !queue.has_come(3));
        // No tail of the kernel's.
        for lost in [CAPACITY + 1, 1 << 31, u32::MAX] {
            let tail = start.wrapping_add(lost);
            kernel.rings.word(CQ.tail).store(tail, Ordering::Relaxed);
            assert!(!queue.has_come(1) && !queue.has_come(CAPACITY + 1));
            assert_eq!((queue.ready(), queue.look().next()), (0, None));
        }
    }
}
