// SPDX-License-Identifier: GPL-2.0
/*
 * devnode io|fault NODE: what a shell cannot do with the node of a device. Says what was wrong; exits with 0 if nothing.
 * devnode find NODE FILE: prints the number of the page of NODE that equals the first page of FILE, which only one does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define must(cond) do { \
	if (!(cond)) { \
		fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #cond, strerror(errno)); \
		exit(1); \
	} \
} while (0)

static int io(int fd)
{
	static char a[20000], b[20000];
	off_t size = lseek(fd, 0, SEEK_END);
	struct iovec v[3] = { { a, 7 }, { a + 7, 4096 }, { a + 4103, 15000 } };

	for (size_t i = 0; i < sizeof(a); i++)
		a[i] = (char)(i * 7 + i / 256);
	must(size > 0 && size % 4096 == 0);
	must(lseek(fd, 5, SEEK_SET) == 5);
	must(lseek(fd, 10, SEEK_CUR) == 15);
	must(lseek(fd, -16, SEEK_CUR) == -1 && errno == EINVAL);
	must(lseek(fd, 1, SEEK_END) == -1 && errno == EINVAL);
	must(lseek(fd, 0, SEEK_CUR) == 15);
	for (int off = 0; off < 70; off++) {
		size_t len = 9000 + off * 3;

		must(pwrite(fd, a + off, len, 8192 + off) == (ssize_t)len);
		must(pread(fd, b, len, 8192 + off) == (ssize_t)len);
		must(!memcmp(a + off, b, len));
	}
	must(lseek(fd, 0, SEEK_CUR) == 15);
	must(lseek(fd, 12345, SEEK_SET) == 12345);
	must(writev(fd, v, 3) == 19103);
	must(lseek(fd, 0, SEEK_CUR) == 12345 + 19103);
	must(pread(fd, b, 19103, 12345) == 19103);
	must(!memcmp(a, b, 19103));
	must(pwrite(fd, a, 100, size - 40) == 40);
	must(pwrite(fd, a, 1, size) == -1 && errno == ENOSPC);
	must(pwrite(fd, a, 0, size) == 0);
	must(pread(fd, b, 100, size - 40) == 40);
	must(pread(fd, b, 1, size) == 0);
	must(pread(fd, b, 1, -1) == -1 && errno == EINVAL);
	must(fsync(fd) == 0);
	must(fdatasync(fd) == 0);
	must(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENODEV);
	return 0;
}

/* Two pages, the second without access: copies stop there, and what was copied counts. */
static int fault(int fd)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char b[4096];
	ssize_t n;

	must(p != MAP_FAILED);
	memset(p, 'x', 4096);
	must(mprotect(p + 4096, 4096, PROT_NONE) == 0);
	n = pwrite(fd, p + 96, 8000, 4096);
	must(n > 0 && n <= 4000);
	must(pread(fd, b, n, 4096) == n);
	must(!memcmp(p + 96, b, n));
	must(pwrite(fd, p + 4096, 10, 4096) == -1 && errno == EFAULT);
	n = pread(fd, p + 96, 8000, 4096);
	must(n > 0 && n <= 4000);
	must(pread(fd, p + 4096, 10, 4096) == -1 && errno == EFAULT);
	return 0;
}

static int find(const char *node, const char *file)
{
	static char want[4096], chunk[256][4096];
	int fd = open(node, O_RDONLY), of = open(file, O_RDONLY);
	long page = 0, found = -1;
	ssize_t n;

	must(fd >= 0 && of >= 0 && read(of, want, sizeof(want)) == sizeof(want));
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		for (ssize_t i = 0; i < n / 4096; i++, page++)
			if (!memcmp(chunk[i], want, sizeof(want))) {
				must(found < 0);
				found = page;
			}
	must(n == 0 && found >= 0);
	printf("%ld\n", found);
	return 0;
}

int main(int argc, char **argv)
{
	int fd;

	if (argc == 4 && !strcmp(argv[1], "find"))
		return find(argv[2], argv[3]);
	must(argc == 3);
	fd = open(argv[2], O_RDWR);
	must(fd >= 0);
	return strcmp(argv[1], "io") ? fault(fd) : io(fd);
}
