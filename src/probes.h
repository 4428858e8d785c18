/*
 * Static probes (USDT): each is a nop, and a note in the program by which perf,
 * bpftrace, SystemTap and gdb know where it is, and in which registers its
 * arguments are. <task/trace.h> lists them. None loads or computes anything for
 * its arguments but what is at hand.
 */
#ifndef TASK_SRC_PROBES_H
#define TASK_SRC_PROBES_H

#ifdef TASK_HAVE_SDT
#include <sys/sdt.h>
#ifdef __clang__ /* of macros in there */
#pragma clang diagnostic ignored "-Wgnu-zero-variadic-macro-arguments"
#endif
#define PROBE1(name, a) DTRACE_PROBE1(libtask, name, a)
#define PROBE2(name, a, b) DTRACE_PROBE2(libtask, name, a, b)
#define PROBE3(name, a, b, c) DTRACE_PROBE3(libtask, name, a, b, c)
#else
#define PROBE1(name, a) ((void)0)
#define PROBE2(name, a, b) ((void)0)
#define PROBE3(name, a, b, c) ((void)0)
#endif

#endif
