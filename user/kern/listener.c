/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "core/kernel_bugs.h"

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62
#endif

#define KNOCK_MS 100 /* how long a handshake on this host may take */

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* The endpoint's address; returns its length. */
static socklen_t listener_address_of(const struct rpd_endpoint *e, union address *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (e->family == AF_INET6) {
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_port = htons(e->port);
		ret->in6.sin6_scope_id = e->ifindex;
		memcpy(&ret->in6.sin6_addr, e->addr, sizeof(ret->in6.sin6_addr));
		return sizeof(ret->in6);
	}
	ret->in.sin_family = AF_INET;
	ret->in.sin_port = htons(e->port);
	memcpy(&ret->in.sin_addr, e->addr, sizeof(ret->in.sin_addr));
	return sizeof(ret->in);
}

/* All on which the members of a group agree; the user before bind(), as that looks at it. */
static int listener_set_up(int fd, const struct rpd_endpoint *e)
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

int listener_open(const struct rpd_endpoint *endpoint, struct error *err)
{
	_cleanup_close_ int fd =
	        socket(endpoint->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char text[ENDPOINT_TEXT_MAX];
	union address address;
	socklen_t length = listener_address_of(endpoint, &address);
	int r = fd < 0 ? -errno : listener_set_up(fd, endpoint);

	if (r == 0 && (bind(fd, &address.sa, length) < 0 || listen(fd, SOMAXCONN) < 0))
		r = -errno;
	if (r == 0)
		return TAKE_FD(fd);
	endpoint_format(endpoint, text, sizeof(text));
	if (r == -EADDRINUSE)
		return error_set(err, r,
		                 "can't listen on %s: somebody does who doesn't share it "
		                 "(without SO_REUSEPORT, or of another user than uid %u)",
		                 text, endpoint->uid);
	return error_set(err, r, "can't listen on %s as uid %u: %s", text, endpoint->uid,
	                 strerror(-r));
}

unsigned int listener_queued(int fd)
{
	struct tcp_info info = {};
	socklen_t length = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return 0;
	return info.tcpi_unacked; /* of a listener it is this */
}

bool listener_sleeps_on(void)
{
	struct utsname name;
	enum kernel_bug bug;

	if (uname(&name) < 0)
		return true;
	bug = kernel_bug_migration(name.release, name.version);
	return bug == KERNEL_BUG_PRESENT || bug == KERNEL_BUG_UNKNOWN;
}

/* Whether it takes IPv4 as well. */
static bool listener_is_dual(const struct rpd_endpoint *e)
{
	static const uint8_t any[sizeof(e->addr)];

	return e->family == AF_INET6 && !e->v6only && !memcmp(e->addr, any, sizeof(any));
}

/* Where the endpoint is reached from here by @family; returns the address's length. */
static socklen_t listener_local_address(const struct rpd_endpoint *e, int family,
                                        union address *ret)
{
	const struct rpd_endpoint any_ipv4 = {.family = AF_INET, .port = e->port};
	socklen_t length = listener_address_of(family == e->family ? e : &any_ipv4, ret);

	if (family == AF_INET && ret->in.sin_addr.s_addr == htonl(INADDR_ANY))
		ret->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&ret->in6.sin6_addr))
		ret->in6.sin6_addr = in6addr_loopback;
	return length;
}

static int listener_caller_of(const struct rpd_endpoint *endpoint, int family,
                              struct rpd_probe *ret_source)
{
	_cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	union address address;
	socklen_t length = listener_local_address(endpoint, family, &address);

	if (fd < 0)
		return -errno;
	address.in.sin_port = 0; /* the same place in both */
	if (bind(fd, &address.sa, length) < 0 || getsockname(fd, &address.sa, &length) < 0)
		return -errno;
	*ret_source = (struct rpd_probe){.family = family, .port = ntohs(address.in.sin_port)};
	if (family == AF_INET6)
		memcpy(ret_source->addr, &address.in6.sin6_addr, sizeof(address.in6.sin6_addr));
	else
		memcpy(ret_source->addr, &address.in.sin_addr, sizeof(address.in.sin_addr));
	return TAKE_FD(fd);
}

int listener_caller(const struct rpd_endpoint *endpoint, struct rpd_probe *ret_source)
{
	int fd;

	if (endpoint->ifindex)
		return -EOPNOTSUPP;
	fd = listener_caller_of(endpoint, endpoint->family, ret_source);
	/* Where IPv6 is switched off one can listen on [::] nevertheless, for IPv4. */
	if ((fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT) && listener_is_dual(endpoint))
		fd = listener_caller_of(endpoint, AF_INET, ret_source);
	return fd;
}

int listener_connect(const struct rpd_endpoint *endpoint, int fd)
{
	union address address;
	socklen_t length;
	int family;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &(socklen_t){sizeof(family)}) < 0)
		return -errno;
	length = listener_local_address(endpoint, family, &address);
	return connect(fd, &address.sa, length) < 0 ? -errno : 0;
}

void listener_knock(const struct rpd_endpoint *endpoint, int fd)
{
	struct pollfd connected = {.fd = fd, .events = POLLOUT};

	/* It may have gone meanwhile. The handshake mostly is over within connect(), but not where
	 * a busy kernel leaves packets to a thread of its own. */
	if (listener_connect(endpoint, fd) == -EINPROGRESS)
		poll(&connected, 1, KNOCK_MS);
	close(fd);
}
