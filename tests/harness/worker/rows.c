/* SPDX-License-Identifier: BSD-2-Clause */
#include "rows.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void rows_set_option(int fd, int level, int name, const char *what, int value)
{
	if (setsockopt(fd, level, name, &value, sizeof(value)) < 0)
		err(EXIT_FAILURE, "%s", what);
}

static int rows_open_listener(const struct options *options, const struct address *address)
{
	int flags = SOCK_STREAM | SOCK_CLOEXEC | (options->blocking ? 0 : SOCK_NONBLOCK);
	int fd = socket(address->any.sa_family, flags, 0);

	if (fd < 0)
		err(EXIT_FAILURE, "socket for %s", address->text);
	rows_set_option(fd, SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", 1);
	if (!options->no_reuseport)
		rows_set_option(fd, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT", 1);
	if (address->any.sa_family == AF_INET6)
		rows_set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY", options->v6only);
	if (options->device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options->device,
	                                  (socklen_t)strlen(options->device)) < 0)
		err(EXIT_FAILURE, "device %s", options->device);
	if (bind(fd, &address->any, address->len) < 0)
		err(EXIT_FAILURE, "bind %s port %u", address->text, address_port(address));
	if (listen(fd, options->backlog) < 0)
		err(EXIT_FAILURE, "listen %s port %u", address->text, address_port(address));
	return fd;
}

static uint16_t rows_listener_port(int fd)
{
	struct address address;

	address.len = sizeof(address.in6);
	if (getsockname(fd, &address.any, &address.len) < 0)
		err(EXIT_FAILURE, "getsockname");
	return address_port(&address);
}

/* With port 0 the kernel chooses a port for the first listener, and the others use the same port.
 */
void rows_open(struct rows *rows, const struct options *options)
{
	rows->options = options;
	rows->port = options->port;
	rows->n = options->shared ? 1 : options->lanes;
	rows->listeners = calloc(rows->n * options->n_addresses, sizeof(int));
	if (!rows->listeners)
		err(EXIT_FAILURE, "listeners");
	for (unsigned row = 0; row < rows->n; row++) {
		for (size_t i = 0; i < options->n_addresses; i++) {
			struct address address = options->addresses[i];
			int fd;

			address_set_port(&address, rows->port);
			fd = rows_open_listener(options, &address);
			rows_get(rows, row)[i] = fd;
			if (rows->port == 0)
				rows->port = rows_listener_port(fd);
		}
	}
}

int *rows_get(const struct rows *rows, unsigned number)
{
	return rows->listeners + (number % rows->n) * rows->options->n_addresses;
}

void rows_close_others(struct rows *rows, unsigned first, unsigned n)
{
	first %= rows->n;
	for (unsigned row = 0; row < rows->n; row++) {
		int *listeners = rows_get(rows, row);

		if (row >= first && row < first + n)
			continue;
		for (size_t i = 0; i < rows->options->n_addresses; i++) {
			if (listeners[i] >= 0)
				close(listeners[i]);
			listeners[i] = -1;
		}
	}
}

void rows_deinit(struct rows *rows)
{
	free(rows->listeners);
}
