/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/service_endpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "core/roster.h"
#include "kern/pins.h"
#include "kern/proc.h"
#include "kern/sockdiag.h"
#include "kern/steer_borrowed.h"
#include "kern/steer_setup.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "service/service_holders.h"

/* A process may keep us waiting, and others may have the same listener. */
#define SERVICE_ENDPOINT_TRIES 16

#define SERVICE_ENDPOINT_NO_HOLDER                                                                 \
	"port %u: no process that has a listener open can be seen in /proc (another PID "          \
	"namespace?); run reuseportd where it can be seen"

int service_endpoint_index(const struct service *service, const struct rpd_endpoint *endpoint)
{
	const struct rpd_service *info = service->steer.service;

	return endpoint_find(info->endpoints, info->n_endpoints, endpoint);
}

/*
 * A group has one program, so with ours the workers of the other service would get no connection
 * any more. Only reads the other services: two commands that locked each other's services would
 * wait for ever. If two commands add the same endpoint at the same moment, the kernel refuses the
 * first listener that is in both services.
 */
static int service_endpoint_check_free(const struct service *service,
                                       const struct rpd_endpoint *endpoint, struct error *err)
{
	_cleanup_free_ char(*names)[RPD_LABEL_MAX] = NULL;
	char text[ENDPOINT_TEXT_MAX];
	size_t n = 0;
	int r = pins_list_services(&names, &n, err);

	for (size_t i = 0; r == 0 && i < n; i++) {
		_cleanup_service_ struct service other;
		struct error ignored;

		service_init(&other);
		if (strcmp(names[i], service->pins.service) == 0 ||
		    service_peek_endpoints(&other, names[i], &ignored) < 0 ||
		    other.steer.service->netns_cookie != service->steer.service->netns_cookie ||
		    service_endpoint_index(&other, endpoint) < 0)
			continue;
		return error_set(err, -EADDRINUSE,
		                 "%s belongs to service '%s' already; `reuseportd status %s` shows "
		                 "it, `reuseportd %s %s` ends it",
		                 endpoint_format(endpoint, text, sizeof(text)), names[i], names[i],
		                 service_is_run(&other) ? "stop" : "detach", names[i]);
	}
	return r;
}

int service_endpoint_add(struct service *service, const struct rpd_endpoint *endpoint,
                         struct error *err)
{
	int r = service_endpoint_check_free(service, endpoint, err);

	return r < 0 ? r
	             : steer_setup_add_endpoint(&service->steer, &service->pins, endpoint, 0, err);
}

/* The name of the service if it is run, or NULL. The maps may be missing from a service that is
 * half removed. */
static const char *service_endpoint_run_name(const struct service *service)
{
	return service->steer.service && service_is_run(service) ? service->pins.service : NULL;
}

int service_endpoint_borrow_any(const struct service *service, const struct listener *listeners,
                                size_t n, struct error *err)
{
	_cleanup_free_ struct holder *holders = NULL;
	size_t n_holders = 0;
	int r = service_holders_find_any(service_endpoint_run_name(service), listeners, n, &holders,
	                                 &n_holders, err);

	if (r < 0)
		return r;
	r = error_set(err, -EPERM, SERVICE_ENDPOINT_NO_HOLDER, listeners[0].endpoint.port);
	for (size_t i = 0; r < 0 && i < n_holders; i++)
		r = proc_duplicate_fd(holders[i].id.pid, holders[i].fd, holders[i].inode, err);
	return r;
}

/* No process is in the workers' network namespace. Either the namespace is gone, or its processes
 * can't be seen: then some of their listeners are still in the slots. */
static int service_endpoint_unreachable(const struct service *service, unsigned int endpoint,
                                        struct error *err)
{
	for (unsigned int slot = 0; slot < RPD_SLOT_MAX; slot++)
		if (steer_socks_cookie(&service->steer, endpoint, slot))
			return error_set(
			        err, -EPERM,
			        "no process of the workers' network namespace can be seen in "
			        "/proc (another PID namespace?); run reuseportd where they "
			        "can be seen");
	error_set(err, -ENOENT, "the workers' network namespace is gone");
	return SERVICE_ENDPOINT_NO_MEMBER;
}

/* Lists the members of the endpoint's group. Returns an enum service_endpoint_member or a negative
 * errno. */
static int service_endpoint_list(const struct service *service, unsigned int endpoint,
                                 struct listener **ret, size_t *ret_n, struct error *err)
{
	const struct rpd_endpoint *it = &service->steer.service->endpoints[endpoint];
	_cleanup_free_ struct listener *listeners = NULL;
	char text[ENDPOINT_TEXT_MAX];
	size_t n, members = 0;
	int r;

