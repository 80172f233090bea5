// SPDX-License-Identifier: GPL-2.0
/*
 * timerace COMMAND ARGUMENT...: whether times stay true when calls meet. The rules hold on every file system.
 *
 *	race DIR SAVE SEED N	N times a call in one thread and fsync(2) in another; what stat(2) shows in the end goes to SAVE
 *	watch DIR SEED N	N calls in one thread while others store through mappings: mtime and ctime never go back
 *	tmpfile DIR SAVE	files that get their name when their times are old already; as race
 */
#include "filetime.h"

#include <pthread.h>

/* A call against fsync(2) of the same file, which has times that are not written. */
static const struct {
	int (*prepare)(const char *path, int step);
	int (*run)(const char *path, int step);
} races[] = {
	{ NULL, add_link }, { prepare_name, remove_link }, { NULL, move }, { prepare_victim, replace_link }, { NULL, append },
	{ NULL, set_times }, { NULL, change_mode }, { NULL, overwrite }, { NULL, store_there }, { NULL, store_hole },
	{ NULL, grow }, { NULL, shrink }, { NULL, punch_block }, { NULL, change_owner },
};

static struct shown *racing;
static size_t races_count;
static uint64_t seed;
static volatile size_t turn[2];

static void meet(int me, size_t n)
{
	uint64_t state = seed + n * 2 + me;

	turn[me] = n + 1;
	while (turn[!me] < n + 1)
		;
	for (uint64_t wait = next_random(&state) % 4000; wait; wait--)
		__asm__ volatile("");
}

static void *syncer(void *arg)
{
	for (size_t n = 0; n < races_count; n++) {
		int fd = opened(racing[n].path, O_RDONLY);

		meet(1, n);
		must(fsync(fd));
		close(fd);
	}
	return NULL;
}

static int cmd_race(char **a)
{
	pthread_t thread;

	seed = scramble(number(a[2]));
	races_count = number(a[3]);
	racing = calloc(races_count, sizeof(*racing));
	for (size_t n = 0; n < races_count; n++) {
		struct shown *s = &racing[n];

		snprintf(s->path, sizeof(s->path), "%s/r%zu", a[0], n);
		make(s->path, FILES);
		if (races[n % ARRAY_SIZE(races)].prepare)
			must(races[n % ARRAY_SIZE(races)].prepare(s->path, 0));
	}
	tick();
	for (size_t n = 0; n < races_count; n++)
		must(overwrite(racing[n].path, 0));
	tick();
	must(pthread_create(&thread, NULL, syncer, NULL));
	for (size_t n = 0; n < races_count; n++) {
		meet(0, n);
		must(races[n % ARRAY_SIZE(races)].run(racing[n].path, 0));
	}
	pthread_join(thread, NULL);
	for (size_t n = 0; n < races_count; n++)
		look(&racing[n]);
	return save(a[1], racing, sizeof(*racing), races_count);
}

static volatile bool over;

/* Stores that fault each time. */
static void *storer(void *path)
{
	int fd = opened(path, O_RDWR);
	volatile char *m = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (m == MAP_FAILED)
		die("mmap");
	while (!over) {
		m[3]++;
		must(msync((void *)m, PAGE, MS_SYNC));
	}
	return NULL;
}

static void *watcher(void *path)
{
	struct shown old, new;

	snprintf(old.path, sizeof(old.path), "%s", (char *)path);
	look(&old);
	for (new = old; !over; old = new) {
		look(&new);
		for (int t = 1; t < 3; t++)
			if (cmp(&new.time[t], &old.time[t]) < 0)
				wrong("%s goes back from %lld.%09ld to %lld.%09ld", time_name[t], (long long)old.time[t].tv_sec,
				      old.time[t].tv_nsec, (long long)new.time[t].tv_sec, new.time[t].tv_nsec);
	}
	return NULL;
}

static int cmd_watch(char **a)
{
	static int (*const calls[])(const char *path, int step) = {
		add_link, append_long, write_hole, overwrite, punch_block, grow, append,
	};
	uint64_t state = number(a[1]);
	pthread_t threads[2];
	char path[128];

	snprintf(path, sizeof(path), "%s/watched", a[0]);
	make(path, FILES);
	must(pthread_create(&threads[0], NULL, storer, path));
	must(pthread_create(&threads[1], NULL, watcher, path));
	for (uint64_t n = number(a[2]); n; n--) {
		must(calls[next_random(&state) % ARRAY_SIZE(calls)](path, 0));
		unlink(beside(path, "l", 0));
		if (n % 64 == 0)
			must(truncate(path, 40 * PAGE));
	}
	over = true;
	for (int n = 0; n < 2; n++)
		pthread_join(threads[n], NULL);
	return bad != 0;
}

/* Changed in place, then written back by nobody, by sync(2), or by fsync(2), and only then given a name. */
static int cmd_tmpfile(char **a)
{
	static int (*const calls[])(const char *path, int step) = { overwrite, store_there, punch_bytes, get };
	struct shown all[3 * ARRAY_SIZE(calls)];

	for (size_t n = 0; n < ARRAY_SIZE(all); n++) {
		int fd = must(open(a[0], O_TMPFILE | O_RDWR, 0644));
		struct stat before;
		char proc[64];

		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
		must(ftruncate(fd, 40 * PAGE));
		must(append_long(proc, 0));
		must(put(proc, 0, 0, 8192));
		tick();
		must(calls[n / 3](proc, 0));
		if (n % 3 == 1)
			sync();
		else if (n % 3 == 2)
			must(fsync(fd));
		tick();
		must(fstat(fd, &before));
		snprintf(all[n].path, sizeof(all[n].path), "%s/t%zu", a[0], n);
		must(linkat(AT_FDCWD, proc, AT_FDCWD, all[n].path, AT_SYMLINK_FOLLOW));
		close(fd);
		look(&all[n]);
		if (cmp(&before.st_mtim, &all[n].time[1]) || cmp(&before.st_atim, &all[n].time[0]))
			wrong("%s: the name has changed mtime or atime", all[n].path);
	}
	return save(a[1], all, sizeof(*all), ARRAY_SIZE(all));
}

static const struct command commands[] = {
	{ "race", 4, cmd_race }, { "watch", 3, cmd_watch }, { "tmpfile", 2, cmd_tmpfile },
};

int main(int argc, char **argv)
{
	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
