/*
 * An allocator that counts what it has given out, and fails when told to.
 *
 * Its function fits loop_options.alloc and struct allocator. What is given back
 * is overwritten first: nobody may be using it any more.
 */
#ifndef TESTS_SUPPORT_COUNTING_H
#define TESTS_SUPPORT_COUNTING_H

#include <stddef.h>

/* All zero: ready to use. */
struct counting {
    size_t n_blocks; /* not given back */
    size_t n_bytes;  /* in these */
    size_t n_calls;  /* that asked for memory, also in vain */
    size_t fail_at;  /* the call that fails, the first being 1; 0: none */
};

/* As realloc; a size of 0 frees. `arg` is a struct counting. */
void *counting_alloc(void *pointer, size_t size, void *arg);

#endif
