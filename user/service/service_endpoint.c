/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/service_endpoint.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "kern/pins.h"
#include "kern/proc.h"
#include "kern/proc_holders.h"
#include "kern/sockdiag.h"
#include "kern/steer_setup.h"
#include "kern/steer_socks.h"

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
		    service_peek(&other, names[i], &ignored) < 0 ||
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

int service_endpoint_borrow_any(const struct listener *listeners, size_t n, struct error *err)
{
	_cleanup_free_ struct holder *holders = NULL;
	size_t n_holders = 0;
	int r = proc_holders_find(listeners, n, &holders, &n_holders, err);

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
	r = service_endpoint_borrow_any(listeners, n, err);
	if (r < 0)
		return r;
	*ret_fd = r;
	return SERVICE_ENDPOINT_BORROWED;
}

int service_endpoint_attach(const struct service *service, unsigned int endpoint, struct error *err)
{
	_cleanup_free_ struct listener *listeners = NULL;
	_cleanup_free_ struct holder *holders = NULL;
	size_t n, n_holders = 0;
	int r = service_endpoint_list(service, endpoint, &listeners, &n, err);

	if (r != SERVICE_ENDPOINT_BORROWED)
		return r;
	r = proc_holders_find(listeners, n, &holders, &n_holders, err);
	if (r == 0)
		r = error_set(err, -EPERM, SERVICE_ENDPOINT_NO_HOLDER, listeners[0].endpoint.port);
	for (size_t i = 0; r < 0 && i < n_holders; i++) {
		_cleanup_listener_ int fd =
		        proc_duplicate_fd(holders[i].id.pid, holders[i].fd, holders[i].inode, err);

		r = fd < 0 ? fd : steer_attach(&service->steer, endpoint, fd);
		if (fd >= 0 && r < 0)
			error_set(err, r, "can't attach the steering program: %s", strerror(-r));
	}
	return r < 0 ? r : SERVICE_ENDPOINT_BORROWED;
}
