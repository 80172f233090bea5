// SPDX-License-Identifier: GPL-2.0
/*
 * removal USER FILE...: who uses files while their device goes, or while its memory fails. READY and GO are names of files: the
 * first one is made when the user is where he is to be, he stays there until the second one exists. Those without them go on
 * until the device has gone. All of them end then, with status 0.
 */
#include "map.h"
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define SIZE (4 * HUGE)
#define RECORD 64

static void say_ready(const char *name)
{
	must(close(must(open(name, O_CREAT | O_WRONLY, 0600))));
}

static void wait_go(const char *name)
{
	while (access(name, F_OK))
		usleep(20000);
}

/* The file as the shell has made it, all of it mapped; entries of both sizes if it has holes. */
static unsigned char *map_whole(const char *name, int *fd)
{
	*fd = must(open(name, O_RDWR));
	catch_faults();
	return map_shared(*fd, SIZE);
}

/*
 * make FILE: 2 MiB entries in the first half of it; in the second one a block is missing here and there, so that entries are
 * small.
 */
static int do_make(char **argv)
{
	int fd = make_file(argv[0], SIZE, true);
	unsigned char *p = map_shared(fd, SIZE);

	for (size_t at = SIZE / 2; at < SIZE; at += HUGE)
		must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at + 7 * PAGE, PAGE));
	for (size_t at = 0; at < SIZE; at += HUGE)
		p[at] = 1;
	return 0;
}

/*
 * hold FILE READY GO load|store OUTCOME: has pinned a page, and touches another one before he gives it back. OUTCOME is
 * "bus" or "fine".
 */
static int do_hold(char **argv)
{
	int fd, pipes[2], sig;
	unsigned char *p = map_whole(argv[0], &fd);
	struct iovec v = { p + SIZE / 2, PAGE };

	must(pipe(pipes));
	expect(!touch(p + SIZE / 2, true));
	expect(vmsplice(pipes[1], &v, 1, 0) == (ssize_t)PAGE);
	say_ready(argv[1]);
	wait_go(argv[2]);
	sig = touch(p + SIZE / 2 + 64 * PAGE, !strcmp(argv[3], "store"));
	expect(sig == (!strcmp(argv[4], "bus") ? SIGBUS : 0));
	return 0;
}

struct blocked {
	int fd;
	off_t at;
	unsigned char *memory;
	bool writes;
	ssize_t result;
	int error;
};

static void *blocked_call(void *arg)
{
	struct blocked *b = arg;

	b->result = b->writes ? pwrite(b->fd, b->memory, 16 * PAGE, b->at) : pread(b->fd, b->memory, 16 * PAGE, b->at);
	b->error = errno;
	return NULL;
}

/*
 * blocked FILE OFFSET read|write READY GO OUTCOME: a call whose memory, from its second page on, does not come before GO.
 * OUTCOME: "whole" or "part", none of it being a part.
 */
static int do_blocked(char **argv)
{
	struct blocked b = { .at = number(argv[1]), .writes = !strcmp(argv[2], "write") };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_zeropage zero = { 0 };
	struct pollfd event = { .events = POLLIN };
	pthread_t thread;

	b.fd = must(open(argv[0], b.writes ? O_RDWR | O_CREAT : O_RDONLY, 0600));
	b.memory = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(b.memory != MAP_FAILED);
	b.memory[0] = 1;
	event.fd = must(syscall(SYS_userfaultfd, O_CLOEXEC));
	must(ioctl(event.fd, UFFDIO_API, &api));
	reg.range.start = zero.range.start = (uintptr_t)b.memory + PAGE;
	reg.range.len = zero.range.len = 15 * PAGE;
	must(ioctl(event.fd, UFFDIO_REGISTER, &reg));
	expect(!pthread_create(&thread, NULL, blocked_call, &b));
	expect(poll(&event, 1, -1) == 1);
	say_ready(argv[3]);
	wait_go(argv[4]);
	must(ioctl(event.fd, UFFDIO_ZEROPAGE, &zero));
	expect(!pthread_join(thread, NULL));
	if (!strcmp(argv[5], "whole")) {
		expect(b.result == 16 * (ssize_t)PAGE);
	} else {
		expect(b.result < 16 * (ssize_t)PAGE);
		expect(b.result >= 0 || b.error == EIO || b.error == ENXIO);
	}
	return 0;
}

/*
 * evict DIR READY: the last users of files without a name go, each of which has thousands of small entries. That goes slowly,
 * since others want the CPU. READY is made after the first one.
 */
