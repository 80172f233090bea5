// SPDX-License-Identifier: GPL-2.0
/*
 * pin COMMAND FILE...: pages of a mapping that the kernel itself holds: by a pipe (vmsplice), by direct I/O to another
 * device. Whoever takes the pages from the file waits for such a pin, ends when it has gone, and not before.
 */
#include "map.h"
#include <sys/syscall.h>
#include <sys/uio.h>
#include <linux/io_uring.h>

/* Long enough for a guest without hardware support on a busy machine; what hangs, hangs for ever. */
#define SOON 60.0

struct pin {
	int pipe[2];
	size_t len;
};

static struct pin pin_pages(unsigned char *p, size_t len)
{
	struct pin pin = { .len = len };
	struct iovec v = { p, len };

	must(pipe(pin.pipe));
	expect(vmsplice(pin.pipe[1], &v, 1, 0) == (ssize_t)len);
	return pin;
}

/* Take the bytes out of the pipe, which gives the pages back. They must still be the pattern. */
static void release(struct pin *pin, uint64_t seed, uint64_t at)
{
	unsigned char *copy = malloc(pin->len);
	size_t done = 0;

	expect(copy);
	while (done < pin->len) {
		ssize_t n = must(read(pin->pipe[0], copy + done, pin->len - done));

		expect(n > 0);
		done += n;
	}
	expect_bytes(copy, seed, at, pin->len);
	free(copy);
	must(close(pin->pipe[0]));
	must(close(pin->pipe[1]));
}

/* Touch the mapping in a loop, page after page, until killed. */
static pid_t start_toucher(unsigned char *p, size_t len)
{
	pid_t child = must(fork());

	if (child)
		return child;
	catch_faults();
	for (size_t at = 0;; at = (at + PAGE) % len)
		touch(p + at, at % (2 * PAGE));
}

static void stop(pid_t child)
{
	must(kill(child, SIGKILL));
	must(waitpid(child, NULL, 0));
}

static pid_t start_truncate(int fd, off_t size)
{
	pid_t child = must(fork());

	if (!child) {
		must(ftruncate(fd, size));
		exit(0);
	}
	return child;
}

static void expect_end(pid_t child, const char *what)
{
	int status = wait_for(child, SOON);

	if (status == -1)
		fail("%s still hangs %.0f s after the pin has gone", what, SOON);
	if (status)
		fail("%s: status %#x", what, status);
}

/*
 * truncate FILE SIZE alone|touched: a page behind SIZE is pinned; the truncation waits and the bytes stay. It ends when
 * the pin has gone, also while another process keeps touching the mapping.
 */
static int do_truncate(char **argv)
{
	size_t size = 2 * HUGE;
	off_t to = number(argv[1]);
	bool touched = !strcmp(argv[2], "touched");
	int fd = make_file(argv[0], size, true);
	unsigned char *p = map_shared(fd, size);
	struct pin pin;
	struct stat st;
	pid_t cutter, toucher = 0;

	fill(p, 21, 0, size);
	pin = pin_pages(p + HUGE + 8 * PAGE, 4 * PAGE);
	/* Not the pinned pages: the toucher's stores must not be mistaken for the next owner's. */
	if (touched)
		toucher = start_toucher(p + HUGE + 16 * PAGE, 64 * PAGE);
	usleep(200000);
	cutter = start_truncate(fd, to);
	if (wait_for(cutter, 0.7) != -1)
		fail("truncate did not wait for the pin");
	release(&pin, 21, HUGE + 8 * PAGE);
	expect_end(cutter, "truncate");
	must(fstat(fd, &st));
	expect(st.st_size == to);
	if (toucher)
		stop(toucher);
	must(ftruncate(fd, size));
	expect_zeroes(p + to, size - to);
	expect_bytes(p, 21, 0, to);
	return 0;
}

