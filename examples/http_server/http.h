/* Requests and replies of HTTP/1.1 (RFC 9110, RFC 9112), as text; and files. */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>

struct task_stream;

/* Bytes of the head of a reply, at the most. */
enum { HEAD_SIZE = 1024 };

/* Statuses. */
extern const char OK[];
extern const char PARTIAL[];
extern const char BAD_REQUEST[];
extern const char FORBIDDEN[];
extern const char NOT_FOUND[];
extern const char NOT_ALLOWED[];
extern const char NO_SUCH_RANGE[];
extern const char TOO_LONG[];
extern const char NOT_IMPLEMENTED[];
extern const char UNAVAILABLE[];
extern const char NO_SUCH_VERSION[];

enum method { GET, HEAD, OPTIONS, NOT_OURS, UNKNOWN };

struct request {
    enum method method;
    const char *path;  /* without the / before it */
    const char *range; /* NULL: all */
    bool keeps_alive;

    /* What follows from all fields together is found out by these. */
    int n_hosts;
    bool is_old; /* HTTP/1.0 */
    bool closes;
    bool stays;
    bool has_condition; /* for its range */
};

struct reply {
    const char *status; /* one of the above */
    int file;           /* -1: none */
    long long size;
    long long first; /* of the bytes that are sent, up to `end` */
    long long end;
};

static inline bool is_error(const struct reply *reply)
{
    return *reply->status >= '4';
}

/* Understand a request, whose text is changed; NULL, or what is wrong. */
const char *parse_request(struct request *request, char *text);

/* Of the reply's size, which bytes: "bytes=first-last", "bytes=first-" or
 * "bytes=-count"; what is none of these is ignored. The status. */
const char *choose_range(const char *range, struct reply *reply);

/* How long it is. */
int write_head(const struct request *request, const struct reply *reply,
               char to[HEAD_SIZE]);

/* The folder that files are of, from now on; false, and errno. */
bool open_folder(const char *path);

/* Open what is asked for; the status. */
const char *find_file(struct request *request, struct reply *reply);

/* Its bytes, after what the stream holds; 0 or a negative errno. */
int send_file(struct task_stream *client, const struct reply *reply);

#endif
