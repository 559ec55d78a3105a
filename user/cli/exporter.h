/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Prometheus exporter: GET /metrics over HTTP. It keeps nothing from one scrape to the next;
 * each reads the pinned maps, under the lock as any command does. Scrapes are answered by a thread
 * of their own, one after the other, so that whoever starts it can go on with something else.
 */
#pragma once

#include <json-c/json.h>

#include "base/error.h"
#include <reuseportd/abi.h>

struct exporter {
	int listener;
	int home; /* our network namespace */
	const char *service;
	struct MHD_Daemon *server;
};

#define _cleanup_exporter_ __attribute__((cleanup(exporter_stop)))

/* Stopped state: exporter_stop() may be called on it. */
void exporter_init(struct exporter *exporter);

/* Listens on exactly that address. To be called while in the network namespace where it is meant to
 * be, so before a service is opened. */
int exporter_bind(struct exporter *exporter, const struct rpd_endpoint *address, struct error *err);

/* Answers from here on. @service, which must stay: the one to tell of, be it there or not; NULL =
 * all there are. */
int exporter_start(struct exporter *exporter, const char *service, struct error *err);

void exporter_stop(struct exporter *exporter);

/*
 * What view_metrics_text() takes: of @service, or if that is NULL of all. Of all, one that can't be
 * read does not keep the others from being told of. The caller owns *ret (json_object_put()).
 * Returns 0, SERVICE_NONE or SERVICE_LOCKED for @service, or a negative errno. */
int exporter_read(const char *service, struct json_object **ret, struct error *err);
