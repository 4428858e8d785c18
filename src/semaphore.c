/*
 * Semaphores. There are tokens, or those that wait for one; never both.
 */
#include "text.h"
#include "waiters.h"

#include <errno.h>
#include <limits.h>
#include <task/sync.h>

static void describe(const struct waiter *waiter, struct text *text)
{
    const struct task_semaphore *semaphore =
        container_of(waiters_of(waiter), const struct task_semaphore, waiters);

    task__text_add(text, "%p", (const void *)semaphore);
}

static const struct wait_kind ACQUIRING = {
    .verb = "acquiring semaphore",
    .describe = describe,
};

static ALWAYS_INLINE int init(struct task_semaphore *semaphore, int value,
                              int below, const char *call)
{
    if (value < 0)
        return misuse(call, -EINVAL, "the value is negative");
    *semaphore = (struct task_semaphore){.value = value, .below = below};
    return 0;
}

int task_semaphore_init(struct task_semaphore *semaphore, int value)
{
    return init(semaphore, value, 0, __func__);
}

int task_semaphore_init_bounded(struct task_semaphore *semaphore, int value)
{
    return init(semaphore, value, value < 0 ? 0 : INT_MAX - value, __func__);
}

static ALWAYS_INLINE int take(struct task_semaphore *semaphore)
{
    if (unlikely(semaphore->value <= 0))
        return -EAGAIN;
    semaphore->value--;
    return 0;
}

int task_semaphore_acquire(struct task_semaphore *semaphore)
{
    struct task *self;
    int error = task_enter(&self);

    if (unlikely(error))
        return error;
    if (likely(!take(semaphore)))
        return 0;
    return waiters_park(&semaphore->waiters, self, &ACQUIRING);
}

int task_semaphore_try_acquire(struct task_semaphore *semaphore)
{
    return take(semaphore);
}

/* A token never lies there while somebody waits, so nobody can take it before
 * the one it is for. */
int task_semaphore_release(struct task_semaphore *semaphore)
{
    if (unlikely(semaphore->value >= INT_MAX - semaphore->below))
        return -EOVERFLOW;
    if (likely(!waiters_wake_first(&semaphore->waiters, 0)))
        semaphore->value++;
    return 0;
}

int task_semaphore_value(const struct task_semaphore *semaphore)
{
    return semaphore->value;
}

size_t task_semaphore_waiting(const struct task_semaphore *semaphore)
{
    return waiters_count(&semaphore->waiters);
}

int task_semaphore_destroy(struct task_semaphore *semaphore)
{
    if (!waiters_empty(&semaphore->waiters))
        return MISUSE(-EBUSY, "there are tasks that wait");
    *semaphore = (struct task_semaphore){0};
    return 0;
}
