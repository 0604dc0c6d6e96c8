use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::{Place, Slots};
use crate::completion::Completion;
use crate::entry::Entry;
use crate::op::{Completes, EndReason, Ended, Multishot, Operation, sealed};

/// What was dropped, in order.
type Drops = Rc<RefCell<Vec<i32>>>;

/// Notes its number when it is dropped, and unwinds if that is `UNWINDS`.
struct Dropped(i32, Drops);

const OPERATION: i32 = 100;
const UNWINDS: i32 = 13;
const BOMB: &str = "as it should";

impl Drop for Dropped {
    fn drop(&mut self) {
        self.1.borrow_mut().push(self.0);
        if self.0 == UNWINDS {
            std::panic::panic_any(BOMB);
        }
    }
}

/// A multishot operation of `SIZE` more bytes whose items are the results.
struct Many<const SIZE: usize>(Dropped, [u8; SIZE]);

impl<const SIZE: usize> sealed::Sealed for Many<SIZE> {}

// SAFETY: it is never given to a kernel.
unsafe impl<const SIZE: usize> Operation for Many<SIZE> {
    type Output = Ended<Self>;
    const OPCODE: u8 = 0;
    const COMPLETES: Completes<Self> = Completes::many();

    unsafe fn prepare(_: *mut Self, _: &mut Entry) {}

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        Ended::new(self, completion)
    }
}

// SAFETY: the kernel writes nothing.
unsafe impl<const SIZE: usize> Multishot for Many<SIZE> {
    type Item = Dropped;

    unsafe fn item(this: *const Self, completion: Completion) -> Dropped {
        // SAFETY: the caller vouches for `this`.
        let Dropped(number, drops) = unsafe { &(*this).0 };
        assert_eq!(*number, OPERATION, "it is where it should be");
        Dropped(completion.result, Rc::clone(drops))
    }
}

/// An operation whose memory is free with its second completion.
struct Notified;

impl sealed::Sealed for Notified {}

// SAFETY: it is never given to a kernel.
unsafe impl Operation for Notified {
    type Output = (i32, Option<u32>);
    const OPCODE: u8 = 0;
    const COMPLETES: Completes<Self> = Completes::Notified;

    unsafe fn prepare(_: *mut Self, _: &mut Entry) {}

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        (completion.raw_result(), completion.notified())
    }
}

const MORE: u32 = uring_sys::IORING_CQE_F_MORE;
const NOTIF: u32 = uring_sys::IORING_CQE_F_NOTIF;

fn push<O: Operation>(slots: &mut Slots, op: O) -> Place {
    match slots.admit(op, 0) {
        Ok((place, _)) => place,
        Err(_) => panic!("there is room"),
    }
}

fn many<const SIZE: usize>(slots: &mut Slots) -> (Place, Drops) {
    let drops = Drops::default();
    let op = Many(Dropped(OPERATION, Rc::clone(&drops)), [0; SIZE]);
    (push(slots, op), drops)
}

fn land(slots: &mut Slots, place: Place, result: i32, flags: u32) {
    if !slots.land_plainly(place.user_data(), result, flags) {
        slots.land(Completion::new(place.user_data(), result, flags));
    }
}

fn take<const SIZE: usize>(slots: &mut Slots, place: Place) -> Option<Dropped> {
    let (op, completion) = slots.take_item::<Many<SIZE>>(place)?;
    // SAFETY: the operation is in its slot.
    Some(unsafe { Many::item(op, completion) })
}

fn claim<O: Operation>(slots: &mut Slots, place: Place) -> Option<O::Output> {
    let plain = match O::COMPLETES {
        // SAFETY: each test claims what it has pushed.
        Completes::Once => unsafe { slots.claim_plain::<O>(place) },
        Completes::Notified | Completes::Many(_) => None,
    };
    // SAFETY: as above.
    let (op, completion) = plain.or_else(|| unsafe { slots.claim::<O>(place) })?;
    // SAFETY: it is its own.
    Some(unsafe { op.complete(completion) })
}

fn items_are_taken_in_order_then_the_end<const SIZE: usize>() {
    let mut slots = Slots::new(2);
    let (place, drops) = many::<SIZE>(&mut slots);
    for result in 1..4 {
        land(&mut slots, place, result, MORE);
    }
    assert!(claim::<Many<SIZE>>(&mut slots, place).is_none());
    for result in 1..4 {
        let item = take::<SIZE>(&mut slots, place).expect("it has come");
        assert_eq!(item.0, result);
    }
    assert!(take::<SIZE>(&mut slots, place).is_none());
    land(&mut slots, place, -libc::ENOBUFS, 0);
    assert!(take::<SIZE>(&mut slots, place).is_none());
    let ended = claim::<Many<SIZE>>(&mut slots, place).expect("it has ended");
    assert!(matches!(ended.reason, EndReason::NoBuffers));
    assert_eq!(*drops.borrow(), [1, 2, 3]);
    drop(ended);
    assert_eq!(drops.borrow().last(), Some(&OPERATION));
    assert!(slots.is_empty());
}

