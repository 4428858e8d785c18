/* What a redis_server keeps: keys, and for each a string or a list of
 * strings. */
#ifndef STORE_H
#define STORE_H

#include <task.h>

/* Bytes that somebody else has. */
struct word {
    const char *data;
    size_t size;
};

/* A string, or an element of a list. */
struct text {
    struct text *next;
    size_t size;
    char data[]; /* and a 0 byte */
};

struct entry {
    struct entry *next;
    struct text *first; /* the string, or the elements of the list */
    long long n;        /* of these */
    bool is_list;
    task_time expires; /* TASK_FOREVER: never */
    int64_t call;      /* the loop's, that drops it then */
    size_t key_size;
    char key[];
};

/* Where the entry of a key is, or would be. One that has expired is dropped. */
struct entry **store_find(struct word key);

/* The entry there; it is made if there is none. */
struct entry *store_provide(struct entry **at, struct word key);

void store_drop(struct entry **at);

/* Have it dropped at a time, also if nobody looks for it; TASK_FOREVER:
 * never. */
void entry_expire(struct entry *entry, task_time when);

/* Put a string before the others. */
void entry_push(struct entry *entry, struct word word);

void entry_clear(struct entry *entry);

#endif