static int do_evict(char **argv)
{
	cpu_set_t one;
	int fds[3];
	pid_t hogs[3];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		char name[256];
		unsigned char *p;

		snprintf(name, sizeof(name), "%s/evict%zu", argv[0], i);
		fds[i] = make_file(name, 4 * SIZE, true);
		p = map_shared(fds[i], 4 * SIZE);
		for (size_t at = 0; at < 4 * SIZE; at += HUGE) {
			must(fallocate(fds[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at + 7 * PAGE, PAGE));
			p[at] = 1;
			p[at + 9 * PAGE] = 1;
		}
		must(munmap(p, 4 * SIZE));
		must(unlink(name));
	}
	CPU_ZERO(&one);
	CPU_SET(1, &one);
	must(sched_setaffinity(0, sizeof(one), &one));
	for (size_t i = 0; i < ARRAY_SIZE(hogs); i++) {
		hogs[i] = must(fork());
		if (!hogs[i]) {
			/* The files are not to be theirs. */
			for (size_t k = 0; k < ARRAY_SIZE(fds); k++)
				must(close(fds[k]));
			for (;;)
				;
		}
	}
	/* Not SCHED_IDLE: who is kept from the CPU in a section of RCU keeps everybody. */
	must(nice(19));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		double begun = now();

		close(fds[i]);
		printf("# %.2f s\n", now() - begun);
		if (i == 0)
			say_ready(argv[1]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(hogs); i++)
		must(kill(hogs[i], SIGKILL));
	return 0;
}

/* unlink DIR: small files come, are mapped and lose their names, again and again. */
static int do_unlink(char **argv)
{
	char name[256];

	catch_faults();
	snprintf(name, sizeof(name), "%s/unlink%d", argv[0], getpid());
	for (;;) {
		int fd = open(name, O_RDWR | O_CREAT, 0600);
		unsigned char *p;
		int sig = 0;

		if (fd < 0)
			return 0;
		if (posix_fallocate(fd, 0, 32 * PAGE)) {
			close(fd);
			return 0;
		}
		p = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED)
			return 0;
		for (size_t at = 0; at < 32 * PAGE && !sig; at += PAGE)
			sig = touch(p + at, true);
		unlink(name);
		close(fd);
		munmap(p, 32 * PAGE);
		if (sig)
			return 0;
	}
}

/* faults FILE: loads and stores everywhere. */
static int do_faults(char **argv)
{
	int fd;
	unsigned char *p = map_whole(argv[0], &fd);

	for (uint64_t i = 1;; i++) {
		if (touch(p + scramble(i) % SIZE, i % 3 == 0))
			return 0;
		if (i % 512 == 0)
			madvise(p, SIZE, MADV_DONTNEED);
	}
}

/* vmsplice FILE: pages go into a pipe, others are touched, the pipe is drained. */
static int do_vmsplice(char **argv)
{
	static unsigned char copy[4 * PAGE];
	int fd, pipes[2];
	unsigned char *p = map_whole(argv[0], &fd);

	must(pipe(pipes));
	for (uint64_t i = 1;; i++) {
		struct iovec v = { p + scramble(i) % (SIZE - 4 * PAGE) / PAGE * PAGE, 4 * PAGE };
		ssize_t n = vmsplice(pipes[1], &v, 1, 0);
		int sig = touch(p + scramble(i + 7) % SIZE, true);

		if (n <= 0)
			return 0;
		usleep(2000);
		while (n > 0)
			n -= must(read(pipes[0], copy, n));
		if (sig)
			return 0;
	}
}

/* direct FILE DEVICE read|write: O_DIRECT of another device into the mapping, or from it. */
static int do_direct(char **argv)
{
	int fd, dev = must(open(argv[1], O_RDWR | O_DIRECT));
	unsigned char *p = map_whole(argv[0], &fd);
	bool reads = !strcmp(argv[2], "read");

	for (uint64_t i = 1;; i++) {
		unsigned char *at = p + scramble(i) % (SIZE - 512 * PAGE) / PAGE * PAGE;
		ssize_t n = reads ? pread(dev, at, 512 * PAGE, 0) : pwrite(dev, at, 512 * PAGE, 0);

		if (n < 512 * (ssize_t)PAGE)
			return 0;
		/* The next one shall fault again. */
		madvise(p, SIZE, MADV_DONTNEED);
	}
}

/* peer FILE: process_vm_writev into the mapping. */
static int do_peer(char **argv)
{
	static unsigned char from[64 * PAGE];
	int fd;
	unsigned char *p = map_whole(argv[0], &fd);

	for (uint64_t i = 1;; i++) {
		struct iovec local = { from, sizeof(from) };
		struct iovec remote = { p + scramble(i) % (SIZE - sizeof(from)), sizeof(from) };

		if (process_vm_writev(getpid(), &local, 1, &remote, 1, 0) < (ssize_t)sizeof(from))
			return 0;
		if (i % 16 == 0)
			madvise(p, SIZE, MADV_DONTNEED);
	}
}

