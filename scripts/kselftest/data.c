// SPDX-License-Identifier: GPL-2.0
/*
 * data COMMAND ARG...: the bytes of files, where a shell cannot look. Contents are patterns of
 * a seed and the position (test.h), so that any byte in a wrong place, and any stale one, shows.
 */
#include "test.h"
#include <sys/mman.h>
#include <sys/sendfile.h>

#define CHUNK (1UL << 20)

static unsigned char buffer[CHUNK], wanted[CHUNK];

static int open_for(const char *path, int flags)
{
	int fd = open(path, flags, 0644);

	if (fd < 0)
		fail("open %s: %s", path, errname(errno));
	return fd;
}

static void write_all(int fd, const unsigned char *from, size_t len, off_t at)
{
	while (len) {
		ssize_t n = must(pwrite(fd, from, len, at));

		expect(n > 0);
		from += n;
		at += n;
		len -= n;
	}
}

static void read_all(int fd, unsigned char *to, size_t len, off_t at)
{
	while (len) {
		ssize_t n = must(pread(fd, to, len, at));

		if (!n)
			fail("end of file at %lld, %zu bytes early", (long long)at, len);
		to += n;
		at += n;
		len -= n;
	}
}

static void compare(const unsigned char *got, const unsigned char *want, size_t len, off_t at)
{
	for (size_t i = 0; i < len; i++)
		if (got[i] != want[i])
			fail("byte %lld is %#x, not %#x", (long long)at + (long long)i, got[i],
			     want[i]);
}

/* write PATH OFFSET LENGTH SEED */
static int do_write(char **argv)
{
	int fd = open_for(argv[0], O_WRONLY | O_CREAT);
	uint64_t at = number(argv[1]), end = at + number(argv[2]), seed = number(argv[3]);

	for (size_t n; at < end; at += n) {
		n = end - at < CHUNK ? end - at : CHUNK;
		fill(buffer, seed, at, n);
		write_all(fd, buffer, n, at);
	}
	must(close(fd));
	return 0;
}

static void verify(const char *path, uint64_t at, uint64_t len, const uint64_t *seed)
{
	int fd = open_for(path, O_RDONLY);
	uint64_t end = at + len;

	for (size_t n; at < end; at += n) {
		n = end - at < CHUNK ? end - at : CHUNK;
		read_all(fd, buffer, n, at);
		memset(wanted, 0, n);
		if (seed)
			fill(wanted, *seed, at, n);
		compare(buffer, wanted, n, at);
	}
	must(close(fd));
}

/* verify PATH OFFSET LENGTH SEED: the pattern is there. */
static int do_verify(char **argv)
{
	uint64_t seed = number(argv[3]);

	verify(argv[0], number(argv[1]), number(argv[2]), &seed);
	return 0;
}

/* zero PATH OFFSET LENGTH: zeroes are there. */
static int do_zero(char **argv)
{
	verify(argv[0], number(argv[1]), number(argv[2]), NULL);
	return 0;
}

/* eof PATH: a file of 5000 bytes, read at, across and behind its end. */
static int do_eof(char **argv)
{
	int fd = open_for(argv[0], O_RDWR | O_CREAT | O_TRUNC);

	fill(buffer, 1, 0, 5000);
	write_all(fd, buffer, 5000, 0);
	expect(pread(fd, buffer, 100, 4950) == 50);
	expect(pread(fd, buffer, 100, 5000) == 0);
	expect(pread(fd, buffer, 100, 5001) == 0);
	expect(pread(fd, buffer, 100, 1LL << 40) == 0);
	expect(pread(fd, buffer, 0, 10) == 0);
	expect(pread(fd, buffer, 100, -1) == -1 && errno == EINVAL);
	expect(lseek(fd, 0, SEEK_END) == 5000);
	expect(read(fd, buffer, 1) == 0);
	expect(lseek(fd, -1, SEEK_SET) == -1 && errno == EINVAL);
	return 0;
}

