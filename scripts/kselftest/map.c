// SPDX-License-Identifier: GPL-2.0
/*
 * map COMMAND FILE...: what a mapping of a file must do, one behaviour per command. Each makes the file anew.
 */
#include "map.h"

/* shared FILE: loads and stores through the mapping and read(2) and write(2) see each other. */
static int do_shared(char **argv)
{
	int fd = make_file(argv[0], 16 * PAGE, false);
	unsigned char *p = map_shared(fd, 16 * PAGE), *q = map_shared(fd, 16 * PAGE);
	unsigned char copy[3 * PAGE];

	fill(p + 100, 1, 100, 2 * PAGE);
	expect_file(fd, 1, 100, 2 * PAGE);
	expect_bytes(q + 100, 1, 100, 2 * PAGE);
	fill(copy, 2, 5 * PAGE + 7, 2 * PAGE);
	expect(pwrite(fd, copy, 2 * PAGE, 5 * PAGE + 7) == 2 * PAGE);
	expect_bytes(p + 5 * PAGE + 7, 2, 5 * PAGE + 7, 2 * PAGE);
	expect_bytes(q + 5 * PAGE + 7, 2, 5 * PAGE + 7, 2 * PAGE);
	expect_zeroes(p + 8 * PAGE, 8 * PAGE);
	must(msync(p, 16 * PAGE, MS_SYNC));
	must(munmap(p, 16 * PAGE));
	must(close(fd));
	/* The mapping outlives the descriptor. */
	expect_bytes(q + 100, 1, 100, 2 * PAGE);
	q[0] = 9;
	must(munmap(q, 16 * PAGE));
	fd = must(open(argv[0], O_RDONLY));
	expect(pread(fd, copy, 1, 0) == 1 && copy[0] == 9);
	return 0;
}

/* grow FILE: writes behind the mapped end of the file show in a mapping that was made before. */
static int do_grow(char **argv)
{
	int fd = make_file(argv[0], PAGE + 100, true);
	unsigned char *p = map_shared(fd, 4 * HUGE), buf[PAGE];

	fill(buf, 3, 0, PAGE);
	expect_zeroes(p, 2 * PAGE);
	expect(pwrite(fd, buf, PAGE, PAGE + 100) == PAGE);
	expect(!memcmp(p + PAGE + 100, buf, PAGE));
	expect(pwrite(fd, buf, PAGE, 3 * HUGE + 5) == PAGE);
	expect(!memcmp(p + 3 * HUGE + 5, buf, PAGE));
	expect_zeroes(p + 2 * HUGE, HUGE + 5);
	return 0;
}

/* private FILE: copy on write of 4 KiB and of 2 MiB pages leaves the file alone. */
static int do_private(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE + 4 * PAGE, true);
	unsigned char *s = map_shared(fd, 2 * HUGE + 4 * PAGE), *p;

	fill(s, 4, 0, 2 * HUGE + 4 * PAGE);
	p = map_at(fd, 2 * HUGE + 4 * PAGE, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	expect_bytes(p, 4, 0, 2 * HUGE + 4 * PAGE);
	for (size_t at = 5; at < 2 * HUGE + 4 * PAGE; at += 37 * PAGE)
		p[at] ^= 0xff;
	expect_bytes(s, 4, 0, 2 * HUGE + 4 * PAGE);
	for (size_t at = 5; at < 2 * HUGE + 4 * PAGE; at += 37 * PAGE)
		expect(p[at] == (pattern(4, at) ^ 0xff));
	/* What the private mapping has not copied still is the file's page. */
	s[PAGE + 5] = 77;
	expect(p[PAGE + 5] == 77);
	/* A page that was never read is copied as well. */
	must(madvise(p, 2 * HUGE, MADV_DONTNEED));
	p[HUGE] = 3;
	expect(s[HUGE] == pattern(4, HUGE));
	expect(p[HUGE] == 3 && p[HUGE + 1] == pattern(4, HUGE + 1));
	return 0;
}

