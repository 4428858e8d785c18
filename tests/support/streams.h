/*
 * streams.h: pairs of streams, and what lies between them.
 */
#ifndef TASK_TESTS_STREAMS_H
#define TASK_TESTS_STREAMS_H

#include "record.h"

/* As behaviour() and in_main() in record.h; no descriptor may be left open. */
#define behaviour_of_streams(test)                                             \
    cmocka_unit_test_setup_teardown(test, streams_setup, streams_teardown)
#define in_streams(test)                                                       \
    {                                                                          \
#test, run_in_main, streams_setup, streams_teardown, &(task_fn *)      \
        {                                                                      \
            test                                                               \
        }                                                                      \
    }

int streams_setup(void **state);
int streams_teardown(void **state);

/* Two ends that are connected, and by what. */
struct pair {
    struct task_stream *a;
    struct task_stream *b;
};

struct pair socket_pair(void);
struct pair tcp_pair(void);
struct pair pipe_pair(void); /* b writes to a */

/* The same with a raw end, which does not block. */
struct half {
    struct task_stream *s;
    int fd;
};

struct half socket_half(void);
struct half tcp_half(void);
struct half pipe_reader_half(void); /* the stream reads */
struct half pipe_writer_half(void); /* the stream writes */

/* Both descriptors of a connection by TCP. */
void connect_tcp(int fds[2]);

void close_pair(struct pair pair);
void close_half(struct half half);

/* Send by the raw end, all of it. */
void say(int fd, const char *text);

/* Take all that is there for the raw end, how many bytes; -1: the end or an
 * error came before any. */
long hear(int fd, char *buf, size_t n);

/* Read and drop all that is there: how many bytes. */
size_t drain_raw(int fd);

/*
 * A half whose system takes nothing, and then little by little. What it has
 * taken before is `junk`; what follows has to be the row of bytes below.
 */
struct choked {
    struct task_stream *s;
    int fd;
    size_t junk; /* bytes not read yet by the raw end */
    size_t got;  /* bytes of the row that it has read */
};

struct choked choked_half(void);

/* Read all that is there. False: nothing was. */
bool choked_read(struct choked *choked);

/* The same until nothing comes any more, with pauses. */
void choked_read_all(struct choked *choked);

/* Close both. */
void close_choked(struct choked *choked);

/* Write so many bytes of the row, from memory that is overwritten then. */
int write_row(struct task_stream *s, size_t first, size_t n);

/* The i-th byte of a row in which each place is known by its surroundings. */
char byte_at(size_t i);
void fill_bytes(char *buf, size_t n, size_t first);
bool are_bytes(const char *buf, size_t n, size_t first);

#endif