/* append-many PATH WRITERS RECORDS: parallel appends of 100 bytes are neither lost nor torn. */
static int do_append_many(char **argv)
{
	int writers = number(argv[1]), records = number(argv[2]);
	unsigned char next[256] = { 0 };
	struct stat st;
	int fd = open_for(argv[0], O_RDWR | O_CREAT | O_TRUNC);

	for (int w = 0; w < writers; w++) {
		if (must(fork()))
			continue;
		fd = open_for(argv[0], O_WRONLY | O_APPEND);
		for (int r = 0; r < records; r++) {
			memset(buffer, w + 1, 100);
			buffer[99] = r;
			expect(write(fd, buffer, 100) == 100);
		}
		exit(0);
	}
	for (int w = 0, status; w < writers; w++) {
		must(wait(&status));
		expect(status == 0);
	}
	must(fstat(fd, &st));
	expect(st.st_size == (off_t)writers * records * 100);
	for (off_t at = 0; at < st.st_size; at += 100) {
		read_all(fd, buffer, 100, at);
		for (int i = 1; i < 99; i++)
			expect(buffer[i] == buffer[0]);
		expect(buffer[99] == next[buffer[0]]);
		next[buffer[0]]++;
	}
	return 0;
}

/* hold PATH FLAG SECONDS: open it, create FLAG, stay open until FLAG is gone (or SECONDS). */
static int do_hold(char **argv)
{
	int fd = open_for(argv[0], O_RDONLY);
	double end = now() + number(argv[2]);

	must(close(open_for(argv[1], O_CREAT | O_WRONLY)));
	while (access(argv[1], F_OK) == 0 && now() < end)
		usleep(20000);
	return close(fd);
}

/* sendfile FROM TO: through a pipe-less copy, from the file and into it. */
static int do_sendfile(char **argv)
{
	int from = open_for(argv[0], O_RDONLY);
	int to = open_for(argv[1], O_WRONLY | O_CREAT | O_TRUNC);
	ssize_t n;

	do {
		n = must(sendfile(to, from, NULL, CHUNK));
	} while (n > 0);
	return 0;
}

/* pread and mmap must agree with the model of do_random after every step. */
struct model {
	int fd;
	bool map;
	off_t size, max;
	unsigned char *bytes;
	uint64_t state;
};

static void model_write(struct model *m, off_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		m->bytes[at + i] = next_random(&m->state);
	if (at + (off_t)len > m->size)
		m->size = at + len;
}

