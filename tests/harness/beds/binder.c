/* SPDX-License-Identifier: BSD-2-Clause */
#include "beds/binder.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "beds/cgroup_bed.h"
#include "beds/children.h"
#include "kern/sockdiag.h"

#define NOBODY 65534

static struct binder_order order;
static volatile struct binder_result *result; /* shared with children */

int binder_bind(int fd, const struct binder_order *o)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(o->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(o->port)};

	if (o->loopback) {
		in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		in6.sin6_addr = in6addr_loopback;
	}
	return o->family == AF_INET6 ? bind(fd, (struct sockaddr *)&in6, sizeof(in6))
	                             : bind(fd, (struct sockaddr *)&in, sizeof(in));
}

static int binder_open_socket(void)
{
	const int fd = socket(order.family, order.type, order.protocol);
	uint64_t cookie;

	if (fd < 0 || (!order.unbound && binder_bind(fd, &order) < 0))
		return -errno;
	result->bound = true;
	while (order.late && !shared->fd)
		deadline_pause();
	if (order.type == SOCK_STREAM && listen(fd, 5) < 0)
		return -errno;
	sockdiag_socket_cookie(fd, &cookie);
	result->cookie = cookie;
	return fd;
}

static void binder_run(int cgroup)
{
	struct sockaddr_in6 address;
	socklen_t length = sizeof(address);
	int fd = -EPERM;

	if ((cgroup < 0 || cgroup_bed_enter(cgroup)) && (!order.nobody || setuid(NOBODY) == 0))
		fd = binder_open_socket();
	result->error = fd < 0 ? fd : 0;
	if (fd >= 0 && getsockname(fd, (struct sockaddr *)&address, &length) == 0)
		result->port = ntohs(address.sin6_port);
	result->done = true;
	children_hold(-1);
}

struct binder_result binder_open(struct binder_order o)
{
	if (!result)
		result = children_map(sizeof(*result));
	o.type = o.type ? o.type : SOCK_STREAM;
	o.family = o.family ? o.family : AF_INET;
	order = o;
	*result = (struct binder_result){.error = -ETIME};
	children_start(binder_run, o.cgroup);
	CHECK_UNTIL(result->done || (o.late && result->bound));
	return *result;
}

struct binder_result binder_finish(void)
{
	CHECK_UNTIL(result->done);
	return *result;
}
