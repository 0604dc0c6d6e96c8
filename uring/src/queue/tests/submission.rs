//! Entries, from this side to the kernel's.

use super::*;

#[test]
fn q01_entries_arrive_in_order_across_the_end_of_the_indices() {
    for start in STARTS {
        let kernel = plain(start);
        let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY);
        let (mut next, mut seen) = (0, 0);
        for batch in (1..=CAPACITY).cycle().take(40) {
            for _ in 0..batch {
                assert!(queue.has_room(1), "from {start}, entry {next}");
                queue.place(&small(next), false);
                next += 1;
            }
            assert_eq!(queue.publish().count, batch);
            assert_eq!(kernel.visible(), batch);
            for found in kernel.consume(batch) {
                assert_eq!(found.user_data, seen, "from {start}");
                seen += 1;
            }
            assert_eq!(queue.taken(batch), batch);
            assert_eq!(queue.pending(), 0);
        }
        assert_eq!(seen, next);
    }
}

#[test]
fn q02_room_is_exact_at_every_fill_level() {
    for start in STARTS {
        for level in 0..=CAPACITY {
            for taken in 0..=level {
                let kernel = plain(start);
                let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY);
                for number in 0..level {
                    queue.place(&small(number.into()), false);
                }
                assert_eq!(queue.pending(), level);
                assert_eq!(queue.publish().count, level);
                assert_eq!(kernel.consume(taken).len(), usize::try_from(taken).unwrap());
                let free = CAPACITY - level + taken;
                for slots in 0..=CAPACITY + 3 {
                    assert_eq!(
                        queue.has_room(slots),
                        slots <= free,
                        "{level} {taken} {slots}"
                    );
                }
            }
        }
    }
}

#[test]
fn q02_what_the_kernel_has_not_taken_is_never_overwritten() {
    for start in STARTS {
        for taken in 0..=CAPACITY {
            let kernel = plain(start);
            let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY);
            let mut next = 0;
            fill(&mut queue, &mut next);
            assert_eq!(next, u64::from(CAPACITY));
            queue.publish();
            let mut found = kernel.consume(taken);
            fill(&mut queue, &mut next);
            assert_eq!(next, u64::from(CAPACITY + taken));
            queue.publish();
            found.extend(kernel.consume(u32::MAX));
            assert_eq!(numbers(&found), (0..next).collect::<Vec<_>>());
        }
    }
}

#[test]
fn entries_are_invisible_before_they_are_published() {
    let kernel = plain(u32::MAX);
    let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY);
    queue.place(&small(1), false);
    assert_eq!((kernel.visible(), queue.pending()), (0, 1));
    queue.publish();
    assert_eq!(kernel.visible(), 1);
}

#[test]
fn the_index_array_names_each_entry_in_its_place() {
    let kernel = plain(0);
    let array = |index: u32| {
        kernel
            .rings
            .word(SQ.array + 4 * index)
            .load(Ordering::Relaxed)
    };
    let _ = kernel.submission_queue(SetupFlags::NO_SQARRAY);
    assert_eq!(array(1), 0xa5a5_a5a5);
    let _ = kernel.submission_queue(SetupFlags::empty());
    for index in 0..CAPACITY {
        assert_eq!(array(index), index);
    }
    assert_eq!(array(CAPACITY), 0xa5a5_a5a5);
}

#[test]
fn lost_memory_and_dropped_completions_show() {
    let kernel = plain(0);
    let queue = kernel.submission_queue(SetupFlags::NO_SQARRAY);
    assert!(queue.memory_is_intact());
    kernel
        .rings
        .word(SQ.ring_entries)
        .store(0, Ordering::Relaxed);
    assert!(!queue.memory_is_intact());
    kernel.rings.word(CQ.overflow).store(3, Ordering::Relaxed);
    assert_eq!(kernel.completion_queue().dropped(), 3);
}

#[test]
fn q03_a_thread_is_woken_only_when_it_sleeps() {
    let kernel = plain(u32::MAX);
    let mut queue = kernel.submission_queue(SetupFlags::SQPOLL | SetupFlags::NO_SQARRAY);
    queue.place(&small(1), false);
    let awake = queue.publish();
    assert_eq!((awake.count, awake.by_thread, awake.wake), (1, true, false));
    let need_wakeup = uring_sys::IORING_SQ_NEED_WAKEUP;
    kernel
        .rings
        .word(SQ.flags)
        .store(need_wakeup, Ordering::Relaxed);
    assert!(queue.publish().wake);
    kernel.consume(1);
    assert_eq!(queue.publish().count, 0);
}

