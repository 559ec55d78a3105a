/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * delaylink: a link with a delay between two network namespaces, for kernels without netem. It puts
 * a tun device into each namespace and carries every IP packet from one to the other after a fixed
 * one-way delay, in order. A packet that finds the queue full is dropped and counted, as a router
 * would.
 *
 * It is not for jitter, loss, bandwidth limits or Ethernet frames. The devices live as long as the
 * program does. Both directions share one thread, so the link carries some 100,000 packets/s.
 */
#include <argp.h>
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EXIT_USAGE 2

#define MTU         1500
#define TX_QUEUE    4096 /* packets that wait in the device to be read */
#define BATCH       32   /* packets read from one end before the other gets its turn */
#define DELAY_MAX   10000000
#define NS_PER_SEC  1000000000ULL
#define NS_PER_USEC 1000ULL

struct end {
	const char *netns; /* a path, or "self" */
	const char *name;
	const char *addresses; /* ADDR/PREFIX,... */
	int tun;
};

struct options {
	struct end ends[2];
	uint64_t delay_us;
	size_t queue;
};

struct packet {
	STAILQ_ENTRY(packet) next;
	uint64_t due_ns;
	size_t len;
	uint8_t data[MTU];
};

STAILQ_HEAD(packet_list, packet);

struct direction {
	const struct end *from, *to;
	uint64_t delay_ns;
	struct packet *pool;
	struct packet_list waiting; /* by due_ns, as the delay is always the same */
	struct packet_list unused;  /* filled and emptied at its head: the memory stays warm */
	uint64_t delivered;
	uint64_t dropped; /* found the queue full */
	uint64_t refused; /* by the other end's kernel */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Setting up an end */

struct netlink_request {
	struct nlmsghdr header;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg address;
	};
	char attributes[128];
};

static void request_init(struct netlink_request *request, uint16_t type, uint16_t flags,
                         size_t body_len)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_len = NLMSG_LENGTH(body_len);
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
}

static void request_add(struct netlink_request *request, uint16_t type, const void *data,
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

/* Sends a request and waits for the answer. Returns 0 or -errno. */
static int request_send(int netlink, const struct netlink_request *request)
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

static int device_up(int netlink, unsigned index)
{
	const uint32_t mtu = MTU, tx_queue = TX_QUEUE;
	struct netlink_request request;

	request_init(&request, RTM_NEWLINK, 0, sizeof(request.link));
	request.link.ifi_family = AF_UNSPEC;
	request.link.ifi_index = (int)index;
	request.link.ifi_flags = request.link.ifi_change = IFF_UP;
	request_add(&request, IFLA_MTU, &mtu, sizeof(mtu));
	request_add(&request, IFLA_TXQLEN, &tx_queue, sizeof(tx_queue));
	return request_send(netlink, &request);
}

/* Without duplicate address detection, which would keep an IPv6 address unusable for a second. */
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
	request_init(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof(request.address));
	request.address.ifa_family = v6 ? AF_INET6 : AF_INET;
	request.address.ifa_prefixlen = (uint8_t)prefix;
	request.address.ifa_flags = IFA_F_NODAD;
	request.address.ifa_index = index;
	request_add(&request, IFA_LOCAL, bytes, v6 ? 16 : 4);
	request_add(&request, IFA_ADDRESS, bytes, v6 ? 16 : 4);
	return request_send(netlink, &request);
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
	r = device_up(netlink, index);
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

/* A tun device belongs to the namespace in which /dev/net/tun was opened, wherever we are later. */
static void end_open(struct end *end)
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

/* Forwarding */

static void direction_init(struct direction *direction, const struct end *from,
                           const struct end *to, const struct options *options)
{
	*direction = (struct direction){
	        .from = from,
	        .to = to,
	        .delay_ns = options->delay_us * NS_PER_USEC,
	        .pool = calloc(options->queue, sizeof(*direction->pool)),
	};
	if (!direction->pool)
		err(EXIT_FAILURE, "queue of %zu packets", options->queue);
	STAILQ_INIT(&direction->waiting);
	STAILQ_INIT(&direction->unused);
	for (size_t i = 0; i < options->queue; i++)
		STAILQ_INSERT_TAIL(&direction->unused, &direction->pool[i], next);
}

/* Takes in what has come, up to a batch. */
static void direction_take(struct direction *direction)
{
	struct packet overflow;

	for (int i = 0; i < BATCH; i++) {
		struct packet *packet = STAILQ_FIRST(&direction->unused);
		bool full = !packet;
		ssize_t n;

		if (full)
			packet = &overflow;
		n = read(direction->from->tun, packet->data, sizeof(packet->data));
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			err(EXIT_FAILURE, "%s in %s", direction->from->name,
			    direction->from->netns);
		if (full) {
			direction->dropped++;
			continue;
		}
		packet->len = (size_t)n;
		packet->due_ns = now_ns() + direction->delay_ns;
		STAILQ_REMOVE_HEAD(&direction->unused, next);
		STAILQ_INSERT_TAIL(&direction->waiting, packet, next);
	}
}

static uint64_t direction_due_ns(const struct direction *direction)
{
	const struct packet *first = STAILQ_FIRST(&direction->waiting);

	return first ? first->due_ns : UINT64_MAX;
}

/* Hands over what is due, up to a batch. */
static void direction_give(struct direction *direction)
{
	for (int i = 0; i < BATCH && direction_due_ns(direction) <= now_ns(); i++) {
		struct packet *packet = STAILQ_FIRST(&direction->waiting);

		if (write(direction->to->tun, packet->data, packet->len) == (ssize_t)packet->len)
			direction->delivered++;
		else
			direction->refused++;
		STAILQ_REMOVE_HEAD(&direction->waiting, next);
		STAILQ_INSERT_HEAD(&direction->unused, packet, next);
	}
}

static int wait_for_packets(struct pollfd *fds, nfds_t n, const struct direction *directions)
{
	uint64_t due = direction_due_ns(&directions[0]), other = direction_due_ns(&directions[1]);
	uint64_t now = now_ns();
	struct timespec timeout = {0};

	due = other < due ? other : due;
	if (due != UINT64_MAX && due > now) {
		timeout.tv_sec = (time_t)((due - now) / NS_PER_SEC);
		timeout.tv_nsec = (long)((due - now) % NS_PER_SEC);
	}
	return ppoll(fds, n, due == UINT64_MAX ? NULL : &timeout, NULL);
}

/* Until a signal comes, or the end of the program when a device is deleted: then reading fails. */
static void forward(struct direction *directions, int signals)
{
	struct pollfd fds[] = {
	        {.fd = directions[0].from->tun, .events = POLLIN},
	        {.fd = directions[1].from->tun, .events = POLLIN},
	        {.fd = signals, .events = POLLIN},
	};

	while (!fds[2].revents) {
		if (wait_for_packets(fds, 3, directions) < 0 && errno != EINTR)
			err(EXIT_FAILURE, "ppoll");
		for (int i = 0; i < 2; i++) {
			if (fds[i].revents)
				direction_take(&directions[i]);
		}
		direction_give(&directions[0]);
		direction_give(&directions[1]);
	}
}

static void direction_report(const struct direction *direction)
{
	fprintf(stderr,
	        "%s to %s: %" PRIu64 " delivered, %" PRIu64 " dropped (queue full), %" PRIu64
	        " refused\n",
	        direction->from->name, direction->to->name, direction->delivered,
	        direction->dropped, direction->refused);
}

/* Options */

enum {
	OPT_NAME_A = 0x100,
	OPT_NAME_B,
	OPT_ADDR_A,
	OPT_ADDR_B,
	OPT_DELAY,
	OPT_QUEUE,
};

static const struct argp_option option_table[] = {
        {"a", 'a', "NETNS", 0, "One end's namespace: a path such as /proc/PID/ns/net, or self"},
        {"b", 'b', "NETNS", 0, "The other end's"},
        {"name-a", OPT_NAME_A, "IF", 0, "Interface to make there (default link-a)"},
        {"name-b", OPT_NAME_B, "IF", 0, "(default link-b)"},
        {"addr-a", OPT_ADDR_A, "ADDR/LEN,...", 0, "Its addresses, IPv4 and IPv6"},
        {"addr-b", OPT_ADDR_B, "ADDR/LEN,...", 0, 0},
        {"delay-us", OPT_DELAY, "US", 0, "One-way delay (default 5000)"},
        {"queue", OPT_QUEUE, "N", 0, "Packets under way in each direction (default 16384)"},
        {0},
};

static uint64_t parse_number(const char *text, const char *what, uint64_t min, uint64_t max,
                             struct argp_state *state)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || value < min || value > max)
		argp_error(state, "%s: %s is not a number from %" PRIu64 " to %" PRIu64, what, text,
		           min, max);
	return value;
}

