/* URLs of HTTP (RFC 3986, RFC 9110). */
#ifndef URL_H
#define URL_H

/* "http://[::1]:8080/path?query#fragment". What is pointed to is a part of the
 * text. */
struct url {
    char host[256]; /* without brackets */
    char port[24];
    const char *authority; /* [::1]:8080; without a port that is the default */
    int authority_size;
    const char *path; /* /path?query; the / may be missing */
    int path_size;
};

/* 0; -EPROTONOSUPPORT: of another scheme; -EINVAL. */
int parse_url(struct url *url, const char *text);

#endif
