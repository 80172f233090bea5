// SPDX-License-Identifier: GPL-2.0
/*
 * late COMMAND FILE: bytes that come to a mapped page by a pin that was taken before the page was synchronised, and arrive after. The
 * kernel pins the pages of process_vm_writev(2) first and copies then, from a page here that userfaultfd keeps waiting.
 */
#include "map.h"
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/uio.h>

struct copy {
	unsigned char *from, *to;
	int uffd;
	pthread_t thread;
};

static void *copier(void *arg)
{
	struct copy *c = arg;
	struct iovec local = { c->from, PAGE }, remote = { c->to, PAGE };

	expect(process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)PAGE);
	return NULL;
}

/* The page at @to is pinned, and the copy waits for the page that it comes from. */
static struct copy *begin(unsigned char *to)
{
	struct copy *c = calloc(1, sizeof(*c));
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffd_msg msg;

	expect(c);
	c->to = to;
	c->from = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(c->from != MAP_FAILED);
	c->uffd = must(syscall(SYS_userfaultfd, 0));
	must(ioctl(c->uffd, UFFDIO_API, &api));
	range.range = (struct uffdio_range){ (uintptr_t)c->from, PAGE };
	must(ioctl(c->uffd, UFFDIO_REGISTER, &range));
	expect(!pthread_create(&c->thread, NULL, copier, c));
	expect(read(c->uffd, &msg, sizeof(msg)) == sizeof(msg) && msg.event == UFFD_EVENT_PAGEFAULT);
	return c;
}

static void end(struct copy *c, uint64_t seed)
{
	static _Alignas(4096) unsigned char page[PAGE];
	struct uffdio_copy copy = { .dst = (uintptr_t)c->from, .src = (uintptr_t)page, .len = PAGE };

	fill(page, seed, 0, PAGE);
	must(ioctl(c->uffd, UFFDIO_COPY, &copy));
	expect(!pthread_join(c->thread, NULL));
	must(close(c->uffd));
	expect_bytes(c->to, seed, 0, PAGE);
	free(c);
}

/* Wait for a line; what comes before it is for who looks at the entries from outside. */
static void step(const char *what)
{
	char line[16];

	puts(what);
	if (!fgets(line, sizeof(line), stdin))
		exit(1);
}

/* fsync FILE: a small page. */
static int do_fsync(char **argv)
{
	int fd = make_file(argv[0], 4 * PAGE, true);
	unsigned char *p = map_shared(fd, 4 * PAGE);
	struct copy *c;

	fill(p, 1, 0, 4 * PAGE);
	c = begin(p + PAGE);
	must(fsync(fd));
	step("pinned");
	end(c, 2);
	must(fsync(fd));
	step("arrived");
	return 0;
}

/* huge FILE: a page of a 2 MiB entry, of which a part is cut off while it is pinned; the cut ends with the pin. */
static int do_huge(char **argv)
{
	int fd = make_file(argv[0], HUGE, true), status;
	unsigned char *p = map_shared(fd, HUGE);
	struct copy *c;
	pid_t cutter;

	fill(p, 1, 0, HUGE);
	c = begin(p + PAGE);
	must(fsync(fd));
	step("pinned");
	cutter = must(fork());
	if (!cutter) {
		must(ftruncate(fd, 8 * PAGE));
		exit(0);
	}
	expect(wait_for(cutter, 0.5) == -1);
	end(c, 2);
	status = wait_for(cutter, 60);
	expect(status == 0);
	expect_bytes(p + PAGE, 2, 0, PAGE);
	step("cut");
	return 0;
}

int main(int argc, char **argv)
{
	static const struct command commands[] = { { "fsync", 1, do_fsync }, { "huge", 1, do_huge } };

	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
