/*
 * A thread that is not cancelled (pthread_cancel) in the midst of what others
 * wait for.
 */
#ifndef TASK_SRC_CANCELLING_H
#define TASK_SRC_CANCELLING_H

#include <pthread.h>

/* How this thread may be cancelled. */
struct cancelling {
    int state;
    int type;
};

/*
 * Not at all, from now on. To disable it is not enough for a thread of the
 * asynchronous type: glibc's handler of a cancel that is on its way looks at
 * the type only.
 */
static inline struct cancelling cancelling_stop(void)
{
    struct cancelling former;

    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &former.type);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &former.state);
    return former;
}

/* As before: a cancel that came meanwhile may have its effect now. */
static inline void cancelling_restore(struct cancelling former)
{
    pthread_setcancelstate(former.state, NULL);
    pthread_setcanceltype(former.type, NULL);
}

#endif
