/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/discover_scene.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "core/roster.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/sockdiag.h"

/* Each takes a child (proc_duplicate_fd()), and any user may have thousands. */
#define DISCOVER_ASKED_MAX 256

void discover_scene_free(struct discover_scene *scene)
{
	free(scene->listeners);
	free(scene->holders);
	memset(scene, 0, sizeof(*scene));
}

static int discover_scene_compare(const void *a, const void *b)
{
	const struct listener *x = a, *y = b;

	return endpoint_compare(&x->endpoint, &y->endpoint);
}

bool discover_scene_is_wanted(const struct discover_wanted *wanted,
                              const struct rpd_endpoint *endpoint)
{
	for (size_t i = 0; i < wanted->n_addresses; i++)
		if (endpoint_has_address(endpoint, wanted->addresses[i].family,
		                         wanted->addresses[i].addr))
			return true;
	return wanted->n_addresses == 0;
}

int discover_scene_read(const struct discover_wanted *wanted, struct discover_scene *ret,
                        struct error *err)
{
	_cleanup_discover_scene_ struct discover_scene scene = {};
	size_t n, kept = 0;
	int r = sockdiag_list_listeners(wanted->port, &scene.listeners, &n, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (discover_scene_is_wanted(wanted, &scene.listeners[i].endpoint))
			scene.listeners[kept++] = scene.listeners[i];
	scene.n_listeners = kept;
	if (kept) {
		qsort(scene.listeners, kept, sizeof(*scene.listeners), discover_scene_compare);
		r = proc_holders_find(scene.listeners, kept, &scene.holders, &scene.n_holders, err);
	}
	if (r < 0)
		return r;
	*ret = scene;
	memset(&scene, 0, sizeof(scene)); /* handed on */
	return 0;
}

size_t discover_scene_port_length(const struct discover_scene *scene, size_t first)
{
	size_t n = 1;

	while (first + n < scene->n_listeners &&
	       scene->listeners[first + n].endpoint.port == scene->listeners[first].endpoint.port)
		n++;
	return n;
}

bool discover_scene_holds(const struct discover_scene *scene, uint32_t pid,
                          const struct listener *listeners, size_t n)
{
	for (size_t h = 0; h < scene->n_holders; h++)
		for (size_t i = 0; i < n && scene->holders[h].id.pid == pid; i++)
			if (scene->holders[h].inode == listeners[i].inode)
				return true;
	return false;
}

const char *discover_scene_comm(const struct discover_scene *scene, const struct listener *listener)
{
	size_t n;
	const struct holder *of =
	        roster_find_holders(scene->holders, scene->n_holders, listener->inode, &n);

	return n ? of->comm : "an unknown process";
}

bool discover_scene_is_full(const struct discover_scene *scene)
{
	return scene->n_asked > DISCOVER_ASKED_MAX;
}

int discover_scene_full_error(struct error *err)
{
	return error_set(err, -E2BIG,
	                 "there are too many listeners without others on their address to examine "
	                 "each of them; name the port with --port, and the address with --address");
}

/* sock_diag doesn't report the option, so ask a duplicate. */
int discover_scene_has_reuseport(struct discover_scene *scene, const struct listener *listener,
                                 struct error *err)
{
	size_t n;
	const struct holder *of =
	        roster_find_holders(scene->holders, scene->n_holders, listener->inode, &n);
	int on = 0;

	if (scene->n_asked++ >= DISCOVER_ASKED_MAX)
		return discover_scene_full_error(err);
	for (const struct holder *holder = of; holder < of + n; holder++) {
		_cleanup_listener_ int fd =
		        proc_duplicate_fd(holder->id.pid, holder->fd, holder->inode, err);
		socklen_t size = sizeof(on);

		if (fd == -ESRCH || fd == -EBADF)
			continue; /* the process or its descriptor has gone meanwhile */
		if (fd < 0)
			return fd;
		if (getsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, &size) < 0)
			return error_set(err, -errno,
			                 "can't read SO_REUSEPORT of a listener of pid %u: %s",
			                 holder->id.pid, strerror(errno));
		return !!on;
	}
	return 0;
}
