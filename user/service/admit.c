/* SPDX-License-Identifier: BSD-2-Clause */
#include "service/admit.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "core/endpoint.h"
#include "service/account.h"
#include "kern/proc.h"
#include "kern/steer_socks.h"
#include "kern/steer_workers.h"
#include "kern/steer_members.h"

#define ADMIT_TRIES 100

#ifndef ENOTSUPP
#define ENOTSUPP 524 /* the kernel's own: what a socket array says to what isn't TCP or UDP */
#endif

struct borrowed {
	int fds[RPD_ENDPOINT_MAX];
};

static void admit_borrowed_close(struct borrowed *b)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		cleanup_close(&b->fds[e]);
}

void admit_set_owner(struct rpd_worker *worker, const struct holder *owner)
{
	worker->pid = owner->pid;
	worker->start_time = owner->start_time;
	worker->fd = owner->fd;
	worker->epfd = owner->epfd;
	worker->evidence = owner->evidence;
	memcpy(worker->comm, owner->comm, sizeof(worker->comm));
}

static int admit_borrow_all(const struct newcomer *newcomer, struct borrowed *ret,
                            struct error *err)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++) {
		const struct listener *listener = newcomer->listeners[e];

		if (!listener)
			continue;
		ret->fds[e] = proc_duplicate_fd(newcomer->owner.pid, newcomer->fds[e],
		                                listener->inode, err);
		if (ret->fds[e] < 0)
			return ret->fds[e];
	}
	return 0;
}

/* Notes who is meant to be in the slot, and where the listeners belong, before anything can be
 * steered to them. In this order: a listener that was admitted, and is in no slot and not meant to
 * be, is one that was swapped out. */
static int admit_write_rows(struct service *service, unsigned int slot,
                            const struct newcomer *newcomer, uint8_t version)
{
	struct rpd_worker worker = {};
	int r = steer_workers_get(&service->steer, slot, &worker);

	/* The same worker with another listener of it keeps those that it has. */
	if (r < 0 || worker.pid != newcomer->owner.pid ||
	    worker.start_time != newcomer->owner.start_time)
		worker = (struct rpd_worker){.admitted_at = time(NULL),
		                             .account = account_choose(service, slot, newcomer),
		                             .run = worker.run,
		                             .restarts = worker.restarts};
	admit_set_owner(&worker, &newcomer->owner);
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (newcomer->listeners[e])
			worker.cookies[e] = newcomer->listeners[e]->cookie;
	r = steer_workers_set(&service->steer, slot, &worker);
	for (unsigned int e = 0; r == 0 && e < RPD_ENDPOINT_MAX; e++) {
		const struct rpd_member member = {
		        .slot = slot, .version = version, .endpoint = e, .account = worker.account};

		if (worker.cookies[e])
			r = steer_members_set(&service->steer, worker.cookies[e], &member);
	}
	return r;
}

/* What was not admitted is not known to have been. */
static void admit_forget(struct service *service, const struct newcomer *newcomer)
{
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++)
		if (newcomer->listeners[e])
			steer_members_remove(&service->steer, newcomer->listeners[e]->cookie);
}

static int admit_put_error(struct error *err, int r, unsigned int slot,
                           const struct newcomer *newcomer, unsigned int endpoint)
{
	char text[ENDPOINT_TEXT_MAX];
	const char *why;

	endpoint_format(&newcomer->listeners[endpoint]->endpoint, text, sizeof(text));
	if (r == -EBUSY)
		return error_set(err, r,
		                 "the listener of pid %u (%s) on %s is in use already, by a slot "
		                 "of a service or by another BPF program's map; if its pins were "
		                 "removed, restart the workers (their listeners), then attach",
		                 newcomer->owner.pid, newcomer->owner.comm, text);
	if (r == -EINVAL)
		why = "it was opened without SO_REUSEPORT, or listens no more";
	else if (r == -EOPNOTSUPP || r == -ENOTSUPP)
		why = ADMIT_NO_MPTCP;
	else
		why = strerror(-r);
	return error_set(err, r, "can't put the listener of pid %u (%s) on %s into slot %u: %s",
	                 newcomer->owner.pid, newcomer->owner.comm, text, slot, why);
}

/* Puts the listener into its slot. A service that is being made may follow on one of which the
 * kernel has still to free the socket array: it does so some time after the last pin is gone, and
 * until then the listener is in it. */
static int admit_put(struct service *service, unsigned int endpoint, unsigned int slot, int fd)
{
	const struct timespec pause = {.tv_nsec = 10000000};
	bool making = service->steer.service->stage == RPD_STAGE_FILLING;
	int r = steer_socks_put(&service->steer, endpoint, slot, fd);

	for (int i = 0; r == -EBUSY && making && i < ADMIT_TRIES; i++) {
		nanosleep(&pause, NULL);
		r = steer_socks_put(&service->steer, endpoint, slot, fd);
	}
	return r;
}

int admit(struct service *service, unsigned int slot, const struct newcomer *newcomer,
          uint8_t version, struct error *err)
{
	_cleanup_(admit_borrowed_close) struct borrowed borrowed;
	int r;

	memset(borrowed.fds, -1, sizeof(borrowed.fds));
	r = admit_borrow_all(newcomer, &borrowed, err);
	if (r < 0)
		return r;
	r = admit_write_rows(service, slot, newcomer, version);
	if (r < 0)
		return error_set(err, r, "can't write slot %u: %s", slot, strerror(-r));
	for (unsigned int e = 0; e < RPD_ENDPOINT_MAX; e++) {
		if (borrowed.fds[e] < 0)
			continue;
		/* The same worker listens somewhere else as well now: the kernel refuses to put
		 * again what is there. */
		if (steer_socks_cookie(&service->steer, e, slot) == newcomer->listeners[e]->cookie)
			continue;
		/* A group whose last member closed has lost its program: attach it anew, before the
		 * put, as who finds the listener in its slot takes the program to be there. While
		 * the service is being made there is no schedule yet to steer by. */
		if (service->steer.service->stage == RPD_STAGE_READY)
			r = steer_attach(&service->steer, e, borrowed.fds[e]);
		if (r == 0)
			r = admit_put(service, e, slot, borrowed.fds[e]);
		if (r < 0) {
			admit_forget(service, newcomer);
			return admit_put_error(err, r, slot, newcomer, e);
		}
	}
	return 0;
}
