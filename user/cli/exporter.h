/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Prometheus exporter: GET /metrics over HTTP. Each scrape reads the pinned maps under the
 * lock, as any command does; nothing is kept from one scrape to the next. A thread of its own
 * answers the scrapes, one after the other.
 */
#pragma once

#include <json-c/json.h>

#include "base/error.h"
#include <reuseportd/abi.h>

struct exporter {
	int listener;
	int home; /* the network namespace of the process */
	const char *service;
	struct MHD_Daemon *server;
};

#define _cleanup_exporter_ __attribute__((cleanup(exporter_stop)))

/* Sets the stopped state. exporter_stop() may then be called. */
void exporter_init(struct exporter *exporter);

/* Listens on @address. Must be called before a service is opened, because that enters the service's
 * network namespace. */
int exporter_bind(struct exporter *exporter, const struct rpd_endpoint *address, struct error *err);

/* Starts to answer scrapes. @service must outlive the exporter: the service to report, even if it
 * does not exist; NULL = all services. */
int exporter_start(struct exporter *exporter, const char *service, struct error *err);

void exporter_stop(struct exporter *exporter);

/*
 * Reads the status of @service, or of all services if that is NULL, for metrics_print(). A service
 * that can't be read is an error if it was named, and else a row of its own. Returns 0, a positive
 * outcome of service_try_open() for a named service, or a negative errno. The caller owns *ret
 * (json_object_put()).
 */
int exporter_read(const char *service, struct json_object **ret, struct error *err);
