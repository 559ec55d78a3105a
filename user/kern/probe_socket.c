/* SPDX-License-Identifier: BSD-2-Clause */
#include "kern/probe_socket.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/endpoint_address.h"

#define KNOCK_MS 100 /* how long a handshake on this host may take */

/* Whether the endpoint accepts IPv4 as well. */
static bool probe_socket_is_dual(const struct rpd_endpoint *e)
{
	static const uint8_t any[sizeof(e->addr)];

	return e->family == AF_INET6 && !e->v6only && !memcmp(e->addr, any, sizeof(any));
}

/* The address of the endpoint for a client on this host over @family. Returns its length. */
static socklen_t probe_socket_local_address(const struct rpd_endpoint *e, int family,
                                            union endpoint_address *ret)
{
	const struct rpd_endpoint any_ipv4 = {.family = AF_INET, .port = e->port};
	socklen_t length = endpoint_address_get(family == e->family ? e : &any_ipv4, ret);

	if (family == AF_INET && ret->in.sin_addr.s_addr == htonl(INADDR_ANY))
		ret->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&ret->in6.sin6_addr))
		ret->in6.sin6_addr = in6addr_loopback;
	return length;
}

static int probe_socket_open_family(const struct rpd_endpoint *endpoint, int family,
                                    struct rpd_probe *ret_source)
{
	_cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	union endpoint_address address;
	socklen_t length = probe_socket_local_address(endpoint, family, &address);

	if (fd < 0)
		return -errno;
	address.in.sin_port = 0; /* at the same offset in both address types */
	if (bind(fd, &address.sa, length) < 0 || getsockname(fd, &address.sa, &length) < 0)
		return -errno;
	*ret_source = (struct rpd_probe){.family = family, .port = ntohs(address.in.sin_port)};
	if (family == AF_INET6)
		memcpy(ret_source->addr, &address.in6.sin6_addr, sizeof(address.in6.sin6_addr));
	else
		memcpy(ret_source->addr, &address.in.sin_addr, sizeof(address.in.sin_addr));
	return TAKE_FD(fd);
}

int probe_socket_open(const struct rpd_endpoint *endpoint, struct rpd_probe *ret_source)
{
	int fd;

	if (endpoint->ifindex)
		return -EOPNOTSUPP;
	fd = probe_socket_open_family(endpoint, endpoint->family, ret_source);
	/* With IPv6 switched off, a listener on [::] still accepts IPv4. */
	if ((fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT) && probe_socket_is_dual(endpoint))
		fd = probe_socket_open_family(endpoint, AF_INET, ret_source);
	return fd;
}

int probe_socket_connect(const struct rpd_endpoint *endpoint, int fd)
{
	union endpoint_address address;
	socklen_t length;
	int family;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &(socklen_t){sizeof(family)}) < 0)
		return -errno;
	length = probe_socket_local_address(endpoint, family, &address);
	return connect(fd, &address.sa, length) < 0 ? -errno : 0;
}

void probe_socket_knock(const struct rpd_endpoint *endpoint, int fd)
{
	struct pollfd connected = {.fd = fd, .events = POLLOUT};

	/* The listener may be gone by now. Mostly the handshake is complete within connect(), but a
	 * busy kernel may leave packets to a thread of its own. */
	if (probe_socket_connect(endpoint, fd) == -EINPROGRESS)
		poll(&connected, 1, KNOCK_MS);
	close(fd);
}