/* loop FILE: no pin at all: others map, touch and unmap, or are read by the kernel, while the file is cut again and again. */
static int do_loop(char **argv)
{
	size_t size = 2 * HUGE;
	int fd = make_file(argv[0], size, true);
	unsigned char *p = map_shared(fd, size);
	pid_t toucher = start_toucher(p, size), reader, cutter;

	reader = must(fork());
	if (!reader) {
		unsigned char copy[PAGE];
		char memory[32];
		int mem;

		sprintf(memory, "/proc/%d/mem", getppid());
		mem = must(open(memory, O_RDONLY));
		for (size_t at = 0;; at = (at + 3 * PAGE) % size) {
			ssize_t n = pread(mem, copy, PAGE, (uintptr_t)p + at);

			expect(n == (ssize_t)PAGE || (n < 0 && errno == EIO));
		}
	}
	cutter = must(fork());
	if (!cutter) {
		for (int i = 0; i < 40; i++) {
			must(ftruncate(fd, i % 3 * PAGE));
			must(ftruncate(fd, size));
			must(i % 2 ? fsync(fd) : posix_fallocate(fd, 0, size) ? -1 : 0);
		}
		exit(0);
	}
	expect_end(cutter, "truncate in a loop");
	stop(toucher);
	stop(reader);
	return 0;
}

/* kill FILE: who waits for a pin can be killed; the file is as it was. */
static int do_kill(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE, true), status;
	unsigned char *p = map_shared(fd, 2 * HUGE);
	struct pin pin;
	struct stat st;
	pid_t cutter;

	fill(p, 22, 0, 2 * HUGE);
	pin = pin_pages(p + PAGE, PAGE);
	cutter = start_truncate(fd, 0);
	expect(wait_for(cutter, 0.5) == -1);
	must(kill(cutter, SIGKILL));
	status = wait_for(cutter, SOON);
	if (status == -1)
		fail("truncate cannot be killed");
	expect(WIFSIGNALED(status));
	must(fstat(fd, &st));
	expect(st.st_size == 2 * HUGE);
	expect_bytes(p, 22, 0, 2 * HUGE);
	release(&pin, 22, PAGE);
	must(ftruncate(fd, 0));
	return 0;
}

/*
 * rights FILE: who truncates somebody's program takes the set-user-id bits away first: not even
 * when he waits, or when the power goes, are contents changed that run with them.
 */
static int do_rights(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE, true);
	unsigned char *p = map_shared(fd, 2 * HUGE);
	struct pin pin;
	struct stat st;
	pid_t cutter;

	fill(p, 23, 0, 2 * HUGE);
	must(fchmod(fd, 06755));
	pin = pin_pages(p + PAGE, PAGE);
	cutter = must(fork());
	if (!cutter) {
		must(setuid(1000));
		must(ftruncate(fd, 0));
		exit(0);
	}
	expect(wait_for(cutter, 0.5) == -1);
	must(fstat(fd, &st));
	expect(st.st_size == 2 * HUGE);
	if ((st.st_mode & 07777) != 0755)
		fail("mode %o while the truncation waits", st.st_mode);
	release(&pin, 23, PAGE);
	expect_end(cutter, "truncate");
	must(fstat(fd, &st));
	expect(st.st_size == 0 && (st.st_mode & 07777) == 0755);
	return 0;
}

/* Write zeroes, or so, until nothing is free any more. */
static void fill_up(const char *name)
{
	unsigned char block[16 * PAGE];
	int fd = must(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644));

	memset(block, 0x77, sizeof(block));
	while (write(fd, block, sizeof(block)) > 0)
		;
	expect(errno == ENOSPC);
	must(close(fd));
}

/*
 * self FILE OTHER: who has pinned pages lets go of the file himself, last and without a name. He does not wait for himself,
 * as he would in ext4 and xfs. Another file takes all space meanwhile: the pinned bytes are not overwritten.
 */
static int do_self(char **argv)
{
	pid_t child = must(fork());

	if (!child) {
		int fd = make_file(argv[0], 4 * HUGE, true);
		unsigned char *p = map_shared(fd, 4 * HUGE);
		struct pin pin;

		fill(p, 26, 0, 4 * HUGE);
		pin = pin_pages(p + HUGE - 4 * PAGE, 8 * PAGE);
		must(munmap(p, 4 * HUGE));
		must(unlink(argv[0]));
		must(close(fd));
		fill_up(argv[1]);
		release(&pin, 26, HUGE - 4 * PAGE);
		exit(0);
	}
	expect_end(child, "who lets go of what he has pinned");
	must(unlink(argv[1]));
	return 0;
}