/* huge FILE SIZE: a preallocated file is mapped by 2 MiB entries, each page of it, reading and writing. */
static int do_huge(char **argv)
{
	size_t size = number(argv[1]);
	int fd = make_file(argv[0], size, true);
	unsigned char *p = map_shared(fd, size);

	expect(huge_bytes(p, size) == 0);
	for (size_t at = 0; at < size; at += HUGE)
		fill(p + at, 5, at, PAGE);
	if (huge_bytes(p, size) != size)
		fail("after writing, %zu of %zu bytes are mapped by 2 MiB entries",
		     huge_bytes(p, size), size);
	must(munmap(p, size));
	p = map_at(fd, size, 0, PROT_READ, MAP_SHARED);
	for (size_t at = 0; at < size; at += HUGE)
		expect_bytes(p + at, 5, at, PAGE);
	if (huge_bytes(p, size) != size)
		fail("after reading, %zu of %zu bytes are mapped by 2 MiB entries",
		     huge_bytes(p, size), size);
	return 0;
}

/* remap FILE SIZE: a file written by huge, perhaps before a remount, is still mapped by 2 MiB entries. */
static int do_remap(char **argv)
{
	size_t size = number(argv[1]);
	int fd = must(open(argv[0], O_RDWR));
	unsigned char *p = map_shared(fd, size);

	for (size_t at = 0; at < size; at += HUGE) {
		expect_bytes(p + at, 5, at, PAGE);
		expect_zeroes(p + at + PAGE, PAGE);
	}
	if (huge_bytes(p, size) != size)
		fail("%zu of %zu bytes are mapped by 2 MiB entries", huge_bytes(p, size), size);
	return 0;
}