#[test]
fn items_of_small_and_large_operations_are_taken_in_order() {
    items_are_taken_in_order_then_the_end::<8>();
    items_are_taken_in_order_then_the_end::<400>();
}

#[test]
fn the_last_completion_may_be_an_item_too() {
    let mut slots = Slots::new(2);
    let (place, _) = many::<0>(&mut slots);
    land(&mut slots, place, 1, MORE);
    land(&mut slots, place, 2, 0);
    for result in [1, 2] {
        assert_eq!(take::<0>(&mut slots, place).map(|it| it.0), Some(result));
    }
    let ended = claim::<Many<0>>(&mut slots, place).expect("it has ended");
    assert!(matches!(ended.reason, EndReason::Stopped) && ended.reason.may_go_on());
    // It can be pushed again.
    let place = push(&mut slots, ended.op);
    land(&mut slots, place, 3, MORE);
    land(&mut slots, place, -libc::ECANCELED, 0);
    assert_eq!(take::<0>(&mut slots, place).map(|it| it.0), Some(3));
    let ended = claim::<Many<0>>(&mut slots, place).expect("it has ended");
    assert!(matches!(ended.reason, EndReason::Cancelled) && !ended.reason.may_go_on());
}

fn items_that_nobody_takes_are_dropped<const SIZE: usize>() {
    // Claimed with items left.
    let mut slots = Slots::new(2);
    let (place, drops) = many::<SIZE>(&mut slots);
    land(&mut slots, place, 1, MORE);
    land(&mut slots, place, 2, 0);
    drop(claim::<Many<SIZE>>(&mut slots, place).expect("it has ended"));
    assert_eq!(*drops.borrow(), [1, 2, OPERATION]);

    // Given up in flight, with items before and after.
    let (place, drops) = many::<SIZE>(&mut slots);
    land(&mut slots, place, 1, MORE);
    slots.orphan(place);
    slots.bury();
    assert_eq!(*drops.borrow(), [1]);
    land(&mut slots, place, 2, MORE);
    land(&mut slots, place, 3, MORE);
    slots.bury();
    assert_eq!(*drops.borrow(), [1, 2, 3]);
    land(&mut slots, place, 4, MORE);
    land(&mut slots, place, 5, 0);
    slots.bury();
    assert_eq!(*drops.borrow(), [1, 2, 3, 4, 5, OPERATION]);

    // Ended and given up, as at the end of a scope or ring.
    let (place, drops) = many::<SIZE>(&mut slots);
    land(&mut slots, place, 1, MORE);
    land(&mut slots, place, -libc::EIO, 0);
    slots.give_up_landed(0);
    slots.bury();
    assert_eq!(*drops.borrow(), [1, OPERATION]);

    // The ring has to leak what is in flight, but not its items.
    let (place, drops) = many::<SIZE>(&mut slots);
    land(&mut slots, place, 1, MORE);
    slots.give_up_flying();
    slots.bury();
    assert_eq!(*drops.borrow(), [1]);
    land(&mut slots, place, -libc::ECANCELED, 0);
    slots.bury();
    assert!(slots.is_empty());
}

#[test]
fn items_of_small_and_large_operations_are_dropped() {
    items_that_nobody_takes_are_dropped::<8>();
    items_that_nobody_takes_are_dropped::<400>();
}

/// A destructor that unwinds keeps neither the other items nor the operation (M14).
#[test]
fn an_item_that_unwinds_keeps_nothing_else() {
    type End = fn(&mut Slots, Place);
    let claimed: End = |slots, place| drop(claim::<Many<0>>(slots, place));
    let buried: End = |slots, place| {
        slots.orphan(place);
        slots.bury();
    };
    for end in [claimed, buried] {
        let mut slots = Slots::new(2);
        let (place, drops) = many::<0>(&mut slots);
        for result in [1, UNWINDS, 2] {
            land(&mut slots, place, result, MORE);
        }
        land(&mut slots, place, 3, 0);
        let ended = catch_unwind(AssertUnwindSafe(|| end(&mut slots, place)));
        let payload = ended.unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&BOMB));
        assert_eq!(*drops.borrow(), [1, UNWINDS, 2, 3, OPERATION]);
        assert!(slots.is_empty());
    }
}

#[test]
fn the_first_of_two_completions_is_the_result() {
    let mut slots = Slots::new(1);
    let place = push(&mut slots, Notified);
    land(&mut slots, place, 5, MORE);
    assert!(claim::<Notified>(&mut slots, place).is_none());
    land(&mut slots, place, i32::MIN, NOTIF);
    let output = claim::<Notified>(&mut slots, place);
    assert_eq!(output, Some((5, Some(1 << 31))));

    // Nothing was sent, so nothing is notified of.
    let place = push(&mut slots, Notified);
    land(&mut slots, place, -libc::EPIPE, 0);
    let output = claim::<Notified>(&mut slots, place);
    assert_eq!(output, Some((-libc::EPIPE, None)));

    let place = push(&mut slots, Notified);
    slots.orphan(place);
    land(&mut slots, place, 5, MORE);
    slots.bury();
    assert!(!slots.is_empty(), "the kernel still reads");
    land(&mut slots, place, 0, NOTIF);
    slots.bury();
    assert!(slots.is_empty());
}