/* exit FILE: the same, by ending: the file goes before the pipe that has its pages. */
static int do_exit(char **argv)
{
	pid_t child = must(fork());

	if (!child) {
		int fd = make_file(argv[0], 2 * HUGE, true);
		unsigned char *p = map_shared(fd, 2 * HUGE);

		fill(p, 27, 0, 2 * HUGE);
		pin_pages(p, 8 * PAGE);
		must(unlink(argv[0]));
		_exit(0);
	}
	expect_end(child, "who ends with pinned pages");
	return 0;
}

/*
 * unlink FILE OTHER: the last name, descriptor and mapping go while a page is pinned; another file is written meanwhile,
 * to the last free block. The pinned bytes are not overwritten. It is another process that lets go of the file last.
 */
static int do_unlink(char **argv)
{
	int fd = make_file(argv[0], 4 * HUGE, true), other, closed[2];
	unsigned char *p = map_shared(fd, 4 * HUGE), block[16 * PAGE];
	struct pin pin;
	pid_t child;

	fill(p, 23, 0, 4 * HUGE);
	pin = pin_pages(p + HUGE, 8 * PAGE);
	must(munmap(p, 4 * HUGE));
	must(pipe(closed));
	child = must(fork());
	if (!child) {
		char byte;

		/* Not our own copies of the pipe that has the pages, either. */
		must(close(pin.pipe[0]));
		must(close(pin.pipe[1]));
		must(close(closed[1]));
		expect(read(closed[0], &byte, 1) == 0);
		must(unlink(argv[0]));
		must(close(fd));
		exit(0);
	}
	must(close(fd));
	must(close(closed[1]));
	wait_for(child, 0.5);
	other = must(open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644));
	memset(block, 0x77, sizeof(block));
	for (int i = 0; i < 512; i++)
		if (write(other, block, sizeof(block)) < 0)
			break;
	release(&pin, 23, HUGE);
	expect_end(child, "unlink");
	must(close(other));
	must(unlink(argv[1]));
	return 0;
}

/* hold FILE FLAG: pin a page, let go of file and mapping, create FLAG, keep the pin until FLAG is gone. */
static int hold(char **argv, bool unlinked)
{
	int fd = make_file(argv[0], 2 * HUGE, true);
	unsigned char *p = map_shared(fd, 2 * HUGE);
	struct pin pin;

	fill(p, 24, 0, 2 * HUGE);
	pin = pin_pages(p + 3 * PAGE, 2 * PAGE);
	must(munmap(p, 2 * HUGE));
	if (unlinked)
		must(unlink(argv[0]));
	must(close(fd));
	must(close(must(open(argv[1], O_CREAT | O_WRONLY, 0600))));
	while (access(argv[1], F_OK) == 0)
		usleep(20000);
	release(&pin, 24, 3 * PAGE);
	return 0;
}

static int do_hold(char **argv)
{
	return hold(argv, false);
}

static int do_hold_unlinked(char **argv)
{
	return hold(argv, true);
}

