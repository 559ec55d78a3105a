/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/sockets.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "kern/sockdiag.h"
#include "kern/sockdiag_conn.h"
#include "kern/steer.h"

/* With more ports, the listeners of the host are listed once: a list of one port takes the kernel
 * about as long as a list of all. */
#define SOCKETS_PORTS_MAX 4

/* The ports of the endpoints, each once. Returns how many there are. */
static size_t sockets_list_ports(const struct service *service, uint16_t ret[RPD_ENDPOINT_MAX])
{
	const struct rpd_service *info = service->steer.service;
	size_t n = 0;

	for (unsigned int e = 0; e < info->n_endpoints; e++) {
		size_t i = 0;

		if (!steer_has_endpoint(&service->steer, e))
			continue;
		while (i < n && ret[i] != info->endpoints[e].port)
			i++;
		ret[i] = info->endpoints[e].port;
		n += i == n;
	}
	return n;
}

/* An array of rows of any kind that grows port by port. */
struct sockets_rows {
	void *all;
	size_t n;
};

static int sockets_append(struct sockets_rows *rows, const void *more, size_t n, size_t size,
                          struct error *err)
{
	char *all = reallocarray(rows->all, rows->n + n + 1, size);

	if (!all)
		return error_set(err, -ENOMEM, "out of memory");
	if (n)
		memcpy(all + rows->n * size, more, n * size);
	rows->all = all;
	rows->n += n;
	return 0;
}

static bool sockets_has_port(const uint16_t *ports, size_t n, uint16_t port)
{
	for (size_t i = 0; i < n; i++)
		if (ports[i] == port)
			return true;
	return false;
}

static int sockets_listeners_of_many(const uint16_t *ports, size_t n_ports, struct listener **ret,
                                     size_t *ret_n, struct error *err)
{
	struct listener *all = NULL;
	size_t n = 0, kept = 0;
	int r = sockdiag_list_listeners(0, &all, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (sockets_has_port(ports, n_ports, all[i].endpoint.port))
			all[kept++] = all[i];
	*ret = all;
	*ret_n = kept;
	return 0;
}

int sockets_listeners(const struct service *service, struct listener **ret, size_t *ret_n,
                      struct error *err)
{
	uint16_t ports[RPD_ENDPOINT_MAX];
	size_t n_ports = sockets_list_ports(service, ports);
	struct sockets_rows rows = {};
	int r = 0;

	if (n_ports > SOCKETS_PORTS_MAX)
		return sockets_listeners_of_many(ports, n_ports, ret, ret_n, err);
	for (size_t i = 0; r == 0 && i < n_ports; i++) {
		_cleanup_free_ struct listener *some = NULL;
		size_t n;

		r = sockdiag_list_listeners(ports[i], &some, &n, err);
		if (r == 0)
			r = sockets_append(&rows, some, n, sizeof(*some), err);
	}
	if (r < 0) {
		free(rows.all);
		return r;
	}
	*ret = rows.all;
	*ret_n = rows.n;
	return 0;
}

int sockets_connections(const struct service *service, bool info, struct connection **ret,
                        size_t *ret_n, struct error *err)
{
	uint16_t ports[RPD_ENDPOINT_MAX];
	size_t n_ports = sockets_list_ports(service, ports);
	struct sockets_rows rows = {};
	int r = 0;

	for (size_t i = 0; r == 0 && i < n_ports; i++) {
		_cleanup_free_ struct connection *some = NULL;
		size_t n;

		r = sockdiag_conn_list(ports[i], info, &some, &n, err);
		if (r == 0)
			r = sockets_append(&rows, some, n, sizeof(*some), err);
	}
	if (r < 0) {
		free(rows.all);
		return r;
	}
	*ret = rows.all;
	*ret_n = rows.n;
	return 0;
}
