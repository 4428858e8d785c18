/*
 * A gate: threads wait in it until it is opened, and others wait until they do.
 */
#ifndef TASK_TESTS_GATE_H
#define TASK_TESTS_GATE_H

#include <pthread.h>
#include <stdbool.h>

struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned n_waiting;
    unsigned n_passed;
    bool is_open;
};

#define GATE_INIT                                                              \
    {                                                                          \
        .mutex = PTHREAD_MUTEX_INITIALIZER,                                    \
        .changed = PTHREAD_COND_INITIALIZER                                    \
    }

void gate_pass(struct gate *gate);
void gate_open(struct gate *gate);

/* Wait until so many threads wait in it. */
void gate_await(struct gate *gate, unsigned n);

/* Wait until so many have passed. */
void gate_await_passed(struct gate *gate, unsigned n);

/* How many wait in it now. */
unsigned gate_waiting(struct gate *gate);

/* A body: pass the gate that the argument is; returns 7. */
int passes(void *arg);

/* A task that runs that in a worker thread; what came of it. */
int passes_in_a_thread(void *arg);

/* Another thread, and the end of it. */
pthread_t thread_start(void *(*fn)(void *arg), void *arg);
void thread_join(pthread_t thread);

#endif
