// SPDX-License-Identifier: GPL-2.0
/*
 * zeroes FILE THIEF LENGTH ROUNDS: a range of FILE is zeroed again and again while somebody else takes every block that is
 * free: the file keeps its own.
 */
#include "test.h"
#include <linux/falloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/vfs.h>

/* Takes what is free, for ever. */
static void steal(const char *path)
{
	int fd = must(open(path, O_CREAT | O_RDWR, 0644));
	off_t at = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		if (!fallocate(fd, 0, at, PAGE))
			at += PAGE;
		else if (errno != ENOSPC)
			die("fallocate");
}

int main(int argc, char **argv)
{
	static unsigned char bytes[1 << 16], zero[1 << 16];
	uint64_t len, rounds;
	struct stat before, after;
	struct statfs s;
	pid_t thief;
	int fd;

	if (argc != 5)
		fail("usage: %s FILE THIEF LENGTH ROUNDS", argv[0]);
	len = number(argv[3]);
	rounds = number(argv[4]);
	expect(len % sizeof(bytes) == 0);
	fd = must(open(argv[1], O_CREAT | O_RDWR, 0644));
	for (uint64_t at = 0; at < len; at += sizeof(bytes)) {
		fill(bytes, 5, at, sizeof(bytes));
		expect(pwrite(fd, bytes, sizeof(bytes), at) == (ssize_t)sizeof(bytes));
	}
	must(fstat(fd, &before));
	thief = must(fork());
	if (!thief)
		steal(argv[2]);
	do
		must(fstatfs(fd, &s));
	while (s.f_bfree);
	for (uint64_t round = 0; round < rounds; round++) {
		uint64_t from = round * 3 % (len / PAGE / 2) * PAGE + round % 2 * 100;

		must(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, from, len - 2 * from));
		expect(pread(fd, bytes, PAGE, len / 2) == (ssize_t)PAGE && !memcmp(bytes, zero, PAGE));
		/* Written blocks again, some of them. */
		fill(bytes, 5, len / 2, PAGE);
		expect(pwrite(fd, bytes, PAGE, len / 2) == (ssize_t)PAGE);
		expect(pwrite(fd, bytes, PAGE, from / PAGE * PAGE) == (ssize_t)PAGE);
	}
	must(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, len));
	kill(thief, SIGKILL);
	waitpid(thief, NULL, 0);
	must(fstat(fd, &after));
	expect(after.st_blocks >= before.st_blocks && after.st_size == before.st_size);
	for (uint64_t at = 0; at < len; at += sizeof(bytes)) {
		expect(pread(fd, bytes, sizeof(bytes), at) == (ssize_t)sizeof(bytes));
		expect(!memcmp(bytes, zero, sizeof(bytes)));
	}
	return 0;
}