#[test]
fn q06_a_large_entry_never_wraps() {
    let skips = uring_sys::IOSQE_CQE_SKIP_SUCCESS;
    for start in STARTS {
        for before in 0..CAPACITY {
            let kernel = Kernel::new(start, EntrySize::Mixed, CompletionSize::Normal);
            let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY | SetupFlags::SQE_MIXED);
            for _ in 0..before {
                queue.place(&small(0), false);
            }
            queue.publish();
            kernel.consume(before);
            let position = start.wrapping_add(before);
            let last = position % CAPACITY == CAPACITY - 1;
            assert!(queue.has_room(CAPACITY));
            assert_eq!(queue.slots_for(true), if last { 3 } else { 2 });
            assert_eq!(queue.slots_for(false), 1);
            queue.place(&large(1), true);
            queue.place(&small(2), false);
            assert_eq!(queue.publish().count, if last { 4 } else { 3 });
            let mut at = position;
            if last {
                let filler = kernel.read(at);
                assert_eq!(filler.opcode, uring_sys::IORING_OP_NOP);
                assert_eq!((filler.user_data, filler.flags), (FILLER, skips));
                at = at.wrapping_add(1);
            }
            assert_eq!(kernel.read(at).user_data, 1);
            assert_eq!(kernel.second_half(at), [0; 8]);
            assert_eq!(kernel.read(at.wrapping_add(2)).user_data, 2);
        }
    }
}

#[test]
fn q06_a_filler_does_not_cut_a_chain() {
    for link in [uring_sys::IOSQE_IO_LINK, uring_sys::IOSQE_IO_HARDLINK] {
        let kernel = Kernel::new(CAPACITY - 2, EntrySize::Mixed, CompletionSize::Normal);
        let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY | SetupFlags::SQE_MIXED);
        let mut first = small(1);
        first.add_flags(link | uring_sys::IOSQE_ASYNC);
        queue.place(&first, false);
        queue.place(&large(2), true);
        let filler = kernel.read(CAPACITY - 1);
        assert_eq!(filler.user_data, FILLER);
        assert_eq!(filler.flags, link | uring_sys::IOSQE_CQE_SKIP_SUCCESS);
        assert_eq!(kernel.read(CAPACITY).user_data, 2);
    }
}

#[test]
fn q06_large_entries_of_a_large_queue_end_in_zeroes() {
    let kernel = Kernel::new(u32::MAX, EntrySize::Large, CompletionSize::Normal);
    let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY | SetupFlags::SQE128);
    for (number, is_large) in [(1, false), (2, true)] {
        assert_eq!(queue.slots_for(is_large), 1);
        queue.place(&small(number), is_large);
    }
    assert_eq!(queue.publish().count, 2);
    for (index, number) in [(u32::MAX, 1), (0, 2)] {
        assert_eq!(kernel.read(index).user_data, number);
        assert_eq!(kernel.second_half(index), [0; 8]);
    }
}

#[test]
fn rewinding_moves_what_was_left_to_the_front() {
    for taken in 0..=CAPACITY {
        let kernel = plain(0);
        let flags = SetupFlags::NO_SQARRAY | SetupFlags::SQ_REWIND;
        let mut queue = kernel.submission_queue(flags);
        for number in 0..u64::from(CAPACITY) {
            assert!(queue.has_room(1));
            queue.place(&small(number), false);
        }
        assert!(!queue.has_room(1));
        assert_eq!(queue.publish().count, CAPACITY);
        assert_eq!(kernel.visible(), 0, "the shared tail is not used");
        assert_eq!(queue.taken(taken), taken);
        assert_eq!(queue.pending(), CAPACITY - taken);
        for (slot, number) in (taken..CAPACITY).enumerate() {
            let slot = u32::try_from(slot).unwrap();
            assert_eq!(kernel.read(slot).user_data, u64::from(number));
        }
        for number in 0..taken {
            assert!(queue.has_room(1));
            queue.place(&small(100 + u64::from(number)), false);
        }
        assert!(!queue.has_room(1));
        let last = kernel.read(CAPACITY - 1).user_data;
        let expected = taken
            .checked_sub(1)
            .map_or(7, |number| 100 + u64::from(number));
        assert_eq!(last, expected);
    }
}

#[test]
fn retracting_takes_back_what_the_kernel_has_not_taken() {
    for start in STARTS {
        let kernel = plain(start);
        let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY);
        for number in 0..5 {
            queue.place(&small(number), false);
        }
        queue.publish();
        kernel.consume(2);
        queue.place(&small(5), false);
        let mut retracted = Vec::new();
        queue.retract(|user_data| retracted.push(user_data));
        assert_eq!(retracted, [2, 3, 4, 5]);
        assert_eq!((queue.pending(), kernel.visible()), (0, 0));
        queue.place(&small(6), false);
        queue.publish();
        assert_eq!(numbers(&kernel.consume(u32::MAX)), [6]);
    }
}

