/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/socket_bed.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "check/check.h"

#define SOCKETS_MAX 4096

int socket_bed_fds[SOCKETS_MAX];
size_t socket_bed_n;

static void socket_bed_end(void)
{
	while (socket_bed_n > 0)
		close(socket_bed_fds[--socket_bed_n]);
}

int socket_bed_keep(int fd)
{
	CHECK(socket_bed_n < SOCKETS_MAX);
	socket_bed_fds[socket_bed_n++] = fd;
	check_at_end(socket_bed_end);
	return fd;
}

int socket_bed_listen_unkept(struct rpd_endpoint *e, int backlog)
{
	_cleanup_close_ int fd = socket(e->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const bool v6 = e->family == AF_INET6;
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(e->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(e->port)};
	struct sockaddr *sa = v6 ? (void *)&in6 : (void *)&in;
	socklen_t length = v6 ? sizeof(in6) : sizeof(in);
	const int on = 1, v6only = e->v6only, ifindex = (int)e->ifindex;

	memcpy(v6 ? (void *)&in6.sin6_addr : (void *)&in.sin_addr, e->addr, v6 ? 16 : 4);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    (v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0) ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, sizeof(ifindex)) < 0 ||
	    fchown(fd, e->uid, (gid_t)-1) < 0 || bind(fd, sa, length) < 0 ||
	    listen(fd, backlog) < 0 || getsockname(fd, sa, &length) < 0)
		return -1;
	e->port = ntohs(v6 ? in6.sin6_port : in.sin_port);
	return TAKE_FD(fd);
}

int socket_bed_listen(struct rpd_endpoint *e, int backlog)
{
	const int fd = socket_bed_listen_unkept(e, backlog);

	return fd < 0 ? fd : socket_bed_keep(fd);
}

int socket_bed_connect(const struct rpd_endpoint *e)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(e->port)};

	memcpy(&in.sin_addr, e->addr, sizeof(in.sin_addr));
	if (connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
		return -1;
	return socket_bed_keep(TAKE_FD(fd));
}

int socket_bed_connect_lingering(int seconds)
{
	static char block[65536];
	const struct linger linger = {.l_onoff = 1, .l_linger = seconds};
	struct rpd_endpoint e = socket_bed_loopback();
	int fd;

	CHECK(socket_bed_listen(&e, 1) >= 0);
	fd = socket_bed_connect(&e);
	CHECK(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
	while (send(fd, block, sizeof(block), MSG_DONTWAIT) > 0)
		;
	return fd;
}

struct rpd_endpoint socket_bed_loopback(void)
{
	return (struct rpd_endpoint){.family = AF_INET, .addr = {127, 0, 0, 1}};
}

uint32_t socket_bed_inode(int fd)
{
	struct stat st = {0};

	fstat(fd, &st);
	return (uint32_t)st.st_ino;
}

size_t socket_bed_count_descriptors(void)
{
	_cleanup_dir_ DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while (dir && readdir(dir))
		n++;
	return n;
}
