// SPDX-License-Identifier: GPL-2.0
/*
 * proof FILE: stores to persistent memory in every way, so that a cut image shows whether the tracer tells them apart.
 *
 * FILE lies on a DAX file system and is mapped with MAP_SYNC. Its page begins with a tag; the case in slot n (one line each, from line 1)
 * stores a value that must survive a cut at marker 2, or must not. Marker 1 precedes the stores. The table is in qemu/trace/cut/src/proof.rs.
 */
#define _GNU_SOURCE
#include <emmintrin.h>
#include <immintrin.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "mark.h"

#define LINE 64
#define TAG "pfnfs store trace proof"

static char *page;

static unsigned long *slot(int n)
{
	return (unsigned long *)(page + n * LINE);
}

static void clwb(const void *p)
{
	__asm__ volatile("clwb %0" : : "m"(*(const char *)p) : "memory");
}

static void clflushopt(const void *p)
{
	__asm__ volatile("clflushopt %0" : : "m"(*(const char *)p) : "memory");
}

static void clflush(const void *p)
{
	__asm__ volatile("clflush %0" : : "m"(*(const char *)p) : "memory");
}

/* An operand with base, scaled index and displacement. */
static void clwb_indexed(const char *base, long index)
{
	__asm__ volatile("clwb 64(%0,%1,8)" : : "r"(base), "r"(index) : "memory");
}

static void movnti(unsigned long *p, unsigned long v)
{
	__asm__ volatile("movnti %1, %0" : "=m"(*p) : "r"(v) : "memory");
}

static void store(unsigned long *p, unsigned long v)
{
	*(volatile unsigned long *)p = v;
}

/* What is fenced explicitly. */
static void kept(void)
{
	store(slot(1), 1);
	clwb(slot(1));
	store(slot(2), 2);
	clflushopt(slot(2));
	store(slot(3), 3);
	clflush(slot(3));
	movnti(slot(4), 4);
	_mm_stream_si128((__m128i *)slot(5), _mm_set1_epi64x(5));
	store(slot(6), 6);
	clwb_indexed((char *)slot(0), 5 * LINE / 8);
	__asm__ volatile("sfence" : : : "memory");
	store(slot(7), 7);
	clwb(slot(7));
	movnti(slot(8), 8);
	__asm__ volatile("mfence" : : : "memory");
	__asm__ volatile("lock orq $9, %0" : "+m"(*slot(9)) : : "memory");
	clwb(slot(9));
	_mm_sfence();
	/* Five bytes on each side of a word boundary. */
	memcpy((char *)slot(10) + 3, "tornornot?", 10);
	clwb(slot(10));
	_mm_sfence();
}

/* What lacks its write-back, its fence, or the order. */
static void lost(void)
{
	store(slot(20), 20);
	_mm_sfence();
	clwb(slot(21));
	store(slot(21), 21);
	_mm_sfence();
	/* What is older than the write-back stays, what is newer goes. */
	store(slot(11), 11);
	clwb(slot(11));
	_mm_sfence();
	store(slot(11) + 1, 12);
	/* No fence follows. */
	store(slot(22), 22);
	clwb(slot(22));
	movnti(slot(23), 23);
}

int main(int argc, char **argv)
{
	int fd;

	if (argc != 2)
		return 2;
	fd = open(argv[1], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 4096)) {
		perror(argv[1]);
		return 1;
	}
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
	if (page == MAP_FAILED) {
		perror("mmap MAP_SYNC");
		return 1;
	}
	memset(page, 0, 4096);
	strcpy(page, TAG);
	if (msync(page, 4096, MS_SYNC)) {
		perror("msync");
		return 1;
	}
	mark(1, 0, 0);
	kept();
	lost();
	mark(2, 0, 0);
	return 0;
}