#[test]
fn q06_retracting_passes_over_the_second_halves() {
    let kernel = Kernel::new(CAPACITY - 2, EntrySize::Mixed, CompletionSize::Normal);
    let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY | SetupFlags::SQE_MIXED);
    queue.place(&small(1), false);
    queue.place(&large(2), true);
    queue.place(&large(3), true);
    queue.place(&small(4), false);
    let mut retracted = Vec::new();
    queue.retract(|user_data| retracted.push(user_data));
    assert_eq!(retracted, [1, FILLER, 2, 3, 4]);
}

#[test]
fn nothing_is_retracted_from_a_thread() {
    let kernel = plain(0);
    let mut queue = kernel.submission_queue(SetupFlags::SQPOLL | SetupFlags::NO_SQARRAY);
    queue.place(&small(1), false);
    queue.publish();
    queue.retract(|user_data| panic!("{user_data} was retracted"));
    assert_eq!((queue.pending(), kernel.visible()), (1, 1));
}

#[test]
fn the_second_half_is_that_of_the_entry_placed_last() {
    for size in [EntrySize::Large, EntrySize::Mixed] {
        let kernel = Kernel::new(u32::MAX - 4, size, CompletionSize::Normal);
        let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY);
        let mut at = u32::MAX - 4;
        for number in 1..4_u64 {
            let slots = queue.slots_for(true);
            queue.place(&large(number), true);
            queue.write_second_half([0x77; 64], true);
            if slots == 3 {
                at = at.wrapping_add(1);
            }
            assert_eq!(kernel.read(at).user_data, number);
            assert_eq!(kernel.second_half(at), [0x7777_7777_7777_7777; 8]);
            at = at.wrapping_add(slots.min(2));
        }
        queue.place(&small(9), false);
        queue.write_second_half([0x77; 64], false);
        assert_eq!(kernel.read(at).user_data, 9);
    }
    let kernel = Kernel::new(0, EntrySize::Normal, CompletionSize::Normal);
    let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY);
    queue.place(&small(9), false);
    queue.write_second_half([0x77; 64], false);
    assert_eq!(kernel.read(0).user_data, 9);
}

#[test]
fn what_is_placed_by_hand_is_where_the_queue_would_place_it() {
    for start in STARTS {
        let kernel = Kernel::new(start, EntrySize::Normal, CompletionSize::Normal);
        let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY);
        queue.place(&small(0), false);
        let mut hand = queue.take_in_hand(true);
        for number in 1..CAPACITY {
            assert!(hand.has_room());
            hand.place(&small(u64::from(number)));
        }
        assert!(!hand.has_room());
        assert_eq!(queue.pending(), 1);
        queue.put_back(hand);
        let unused = queue.take_in_hand(true);
        queue.put_back(unused);
        assert_eq!(queue.publish().count, CAPACITY);
        for number in 0..CAPACITY {
            let at = start.wrapping_add(number);
            assert_eq!(kernel.read(at).user_data, u64::from(number));
        }
        kernel.consume(CAPACITY);
        assert!(!queue.take_in_hand(false).has_room());
        assert!(queue.take_in_hand(true).has_room());
        assert!(!queue.take_in_hand(true).closed().has_room());
    }
}

#[test]
fn a_queue_is_open_where_entries_are_small_and_no_further_than_its_room() {
    for (size, start) in [EntrySize::Normal, EntrySize::Large, EntrySize::Mixed]
        .into_iter()
        .flat_map(|size| STARTS.map(|start| (size, start)))
    {
        let kernel = Kernel::new(start, size, CompletionSize::Normal);
        let mut queue = kernel.submission_queue(SetupFlags::NO_SQARRAY);
        let mut number = 0;
        for round in 0..40 {
            while queue.has_room(queue.slots_for(false)) {
                assert_eq!(queue.is_open(), size == EntrySize::Normal);
                assert_eq!(queue.take_in_hand(true).has_room(), queue.is_open());
                if queue.is_open() && number % 3 > 0 {
                    queue.place_plain(&small(number));
                } else {
                    queue.place(&small(number), false);
                }
                number += 1;
            }
            assert!(!queue.is_open());
            let count = queue.publish_to_enter();
            assert_eq!(count, CAPACITY);
            // All, or a part and then the rest, or nothing and all is taken back.
            match round % 3 {
                0 => {
                    kernel.consume(count);
                    assert!(queue.take_note_of_all());
                }
                1 => {
                    kernel.consume(3);
                    assert!(!queue.take_note_of_all());
                    assert_eq!((queue.pending(), queue.is_open()), (CAPACITY, false));
                    assert_eq!(queue.taken(3), 3);
                    assert_eq!(queue.is_open(), size == EntrySize::Normal);
                    kernel.consume(CAPACITY - 3);
                    assert!(queue.take_note_of_all());
                }
                _ => queue.retract(|_| {}),
            }
            assert_eq!(queue.pending(), 0);
        }
    }
}
