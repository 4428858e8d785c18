/*
 * What every file may use: container_of and the few compiler attributes.
 */
#ifndef TASK_SRC_BASE_H
#define TASK_SRC_BASE_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define container_of(pointer, type, member)                                    \
    ((type *)((uintptr_t)(pointer)-offsetof(type, member)))

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NEVER_INLINE __attribute__((noinline))
#define NORETURN __attribute__((noreturn))
#define COLD __attribute__((cold, noinline))
#define PRINTF_LIKE(which, first) __attribute__((format(printf, which, first)))

/*
 * A variable of the thread's that is one load away, also when libtask.a ends
 * up in a shared object.
 */
#define THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))

/* Sanitizers: gcc and clang tell it in different words. */
#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#else
#define HAVE_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define HAVE_TSAN 1
#else
#define HAVE_TSAN 0
#endif

/* What Valgrind is told, where there are headers of it. */
#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif
#endif
#ifndef VALGRIND_STACK_REGISTER
#define VALGRIND_STACK_REGISTER(low, high) 0
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#define VALGRIND_DISABLE_ERROR_REPORTING ((void)0)
#define VALGRIND_ENABLE_ERROR_REPORTING ((void)0)
#define VALGRIND_MAKE_MEM_DEFINED(address, size) ((void)(address))
#endif

#endif
