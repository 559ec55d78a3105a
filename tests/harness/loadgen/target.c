/* SPDX-License-Identifier: BSD-2-Clause */
#include "target.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"

#define LOOPBACK_SOURCES 16

static void target_set_request(struct target *target, const struct options *options)
{
	bool close_after = !options->hold && options->keepalive == 1;
	int n;

	if (options->request)
		n = asprintf(&target->request, "%s", options->request);
	else
		n = asprintf(&target->request, "GET / HTTP/1.1\r\nHost: %s\r\n%s\r\n",
		             target->address.text, close_after ? "Connection: close\r\n" : "");
	if (n < 0)
		err(EXIT_FAILURE, "request");
	target->request_len = (size_t)n;
}

static bool target_is_loopback(const struct address *address)
{
	return address->any.sa_family == AF_INET &&
	       ntohl(address->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static void target_set_sources(struct target *target, const struct options *options)
{
	for (size_t i = 0; i < options->sources.n; i++) {
		const struct address *source = &options->sources.list[i];

		if (source->any.sa_family == target->address.any.sa_family)
			addresses_add(&target->sources, source);
	}
	if (options->sources.n && !target->sources.n)
		errx(EXIT_USAGE, "target %s: no --source is of its family", target->address.text);
	if (options->sources.n || !target_is_loopback(&target->address))
		return;
	for (uint32_t i = 0; i < LOOPBACK_SOURCES; i++) {
		const struct address source = {
		        .in = {.sin_family = AF_INET,
		               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i)},
		        .len = sizeof(source.in),
		};

		addresses_add(&target->sources, &source);
	}
}

struct target *targets_new(const struct options *options)
{
	struct target *targets = calloc(options->targets.n, sizeof(*targets));

	if (!targets)
		err(EXIT_FAILURE, "targets");
	for (size_t i = 0; i < options->targets.n; i++) {
		targets[i].address = options->targets.list[i];
		target_set_request(&targets[i], options);
		target_set_sources(&targets[i], options);
	}
	return targets;
}

void targets_free(struct target *targets, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(targets[i].request);
		free(targets[i].sources.list);
	}
	free(targets);
}

static int target_connect_from(const struct target *target, const struct address *source)
{
	const struct address *to = &target->address;
	const int on = 1;
	_cleanup_close_ int fd =
	        socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (source) {
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
		if (bind(fd, &source->any, source->len) < 0)
			return -errno;
	}
	if (connect(fd, &to->any, to->len) < 0 && errno != EINPROGRESS)
		return -errno;
	return TAKE_FD(fd);
}

/* Skips a source address without a free port. */
int target_connect(struct target *target)
{
	const struct addresses *sources = &target->sources;
	size_t tries = sources->n;
	int fd;

	if (sources->n == 0)
		return target_connect_from(target, NULL);
	do {
		fd = target_connect_from(target,
		                         &sources->list[target->source_turn++ % sources->n]);
	} while (fd == -EADDRNOTAVAIL && --tries > 0);
	return fd;
}