#[test]
fn the_further_bytes_of_a_large_completion_reach_their_operation() {
    let mut slots = Slots::new(1);
    for extra in [[7, 8], [0; 2], [0, 9]] {
        let place = push(&mut slots, Once);
        slots.land(Completion {
            extra,
            ..Completion::new(place.user_data(), 3, 0)
        });
        assert_eq!(claim::<Once>(&mut slots, place), Some((3, extra)));
    }
}

/// Pushes a chain of operations that complete once, each of which would say its place in the chain.
#[test]
fn only_the_completion_of_an_operation_in_flight_lands_plainly() {
    let mut slots = Slots::new(4);
    let place = push(&mut slots, Once);
    let number = place.user_data();
    assert!(
        !slots.land_plainly(number + 1, 1, 0),
        "there is no such slot"
    );
    assert!(!slots.land_plainly(number ^ (1 << 32), 1, 0), "of before");
    assert!(!slots.land_plainly(number, 1, MORE), "not the last");
    assert!(claim::<Once>(&mut slots, place).is_none());
    assert_eq!(slots.flying(0), 1);
    assert!(slots.land_plainly(number, 2, 0));
    assert!(!slots.land_plainly(number, 3, 0), "it has landed");
    assert_eq!(slots.flying(0), 0);
    assert_eq!(claim::<Once>(&mut slots, place), Some((2, [0; 2])));
    assert!(!slots.land_plainly(number, 4, 0), "it was claimed");
    assert!(claim::<Once>(&mut slots, place).is_none());
    assert!(slots.is_empty());
}

#[test]
fn what_is_awaited_or_given_up_or_completes_twice_does_not_land_plainly() {
    let mut slots = Slots::new(4);
    let orphan = push(&mut slots, Once);
    slots.orphan(orphan);
    assert!(!slots.land_plainly(orphan.user_data(), 1, 0));
    land(&mut slots, orphan, 1, 0);
    slots.bury();
    assert!(slots.is_empty());

    let announced = push(&mut slots, Once);
    slots.announce(announced);
    assert!(!slots.land_plainly(announced.user_data(), 1, 0));
    land(&mut slots, announced, 1, 0);
    assert_eq!(slots.take_announced(|_| true), Some(announced));

    let (many, _drops) = many::<8>(&mut slots);
    assert!(!slots.land_plainly(many.user_data(), 1, 0));
    let notified = push(&mut slots, Notified);
    assert!(!slots.land_plainly(notified.user_data(), 1, 0));
    assert_eq!(slots.flying(0), 2);
}

fn quiet_chain(slots: &mut Slots, members: i32) -> Vec<Place> {
    (0..members)
        .map(|member| {
            let place = push(slots, Once);
            slots.join_quiet_chain(place, member, member == 0);
            place
        })
        .collect()
}

struct Once;

impl sealed::Sealed for Once {}

// SAFETY: it is never given to a kernel.
unsafe impl Operation for Once {
    type Output = (i32, [u64; 2]);
    const OPCODE: u8 = 0;

    unsafe fn prepare(_: *mut Self, _: &mut Entry) {}

    unsafe fn complete(self, completion: Completion) -> Self::Output {
        (completion.raw_result(), completion.extra())
    }
}

#[test]
fn one_completion_says_what_became_of_a_quiet_chain() {
    let mut slots = Slots::new(16);
    for members in 2..5 {
        for completing in 0..members {
            let others = [quiet_chain(&mut slots, 3), vec![push(&mut slots, Once)]];
            let chain = quiet_chain(&mut slots, members);
            let at = usize::try_from(completing).unwrap();
            // Members that were given up are dropped with the others.
            slots.orphan(chain[0]);
            land(&mut slots, chain[at], -libc::EIO, 0);
            slots.bury();
            for (member, place) in (0..members).zip(chain).skip(1) {
                let expected = match member.cmp(&completing) {
                    std::cmp::Ordering::Less => member,
                    std::cmp::Ordering::Equal => -libc::EIO,
                    std::cmp::Ordering::Greater => -libc::ECANCELED,
                };
                // The kernel will not speak of it again, and if it did nobody would listen.
                land(&mut slots, place, 77, 0);
                let output = claim::<Once>(&mut slots, place);
                assert_eq!(output, Some((expected, [0; 2])), "{member} of {members}");
            }
            assert_eq!(slots.flying(0), 4, "the others are still in flight");
            for chain in others {
                land(&mut slots, chain[chain.len() - 1], 5, 0);
                for place in chain {
                    assert!(claim::<Once>(&mut slots, place).is_some());
                }
            }
            assert!(slots.is_empty());
        }
    }
}
