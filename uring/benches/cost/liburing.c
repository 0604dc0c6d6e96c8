/*
 * The same rounds as in main.rs, through liburing: a yardstick for `cargo bench -p uring --bench cost -- --peer PROGRAM`.
 *
 *     git clone https://github.com/axboe/liburing && (cd liburing && ./configure && make -C src)
 *     cc -O3 -Iliburing/src/include liburing.c liburing/src/liburing.a -o PROGRAM
 */
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-error));
	return 1;
}

__attribute__((noinline))
static int rounds_of(struct io_uring *ring, unsigned batch, unsigned rounds, int waits, unsigned long long *sum)
{
	for (unsigned round = 0; round < rounds; round++) {
		for (unsigned number = 0; number < batch; number++) {
			struct io_uring_sqe *entry = io_uring_get_sqe(ring);

			if (!entry)
				return -1;
			io_uring_prep_nop(entry);
			io_uring_sqe_set_data64(entry, number);
		}

		int done = waits ? io_uring_submit_and_wait(ring, batch) : io_uring_submit(ring);

		if (done < 0)
			return done;

		struct io_uring_cqe *completion;
		unsigned head, count = 0;

		io_uring_for_each_cqe(ring, head, completion) {
			*sum += io_uring_cqe_get_data64(completion);
			count++;
		}
		io_uring_cq_advance(ring, count);
	}
	return 0;
}

int main(int count, char **arguments)
{
	if (count != 4) {
		fprintf(stderr, "usage: %s raw|submit BATCH ROUNDS\n", arguments[0]);
		return 2;
	}

	unsigned batch = strtoul(arguments[2], NULL, 10), rounds = strtoul(arguments[3], NULL, 10);
	unsigned long long sum = 0;
	struct io_uring ring;
	int error = io_uring_queue_init(256, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);

	if (error < 0)
		return fail("io_uring_queue_init", error);
	error = io_uring_register_ring_fd(&ring);
	if (error < 0)
		return fail("io_uring_register_ring_fd", error);
	error = rounds_of(&ring, batch, rounds, strcmp(arguments[1], "submit") != 0, &sum);
	if (error < 0)
		return fail("a round", error);
	if (sum != (unsigned long long)rounds * batch * (batch - 1) / 2) {
		fprintf(stderr, "a completion is missing\n");
		return 1;
	}
	return 0;
}