/* A step through a mapping of the whole file, within its end. */
static void step_map(struct model *m, off_t at, size_t len, bool write)
{
	unsigned char *p;

	if (at >= m->size)
		return;
	if (at + (off_t)len > m->size)
		len = m->size - at;
	p = mmap(NULL, m->max, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	if (p == MAP_FAILED)
		die("mmap");
	if (write) {
		model_write(m, at, len);
		memcpy(p + at, m->bytes + at, len);
		if (next_random(&m->state) % 2)
			must(msync(p + (at & -PAGE), len, MS_SYNC));
	}
	compare(p + at, m->bytes + at, len, at);
	/* What lies behind the end in the last page reads as zero, and a store there is lost. */
	if (m->size % PAGE) {
		for (off_t i = m->size; i % PAGE; i++)
			if (p[i])
				fail("byte %lld behind the end is %#x", (long long)i, p[i]);
		if (write)
			p[m->size] = 0xee;
		if (write)
			p[m->size] = 0;
	}
	must(munmap(p, m->max));
}

static void step_size(struct model *m, off_t size)
{
	if (size < m->size)
		memset(m->bytes + size, 0, m->size - size);
	m->size = size;
	must(ftruncate(m->fd, size));
}

/* Punches, or has zeroed; the latter may move the end. */
static void step_zero(struct model *m, off_t at, size_t len, int punch)
{
	off_t end = at + (off_t)len;

	if (punch || end <= m->size) {
		off_t stop = end < m->size ? end : m->size;

		must(fallocate(m->fd, (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) | FALLOC_FL_KEEP_SIZE, at, len));
		if (at < stop)
			memset(m->bytes + at, 0, stop - at);
		return;
	}
	must(fallocate(m->fd, FALLOC_FL_ZERO_RANGE, at, len));
	if (at < m->size)
		memset(m->bytes + at, 0, m->size - at);
	m->size = end;
}

static void step(struct model *m)
{
	off_t at = next_random(&m->state) % m->max;
	size_t len = 1 + next_random(&m->state) % (next_random(&m->state) % 4 ? 9000 : 300000);
	struct stat st;

	if (next_random(&m->state) % 3 == 0)
		at &= -PAGE;
	if (at + (off_t)len > m->max)
		len = m->max - at;
	switch (next_random(&m->state) % 12) {
	case 0:
	case 1:
	case 2:
		model_write(m, at, len);
		write_all(m->fd, m->bytes + at, len, at);
		break;
	case 3:
		if (m->size + (off_t)len <= m->max) {
			at = m->size;
			model_write(m, at, len);
			write_all(m->fd, m->bytes + at, len, at);
		}
		break;
	case 4:
		step_size(m, at);
		break;
	case 5:
		if (at < m->size || next_random(&m->state) % 2) {
			must(fallocate(m->fd, 0, at, len));
			if (at + (off_t)len > m->size)
				m->size = at + len;
		} else {
			must(fallocate(m->fd, FALLOC_FL_KEEP_SIZE, at, len));
		}
		break;
	case 6:
		step_zero(m, at, len, next_random(&m->state) % 2);
		break;
	case 7:
		must(next_random(&m->state) % 2 ? fsync(m->fd) : fdatasync(m->fd));
		break;
	default:
		if (m->map)
			step_map(m, at, len, next_random(&m->state) % 2);
	}
	must(fstat(m->fd, &st));
	if (st.st_size != m->size)
		fail("size %lld, not %lld", (long long)st.st_size, (long long)m->size);
	if (at < m->size) {
		len = m->size - at < (off_t)len ? m->size - at : (off_t)len;
		read_all(m->fd, buffer, len, at);
		compare(buffer, m->bytes + at, len, at);
	}
}

/* random PATH SEED STEPS MAX map|nomap: any mixture of operations agrees with plain memory. */
static int do_random(char **argv)
{
	struct model m = { .state = number(argv[1]), .max = number(argv[3]) };
	uint64_t steps = number(argv[2]);
	struct stat st;

	m.map = !strcmp(argv[4], "map");
	m.fd = open_for(argv[0], O_RDWR | O_CREAT);
	must(fstat(m.fd, &st));
	expect(st.st_size == 0);
	m.bytes = calloc(1, m.max + PAGE);
	expect(m.bytes);
	for (uint64_t i = 0; i < steps; i++) {
		uint64_t before = m.state;

		if (getenv("DATA_VERBOSE"))
			fprintf(stderr, "step %llu state %#llx size %lld\n", (unsigned long long)i,
				(unsigned long long)before, (long long)m.size);
		step(&m);
	}
	for (off_t at = 0, n; at < m.size; at += n) {
		n = m.size - at < (off_t)CHUNK ? m.size - at : (off_t)CHUNK;
		read_all(m.fd, buffer, n, at);
		compare(buffer, m.bytes + at, n, at);
	}
	return 0;
}

static const struct command commands[] = {
	{ "write", 4, do_write }, { "verify", 4, do_verify }, { "zero", 3, do_zero },
	{ "eof", 1, do_eof }, { "append-many", 3, do_append_many },
	{ "hold", 3, do_hold },
	{ "sendfile", 2, do_sendfile },
	{ "random", 5, do_random },
};

int main(int argc, char **argv)
{
	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