static void check_options(const struct options *options, struct argp_state *state)
{
	for (int i = 0; i < 2; i++) {
		if (!options->ends[i].netns || !options->ends[i].addresses)
			argp_error(state, "--%c and --addr-%c are needed", 'a' + i, 'a' + i);
	}
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case 'a':
	case 'b':
		options->ends[key - 'a'].netns = arg;
		return 0;
	case OPT_NAME_A:
	case OPT_NAME_B:
		options->ends[key - OPT_NAME_A].name = arg;
		return 0;
	case OPT_ADDR_A:
	case OPT_ADDR_B:
		options->ends[key - OPT_ADDR_A].addresses = arg;
		return 0;
	case OPT_DELAY:
		options->delay_us = parse_number(arg, "delay", 0, DELAY_MAX, state);
		return 0;
	case OPT_QUEUE:
		options->queue = (size_t)parse_number(arg, "queue", 1, 1 << 20, state);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "%s: what is that?", arg);
		return 0;
	case ARGP_KEY_END:
		check_options(options, state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
        .options = option_table,
        .parser = parse_option,
        .doc = "Joins two network namespaces by a link with a delay.\v"
               "Prints \"ready\" when the link is up. SIGTERM and SIGINT end it and its "
               "interfaces; what was carried and dropped is then written to standard error.",
};

static int open_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		err(EXIT_FAILURE, "signalfd");
	return fd;
}

int main(int argc, char **argv)
{
	struct options options = {
	        .ends = {{.name = "link-a", .tun = -1}, {.name = "link-b", .tun = -1}},
	        .delay_us = 5000,
	        .queue = 16384,
	};
	struct end *ends = options.ends;
	struct direction directions[2];
	int signals;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&parser, argc, argv, 0, NULL, &options);
	signals = open_signals();
	/* The default slack of 50 us would be added to every delay. */
	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	end_open(&ends[0]);
	end_open(&ends[1]);
	direction_init(&directions[0], &ends[0], &ends[1], &options);
	direction_init(&directions[1], &ends[1], &ends[0], &options);
	puts("ready");
	fflush(stdout);
	forward(directions, signals);
	for (int i = 0; i < 2; i++) {
		direction_report(&directions[i]);
		free(directions[i].pool);
		close(ends[i].tun);
	}
	close(signals);
	return EXIT_SUCCESS;
}
