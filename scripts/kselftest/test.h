/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Common to the helper programs of the kselftests: a failure is said on stderr,
 * with the name of the errno, and ends the program with status 1.
 */
#ifndef PFNFS_KSELFTEST_H
#define PFNFS_KSELFTEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE 4096UL
#define HUGE (2UL << 20)

/* One subcommand of a program: its name, the number of arguments it needs, its function. */
struct command {
	const char *name;
	int args;
	int (*run)(char **argv);
};

static inline const char *errname(int err)
{
	const char *name = strerrorname_np(err);

	return name ? name : "EUNKNOWN";
}

/* The expectation @what failed; the value of errno is not of interest. */
static inline _Noreturn void fail(const char *what, ...)
{
	va_list args;

	va_start(args, what);
	vfprintf(stderr, what, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* The system call @what failed; its errno is named. */
#define die(what) fail("%s:%d: %s: %s", __FILE__, __LINE__, what, errname(errno))

/* The system call inside must not return a negative number; its value is that of the macro. */
#define must(call) ({						\
	__typeof__(call) must_result = (call);			\
	if (must_result < 0)					\
		die(#call);					\
	must_result; })

/* The condition must hold. */
#define expect(cond) do {					\
	if (!(cond))						\
		fail("%s:%d: not so: %s", __FILE__, __LINE__, #cond);	\
} while (0)

static inline uint64_t number(const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 0);
	switch (*end) {
	case 'G':
		value <<= 10;
		/* fallthrough */
	case 'M':
		value <<= 10;
		/* fallthrough */
	case 'K':
		value <<= 10;
		end++;
	}
	if (errno || *end || end == text)
		fail("%s is none", text);
	return value;
}

/* A generator with state, the same on every machine: splitmix64. */
static inline uint64_t scramble(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static inline uint64_t next_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15;
	return scramble(*state);
}

/* The byte that belongs at position @at of the pattern @seed. Never zero, so that a hole shows. */
static inline unsigned char pattern(uint64_t seed, uint64_t at)
{
	return scramble(seed * 0x100000001b3 + at / 8) >> (at % 8 * 8) | 1;
}

static inline void fill(unsigned char *to, uint64_t seed, uint64_t at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		to[i] = pattern(seed, at + i);
}

static inline double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Wait for @pid until @seconds have passed. Returns its status, or -1 if it still runs. */
static inline int wait_for(pid_t pid, double seconds)
{
	double end = now() + seconds;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now() > end)
			return -1;
		usleep(10000);
	}
	return status;
}

static inline int run_command(const struct command *c, size_t n, int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < n && argc > 1; i++)
		if (!strcmp(argv[1], c[i].name) && argc - 2 >= c[i].args)
			return c[i].run(argv + 2);
	fprintf(stderr, "usage: %s COMMAND ARG...; commands:", argv[0]);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, " %s/%d", c[i].name, c[i].args);
	fputc('\n', stderr);
	return 2;
}

#endif
