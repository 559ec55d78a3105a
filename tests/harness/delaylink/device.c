/* SPDX-License-Identifier: BSD-2-Clause */
#include "device.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "options.h"

#define TX_QUEUE 4096 /* packets that the device holds until they are read */

struct netlink_request {
	struct nlmsghdr header;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg address;
	};
	char attributes[128];
};

static void device_request_init(struct netlink_request *request, uint16_t type, uint16_t flags,
                                size_t body_len)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_len = NLMSG_LENGTH(body_len);
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
}

static void device_request_add(struct netlink_request *request, uint16_t type, const void *data,
                               size_t len)
{
	struct rtattr *attribute =
	        (struct rtattr *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));

	attribute->rta_type = type;
	attribute->rta_len = (uint16_t)RTA_LENGTH(len);
	memcpy(RTA_DATA(attribute), data, len);
	request->header.nlmsg_len =
	        NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
}

/* Sends a request and waits for the reply. Returns 0 or -errno. */
static int device_request_send(int netlink, const struct netlink_request *request)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char rest[512];
	} reply;
	ssize_t n;

	if (send(netlink, request, request->header.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(netlink, &reply, sizeof(reply), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_LENGTH(sizeof(reply.error)) || reply.header.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return reply.error.error;
}

static int device_set_up(int netlink, unsigned index)
{
	const uint32_t mtu = DEVICE_MTU, tx_queue = TX_QUEUE;
	struct netlink_request request;

	device_request_init(&request, RTM_NEWLINK, 0, sizeof(request.link));
	request.link.ifi_family = AF_UNSPEC;
	request.link.ifi_index = (int)index;
	request.link.ifi_flags = request.link.ifi_change = IFF_UP;
	device_request_add(&request, IFLA_MTU, &mtu, sizeof(mtu));
	device_request_add(&request, IFLA_TXQLEN, &tx_queue, sizeof(tx_queue));
	return device_request_send(netlink, &request);
}

/*
 * Adds ADDR/PREFIX. Duplicate address detection is off, as it would keep an IPv6 address unusable
 * for a second. Returns 0 or -errno.
 */
static int device_add_address(int netlink, unsigned index, const char *text)
{
	struct netlink_request request;
	char address[INET6_ADDRSTRLEN + 1];
	uint8_t bytes[sizeof(struct in6_addr)];
	unsigned prefix;
	int end = 0;
	bool v6 = strchr(text, ':');

	if (sscanf(text, "%46[^/]/%u%n", address, &prefix, &end) != 2 || text[end] ||
	    prefix > (v6 ? 128 : 32) || inet_pton(v6 ? AF_INET6 : AF_INET, address, bytes) != 1)
		return -EINVAL;
	device_request_init(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL,
	                    sizeof(request.address));
	request.address.ifa_family = v6 ? AF_INET6 : AF_INET;
	request.address.ifa_prefixlen = (uint8_t)prefix;
	request.address.ifa_flags = IFA_F_NODAD;
	request.address.ifa_index = index;
	device_request_add(&request, IFA_LOCAL, bytes, v6 ? 16 : 4);
	device_request_add(&request, IFA_ADDRESS, bytes, v6 ? 16 : 4);
	return device_request_send(netlink, &request);
}

static int device_create(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		err(EXIT_FAILURE, "/dev/net/tun");
	if (strlen(name) >= IFNAMSIZ)
		errx(EXIT_USAGE, "%s is too long for an interface", name);
	strcpy(ifr.ifr_name, name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		err(EXIT_FAILURE, "create %s", name);
	return fd;
}

static void device_configure(const struct end *end)
{
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), r;
	unsigned index = if_nametoindex(end->name);
	char *list, *at, *address;

	if (netlink < 0 || index == 0)
		err(EXIT_FAILURE, "%s", end->name);
	r = device_set_up(netlink, index);
	if (r < 0)
		errx(EXIT_FAILURE, "%s: up: %s", end->name, strerror(-r));
	at = list = strdup(end->addresses);
	if (!list)
		err(EXIT_FAILURE, "addresses");
	while ((address = strsep(&at, ","))) {
		r = device_add_address(netlink, index, address);
		if (r < 0)
			errx(r == -EINVAL ? EXIT_USAGE : EXIT_FAILURE, "%s: address %s: %s",
			     end->name, address, strerror(-r));
	}
	free(list);
	close(netlink);
}

/*
 * A tun device belongs to the namespace where /dev/net/tun was opened, even if the process
 * changes its namespace later.
 */
void device_open(struct end *end)
{
	bool elsewhere = strcmp(end->netns, "self") != 0;
	int home = -1;

	if (elsewhere) {
		int netns = open(end->netns, O_RDONLY | O_CLOEXEC);

		home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		if (netns < 0 || home < 0 || setns(netns, CLONE_NEWNET) < 0)
			err(EXIT_FAILURE, "network namespace %s", end->netns);
		close(netns);
	}
	end->tun = device_create(end->name);
	device_configure(end);
	if (elsewhere) {
		if (setns(home, CLONE_NEWNET) < 0)
			err(EXIT_FAILURE, "own network namespace");
		close(home);
	}
}
