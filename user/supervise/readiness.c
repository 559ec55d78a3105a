/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervise/readiness.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/memory.h"
#include "core/endpoint.h"
#include "core/ready_rule.h"
#include "kern/steer_socks.h"
#include "service/service_lock.h"
#include "supervise/endpoints.h"
#include "supervise/worker.h"
#include "supervise/worker_listeners.h"
#include "supervise/worker_probe.h"

#define PROBE_AGAIN_NS (NS_PER_S / 4) /* between two probes of a worker that starts */

static bool readiness_has_named(const struct rpd_endpoint *named, const struct listener *listeners,
                                size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (endpoint_matches(&listeners[i].endpoint, named))
			return true;
	return false;
}

/* Which other workers listen on the endpoint. */
static struct ready_seen readiness_see_others(const struct worker *w, const struct service *service,
                                              unsigned int endpoint)
{
	struct ready_seen seen = {};

	for (unsigned int slot = 0; slot < w->sup->n_slots; slot++) {
		bool is_there = w->sup->slots[slot].current;
		bool listens = is_there && steer_socks_cookie(&service->steer, endpoint, slot);

		if (slot == w->slot) {
			seen.predecessor = listens;
			continue;
		}
		seen.others += is_there;
		seen.listening += listens;
	}
	return seen;
}

static bool readiness_listens_on(const struct rpd_endpoint *endpoint,
                                 const struct listener *listeners, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (endpoint_equal(&listeners[i].endpoint, endpoint))
			return true;
	return false;
}

/* Records where the worker does not listen, and where it does. @more: text after the option of the
 * time, with the closing bracket. */
static void readiness_note_missing(struct worker *w, const char *where, const char *more)
{
	char list[3 * ENDPOINT_TEXT_MAX];

	snprintf(w->why, sizeof(w->why),
	         "did not listen on %s within %g s (--ready-timeout%s; it listens on %s", where,
	         (double)w->plan->config.ready_timeout / NS_PER_S, more,
	         worker_listeners_format(w, list, sizeof(list)));
}

/* The same for an endpoint that --listen names. Most often the program listens on all addresses,
 * IPv6 too. */
static void readiness_note_missing_named(struct worker *w, const struct rpd_endpoint *named)
{
	char text[ENDPOINT_TEXT_MAX], more[96] = ")";

	if (named->family) {
		endpoint_format(named, text, sizeof(text));
		snprintf(more, sizeof(more), "; --listen %u would take any address with that port)",
		         named->port);
	} else {
		snprintf(text, sizeof(text), "port %u", named->port);
	}
	readiness_note_missing(w, text, more);
}

/* If no port is named: whether the worker listens where the other workers do. Reads without the
 * lock: only the supervisor puts listeners into the service's slots. An earlier failure may have
 * closed the service. */
static bool readiness_listens_as_others(struct worker *w, const struct listener *listeners,
                                        size_t n)
{
	_cleanup_service_lock_ struct service *locked = NULL;
	const struct service *service = &w->sup->service;
	struct error err = {};

	if (!service_is_open(service) && service_lock(&w->sup->service, &locked, &err) < 0) {
		snprintf(w->why, sizeof(w->why), "can't be checked: %.*s", (int)sizeof(w->why) - 32,
		         err.text);
		return false;
	}
	for (unsigned int e = 0; e < service->steer.service->n_endpoints; e++) {
		const struct rpd_endpoint *endpoint = &service->steer.service->endpoints[e];
		char text[ENDPOINT_TEXT_MAX];
		struct ready_seen seen;

		if (!steer_has_endpoint(&service->steer, e) ||
		    readiness_listens_on(endpoint, listeners, n))
			continue;
		seen = readiness_see_others(w, service, e);
		if (!ready_rule_must_listen(&w->plan->config, &seen))
			continue;
		readiness_note_missing(w, endpoint_format(endpoint, text, sizeof(text)),
		                       seen.predecessor
		                               ? "), where the worker that it replaces listens"
		                               : "), where most of the other workers listen");
		return false;
	}
	return true;
}

