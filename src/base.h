/*
 * What every file may use: container_of, the few compiler attributes, and what
 * not every compiler, processor or C library has.
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
#define NO_TSAN __attribute__((no_sanitize("thread")))
#define COLD __attribute__((cold, noinline))
#define AT_UNLOAD __attribute__((destructor))
#define PRINTF_LIKE(which, first) __attribute__((format(printf, which, first)))

/*
 * A variable of the thread's that is one load away, also when libtask.a ends
 * up in a shared object.
 */
#define THREAD_LOCAL _Thread_local __attribute__((tls_model("initial-exec")))

/* In bytes: what lies in one comes with one miss. */
enum { CACHE_LINE = 64 };

/*
 * Have a line that is another processor's become ours, while we do other
 * things. The builtin does so on x86-64 only with -mprfchw.
 */
#if defined(__x86_64__)
#define PREFETCH_TO_WRITE(address)                                             \
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)(address)))
#else
#define PREFETCH_TO_WRITE(address) __builtin_prefetch((void *)(address), 1)
#endif

/* Sanitizers: gcc and clang tell it in different words. */
#ifndef __has_feature
#define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#include <sanitizer/asan_interface.h>
#define ASAN_POISON(address, size) ASAN_POISON_MEMORY_REGION(address, size)
#define ASAN_UNPOISON(address, size) ASAN_UNPOISON_MEMORY_REGION(address, size)
#else
#define HAVE_ASAN 0
#define ASAN_POISON(address, size) ((void)0)
#define ASAN_UNPOISON(address, size) ((void)0)
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define HAVE_TSAN 1
#else
#define HAVE_TSAN 0
#endif

/* Whether a variable of the thread's is read by asking the thread, each time;
 * else by an address, which a compiler may keep over a switch. */
#if defined(__x86_64__) && !HAVE_ASAN && !HAVE_TSAN
enum { ASKS_ITS_THREAD = 1 };
#else
enum { ASKS_ITS_THREAD = 0 };
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
#define RUNNING_ON_VALGRIND 0
#define RUNNING_ON_MEMCHECK 0
#else /* no other tool answers */
#define RUNNING_ON_MEMCHECK (VALGRIND_MAKE_MEM_DEFINED(NULL, 0) != 0)
#endif

/* A flag of handlers. Valgrind has them run on alternate stacks that are no
 * more. */
#define ON_SIGNAL_STACK (RUNNING_ON_VALGRIND ? 0 : SA_ONSTACK)

/* A counter of the processor's that runs evenly, where it has a cheap one. */
#if defined(__x86_64__)
#define HAVE_TICKS 1
#define READ_TICKS(ticks) ((ticks) = __builtin_ia32_rdtsc())
#elif defined(__aarch64__)
#define HAVE_TICKS 1
#define READ_TICKS(ticks) __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks))
#else
#define HAVE_TICKS 0
#define READ_TICKS(ticks) ((ticks) = 0)
#endif

/* Between two looks at what another processor writes. */
#if defined(__x86_64__) || defined(__i386__)
#define CPU_RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define CPU_RELAX() __asm__ volatile("isb" ::: "memory")
#else
#define CPU_RELAX() ((void)0)
#endif

/*
 * Put a script of gdb's into the program, where gdb finds it: the section, a 4
 * ("Python, the text itself"), a name in a line, the text.
 */
#if defined(__ELF__)
#define EMBED_GDB_SCRIPT(path)                                                 \
    __asm__(".pushsection \".debug_gdb_scripts\", \"MS\", %progbits, 1\n"      \
            ".byte 4\n.ascii \"task-gdb.py\\n\"\n.incbin \"" path              \
            "\"\n.byte 0\n.popsection");
#else
#define EMBED_GDB_SCRIPT(path)
#endif

/* Unix sockets with names that are no paths. */
#ifdef __linux__
#define HAVE_ABSTRACT_SOCKETS 1
#else
#define HAVE_ABSTRACT_SOCKETS 0
#endif

/* The text of an errno: NULL or a general one if it is unknown. */
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 32)
#define ERRNO_TEXT(error) strerrordesc_np(error) /* for any thread */
#else
#define ERRNO_TEXT(error) strerror(error)
#endif

/* The name of a signal, without "SIG": NULL if it has none, or none is
 * known. */
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 32)
#define SIGNAL_NAME(signo) sigabbrev_np(signo)
#else
#define SIGNAL_NAME(signo) ((void)(signo), (const char *)NULL)
#endif

/* Return addresses from here on: how many were found. */
#if defined(__has_include)
#if __has_include(<execinfo.h>)
#include <execinfo.h>
#define BACKTRACE(frames, n) backtrace(frames, n)
#endif
#endif
#ifndef BACKTRACE
#define BACKTRACE(frames, n) ((void)(frames), (void)(n), 0)
#endif

/* Where a signal came upon its thread, of the handler's third argument: program
 * counter and stack pointer; 0: not known. */
#if defined(__linux__) && defined(__x86_64__)
#define SIGNAL_REGISTERS(context)                                              \
    (((const ucontext_t *)(context))->uc_mcontext.gregs)
#define SIGNAL_PC(context) ((uintptr_t)SIGNAL_REGISTERS(context)[REG_RIP])
#define SIGNAL_SP(context) ((uintptr_t)SIGNAL_REGISTERS(context)[REG_RSP])
#elif defined(__linux__) && defined(__aarch64__)
#define SIGNAL_REGISTERS(context) (((const ucontext_t *)(context))->uc_mcontext)
#define SIGNAL_PC(context) ((uintptr_t)SIGNAL_REGISTERS(context).pc)
#define SIGNAL_SP(context) ((uintptr_t)SIGNAL_REGISTERS(context).sp)
#else
#define SIGNAL_PC(context) ((void)(context), (uintptr_t)0)
#define SIGNAL_SP(context) ((void)(context), (uintptr_t)0)
#endif

#endif
