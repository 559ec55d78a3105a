/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asking one worker, through the real port, whether it serves: a TCP connection, or an HTTP GET, of
 * which the steering program knows, by the address and port that it comes from, that it is for that
 * worker; or a shell command. Runs in the event loop and blocks nothing.
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/error.h"
#include "core/run_config.h"
#include "service/service.h"

struct health_probe;

/* @ok, or why not: "GET /health: 503 Service Unavailable", "connection refused". Called once. */
typedef void (*health_probe_done)(bool ok, const char *why, void *data);

struct health_probe_request {
	enum ready_kind kind; /* READY_HTTP, READY_TCP or READY_EXEC */
	const char *argument; /* path, or command */
	int64_t timeout;      /* ns */
	/* For HTTP and TCP: the service (which must be open and locked during the call of
	 * health_probe_start(), not after), the endpoint, and the index in its socket array of the
	 * listener: a slot, or RPD_SLOT_PROBE + n of a worker that is in no slot yet. */
	struct service *service;
	unsigned int endpoint;
	unsigned int index;
	/* For EXEC: the environment, complete, and where and as whom it runs, as the worker does
	 * (kern/spawn.h); and the service's cgroup directory for it to run in a child of. */
	char *const *env;
	const char *cwd, *user, *group;
	const char *cgroup_path;
	health_probe_done done;
	void *data;
};

int health_probe_start(sd_event *loop, const struct health_probe_request *request,
                       struct health_probe **ret, struct error *err);

/* Ends it without calling done(); also to free it in or after done(). NULL is allowed. */
void health_probe_cancel(struct health_probe *run);

/* The process of its command, as long as it is to be waited for, or 0. */
uint32_t health_probe_pid(const struct health_probe *run);
