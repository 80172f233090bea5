// SPDX-License-Identifier: GPL-2.0
/*
 * stale COMMAND DIR...: file handles of what is gone, and of what is being made at this moment. Nobody else uses DIR, the
 * root of a file system that has one chunk of inodes, and no more.
 */
#include "test.h"
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/vfs.h>

#define LOOKERS 3
/* Inode numbers of a chunk. */
#define CHUNK 240

struct handle {
	struct file_handle h;
	unsigned int words[3];          /* number (high, low), generation */
	char room[MAX_HANDLE_SZ];
};

/* What the processes share. */
struct board {
	volatile long looks, found, eio, wrong, error;
	volatile long made, opened, moved, seen, lost;
};

static struct board *board;

static struct handle handle_of(const char *path)
{
	struct handle h = { .h.handle_bytes = MAX_HANDLE_SZ };
	int id;

	must(name_to_handle_at(AT_FDCWD, path, &h.h, &id, 0));
	expect(h.h.handle_bytes == sizeof(h.words));
	return h;
}

static void share(void)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	expect(board != MAP_FAILED);
}

static pid_t start(void (*work)(int dir, struct handle *h), struct handle h)
{
	pid_t pid = must(fork());

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	work(must(open(".", O_RDONLY | O_DIRECTORY)), &h);
	exit(0);
}

/* Looks for what is gone. */
static void look(int dir, struct handle *h)
{
	for (;;) {
		int fd = open_by_handle_at(dir, &h->h, O_RDONLY | O_NONBLOCK);

		__sync_fetch_and_add(&board->looks, 1);
		if (fd >= 0) {
			board->found++;
			close(fd);
		} else if (errno == EIO) {
			board->eio++;
		} else if (errno != ESTALE) {
			board->wrong++;
			board->error = errno;
		}
	}
}

/* Files of all inode numbers but so many. */
static void fill_numbers(int but)
{
	struct statfs s;
	char name[32];

	must(statfs(".", &s));
	must(mkdir("fill", 0755));
	for (int used = s.f_files - s.f_ffree + 1; used < CHUNK - but; used++) {
		sprintf(name, "fill/%d", used);
		must(mknod(name, S_IFREG | 0644, 0));
	}
}

/* Makes one of each kind, as soon as the one number is free: who found the last one by its handle may still have it. */
static void make(int kind)
{
	int rc;

	do {
		switch (kind % 4) {
		case 0:
			rc = mknod("b", S_IFREG | 0644, 0);
			break;
		case 1:
			rc = symlink("target", "b");
			break;
		case 2:
			rc = mkdir("b", 0755);
			break;
		default:
			rc = mknod("b", S_IFIFO | 0600, 0);
		}
	} while (rc && errno == ENOSPC && !sched_yield());
	must(rc);
}

/* gone DIR ROUNDS: the number of a removed file is used again and again, while others look for the file by its handle. */
static int cmd_gone(char **a)
{
	long rounds = number(a[1]);
	pid_t lookers[LOOKERS];
	struct handle h;

	share();
	must(chdir(a[0]));
	fill_numbers(1);
	must(mknod("a", S_IFREG | 0644, 0));
	h = handle_of("a");
	must(unlink("a"));
	for (int i = 0; i < LOOKERS; i++)
		lookers[i] = start(look, h);
	for (long round = 0; round < rounds; round++) {
		make(round);
		expect(handle_of("b").words[1] == h.words[1]);
		must(round % 4 == 2 ? rmdir("b") : unlink("b"));
	}
	for (int i = 0; i < LOOKERS; i++) {
		kill(lookers[i], SIGKILL);
		waitpid(lookers[i], NULL, 0);
	}
	printf("%ld looks, %ld found, %ld EIO, %ld with another error (%s)\n", board->looks, board->found, board->eio,
	       board->wrong, board->error ? errname(board->error) : "none");
	expect(board->looks > rounds / 10);
	return board->found || board->eio || board->wrong;
}

/* Opens the directory that is being made, as soon as it can be found, and tells where it is after it was moved. */
static void race(int dir, struct handle *h)
{
	for (long round = 1;; round++) {
		char link[64], path[256];
		int fd;

		while (board->made != round)
			sched_yield();
		h->words[2]++;
		while ((fd = open_by_handle_at(dir, &h->h, O_RDONLY)) < 0)
			if (errno != ESTALE)
				die("open_by_handle_at");
		board->opened = round;
		while (board->moved != round)
			sched_yield();
		sprintf(link, "/proc/self/fd/%d", fd);
		path[must(readlink(link, path, sizeof(path) - 1))] = 0;
		sprintf(link, "/moved%ld", round);
		if (!strstr(path, link)) {
			board->lost++;
			printf("%s instead of %s\n", path, link);
		}
		close(fd);
		board->seen = round;
	}
}

/* Waits until a counter has this value. */
static void until(volatile long *counter, long value, pid_t pid)
{
	while (*counter != value)
		if (waitpid(pid, NULL, WNOHANG) || sched_yield())
			fail("the other process has ended");
}

/* born DIR ROUNDS: a directory is found by its handle while it is being made; it must not have two dentries. */
static int cmd_born(char **a)
{
	long rounds = number(a[1]);
	struct handle h;
	char to[64];
	pid_t pid;

	share();
	must(chdir(a[0]));
	fill_numbers(1);
	make(2);
	h = handle_of("b");
	must(rmdir("b"));
	pid = start(race, h);
	for (long round = 1; round <= rounds; round++) {
		board->made = round;
		make(2);
		until(&board->opened, round, pid);
		sprintf(to, "moved%ld", round);
		must(rename("b", to));
		board->moved = round;
		until(&board->seen, round, pid);
		must(rmdir(to));
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return board->lost > 0;
}

/* generations DIR: of files whose numbers were never used before none can be told from another. */
static int cmd_generations(char **a)
{
	unsigned int before = 1, near = 0;
	char name[32];

	must(chdir(a[0]));
	for (int i = 0; i < 16; i++) {
		unsigned int generation;

		sprintf(name, "generation%d", i);
		must(mknod(name, S_IFREG | 0644, 0));
		generation = handle_of(name).words[2];
		near += generation - before + 1000 < 2000;
		before = generation;
	}
	printf("%u of 16 generations close to the one before\n", near);
	return near > 1;
}

int main(int argc, char **argv)
{
	static const struct command commands[] = {
		{ "gone", 2, cmd_gone }, { "born", 2, cmd_born }, { "generations", 1, cmd_generations },
	};

	return run_command(commands, ARRAY_SIZE(commands), argc, argv);
}
