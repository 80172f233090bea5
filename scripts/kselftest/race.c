// SPDX-License-Identifier: GPL-2.0
/*
 * race FILE SECONDS SEED cut|keep: loads, stores, new mappings, private mappings, read(2), write(2), truncation, allocation and
 * cleaning of one file at the same time, by threads of two processes. Each word of the file is either zero or the value
 * that belongs to its place; anything else is a page of somebody else, or one that was lost. Nobody may hang. With
 * "keep" the file is never cut, and no fault may fail.
 */
#include "map.h"
#include <pthread.h>
#include <signal.h>

#define WINDOWS 4
#define SIZE (WINDOWS * HUGE)
#define WORDS (PAGE / sizeof(uint64_t))

static int fd;
static double end;
static uint64_t seed;
static bool keep;

struct worker {
	pthread_t thread;
	int number;
	uint64_t state;
};

static void check_word(uint64_t value, size_t at, const char *how)
{
	if (value && value != scramble(at))
		fail("%s: the word at %zu is %#llx", how, at, (unsigned long long)value);
}

/* One page of the mapping: store to some words, look at others. A SIGBUS is right whenever the file has been cut. */
static void use_page(unsigned char *p, size_t at, uint64_t *state, bool write)
{
	uint64_t *words = (uint64_t *)(p + at);

	if (sigsetjmp(fault_jump, 1)) {
		expect(!keep);
		return;
	}
	for (int i = 0; i < 8; i++) {
		size_t w = next_random(state) % WORDS;

		if (write)
			__atomic_store_n(&words[w], scramble(at + w * 8), __ATOMIC_RELAXED);
		w = next_random(state) % WORDS;
		check_word(__atomic_load_n(&words[w], __ATOMIC_RELAXED), at + w * 8, "load");
	}
}

static void *use(void *arg)
{
	struct worker *w = arg;
	unsigned char *p = map_shared(fd, SIZE);

	while (now() < end)
		use_page(p, next_random(&w->state) % (SIZE / PAGE) * PAGE, &w->state, w->number % 2);
	return NULL;
}

/* New mappings all the time: 2 MiB faults, and 4 KiB faults by an offset that allows no other. */
static void *map_anew(void *arg)
{
	struct worker *w = arg;

	while (now() < end) {
		size_t at = next_random(&w->state) % WINDOWS * HUGE, len = HUGE;
		bool odd = next_random(&w->state) % 2, private = next_random(&w->state) % 4 == 0;
		unsigned char *p;

		p = mmap(NULL, len + (odd ? PAGE : 0), PROT_READ | PROT_WRITE,
			 private ? MAP_PRIVATE : MAP_SHARED, fd, at);
		if (p == MAP_FAILED)
			die("mmap");
		for (int i = 0; i < 16; i++) {
			size_t page = next_random(&w->state) % (HUGE / PAGE) * PAGE;

			use_page(p - at, at + page, &w->state, next_random(&w->state) % 2);
		}
		if (next_random(&w->state) % 3 == 0)
			madvise(p, len, MADV_DONTNEED);
		must(munmap(p, len + (odd ? PAGE : 0)));
	}
	return NULL;
}

static void *cut(void *arg)
{
	struct worker *w = arg;

	while (now() < end) {
		if (!keep)
			must(ftruncate(fd, next_random(&w->state) % SIZE & -8UL));
		usleep(next_random(&w->state) % 20000);
		must(ftruncate(fd, SIZE));
		if (next_random(&w->state) % 2)
			must(fallocate(fd, 0, next_random(&w->state) % WINDOWS * HUGE, HUGE));
		usleep(next_random(&w->state) % 50000);
	}
	return NULL;
}

static void *clean(void *arg)
{
	struct worker *w = arg;

	while (now() < end) {
		must(next_random(&w->state) % 2 ? fsync(fd) : fdatasync(fd));
		usleep(next_random(&w->state) % 30000);
	}
	return NULL;
}

static void *read_write(void *arg)
{
	static __thread uint64_t words[4 * WORDS];
	struct worker *w = arg;

	while (now() < end) {
		size_t at = next_random(&w->state) % (SIZE - sizeof(words)) & -8UL;
		ssize_t n;

		if (next_random(&w->state) % 2) {
			for (size_t i = 0; i < ARRAY_SIZE(words); i++)
				words[i] = scramble(at + i * 8);
			expect(must(pwrite(fd, words, sizeof(words), at)) == sizeof(words));
			continue;
		}
		n = must(pread(fd, words, sizeof(words), at));
		for (ssize_t i = 0; i < n / 8; i++)
			check_word(words[i], at + i * 8, "read");
	}
	return NULL;
}

static void run_threads(int process)
{
	static void *(*const kinds[])(void *) = { use, use, map_anew, map_anew, cut, clean, read_write };
	struct worker workers[ARRAY_SIZE(kinds)];

	catch_faults();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		workers[i].number = i;
		workers[i].state = seed * 1000 + process * 100 + i;
		expect(!pthread_create(&workers[i].thread, NULL, kinds[i], &workers[i]));
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		expect(!pthread_join(workers[i].thread, NULL));
	exit(0);
}

int main(int argc, char **argv)
{
	pid_t children[2];

	if (argc != 5) {
		fprintf(stderr, "usage: race FILE SECONDS SEED cut|keep\n");
		return 2;
	}
	seed = number(argv[3]);
	keep = !strcmp(argv[4], "keep");
	fd = make_file(argv[1], SIZE, !keep);
	end = now() + number(argv[2]);
	for (int i = 0; i < 2; i++) {
		children[i] = must(fork());
		if (!children[i])
			run_threads(i);
	}
	for (int i = 0; i < 2; i++) {
		int status = wait_for(children[i], number(argv[2]) + 60);

		if (status == -1)
			fail("process %d hangs", i);
		if (status)
			fail("process %d: status %#x", i, status);
	}
	return 0;
}