	if (!service->reachable)
		return service_endpoint_unreachable(service, endpoint, err);
	r = sockdiag_list_listeners(it->port, &listeners, &n, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		if (endpoint_equal(&listeners[i].endpoint, it))
			listeners[members++] = listeners[i];
	if (members == 0) {
		error_set(err, -ENOENT, "nothing listens on %s any more",
		          endpoint_format(it, text, sizeof(text)));
		return SERVICE_ENDPOINT_NO_MEMBER;
	}
	*ret = TAKE_PTR(listeners);
	*ret_n = members;
	return SERVICE_ENDPOINT_BORROWED;
}

int service_endpoint_borrow(const struct service *service, unsigned int endpoint, int *ret_fd,
                            struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	size_t n;
	int r = service_endpoint_list(service, endpoint, &listeners, &n, err);

	if (r != SERVICE_ENDPOINT_BORROWED)
		return r;
	r = service_endpoint_borrow_any(service, listeners, n, err);
	if (r < 0)
		return r;
	*ret_fd = r;
	return SERVICE_ENDPOINT_BORROWED;
}

/* A search for a listener of each endpoint in a process. */
struct service_endpoint_search {
	const struct service *service;
	const struct listener *listeners; /* in the order of their inodes */
	size_t n;
	uint32_t pid;
	int *fds;           /* by endpoint */
	unsigned int found; /* how many of them there are */
};

static int service_endpoint_compare_inodes(const void *a, const void *b)
{
	const struct listener *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

static void service_endpoint_on_socket(int fd, uint32_t inode, void *data)
{
	struct service_endpoint_search *search = data;
	const struct listener key = {.inode = inode};
	const struct listener *it = bsearch(&key, search->listeners, search->n, sizeof(key),
	                                    service_endpoint_compare_inodes);
	const int e = it ? service_endpoint_index(search->service, &it->endpoint) : -1;
	struct error ignored;
	int r;

	if (e < 0 || search->fds[e] >= 0)
		return;
	r = proc_duplicate_fd(search->pid, fd, inode, &ignored);
	if (r < 0)
		return;
	search->fds[e] = r;
	search->found++;
}

void service_endpoint_borrow_from_workers(const struct service *service,
                                          int ret_fds[RPD_ENDPOINT_MAX])
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct service_endpoint_search search = {.service = service, .fds = ret_fds};
	const unsigned int wanted = steer_count_endpoints(&service->steer);
	struct error ignored;

	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		ret_fds[e] = -1;
	/* The maps may be missing from a service that is half removed. */
	if (!service->reachable || !service->steer.control || !service->steer.schedules ||
	    sockdiag_list_listeners(0, &listeners, &search.n, &ignored) < 0 || search.n == 0)
		return;
	qsort(listeners, search.n, sizeof(*listeners), service_endpoint_compare_inodes);
	search.listeners = listeners;
	for (unsigned int slot = 0;
	     slot < steer_schedule(&service->steer)->n_slots && search.found < wanted; slot++) {
		struct rpd_worker worker;

		if (steer_workers_get(&service->steer, slot, &worker) < 0 || !worker.pid ||
		    worker.pid == search.pid)
			continue;
		search.pid = worker.pid;
		proc_list_sockets(worker.pid, service_endpoint_on_socket, &search);
	}
}

/* Attaches the program through any of the holders. Returns 0, or a negative errno with @err set;
 * -ESRCH, with @err unchanged, if there is no holder. */
static int service_endpoint_try_holders(const struct service *service, unsigned int endpoint,
                                        const struct holder *holders, size_t n, struct error *err)
{
	int r = -ESRCH;

	for (size_t i = 0; r < 0 && i < n && i < SERVICE_ENDPOINT_TRIES; i++) {
		_cleanup_listener_ int fd =
		        proc_duplicate_fd(holders[i].id.pid, holders[i].fd, holders[i].inode, err);

		r = fd < 0 ? fd
		           : steer_borrowed_attach(&service->steer, endpoint, fd,
		                                   holders[i].id.pid);
		if (fd >= 0 && r < 0)
			error_set(err, r,
			          "can't attach the steering program by a listener of pid %u: %s",
			          holders[i].id.pid, steer_borrowed_why(r));
	}
	return r;
}

int service_endpoint_attach(const struct service *service, unsigned int endpoint, struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_free_ struct holder *holders = NULL;
	size_t n, n_holders = 0;
	int r = service_endpoint_list(service, endpoint, &listeners, &n, err);

	if (r != SERVICE_ENDPOINT_BORROWED)
		return r;
	r = service_holders_find_any(service_endpoint_run_name(service), listeners, n, &holders,
	                             &n_holders, err);
	if (r == 0 && n_holders == 0)
		r = error_set(err, -EPERM, SERVICE_ENDPOINT_NO_HOLDER, listeners[0].endpoint.port);
	if (r == 0)
		r = service_endpoint_try_holders(service, endpoint, holders, n_holders, err);
	return r < 0 ? r : SERVICE_ENDPOINT_BORROWED;
}

int service_endpoint_attach_by(const struct service *service, unsigned int endpoint,
                               const struct listener *listeners, size_t n,
                               const struct holder *holders, size_t n_holders, struct error *err)
{
	struct error ignored;

	for (size_t i = 0; i < n; i++) {
		size_t held;
		const struct holder *of =
		        roster_find_holders(holders, n_holders, listeners[i].inode, &held);

		if (service_endpoint_try_holders(service, endpoint, of, held, &ignored) == 0)
			return SERVICE_ENDPOINT_BORROWED;
	}
	return service_endpoint_attach(service, endpoint, err);
}
