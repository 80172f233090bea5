// SPDX-License-Identifier: GPL-2.0
/*
 * lost COMMAND FILE: memory fails under a page that a mapping has stored to, before anybody has synchronised it. As for a page of
 * the page cache that cannot be written: each open file says EIO, once, and so does the super block.
 */
#include "map.h"

#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif

/* The result of a call, as the name of its errno. */
#define result(call) ((call) < 0 ? errname(errno) : "ok")

#define says(call, want) do {						\
	const char *got = result(call);					\
	if (strcmp(got, want))						\
		fail("%s:%d: %s says %s, not %s", __FILE__, __LINE__, #call, got, want);	\
} while (0)

/* The process is not to end by the failure of its own page. */
static void lose(unsigned char *p)
{
	catch_faults();
	if (!sigsetjmp(fault_jump, 1))
		must(madvise(p, PAGE, MADV_HWPOISON));
	/* Nobody can read it any more. */
	expect(touch(p, false) == SIGBUS);
}

/* calls FILE: each call says so, once for each open file, also for one that was opened when nobody had said it yet. */
static int do_calls(char **argv)
{
	int a = make_file(argv[0], 8 * PAGE, true);
	int b = must(open(argv[0], O_RDWR)), c = must(open(argv[0], O_RDONLY)), later;
	int sb = must(open(argv[0], O_RDONLY)), sb2 = must(open(argv[0], O_RDONLY));
	unsigned char *p = map_shared(a, 8 * PAGE);
	unsigned int all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

	fill(p, 1, 0, 8 * PAGE);
	must(fsync(a));
	p[PAGE] = 9;
	lose(p + PAGE);
	later = must(open(argv[0], O_RDONLY));
	says(fsync(a), "EIO");
	says(fsync(a), "ok");
	says(fdatasync(b), "EIO");
	says(fdatasync(b), "ok");
	says(sync_file_range(c, 0, 0, all), "EIO");
	says(sync_file_range(c, 0, 0, all), "ok");
	says(fsync(later), "EIO");
	says(fsync(later), "ok");
	says(syncfs(sb), "EIO");
	says(syncfs(sb), "ok");
	says(syncfs(sb2), "EIO");
	must(close(later));
	/* It was said: not news for who opens the file now. */
	later = must(open(argv[0], O_RDONLY));
	says(fsync(later), "ok");
	/* The other pages are none the worse. */
	p[2 * PAGE] = 9;
	says(msync(p + 2 * PAGE, PAGE, MS_SYNC), "ok");
	says(fsync(a), "ok");
	/* A second loss is news for all. */
	p[3 * PAGE] = 9;
	lose(p + 3 * PAGE);
	says(msync(p, 8 * PAGE, MS_SYNC), "EIO");
	says(msync(p, 8 * PAGE, MS_SYNC), "ok");
	says(fsync(b), "EIO");
	says(syncfs(sb), "EIO");
	says(close(c), "ok");
	return 0;
}

/* clean FILE: what was durable is lost as well, and no call that synchronises has anything to say of it. */
static int do_clean(char **argv)
{
	int a = make_file(argv[0], 4 * PAGE, true);
	unsigned char *p = map_shared(a, 4 * PAGE);

	fill(p, 2, 0, 4 * PAGE);
	must(fsync(a));
	lose(p + PAGE);
	says(fsync(a), "ok");
	says(msync(p, 4 * PAGE, MS_SYNC), "ok");
	says(syncfs(a), "ok");
	return 0;
}

/* huge FILE: one page of a 2 MiB entry. */
static int do_huge(char **argv)
{
	int a = make_file(argv[0], HUGE, true);
	unsigned char *p = map_shared(a, HUGE);

	fill(p, 3, 0, HUGE);
	expect(huge_bytes(p, HUGE) == HUGE);
	lose(p + 5 * PAGE);
	says(fsync(a), "EIO");
	p[0] = 1;
	says(fsync(a), "ok");
	return 0;
}

/* Maps, touches, forks and unmaps until the time is over. */
static void come_and_go(const char *path, uint64_t seed, double end)
{
	int fd = must(open(path, O_RDWR));

	catch_faults();
	while (now() < end) {
		uint64_t at = next_random(&seed) % 2 * HUGE;
		unsigned char *p = map_at(fd, HUGE, at, PROT_READ | PROT_WRITE, MAP_SHARED);
		pid_t pid = must(fork());

		touch(p + next_random(&seed) % HUGE, next_random(&seed) % 2);
		if (!pid)
			_exit(0);
		must(munmap(p, HUGE));
		expect(wait_for(pid, 60) == 0);
	}
}

/* crowd FILE SECONDS: pages fail, one after the other, of a file that others map and unmap. */
static int do_crowd(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE, true), bad = 0, status;
	unsigned char *p = map_shared(fd, 2 * HUGE);
	double end = now() + number(argv[1]);

	fill(p, 5, 0, 2 * HUGE);
	must(fsync(fd));
	for (uint64_t seed = 0; seed < 4; seed++) {
		if (must(fork()))
			continue;
		come_and_go(argv[0], seed, end);
		_exit(0);
	}
	for (size_t page = 3; now() < end && page < 2 * HUGE / PAGE; page += 41) {
		p[page * PAGE] = 1;
		lose(p + page * PAGE);
		usleep(100000);
	}
	while (wait(&status) > 0)
		bad |= status;
	return bad != 0;
}

int main(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "calls", 1, do_calls }, { "clean", 1, do_clean }, { "huge", 1, do_huge },
		{ "crowd", 2, do_crowd },
	};

	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
