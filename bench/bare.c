/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bare PORT: the least that a server can do for what the benchmark asks of it, on bare epoll. A GET of
 * /KEY with an upgrade subscribes a WebSocket to KEY; a POST to /KEY sends its body to them as one
 * text frame, and is answered then. It checks next to nothing, keeps no message, knows one process
 * and no limit: not a server to use, but the floor to compare with.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX  256
#define BUFFER_SIZE 65536
#define BUCKETS     (1U << 16)
#define ACCEPTS_MAX 64 /* at a time */
#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define ANSWER      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

struct channel {
    struct channel *next; /* in its bucket */
    struct connection *subscribers;
    uint16_t key_size;
    char key[];
};

struct connection {
    int fd;
    uint32_t held_size;
    char *held; /* the begin of a request, NULL: nothing */
    struct channel *channel;
    struct connection *next;  /* subscriber of the channel */
    struct connection **link; /* what points to this one */
};

static struct {
    int epoll;
    int listener;
    struct channel *buckets[BUCKETS];
    char buffer[BUFFER_SIZE];
    char frame[BUFFER_SIZE + 16];
} server;

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static struct channel *channel_get(const char *key, size_t key_size)
{
    uint64_t hash = 0xcbf29ce484222325U; /* FNV-1a */
    for (size_t i = 0; i < key_size; i++) {
        hash = (hash ^ (unsigned char)key[i]) * 0x100000001b3U;
    }
    struct channel **at = &server.buckets[(hash ^ hash >> 32) % BUCKETS];
    while (*at != NULL && ((*at)->key_size != key_size || memcmp((*at)->key, key, key_size) != 0)) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        *at = calloc(1, sizeof(**at) + key_size);
        if (*at == NULL) {
            die("calloc");
        }
        (*at)->key_size = (uint16_t)key_size;
        memcpy((*at)->key, key, key_size);
    }
    return *at;
}

static void drop(struct connection *connection)
{
    (void)close(connection->fd);
    if (connection->link != NULL) {
        *connection->link = connection->next;
        if (connection->next != NULL) {
            connection->next->link = connection->link;
        }
    }
    free(connection->held);
    free(connection);
}

static void subscribe(struct connection *connection, const char *key, size_t key_size)
{
    struct channel *channel = channel_get(key, key_size);
    connection->channel = channel;
    connection->next = channel->subscribers;
    if (connection->next != NULL) {
        connection->next->link = &connection->next;
    }
    connection->link = &channel->subscribers;
    channel->subscribers = connection;
}

static bool upgrade(struct connection *connection, const char *key, size_t key_size,
                    const char *token)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char accepted[64];
    char text[256];
    int size = snprintf(text, sizeof(text), "%.24s" ACCEPT_GUID, token);
    if (EVP_Digest(text, (size_t)size, digest, NULL, EVP_sha1(), NULL) != 1) {
        return false;
    }
    (void)EVP_EncodeBlock((unsigned char *)accepted, digest, 20);
    size = snprintf(text, sizeof(text),
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                    accepted);
    subscribe(connection, key, key_size);
    return write(connection->fd, text, (size_t)size) == size;
}

static bool publish(struct connection *connection, const char *key, size_t key_size,
                    const char *body, size_t body_size)
{
    size_t head = 2;
    server.frame[0] = (char)0x81;
    if (body_size < 126) {
        server.frame[1] = (char)body_size;
    } else {
        server.frame[1] = 126;
        server.frame[2] = (char)(body_size >> 8);
        server.frame[3] = (char)(body_size & 0xFFU);
        head = 4;
    }
    memcpy(server.frame + head, body, body_size);
    struct connection *next = channel_get(key, key_size)->subscribers;
    while (next != NULL) {
        struct connection *to = next;
        next = to->next;
        if (write(to->fd, server.frame, head + body_size) != (ssize_t)(head + body_size)) {
            (void)shutdown(to->fd, SHUT_RDWR); /* too slow */
        }
    }
    return write(connection->fd, ANSWER, sizeof(ANSWER) - 1) == sizeof(ANSWER) - 1;
}

/* The bytes that the first request has, 0 if it is not whole, or -1: close. */
static ssize_t take_request(struct connection *connection, char *bytes, size_t size)
{
    bytes[size] = '\0';
    char *end = strstr(bytes, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    const size_t head = (size_t)(end + 4 - bytes);
    const char *key = strchr(bytes, '/') + 1;
    const size_t key_size = strcspn(key, " \r");
    if (bytes[0] == 'G') {
        const char *token = strcasestr(bytes, "sec-websocket-key: ");
        return token != NULL && upgrade(connection, key, key_size, token + 19) ? (ssize_t)head : -1;
    }
    const char *length = strcasestr(bytes, "content-length: ");
    const size_t body_size = length == NULL ? 0 : strtoul(length + 16, NULL, 10);
    if (body_size > 65535) {
        return -1;
    }
    if (size - head < body_size) {
        return 0;
    }
    return publish(connection, key, key_size, end + 4, body_size) ? (ssize_t)(head + body_size)
                                                                  : -1;
}

static bool hold(struct connection *connection, const char *bytes, size_t size)
{
    free(connection->held);
    connection->held = NULL;
    connection->held_size = (uint32_t)size;
    if (size > 0) {
        connection->held = malloc(size);
        if (connection->held == NULL) {
            return false;
        }
        memcpy(connection->held, bytes, size);
    }
    return true;
}

static void on_readable(struct connection *connection)
{
    size_t size = connection->held_size;
    if (size > 0) {
        memcpy(server.buffer, connection->held, size);
    }
    ssize_t got = read(connection->fd, server.buffer + size, BUFFER_SIZE - 1 - size);
    if (got == -1 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        drop(connection);
        return;
    }
    size += (size_t)got;
    if (connection->channel != NULL) { /* it listens; what it says is of no interest */
        return;
    }
    char *at = server.buffer;
    ssize_t used = 0;
    while (size > 0 && connection->channel == NULL &&
           (used = take_request(connection, at, size)) > 0) {
        at += used;
        size -= (size_t)used;
    }
    if (used < 0 || !hold(connection, at, size)) {
        drop(connection);
    }
}

static void on_listener(void)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd == -1) {
            return;
        }
        const int one = 1;
        struct connection *connection = calloc(1, sizeof(*connection));
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (connection == NULL ||
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == -1 ||
            epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &event) == -1) {
            die("accept");
        }
        connection->fd = fd;
    }
}

static void start(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const int one = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server.epoll == -1 || server.listener == -1 ||
        setsockopt(server.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == -1 ||
        bind(server.listener, (const struct sockaddr *)&address, sizeof(address)) == -1 ||
        listen(server.listener, 4096) == -1 ||
        epoll_ctl(server.epoll, EPOLL_CTL_ADD, server.listener, &event) == -1) {
        die("listen");
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: bare PORT\n");
        return 2;
    }
    struct rlimit files;
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    start((uint16_t)strtoul(argv[1], NULL, 10));
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(server.epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL) {
                on_listener();
            } else {
                on_readable(events[i].data.ptr);
            }
        }
    }
}