/* direct FILE DEVICE: O_DIRECT of another device into the mapping and from it, at either size of page, in holes, after fsync. */
static int do_direct(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE, true), dev = must(open(argv[1], O_RDWR | O_DIRECT));
	unsigned char *p = map_shared(fd, 4 * HUGE);

	must(ftruncate(fd, 4 * HUGE));                          /* 2 MiB pages, then holes */
	fill(p, 25, 0, HUGE);
	expect(pwrite(dev, p, HUGE, 0) == (ssize_t)HUGE);
	/* Across the border of two 2 MiB pages; then across that of the holes. */
	expect(pread(dev, p + HUGE + 512, HUGE, 0) == (ssize_t)HUGE);
	expect_bytes(p + HUGE + 512, 25, 0, HUGE);
	expect_file(fd, 25, 0, HUGE);
	must(fsync(fd));
	expect(pread(dev, p + 2 * HUGE - 2 * PAGE, 8 * PAGE, 4 * PAGE) == 8 * PAGE);
	expect_bytes(p + 2 * HUGE - 2 * PAGE, 25, 4 * PAGE, 8 * PAGE);
	expect(pread(dev, p + 3 * HUGE, 16 * PAGE, 0) == 16 * PAGE);
	must(fsync(fd));
	expect(pread(dev, p + 3 * HUGE, 16 * PAGE, PAGE) == 16 * PAGE);
	expect_bytes(p + 3 * HUGE, 25, PAGE, 16 * PAGE);
	/* A hole as source. */
	expect(pwrite(dev, p + 3 * HUGE + 64 * PAGE, 16 * PAGE, 0) == 16 * PAGE);
	expect(pread(dev, p, 16 * PAGE, 0) == 16 * PAGE);
	expect_zeroes(p, 16 * PAGE);
	/* Behind the end. */
	must(ftruncate(fd, 3 * HUGE));
	expect(pread(dev, p + 3 * HUGE, PAGE, 0) == -1 && errno == EFAULT);
	/* No pin is left: this would wait. */
	must(ftruncate(fd, 0));
	return 0;
}

/* direct-race FILE DEVICE SECONDS: direct I/O into the mapping while the file is cut and grows. */
static int do_direct_race(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE, true), dev = must(open(argv[1], O_RDWR | O_DIRECT));
	unsigned char *p = map_shared(fd, 2 * HUGE);
	double end = now() + number(argv[2]);
	pid_t readers[2], cutter;

	for (int i = 0; i < 2; i++) {
		readers[i] = must(fork());
		if (readers[i])
			continue;
		for (size_t at = i * 7 * PAGE; now() < end; at = (at + 33 * PAGE) % (2 * HUGE - 16 * PAGE)) {
			ssize_t n = i ? pread(dev, p + at, 16 * PAGE, at) : pwrite(dev, p + at, 16 * PAGE, at);

			if (n < 0 && errno != EFAULT)
				die("direct I/O");
		}
		exit(0);
	}
	cutter = must(fork());
	if (!cutter) {
		for (uint64_t i = 1; now() < end; i++) {
			must(ftruncate(fd, scramble(i) % (2 * HUGE)));
			must(ftruncate(fd, 2 * HUGE));
			if (i % 4 == 0)
				must(posix_fallocate(fd, 0, 2 * HUGE) ? -1 : 0);
		}
		exit(0);
	}
	wait_for(cutter, number(argv[2]));
	expect_end(readers[0], "direct write");
	expect_end(readers[1], "direct read");
	expect_end(cutter, "truncate");
	return 0;
}

/* uring FILE: io_uring cannot register the pages as buffers for ever: that pin would never go. */
static int do_uring(char **argv)
{
	int fd = make_file(argv[0], 2 * HUGE, true), ring;
	unsigned char *p = map_shared(fd, 2 * HUGE);
	struct io_uring_params params = { 0 };
	struct iovec v = { p, 4 * PAGE };

	memset(p, 1, 2 * HUGE);
	ring = must(syscall(SYS_io_uring_setup, 4, &params));
	expect(syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &v, 1) == -1);
	if (errno != EOPNOTSUPP && errno != EFAULT)
		die("io_uring_register");
	must(ftruncate(fd, 0));
	return 0;
}

static const struct command commands[] = {
	{ "truncate", 3, do_truncate }, { "loop", 1, do_loop }, { "kill", 1, do_kill },
	{ "rights", 1, do_rights },
	{ "unlink", 2, do_unlink }, { "self", 2, do_self }, { "exit", 1, do_exit },
	{ "hold", 2, do_hold }, { "hold-unlinked", 2, do_hold_unlinked },
	{ "direct", 2, do_direct }, { "direct-race", 3, do_direct_race }, { "uring", 1, do_uring },
};

int main(int argc, char **argv)
{
	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
