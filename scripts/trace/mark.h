/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Markers in a store log, emitted from user space: a long NOP with an odd displacement, its arguments in registers. Costs nothing and
 * does nothing where no plugin watches. qemu/trace/plugin/src/decode.rs has the same displacement.
 */
#ifndef PFNFS_MARK_H
#define PFNFS_MARK_H

static inline void mark(unsigned long id, unsigned long a, unsigned long b)
{
	/* nopl 0x70666e73(%rax) */
	__asm__ volatile(".byte 0x0f, 0x1f, 0x80, 0x73, 0x6e, 0x66, 0x70"
			 : : "D"(id), "S"(a), "d"(b) : "memory");
}

#endif
