/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/parking.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "kern/own_listener.h"
#include "kern/probe_socket.h"
#include "kern/sockdiag.h"
#include "kern/steer_members.h"
#include "kern/steer_probes.h"
#include "kern/steer_socks.h"

#define PARKING_WHAT "park connections"

void parking_init(struct parking *parking)
{
	memset(parking->fds, -1, sizeof(parking->fds));
	memset(parking->closed, 0, sizeof(parking->closed));
}

void parking_close(struct parking *parking)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++) {
		cleanup_close(&parking->fds[e]);
		parking->fds[e] = -1;
	}
}

static int parking_explain(const char *what, int r, struct error *err)
{
	return error_set(err, r, "can't %s: %s", what, strerror(-r));
}

int parking_open_listener(struct service *service, unsigned int endpoint, const char *what,
                          struct error *err)
{
	const struct rpd_member member = {.slot = RPD_SLOT_PARKING,
	                                  .version = RPD_NO_VERSION,
	                                  .account = RPD_ACCOUNT_PARKED,
	                                  .endpoint = endpoint};
	_cleanup_close_ int fd =
	        own_listener_open(&service->steer.service->endpoints[endpoint], -1, err);
	uint64_t cookie;
	int r;

	if (fd < 0)
		return fd;
	r = sockdiag_socket_cookie(fd, &cookie);
	if (r == 0)
		r = steer_members_set(&service->steer, cookie, &member);
	return r < 0 ? parking_explain(what, r, err) : TAKE_FD(fd);
}

/* Opens a parking listener and puts it in place of the present one. The program is attached to the
 * endpoint's group if it was not before. While connections are refused, the program can't select
 * the listener. Connections that can't be counted are parked all the same. */
static int parking_place(const struct parking *parking, struct service *service,
                         unsigned int endpoint, struct error *err)
{
	_cleanup_close_ int fd = parking_open_listener(service, endpoint, PARKING_WHAT, err);
	int r;

	if (fd < 0)
		return fd;
	r = steer_attach(&service->steer, endpoint, fd);
	if (r == 0)
		r = parking->closed[endpoint]
		            ? steer_members_mark(&service->steer, fd)
		            : steer_socks_put(&service->steer, endpoint, RPD_SLOT_PARKING, fd);
	return r < 0 ? parking_explain(PARKING_WHAT, r, err) : TAKE_FD(fd);
}

int parking_open_at(struct parking *parking, struct service *service, unsigned int endpoint,
                    struct error *err)
{
	int *fd = &parking->fds[endpoint];
	const bool was_closed = parking->closed[endpoint];
	int r = 0;

	parking->closed[endpoint] = false;
	if (*fd < 0) {
		*fd = parking_place(parking, service, endpoint, err);
		return *fd < 0 ? *fd : 0;
	}
	if (was_closed)
		r = steer_socks_put(&service->steer, endpoint, RPD_SLOT_PARKING, *fd);
	return r < 0 ? parking_explain(PARKING_WHAT, r, err) : 0;
}

int parking_open(struct parking *parking, struct service *service, struct error *err)
{
	struct error why;
	int r = 0;

	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++) {
		int one = steer_has_endpoint(&service->steer, e)
		                  ? parking_open_at(parking, service, e, &why)
		                  : 0;

		if (one < 0 && r == 0)
			r = error_set(err, one, "%s", why.text);
	}
	return r;
}

/* Wakes each worker by one more connection, which ends at once. */
static void parking_wake_workers(struct service *service, unsigned int endpoint)
{
	const struct rpd_endpoint *it = &service->steer.service->endpoints[endpoint];

	for (unsigned int slot = 0; slot < steer_schedule(&service->steer)->n_slots; slot++) {
		struct rpd_probe source;
		int fd;

		if (!steer_socks_cookie(&service->steer, endpoint, slot))
			continue;
		fd = probe_socket_open(it, &source);
		if (fd < 0)
			return;
		if (steer_probes_set(&service->steer, &source, slot) == 0)
			probe_socket_knock(it, fd);
		else
			close(fd);
		steer_probes_remove(&service->steer, &source);
	}
}

static bool parking_is_served(const struct service *service, unsigned int endpoint)
{
	for (unsigned int slot = 0; slot < steer_schedule(&service->steer)->n_slots; slot++)
		if (steer_socks_cookie(&service->steer, endpoint, slot))
			return true;
	return false;
}

/* Replaces the listener also where no connection waits yet: otherwise a handshake that is in
 * progress would be parked when it ends, and never handed over. */
int parking_hand_over(struct parking *parking, struct service *service, struct error *err)
{
	struct error why;
	int handed_over = 0, r = 0;

	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++) {
		int old = parking->fds[e], n;

		if (!steer_has_endpoint(&service->steer, e) || !parking_is_served(service, e) ||
		    (old < 0 && !parking->closed[e]))
			continue;
		parking->fds[e] = -1;
		if (parking_open_at(parking, service, e, &why) < 0) {
			steer_socks_clear(&service->steer, e, RPD_SLOT_PARKING);
			r = error_set(err, parking->fds[e], "%s", why.text);
		}
		if (old < 0)
			continue;
		n = (int)own_listener_queue_length(old);
		close(old);
		if (n > 0 && own_listener_may_miss_wakeup())
			parking_wake_workers(service, e);
		handed_over += n;
	}
	return r < 0 ? r : handed_over;
}

/* A new listener keeps the group, and with it the program, which refuses connections: a worker that
 * is not ready joins the group. Without the program the kernel would let it take connections. */
int parking_give_up(struct parking *parking, struct service *service, unsigned int endpoint,
                    struct error *err)
{
	const int old = parking->fds[endpoint];
	int r, n;

	if (parking->closed[endpoint])
		return 0;
	parking->closed[endpoint] = true;
	if (old < 0)
		return 0;
	r = steer_socks_clear(&service->steer, endpoint, RPD_SLOT_PARKING);
	if (r < 0)
		return error_set(err, r, "can't stop parking connections: %s", strerror(-r));
	parking->fds[endpoint] = parking_place(parking, service, endpoint, err);
	n = (int)own_listener_queue_length(old);
	close(old);
	return parking->fds[endpoint] < 0 ? parking->fds[endpoint] : n;
}
