/*
 * What is asked of many pages at once, which lie at equal distances: `n` ranges
 * of `size` bytes each, `stride` apart, from `first` on.
 */
#ifndef TASK_SRC_PAGES_H
#define TASK_SRC_PAGES_H

#include <stddef.h>

/* Whoever touches them gets SIGSEGV. 0; -ENOMEM: some may be guarded by now. */
int task__pages_guard(char *first, size_t size, size_t stride, size_t n);

/* They are going to be written to: have memory there, if that is cheaper than a
 * fault for each. */
void task__pages_populate(char *first, size_t size, size_t stride, size_t n);

#endif
