/*
 * peers.h: the other end of a server, for tests. For tasks: what is not as it
 * should be is CHECKed.
 */
#ifndef TASK_TESTS_PEERS_H
#define TASK_TESTS_PEERS_H

#include <stdint.h>
#include <task.h>

/* The port of a socket. */
int port_of_fd(int fd);

/* Connect to a port of 127.0.0.1: a descriptor. */
int dial(int port);

/* The same, but nothing else runs meanwhile: so it is in the backlog. */
int dial_at_once(int port);

/* The same as dial(), and its status only: the connection is closed. */
int try_port(int port);

/* Send a text; receive it; meet the end, or an error. */
void send_text(int fd, const char *text);
void expect_text(int fd, const char *text);
void expect_end(int fd, int status);

/* A connection that is closed with a reset. */
void reset(int fd);

/* Send a text, receive it again, and close. */
void expect_echo(int fd);

/* Have the running loop open what it opens when first needed, so that
 * descriptors can be counted. */
void open_poller(void);

/* Handlers. */

int echoes(struct task_stream *stream, void *arg);
int holds_on(struct task_stream *stream, void *arg); /* until its peer ends */

#endif
