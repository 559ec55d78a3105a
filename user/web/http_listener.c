/* SPDX-License-Identifier: BSD-2-Clause */
#include "web/http_listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "base/cleanup.h"
#include "web/http_clients.h"

/* How long http_listener_await() waits. */
#define AWAIT_TRIES    50
#define AWAIT_PAUSE_NS 20000000

static int http_listener_open_tcp(const struct rpd_endpoint *address)
{
	_cleanup_close_ int fd =
	        socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(address->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(address->port)};
	const bool is_v6 = address->family == AF_INET6;
	const int yes = 1;

	memcpy(&v4.sin_addr, address->addr, sizeof(v4.sin_addr));
	memcpy(&v6.sin6_addr, address->addr, sizeof(v6.sin6_addr));
	/* Allows the address while connections of an earlier process are in TIME_WAIT; another
	 * listener on it is still an error. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    (is_v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes)) < 0) ||
	    bind(fd, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
	         is_v6 ? sizeof(v6) : sizeof(v4)) < 0 ||
	    listen(fd, HTTP_CLIENTS_MAX) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Keeps other servers from the path until the descriptor is closed: a socket does not listen as
 * soon as it has its path. The file stays. */
static int http_listener_lock(const char *path)
{
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + sizeof(".lock")];
	_cleanup_close_ int fd = -1;

	snprintf(name, sizeof(name), "%s.lock", path);
	fd = open(name, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
	return TAKE_FD(fd);
}

/* Whether the path is a socket on which no process listens. */
static bool http_listener_is_left(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stat st;

	return fd >= 0 && lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	       connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	       errno == ECONNREFUSED;
}

static int http_listener_open_unix(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	_cleanup_close_ int lock = http_listener_lock(path);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int r;

	strcpy(address.sun_path, path); /* its length was checked */
	if (fd < 0)
		return -errno;
	if (lock < 0)
		return lock;
	if (http_listener_is_left(&address))
		unlink(path);
	mask = umask(0111);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(mask);
	if (r == 0 && listen(fd, HTTP_CLIENTS_MAX) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

int http_listener_open(const struct http_address *address, const char *what, struct error *err)
{
	char text[HTTP_ADDRESS_TEXT_MAX];
	_cleanup_close_ int fd = address->path[0] ? http_listener_open_unix(address->path)
	                                          : http_listener_open_tcp(&address->tcp);

	if (fd < 0)
		return error_set(err, fd, "can't serve %s on %s: %s", what,
		                 http_address_format(address, text), strerror(-fd));
	return TAKE_FD(fd);
}

/* The server of a supervisor or watcher that was killed may take a moment to end. */
int http_listener_await(const struct http_address *address, const char *what, struct error *err)
{
	const struct timespec pause = {.tv_nsec = AWAIT_PAUSE_NS};
	int r = http_listener_open(address, what, err);

	for (int i = 0; r == -EADDRINUSE && i < AWAIT_TRIES; i++) {
		nanosleep(&pause, NULL);
		r = http_listener_open(address, what, err);
	}
	return r;
}

int http_listener_read(int fd, struct http_address *ret)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	} address = {};
	socklen_t size = sizeof(address);
	const bool is_v6 = sd_is_socket(fd, AF_INET6, SOCK_STREAM, true) > 0;

	*ret = (struct http_address){};
	if (getsockname(fd, &address.sa, &size) < 0)
		return -errno;
	if (sd_is_socket(fd, AF_UNIX, SOCK_STREAM, true) > 0) {
		if (!address.un.sun_path[0])
			address.un.sun_path[0] = '@';
		/* The kernel may fill all of it, without a final NUL. */
		memcpy(ret->path, address.un.sun_path, sizeof(ret->path) - 1);
		return 0;
	}
	if (!is_v6 && sd_is_socket(fd, AF_INET, SOCK_STREAM, true) <= 0)
		return -ENOTSOCK;
	ret->tcp.family = (uint8_t)address.sa.sa_family;
	ret->tcp.port = ntohs(is_v6 ? address.in6.sin6_port : address.in.sin_port);
	if (is_v6)
		memcpy(ret->tcp.addr, &address.in6.sin6_addr, sizeof(address.in6.sin6_addr));
	else
		memcpy(ret->tcp.addr, &address.in.sin_addr, sizeof(address.in.sin_addr));
	return 0;
}

void http_listener_remove(const struct http_address *address)
{
	_cleanup_close_ int lock = -1;
	struct sockaddr_un left = {.sun_family = AF_UNIX};

	if (!address->path[0])
		return;
	strcpy(left.sun_path, address->path);
	lock = http_listener_lock(address->path);
	if (lock >= 0 && http_listener_is_left(&left))
		unlink(address->path);
}
