/*
 * net.h: look up names, connect to them, listen.
 *
 * These give descriptors for io.h: non-blocking, closed on exec, and the
 * caller's, who closes them by task_close(). Streams over connections are in
 * stream.h, servers in server.h.
 *
 * A host is a name, a numeric address ("127.0.0.1", "::1", "fe80::1%eth0"), or
 * NULL: this machine. A service is a port ("80"), or a name of /etc/services;
 * NULL or "" is port 0, which stands for any free one. Both NULL is an error.
 *
 * Unix sockets have a path. On Linux one that begins with '@' is an abstract
 * name, which is in no folder and ends with its last socket ("./@x" is a file).
 *
 * Names are looked up by worker threads, numeric addresses and ports at once.
 *
 * What every call here that suspends may return, besides what it says itself:
 *
 *     -ECANCELED       a request was waiting, or came before there was a result,
 *     -EMFILE, -ENFILE no descriptor is left,
 *     -ENOMEM          out of memory,
 *     -EPERM           called outside a task.
 */
#ifndef TASK_NET_H
#define TASK_NET_H

#include <netdb.h>
#include <sys/socket.h>
#include <task/base.h>

TASK_BEGIN_DECLS

/**
 * An address with what belongs to it: netdb.h tells what is in it, in programs
 * that ask for POSIX (as by _POSIX_C_SOURCE, where the compiler is strict).
 */
struct addrinfo;

/* Names. */

/**
 * Look up addresses.
 *
 * What is numeric, host and service, is answered at once. Else a worker thread
 * asks, as long as it takes: up to loop_options.worker_threads at a time, and
 * no other kind of work waits for these. Nothing can stop a thread that asks:
 * it goes on after a cancel, and what it finds is freed. The end of the loop
 * waits for it.
 *
 * @param host     NULL: any address of this machine with AI_PASSIVE, else the
 *                 loopback ones
 * @param service  NULL or "": port 0, if there is a host
 * @param hints    copied; NULL: any kind of address
 * @param result   is set to a list that the caller frees by freeaddrinfo()
 *
 * Suspends while a thread asks. A cancel ends the waiting at once.
 *
 * @return 0; or see above, and
 *         -ENOENT  there is no such host or service, or none of that kind,
 *         -EAGAIN  no name server answered, or no thread could be started:
 *                  later it may be different,
 *         -EIO     a name server answered that it cannot,
 *         -EINVAL  a hint that is none; a port above 65535; @p host and
 *                  @p service, or @p result, are NULL,
 *         another negative errno, of the system.
 *
 * Source: getaddrinfo(3), RFC 3493; asyncio's loop.getaddrinfo
 */
TASK_SUSPENDS int task_getaddrinfo(const char *host, const char *service,
                                   const struct addrinfo *hints,
                                   struct addrinfo **result);

/* Connecting. */

/**
 * Connect to a host by TCP: to the first of its addresses that answers.
 *
 * @param host     NULL: this machine
 * @param service  not NULL
 *
 * Suspends until one is connected. A cancel ends it, and closes all.
 *
 * @return a descriptor, as task_tcp_connect_list(); or see above, and
 *         -EINVAL  @p service is NULL or "",
 *         the errors of task_getaddrinfo() and task_tcp_connect_list().
 *
 * Source: asyncio.open_connection, trio.open_tcp_stream
 */
TASK_SUSPENDS int task_tcp_connect(const char *host, const char *service);

/**
 * Connect to one of several addresses by TCP: to the first that answers.
 *
 * The addresses are tried in their order, but that families take turns. The
 * next attempt begins when one has failed, or has not succeeded for 250 ms; the
 * earlier ones go on. The first that succeeds wins, all others are closed. So
 * one address that is silent costs 250 ms, and not a minute or two.
 *
 * TCP_NODELAY is set. A connection to itself, which the system may make when
 * nobody listens at a local port, counts as refused.
 *
 * @param list  borrowed for the call; what is not for streams of the Internet
 *              families is left out
 *
 * Suspends until one is connected. A cancel ends it, and closes all.
 *
 * @return a descriptor; or see above, and
 *         -EINVAL  there is no address in @p list,
 *         when all have failed, the last error of the family that comes first:
 *         -ECONNREFUSED, -EHOSTUNREACH, -ENETUNREACH, -ETIMEDOUT, ...
 *
 * Source: RFC 8305, "Happy eyeballs version 2"
 */
TASK_SUSPENDS int task_tcp_connect_list(const struct addrinfo *list);

/**
 * Connect to a Unix stream socket.
 *
 * Suspends until it is connected. A cancel ends it.
 *
 * @return a descriptor; or see above, and
 *         -ENAMETOOLONG  @p path is longer than a socket's may be (107 bytes),
 *         -ENOENT        there is none,
 *         -ECONNREFUSED  nobody listens there, or it is no socket,
 *         -EPROTOTYPE    it is of another kind,
 *         -EINVAL        @p path is NULL or "",
 *         or another error of connect().
 *
 * Source: unix(7)
 */
TASK_SUSPENDS int task_unix_connect(const char *path);

/* Listening. */

/**
 * Listen for TCP connections.
 *
 * With a NULL or empty host one socket listens for both families, if the system
 * has both: the peers of IPv4 have mapped addresses (::ffff:192.0.2.1). With a
 * host it is for its first address that this machine has; if that is of IPv6 it
 * leaves IPv4 alone, which may have the same port.
 *
 * SO_REUSEADDR is set: a port can be bound again at once.
 *
 * @param backlog  how many connections may wait to be taken; 0 or less: as many
 *                 as the system allows, which also is the limit
 *
 * Suspends while a name is looked up.
 *
 * @return a descriptor for task_accept(); or see above, and
 *         -EADDRINUSE     the port is taken,
 *         -EADDRNOTAVAIL  the address is not one of this machine's,
 *         -EACCES         such a port needs privileges,
 *         the errors of task_getaddrinfo().
 *
 * Source: asyncio's loop.create_server, trio.open_tcp_listeners
 */
TASK_SUSPENDS int task_tcp_listen(const char *host, const char *service,
                                  int backlog);

/**
 * Open a UDP socket that has an address.
 *
 * Hosts are as for task_tcp_listen().
 *
 * Suspends while a name is looked up.
 *
 * @return a descriptor for task_recvfrom() and task_sendto(); or the errors of
 *         task_tcp_listen().
 *
 * Source: asyncio's loop.create_datagram_endpoint
 */
TASK_SUSPENDS int task_udp_open(const char *host, const char *service);

/**
 * Listen for connections to a Unix stream socket.
 *
 * A socket that is there and that nobody listens to, as a process leaves it
 * that did not remove it, is replaced. To close the descriptor does not remove
 * the path: a server does (server.h), else the caller.
 *
 * May be called anywhere, and does not suspend.
 *
 * @param backlog  as for task_tcp_listen()
 *
 * @return a descriptor for task_accept(); or
 *         -EADDRINUSE    somebody listens there, or it is no socket,
 *         -ENAMETOOLONG  @p path is longer than a socket's may be (107 bytes),
 *         -ENOENT, -ENOTDIR, -EACCES, -EROFS
 *                        of the folder,
 *         -EINVAL        @p path is NULL or "",
 *         -EMFILE, -ENFILE, -ENOMEM
 *                        as above.
 *
 * Source: asyncio's loop.create_unix_server
 */
int task_unix_listen(const char *path, int backlog);

TASK_END_DECLS

#endif
