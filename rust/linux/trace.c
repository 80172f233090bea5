// SPDX-License-Identifier: GPL-2.0
/* Tracepoints can only be defined in C. */
#include "shim.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

void pfnfs_trace_fault(dev_t dev, u64 ino, u64 index, u32 order, bool write, u32 outcome)
{
	trace_pfnfs_fault(dev, ino, index, order, write, outcome);
}

void pfnfs_trace_populate(dev_t dev, u64 ino, u64 start, u64 end, bool write, u64 inserted, int error)
{
	trace_pfnfs_populate(dev, ino, start, end, write, inserted, error);
}

void pfnfs_trace_clean(dev_t dev, u64 ino, u64 start, u64 end)
{
	trace_pfnfs_clean(dev, ino, start, end);
}

void pfnfs_trace_remove(dev_t dev, u64 ino, u64 start, u64 end)
{
	trace_pfnfs_remove(dev, ino, start, end);
}
