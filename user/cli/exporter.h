/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Prometheus exporter: GET /metrics over HTTP. It is a process of its own without a further
 * thread: `reuseportd metrics --listen`, by itself or as a child of a supervisor or watcher
 * (exporter_process.h). A scrape reads the pinned maps under the lock, as any command does. Its
 * answer is kept for a second, so clients that scrape without a pause take the lock only that
 * often.
 */
#pragma once

#include <json-c/json.h>

#include "base/error.h"
#include "cli/exporter_clients.h"
#include <reuseportd/abi.h>

struct exporter {
	int listener;
	int home;     /* the network namespace of the process */
	int lifeline; /* the end of this pipe ends the exporter; -1 = none */
	const char *service;
	struct MHD_Daemon *server;
	struct exporter_clients clients;
	/* The answer to the last scrape, or NULL. */
	struct MHD_Response *answer;
	unsigned int answer_status;
	int64_t answered_at; /* CLOCK_MONOTONIC, ns */
};

#define _cleanup_exporter_ __attribute__((cleanup(exporter_stop)))

/* Sets the stopped state. exporter_stop() may then be called. */
void exporter_init(struct exporter *exporter);

/* Listens on @address. The first call must come before a service is opened, because that enters the
 * service's network namespace. After a failure it may be called again. Returns 0, or a negative
 * errno with @err set. */
int exporter_bind(struct exporter *exporter, const struct rpd_endpoint *address, struct error *err);

/* The same, but waits up to a second for an exporter that ends at the moment. */
int exporter_await_bind(struct exporter *exporter, const struct rpd_endpoint *address,
                        struct error *err);

/* Takes the listener that the parent has passed, and the lifeline if there is one, by the protocol
 * of sd_listen_fds(3). Returns whether there was a listener, or a negative errno with @err set. */
int exporter_inherit(struct exporter *exporter, struct error *err);

/* Gives up the rights that a scrape does not need, and answers scrapes until SIGTERM, SIGINT or the
 * end of the lifeline. @service: the service to report, even if it does not exist; NULL = all
 * services. @ready is called when scrapes are answered. Returns 0, or a negative errno with @err
 * set. */
int exporter_serve(struct exporter *exporter, const char *service, void (*ready)(const void *data),
                   const void *data, struct error *err);

void exporter_stop(struct exporter *exporter);

/*
 * Reads the status of @service, or of all services if that is NULL, for metrics_print(). A service
 * that can't be read is an error if it was named, and else a row of its own. Returns 0, a positive
 * outcome of service_try_open() for a named service, or a negative errno. The caller owns *ret
 * (json_object_put()).
 */
int exporter_read(const char *service, struct json_object **ret, struct error *err);
