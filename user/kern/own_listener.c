/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/own_listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "core/kernel_bugs.h"
#include "kern/cgroup_socket.h"
#include "kern/endpoint_address.h"

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

/* Sets everything that the members of a group have in common. The owner must be set before bind(),
 * which checks it. */
static int own_listener_set_options(int fd, const struct rpd_endpoint *e)
{
	const int on = 1, v6only = e->v6only, ifindex = (int)e->ifindex;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    (e->family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) < 0) ||
	    (ifindex &&
	     setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, sizeof(ifindex)) < 0) ||
	    (e->uid != geteuid() && fchown(fd, e->uid, (gid_t)-1) < 0))
		return -errno;
	return 0;
}

int own_listener_open(const struct rpd_endpoint *endpoint, int cgroup, struct error *err)
{
	_cleanup_close_ int fd =
	        cgroup_socket(cgroup, endpoint->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
	char text[ENDPOINT_TEXT_MAX];
	union endpoint_address address;
	socklen_t length = endpoint_address_get(endpoint, &address);
	int r = fd < 0 ? fd : own_listener_set_options(fd, endpoint);

	if (r == 0 && (bind(fd, &address.sa, length) < 0 || listen(fd, SOMAXCONN) < 0))
		r = -errno;
	if (r == 0)
		return TAKE_FD(fd);
	endpoint_format(endpoint, text, sizeof(text));
	if (r == -EADDRINUSE)
		return error_set(err, r,
		                 "can't listen on %s: another process has the port and doesn't "
		                 "share it (it didn't set SO_REUSEPORT, or its uid isn't %u)",
		                 text, endpoint->uid);
	return error_set(err, r, "can't listen on %s as uid %u: %s%s", text, endpoint->uid,
	                 strerror(-r),
	                 r == -EPERM    ? "\nrun as root, or give reuseportd CAP_CHOWN"
	                 : r == -EACCES ? "\nrun as root, or give reuseportd "
	                                  "CAP_NET_BIND_SERVICE"
	                                : "");
}

unsigned int own_listener_queue_length(int fd)
{
	struct tcp_info info = {};
	socklen_t length = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return 0;
	return info.tcpi_unacked; /* for a listener: the accept queue */
}

bool own_listener_may_miss_wakeup(void)
{
	struct utsname name;
	enum kernel_bug bug;

	if (uname(&name) < 0)
		return true;
	bug = kernel_bugs_check_migration(name.release, name.version);
	return bug == KERNEL_BUG_PRESENT || bug == KERNEL_BUG_UNKNOWN;
}
