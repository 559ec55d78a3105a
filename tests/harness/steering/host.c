/* SPDX-License-Identifier: BSD-2-Clause */
#include "steering/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "check/check.h"
#include "check/namespaces.h"

void host_sysctl(const char *name, int value)
{
	char path[128], text[16];
	_cleanup_close_ int fd = -1;
	const int n = snprintf(text, sizeof(text), "%d", value);

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK_EQ(write(fd, text, (size_t)n), n);
}

void host_add_address(const struct in6_addr *a)
{
	/* struct in6_ifreq of <linux/ipv6.h>, which conflicts with <netinet/in.h>. */
	struct {
		struct in6_addr address;
		uint32_t prefix_length;
		int ifindex;
	} request = {.address = *a, .prefix_length = 128, .ifindex = NAMESPACES_LOOPBACK};
	const struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = *a};
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	CHECK(ioctl(fd, SIOCSIFADDR, &request) == 0 || errno == EEXIST);
	/* It is usable once the kernel has found no duplicate of it. */
	CHECK_UNTIL(bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0);
}
