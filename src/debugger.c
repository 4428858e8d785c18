/*
 * What a debugger finds the loops by, also in a core and without debug info: a
 * list of all loops of the process, and where the fields are that task-gdb.py
 * reads. That script itself is in the program, where gdb looks for one.
 */
#include "debugger.h"

#include "loop.h"

#include <pthread.h>

EMBED_GDB_SCRIPT(TASK_GDB_SCRIPT)

#define NUMBER DEBUGGER_NUMBER
#define OFFSET DEBUGGER_OFFSET
#define CONTEXT_OFFSET(field) OFFSET(context, field),

static const struct debugger_number numbers[] = {
    OFFSET(list, first),
    OFFSET(list_node, next),
    OFFSET(list_node, list),
    OFFSET(loop, node),
    OFFSET(loop, clock.is_virtual),
    OFFSET(loop, clock.now),
    OFFSET(loop, resumed_at),
    OFFSET(loop, running),
    OFFSET(loop, n_tasks),
    OFFSET(loop, scheduler.current),
    OFFSET(loop, scheduler.errno_location),
    OFFSET(loop, task_pool.chunks),
    OFFSET(loop, task_pool.stride),
    NUMBER("loop", sizeof(struct loop)),
    NUMBER("chunk", POOL_CHUNK),
    OFFSET(chunk, node),
    OFFSET(chunk, first),
    OFFSET(task, context),
    OFFSET(task, waiter),
    OFFSET(task, flags),
    OFFSET(task, stack),
    OFFSET(task, fn),
    OFFSET(task, watchers),
    OFFSET(task, id),
    OFFSET(task, name),
    OFFSET(task, file),
    OFFSET(task, place),
    OFFSET(task, cancelling),
    NUMBER("task.flags.done", DEBUGGER_DONE),
    NUMBER("task.flags.future", DEBUGGER_FUTURE),
    CONTEXT_FIELDS(CONTEXT_OFFSET) /* all, or `sp`: of a ucontext_t */
    OFFSET(stack, slab),
    OFFSET(stack, top),
    OFFSET(stack_slab, stacks),
    OFFSET(stacks, size),
    OFFSET(stacks, page),
    NUMBER("waiter", sizeof(struct waiter)),
    OFFSET(waiter, kind),
    OFFSET(waiter, node),
    OFFSET(waiter, timer),
    OFFSET(waiter, since),
    OFFSET(timer, when),
    OFFSET(wait_kind, verb),
    OFFSET(wait_kind, numbers),
    NUMBER("watcher", sizeof(struct watcher)),
    OFFSET(task_group, waiter),
    OFFSET(task_lock, owner),
    OFFSET(task_lock, waiters),
    OFFSET(loop, poller),
    OFFSET(poller, descriptors.chunks),
    OFFSET(poller, descriptors.n_chunks),
    NUMBER("descriptors.chunk", DESCRIPTORS_CHUNK),
    NUMBER("descriptor", sizeof(struct descriptor)),
    OFFSET(descriptor, waiters),
};

struct debugger task__debugger = {
    .numbers = numbers,
    .n_numbers = sizeof numbers / sizeof *numbers,
};

/* Of the list of loops, which threads share. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock(void)
{
    pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

/* In a forked child all loops are the parent's. */
static void forget_all(void)
{
    task__debugger.loops = (struct list){NULL, NULL};
    unlock();
}

void task__debugger_watch_forks(void)
{
    pthread_atfork(lock, unlock, forget_all);
}

void task__debugger_add(struct loop *loop)
{
    lock();
    list_append(&task__debugger.loops, &loop->node);
    unlock();
}

void task__debugger_remove(struct loop *loop)
{
    lock();
    list_remove(&loop->node);
    unlock();
}