/* uring FILE DEVICE: as direct, both ways, by the workers of an io_uring. */
static int do_uring(char **argv)
{
	int fd, dev = must(open(argv[1], O_RDWR | O_DIRECT)), ring;
	unsigned char *p = map_whole(argv[0], &fd), *queues;
	struct io_uring_params params = { 0 };
	struct io_uring_sqe *sqes;

	ring = must(syscall(SYS_io_uring_setup, 4, &params));
	expect(params.features & IORING_FEAT_SINGLE_MMAP);
	queues = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, 4 * sizeof(*sqes), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	expect(queues != MAP_FAILED && (void *)sqes != MAP_FAILED);
	for (uint64_t i = 1;; i++) {
		uint32_t *tail = (uint32_t *)(queues + params.sq_off.tail), *head = (uint32_t *)(queues + params.cq_off.head);
		struct io_uring_cqe *cqes = (struct io_uring_cqe *)(queues + params.cq_off.cqes);
		uint32_t slot = *tail & 3;

		sqes[slot] = (struct io_uring_sqe) {
			.opcode = i % 2 ? IORING_OP_WRITE : IORING_OP_READ, .flags = IOSQE_ASYNC, .fd = dev,
			.addr = (uintptr_t)p + scramble(i) % (SIZE - 256 * PAGE) / PAGE * PAGE, .len = 256 * PAGE,
		};
		((uint32_t *)(queues + params.sq_off.array))[slot] = slot;
		__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
		while (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
			expect(errno == EINTR || errno == EAGAIN);
		if (cqes[*head & (params.cq_entries - 1)].res < 256 * (int)PAGE)
			return 0;
		__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
		madvise(p, SIZE, MADV_DONTNEED);
	}
}

/* freeze DIR: freezes and thaws. */
static int do_freeze(char **argv)
{
	int fd = must(open(argv[0], O_RDONLY | O_DIRECTORY));

	while (ioctl(fd, FIFREEZE, 0) == 0) {
		usleep(30000);
		must(ioctl(fd, FITHAW, 0));
		usleep(30000);
	}
	return 0;
}

static void note(int fd, uint64_t n)
{
	expect(pwrite(fd, &n, sizeof(n), 0) == sizeof(n));
}

static uint64_t noted(const char *name)
{
	uint64_t n = 0;
	int fd = must(open(name, O_RDONLY));

	expect(pread(fd, &n, sizeof(n), 0) >= 0);
	return n;
}

/* append FILE COUNT: records are appended; COUNT, elsewhere, tells how many calls have returned. */
static int do_append(char **argv)
{
	int fd = must(open(argv[0], O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600));
	int count = must(open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600));
	unsigned char record[RECORD];

	for (uint64_t i = 0;; i++) {
		fill(record, 5, i * RECORD, RECORD);
		if (write(fd, record, RECORD) != RECORD)
			return 0;
		note(count, i + 1);
	}
}

/* appended FILE COUNT: they are all there. */
static int do_appended(char **argv)
{
	uint64_t n = noted(argv[1]);

	printf("# %llu records\n", (unsigned long long)n);
	if (n)
		expect_file(must(open(argv[0], O_RDONLY)), 5, 0, n * RECORD);
	return 0;
}

/* store FILE COUNT: numbers are stored through a mapping; COUNT tells which one msync(2) has made durable. */
static int do_store(char **argv)
{
	int fd = make_file(argv[0], 16 * PAGE, true), count = must(open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600));
	unsigned char *p = map_shared(fd, 16 * PAGE);

	catch_faults();
	for (uint64_t i = 1;; i++) {
		volatile uint64_t *at = (uint64_t *)(p + i % 16 * PAGE);

		if (sigsetjmp(fault_jump, 1))
			return 0;
		*at = i;
		if (msync(p, 16 * PAGE, MS_SYNC))
			return 0;
		note(count, i);
	}
}

/* stored FILE COUNT: each page has the last number that was durable, or the next one. */
static int do_stored(char **argv)
{
	uint64_t n = noted(argv[1]), value;
	int fd = must(open(argv[0], O_RDONLY));

	printf("# %llu numbers\n", (unsigned long long)n);
	for (uint64_t i = n > 15 ? n - 15 : 1; i <= n; i++) {
		expect(pread(fd, &value, sizeof(value), i % 16 * PAGE) == sizeof(value));
		expect(value == i || (value == i + 16 && value == n + 1));
	}
	return 0;
}

static const struct command commands[] = {
	{ "make", 1, do_make }, { "hold", 5, do_hold }, { "blocked", 6, do_blocked }, { "evict", 2, do_evict },
	{ "unlink", 1, do_unlink }, { "faults", 1, do_faults }, { "vmsplice", 1, do_vmsplice },
	{ "direct", 3, do_direct }, { "peer", 1, do_peer }, { "uring", 2, do_uring }, { "freeze", 1, do_freeze },
	{ "append", 2, do_append }, { "appended", 2, do_appended }, { "store", 2, do_store }, { "stored", 2, do_stored },
};

int main(int argc, char **argv)
{
	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
