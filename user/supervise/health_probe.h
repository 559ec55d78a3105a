/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks once whether a worker serves: by a TCP connection or an HTTP GET through the real port, or
 * by a shell command. The steering program sends the connection to that worker because its source
 * address and port are registered. Runs in the event loop and does not block.
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/error.h"
#include "core/run_config.h"
#include "service/service.h"

struct health_probe;

/* Called once. @why: if not @ok, for example "GET /health: 503 Service Unavailable". */
typedef void (*health_probe_done)(bool ok, const char *why, void *data);

struct health_probe_request {
	enum ready_kind kind; /* READY_HTTP, READY_TCP or READY_EXEC */
	const char *argument; /* path, or command */
	int64_t timeout;      /* ns */
	/* For HTTP and TCP: the endpoint, and the index of the listener in its socket array: a
	 * slot, or RPD_SLOT_PROBE + n for a worker that is in no slot yet. The service must be
	 * locked during health_probe_start(), and exist as long as the probe. */
	struct service *service;
	unsigned int endpoint;
	unsigned int index;
	/* For EXEC: the complete environment, working directory, user and group, as the worker has
	 * them (kern/spawn.h), and the service's cgroup: the command runs in a child of it. */
	char *const *env;
	const char *cwd, *user, *group, *identity;
	const char *cgroup_path;
	health_probe_done done;
	void *data;
};

/* Starts a probe. After the call @request may go out of scope, and all that it points to except the
 * service. */
int health_probe_start(sd_event *loop, const struct health_probe_request *request,
                       struct health_probe **ret, struct error *err);

/* Ends and frees the probe without calling done(); may be called in or after done(). NULL is
 * allowed. */
void health_probe_cancel(struct health_probe *run);

/* The exit status of the probe's command, which has ended; -1 if it has none. */
int health_probe_exit_status(const struct health_probe *run);

/* The pid of the probe's command as long as the probe waits for the command's end, or 0. */
uint32_t health_probe_pid(const struct health_probe *run);