/* Whether the worker listens wherever it must. If not, records what is missing in w->why: the
 * reason if the worker is not ready in time. */
static bool readiness_listens_everywhere(struct worker *w, const struct listener *listeners,
                                         size_t n)
{
	const struct run_config *config = &w->plan->config;

	for (size_t i = 0; i < config->n_listens; i++)
		if (!readiness_has_named(&config->listens[i], listeners, n)) {
			readiness_note_missing_named(w, &config->listens[i]);
			return false;
		}
	if (n == 0 && !ready_rule_allows_no_listener(config)) {
		readiness_note_missing(w, "any fixed port", ")");
		return false;
	}
	return config->n_listens || readiness_listens_as_others(w, listeners, n);
}

static void readiness_become_ready(struct worker *w)
{
	w->why[0] = '\0';
	worker_probe_end(w);
	worker_event(w, WORKER_EVENT_READY);
}

static void readiness_on_probe(struct worker *w, bool ok, const char *why)
{
	if (w->state != WORKER_STARTING)
		return;
	if (ok) {
		readiness_become_ready(w);
		return;
	}
	snprintf(w->why, sizeof(w->why), "was not ready within %g s (--ready-timeout): %s",
	         (double)w->plan->config.ready_timeout / NS_PER_S, why);
	worker_probe_start_after(w, PROBE_AGAIN_NS, readiness_on_probe);
}

static bool readiness_is_reported(const struct worker *w)
{
	return w->plan->config.ready == READY_LISTEN || w->sent_ready;
}

static int readiness_on_alive_timer(sd_event_source *source, uint64_t now, void *data)
{
	struct worker *w = data;

	w->probe_timer = sd_event_source_disable_unref(w->probe_timer);
	readiness_check(w);
	return 0;
}

/* Whether a worker that listens on nothing has lived for alive-after; else it is checked again at
 * that time. */
static bool readiness_has_lived(struct worker *w)
{
	int64_t left = w->started_at + w->plan->config.alive_after - clock_ns(CLOCK_MONOTONIC);

	if (left > 0 && !w->probe_timer)
		memory_check(sd_event_add_time_relative(w->sup->loop, &w->probe_timer,
		                                        CLOCK_MONOTONIC, left / 1000 + 1, 1000,
		                                        readiness_on_alive_timer, w));
	return left <= 0;
}

/* The worker listens wherever it must. */
static void readiness_check_further(struct worker *w, bool listens)
{
	const struct run_config *config = &w->plan->config;

	if (worker_probe_is_configured(config)) {
		worker_probe_start(w, readiness_on_probe);
	} else if (config->ready == READY_ALIVE) {
		if (listens || readiness_has_lived(w))
			readiness_become_ready(w);
	} else if (readiness_is_reported(w)) {
		readiness_become_ready(w);
	} else {
		snprintf(w->why, sizeof(w->why),
		         "did not report within %g s (--ready-timeout) that it is ready (%s)",
		         (double)config->ready_timeout / NS_PER_S,
		         config->ready == READY_NOTIFY ? "sd_notify READY=1"
		                                       : "process.send('ready')");
	}
}

void readiness_check(struct worker *w)
{
	_cleanup_free_ struct listener *listeners = NULL;
	struct error err = {};
	size_t n = 0;
	int r;

	if (w->state != WORKER_STARTING)
		return;
	r = worker_listeners_find(w, &listeners, &n, &err);
	/* The slot's first worker: park connections as soon as its endpoints are known. */
	if (r == 0 && n && !w->sup->slots[w->slot].current)
		r = endpoints_add(w->sup, listeners, n, &err);
	if (r < 0) {
		worker_fail(w, "can't be used: %s", err.text);
		return;
	}
	if (w->probe || (w->probe_timer && worker_probe_is_configured(&w->plan->config)))
		return;
	if (readiness_listens_everywhere(w, listeners, n))
		readiness_check_further(w, n > 0);
}