/* odd FILE: mappings that cannot have 2 MiB entries (offset, address, length) see what those that can have them see. */
static int do_odd(char **argv)
{
	int fd = make_file(argv[0], 3 * HUGE, true);
	unsigned char *p = map_shared(fd, 3 * HUGE), *q, *room;

	fill(p, 6, 0, 3 * HUGE);
	q = mmap(NULL, HUGE + PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, HUGE - PAGE);
	expect(q != MAP_FAILED);
	expect_bytes(q, 6, HUGE - PAGE, HUGE + PAGE);
	room = mmap(NULL, 4 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(room != MAP_FAILED);
	room = (unsigned char *)(((uintptr_t)room + HUGE - 1) & -HUGE) + PAGE;
	q = mmap(room, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	expect(q == room);
	expect_bytes(q, 6, 0, 2 * HUGE);
	expect(huge_bytes(q, 2 * HUGE) == 0);
	fill(q + 7, 7, 7, HUGE);
	expect_bytes(p + 7, 7, 7, HUGE);
	return 0;
}

/* hole FILE: reading a hole takes no space and gives zeroes; writing makes a page for all who mapped the hole. */
static int do_hole(char **argv)
{
	int fd = make_file(argv[0], 3 * HUGE, false), go[2], status;
	unsigned char *p = map_shared(fd, 3 * HUGE), *q = map_shared(fd, 3 * HUGE);
	off_t blocks = blocks_of(fd);
	pid_t child;

	expect_zeroes(p, 3 * HUGE);
	expect_zeroes(q, 3 * HUGE);
	expect(blocks_of(fd) == blocks);
	must(pipe(go));
	child = must(fork());
	if (!child) {
		char byte;

		/* This process has the zero page mapped as well. */
		expect_zeroes(p + HUGE, PAGE);
		must(close(go[1]));
		expect(read(go[0], &byte, 1) == 1);
		expect_bytes(p + HUGE + 10, 8, HUGE + 10, 3 * PAGE);
		expect_bytes(q + HUGE + 10, 8, HUGE + 10, 3 * PAGE);
		expect_zeroes(p + HUGE, 10);
		exit(0);
	}
	usleep(100000);
	fill(p + HUGE + 10, 8, HUGE + 10, 3 * PAGE);
	expect_bytes(q + HUGE + 10, 8, HUGE + 10, 3 * PAGE);
	expect_file(fd, 8, HUGE + 10, 3 * PAGE);
	expect(blocks_of(fd) > blocks);
	expect(write(go[1], "x", 1) == 1);
	expect(waitpid(child, &status, 0) == child && status == 0);
	/* A write(2) into the mapped hole as well. */
	expect(pwrite(fd, "text", 4, 2 * HUGE + 50) == 4);
	expect(!memcmp(p + 2 * HUGE + 50, "text", 4) && !memcmp(q + 2 * HUGE + 50, "text", 4));
	expect_zeroes(p, HUGE);
	expect_zeroes(p + 2 * HUGE + 54, HUGE - 54);
	return 0;
}

/* redirty FILE: after a cleaning by fsync, msync, sync or fdatasync, a store faults and is seen as before. */
static int do_redirty(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE + 3 * PAGE, true);
	unsigned char *p = map_shared(fd, 2 * HUGE + 3 * PAGE);

	for (int round = 0; round < 8; round++) {
		fill(p + 11, round, 11, 3 * PAGE);
		fill(p + 2 * HUGE, round, 2 * HUGE, 3 * PAGE);
		switch (round % 4) {
		case 0:
			must(fsync(fd));
			break;
		case 1:
			must(msync(p, 2 * HUGE + 3 * PAGE, MS_SYNC));
			break;
		case 2:
			sync();
			break;
		default:
			must(fdatasync(fd));
		}
		expect_file(fd, round, 11, 3 * PAGE);
		expect_file(fd, round, 2 * HUGE, 3 * PAGE);
	}
	return 0;
}

/* eof FILE: SIGBUS past the end, zeroes behind the end in its page, whatever was stored there; also after truncate. */
static int do_eof(char **argv)
{
	static const off_t sizes[] = { 0, 1, PAGE, PAGE + 100, HUGE - 10, HUGE, HUGE + PAGE + 1, 3 * HUGE };
	int fd = make_file(argv[0], 3 * HUGE, true);
	unsigned char *p = map_shared(fd, 4 * HUGE);

	catch_faults();
	fill(p, 9, 0, 3 * HUGE);
	for (int i = ARRAY_SIZE(sizes) - 1; i >= 0; i--) {
		off_t end = (sizes[i] + PAGE - 1) & -PAGE;

		must(ftruncate(fd, sizes[i]));
		expect(touch(p + end, false) == SIGBUS && fault_code == BUS_ADRERR);
		expect(fault_address == p + end);
		expect(touch(p + end, true) == SIGBUS);
		expect(touch(p + 4 * HUGE - 1, true) == SIGBUS);
		if (!sizes[i])
			break;
		expect(touch(p + sizes[i] - 1, false) == 0);
		expect_bytes(p, 9, 0, sizes[i]);
		expect_zeroes(p + sizes[i], end - sizes[i]);
		if (end > sizes[i])
			expect(touch(p + end - 1, true) == 0);
	}
	/* Up again: zeroes everywhere, also where something was stored behind the end. */
	must(ftruncate(fd, 3 * HUGE));
	expect_zeroes(p, 3 * HUGE);
	expect(touch(p + 3 * HUGE, false) == SIGBUS);
	return 0;
}

/* tail FILE: stores behind the end are never seen when the file grows, by truncate, write or fallocate. */
static int do_tail(char **argv)
{
	for (int how = 0; how < 3; how++) {
		int fd = make_file(argv[0], 100, true);
		unsigned char *p = map_shared(fd, PAGE), buf[PAGE];

		memset(p, 0xee, PAGE);
		if (how == 0)
			must(ftruncate(fd, 2 * PAGE));
		else if (how == 1)
			expect(pwrite(fd, "end", 3, 2 * PAGE - 3) == 3);
		else
			must(fallocate(fd, 0, PAGE, PAGE));
		expect(pread(fd, buf, PAGE, 0) == PAGE);
		for (int i = 0; i < 100; i++)
			expect(buf[i] == 0xee);
		expect_zeroes(buf + 100, PAGE - 100);
		expect_zeroes(p + 100, PAGE - 100);
		must(munmap(p, PAGE));
		must(close(fd));
	}
	return 0;
}

/* fork FILE: a child shares shared pages and keeps its private ones to itself, after the parent has gone on as well. */
static int do_fork(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE, true), status;
	unsigned char *s = map_shared(fd, 2 * HUGE);
	unsigned char *p = map_at(fd, 2 * HUGE, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	pid_t child;

	fill(s, 10, 0, 2 * HUGE);
	p[0] = 1;
	expect(p[HUGE] == s[HUGE]);
	child = must(fork());
	if (!child) {
		expect(p[0] == 1);
		p[0] = 2;
		p[HUGE] = 2;
		s[PAGE] = 2;
		expect(p[HUGE + 1] == s[HUGE + 1] && s[HUGE] == pattern(10, HUGE));
		exit(0);
	}
	expect(waitpid(child, &status, 0) == child && status == 0);
	expect(p[0] == 1 && p[HUGE] == pattern(10, HUGE) && s[PAGE] == 2);
	expect(s[0] == pattern(10, 0));
	/* A child that is killed while it stores leaves whole bytes and no trace. */
	child = must(fork());
	if (!child)
		for (size_t at = 0;; at = (at + 4097) % (2 * HUGE))
			s[at] = 3;
	usleep(200000);
	must(kill(child, SIGKILL));
	expect(waitpid(child, &status, 0) == child);
	expect(s[0] == 3 && (s[1] == pattern(10, 1) || s[1] == 3));
	return 0;
}

/* mremap FILE: a mapping that moves and grows takes its pages, of either size, along. */
static int do_mremap(char **argv)
{
	int fd = make_file(argv[0], 4 * HUGE, true);
	unsigned char *p = map_shared(fd, 2 * HUGE), *q, *room;

	fill(p, 11, 0, 2 * HUGE);
	room = mmap(NULL, 6 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(room != MAP_FAILED);
	room = (unsigned char *)(((uintptr_t)room + HUGE - 1) & -HUGE);
	q = mremap(p, 2 * HUGE, 4 * HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	expect(q == room);
	expect_bytes(q, 11, 0, 2 * HUGE);
	expect_zeroes(q + 2 * HUGE, 2 * HUGE);
	q[3 * HUGE] = 1;
	/* To an address that is not aligned: 2 MiB entries have to be split. */
	p = mremap(q, 2 * HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 4 * HUGE + PAGE);
	expect(p == room + 4 * HUGE + PAGE);
	expect_bytes(p, 11, 0, HUGE);
	p[5] = 0;
	expect(pread(fd, room + 2 * HUGE, 10, 0) == 10 && room[2 * HUGE + 5] == 0);
	expect(room[3 * HUGE] == 1);
	return 0;
}

/* mprotect FILE: a page within a 2 MiB entry that may not be written cannot be, its neighbours can. */
static int do_mprotect(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE, true);
	unsigned char *p = map_shared(fd, 2 * HUGE);

	catch_faults();
	fill(p, 12, 0, 2 * HUGE);
	must(mprotect(p + 5 * PAGE, PAGE, PROT_READ));
	expect(touch(p + 5 * PAGE, true) == SIGSEGV && touch(p + 5 * PAGE, false) == 0);
	expect(touch(p + 4 * PAGE, true) == 0 && touch(p + 6 * PAGE, true) == 0);
	must(mprotect(p + 5 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	expect(touch(p + 5 * PAGE, true) == 0);
	must(mprotect(p + HUGE, HUGE, PROT_NONE));
	expect(touch(p + HUGE + 3 * PAGE, false) == SIGSEGV);
	must(mprotect(p + HUGE, HUGE, PROT_READ));
	expect_bytes(p + HUGE, 12, HUGE, HUGE);
	expect(touch(p + HUGE, true) == SIGSEGV);
	must(mprotect(p + HUGE, HUGE, PROT_READ | PROT_WRITE));
	expect(touch(p + HUGE, true) == 0);
	expect(p[5 * PAGE] == 0x5a && p[5 * PAGE + 1] == pattern(12, 5 * PAGE + 1));
	return 0;
}

/* advice FILE: DONTNEED, POPULATE, mlock and being read and written through /proc/PID/mem change nothing in the file. */
static int do_advice(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE + PAGE, true);
	unsigned char *p = map_shared(fd, 2 * HUGE + PAGE), copy[3 * PAGE];
	int memory = must(open("/proc/self/mem", O_RDWR));

	fill(p, 13, 0, 2 * HUGE + PAGE);
	must(madvise(p, 2 * HUGE, MADV_DONTNEED));
	expect_bytes(p, 13, 0, HUGE);
	must(madvise(p, 2 * HUGE + PAGE, MADV_DONTNEED));
	must(madvise(p, 2 * HUGE, MADV_POPULATE_WRITE));
	must(mlock(p, 2 * HUGE));
	expect(pread(memory, copy, sizeof(copy), (uintptr_t)p + HUGE - PAGE) == sizeof(copy));
	expect_bytes(copy, 13, HUGE - PAGE, sizeof(copy));
	must(madvise(p, 2 * HUGE, MADV_DONTNEED));
	expect(pwrite(memory, copy, sizeof(copy), (uintptr_t)p + HUGE - PAGE) == sizeof(copy));
	must(munlock(p, 2 * HUGE));
	must(madvise(p, 2 * HUGE, MADV_COLD));
	must(madvise(p, 2 * HUGE, MADV_PAGEOUT));
	must(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) ? -1 : 0);
	expect_bytes(p, 13, 0, 2 * HUGE + PAGE);
	return 0;
}

/* self FILE: read(2) into and write(2) from a mapping of the same file. */
static int do_self(char **argv)
{
	int fd = make_file(argv[0], 4 * HUGE, false);
	unsigned char *p = map_shared(fd, 4 * HUGE);

	fill(p + 9, 14, 0, 3 * PAGE);
	expect(pwrite(fd, p + 9, 3 * PAGE, 2 * HUGE - PAGE) == 3 * PAGE);
	expect_bytes(p + 2 * HUGE - PAGE, 14, 0, 3 * PAGE);
	/* Into a hole of itself, which faults in the middle of the read. */
	expect(pread(fd, p + HUGE + 3, 3 * PAGE, 2 * HUGE - PAGE) == 3 * PAGE);
	expect_bytes(p + HUGE + 3, 14, 0, 3 * PAGE);
	/* From a hole of itself: the page that is written from is not there yet. */
	expect(pwrite(fd, p + 3 * HUGE, PAGE, 3 * HUGE + PAGE) == PAGE);
	expect_zeroes(p + 3 * HUGE, 3 * PAGE);
	return 0;
}

/* sync FILE yes|no: MAP_SYNC is taken, or refused where a store cannot be made durable by the processor alone. */
static int do_sync(char **argv)
{
	int fd = make_file(argv[0], HUGE + PAGE, false);
	unsigned char *p = mmap(NULL, HUGE + PAGE, PROT_READ | PROT_WRITE,
				MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);

	if (strcmp(argv[1], "yes")) {
		expect(p == MAP_FAILED && errno == EOPNOTSUPP);
		return 0;
	}
	if (p == MAP_FAILED)
		die("mmap");
	/* Into holes: each first store to a page must have its block on the media before it is done. */
	fill(p, 15, 0, HUGE + PAGE);
	expect_file(fd, 15, 0, HUGE + PAGE);
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_SYNC, fd, 0);
	expect(p != MAP_FAILED);
	return 0;
}

/* unlinked FILE SIZE: a file without a name and descriptor lives as long as its mapping. */
static int do_unlinked(char **argv)
{
	size_t size = number(argv[1]);
	int fd = make_file(argv[0], size, true);
	unsigned char *p = map_shared(fd, size);

	fill(p, 16, 0, PAGE);
	must(unlink(argv[0]));
	must(close(fd));
	sync();
	expect_bytes(p, 16, 0, PAGE);
	for (size_t at = 0; at < size; at += HUGE)
		fill(p + at, 16, at, 2 * PAGE);
	for (size_t at = 0; at < size; at += HUGE)
		expect_bytes(p + at, 16, at, 2 * PAGE);
	return 0;
}

/* keep FILE: what is mapped and dirty survives the dropping of caches. */
static int do_keep(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE + 3 * PAGE, true), drop;
	unsigned char *p = map_shared(fd, 2 * HUGE + 3 * PAGE);

	for (int round = 0; round < 3; round++) {
		fill(p, 17 + round, 0, 2 * HUGE + 3 * PAGE);
		drop = must(open("/proc/sys/vm/drop_caches", O_WRONLY));
		expect(write(drop, "3", 1) == 1);
		must(close(drop));
		expect_bytes(p, 17 + round, 0, 2 * HUGE + 3 * PAGE);
		must(madvise(p, 2 * HUGE, MADV_DONTNEED));
		expect_bytes(p, 17 + round, 0, 2 * HUGE + 3 * PAGE);
	}
	must(fsync(fd));
	return 0;
}

