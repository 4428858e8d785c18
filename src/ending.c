/*
 * The key.
 */
#include "ending.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* has a value in threads that have an ending */
static enum { MISSING, THERE, DELETED } state;

static THREAD_LOCAL void (*endings[N_ENDINGS])(void);

/* They may set each other: then this is called again. */
static void end_thread(void *unused)
{
    (void)unused;
    for (int i = 0; i < N_ENDINGS; i++) {
        void (*fn)(void) = endings[i];

        endings[i] = NULL;
        if (fn)
            fn();
    }
}

static void make_key(void)
{
    if (!pthread_key_create(&key, end_thread))
        __atomic_store_n(&state, THERE, __ATOMIC_RELEASE);
}

/* Other threads may run on while the process ends. */
static AT_UNLOAD void delete_key(void)
{
    if (__atomic_exchange_n(&state, DELETED, __ATOMIC_ACQ_REL) == THERE)
        pthread_key_delete(key);
}

bool task__endings_open(void)
{
    pthread_once(&once, make_key);
    return __atomic_load_n(&state, __ATOMIC_ACQUIRE) != MISSING;
}

bool task__ending_set(enum ending ending, void (*fn)(void))
{
    if (!task__endings_open())
        return false;
    endings[ending] = fn;
    return !pthread_setspecific(key, endings) ||
           __atomic_load_n(&state, __ATOMIC_ACQUIRE) == DELETED;
}
