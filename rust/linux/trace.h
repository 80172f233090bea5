/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints of the DAX layer, under events/pfnfs in tracefs. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM pfnfs

#if !defined(PFNFS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define PFNFS_TRACE_H

#include <linux/kdev_t.h>
#include <linux/mm.h>
#include <linux/tracepoint.h>

TRACE_EVENT(pfnfs_fault,
	TP_PROTO(dev_t dev, u64 ino, u64 index, u32 order, bool write, u32 outcome),
	TP_ARGS(dev, ino, index, order, write, outcome),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, ino)
		__field(u64, index)
		__field(u32, order)
		__field(bool, write)
		__field(u32, outcome)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->index = index;
		__entry->order = order;
		__entry->write = write;
		__entry->outcome = outcome;
	),
	TP_printk("dev %d:%d ino %llu index %llu order %u %s %s",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino, __entry->index, __entry->order,
		  __entry->write ? "write" : "read",
		  __print_flags(__entry->outcome, "|", VM_FAULT_RESULT_TRACE))
);

TRACE_EVENT(pfnfs_populate,
	TP_PROTO(dev_t dev, u64 ino, u64 start, u64 end, bool write, u64 inserted, int error),
	TP_ARGS(dev, ino, start, end, write, inserted, error),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, ino)
		__field(u64, start)
		__field(u64, end)
		__field(bool, write)
		__field(u64, inserted)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->start = start;
		__entry->end = end;
		__entry->write = write;
		__entry->inserted = inserted;
		__entry->error = error;
	),
	TP_printk("dev %d:%d ino %llu window %llu..%llu %s inserted %llu error %d",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino, __entry->start, __entry->end,
		  __entry->write ? "write" : "read", __entry->inserted, __entry->error)
);

DECLARE_EVENT_CLASS(pfnfs_range,
	TP_PROTO(dev_t dev, u64 ino, u64 start, u64 end),
	TP_ARGS(dev, ino, start, end),
	TP_STRUCT__entry(
		__field(dev_t, dev)
		__field(u64, ino)
		__field(u64, start)
		__field(u64, end)
	),
	TP_fast_assign(
		__entry->dev = dev;
		__entry->ino = ino;
		__entry->start = start;
		__entry->end = end;
	),
	TP_printk("dev %d:%d ino %llu pages %llu..%llu",
		  MAJOR(__entry->dev), MINOR(__entry->dev), __entry->ino, __entry->start, __entry->end)
);

DEFINE_EVENT(pfnfs_range, pfnfs_clean,
	TP_PROTO(dev_t dev, u64 ino, u64 start, u64 end),
	TP_ARGS(dev, ino, start, end));

DEFINE_EVENT(pfnfs_range, pfnfs_remove,
	TP_PROTO(dev_t dev, u64 ino, u64 start, u64 end),
	TP_ARGS(dev, ino, start, end));

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