/* full FILE: on a full device a store into a hole is a SIGBUS, a load is not. */
static int do_full(char **argv)
{
	int fd = make_file(argv[0], 4 * HUGE, false);
	unsigned char *p = map_shared(fd, 4 * HUGE);
	size_t at;

	catch_faults();
	for (at = 0; at < 4 * HUGE && touch(p + at, true) == 0; at += PAGE)
		;
	expect(at < 4 * HUGE && fault_code == BUS_ADRERR);
	expect(touch(p + 4 * HUGE - PAGE, true) == SIGBUS);
	expect(touch(p + 4 * HUGE - PAGE, false) == 0);
	expect_zeroes(p + 4 * HUGE - PAGE, PAGE);
	return 0;
}

/* readonly FILE: a descriptor for reading maps for reading and privately, not shared for writing. */
static int do_readonly(char **argv)
{
	int fd = must(open(argv[0], O_RDONLY));
	unsigned char *p;

	expect(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	expect(errno == EACCES);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	expect(p != MAP_FAILED);
	expect(mprotect(p, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
	expect(p[0] == 't');
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	expect(p != MAP_FAILED);
	p[0] = 'T';
	expect(pread(fd, p + 10, 1, 0) == 1 && p[10] == 't');
	return 0;
}

static const struct command commands[] = {
	{ "shared", 1, do_shared }, { "grow", 1, do_grow }, { "private", 1, do_private },
	{ "huge", 2, do_huge }, { "remap", 2, do_remap }, { "odd", 1, do_odd },
	{ "hole", 1, do_hole }, { "redirty", 1, do_redirty }, { "eof", 1, do_eof },
	{ "tail", 1, do_tail }, { "fork", 1, do_fork }, { "mremap", 1, do_mremap },
	{ "mprotect", 1, do_mprotect }, { "advice", 1, do_advice }, { "self", 1, do_self },
	{ "sync", 2, do_sync }, { "unlinked", 2, do_unlinked }, { "keep", 1, do_keep },
	{ "full", 1, do_full }, { "readonly", 1, do_readonly },
};

int main(int argc, char **argv)
{
	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
